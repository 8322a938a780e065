//! Torrents with many trackers, and trackers with many torrents.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use eddyline::base::time::Instant;
use eddyline::{AnnouncePolicy, Command, Config, Notice, TrackerState};
use eddyline_sim::{Content, NodeId, PeerOptions, Tracker, UdpTracker, World};

/// Longer than anybody waits.
const SILENT: Duration = Duration::from_secs(600);

fn url(number: usize) -> String {
    format!("http://t{number}.example/announce")
}

fn alone() -> Config {
    Config { dht: false, lsd: false, ipv6: false, ..Config::default() }
}

/// What one of the trackers of a torrent is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// It knows the seed.
    Works,
    /// It knows the seed, and takes a number of seconds.
    Slow(u64),
    /// It never answers.
    Silent,
    /// Nobody listens there.
    Down,
    /// It answers, and knows nobody.
    Empty,
    /// It names two thousand addresses where nobody is.
    Lies,
    /// It refuses, and says that it may be asked again at once.
    Refuses,
    /// It sends whatever it has, and no end of it.
    Floods,
}

fn tracker(kind: Kind, seed: &World, node: NodeId) -> Tracker {
    let peers = vec![seed.node(node).addr];
    let nobody = |n: u32| SocketAddr::from(([10, 77, (n / 250) as u8, (n % 250) as u8], 7));
    let usual = Tracker { interval: 1800, ..Tracker::default() };
    match kind {
        Kind::Works => Tracker { peers, ..usual },
        Kind::Slow(seconds) => Tracker { peers, takes: Duration::from_secs(seconds), ..usual },
        Kind::Silent => Tracker { takes: SILENT, ..usual },
        Kind::Down => Tracker { down: true, ..usual },
        Kind::Empty => usual,
        Kind::Lies => Tracker { peers: (0..2000).map(nobody).collect(), ..usual },
        Kind::Floods => Tracker { says: Some(vec![b'd'; 3 << 20]), ..usual },
        Kind::Refuses => {
            let says = b"d14:failure reason1:x8:retry ini0ee".to_vec();
            Tracker { says: Some(says), ..usual }
        }
    }
}

/// A leecher of a torrent whose tiers are these, and a seed that nobody but its trackers can name.
fn world_with(tiers: &[Vec<Kind>], config: Config, draw: u64) -> (World, NodeId) {
    let mut world = World::new(draw);
    let (seed, leech) = (world.add_node_with(Config { trackers: false, ..alone() }), 1);
    let mut number = 0;
    let mut named = Vec::new();
    for tier in tiers {
        let mut urls = Vec::new();
        for kind in tier {
            let made = tracker(*kind, &world, seed);
            world.trackers.insert(url(number), made);
            urls.push(url(number));
            number += 1;
        }
        named.push(urls);
    }
    let tiers: Vec<Vec<&str>> =
        named.iter().map(|t| t.iter().map(String::as_str).collect()).collect();
    let tiers: Vec<&[&str]> = tiers.iter().map(Vec::as_slice).collect();
    let content = Content::tiered("x", 300_000, 16_384, &tiers);
    assert_eq!(world.add_node_with(config), leech);
    world.seed(seed, &content);
    world.run(1);
    world.leech(leech, &content, &[]);
    (world, leech)
}

/// Milliseconds to the first peer.
fn first_peer(tiers: &[Vec<Kind>], config: Config, draw: u64) -> u64 {
    let (mut world, leech) = world_with(tiers, config, draw);
    let began = world.now();
    let connected = |world: &World| {
        let mut notices = world.node(leech).notices.iter();
        notices.any(|notice| matches!(notice, Notice::PeerConnected { .. }))
    };
    assert!(world.run_until(600, connected), "nobody is found: {tiers:?}");
    world.now().millis_since(began)
}

fn one_each(kinds: &[Kind]) -> Vec<Vec<Kind>> {
    kinds.iter().map(|kind| vec![*kind]).collect()
}

#[test]
fn with_a_dead_first_tier_the_first_peer_comes_as_soon_as_without() {
    let without = first_peer(&one_each(&[Kind::Works]), alone(), 1);
    for dead in [Kind::Silent, Kind::Down, Kind::Refuses, Kind::Empty, Kind::Slow(20)] {
        let with = first_peer(&one_each(&[dead, dead, Kind::Works]), alone(), 1);
        assert!(with <= without + 200, "{dead:?}: {with} ms, {without} ms without");
    }
    // As BEP 12 has it, each tier is waited for, but not for the time-out.
    let first = Config { announce: AnnouncePolicy::First, ..alone() };
    let with = first_peer(&one_each(&[Kind::Silent, Kind::Works]), first, 1);
    assert!((3000..without + 3500).contains(&with), "{with} ms");
}

