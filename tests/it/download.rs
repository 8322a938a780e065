//! Whole downloads: shapes of torrents, endgame, priorities, limits.

use std::time::Duration;

use eddyline::base::time::Instant;
use eddyline::{
    AddTorrent, Command, FilePriority, Notice, Priority, RateLimits, Stall, TorrentCommand,
};
use eddyline_sim::{Content, PeerOptions, World};

fn seconds_between(start: Instant, end: Instant) -> f64 {
    end.since(start).as_secs_f64()
}

/// One seed and one leecher; returns the world after the download.
fn fetch(content: &Content, seconds: u64) -> World {
    let mut world = World::new(content.bytes.len() as u64);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, content);
    world.leech(leech, content, &[seed]);
    assert!(world.run_until(seconds, |world| world.is_complete(leech)), "it finishes");
    world.run(1);
    let torrent = world.torrent(leech);
    assert_eq!(world.node(leech).disk.content(torrent).unwrap(), content.bytes);
    let finished = |notice: &&Notice| matches!(notice, Notice::Finished(_));
    assert_eq!(world.node(leech).notices.iter().filter(finished).count(), 1);
    world
}

#[test]
fn odd_shapes_complete() {
    for (length, piece_length) in [
        (1, 16_384),
        (16_384, 16_384),
        (16_385, 16_384),
        (100_000, 40_000),
        (99_999, 100),
        (5_000_000, 1 << 20),
    ] {
        fetch(&Content::new("odd", length, piece_length), 600);
    }
}

#[test]
fn pieces_shared_by_many_files_and_empty_files_complete() {
    let lengths = [1, 0, 5, 0, 0, 70_000, 3, 3, 3, 16_384, 0];
    fetch(&Content::with_files("many", &lengths, 32_768, &[]), 600);
}

#[test]
fn very_large_pieces_complete() {
    fetch(&Content::new("large", 40 << 20, 32 << 20), 600);
}

#[test]
fn a_torrent_of_empty_files_is_complete_at_once() {
    let content = Content::with_files("empty", &[0, 0, 0], 16_384, &[]);
    let mut world = World::new(1);
    let node = world.add_node();
    world.leech(node, &content, &[]);
    assert!(world.run_until(5, |world| {
        let checked = |notice: &Notice| matches!(notice, Notice::Checked(_, 0));
        world.node(node).notices.iter().any(checked)
    }));
    let torrent = world.torrent(node);
    let view = world.node(node).engine.torrent(torrent).unwrap();
    assert_eq!((view.wanted, view.state), (0, eddyline::TorrentState::Seeding));
}

#[test]
fn pieces_come_in_order_when_asked_to() {
    let content = Content::new("stream", 3_000_000, 32_768);
    let mut world = World::new(3);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(500_000);
    world.seed(seed, &content);
    let peers = vec![world.node(seed).addr];
    world.add(leech, &content, PeerOptions { peers, sequential: true, ..Default::default() });
    assert!(world.run_until(300, |world| world.is_complete(leech)));
    let verified: Vec<u32> = world
        .node(leech)
        .notices
        .iter()
        .filter_map(|n| if let Notice::PieceVerified(_, piece) = n { Some(*piece) } else { None })
        .collect();
    // Only the pieces that the seed allowed while still choking may come out of turn.
    let out_of_turn = verified.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(out_of_turn <= 10, "{verified:?}");
    assert_eq!(verified.last(), Some(&91));
}

