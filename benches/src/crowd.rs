//! A seeding engine with many peers that only listen, for what is done in rounds: choking, telling
//! peers of peers, announcing.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{ConnId, ExchangeId, SocketToken};
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::metainfo::{CreateNeed, CreateOptions, Creator, InputFile, Metainfo};
use eddyline::wire::{Handshake, Message, PeerId, Reserved};
use eddyline::{
    Action, AddTorrent, Config, DiskOp, DiskOutcome, Engine, Event, FileStatus, HttpAction,
    HttpEvent, StreamAction, StreamEvent, Wakeup,
};

/// Pieces of each torrent.
pub const PIECES: u32 = 1000;
/// A peer's extended handshake: it takes lists of peers (BEP 10, 11).
const EXTENDED: &[u8] = b"d1:md6:ut_pexi1ee1:pi6881ee";

/// The engine, its time, and its peers.
pub struct Crowd {
    /// The engine.
    pub engine: Engine,
    /// Its peers, torrent by torrent.
    pub peers: Vec<ConnId>,
    now: Instant,
    events: Vec<Event>,
    actions: Vec<Action>,
    announces: Vec<ExchangeId>,
}

/// Torrent number `number`; its hashes are all the same made-up one.
fn torrent(number: u32) -> Metainfo {
    let length = u64::from(PIECES) * 65_536;
    let options = CreateOptions {
        name: format!("bench {number}"),
        piece_length: 65_536,
        trackers: vec![vec!["http://10.0.0.1/announce".into()]],
        ..CreateOptions::default()
    };
    let file = InputFile { path: vec![], length, executable: false };
    let mut creator = Creator::new(options, vec![file]).expect("a valid torrent");
    for need in creator.needs().collect::<Vec<_>>() {
        if let CreateNeed::Piece { index } = need {
            creator.provide_piece(index, Sha1Hash([1; 20]));
        }
    }
    Metainfo::parse(&creator.finish().expect("complete")).expect("valid")
}

impl Crowd {
    /// `torrents` complete torrents, with `each` peers for each that have nothing and are interested.
    pub fn new(torrents: u32, each: u32) -> Self {
        let config = Config {
            max_connections: 20_000,
            max_connections_per_torrent: 20_000,
            max_handshaking: 20_000,
            hash_jobs: 1000,
            dht: false,
            lsd: false,
            ..Config::default()
        };
        let now = Instant::from_millis(1_000_000);
        let mut crowd = Self {
            engine: Engine::new(config, Seed::from_u64(1), now),
            peers: Vec::new(),
            now,
            events: Vec::new(),
            actions: Vec::new(),
            announces: Vec::new(),
        };
        let all: Vec<Metainfo> = (0..torrents).map(torrent).collect();
        let adds = all.iter().map(|metainfo| AddTorrent::new(metainfo.clone()));
        let adds: Vec<Event> = adds.map(Event::from).collect();
        crowd.step(1, adds);
        // Opened, hashed, active, saved.
        for _ in 0..64 {
            crowd.step(1, Vec::new());
        }
        for (number, metainfo) in all.iter().enumerate() {
            for peer in 0..each {
                crowd.join(number as u32 * each + peer, metainfo.info_hashes().wire());
            }
        }
        crowd
    }

    /// A peer connects, shakes hands, and says what it has, takes and wants.
    fn join(&mut self, number: u32, info_hash: Sha1Hash) {
        let [_, a, b, c] = number.to_be_bytes();
        let remote = ([10, a, b, c], 50_000).into();
        let socket = SocketToken(u64::from(number) + 1);
        self.now = self.now + Duration::from_micros(100);
        let _ = self.engine.step(self.now, [Event::Incoming { socket, remote }], &mut self.actions);
        let adopted = self.actions.iter().find_map(|action| match action {
            Action::Stream(conn, StreamAction::Adopt { .. }) => Some(*conn),
            _ => None,
        });
        let conn = adopted.expect("there is room for everybody");
        self.answer();
        let mut id = [b'x'; 20];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let (reserved, peer_id) = (Reserved::OURS, PeerId(id));
        let mut said = BytesMut::new();
        said.extend_from_slice(&Handshake { reserved, info_hash, peer_id }.encode());
        Message::HaveNone.encode(&mut said);
        let payload = Bytes::from_static(EXTENDED);
        Message::Extended { id: 0, payload }.encode(&mut said);
        Message::Interested.encode(&mut said);
        self.peers.push(conn);
        self.step(0, vec![Event::Stream(conn, StreamEvent::Received(said.freeze()))]);
    }

