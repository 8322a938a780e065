//! Whether others can connect to us: inferred from who does, for nobody can tell by himself.

use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::api::{Reachability, Transport};
use crate::base::addr::{Scope, scope};
use crate::base::time::Instant;

/// Peers on the internet that we have reached while none has reached us, after which it is no accident any more.
const REACHED: u32 = 20;
/// How long that has to have been so at the least: others hear of us from trackers, the DHT and peers first.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a connection from somebody else says that there can be others.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// What is known of who reaches whom.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Reach {
    /// When somebody on the internet connected to us last, by transport.
    tcp: Option<Instant>,
    utp: Option<Instant>,
    /// Peers on the internet that we have reached since somebody reached us, and since when.
    reached: u32,
    since: Option<Instant>,
    told: Reachability,
}

impl Reach {
    /// A peer shook hands. Who came of itself has reached us, if we had not called it: a router lets those in that were
    /// called. Returns whether something else is believed now.
    pub fn met(
        &mut self,
        addr: SocketAddr,
        came: bool,
        called: bool,
        transport: Transport,
        now: Instant,
    ) -> bool {
        if scope(addr.ip()) != Scope::Public {
            return false;
        }
        if came && !called {
            let last = if transport == Transport::Utp { &mut self.utp } else { &mut self.tcp };
            *last = Some(now);
            (self.reached, self.since) = (0, None);
        } else if !came {
            self.reached = self.reached.saturating_add(1);
            self.since.get_or_insert(now);
        }
        let inferred = self.infer(now);
        core::mem::replace(&mut self.told, inferred) != inferred
    }

    fn infer(&self, now: Instant) -> Reachability {
        let lately = |last: Option<Instant>| last.is_some_and(|at| now.since(at) < REMEMBERED);
        let alone = self.since.is_some_and(|since| now.since(since) >= PATIENCE);
        match (lately(self.tcp), lately(self.utp)) {
            (true, true) => Reachability::Open,
            (true, false) => Reachability::OverTcp,
            (false, true) => Reachability::OverUtp,
            (false, false) if alone && self.reached >= REACHED => Reachability::Closed,
            (false, false) => Reachability::Unknown,
        }
    }

    /// What was told last.
    pub const fn told(&self) -> Reachability {
        self.told
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is inferred.

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(1_000_000 + seconds * 1000)
    }

    fn addr(host: u8) -> SocketAddr {
        SocketAddr::from(([44, 0, 0, host], 6881))
    }

    #[test]
    fn who_comes_shows_that_we_can_be_reached_over_its_transport_for_an_hour() {
        let mut reach = Reach::default();
        assert!(reach.met(addr(1), true, false, Transport::Utp, at(0)));
        assert_eq!(reach.told(), Reachability::OverUtp);
        assert!(!reach.met(addr(2), true, false, Transport::Utp, at(1)));
        assert!(reach.met(addr(3), true, false, Transport::Tcp, at(10)));
        assert_eq!(reach.told(), Reachability::Open);
        assert!(reach.met(addr(4), false, true, Transport::Tcp, at(3605)));
        assert_eq!(reach.told(), Reachability::OverTcp);
        assert!(reach.met(addr(4), false, true, Transport::Tcp, at(3700)));
        assert_eq!(reach.told(), Reachability::Unknown);
    }

    #[test]
    fn who_was_called_or_is_near_shows_nothing() {
        let mut reach = Reach::default();
        assert!(!reach.met(addr(1), true, true, Transport::Utp, at(0)));
        let near = SocketAddr::from(([192, 168, 1, 2], 6881));
        assert!(!reach.met(near, true, false, Transport::Tcp, at(0)));
        assert_eq!(reach.told(), Reachability::Unknown);
    }

    #[test]
    fn who_reaches_many_and_is_reached_by_none_for_a_while_is_closed() {
        let mut reach = Reach::default();
        assert!((0..100).all(|n| !reach.met(addr(n), false, true, Transport::Tcp, at(n.into()))));
        assert!(reach.met(addr(1), false, true, Transport::Tcp, at(600)));
        assert_eq!(reach.told(), Reachability::Closed);
        assert!(reach.met(addr(1), true, false, Transport::Tcp, at(601)));
        assert_eq!(reach.told(), Reachability::OverTcp);
        // Few are no proof, however long it takes.
        let mut reach = Reach::default();
        assert!((0..19).all(|n| !reach.met(
            addr(n),
            false,
            true,
            Transport::Tcp,
            at(u64::from(n) * 900)
        )));
    }
}
