//! Cost of what the driver does to bytes: hashing one piece after the other, or many side by side.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use eddyline_mio::sha1_lanes::{LANES, Lanes};
use sha1::{Digest, Sha1};

fn sha1(c: &mut Criterion) {
    let mut group = c.benchmark_group("sha1");
    for length in [16 << 10, 256 << 10, 1 << 20] {
        let pieces: Vec<Vec<u8>> = (0..LANES).map(|n| vec![n as u8; length]).collect();
        let parts: [&[u8]; LANES] = std::array::from_fn(|lane| &pieces[lane][..]);
        group.throughput(Throughput::Bytes((length * LANES) as u64));
        group.bench_function(format!("{LANES} pieces of {} KiB, one by one", length >> 10), |b| {
            b.iter(|| parts.map(|part| black_box(Sha1::digest(part))));
        });
        group.bench_function(
            format!("{LANES} pieces of {} KiB, side by side", length >> 10),
            |b| {
                b.iter(|| black_box(Lanes::new().finish(&parts)));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, sha1);
criterion_main!(benches);
