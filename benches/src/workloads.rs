//! What is measured in instructions: each workload does one thing a given number of times.

use std::hint::black_box;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use eddyline::base::bits::Bits;
use eddyline::base::payload::Payload;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::base::work::TURN_UNITS;
use eddyline::bencode::{Limits, Mode, scan};
use eddyline::candidates::{Candidates, Namer};
use eddyline::metainfo::Geometry;
use eddyline::picker::{PeerPieces, PickMode, Picker};
use eddyline::wire::{BlockRequest, FrameAssembler, Message};
use eddyline_utp_sim::load::Load;

use eddyline::PeerSource;

use crate::crowd::Crowd;
use crate::{Recording, blocklist, stranger};

/// A workload: its name, how often it is done at first, and how.
pub struct Workload {
    /// What is counted, once.
    pub name: &'static str,
    /// Enough repetitions for a count that is not all set-up.
    pub count: u64,
    /// Does it about the given number of times. Returns how often it did.
    pub run: fn(u64) -> u64,
}

/// All of them.
pub const ALL: &[Workload] = &[
    Workload { name: "step per block, 1 peer", count: 1, run: |n| steps(20_000, 1, n) },
    Workload { name: "step per block, 10 peers", count: 1, run: |n| steps(40_000, 10, n) },
    Workload { name: "step per block, 200 peers", count: 1, run: |n| steps(40_000, 200, n) },
    Workload { name: "step per block, 200,000 pieces", count: 1, run: |n| steps(200_000, 1, n) },
    Workload { name: "step per block, 10 MB/s, 1 peer", count: 1, run: |n| limited(1, n) },
    Workload { name: "step per block, 10 MB/s, 200", count: 1, run: |n| limited(200, n) },
    Workload { name: "decode a have and a request", count: 1000, run: small_messages },
    Workload { name: "decode a block", count: 500, run: blocks },
    Workload { name: "scan a file entry of a torrent", count: 5000, run: entries },
    Workload { name: "a have, 1,000 pieces", count: 5000, run: |n| haves(1000, n) },
    Workload { name: "a have, 100,000 pieces", count: 5000, run: |n| haves(100_000, n) },
    Workload { name: "an address, 100,000 ranges", count: 50_000, run: |n| filtered(100_000, n) },
    Workload { name: "an address, 2,000 known", count: 5000, run: |n| addresses(2000, n) },
    Workload { name: "an address, 32,000 known", count: 5000, run: |n| addresses(32_000, n) },
    Workload { name: "pick a piece, 1,000 pieces", count: 500, run: |n| picks(1000, n) },
    Workload { name: "pick a piece, 100,000 pieces", count: 500, run: |n| picks(100_000, n) },
    // What a step costs at most for messages of peers, whoever sends them: of the kinds that cost most.
    Workload { name: "a step full of haves", count: 4, run: |n| floods(&lost_and_found(), n) },
    Workload { name: "a step full of interest", count: 4, run: |n| floods(&interest(), n) },
    Workload { name: "a step full of handshakes", count: 4, run: |n| floods(&handshakes(), n) },
    // Both machines, and the copy that a driver would not make.
    Workload { name: "a packet of uTP, both sides", count: 5000, run: |n| Load::new().run(n) },
];

/// Replays a recording `replays` times. Returns the number of blocks in all replays.
fn steps(pieces: u32, peers: u16, replays: u64) -> u64 {
    let recording = Recording::new(pieces, peers, 2000);
    (0..replays).for_each(|_| recording.replay(|step| step()));
    replays * recording.all_blocks
}

/// The same under a limit of 10 MB/s.
fn limited(peers: u16, replays: u64) -> u64 {
    let recording = Recording::limited(10_000_000, 40_000, peers, 8000);
    (0..replays).for_each(|_| recording.replay(|step| step()));
    replays * recording.all_blocks
}

/// Sixteen peers flood a seed `floods` times. Returns in how many steps it dealt with that.
fn floods(said: &Bytes, floods: u64) -> u64 {
    let mut crowd = Crowd::new(1, 16);
    let steps = (0..floods).map(|_| crowd.flood(said)).sum();
    assert_eq!(crowd.engine.stats().connections, 16, "nobody was closed");
    steps
}

/// As many of some messages as make two turns of a connection, of which `units` are one message.
fn two_turns(units: u64, messages: &[Message]) -> Bytes {
    let mut said = BytesMut::new();
    for message in messages.iter().cycle().take((2 * TURN_UNITS / units) as usize) {
        message.encode(&mut said);
    }
    said.freeze()
}

/// A piece comes and goes (BEP 54).
fn lost_and_found() -> Bytes {
    let payload = eddyline::wire::dont_have(7);
    let lost = Message::Extended { id: eddyline::peer::OUR_DONT_HAVE_ID, payload };
    two_turns(1, &[Message::Have(7), lost])
}

