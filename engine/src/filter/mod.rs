//! Addresses that nothing is sent to and nobody is heard from: what lists that users keep say of them, as an
//! immutable table. It is data: whoever embeds an engine builds one ([`FilterBuilder`]) and hands it over
//! ([`Command::SetFilter`](crate::Command::SetFilter)), and may ask it about connections of his own.
//!
//! A range of IPv4 takes 8 bytes, one of IPv6 that consists of whole networks (/64) takes 16, and a finer one 32.
//! Ranges that overlap or touch are one. A look-up is a binary search among those that begin with the same 16 bits.

mod build;
mod line;
mod table;
#[cfg(test)]
mod tests;

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::addr::is_placeholder;
use crate::base::digest::Digest;
use table::{Ranges, Starts};

pub use build::{FilterBuilder, MAX_RANGES};
pub use line::{Line, MAX_LINE};

/// Which addresses are blocked.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    v4: Ranges<u32>,
    /// Among the first halves of addresses of IPv6: networks that are blocked as a whole.
    networks: Ranges<u64>,
    /// Ranges that begin and end within one network each.
    hosts: Ranges<u128>,
    /// Where those of `v4` begin, by the first 16 bits.
    starts: Starts,
    digest: u64,
}

/// As it is stored, in traces and snapshots: each range by how far it is from the one before it, and how far it
/// reaches. Most take four to six bytes.
#[derive(Serialize, Deserialize)]
struct Stored {
    v4: alloc::vec::Vec<(u32, u32)>,
    networks: alloc::vec::Vec<(u64, u64)>,
    hosts: alloc::vec::Vec<(u128, u128)>,
}

impl Default for Filter {
    /// Nobody is blocked: the same as one that was built of nothing, or read back.
    fn default() -> Self {
        Self::of(Ranges::default(), Ranges::default(), Ranges::default())
    }
}

impl Filter {
    fn of(v4: Ranges<u32>, networks: Ranges<u64>, hosts: Ranges<u128>) -> Self {
        let mut digest = Digest::default();
        v4.iter().for_each(|(first, last)| {
            digest.absorb(&first.to_le_bytes());
            digest.absorb(&last.to_le_bytes());
        });
        networks.iter().for_each(|(first, last)| {
            digest.absorb(&first.to_le_bytes());
            digest.absorb(&last.to_le_bytes());
        });
        hosts.iter().for_each(|(first, last)| {
            digest.absorb(&first.to_le_bytes());
            digest.absorb(&last.to_le_bytes());
        });
        let starts = Starts::of(&v4);
        Self { v4, networks, hosts, starts, digest: digest.value() }
    }

    /// Whether nothing is sent to `ip` and nobody there is heard. Mapped IPv4 counts as IPv4. An address that stands
    /// for a name which somebody else looks up is nobody's, so no list says anything of it.
    pub fn blocks(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(v4) => {
                let bits = v4.to_bits();
                self.v4.contains_within(self.starts.near(bits), bits) && !is_placeholder(ip)
            }
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                self.networks.contains((bits >> 64) as u64) || self.hosts.contains(bits)
            }
        }
    }

    /// Ranges after overlapping ones were merged.
    pub fn len(&self) -> usize {
        self.v4.len() + self.networks.len() + self.hosts.len()
    }

    /// True when nobody is blocked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that its ranges take.
    pub fn bytes(&self) -> usize {
        8 * self.v4.len() + 16 * self.networks.len() + 32 * self.hosts.len() + self.starts.bytes()
    }

    /// The first and the last address of each range.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> + '_ {
        let v4 = |bits| IpAddr::V4(Ipv4Addr::from_bits(bits));
        let v6 = |bits| IpAddr::V6(Ipv6Addr::from_bits(bits));
        let below = u128::from(u64::MAX);
        let networks = self.networks.iter();
        let networks =
            networks.map(move |(a, b)| (v6(u128::from(a) << 64), v6(u128::from(b) << 64 | below)));
        let hosts = self.hosts.iter().map(move |(a, b)| (v6(a), v6(b)));
        self.v4.iter().map(move |(a, b)| (v4(a), v4(b))).chain(networks).chain(hosts)
    }
}

impl fmt::Debug for Filter {
    /// Two that print alike block the same: digests of states stay cheap.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter {{ ranges: {}, digest: {:016x} }}", self.len(), self.digest)
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (v4, networks) = (self.v4.steps(), self.networks.steps());
        Stored { v4, networks, hosts: self.hosts.steps() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Stored { v4, networks, hosts } = Stored::deserialize(deserializer)?;
        let (v4, networks) = (Ranges::of_steps(v4), Ranges::of_steps(networks));
        let (Some(v4), Some(networks)) = (v4, networks) else {
            return Err(D::Error::custom("ranges beyond the last address"));
        };
        let hosts = Ranges::of_steps(hosts).filter(|hosts| hosts.iter().all(is_within_network));
        let hosts = hosts.ok_or_else(|| D::Error::custom("no ranges within networks"))?;
        Ok(Self::of(v4, networks, hosts))
    }
}

/// Whether a range of IPv6 is within one network.
fn is_within_network((first, last): (u128, u128)) -> bool {
    first >> 64 == last >> 64
}
