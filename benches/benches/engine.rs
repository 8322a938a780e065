//! Cost of the engine's parts: frames, bencode, picker, DHT, and a whole step per block.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use eddyline::base::payload::Payload;
use eddyline::base::rng::Seed;
use eddyline::bencode::{Limits, Mode, scan};
use eddyline::dht::krpc::{Body, Query};
use eddyline::dht::{Contact, DhtNode, NodeConfig, NodeId, Output, Packet, Table};
use eddyline::picker::PickMode;
use eddyline::wire::{BlockRequest, FrameAssembler, Message};
use eddyline_benches::workloads::crowd;
use eddyline_benches::{Recording, blocklist, stranger};

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frames");
    let mut small = BytesMut::new();
    for n in 0..1000 {
        Message::Have(n).encode(&mut small);
        Message::Request(BlockRequest { piece: n, begin: 0, length: 16_384 }).encode(&mut small);
    }
    let small = small.freeze();
    group.throughput(Throughput::Elements(2000));
    group.bench_function("decode have and request", |b| b.iter(|| drain(&small)));
    let mut blocks = BytesMut::new();
    let payload = Payload::One(Bytes::from(vec![0; 16_384]));
    for n in 0..64 {
        Message::Piece { piece: n, begin: 0, payload: payload.clone() }.encode(&mut blocks);
        blocks.extend_from_slice(&[0; 16_384]);
    }
    let blocks = blocks.freeze();
    group.throughput(Throughput::Elements(64));
    group.bench_function("decode block of 16 KiB", |b| b.iter(|| drain(&blocks)));
    group.finish();
}

fn drain(stream: &Bytes) {
    let mut assembler = FrameAssembler::default();
    assembler.push(stream.clone());
    while let Ok(Some(message)) = assembler.next_message() {
        black_box(message);
    }
}

fn bencode(c: &mut Criterion) {
    let mut group = c.benchmark_group("bencode");
    let mut files = b"d5:filesl".to_vec();
    for n in 0..10_000 {
        files.extend(format!("d6:lengthi{n}e4:pathl3:dir8:{n:08}ee").bytes());
    }
    files.extend(b"ee");
    group.throughput(Throughput::Bytes(files.len() as u64));
    group.bench_function("scan 10,000 files", |b| {
        assert!(
            scan(&files, Limits::METAINFO, Mode::Strict).is_ok_and(|d| d.consumed() == files.len())
        );
        b.iter(|| black_box(scan(&files, Limits::METAINFO, Mode::Strict).is_ok()));
    });
    group.finish();
}

fn picker(c: &mut Criterion) {
    let mut group = c.benchmark_group("picker, 500 peers");
    group.sample_size(20);
    for pieces in [1_000, 1_000_000] {
        let (mut picker, peers) = crowd(pieces, 500);
        let mut rng = Seed::from_u64(2).stream("bench");
        let mut at = 0;
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("have, {pieces} pieces"), |b| {
            b.iter(|| {
                at = (at + 7919) % pieces;
                picker.peer_got(at);
                picker.peer_lost(at);
            });
        });
        let mode = PickMode { fast: true, max_partial: 10_000, ..PickMode::default() };
        group.bench_function(format!("pick a piece of 16 blocks, {pieces} pieces"), |b| {
            let mut turn = 0;
            b.iter(|| {
                turn = (turn + 1) % 500;
                let key = turn as u32;
                let pick = picker.pick(key, &peers[turn], None, 16, mode, &mut rng);
                for block in &pick.blocks {
                    picker.request_dropped(*block, key);
                }
                black_box(pick)
            });
        });
    }
    group.finish();
}

