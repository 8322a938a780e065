//! What became of a datagram, and who is to be blamed when it was no good.

use serde::{Deserialize, Serialize};

use crate::packet::PacketError;

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// It was what the connection expects.
    Accepted,
    /// A SYN was answered; nothing is kept of it.
    SynAnswered,
    /// It came a second time, or late: networks do that.
    Duplicate,
    /// It is no packet at all.
    Malformed(PacketError),
    /// No connection of ours, and it was answered with a reset.
    Unknown,
    /// No connection of ours, and nothing was answered: it is itself a reset, or resets are rationed.
    Ignored,
    /// There are as many connections as there may be, in all or from that host.
    Full,
    /// A reset whose numbers are not those of the connection: somebody guesses.
    ForgedReset,
    /// Acknowledges what was never sent. The connection lives on: the sender may be anybody who knows the address.
    AcknowledgesUnsent,
    /// Acknowledges packets that were held back on purpose, and so cannot have been received. Whoever guesses cannot
    /// know which number is next, so it is the other side itself.
    OptimisticAck,
    /// Its number lies far outside the window.
    OutsideWindow,
    /// More than it was allowed to send. It will have to be sent again.
    BeyondCredit,
    /// A packet of a kind that the connection cannot take in its state.
    OutOfPlace,
}

/// Whose fault something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nobody's: this happens between honest programs on real networks.
    Nobody,
    /// Anybody's who can send datagrams with that address: no reason to hold it against the address.
    Anybody,
    /// The other side's: nobody else knows what this takes.
    Peer,
}

impl Verdict {
    /// Whose fault it is.
    pub const fn fault(self) -> Fault {
        match self {
            Self::Accepted
            | Self::SynAnswered
            | Self::Duplicate
            | Self::Unknown
            | Self::Ignored
            | Self::Full
            | Self::BeyondCredit => Fault::Nobody,
            Self::Malformed(_)
            | Self::ForgedReset
            | Self::AcknowledgesUnsent
            | Self::OutsideWindow
            | Self::OutOfPlace => Fault::Anybody,
            Self::OptimisticAck => Fault::Peer,
        }
    }
}
