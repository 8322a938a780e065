//! Peer exchange: a swarm finds itself by hearsay, and private torrents stay among themselves.

use eddyline::wire::{ExtendedHandshake, Message, PexFlags, PexMessage};
use eddyline::{CloseReason, Config, Engine, Notice, PeerSource};
use eddyline_sim::{Content, PeerOptions, Puppet, World};

fn sources(engine: &Engine) -> Vec<PeerSource> {
    let torrents: Vec<_> = engine.torrents().collect();
    torrents.iter().flat_map(|id| engine.peers(*id)).map(|peer| peer.source).collect()
}

fn came_by_pex(world: &World, node: usize) -> bool {
    let pex =
        |notice: &Notice| matches!(notice, Notice::PeerConnected { source: PeerSource::Pex, .. });
    world.node(node).notices.iter().any(pex)
}

/// A knows B, C knows B, and nobody else anybody.
fn chain(content: &Content, config: &Config) -> (World, [usize; 3]) {
    let mut world = World::new(3);
    let nodes = [0; 3].map(|_| world.add_node_with(config.clone()));
    let [a, b, c] = nodes;
    world.seed(b, content);
    world.leech(a, content, &[b]);
    world.leech(c, content, &[b]);
    // They are not finished at once, and have a reason to stay connected.
    for node in nodes {
        world.node_mut(node).access.up = Some(20_000);
    }
    (world, nodes)
}

#[test]
fn the_ends_of_a_chain_hear_of_each_other() {
    let content = Content::new("pex", 3_000_000, 32_768);
    let (mut world, [a, _, c]) = chain(&content, &Config::default());
    assert!(world.run_until(120, |world| came_by_pex(world, a) || came_by_pex(world, c)));
    world.run(20);
    assert!(sources(&world.node(a).engine).len() == 2, "A is connected to B and C");
}

#[test]
fn without_peer_exchange_nobody_hears_of_anybody() {
    let content = Content::new("pex", 3_000_000, 32_768);
    let config = Config { pex: false, ..Config::default() };
    let (mut world, [a, _, c]) = chain(&content, &config);
    world.run(120);
    assert!(!came_by_pex(&world, a) && !came_by_pex(&world, c));
}

#[test]
fn private_torrents_tell_and_hear_nothing() {
    let content = Content::new("private", 3_000_000, 32_768).private();
    let (mut world, [a, b, c]) = chain(&content, &Config::default());
    // A peer that names others all the same is not listened to.
    let named = "10.0.0.99:6881".parse().unwrap();
    let message = PexMessage { added: vec![(named, PexFlags(0))], dropped: vec![] };
    let payload = message.encode().into();
    let puppet = Puppet::new(&content, b'P').opening(vec![
        Message::HaveNone,
        Message::Extended { id: 0, payload: ExtendedHandshake::default().encode().into() },
        Message::Extended { id: eddyline::peer::OUR_PEX_ID, payload },
    ]);
    world.connect_script(b, puppet.boxed());
    world.run(120);
    assert!(!came_by_pex(&world, a) && !came_by_pex(&world, c));
    let torrent = world.torrent(b);
    let known = world.node(b).engine.torrent(torrent).unwrap().candidates;
    assert!(known <= 3, "its peers, and nobody they named: {known}");
}

