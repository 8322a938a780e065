//! What µTP costs: a packet through both machines, and reading one.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use eddyline_utp::packet::Packet;
use eddyline_utp_sim::load::Load;

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("utp");
    group.throughput(Throughput::Bytes(1_000 * 1_452));
    let mut load = Load::new();
    group.bench_function("1,000 packets through two machines", |b| b.iter(|| load.run(1_000)));
    let mut raw = vec![0x01, 0];
    raw.resize(1_472, 0);
    let raw = Bytes::from(raw);
    group.throughput(Throughput::Elements(1));
    group.bench_function("read a packet", |b| b.iter(|| Packet::decode(black_box(&raw))));
    group.finish();
}

criterion_group!(benches, packets);
criterion_main!(benches);
