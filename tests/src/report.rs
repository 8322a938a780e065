//! How well swarms do: picker and choker judged by what they bring about. The table is committed, so
//! that a policy that got worse is seen in a diff.

use std::fmt::Write;

use eddyline::{Config, SeedChoking};

use crate::content::Content;
use crate::net::Access;
use crate::world::{PeerOptions, World};

const LEECHERS: usize = 16;
const SIZE: u64 = 8 << 20;
const PIECE: u32 = 128 << 10;
/// Runs of each kind, from as many seeds: one alone is off by up to a tenth, by chance.
const RUNS: u64 = 8;

/// A kind of swarm.
struct Kind {
    name: &'static str,
    /// Bytes per second up, of the seed and of leecher n.
    seed_up: u64,
    leecher_up: fn(usize) -> u64,
    /// Whether leecher n gives nothing.
    rides_free: fn(usize) -> bool,
    config: fn() -> Config,
    sequential: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "equal lines",
        seed_up: 500_000,
        leecher_up: |_| 250_000,
        rides_free: |_| false,
        config: Config::default,
        sequential: false,
    },
    Kind {
        name: "fast and slow",
        seed_up: 500_000,
        leecher_up: |n| if n % 2 == 0 { 400_000 } else { 50_000 },
        rides_free: |_| false,
        config: Config::default,
        sequential: false,
    },
    Kind {
        name: "free riders",
        seed_up: 500_000,
        leecher_up: |_| 250_000,
        rides_free: |n| n % 4 == 3,
        config: Config::default,
        sequential: false,
    },
    Kind {
        name: "in order",
        seed_up: 500_000,
        leecher_up: |_| 250_000,
        rides_free: |_| false,
        config: Config::default,
        sequential: true,
    },
    Kind {
        name: "fastest upload",
        seed_up: 2_000_000,
        leecher_up: |_| 250_000,
        rides_free: |_| false,
        config: || Config { seed_choking: SeedChoking::FastestUpload, ..Config::default() },
        sequential: false,
    },
];

/// The table of all kinds.
pub fn swarm_table() -> String {
    let mut out = String::from(
        "16 leechers, 8 MiB, 20 ms; seconds until done; share of all bytes that the seed sent;\n\
         share of the capacity of all lines that was used until the last was done; means of ",
    );
    let _ = writeln!(out, "{RUNS} runs\n");
    let head = "kind             first  half  last  riders  copies  seed %  lines %  waste %";
    let _ = writeln!(out, "{head}");
    for kind in KINDS {
        out.push_str(&row(kind));
    }
    out
}

/// What one run came to.
struct Run {
    /// Seconds until the first, the middle and the last of those who give were done.
    times: [f64; 3],
    /// Seconds until the last that gives nothing was.
    riders: Option<f64>,
    /// Bytes that the seed sent, that all sent, that were sent in vain, and that lines could have carried.
    sent: [u64; 4],
}

fn row(kind: &Kind) -> String {
    let content = Content::new("table", SIZE, PIECE);
    let runs: Vec<Run> = (0..RUNS).map(|seed| measure(kind, world(kind, &content, seed))).collect();
    let mean = |of: &dyn Fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / RUNS as f64;
    let sent = |which: usize| mean(&|run| run.sent[which] as f64);
    let [seed, all, wasted, capacity] = [sent(0), sent(1), sent(2), sent(3)];
    let ridden = match runs[0].riders {
        Some(_) => format!("{:.1}", mean(&|run| run.riders.unwrap_or_default())),
        None => "-".to_owned(),
    };
    format!(
        "{:15} {:6.1} {:5.1} {:5.1} {ridden:>7} {:7.2} {:7.1} {:8.1} {:8.1}\n",
        kind.name,
        mean(&|run| run.times[0]),
        mean(&|run| run.times[1]),
        mean(&|run| run.times[2]),
        seed / content.bytes.len() as f64,
        seed * 100.0 / all,
        all * 100.0 / capacity,
        wasted * 100.0 / all,
    )
}

fn world(kind: &Kind, content: &Content, seed: u64) -> World {
    let mut world = World::new(2026 + seed);
    world.watch = false;
    let nodes: Vec<_> = (0..=LEECHERS)
        .map(|n| {
            let mut config = (kind.config)();
            if n > 0 && (kind.rides_free)(n - 1) {
                config.unchoke_slots = Some(0);
            }
            let node = world.add_node_with(config);
            let up = if n == 0 { kind.seed_up } else { (kind.leecher_up)(n - 1) };
            world.node_mut(node).access = Access { up: Some(up), ..Access::default() };
            node
        })
        .collect();
    world.seed(nodes[0], content);
    let addrs: Vec<_> = nodes.iter().map(|node| world.node(*node).addr).collect();
    for node in &nodes[1..] {
        let peers = addrs.iter().filter(|addr| **addr != world.node(*node).addr).copied().collect();
        let options = PeerOptions { peers, sequential: kind.sequential, ..PeerOptions::default() };
        world.add(*node, content, options);
    }
    world
}

fn measure(kind: &Kind, mut world: World) -> Run {
    let began = world.now();
    let mut done = vec![None; LEECHERS + 1];
    while done[1..].iter().any(Option::is_none) {
        let before = done.iter().flatten().count();
        let finished = |world: &World| world.nodes().filter(|n| n.finished > 0).count();
        assert!(world.run_until(3600, |world| finished(world) > before), "{}", kind.name);
        let seconds = world.now().since(began).as_millis() as u64;
        for (id, node) in world.nodes().enumerate() {
            if node.finished > 0 && done[id].is_none() {
                done[id] = Some(seconds);
            }
        }
    }
    let riders: Vec<u64> =
        (1..=LEECHERS).filter(|n| (kind.rides_free)(n - 1)).filter_map(|n| done[n]).collect();
    let mut times: Vec<u64> =
        (1..=LEECHERS).filter(|n| !(kind.rides_free)(n - 1)).filter_map(|n| done[n]).collect();
    times.sort_unstable();
    let view = |node: usize| {
        let node = world.node(node);
        node.engine.torrent(node.torrents()[0]).expect("it is there")
    };
    let sent: Vec<u64> = (0..=LEECHERS).map(|n| view(n).uploaded).collect();
    let wasted: u64 = (1..=LEECHERS).map(|n| view(n).wasted).sum();
    let total: u64 = sent.iter().sum();
    let last = done.iter().flatten().max().copied().unwrap_or(1);
    let capacity: u64 = (0..=LEECHERS)
        .filter(|n| *n == 0 || !(kind.rides_free)(n - 1))
        .map(|n| if n == 0 { kind.seed_up } else { (kind.leecher_up)(n - 1) })
        .sum();
    let second = |millis: &u64| *millis as f64 / 1000.0;
    Run {
        times: [&times[0], &times[times.len() / 2], &times[times.len() - 1]].map(second),
        riders: riders.iter().max().map(second),
        sent: [sent[0], total, wasted, capacity * last / 1000],
    }
}
