//! Rate limits: they hold, for one peer and for many, and they are cheap to keep.

use eddyline::{Command, RateLimits};
use eddyline_sim::{Content, NodeId, PeerOptions, World};

/// A leecher of `seeds` seeds under a limit, in the middle of its download.
fn under_limit(rate: u64, seeds: usize, whole_engine: bool) -> (World, NodeId) {
    let content = Content::new("limited", (rate * 14).max(400_000), 262_144);
    let mut world = World::new(rate + seeds as u64);
    let all: Vec<_> = (0..seeds).map(|_| world.add_node()).collect();
    all.iter().for_each(|seed| world.seed(*seed, &content));
    world.run(5);
    let leech = world.add_node();
    let limits = RateLimits { down: Some(rate), up: None };
    let peers = all.iter().map(|seed| world.node(*seed).addr).collect();
    let own = if whole_engine { RateLimits::default() } else { limits };
    world.add(leech, &content, PeerOptions { peers, limits: own, ..PeerOptions::default() });
    if whole_engine {
        world.command(leech, Command::SetLimits(None, limits));
    }
    world.run(3);
    (world, leech)
}

#[test]
fn a_download_limit_holds_within_two_percent_and_costs_few_steps() {
    for (rate, seeds) in
        [(10_000, 1), (100_000, 1), (1_000_000, 1), (1_000_000, 20), (8_000_000, 3)]
    {
        for whole_engine in [true, false] {
            let (mut world, leech) = under_limit(rate, seeds, whole_engine);
            let received = |world: &World| world.node(leech).engine.stats().received;
            let (before, steps) = (received(&world), world.node(leech).steps);
            world.run(10);
            let moved = received(&world) - before;
            let steps = world.node(leech).steps - steps;
            let case =
                format!("{rate} from {seeds}, {whole_engine}: {moved} bytes in {steps} steps");
            assert!(moved.abs_diff(rate * 10) <= rate / 5 + 16_384, "{case}");
            // A turn is twenty times a second; the rest is what blocks cost without a limit too.
            assert!(steps <= 600 + moved / 16_384 * 7 / 2, "{case}");
        }
    }
}

#[test]
fn an_upload_limit_holds_within_two_percent_for_one_peer_and_for_many() {
    for (rate, leechers) in [(50_000, 1), (600_000, 1), (600_000, 12)] {
        let content = Content::new("limited", rate * 14, 65_536);
        let mut world = World::new(rate + leechers);
        let seed = world.add_node();
        world.seed(seed, &content);
        let limits = RateLimits { down: None, up: Some(rate) };
        world.command(seed, Command::SetLimits(None, limits));
        world.run(5);
        for _ in 0..leechers {
            let leech = world.add_node();
            world.leech(leech, &content, &[seed]);
        }
        world.run(3);
        let sent = |world: &World| world.node(seed).engine.stats().sent;
        let before = sent(&world);
        world.run(10);
        let moved = sent(&world) - before;
        assert!(moved.abs_diff(rate * 10) <= rate / 5 + 16_384, "{rate}, {leechers}: {moved}");
    }
}
