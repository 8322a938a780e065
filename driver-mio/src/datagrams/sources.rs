//! At which of our addresses others reach us: they are answered from there. A machine with several addresses would
//! choose the one that it prefers, and whoever asked drops an answer from another address than it asked.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Addresses that are remembered in each of two generations.
const REMEMBERED: usize = 4_096;

/// Who reaches us where.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Whether the socket has every address of the machine; otherwise there is nothing to choose.
    choice: bool,
    last: Option<(SocketAddr, IpAddr)>,
    young: HashMap<SocketAddr, IpAddr>,
    old: HashMap<SocketAddr, IpAddr>,
}

impl Sources {
    /// For a socket that is bound to `ours`.
    pub(super) fn new(ours: SocketAddr) -> Self {
        Self { choice: ours.ip().is_unspecified(), ..Self::default() }
    }

    /// A datagram from somebody came to an address of ours.
    pub(super) fn note(&mut self, from: SocketAddr, ours: Option<IpAddr>) {
        let Some(ours) = ours.filter(|_| self.choice) else { return };
        // As a rule many come in a row.
        if self.last.replace((from, ours)) == Some((from, ours)) {
            return;
        }
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(from, ours);
    }

    /// From which address somebody is sent something; `None` where the system may choose.
    pub(super) fn of(&self, to: SocketAddr) -> Option<IpAddr> {
        self.young.get(&to).or_else(|| self.old.get(&to)).copied()
    }

    /// The system does not send from there any more: the address may be gone.
    pub(super) fn forget(&mut self, to: SocketAddr) {
        self.last = None;
        self.young.remove(&to);
        self.old.remove(&to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reached_us_last_is_remembered_in_bounded_memory() {
        let mut sources = Sources::new("0.0.0.0:1".parse().unwrap());
        let ours = |n: u8| Some(IpAddr::from([192, 0, 2, n]));
        let peer = |n: u16| SocketAddr::from(([198, 51, 100, 7], n));
        sources.note(peer(1), ours(1));
        sources.note(peer(1), ours(2));
        assert_eq!((sources.of(peer(1)), sources.of(peer(2))), (ours(2), None));
        sources.forget(peer(1));
        assert_eq!(sources.of(peer(1)), None);
        (0..60_000).for_each(|n| sources.note(peer(n), ours(3)));
        assert!(sources.young.len() + sources.old.len() <= 2 * REMEMBERED);
        assert_eq!(sources.of(peer(59_999)), ours(3));
        let mut bound = Sources::new("192.0.2.1:1".parse().unwrap());
        bound.note(peer(1), ours(1));
        assert_eq!(bound.of(peer(1)), None, "there is no choice");
    }
}
