//! Nobody is told which client it is: on the way out the checker of every scenario looks, here the other end does.

use bytes::Bytes;
use eddyline::base::ids::UdpSocketId;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::trace::{Replayer, Trace};
use eddyline::{
    Action, Command, Config, Encryption, EncryptionLevel, EncryptionPolicy, Engine, Event,
    StreamEvent, Transports,
};
use eddyline_sim::{Content, NodeId, Tracker, World, check_anonymous};

const URL: &str = "http://tracker.example/announce";

fn config(transports: Transports, policy: EncryptionPolicy) -> Config {
    let level = EncryptionLevel::Rc4;
    let dht_bootstrap = vec!["10.0.0.1:6881".into()];
    let encryption = Encryption { policy, level };
    Config { anonymous: true, transports, encryption, dht_bootstrap, ..Config::default() }
}

/// Everything that a node heard, deciphered.
fn heard(world: &mut World, node: NodeId) -> Vec<Bytes> {
    let trace = Trace::parse(world.node_mut(node).trace()).unwrap();
    let mut replayer = Replayer::new(trace).unwrap();
    let mut heard = Vec::new();
    while replayer.forward().unwrap().is_some() {
        heard.extend(replayer.engine().deciphered_events().iter().map(|(_, bytes)| bytes.clone()));
        let events = &replayer.last().unwrap().events;
        heard.extend(events.iter().filter_map(|event| match event {
            Event::Datagram { data, .. } => Some(data.clone()),
            Event::Stream(_, StreamEvent::Received(bytes)) => Some(bytes.clone()),
            _ => None,
        }));
    }
    heard
}

#[test]
fn whoever_is_spoken_to_hears_no_name_whatever_the_way() {
    for (transports, policy) in [
        (Transports::Tcp, EncryptionPolicy::Disable),
        (Transports::Tcp, EncryptionPolicy::Require),
        (Transports::Utp, EncryptionPolicy::Require),
    ] {
        let content = Content::tracked("quiet", 300_000, 32_768, &[URL]);
        let mut world = World::new(41);
        world.trackerless = true;
        let config = config(transports, policy);
        let nodes = [0; 3].map(|_| world.add_node_with(config.clone()));
        let named = nodes.iter().map(|node| world.node(*node).addr).collect();
        world.trackers.insert(URL.into(), Tracker { peers: named, ..Tracker::default() });
        world.node_mut(nodes[1]).record();
        world.seed(nodes[0], &content);
        world.leech(nodes[1], &content, &[]);
        world.leech(nodes[2], &content, &[]);
        let done = |world: &World| nodes.iter().all(|node| world.is_complete(*node));
        assert!(world.run_until(120, done), "{transports:?} {policy:?}");
        let heard = heard(&mut world, nodes[1]);
        assert!(heard.iter().any(|bytes| bytes.starts_with(b"\x13BitTorrent protocol")));
        for bytes in heard {
            check_anonymous(&bytes, &config).unwrap();
        }
    }
}

#[test]
fn a_node_of_the_dht_is_another_one_in_each_run_and_keeps_whom_it_knows() {
    let mut world = World::new(42);
    world.trackerless = true;
    let config = config(Transports::Tcp, EncryptionPolicy::Disable);
    for _ in 0..10 {
        world.add_node_with(config.clone());
    }
    world.run(60);
    let state = world.node(5).engine.dht_state().unwrap();
    let listen = || Command::ListenOn { port: Some(1), udp4: Some(UdpSocketId(0)), udp6: None };
    let again = |anonymous: bool| {
        let config = Config { anonymous, dht_bootstrap: Vec::new(), ..Config::default() };
        let mut engine = Engine::new(config, Seed::from_u64(9), Instant::ZERO);
        let commands = [Command::RestoreDht(Box::new(state.clone())), listen()];
        let mut actions = Vec::new();
        let _ = engine.step(Instant::ZERO, commands.map(Event::from), &mut actions);
        let asks = actions.iter().any(|action| matches!(action, Action::SendDatagram { .. }));
        assert!(asks, "those of the run before are asked");
        engine.dht_node(false).unwrap().id()
    };
    assert_eq!(Some(again(false)), state.ids[0]);
    assert_ne!(Some(again(true)), state.ids[0]);
}
