//! One engine with nothing around it: a disk that takes no time, and connections whose bytes the test
//! sends and takes itself. For what a world would hide: what one step does, and what is held in memory.

mod encrypted;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{ConnId, SocketToken, TorrentId};
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::metainfo::{CreateNeed, CreateOptions, Creator, InputFile, Metainfo, Source};
use eddyline::wire::{FrameAssembler, Handshake, Message, PeerId, Reserved};
use eddyline::{
    Action, AddTorrent, CheckDepth, CloseReason, Config, DiskOp, DiskOutcome, Engine, Event,
    FileStatus, Notice, StreamAction, StreamEvent, Wakeup,
};

use crate::puppet::encode;

/// The hash of every piece.
const HASH: Sha1Hash = Sha1Hash([1; 20]);

/// What is known of one connection.
#[derive(Debug, Default)]
pub struct Line {
    /// Bytes that may still be sent.
    pub granted: u64,
    /// Whether what the engine sends is taken at once; otherwise it waits in `unread`.
    pub reads: bool,
    /// What was sent and not taken.
    pub unread: Vec<Bytes>,
    /// Lengths of blocks that were sent from the disk and not taken, and are not held in memory.
    pub unread_stored: u64,
    /// What was taken.
    pub heard: Vec<Message>,
    assembler: FrameAssembler,
    shaken: bool,
}

/// The engine and its lines.
#[derive(Debug)]
pub struct Direct {
    /// The engine.
    pub engine: Engine,
    /// Its time.
    pub now: Instant,
    /// What the last step asked for next.
    pub wakeup: Wakeup,
    /// Open connections.
    pub lines: BTreeMap<ConnId, Line>,
    /// Connections that were closed, and why.
    pub closed: Vec<(ConnId, CloseReason)>,
    /// The torrent.
    pub torrent: Option<TorrentId>,
    /// Whether blocks are read into memory, or lie on the disk until they are sent.
    pub reads_blocks: bool,
    source: Source,
    length: u64,
    has_content: bool,
    /// Pieces of which something was written; it is taken to be good.
    written: BTreeSet<u32>,
    sockets: u64,
    events: Vec<Event>,
    actions: Vec<Action>,
}

/// A torrent of `pieces` pieces whose hashes are all the same made-up one.
pub fn torrent(pieces: u32, piece_length: u32) -> Arc<Metainfo> {
    let length = u64::from(pieces) * u64::from(piece_length);
    let options = CreateOptions { name: "direct".into(), piece_length, ..CreateOptions::default() };
    let file = InputFile { path: vec![], length, executable: false };
    let mut creator = Creator::new(options, vec![file]).expect("a valid torrent");
    for need in creator.needs().collect::<Vec<_>>() {
        if let CreateNeed::Piece { index } = need {
            creator.provide_piece(index, HASH);
        }
    }
    Arc::new(Metainfo::parse(&creator.finish().expect("complete")).expect("valid"))
}

impl Direct {
    /// An engine with one torrent, complete or empty. Nothing of its own accord is asked for.
    pub fn new(config: Config, source: impl Into<Source>, has_content: bool) -> Self {
        let source = source.into();
        let length = source.metainfo().map_or(0, |metainfo| metainfo.geometry().length());
        let config = Config { dht: false, lsd: false, trackers: false, ..config };
        let now = Instant::from_millis(1_000_000);
        let mut direct = Self {
            engine: Engine::new(config, Seed::from_u64(1), now),
            now,
            wakeup: Wakeup::OnEvent,
            lines: BTreeMap::new(),
            closed: Vec::new(),
            torrent: None,
            reads_blocks: true,
            length,
            source,
            has_content,
            written: BTreeSet::new(),
            sockets: 0,
            events: Vec::new(),
            actions: Vec::new(),
        };
        let add = AddTorrent::new(direct.source.clone());
        direct.events.push(add.into());
        direct.pass(1);
        direct.settle();
        direct
    }

    /// The identity of its torrent.
    pub fn info_hash(&self) -> Sha1Hash {
        self.source.info_hashes().wire()
    }

    /// Somebody connects from `remote` and shakes hands.
    pub fn connect(&mut self, remote: SocketAddr, reads: bool) -> Option<ConnId> {
        let conn = self.arrive(remote, reads)?;
        let hello = self.hello();
        self.send(conn, &hello);
        self.lines.contains_key(&conn).then_some(conn)
    }

    /// The handshake of whoever came last.
    pub fn hello(&self) -> Vec<u8> {
        let mut id = [b'x'; 20];
        id[..8].copy_from_slice(&self.sockets.to_be_bytes());
        let (reserved, info_hash) = (Reserved::OURS, self.info_hash());
        Handshake { reserved, info_hash, peer_id: PeerId(id) }.encode().to_vec()
    }

