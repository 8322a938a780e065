//! What one block of addresses can take of what the DHT keeps for strangers.

use core::net::{IpAddr, Ipv6Addr};

use super::*;
use crate::dht::guard::Guard;
use crate::dht::item_store::MAX_ITEMS;
use crate::dht::peer_store::{MAX_IN_ALL, MAX_PORTS};

/// A host of the block that does harm.
fn of_crowd(host: u8, port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(198, 51, 100, host).into(), port)
}

fn after(seconds: u64) -> Instant {
    now() + Duration::from_secs(seconds)
}

#[test]
fn a_block_of_addresses_that_fills_a_torrent_throws_out_nobody_else() {
    let (mut store, torrent) = (PeerStore::default(), NodeId([1; 20]));
    (0..50).for_each(|n| store.announce(torrent, addr(n), false, now()));
    for port in 1..=8 {
        (0..=255).for_each(|host| store.announce(torrent, of_crowd(host, port), false, after(1)));
    }
    assert_eq!(store.len(), (1, MAX_PEERS));
    store.check().unwrap();
    let mut rng = rng();
    let all = store.peers(torrent, false, MAX_PEERS, &mut rng);
    assert!((0..50).all(|n| all.contains(&addr(n))), "those who came first are still here");
    // Whoever asks is told of them first, however many there are of the others.
    let named = store.peers(torrent, false, 60, &mut rng);
    assert!((0..50).all(|n| named.contains(&addr(n))));
    // Who comes later finds room too.
    store.announce(torrent, addr(99), false, after(2));
    assert!(store.peers(torrent, false, MAX_PEERS, &mut rng).contains(&addr(99)));
}

#[test]
fn a_host_has_eight_ports_in_a_torrent_the_latest() {
    let (mut store, torrent) = (PeerStore::default(), NodeId([1; 20]));
    for port in 1..=1000 {
        store.announce(torrent, of_crowd(7, port), false, after(port.into()));
    }
    let peers = store.peers(torrent, false, MAX_PEERS, &mut rng());
    assert!(peers.len() == MAX_PORTS && peers.iter().all(|addr| addr.port() > 992));
    // On this machine ports tell peers apart.
    for port in 1..=100 {
        let here = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        store.announce(torrent, here, false, now());
    }
    assert_eq!(store.len(), (1, MAX_PORTS + 100));
    store.check().unwrap();
}

#[test]
fn a_block_of_addresses_that_announces_thousands_of_torrents_loses_its_own() {
    let (mut store, mut rng) = (PeerStore::default(), rng());
    let honest: Vec<NodeId> = (0..100).map(|_| NodeId::random(&mut rng)).collect();
    for (n, torrent) in honest.iter().enumerate() {
        store.announce(*torrent, addr(n as u32), false, now());
    }
    for n in 0..2 * MAX_TORRENTS {
        store.announce(NodeId::random(&mut rng), of_crowd(n as u8, 1), false, after(1));
    }
    assert_eq!(store.len().0, MAX_TORRENTS);
    store.check().unwrap();
    let kept = |store: &PeerStore, rng: &mut Rng| {
        honest.iter().filter(|torrent| !store.peers(**torrent, false, 9, rng).is_empty()).count()
    };
    assert_eq!(kept(&store, &mut rng), 100);
    // Nor do those who have few take from those who have fewer.
    let late = NodeId::random(&mut rng);
    store.announce(late, addr(200), false, after(2));
    assert!(kept(&store, &mut rng) == 100 && !store.peers(late, false, 9, &mut rng).is_empty());
}

#[test]
fn a_block_of_addresses_that_fills_all_places_loses_its_own() {
    let (mut store, mut rng) = (PeerStore::default(), rng());
    let honest = NodeId([1; 20]);
    (0..400).for_each(|n| store.announce(honest, addr(n), false, now()));
    for n in 0..60_000u32 {
        let torrent = NodeId([(n % 200) as u8 + 2; 20]);
        let (host, port) = ((n / 200 % 256) as u8, (n / 51_200) as u16 + 1);
        store.announce(torrent, of_crowd(host, port), false, after(1));
    }
    assert_eq!(store.len().1, MAX_IN_ALL);
    store.check().unwrap();
    assert_eq!(store.peers(honest, false, MAX_PEERS, &mut rng).len(), 400);
    store.expire(after(1) + PEER_LIFE);
    assert_eq!(store.len(), (0, 0));
    store.check().unwrap();
}

#[test]
fn a_torrent_counts_with_another_when_who_announced_it_first_has_gone() {
    let (mut store, torrent) = (PeerStore::default(), NodeId([1; 20]));
    store.announce(torrent, addr(1), false, now());
    store.announce(torrent, addr(2), false, after(10));
    store.expire(now() + PEER_LIFE);
    assert_eq!(store.len(), (1, 1));
    store.check().unwrap();
}

