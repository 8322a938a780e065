use std::collections::BTreeSet;
use eddyline::Notice;
use eddyline_sim::{Content, NodeId, PeerOptions, World};

fn run(up: &[u64], sequential: bool, pieces: u64, trace: bool) {
    let content = Content::new("film", pieces * 262_144, 262_144);
    let mut world = World::new(up.iter().sum());
    let leech = world.add_node();
    let seeds: Vec<NodeId> = up.iter().map(|up| {
        let seed = world.add_node();
        world.node_mut(seed).access.up = Some(*up);
        world.seed(seed, &content);
        seed
    }).collect();
    let peers = seeds.iter().map(|seed| world.node(*seed).addr).collect();
    world.run(5);
    let start = world.now();
    world.add(leech, &content, PeerOptions { peers, sequential, ..Default::default() });
    let (mut have, mut front, mut most, mut seen) = (BTreeSet::new(), 0, 0, 0);
    let mut at = 0;
    while !world.is_complete(leech) {
        world.run_for(std::time::Duration::from_millis(100));
        let notices = &world.node(leech).notices;
        for notice in &notices[seen..] {
            if let Notice::PieceVerified(_, piece) = notice {
                have.insert(*piece);
                while have.remove(&front) { front += 1; }
                if have.len() > most { most = have.len(); at = front; }
            }
        }
        seen = notices.len();
        if trace {
            let t = world.torrent(leech);
            let peers: Vec<String> = world.node(leech).engine.peers(t).map(|p| format!("{}:{}", p.down_rate, p.requests)).collect();
            println!("{:?} front {front} beyond {} {:?}", world.now().since(start), have.len(), peers);
        }
    }
    println!("{up:?} seq={sequential}: most {most} at {at}, {} ms", world.now().since(start).as_millis());
}
fn main() {
    let trace = std::env::args().nth(1).is_some();
    if trace { return run(&[1_000_000, 1_000_000, 1_000_000, 30_000], true, 128, true); }
    for up in [&[5_000_000, 50_000][..], &[5_000_000, 500_000], &[2_000_000, 20_000], &[10_000_000, 10_000, 100_000], &[1_000_000, 1_000_000, 1_000_000, 30_000]] {
        run(up, true, 128, false);
        run(up, false, 128, false);
    }
}
