//! What the benchmarks share: an engine fed by peers that cost next to nothing.

pub mod crowd;
pub mod workloads;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{ConnId, DiskOpId};
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::filter::{Filter, FilterBuilder};
use eddyline::metainfo::{CreateNeed, CreateOptions, Creator, InputFile, Metainfo};
use eddyline::wire::{FrameAssembler, Handshake, Message, PeerId, Reserved};
use eddyline::{
    Action, AddTorrent, Command, Config, DiskOp, DiskOutcome, Engine, Event, FileStatus, Notice,
    RateLimits, StreamAction, StreamEvent, Wakeup,
};

/// A torrent of `pieces` pieces of `piece_length` whose hashes are all the same made-up one.
pub fn metainfo(pieces: u32, piece_length: u32) -> Arc<Metainfo> {
    let length = u64::from(pieces) * u64::from(piece_length);
    let options = CreateOptions { name: "bench".into(), piece_length, ..CreateOptions::default() };
    let file = InputFile { path: vec![], length, executable: false };
    let mut creator = Creator::new(options, vec![file]).expect("a valid torrent");
    for need in creator.needs().collect::<Vec<_>>() {
        if let CreateNeed::Piece { index } = need {
            creator.provide_piece(index, Sha1Hash([1; 20]));
        }
    }
    let torrent = creator.finish().expect("complete");
    Arc::new(Metainfo::parse(&torrent).expect("valid"))
}

/// Steps before which nothing is measured: connections, first requests, buffers that grow.
const WARM_UP: usize = 24;

/// What a leeching engine heard of seeds that answer every request at once, and of a disk that takes
/// no time. Replayed, nothing but the engine is measured.
pub struct Recording {
    fresh: Engine,
    steps: Vec<(Instant, Vec<Event>)>,
    /// Blocks that are verified in the measured steps.
    pub blocks: u64,
    /// Blocks that are verified in all steps.
    pub all_blocks: u64,
}

impl Recording {
    /// A download of a torrent of `pieces` pieces of four blocks from `peers` seeds, until about so
    /// many blocks were measured.
    pub fn new(pieces: u32, peers: u16, blocks: u64) -> Self {
        Self::in_pieces_of(4, pieces, peers, blocks)
    }

    /// The same with pieces of `each` blocks.
    pub fn in_pieces_of(each: u32, pieces: u32, peers: u16, blocks: u64) -> Self {
        Self::of(Feed::new(pieces, each * 16_384, peers), each, pieces, blocks)
    }

    /// The same in pieces of four blocks, under a limit of `rate` bytes a second: seeds send what they
    /// are granted and no more.
    pub fn limited(rate: u64, pieces: u32, peers: u16, blocks: u64) -> Self {
        let mut feed = Feed::new(pieces, 4 * 16_384, peers);
        feed.held = Some(BTreeMap::new());
        let limits = RateLimits { down: Some(rate), up: None };
        feed.events.push(Command::SetLimits(limits).into());
        Self::of(feed, 4, pieces, blocks)
    }

    fn of(mut feed: Feed, each: u32, pieces: u32, blocks: u64) -> Self {
        // What a torrent costs once is no part of what its blocks cost.
        for _ in 0..2 {
            feed.now += 100_000;
            let events = std::mem::take(&mut feed.events);
            let _ = feed.engine.step(Instant::from_nanos(feed.now), events, &mut feed.actions);
            feed.answer_all();
        }
        let fresh = feed.engine.clone();
        let (mut steps, mut verified, mut all_blocks) = (Vec::new(), 0, 0);
        while verified < blocks {
            feed.now += 100_000;
            let now = Instant::from_nanos(feed.now);
            let events = std::mem::take(&mut feed.events);
            steps.push((now, events.clone()));
            let wakeup = feed.engine.step(now, events, &mut feed.actions);
            let done = feed.answer_all() * u64::from(each);
            all_blocks += done;
            verified += if steps.len() > WARM_UP { done } else { 0 };
            // Under a limit nothing may come until the next turn.
            if let (true, Wakeup::At { deadline, .. }) = (feed.events.is_empty(), wakeup) {
                feed.now = feed.now.max(deadline.as_nanos());
            }
            assert!(feed.blocks < u64::from(pieces) * u64::from(each), "too small a torrent");
        }
        Self { fresh, steps, blocks: verified, all_blocks }
    }

    /// Replays it all; `measure` is given each measured step to call.
    pub fn replay(&self, mut measure: impl FnMut(&mut dyn FnMut())) {
        let mut engine = self.fresh.clone();
        let mut actions = Vec::with_capacity(1 << 16);
        for (index, (now, events)) in self.steps.iter().enumerate() {
            let mut events = events.clone();
            let mut step = || {
                let _ = engine.step(*now, events.drain(..), &mut actions);
            };
            if index < WARM_UP {
                step()
            } else {
                measure(&mut step)
            }
            actions.clear();
        }
    }
}

/// The engine and its world while they are recorded.
struct Feed {
    engine: Engine,
    now: u64,
    events: Vec<Event>,
    actions: Vec<Action>,
    assemblers: Vec<(ConnId, FrameAssembler, bool)>,
    block: Bytes,
    length: u64,
    /// Blocks sent so far.
    blocks: u64,
    /// Under a limit: what each seed may send, and what it would.
    held: Option<BTreeMap<ConnId, Held>>,
}

/// What a seed has to send, as far as it was granted.
#[derive(Default)]
struct Held {
    granted: usize,
    bytes: VecDeque<Bytes>,
}

