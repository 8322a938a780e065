//! Rate limits: they hold, for one peer and for many, and they are cheap to keep.

use std::cell::Cell;
use std::time::Duration;

use eddyline::{Command, PeerView, RateLimits, TorrentCommand};
use eddyline_sim::{Content, Manner, NodeId, PeerOptions, World};

/// A block and its header, which comes whole.
const BLOCK: u64 = 16_384 + 13;

/// Whose limit it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Of {
    Engine,
    Torrent,
}

const BOTH: [Of; 2] = [Of::Engine, Of::Torrent];

/// A content that takes longer than a test looks at it.
fn lasting(rate: u64) -> Content {
    let piece = if rate >= 1_000_000 { 262_144 } else { 65_536 };
    Content::new("limited", (rate * 16).max(400_000), piece)
}

/// What one node moves in ten seconds, and by how much any stretch of that time had more than the rate
/// brings in it.
fn watch(
    world: &mut World,
    node: NodeId,
    rate: u64,
    moved: fn(&World, NodeId) -> u64,
) -> (u64, u64) {
    let (before, began) = (moved(world, node), world.now());
    let (least, burst) = (Cell::new(0i64), Cell::new(0i64));
    world.run_until(10, |world| {
        let brought = u128::from(rate) * world.now().since(began).as_nanos() / 1_000_000_000;
        let ahead = (moved(world, node) - before) as i64 - brought as i64;
        burst.set(burst.get().max(ahead - least.get()));
        least.set(least.get().min(ahead));
        false
    });
    (moved(world, node) - before, burst.get() as u64)
}

fn received(world: &World, node: NodeId) -> u64 {
    world.node(node).engine.stats().received
}

fn sent(world: &World, node: NodeId) -> u64 {
    world.node(node).engine.stats().sent
}

/// Within two percent, or the block that may be under way; no burst above 200 ms worth, or two blocks.
fn assert_holds((moved, burst): (u64, u64), rate: u64, case: &str) {
    assert!(moved.abs_diff(rate * 10) <= (rate / 5).max(BLOCK), "{case}: {moved} bytes");
    assert!(burst <= (rate / 5).max(2 * BLOCK), "{case}: {burst} bytes at once");
}

/// A leecher of `seeds` seeds under a limit, in the middle of its download.
fn under_limit(rate: u64, seeds: usize, of: Of) -> (World, NodeId) {
    let content = lasting(rate);
    let mut world = World::new(rate + seeds as u64);
    if rate >= 100_000_000 {
        world.weather.latency = Duration::from_millis(1);
    }
    let all: Vec<_> = (0..seeds).map(|_| world.add_node()).collect();
    all.iter().for_each(|seed| world.seed(*seed, &content));
    world.run(5);
    let leech = world.add_node();
    let limits = RateLimits { down: Some(rate), up: None };
    let peers = all.iter().map(|seed| world.node(*seed).addr).collect();
    let own = if of == Of::Engine { RateLimits::default() } else { limits };
    world.add(leech, &content, PeerOptions { peers, limits: own, ..PeerOptions::default() });
    if of == Of::Engine {
        world.command(leech, Command::SetLimits(limits));
    }
    world.run(3);
    (world, leech)
}

/// A seed under a limit, and those that fetch from it.
fn serving(rate: u64, leechers: usize, of: Of) -> (World, NodeId) {
    let content = lasting(rate);
    let mut world = World::new(rate + leechers as u64);
    if rate >= 100_000_000 {
        world.weather.latency = Duration::from_millis(1);
    }
    let seed = world.add_node();
    world.seed(seed, &content);
    world.run(5);
    let limits = RateLimits { down: None, up: Some(rate) };
    let torrent = (of == Of::Torrent).then(|| world.torrent(seed));
    world.command(
        seed,
        torrent.map_or(Command::SetLimits(limits), |torrent| {
            TorrentCommand::SetLimits(limits).of(torrent)
        }),
    );
    for _ in 0..leechers {
        let leech = world.add_node();
        world.leech(leech, &content, &[seed]);
    }
    world.run(3);
    (world, seed)
}

