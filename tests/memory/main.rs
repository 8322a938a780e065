//! What five hundred strangers can make an engine hold, each doing the worst it can by one kind of
//! message, measured by an allocator that counts, against what `Config::memory_bound` promises.

mod before;
mod dht;
mod unread;

use bytes::{BufMut, Bytes, BytesMut};
use eddyline::base::bits::Bits;
use eddyline::base::ids::ConnId;
use eddyline::metainfo::{Magnet, Source};
use eddyline::wire::{
    BlockRequest, ExtendedHandshake, Message, MetadataMessage, PexFlags, PexMessage,
};
use eddyline::{Config, Encryption, Wakeup};
use eddyline_sim::direct::{Direct, torrent};
use eddyline_sim::encode;

const STRANGERS: u32 = 500;
const PIECES: u32 = 20_000;
/// Bytes that each of them sends at the most.
const SENT: usize = 160 * 1024;
/// The torrent, the engine itself and what stands in for a driver.
const REST: u64 = 8 << 20;
/// The ids under which the engine takes these (BEP 9, 11, 54).
const METADATA: u8 = 2;
const PEX: u8 = 1;
const DONT_HAVE: u8 = 7;

fn config() -> Config {
    Config {
        max_connections: STRANGERS,
        max_connections_per_torrent: STRANGERS,
        ..Config::default()
    }
}

fn extended(id: u8, payload: impl Into<Bytes>) -> Message {
    Message::Extended { id, payload: payload.into() }
}

/// Says that it takes metadata and lists of peers.
fn offer() -> Message {
    let m = [("ut_metadata".into(), 3), ("ut_pex".into(), 4), ("lt_donthave".into(), 5)].into();
    let handshake = ExtendedHandshake { m, reqq: Some(u32::MAX), ..ExtendedHandshake::default() };
    extended(0, handshake.encode())
}

/// What one stranger sends over and over: by its number and by the round.
type Manner = fn(u32, u32) -> Bytes;
type Make = fn() -> Source;

/// Most bytes that were held at once while strangers behaved in this manner, and how many of them were
/// connected at the end.
fn worst(kind: &Kind, encrypted: bool) -> (u64, usize) {
    let (_, metainfo, seed, reads, manner) = *kind;
    let mut left = 0;
    let info = allocation_counter::measure(|| {
        let encryption = if encrypted { Encryption::PREFERRED } else { Encryption::default() };
        let mut direct = Direct::new(Config { encryption, ..config() }, metainfo(), seed);
        let conns: Vec<Option<ConnId>> = (0..STRANGERS)
            .map(|n| {
                let remote = ([10, 1, (n >> 8) as u8, n as u8], 50_000).into();
                match encrypted {
                    true => direct.connect_encrypted(remote, reads),
                    false => direct.connect(remote, reads),
                }
            })
            .collect();
        let mut sent = vec![0; conns.len()];
        let mut rest: Vec<Bytes> = vec![Bytes::new(); conns.len()];
        let mut round = 0;
        loop {
            let mut some = false;
            for (n, conn) in conns.iter().enumerate() {
                let Some(conn) = conn.filter(|_| sent[n] < SENT) else { continue };
                if rest[n].is_empty() {
                    rest[n] = manner(n as u32, round);
                }
                let count = direct.put(conn, &rest[n]);
                let _ = rest[n].split_to(count);
                sent[n] += count;
                some |= count > 0;
            }
            round += 1;
            direct.pass(u64::from(round % 8 == 0));
            if !some && direct.wakeup != Wakeup::Immediately {
                break;
            }
        }
        left = direct.lines.len();
    });
    (info.bytes_max, left)
}

fn known() -> Source {
    torrent(PIECES, 16_384).into()
}

fn magnet() -> Source {
    let link = "magnet:?xt=urn:btih:0101010101010101010101010101010101010101";
    Magnet::parse(link).expect("a link").into()
}

/// Says `first` in the first round and `then` in all others, many times over.
fn after(round: u32, first: &[Message], then: &[Message]) -> Bytes {
    if round == 0 {
        return encode(first);
    }
    let once = encode(then);
    once.repeat(4096 / once.len() + 1).into()
}

const BLOCK: BlockRequest = BlockRequest { piece: 1, begin: 0, length: 16_384 };