impl Held {
    /// What may go now.
    fn release(&mut self) -> Vec<Bytes> {
        let mut out = Vec::new();
        while self.granted > 0
            && let Some(front) = self.bytes.front_mut()
        {
            let part = front.split_to(front.len().min(self.granted));
            self.granted -= part.len();
            out.push(part);
            if front.is_empty() {
                self.bytes.pop_front();
            }
        }
        out
    }
}

impl Feed {
    fn new(pieces: u32, piece_length: u32, peers: u16) -> Self {
        let metainfo = metainfo(pieces, piece_length);
        let config = Config {
            max_connections: 5000,
            max_connections_per_torrent: 5000,
            max_half_open: 5000,
            hash_jobs: 5000,
            // As many as keep a step within what one turn of a loop brings.
            max_outstanding_requests: (500 / u32::from(peers)).clamp(8, 250),
            ..Config::default()
        };
        let engine = Engine::new(config, Seed::from_u64(1), Instant::from_millis(1000));
        let mut add = AddTorrent::new(metainfo);
        add.peers = (0..peers).map(|n| ([10, (n >> 8) as u8, n as u8, 1], 6881).into()).collect();
        Self {
            engine,
            now: 1_000_000_000,
            events: vec![add.into()],
            actions: Vec::new(),
            assemblers: Vec::new(),
            block: Bytes::from(vec![0; 16_384]),
            length: u64::from(pieces) * u64::from(piece_length),
            blocks: 0,
            held: None,
        }
    }

    /// A seed sends something, when it may.
    fn send(&mut self, conn: ConnId, bytes: Bytes) {
        let Some(held) = &mut self.held else {
            return self.events.push(Event::Stream(conn, StreamEvent::Received(bytes)));
        };
        held.entry(conn).or_default().bytes.push_back(bytes);
        self.release(conn);
    }

    fn release(&mut self, conn: ConnId) {
        let held = self.held.as_mut().and_then(|held| held.get_mut(&conn));
        let parts = held.map(Held::release).unwrap_or_default();
        let events = parts.into_iter().map(|part| Event::Stream(conn, StreamEvent::Received(part)));
        self.events.extend(events);
    }

    /// The world's answer to a step. Returns the number of pieces that were verified in it.
    fn answer_all(&mut self) -> u64 {
        let mut verified = 0;
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Stream(conn, StreamAction::Connect { .. }) => {
                    self.assemblers.push((conn, FrameAssembler::default(), false));
                    self.events.push(Event::Stream(conn, StreamEvent::Connected));
                }
                Action::Stream(conn, StreamAction::Send(bytes)) => {
                    let count = bytes.len() as u32;
                    self.events.push(Event::Stream(conn, StreamEvent::Sent(count)));
                    self.answer(conn, bytes);
                }
                Action::Stream(conn, StreamAction::GrantRead(count)) => {
                    if let Some(held) = &mut self.held {
                        held.entry(conn).or_default().granted += count as usize;
                        self.release(conn);
                    }
                }
                Action::Disk(id, op) => self.disk(id, &op),
                Action::Notify(Notice::PieceVerified(..)) => verified += 1,
                _ => {}
            }
        }
        verified
    }

    fn answer(&mut self, conn: ConnId, bytes: Bytes) {
        let Some((_, assembler, shaken)) = self.assemblers.iter_mut().find(|a| a.0 == conn) else {
            return;
        };
        assembler.push(bytes);
        let (mut out, mut more) = (BytesMut::new(), Vec::new());
        if !*shaken && let Ok(Some(handshake)) = assembler.take_handshake() {
            *shaken = true;
            let mut id = [b'x'; 20];
            id[..8].copy_from_slice(&conn.as_u64().to_be_bytes());
            let reply = Handshake { reserved: Reserved::OURS, peer_id: PeerId(id), ..handshake };
            out.extend_from_slice(&reply.encode());
            Message::HaveAll.encode(&mut out);
            Message::Unchoke.encode(&mut out);
        }
        while let Ok(Some(message)) = assembler.next_message() {
            if let Message::Request(request) = message {
                self.blocks += 1;
                out.put_u32(9 + request.length);
                out.put_u8(7);
                out.put_u32(request.piece);
                out.put_u32(request.begin);
                // Content is the same for all, or a recording would be as large as the download.
                more.extend([out.split().freeze(), self.block.clone()]);
            }
        }
        if !out.is_empty() {
            more.push(out.freeze());
        }
        more.into_iter().for_each(|bytes| self.send(conn, bytes));
    }

    fn disk(&mut self, id: DiskOpId, op: &DiskOp) {
        let outcome = match op {
            DiskOp::Open { .. } => DiskOutcome::Opened(Box::new([FileStatus::default()])),
            DiskOp::WriteBlock { .. } => DiskOutcome::Written,
            DiskOp::HashPiece { .. } => DiskOutcome::PieceHashed(Sha1Hash([1; 20])),
            DiskOp::Sync { .. } => {
                let status = FileStatus { length: Some(self.length), modified: 1 };
                DiskOutcome::Synced(Box::new([status]))
            }
            _ => DiskOutcome::Done,
        };
        self.events.push(Event::Disk(id, outcome));
    }
}

/// A filter of as many ranges, each of eight addresses, all over IPv4.
///
/// # Panics
/// When there is no room for them.
#[must_use]
pub fn blocklist(ranges: u32) -> Filter {
    let mut builder = FilterBuilder::default();
    for n in 0..ranges {
        let first = spread(n) & !7;
        assert!(
            builder.block(Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(first | 7).into())
        );
    }
    builder.build()
}

/// The `n`th of many numbers that lie all over.
const fn spread(n: u32) -> u32 {
    n.wrapping_mul(0x9e37_79b1)
}

/// The `n`th of many addresses that lie all over.
#[must_use]
pub fn stranger(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(spread(n)))
}
