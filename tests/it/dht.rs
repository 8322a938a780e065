//! Networks of DHT nodes: what was stored is found among silent and lying nodes, and who tries to
//! take a place or a token by force fails.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::dht::krpc::{Body, Packet, Query};
use eddyline::dht::{Contact, Goal, Item, NodeId};
use eddyline_sim::{DhtManner, DhtWorld, LookupReport, dht_table};

const SEEK: Goal = Goal::Peers { announce: None, seed: false };

fn announce(port: u16) -> Goal {
    Goal::Peers { announce: Some(Some(port)), seed: false }
}

#[test]
fn lookups_among_two_thousand_nodes_do_as_well_as_the_committed_table_says() {
    let table = dht_table();
    let line = table.lines().find(|line| line.contains("lookups found")).unwrap();
    let found: usize = line.split(' ').next().unwrap().parse().unwrap();
    assert!(found >= 297, "99 % of 300: {line}");
    assert_eq!(
        table,
        include_str!("../golden/dht.txt"),
        "to accept: cargo run --release -p eddyline-sim --bin swarm -- --dht > tests/golden/dht.txt"
    );
}

#[test]
fn routing_tables_stay_bounded_over_hours() {
    let mut world = DhtWorld::with_nodes(2, 150, 0, 0);
    let before = world.packets;
    world.run(Duration::from_secs(3 * 3600));
    let sizes = world.table_sizes();
    assert!(sizes.iter().all(|size| (8..150).contains(size)), "{sizes:?}");
    // Upkeep of a node: a few packets a minute, its share of answers included.
    let per_minute = (world.packets - before) / 150 / 180;
    assert!(per_minute < 30, "{per_minute} packets a minute");
}

#[test]
fn silent_nodes_leave_the_tables_in_time() {
    let mut world = DhtWorld::with_nodes(3, 200, 50, 0);
    world.run(Duration::from_secs(3 * 3600));
    let report = LookupReport::make(&mut world, 50);
    assert_eq!(report.found, 50);
}

#[test]
fn a_gang_that_surrounds_a_target_does_not_hide_it() {
    let mut world = DhtWorld::with_nodes(4, 400, 0, 0);
    let torrent = world.any_target();
    // A hundred nodes in one block of addresses, nearer to the target than anybody by chance; their
    // addresses do not allow such ids (BEP 42), and they are kin of each other.
    let mut rng = eddyline::base::rng::Seed::from_u64(9).stream("gang");
    for n in 0..100u32 {
        let ip = Ipv4Addr::new(99, 1, (n / 50) as u8, n as u8);
        let id = torrent.random_near(30 + n % 20, &mut rng);
        let addr = SocketAddr::new(ip.into(), 1000);
        world.add_node_at(addr, id, DhtManner::Eclipsing);
        // They make themselves known to everybody they can.
        for _ in 0..20 {
            let somebody = world.any_honest();
            world.act(somebody, |node, now, out| node.meet(addr, now, out));
        }
    }
    world.run(Duration::from_secs(60));
    let announcer = world.any_honest();
    world.look_up(announcer, torrent, announce(7)).unwrap();
    let peer = SocketAddr::new(world.addr(announcer).ip(), 7);
    for _ in 0..20 {
        let seeker = world.any_honest();
        let outcome = world.look_up(seeker, torrent, SEEK).unwrap();
        assert!(outcome.peers.contains(&peer));
    }
}

