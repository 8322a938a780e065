//! Torrents that rest: out of memory, and there when somebody wants them.

use std::time::Duration;

use eddyline::{AddTorrent, CloseReason, Command, Config, Notice, RateLimits, TorrentCommand};
use eddyline_sim::{Content, DiskSpeed, NodeId, PeerOptions, Puppet, Tracker, World};

const URL: &str = "http://tracker.example/announce";

fn resting() -> Config {
    Config {
        rest_after: Some(Duration::from_secs(20)),
        dht: false,
        lsd: false,
        ..Config::default()
    }
}

fn rests(world: &World, node: NodeId) -> bool {
    let stats = world.node(node).engine.stats();
    (stats.torrents, stats.standby) == (0, 1)
}

/// A seed that has gone to rest.
fn world_at_rest(content: &Content) -> (World, NodeId) {
    let mut world = World::new(91);
    world.trackers.insert(URL.into(), Tracker { interval: 1800, ..Tracker::default() });
    let seed = world.add_node_with(resting());
    world.seed(seed, content);
    assert!(world.run_until(120, |world| rests(world, seed)));
    (world, seed)
}

fn events(world: &World) -> Vec<String> {
    world.trackers[URL].announces.iter().map(|a| a.event().to_owned()).collect()
}

#[test]
fn a_seed_that_rests_comes_back_for_a_peer_serves_it_and_rests_again() {
    let content = Content::new("x", 800_000, 16_384);
    let (mut world, seed) = world_at_rest(&content);
    let leech = world.add_node_with(Config { dht: false, lsd: false, ..Config::default() });
    world.leech(leech, &content, &[seed]);
    assert!(world.run_until(30, |world| world.is_complete(leech)));
    assert!(!rests(&world, seed));
    // The leech has everything too, so they part.
    assert!(world.run_until(300, |world| rests(world, seed)));
    let notices = &world.node(seed).notices;
    let count = |what: fn(&Notice) -> bool| notices.iter().filter(|n| what(n)).count();
    assert_eq!(count(|n| matches!(n, Notice::Wanted(_))), 1);
    assert_eq!(count(|n| matches!(n, Notice::Rested(..))), 2);
}

#[test]
fn several_who_come_at_once_wait_for_one_loading() {
    let content = Content::new("x", 400_000, 16_384);
    let (mut world, seed) = world_at_rest(&content);
    let leeches: Vec<NodeId> = (0..5).map(|_| world.add_node_with(resting())).collect();
    for leech in &leeches {
        world.leech(*leech, &content, &[seed]);
    }
    assert!(world.run_until(60, |world| leeches.iter().all(|leech| world.is_complete(*leech))));
    let wanted = world.node(seed).notices.iter();
    assert_eq!(wanted.filter(|notice| matches!(notice, Notice::Wanted(_))).count(), 1);
}

#[test]
fn what_rests_is_announced_in_its_time_and_in_one_session() {
    let content = Content::tracked("x", 400_000, 16_384, &[URL]);
    let (mut world, seed) = world_at_rest(&content);
    let leech = world.add_node_with(Config { trackers: false, ..resting() });
    world.leech(leech, &content, &[seed]);
    world.run(2 * 3600);
    assert!(rests(&world, seed));
    let said = events(&world);
    assert_eq!(said[..4], ["started", "", "", ""], "{said:?}");
    let uploaded = world.trackers[URL].announces.iter().map(|a| a.query["uploaded"].clone());
    let uploaded: Vec<String> = uploaded.collect();
    assert_eq!(uploaded[..3], ["0", "400000", "400000"], "{uploaded:?}");
    // Between two announces it rests: that it came for one is soon over.
    let awake = |notice: &&Notice| matches!(notice, Notice::TorrentAdded { .. });
    let times = world.node(seed).notices.iter().filter(awake).count();
    assert!(times <= said.len() + 2, "{times}");
}

