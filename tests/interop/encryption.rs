//! Encrypted connections with other clients, each of which speaks to nobody without.

use crate::clients::{aria2_encrypted, libtorrent, transmission_encrypted};
use crate::lab::{Lab, Process, eddyline, wait_until};
use crate::recording_tracker::RecordingTracker;

const LENGTH: usize = 5_000_003;

/// Fetches; `all` is whether all bytes are to be encrypted, where that is not the other's choice.
fn fetch_from(lab: &Lab, port: u16, flags: &[&str], all: Option<bool>) {
    let mut command = lab.download("fetched");
    command.args(["--peer", &format!("127.0.0.1:{port}"), "--no-trackers", "--json", "-v"]);
    let mut download = Process::start(command.args(flags));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    if let Some(all) = all {
        let told = format!("\"encrypted\":{all}");
        assert!(download.output().iter().any(|line| line.contains(&told)), "{told}");
    }
    lab.assert_same("fetched");
}

/// libtorrent with RC4 only, with plaintext behind the handshake only, and with either.
#[test]
fn we_download_from_libtorrent_at_every_level() {
    for (level, all) in [("1", Some(false)), ("2", Some(true)), ("3", None)] {
        let lab = Lab::with_file(LENGTH, &[]);
        let flags = [format!("--encrypt={level}")];
        let seed = libtorrent(&lab, lab.source(), "seed", &flags);
        fetch_from(&lab, seed.port, &[], all);
    }
}

#[test]
fn we_require_rc4_of_libtorrent_and_get_it() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = libtorrent(&lab, lab.source(), "seed", &["--encrypt=3".to_owned()]);
    fetch_from(&lab, seed.port, &["--encryption", "require"], Some(true));
}

#[test]
fn libtorrent_downloads_from_us_at_every_level() {
    for level in ["1", "2", "3"] {
        let lab = Lab::with_file(LENGTH, &[]);
        let (_seed, port) = lab.seed(&[]);
        let dir = lab.dir("leech");
        let flags = [format!("--encrypt={level}"), format!("127.0.0.1:{port}")];
        libtorrent(&lab, &dir, "leech", &flags).wait_done();
        lab.assert_same("leech");
    }
}

#[test]
fn a_magnet_comes_from_libtorrent_with_rc4() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = libtorrent(&lab, lab.source(), "seed", &["--encrypt=2".to_owned()]);
    let mut command = eddyline();
    command.arg("download").arg(lab.magnet()).arg("--dir").arg(lab.dir("fetched"));
    command.args(["--port", "0", "--no-trackers", "--peer", &format!("127.0.0.1:{}", seed.port)]);
    let mut download = Process::start(command.arg("--state-dir").arg(lab.dir("state")));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");
}

#[test]
fn we_download_from_aria2_with_rc4_and_it_from_us() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = aria2_encrypted(&lab, lab.source(), true);
    fetch_from(&lab, seed.port, &[], Some(true));
    let tracker = RecordingTracker::start("/announce");
    let lab = Lab::with_file(LENGTH, std::slice::from_ref(&tracker.url));
    let (_seed, _) = lab.seed(&[]);
    wait_until("the seed is known", || !tracker.announces().is_empty());
    let dir = lab.dir("leech");
    aria2_encrypted(&lab, &dir, false).wait_done();
    lab.assert_same("leech");
}

#[test]
fn we_download_from_transmission_that_requires_encryption_and_it_from_us() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = transmission_encrypted(&lab, lab.source(), true);
    fetch_from(&lab, seed.port, &["--encryption", "require"], Some(true));
    let tracker = RecordingTracker::start("/announce");
    let lab = Lab::with_file(LENGTH, std::slice::from_ref(&tracker.url));
    let (_seed, _) = lab.seed(&[]);
    wait_until("the seed is known", || !tracker.announces().is_empty());
    let dir = lab.dir("leech");
    transmission_encrypted(&lab, &dir, false).wait_done();
    lab.assert_same("leech");
}
