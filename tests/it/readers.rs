//! Reading while it comes: order, deadlines, jumps, peers that are slow, lie or leave.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use eddyline::picker::MAX_READERS;
use eddyline::{
    CommandError, FilePriority, FileRange, Notice, Priority, ReadAhead, ReaderId, Tag,
    TorrentCommand,
};
use eddyline_sim::{Content, NodeId, PeerOptions, World};

/// The most pieces that lay behind the first missing one at any time.
fn most_beyond_the_gap(world: &World, node: NodeId) -> usize {
    let mut have = BTreeSet::new();
    let mut front = 0;
    let mut most = 0;
    for notice in &world.node(node).notices {
        if let Notice::PieceVerified(_, piece) = notice {
            have.insert(*piece);
            while have.remove(&front) {
                front += 1;
            }
            most = most.max(have.len());
        }
    }
    most
}

/// A leecher and seeds with these uplinks, in bytes a second. Returns the world at the end, the leecher, and how long
/// it took in milliseconds.
fn fetch_from(up: &[u64], sequential: bool, pieces: u64) -> (World, NodeId, u64) {
    let content = Content::new("film", pieces * 262_144, 262_144);
    let mut world = World::new(up.iter().sum());
    let leech = world.add_node();
    let seeds: Vec<NodeId> = up
        .iter()
        .map(|up| {
            let seed = world.add_node();
            world.node_mut(seed).access.up = Some(*up);
            world.seed(seed, &content);
            seed
        })
        .collect();
    let peers = seeds.iter().map(|seed| world.node(*seed).addr).collect();
    world.run(5);
    let start = world.now();
    world.add(leech, &content, PeerOptions { peers, sequential, ..Default::default() });
    assert!(world.run_until(4000, |world| world.is_complete(leech)));
    let took = world.now().since(start);
    (world, leech, took.as_millis() as u64)
}

#[test]
fn a_slow_seed_beside_a_fast_one_holds_up_few_pieces_and_costs_no_time() {
    for up in [
        &[5_000_000, 50_000][..],
        &[5_000_000, 500_000],
        &[2_000_000, 20_000],
        &[1_000_000, 1_000_000, 1_000_000, 30_000],
    ] {
        let (world, leech, in_order) = fetch_from(up, true, 128);
        let beyond = most_beyond_the_gap(&world, leech);
        let (_, _, rarest) = fetch_from(up, false, 128);
        assert!(beyond <= 16, "{up:?}: {beyond} pieces lay beyond a gap");
        assert!(in_order <= rarest + rarest / 20, "{up:?}: {in_order} ms and {rarest} ms");
    }
}

/// Who plays a file from the beginning, at a number of bytes a second, and looks ten seconds ahead.
struct Player {
    node: NodeId,
    rate: u64,
    length: u64,
    /// The next byte.
    at: u64,
    /// Milliseconds in which it could not go on, of those since it began or jumped.
    stalled: u64,
    since: u64,
    /// The most that it stalled behind the first `patience` milliseconds.
    worst: u64,
    patience: u64,
}

const TICK: u64 = 50;
const READER: ReaderId = ReaderId(1);

impl Player {
    fn new(node: NodeId, rate: u64, length: u64) -> Self {
        Self { node, rate, length, at: 0, stalled: 0, since: 0, worst: 0, patience: 1_000 }
    }

    fn look_ahead(&self, world: &mut World) {
        let length = (self.rate * 10).min(self.length - self.at);
        let range = FileRange { file: 0, offset: self.at, length };
        let rate = NonZeroU64::new(self.rate);
        let ahead = (length > 0).then_some(ReadAhead { range, within: Duration::ZERO, rate });
        let torrent = world.torrent(self.node);
        world.command(self.node, TorrentCommand::SetReader { reader: READER, ahead }.of(torrent));
    }

    fn jump(&mut self, world: &mut World, to: u64) {
        (self.at, self.since, self.stalled, self.patience) = (to, 0, 0, 2_000);
        self.look_ahead(world);
    }

    /// Plays for a tick, if what it needs is there.
    fn tick(&mut self, world: &mut World) {
        world.run_for(Duration::from_millis(TICK));
        let next = (self.at + self.rate * TICK / 1_000).min(self.length);
        let torrent = world.torrent(self.node);
        let view = world.node(self.node).engine.torrent(torrent).unwrap();
        let last = (next.max(self.at + 1) - 1) / 262_144;
        let there = (self.at / 262_144..=last).all(|piece| view.have.has(piece as u32));
        self.since += TICK;
        if there {
            let second = self.rate;
            let looks = next / second != self.at / second;
            self.at = next;
            if looks {
                self.look_ahead(world);
            }
        } else if self.since > self.patience {
            self.stalled += TICK;
            self.worst = self.worst.max(self.stalled);
        }
    }
}

/// Seeds with these uplinks, and a leecher that plays: what it stalled beyond a second from the beginning, and two
/// from a jump into the middle.
fn plays(up: &[u64], rate: u64, others: impl Fn(&mut World, &Content) -> Vec<SocketAddr>) -> u64 {
    let content = Content::new("film", rate * 60, 262_144);
    let mut world = World::new(up.iter().sum());
    let leech = world.add_node();
    let mut peers = others(&mut world, &content);
    for up in up {
        let seed = world.add_node();
        world.node_mut(seed).access.up = Some(*up);
        world.seed(seed, &content);
        peers.push(world.node(seed).addr);
    }
    world.run(5);
    world.add(leech, &content, PeerOptions { peers, ..Default::default() });
    world.run_for(Duration::from_millis(100));
    let mut player = Player::new(leech, rate, content.bytes.len() as u64);
    player.look_ahead(&mut world);
    for _ in 0..10_000 / TICK {
        player.tick(&mut world);
    }
    let middle = player.length / 2;
    player.jump(&mut world, middle);
    while player.at < player.length && player.since < 60_000 {
        player.tick(&mut world);
    }
    assert_eq!(player.at, player.length, "it plays to the end");
    player.worst
}

