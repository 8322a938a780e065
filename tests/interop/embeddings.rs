//! The example loops that come with the engine and the driver, each fetching from a real seeder.

use std::path::Path;
use std::process::Command;

use crate::clients::libtorrent;
use crate::lab::{Lab, Process};

fn fetch_with(example: &str, flags: &[&str]) {
    let lab = Lab::with_file(5_000_003, &[]);
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let seed = libtorrent(&lab, lab.source(), "seed", &flags);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/examples");
    let mut command = Command::new(built.join(example));
    command.arg(&lab.torrent).arg(lab.dir("fetched")).arg(format!("127.0.0.1:{}", seed.port));
    let mut process = Process::start(&mut command);
    assert_eq!(process.wait(), 0, "{:#?}", process.output());
    lab.assert_same("fetched");
}

#[test]
fn the_plain_loop_downloads_from_libtorrent() {
    fetch_with("std_loop", &[]);
}

#[test]
fn the_tokio_loop_downloads_from_libtorrent() {
    fetch_with("tokio_loop", &[]);
}

#[test]
fn the_tokio_loop_downloads_over_utp() {
    // libtorrent takes calls over TCP as well, and hangs up.
    fetch_with("tokio_loop", &["--utp=only"]);
}

#[test]
fn the_loops_download_with_rc4() {
    fetch_with("std_loop", &["--encrypt=2"]);
    fetch_with("tokio_loop", &["--encrypt=2"]);
}
