//! Magnets from and to the other clients: metadata in both directions (BEP 9), and peers by hearsay
//! (BEP 11).

use crate::clients::{aria2, aria2_of, libtorrent, libtorrent_of, transmission, transmission_of};
use crate::lab::{Lab, Process, eddyline, succeed, wait_until};
use crate::recording_tracker::RecordingTracker;

const LENGTH: usize = 5_000_003;

/// Small pieces, so that the metadata itself has several pieces.
fn lab(trackers: &[String]) -> Lab {
    Lab::with_file_in_pieces(LENGTH, trackers, "2KiB")
}

fn download_magnet(lab: &Lab, source: &str, port: u16) {
    let mut command = eddyline();
    command.arg("download").arg(source).arg("--dir").arg(lab.dir("fetched"));
    command.args(["--port", "0", "--no-trackers", "--peer", &format!("127.0.0.1:{port}")]);
    let state = lab.dir("state");
    let mut download = Process::start(command.arg("--state-dir").arg(state));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");
}

#[test]
fn we_get_the_metadata_and_the_rest_from_libtorrent() {
    let lab = lab(&[]);
    let seed = libtorrent(&lab, lab.source(), "seed", &[]);
    download_magnet(&lab, &lab.magnet(), seed.port);
}

#[test]
fn we_get_the_metadata_and_the_rest_from_transmission() {
    let lab = lab(&[]);
    let seed = transmission(&lab, lab.source(), true);
    download_magnet(&lab, &lab.magnet(), seed.port);
}

#[test]
fn we_get_the_metadata_and_the_rest_from_aria2() {
    let lab = lab(&[]);
    let seed = aria2(&lab, lab.source(), true);
    // A bare info-hash says as much.
    let magnet = lab.magnet();
    let hash = magnet.split("btih:").nth(1).unwrap()[..40].to_owned();
    download_magnet(&lab, &hash, seed.port);
}

#[test]
fn libtorrent_gets_the_metadata_and_the_rest_from_us() {
    let lab = lab(&[]);
    let (_seed, port) = lab.seed(&[]);
    let dir = lab.dir("leech");
    let peers = [format!("127.0.0.1:{port}")];
    let mut leech = libtorrent_of(&lab.magnet(), &dir, "leech", &peers);
    leech.wait_done();
    lab.assert_same("leech");
}

#[test]
fn transmission_gets_the_metadata_and_the_rest_from_us() {
    let tracker = RecordingTracker::start("/announce");
    let lab = lab(std::slice::from_ref(&tracker.url));
    let (_seed, _) = lab.seed(&[]);
    wait_until("the seed is known", || !tracker.announces().is_empty());
    let dir = lab.dir("leech");
    transmission_of(&lab, &lab.magnet(), &dir, false).wait_done();
    lab.assert_same("leech");
}

#[test]
fn aria2_gets_the_metadata_and_the_rest_from_us() {
    let tracker = RecordingTracker::start("/announce");
    let lab = lab(std::slice::from_ref(&tracker.url));
    let (_seed, _) = lab.seed(&[]);
    wait_until("the seed is known", || !tracker.announces().is_empty());
    let dir = lab.dir("leech");
    aria2_of(&lab, &lab.magnet(), &dir, false).wait_done();
    lab.assert_same("leech");
}

#[test]
fn the_metadata_alone_is_saved_as_a_torrent() {
    let lab = lab(&[]);
    let seed = libtorrent(&lab, lab.source(), "seed", &[]);
    let target = lab.dir("saved").join("saved.torrent");
    let mut command = eddyline();
    command.arg("download").arg(lab.magnet()).args(["--metadata-only", "--no-trackers", "-o"]);
    command.arg(&target).args(["--port", "0", "--peer", &format!("127.0.0.1:{}", seed.port)]);
    succeed(command.arg("--state-dir").arg(lab.dir("state")));
    let magnet = succeed(eddyline().arg("magnet").arg(&target));
    assert_eq!(String::from_utf8(magnet.stdout).unwrap().trim(), lab.magnet());
}

#[test]
fn files_of_a_magnet_are_chosen_when_they_are_known() {
    let fill = |dir: &std::path::Path| {
        for (name, size) in [("a", 300_000), ("b", 3_000_000), ("c", 200_000)] {
            std::fs::write(dir.join(name), crate::lab::bytes(size)).unwrap();
        }
    };
    let lab = Lab::with_folder(fill, &["--piece-length", "32KiB"]);
    let (_seed, port) = lab.seed(&[]);
    let mut command = eddyline();
    command.arg("download").arg(lab.magnet()).arg("--dir").arg(lab.dir("some"));
    command.args(["--port", "0", "--select", "c", "--peer", &format!("127.0.0.1:{port}")]);
    succeed(command.arg("--state-dir").arg(lab.dir("state")));
    let found = std::fs::read(lab.dir("some").join("payload/c")).unwrap();
    assert_eq!(found, std::fs::read(lab.payload.join("c")).unwrap());
    // What it shares with its neighbour is in the part file.
    assert!(!lab.dir("some").join("payload/b").exists());
}

/// In a chain of three, each end knows the middle only; libtorrent is one of them.
fn chain(libtorrent_at: usize) {
    let lab = Lab::with_file(LENGTH * 4, &[]);
    let slow = ["--max-up", "300K", "-v"];
    let peer = |port: u16| format!("127.0.0.1:{port}");
    let flag = "--pex".to_owned();
    // The middle is the seed, so slow that the ends stay connected to it for a while.
    let (mut middle, mut first);
    let middle_port;
    if libtorrent_at == 1 {
        let client = libtorrent(&lab, lab.source(), "seed", std::slice::from_ref(&flag));
        (middle, middle_port) = (client.process, client.port);
    } else {
        (middle, middle_port) = lab.seed(&slow);
    }
    if libtorrent_at == 0 {
        let dir = lab.dir("first");
        first = libtorrent(&lab, &dir, "leech", &[flag.clone(), peer(middle_port)]).process;
    } else {
        let mut command = lab.download("first");
        command.args(["--peer", &peer(middle_port), "--max-down", "100K"]).args(slow);
        first = Process::start(&mut command);
        let connected = |line: &String| line.contains("connected (");
        wait_until("the first is connected", || first.output().iter().any(connected));
    }
    let mut last = if libtorrent_at == 2 {
        let dir = lab.dir("last");
        libtorrent(&lab, &dir, "leech", &[flag, peer(middle_port)]).process
    } else {
        let mut command = lab.download("last");
        command.args(["--peer", &peer(middle_port), "--max-down", "100K"]).args(slow);
        Process::start(&mut command)
    };
    // Whoever of ours stands at an end says that it found the other by hearsay, or was found.
    let told = |process: &mut Process| {
        let lines = process.output();
        let others = lines.iter().filter(|line| line.contains("connected (")).count();
        let pex = lines.iter().any(|line| line.contains(", named by a peer)"));
        (pex, others)
    };
    wait_until("the ends hear of each other", || {
        assert!(middle.is_alive() && first.is_alive() && last.is_alive());
        let (a, b) = (told(&mut first), told(&mut last));
        a.0 || b.0 || a.1 > 1 || b.1 > 1
    });
}

#[test]
fn peers_are_found_by_exchange_with_libtorrent_at_the_beginning() {
    chain(0);
}

#[test]
fn peers_are_found_by_exchange_with_libtorrent_in_the_middle() {
    chain(1);
}

#[test]
fn peers_are_found_by_exchange_with_libtorrent_at_the_end() {
    chain(2);
}
