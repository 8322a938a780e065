//! Cost of what the driver does to bytes: hashing one piece after the other, or many side by side.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use eddyline_disk::lanes::{LANES, LaneHash, Lanes, Width};
use sha1::Sha1;
use sha2::Sha256;

fn lanes<H: LaneHash>(c: &mut Criterion, name: &str) {
    let mut group = c.benchmark_group(name);
    for length in [16 << 10, 1 << 20] {
        let pieces: Vec<Vec<u8>> = (0..LANES).map(|n| vec![n as u8; length]).collect();
        let parts: [&[u8]; LANES] = std::array::from_fn(|lane| &pieces[lane][..]);
        group.throughput(Throughput::Bytes((length * LANES) as u64));
        for width in Width::available() {
            let name = format!("{LANES} pieces of {} KiB, {width:?} at once", length >> 10);
            group.bench_function(name, |b| {
                b.iter(|| black_box(Lanes::<H>::of(width).finish(&parts)));
            });
        }
    }
    group.finish();
}

fn hashes(c: &mut Criterion) {
    lanes::<Sha1>(c, "sha1");
    lanes::<Sha256>(c, "sha256");
}

criterion_group!(benches, hashes);
criterion_main!(benches);
