//! Announces over a whole life, and finding peers by a tracker.

use eddyline::base::addr::Scope;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::metainfo::Magnet;
use eddyline::{
    Action, AddTorrent, Command, Config, Engine, Event, HttpAction, HttpEvent, HttpFailure, Notice,
    TorrentCommand,
};
use eddyline_sim::{Announce, Content, Reach, Tracker, World};

const URL: &str = "http://tracker.example/announce";

fn world_with_tracker() -> World {
    let mut world = World::new(21);
    world.trackers.insert(URL.into(), Tracker { interval: 1800, ..Tracker::default() });
    world
}

fn events(world: &World, url: &str) -> Vec<String> {
    world.trackers[url].announces.iter().map(|a| a.event().to_owned()).collect()
}

#[test]
fn peers_named_by_a_tracker_are_connected_to() {
    let content = Content::tracked("x", 500_000, 16_384, &[URL]);
    let mut world = world_with_tracker();
    let (seed, leech) = (world.add_node(), world.add_node());
    let addr = world.node(seed).addr;
    world.trackers.get_mut(URL).unwrap().peers = vec![addr];
    world.seed(seed, &content);
    world.leech(leech, &content, &[]);
    assert!(world.run_until(60, |world| world.is_complete(leech)));
}

#[test]
fn a_life_announces_started_completed_regular_and_stopped() {
    let content = Content::tracked("x", 500_000, 16_384, &[URL]);
    let mut world = world_with_tracker();
    let (seed, leech) = (world.add_node_with(no_trackers()), world.add_node());
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(4000);
    world.command(leech, Command::ShutDown);
    world.run(10);
    assert_eq!(events(&world, URL), ["started", "completed", "", "", "stopped"]);
    let all = &world.trackers[URL].announces;
    let value = |at: usize, key: &str| all[at].query[key].clone();
    assert_eq!((value(0, "left"), value(1, "left")), ("500000".into(), "0".into()));
    assert_eq!(value(4, "numwant"), "0");
    assert!(all.iter().all(|announce| announce.query["key"] == all[0].query["key"]));
}

fn no_trackers() -> Config {
    Config { trackers: false, ..Config::default() }
}

#[test]
fn a_seed_and_a_recheck_never_say_completed() {
    let content = Content::tracked("x", 500_000, 16_384, &[URL]);
    let mut world = world_with_tracker();
    let seed = world.add_node();
    world.seed(seed, &content);
    world.run(10);
    let torrent = world.torrent(seed);
    world.command(seed, TorrentCommand::Recheck.of(torrent));
    world.run(3600);
    assert!(!events(&world, URL).contains(&"completed".to_owned()), "{:?}", events(&world, URL));
}

#[test]
fn a_dead_tracker_hands_over_to_the_next_tier_and_is_never_told_of_a_stop() {
    let other = "http://other.example/announce";
    let content = Content::tracked("x", 500_000, 16_384, &[URL, other]);
    let mut world = world_with_tracker();
    world.trackers.get_mut(URL).unwrap().down = true;
    world.trackers.insert(other.into(), Tracker::default());
    let node = world.add_node();
    world.leech(node, &content, &[]);
    world.run(5);
    assert_eq!((events(&world, URL).len(), events(&world, other)), (1, vec!["started".into()]));
    world.command(node, Command::ShutDown);
    assert!(world.run_until(5, |world| has_shut_down(world, node)));
    world.run(5);
    assert_eq!(events(&world, URL), ["started"]);
    assert_eq!(events(&world, other), ["started", "stopped"]);
}

fn has_shut_down(world: &World, node: usize) -> bool {
    world.node(node).notices.contains(&Notice::ShutDown)
}

#[test]
fn a_tracker_that_has_died_since_it_answered_delays_the_end_by_five_seconds_at_most() {
    let content = Content::tracked("x", 500_000, 16_384, &[URL]);
    let mut world = world_with_tracker();
    let node = world.add_node();
    world.seed(node, &content);
    world.run(5);
    assert_eq!(events(&world, URL), ["started"]);
    world.trackers.get_mut(URL).unwrap().down = true;
    world.command(node, Command::ShutDown);
    assert!(world.run_until(5, |world| has_shut_down(world, node)));
    assert_eq!(events(&world, URL), ["started", "stopped"]);
}

