//! Cost of encryption: the cipher by itself, beside a copy of the same bytes, and what a handshake takes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use eddyline_mse::{StreamCipher, StreamKey, public_key, shared_secret};

fn cipher(c: &mut Criterion) {
    let mut group = c.benchmark_group("cipher");
    let key = StreamKey::rc4([7; 20]);
    let mut block = vec![0; 16_384];
    group.throughput(Throughput::Bytes(block.len() as u64));
    let mut stream = StreamCipher::new(&key);
    group.bench_function("a block in place", |b| b.iter(|| stream.apply(black_box(&mut block))));
    let from = block.clone();
    group.bench_function("a copy of a block", |b| {
        b.iter(|| block.copy_from_slice(black_box(&from)))
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("a key, with the first KiB dropped", |b| {
        b.iter(|| StreamCipher::new(black_box(&key)));
    });
    group.finish();
}

fn exchange(c: &mut Criterion) {
    let mut group = c.benchmark_group("exchange");
    let theirs = public_key(&[9; 20]);
    group.bench_function("public key", |b| b.iter(|| public_key(black_box(&[7; 20]))));
    group.bench_function("secret", |b| b.iter(|| shared_secret(black_box(&[7; 20]), &theirs)));
    group.finish();
}

criterion_group!(benches, cipher, exchange);
criterion_main!(benches);
