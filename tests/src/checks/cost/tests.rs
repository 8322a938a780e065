//! Each bound on what strangers cost is shown to fire.

use std::net::SocketAddr;

use bytes::Bytes;
use eddyline::api::StreamKey;
use eddyline::base::ids::{ConnId, ExchangeId, SocketToken, UdpSocketId};
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::{
    Action, Config, Engine, Event, HttpAction, HttpEvent, HttpGet, StreamAction, StreamEvent,
};

use super::{Asked, Cost, Measure, Stranger, check_memory};
use crate::checks::tests::{assert_fires, sender};
use crate::content::Content;
use crate::world::{PeerOptions, World};

const CONN: ConnId = ConnId::from_u64(1 << 32);

fn peer() -> SocketAddr {
    "10.7.0.1:5".parse().unwrap()
}

/// A ledger that knows one connection, and an engine without torrents.
fn connected() -> (Cost, Engine) {
    let now = Instant::from_millis(1000);
    let engine = Engine::new(Config::default(), Seed::from_u64(1), now);
    let mut cost = Cost::default();
    cost.hear(now, &Event::Incoming { socket: SocketToken(1), remote: peer() });
    cost.see(&Action::Stream(CONN, StreamAction::Adopt { socket: SocketToken(1) }));
    cost.settle(&engine, 1, 1).expect("that much is allowed");
    (cost, engine)
}

fn heard(cost: &mut Cost, seconds: u64, event: &Event) {
    cost.hear(Instant::from_millis(1000 + seconds * 1000), event);
}

fn broken(cost: &mut Cost, engine: &Engine) -> String {
    let rule = cost.settle(engine, 1, 1).expect_err("a bound is broken");
    rule.split(':').next().unwrap_or_default().to_owned()
}

#[test]
fn work_and_talk_out_of_proportion_are_noticed() {
    // A loop over everything for each of a few bytes.
    assert_fires("nobody causes more work than its bytes are worth", |events, actions| {
        let received = events.iter().find_map(|event| match event {
            Event::Stream(conn, StreamEvent::Received(_)) => Some(*conn),
            _ => None,
        });
        let Some(conn) = received else { return false };
        let nothing = Action::Stream(conn, StreamAction::GrantRead(0));
        actions.extend(std::iter::repeat_n(nothing, 200_000));
        true
    });
    // Answers that nothing bounds.
    assert_fires("nobody is told much more than it says", |_, actions| {
        let Some((at, conn)) = sender(actions, |bytes| !bytes.starts_with(b"\x13")) else {
            return false;
        };
        let much = StreamAction::Send(Bytes::from_static(&[0; 600_000]));
        actions.insert(at, Action::Stream(conn, much));
        true
    });
}

#[test]
fn content_and_metadata_that_nobody_asked_for_are_noticed() {
    let (mut cost, engine) = connected();
    let block = Action::Stream(CONN, StreamAction::SendBlock(Bytes::from_static(&[1; 16_384])));
    cost.heard(Asked { conn: CONN, content: 16_384, metadata: 0, named: Vec::new() });
    cost.see(&block);
    assert_eq!(cost.settle(&engine, 1, 1), Ok(()));
    cost.see(&block);
    assert_eq!(broken(&mut cost, &engine), "nobody is sent content that it did not ask for");

    let (mut cost, engine) = connected();
    cost.see(&Action::Stream(CONN, StreamAction::Send(Bytes::from_static(&[1; 16_400]))));
    cost.sent_metadata(CONN, 16_400);
    assert_eq!(broken(&mut cost, &engine), "nobody is sent metadata that it did not ask for");
}

#[test]
fn what_an_encrypted_connection_is_sent_counts_as_what_another_is() {
    let encrypted = || {
        let (mut cost, engine) = connected();
        cost.see(&Action::Stream(CONN, StreamAction::Encipher(StreamKey::rc4([1; 20]))));
        (cost, engine)
    };
    let say =
        |cost: &mut Cost, bytes: Bytes| cost.see(&Action::Stream(CONN, StreamAction::Send(bytes)));
    let (mut cost, engine) = encrypted();
    (0..30_000).for_each(|_| say(&mut cost, Bytes::from_static(&[0, 0, 0, 1, 1])));
    assert_eq!(broken(&mut cost, &engine), "nobody is told much more than it says");

    // What it asked for was heard behind the encryption, so nothing is taken on trust.
    let (mut cost, engine) = encrypted();
    let block = Action::Stream(CONN, StreamAction::SendBlock(Bytes::from_static(&[1; 16_384])));
    cost.heard(Asked { conn: CONN, content: 16_384, metadata: 0, named: Vec::new() });
    cost.see(&block);
    assert_eq!(cost.settle(&engine, 1, 1), Ok(()));
    cost.see(&block);
    assert_eq!(broken(&mut cost, &engine), "nobody is sent content that it did not ask for");
}

