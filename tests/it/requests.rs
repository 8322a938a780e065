//! What strangers can make us ask of others: waits that they name, and requests that they cause.

use eddyline::wire::Message;
use eddyline_sim::{Content, Puppet, Tracker, World};

const URL: &str = "http://tracker.example/announce";

/// How often a tracker that always says this is asked in so many seconds.
fn asked(says: &[u8], seconds: u64) -> usize {
    let content = Content::tracked("x", 500_000, 16_384, &[URL]);
    let mut world = World::new(71);
    let tracker = Tracker { says: Some(says.to_vec()), ..Tracker::default() };
    world.trackers.insert(URL.into(), tracker);
    let node = world.add_node();
    world.leech(node, &content, &[]);
    world.run(seconds);
    world.trackers[URL].announces.len()
}

#[test]
fn a_tracker_that_names_no_wait_or_a_senseless_one_is_asked_now_and_then() {
    let replies: [&[u8]; 9] = [
        b"d14:failure reason1:x8:retry ini0ee",
        b"d14:failure reason1:x8:retry in1:0e",
        b"d14:failure reason1:x8:retry ini-5ee",
        b"d14:failure reason1:x8:retry in4:soone",
        b"d8:intervali0e5:peers0:e",
        b"d8:intervali-1e12:min intervali0e5:peers0:e",
        b"d8:interval1:012:min intervali-9e5:peers0:e",
        b"d12:min intervali0e5:peers0:e",
        b"<html>welcome</html>",
    ];
    for says in replies {
        // Over each address family.
        let (soon, hour) = (asked(says, 10), asked(says, 3600));
        let text = String::from_utf8_lossy(says);
        assert!((1..=2).contains(&soon), "{text}: {soon} times in ten seconds");
        assert!(hour <= 2 * 121, "{text}: {hour} times in an hour");
    }
}

#[test]
fn a_flood_of_port_messages_leaves_the_dht_its_queries() {
    let content = Content::new("port", 500_000, 32_768);
    let mut world = World::new(72);
    world.trackerless = true;
    let node = world.add_node();
    world.seed(node, &content);
    world.run(20);
    let asked = |world: &World| world.node(node).engine.dht_node(false).unwrap().queries_sent();
    let before = asked(&world);
    for _ in 0..5 {
        let flood = (1..2000).map(Message::Port).collect();
        world.connect_script(node, Puppet::new(&content, b'P').opening(flood).boxed());
        world.run(2);
    }
    let caused = asked(&world) - before;
    assert!((1..10).contains(&caused), "ten thousand messages caused {caused} queries");
}
