//! Addresses that the user blocks: nobody there is called, asked, told or heard, whoever names them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use eddyline::filter::{Filter, FilterBuilder, Line};
use eddyline::trace::{Replayer, Trace, redact};
use eddyline::{
    CloseReason, Command, Config, Encryption, EncryptionPolicy, Engine, Notice, PeerSource,
    Transports,
};
use eddyline_sim::{Content, NodeId, PeerOptions, Tracker, UdpTracker, World};

const HTTP: &str = "http://tracker.example/announce";
const UDP: &str = "udp://tracker.example:80/announce";

fn blocking(lines: &[&str]) -> Command {
    let mut builder = FilterBuilder::default();
    for line in lines {
        assert_eq!(builder.block_line(line.as_bytes()), Line::Range);
    }
    Command::SetFilter(Arc::new(builder.build()))
}

fn connected(world: &World, node: NodeId, ip: IpAddr) -> bool {
    let there =
        |notice: &Notice| matches!(notice, Notice::PeerConnected { addr, .. } if addr.ip() == ip);
    world.node(node).notices.iter().any(there)
}

fn peers(world: &World, node: NodeId) -> Vec<IpAddr> {
    let engine: &Engine = &world.node(node).engine;
    let peers = engine.torrents().flat_map(|id| engine.peers(id));
    peers.map(|peer| peer.addr.ip()).collect()
}

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

#[test]
fn who_is_blocked_is_not_called_whoever_names_it_and_is_not_let_in() {
    let content = Content::tracked("filter", 600_000, 32_768, &[HTTP]);
    let mut world = World::new(31);
    let nodes = [0; 4].map(|_| world.add_node());
    let [node, seed, blocked, caller] = nodes;
    world.command(node, blocking(&["a list:10.0.0.3-10.0.0.4"]));
    let all: Vec<SocketAddr> = nodes.iter().map(|id| world.node(*id).addr).collect();
    world.trackers.insert(HTTP.into(), Tracker { peers: all.clone(), ..Tracker::default() });
    for id in [seed, blocked] {
        world.seed(id, &content);
    }
    // Named by the user, by the tracker and by the other peers; and one that calls.
    world.add(node, &content, PeerOptions { peers: all, ..PeerOptions::default() });
    world.leech(caller, &content, &[node]);
    world.run(1);
    for source in [PeerSource::Pex, PeerSource::Dht, PeerSource::Lsd, PeerSource::Resume] {
        let there = vec![world.node(blocked).addr];
        world.add_peers(node, there, source);
    }
    assert!(world.run_until(120, |world| world.is_complete(node)));
    world.run(60);
    assert!(connected(&world, node, ip(2)));
    assert!(!connected(&world, node, ip(3)) && !connected(&world, node, ip(4)));
    assert!(!connected(&world, caller, ip(1)));
    // Between the others nothing is changed.
    assert!(world.is_complete(caller));
}

