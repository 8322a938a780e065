//! Whole engines over µTP: downloads through bad weather, which transport is spoken with whom, and strangers.

mod mixed_mode;
mod strangers;

use std::time::Duration;

use eddyline::trace::{Replayer, Trace, redact};
use eddyline::{
    Config, Encryption, EncryptionLevel, EncryptionMethod, EncryptionPolicy, Notice, RateLimits,
    Transport, Transports,
};
use eddyline_sim::{Content, LargeSwarm, NodeId, PeerOptions, Weather, World};

fn config(transports: Transports) -> Config {
    Config { transports, ..Config::default() }
}

fn strict(transports: Transports) -> Config {
    let (policy, level) = (EncryptionPolicy::Require, EncryptionLevel::Rc4);
    Config { encryption: Encryption { policy, level }, ..config(transports) }
}

fn content() -> Content {
    Content::new("packets", 900_000, 32_768)
}

/// How the connection of a node came about that came about last.
fn came_about(world: &World, node: NodeId) -> Option<(Transport, Option<EncryptionMethod>)> {
    world.node(node).notices.iter().rev().find_map(|notice| match notice {
        Notice::PeerConnected { transport, encryption, .. } => Some((*transport, *encryption)),
        _ => None,
    })
}

/// A seed and a leecher that fetches all of it.
fn fetch(world: &mut World, seed: Config, leech: Config, content: &Content) -> (NodeId, NodeId) {
    let (seed, leech) = (world.add_node_with(seed), world.add_node_with(leech));
    world.seed(seed, content);
    world.leech(leech, content, &[seed]);
    assert!(world.run_until(120, |world| world.is_complete(leech)), "it completes");
    let torrent = world.torrent(leech);
    assert_eq!(world.node(leech).disk.content(torrent).unwrap(), content.bytes);
    (seed, leech)
}

#[test]
fn a_download_over_utp_completes_in_bad_weather() {
    for loss in [0, 20] {
        let mut world = World::new(31 + u64::from(loss));
        world.weather =
            Weather { loss, doubled: loss, jitter: Duration::from_millis(3), ..Weather::default() };
        let utp = config(Transports::Utp);
        let (seed, leech) = fetch(&mut world, utp.clone(), utp, &content());
        assert_eq!(came_about(&world, leech), Some((Transport::Utp, None)));
        assert_eq!(came_about(&world, seed), Some((Transport::Utp, None)));
    }
}

#[test]
fn both_ends_of_a_connection_over_utp_fetch_from_the_other() {
    let content = Content::new("halves", 600_000, 32_768);
    let mut world = World::new(33);
    world.weather.loss = 10;
    let utp = config(Transports::Utp);
    let (seed, one) = (world.add_node_with(utp.clone()), world.add_node_with(utp.clone()));
    let other = world.add_node_with(utp);
    world.seed(seed, &content);
    world.leech(one, &content, &[seed]);
    world.leech(other, &content, &[seed, one]);
    let both = |world: &World| world.is_complete(one) && world.is_complete(other);
    assert!(world.run_until(120, both));
}

#[test]
fn a_magnet_completes_over_utp_where_everybody_requires_encryption() {
    let content = content();
    let mut world = World::new(34);
    world.weather.loss = 10;
    let (seed, leech) = (
        world.add_node_with(strict(Transports::Utp)),
        world.add_node_with(strict(Transports::Utp)),
    );
    world.seed(seed, &content);
    let peers = vec![world.node(seed).addr];
    world.add_magnet(leech, &content, PeerOptions { peers, ..PeerOptions::default() });
    assert!(world.run_until(120, |world| world.is_complete(leech)));
    assert_eq!(came_about(&world, leech), Some((Transport::Utp, Some(EncryptionMethod::Rc4))));
}

#[test]
fn a_path_that_carries_less_than_is_usual_carries_a_download() {
    let mut world = World::new(35);
    world.mtu = 1_280;
    let utp = config(Transports::Utp);
    fetch(&mut world, utp.clone(), utp, &content());
}

