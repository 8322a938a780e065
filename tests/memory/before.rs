//! What strangers hold who are no peers yet: in encrypted handshakes, and over µTP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::ids::UdpSocketId;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::{Action, Command, Config, Encryption, Engine, Event, StreamAction, Transports};
use eddyline_sim::direct::Direct;
use eddyline_sim::{first_packet, packet};
use eddyline_utp::packet::{Kind, Packet};

use super::{REST, STRANGERS, config, known};

const SOCKET: UdpSocketId = UdpSocketId(0);

/// All of them may shake hands at once.
fn crowded() -> Config {
    Config {
        max_handshaking: STRANGERS,
        encryption: Encryption::PREFERRED,
        transports: Transports::Both,
        ..config()
    }
}

fn address(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4((0x5000_0000 + n * 256).into()), 6881)
}

/// How far they come with an encrypted handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    /// Bytes that could be the beginning of either kind.
    Undecided,
    /// The key, and all padding but the mark behind it.
    Padding,
    /// Everything but the last byte of what the handshake carries.
    Payload,
}

/// What a stranger sends until there.
fn half(direct: &mut Direct, n: u32, stop: Stop) {
    let Some(conn) = direct.arrive(address(n), false) else { return };
    if stop == Stop::Undecided {
        direct.send(conn, b"\x13BitTorrent prot");
        return;
    }
    let mut out = Vec::new();
    let mut side = direct.initiate(&direct.hello(), &mut out);
    direct.send_all(conn, &out);
    direct.pass(6);
    if stop == Stop::Padding {
        return;
    }
    out.clear();
    let heard: Vec<u8> = direct.take_unread(conn).into_iter().flatten().collect();
    let mut input = &heard[..];
    if let Ok(eddyline_mse::Need::Agreement) = side.receive(&mut input, &mut out) {
        let agreed = side.agree(&[7; 20], &[], &mut out);
        agreed.expect("its key is sound");
        let _ = side.receive(&mut input, &mut out);
    }
    direct.send_all(conn, &out[..out.len().saturating_sub(1)]);
}

#[test]
fn encrypted_handshakes_that_stop_half_way_stay_within_the_memory_bound() {
    let bound = crowded().memory_bound(1, super::PIECES).total();
    for stop in [Stop::Undecided, Stop::Padding, Stop::Payload] {
        let mut left = 0;
        let info = allocation_counter::measure(|| {
            let mut direct = Direct::new(crowded(), known(), true);
            (0..STRANGERS).for_each(|n| half(&mut direct, n, stop));
            left = direct.lines.len();
        });
        println!("{stop:?}: {:.1} MiB, {left} left", info.bytes_max as f64 / 1_048_576.0);
        assert!(info.bytes_max <= bound + REST, "{stop:?}: {} of {bound}", info.bytes_max);
        assert!(left > 0, "{stop:?}");
    }
}

/// An engine that hears datagrams only.
struct Hearing {
    engine: Engine,
    now: Instant,
    /// Connections that stand.
    open: u32,
}

impl Hearing {
    fn new() -> Self {
        let now = Instant::from_millis(1_000);
        let config = Config { dht: false, lsd: false, ..crowded() };
        let mut hearing = Self { engine: Engine::new(config, Seed([7; 32]), now), now, open: 0 };
        let listen = Command::ListenOn { port: Some(6881), udp4: Some(SOCKET), udp6: None };
        hearing.step(listen.into());
        hearing
    }

    /// Steps, and returns the last header that was sent.
    fn step(&mut self, event: Event) -> Option<Packet> {
        let mut actions = Vec::new();
        self.now = self.now + Duration::from_micros(10);
        let _ = self.engine.step(self.now, [event], &mut actions);
        for action in &actions {
            match action {
                Action::Stream(_, StreamAction::OpenUtp { .. }) => self.open += 1,
                Action::Stream(_, StreamAction::Close(_)) => self.open -= 1,
                _ => {}
            }
        }
        let packets = actions.into_iter().filter_map(|action| match action {
            Action::Transmit(_, packet) => Some(Bytes::copy_from_slice(&packet.header)),
            _ => None,
        });
        packets.last().and_then(|header| Packet::decode(&header).ok())
    }

    fn hear(&mut self, from: SocketAddr, data: Bytes) -> Option<Packet> {
        self.step(Event::Datagram { socket: SOCKET, from, data, waited: 0 })
    }
}

#[test]
fn streams_over_utp_that_are_half_open_or_have_gaps_stay_within_the_memory_bound() {
    let bound = crowded().memory_bound(0, 0).total();
    for gaps in [false, true] {
        let mut left = 0;
        let info = allocation_counter::measure(|| {
            let mut hearing = Hearing::new();
            for n in 0..10 * STRANGERS {
                let from = address(n);
                let answer = hearing.hear(from, packet(Kind::Syn, 5, 1, 0, &[]));
                let Some(answer) = answer.filter(|_| gaps && n < STRANGERS) else { continue };
                let theirs = answer.sequence.wrapping_sub(1);
                hearing.hear(from, first_packet(6, 2, &answer, &[19]));
                // All behind the third, which never comes.
                for sequence in 4..200 {
                    hearing.hear(from, packet(Kind::Data, 6, sequence, theirs, &[1; 1400]));
                }
            }
            left = hearing.open;
        });
        println!("gaps {gaps}: {:.1} MiB, {left} left", info.bytes_max as f64 / 1_048_576.0);
        assert!(info.bytes_max <= bound + REST, "gaps {gaps}: {} of {bound}", info.bytes_max);
        assert_eq!(left, if gaps { STRANGERS } else { 0 });
    }
}