#[test]
fn a_dead_tracker_is_asked_ever_more_rarely() {
    let content = Content::tracked("x", 500_000, 16_384, &[URL]);
    let mut world = world_with_tracker();
    world.trackers.get_mut(URL).unwrap().down = true;
    let node = world.add_node();
    world.leech(node, &content, &[]);
    world.run(24 * 3600);
    let count = world.trackers[URL].announces.len();
    assert!((20..60).contains(&count), "{count} announces in a day");
}

#[test]
fn a_pause_says_stopped_and_going_on_says_started() {
    let content = Content::tracked("x", 500_000, 16_384, &[URL]);
    let mut world = world_with_tracker();
    let node = world.add_node();
    world.leech(node, &content, &[]);
    world.run(5);
    let torrent = world.torrent(node);
    world.command(node, TorrentCommand::Pause.of(torrent));
    world.run(5);
    world.command(node, TorrentCommand::Resume.of(torrent));
    world.run(5);
    assert_eq!(events(&world, URL), ["started", "stopped", "started"]);
}

#[test]
fn redirects_are_followed_but_not_from_the_internet_into_a_private_network() {
    let inner = "http://inner.example/announce";
    for (scope, reached) in [(Scope::Local, true), (Scope::Public, false)] {
        let content = Content::tracked("x", 500_000, 16_384, &[URL]);
        let mut world = world_with_tracker();
        world.trackers.get_mut(URL).unwrap().redirect =
            Some((format!("{inner}?from=outside"), scope));
        world.trackers.insert(inner.into(), Tracker::default());
        let node = world.add_node();
        world.leech(node, &content, &[]);
        world.run(5);
        assert_eq!(!world.trackers[inner].announces.is_empty(), reached, "{scope:?}");
    }
}

#[test]
fn a_redirect_loop_ends() {
    let content = Content::tracked("x", 500_000, 16_384, &[URL]);
    let mut world = world_with_tracker();
    world.trackers.get_mut(URL).unwrap().redirect = Some((URL.into(), Scope::Local));
    let node = world.add_node();
    world.leech(node, &content, &[]);
    world.run(5);
    let failed = |n: &Notice| matches!(n, Notice::TrackerFailed { .. });
    assert_eq!(world.node(node).notices.iter().filter(|notice| failed(notice)).count(), 1);
}

#[test]
fn sizes_that_an_announce_does_not_tell_are_scraped() {
    let content = Content::tracked("x", 500_000, 16_384, &[URL]);
    let mut world = world_with_tracker();
    world.trackers.get_mut(URL).unwrap().complete = 42;
    let node = world.add_node();
    world.leech(node, &content, &[]);
    world.run(5);
    let torrent = world.torrent(node);
    let view = world.node(node).engine.torrent(torrent).unwrap();
    assert_eq!(view.trackers[0].complete, Some(42));
}

fn tracker(reach: Reach) -> Tracker {
    Tracker { interval: 1800, reach, ..Tracker::default() }
}

#[test]
fn each_address_family_is_announced_to_with_the_same_key_and_one_success_is_success() {
    for reach in [Reach::V4, Reach::V6, Reach::Both] {
        let content = Content::tracked("x", 500_000, 16_384, &[URL]);
        let mut world = World::new(24);
        world.trackers.insert(URL.into(), tracker(reach));
        let node = world.add_node();
        world.leech(node, &content, &[]);
        world.run(3600 + 60);
        let all = &world.trackers[URL].announces;
        let over = |ipv6: bool| -> Vec<_> {
            all.iter().filter(|a| a.ipv6 == ipv6).map(Announce::event).collect()
        };
        let whole = vec!["started", "", ""];
        let nothing = Vec::<&str>::new();
        let expected = match reach {
            Reach::V4 => (whole, nothing),
            Reach::V6 => (nothing, whole),
            Reach::Both => (whole.clone(), whole),
        };
        assert_eq!((over(false), over(true)), expected, "{reach:?}");
        assert!(all.iter().all(|announce| announce.query["key"] == all[0].query["key"]));
        let failed = |n: &Notice| matches!(n, Notice::TrackerFailed { .. });
        assert!(!world.node(node).notices.iter().any(failed), "{reach:?}");
    }
}

