//! What the benchmarks share: an engine fed by peers that cost next to nothing.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{ConnId, DiskOpId};
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::metainfo::{CreateNeed, CreateOptions, Creator, InputFile, Metainfo};
use eddyline::wire::{FrameAssembler, Handshake, Message, PeerId, Reserved};
use eddyline::{
    Action, AddTorrent, Command, Config, DiskOp, DiskOutcome, Engine, Event, FileStatus,
    StreamAction, StreamEvent,
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

/// A leeching engine with `peers` seeds that answer every request at once, and a disk that takes
/// no time.
pub struct Feed {
    engine: Engine,
    now: u64,
    events: Vec<Event>,
    actions: Vec<Action>,
    assemblers: Vec<(ConnId, FrameAssembler, bool)>,
    block: Bytes,
    metainfo: Arc<Metainfo>,
    /// Blocks received so far.
    pub blocks: u64,
}

impl Feed {
    /// Sets the scene up to the first request.
    pub fn new(pieces: u32, peers: u16) -> Self {
        let metainfo = metainfo(pieces, 65_536);
        let config = Config {
            max_connections: 5000,
            max_connections_per_torrent: 5000,
            max_half_open: 5000,
            ..Config::default()
        };
        let engine = Engine::new(config, Seed::from_u64(1), Instant::from_millis(1000));
        let mut add = AddTorrent::new(metainfo.clone());
        add.peers = (0..peers).map(|n| ([10, 0, 0, 1], 1000 + n).into()).collect();
        let mut feed = Self {
            engine,
            now: 1_000_000_000,
            events: vec![Event::Command(Command::Add(Box::new(add)))],
            actions: Vec::new(),
            assemblers: Vec::new(),
            block: Bytes::from(vec![0; 16_384]),
            metainfo,
            blocks: 0,
        };
        for _ in 0..10 {
            feed.turn();
        }
        feed
    }

    /// Whether there is nothing left to fetch.
    pub fn is_exhausted(&self) -> bool {
        self.blocks + 4096 > u64::from(self.metainfo.geometry.pieces()) * 4
    }

    /// One step, and the world's answer to it.
    pub fn turn(&mut self) {
        self.now += 100_000;
        let now = Instant::from_nanos(self.now);
        self.engine.step(now, self.events.drain(..), &mut self.actions);
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
                Action::Disk(id, op) => self.disk(id, &op),
                _ => {}
            }
        }
    }

    fn answer(&mut self, conn: ConnId, bytes: Bytes) {
        let Some((_, assembler, shaken)) = self.assemblers.iter_mut().find(|a| a.0 == conn) else {
            return;
        };
        assembler.push(bytes);
        let mut out = BytesMut::new();
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
                out.extend_from_slice(&self.block[..request.length as usize]);
            }
        }
        if !out.is_empty() {
            self.events.push(Event::Stream(conn, StreamEvent::Received(out.freeze())));
        }
    }

    fn disk(&mut self, id: DiskOpId, op: &DiskOp) {
        let outcome = match op {
            DiskOp::Open { .. } => DiskOutcome::Opened(Box::new([FileStatus::default()])),
            DiskOp::WriteBlock { .. } => DiskOutcome::Written,
            DiskOp::HashPiece { .. } => DiskOutcome::PieceHashed(Sha1Hash([1; 20])),
            DiskOp::Sync { .. } => DiskOutcome::Synced(Box::new([FileStatus::default()])),
            _ => DiskOutcome::Done,
        };
        self.events.push(Event::Disk(id, outcome));
    }
}