    /// Somebody connects from `remote` and says nothing.
    pub fn arrive(&mut self, remote: SocketAddr, reads: bool) -> Option<ConnId> {
        self.sockets += 1;
        let before: BTreeSet<ConnId> = self.lines.keys().copied().collect();
        self.events.push(Event::Incoming { socket: SocketToken(self.sockets), remote });
        self.pass(0);
        let conn = *self.lines.keys().find(|conn| !before.contains(conn))?;
        if let Some(line) = self.lines.get_mut(&conn) {
            line.reads = reads;
        }
        Some(conn)
    }

    /// Sends bytes, as many as are granted, and steps once. Returns how many were sent.
    pub fn send(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        let count = self.put(conn, bytes);
        self.pass(0);
        count
    }

    /// Puts bytes, as many as are granted, among the events of the next step.
    pub fn put(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        let Some(line) = self.lines.get_mut(&conn) else { return 0 };
        let count = bytes.len().min(line.granted as usize);
        line.granted -= count as u64;
        if count > 0 {
            let bytes = Bytes::copy_from_slice(&bytes[..count]);
            self.events.push(Event::Stream(conn, StreamEvent::Received(bytes)));
        }
        count
    }

    /// Says messages and steps once.
    pub fn say(&mut self, conn: ConnId, messages: &[Message]) -> usize {
        self.send(conn, &encode(messages))
    }

    /// The socket of a connection takes `count` of the bytes that wait for it.
    pub fn take(&mut self, conn: ConnId, count: u32) {
        self.events.push(Event::Stream(conn, StreamEvent::Sent(count)));
        self.pass(0);
    }

    /// Lets this many milliseconds pass, with one step behind them.
    pub fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        let events = std::mem::take(&mut self.events);
        let mut actions = std::mem::take(&mut self.actions);
        self.wakeup = self.engine.step(self.now, events, &mut actions);
        for action in actions.drain(..) {
            self.perform(action);
        }
        self.actions = actions;
        if let Err(violation) = self.engine.check_invariants(CheckDepth::Fast) {
            panic!("{violation}");
        }
    }

    /// Steps until nothing is left to do at once.
    pub fn settle(&mut self) -> usize {
        let mut steps = 0;
        while self.wakeup == Wakeup::Immediately || !self.events.is_empty() {
            self.pass(0);
            steps += 1;
        }
        steps
    }

    /// Why a connection was closed, if it was.
    pub fn reason(&self, conn: ConnId) -> Option<CloseReason> {
        self.closed.iter().find(|(closed, _)| *closed == conn).map(|(_, reason)| *reason)
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Stream(conn, StreamAction::Adopt { .. }) => {
                self.lines.insert(conn, Line { reads: true, ..Line::default() });
            }
            Action::Stream(conn, StreamAction::Close(_)) => drop(self.lines.remove(&conn)),
            Action::Stream(conn, action) => self.stream(conn, action),
            Action::Disk(id, op) => {
                let outcome = self.disk(&op);
                self.events.push(Event::Disk(id, outcome));
            }
            Action::Notify(Notice::TorrentAdded { torrent, .. }) => self.torrent = Some(torrent),
            Action::Notify(Notice::PeerClosed { conn, reason, .. }) => {
                self.closed.push((conn, reason));
            }
            _ => {}
        }
    }

    fn stream(&mut self, conn: ConnId, action: StreamAction) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        let bytes = match action {
            StreamAction::GrantRead(count) => {
                line.granted += u64::from(count);
                return;
            }
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => bytes,
            StreamAction::SendStored(block) if line.reads => vec![0; block.length as usize].into(),
            StreamAction::SendStored(block) => {
                line.unread_stored += u64::from(block.length);
                return;
            }
            _ => return,
        };
        if !line.reads {
            return line.unread.push(bytes);
        }
        self.events.push(Event::Stream(conn, StreamEvent::Sent(bytes.len() as u32)));
        line.assembler.push(bytes);
        if !line.shaken {
            line.shaken = line.assembler.take_handshake().expect("a handshake").is_some();
        }
        while line.shaken
            && let Some(message) = line.assembler.next_message().expect("a message")
        {
            line.heard.push(message);
        }
    }

    fn disk(&mut self, op: &DiskOp) -> DiskOutcome {
        let length = self.has_content.then_some(self.length);
        match op {
            DiskOp::Open { .. } | DiskOp::Sync { .. } => {
                let status = Box::new([FileStatus { length, modified: 1 }]);
                match op {
                    DiskOp::Sync { .. } => DiskOutcome::Synced(status),
                    _ => DiskOutcome::Opened(status),
                }
            }
            DiskOp::WriteBlock { piece, .. } => {
                self.written.insert(*piece);
                DiskOutcome::Written
            }
            DiskOp::HashPiece { piece, .. } => {
                let good = self.has_content || self.written.contains(piece);
                DiskOutcome::PieceHashed(if good { HASH } else { Sha1Hash([0; 20]) })
            }
            DiskOp::ReadBlock { length, .. } if self.reads_blocks => {
                DiskOutcome::Read(BytesMut::zeroed(*length as usize).freeze())
            }
            DiskOp::ReadBlock { .. } => DiskOutcome::Ready,
            _ => DiskOutcome::Done,
        }
    }
}
