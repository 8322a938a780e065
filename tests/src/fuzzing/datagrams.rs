//! Targets for what strangers send in datagrams to a whole engine that speaks µTP, and for introductions (BEP 55).

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::ids::{ConnId, TorrentId};
use eddyline::base::time::Instant;
use eddyline::holepunch::Holepunch;
use eddyline::wire::{Handshake, HolepunchKind, HolepunchMessage, PeerId, Reserved};
use eddyline::{Config, Encryption, Transports};
use eddyline_utp::packet::{Header, Kind, Packet};

use super::small_content;
use crate::world::{PeerOptions, World};

/// Steps of a script beyond which it is not read.
const STEPS: usize = 300;

/// What the stranger has heard of the engine last.
#[derive(Clone, Copy, Default)]
struct Heard {
    connection_id: u16,
    sequence: u16,
    acknowledged: u16,
    /// The engine has called it.
    called: bool,
    /// That is all that it has said.
    calling: bool,
}

/// A stranger who speaks µTP to an engine.
struct Stranger {
    world: World,
    here: SocketAddr,
    there: SocketAddr,
    heard: Rc<RefCell<Heard>>,
}

impl Stranger {
    /// Before a seed, or (with the first bit) an engine that fetches and calls; the next two bits say what it speaks.
    fn meet(mode: u8) -> Self {
        let mut world = World::new(6);
        let transports = if mode & 2 == 0 { Transports::Utp } else { Transports::Both };
        let encryption = if mode & 4 == 0 { Encryption::default() } else { Encryption::PREFERRED };
        let node = world.add_node_with(Config { transports, encryption, ..Config::default() });
        let here = SocketAddr::from(([198, 51, 100, 7], 6881));
        let there = world.node(node).addr;
        let heard = Rc::new(RefCell::new(Heard::default()));
        let hears = heard.clone();
        let hear = move |_: SocketAddr, _: SocketAddr, data: &[u8]| {
            let packet = Packet::decode(&Bytes::copy_from_slice(data)).ok()?;
            let mut heard = hears.borrow_mut();
            heard.calling = packet.kind == Kind::Syn;
            heard.called |= heard.calling;
            heard.connection_id = packet.connection_id;
            heard.sequence = packet.sequence;
            heard.acknowledged = packet.acknowledged;
            None
        };
        world.add_responder(here, Box::new(hear));
        if mode & 1 == 0 {
            world.seed(node, small_content());
        } else {
            let options = PeerOptions { peers: vec![here], ..PeerOptions::default() };
            world.add(node, small_content(), options);
        }
        world.run(1);
        Self { world, here, there, heard }
    }

    fn give(&mut self, from: SocketAddr, datagram: Bytes) {
        self.world.inject(from, self.there, datagram);
        self.world.run_for(Duration::from_millis(30));
    }

    /// A packet with numbers near those that are right; with none added they are.
    fn say(&mut self, kind: Kind, near: [i8; 3], window: u32, extra: u8, payload: &[u8]) {
        let heard = *self.heard.borrow();
        let add = |number: u16, offset: i8| number.wrapping_add_signed(offset.into());
        let id = match (kind, heard.called, heard.calling) {
            (Kind::Syn, ..) => 77,
            (_, true, true) => heard.connection_id,
            (_, true, false) => heard.connection_id.wrapping_sub(1),
            (_, false, _) => heard.connection_id.wrapping_add(1),
        };
        let sack = [extra; 8];
        let header = Header {
            kind,
            connection_id: add(id, near[0]),
            timestamp: (self.world.now().as_nanos() / 1000) as u32,
            timestamp_difference: u32::from(extra) << 8,
            window,
            sequence: add(heard.acknowledged.wrapping_add(1), near[1]),
            acknowledged: add(heard.sequence, near[2]),
            selective_ack: if extra > 200 { &sack[..] } else { &[] },
            close_reason: (extra > 250).then_some(6),
            padding: usize::from(extra > 245) * 300,
        };
        let datagram = [&header.encode()[..], payload].concat().into();
        self.give(self.here, datagram);
    }
}

