//! Without trackers: engines find each other by the DHT and on the local network, and stay out of
//! both when told to.

use std::time::Duration;

use eddyline::{Command, Config, DhtRequest, Notice, PeerSource};
use eddyline_sim::{Content, Nat, NodeId, Partition, PeerOptions, World};

/// Engines that know the first one as a node of the DHT, and nothing of each other.
fn dht_config() -> Config {
    Config { dht_bootstrap: vec!["10.0.0.1:6881".into()], lsd: false, ..Config::default() }
}

fn world(seed: u64, nodes: usize, config: &Config) -> World {
    let mut world = World::new(seed);
    world.trackerless = true;
    for _ in 0..nodes {
        world.add_node_with(config.clone());
    }
    world
}

fn came_by(world: &World, node: NodeId, wanted: PeerSource) -> bool {
    world
        .node(node)
        .notices
        .iter()
        .any(|notice| matches!(notice, Notice::PeerConnected { source, .. } if *source == wanted))
}

#[test]
fn a_bare_info_hash_is_enough() {
    let content = Content::new("dht", 1_000_000, 32_768);
    let mut world = world(1, 30, &dht_config());
    world.run(60);
    world.seed(7, &content);
    world.run(30);
    world.add_magnet(23, &content, PeerOptions::default());
    assert!(world.run_until(120, |world| world.is_complete(23)));
    assert!(came_by(&world, 23, PeerSource::Dht));
    // The seed said so to the DHT, and so did whoever fetched it.
    let told = |notice: &Notice| matches!(notice, Notice::DhtReplied { nodes, .. } if *nodes > 5);
    assert!([7, 23].iter().all(|node| world.node(*node).notices.iter().any(told)));
}

#[test]
fn nodes_that_a_torrent_names_are_enough_to_enter_the_dht() {
    let content = Content::new("named", 500_000, 32_768);
    let mut world = world(12, 20, &dht_config());
    world.run(60);
    world.seed(7, &content);
    world.run(30);
    let config = Config { dht_bootstrap: Vec::new(), ..dht_config() };
    let [named, lonely] = [world.add_node_with(config.clone()), world.add_node_with(config)];
    let nodes = [world.node(11).addr, world.node(12).addr];
    world.leech(named, &content.naming_nodes(&nodes), &[]);
    world.leech(lonely, &content, &[]);
    assert!(world.run_until(180, |world| world.is_complete(named)));
    assert!(came_by(&world, named, PeerSource::Dht));
    world.run(120);
    let nodes = |node: NodeId| world.node(node).engine.dht_node(false).unwrap().table().len();
    assert!(nodes(named) > 5 && nodes(lonely) == 0);
}

#[test]
fn nodes_that_a_private_torrent_names_are_left_alone() {
    let content = Content::new("named", 500_000, 32_768).private();
    let mut world = world(13, 5, &dht_config());
    world.run(30);
    let config = Config { dht_bootstrap: Vec::new(), ..dht_config() };
    let outside = world.add_node_with(config);
    let nodes = [world.node(1).addr];
    world.leech(outside, &content.naming_nodes(&nodes), &[]);
    world.run(300);
    assert_eq!(world.node(outside).engine.dht_node(false).unwrap().table().len(), 0);
}

#[test]
fn two_who_begin_before_the_dht_is_there_find_each_other_all_the_same() {
    let content = Content::new("early", 500_000, 32_768);
    let mut world = world(2, 12, &dht_config());
    world.seed(3, &content);
    world.add_magnet(9, &content, PeerOptions::default());
    assert!(world.run_until(300, |world| world.is_complete(9)));
}

#[test]
fn peers_tell_each_other_where_their_nodes_are() {
    // Nobody is known to the second one but the first one, and that as a peer.
    let content = Content::new("port", 2_000_000, 32_768);
    let config = Config { dht_bootstrap: Vec::new(), lsd: false, ..Config::default() };
    let mut world = world(3, 2, &config);
    world.seed(0, &content);
    world.leech(1, &content, &[0]);
    world.run(30);
    let nodes = |node: NodeId| world.node(node).engine.dht_node(false).unwrap().table().len();
    assert_eq!((nodes(0), nodes(1)), (1, 1));
}

#[test]
fn what_one_run_learnt_of_the_dht_serves_the_next() {
    let mut world = world(4, 20, &dht_config());
    world.run(60);
    let state = world.node(5).engine.dht_state().unwrap();
    assert!(state.nodes.len() >= 8);
    let config = Config { dht_bootstrap: Vec::new(), ..dht_config() };
    let node = world.add_node_with(config);
    world.command(node, Command::RestoreDht(Box::new(state.clone())));
    world.run(30);
    let restored = world.node(node).engine.dht_node(false).unwrap();
    assert!(restored.table().len() >= 8);
}

#[test]
fn who_stays_out_of_the_dht_sends_it_nothing() {
    // That is checked after every step; here somebody would have every reason to.
    let content = Content::new("out", 500_000, 32_768);
    let mut world = world(5, 10, &dht_config());
    let out = world.add_node_with(Config { dht: false, ..dht_config() });
    world.seed(1, &content);
    world.leech(out, &content, &[1]);
    world.command(out, Command::Dht(Box::new(DhtRequest::Contact("10.0.0.1:6881".into()))));
    assert!(world.run_until(120, |world| world.is_complete(out)));
    assert!(world.node(out).engine.dht_state().is_none());
    assert!(
        !world
            .node(1)
            .engine
            .dht_node(false)
            .unwrap()
            .known()
            .iter()
            .any(|node| { node.addr == world.node(out).addr })
    );
}

