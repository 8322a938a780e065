//! What is held against whom, and for how long.

use super::*;

/// Comes back twenty times from `from`, each time another port and another peer id; `script` is
/// what it does. Gives how often it was let in.
fn let_in(
    world: &mut World,
    nodes: &[NodeId],
    from: impl Fn(u16) -> SocketAddr,
    script: impl Fn(u32) -> Box<dyn Script>,
) -> usize {
    for n in 0..20 {
        let node = nodes[n as usize % nodes.len()];
        world.connect_script_from(node, from(n), script(n.into()));
        world.run(3);
    }
    nodes.iter().map(|node| rounds(world, *node)).sum()
}

fn ports_of(host: &'static str) -> impl Fn(u16) -> SocketAddr {
    move |n| SocketAddr::new(host.parse().unwrap(), 10_000 + n)
}

#[test]
fn who_breaks_rules_again_and_again_is_let_in_three_times() {
    let content = content();
    let offences: Vec<(&str, Message)> = vec![
        ("a piece that does not exist", Message::Have(u32::MAX)),
        ("a bitfield of the wrong length", Message::Bitfield(vec![0; 3].into())),
        ("an allowed piece that does not exist", Message::AllowedFast(1000)),
        ("a dictionary that is none", Message::Extended { id: 0, payload: vec![b'x'].into() }),
        ("names too often", Message::Extended { id: 1, payload: vec![b'd'].into() }),
    ];
    for (place, (what, offence)) in offences.iter().enumerate() {
        let (mut world, node) = alone(20 + place as u64, &content);
        let script =
            |n| Puppet::new(&content, b's').called(id(n)).opening(vec![offence.clone()]).boxed();
        assert_eq!(let_in(&mut world, &[node], ports_of("20.0.0.1"), script), 3, "{what}");
        assert_eq!(banned(&world, node), 1, "{what}");
        // Nobody else is kept out.
        world.connect_script_from(node, addr("20.0.0.2:7"), honest(&content, 99));
        assert!(world.run_until(60, |world| world.is_complete(node)), "{what}");
    }
}

#[test]
fn offences_of_different_kinds_from_addresses_of_one_64_are_one_account() {
    let content = content();
    let (mut world, node) = alone(30, &content);
    let script = |n: u32| {
        let puppet = Puppet::new(&content, b's').called(id(n));
        match n % 3 {
            0 => puppet.opening(vec![Message::Have(u32::MAX)]),
            1 => puppet.raw(vec![0xff, 0xff, 0xff, 0xff, 7]),
            _ => puppet.opening(vec![Message::Bitfield(vec![0; 3].into())]),
        }
        .boxed()
    };
    let from = |n: u16| addr(&format!("[2001:db8:1:2:{n:x}::1]:7"));
    assert_eq!(let_in(&mut world, &[node], from, script), 3);
}

#[test]
fn a_ban_holds_in_every_torrent() {
    let contents: Vec<Content> =
        (0..2).map(|n| Content::new(&format!("both {n}"), 500_000, 65_536)).collect();
    let mut world = World::new(31);
    let node = world.add_node();
    contents.iter().for_each(|content| world.add(node, content, PeerOptions::default()));
    world.run(1);
    let script = |n: u32| {
        let content = &contents[n as usize % 2];
        Puppet::new(content, b's').called(id(n)).opening(vec![Message::Have(u32::MAX)]).boxed()
    };
    assert_eq!(let_in(&mut world, &[node], ports_of("20.0.0.1"), script), 3);
}

/// Serves garbage: every block, or every one in `one_in`; hangs up after `blocks` of them.
struct Poison {
    puppet: Box<dyn Script>,
    sent: Rc<RefCell<u32>>,
    blocks: u32,
}

impl Script for Poison {
    fn connected(&mut self) -> Vec<ScriptAction> {
        self.puppet.connected()
    }

