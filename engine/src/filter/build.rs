//! A filter is built of ranges, or of the lines of lists.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::line::{Line, understand};
use super::table::Ranges;
use super::{Filter, is_within_network};

/// Ranges that are taken in: what a list says beyond them is left out, and told ([`Line::TooMany`]).
pub const MAX_RANGES: usize = 10_000_000;

/// Takes in ranges, in any order, and makes a [`Filter`] of them.
#[derive(Clone, Debug, Default)]
pub struct FilterBuilder {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl FilterBuilder {
    /// Blocks `first`, `last` and everything between. False where that is no range, or there are too many.
    pub fn block(&mut self, first: IpAddr, last: IpAddr) -> bool {
        if self.v4.len() + self.v6.len() >= MAX_RANGES {
            return false;
        }
        match (first.to_canonical(), last.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                self.v4.push((first.to_bits(), last.to_bits()));
                true
            }
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                self.v6.push((first.to_bits(), last.to_bits()));
                true
            }
            _ => false,
        }
    }

    /// Blocks what a line of a list names, in any of the usual formats: `name:first-last` (P2P),
    /// `first - last , level , name` (DAT), `first-last`, `address/bits`, `address`.
    pub fn block_line(&mut self, line: &[u8]) -> Line {
        match understand(line) {
            Ok(Some((first, last))) if self.block(first, last) => Line::Range,
            Ok(Some(_)) if self.v4.len() + self.v6.len() >= MAX_RANGES => Line::TooMany,
            Ok(None) => Line::Nothing,
            Ok(Some(_)) | Err(()) => Line::Broken,
        }
    }

    /// What was taken in.
    pub fn build(self) -> Filter {
        let v6 = Ranges::merge(self.v6);
        let (mut networks, mut hosts) = (Vec::new(), Vec::new());
        for (first, last) in v6.iter() {
            split(first, last, &mut networks, &mut hosts);
        }
        Filter::of(Ranges::merge(self.v4), Ranges::merge(networks), Ranges::merge(hosts))
    }
}

/// Takes a range of IPv6 apart: whole networks, and what is left at both ends.
fn split(first: u128, last: u128, networks: &mut Vec<(u64, u64)>, hosts: &mut Vec<(u128, u128)>) {
    const BELOW: u128 = u64::MAX as u128;
    let (begins, ends) = (first & BELOW == 0, last & BELOW == BELOW);
    if is_within_network((first, last)) && !(begins && ends) {
        return hosts.push((first, last));
    }
    let (mut from, mut to) = ((first >> 64) as u64, (last >> 64) as u64);
    if !begins {
        hosts.push((first, first | BELOW));
        from += 1;
    }
    if !ends {
        hosts.push((last & !BELOW, last));
        to -= 1;
    }
    if from <= to {
        networks.push((from, to));
    }
}
