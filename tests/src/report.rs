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
         share of the capacity of all lines that was used until the last was done\n\n",
    );
    let head = "kind             first  half  last  riders  copies  seed %  lines %  waste %";
    let _ = writeln!(out, "{head}");
    for kind in KINDS {
        out.push_str(&row(kind));
    }
    out
}

fn row(kind: &Kind) -> String {
    let content = Content::new("table", SIZE, PIECE);
    let mut world = World::new(2026);
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
    world.seed(nodes[0], &content);
    let addrs: Vec<_> = nodes.iter().map(|node| world.node(*node).addr).collect();
    for node in &nodes[1..] {
        let peers = addrs.iter().filter(|addr| **addr != world.node(*node).addr).copied().collect();
        let options = PeerOptions { peers, sequential: kind.sequential, ..PeerOptions::default() };
        world.add(*node, &content, options);
    }
    measure(kind, &content, world)
}

fn measure(kind: &Kind, content: &Content, mut world: World) -> String {
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
    let tenths = |part: u64, whole: u64| (part as f64 * 100.0 / whole.max(1) as f64).round();
    let second = |millis: u64| millis as f64 / 1000.0;
    let ridden = riders.iter().max().map_or("-".to_owned(), |t| format!("{:.1}", second(*t)));
    format!(
        "{:15} {:6.1} {:5.1} {:5.1} {ridden:>7} {:7.2} {:7} {:8} {:8}\n",
        kind.name,
        second(times[0]),
        second(times[times.len() / 2]),
        second(times[times.len() - 1]),
        sent[0] as f64 / content.bytes.len() as f64,
        tenths(sent[0], total),
        tenths(total, capacity * last / 1000),
        tenths(wasted, total),
    )
}
