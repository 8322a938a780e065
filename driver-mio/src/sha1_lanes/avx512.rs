//! The compression function of SHA-1 in sixteen lanes of AVX-512.
//!
//! This is the only module with `unsafe` code. It does two things that the compiler cannot check:
//! - [`compress`] calls a function that needs AVX-512; it asks the processor first.
//! - [`all_rounds`] loads 64 bytes at a pointer; they lie within a slice whose length was checked.
#![expect(unsafe_code, reason = "vector instructions; see above")]

use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm_set_epi8, _mm512_add_epi32, _mm512_broadcast_i32x4,
    _mm512_loadu_si512, _mm512_rol_epi32, _mm512_set1_epi32, _mm512_shuffle_epi8,
    _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::{BLOCK, LANES, Lanes, State};

/// Rounds with one function and one constant each.
const PHASES: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];
/// Truth tables of choice, parity and majority.
const CHOICE: i32 = 0xca;
const PARITY: i32 = 0x96;
const MAJORITY: i32 = 0xe8;

/// Takes whole blocks of all messages in.
///
/// # Panics
/// When the parts differ in length, or this processor has no AVX-512.
pub(super) fn compress(state: &mut State, parts: &[&[u8]; LANES]) {
    let blocks = parts[0].len() / BLOCK;
    assert!(parts.iter().all(|part| part.len() >= blocks * BLOCK), "parts of one length");
    assert!(Lanes::are_fast(), "whoever asks for lanes has them");
    // SAFETY: the processor has the features that the function is compiled for, and every part has
    // `blocks` whole blocks.
    unsafe { all_rounds(state, parts, blocks) }
}

/// Sixteen rows of sixteen words become columns.
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
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

/// Rounds `$t` of one function. The numbers are literal, so that every word stays in a register.
macro_rules! rounds {
    ($table:expr, $constant:expr, $w:ident, $s:ident, $($t:literal)*) => {
        let constant = _mm512_set1_epi32($constant as i32);
        $(
            let word = if $t < 16 {
                $w[$t & 15]
            } else {
                let three = _mm512_ternarylogic_epi32::<PARITY>(
                    $w[($t + 13) & 15],
                    $w[($t + 8) & 15],
                    $w[($t + 2) & 15],
                );
                $w[$t & 15] = _mm512_rol_epi32::<1>(_mm512_xor_si512(three, $w[$t & 15]));
                $w[$t & 15]
            };
            let [a, b, c, d, e] = $s;
            let mixed = _mm512_ternarylogic_epi32::<{ $table }>(b, c, d);
            let sum =
                _mm512_add_epi32(_mm512_add_epi32(e, word), _mm512_add_epi32(constant, mixed));
            let next = _mm512_add_epi32(sum, _mm512_rol_epi32::<5>(a));
            $s = [next, a, _mm512_rol_epi32::<30>(b), c, d];
        )*
    };
}

/// # Safety
/// Every part holds `blocks` blocks of 64 bytes.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn all_rounds(state: &mut State, parts: &[&[u8]; LANES], blocks: usize) {
    // Bytes of a word come with the highest first.
    let swap =
        _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    // SAFETY: a row of the state is 64 bytes.
    let mut h: [__m512i; 5] =
        std::array::from_fn(|i| unsafe { _mm512_loadu_si512(state[i].as_ptr().cast()) });
    for block in 0..blocks {
        // SAFETY: the caller promises so many blocks in every part.
        let rows: [__m512i; 16] = std::array::from_fn(|lane| unsafe {
            let row = parts[lane].as_ptr().add(block * BLOCK);
            // What comes eight blocks later; a place behind the end is no error.
            _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(8 * BLOCK).cast());
            _mm512_shuffle_epi8(_mm512_loadu_si512(row.cast()), swap)
        });
        let mut w = transpose(rows);
        let mut s = h;
        rounds!(CHOICE, PHASES[0], w, s, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
        rounds!(PARITY, PHASES[1], w, s, 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
        rounds!(MAJORITY, PHASES[2], w, s, 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
        rounds!(PARITY, PHASES[3], w, s, 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
        for (sum, word) in h.iter_mut().zip(s) {
            *sum = _mm512_add_epi32(*sum, word);
        }
    }
    for (row, word) in state.iter_mut().zip(h) {
        // SAFETY: a row of the state is 64 bytes.
        unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), word) };
    }
}
