//! SHA-1 and SHA-256 of sixteen messages of one length at once, a message in each 32-bit lane of the
//! widest registers there are. In the time in which the SHA instructions of a processor hash one
//! message, sixteen lanes of AVX-512 hash 3.7 of them with SHA-1 and 2.5 with SHA-256, and eight of
//! AVX2 1.8 and 1.0. So the latter serve SHA-256 only where there are no such instructions. Where
//! there are no wide registers, messages are hashed one by one.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod rounds;

#[cfg(test)]
mod tests;

use std::fmt::Debug;

use sha1::Sha1;
use sha1::digest::{Digest, Output};
use sha2::Sha256;

/// Messages hashed at once.
pub const LANES: usize = 16;
/// Fewer messages than these are hashed faster one after the other.
pub const WORTHWHILE: usize = 5;
/// Bytes of a block of either hash.
const BLOCK: usize = 64;

/// The words of all lanes; SHA-1 uses five rows.
type State = [[u32; LANES]; 8];

/// What a processor can do in lanes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// Sixteen lanes of AVX-512.
    Sixteen,
    /// Eight lanes of AVX2, twice.
    Eight,
    /// One message after the other, with what the processor has for that.
    One,
}

impl Width {
    /// All that this processor can do.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut all = vec![Self::One];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(Self::Eight);
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                all.push(Self::Sixteen);
            }
        }
        all
    }

    /// The fastest that this processor can do.
    #[must_use]
    pub fn best<H: LaneHash>() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                return Self::Sixteen;
            }
            let slow = H::EIGHT_ARE_FASTER || !is_x86_feature_detected!("sha");
            if is_x86_feature_detected!("avx2") && slow {
                return Self::Eight;
            }
        }
        Self::One
    }
}

/// Whether this processor gains anything by lanes.
#[must_use]
pub fn are_fast<H: LaneHash>() -> bool {
    Width::best::<H>() != Width::One
}

/// A hash that can be computed in lanes.
pub trait LaneHash: Debug {
    /// The same for one message.
    type One: Digest + Clone + Debug;
    /// What stands in the words before the first block; zero for words that it has not.
    const START: [u32; 8];
    /// Whether eight lanes are faster than the SHA instructions.
    const EIGHT_ARE_FASTER: bool;

    /// Takes whole blocks of the first `used` messages in.
    ///
    /// # Panics
    /// When the parts differ in length, or the processor cannot do this.
    #[cfg(target_arch = "x86_64")]
    #[doc(hidden)]
    fn compress(width: Width, state: &mut [[u32; LANES]; 8], parts: &[&[u8]; LANES], used: usize);
}

impl LaneHash for Sha1 {
    type One = Self;
    const START: [u32; 8] =
        [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0, 0, 0, 0];
    const EIGHT_ARE_FASTER: bool = true;

    #[cfg(target_arch = "x86_64")]
    fn compress(width: Width, state: &mut State, parts: &[&[u8]; LANES], used: usize) {
        match width {
            Width::Sixteen => avx512::sha1(state, parts, used),
            _ => avx2::sha1(state, parts, used),
        }
    }
}

impl LaneHash for Sha256 {
    type One = Self;
    const START: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    const EIGHT_ARE_FASTER: bool = false;

    #[cfg(target_arch = "x86_64")]
    fn compress(width: Width, state: &mut State, parts: &[&[u8]; LANES], used: usize) {
        match width {
            Width::Sixteen => avx512::sha256(state, parts, used),
            _ => avx2::sha256(state, parts, used),
        }
    }
}

/// Hashes sixteen messages of one length, part by part.
#[derive(Debug)]
pub struct Lanes<H: LaneHash>(Inner<H>);

#[derive(Debug)]
enum Inner<H: LaneHash> {
    #[cfg(target_arch = "x86_64")]
    Wide {
        width: Width,
        state: Box<State>,
        length: u64,
        used: usize,
    },
    OneByOne(Vec<H::One>),
}

impl<H: LaneHash> Default for Lanes<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: LaneHash> Lanes<H> {
    /// Sixteen empty messages, on the best that this processor has.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Width::best::<H>())
    }

    /// Sixteen empty messages in lanes of a choice that this processor has.
    #[must_use]
    pub fn of(width: Width) -> Self {
        match width {
            #[cfg(target_arch = "x86_64")]
            Width::Sixteen | Width::Eight => {
                let state = Box::new(H::START.map(|word| [word; LANES]));
                Self(Inner::Wide { width, state, length: 0, used: LANES })
            }
            _ => Self(Inner::OneByOne(vec![H::One::new(); LANES])),
        }
    }

    /// As many empty messages, the fastest way for so few or many: digests behind them are of no
    /// meaning.
    ///
    /// # Panics
    /// When there are more than sixteen.
    #[must_use]
    pub fn of_first(count: usize) -> Self {
        assert!(count <= LANES, "a message for each lane");
        let width = if count < WORTHWHILE { Width::One } else { Width::best::<H>() };
        let mut lanes = Self::of(width);
        match &mut lanes.0 {
            #[cfg(target_arch = "x86_64")]
            Inner::Wide { used, .. } => *used = count,
            Inner::OneByOne(all) => all.truncate(count),
        }
        lanes
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
            Inner::Wide { width, state, length: done, used } => {
                H::compress(*width, state, parts, *used);
                *done += length as u64;
            }
            Inner::OneByOne(all) => {
                all.iter_mut().zip(parts).for_each(|(one, part)| one.update(part));
            }
        }
    }

    /// Adds the last part to each message, all of one length, and returns the digests.
    ///
    /// # Panics
    /// When the lengths differ.
    #[must_use]
    pub fn finish(mut self, parts: &[&[u8]; LANES]) -> [Output<H::One>; LANES] {
        let whole = parts[0].len() / BLOCK * BLOCK;
        let rest = parts[0].len() - whole;
        assert!(parts.iter().all(|part| part.len() == whole + rest), "parts of one length");
        let heads = parts.map(|part| &part[..whole]);
        let tails = parts.map(|part| &part[whole..]);
        self.update(&heads);
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Inner::Wide { width, mut state, length, used } => {
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
                H::compress(width, &mut state, &ends.each_ref().map(|end| &end[..padded]), used);
                std::array::from_fn(|lane| {
                    let mut digest = Output::<H::One>::default();
                    for (bytes, words) in digest.chunks_exact_mut(4).zip(&*state) {
                        bytes.copy_from_slice(&words[lane].to_be_bytes());
                    }
                    digest
                })
            }
            Inner::OneByOne(mut all) => {
                all.iter_mut().zip(tails).for_each(|(one, tail)| one.update(tail));
                let mut all = all.into_iter();
                std::array::from_fn(|_| all.next().map(H::One::finalize).unwrap_or_default())
            }
        }
    }
}
