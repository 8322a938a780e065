//! How many addresses are called because somebody named them. Naming one takes six bytes, and each is
//! a stranger whom a call may bother; so whoever names others has a number of calls that come to nothing.

use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::shares::Namer;
use crate::base::pace::{Pace, PaceLedger};
use crate::base::time::Instant;

/// Calls to addresses that one tracker, peer, node or neighbour has named and that come to nothing: a
/// hundred at once, more than trackers are asked for, then one in three seconds. One that finds a peer
/// takes nothing of it.
pub const CALLS: Pace = Pace::new(100, 3_000);
/// Namers that are told apart; those beyond share one pace.
const MAX_NAMERS: usize = 1000;

/// Calls that came to nothing, by who named the address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Calls(PaceLedger<Namer>);

impl Default for Calls {
    fn default() -> Self {
        Self(PaceLedger::new(MAX_NAMERS))
    }
}

impl Calls {
    /// Takes a call to an address of this namer. Returns how long to wait with it; what is asked for later
    /// waits longer, so nobody has to ask again.
    pub(super) fn take(&mut self, namer: Namer, now: Instant) -> Duration {
        self.0.reserve(namer, CALLS, now)
    }

    /// A call found a peer.
    pub(super) fn give_back(&mut self, namer: Namer) {
        self.0.give_back(&namer, CALLS);
    }

    /// Whether its memory is bounded.
    pub(super) fn is_bounded(&self) -> bool {
        self.0.is_bounded()
    }
}
