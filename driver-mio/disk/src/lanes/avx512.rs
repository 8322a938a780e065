//! Sixteen lanes of AVX-512.
//!
//! This and its sibling for AVX2 are the only modules with `unsafe` code. They do two things that
//! the compiler cannot check:
//! - `sha1` and `sha256` call functions that need these instructions; they ask the processor first.
//! - [`message`] loads 64 bytes at a pointer; they lie within a slice whose length was checked.
#![expect(unsafe_code, reason = "vector instructions; see above")]

use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm_set_epi8, _mm512_add_epi32, _mm512_broadcast_i32x4,
    _mm512_loadu_si512, _mm512_rol_epi32, _mm512_set1_epi32, _mm512_shuffle_epi8,
    _mm512_shuffle_i32x4, _mm512_srli_epi32, _mm512_storeu_si512, _mm512_ternarylogic_epi32,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    _mm512_xor_si512,
};

use super::rounds::{PHASES, ROUND, compressions, sha1_rounds, sha256_rounds};
use super::{BLOCK, LANES, State};

type Words = __m512i;

const WIDTH: usize = 16;

compressions!("avx512f,avx512bw");

fn are_there() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(row: &[u32; LANES], _: usize) -> Words {
    // SAFETY: a row of the state is 64 bytes.
    unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(row: &mut [u32; LANES], _: usize, words: Words) {
    // SAFETY: a row of the state is 64 bytes.
    unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), words) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn all(word: u32) -> Words {
    _mm512_set1_epi32(word as i32)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add(a: Words, b: Words) -> Words {
    _mm512_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn xor(a: Words, b: Words) -> Words {
    _mm512_xor_si512(a, b)
}

// The numbers are truth tables.

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn xor3(a: Words, b: Words, c: Words) -> Words {
    _mm512_ternarylogic_epi32::<0x96>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn choice(a: Words, b: Words, c: Words) -> Words {
    _mm512_ternarylogic_epi32::<0xca>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn majority(a: Words, b: Words, c: Words) -> Words {
    _mm512_ternarylogic_epi32::<0xe8>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rotate<const N: i32>(words: Words) -> Words {
    _mm512_rol_epi32::<N>(words)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shift<const N: u32>(words: Words) -> Words {
    _mm512_srli_epi32::<N>(words)
}

/// The words of one block of every message, as columns.
///
/// # Safety
/// Every part holds that block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn message(parts: &[&[u8]; LANES], _: usize, block: usize) -> [Words; 16] {
    // Bytes of a word come with the highest first.
    let swap =
        _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    transpose(std::array::from_fn(|lane| {
        // SAFETY: the caller promises that block.
        let (row, words) = unsafe {
            let row = parts[lane].as_ptr().add(block * BLOCK);
            (row, _mm512_loadu_si512(row.cast()))
        };
        // What comes eight blocks later; a place behind the end is no error.
        _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(8 * BLOCK).cast());
        _mm512_shuffle_epi8(words, swap)
    }))
}

/// Sixteen rows of sixteen words become columns.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(rows: [Words; 16]) -> [Words; 16] {
    let mut t = rows;
    for i in (0..16).step_by(2) {
        t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    let mut u = t;
    for i in (0..16).step_by(4) {
        u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    let mut out = u;
    for i in 0..4 {
        let a = _mm512_shuffle_i32x4::<0x88>(u[i], u[i + 4]);
        let b = _mm512_shuffle_i32x4::<0xdd>(u[i], u[i + 4]);
        let c = _mm512_shuffle_i32x4::<0x88>(u[i + 8], u[i + 12]);
        let d = _mm512_shuffle_i32x4::<0xdd>(u[i + 8], u[i + 12]);
        out[i] = _mm512_shuffle_i32x4::<0x88>(a, c);
        out[i + 8] = _mm512_shuffle_i32x4::<0xdd>(a, c);
        out[i + 4] = _mm512_shuffle_i32x4::<0x88>(b, d);
        out[i + 12] = _mm512_shuffle_i32x4::<0xdd>(b, d);
    }
    out
}
