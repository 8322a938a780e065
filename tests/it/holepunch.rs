//! Hole punching (BEP 55): who is behind a router is met through a third, and nobody is made to call strangers for it.

use std::net::SocketAddr;

use eddyline::peer::{OUR_HOLEPUNCH_ID, OUR_PEX_ID};
use eddyline::trace::{Replayer, Trace, redact};
use eddyline::wire::{
    ExtendedHandshake, HolepunchError, HolepunchKind, HolepunchMessage, Message, PexFlags,
    PexMessage,
};
use eddyline::{Config, Notice, PeerSource, Reachability, Transport, Transports};
use eddyline_sim::{Content, Heard, Nat, NodeId, PeerOptions, Puppet, World};

fn config() -> Config {
    Config { transports: Transports::Both, ..Config::default() }
}

fn content() -> Content {
    Content::new("hole", 3_000_000, 32_768)
}

/// What a peer says first that takes introductions under the number 9, and what peers are named under 8.
fn introduced_under_nine() -> Message {
    let m = [("ut_holepunch".to_owned(), 9), ("ut_pex".to_owned(), 8)].into();
    let handshake = ExtendedHandshake {
        m,
        p: Some(7000),
        yourip: Some([10, 0, 0, 1].into()),
        ..Default::default()
    };
    Message::Extended { id: 0, payload: handshake.encode().into() }
}

fn say(kind: HolepunchKind, addr: &str) -> Message {
    let message = HolepunchMessage::new(kind, addr.parse().unwrap());
    Message::Extended { id: OUR_HOLEPUNCH_ID, payload: message.encode().into() }
}

fn name(addr: &str, flags: u8) -> Message {
    let added = vec![(addr.parse().unwrap(), PexFlags(flags))];
    let message = PexMessage { added, dropped: vec![] };
    Message::Extended { id: OUR_PEX_ID, payload: message.encode().into() }
}

/// What a puppet has heard about holes.
fn told(heard: &Heard) -> Vec<HolepunchMessage> {
    let heard = heard.borrow();
    let told = heard.iter().filter_map(|message| match message {
        Message::Extended { id: 9, payload } => HolepunchMessage::decode(payload).ok(),
        _ => None,
    });
    told.collect()
}

fn errors(heard: &Heard) -> Vec<u32> {
    told(heard)
        .iter()
        .filter(|m| m.kind == HolepunchKind::Error)
        .map(|message| message.error)
        .collect()
}

/// One who is told of another by a third that both are connected to; the other one has been told of nobody. Whether
/// they meet within two minutes, and how.
fn meet(nats: [Nat; 2], target: Config, record: bool) -> (World, NodeId, Option<Transport>) {
    let content = content();
    let mut world = World::new(61);
    let (relay, asker) = (world.add_node_with(config()), world.add_node_with(config()));
    let target = world.add_node_with(Config { pex: false, ..target });
    if record {
        [relay, asker, target].iter().for_each(|node| world.node_mut(*node).record());
    }
    for (node, nat) in [(asker, nats[0]), (target, nats[1])] {
        world.node_mut(node).nat = nat;
    }
    for node in [relay, target] {
        world.node_mut(node).access.up = Some(10_000);
    }
    world.add(relay, &content, PeerOptions::default());
    let peers = vec![world.node(relay).addr];
    world.add(target, &content, PeerOptions { peers, has_content: true, ..Default::default() });
    world.run(5);
    world.leech(asker, &content, &[relay]);
    let there = world.node(target).addr.ip();
    let how = |world: &World| {
        world.node(asker).notices.iter().find_map(|notice| match notice {
            Notice::PeerConnected { addr, transport, .. } if addr.ip() == there => Some(*transport),
            _ => None,
        })
    };
    world.run_until(120, |world| how(world).is_some());
    let how = how(&world);
    (world, asker, how)
}

