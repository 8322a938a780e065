//! Addresses that are not to be called any more, whoever named them.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Candidates;
use crate::picker::PeerKey;

impl Candidates {
    /// Forgets the idle addresses that shall not be kept. Costs as much as there are addresses.
    pub fn forget_where(&mut self, gone: impl Fn(SocketAddr) -> bool) {
        let idle = self.known.iter().filter(|(_, candidate)| !candidate.busy);
        let idle: Vec<PeerKey> =
            idle.filter(|(_, candidate)| gone(candidate.addr)).map(|(key, _)| *key).collect();
        for key in idle {
            self.forget(key);
        }
    }

    /// Whether there is such an address.
    pub fn any_where(&self, wanted: impl Fn(SocketAddr) -> bool) -> bool {
        self.known.values().any(|candidate| wanted(candidate.addr))
    }
}
