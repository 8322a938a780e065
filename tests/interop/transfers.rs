//! One seeder, one leecher: each client in both roles.

use crate::clients::{aria2, libtorrent, transmission};
use crate::lab::{Lab, Process, wait_until};
use crate::recording_tracker::RecordingTracker;

const LENGTH: usize = 20_000_003;

fn fetch_from(lab: &Lab, port: u16) {
    let mut command = lab.download("fetched");
    command.args(["--peer", &format!("127.0.0.1:{port}"), "--no-trackers"]);
    let mut download = Process::start(&mut command);
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");
}

#[test]
fn we_download_from_libtorrent() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = libtorrent(&lab, lab.source(), "seed", &[]);
    fetch_from(&lab, seed.port);
}

#[test]
fn we_download_from_transmission() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = transmission(&lab, lab.source(), true);
    fetch_from(&lab, seed.port);
}

#[test]
fn we_download_from_aria2() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = aria2(&lab, lab.source(), true);
    fetch_from(&lab, seed.port);
}

#[test]
fn libtorrent_downloads_from_us() {
    let lab = Lab::with_file(LENGTH, &[]);
    let (_seed, port) = lab.seed(&[]);
    let dir = lab.dir("leech");
    let mut leech = libtorrent(&lab, &dir, "leech", &[format!("127.0.0.1:{port}")]);
    leech.wait_done();
    lab.assert_same("leech");
}

#[test]
fn transmission_downloads_from_us() {
    let tracker = RecordingTracker::start("/announce");
    let lab = Lab::with_file(LENGTH, std::slice::from_ref(&tracker.url));
    let (_seed, _) = lab.seed(&[]);
    wait_until("the seed is known", || !tracker.announces().is_empty());
    let dir = lab.dir("leech");
    transmission(&lab, &dir, false).wait_done();
    lab.assert_same("leech");
}

#[test]
fn aria2_downloads_from_us() {
    let tracker = RecordingTracker::start("/announce");
    let lab = Lab::with_file(LENGTH, std::slice::from_ref(&tracker.url));
    let (_seed, _) = lab.seed(&[]);
    wait_until("the seed is known", || !tracker.announces().is_empty());
    let dir = lab.dir("leech");
    aria2(&lab, &dir, false).wait_done();
    lab.assert_same("leech");
}

#[test]
fn a_download_that_was_stopped_goes_on_where_it_stopped() {
    let lab = Lab::with_file(LENGTH, &[]);
    let (_seed, port) = lab.seed(&["--max-up", "4M"]);
    let peer = format!("127.0.0.1:{port}");
    let mut first = Process::start(lab.download("fetched").args(["--peer", &peer, "--json"]));
    while !first.wait_for("{").contains("\"index\":200") {}
    first.signal("-INT");
    assert_eq!(first.wait(), 130);
    let mut second = Process::start(lab.download("fetched").args(["--peer", &peer, "--json"]));
    let complete = loop {
        let line = second.wait_for("{");
        if line.contains("\"complete\"") {
            break line;
        }
    };
    assert_eq!(second.wait(), 0);
    lab.assert_same("fetched");
    let value: serde_json::Value = serde_json::from_str(&complete).unwrap();
    // Both runs together fetched little more than everything once.
    let downloaded = value["downloaded"].as_u64().unwrap();
    assert!(downloaded < LENGTH as u64 + 4_000_000, "{downloaded}");
}

#[test]
fn only_the_selected_files_are_fetched() {
    let fill = |dir: &std::path::Path| {
        for (name, size) in [("a", 300_000), ("b", 3_000_000), ("c", 200_000)] {
            std::fs::write(dir.join(name), crate::lab::bytes(size)).unwrap();
        }
    };
    let lab = Lab::with_folder(fill, &["--piece-length", "32KiB"]);
    let (_seed, port) = lab.seed(&[]);
    let peer = format!("127.0.0.1:{port}");
    let mut command = lab.download("some");
    let mut download = Process::start(command.args(["--peer", &peer, "--select", "1,c", "--json"]));
    // A list with a letter in it is a glob, and matches nothing here.
    assert_eq!(download.wait(), 2);
    let mut command = lab.download("some");
    command.args(["--peer", &peer, "--select", "1", "--select", "c", "--json"]);
    let mut download = Process::start(&mut command);
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    for name in ["a", "c"] {
        let found = std::fs::read(lab.dir("some").join("payload").join(name)).unwrap();
        assert_eq!(found, std::fs::read(lab.payload.join(name)).unwrap(), "{name}");
    }
    let lines = download.output();
    let complete = lines.iter().find(|line| line.contains("\"complete\"")).unwrap();
    let value: serde_json::Value = serde_json::from_str(complete).unwrap();
    assert!(value["downloaded"].as_u64().unwrap() < 700_000, "{complete}");
}
