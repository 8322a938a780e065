//! Several engines: trading, slots, duplicate connections.

use std::time::Duration;

use eddyline::{CloseReason, Config, FilePriority, Notice, Priority, TorrentCommand, Transports};
use eddyline_sim::{Content, World};

#[test]
fn leechers_trade_and_the_seed_gives_little_more_than_two_copies() {
    let content = Content::new("swarm", 8_000_000, 65_536);
    let mut world = World::new(11);
    let nodes: Vec<_> = (0..8).map(|_| world.add_node()).collect();
    for node in &nodes {
        world.node_mut(*node).access.up = Some(1_000_000);
    }
    world.seed(0, &content);
    for node in &nodes[1..] {
        world.leech(*node, &content, &nodes[..*node]);
    }
    let start = world.now();
    assert!(world.run_until(600, |w| (1..8).all(|node| w.is_complete(node))));
    let torrent = world.torrent(0);
    let given = world.node(0).engine.torrent(torrent).unwrap().uploaded;
    let seconds = world.now().since(start).as_secs();
    assert!(given < 3 * 8_000_000, "the seed gave {given}");
    // One after the other from the seed would take 56 seconds.
    assert!(seconds < 35, "{seconds} s");
}

#[test]
fn two_that_connect_to_each_other_keep_one_connection() {
    let content = Content::new("pair", 30_000_000, 65_536);
    let mut world = World::new(12);
    let (a, b) = (world.add_node(), world.add_node());
    world.node_mut(a).access.up = Some(500_000);
    world.seed(a, &content);
    world.leech(b, &content, &[a]);
    assert!(world.run_until(1, |world| !world.node(b).torrents().is_empty()));
    world.introduce(a, world.node(b).addr);
    world.run(10);
    let peers = |node| world.node(node).engine.peers(world.torrent(node)).len();
    assert_eq!((peers(a), peers(b)), (1, 1));
}

#[test]
fn an_engine_does_not_talk_to_itself() {
    let content = Content::new("self", 100_000, 16_384);
    let mut world = World::new(13);
    let node = world.add_node();
    world.leech(node, &content, &[node]);
    world.run(120);
    let torrent = world.torrent(node);
    assert!(world.node(node).engine.peers(torrent).is_empty());
    let stats = world.node(node).engine.stats();
    assert_eq!((stats.connections, stats.violations), (0, 0));
}

#[test]
fn an_address_that_turns_out_to_be_our_own_is_called_once() {
    for transports in [Transports::Tcp, Transports::Utp, Transports::Both] {
        let content = Content::new("self", 100_000, 16_384);
        let mut world = World::new(15);
        let node = world.add_node_with(Config { transports, ..Config::default() });
        world.leech(node, &content, &[node]);
        world.run(600);
        let notices = &world.node(node).notices;
        let closed = notices.iter().filter_map(|notice| match notice {
            Notice::PeerClosed { reason, .. } => Some(*reason),
            _ => None,
        });
        // Of both ends of one connection.
        let closed: Vec<CloseReason> = closed.collect();
        let expected = [CloseReason::Ourselves; 2];
        assert!(!closed.is_empty() && expected.starts_with(&closed), "{transports:?}: {closed:?}");
    }
}

#[test]
fn seeds_do_not_keep_connections_to_seeds() {
    let content = Content::new("seeds", 500_000, 16_384);
    let mut world = World::new(14);
    let nodes: Vec<_> = (0..3).map(|_| world.add_node()).collect();
    world.seed(0, &content);
    world.leech(1, &content, &nodes[..1]);
    world.leech(2, &content, &nodes[..2]);
    assert!(world.run_until(120, |world| world.is_complete(1) && world.is_complete(2)));
    world.run(30);
    for node in nodes {
        assert_eq!(world.node(node).engine.stats().connections, 0, "node {node}");
    }
}

