//! Node ids: distance (BEP 5), and ids that an address allows (BEP 42).

use core::fmt;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use crate::base::addr::{Scope, crc32c, scope};
use crate::base::hash::Sha1Hash;
use crate::base::rng::Rng;

/// A point of the 160-bit space: a node, or what is looked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub [u8; 20]);

impl NodeId {
    /// Reads an id of exactly the right length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// A random point.
    pub fn random(rng: &mut Rng) -> Self {
        let mut id = [0; 20];
        rng.fill(&mut id);
        Self(id)
    }

    /// How far `other` is: compared byte by byte, smaller is nearer.
    pub fn distance(self, other: Self) -> [u8; 20] {
        core::array::from_fn(|n| self.0[n] ^ other.0[n])
    }

    /// How many leading bits both have in common; 160 for the same point.
    pub fn common_bits(self, other: Self) -> u32 {
        let mut bits = 0;
        for byte in self.distance(other) {
            bits += byte.leading_zeros();
            if byte != 0 {
                break;
            }
        }
        bits
    }

    /// A random point that has exactly the first `bits` bits in common with this one (all bits for
    /// 160 and more).
    pub fn random_near(self, bits: u32, rng: &mut Rng) -> Self {
        if bits >= 160 {
            return self;
        }
        let mut id = Self::random(rng);
        for bit in 0..=bits {
            let (byte, mask) = ((bit / 8) as usize, 0x80u8 >> (bit % 8));
            // The first bit that differs is turned over.
            let wanted = if bit == bits { !self.0[byte] } else { self.0[byte] };
            id.0[byte] = (id.0[byte] & !mask) | (wanted & mask);
        }
        id
    }

    /// A random id that `ip` allows (BEP 42): its first 21 bits follow from the address.
    pub fn for_address(ip: IpAddr, rng: &mut Rng) -> Self {
        let mut id = Self::random(rng);
        let random = id.0[19];
        let prefix = prefix_for(ip, random);
        id.0[0] = prefix[0];
        id.0[1] = prefix[1];
        id.0[2] = (prefix[2] & 0xf8) | (id.0[2] & 0x07);
        id
    }

    /// Whether a node at `ip` may have this id (BEP 42). Addresses of local networks may have any.
    pub fn fits(self, ip: IpAddr) -> bool {
        if scope(ip) != Scope::Public {
            return true;
        }
        let prefix = prefix_for(ip, self.0[19]);
        self.0[0] == prefix[0] && self.0[1] == prefix[1] && (self.0[2] ^ prefix[2]) & 0xf8 == 0
    }
}

/// The first three bytes that the id of a node at `ip` has, of which the first 21 bits count.
pub fn prefix_for(ip: IpAddr, random: u8) -> [u8; 3] {
    const V4: [u8; 4] = [0x03, 0x0f, 0x3f, 0xff];
    const V6: [u8; 8] = [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff];
    let r = random & 0x07;
    let crc = match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let mut bytes = ip.octets();
            bytes.iter_mut().zip(V4).for_each(|(byte, mask)| *byte &= mask);
            bytes[0] |= r << 5;
            crc32c(&bytes)
        }
        IpAddr::V6(ip) => {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&ip.octets()[..8]);
            bytes.iter_mut().zip(V6).for_each(|(byte, mask)| *byte &= mask);
            bytes[0] |= r << 5;
            crc32c(&bytes)
        }
    };
    let [a, b, c, _] = crc.to_be_bytes();
    [a, b, c]
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Sha1Hash(self.0).to_hex())
    }
}

impl From<Sha1Hash> for NodeId {
    fn from(hash: Sha1Hash) -> Self {
        Self(hash.0)
    }
}
