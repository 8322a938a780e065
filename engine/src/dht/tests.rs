//! Unit tests of the parts of the DHT; `eddyline-sim` has networks of whole nodes.

mod shares;

use super::item_store::{ItemStore, Outdated};
use super::krpc::{Body, Query, Reply};
use super::lookup::Lookup;
use super::peer_store::{MAX_PEERS, MAX_TORRENTS, PEER_LIFE, PeerStore};
use super::table::BUCKET;
use super::tokens::{TOKEN_LIFE, Tokens};
use super::*;
use crate::base::rng::{Rng, Seed};
use crate::base::time::Instant;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

fn rng() -> Rng {
    Seed::from_u64(42).stream("test")
}

fn now() -> Instant {
    Instant::from_millis(1_000_000)
}

/// A public address of its own for each number, no two in one block.
fn addr(n: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from(0x1400_0000 + n * 256).into(), 6881)
}

fn contact(n: u32, rng: &mut Rng) -> Contact {
    let addr = addr(n);
    Contact { id: NodeId::for_address(addr.ip(), rng), addr }
}

#[test]
fn a_random_point_near_another_has_just_so_many_bits_in_common() {
    let mut rng = rng();
    let id = NodeId::random(&mut rng);
    for bits in [0, 1, 7, 8, 20, 159] {
        assert_eq!(id.random_near(bits, &mut rng).common_bits(id), bits);
    }
    assert_eq!(id.random_near(160, &mut rng), id);
}

#[test]
fn the_table_stays_bounded_and_knows_most_about_what_is_near() {
    let mut rng = rng();
    let own = NodeId::random(&mut rng);
    let mut table = Table::new(own, now());
    for n in 0..20_000 {
        table.note(contact(n, &mut rng), true, now());
        if n % 1000 == 0 {
            table.check().unwrap();
        }
    }
    assert!((80..200).contains(&table.len()), "{}", table.len());
    let near = table.nearest(own, BUCKET);
    assert_eq!(near.len(), BUCKET);
    assert!(near.iter().all(|node| node.id.common_bits(own) >= 8), "{near:?}");
}

#[test]
fn one_address_and_one_block_of_addresses_get_few_places() {
    let mut rng = rng();
    let mut table = Table::new(NodeId::random(&mut rng), now());
    for port in 1..200 {
        let same = SocketAddr::new(Ipv4Addr::new(20, 1, 1, 1).into(), port);
        table.note(Contact { id: NodeId::random(&mut rng), addr: same }, true, now());
    }
    let places = table.len();
    for host in 1..200 {
        let kin = SocketAddr::new(Ipv4Addr::new(20, 2, 2, host).into(), 1);
        table.note(Contact { id: NodeId::random(&mut rng), addr: kin }, true, now());
    }
    // No bucket is ever full, so there is only one bucket.
    assert_eq!((places, table.len()), (1, 3));
    table.check().unwrap();
}

#[test]
fn nodes_that_answer_stay_and_silent_ones_make_way() {
    let mut rng = rng();
    let own = NodeId([0; 20]);
    let mut table = Table::new(own, now());
    // All in the farthest bucket.
    let mut far = |n: u32| {
        let mut contact = contact(n, &mut rng);
        contact.id.0[0] |= 0x80;
        // Their addresses do not allow that, all alike.
        contact.id.0[1] ^= 0xff;
        contact
    };
    let first: Vec<Contact> = (0..8).map(&mut far).collect();
    for contact in &first {
        assert!(table.note(*contact, true, now()));
    }
    let late = far(100);
    assert!(!table.note(late, true, now()), "it waits in the cache");
    table.failed(first[3], now());
    assert!(table.nodes().any(|node| node.id == first[3].id), "once is no reason");
    table.failed(first[3], now());
    let ids: Vec<NodeId> = table.nodes().map(|node| node.id).collect();
    assert!(!ids.contains(&first[3].id) && ids.contains(&late.id));
    // An id does not move to another address because somebody says so.
    let thief = Contact { id: first[0].id, addr: addr(500) };
    assert!(!table.note(thief, true, now()));
    assert!(table.nodes().any(|node| node.addr == first[0].addr));
}