fn swarm_of_two(seed: u64, config: &Config) -> World {
    let content = Content::new("two", 4_000_000, 32_768);
    let mut world = World::new(seed);
    let (seed, leech) = (world.add_node_with(config.clone()), world.add_node_with(config.clone()));
    world.node_mut(seed).access.up = Some(50_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world
}

#[test]
fn who_is_blocked_later_goes_at_once_and_comes_back_when_the_list_is_taken_away() {
    for (transports, policy) in [
        (Transports::Tcp, EncryptionPolicy::Disable),
        (Transports::Tcp, EncryptionPolicy::Require),
        (Transports::Utp, EncryptionPolicy::Disable),
        (Transports::Both, EncryptionPolicy::Prefer),
    ] {
        let encryption = Encryption { policy, ..Encryption::default() };
        let config = Config { transports, encryption, ..Config::default() };
        let mut world = swarm_of_two(32, &config);
        assert!(world.run_until(20, |world| !peers(world, 1).is_empty()));
        for (by, of) in [(0, 2), (1, 1)] {
            world.command(by, blocking(&[&format!("10.0.0.{of}")]));
            world.run(1);
            assert!(peers(&world, by).is_empty(), "{transports:?} {policy:?}");
            let gone = |notice: &Notice| {
                matches!(notice, Notice::PeerClosed { reason: CloseReason::Blocked, .. })
            };
            assert!(world.node(by).notices.iter().any(gone));
            world.run(300);
            assert!(peers(&world, by).is_empty(), "{transports:?} {policy:?}");
            world.command(by, Command::SetFilter(Arc::new(Filter::default())));
            let (there, here) = (world.node(1 - by).addr, world.node(by).addr);
            world.add_peers(by, vec![there], PeerSource::User);
            world.add_peers(1 - by, vec![here], PeerSource::User);
            let back = |world: &World| !peers(world, by).is_empty();
            assert!(world.run_until(600, back), "{transports:?} {policy:?}");
        }
    }
}

#[test]
fn a_connection_that_is_being_made_ends_when_its_address_is_blocked() {
    let content = Content::new("early", 500_000, 32_768);
    let mut world = World::new(33);
    let node = world.add_node();
    let silent = world.add_half_open();
    world.add(node, &content, PeerOptions { peers: vec![silent], ..PeerOptions::default() });
    world.run(2);
    assert_eq!(world.node(node).engine.stats().half_open, 1);
    world.command(node, blocking(&["0.0.0.0/0", "::/0"]));
    world.run(1);
    let stats = world.node(node).engine.stats();
    assert_eq!((stats.half_open, stats.connections), (0, 0));
}

#[test]
fn nodes_of_the_dht_that_are_blocked_are_forgotten_and_not_asked() {
    let config = Config { dht_bootstrap: vec!["10.0.0.1:6881".into()], ..Config::default() };
    let content = Content::new("dht", 500_000, 32_768);
    let mut world = World::new(34);
    world.trackerless = true;
    for _ in 0..30 {
        world.add_node_with(Config { lsd: false, ..config.clone() });
    }
    world.run(60);
    let known = |world: &World, node: NodeId| -> Vec<u8> {
        let table = world.node(node).engine.dht_node(false).unwrap().table();
        table
            .nodes()
            .map(|node| match node.addr.ip() {
                IpAddr::V4(v4) => v4.octets()[3],
                IpAddr::V6(_) => 0,
            })
            .collect()
    };
    // Every other one, but not the one by which all enter.
    let blocked = |last: &u8| *last % 2 == 1 && *last > 1;
    assert!(known(&world, 7).iter().any(blocked));
    let lines: Vec<String> =
        (2..=30).filter(blocked).map(|last| format!("10.0.0.{last}")).collect();
    world.command(7, blocking(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
    world.run(1);
    assert!(!known(&world, 7).iter().any(blocked));
    // Others name them, and they ask; the checker sees that nothing leaves for them.
    world.seed(3, &content);
    world.add_magnet(7, &content, PeerOptions::default());
    assert!(world.run_until(300, |world| world.is_complete(7)));
    world.run(900);
    let known = known(&world, 7);
    assert!(known.len() >= 4 && !known.iter().any(blocked), "{known:?}");
}

#[test]
fn a_udp_tracker_at_a_blocked_address_is_not_asked_and_the_user_is_told_why() {
    let content = Content::tracked("udp", 500_000, 32_768, &[UDP]);
    let mut world = World::new(35);
    let tracker = SocketAddr::from(([10, 9, 0, 1], 80));
    world.udp_trackers.insert(tracker, UdpTracker::default());
    world.names.insert("tracker.example".into(), vec![tracker.ip()]);
    let node = world.add_node();
    world.command(node, blocking(&["10.9.0.0/16"]));
    world.seed(node, &content);
    world.run(30);
    let told = |notice: &Notice| match notice {
        Notice::TrackerFailed { error, .. } => error.contains("blocked by the filter"),
        _ => false,
    };
    assert!(world.node(node).notices.iter().any(told));
    assert!(!world.node(node).notices.iter().any(|n| matches!(n, Notice::TrackerReplied { .. })));
}

#[test]
fn a_run_with_a_filter_replays_to_the_byte_and_without_names_too() {
    let content = Content::new("traced", 4_000_000, 32_768);
    let mut world = World::new(36);
    let nodes = [0; 4].map(|_| world.add_node());
    let [seed, node, other, blocked] = nodes;
    world.node_mut(node).record();
    for id in nodes {
        world.node_mut(id).access.up = Some(50_000);
    }
    for id in [seed, blocked] {
        world.seed(id, &content);
    }
    let lines: Vec<String> =
        (0..2000).map(|n| format!("20.{}.{}.0/25", n / 250, n % 250)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).chain(["10.0.0.4"]).collect();
    world.command(node, blocking(&lines));
    world.leech(node, &content, &[seed, blocked]);
    world.leech(other, &content, &[node, blocked]);
    assert!(world.run_until(60, |world| peers(world, node).len() == 2));
    // Another list comes, on which a peer is.
    world.command(node, blocking(&["10.0.0.3", "10.0.0.4"]));
    world.run(60);
    let trace = Trace::parse(world.node_mut(node).trace()).unwrap();
    let redacted = redact(&trace).unwrap();
    let told = String::from_utf8_lossy(&redacted.trace).into_owned();
    assert!(!told.contains("10.0.0.4"));
    assert_eq!(redacted.differences, []);
    for trace in [trace, Trace::parse(redacted.trace.into()).unwrap()] {
        let mut replayer = Replayer::new(trace).unwrap();
        let mut closed = 0;
        while let Some(outcome) = replayer.forward().unwrap() {
            outcome.same().unwrap();
            closed += replayer
                .last()
                .unwrap()
                .actions
                .iter()
                .filter(|action| format!("{action:?}").contains("reason: Blocked"))
                .count();
        }
        assert_eq!(closed, 1);
    }
}
