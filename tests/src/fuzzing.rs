//! What the fuzzers run: one function a target, called by `fuzz/` with new inputs and by the tests
//! with the committed ones. Each panics when something does not hold.

mod datagrams;
mod discovery;
mod encryption;
mod traces;
mod web_seeds;

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use eddyline::base::digest::Digest;
use eddyline::base::hash::Sha1Hash;
use eddyline::bencode::{Encoder, Limits, Mode, scan, to_bytes};
use eddyline::metainfo::{Magnet, MagnetError, Metainfo, parse_info_hash};
use eddyline::trace::{Trace, redact};
use eddyline::tracker::{UdpRequest, UdpResponse, parse_announce, parse_scrape};
use eddyline::wire::{
    ExtendedHandshake, FrameAssembler, Handshake, PeerId, Reserved, parse_dont_have,
};
use eddyline::{Engine, ResumeData};

use crate::adversary::{Arena, Strategy};
use crate::content::Content;
use crate::entropy::Entropy;
use crate::puppet::encode;
use crate::scenario::{Scenario, Verdict};
use crate::scripted::{Script, ScriptAction};
use crate::world::World;

pub use datagrams::{introductions, utp_engine};
pub use discovery::{dht_node, krpc, local_discovery, metadata, pex};
pub use encryption::{mse_bytes, mse_pair};
pub use traces::{trace_minimise, trace_replay};
pub use web_seeds::web_seeds;

/// The name of a target, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("bencode", bencode),
    ("metainfo", metainfo),
    ("magnet", magnet),
    ("frames", frames),
    ("messages", messages),
    ("extended", extended),
    ("tracker_replies", tracker_replies),
    ("krpc", krpc),
    ("dht_node", dht_node),
    ("metadata", metadata),
    ("pex", pex),
    ("local_discovery", local_discovery),
    ("resume", resume),
    ("trace", trace),
    ("trace_replay", trace_replay),
    ("trace_minimise", trace_minimise),
    ("snapshot", snapshot),
    ("session", session),
    ("pair", pair),
    ("scenario", scenario),
    ("adversary", adversary),
    ("mse_pair", mse_pair),
    ("mse_bytes", mse_bytes),
    ("utp_engine", utp_engine),
    ("introductions", introductions),
    ("web_seeds", web_seeds),
];

/// The scanner never panics, and what it accepts it accepts again by itself. Both writers write the
/// same.
pub fn bencode(data: &[u8]) {
    if let Ok(document) = scan(data, Limits::METAINFO, Mode::Lenient) {
        let raw = document.root().raw();
        let again = scan(raw, Limits::METAINFO, Mode::Lenient).expect("accepted before");
        assert_eq!(again.consumed(), raw.len());
    }
    if scan(data, Limits::METAINFO, Mode::Strict).is_ok() {
        assert!(scan(data, Limits::METAINFO, Mode::Lenient).is_ok());
    }
    let numbers: Vec<i64> =
        data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
    let mut out = Encoder::default();
    out.list();
    for number in &numbers {
        out.int(*number);
    }
    out.end();
    assert_eq!(to_bytes(&numbers), Some(out.finish()));
}

/// No torrent panics the parser, and no accepted path could leave the folder.
pub fn metainfo(data: &[u8]) {
    let Ok(metainfo) = Metainfo::parse(data) else { return };
    let mut end = 0;
    for file in metainfo.layout().files() {
        assert_eq!(file.offset, end);
        end += file.length;
        let parts = file.path.iter().chain(file.symlink.iter().flatten());
        for part in parts {
            assert!(!part.is_empty() && part != "." && part != "..");
            // A backslash is a letter like any other here; who keeps names elsewhere asks for others.
            assert!(!part.contains(['/', '\0']));
        }
    }
    assert_eq!(end, metainfo.geometry().length());
}

/// No text panics the parser, and what it accepts survives being written.
pub fn magnet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = parse_info_hash(text);
    if let Ok(magnet) = Magnet::parse(text) {
        let written = magnet.to_string();
        // Escapes may make it longer than what is read.
        let again = Magnet::parse(&written);
        assert!(again == Ok(magnet) || again == Err(MagnetError::TooLong), "{written:.2000}");
    }
}