/// A peer that names `count` peers in each of `messages` messages; what B knows after a minute.
fn named_by_one(messages: usize, count: u8) -> (u32, bool) {
    let content = Content::new("flood", 1_000_000, 32_768);
    let mut world = World::new(4);
    let node = world.add_node();
    world.add(node, &content, PeerOptions::default());
    let mut opening = vec![
        Message::HaveNone,
        Message::Extended { id: 0, payload: ExtendedHandshake::default().encode().into() },
    ];
    for message in 0..messages {
        let addr =
            |n: u8| (std::net::SocketAddr::from(([11, 1, message as u8, n], 1)), PexFlags(0));
        let message = PexMessage { added: (1..=count).map(addr).collect(), dropped: vec![] };
        let payload = message.encode().into();
        opening.push(Message::Extended { id: eddyline::peer::OUR_PEX_ID, payload });
    }
    world.connect_script(node, Puppet::new(&content, b'P').opening(opening).boxed());
    world.run(1);
    let torrent = world.torrent(node);
    let known = world.node(node).engine.torrent(torrent).unwrap().candidates;
    let misbehaved = |notice: &Notice| {
        matches!(notice, Notice::PeerClosed { reason: CloseReason::Misbehaved, .. })
    };
    let closed = world.node(node).notices.iter().any(misbehaved);
    (known, closed)
}

#[test]
fn what_one_peer_names_is_bounded_and_a_flood_ends_the_connection() {
    let (known, closed) = named_by_one(1, 250);
    assert!((100..=102).contains(&known) && !closed, "{known}, {closed}");
    let (known, _) = named_by_one(8, 50);
    assert!((100..=102).contains(&known), "{known}");
    let (_, closed) = named_by_one(20, 50);
    assert!(closed);
}

#[test]
fn a_magnet_that_turns_out_private_forgets_what_it_heard() {
    let content = Content::new("late", 1_000_000, 1000).private();
    assert!(content.metainfo.is_private());
    let mut world = World::new(5);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    // Somebody names peers before the metadata is known.
    let named = |n: u8| (std::net::SocketAddr::from(([10, 7, 7, n], 7)), PexFlags(0));
    let message = PexMessage { added: (1..40).map(named).collect(), dropped: vec![] };
    let payload = message.encode().into();
    let talker = {
        let content = content.clone();
        let payload: bytes::Bytes = payload;
        world.add_script(move || {
            let handshake = ExtendedHandshake::default().encode().into();
            let id = eddyline::peer::OUR_PEX_ID;
            Puppet::new(&content, b'P')
                .opening(vec![
                    Message::HaveNone,
                    Message::Extended { id: 0, payload: handshake },
                    Message::Extended { id, payload: payload.clone() },
                ])
                .boxed()
        })
    };
    world.add_magnet(leech, &content, PeerOptions { peers: vec![talker], ..Default::default() });
    world.run(3);
    let torrent = world.torrent(leech);
    let candidates = |world: &World| world.node(leech).engine.torrent(torrent).unwrap().candidates;
    assert!(candidates(&world) >= 40, "it listened while it could");
    world.introduce(leech, world.node(seed).addr);
    assert!(world.run_until(60, |world| world.is_complete(leech)));
    // The invariants hold it to that after every step as well.
    assert!(candidates(&world) <= 3, "{}", candidates(&world));
}

#[test]
fn somebody_far_away_names_nobody_in_our_own_network() {
    let content = Content::new("far", 1_000_000, 32_768);
    let named = |ip: [u8; 4]| (std::net::SocketAddr::from((ip, 80)), PexFlags(0));
    let message = PexMessage {
        added: vec![named([192, 168, 1, 1]), named([127, 0, 0, 1]), named([44, 5, 6, 7])],
        dropped: vec![],
    };
    let known = |from: &str| {
        let mut world = World::new(6);
        let node = world.add_node();
        world.add(node, &content, PeerOptions::default());
        world.run(1);
        let payload = message.encode().into();
        let puppet = Puppet::new(&content, b'P').opening(vec![
            Message::HaveNone,
            Message::Extended { id: eddyline::peer::OUR_PEX_ID, payload },
        ]);
        world.connect_script_from(node, from.parse().unwrap(), puppet.boxed());
        world.run(1);
        let torrent = world.torrent(node);
        world.node(node).engine.torrent(torrent).unwrap().candidates
    };
    // The peer itself counts as well. Nobody but this machine names this machine.
    assert_eq!((known("55.1.2.3:4000"), known("10.9.9.9:4000")), (2, 3));
}