#[test]
fn of_the_trackers_of_one_tier_the_one_that_answers_is_kept_over_both_families() {
    let urls = ["http://a.example/announce", "http://b.example/announce"];
    for (dead, alive) in [(urls[0], urls[1]), (urls[1], urls[0])] {
        let content = Content::tiered("x", 500_000, 16_384, &[&urls]);
        let mut world = World::new(25);
        world.trackers.insert(dead.into(), Tracker { down: true, ..tracker(Reach::Both) });
        world.trackers.insert(alive.into(), tracker(Reach::Both));
        let node = world.add_node();
        // A seed: whoever lacks something and finds nobody asks the others too.
        world.seed(node, &content);
        world.run(3600 + 60);
        let per_family =
            |ipv6| world.trackers[alive].announces.iter().filter(move |a| a.ipv6 == ipv6);
        assert_eq!(per_family(false).count(), 3);
        assert_eq!(per_family(true).count(), 3);
        // It was asked first or not at all, once over each family.
        assert!(world.trackers[dead].announces.len() <= 2);
    }
}

#[test]
fn a_tracker_that_both_families_fail_to_reach_is_one_failure() {
    let content = Content::tracked("x", 500_000, 16_384, &[URL]);
    let mut world = World::new(26);
    world.trackers.insert(URL.into(), Tracker { down: true, ..tracker(Reach::Both) });
    let node = world.add_node();
    world.leech(node, &content, &[]);
    world.run(3);
    let failed = |n: &&Notice| matches!(n, Notice::TrackerFailed { .. });
    assert_eq!(world.node(node).notices.iter().filter(failed).count(), 1);
}

/// What is told of a tracker whose two legs, IPv4 and IPv6, fail in these ways, the first one first.
fn told_of_legs(failures: [(bool, HttpFailure); 2]) -> String {
    let config = Config { dht: false, lsd: false, ..Config::default() };
    let mut engine = Engine::new(config, Seed::from_u64(1), Instant::from_millis(1000));
    let magnet =
        Magnet { v1: Some(Sha1Hash([7; 20])), trackers: vec![URL.into()], ..Magnet::default() };
    let add = Command::Add(AddTorrent::new(magnet).into());
    let mut actions = Vec::new();
    let _ = engine.step(Instant::from_millis(1001), [add.into()], &mut actions);
    let legs: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Http(id, HttpAction::Get(get)) => Some((*id, get.ipv6 == Some(true))),
            _ => None,
        })
        .collect();
    assert_eq!(legs.len(), 2);
    for (ipv6, failure) in failures {
        let (id, _) = legs.iter().find(|leg| leg.1 == ipv6).unwrap();
        let event = Event::Http(*id, HttpEvent::Failed(failure));
        let _ = engine.step(Instant::from_millis(1002), [event], &mut actions);
    }
    let told = actions.iter().find_map(|action| match action {
        Action::Notify(Notice::TrackerFailed { error, .. }) => Some(error.clone()),
        _ => None,
    });
    told.unwrap()
}

#[test]
fn of_two_failures_that_of_the_leg_that_came_farther_is_told() {
    use HttpFailure::{Certificate, Closed, Connect, Lookup, Refused, TimedOut, Tls};
    for (near, far) in [
        (Lookup, Connect),
        (Lookup, TimedOut),
        (Connect, TimedOut),
        (Connect, Refused),
        (TimedOut, Refused),
        (Lookup, Closed),
        (Connect, Tls),
        (Refused, Certificate),
        (TimedOut, Certificate),
    ] {
        for near_is_v6 in [true, false] {
            let (near, far) = ((near_is_v6, near), (!near_is_v6, far));
            assert_eq!(told_of_legs([near, far]), far.1.to_string());
            assert_eq!(told_of_legs([far, near]), far.1.to_string());
        }
    }
}