#[test]
fn a_token_is_good_for_its_address_and_target_and_for_a_while() {
    let mut rng = rng();
    let mut tokens = Tokens::new(&mut rng, now());
    let (ip, target) = (addr(1).ip(), [7; 20]);
    let token = tokens.token(ip, &target);
    assert!(tokens.is_valid(&token, ip, &target));
    assert!(!tokens.is_valid(&token, addr(2).ip(), &target));
    assert!(!tokens.is_valid(&token, ip, &[8; 20]));
    assert!(!tokens.is_valid(&[], ip, &target));
    tokens.rotate(&mut rng, now() + TOKEN_LIFE);
    assert!(tokens.is_valid(&token, ip, &target));
    tokens.rotate(&mut rng, now() + 2 * TOKEN_LIFE);
    assert!(!tokens.is_valid(&token, ip, &target));
    // After a long sleep nothing of before holds.
    let token = tokens.token(ip, &target);
    tokens.rotate(&mut rng, now() + 10 * TOKEN_LIFE);
    assert!(!tokens.is_valid(&token, ip, &target));
}

#[test]
fn stored_peers_are_bounded_and_expire() {
    let mut rng = rng();
    let mut store = PeerStore::default();
    let torrent = NodeId([1; 20]);
    for n in 0..2 * MAX_PEERS as u32 {
        store.announce(torrent, addr(n), n % 2 == 0, now() + Duration::from_millis(n.into()));
    }
    assert_eq!(store.len(), (1, MAX_PEERS));
    store.check().unwrap();
    let later = now() + Duration::from_secs(600);
    for n in 0..2 * MAX_TORRENTS as u32 {
        store.announce(NodeId::random(&mut rng), addr(n), false, later);
    }
    assert_eq!(store.len().0, MAX_TORRENTS);
    store.check().unwrap();
    let peers = store.peers(torrent, true, 60, &mut rng);
    assert!(peers.len() == 60 && store.peers(torrent, false, 1000, &mut rng).len() == MAX_PEERS);
    store.expire(now() + PEER_LIFE + Duration::from_secs(1));
    assert!(store.peers(torrent, false, 9, &mut rng).is_empty());
    store.expire(later + PEER_LIFE);
    assert_eq!(store.len(), (0, 0));
}

#[test]
fn filters_count_seeds_and_others() {
    let mut store = PeerStore::default();
    let torrent = NodeId([1; 20]);
    for n in 0..100 {
        store.announce(torrent, addr(n), n < 30, now());
    }
    let (seeds, others) = store.filters(torrent);
    let near = |bloom: &Bloom, count: u64| bloom.estimate_millis().abs_diff(count * 1000) < 4000;
    assert!(near(&seeds, 30) && near(&others, 70));
    let mut both = seeds.clone();
    both.merge(&others);
    assert!(near(&both, 100));
    // A filter of ones stands for many, not for infinitely many.
    assert!(Bloom::from_slice(&[0xff; FILTER_BYTES]).unwrap().estimate_millis() < 10_000_000);
}

fn mutable(seq: i64, value: &'static [u8]) -> Item {
    Item::sign(&[9; 32], Bytes::from_static(b"salt"), seq, Bytes::from_static(value)).unwrap()
}

#[test]
fn a_mutable_item_only_grows_and_only_from_what_its_owner_believes() {
    let (mut store, ip) = (ItemStore::default(), addr(1).ip());
    store.put(mutable(5, b"1:a"), ip, None, now()).unwrap();
    assert_eq!(store.put(mutable(4, b"1:b"), ip, None, now()), Err(Outdated::Sequence));
    assert_eq!(store.put(mutable(5, b"1:b"), ip, None, now()), Err(Outdated::Sequence));
    store.put(mutable(5, b"1:a"), ip, None, now()).unwrap();
    assert_eq!(store.put(mutable(6, b"1:b"), ip, Some(4), now()), Err(Outdated::Cas));
    store.put(mutable(6, b"1:b"), ip, Some(5), now()).unwrap();
    let target = mutable(6, b"1:b").target();
    assert_eq!(store.get(target).unwrap().value, &b"1:b"[..]);
}

