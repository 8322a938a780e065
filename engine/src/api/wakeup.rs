//! When the engine wants to be called again.

use core::time::Duration;

use crate::base::time::Instant;
use serde::{Deserialize, Serialize};

/// Returned by every step. Calling earlier is harmless, calling
/// later costs quality and never correctness.
#[must_use = "it says when the engine has to be called again"]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Wakeup {
    /// At once: messages of peers are left that did not fit into the work of one step.
    Immediately,
    /// At `deadline`, or with the next event if that comes first.
    At {
        /// Strictly after the `now` of the step.
        deadline: Instant,
        /// What is due then, for debugging.
        reason: WakeReason,
    },
    /// With the next event.
    OnEvent,
}

impl Wakeup {
    /// How long the loop may sleep from `now` on, unless something happens; `Duration::MAX` where only an event
    /// brings anything to do.
    pub const fn patience(self, now: Instant) -> Duration {
        match self {
            Self::Immediately => Duration::ZERO,
            Self::At { deadline, .. } => deadline.since(now),
            Self::OnEvent => Duration::MAX,
        }
    }
}

/// Which timer set a deadline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum WakeReason {
    /// Tokens of a rate limit.
    Bandwidth,
    /// A round of choking.
    ChokeRound,
    /// A time-out or keep-alive of a connection.
    Connection,
    /// An attempt to connect, a save of resume data, or another duty of a torrent.
    Torrent,
    /// An announce, or a retransmission to a tracker.
    Tracker,
    /// The DHT: time-outs, upkeep, lookups.
    Dht,
    /// An announcement on the local network.
    LocalDiscovery,
    /// The end of a tidy shut-down.
    ShutDown,
}