#[test]
fn with_half_of_twenty_trackers_dead_the_first_peer_comes_as_soon_as_with_one() {
    let without = first_peer(&one_each(&[Kind::Works]), alone(), 1);
    for dead in [Kind::Silent, Kind::Down] {
        let mixed: Vec<Kind> =
            (0..20).map(|n| if n % 2 == 0 { dead } else { Kind::Works }).collect();
        let with = first_peer(&one_each(&mixed), alone(), 1);
        assert!(with <= without + 200, "{dead:?}, each a tier: {with} ms, {without} ms without");
        let all = Config { announce: AnnouncePolicy::All, ..alone() };
        let with = first_peer(core::slice::from_ref(&mixed), all, 1);
        assert!(with <= without + 200, "{dead:?}, all at once: {with} ms, {without} ms without");
        // In one tier they are asked one after the other, in an order that is drawn.
        let one = core::slice::from_ref(&mixed);
        let mut times: Vec<u64> = (1..10).map(|draw| first_peer(one, alone(), draw)).collect();
        times.sort_unstable();
        assert!(times[4] <= without + 3500, "{dead:?}: {times:?}");
        assert!(times[8] <= without + 15_500, "{dead:?}: {times:?}");
    }
}

#[test]
fn a_slow_tracker_is_heard_when_it_answers_at_last() {
    let (mut world, leech) = world_with(&[vec![Kind::Slow(20), Kind::Silent]], alone(), 1);
    assert!(world.run_until(40, |world| world.is_complete(leech)));
}

#[test]
fn a_torrent_that_starves_asks_further_trackers_whatever_the_working_one_says() {
    for (useless, seconds) in [(Kind::Empty, 10), (Kind::Lies, 300)] {
        for policy in [AnnouncePolicy::Tiers, AnnouncePolicy::First] {
            for draw in 1..4 {
                let config = Config { announce: policy, ..alone() };
                let kinds = [useless, useless, Kind::Works];
                let (mut world, leech) = world_with(&[kinds.to_vec()], config, draw);
                let found = world.run_until(seconds, |world| world.is_complete(leech));
                assert!(found, "{useless:?} {policy:?} {draw}");
            }
        }
    }
}

#[test]
fn each_tracker_is_asked_within_its_floors_however_much_a_torrent_starves() {
    use Kind::{Down, Empty, Floods, Lies, Refuses, Silent};
    let useless = [Empty, Lies, Refuses, Silent, Down, Floods];
    let (mut world, _) = world_with(&[useless.to_vec()], alone(), 1);
    world.run(3600);
    for (number, kind) in useless.iter().enumerate() {
        let asked = world.trackers[&url(number)].announces.len();
        assert!((1..=16).contains(&asked), "{kind:?} was asked {asked} times in an hour");
    }
}

#[test]
fn what_was_told_of_a_start_is_told_of_the_end_in_every_tier() {
    let kinds = [Kind::Works, Kind::Empty, Kind::Silent, Kind::Slow(5)];
    let (mut world, leech) = world_with(&one_each(&kinds), alone(), 1);
    world.run(60);
    assert!(world.is_complete(leech));
    world.command(leech, Command::ShutDown);
    world.run(10);
    let events = |number: usize| -> Vec<String> {
        let announces = &world.trackers[&url(number)].announces;
        announces.iter().map(|announce| announce.event().to_owned()).collect()
    };
    for told in [0, 1, 3] {
        let events = events(told);
        assert_eq!(events.first().map(String::as_str), Some("started"));
        assert_eq!(events.last().map(String::as_str), Some("stopped"));
        assert_eq!(events.iter().filter(|event| *event == "completed").count(), 1, "{events:?}");
    }
    assert!(!events(2).contains(&"stopped".to_owned()));
}

#[test]
fn how_it_stands_with_each_tracker_can_be_seen() {
    let kinds = [Kind::Works, Kind::Silent, Kind::Refuses, Kind::Down, Kind::Slow(10)];
    let (mut world, leech) = world_with(&one_each(&kinds), alone(), 1);
    let states = |world: &World| -> Vec<_> {
        let engine = &world.node(leech).engine;
        let view = engine.torrent(world.torrent(leech)).unwrap();
        view.trackers.iter().map(|tracker| tracker.state).collect()
    };
    world.run(4);
    let (asked, failing) = (TrackerState::Asked, TrackerState::Failing);
    assert_eq!(states(&world), [TrackerState::Working, asked, failing, failing, asked]);
    world.run(32);
    let engine = &world.node(leech).engine;
    let trackers = engine.torrent(world.torrent(leech)).unwrap().trackers;
    assert_eq!((trackers[0].named, trackers[0].failures), (1, 0));
    assert_eq!((trackers[1].state, trackers[1].failures), (failing, 1));
    assert!(trackers[2].message.as_deref() == Some("x") && trackers[1].message.is_some());
    assert_eq!(trackers[4].state, TrackerState::Working);
    assert!(trackers[1].next_announce.unwrap() > world.node(leech).engine.now());
}