/// Time of the steps of a recording, for a block.
fn each_block(group: &mut BenchmarkGroup<'_, WallTime>, name: String, recording: &Recording) {
    group.bench_function(name, |b| {
        b.iter_custom(|count| {
            let (mut spent, mut done) = (Duration::ZERO, 0);
            while done < count {
                recording.replay(|step| {
                    let start = Instant::now();
                    step();
                    spent += start.elapsed();
                });
                done += recording.blocks;
            }
            // A replay brings more blocks than were asked for.
            spent.mul_f64(count as f64 / done.max(1) as f64)
        });
    });
}

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("step per block, request to verified");
    group.sample_size(10);
    group.throughput(Throughput::Elements(1));
    for (each, pieces, peers) in [
        (4, 20_000, 1),
        (4, 20_000, 10),
        (4, 20_000, 200),
        (4, 400_000, 1000),
        (4, 1_000_000, 1),
        // Pieces of 256 KiB, as a torrent of a quarter of a terabyte has them.
        (16, 20_000, 1),
        (16, 1_000_000, 1),
    ] {
        let recording = Recording::in_pieces_of(each, pieces, peers, 2000);
        let name = format!("{pieces} pieces of {each} blocks, {peers} peers");
        each_block(&mut group, name, &recording);
    }
    group.finish();
}

/// The same under a limit: each rate with one peer and with many. What it costs more than without one is
/// turns in which less comes, and a line in which peers wait.
fn limits(c: &mut Criterion) {
    let mut group = c.benchmark_group("step per block under a limit");
    group.sample_size(10);
    group.throughput(Throughput::Elements(1));
    for peers in [1, 20, 200] {
        for rate in [100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000] {
            let recording = Recording::limited(rate, 40_000, peers, 4000);
            let name = format!("{} KB/s, {peers} peers", rate / 1000);
            each_block(&mut group, name, &recording);
        }
    }
    group.finish();
}

/// A node with a full table, and a query of each kind.
fn dht(c: &mut Criterion) {
    let now = eddyline::base::time::Instant::from_millis(1_000_000);
    let mut rng = Seed::from_u64(1).stream("dht");
    let mut table = Table::new(NodeId::random(&mut rng), now);
    for n in 0..20_000u32 {
        let ip = Ipv4Addr::from(0x1400_0000 + n * 256);
        let id = NodeId::for_address(ip.into(), &mut rng);
        table.note(Contact { id, addr: (ip, 6881).into() }, true, now);
    }
    let mut group = c.benchmark_group("dht");
    let target = NodeId::random(&mut rng);
    group.bench_function("nearest of a full table", |b| b.iter(|| table.nearest(target, 8)));
    let hash = Bytes::copy_from_slice(&target.0);
    let query = Query { info_hash: Some(hash), ..Query::new("get_peers", target) };
    let (t, body) = (Bytes::from_static(b"aa"), Body::Query(query));
    let packet = Packet { t, v: None, ip: None, read_only: true, body }.encode();
    group.bench_function("decode a query", |b| b.iter(|| Packet::decode(black_box(&packet))));
    let mut node = DhtNode::new(NodeConfig::default(), None, rng, now);
    let (mut source, mut time) = (0u32, now);
    group.bench_function("answer get_peers", |b| {
        b.iter(|| {
            source = source.wrapping_add(1);
            // Each from an address of its own, so slowly that none is dropped.
            time = time + Duration::from_millis(20);
            let from = (Ipv4Addr::from(source), 1).into();
            let mut out = Output::default();
            node.datagram(from, &packet, None, time, &mut out);
            black_box(out)
        });
    });
    group.finish();
}

/// Strangers at a filter of two million ranges.
fn filter(c: &mut Criterion) {
    let filter = blocklist(2_000_000);
    let mut group = c.benchmark_group("filter");
    let mut n = 0u32;
    group.bench_function("an address among 2,000,000 ranges", |b| {
        b.iter(|| {
            n = n.wrapping_add(7919);
            filter.blocks(black_box(stranger(n)))
        });
    });
    group.finish();
}

criterion_group!(benches, frames, bencode, picker, step, limits, dht, filter);
criterion_main!(benches);