/// No datagrams break a rule of an engine, nor any bound on what a stranger may cost: with the numbers that are
/// expected and the words of a peer in them, with others, or any bytes at all.
pub fn utp_engine(data: &[u8]) {
    let Some((mode, mut rest)) = data.split_first() else { return };
    let mut stranger = Stranger::meet(*mode);
    let mut steps = 0;
    while let Some((step, behind)) = rest.split_at_checked(6)
        && steps < STEPS
    {
        (rest, steps) = (behind, steps + 1);
        let length = usize::from(step[5]).min(rest.len());
        let near = [1, 2, 3].map(|place: usize| step[place] as i8);
        let window = u32::from(step[4]) << 12;
        match step[0] % 12 {
            0 => stranger.world.run_for(Duration::from_millis(u64::from(step[1]) * 100)),
            1 => {
                let (raw, behind) = rest.split_at(length);
                rest = behind;
                let port = 6881 + u16::from(step[1] % 3);
                let from = SocketAddr::new(stranger.here.ip(), port);
                stranger.give(from, Bytes::copy_from_slice(raw));
            }
            2 => stranger.say(Kind::Syn, [near[0], 0, 0], window, 0, &[]),
            3 => {
                let (info_hash, peer_id) = (small_content().hash(), PeerId([b'f'; 20]));
                let handshake = Handshake { reserved: Reserved::OURS, info_hash, peer_id };
                stranger.say(Kind::Data, [0; 3], 1 << 20, 0, &handshake.encode());
            }
            4..=6 => {
                let (said, behind) = rest.split_at(length);
                rest = behind;
                stranger.say(Kind::Data, [0; 3], 1 << 20, 0, said);
            }
            7 => stranger.say(Kind::State, [0; 3], window, step[3], &[]),
            _ => {
                let kind = [Kind::Data, Kind::State, Kind::Fin, Kind::Reset, Kind::Syn]
                    [usize::from(step[0] / 12) % 5];
                let payload = if kind == Kind::Data { length } else { 0 };
                let (said, behind) = rest.split_at(payload);
                rest = behind;
                stranger.say(kind, near, window, step[4], said);
            }
        }
    }
    // What it began ends by itself.
    stranger.world.run(200);
}

/// No introduction panics its parser, what was understood survives being written, and whatever is asked and said, in
/// any order, few are introduced and called.
pub fn introductions(data: &[u8]) {
    if let Ok(message) = HolepunchMessage::decode(data) {
        assert_eq!(HolepunchMessage::decode(&message.encode()), Ok(message));
        assert!(!matches!(message.kind, HolepunchKind::Unknown(0..=2)));
    }
    let mut machine = Holepunch::default();
    let mut now = Instant::from_millis(1000);
    let begin = now;
    let (mut introduced, mut asked, mut called) = (0u64, 0u64, 0u64);
    let torrent = TorrentId::from_u64(1);
    let party = |byte: u8| SocketAddr::from(([44, byte, 0, 1], u16::from(byte % 3) + 1));
    for step in data.as_chunks::<3>().0 {
        let relay = (ConnId::from_u64(step[2].into()), party(step[2]));
        match step[0] % 8 {
            0 => now = now + Duration::from_millis(u64::from(step[1]) * 10),
            1 | 2 => {
                introduced += u64::from(machine.introduces(party(step[1]), party(step[2]), now))
            }
            3 | 4 => asked += u64::from(machine.asks(torrent, party(step[1]), relay, now)),
            5 => drop(machine.refused(torrent, party(step[1]), relay.0)),
            _ => called += u64::from(machine.calls(torrent, party(step[1]), relay, now)),
        }
        machine.check().unwrap_or_else(|rule| panic!("{rule}"));
    }
    let seconds = now.since(begin).as_secs() + 1;
    assert!(introduced <= 100 + 5 * seconds, "{introduced} in {seconds} s");
    assert!(called <= asked + 50 + seconds, "{called} of {asked} in {seconds} s");
}