#[test]
fn a_token_that_was_given_to_one_address_stores_nothing_for_another() {
    let mut world = DhtWorld::with_nodes(5, 50, 0, 0);
    let torrent = world.any_target();
    let victim = world.any_honest();
    let query = |method: &str| Query {
        info_hash: Some(Bytes::copy_from_slice(&torrent.0)),
        ..Query::new(method, NodeId([1; 20]))
    };
    let say = |world: &mut DhtWorld, from: SocketAddr, query: Query| {
        let body = Body::Query(query);
        let t = Bytes::from_static(b"x");
        let packet = Packet { t, v: None, ip: None, read_only: true, body }.encode();
        world.act(victim, |node, now, out| {
            node.datagram(from, &packet, None, now, out);
            out.packets.last().map(|(_, reply)| Packet::decode(reply).unwrap().body)
        })
    };
    let (thief, owner) = ("55.5.5.5:5".parse().unwrap(), "44.4.4.4:4".parse().unwrap());
    let Some(Body::Reply(reply)) = say(&mut world, owner, query("get_peers")) else { panic!() };
    let replay = Query { token: reply.token, port: Some(9), ..query("announce_peer") };
    let answer = say(&mut world, thief, replay.clone());
    assert!(matches!(answer, Some(Body::Error { code: 203, .. })), "{answer:?}");
    // Ten minutes later it is of no use to anybody.
    world.run(Duration::from_secs(660));
    let answer = say(&mut world, owner, replay);
    assert!(matches!(answer, Some(Body::Error { code: 203, .. })), "{answer:?}");
    assert_eq!(world.node(victim).stored_peers(), (0, 0));
}

#[test]
fn items_are_stored_and_found_and_the_newest_wins() {
    let mut world = DhtWorld::with_nodes(6, 200, 10, 5);
    let item = Item::immutable(Bytes::from_static(b"12:Hello World!")).unwrap();
    let (giver, taker) = (world.any_honest(), world.any_honest());
    let put = world.look_up(giver, item.target(), Goal::Put(item.clone(), None)).unwrap();
    assert!(put.stored_at >= 6, "{}", put.stored_at);
    world.run(Duration::from_secs(2));
    let got = world.look_up(taker, item.target(), Goal::Get(None)).unwrap();
    assert_eq!(got.item, Some(item));
    let salt = Bytes::from_static(b"news");
    let version = |seq| {
        let value = Bytes::from(format!("i{seq}e"));
        Item::sign(&[7; 32], salt.clone(), seq, value).unwrap()
    };
    for seq in 1..4 {
        let item = version(seq);
        world.look_up(giver, item.target(), Goal::Put(item, None)).unwrap();
        world.run(Duration::from_secs(2));
    }
    let target = version(1).target();
    let got = world.look_up(taker, target, Goal::Get(Some(salt.clone()))).unwrap();
    assert_eq!(got.item, Some(version(3)));
    // With another salt it is another place, where there is nothing.
    let got = world.look_up(taker, target, Goal::Get(Some(Bytes::from_static(b"x")))).unwrap();
    assert_eq!(got.item, None);
}

#[test]
fn a_scrape_counts_seeds_and_others_and_samples_name_torrents() {
    let mut world = DhtWorld::with_nodes(7, 200, 0, 0);
    let torrent = world.any_target();
    for n in 0..30 {
        let announcer = world.any_honest();
        let goal = Goal::Peers { announce: Some(None), seed: n % 3 == 0 };
        world.look_up(announcer, torrent, goal).unwrap();
    }
    world.run(Duration::from_secs(2));
    let seeker = world.any_honest();
    let outcome = world.look_up(seeker, torrent, Goal::Scrape).unwrap();
    let (seeds, others) = outcome.swarm.unwrap();
    assert!((7..=12).contains(&seeds) && (14..=23).contains(&others), "{seeds}, {others}");
    let outcome = world.look_up(seeker, torrent, Goal::Samples).unwrap();
    assert!(outcome.samples.contains(&torrent));
}

#[test]
fn a_network_that_came_back_is_found_again() {
    let mut world = DhtWorld::with_nodes(8, 100, 0, 0);
    let node = world.add_node();
    let known: Vec<Contact> = world.node(3).known();
    world.act(node, |node, now, out| node.join(&known, now, out));
    world.run(Duration::from_secs(30));
    assert!(world.node(node).table().len() >= 8);
}

#[test]
fn a_network_of_ipv6_works_as_one_of_ipv4() {
    let mut world = DhtWorld::new(9).over_ipv6();
    world.populate(200, 20, 0);
    let report = LookupReport::make(&mut world, 40);
    assert!(report.found >= 39, "{}", report.table());
}