#[test]
fn what_nobody_loads_costs_the_stranger_its_patience_and_nothing_else() {
    let content = Content::new("x", 400_000, 16_384);
    let mut world = World::new(92);
    let node = world.add_node_with(resting());
    let hash = content.metainfo.info_hashes().wire();
    world.command(node, Command::StandBy { info_hash: hash, announce: false });
    world.run(1);
    world.connect_script(node, Puppet::new(&content, b'W').boxed());
    world.run(30);
    let closed: Vec<_> = world.node(node).notices.iter().filter_map(closed_for).collect();
    assert_eq!(closed, [CloseReason::HandshakeTimeout]);
    assert!(rests(&world, node));
    // Whoever comes later finds it, if it is there by then.
    world.know(&content);
    world.node_mut(node).disk.preset(&content, &content.bytes);
    let leech = world.add_node_with(resting());
    world.leech(leech, &content, &[node]);
    world.run(1);
    world.command(node, Command::Add(Box::new(AddTorrent::new(content.metainfo.clone()))));
    assert!(world.run_until(60, |world| world.is_complete(leech)));
}

#[test]
fn what_is_forgotten_is_unknown() {
    let content = Content::new("x", 400_000, 16_384);
    let (mut world, node) = world_at_rest(&content);
    world.command(node, Command::Forget(content.metainfo.info_hashes().wire()));
    world.run(1);
    world.connect_script(node, Puppet::new(&content, b'W').boxed());
    world.run(5);
    let closed: Vec<_> = world.node(node).notices.iter().filter_map(closed_for).collect();
    assert_eq!(closed, [CloseReason::UnknownTorrent]);
    let stats = world.node(node).engine.stats();
    assert_eq!((stats.torrents, stats.standby), (0, 0));
}

fn closed_for(notice: &Notice) -> Option<CloseReason> {
    match notice {
        Notice::PeerClosed { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[test]
fn an_incomplete_torrent_a_paused_one_and_one_with_peers_do_not_rest() {
    let content = Content::new("x", 400_000, 16_384);
    let mut world = World::new(93);
    let (seed, alone, paused) = (
        world.add_node_with(resting()),
        world.add_node_with(resting()),
        world.add_node_with(resting()),
    );
    world.seed(seed, &content);
    let limits = RateLimits { down: Some(2_000), up: None };
    let slow = world.add_node_with(resting());
    let peers = vec![world.node(seed).addr];
    world.add(slow, &content, PeerOptions { peers, limits, ..PeerOptions::default() });
    world.leech(alone, &content, &[]);
    world.seed(paused, &content);
    world.run(1);
    let torrent = world.torrent(paused);
    world.command(paused, TorrentCommand::Pause.of(torrent));
    world.run(100);
    for node in [seed, alone, paused] {
        assert!(!rests(&world, node), "{node}");
    }
}

#[test]
fn a_torrent_removed_while_it_goes_to_rest_is_removed_with_its_data() {
    let content = Content::new("x", 100_000, 16_384);
    let speed = DiskSpeed { seek: Duration::from_secs(2), transfer: 1 << 30, hash: 1 << 30 };
    let mut late = 0;
    // Closing the files takes two seconds; one of these moments is within.
    for seconds in 20..60 {
        let mut world = World::new(94);
        let node = world.add_node_with(resting());
        world.seed(node, &content);
        world.node_mut(node).disk.speed = Some(speed);
        world.run(seconds);
        if rests(&world, node) {
            late += 1;
            continue;
        }
        let torrent = world.torrent(node);
        world.command(node, TorrentCommand::RemoveWithData.of(torrent));
        world.run(10);
        let stats = world.node(node).engine.stats();
        assert_eq!((stats.torrents, stats.standby), (0, 0), "{seconds}");
        assert!(world.node(node).disk.resume.is_empty(), "{seconds}");
    }
    assert!((1..40).contains(&late), "{late}");
}
