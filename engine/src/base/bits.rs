//! Sets of piece or block numbers as a bit field with a maintained count.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use bitvec::order::Msb0;
use bitvec::vec::BitVec;
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A fixed-size set of numbers below [`Bits::len`], laid out as BEP 3's bitfield message: the high
/// bit of the first byte is number 0.
#[derive(Clone, PartialEq, Eq)]
pub struct Bits {
    bits: BitVec<u8, Msb0>,
    count: u32,
}

/// A set that can hold nothing: that of a torrent of which no piece is known.
pub static NOTHING: Bits = Bits { bits: BitVec::EMPTY, count: 0 };

impl Bits {
    /// An empty set of numbers below `len`.
    pub fn new(len: u32) -> Self {
        Self { bits: BitVec::repeat(false, len as usize), count: 0 }
    }

    /// The full set of numbers below `len`.
    pub fn full(len: u32) -> Self {
        Self { bits: BitVec::repeat(true, len as usize), count: len }
    }

    /// Reads a bitfield message. `None` unless the length is exact and all spare bits are zero.
    pub fn from_wire(bytes: &[u8], len: u32) -> Option<Self> {
        if bytes.len() != (len as usize).div_ceil(8) {
            return None;
        }
        let mut bits = BitVec::<u8, Msb0>::from_slice(bytes);
        if bits[len as usize..].any() {
            return None;
        }
        bits.truncate(len as usize);
        let count = bits.count_ones() as u32;
        Some(Self { bits, count })
    }

    /// The bytes of a bitfield message, spare bits zero.
    pub fn to_wire(&self) -> Vec<u8> {
        self.as_wire().into_owned()
    }

    /// The same without a copy where the spare bits are zero as they are.
    pub fn as_wire(&self) -> Cow<'_, [u8]> {
        let raw = self.bits.as_raw_slice();
        let spare = raw.len() * 8 - self.bits.len();
        let mask = 0xffu8.checked_shl(spare as u32).unwrap_or(0);
        if raw.last().is_none_or(|last| last & !mask == 0) {
            return raw.into();
        }
        let mut bytes = raw.to_vec();
        if let Some(last) = bytes.last_mut() {
            *last &= mask;
        }
        bytes.into()
    }

    /// The size of the universe, not the number of members.
    pub fn len(&self) -> u32 {
        self.bits.len() as u32
    }

    /// True when the universe itself is empty.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// How many numbers are members.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// True when every number is a member.
    pub fn is_full(&self) -> bool {
        self.count as usize == self.bits.len()
    }

    /// True when `index` is a member. Numbers outside the universe never are.
    pub fn has(&self, index: u32) -> bool {
        self.bits.get(index as usize).is_some_and(|bit| *bit)
    }

    /// Adds `index`; false when it was there already or lies outside.
    pub fn set(&mut self, index: u32) -> bool {
        if index as usize >= self.bits.len() || self.has(index) {
            return false;
        }
        self.bits.set(index as usize, true);
        self.count += 1;
        true
    }

    /// Removes `index`; false when it was not there.
    pub fn clear(&mut self, index: u32) -> bool {
        if !self.has(index) {
            return false;
        }
        self.bits.set(index as usize, false);
        self.count -= 1;
        true
    }

    /// The members that `other` does not have.
    pub fn without(&self, other: &Self) -> Self {
        let mut left = self.clone();
        for (ours, theirs) in left.bits.as_raw_mut_slice().iter_mut().zip(other.bits.as_raw_slice())
        {
            *ours &= !theirs;
        }
        left.count = left.bits.count_ones() as u32;
        left
    }

    /// Adds all members of `other` that lie in this universe.
    pub fn extend(&mut self, other: &Self) {
        for (ours, theirs) in self.bits.as_raw_mut_slice().iter_mut().zip(other.bits.as_raw_slice())
        {
            *ours |= theirs;
        }
        self.count = self.bits.count_ones() as u32;
    }

    /// The members in ascending order.
    pub fn ones(&self) -> impl Iterator<Item = u32> + '_ {
        self.bits.iter_ones().map(|i| i as u32)
    }

    /// The members within a range, in ascending order. Numbers beyond the end are none.
    pub fn ones_within(&self, range: core::ops::Range<u32>) -> impl Iterator<Item = u32> + '_ {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        self.bits[start as usize..end as usize].iter_ones().map(move |i| start + i as u32)
    }

    /// The numbers that are not members, in ascending order.
    pub fn zeros(&self) -> impl Iterator<Item = u32> + '_ {
        self.bits.iter_zeros().map(|i| i as u32)
    }

    /// Up to `limit` members of both sets, in ascending order from `start` on and then from zero.
    /// Compares eight numbers at a time.
    pub fn common_from(&self, other: &Self, start: u32, limit: usize) -> Vec<u32> {
        let mut found = Vec::new();
        let (ours, theirs) = (self.bits.as_raw_slice(), other.bits.as_raw_slice());
        let bytes = ours.len().min(theirs.len());
        let start = if start < self.len() { start } else { 0 };
        let first = (start / 8) as usize;
        let from_start = 0xffu8 >> (start % 8);
        // The first byte is looked at twice: from `start` on, and at the end what lies before.
        for step in 0..bytes + usize::from(bytes > 0) {
            let at = (first + step) % bytes;
            let mut both = ours[at] & theirs[at];
            if step == 0 {
                both &= from_start;
            } else if step == bytes {
                both &= !from_start;
            }
            while both != 0 {
                let bit = both.leading_zeros();
                both &= !(0x80 >> bit);
                let index = at as u32 * 8 + bit;
                if index < self.len().min(other.len()) {
                    found.push(index);
                    if found.len() == limit {
                        return found;
                    }
                }
            }
        }
        found
    }

    /// How many numbers are members of both sets.
    pub fn count_common(&self, other: &Self) -> u32 {
        let pairs = self.bits.as_raw_slice().iter().zip(other.bits.as_raw_slice());
        let len = self.len().min(other.len());
        let mut total = 0;
        for (at, (a, b)) in pairs.enumerate() {
            let valid = len.saturating_sub(at as u32 * 8).min(8);
            let mask = 0xff00u16.checked_shr(valid).unwrap_or(0) as u8;
            total += (a & b & mask).count_ones();
        }
        total
    }
}

impl Serialize for Bits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.len(), Bytes::from(self.to_wire())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (len, bytes) = <(u32, Bytes)>::deserialize(deserializer)?;
        Self::from_wire(&bytes, len).ok_or_else(|| D::Error::custom("not a set of that size"))
    }
}

impl core::fmt::Debug for Bits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Bits({}/{} ", self.count, self.bits.len())?;
        for byte in self.as_wire().iter() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
