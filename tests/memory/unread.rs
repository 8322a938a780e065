//! What is held for peers over µTP who let us send and acknowledge nothing, or say that they have no room.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::ids::{ConnId, UdpSocketId};
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::wire::{Handshake, Message, MetadataMessage, PeerId, Reserved};
use eddyline::{
    Action, AddTorrent, CloseReason, Command, Config, DiskOp, DiskOutcome, Engine, Event,
    FileStatus, Notice, OutgoingStream, StreamAction, StreamEvent, Transports,
};
use eddyline_sim::encode;
use eddyline_utp::packet::{Header, Kind, Packet};

use super::{METADATA, REST, STRANGERS, config, extended, known, offer};

const SOCKET: UdpSocketId = UdpSocketId(0);
/// Payload of a datagram.
const EACH: usize = 1_400;
/// Datagrams of each stranger.
const ROUNDS: u16 = 100;

fn address(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4((0x5000_0000 + n * 256).into()), 6881)
}

/// What a stranger does with what it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// It acknowledges nothing.
    Silent,
    /// It acknowledges, and has no room for more.
    Full,
    /// It acknowledges for a while, and then nothing more.
    Stops,
}

/// A stranger.
struct Stranger {
    /// The number of our last packet, and what it showed of its clock.
    heard: u16,
    clock: u32,
    /// What it acknowledges.
    acknowledged: u16,
    /// Its own next packet.
    next: u16,
}

/// An engine with a torrent, and the outgoing streams that a driver keeps.
struct Holder {
    engine: Engine,
    now: Instant,
    streams: BTreeMap<ConnId, OutgoingStream>,
    strangers: BTreeMap<SocketAddr, Stranger>,
    /// The most that was held of one stream.
    most: u64,
    /// Connections that were closed because nothing was read.
    closed: u32,
}

impl Holder {
    fn new(config: Config) -> Self {
        let now = Instant::from_millis(1_000);
        let engine = Engine::new(config, Seed([7; 32]), now);
        let (streams, strangers) = (BTreeMap::new(), BTreeMap::new());
        let mut holder = Self { engine, now, streams, strangers, most: 0, closed: 0 };
        let listen = Command::ListenOn { port: Some(6881), udp4: Some(SOCKET), udp6: None };
        holder.step(listen.into());
        holder.step(AddTorrent::new(known()).into());
        holder
    }

    fn step(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut actions = Vec::new();
            let _ = self.engine.step(self.now, [event], &mut actions);
            for action in actions {
                match action {
                    Action::Disk(id, op) => events.push_back(Event::Disk(id, disk(&op))),
                    Action::Stream(conn, action) => self.stream(conn, action, &mut events),
                    Action::Transmit(_, packet) => {
                        let header = Bytes::copy_from_slice(&packet.header);
                        let (Ok(header), Some(stranger)) =
                            (Packet::decode(&header), self.strangers.get_mut(&packet.to))
                        else {
                            continue;
                        };
                        // Only data has a number of its own.
                        let own = u16::from(header.kind != Kind::Data);
                        stranger.heard = header.sequence.wrapping_sub(own);
                        stranger.clock = header.timestamp;
                    }
                    Action::Notify(Notice::PeerClosed { reason, .. }) => {
                        self.closed += u32::from(reason == CloseReason::NotReading);
                    }
                    _ => {}
                }
            }
        }
    }

    fn stream(&mut self, conn: ConnId, action: StreamAction, events: &mut VecDeque<Event>) {
        let stream = self.streams.entry(conn).or_default();
        let bytes = match action {
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => bytes,
            StreamAction::SendStored(block) => vec![0; block.length as usize].into(),
            StreamAction::Release(up_to) => return stream.release(up_to),
            StreamAction::Deliver(payload) => {
                for part in payload.parts().iter().filter(|part| !part.is_empty()) {
                    let received = StreamEvent::Received(part.clone());
                    events.push_back(Event::Stream(conn, received));
                }
                return;
            }
            StreamAction::Close(_) => return drop(self.streams.remove(&conn)),
            _ => return,
        };
        let offered = StreamEvent::Offered(bytes.len() as u32);
        stream.append(bytes);
        self.most = self.most.max(stream.held());
        events.push_back(Event::Stream(conn, offered));
    }

    /// A stranger sends its next packet.
    fn hear(&mut self, n: u32, kind: Kind, window: u32, payload: &[u8]) {
        let from = address(n);
        let stranger = self.strangers.entry(from).or_insert(Stranger {
            heard: 0,
            clock: 0,
            acknowledged: 0,
            next: 1,
        });
        let shown = 1u32.wrapping_sub(stranger.clock);
        let header = Header {
            kind,
            connection_id: if kind == Kind::Syn { 5 } else { 6 },
            timestamp: 1,
            timestamp_difference: shown,
            window,
            sequence: stranger.next,
            acknowledged: stranger.acknowledged,
            selective_ack: &[],
            close_reason: None,
            padding: 0,
        };
        stranger.next += 1;
        let data: Bytes = [&header.encode()[..], payload].concat().into();
        self.now = self.now + Duration::from_micros(20);
        self.step(Event::Datagram { socket: SOCKET, from, data, waited: 0 });
    }

    fn round(&mut self, n: u32, manner: Manner, round: u16, said: &[u8]) {
        let acknowledges = match manner {
            Manner::Silent => false,
            Manner::Full => true,
            Manner::Stops => round < ROUNDS / 2,
        };
        let Some(stranger) = self.strangers.get_mut(&address(n)) else { return };
        if acknowledges {
            stranger.acknowledged = stranger.heard;
        }
        let window = if manner == Manner::Full { 0 } else { 1 << 20 };
        self.hear(n, Kind::Data, window, said);
    }
}