#[test]
fn two_behind_routers_meet_through_a_third_over_utp() {
    for nats in [
        [Nat::Restricted, Nat::Restricted],
        [Nat::Restricted, Nat::PortRestricted],
        [Nat::PortRestricted, Nat::PortRestricted],
        [Nat::PortRestricted, Nat::Restricted],
        [Nat::Open, Nat::PortRestricted],
        [Nat::Symmetric, Nat::Restricted],
    ] {
        let (world, asker, how) = meet(nats, config(), false);
        assert_eq!(how, Some(Transport::Utp), "{nats:?}");
        let torrent = world.torrent(asker);
        assert_eq!(world.node(asker).engine.peers(torrent).len(), 2, "{nats:?}");
    }
}

#[test]
fn routers_with_a_port_for_each_destination_are_not_passed() {
    for nats in [[Nat::Symmetric, Nat::PortRestricted], [Nat::Symmetric, Nat::Symmetric]] {
        assert_eq!(meet(nats, config(), false).2, None, "{nats:?}");
    }
}

#[test]
fn who_does_not_want_to_be_introduced_is_not() {
    let without = Config { holepunch: false, ..config() };
    let nats = [Nat::PortRestricted, Nat::PortRestricted];
    assert_eq!(meet(nats, without, false).2, None);
    // Nor is who speaks TCP alone.
    assert_eq!(meet(nats, Config::default(), false).2, None);
}

#[test]
fn a_run_with_introductions_replays_and_is_redacted() {
    let (mut world, ..) = meet([Nat::PortRestricted, Nat::PortRestricted], config(), true);
    for node in 0..3 {
        let trace = Trace::parse(world.node_mut(node).trace()).unwrap();
        // Which pieces a peer may have at once follows from its address, which is another one there; so it goes another
        // way, but it goes.
        let redacted = redact(&trace).unwrap();
        assert_eq!(Trace::parse(redacted.trace.into()).unwrap().len(), trace.len());
        let mut replayer = Replayer::new(trace).unwrap();
        while let Some(outcome) = replayer.forward().unwrap() {
            outcome.same().unwrap_or_else(|divergence| panic!("{divergence:?}"));
        }
        assert_eq!(replayer.engine().state_digest(), world.node(node).engine.state_digest());
    }
}

/// A node that introduces, with a peer at 55.1.2.3 that says `asks`; and what it is told.
fn asked(asks: Vec<Message>, others: Vec<(&str, Puppet)>) -> (World, Heard) {
    let content = content();
    let mut world = World::new(62);
    let node = world.add_node_with(config());
    world.add(node, &content, PeerOptions::default());
    world.run(1);
    for (addr, puppet) in others {
        world.connect_script_from(node, addr.parse().unwrap(), puppet.boxed());
    }
    world.run(1);
    let opening = [vec![Message::HaveNone, introduced_under_nine()], asks].concat();
    let asker = Puppet::new(&content, b'A').opening(opening);
    let heard = asker.heard();
    world.connect_script_from(node, "55.1.2.3:4000".parse().unwrap(), asker.boxed());
    world.run(5);
    (world, heard)
}

fn quiet(named: u8) -> Puppet {
    Puppet::new(&content(), named).opening(vec![Message::HaveNone])
}

fn willing(named: u8) -> Puppet {
    quiet(named).also_opening(introduced_under_nine())
}

#[test]
fn who_cannot_be_introduced_is_told_why() {
    let shy = ExtendedHandshake { p: Some(7000), ..Default::default() };
    let shy = Message::Extended { id: 0, payload: shy.encode().into() };
    let others =
        vec![("66.1.1.1:5000", quiet(b'N').also_opening(shy)), ("192.168.3.3:5000", willing(b'L'))];
    let ask = |addr| say(HolepunchKind::Rendezvous, addr);
    let asks = vec![
        ask("66.7.7.7:7000"),
        ask("66.1.1.1:7000"),
        ask("55.1.2.3:7000"),
        ask("10.0.0.1:6881"),
        ask("66.1.1.1:0"),
        ask("224.0.0.1:7000"),
        // Somebody in our own network: nothing that a stranger should hear of.
        ask("192.168.3.3:7000"),
        ask("[2001:db8::1]:7000"),
    ];
    let (_, heard) = asked(asks, others);
    let no = |why: HolepunchError| why as u32;
    use HolepunchError::{NoSelf, NoSuchPeer, NoSupport, NotConnected};
    let expected = [
        no(NotConnected),
        no(NoSupport),
        no(NoSelf),
        no(NoSelf),
        no(NoSuchPeer),
        no(NoSuchPeer),
        no(NoSuchPeer),
        no(NotConnected),
    ];
    assert_eq!(errors(&heard), expected);
    let said: Vec<_> = told(&heard).iter().map(|message| message.addr.to_string()).collect();
    assert_eq!(said[0], "66.7.7.7:7000", "the address is repeated");
    assert_eq!(said[7], "[2001:db8::1]:7000");
}

