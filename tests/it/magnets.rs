//! Magnets: the info dictionary comes from peers, whatever some of them do.

use std::net::SocketAddr;

use eddyline::metainfo::{BLOCK_LENGTH, Magnet, Metainfo};
use eddyline::wire::{ExtendedHandshake, Message, MetadataMessage};
use eddyline::{AddTorrent, Command, Config, Notice, TorrentCommand, TorrentState};
use eddyline_sim::{Content, MetadataManner, PeerOptions, Puppet, World};

/// Content whose info dictionary has several metadata pieces.
fn content() -> Content {
    Content::new("magnet", 3_000_000, 1000)
}

fn peers_of(addrs: &[SocketAddr]) -> PeerOptions {
    PeerOptions { peers: addrs.to_vec(), ..PeerOptions::default() }
}

fn has_metadata(world: &World, node: usize) -> bool {
    world.node(node).notices.iter().any(|notice| matches!(notice, Notice::MetadataReady(_)))
}

#[test]
fn a_magnet_and_one_holder_are_enough() {
    let content = content();
    assert!(content.metainfo.info().len() as u32 > 3 * BLOCK_LENGTH);
    let mut world = World::new(1);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    let peers = peers_of(&[world.node(seed).addr]);
    world.add_magnet(leech, &content, peers);
    assert!(world.run_until(120, |world| world.is_complete(leech)));
    let torrent = world.torrent(leech);
    assert_eq!(world.node(leech).disk.content(torrent).unwrap(), content.bytes);
    let known = world.node(leech).engine.metainfo(torrent).unwrap();
    assert_eq!(known.info(), content.metainfo.info());
    // What is saved of it is a torrent that others can read.
    let saved = Metainfo::parse(&known.encode()).unwrap();
    assert_eq!(saved.info_hashes(), content.metainfo.info_hashes());
}

#[test]
fn whoever_has_the_metadata_gives_it_on_at_once() {
    let content = content();
    let mut world = World::new(2);
    let nodes: Vec<_> = (0..5).map(|_| world.add_node()).collect();
    world.seed(nodes[0], &content);
    // A chain: each knows only the one before it, and none but the first has the metadata.
    for pair in nodes.windows(2) {
        let peers = peers_of(&[world.node(pair[0]).addr]);
        world.add_magnet(pair[1], &content, peers);
    }
    assert!(world.run_until(600, |world| nodes.iter().all(|node| world.is_complete(*node))));
}

#[test]
fn liars_in_size_and_content_and_holders_that_vanish_do_not_stop_it() {
    let content = content();
    for seed in 0..5 {
        let mut world = World::new(seed);
        let holder = world.add_node();
        let leech = world.add_node();
        world.seed(holder, &content);
        let mut peers = vec![];
        for (number, manner) in MetadataManner::ALL.iter().enumerate() {
            let (manner, content) = (*manner, content.clone());
            peers.push(world.add_script(move || manner.peer(&content, b'A' + number as u8)));
        }
        peers.push(world.node(holder).addr);
        world.add_magnet(leech, &content, peers_of(&peers));
        assert!(world.run_until(1800, |world| world.is_complete(leech)), "seed {seed}");
    }
}

#[test]
fn holders_that_vanish_half_way_are_enough_together() {
    let content = content();
    let mut world = World::new(5);
    let leech = world.add_node();
    let mut peers = vec![];
    for number in 0..4 {
        let content = content.clone();
        let manner = MetadataManner::Vanishing(1);
        peers.push(world.add_script(move || manner.peer(&content, b'A' + number)));
    }
    world.add_magnet(leech, &content, peers_of(&peers));
    assert!(world.run_until(600, |world| has_metadata(world, leech)));
}

#[test]
fn more_than_is_allowed_is_not_fetched() {
    let content = content();
    let mut world = World::new(6);
    let seed = world.add_node();
    let leech = world.add_node_with(Config { max_metadata: 20_000, ..Config::default() });
    world.seed(seed, &content);
    let peers = peers_of(&[world.node(seed).addr]);
    world.add_magnet(leech, &content, peers);
    world.run(120);
    let torrent = world.torrent(leech);
    let view = world.node(leech).engine.torrent(torrent).unwrap();
    assert_eq!((view.state, view.stall), (TorrentState::Metadata, eddyline::Stall::NoMetadata));
}

