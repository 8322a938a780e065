//! Several clients in one swarm.

use crate::clients::{aria2, libtorrent, transmission};
use crate::lab::{Lab, Process, wait_until};
use crate::recording_tracker::RecordingTracker;

#[test]
fn six_clients_in_one_swarm_all_finish_and_ours_upload() {
    let tracker = RecordingTracker::start("/announce");
    let lab = Lab::with_file(30_000_000, std::slice::from_ref(&tracker.url));
    // Slow enough that the leechers must trade.
    let (_seed, _) = lab.seed(&["--max-up", "6M"]);
    wait_until("the seed is known", || !tracker.announces().is_empty());
    let ours: Vec<Process> = ["ours-1", "ours-2"]
        .iter()
        .map(|name| {
            let mut command = lab.download(name);
            Process::start(command.args(["--json", "--seed-time", "60s"]))
        })
        .collect();
    let mut others = [
        libtorrent(&lab, &lab.dir("lt"), "leech", &[]),
        transmission(&lab, &lab.dir("tr"), false),
        aria2(&lab, &lab.dir("a2"), false),
    ];
    others.iter_mut().for_each(crate::clients::Client::wait_done);
    let mut uploaded = Vec::new();
    for mut process in ours {
        while !process.wait_for("{").contains("\"complete\"") {}
        process.signal("-INT");
        assert_eq!(process.wait(), 0, "a complete download is a success, however it ends");
        let _ = process.output();
        uploaded.push(process);
    }
    for name in ["ours-1", "ours-2", "lt", "tr", "a2"] {
        lab.assert_same(name);
    }
    // The last thing each of ours told the tracker is how much it gave away.
    let announces = tracker.announces();
    let total: u64 = announces
        .iter()
        .filter(|a| a.get("event") == "stopped" && a.get("peer_id").starts_with("-ED"))
        .map(|a| a.get("uploaded").parse::<u64>().unwrap())
        .sum();
    assert!(total > 0, "ours uploaded nothing");
}
