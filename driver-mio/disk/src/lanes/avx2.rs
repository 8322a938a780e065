//! Eight lanes of AVX2, for processors without SHA instructions.
//!
//! What is said of `unsafe` code in the module for AVX-512 holds here too.
#![expect(unsafe_code, reason = "vector instructions; see there")]

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_andnot_si256, _mm256_loadu_si256,
    _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set_epi8, _mm256_set1_epi32,
    _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
    _mm256_xor_si256,
};

use super::rounds::{PHASES, ROUND, compressions, sha1_rounds, sha256_rounds};
use super::{BLOCK, LANES, State};

type Words = __m256i;

const WIDTH: usize = 8;

compressions!("avx2");

fn are_there() -> bool {
    is_x86_feature_detected!("avx2")
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(row: &[u32; LANES], from: usize) -> Words {
    let half = &row[from..from + WIDTH];
    // SAFETY: half a row is 32 bytes.
    unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(row: &mut [u32; LANES], from: usize, words: Words) {
    let half = &mut row[from..from + WIDTH];
    // SAFETY: half a row is 32 bytes.
    unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), words) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn all(word: u32) -> Words {
    _mm256_set1_epi32(word as i32)
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: Words, b: Words) -> Words {
    _mm256_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(a: Words, b: Words) -> Words {
    _mm256_xor_si256(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor3(a: Words, b: Words, c: Words) -> Words {
    xor(xor(a, b), c)
}

#[inline]
#[target_feature(enable = "avx2")]
fn choice(a: Words, b: Words, c: Words) -> Words {
    _mm256_or_si256(_mm256_and_si256(a, b), _mm256_andnot_si256(a, c))
}

#[inline]
#[target_feature(enable = "avx2")]
fn majority(a: Words, b: Words, c: Words) -> Words {
    _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const N: i32>(words: Words) -> Words {
    let wrapped = match N {
        1 => _mm256_srli_epi32::<31>(words),
        5 => _mm256_srli_epi32::<27>(words),
        7 => _mm256_srli_epi32::<25>(words),
        10 => _mm256_srli_epi32::<22>(words),
        13 => _mm256_srli_epi32::<19>(words),
        14 => _mm256_srli_epi32::<18>(words),
        15 => _mm256_srli_epi32::<17>(words),
        19 => _mm256_srli_epi32::<13>(words),
        21 => _mm256_srli_epi32::<11>(words),
        25 => _mm256_srli_epi32::<7>(words),
        26 => _mm256_srli_epi32::<6>(words),
        30 => _mm256_srli_epi32::<2>(words),
        _ => unreachable!("neither hash rotates so"),
    };
    _mm256_or_si256(_mm256_slli_epi32::<N>(words), wrapped)
}

#[inline]
#[target_feature(enable = "avx2")]
fn shift<const N: i32>(words: Words) -> Words {
    _mm256_srli_epi32::<N>(words)
}

/// The words of one block of eight messages, as columns.
///
/// # Safety
/// Every part holds that block.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn message(parts: &[&[u8]; LANES], from: usize, block: usize) -> [Words; 16] {
    // Bytes of a word come with the highest first.
    let swap = _mm256_set_epi8(
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11, 4, 5,
        6, 7, 0, 1, 2, 3,
    );
    let mut words = [all(0); 16];
    for half in 0..2 {
        let rows = std::array::from_fn(|lane| {
            // SAFETY: the caller promises that block; a half of it is 32 bytes.
            let row = unsafe {
                let row = parts[from + lane].as_ptr().add(block * BLOCK + half * BLOCK / 2);
                _mm256_loadu_si256(row.cast())
            };
            _mm256_shuffle_epi8(row, swap)
        });
        words[half * 8..][..8].copy_from_slice(&transpose(rows));
    }
    words
}

/// Eight rows of eight words become columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: [Words; 8]) -> [Words; 8] {
    let mut t = rows;
    for i in (0..8).step_by(2) {
        t[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    let mut u = t;
    for i in (0..8).step_by(4) {
        u[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    let mut out = u;
    for i in 0..4 {
        out[i] = _mm256_permute2x128_si256::<0x20>(u[i], u[i + 4]);
        out[i + 4] = _mm256_permute2x128_si256::<0x31>(u[i], u[i + 4]);
    }
    out
}
