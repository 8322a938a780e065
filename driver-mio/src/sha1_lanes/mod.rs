//! SHA-1 of up to sixteen messages of one length at once, a message in each 32-bit lane of the
//! widest registers. One message after the other, the SHA instructions of a processor do about half
//! as much in the same time. Where there are no such registers, messages are hashed one by one.

#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(test)]
mod tests;

use eddyline::base::hash::Sha1Hash;
use sha1::{Digest, Sha1};

/// Messages hashed at once.
pub const LANES: usize = 16;
/// Bytes of a block of SHA-1.
const BLOCK: usize = 64;
const START: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// The five words of all lanes.
type State = [[u32; LANES]; 5];

/// Hashes sixteen messages of one length, part by part.
#[derive(Debug)]
pub struct Lanes(Inner);

#[derive(Debug)]
enum Inner {
    #[cfg(target_arch = "x86_64")]
    Wide {
        state: Box<State>,
        length: u64,
    },
    OneByOne(Box<[Sha1; LANES]>),
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new()
    }
}

impl Lanes {
    /// Whether this processor gains anything by it.
    #[must_use]
    pub fn are_fast() -> bool {
        #[cfg(target_arch = "x86_64")]
        return is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// Sixteen empty messages, on the best that this processor has.
    #[must_use]
    pub fn new() -> Self {
        #[cfg(target_arch = "x86_64")]
        if Self::are_fast() {
            let state = Box::new(START.map(|word| [word; LANES]));
            return Self(Inner::Wide { state, length: 0 });
        }
        Self::one_by_one()
    }

    /// The same without any special instruction of this module.
    #[must_use]
    pub fn one_by_one() -> Self {
        Self(Inner::OneByOne(Box::new(std::array::from_fn(|_| Sha1::new()))))
    }

    /// Adds a part to each message: all of one length, a multiple of 64.
    ///
    /// # Panics
    /// When the lengths differ or are no multiple of 64.
    pub fn update(&mut self, parts: &[&[u8]; LANES]) {
        let length = parts[0].len();
        let even = length.is_multiple_of(BLOCK) && parts.iter().all(|part| part.len() == length);
        assert!(even, "parts of one length, in whole blocks");
        match &mut self.0 {
            #[cfg(target_arch = "x86_64")]
            Inner::Wide { state, length: done } => {
                avx512::compress(state, parts);
                *done += length as u64;
            }
            Inner::OneByOne(all) => {
                all.iter_mut().zip(parts).for_each(|(sha, part)| sha.update(part));
            }
        }
    }

    /// Adds the last part to each message, all of one length, and returns the digests.
    ///
    /// # Panics
    /// When the lengths differ.
    #[must_use]
    pub fn finish(mut self, parts: &[&[u8]; LANES]) -> [Sha1Hash; LANES] {
        let whole = parts[0].len() / BLOCK * BLOCK;
        let heads = parts.map(|part| &part[..whole]);
        let tails = parts.map(|part| &part[whole..]);
        self.update(&heads);
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Inner::Wide { mut state, length } => {
                let rest = tails[0].len();
                assert!(tails.iter().all(|tail| tail.len() == rest), "parts of one length");
                let bits = (length + rest as u64) * 8;
                // The end: a bit, zeros, and the length, in one block or two.
                let padded = if rest + 9 > BLOCK { 2 * BLOCK } else { BLOCK };
                let ends = tails.map(|tail| {
                    let mut end = [0; 2 * BLOCK];
                    end[..rest].copy_from_slice(tail);
                    end[rest] = 0x80;
                    end[padded - 8..padded].copy_from_slice(&bits.to_be_bytes());
                    end
                });
                avx512::compress(&mut state, &ends.each_ref().map(|end| &end[..padded]));
                std::array::from_fn(|lane| {
                    let mut digest = [0; 20];
                    for (bytes, word) in digest.chunks_exact_mut(4).zip(&*state) {
                        bytes.copy_from_slice(&word[lane].to_be_bytes());
                    }
                    Sha1Hash(digest)
                })
            }
            Inner::OneByOne(all) => {
                let mut all = *all;
                all.iter_mut().zip(tails).for_each(|(sha, tail)| sha.update(tail));
                all.map(|sha| Sha1Hash(sha.finalize().into()))
            }
        }
    }
}