    fn received(&mut self, bytes: &[u8]) -> Vec<ScriptAction> {
        let mut actions = self.puppet.received(bytes);
        if *self.sent.borrow() >= self.blocks {
            actions.push(ScriptAction::Close);
        }
        actions
    }
}

fn poison(content: &Content, n: u32, one_in: u32, blocks: u32) -> Box<dyn Script> {
    let sent = Rc::new(RefCell::new(0u32));
    let count = sent.clone();
    let puppet = Puppet::seed(content, b'v', move |_, mut block| {
        let mut count = count.borrow_mut();
        *count += 1;
        if (*count).is_multiple_of(one_in) {
            block[9] ^= 0x5a;
        }
        (*count <= blocks).then_some(block)
    });
    Box::new(Poison { puppet: puppet.called(id(n)).boxed(), sent, blocks })
}

#[test]
fn who_sends_bad_pieces_and_hangs_up_before_they_are_hashed_is_known_when_it_comes_back() {
    let content = content();
    let (mut world, node) = alone(32, &content);
    world.disk_delay = std::time::Duration::from_secs(1);
    let script = |n| poison(&content, n, 1, 12);
    assert_eq!(let_in(&mut world, &[node], ports_of("20.0.0.1"), script), 1);
    assert!(banned(&world, node) >= 1);
    world.connect_script_from(node, addr("20.0.0.2:7"), honest(&content, 99));
    assert!(world.run_until(60, |world| world.is_complete(node)));
}

#[test]
fn who_leaves_in_the_middle_of_each_piece_is_one_sender_all_the_same() {
    let content = content();
    for seed in 30..45 {
        let (mut world, node) = alone(seed, &content);
        // Three blocks of four: each piece is finished by a later connection.
        let script = |n| poison(&content, n, 1, 3);
        let rounds = let_in(&mut world, &[node], ports_of("20.0.0.1"), script);
        // It is banned once a piece is whole, and what else it has sent is worth nothing then.
        let torrent = world.torrent(node);
        let wasted = world.node(node).engine.torrent(torrent).unwrap().wasted;
        assert!(rounds <= 10 && banned(&world, node) >= 1, "{seed}: {rounds} rounds");
        assert!(wasted <= 4 * 65_536, "{seed}: {wasted} bytes");
        world.connect_script_from(node, addr("20.0.0.2:7"), honest(&content, 99));
        assert!(world.run_until(60, |world| world.is_complete(node)), "{seed}");
    }
}

#[test]
fn a_quiet_connection_does_not_shield_others_of_its_address() {
    let content = content();
    let (mut world, node) = alone(33, &content);
    world.connect_script_from(node, addr("20.0.0.1:9000"), idle(&content, 500));
    world.run(1);
    let script = |n| poison(&content, n, 1, 1000);
    assert_eq!(let_in(&mut world, &[node], ports_of("20.0.0.1"), script), 2, "with the quiet one");
    assert_eq!(from_host(&world, node, "20.0.0.1"), 0, "the quiet one goes too");
}

#[test]
fn who_spoils_pieces_that_others_share_and_leaves_is_found_by_its_address() {
    // Large pieces, so that honest and bad blocks meet in one.
    let content = Content::new("shared", 4_000_000, 1 << 20);
    let mut world = World::new(34);
    let (seed, node) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(60_000);
    world.seed(seed, &content);
    world.leech(node, &content, &[seed]);
    world.run(3);
    // A few blocks at a time, so that no piece is its alone.
    let script = |n| poison(&content, n, 2, 6);
    let rounds = let_in(&mut world, &[node], ports_of("20.0.0.1"), script) - 1;
    assert!(world.run_until(900, |world| world.is_complete(node)));
    world.run(5);
    assert!(rounds <= 20 && banned(&world, node) >= 1, "{:?}", reasons(&world, node));
    let honest = world.node(seed).addr;
    let torrent = world.torrent(node);
    assert!(!world.node(node).notices.contains(&Notice::PeerBanned(torrent, honest)));
    // It is known when it comes back.
    world.connect_script_from(node, addr("20.0.0.1:7"), idle(&content, 900));
    world.run(2);
    assert_eq!(from_host(&world, node, "20.0.0.1"), 0);
}