#[test]
fn unwanted_files_are_not_fetched_and_can_be_wanted_later() {
    let content = Content::with_files("files", &[500_000, 500_000, 500_000], 16_384, &[]);
    let mut world = World::new(4);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    let mut add = AddTorrent::new(content.metainfo.clone());
    add.priorities = vec![Priority::Normal, Priority::Skip, Priority::Skip];
    add.peers = vec![world.node(seed).addr];
    world.command(leech, Command::Add(Box::new(add)));
    let finished = |count: usize| {
        move |world: &World| {
            let all = &world.node(leech).notices;
            all.iter().filter(|notice| matches!(notice, Notice::Finished(_))).count() == count
        }
    };
    assert!(world.run_until(60, finished(1)));
    let torrent = world.torrent(leech);
    let view = world.node(leech).engine.torrent(torrent).unwrap();
    assert!(view.done < 600_000, "{}", view.done);
    let change = FilePriority { file: 2, priority: Priority::High };
    world.command(leech, TorrentCommand::SetPriorities(vec![change]).of(torrent));
    // The seed may have said goodbye to a peer that wanted nothing; it is found again.
    assert!(world.run_until(4000, finished(2)));
    let view = world.node(leech).engine.torrent(torrent).unwrap();
    assert!((1_000_000..1_100_000).contains(&view.done), "{}", view.done);
}

#[test]
fn a_download_limit_holds_within_five_percent_over_ten_seconds() {
    for rate in [50_000, 400_000] {
        let content = Content::new("limited", rate * 14, 32_768);
        let mut world = World::new(rate);
        let (seed, leech) = (world.add_node(), world.add_node());
        world.seed(seed, &content);
        world.run(5);
        world.leech(leech, &content, &[seed]);
        let limits = RateLimits { down: Some(rate), up: None };
        world.command(leech, Command::SetLimits(limits));
        world.run(3);
        let before = world.node(leech).engine.stats().received;
        world.run(10);
        let moved = world.node(leech).engine.stats().received - before;
        assert!(moved.abs_diff(rate * 10) <= rate / 2, "{rate}: {moved} in ten seconds");
    }
}

#[test]
fn an_upload_limit_holds_and_is_shared_fairly() {
    let content = Content::new("limited", 20_000_000, 65_536);
    let mut world = World::new(9);
    let nodes: Vec<_> = (0..4).map(|_| world.add_node()).collect();
    world.seed(0, &content);
    let limits = RateLimits { down: None, up: Some(600_000) };
    world.command(0, Command::SetLimits(limits));
    world.run(5);
    for node in &nodes[1..] {
        world.leech(*node, &content, &[0]);
    }
    world.run(3);
    let sent = |world: &World| -> Vec<u64> {
        let torrent = world.torrent(0);
        world.node(0).engine.peers(torrent).iter().map(|peer| peer.uploaded).collect()
    };
    let before = sent(&world);
    world.run(10);
    let moved: Vec<u64> = sent(&world).iter().zip(&before).map(|(a, b)| a - b).collect();
    let total: u64 = moved.iter().sum();
    assert!(total.abs_diff(6_000_000) <= 300_000, "{total}");
    assert!(moved.iter().all(|part| part.abs_diff(total / 3) < total / 10), "{moved:?}");
}

#[test]
fn limits_can_be_lifted_while_running() {
    let content = Content::new("lifted", 3_000_000, 32_768);
    let mut world = World::new(5);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let slow = RateLimits { down: Some(10_000), up: None };
    world.command(leech, Command::SetLimits(slow));
    world.run(10);
    assert!(!world.is_complete(leech));
    world.command(leech, Command::SetLimits(RateLimits::default()));
    let start = world.now();
    assert!(world.run_until(60, |world| world.is_complete(leech)));
    assert!(seconds_between(start, world.now()) < 30.0);
}

#[test]
fn request_depth_fills_a_long_link() {
    let content = Content::new("long", 30_000_000, 262_144);
    let mut world = World::new(6);
    world.weather.latency = Duration::from_millis(100);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(5_000_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let start = world.now();
    assert!(world.run_until(60, |world| world.is_complete(leech)));
    let ideal = 30_000_000.0 / 5_000_000.0;
    let took = seconds_between(start, world.now());
    assert!(took < ideal * 1.5 + 2.0, "{took} s, ideal {ideal} s");
}

#[test]
fn the_engine_says_why_nothing_moves() {
    let content = Content::new("lonely", 100_000, 16_384);
    let mut world = World::new(7);
    let node = world.add_node();
    world.leech(node, &content, &[]);
    world.run(5);
    let torrent = world.torrent(node);
    let view = world.node(node).engine.torrent(torrent).unwrap();
    assert_eq!(view.stall, Stall::NoPeers);
}
