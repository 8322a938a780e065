//! Strangers who speak µTP and mean no good: what they can make an engine hold and send.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::ids::{ConnId, UdpSocketId};
use eddyline::base::time::Instant;
use eddyline::{
    Action, CheckDepth, Command, Config, Engine, Event, Seed, StreamAction, Transports,
};
use eddyline_sim::{first_packet, packet};
use eddyline_utp::packet::{Kind, Packet};

const SOCKET: UdpSocketId = UdpSocketId(0);

/// An engine that hears datagrams only.
struct Victim {
    engine: Engine,
    now: Instant,
    received: u64,
    sent: u64,
    open: BTreeSet<ConnId>,
}

fn host(number: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4((0x5000_0000 + number * 256).into()), 6881)
}

impl Victim {
    fn new() -> Self {
        let now = Instant::from_millis(1_000);
        let config = Config { transports: Transports::Both, dht: false, ..Config::default() };
        let engine = Engine::new(config, Seed([7; 32]), now);
        let mut victim = Self { engine, now, received: 0, sent: 0, open: BTreeSet::new() };
        let listen = Command::ListenOn { port: Some(6881), udp4: Some(SOCKET), udp6: None };
        victim.step([listen.into()]);
        victim
    }

    /// Steps, and returns the headers that were sent.
    fn step(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<(SocketAddr, Packet)> {
        let mut actions = Vec::new();
        let _ = self.engine.step(self.now, events, &mut actions);
        self.engine.check_invariants(CheckDepth::Full).unwrap();
        let mut sent = Vec::new();
        for action in actions {
            match action {
                Action::Transmit(_, packet) => {
                    self.sent += packet.length();
                    let header = Bytes::copy_from_slice(&packet.header);
                    sent.push((packet.to, Packet::decode(&header).unwrap()));
                }
                Action::Stream(conn, StreamAction::OpenUtp { .. }) => {
                    self.open.insert(conn);
                }
                Action::Stream(conn, StreamAction::Close(_)) => {
                    self.open.remove(&conn);
                }
                _ => {}
            }
        }
        sent
    }

    fn hear(&mut self, from: SocketAddr, data: Bytes) -> Vec<(SocketAddr, Packet)> {
        self.received += data.len() as u64;
        self.step([Event::Datagram { socket: SOCKET, from, data, waited: 0 }])
    }

    /// A stranger that answers, and says one byte.
    fn connect(&mut self, from: SocketAddr, id: u16) {
        let answers = self.hear(from, packet(Kind::Syn, id, 1, 0, &[]));
        if let Some((_, answer)) = answers.first() {
            self.hear(from, first_packet(id.wrapping_add(1), 2, answer, &[19]));
        }
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.now = self.now + Duration::from_millis(250);
            self.step([]);
        }
    }
}

#[test]
fn a_flood_of_syns_leaves_nothing_behind_and_is_answered_with_no_more_than_it_is_long() {
    let mut victim = Victim::new();
    let before = victim.engine.snapshot().len();
    for number in 0..5_000 {
        victim.hear(host(number), packet(Kind::Syn, number as u16, 1, 0, &[]));
    }
    assert!(victim.sent <= victim.received, "{} for {}", victim.sent, victim.received);
    assert_eq!(victim.engine.stats().connections, 0);
    assert!(victim.engine.snapshot().len() < before + 500);
}

#[test]
fn who_holds_connections_over_utp_has_no_more_places_than_with_tcp_and_for_no_longer() {
    let mut victim = Victim::new();
    for id in 0..100 {
        victim.connect(host(1), id * 10);
    }
    let config = victim.engine.config();
    let (of_one, of_all) = (config.max_connections_per_address, config.max_waiting());
    assert_eq!(victim.open.len() as u32, of_one);
    for number in 0..500 {
        victim.connect(host(number + 2), 5);
    }
    assert_eq!(victim.open.len() as u32, of_all);
    // They have not begun to shake hands, so they take nobody's place.
    assert_eq!(victim.engine.stats().connections, 0);
    victim.pass(15);
    assert_eq!((victim.open.len(), victim.engine.stats().connections), (0, 0));
}

#[test]
fn a_reset_with_guessed_numbers_ends_no_connection() {
    let mut victim = Victim::new();
    victim.connect(host(1), 50);
    assert_eq!(victim.open.len(), 1);
    for guess in 0..2_000u16 {
        let acknowledged = guess.wrapping_mul(37).wrapping_add(5);
        victim.hear(host(1), packet(Kind::Reset, 9_999, 1, acknowledged, &[]));
        victim.hear(host(2), packet(Kind::Reset, 50, 1, acknowledged, &[]));
    }
    assert_eq!(victim.open.len(), 1);
}

#[test]
fn packets_of_no_connection_are_answered_with_few_resets() {
    let mut victim = Victim::new();
    for number in 0..5_000 {
        victim.hear(host(number), packet(Kind::Data, 77, 9, 9, &[0; 100]));
    }
    assert!(victim.sent <= 100 * 20, "{}", victim.sent);
    assert_eq!(victim.engine.stats().connections, 0);
}