#[test]
fn a_player_hardly_stalls_where_links_bring_a_fifth_more_than_it_plays() {
    let rate = 1_000_000;
    for up in [&[rate * 12 / 10][..], &[rate * 6 / 10, rate * 6 / 10], &[rate * 3 / 10; 4]] {
        let stalled = plays(up, rate, |_, _| Vec::new());
        assert!(stalled <= 250, "{up:?}: {stalled} ms");
    }
}

#[test]
fn slow_peers_beside_a_fast_one_stall_a_player_for_a_second_at_the_most() {
    let rate = 1_000_000;
    let slow = |world: &mut World, content: &Content| {
        (0..5)
            .map(|_| {
                let seed = world.add_node();
                world.node_mut(seed).access.up = Some(5_000);
                world.seed(seed, content);
                world.node(seed).addr
            })
            .collect()
    };
    let stalled = plays(&[rate * 12 / 10], rate, slow);
    assert!(stalled <= 1_000, "{stalled} ms");
    // The fast one brings no more than is played, so the slow ones have to be in time.
    let stalled = plays(&[rate, rate / 10, rate / 10], rate, |_, _| Vec::new());
    assert!(stalled <= 1_000, "{stalled} ms");
}

/// The answers to reads, by the numbers of their tags: whether they are ready.
fn answers(world: &World, node: NodeId) -> Vec<(u64, bool)> {
    let answers = world.node(node).notices.iter().filter_map(|notice| match notice {
        Notice::ReadReady { tag, .. } => Some((tag.0, true)),
        Notice::ReadFailed { tag, .. } => Some((tag.0, false)),
        _ => None,
    });
    answers.collect()
}

fn rejections(world: &World, node: NodeId) -> Vec<(u64, CommandError)> {
    let rejections = world.node(node).notices.iter().filter_map(|notice| match notice {
        Notice::CommandRejected { tag, error, .. } => Some((tag.0, *error)),
        _ => None,
    });
    rejections.collect()
}

fn read(world: &mut World, node: NodeId, tag: u64, (file, offset, length): (u32, u64, u64)) {
    let torrent = world.torrent(node);
    let range = FileRange { file, offset, length };
    let command = TorrentCommand::Read { range, within: Duration::ZERO }.of(torrent);
    world.ask(node, Tag(tag), command);
}

#[test]
fn who_waits_for_a_range_is_told_once_it_is_there_or_will_not_come() {
    let content = Content::with_files("files", &[2_000_000, 1_000_000, 0], 32_768, &[]);
    let mut world = World::new(5);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(500_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(1);
    let wrong = [(0, 2_000_000, 1), (0, 0, 0), (3, 0, 1), (2, 0, 1), (0, 1, u64::MAX)];
    for (tag, range) in (10..).zip(wrong) {
        read(&mut world, leech, tag, range);
    }
    read(&mut world, leech, 1, (0, 1_900_000, 100_000));
    read(&mut world, leech, 2, (1, 900_000, 1));
    assert!(world.run_until(60, |world| answers(world, leech).len() == 2));
    let view = world.node(leech).engine.torrent(world.torrent(leech)).unwrap();
    assert!(view.done < 2_000_000, "they came before the rest: {}", view.done);
    // What is there is answered at once; what is given up, or the torrent with it, never comes.
    read(&mut world, leech, 3, (0, 1_950_000, 50_000));
    world.run_for(Duration::from_millis(10));
    read(&mut world, leech, 4, (1, 300_000, 200_000));
    let skip = FilePriority { file: 1, priority: Priority::Skip };
    let torrent = world.torrent(leech);
    world.command(leech, TorrentCommand::SetPriorities(vec![skip]).of(torrent));
    world.run_for(Duration::from_millis(10));
    read(&mut world, leech, 5, (1, 300_000, 200_000));
    read(&mut world, leech, 6, (0, 0, 2_000_000));
    world.command(leech, TorrentCommand::Remove.of(torrent));
    world.run(2);
    let mut all = answers(&world, leech);
    all.sort_unstable();
    assert_eq!(all, [(1, true), (2, true), (3, true), (4, false), (6, false)]);
    let refused = [
        (10, CommandError::OutOfRange),
        (11, CommandError::OutOfRange),
        (12, CommandError::UnknownFile),
        (13, CommandError::OutOfRange),
        (14, CommandError::OutOfRange),
        (5, CommandError::NotWanted),
    ];
    assert_eq!(rejections(&world, leech), refused);
}

#[test]
fn readers_are_bounded_and_a_magnet_has_nothing_to_read_yet() {
    let content = Content::new("film", 3_000_000, 32_768);
    let mut world = World::new(6);
    let (leech, magnet) = (world.add_node(), world.add_node());
    world.leech(leech, &content, &[]);
    world.add_magnet(magnet, &content, PeerOptions::default());
    world.run(1);
    for tag in 0..100 {
        read(&mut world, leech, tag, (0, tag * 10, 10));
    }
    read(&mut world, magnet, 7, (0, 0, 10));
    world.run(1);
    assert_eq!(rejections(&world, magnet), [(7, CommandError::NoMetadata)]);
    let refused = rejections(&world, leech);
    assert_eq!(refused.len(), 100 - MAX_READERS);
    assert!(refused.iter().all(|(_, error)| *error == CommandError::TooManyReaders));
}
