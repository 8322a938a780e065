//! TCP and µTP on one line: neither starves, and each has what its peers are.

use eddyline::{Config, RateLimits, Transports};
use eddyline_sim::{Content, NodeId, PeerOptions, World};

use super::config;

/// What a line carries, in bytes a second.
const LINE: u64 = 400_000;
/// Seconds until shares have settled, and in which they are measured.
const SETTLING: u64 = 60;
const MEASURED: u64 = 60;

/// Payload that a node has received.
fn received(world: &World, node: NodeId) -> u64 {
    let torrent = world.torrent(node);
    world.node(node).engine.torrent(torrent).unwrap().downloaded
}

/// Thousandths of the line that TCP and µTP have, `ways` being bytes that went over each before and after.
fn parts(before: [u64; 2], after: [u64; 2]) -> [u64; 2] {
    [0, 1].map(|it| (after[it] - before[it]) * 1000 / (LINE * MEASURED))
}

/// A seed behind a line that leechers of both kinds fill. Returns what those over TCP and those over µTP have of it.
fn upload(ours: Config, tcp: usize, utp: usize) -> [u64; 2] {
    let content = Content::new("wide", 64 << 20, 1 << 18);
    let mut world = World::new(51);
    world.watch = false;
    let seed = world.add_node_with(Config { unchoke_slots: Some(16), pex: false, ..ours });
    world.node_mut(seed).access.up = Some(LINE);
    world.seed(seed, &content);
    let leeches: Vec<_> = (0..tcp + utp)
        .map(|number| {
            let speaks = if number < tcp { Transports::Tcp } else { Transports::Utp };
            let leech = world.add_node_with(Config { pex: false, ..config(speaks) });
            world.leech(leech, &content, &[seed]);
            leech
        })
        .collect();
    let sums = |world: &World| {
        let sum = |these: &[NodeId]| these.iter().map(|leech| received(world, *leech)).sum();
        [sum(&leeches[..tcp]), sum(&leeches[tcp..])]
    };
    world.run(SETTLING);
    let before = sums(&world);
    world.run(MEASURED);
    parts(before, sums(&world))
}

/// A leecher behind a line that seeds of both kinds fill.
fn download(ours: Config, tcp: usize, utp: usize) -> [u64; 2] {
    let content = Content::new("wide", 64 << 20, 1 << 18);
    let mut world = World::new(52);
    world.watch = false;
    let leech = world.add_node_with(Config { pex: false, ..ours });
    world.node_mut(leech).access.down = Some(LINE);
    let seeds: Vec<_> = (0..tcp + utp)
        .map(|number| {
            let speaks = if number < tcp { Transports::Tcp } else { Transports::Utp };
            let seed = world.add_node_with(Config { pex: false, ..config(speaks) });
            world.seed(seed, &content);
            seed
        })
        .collect();
    let peers = seeds.iter().map(|seed| world.node(*seed).addr).collect();
    world.add(leech, &content, PeerOptions { peers, ..PeerOptions::default() });
    let sums = |world: &World| {
        let engine = &world.node(leech).engine;
        let mut sums = [0, 0];
        for peer in engine.peers(world.torrent(leech)) {
            sums[usize::from(peer.transport == eddyline::Transport::Utp)] += peer.downloaded;
        }
        sums
    };
    world.run(SETTLING);
    let before = sums(&world);
    world.run(MEASURED);
    parts(before, sums(&world))
}

fn without() -> Config {
    Config { mixed_mode: false, ..config(Transports::Both) }
}

/// Each kind has the part that its peers are, and the line is full.
fn share(ways: fn(Config, usize, usize) -> [u64; 2]) {
    for (tcp, utp) in [(3, 3), (3, 1), (1, 3)] {
        let parts = ways(config(Transports::Both), tcp, utp);
        let fair = [tcp, utp].map(|peers| 1000 * peers as u64 / (tcp + utp) as u64);
        assert!(parts[0] + parts[1] >= 930, "{tcp} {utp}: {parts:?}");
        for it in 0..2 {
            assert!(parts[it] >= fair[it] * 3 / 4, "{tcp} {utp}: {parts:?}");
        }
    }
}

#[test]
fn utp_does_not_starve_where_tcp_fills_the_line_of_a_seed() {
    let [_, utp] = upload(without(), 3, 3);
    assert!(utp < 50, "it would by itself: {utp}");
    share(upload);
}

#[test]
fn utp_does_not_starve_where_tcp_fills_the_line_of_a_leecher() {
    let [_, utp] = download(without(), 3, 3);
    assert!(utp < 100, "it would by itself: {utp}");
    share(download);
}

/// A tenth of the line for one transport, and the rest for the other.
#[test]
fn limits_of_one_transport_leave_the_other_alone() {
    let tenth = Some(LINE / 10);
    let (down, up) = (RateLimits { down: tenth, up: None }, RateLimits { down: None, up: tenth });
    let both = || config(Transports::Both);
    let limited = [
        upload(Config { tcp_limits: up, ..both() }, 2, 2),
        download(Config { tcp_limits: down, ..both() }, 2, 2),
    ];
    for [tcp, utp] in limited {
        assert!((80..=105).contains(&tcp) && utp > 800, "{tcp} {utp}");
    }
    let limited = [
        upload(Config { utp_limits: up, ..both() }, 2, 2),
        download(Config { utp_limits: down, ..both() }, 2, 2),
    ];
    for [tcp, utp] in limited {
        assert!((60..=105).contains(&utp) && tcp > 800, "{tcp} {utp}");
    }
}
