//! Unit tests of the engine that need no world around it.

use alloc::vec::Vec;

use super::*;

#[test]
fn an_engine_without_torrents_sleeps_until_an_event() {
    let mut engine = Engine::new(Config::default(), Seed::from_u64(1), Instant::ZERO);
    let mut actions = Vec::new();
    let wakeup = engine.step(Instant::from_millis(1), [], &mut actions);
    assert_eq!(wakeup, Wakeup::OnEvent);
    assert!(actions.is_empty());
    engine.check_invariants(CheckDepth::Full).unwrap();
}

#[test]
fn time_that_goes_backwards_is_clamped_and_counted() {
    let mut engine = Engine::new(Config::default(), Seed::from_u64(1), Instant::ZERO);
    let _ = engine.step(Instant::from_millis(5), [], &mut Vec::new());
    let _ = engine.step(Instant::from_millis(3), [], &mut Vec::new());
    assert_eq!(engine.now(), Instant::from_millis(5));
    assert_eq!(engine.stats().violations, 1);
}

#[test]
fn engines_are_values() {
    fn is_value<T: Clone + core::fmt::Debug + Send>() {}
    is_value::<Engine>();
}

#[test]
fn a_peer_of_the_users_that_refuses_tcp_and_does_not_answer_over_utp_is_called_again_in_seconds() {
    use crate::api::{Action, AddTorrent, Command, ConnectFailure, Event, StreamAction};
    use crate::api::{StreamEvent, Transports};
    use crate::base::ids::UdpSocketId;
    use crate::metainfo::Magnet;

    let config =
        Config { transports: Transports::Both, dht: false, lsd: false, ..Config::default() };
    let mut engine = Engine::new(config, Seed::from_u64(1), Instant::ZERO);
    let magnet = "magnet:?xt=urn:btih:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&x.pe=127.0.0.1:7";
    let add = AddTorrent::new(Magnet::parse(magnet).unwrap());
    let socket = Some(UdpSocketId(0));
    let listen = Command::ListenOn { port: Some(6881), udp4: socket, udp6: None };
    let mut events: Vec<Event> = [listen, Command::Add(add.into())].map(Event::from).into();
    let (mut now, mut calls) = (Instant::ZERO, Vec::new());
    while calls.len() < 3 && now < Instant::from_millis(60_000) {
        let mut actions = Vec::new();
        let wakeup = engine.step(now, core::mem::take(&mut events), &mut actions);
        engine.check_invariants(CheckDepth::Full).unwrap();
        for action in actions {
            if let Action::Stream(conn, StreamAction::Connect { .. }) = action {
                calls.push(now.as_nanos() / 1_000_000_000);
                let refused = StreamEvent::ConnectFailed(ConnectFailure::Refused);
                events.push(Event::Stream(conn, refused));
            }
        }
        if let (Wakeup::At { deadline, .. }, true) = (wakeup, events.is_empty()) {
            now = deadline;
        }
    }
    // Four seconds for µTP, and then two and four.
    assert_eq!(calls, [0, 6, 14]);
}