    /// Lets `millis` milliseconds pass, with what has happened and with these events. Returns how long
    /// the engine took.
    pub fn step(&mut self, millis: u64, events: Vec<Event>) -> Duration {
        self.now = self.now + Duration::from_millis(millis);
        let mut all = std::mem::take(&mut self.events);
        all.extend(events);
        let start = std::time::Instant::now();
        let _ = self.engine.step(self.now, all, &mut self.actions);
        let spent = start.elapsed();
        self.answer();
        spent
    }

    /// A peer says that it has a piece.
    pub fn have(&self, peer: usize, piece: u32) -> Event {
        let mut said = BytesMut::new();
        Message::Have(piece).encode(&mut said);
        Event::Stream(self.peers[peer], StreamEvent::Received(said.freeze()))
    }

    /// All peers send the same messages at once, twice as many as a turn allows. Returns in how many steps the
    /// engine has dealt with them.
    pub fn flood(&mut self, said: &Bytes) -> u64 {
        self.now = self.now + Duration::from_millis(1);
        let received = |conn: &ConnId| Event::Stream(*conn, StreamEvent::Received(said.clone()));
        let mut events: Vec<Event> = self.peers.iter().map(received).collect();
        events.append(&mut self.events);
        let mut steps = 0;
        let mut wakeup = Wakeup::Immediately;
        while wakeup == Wakeup::Immediately {
            wakeup = self.engine.step(self.now, events.drain(..), &mut self.actions);
            self.answer();
            steps += 1;
        }
        steps
    }

    /// What the tracker answers to one announce, with `peers` peers: events of one step.
    pub fn tracker_reply(&mut self, peers: u32) -> Vec<Event> {
        let Some(id) = self.announces.pop() else { return Vec::new() };
        let mut body = format!("d8:intervali1800e5:peers{}:", peers * 6).into_bytes();
        for peer in 0..peers {
            let [_, a, b, c] = (peer + 1_000_000).to_be_bytes();
            body.extend([11, a, b, c, 0x1a, 0xe1]);
        }
        body.push(b'e');
        let scope = eddyline::base::addr::Scope::Public;
        let head = HttpEvent::Head { status: 200, location: None, scope };
        let events = [head, HttpEvent::Body(body.into()), HttpEvent::Finished];
        events.map(|event| Event::Http(id, event)).into()
    }

    /// What the world makes of the last step: sockets take everything, the disk takes no time.
    fn answer(&mut self) {
        for action in self.actions.drain(..) {
            match action {
                Action::Stream(conn, StreamAction::Send(bytes)) => {
                    let count = bytes.len() as u32;
                    self.events.push(Event::Stream(conn, StreamEvent::Sent(count)));
                }
                Action::Disk(id, op) => {
                    let status =
                        FileStatus { length: Some(u64::from(PIECES) * 65_536), modified: 1 };
                    let outcome = match op {
                        DiskOp::Open { .. } => DiskOutcome::Opened(Box::new([status])),
                        DiskOp::HashPiece { .. } => DiskOutcome::PieceHashed(Sha1Hash([1; 20])),
                        DiskOp::Sync { .. } => DiskOutcome::Synced(Box::new([status])),
                        _ => DiskOutcome::Done,
                    };
                    self.events.push(Event::Disk(id, outcome));
                }
                Action::Http(id, HttpAction::Get(_)) => self.announces.push(id),
                _ => {}
            }
        }
    }
}