#[test]
fn a_download_limit_holds_within_two_percent_without_bursts_and_costs_few_steps() {
    let cases = [
        (10_000, 1),
        (10_000, 20),
        (30_000, 3),
        (100_000, 1),
        (300_000, 40),
        (1_000_000, 1),
        (1_000_000, 20),
        (3_000_000, 1),
        (8_000_000, 3),
        (30_000_000, 1),
        (10_000_000, 50),
        (100_000_000, 4),
    ];
    for ((rate, seeds), of) in cases.into_iter().flat_map(|case| BOTH.map(|of| (case, of))) {
        let (mut world, leech) = under_limit(rate, seeds, of);
        let (steps, grants) = (world.node(leech).steps, world.node(leech).grants);
        let result = watch(&mut world, leech, rate, received);
        let (steps, grants) = (world.node(leech).steps - steps, world.node(leech).grants - grants);
        let case = format!("{rate} of {of:?} from {seeds}: {steps} steps, {grants} grants");
        assert_holds(result, rate, &case);
        // Ten turns a second, each of a few steps; the rest is what blocks cost without a limit too.
        let blocks = result.0 / 16_384;
        assert!(steps <= 350 + blocks * 4, "{case}");
        // A grant is a whole block, or what a turn brings.
        assert!(grants <= blocks.max(100) + 5, "{case}");
    }
}

#[test]
fn an_upload_limit_holds_within_two_percent_without_bursts() {
    let cases = [
        (10_000, 1),
        (50_000, 1),
        (50_000, 30),
        (100_000, 1),
        (600_000, 1),
        (600_000, 12),
        (1_000_000, 3),
        (3_000_000, 1),
        (10_000_000, 1),
        (20_000_000, 1),
        (6_000_000, 30),
        (60_000_000, 4),
    ];
    for ((rate, leechers), of) in cases.into_iter().flat_map(|case| BOTH.map(|of| (case, of))) {
        let (mut world, seed) = serving(rate, leechers, of);
        let result = watch(&mut world, seed, rate, sent);
        assert_holds(result, rate, &format!("{rate} of {of:?} to {leechers}"));
    }
}

#[test]
fn two_torrents_share_what_all_may_and_peers_share_what_a_torrent_may_whoever_else_waits() {
    let (all, one) = (2_000_000, 500_000);
    let mut world = World::new(11);
    let leech = world.add_node();
    let contents = ["a", "b"].map(|name| Content::new(name, all * 16, 65_536));
    let seeds = contents.clone().map(|content| {
        let seeds = [(); 4].map(|()| world.add_node());
        seeds.iter().for_each(|seed| world.seed(*seed, &content));
        seeds
    });
    world.run(5);
    for ((content, seeds), down) in contents.iter().zip(seeds).zip([Some(one), None]) {
        let limits = RateLimits { down, up: None };
        let mut peers = seeds.map(|seed| world.node(seed).addr).to_vec();
        // Connected, and never of use.
        for number in 0..3 {
            let content = content.clone();
            peers.push(world.add_script(move || Manner::NeverUnchoking.peer(&content, number)));
        }
        world.add(leech, content, PeerOptions { peers, limits, ..PeerOptions::default() });
    }
    world.command(leech, Command::SetLimits(RateLimits { down: Some(all), up: None }));
    world.run(3);
    let first = |world: &World| world.node(leech).engine.peers(world.torrent(leech));
    let before = first(&world);
    assert_holds(watch(&mut world, leech, all, received), all, "both");
    let served = |before: &[PeerView], after: &PeerView| {
        let then = before.iter().find(|peer| peer.addr == after.addr);
        after.downloaded - then.map_or(0, |peer| peer.downloaded)
    };
    let mut shares: Vec<u64> = first(&world).iter().map(|peer| served(&before, peer)).collect();
    shares.retain(|share| *share > 0);
    assert_holds((shares.iter().sum(), 0), one, "the one with a limit of its own");
    let fair = one * 10 / 4;
    let is_fair = |share: &u64| (fair / 2..=fair * 2).contains(share);
    assert!(shares.len() == 4 && shares.iter().all(is_fair), "{shares:?}");
}
