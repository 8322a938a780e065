//! What the machine asks for, and what it tells.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::multiplexer::ConnectionId;
use crate::packet::HeaderBytes;
use crate::verdict::Verdict;

/// A datagram to be sent: the header, and behind it a part of the stream of `connection`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where to.
    pub to: SocketAddr,
    /// Whose stream `payload` is a range of. None for answers to strangers, which have no payload.
    pub connection: Option<ConnectionId>,
    /// Header and extensions.
    pub header: HeaderBytes,
    /// Positions in the stream that was offered, in bytes from its beginning.
    pub payload: Range<u64>,
    /// Whether routers must not split it (the DF flag). False only for what is sent again after silence, when a path
    /// may have become narrower than it was.
    pub whole: bool,
}

/// Why a connection has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CloseReason {
    /// Both sides have sent all and said so. `code` is what the other side gave as its reason, if it did.
    Finished {
        /// The close reason of the other side's FIN.
        code: Option<u32>,
    },
    /// The other side does not know the connection, or ended it at once.
    Reset {
        /// The close reason of the reset.
        code: Option<u32>,
    },
    /// Nobody answered the SYN.
    NoAnswer,
    /// Nothing was heard for too long.
    TimedOut,
    /// We ended it at once.
    Aborted,
    /// The other side broke the protocol in a way that only it can.
    Fault(Verdict),
}

/// Something to be done, or that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send(Datagram),
    /// Somebody connected to us and has shown that it receives at its address. It has the room of
    /// [`crate::Config::accept_room`].
    Accepted {
        /// The new connection.
        connection: ConnectionId,
        /// Whose it is.
        from: SocketAddr,
    },
    /// An attempt of ours was answered.
    Connected {
        /// Which.
        connection: ConnectionId,
    },
    /// The next bytes of the stream: slices of datagrams, in order.
    Received {
        /// Whose.
        connection: ConnectionId,
        /// Never empty.
        slices: Vec<Bytes>,
    },
    /// The other side will send nothing more. [`crate::Multiplexer::close`] ends our half.
    Ended {
        /// Whose.
        connection: ConnectionId,
    },
    /// Nothing before this position of the stream will be asked for again.
    Released {
        /// Whose.
        connection: ConnectionId,
        /// Bytes from the beginning of the stream.
        up_to: u64,
    },
    /// The last about this connection; its id means nothing from here on.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
}

/// How a connection is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Bytes that may be in flight.
    pub congestion_window: u64,
    /// Bytes that are in flight.
    pub in_flight: u64,
    /// Smoothed round trip in microseconds.
    pub round_trip: u64,
    /// How long the queue at the bottleneck takes, in microseconds.
    pub queueing_delay: u64,
    /// How long it is allowed to take, in microseconds.
    pub target_delay: u64,
    /// How long the queue of packets to us takes, in microseconds. Clocks that drift are in it.
    pub incoming_delay: u64,
    /// The largest datagram that is known to pass.
    pub datagram: usize,
    /// Packets of payload that were sent, repetitions too.
    pub sent: u64,
    /// Packets that were found lost.
    pub lost: u64,
    /// Times that a timer had to find out.
    pub timeouts: u64,
    /// Times that the window was closed for a moment to measure the path without our queue.
    pub slow_downs: u64,
}