#[test]
fn bad_pieces_of_an_allowed_fast_set_are_bad_pieces() {
    let content = content();
    let (mut world, node) = alone(35, &content);
    let script = |n: u32| {
        let pieces = content.metainfo.geometry().pieces();
        let mut opening = vec![Message::HaveAll];
        opening.extend((0..pieces).map(Message::AllowedFast));
        let source = content.clone();
        let puppet = Puppet::new(&content, b'a').called(id(n)).opening(opening);
        puppet
            .answering(move |message| {
                let Message::Request(at) = message else { return Vec::new() };
                let mut block = source.block(at.piece, at.begin, at.length).to_vec();
                block[0] ^= 1;
                let payload = Payload::One(block.into());
                vec![Message::Piece { piece: at.piece, begin: at.begin, payload }]
            })
            .boxed()
    };
    assert_eq!(let_in(&mut world, &[node], ports_of("20.0.0.1"), script), 1);
}

#[test]
fn a_neighbour_that_has_proven_itself_keeps_its_connection() {
    let content = content();
    let (mut world, node) = alone(36, &content);
    // It gives one good piece, slowly, and goes on.
    let served = Rc::new(RefCell::new(0));
    let count = served.clone();
    let neighbour = Puppet::seed(&content, b'n', move |_, block| {
        *count.borrow_mut() += 1;
        (*count.borrow() <= 8).then_some(block)
    });
    world.connect_script_from(node, addr("20.0.0.1:9000"), neighbour.called(id(1)).boxed());
    world.run(5);
    assert!(*served.borrow() >= 8);
    world.connect_script_from(node, addr("20.0.0.1:9001"), idle(&content, 2));
    for n in 3..6 {
        let puppet = Puppet::new(&content, b's').called(id(n));
        let offence = puppet.opening(vec![Message::Have(u32::MAX)]).boxed();
        world.connect_script_from(node, addr(&format!("20.0.0.1:{}", 9000 + n)), offence);
        world.run(1);
    }
    assert_eq!(banned(&world, node), 1);
    assert_eq!(connected(&world, node), [addr("20.0.0.1:9000")]);
}

#[test]
fn who_sends_false_metadata_is_known_when_it_comes_back() {
    let content = Content::new("metadata", 1_000_000, 16_384);
    let mut world = World::new(37);
    let node = world.add_node();
    world.add_magnet(node, &content, PeerOptions::default());
    world.run(1);
    let script = |n: u32| {
        let length = content.metainfo.info().len() as i64;
        let handshake = ExtendedHandshake {
            m: [("ut_metadata".into(), 9)].into(),
            metadata_size: Some(length),
            ..ExtendedHandshake::default()
        };
        let hello = Message::Extended { id: 0, payload: handshake.encode().into() };
        Puppet::new(&content, b'm')
            .called(id(n))
            .opening(vec![hello])
            .answering(move |message| false_metadata(message, length))
            .boxed()
    };
    let rounds = let_in(&mut world, &[node], ports_of("20.0.0.1"), script);
    assert_eq!(rounds, 1, "{:?}", reasons(&world, node));
}

fn false_metadata(message: &Message, length: i64) -> Vec<Message> {
    use eddyline::wire::MetadataMessage;
    let Message::Extended { id: 9, payload } = message else { return Vec::new() };
    let Ok(MetadataMessage::Request(piece)) = MetadataMessage::decode(payload) else {
        return Vec::new();
    };
    let left = length - i64::from(piece) * 16_384;
    let data = vec![b'z'; left.min(16_384) as usize].into();
    let data = MetadataMessage::Data { piece, total_size: Some(length as u32), data };
    let id = eddyline::peer::OUR_METADATA_ID;
    vec![Message::Extended { id, payload: data.encode().into() }]
}