#[test]
fn packets_to_one_address_are_bounded_by_what_it_sent() {
    let (mut cost, engine) = connected();
    let answer = Action::SendDatagram {
        socket: UdpSocketId(0),
        to: peer(),
        data: Bytes::from_static(&[1; 1400]),
    };
    (0..50).for_each(|_| cost.see(&answer));
    assert_eq!(broken(&mut cost, &engine), "nobody is sent many more packets than it sends");
}

fn get(number: u64, url: &str) -> Action {
    let url = url.to_owned();
    let get = HttpGet {
        url,
        ipv6: None,
        only: None,
        max_body: 1000,
        timeout: std::time::Duration::from_secs(10),
    };
    Action::Http(ExchangeId::from_u64(number), HttpAction::Get(Box::new(get)))
}

#[test]
fn a_tracker_that_is_asked_all_the_time_is_noticed() {
    let (mut cost, engine) = connected();
    // It says that it is to be asked again in no time, and so it is.
    for number in 0..100 {
        let id = ExchangeId::from_u64(number);
        heard(&mut cost, number, &Event::Http(id, HttpEvent::Finished));
        cost.see(&get(number + 1, "http://t.example/announce?info_hash=x"));
    }
    assert_eq!(broken(&mut cost, &engine), "no server is asked all the time");
}

#[test]
fn who_sends_us_to_many_others_is_noticed() {
    let (mut cost, engine) = connected();
    let named: Vec<SocketAddr> = (0..200).map(|n| SocketAddr::from(([10, 8, 0, n], 80))).collect();
    cost.heard(Asked { conn: CONN, content: 0, metadata: 0, named: named.clone() });
    for (number, remote) in (2..).zip(&named) {
        let conn = ConnId::from_u64(number << 32);
        cost.see(&Action::Stream(conn, StreamAction::Connect { remote: *remote }));
    }
    let account = cost.account(&Stranger::Peer(peer().ip())).expect("it is known");
    assert_eq!(account.caused(Measure::Requests), 200);
    assert_eq!(broken(&mut cost, &engine), "nobody sends us to others out of proportion");
}

#[test]
fn an_engine_that_holds_more_than_it_was_given_is_noticed() {
    let content = Content::new("held", 100_000, 16_384);
    let mut world = World::new(25);
    let node = world.add_node();
    let peers = (0..50_000).map(|n: u32| {
        let [_, a, b, c] = n.to_be_bytes();
        SocketAddr::from(([20, a, b, c], 6881))
    });
    world.leech(node, &content, &[]);
    world.run(1);
    assert_eq!(check_memory(&world.node(node).engine, 0), Ok(()));
    // Addresses that came from nowhere, without a bound.
    let config = Config { max_candidates: 50_000, ..Config::default() };
    let node = world.add_node_with(config);
    world.add(node, &content, PeerOptions { peers: peers.collect(), ..PeerOptions::default() });
    world.run(1);
    let rule = check_memory(&world.node(node).engine, 0).expect_err("it holds too much");
    assert!(rule.starts_with("no more is held than was given"), "{rule}");
    assert_eq!(check_memory(&world.node(node).engine, 50_000 * 40), Ok(()));
}

#[test]
fn who_redirects_us_pays_for_where_we_are_sent() {
    let (mut cost, _) = connected();
    cost.see(&get(1, "http://t.example/announce"));
    let location = Some("http://victim.example/page".to_owned());
    let scope = eddyline::base::addr::Scope::Public;
    let head = HttpEvent::Head { status: 302, location, scope };
    heard(&mut cost, 0, &Event::Http(ExchangeId::from_u64(1), head));
    cost.see(&get(2, "http://victim.example/page"));
    let account = cost.account(&Stranger::Server("t.example".into())).expect("it is known");
    assert_eq!(account.caused(Measure::Requests), 1);
}