#[test]
fn both_are_told_of_each_other_and_flags_say_who_can_be() {
    let other = willing(b'W');
    let theirs = other.heard();
    let asks = vec![say(HolepunchKind::Rendezvous, "66.1.1.1:7000")];
    let (mut world, ours) = asked(asks, vec![("66.1.1.1:5000", other)]);
    let told_of = |heard: &Heard| {
        let told: Vec<_> = told(heard).iter().map(|m| (m.kind, m.addr.to_string())).collect();
        told
    };
    assert_eq!(told_of(&ours), [(HolepunchKind::Connect, "66.1.1.1:7000".to_owned())]);
    assert_eq!(told_of(&theirs), [(HolepunchKind::Connect, "55.1.2.3:7000".to_owned())]);
    world.run(60);
    let heard = ours.borrow();
    let mut named = heard.iter().filter_map(|message| match message {
        Message::Extended { id: 8, payload } => PexMessage::decode(payload).ok(),
        _ => None,
    });
    let there: SocketAddr = "66.1.1.1:7000".parse().unwrap();
    let flags = named.find_map(|pex| pex.added.iter().find(|(addr, _)| *addr == there).copied());
    assert_eq!(flags.map(|(_, flags)| flags.0), Some(PexFlags::HOLEPUNCH));
}

#[test]
fn who_does_not_know_the_extension_is_not_listened_to() {
    let content = content();
    let mut world = World::new(63);
    let node = world.add_node_with(config());
    world.add(node, &content, PeerOptions::default());
    let other = willing(b'W');
    let heard = other.heard();
    world.connect_script_from(node, "66.1.1.1:5000".parse().unwrap(), other.boxed());
    world.run(1);
    let asker = quiet(b'A')
        .also_opening(say(HolepunchKind::Rendezvous, "66.1.1.1:7000"))
        .also_opening(say(HolepunchKind::Connect, "77.1.1.1:7000"));
    let answers = asker.heard();
    world.connect_script_from(node, "55.1.2.3:4000".parse().unwrap(), asker.boxed());
    world.run(5);
    assert_eq!((told(&heard).len(), told(&answers).len()), (0, 0));
    let torrent = world.torrent(node);
    assert_eq!(world.node(node).engine.torrent(torrent).unwrap().candidates, 2);
}

#[test]
fn a_flood_of_questions_reaches_nobody_and_is_hardly_answered() {
    let other = willing(b'W');
    let theirs = other.heard();
    let asks = (0..500).map(|n| match n % 2 {
        0 => say(HolepunchKind::Rendezvous, "66.1.1.1:7000"),
        _ => say(HolepunchKind::Rendezvous, &format!("66.2.{}.1:7000", n / 2)),
    });
    let (_, ours) = asked(asks.collect(), vec![("66.1.1.1:5000", other)]);
    assert_eq!((told(&theirs).len(), told(&ours).len()), (10, 20));
}

/// How many addresses a node knows that a peer at `from` has told to call these.
fn made_to_know(from: &str, named: Vec<String>) -> u32 {
    let content = content();
    let mut world = World::new(64);
    let node = world.add_node_with(config());
    world.add(node, &content, PeerOptions::default());
    world.run(1);
    let mut puppet = willing(b'F');
    for addr in named {
        puppet = puppet.also_opening(say(HolepunchKind::Connect, &addr));
    }
    world.connect_script_from(node, from.parse().unwrap(), puppet.boxed());
    world.run(10);
    let torrent = world.torrent(node);
    // The peer itself is known as well.
    world.node(node).engine.torrent(torrent).unwrap().candidates - 1
}

#[test]
fn one_peer_makes_us_call_few_strangers() {
    let many = (0..400).map(|n| format!("44.{}.{}.1:80", n / 200, n % 200));
    assert_eq!(made_to_know("55.1.2.3:4000", many.collect()), 8);
}

