//! Through proxies that people run, in a network in which everything can be reached directly as well: no packet is sent
//! so that is to go through the proxy, also while the proxy is gone.

use std::collections::BTreeMap;
use std::process::Command;

use crate::lab::{Lab, Process, trackerless};
use crate::uplinks::hindrance;

/// What `proxies.sh` counted, and what it printed.
fn run(kind: &str, flags: &[&str]) -> Option<(BTreeMap<String, u64>, Vec<String>)> {
    if let Some(why) = hindrance() {
        eprintln!("not tried here: {why}");
        return None;
    }
    let trackers = ["http://tracker.example:8080/announce", "udp://tracker.example:6969/announce"];
    let lab = Lab::with_file(1_500_003, &trackers.map(str::to_owned));
    let mut command = Command::new("unshare");
    command.args(["-rnm", "bash", concat!(env!("CARGO_MANIFEST_DIR"), "/interop/proxies.sh")]);
    command.arg(trackerless().get_program()).arg(&lab.torrent).arg(lab.source());
    command.arg(lab.dir("proxies")).arg(kind).args(flags);
    let mut process = Process::start(&mut command);
    let code = process.wait();
    let output = process.output();
    assert_eq!(code, 0, "{output:#?}");
    lab.assert_same("proxies/fetched");
    let secret = output.iter().find(|line| line.contains("secret"));
    assert_eq!(secret, None);
    let counts = output.iter().filter_map(|line| {
        let (what, packets) = line.rsplit_once(' ')?;
        Some((what.to_owned(), packets.parse().ok()?))
    });
    Some((counts.collect(), output.clone()))
}

/// What left directly.
fn direct(counts: &BTreeMap<String, u64>) -> Vec<&str> {
    let direct =
        counts.iter().filter(|(what, packets)| what.starts_with("directly: ") && **packets > 0);
    direct.map(|(what, _)| what.trim_start_matches("directly: ")).collect()
}

fn assert_arrived(counts: &BTreeMap<String, u64>, what: &[&str]) {
    for what in what {
        assert!(
            counts.get(&format!("arrived: {what}")).is_some_and(|it| *it > 0),
            "{what} {counts:?}"
        );
    }
}

fn told(output: &[String], text: &str) -> bool {
    output.iter().any(|line| line.contains(text))
}

#[test]
fn dante_carries_peers_trackers_names_and_datagrams_and_nothing_leaves_otherwise() {
    let Some((counts, output)) = run("dante", &[]) else { return };
    assert_eq!(direct(&counts), Vec::<&str>::new());
    assert_arrived(&counts, &["dns", "web", "tracker", "udp_tracker", "peer_tcp", "peer_udp"]);
    assert!(counts["to it: proxy_udp"] > 0);
    assert!(told(&output, "it cannot be reached") && told(&output, "the proxy can be used again"));
}

#[test]
fn dante_carries_utp() {
    let Some((counts, output)) = run("dante", &["--transport", "utp"]) else { return };
    assert_eq!(direct(&counts), Vec::<&str>::new());
    assert!(told(&output, "\"transport\":\"utp\"") && counts["arrived: peer_udp"] > 100);
}

#[test]
fn what_dante_is_not_for_goes_directly_and_nothing_else() {
    let peers = ["--proxy-for", "peers", "--bind", "10.1.0.2"];
    let Some((counts, _)) = run("dante", &peers) else { return };
    assert_eq!(direct(&counts), ["dns", "trackers"]);
    assert_arrived(&counts, &["tracker", "udp_tracker", "peer_tcp", "peer_udp"]);
    let trackers = ["--proxy-for", "trackers", "--no-dht", "--no-lsd"];
    let Some((counts, _)) = run("dante", &trackers) else { return };
    let directly = direct(&counts);
    assert!(directly.contains(&"peers"), "{directly:?}");
    assert!(!directly.contains(&"trackers") && !directly.contains(&"dns"), "{directly:?}");
    assert_arrived(&counts, &["dns", "web", "tracker", "udp_tracker"]);
}

#[test]
fn microsocks_is_shown_a_password_and_what_needs_udp_is_not_sent() {
    let Some((counts, output)) = run("microsocks", &["--peer", "node.example:7001"]) else {
        return;
    };
    assert_eq!(direct(&counts), Vec::<&str>::new());
    assert_arrived(&counts, &["dns", "web", "tracker", "peer_tcp"]);
    assert_eq!((counts["arrived: udp_tracker"], counts["to it: proxy_udp"]), (0, 0));
    assert!(told(&output, "it carries no UDP: no DHT, no uTP, no UDP tracker"));
}

#[test]
fn tinyproxy_connects_to_peers_and_what_needs_udp_is_not_sent() {
    let Some((counts, output)) = run("tinyproxy", &["--peer", "node.example:7001"]) else { return };
    assert_eq!(direct(&counts), Vec::<&str>::new());
    assert_arrived(&counts, &["dns", "web", "tracker", "peer_tcp"]);
    assert_eq!((counts["arrived: udp_tracker"], counts["to it: proxy_udp"]), (0, 0));
    assert!(told(&output, "carries no UDP: no DHT, no uTP and no UDP tracker is used"));
}