fn assemble(stream: &[u8], step: usize) -> (Vec<String>, bool) {
    let mut assembler = FrameAssembler::default();
    let mut messages = Vec::new();
    for chunk in stream.chunks(step.max(1)) {
        assembler.push(Bytes::copy_from_slice(chunk));
        for range in assembler.content_in_tail(chunk.len()) {
            assert!(range.start < range.end && range.end as usize <= chunk.len());
        }
        loop {
            match assembler.next_message() {
                Ok(Some(message)) => messages.push(format!("{message:?}")),
                Ok(None) => break,
                Err(_) => return (messages, false),
            }
        }
    }
    (messages, true)
}

/// The same stream gives the same messages however it is split. The first byte decides the split.
pub fn frames(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    assert_eq!(assemble(stream, usize::from(*step)), assemble(stream, stream.len()));
}

/// A message that was understood says the same when it is written and read again.
pub fn messages(data: &[u8]) {
    let mut assembler = FrameAssembler::default();
    assembler.push(Bytes::copy_from_slice(data));
    while let Ok(Some(message)) = assembler.next_message() {
        let mut again = FrameAssembler::default();
        again.push(encode(std::slice::from_ref(&message)));
        let read = again.next_message().expect("what was written").expect("is whole");
        assert_eq!(encode(&[read]), encode(&[message]));
        assert_eq!(again.buffered(), 0);
    }
}

/// No extended message panics its parser, and what was understood survives being written.
pub fn extended(data: &[u8]) {
    let _ = parse_dont_have(data);
    if let Ok(handshake) = ExtendedHandshake::decode(data) {
        let again = ExtendedHandshake::decode(&handshake.encode()).expect("what was written");
        assert_eq!(again, handshake);
    }
}

/// No reply of a tracker panics its parser, and requests survive being written.
pub fn tracker_replies(data: &[u8]) {
    let _ = parse_announce(data);
    let _ = parse_scrape(data);
    let _ = UdpResponse::decode(data, false);
    let _ = UdpResponse::decode(data, true);
    if let Some(request) = UdpRequest::decode(data) {
        assert_eq!(UdpRequest::decode(&request.encode()), Some(request));
    }
}

/// No resume data panics its parser, whatever is behind a right checksum.
pub fn resume(data: &[u8]) {
    let _ = ResumeData::decode(data);
    let signed = [&Sha1Hash::of(data).0, data].concat();
    if let Ok(resume) = ResumeData::decode(&signed) {
        assert_eq!(ResumeData::decode(&resume.encode()), Ok(resume));
    }
}

/// No trace panics its reader, and what tells whose run it was is not in the redacted one.
pub fn trace(data: &[u8]) {
    for bytes in [Bytes::copy_from_slice(data), altered(known_trace(), data).into()] {
        let Ok(trace) = Trace::parse(bytes) else { continue };
        for number in 0..=trace.len() + 1 {
            let _ = trace.step(number);
        }
        if let Ok(redacted) = redact(&trace) {
            for marker in [b"t.example".as_slice(), &small_content().hash().0, b"MARK"] {
                let mut windows = redacted.trace.windows(marker.len());
                assert!(!windows.any(|bytes| bytes == marker), "{marker:?} is still there");
            }
            assert!(Trace::parse(redacted.trace.into()).is_ok(), "what was redacted can be read");
        }
    }
}

/// No snapshot panics its reader, whatever is behind a right checksum.
pub fn snapshot(data: &[u8]) {
    let _ = Engine::restore(data);
    let mut bytes = altered(known_snapshot(), data);
    if bytes.len() > 17 {
        let mut sum = Digest::default();
        sum.absorb(&bytes[17..]);
        bytes[9..17].copy_from_slice(&sum.value().to_le_bytes());
    }
    if let Ok(engine) = Engine::restore(&bytes) {
        assert!(Engine::restore(&engine.snapshot()).is_ok());
    }
}

/// `original` with bytes of `data` in it: each five of them are a place and what is put there.
fn altered(original: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for edit in data.chunks_exact(5) {
        let place = u32::from_le_bytes([edit[0], edit[1], edit[2], 0]) as usize % bytes.len();
        bytes[place] = edit[3];
        if edit[4] == 255 {
            bytes.truncate(place.max(1));
        }
    }
    bytes
}