fn disk(op: &DiskOp) -> DiskOutcome {
    let length = Some(u64::from(super::PIECES) * 16_384);
    let status = || Box::new([FileStatus { length, modified: 1 }]);
    match op {
        DiskOp::Open { .. } => DiskOutcome::Opened(status()),
        DiskOp::Sync { .. } => DiskOutcome::Synced(status()),
        DiskOp::HashPiece { .. } => {
            DiskOutcome::PieceHashed(eddyline::base::hash::Sha1Hash([1; 20]))
        }
        DiskOp::ReadBlock { length, .. } => DiskOutcome::Read(vec![0; *length as usize].into()),
        _ => DiskOutcome::Done,
    }
}

/// What a stranger says, to have us send: a handshake, and then requests for metadata, which are answered or rejected.
fn said() -> Vec<u8> {
    let (reserved, info_hash) = (Reserved::OURS, known().info_hashes().wire());
    let hello = Handshake { reserved, info_hash, peer_id: PeerId([b'x'; 20]) }.encode();
    let mut said = hello.to_vec();
    said.extend(encode(&[offer(), Message::Interested]));
    let mut piece = 0;
    while said.len() < usize::from(ROUNDS) * EACH {
        piece = (piece + 1) % 20;
        said.extend(encode(&[extended(METADATA, MetadataMessage::Request(piece).encode())]));
    }
    said
}

#[test]
fn what_is_sent_over_utp_and_not_acknowledged_or_not_read_stays_within_the_memory_bound() {
    let config = Config { transports: Transports::Both, dht: false, lsd: false, ..config() };
    let bound = config.memory_bound(1, super::PIECES);
    let parts = bound.unread + bound.send + bound.utp + bound.peers + bound.requests;
    for manner in [Manner::Silent, Manner::Full, Manner::Stops] {
        let (mut most, mut closed) = (0, 0);
        let info = allocation_counter::measure(|| {
            let mut holder = Holder::new(config.clone());
            let said = said();
            for n in 0..STRANGERS {
                holder.hear(n, Kind::Syn, 1 << 20, &[]);
                if let Some(stranger) = holder.strangers.get_mut(&address(n)) {
                    stranger.acknowledged = stranger.heard;
                }
            }
            for (round, part) in said.chunks(EACH).enumerate() {
                (0..STRANGERS).for_each(|n| holder.round(n, manner, round as u16, part));
            }
            (most, closed) = (holder.most, holder.closed);
        });
        let taken = info.bytes_max as f64 / 1_048_576.0;
        println!("{manner:?}: {taken:.1} MiB, {most} bytes of one, {closed} closed");
        assert!(info.bytes_max <= parts + REST, "{manner:?}: {} of {parts}", info.bytes_max);
        assert!(most > 100_000, "{manner:?}: something is sent");
        // Who lets nothing go is closed for that; who did for a while may have some more under way.
        assert!(closed == STRANGERS || manner == Manner::Stops, "{manner:?}: {closed} closed");
    }
}