fn interest() -> Bytes {
    two_turns(1, &[Message::NotInterested, Message::Interested])
}

/// Extended handshakes (BEP 10), as full as two units of work allow.
fn handshakes() -> Bytes {
    let said = b"d1:md11:ut_metadatai2e6:ut_pexi1ee1:pi6881e4:reqqi250e1:v12:Peer 1.2.3.4e";
    let payload = Bytes::from_static(said);
    two_turns(2, &[Message::Extended { id: 0, payload }])
}

fn drain(stream: &Bytes) {
    let mut assembler = FrameAssembler::default();
    assembler.push(stream.clone());
    while let Ok(Some(message)) = assembler.next_message() {
        black_box(message);
    }
}

fn small_messages(count: u64) -> u64 {
    let mut stream = BytesMut::new();
    for n in 0..count as u32 {
        Message::Have(n).encode(&mut stream);
        Message::Request(BlockRequest { piece: n, begin: 0, length: 16_384 }).encode(&mut stream);
    }
    drain(&stream.freeze());
    count
}

fn blocks(count: u64) -> u64 {
    let mut stream = BytesMut::new();
    let payload = Payload::One(Bytes::from(vec![0; 16_384]));
    for n in 0..16 {
        Message::Piece { piece: n, begin: 0, payload: payload.clone() }.encode(&mut stream);
        stream.extend_from_slice(&[0; 16_384]);
    }
    let stream = stream.freeze();
    (0..count / 16).for_each(|_| drain(&stream));
    count / 16 * 16
}

fn entries(count: u64) -> u64 {
    let mut files = b"d5:filesl".to_vec();
    for n in 0..count {
        files.extend(format!("d6:lengthi{n}e4:pathl3:dir8:{n:08}ee").bytes());
    }
    files.extend(b"ee");
    assert!(scan(&files, Limits::METAINFO, Mode::Strict).is_ok());
    count
}

/// A picker of `pieces` pieces, and `count` peers that each have about half of them.
pub fn crowd(pieces: u32, count: u32) -> (Picker, Vec<PeerPieces>) {
    let geometry = Geometry::new(u64::from(pieces) * 262_144, 262_144).expect("valid");
    let mut rng = Seed::from_u64(1).stream("bench");
    let mut picker = Picker::new(geometry, &mut rng);
    (0..8).for_each(|piece| picker.set_have(piece));
    let mut peers = Vec::new();
    for _ in 0..count {
        let mut wire = vec![0; pieces.div_ceil(8) as usize];
        rng.fill(&mut wire);
        if let Some(last) = wire.last_mut() {
            *last = 0;
        }
        let theirs = PeerPieces::Some(Bits::from_wire(&wire, pieces).expect("spare bits are 0"));
        picker.peer_joined(&theirs);
        peers.push(theirs);
    }
    (picker, peers)
}

/// Addresses are named for which a full list has no room.
fn addresses(known: u32, count: u64) -> u64 {
    let mut list = Candidates::default();
    let now = Instant::from_millis(1_000);
    let addr = |n: u64| SocketAddr::from(((0x1400_0000 + n as u32).to_be_bytes(), 6881));
    for n in 0..u64::from(known) {
        list.add(addr(n), Namer::all(PeerSource::User), n as u32, known, now);
    }
    for n in 0..count {
        let peer = Namer::at(PeerSource::Pex, addr(n % 50).ip());
        let namer = if n % 2 == 0 { Namer::tracker(2) } else { peer };
        list.add(addr(100_000 + n), namer, 7, known, now);
    }
    assert_eq!(list.len(), known);
    count
}

fn haves(pieces: u32, count: u64) -> u64 {
    let (mut picker, _) = crowd(pieces, 20);
    for n in 0..count {
        let piece = (n * 7919 % u64::from(pieces)) as u32;
        picker.peer_got(piece);
        picker.peer_lost(piece);
    }
    count
}

fn picks(pieces: u32, count: u64) -> u64 {
    let (mut picker, peers) = crowd(pieces, 20);
    let mut rng = Seed::from_u64(2).stream("bench");
    let mode = PickMode { fast: true, max_partial: 10_000, ..PickMode::default() };
    for n in 0..count {
        let key = (n % 20) as u32;
        let pick = picker.pick(key, &peers[key as usize], None, 16, mode, &mut rng);
        for block in &pick.blocks {
            picker.request_dropped(*block, key);
        }
    }
    count
}

/// Whether an address is blocked.
fn filtered(ranges: u32, count: u64) -> u64 {
    let filter = blocklist(ranges);
    let blocked = (0..count).filter(|n| filter.blocks(stranger(*n as u32)));
    assert!(blocked.count() > 0);
    count
}