/// Torrents at rest, each at this tracker.
fn many_at_rest(count: usize, tracker: Tracker) -> (World, NodeId) {
    let mut world = World::new(5);
    world.trackers.insert(url(0), tracker);
    let config = Config { rest_after: Some(Duration::from_secs(20)), ..alone() };
    let node = world.add_node_with(config);
    for number in 0..count {
        let content = Content::tracked(&format!("n{number}"), 10_000, 16_384, &[&url(0)]);
        world.seed(node, &content);
    }
    (world, node)
}

/// How often torrents were loaded.
fn loaded(world: &World, node: NodeId) -> usize {
    let wanted = |notice: &&Notice| matches!(notice, Notice::Wanted(_));
    world.node(node).notices.iter().filter(wanted).count()
}

#[test]
fn of_many_torrents_that_rest_at_a_dead_tracker_one_now_and_then_asks_whether_it_is_back() {
    let (mut world, node) = many_at_rest(300, Tracker { takes: SILENT, ..Tracker::default() });
    world.run(1200);
    assert_eq!(world.node(node).engine.stats().standby, 300);
    let first = loaded(&world, node);
    assert!((1..=8).contains(&first), "{first} loaded");
    let asked = world.trackers[&url(0)].announces.len();
    world.run(3600);
    let (probes, asked) =
        (loaded(&world, node) - first, world.trackers[&url(0)].announces.len() - asked);
    assert!((3..=8).contains(&probes) && asked <= probes, "{probes} loaded, {asked} announces");
    // It is back: all of them announce soon.
    world.trackers.get_mut(&url(0)).unwrap().takes = Duration::from_millis(100);
    world.trackers.get_mut(&url(0)).unwrap().interval = 1800;
    let heard = |world: &World| {
        let announces = &world.trackers[&url(0)].announces;
        let hashes = announces.iter().map(|announce| &announce.query["info_hash"]);
        hashes.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert!(world.run_until(900, |world| heard(world) == 300), "{} of 300", heard(&world));
    world.run(100);
    let before = (world.trackers[&url(0)].announces.len(), loaded(&world, node));
    world.run(1800);
    let after = (world.trackers[&url(0)].announces.len(), loaded(&world, node));
    assert!((290..=330).contains(&(after.0 - before.0)), "{before:?} {after:?}");
    assert!((290..=330).contains(&(after.1 - before.1)), "{before:?} {after:?}");
}

#[test]
fn a_torrent_at_rest_that_its_tracker_refuses_is_asked_for_ever_more_rarely() {
    let says = Some(b"d14:failure reason7:unknowne".to_vec());
    let (mut world, node) = many_at_rest(20, Tracker { says, ..Tracker::default() });
    world.run(3 * 3600);
    let count = world.trackers[&url(0)].announces.len() / 20;
    assert!((8..=16).contains(&count), "{count} announces each in three hours");
    assert!(loaded(&world, node) <= 20 * 16);
}

#[test]
fn many_torrents_at_one_tracker_have_their_turn_a_few_at_a_time() {
    let mut world = World::new(6);
    let takes = Duration::from_millis(500);
    world.trackers.insert(url(0), Tracker { interval: 1800, takes, ..Tracker::default() });
    let node = world.add_node_with(alone());
    for number in 0..300 {
        let content = Content::tracked(&format!("n{number}"), 10_000, 16_384, &[&url(0)]);
        world.add(node, &content, PeerOptions::default());
    }
    world.run(120);
    let announces = &world.trackers[&url(0)].announces;
    assert_eq!(announces.len(), 300);
    let times: Vec<Instant> = announces.iter().map(|announce| announce.at).collect();
    let busiest = times
        .iter()
        .map(|from| times.iter().filter(|at| *at >= from && at.millis_since(*from) < 500).count());
    assert!(busiest.max() <= Some(9), "a few at a time");
}

#[test]
fn many_torrents_at_a_udp_tracker_share_connection_ids_and_are_counted_together() {
    let mut world = World::new(7);
    let ip = IpAddr::from([10, 9, 0, 1]);
    let addr = SocketAddr::new(ip, 80);
    world.names.insert("u.example".into(), vec![ip]);
    world.udp_trackers.insert(addr, UdpTracker::default());
    let node = world.add_node_with(alone());
    for number in 0..100 {
        let url = "udp://u.example:80/announce";
        let content = Content::tracked(&format!("n{number}"), 10_000, 16_384, &[url]);
        world.add(node, &content, PeerOptions::default());
    }
    world.run(50);
    let tracker = &world.udp_trackers[&addr];
    assert_eq!(tracker.announces.len(), 100);
    // Those who came before there was one ask again where the answer took too long.
    assert!(tracker.connects <= 2, "{} connection ids", tracker.connects);
    assert_eq!(tracker.scrapes.iter().sum::<usize>(), 100);
    assert!(tracker.scrapes.len() <= 3, "{:?}", tracker.scrapes);
    let engine = &world.node(node).engine;
    let views = world.node(node).torrents().iter().map(|id| engine.torrent(*id).unwrap());
    assert!(views.into_iter().all(|view| view.trackers[0].downloaded == Some(7)));
}