#[test]
fn what_a_peer_said_of_its_pieces_before_the_metadata_is_kept() {
    // A peer that sends a bitfield, one that has all, and one that sends haves: a scripted seed says
    // each of them before anything else, and never again.
    let content = content();
    let mut world = World::new(7);
    let leech = world.add_node();
    let peer = {
        let content = content.clone();
        world.add_script(move || MetadataManner::Honest.peer(&content, b'A'))
    };
    world.add_magnet(leech, &content, peers_of(&[peer]));
    assert!(world.run_until(120, |world| world.is_complete(leech)));
}

#[test]
fn a_file_and_a_magnet_of_one_torrent_are_one_torrent() {
    let content = content();
    let mut world = World::new(8);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.add_magnet(leech, &content, PeerOptions::default());
    world.run(1);
    // The file brings the metadata, and the peers that came with it.
    world.leech(leech, &content, &[seed]);
    assert!(world.run_until(60, |world| world.is_complete(leech)));
    assert_eq!(world.node(leech).engine.torrents().count(), 1);
    // The other way round, too.
    world.add_magnet(seed, &content, PeerOptions::default());
    world.run(1);
    assert_eq!(world.node(seed).engine.torrents().count(), 1);
    assert!(world.is_complete(seed));
}

#[test]
fn only_the_selected_files_of_a_magnet_are_fetched() {
    let content = Content::with_files("pick", &[300_000, 300_000, 300_000], 16_384, &[]);
    let mut world = World::new(9);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.know(&content);
    let magnet = format!("{}&so=2,77", content.metainfo.magnet());
    let mut add = AddTorrent::new(Magnet::parse(&magnet).unwrap());
    add.peers = vec![world.node(seed).addr];
    world.command(leech, Command::Add(Box::new(add)));
    let done = |notice: &Notice| matches!(notice, Notice::Finished(_));
    assert!(world.run_until(60, |world| world.node(leech).notices.iter().any(done)));
    let torrent = world.torrent(leech);
    let view = world.node(leech).engine.torrent(torrent).unwrap();
    assert!((300_000..320_000).contains(&view.done), "{}", view.done);
}

#[test]
fn a_held_magnet_waits_with_its_metadata_for_the_users_word() {
    let content = content();
    let mut world = World::new(10);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.know(&content);
    let mut add = AddTorrent::new(content.metainfo.magnet());
    add.peers = vec![world.node(seed).addr];
    add.hold_metadata = true;
    world.command(leech, Command::Add(Box::new(add)));
    assert!(world.run_until(60, |world| has_metadata(world, leech)));
    world.run(30);
    let torrent = world.torrent(leech);
    let view = world.node(leech).engine.torrent(torrent).unwrap();
    assert_eq!((view.state, view.done), (TorrentState::Metadata, 0));
    world.command(leech, TorrentCommand::Resume.of(torrent));
    assert!(world.run_until(60, |world| world.is_complete(leech)));
}

#[test]
fn metadata_with_the_right_hash_that_is_no_torrent_fails_with_a_reason() {
    let content = content();
    let mut world = World::new(11);
    let leech = world.add_node();
    let nonsense = b"d4:name3:abce".to_vec();
    let hash = eddyline::base::hash::Sha1Hash::of(&nonsense);
    let peer = world.add_script(move || MetadataManner::holding(&content, hash, nonsense.clone()));
    let magnet = Magnet { v1: Some(hash), peers: vec![peer], ..Magnet::default() };
    world.command(leech, Command::Add(Box::new(AddTorrent::new(magnet))));
    let failed = |notice: &Notice| {
        matches!(notice, Notice::TorrentFailed(_, eddyline::TorrentError::Metadata))
    };
    assert!(world.run_until(60, |world| world.node(leech).notices.iter().any(failed)));
}

#[test]
fn forty_lengths_that_nobody_delivers_delay_the_right_one_by_a_few_turns() {
    let content = content();
    let mut world = World::new(13);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    let mut peers = vec![];
    for number in 0..40 {
        let content = content.clone();
        let manner = MetadataManner::SilentAbout(60_000_000 + u32::from(number) * BLOCK_LENGTH);
        peers.push(world.add_script(move || manner.peer(&content, number)));
    }
    world.add_magnet(leech, &content, peers_of(&peers));
    world.run(3);
    // They were there first.
    world.introduce(leech, world.node(seed).addr);
    assert!(world.run_until(30, |world| has_metadata(world, leech)));
}