#[test]
fn private_torrents_are_told_to_nobody() {
    let content = Content::new("private", 500_000, 32_768).private();
    let mut world = world(6, 10, &Config { lsd: true, ..dht_config() });
    world.run(60);
    world.seed(1, &content);
    world.leech(2, &content, &[]);
    world.run(1200);
    assert!(!world.is_complete(2), "nobody told it of the seed");
    let told = |notice: &Notice| matches!(notice, Notice::DhtReplied { .. });
    assert!(!world.node(1).notices.iter().any(told));
}

#[test]
fn neighbours_find_each_other_on_the_local_network() {
    let content = Content::new("local", 500_000, 32_768);
    let config = Config { dht: false, ..Config::default() };
    let mut world = world(7, 3, &config);
    world.seed(0, &content);
    world.run(2);
    world.add_magnet(1, &content, PeerOptions::default());
    let began = world.now();
    assert!(world.run_until(30, |world| world.is_complete(1)));
    assert!(world.now().since(began) < Duration::from_secs(15));
    assert!(came_by(&world, 1, PeerSource::Lsd) || came_by(&world, 0, PeerSource::Lsd));
}

#[test]
fn without_local_discovery_neighbours_do_not_find_each_other() {
    let content = Content::new("local", 500_000, 32_768);
    let config = Config { dht: false, lsd: false, ..Config::default() };
    let mut world = world(8, 2, &config);
    world.seed(0, &content);
    world.leech(1, &content, &[]);
    world.run(700);
    assert!(!world.is_complete(1));
}

#[test]
fn many_torrents_share_the_dht_fairly_and_without_a_flood() {
    let config = Config { lsd: false, ..dht_config() };
    let mut world = world(9, 12, &config);
    world.run(60);
    let contents: Vec<Content> =
        (0..200).map(|n| Content::new(&format!("torrent {n}"), 1000, 16_384)).collect();
    for content in &contents {
        world.seed(4, content);
    }
    let began = world.node(4).engine.dht_node(false).unwrap().queries_sent();
    world.run(150);
    let node = world.node(4);
    let mut told = std::collections::BTreeSet::new();
    for notice in &node.notices {
        if let Notice::DhtReplied { torrent, nodes, .. } = notice
            && *nodes > 0
        {
            told.insert(*torrent);
        }
    }
    assert_eq!(told.len(), 200, "every torrent had its turn");
    let sent = node.engine.dht_node(false).unwrap().queries_sent() - began;
    assert!(sent < 200 * 40, "{sent}");
}

#[test]
fn the_dht_is_there_again_after_hours_without_a_network() {
    let content = Content::new("back", 500_000, 32_768);
    let mut world = world(10, 15, &dht_config());
    world.run(60);
    world.divide(&[6], Partition::Drop);
    world.run(3 * 3600);
    world.heal();
    world.run(600);
    world.seed(3, &content);
    world.run(30);
    world.add_magnet(6, &content, PeerOptions::default());
    assert!(world.run_until(300, |world| world.is_complete(6)));
}

#[test]
fn nodes_behind_address_translation_find_peers_and_are_found_by_them() {
    let content = Content::new("nat", 500_000, 32_768);
    let mut world = world(11, 15, &dht_config());
    for node in [4, 5] {
        world.node_mut(node).nat = Nat::PortRestricted;
    }
    world.run(60);
    world.seed(2, &content);
    world.add_magnet(4, &content, PeerOptions::default());
    assert!(world.run_until(120, |world| world.is_complete(4)));
    // Whoever is hidden connects to those who are not.
    let hidden = Content::new("hidden", 400_000, 32_768);
    world.seed(5, &hidden);
    world.add_magnet(9, &hidden, PeerOptions::default());
    assert!(world.run_until(1200, |world| world.is_complete(9)));
}

#[test]
fn nodes_of_the_other_family_are_named_to_those_who_want_them() {
    use eddyline::dht::krpc::{Body, Packet, Query};
    use eddyline::dht::{Contact, DhtNode, NodeConfig, NodeId, Output};
    let now = eddyline::base::time::Instant::from_millis(1_000_000);
    let rng = || eddyline::base::rng::Seed::from_u64(1).stream("node");
    let mut v6 = DhtNode::new(NodeConfig { ipv6: true, ..Default::default() }, None, rng(), now);
    let mut out = Output::default();
    let there = "[2a00::1]:7".parse().unwrap();
    v6.meet(there, now, &mut out);
    let t = Packet::decode(&out.packets[0].1).unwrap().t;
    let body = Body::Reply(eddyline::dht::krpc::Reply::new(NodeId([9; 20])));
    let answer = Packet { t, v: None, ip: None, read_only: false, body }.encode();
    v6.datagram(there, &answer, None, now, &mut out);
    let mut v4 = DhtNode::new(NodeConfig::default(), None, rng(), now);
    for (want, named) in [(None, 0), (Some((true, true)), 1), (Some((false, true)), 1)] {
        let target = Some(bytes::Bytes::from_static(&[9; 20]));
        let query = Query { target, want, ..Query::new("find_node", NodeId([1; 20])) };
        let body = Body::Query(query);
        let t = bytes::Bytes::from_static(b"t");
        let packet = Packet { t, v: None, ip: None, read_only: true, body }.encode();
        let mut out = Output::default();
        v4.datagram("20.1.1.1:1".parse().unwrap(), &packet, Some(v6.table()), now, &mut out);
        let Body::Reply(reply) = Packet::decode(&out.packets[0].1).unwrap().body else { panic!() };
        let expected = vec![Contact { id: NodeId([9; 20]), addr: there }; named];
        assert_eq!(reply.nodes, expected, "{want:?}");
    }
}
