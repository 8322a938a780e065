//! A swarm of fifty real engines in virtual time, one of them with a disk that lies.
//!
//! `cargo run --release -p eddyline-sim --example bad_disk`

use eddyline::Notice;
use eddyline_sim::{Access, Content, DiskFault, World};

fn main() {
    // Eight megabytes that are a function of their place: nothing is stored, however many have it.
    let content = Content::new("example.iso", 8 << 20, 256 << 10);
    // Everything random follows from this number; the same number gives the same run.
    let mut world = World::new(42);
    let nodes: Vec<_> = (0..50).map(|_| world.add_node()).collect();
    for node in &nodes {
        world.node_mut(*node).access = Access { up: Some(1_000_000), ..Access::default() };
    }

    // Node 0 has everything. Node 1 believes that it has, and every tenth read is wrong.
    world.seed(nodes[0], &content);
    world.seed(nodes[1], &content);
    world.node_mut(nodes[1]).disk.fault = Some(DiskFault::ReadsLie(10));
    // The others know these two and a few of their own kind.
    for (at, node) in nodes.iter().enumerate().skip(2) {
        let known: Vec<_> = [0, 1].into_iter().chain(at.saturating_sub(5).max(2)..at).collect();
        world.leech(*node, &content, &known);
    }

    // Invariants are checked after every step of every engine on the way.
    let done = |world: &World| nodes[2..].iter().all(|node| world.is_complete(*node));
    assert!(world.run_until(600, done), "everyone gets everything within ten minutes");

    let addr = world.node(nodes[1]).addr;
    let banned = |notice: &Notice| matches!(notice, Notice::PeerBanned(_, who) if *who == addr);
    let judges = world.nodes().filter(|node| node.notices.iter().any(banned)).count();
    let right = nodes[2..].iter().filter(|node| {
        let node = world.node(**node);
        node.disk.is_right(node.torrents()[0])
    });
    println!("{} of 48 hold exactly the right bytes", right.count());
    println!("{judges} banned the node with the bad disk");
    println!("{:.1} s of virtual time", (world.now().as_millis() - 1000) as f64 / 1000.0);
}
