//! Strangers and their addresses: how many places one host gets, how long blame lasts, and what is
//! believed of who somebody is.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use eddyline::base::payload::Payload;
use eddyline::wire::{ExtendedHandshake, Handshake, Message, PeerId, PexFlags, PexMessage};
use eddyline::{AddPeers, CloseReason, Command, Config, Notice, PeerSource};
use eddyline_sim::{Content, NodeId, PeerOptions, Puppet, Script, ScriptAction, World};

fn content() -> Content {
    Content::new("trust", 1_000_000, 65_536)
}

/// A world with a node that fetches and knows nobody.
fn alone(seed: u64, content: &Content) -> (World, NodeId) {
    alone_with(seed, content, Config::default())
}

fn alone_with(seed: u64, content: &Content, config: Config) -> (World, NodeId) {
    let mut world = World::new(seed);
    let node = world.add_node_with(config);
    world.add(node, content, PeerOptions::default());
    world.run(1);
    (world, node)
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn reasons(world: &World, node: NodeId) -> Vec<CloseReason> {
    let closed = |notice: &Notice| match notice {
        Notice::PeerClosed { reason, .. } => Some(*reason),
        _ => None,
    };
    world.node(node).notices.iter().filter_map(closed).collect()
}

/// Addresses of peers that are connected.
fn connected(world: &World, node: NodeId) -> Vec<SocketAddr> {
    let engine = &world.node(node).engine;
    let torrents = world.node(node).torrents().iter();
    torrents.flat_map(|id| engine.peers(*id)).map(|peer| peer.addr).collect()
}

fn from_host(world: &World, node: NodeId, host: &str) -> usize {
    let host: IpAddr = host.parse().unwrap();
    connected(world, node).iter().filter(|addr| addr.ip() == host).count()
}

fn banned(world: &World, node: NodeId) -> usize {
    let notices = world.node(node).notices.iter();
    notices.filter(|notice| matches!(notice, Notice::PeerBanned(..))).count()
}

fn id(n: u32) -> PeerId {
    let mut id = [b'p'; 20];
    id[16..].copy_from_slice(&n.to_be_bytes());
    PeerId(id)
}

/// A peer that says it has everything and nothing more.
fn idle(content: &Content, n: u32) -> Box<dyn Script> {
    Puppet::new(content, b'i').called(id(n)).opening(vec![Message::HaveAll]).boxed()
}

fn honest(content: &Content, n: u32) -> Box<dyn Script> {
    Puppet::seed(content, b'h', |_, block| Some(block)).called(id(n)).boxed()
}

fn rounds(world: &World, node: NodeId) -> usize {
    let connected = |notice: &&Notice| matches!(notice, Notice::PeerConnected { .. });
    world.node(node).notices.iter().filter(connected).count()
}

// Places.

#[test]
fn one_address_gets_a_handful_of_the_places_of_a_torrent() {
    let content = content();
    let (mut world, node) = alone(1, &content);
    for n in 0..150 {
        let from = SocketAddr::new(addr("20.0.0.1:0").ip(), 10_000 + n);
        world.connect_script_from(node, from, idle(&content, n.into()));
        world.run(1);
    }
    assert_eq!(from_host(&world, node, "20.0.0.1"), 8);
    // Of IPv6, a /64 counts as one address.
    for n in 0..150 {
        let from = addr(&format!("[2001:db8:1:2::{n:x}]:7"));
        world.connect_script_from(node, from, idle(&content, 1000 + n));
    }
    world.run(2);
    let v6 = connected(&world, node).iter().filter(|addr| addr.is_ipv6()).count();
    assert_eq!(v6, 8);
    world.connect_script_from(node, addr("30.0.0.1:7"), honest(&content, 9999));
    assert!(world.run_until(60, |world| world.is_complete(node)));
}

#[test]
fn on_this_machine_addresses_are_not_counted() {
    let content = content();
    let (mut world, node) = alone(2, &content);
    for n in 0..30 {
        let from = SocketAddr::new(addr("127.0.0.1:0").ip(), 10_000 + n);
        world.connect_script_from(node, from, idle(&content, n.into()));
    }
    world.run(2);
    assert_eq!(from_host(&world, node, "127.0.0.1"), 30);
}

#[test]
fn several_peers_behind_one_address_are_all_served() {
    let content = content();
    let mut world = World::new(3);
    let node = world.add_node();
    world.seed(node, &content);
    world.run(2);
    let heard: Vec<_> = (0..6)
        .map(|n| {
            let puppet = Puppet::new(&content, b'n').called(id(n));
            let shown = puppet.shown();
            let from = SocketAddr::new(addr("20.0.0.1:0").ip(), 10_000 + n as u16);
            world.connect_script_from(node, from, puppet.boxed());
            shown
        })
        .collect();
    world.run(2);
    assert!(heard.iter().all(|shown| shown.borrow().is_some()));
    assert_eq!(from_host(&world, node, "20.0.0.1"), 6);
}

#[test]
fn when_places_are_short_the_address_that_has_most_gives_way() {
    let content = content();
    let config = Config { max_connections_per_torrent: 16, ..Config::default() };
    let (mut world, node) = alone_with(4, &content, config);
    for host in 1..=2 {
        for n in 0..8 {
            let from = addr(&format!("20.0.{host}.1:{}", 10_000 + n));
            world.connect_script_from(node, from, idle(&content, host * 100 + n));
        }
    }
    world.run(5);
    assert_eq!(connected(&world, node).len(), 16);
    // Each of these has an address of its own, and each gets a place.
    for n in 0..8 {
        let from = addr(&format!("30.0.{n}.1:7"));
        world.connect_script_from(node, from, idle(&content, 500 + n));
        world.run(1);
        assert_eq!(from_host(&world, node, &format!("30.0.{n}.1")), 1, "newcomer {n}");
    }
    assert_eq!(connected(&world, node).len(), 16);
    assert_eq!(from_host(&world, node, "20.0.1.1"), 4);
    assert_eq!(from_host(&world, node, "20.0.2.1"), 4);
}

#[test]
fn when_the_whole_engine_is_full_the_address_that_has_most_gives_way() {
    let contents: Vec<Content> =
        (0..3).map(|n| Content::new(&format!("full {n}"), 100_000, 16_384)).collect();
    let mut world = World::new(5);
    let node = world.add_node_with(Config { max_connections: 20, ..Config::default() });
    for content in &contents {
        world.add(node, content, PeerOptions::default());
    }
    world.run(1);
    for (place, content) in contents.iter().enumerate() {
        for n in 0..8 {
            let from = addr(&format!("20.0.0.1:{}", 10_000 + 100 * place + n));
            world.connect_script_from(node, from, idle(content, n as u32));
            world.run(1);
        }
    }
    assert!(from_host(&world, node, "20.0.0.1") >= 19);
    world.connect_script_from(node, addr("30.0.0.1:7"), idle(&contents[0], 77));
    world.run(5);
    assert_eq!(from_host(&world, node, "30.0.0.1"), 1);
}

/// Says nothing at all.
struct Mute;

impl Script for Mute {
    fn connected(&mut self) -> Vec<ScriptAction> {
        Vec::new()
    }

    fn received(&mut self, _: &[u8]) -> Vec<ScriptAction> {
        Vec::new()
    }
}

#[test]
fn strangers_of_one_address_do_not_take_all_places_for_handshakes() {
    let content = content();
    let (mut world, node) = alone(6, &content);
    for n in 0..300 {
        let from = addr(&format!("20.0.0.1:{}", 10_000 + n));
        world.connect_script_from(node, from, Box::new(Mute));
    }
    world.run(1);
    assert!(world.node(node).engine.stats().handshaking <= 8);
    // Of two hundred addresses none has more than its own, and newcomers are let in all the same.
    for n in 0..300 {
        let from = addr(&format!("20.0.{}.1:7", n % 200));
        world.connect_script_from(node, from, Box::new(Mute));
    }
    world.run(2);
    world.connect_script_from(node, addr("30.0.0.1:7"), honest(&content, 1));
    assert!(world.run_until(60, |world| world.is_complete(node)));
}

#[test]
fn addresses_that_wait_get_the_places_of_an_idle_crowd() {
    let content = content();
    let config = Config { max_connections_per_torrent: 8, ..Config::default() };
    let (mut world, node) = alone_with(7, &content, config);
    for n in 0..8 {
        let from = addr(&format!("20.0.0.1:{}", 10_000 + n));
        world.connect_script_from(node, from, idle(&content, n));
    }
    world.run(2);
    assert_eq!(from_host(&world, node, "20.0.0.1"), 8);
    let seed = world.add_node();
    world.seed(seed, &content);
    let (torrent, peers) = (world.node(node).torrents()[0], vec![world.node(seed).addr]);
    let add = AddPeers { torrent, peers, source: PeerSource::Tracker };
    world.command(node, Command::AddPeers(Box::new(add)));
    assert!(world.run_until(50, |world| world.is_complete(node)));
}

#[test]
fn a_host_that_many_ports_are_named_of_is_not_called_on_all_of_them() {
    let content = content();
    let (mut world, node) = alone(8, &content);
    let torrent = world.node(node).torrents()[0];
    let peers = (1..=200).map(|port| SocketAddr::new(addr("20.0.0.1:0").ip(), port)).collect();
    let add = AddPeers { torrent, peers, source: PeerSource::Tracker };
    world.command(node, Command::AddPeers(Box::new(add)));
    world.run(1);
    assert!(world.node(node).engine.stats().half_open <= 8);
    assert!(world.node(node).engine.torrent(torrent).unwrap().candidates <= 8);
}

// Addresses that are known.

#[test]
fn peers_that_come_and_go_and_name_ports_leave_a_bounded_number_of_addresses() {
    let content = content();
    let config = Config { max_candidates: 40, pex: false, ..Config::default() };
    let (mut world, node) = alone_with(9, &content, config);
    for n in 0..300u32 {
        let handshake = ExtendedHandshake { p: Some(6881), ..ExtendedHandshake::default() };
        let hello = Message::Extended { id: 0, payload: handshake.encode().into() };
        let puppet = Puppet::new(&content, b'c').called(id(n)).opening(vec![hello]);
        let from = addr(&format!("20.{}.{}.1:7", n / 100, n % 100));
        world.connect_script_from(node, from, Box::new(Brief(puppet.boxed())));
        world.run(1);
    }
    let torrent = world.node(node).torrents()[0];
    assert!(rounds(&world, node) >= 300);
    let known = world.node(node).engine.torrent(torrent).unwrap().candidates;
    assert!((1..=40).contains(&known), "{known} addresses");
}

/// Leaves as soon as it has been answered.
struct Brief(Box<dyn Script>);

impl Script for Brief {
    fn connected(&mut self) -> Vec<ScriptAction> {
        self.0.connected()
    }

    fn received(&mut self, bytes: &[u8]) -> Vec<ScriptAction> {
        let mut actions = self.0.received(bytes);
        if bytes.len() > 68 {
            actions.push(ScriptAction::Close);
        }
        actions
    }
}

#[test]
fn what_one_peer_names_does_not_keep_out_what_others_name() {
    let content = content();
    let config = Config { max_candidates: 80, ..Config::default() };
    let (mut world, node) = alone_with(10, &content, config);
    let names = |first: u32, count: u32| {
        let named = (first..first + count)
            .map(|n| (addr(&format!("40.{}.{}.1:7", n / 200, n % 200)), PexFlags(0)));
        let message = PexMessage { added: named.collect(), ..PexMessage::default() };
        Message::Extended { id: 1, payload: message.encode().into() }
    };
    for (n, host) in ["20.0.0.1:7", "20.0.0.1:8", "20.0.0.1:9"].into_iter().enumerate() {
        let n = n as u32;
        let opening = vec![names(n * 100, 50), names(n * 100 + 50, 50)];
        let puppet = Puppet::new(&content, b'x').called(id(n)).opening(opening);
        world.connect_script_from(node, addr(host), puppet.boxed());
    }
    world.run(2);
    let torrent = world.node(node).torrents()[0];
    let known = |world: &World| world.node(node).engine.torrent(torrent).unwrap().candidates;
    assert!((10..=13).contains(&known(&world)), "{} addresses", known(&world));
    let other = Puppet::new(&content, b'y').called(id(50)).opening(vec![names(1000, 10)]);
    world.connect_script_from(node, addr("30.0.0.1:7"), other.boxed());
    world.run(2);
    assert!(known(&world) >= 20, "{} addresses", known(&world));
}

// Blame.

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
    let sent = Rc::new(RefCell::new(0));
    let count = sent.clone();
    let puppet = Puppet::seed(content, b'v', move |_, mut block| {
        let mut count = count.borrow_mut();
        *count += 1;
        if *count % one_in == 0 {
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
    let (mut world, node) = alone(38, &content);
    // Three blocks of four: each piece is finished by the next connection.
    let script = |n| poison(&content, n, 1, 3);
    let rounds = let_in(&mut world, &[node], ports_of("20.0.0.1"), script);
    assert!(rounds <= 3, "{rounds} rounds");
    world.connect_script_from(node, addr("20.0.0.2:7"), honest(&content, 99));
    assert!(world.run_until(60, |world| world.is_complete(node)));
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
    let torrent = world.node(node).torrents()[0];
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
        let pieces = content.metainfo.geometry.pieces();
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
        let length = content.metainfo.info.len() as i64;
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

// Who somebody is.

#[test]
fn an_honest_peers_id_at_another_address_throws_nobody_out() {
    let content = content();
    let (mut world, node) = alone(40, &content);
    for (n, larger) in [0xff, 0x00].into_iter().enumerate() {
        // Ids above and below any of ours: whoever has to give way to whom.
        let shown = PeerId([larger; 20]);
        let friend = addr(&format!("20.0.{n}.1:7"));
        let script = Puppet::new(&content, b'h').called(shown).boxed();
        world.connect_script_from(node, friend, script);
        world.run(1);
        for stranger in 0..5 {
            let from = addr(&format!("30.0.{n}.{stranger}:7"));
            world.connect_script_from(
                node,
                from,
                Puppet::new(&content, b'x').called(shown).boxed(),
            );
            world.run(1);
        }
        assert!(connected(&world, node).contains(&friend));
    }
}

#[test]
fn who_shows_an_honest_peers_id_first_does_not_keep_it_out() {
    let content = content();
    let (mut world, node) = alone(41, &content);
    let stranger = Puppet::new(&content, b'x').called(id(1)).boxed();
    world.connect_script_from(node, addr("30.0.0.1:7"), stranger);
    world.run(5);
    let mut left = 8;
    let honest = Puppet::seed(&content, b'h', move |_, block| {
        left -= 1;
        (left >= 0).then_some(block)
    });
    world.connect_script_from(node, addr("20.0.0.1:7"), honest.called(id(1)).boxed());
    world.run(5);
    assert!(connected(&world, node).contains(&addr("20.0.0.1:7")));
    // And now that the honest one has proven itself, nobody else passes for it.
    let again = Puppet::new(&content, b'x').called(id(1)).boxed();
    world.connect_script_from(node, addr("30.0.0.2:7"), again);
    world.run(1);
    assert!(!connected(&world, node).contains(&addr("30.0.0.2:7")));
}

#[test]
fn a_peer_that_calls_from_the_port_that_we_called_is_one_peer() {
    let content = content();
    let mut world = World::new(42);
    let node = world.add_node();
    let script = content.clone();
    let listens = world.add_script(move || idle(&script, 1));
    world.add(node, &content, PeerOptions { peers: vec![listens], ..Default::default() });
    world.run(2);
    assert_eq!(connected(&world, node), [listens]);
    world.connect_script_from(node, listens, idle(&content, 2));
    world.run(2);
    assert_eq!(connected(&world, node), [listens]);
}

#[test]
fn two_torrents_of_one_run_show_two_ids_and_two_keys() {
    let url = "http://tracker.example/announce";
    let contents: Vec<Content> =
        (0..2).map(|n| Content::tracked(&format!("own {n}"), 100_000, 16_384, &[url])).collect();
    let mut world = World::new(43);
    world.trackers.insert(url.into(), Default::default());
    let node = world.add_node();
    contents.iter().for_each(|content| world.seed(node, content));
    world.run(2);
    let shown: Vec<Handshake> = contents
        .iter()
        .map(|content| {
            let puppet = Puppet::new(content, b'k');
            let shown = puppet.shown();
            world.connect_script(node, puppet.boxed());
            world.run(1);
            let handshake = shown.borrow();
            handshake.expect("a handshake")
        })
        .collect();
    assert_ne!(shown[0].peer_id, shown[1].peer_id);
    world.run(3600);
    let announces = &world.trackers[url].announces;
    let of = |key: &str, value: &str| {
        let such = announces.iter().filter(|announce| announce.query[key] == value).count();
        assert!(such >= 2, "{key} {value} in {} announces", announces.len());
    };
    let mut seen: Vec<(String, String, String)> = announces
        .iter()
        .map(|a| ["info_hash", "peer_id", "key"].map(|key| a.query[key].clone()).into())
        .collect();
    seen.iter().for_each(|(hash, id, key)| {
        of("info_hash", hash);
        of("peer_id", id);
        of("key", key);
    });
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 2, "each torrent keeps its id and its key: {seen:?}");
    assert!(seen[0].1 != seen[1].1 && seen[0].2 != seen[1].2);
}
