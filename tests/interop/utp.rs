//! µTP with other clients, most of which speak nothing else here.

use crate::clients::{libtorrent, transmission_utp};
use crate::lab::{Lab, Process, eddyline, wait_until};
use crate::recording_tracker::RecordingTracker;

const LENGTH: usize = 5_000_003;
const UTP: [&str; 2] = ["--transport", "utp"];

/// Fetches; `transport` is what the peer has to be connected over.
fn fetch_from(lab: &Lab, port: u16, flags: &[&str], transport: &str) {
    let mut command = lab.download("fetched");
    command.args(["--peer", &format!("127.0.0.1:{port}"), "--no-trackers", "--json", "-v"]);
    let mut download = Process::start(command.args(flags));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    let told = format!("\"transport\":\"{transport}\"");
    assert!(download.output().iter().any(|line| line.contains(&told)), "{told}");
    lab.assert_same("fetched");
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn we_download_from_libtorrent_that_speaks_utp_only() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = libtorrent(&lab, lab.source(), "seed", &words("--utp=only"));
    fetch_from(&lab, seed.port, &UTP, "utp");
}

#[test]
fn who_speaks_utp_only_is_found_by_trying_both() {
    let lab = Lab::with_file(LENGTH, &[]);
    // libtorrent would answer the call over TCP, and then hang up.
    let (_seed, port) = lab.seed(&UTP);
    fetch_from(&lab, port, &["--transport", "both"], "utp");
}

#[test]
fn libtorrent_downloads_from_us_over_utp_only() {
    for ours in ["utp", "both"] {
        let lab = Lab::with_file(LENGTH, &[]);
        let (_seed, port) = lab.seed(&["--transport", ours]);
        let dir = lab.dir("leech");
        let flags = words(&format!("--utp=only 127.0.0.1:{port}"));
        libtorrent(&lab, &dir, "leech", &flags).wait_done();
        lab.assert_same("leech");
    }
}

#[test]
fn a_magnet_comes_over_utp() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = libtorrent(&lab, lab.source(), "seed", &words("--utp=only"));
    let mut command = eddyline();
    command.arg("download").arg(lab.magnet()).arg("--dir").arg(lab.dir("fetched"));
    command.args(["--port", "0", "--no-trackers", "--peer", &format!("127.0.0.1:{}", seed.port)]);
    let mut download = Process::start(command.args(UTP).arg("--state-dir").arg(lab.dir("state")));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");
}

#[test]
fn rc4_goes_over_utp_in_both_directions() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = libtorrent(&lab, lab.source(), "seed", &words("--utp=only --encrypt=2"));
    fetch_from(&lab, seed.port, &UTP, "utp");
    let (_seed, port) = lab.seed(&UTP);
    let dir = lab.dir("leech");
    let flags = words(&format!("--utp=only --encrypt=2 127.0.0.1:{port}"));
    libtorrent(&lab, &dir, "leech", &flags).wait_done();
    lab.assert_same("leech");
}

#[test]
fn we_serve_over_tcp_and_over_utp_at_once() {
    let lab = Lab::with_file(LENGTH, &[]);
    let (_seed, port) = lab.seed(&[]);
    let peer = format!("127.0.0.1:{port}");
    let (tcp, utp) = (lab.dir("tcp"), lab.dir("utp"));
    let mut over_tcp = libtorrent(&lab, &tcp, "leech", std::slice::from_ref(&peer));
    let mut over_utp = libtorrent(&lab, &utp, "leech", &words(&format!("--utp=only {peer}")));
    over_tcp.wait_done();
    over_utp.wait_done();
    lab.assert_same("tcp");
    lab.assert_same("utp");
}

#[test]
fn two_of_us_over_utp() {
    let lab = Lab::with_file(LENGTH, &[]);
    let (_seed, port) = lab.seed(&UTP);
    fetch_from(&lab, port, &UTP, "utp");
}

#[test]
fn we_download_from_transmission_over_utp_and_it_from_us() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = transmission_utp(&lab, lab.source(), true);
    fetch_from(&lab, seed.port, &UTP, "utp");
    let tracker = RecordingTracker::start("/announce");
    let lab = Lab::with_file(LENGTH, std::slice::from_ref(&tracker.url));
    // Whoever calls us over TCP is not let in: it has to come over µTP.
    let (_seed, _) = lab.seed(&UTP);
    wait_until("the seed is known", || !tracker.announces().is_empty());
    let dir = lab.dir("leech");
    transmission_utp(&lab, &dir, false).wait_done();
    lab.assert_same("leech");
}
