//! Reading while it comes: order, deadlines, jumps, peers that are slow, lie or leave.

use std::collections::BTreeSet;
use std::time::Duration;

use eddyline::Notice;
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
    for up in [&[5_000_000, 50_000][..], &[5_000_000, 500_000], &[2_000_000, 20_000], &[10_000_000, 10_000, 100_000], &[1_000_000, 1_000_000, 1_000_000, 30_000]] {
        let (world, leech, in_order) = fetch_from(up, true, 128);
        let beyond = most_beyond_the_gap(&world, leech);
        let (_, _, rarest) = fetch_from(up, false, 128);
        println!("{up:?}: {beyond} beyond, {in_order} ms in order, {rarest} ms rarest");
    }
    let _ = Duration::ZERO;
}
