//! A handful of scenarios that stand for all others where runs are compared: in another process,
//! in another build, at another time.

use crate::{Content, PeerOptions, World};

/// Runs every named scenario and returns the digests of all its nodes, combined: of what the engines did, and
/// of the states that they ended in. The second changes with the shape of a state, the first does not.
pub fn scenario_digests() -> Vec<(&'static str, u64)> {
    let [pair, swarm, sequential] = [pair(1), swarm(2), sequential(3)];
    vec![
        ("pair", pair.0),
        ("swarm", swarm.0),
        ("sequential", sequential.0),
        ("pair-state", pair.1),
        ("swarm-state", swarm.1),
        ("sequential-state", sequential.1),
    ]
}

/// What the engines of a scenario did, and the states that they ended in.
pub type Digests = (u64, u64);

fn digest(world: &World, nodes: usize) -> Digests {
    let combined = |of: &dyn Fn(usize) -> u64| {
        (0..nodes).fold(0, |sum: u64, node| sum.rotate_left(7) ^ of(node))
    };
    let actions = combined(&|node| world.node(node).digest());
    (actions, combined(&|node| world.node(node).engine.state_digest()))
}

/// One seed, one leecher.
pub fn pair(seed: u64) -> Digests {
    let content = Content::new("pair", 1_000_003, 32_768);
    let mut world = World::new(seed);
    let nodes = [world.add_node(), world.add_node()];
    world.seed(nodes[0], &content);
    world.leech(nodes[1], &content, &nodes[..1]);
    assert!(world.run_until(300, |w| w.is_complete(1)), "the pair finishes");
    digest(&world, 2)
}

/// One seed, five leechers that trade.
pub fn swarm(seed: u64) -> Digests {
    let content = Content::new("swarm", 2_000_000, 65_536);
    let mut world = World::new(seed);
    let nodes: Vec<_> = (0..6).map(|_| world.add_node()).collect();
    world.node_mut(0).access.up = Some(500_000);
    world.seed(0, &content);
    for node in &nodes[1..] {
        world.leech(*node, &content, &nodes[..*node]);
    }
    assert!(world.run_until(600, |w| (1..6).all(|n| w.is_complete(n))), "the swarm finishes");
    digest(&world, 6)
}

/// In order, over several small files.
pub fn sequential(seed: u64) -> Digests {
    let content = Content::with_files("files", &[10, 0, 70_000, 1, 200_000], 16_384, &[]);
    let mut world = World::new(seed);
    let nodes = [world.add_node(), world.add_node()];
    world.seed(nodes[0], &content);
    let peers = vec![world.node(0).addr];
    world.add(1, &content, PeerOptions { peers, sequential: true, ..PeerOptions::default() });
    assert!(world.run_until(300, |w| w.is_complete(1)), "the files finish");
    digest(&world, 2)
}