/// What is under way is held by the window that the receiver tells, and that follows the path: 5 MB/s and a round trip
/// of 200 ms are a megabyte.
#[test]
fn a_long_path_is_filled_over_utp() {
    let content = Content::new("long", 40 << 20, 1 << 18);
    let mut world = World::new(45);
    world.watch = false;
    world.splits = false;
    world.weather.latency = Duration::from_millis(100);
    let utp = config(Transports::Utp);
    let (seed, leech) = (world.add_node_with(utp.clone()), world.add_node_with(utp));
    world.node_mut(seed).access.up = Some(5_000_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let began = world.now();
    assert!(world.run_until(120, |world| world.is_complete(leech)));
    let seconds = world.now().since(began).as_secs();
    assert!(seconds <= 14, "{seconds} s, 8.4 are possible");
}

#[test]
fn each_pair_of_transports_finds_what_both_speak() {
    use Transports::{Both, Tcp, Utp};
    for (seed, leech, expected) in [
        (Both, Both, Transport::Tcp),
        (Tcp, Both, Transport::Tcp),
        (Both, Tcp, Transport::Tcp),
        (Utp, Both, Transport::Utp),
        (Both, Utp, Transport::Utp),
    ] {
        let mut world = World::new(36);
        let (_, leech) = fetch(&mut world, config(seed), config(leech), &content());
        assert_eq!(came_about(&world, leech).map(|(transport, _)| transport), Some(expected));
    }
}

#[test]
fn two_that_share_no_transport_leave_each_other_alone() {
    let content = content();
    let mut world = World::new(37);
    let seed = world.add_node_with(config(Transports::Tcp));
    let leech = world.add_node_with(config(Transports::Utp));
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(60);
    assert_eq!(came_about(&world, leech), None);
}

/// The transport that worked is called first the next time: at once, not after a moment.
#[test]
fn the_transport_that_worked_is_remembered() {
    let content = content();
    let mut world = World::new(38);
    let seed = world.add_node_with(config(Transports::Both));
    let leech = world.add_node_with(config(Transports::Both));
    world.node_mut(seed).hears_tcp = false;
    world.node_mut(seed).access.up = Some(100_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let start = world.now();
    assert!(world.run_until(5, |world| came_about(world, leech).is_some()));
    assert_eq!(came_about(&world, leech).map(|(it, _)| it), Some(Transport::Utp));
    assert!(world.now().since(start) < Duration::from_secs(1), "silence costs a moment");
    world.crash(seed);
    let again = |world: &World| {
        let connected = |n: &&Notice| matches!(n, Notice::PeerConnected { .. });
        world.node(leech).notices.iter().filter(connected).count() == 2
    };
    assert!(world.run_until(120, again));
    assert_eq!(world.node(leech).tcp_calls, 1);
}

fn replay(trace: Trace) -> Replayer {
    let mut replayer = Replayer::new(trace).unwrap();
    while let Some(outcome) = replayer.forward().unwrap() {
        outcome.same().unwrap_or_else(|divergence| panic!("{divergence:?}"));
    }
    replayer
}

/// An address that spoke µTP and does not any more is called with TCP a moment later.
#[test]
fn a_peer_that_is_silent_over_utp_costs_a_moment() {
    let content = content();
    let mut world = World::new(42);
    let seed = world.add_node_with(config(Transports::Both));
    let leech = world.add_node_with(config(Transports::Both));
    world.node_mut(seed).hears_tcp = false;
    world.node_mut(seed).access.up = Some(100_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    assert!(world.run_until(5, |world| came_about(world, leech).is_some()));
    world.node_mut(seed).hears_tcp = true;
    world.node_mut(seed).hears_utp = false;
    world.crash(seed);
    let by_tcp = |world: &World| came_about(world, leech).is_some_and(|it| it.0 == Transport::Tcp);
    assert!(world.run_until(120, by_tcp));
    // It was called over µTP first.
    assert_eq!(world.node(leech).tcp_calls, 2);
}

/// Seconds that a download of 900 kB takes under a limit of 100 kB/s on one side.
fn limited(transports: Transports, limit_utp: bool, up: bool) -> u64 {
    let content = content();
    let mut world = World::new(44);
    let ours = Config { limit_utp, ..config(transports) };
    let (seed, leech) = (world.add_node_with(ours.clone()), world.add_node_with(ours));
    let limit = Some(100_000);
    let limits = RateLimits { up: limit.filter(|_| up), down: limit.filter(|_| !up) };
    let peers = vec![world.node(seed).addr];
    let has_content = true;
    world.add(seed, &content, PeerOptions { limits, has_content, ..PeerOptions::default() });
    world.add(leech, &content, PeerOptions { limits, peers, ..PeerOptions::default() });
    let began = world.now();
    assert!(world.run_until(120, |world| world.is_complete(leech)));
    world.now().since(began).as_secs()
}

#[test]
fn limits_hold_over_utp_unless_they_are_for_tcp_alone() {
    for up in [false, true] {
        assert!(limited(Transports::Utp, true, up) >= 6);
        assert!(limited(Transports::Utp, false, up) <= 3);
        assert!(limited(Transports::Tcp, false, up) >= 6);
    }
}

/// Some take a connection of TCP and speak µTP alone.
#[test]
fn who_hangs_up_over_tcp_before_the_handshake_is_called_over_utp() {
    let content = content();
    for encryption in [Encryption::default(), Encryption::PREFERRED] {
        let mut world = World::new(43);
        let seed = world.add_node_with(config(Transports::Utp));
        let leech = world.add_node_with(Config { encryption, ..config(Transports::Both) });
        world.node_mut(seed).takes_tcp = true;
        world.seed(seed, &content);
        world.leech(leech, &content, &[seed]);
        assert!(world.run_until(60, |world| world.is_complete(leech)));
        assert_eq!(came_about(&world, leech).map(|it| it.0), Some(Transport::Utp));
    }
}

#[test]
fn an_address_that_does_not_answer_over_utp_is_told_as_called_so() {
    for transports in [Transports::Utp, Transports::Tcp] {
        let mut world = World::new(46);
        let seed = world.add_node_with(config(Transports::Both));
        let leech = world.add_node_with(config(transports));
        world.node_mut(seed).hears_tcp = false;
        world.node_mut(seed).hears_utp = false;
        world.leech(leech, &content(), &[seed]);
        let closed = |world: &World| {
            world.node(leech).notices.iter().find_map(|notice| match notice {
                Notice::PeerClosed { transport, .. } => Some(*transport),
                _ => None,
            })
        };
        assert!(world.run_until(60, |world| closed(world).is_some()));
        let called = transports.include(Transport::Utp);
        assert_eq!(closed(&world), Some(if called { Transport::Utp } else { Transport::Tcp }));
    }
}

#[test]
fn a_run_over_utp_replays_from_its_trace_which_holds_no_content() {
    let content = Content::new("recorded", 16 << 20, 1 << 20);
    let mut world = World::new(39);
    world.splits = false;
    world.quantum = Duration::from_millis(2);
    let utp = config(Transports::Utp);
    let (seed, leech) = (world.add_node_with(utp.clone()), world.add_node_with(utp));
    world.node_mut(leech).record();
    world.node_mut(seed).record();
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    assert!(world.run_until(120, |world| world.is_complete(leech)));
    for node in [seed, leech] {
        let bytes = world.node_mut(node).trace();
        let per_mille = bytes.len() * 1000 / content.bytes.len();
        eprintln!("trace of node {node}: {} bytes, {per_mille} in a thousand", bytes.len());
        assert!(node == seed || bytes.len() * 200 < content.bytes.len(), "{} bytes", bytes.len());
        let trace = Trace::parse(bytes.clone()).unwrap();
        let redacted = redact(&trace).unwrap();
        assert!(redacted.differences.is_empty(), "{:?}", redacted.differences);
        assert!(redacted.trace.len() < 2 * bytes.len(), "{} bytes", redacted.trace.len());
        replay(Trace::parse(redacted.trace.into()).unwrap());
        let replayer = replay(trace);
        assert_eq!(replayer.engine().state_digest(), world.node(node).engine.state_digest());
    }
}

#[test]
fn the_same_seed_gives_the_same_run_over_utp() {
    let run = || {
        let mut world = World::new(40);
        world.weather.loss = 15;
        let utp = config(Transports::Both);
        let (seed, leech) = fetch(&mut world, config(Transports::Utp), utp, &content());
        (world.node(seed).digest(), world.node(leech).digest(), world.now())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_swarm_of_many_engines_completes_over_utp_with_loss() {
    let swarm = LargeSwarm {
        seed: 5,
        engines: 100,
        size: 2 << 20,
        check: false,
        transports: Transports::Utp,
    };
    let report = swarm.run().unwrap_or_else(|verdict| panic!("{verdict:?}"));
    eprintln!("{report:?}");
}

/// What a peer says of others is believed as far as to call them so first.
#[test]
fn who_is_told_that_a_peer_speaks_utp_calls_it_so_first() {
    let content = Content::new("told", 3_000_000, 32_768);
    let mut world = World::new(41);
    let utp = config(Transports::Utp);
    let (seed, teller) = (world.add_node_with(utp.clone()), world.add_node_with(utp));
    let told = world.add_node_with(config(Transports::Both));
    for node in [seed, teller] {
        world.node_mut(node).access.up = Some(20_000);
    }
    world.seed(seed, &content);
    world.leech(teller, &content, &[seed]);
    world.run(10);
    world.leech(told, &content, &[teller]);
    let knows_both = |world: &World| {
        let torrent = world.torrent(told);
        world.node(told).engine.peers(torrent).len() == 2
    };
    assert!(world.run_until(200, knows_both));
    // The one that the user named, which refused.
    assert_eq!(world.node(told).tcp_calls, 1);
}
