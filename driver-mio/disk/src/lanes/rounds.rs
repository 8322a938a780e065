//! The rounds of SHA-1 and SHA-256, for registers of any width. Who invokes [`compressions`] has
//! these in scope, compiled for the features that it names:
//!
//! - `Words`, a register; `WIDTH`, its number of lanes;
//! - `load` and `store` of a row of the state from lane `from` on;
//! - `message`, the sixteen words of block `block` of messages `from` and following, as columns;
//! - `all` (one number in every lane), `add`, `xor`, `xor3`, `choice`, `majority`, `rotate::<N>` to
//!   the left, `shift::<N>` to the right.

/// Constants of SHA-1, one for twenty rounds each.
pub(super) const PHASES: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

/// Constants of SHA-256, one a round.
#[rustfmt::skip]
pub(super) const ROUND: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Rounds `$t` of SHA-1. The numbers are literal, so that every word stays in a register.
macro_rules! sha1_rounds {
    ($mix:ident, $phase:literal, $w:ident, $s:ident, $($t:literal)*) => {
        let constant = all(PHASES[$phase]);
        $(
            if $t >= 16 {
                let three = xor3($w[($t + 13) & 15], $w[($t + 8) & 15], $w[($t + 2) & 15]);
                $w[$t & 15] = rotate::<1>(xor(three, $w[$t & 15]));
            }
            let [a, b, c, d, e] = $s;
            let sum = add(add(e, $w[$t & 15]), add(constant, $mix(b, c, d)));
            $s = [add(sum, rotate::<5>(a)), a, rotate::<30>(b), c, d];
        )*
    };
}

/// Rounds `$t` of SHA-256.
macro_rules! sha256_rounds {
    ($w:ident, $s:ident, $($t:literal)*) => {
        $(
            if $t >= 16 {
                let (near, far) = ($w[($t + 14) & 15], $w[($t + 1) & 15]);
                let near = xor3(rotate::<15>(near), rotate::<13>(near), shift::<10>(near));
                let far = xor3(rotate::<25>(far), rotate::<14>(far), shift::<3>(far));
                $w[$t & 15] = add(add($w[$t & 15], $w[($t + 9) & 15]), add(near, far));
            }
            let [a, b, c, d, e, f, g, h] = $s;
            let high = xor3(rotate::<26>(e), rotate::<21>(e), rotate::<7>(e));
            let sum = add(add(h, $w[$t & 15]), add(all(ROUND[$t]), choice(e, f, g)));
            let sum = add(sum, high);
            let low = xor3(rotate::<30>(a), rotate::<19>(a), rotate::<10>(a));
            $s = [add(sum, add(low, majority(a, b, c))), a, b, c, add(d, sum), e, f, g];
        )*
    };
}

/// Defines `sha1_blocks` and `sha256_blocks`.
macro_rules! compressions {
    ($features:literal) => {
        /// # Safety
        /// Every part holds `blocks` blocks of 64 bytes.
        #[target_feature(enable = $features)]
        unsafe fn sha1_blocks(state: &mut State, parts: &[&[u8]; LANES], used: usize, blocks: usize) {
            for from in (0..used.min(LANES)).step_by(WIDTH) {
                let mut sums: [Words; 5] = [all(0); 5];
                sums.iter_mut().zip(&*state).for_each(|(sum, row)| *sum = load(row, from));
                for block in 0..blocks {
                    // SAFETY: the caller promises at least `blocks` blocks.
                    let mut w = unsafe { message(parts, from, block) };
                    let mut s = sums;
                    sha1_rounds!(choice, 0, w, s, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
                    sha1_rounds!(xor3, 1, w, s, 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
                    sha1_rounds!(majority, 2, w, s, 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
                    sha1_rounds!(xor3, 3, w, s, 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
                    for (sum, word) in sums.iter_mut().zip(s) {
                        *sum = add(*sum, word);
                    }
                }
                state.iter_mut().zip(sums).for_each(|(row, sum)| store(row, from, sum));
            }
        }

        /// # Safety
        /// Every part holds `blocks` blocks of 64 bytes.
        #[target_feature(enable = $features)]
        unsafe fn sha256_blocks(state: &mut State, parts: &[&[u8]; LANES], used: usize, blocks: usize) {
            for from in (0..used.min(LANES)).step_by(WIDTH) {
                let mut sums: [Words; 8] = [all(0); 8];
                sums.iter_mut().zip(&*state).for_each(|(sum, row)| *sum = load(row, from));
                for block in 0..blocks {
                    // SAFETY: the caller promises at least `blocks` blocks.
                    let mut w = unsafe { message(parts, from, block) };
                    let mut s = sums;
                    sha256_rounds!(w, s, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
                    sha256_rounds!(w, s, 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
                    sha256_rounds!(w, s, 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
                    sha256_rounds!(w, s, 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
                    for (sum, word) in sums.iter_mut().zip(s) {
                        *sum = add(*sum, word);
                    }
                }
                state.iter_mut().zip(sums).for_each(|(row, sum)| store(row, from, sum));
            }
        }

        /// Takes whole blocks of the first `used` messages into SHA-1.
        ///
        /// # Panics
        /// When the parts differ in length, or the processor has no such lanes.
        pub(super) fn sha1(state: &mut State, parts: &[&[u8]; LANES], used: usize) {
            let blocks = whole_blocks(parts);
            // SAFETY: the processor has the features, and every part has `blocks` whole blocks.
            unsafe { sha1_blocks(state, parts, used, blocks) }
        }

        /// Takes whole blocks of the first `used` messages into SHA-256.
        ///
        /// # Panics
        /// As [`sha1`].
        pub(super) fn sha256(state: &mut State, parts: &[&[u8]; LANES], used: usize) {
            let blocks = whole_blocks(parts);
            // SAFETY: the processor has the features, and every part has `blocks` whole blocks.
            unsafe { sha256_blocks(state, parts, used, blocks) }
        }

        /// What [`sha1`] and [`sha256`] rely on.
        fn whole_blocks(parts: &[&[u8]; LANES]) -> usize {
            let blocks = parts[0].len() / BLOCK;
            assert!(parts.iter().all(|part| part.len() >= blocks * BLOCK), "parts of one length");
            assert!(are_there(), "whoever asks for lanes has them");
            blocks
        }
    };
}

pub(super) use {compressions, sha1_rounds, sha256_rounds};
