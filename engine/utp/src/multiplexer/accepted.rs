//! Connections that others made: how many of one host, of one block of addresses, and in all.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::Config;

/// What counts as one host: an address of IPv4, a /64 of IPv6.
fn host(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
    }
}

/// What may be one owner's: a /24 of IPv4, a /48 of IPv6.
fn block(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() >> 8 << 8).into()),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 80 << 80).into()),
    }
}

fn take(counts: &mut BTreeMap<IpAddr, usize>, key: IpAddr) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// Counts of connections that others made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Accepted {
    all: usize,
    by_host: BTreeMap<IpAddr, usize>,
    by_block: BTreeMap<IpAddr, usize>,
}

impl Accepted {
    /// Whether one more may come from an address.
    pub fn has_place(&self, from: IpAddr, config: &Config) -> bool {
        let of_host = self.by_host.get(&host(from)).copied().unwrap_or(0);
        let of_block = self.by_block.get(&block(from)).copied().unwrap_or(0);
        // A quarter is left for connections that we make, and what is left to others has room for eight blocks.
        let all = config.max_connections - config.max_connections / 4;
        let share = (all / 8).max(1);
        let in_share = of_host < config.max_accepted_per_host && of_block < share;
        self.all < all && (in_share || from.is_loopback())
    }

    pub fn add(&mut self, from: IpAddr) {
        self.all += 1;
        *self.by_host.entry(host(from)).or_default() += 1;
        *self.by_block.entry(block(from)).or_default() += 1;
    }

    pub fn remove(&mut self, from: IpAddr) {
        self.all -= 1;
        take(&mut self.by_host, host(from));
        take(&mut self.by_block, block(from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_addresses_has_an_eighth_and_what_we_make_a_quarter() {
        let config =
            Config { max_connections: 4_096, max_accepted_per_host: 32, ..Default::default() };
        let mut accepted = Accepted::default();
        let fill = |accepted: &mut Accepted, block: u16| {
            let hosts = (0..1_000u16).map(|n| IpAddr::from([0x2001, 0xdb8, block, n, 0, 0, 0, 1]));
            let mut count = 0;
            for host in hosts.flat_map(|host| [host; 3]) {
                if accepted.has_place(host, &config) {
                    accepted.add(host);
                    count += 1;
                }
            }
            count
        };
        let counts: [usize; 9] = core::array::from_fn(|block| fill(&mut accepted, block as u16));
        assert_eq!(counts, [384, 384, 384, 384, 384, 384, 384, 384, 0]);
        for n in 0..128u16 {
            (0..3).for_each(|_| accepted.remove([0x2001, 0xdb8, 0, n, 0, 0, 0, 1].into()));
        }
        assert_eq!(fill(&mut accepted, 9), 384);
        assert_eq!(accepted.by_host.len(), 8 * 128);
    }
}