#[test]
fn a_v1_magnet_that_leads_to_a_v2_dictionary_fails_and_costs_nothing() {
    let content = content();
    let mut world = World::new(11);
    let leech = world.add_node();
    // A hundred million pieces, in 145 bytes.
    let mut info = b"d9:file treed1:ad0:d6:lengthi1638400000000e11:pieces root32:".to_vec();
    info.extend([b'R'; 32]);
    info.extend(b"eee12:meta versioni2e4:name1:x12:piece lengthi16384ee");
    let hash = eddyline::base::hash::Sha1Hash::of(&info);
    let peer = world.add_script(move || MetadataManner::holding(&content, hash, info.clone()));
    let magnet = Magnet { v1: Some(hash), peers: vec![peer], ..Magnet::default() };
    world.command(leech, Command::Add(Box::new(AddTorrent::new(magnet))));
    let failed = |notice: &Notice| {
        matches!(notice, Notice::TorrentFailed(_, eddyline::TorrentError::Metadata))
    };
    assert!(world.run_until(60, |world| world.node(leech).notices.iter().any(failed)));
    let torrent = world.torrent(leech);
    let view = world.node(leech).engine.torrent(torrent).unwrap();
    assert_eq!(view.have.len(), 0);
}

#[test]
fn metadata_is_served_to_one_peer_so_often_and_no_oftener() {
    let content = content();
    let pieces = content.metainfo.info().len().div_ceil(16_384) as u32;
    let mut world = World::new(12);
    let seed = world.add_node();
    world.seed(seed, &content);
    assert!(world.run_until(60, |world| world.is_complete(seed)));
    let handshake = ExtendedHandshake {
        m: [("ut_metadata".to_owned(), 3)].into(),
        ..ExtendedHandshake::default()
    };
    let mut opening =
        vec![Message::HaveNone, Message::Extended { id: 0, payload: handshake.encode().into() }];
    let ask = |piece: u32| Message::Extended {
        id: eddyline::peer::OUR_METADATA_ID,
        payload: MetadataMessage::Request(piece).encode().into(),
    };
    // Each piece twenty times, and one that does not exist.
    opening.extend((0..20).flat_map(|_| (0..pieces).map(ask)));
    opening.push(ask(pieces));
    let puppet = Puppet::new(&content, b'A').opening(opening);
    let heard = puppet.heard();
    world.connect_script(seed, puppet.boxed());
    world.run(20);
    let (mut data, mut rejects) = (0, 0);
    for message in heard.borrow().iter() {
        let Message::Extended { id: 3, payload } = message else { continue };
        match MetadataMessage::decode(payload).unwrap() {
            MetadataMessage::Data { piece, total_size, data: bytes } => {
                data += 1;
                let start = piece as usize * 16_384;
                assert_eq!(bytes, content.metainfo.info()[start..start + bytes.len()]);
                assert_eq!(total_size, Some(content.metainfo.info().len() as u32));
            }
            MetadataMessage::Reject(_) => rejects += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(data + rejects, 20 * pieces + 1, "every request is answered");
    assert!((pieces..=3 * pieces).contains(&data), "{data} of {pieces}");
}

#[test]
fn whoever_asks_for_all_of_a_long_dictionary_at_once_is_refused_none() {
    let content = Content::new("long", 30_000_000, 1000);
    let pieces = content.metainfo.info().len().div_ceil(16_384) as u32;
    assert!(pieces > 30);
    let mut world = World::new(17);
    let seed = world.add_node();
    world.seed(seed, &content);
    assert!(world.run_until(60, |world| world.is_complete(seed)));
    let handshake = ExtendedHandshake {
        m: [("ut_metadata".to_owned(), 3)].into(),
        ..ExtendedHandshake::default()
    };
    let mut opening =
        vec![Message::HaveNone, Message::Extended { id: 0, payload: handshake.encode().into() }];
    opening.extend((0..pieces).map(|piece| Message::Extended {
        id: eddyline::peer::OUR_METADATA_ID,
        payload: MetadataMessage::Request(piece).encode().into(),
    }));
    let puppet = Puppet::new(&content, b'A').opening(opening);
    let heard = puppet.heard();
    world.connect_script(seed, puppet.boxed());
    world.run(60);
    let heard = heard.borrow();
    let answers = heard.iter().filter_map(|message| match message {
        Message::Extended { id: 3, payload } => MetadataMessage::decode(payload).ok(),
        _ => None,
    });
    let got: Vec<u32> = answers
        .map(|answer| match answer {
            MetadataMessage::Data { piece, .. } => piece,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(got.iter().copied().eq(0..pieces), "{got:?}");
}