/// A seed that was left, for both had everything, is of use again when more is wanted. But one that
/// has failed since then waits for that like any other.
#[test]
fn who_failed_a_moment_ago_is_not_recalled_when_more_is_wanted() {
    let content = Content::with_files("recall", &[100_000, 100_000], 16_384, &[]);
    let mut world = World::new(18);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let priority = |world: &mut World, priority| {
        let torrent = world.torrent(leech);
        let change = vec![FilePriority { file: 1, priority }];
        world.command(leech, TorrentCommand::SetPriorities(change).of(torrent));
    };
    assert!(world.run_until(1, |world| !world.node(leech).torrents().is_empty()));
    priority(&mut world, Priority::Skip);
    world.run(30);
    let left =
        |n: &Notice| matches!(n, Notice::PeerClosed { reason: CloseReason::BothComplete, .. });
    assert!(world.node(leech).notices.iter().any(left), "both have what they want");
    let torrent = world.torrent(seed);
    world.command(seed, TorrentCommand::Pause.of(torrent));
    world.jump_clock(leech, Duration::from_secs(1800));
    // It is tried again and refuses; three seconds later more is wanted. The checker of politeness
    // looks at what is done then.
    world.run(3);
    priority(&mut world, Priority::Normal);
    world.run(3);
    world.command(seed, TorrentCommand::Resume.of(torrent));
    assert!(world.run_until(60, |world| world.is_complete(leech)));
}

#[test]
fn slots_are_bounded_and_everyone_gets_a_turn() {
    let content = Content::new("slots", 3_000_000, 16_384);
    let mut world = World::new(15);
    let config = Config { unchoke_slots: Some(2), ..Config::default() };
    let seed = world.add_node_with(config);
    world.node_mut(seed).access.up = Some(400_000);
    world.seed(seed, &content);
    let leechers: Vec<_> = (0..6).map(|_| world.add_node()).collect();
    for node in &leechers {
        // They know the seed alone and cannot help each other.
        world.leech(*node, &content, &[seed]);
    }
    for _ in 0..60 {
        world.run(2);
        assert!(world.node(seed).engine.stats().unchoked <= 2);
    }
    assert!(world.run_until(600, |w| leechers.iter().all(|node| w.is_complete(*node))));
}

#[test]
fn connection_limits_hold() {
    let content = Content::new("limits", 20_000_000, 65_536);
    let mut world = World::new(16);
    let config = Config { max_connections_per_torrent: 3, ..Config::default() };
    let seed = world.add_node_with(config);
    world.node_mut(seed).access.up = Some(100_000);
    world.seed(seed, &content);
    for _ in 0..8 {
        let node = world.add_node();
        world.leech(node, &content, &[seed]);
    }
    for _ in 0..20 {
        world.run(1);
        let torrent = world.torrent(seed);
        assert!(world.node(seed).engine.peers(torrent).len() <= 3);
    }
}

#[test]
fn many_torrents_in_one_engine_do_not_mix() {
    let contents: Vec<_> =
        (0..5).map(|n| Content::new(&format!("t{n}"), 200_000 + n * 7, 16_384)).collect();
    let mut world = World::new(17);
    let (seed, leech) = (world.add_node(), world.add_node());
    for content in &contents {
        world.seed(seed, content);
        world.leech(leech, content, &[seed]);
    }
    assert!(world.run_until(300, |world| {
        world.node(leech).torrents().len() == 5 && world.is_complete(leech)
    }));
    for (torrent, content) in world.node(leech).torrents().iter().zip(&contents) {
        assert_eq!(world.node(leech).disk.content(*torrent).unwrap(), content.bytes);
    }
}

/// How long swarms take, what seeds give, how full the lines are, what free riders get: a change of
/// policy is a change of this table, made on purpose.
#[test]
fn swarms_do_as_well_as_the_committed_table_says() {
    let committed = include_str!("../golden/swarms.txt");
    assert_eq!(
        eddyline_sim::swarm_table(),
        committed,
        "to accept: cargo run --release -p eddyline-sim --bin swarm -- --table > tests/golden/swarms.txt"
    );
}
