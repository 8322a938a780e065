//! `eddyline session`: torrents that are kept from run to run, and from kill to kill.

use std::process::Command;

use crate::clients::libtorrent;
use crate::lab::{Lab, Process, eddyline, succeed, wait_until};
use crate::recording_tracker::RecordingTracker;

fn session(lab: &Lab, words: &[&str]) -> Command {
    let mut command = eddyline();
    command.arg("session").args(words).arg("--state-dir").arg(lab.dir("state"));
    command
}

fn listed(lab: &Lab) -> serde_json::Value {
    let output = succeed(&mut session(lab, &["list", "--json"]));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn add(lab: &Lab, source: &str, dir: &str) {
    let dir = lab.dir(dir);
    succeed(&mut session(lab, &["add", source, "--dir", dir.to_str().unwrap()]));
}

#[test]
fn torrents_of_a_session_survive_kills_and_complete() {
    let lab = Lab::with_file(8_000_003, &[]);
    let seed = libtorrent(&lab, lab.source(), "seed", &[]);
    let peer = format!("127.0.0.1:{}", seed.port);
    add(&lab, &lab.magnet(), "fetched");
    let run = |lab: &Lab| {
        let words =
            ["run", "--port", "0", "--peer", &peer, "--max-down", "3M", "-v", "--no-trackers"];
        Process::start(&mut session(lab, &words))
    };
    let target = lab.dir("fetched").join("payload.bin");
    // Blocks on the disk, as files grow out of order.
    let stored = || {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(&target).map_or(0, |found| found.blocks() * 512)
    };
    for part in [2_000_000, 5_000_000] {
        let mut running = run(&lab);
        wait_until("some pieces are here", || stored() > part);
        running.signal("-KILL");
        running.wait();
        let list = listed(&lab);
        assert_eq!(list[0]["name"], "payload.bin", "the magnet's metadata is kept");
    }
    let mut running = run(&lab);
    wait_until("all is here", || {
        std::fs::read(&target).is_ok_and(|bytes| bytes == std::fs::read(&lab.payload).unwrap())
    });
    running.signal("-INT");
    assert_eq!(running.wait(), 0, "{:#?}", running.output());
    lab.assert_same("fetched");
    let list = listed(&lab);
    assert_eq!(list[0]["good"], list[0]["pieces"]);
}

#[test]
fn a_second_process_lists_a_running_session_and_is_told_who_holds_it() {
    let lab = Lab::with_file(100_000, &[]);
    add(&lab, lab.torrent.to_str().unwrap(), "one");
    let mut running = Process::start(&mut session(&lab, &["run", "--port", "0", "--no-trackers"]));
    running.wait_for("READY");
    assert_eq!(listed(&lab)[0]["name"], "payload.bin");
    let output = session(&lab, &["pause", "payload.bin"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("(eddyline session run)"));
}

#[test]
fn what_is_removed_with_its_data_leaves_nothing_and_touches_nothing_else() {
    let lab = Lab::with_file(100_000, &[]);
    let copy = lab.dir("copy");
    std::fs::copy(&lab.payload, copy.join("payload.bin")).unwrap();
    std::fs::write(copy.join("mine"), "x").unwrap();
    add(&lab, lab.torrent.to_str().unwrap(), "copy");
    let mut running = Process::start(&mut session(&lab, &["run", "--port", "0", "--no-trackers"]));
    running.wait_for("READY");
    // What is there is looked at first; only then it is on record as ours.
    let records = || std::fs::read_dir(lab.dir("state").join("resume")).map_or(0, Iterator::count);
    wait_until("it is on record", || records() == 1);
    running.signal("-INT");
    assert_eq!(running.wait(), 0);
    let hash = listed(&lab)[0]["hash"].as_str().unwrap().to_owned();
    succeed(&mut session(&lab, &["pause", &hash[..8]]));
    assert_eq!(listed(&lab)[0]["paused"], true);
    succeed(&mut session(&lab, &["remove", &hash[..8], "--with-data"]));
    assert_eq!(listed(&lab), serde_json::json!([]));
    let left: Vec<_> = std::fs::read_dir(&copy).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["mine"]);
    assert_eq!(records(), 0);
}

/// A session with one complete torrent that its last run has left.
fn complete_session(lab: &Lab) -> String {
    let folder = lab.dir("there");
    std::fs::copy(&lab.payload, folder.join("payload.bin")).unwrap();
    add(lab, lab.torrent.to_str().unwrap(), "there");
    let (mut running, _) = run_alone(lab, &[]);
    wait_until("it is on record", || {
        std::fs::read_dir(lab.dir("state").join("resume")).is_ok_and(|mut all| all.next().is_some())
    });
    running.signal("-INT");
    assert_eq!(running.wait(), 0);
    listed(lab)[0]["hash"].as_str().unwrap().to_owned()
}

/// A session at work, and its port.
fn run_alone(lab: &Lab, more: &[&str]) -> (Process, u16) {
    let words = ["run", "--port", "0", "--bind", "127.0.0.1", "--no-dht", "--no-lsd"];
    let mut running = Process::start(session(lab, &words).args(more));
    let ready = running.wait_for("READY ");
    let port = ready.trim_start_matches("READY ").trim().parse().unwrap();
    (running, port)
}

#[test]
fn what_is_complete_stands_by_is_announced_and_served_when_libtorrent_comes() {
    let tracker = RecordingTracker::start("/announce");
    let lab = Lab::with_file(3_000_000, std::slice::from_ref(&tracker.url));
    complete_session(&lab);
    let before = tracker.announces().len();
    let (mut running, port) = run_alone(&lab, &[]);
    wait_until("it is announced", || tracker.announces().len() > before);
    let peer = format!("127.0.0.1:{}", port);
    libtorrent(&lab, &lab.dir("leech"), "leech", &[peer]).wait_done();
    lab.assert_same("leech");
    running.signal("-INT");
    assert_eq!(running.wait(), 0);
}

#[test]
fn data_that_moves_and_gets_other_names_is_served_from_where_it_is() {
    let lab = Lab::with_file(3_000_000, &[]);
    let hash = complete_session(&lab);
    let away = lab.dir("away");
    succeed(&mut session(&lab, &["rename", &hash[..8], "renamed.bin"]));
    assert!(lab.dir("there").join("renamed.bin").exists());
    succeed(&mut session(&lab, &["move", &hash[..8], "--to", away.to_str().unwrap()]));
    assert_eq!(std::fs::read_dir(lab.dir("there")).unwrap().count(), 0);
    let moved = std::fs::read(away.join("renamed.bin")).unwrap();
    assert!(moved == std::fs::read(&lab.payload).unwrap());
    let (mut running, port) = run_alone(&lab, &["--no-trackers"]);
    let peer = format!("127.0.0.1:{}", port);
    libtorrent(&lab, &lab.dir("leech"), "leech", &[peer]).wait_done();
    lab.assert_same("leech");
    running.signal("-INT");
    assert_eq!(running.wait(), 0);
    succeed(&mut session(&lab, &["remove", &hash[..8], "--with-data"]));
    assert_eq!(std::fs::read_dir(&away).unwrap().count(), 0);
}

#[test]
fn a_move_that_is_killed_loses_nothing_and_goes_on_with_the_next_run() {
    let lab = Lab::with_file(60_000_000, &[]);
    let hash = complete_session(&lab);
    let away = lab.dir("away");
    let target = away.join("payload.bin");
    for _ in 0..3 {
        let words = ["move", &hash[..8], "--to", away.to_str().unwrap()];
        let mut moving = Process::start(&mut session(&lab, &words));
        wait_until("something is copied, or all is done", || {
            std::fs::read_dir(&away).is_ok_and(|mut all| all.next().is_some()) || !moving.is_alive()
        });
        moving.signal("-KILL");
        moving.wait();
    }
    let (mut running, port) = run_alone(&lab, &["--no-trackers"]);
    wait_until("the move is done", || {
        std::fs::metadata(&target).is_ok_and(|found| found.len() == 60_000_000)
            && !lab.dir("there").join("payload.bin").exists()
    });
    let peer = format!("127.0.0.1:{}", port);
    libtorrent(&lab, &lab.dir("leech"), "leech", &[peer]).wait_done();
    lab.assert_same("leech");
    running.signal("-INT");
    assert_eq!(running.wait(), 0);
    assert!(std::fs::read(&target).unwrap() == std::fs::read(&lab.payload).unwrap());
}
