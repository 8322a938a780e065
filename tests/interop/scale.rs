//! Many files, and a large one: memory must not grow with content.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::lab::{Lab, Process, bytes};

fn fetch_and_watch(lab: &Lab) -> u64 {
    let (_seed, port) = lab.seed(&[]);
    let mut command = lab.download("fetched");
    command.args(["--peer", &format!("127.0.0.1:{port}"), "--json", "--seed-time", "1h"]);
    let mut download = Process::start(&mut command);
    while !download.wait_for("{").contains("\"complete\"") {}
    let peak = download.peak_memory().unwrap();
    download.signal("-INT");
    assert_eq!(download.wait(), 0);
    lab.assert_same("fetched");
    peak
}

#[test]
fn twenty_thousand_small_files_complete() {
    let fill = |dir: &std::path::Path| {
        let payload = bytes(20_000 * 1024);
        for (index, part) in payload.chunks(1024).enumerate() {
            let folder = dir.join(format!("{:03}", index / 100));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{:02}", index % 100)), part).unwrap();
        }
    };
    let lab = Lab::with_folder(fill, &[]);
    let peak = fetch_and_watch(&lab);
    assert!(peak < 128 * 1024, "{peak} KiB");
}

#[test]
fn a_four_gigabyte_file_completes_in_little_memory() {
    let fill = |dir: &std::path::Path| {
        let file = File::create(dir.join("large.bin")).unwrap();
        file.set_len((4 << 30) + 12_345).unwrap();
        for place in 0..64u64 {
            file.write_all_at(&bytes(1000 + place as usize), place * (67 << 20)).unwrap();
        }
    };
    let lab = Lab::with_folder(fill, &["--piece-length", "4MiB"]);
    let peak = fetch_and_watch(&lab);
    assert!(peak < 128 * 1024, "{peak} KiB");
}
