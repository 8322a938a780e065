//! How many places one host gets, and who gives way when they are short.

use std::time::Duration;

use bytes::Bytes;
use eddyline::Encryption;

use super::*;

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
fn many_addresses_in_few_blocks_do_not_displace_one_that_stands_alone() {
    let content = content();
    let config = Config { max_connections_per_torrent: 24, ..Config::default() };
    let (mut world, node) = alone_with(6, &content, config);
    world.connect_script_from(node, addr("30.0.0.1:7"), idle(&content, 1));
    for host in 0..80 {
        let from = addr(&format!("2{}.0.0.{}:7", host % 8, 1 + host / 8));
        world.connect_script_from(node, from, idle(&content, 100 + host));
        world.run(1);
    }
    assert_eq!(connected(&world, node).len(), 24);
    assert_eq!(from_host(&world, node, "30.0.0.1"), 1);
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

/// Says this at first, and nothing else.
struct Begins(&'static [u8]);

impl Script for Begins {
    fn connected(&mut self) -> Vec<ScriptAction> {
        vec![ScriptAction::Send(Bytes::from_static(self.0))]
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
fn addresses_that_accept_and_say_nothing_keep_out_nobody_who_calls() {
    let content = content();
    let config = Config { max_half_open: 200, ..Config::default() };
    let (mut world, node) = alone_with(12, &content, config);
    let silent = (0..200).map(|_| world.add_script(|| Box::new(Mute))).collect();
    world.add_peers(node, silent, PeerSource::Tracker);
    world.run_for(Duration::from_millis(1500));
    assert!(world.node(node).engine.stats().handshaking >= 100);
    world.connect_script_from(node, addr("30.0.0.1:7"), honest(&content, 1));
    world.run_for(Duration::from_millis(500));
    assert!(met(&world, node, "30.0.0.1"));
}

#[test]
fn dead_addresses_that_one_source_names_do_not_delay_those_of_another() {
    let content = content();
    let (mut world, node) = alone(14, &content);
    let dead = (0..100).map(|_| world.add_half_open()).collect();
    world.add_peers(node, dead, PeerSource::Tracker);
    world.run(1);
    // One that names much takes half of the places.
    assert_eq!(world.node(node).engine.stats().half_open, 15);
    let seed = world.add_node();
    world.seed(seed, &content);
    world.add_peers(node, vec![world.node(seed).addr], PeerSource::Pex);
    assert!(world.run_until(3, |world| world.is_complete(node)));
}

#[test]
fn when_every_place_is_taken_the_next_goes_to_who_has_none_and_the_users_own_at_once() {
    use PeerSource::{Dht, Lsd, Pex, Resume, Tracker};
    let content = content();
    let (mut world, node) = alone(15, &content);
    for source in [Tracker, Dht, Pex, Lsd] {
        let dead = (0..60).map(|_| world.add_half_open()).collect();
        world.add_peers(node, dead, source);
        world.run(1);
    }
    let last = world.add_half_open();
    world.add_peers(node, vec![last], Resume);
    world.run(1);
    assert_eq!(world.node(node).engine.stats().half_open, 30);
    // Five seconds later all of them are still being called.
    let seed = world.add_node();
    world.seed(seed, &content);
    let addr = world.node(seed).addr;
    world.introduce(node, addr);
    assert!(world.run_until(3, |world| world.is_complete(node)));
}

/// Whether somebody of a host has been a peer.
fn met(world: &World, node: NodeId, host: &str) -> bool {
    let host: IpAddr = host.parse().unwrap();
    let peer = |n: &Notice| matches!(n, Notice::PeerConnected { addr, .. } if addr.ip() == host);
    world.node(node).notices.iter().any(peer)
}

#[test]
fn who_took_places_to_shake_hands_in_for_nothing_gives_way_to_anyone_else() {
    let content = content();
    let (mut world, node) = alone(11, &content);
    // All places are taken at each moment, each by somebody who has been here for less than a second.
    let rush = |world: &mut World| {
        for n in 0..200 {
            let from = addr(&format!("20.0.{n}.1:7"));
            world.connect_script_from(node, from, Box::new(Mute));
        }
        world.run_for(Duration::from_millis(700));
    };
    for _ in 0..4 {
        rush(&mut world);
    }
    world.connect_script_from(node, addr("30.0.0.1:7"), honest(&content, 1));
    world.run_for(Duration::from_millis(500));
    assert!(met(&world, node, "30.0.0.1"), "one that shakes hands is let in at once");
}

#[test]
fn a_thousand_fresh_callers_a_second_that_do_not_shake_hands_keep_out_nobody_who_does() {
    for encrypted in [false, true] {
        let content = content();
        let policy = if encrypted { Encryption::PREFERRED } else { Encryption::default() };
        let config = Config { encryption: policy, ..Config::default() };
        let (mut world, node) = alone_with(17, &content, config);
        for n in 0..4000u32 {
            let from = addr(&format!("2{}.{}.{}.1:7", n % 10, n / 10 % 250, n / 2500));
            // Half of them say nothing, and half begin and do not go on.
            let first: &'static [u8] = if n % 2 == 0 { b"" } else { b"\x13Bit" };
            world.connect_script_from(node, from, Box::new(Begins(first)));
            // Each of these calls once.
            if n % 400 == 200 {
                let from = addr(&format!("30.0.{}.1:7", n / 400));
                world.connect_script_from(node, from, idle(&content, n));
            }
            world.run_for(Duration::from_millis(1));
        }
        world.run(1);
        let met = (0..10).filter(|n| met(&world, node, &format!("30.0.{n}.1"))).count();
        assert_eq!(met, 10, "encrypted: {encrypted}");
    }
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
    world.add_peers(node, vec![world.node(seed).addr], PeerSource::Tracker);
    assert!(world.run_until(50, |world| world.is_complete(node)));
}

/// A node with 16 places, in which peers from as many blocks of addresses are that say this and nothing else.
fn taken(seed: u64, content: &Content, has_content: bool, says: &[Message]) -> (World, NodeId) {
    let config = Config { max_connections_per_torrent: 16, ..Config::default() };
    let mut world = World::new(seed);
    let node = world.add_node_with(config);
    world.add(node, content, PeerOptions { has_content, ..PeerOptions::default() });
    world.run(1);
    for n in 0..40 {
        let puppet = Puppet::new(content, b'i').called(id(n)).opening(says.to_vec());
        world.connect_script_from(node, addr(&format!("2{}.{n}.0.1:7", n % 10)), puppet.boxed());
        world.run_for(Duration::from_millis(100));
    }
    assert_eq!(connected(&world, node).len(), 16);
    (world, node)
}

#[test]
fn peers_that_are_interested_and_ask_for_nothing_do_not_keep_others_from_a_seed() {
    let content = content();
    let says = [Message::HaveNone, Message::Interested];
    let (mut world, seed) = taken(18, &content, true, &says);
    world.run(120);
    // Whatever rank their addresses have.
    for n in 0..10 {
        let puppet = Puppet::new(&content, b'n').called(id(500 + n)).opening(says.to_vec());
        world.connect_script_from(seed, addr(&format!("3{n}.0.0.1:7")), puppet.boxed());
        world.run(1);
    }
    let welcome = (0..10).filter(|n| from_host(&world, seed, &format!("3{n}.0.0.1")) == 1).count();
    assert_eq!(welcome, 10);
}

#[test]
fn peers_that_have_everything_and_give_nothing_keep_nobody_out_who_gives() {
    let content = content();
    for n in 0..5 {
        let (mut world, node) = taken(19 + n, &content, false, &[Message::HaveAll]);
        world.run(90);
        let from = addr(&format!("3{n}.0.0.1:7"));
        world.connect_script_from(node, from, honest(&content, 999));
        assert!(world.run_until(60, |world| world.is_complete(node)), "from {from}");
    }
}

#[test]
fn one_block_of_addresses_does_not_take_all_connections_of_an_engine() {
    let content = content();
    // No torrent is full here, however many connect.
    let config = Config { max_connections: 20, ..Config::default() };
    let (mut world, node) = alone_with(13, &content, config);
    for n in 0..40 {
        let from = addr(&format!("[2001:db8:1:{n:x}::1]:7"));
        world.connect_script_from(node, from, idle(&content, n));
        world.run(1);
    }
    assert_eq!(connected(&world, node).len(), 20);
    world.connect_script_from(node, addr("30.0.0.1:7"), honest(&content, 99));
    assert!(world.run_until(60, |world| world.is_complete(node)));
}

#[test]
fn a_host_that_many_ports_are_named_of_is_not_called_on_all_of_them() {
    let content = content();
    let (mut world, node) = alone(8, &content);
    let torrent = world.torrent(node);
    let peers = (1..=200).map(|port| SocketAddr::new(addr("20.0.0.1:0").ip(), port)).collect();
    world.add_peers(node, peers, PeerSource::Tracker);
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
    let torrent = world.torrent(node);
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
    let torrent = world.torrent(node);
    let known = |world: &World| world.node(node).engine.torrent(torrent).unwrap().candidates;
    assert!((10..=13).contains(&known(&world)), "{} addresses", known(&world));
    let other = Puppet::new(&content, b'y').called(id(50)).opening(vec![names(1000, 10)]);
    world.connect_script_from(node, addr("30.0.0.1:7"), other.boxed());
    world.run(2);
    assert!(known(&world) >= 20, "{} addresses", known(&world));
}
