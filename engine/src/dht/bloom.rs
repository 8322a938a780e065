//! Bloom filters of the addresses in a swarm (BEP 33), and how many they stand for.

use bytes::Bytes;
use core::net::IpAddr;

use crate::base::hash::Sha1Hash;

/// Bytes of a filter.
pub const FILTER_BYTES: usize = 256;
/// Bits of a filter.
const BITS: u32 = 2048;
/// Fractional bits of the logarithms below.
const FRACTION: u32 = 48;
/// `-ln(1 - 1/2048)` in that many fractional bits.
const STEP: u64 = 137_472_518_831;
/// `ln 2` in that many fractional bits.
const LN_2: u64 = 195_103_586_505_167;

/// A filter of addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bloom([u8; FILTER_BYTES]);

impl Default for Bloom {
    fn default() -> Self {
        Self([0; FILTER_BYTES])
    }
}

impl Bloom {
    /// Reads a filter of exactly the right length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Adds an address.
    pub fn insert(&mut self, ip: IpAddr) {
        let hash = match ip.to_canonical() {
            IpAddr::V4(ip) => Sha1Hash::of(&ip.octets()),
            IpAddr::V6(ip) => Sha1Hash::of(&ip.octets()),
        };
        for pair in hash.0[..4].chunks_exact(2) {
            let bit = u32::from(u16::from_le_bytes([pair[0], pair[1]])) % BITS;
            self.0[(bit / 8) as usize] |= 1 << (bit % 8);
        }
    }

    /// Everything that either holds.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(byte, more)| *byte |= more);
    }

    /// The bytes that a reply carries.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    /// About how many addresses are in it, in thousandths.
    pub fn estimate_millis(&self) -> u64 {
        let set: u32 = self.0.iter().map(|byte| byte.count_ones()).sum();
        // A full filter says no more than one that is full but for a bit.
        let zero = (BITS - set).max(1);
        // n = ln(zero / m) / (2 ln(1 - 1/m)), both logarithms negative.
        let log = ln_ratio(zero);
        let (log, step) = (u128::from(log) * 1000, u128::from(2 * STEP));
        u64::try_from((log + step / 2) / step).unwrap_or(u64::MAX)
    }
}

/// `-ln(zero / 2048)` as a fixed-point number; no float takes part, so that every machine agrees.
fn ln_ratio(zero: u32) -> u64 {
    // log2(2048 / zero) = 11 - log2(zero), whose integer part is the place of the highest bit and
    // whose fraction comes bit by bit from squaring.
    let whole = zero.ilog2();
    let mut mantissa = u64::from(zero) << (62 - whole);
    let mut fraction = 0u64;
    for _ in 0..FRACTION {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 62;
        fraction <<= 1;
        if square >= 2 << 62 {
            fraction |= 1;
            mantissa = (square >> 1) as u64;
        } else {
            mantissa = square as u64;
        }
    }
    let log2 = (u64::from(whole) << FRACTION) | fraction;
    let ratio = (11u64 << FRACTION) - log2;
    ((u128::from(ratio) * u128::from(LN_2)) >> FRACTION) as u64
}