#[test]
fn items_are_checked_before_they_are_believed() {
    let item = mutable(1, b"5:hello");
    let fields = item.fields(true);
    assert_eq!(Item::from_fields(&fields, None), Ok(item.clone()));
    let changed =
        krpc::ItemFields { value: Some(Bytes::from_static(b"5:hullo")), ..fields.clone() };
    assert_eq!(Item::from_fields(&changed, None), Err(ItemError::Signature));
    let long = krpc::ItemFields { salt: Some(alloc::vec![1; 65].into()), ..fields };
    assert_eq!(Item::from_fields(&long, None), Err(ItemError::Salt));
    assert_eq!(Item::immutable(Bytes::from_static(b"5:hell")), Err(ItemError::Malformed));
    assert_eq!(Item::immutable(alloc::vec![b'1'; 1001].into()), Err(ItemError::TooBig));
}

#[test]
fn an_answer_names_no_salt_but_the_one_that_was_asked_for() {
    let bytes = b"d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa4:salt5:other1:v5:helloe1:t2:ab1:y1:re";
    let answer = Packet::decode(bytes).unwrap();
    assert_eq!(Packet::decode(&answer.encode()).as_ref(), Ok(&answer));
    let item = reply(answer).item;
    assert_eq!((item.salt, item.value), (None, Some(Bytes::from_static(b"5:hello"))));
}

#[test]
fn a_lookup_ends_with_the_nearest_nodes_though_liars_name_nearer_ones() {
    let mut rng = rng();
    let mut all: Vec<Contact> = (0..300).map(|n| contact(n, &mut rng)).collect();
    let target = NodeId::random(&mut rng);
    let mut lookup = Lookup::new(target, &all[..8]);
    let mut asked = 0;
    while let Some(next) = lookup.next() {
        asked += 1;
        assert!(asked < 200, "it ends");
        if !all.iter().any(|node| node.id == next.id) {
            // Made up by the liar.
            lookup.slow(next.id);
            lookup.failed(next.id);
            continue;
        }
        all.sort_by_key(|node| node.id.distance(next.id));
        let mut near: Vec<Contact> = all[..40].to_vec();
        near.sort_by_key(|node| node.id.distance(target));
        near.truncate(8);
        if asked == 3 {
            let near_it =
                |bits| Contact { id: target.random_near(bits, &mut rng), addr: addr(9000 + bits) };
            near = (100..108).map(near_it).collect();
        }
        lookup.answered(next.id, Some(Bytes::from_static(b"token")), &near);
    }
    assert!(lookup.is_done());
    all.sort_by_key(|node| node.id.distance(target));
    let found: Vec<NodeId> = lookup.closest().iter().map(|(node, _)| node.id).collect();
    let right: Vec<NodeId> = all[..8].iter().map(|node| node.id).collect();
    assert_eq!(found, right);
}

/// A node, and a query to it from `from`; returns what it answers.
fn asked(node: &mut DhtNode, from: SocketAddr, query: Query) -> Option<Packet> {
    let packet = Packet {
        t: Bytes::from_static(b"aa"),
        v: None,
        ip: None,
        read_only: true,
        body: Body::Query(query),
    };
    let mut out = Output::default();
    node.datagram(from, &packet.encode(), None, now(), &mut out);
    node.check().unwrap();
    out.packets.pop().map(|(to, bytes)| {
        assert_eq!(to, from);
        assert!(bytes.len() < 1300, "{}", bytes.len());
        Packet::decode(&bytes).unwrap()
    })
}