#[test]
fn nobody_far_away_introduces_us_to_our_own_network() {
    let named = ["192.168.1.1:80", "127.0.0.1:80", "[fe80::1]:80", "44.5.6.7:80", "44.5.6.7:0"];
    let named = || named.map(str::to_owned).to_vec();
    assert_eq!(made_to_know("55.1.2.3:4000", named()), 1);
    assert_eq!(made_to_know("10.9.9.9:4000", named()), 3);
}

/// The peer that named an address last is asked first, and the other one when it refuses.
#[test]
fn where_one_refuses_another_one_is_asked() {
    let content = content();
    let mut world = World::new(65);
    let node = world.add_node_with(config());
    world.node_mut(node).nat = Nat::PortRestricted;
    world.add(node, &content, PeerOptions::default());
    world.run(1);
    let mut heard = Vec::new();
    for (named, from) in [(b'1', "55.1.2.3:4000"), (b'2', "66.1.2.3:4000")] {
        let relay = willing(named).also_opening(name("44.5.6.7:80", PexFlags::HOLEPUNCH));
        let relay = relay.also_answering(|message| {
            let Message::Extended { id: 9, payload } = message else { return None };
            let asked = HolepunchMessage::decode(payload).ok()?;
            let no = HolepunchMessage::refusal(asked.addr, HolepunchError::NotConnected);
            Some(Message::Extended { id: OUR_HOLEPUNCH_ID, payload: no.encode().into() })
        });
        heard.push(relay.heard());
        world.connect_script_from(node, from.parse().unwrap(), relay.boxed());
        world.run_for(std::time::Duration::from_millis(100));
    }
    world.run(30);
    for heard in &heard {
        let told = told(heard);
        let asked: Vec<_> = told.iter().map(|message| (message.kind, message.addr)).collect();
        assert_eq!(asked, [(HolepunchKind::Rendezvous, "44.5.6.7:80".parse().unwrap())]);
    }
    // Who was introduced is called, and known as named by a peer.
    let torrent = world.torrent(node);
    let view = world.node(node).engine.torrent(torrent).unwrap();
    assert_eq!((view.candidates, PeerSource::Pex.is_hearsay()), (3, true));
}

fn reachability(world: &World) -> Vec<Reachability> {
    let told = world.node(0).notices.iter().filter_map(|notice| match notice {
        Notice::Reachability { state, .. } => Some(*state),
        _ => None,
    });
    told.collect()
}

#[test]
fn who_comes_from_the_internet_shows_that_we_can_be_reached() {
    let (world, _) = asked(Vec::new(), Vec::new());
    assert_eq!(reachability(&world), [Reachability::OverTcp]);
    assert_eq!(world.node(0).engine.reachability(), Reachability::OverTcp);
}

#[test]
fn who_reaches_many_and_is_reached_by_nobody_is_told_so_with_its_address() {
    let content = content();
    let mut world = World::new(66);
    let node = world.add_node_with(config());
    world.node_mut(node).nat = Nat::PortRestricted;
    let addr = |n: u8| SocketAddr::from(([n, 9, 9, 1], 6881));
    for n in 20..60 {
        let content = content.clone();
        world.add_script_at(addr(n), move || {
            let seen =
                ExtendedHandshake { yourip: Some([77, 7, 7, 7].into()), ..Default::default() };
            let seen = Message::Extended { id: 0, payload: seen.encode().into() };
            let puppet = Puppet::new(&content, n).opening(vec![Message::HaveNone, seen]);
            puppet.boxed()
        });
    }
    world.add(
        node,
        &content,
        PeerOptions { peers: (20..40).map(addr).collect(), ..Default::default() },
    );
    world.run(620);
    assert_eq!(reachability(&world), []);
    world.add_peers(node, (40..60).map(addr).collect(), PeerSource::User);
    world.run(5);
    let last = world.node(node).notices.iter().rev().find_map(|notice| match notice {
        Notice::Reachability { state, address } => Some((*state, *address)),
        _ => None,
    });
    assert_eq!(last, Some((Reachability::Closed, Some([77, 7, 7, 7].into()))));
}