/// A kind: name, torrent, whether we are a seed, whether they read, what they say.
type Kind = (&'static str, Make, bool, bool, Manner);

const KINDS: &[Kind] = &[
    ("metadata that exists", known, true, false, |_, round| {
        let request = MetadataMessage::Request(round % 20);
        after(round, &[offer()], &[extended(METADATA, request.encode())])
    }),
    ("metadata that does not exist", known, true, false, |_, round| {
        let request = MetadataMessage::Request(4_000_000);
        after(round, &[offer()], &[extended(METADATA, request.encode())])
    }),
    ("metadata that nobody has", magnet, false, false, |_, round| {
        let request = MetadataMessage::Request(0);
        after(round, &[offer()], &[extended(METADATA, request.encode())])
    }),
    ("requests", known, true, false, |_, round| {
        after(round, &[Message::Interested], &[Message::Request(BLOCK)])
    }),
    ("requests of one byte", known, true, false, |_, round| {
        let small = |begin| Message::Request(BlockRequest { piece: 1, begin, length: 1 });
        after(round, &[Message::Interested], &[small(1), small(2)])
    }),
    ("requests of what is not there", known, false, false, |_, round| {
        after(round, &[Message::Interested], &[Message::Request(BLOCK)])
    }),
    ("requests and cancels", known, true, false, |_, round| {
        after(round, &[Message::Interested], &[Message::Request(BLOCK), Message::Cancel(BLOCK)])
    }),
    ("a message byte by byte", known, true, true, |_, round| match round {
        0 => Bytes::from_static(&[0, 0, 0xf0, 0, 20, 99]),
        // A quarter byte by byte, the rest in larger pieces: of both kinds, and mixed.
        _ if round < 1000 || round % 3 == 0 => Bytes::from_static(b"x"),
        _ => Bytes::from_static(&[b'x'; 300]),
    }),
    ("bit fields and haves before the metadata", magnet, false, true, |_, round| match round {
        0 => {
            let mut bits = BytesMut::new();
            bits.put_u32(150_001);
            bits.put_u8(5);
            bits.resize(150_005, 0x55);
            bits.freeze()
        }
        _ => encode(&(0..400).map(|n| Message::Have(4_000_000 + n)).collect::<Vec<_>>()),
    }),
    ("extended handshakes", known, true, false, |_, _| {
        let v = Some("v".repeat(60_000));
        encode(&[extended(0, ExtendedHandshake { v, ..ExtendedHandshake::default() }.encode())])
    }),
    ("lists of peers", known, true, true, |n, round| {
        let addr = |k: u32| ([11, n as u8, (n >> 8) as u8, k as u8], (round % 60_000) as u16 + 1);
        let added = (0..100).map(|k| (addr(k).into(), PexFlags::default())).collect();
        let message = PexMessage { added, ..PexMessage::default() };
        after(u32::from(round > 0), &[offer()], &[extended(PEX, message.encode())])
    }),
    ("pieces said in every way", known, false, false, |n, round| {
        let mut bits = Bits::full(PIECES);
        bits.clear(n % PIECES);
        let lost = extended(DONT_HAVE, Bytes::copy_from_slice(&(round % PIECES).to_be_bytes()));
        let first = [Message::Bitfield(bits.to_wire().into()), Message::HaveAll];
        let more = [lost, Message::AllowedFast(round % PIECES), Message::Suggest(round % PIECES)];
        after(round, &first, &more)
    }),
    ("choking", known, false, false, |_, round| {
        after(round, &[Message::HaveAll], &[Message::Unchoke, Message::Choke])
    }),
    ("unchoked and silent", known, false, false, |_, round| match round {
        0 => encode(&[Message::HaveAll, Message::Unchoke]),
        _ => encode(&vec![Message::KeepAlive; 1000]),
    }),
];

#[test]
fn five_hundred_strangers_stay_within_the_memory_bound_whatever_they_say() {
    let bound = config().memory_bound(1, PIECES);
    println!("bound {} MiB: {bound:?}", bound.total() >> 20);
    for (kind, encrypted) in KINDS.iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let name = kind.0;
        let (most, left) = worst(kind, encrypted);
        let how = if encrypted { ", encrypted" } else { "" };
        println!("{name}{how}: {:.1} MiB, {left} left", most as f64 / 1_048_576.0);
        assert!(most <= bound.total() + REST, "{name}{how}: {most} of {}", bound.total());
    }
}
