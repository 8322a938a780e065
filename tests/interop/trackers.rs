//! Real trackers, and what exactly we tell a scripted one.

use std::process::Command;

use crate::lab::{Lab, Process, free_port, succeed, wait_until};
use crate::recording_tracker::RecordingTracker;

/// Starts opentracker on `port` for the torrent of `lab`. Debian's build serves only torrents on a
/// list, which it reads after it has given up its privileges.
fn opentracker(lab: &Lab, port: u16) -> Process {
    let info = succeed(crate::lab::eddyline().arg("info").arg("--json").arg(&lab.torrent)).stdout;
    let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
    let list = lab.dir("opentracker").join("whitelist");
    std::fs::write(&list, format!("{}\n", info["info_hash_v1"].as_str().unwrap())).unwrap();
    let open: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    for folder in list.ancestors().skip(1).take(2) {
        std::fs::set_permissions(folder, open.clone()).unwrap();
    }
    let mut command = Command::new("opentracker");
    command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-P", &port.to_string()]);
    let tracker = Process::start(command.arg("-w").arg(&list));
    wait_until("opentracker listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    tracker
}

/// Starts a seed, and waits until it has told of an answer of the tracker at `url`.
fn seed_that_an_answer_has_reached(lab: &Lab, url: &str) -> Process {
    let mut command = crate::lab::eddyline();
    command.arg("seed").arg(&lab.torrent).arg("--dir").arg(lab.source());
    command.args(["--port", "0", "--json"]).arg("--state-dir").arg(lab.dir("state-seed"));
    let mut seed = Process::start(&mut command);
    loop {
        let line = seed.wait_for("{");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        if event["event"] == "tracker" && event["url"] == url && event["peers"].is_u64() {
            return seed;
        }
    }
}

fn find_each_other(scheme: &str) {
    let port = free_port();
    let url = format!("{scheme}://127.0.0.1:{port}/announce");
    let lab = Lab::with_file(5_000_000, std::slice::from_ref(&url));
    let _tracker = opentracker(&lab, port);
    let _seed = seed_that_an_answer_has_reached(&lab, &url);
    let mut download = Process::start(&mut lab.download("fetched"));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");
}

#[test]
fn peers_find_each_other_by_opentracker_over_http() {
    find_each_other("http");
}

#[test]
fn peers_find_each_other_by_opentracker_over_udp() {
    find_each_other("udp");
}

#[test]
fn a_whole_download_announces_started_completed_and_stopped_once_each() {
    let tracker = RecordingTracker::start("/secret%2Fkey/announce?pass=a%20b");
    // Named by the user: a torrent may name no tracker of this machine with a query.
    let lab = Lab::with_file(5_000_000, &[]);
    let (_seed, port) = lab.seed(&["--no-trackers"]);
    tracker.name_peer(port);
    let mut download = Process::start(lab.download("fetched").args(["--tracker", &tracker.url]));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    assert_eq!(tracker.events(), ["started", "completed", "stopped"]);
    let all = tracker.announces();
    let first = &all[0];
    assert!(first.line.starts_with("/secret%2Fkey/announce?pass=a%20b&info_hash="), "{first:?}");
    assert_eq!((first.get("left"), first.get("downloaded")), ("5000000", "0"));
    assert_eq!(first.get("compact"), "1");
    assert_eq!(first.get("key").len(), 8);
    assert!(all.iter().all(|announce| announce.get("key") == first.get("key")));
    assert!(all.iter().all(|announce| announce.get("peer_id") == first.get("peer_id")));
    assert!(all[1..].iter().all(|announce| announce.get("trackerid") == "t%201"));
    let last = &all[2];
    assert_eq!((last.get("left"), last.get("numwant")), ("0", "0"));
    assert!(last.get("downloaded").parse::<u64>().unwrap() >= 5_000_000);
}

#[test]
fn sigint_says_stopped_and_not_completed() {
    let tracker = RecordingTracker::start("/announce");
    let lab = Lab::with_file(5_000_000, std::slice::from_ref(&tracker.url));
    // Whoever calls this peer has read the answer to `started`, without which no `stopped` is due.
    let named = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    named.set_nonblocking(true).unwrap();
    tracker.name_peer(named.local_addr().unwrap().port());
    let mut download = Process::start(&mut lab.download("fetched"));
    wait_until("the peer that the tracker names is called", || named.accept().is_ok());
    download.signal("-INT");
    assert_eq!(download.wait(), 130);
    assert_eq!(tracker.events(), ["started", "stopped"]);
}

#[test]
fn a_seed_beside_a_dead_tracker_says_started_and_stopped_and_never_completed() {
    let tracker = RecordingTracker::start("/announce");
    let dead = format!("http://127.0.0.1:{}/announce", free_port());
    let lab = Lab::with_file(1_000_000, &[dead, tracker.url.clone()]);
    let mut seed = seed_that_an_answer_has_reached(&lab, &tracker.url);
    seed.signal("-TERM");
    assert_eq!(seed.wait(), 0);
    assert_eq!(tracker.events(), ["started", "stopped"]);
}

#[test]
fn nothing_is_announced_with_no_trackers() {
    let tracker = RecordingTracker::start("/announce");
    let lab = Lab::with_file(100_000, std::slice::from_ref(&tracker.url));
    let (_seed, port) = lab.seed(&["--no-trackers"]);
    let mut command = lab.download("fetched");
    command.args(["--no-trackers", "--peer", &format!("127.0.0.1:{port}")]);
    assert_eq!(Process::start(&mut command).wait(), 0);
    assert!(tracker.announces().is_empty());
}