/// A world in the middle of a download, recorded.
fn known_world() -> &'static (Bytes, Vec<u8>) {
    static KNOWN: OnceLock<(Bytes, Vec<u8>)> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let content = small_content();
        let mut world = World::new(5);
        let (seed, leech) = (world.add_node(), world.add_node());
        world.node_mut(leech).record();
        world.node_mut(seed).access.up = Some(100_000);
        world.seed(seed, content);
        world.leech(leech, content, &[seed]);
        world.run(1);
        let snapshot = world.node(leech).engine.snapshot();
        (world.node_mut(leech).trace(), snapshot)
    })
}

fn known_trace() -> &'static [u8] {
    &known_world().0
}

fn known_snapshot() -> &'static [u8] {
    &known_world().1
}

fn small_content() -> &'static Content {
    static CONTENT: OnceLock<Content> = OnceLock::new();
    CONTENT
        .get_or_init(|| Content::tracked("MARK", 300_000, 32_768, &["http://t.example/announce"]))
}

fn many_pieces() -> &'static Content {
    static CONTENT: OnceLock<Content> = OnceLock::new();
    CONTENT.get_or_init(|| Content::new("many", 320_000, 16))
}

/// A peer that says what the fuzzer wants, a run of bytes for each thing that it hears.
struct Hostile {
    runs: Vec<Bytes>,
}

impl Script for Hostile {
    fn connected(&mut self) -> Vec<ScriptAction> {
        let first = self.runs.pop();
        first.map(ScriptAction::Send).into_iter().collect()
    }

    fn received(&mut self, _: &[u8]) -> Vec<ScriptAction> {
        let next = self.runs.pop();
        next.map_or_else(Vec::new, |run| vec![ScriptAction::Send(run)])
    }
}

/// One peer against an engine. The first byte says how it shakes hands and whether the engine is a
/// seed; a byte of length stands before each run of the others. When its upper five bits are set,
/// the others are one run, and a torrent that is fetched has many pieces.
pub fn session(data: &[u8]) {
    let Some((mode, mut rest)) = data.split_first() else { return };
    let at_once = mode & 0xf8 == 0xf8;
    let content = if at_once && mode & 4 != 0 { many_pieces() } else { small_content() };
    let mut world = World::new(3);
    let node = world.add_node();
    let mut runs = Vec::new();
    if mode & 1 == 0 {
        let reserved = if mode & 2 == 0 { Reserved::OURS } else { Reserved::default() };
        let (info_hash, peer_id) = (content.hash(), PeerId([b'f'; 20]));
        let handshake = Handshake { reserved, info_hash, peer_id }.encode();
        runs.push(BytesMut::from(&handshake[..]).freeze());
    }
    if at_once {
        runs.push(Bytes::copy_from_slice(std::mem::take(&mut rest)));
    }
    while let Some((length, tail)) = rest.split_first() {
        let (run, tail) = tail.split_at(tail.len().min(usize::from(*length) * 4));
        runs.push(Bytes::copy_from_slice(run));
        rest = tail;
    }
    runs.reverse();
    if mode & 4 == 0 {
        world.seed(node, content);
    } else {
        world.leech(node, content, &[]);
    }
    world.run(1);
    world.connect_script(node, Box::new(Hostile { runs }));
    world.run(30);
}

/// Two engines that exchange a torrent, what they hear split as the fuzzer wants.
pub fn pair(data: &[u8]) {
    let content = small_content();
    let mut world = World::new(4);
    world.chunks = data.iter().rev().copied().collect();
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, content);
    world.leech(leech, content, &[seed]);
    assert!(world.run_until(120, |world| world.is_complete(leech)), "the pair completes");
    world.check_links().expect("links are honest");
}

/// Whatever a foe does, no bound on what it costs is broken. The first byte says what it tries. How long
/// it delays the honest is what the search of `swarm --adversaries` looks at.
pub fn adversary(data: &[u8]) {
    let Some((first, genome)) = data.split_first() else { return };
    let number = usize::from(*first) % Strategy::ALL.len();
    let arena = Arena { strategy: Strategy::ALL[number] };
    assert_eq!(arena.run(genome).broken, None);
}

/// Whatever bytes decide a scenario, everything holds in it.
pub fn scenario(data: &[u8]) {
    let outcome = Scenario::draw(&mut Entropy::given(data)).run(false);
    assert_eq!(outcome.verdict, Verdict::Fine);
}