#[test]
fn a_block_of_addresses_that_puts_thousands_of_items_loses_its_own() {
    let mut store = ItemStore::default();
    let item = |n: u32| Item::immutable(alloc::format!("i{n}e").into_bytes().into()).unwrap();
    for n in 0..20 {
        store.put(item(n), addr(n).ip(), None, now()).unwrap();
    }
    // It puts the items of others again as well: they are none of its own for that.
    for n in 0..3000 {
        store.put(item(n), of_crowd(n as u8, 1).ip(), None, after(n.into())).unwrap();
    }
    assert_eq!(store.count(), MAX_ITEMS);
    assert!((0..20).all(|n| store.get(item(n).target()).is_some()));
    assert!(store.get(item(2999).target()).is_some() && store.get(item(50).target()).is_none());
    store.check().unwrap();
    store.expire(after(3000) + crate::dht::item_store::ITEM_LIFE);
    assert_eq!(store.count(), 0);
    store.check().unwrap();
}

#[test]
fn one_block_of_addresses_leaves_queries_answers_and_signatures_to_others() {
    let mut guard = Guard::default();
    let network = |n: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 5, n, 0, 0, 0, 1));
    let mut answered = 0;
    for n in 0..60_000u32 {
        let ip = network(n as u16);
        if guard.admit(ip, now()) {
            guard.answered(ip, 800);
            answered += 1;
        }
        guard.admit_signature(ip, now());
    }
    assert_eq!(answered, 94, "an eighth of all");
    for n in 0..1000 {
        assert!(guard.admit(addr(n).ip(), now()), "{n} has not asked before");
        assert!(n >= 150 || guard.admit_signature(addr(n).ip(), now()));
    }
    assert!(guard.admit_own_signature(now()) && guard.is_bounded());
    // What is left when all have had something is for those who have had nothing.
    let mut first = 0;
    for n in 0..3000 {
        let ip = addr(1000 + n).ip();
        if guard.admit(ip, now()) {
            guard.answered(ip, 800);
            first += 1;
        }
    }
    assert!((600..700).contains(&first) && guard.is_bounded());
}

#[test]
fn those_who_have_had_answers_leave_a_quarter_to_those_who_have_not() {
    let mut guard = Guard::default();
    // Thirty blocks ask as much as they may.
    for round in 0..2000u32 {
        let ip = addr(round % 30).ip();
        if guard.admit(ip, now()) {
            guard.answered(ip, 1000);
        }
    }
    assert!(!guard.admit(addr(1).ip(), now()));
    assert!(guard.admit(addr(500).ip(), now()));
}

#[test]
fn a_block_of_addresses_has_few_places_of_a_table_and_does_not_empty_its_caches() {
    let (mut rng, own) = (rng(), NodeId([0; 20]));
    let mut table = Table::new(own, now());
    // Many buckets, all of them full.
    for bits in 0..12 {
        for n in 0..30 {
            let id = own.random_near(bits, &mut rng);
            table.note(Contact { id, addr: addr(bits * 100 + n) }, true, now());
        }
    }
    let late = contact_at(own, 0, addr(5000), &mut rng);
    assert!(!table.note(late, true, now()), "it waits in the cache");
    for bits in 0..12 {
        for host in 0..=255 {
            let id = own.random_near(bits, &mut rng);
            table.note(Contact { id, addr: of_crowd(host, 1) }, false, now());
        }
    }
    for bits in 12..40 {
        for host in 0..=255 {
            let id = own.random_near(bits, &mut rng);
            table.note(Contact { id, addr: of_crowd(host, 1) }, true, now());
        }
    }
    let block = |addr: SocketAddr| crate::base::prefix::Prefix::block_of(addr.ip());
    let crowd = block(of_crowd(1, 1));
    assert!(table.nodes().filter(|node| block(node.addr) == crowd).count() <= 8);
    table.check().unwrap();
    // A place falls free: it is not for those who only ask.
    let first: Vec<Contact> = table
        .nodes()
        .filter(|node| node.id.common_bits(own) == 0)
        .map(|node| Contact { id: node.id, addr: node.addr })
        .collect();
    for _ in 0..2 {
        table.failed(first[0], now());
    }
    assert!(
        table
            .nodes()
            .filter(|node| node.id.common_bits(own) == 0)
            .all(|node| block(node.addr) != crowd)
    );
}

fn contact_at(own: NodeId, bits: u32, addr: SocketAddr, rng: &mut Rng) -> Contact {
    Contact { id: own.random_near(bits, rng), addr }
}
