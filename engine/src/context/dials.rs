//! How often we connect to one address: others name addresses to us, and may name one as thousands of
//! peers that it is not.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::pace::{Pace, PaceLedger, owner};
use crate::base::time::Instant;

/// Connections that are begun with one address, whatever the port, and come to nothing: eight at
/// once, then one in 15 seconds. Behind a shared address there may be several peers.
const PACE: Pace = Pace::new(8, 15_000);
/// Addresses that are told apart.
const MAX_ADDRESSES: usize = 4000;

/// Connections that came to nothing, by address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dials {
    by_owner: PaceLedger<IpAddr>,
}

impl Default for Dials {
    fn default() -> Self {
        Self { by_owner: PaceLedger::new(MAX_ADDRESSES) }
    }
}

impl Dials {
    /// Begins a connection to `addr`, or says how long to leave it alone. This machine may be called
    /// as often as one likes: nobody else is bothered.
    ///
    /// # Errors
    /// The time to wait.
    pub fn begin(&mut self, addr: SocketAddr, now: Instant) -> Result<(), Duration> {
        let ip = addr.ip().to_canonical();
        let owner = owner(ip);
        if ip.is_loopback() || self.by_owner.take(owner, PACE, now) {
            return Ok(());
        }
        Err(self.by_owner.wait(&owner, PACE, now).max(PACE.gap))
    }

    /// Somebody at `addr` is a peer.
    pub fn succeeded(&mut self, addr: SocketAddr) {
        self.by_owner.forgive(&owner(addr.ip()));
    }

    /// Whether its memory is bounded.
    pub fn is_bounded(&self) -> bool {
        self.by_owner.is_bounded()
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of dials.

    use super::*;

    #[test]
    fn an_address_that_is_no_peer_is_called_now_and_then_on_whatever_port() {
        let mut dials = Dials::default();
        let at = |port| SocketAddr::new(IpAddr::from([203, 0, 113, 7]), port);
        let called = |dials: &mut Dials, second: u64| {
            let now = Instant::from_millis(second * 1000);
            (1..1000).filter(|port| dials.begin(at(*port), now).is_ok()).count()
        };
        assert_eq!((called(&mut dials, 100), called(&mut dials, 101)), (8, 0));
        assert_eq!((102..3702).map(|second| called(&mut dials, second)).sum::<usize>(), 240);
        dials.succeeded(at(5));
        assert_eq!(called(&mut dials, 3703), 8);
    }
}
