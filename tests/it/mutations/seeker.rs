//! Whoever has no more than a magnet, and the rules that are broken in its state.

use ciborium::Value;
use eddyline::Engine;
use eddyline_sim::{Content, PeerOptions, World};

use super::{Mutation, TORRENT, add, at, entry, int};

/// One that knows a magnet and has fetched a part of the metadata.
pub(super) fn seeker() -> Engine {
    let content = Content::new("mutants", 5_000_000, 1000);
    let mut world = World::new(15);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(20_000);
    world.seed(seed, &content);
    let peers = vec![world.node(seed).addr];
    world.add_magnet(leech, &content, PeerOptions { peers, ..PeerOptions::default() });
    let some = |world: &World| {
        let state = format!("{:?}", world.node(leech).engine);
        state.contains("pieces: {0: (") && state.contains("asked: [(")
    };
    assert!(world.run_until(30, some), "a part of the metadata comes");
    let engine = world.node(leech).engine.clone();
    let state = engine.torrents().next().and_then(|id| engine.torrent_state(id));
    assert_eq!(state, Some(eddyline::TorrentState::Metadata));
    engine
}

/// One of the maps of whoever looks for metadata. Lines and places have a key of two parts: the
/// length, and the peer that has to deliver all of it.
fn seeking<'a>(engine: &'a mut Value, field: &str) -> &'a mut Vec<(Value, Value)> {
    let Value::Map(entries) = at(engine, &format!("{TORRENT}.fetch.{field}")) else {
        panic!("no map: {field}")
    };
    entries
}

/// The key of a line to which everybody may add.
fn line_key(size: u32) -> Value {
    Value::Array(vec![int(size.into()), Value::Null])
}

/// The length of the first line.
fn length_of_line(engine: &mut Value) -> u32 {
    let (Value::Array(key), _) = &seeking(engine, "lines")[0] else { panic!("no line") };
    let Value::Integer(size) = key[0] else { panic!("no length") };
    u32::try_from(i128::from(size)).unwrap()
}

/// The pieces that have come of the first line.
fn came(engine: &mut Value) -> &mut Vec<(Value, Value)> {
    let Value::Map(pieces) = entry(&mut seeking(engine, "lines")[0].1, "pieces") else {
        panic!("no pieces")
    };
    pieces
}

/// A piece of `length` bytes, from some peer.
fn metadata_piece(number: u32, length: u32) -> (Value, Value) {
    let bytes = Value::Bytes(vec![0; length as usize]);
    (int(number.into()), Value::Array(vec![int(1), bytes]))
}

/// An address as it is written out.
fn host(number: u16) -> Value {
    let [high, low] = number.to_be_bytes().map(|part| int(part.into()));
    Value::Map(vec![(Value::Text("V4".into()), Value::Array(vec![int(10), int(9), high, low]))])
}

/// So many more places than are held, each with the address that is said.
fn more_places(engine: &mut Value, hosts: impl Iterator<Item = Option<u16>>) {
    let held = seeking(engine, "places.held");
    let (_, place) = held[0].clone();
    for (number, other) in hosts.enumerate() {
        let mut place = place.clone();
        if let Some(other) = other {
            *entry(&mut place, "host") = host(other);
        }
        held.push((line_key(900_000 + number as u32), place));
    }
}

/// Rules that are broken in the state of one who has no more than a magnet.
pub(super) const IN_A_SEEKER: &[Mutation] = &[
    ("metadata is fetched in few lengths at a time", |e| more_places(e, (0..16).map(Some))),
    ("an address has one place in the search for metadata", |e| {
        more_places(e, core::iter::once(None));
    }),
    ("few addresses are remembered in the search for metadata", |e| {
        *seeking(e, "places.tried") = (0..513).map(|n| (host(n), int(1))).collect();
    }),
    ("metadata is fetched in lengths that can be", |e| {
        *at(e, &format!("{TORRENT}.fetch.max_size")) = int(1);
    }),
    ("who has to deliver all of the metadata is there", |e| {
        let Value::Array(key) = &mut seeking(e, "lines")[0].0 else { panic!("no key") };
        key[1] = int(1_000_000);
    }),
    ("metadata pieces fit the length that was said", |e| {
        came(e)[0] = metadata_piece(0, 16_383);
    }),
    ("metadata that has come is counted", |e| {
        add(entry(&mut seeking(e, "lines")[0].1, "bytes"), 1);
    }),
    ("metadata that has come is bounded", |e| {
        *at(e, &format!("{TORRENT}.fetch.max_size")) = int(32_768);
        let lines = seeking(e, "lines");
        let (_, mut line) = lines[0].clone();
        *entry(&mut line, "pieces") = Value::Map(vec![metadata_piece(0, 16_384)]);
        *entry(&mut line, "bytes") = int(16_384);
        *entry(&mut line, "missing") = Value::Map(Vec::new());
        *lines = (0..5).map(|shorter| (line_key(32_768 - shorter), line.clone())).collect();
    }),
    ("metadata pieces that have come are not missing", |e| {
        let (piece, _) = came(e)[0].clone();
        *entry(&mut seeking(e, "lines")[0].1, "missing") = Value::Map(vec![(piece, int(1))]);
    }),
    ("complete metadata is judged at once", |e| {
        let size = length_of_line(e);
        let pieces = 0..size.div_ceil(16_384);
        *came(e) = pieces.map(|n| metadata_piece(n, (size - n * 16_384).min(16_384))).collect();
        *entry(&mut seeking(e, "lines")[0].1, "bytes") = int(size.into());
    }),
    ("few metadata pieces are asked of a peer at a time", |e| {
        let asked = (0..9).map(|n| Value::Array(vec![int(n), int(0)])).collect();
        *at(e, &format!("{TORRENT}.fetch.holders.0.asked")) = Value::Array(asked);
    }),
    ("metadata is looked for only while it is not known", |e| {
        *at(e, &format!("{TORRENT}.metainfo.info")) = Value::Bytes(vec![1, 2, 3]);
    }),
];