fn reply(packet: Packet) -> Reply {
    match packet.body {
        Body::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_stored_without_a_token_of_the_right_address() {
    let mut node = DhtNode::new(NodeConfig::default(), None, rng(), now());
    let id = NodeId([3; 20]);
    let hash = Some(Bytes::from_static(&[5; 20]));
    let get = Query { info_hash: hash.clone(), ..Query::new("get_peers", id) };
    let token = reply(asked(&mut node, addr(1), get).unwrap()).token;
    let announce = |token: Option<Bytes>| Query {
        info_hash: hash.clone(),
        token,
        port: Some(7),
        ..Query::new("announce_peer", id)
    };
    let refused =
        |packet: Option<Packet>| matches!(packet.unwrap().body, Body::Error { code: 203, .. });
    assert!(refused(asked(&mut node, addr(1), announce(None))));
    assert!(refused(asked(&mut node, addr(2), announce(token.clone()))));
    assert_eq!(node.stored_peers(), (0, 0));
    reply(asked(&mut node, addr(1), announce(token)).unwrap());
    assert_eq!(node.stored_peers(), (1, 1));
    let item = mutable(1, b"1:x");
    let put = Query { item: item.fields(true), ..Query::new("put", id) };
    assert!(refused(asked(&mut node, addr(1), put)));
    assert_eq!(node.stored_items(), 0);
}

#[test]
fn a_source_that_asks_too_much_is_dropped_and_others_are_not() {
    let mut node = DhtNode::new(NodeConfig::default(), None, rng(), now());
    let ping = || Query::new("ping", NodeId([3; 20]));
    let answered = (0..1000).filter(|_| asked(&mut node, addr(1), ping()).is_some()).count();
    assert_eq!(answered, 50);
    assert!(asked(&mut node, addr(2), ping()).is_some());
    assert_eq!(node.dropped(), 950);
}

#[test]
fn a_read_only_node_answers_nobody() {
    let config = NodeConfig { read_only: true, ..NodeConfig::default() };
    let mut node = DhtNode::new(config, None, rng(), now());
    assert!(asked(&mut node, addr(1), Query::new("ping", NodeId([3; 20]))).is_none());
    let mut out = Output::default();
    node.datagram(addr(1), b"d1:q4:ping1:t2:zz1:y1:qe", None, now(), &mut out);
    node.meet(addr(2), now(), &mut out);
    let (_, query) = &out.packets[0];
    assert!(Packet::decode(query).unwrap().read_only, "and says so (BEP 43)");
}

#[test]
fn answers_are_taken_only_from_who_was_asked() {
    let mut node = DhtNode::new(NodeConfig::default(), None, rng(), now());
    let mut out = Output::default();
    node.meet(addr(1), now(), &mut out);
    let (_, query) = out.packets.pop().unwrap();
    let t = Packet::decode(&query).unwrap().t;
    let body = Body::Reply(Reply::new(contact(1, &mut rng()).id));
    let answer = Packet { t, v: None, ip: None, read_only: false, body }.encode();
    node.datagram(addr(2), &answer, None, now(), &mut out);
    assert!(node.table().is_empty());
    node.datagram(addr(1), &answer, None, now(), &mut out);
    assert_eq!(node.table().len(), 1);
}

#[test]
fn who_stands_behind_a_name_answers_from_the_address_that_it_has() {
    let mut node = DhtNode::new(NodeConfig::default(), None, rng(), now());
    let mut out = Output::default();
    node.meet("198.18.0.7:6881".parse().unwrap(), now(), &mut out);
    let (_, query) = out.packets.pop().unwrap();
    let t = Packet::decode(&query).unwrap().t;
    let body = Body::Reply(Reply::new(contact(1, &mut rng()).id));
    let other = Bytes::from_static(b"none");
    let forged = Packet { t: other, v: None, ip: None, read_only: false, body: body.clone() };
    node.datagram(addr(2), &forged.encode(), None, now(), &mut out);
    assert!(node.table().is_empty(), "the number of the question is not known");
    let answer = Packet { t, v: None, ip: None, read_only: false, body };
    node.datagram(addr(1), &answer.encode(), None, now(), &mut out);
    assert_eq!(node.known(), [contact(1, &mut rng())]);
}

#[test]
fn an_id_that_the_address_does_not_allow_is_changed() {
    let mut node = DhtNode::new(NodeConfig::default(), Some(NodeId([0; 20])), rng(), now());
    let ip = addr(7).ip();
    node.lives_at(ip, now());
    assert!(node.id().fits(ip));
    let id = node.id();
    node.lives_at(ip, now());
    assert_eq!(node.id(), id);
}

#[test]
fn what_is_kept_for_the_next_run_is_read_again_and_damage_costs_nothing_else() {
    let mut rng = rng();
    let nodes: Vec<Contact> = (0..20).map(|n| contact(n, &mut rng)).collect();
    let state = DhtState { ids: [Some(NodeId([1; 20])), None], nodes };
    assert_eq!(DhtState::decode(&state.encode()), state);
    let mut damaged = state.encode();
    damaged.truncate(100);
    assert_eq!(DhtState::decode(&damaged), DhtState::default());
}
