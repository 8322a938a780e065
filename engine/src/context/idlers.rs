//! Hosts whose connections took a place to shake hands in, and did not shake hands. Places are few, and a host that
//! keeps them for nothing gives way to one that does not.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::prefix::Prefix;
use crate::base::time::Instant;

/// How long a host is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Hosts that are remembered; the one that was noted first makes room.
const MAX_HOSTS: usize = 10_000;

/// Hosts that let a place go idle, by when they last did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Idlers {
    at: BTreeMap<Prefix, Instant>,
    /// The same, oldest first.
    by_age: BTreeSet<(Instant, Prefix)>,
}

impl Idlers {
    /// A connection from `host` ended without a handshake. This machine is exempt: there, each connection may be
    /// somebody else's.
    pub fn note(&mut self, host: Prefix, now: Instant) {
        if host.is_loopback() {
            return;
        }
        let host = owner(host);
        if let Some(before) = self.at.insert(host, now) {
            self.by_age.remove(&(before, host));
        }
        self.by_age.insert((now, host));
        while self.at.len() > MAX_HOSTS
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.at.remove(&oldest);
        }
    }

    /// Whether a connection from `host` has ended so lately.
    pub fn contains(&self, host: Prefix, now: Instant) -> bool {
        self.at.get(&owner(host)).is_some_and(|at| now.since(*at) < REMEMBERED)
    }

    /// Whether its memory is bounded.
    pub fn is_bounded(&self) -> bool {
        self.at.len() <= MAX_HOSTS && self.by_age.len() == self.at.len()
    }
}

/// Who is known by one name here: an address, or a /48 of IPv6, of which its owner has 65,536 networks.
fn owner(host: Prefix) -> Prefix {
    if host.first().is_ipv6() { host.wide() } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    fn host(n: u32) -> Prefix {
        Prefix::of(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn a_host_is_remembered_for_ten_minutes_since_the_last_time() {
        let mut idlers = Idlers::default();
        let start = Instant::ZERO + Duration::from_secs(100);
        assert!(!idlers.contains(host(1 << 24), start));
        idlers.note(host(1 << 24), start);
        let again = start + Duration::from_secs(300);
        idlers.note(host(1 << 24), again);
        assert!(idlers.contains(host(1 << 24), again + Duration::from_secs(599)));
        assert!(!idlers.contains(host(1 << 24), again + Duration::from_secs(600)));
        assert!(!idlers.contains(host(2 << 24), again));
    }

    #[test]
    fn of_many_hosts_those_noted_last_are_remembered() {
        let mut idlers = Idlers::default();
        let first = 10 << 24;
        let hosts = first..first + MAX_HOSTS as u32 + 50;
        for (n, addr) in hosts.clone().enumerate() {
            idlers.note(host(addr), Instant::ZERO + Duration::from_millis(n as u64));
            assert!(idlers.is_bounded());
        }
        let now = Instant::ZERO + Duration::from_secs(20);
        assert_eq!(hosts.filter(|addr| !idlers.contains(host(*addr), now)).count(), 50);
        assert!(!idlers.contains(host(first + 49), now) && idlers.contains(host(first + 50), now));
    }

    #[test]
    fn a_48_of_ipv6_has_one_owner() {
        let network = |text: &str| Prefix::of(text.parse().unwrap());
        let mut idlers = Idlers::default();
        idlers.note(network("2001:db8:1:2::3"), Instant::ZERO);
        assert!(idlers.contains(network("2001:db8:1:99::1"), Instant::ZERO));
        assert!(!idlers.contains(network("2001:db8:2:2::3"), Instant::ZERO));
    }

    #[test]
    fn this_machine_is_not_counted() {
        let mut idlers = Idlers::default();
        idlers.note(host(0x7f00_0001), Instant::ZERO);
        assert!(!idlers.contains(host(0x7f00_0001), Instant::ZERO));
    }
}
