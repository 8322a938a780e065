//! Every number that can be set, with its unit and why it is what it is.

use serde::{Deserialize, Serialize};

/// How a [`Multiplexer`](crate::Multiplexer) behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Connections at once. Attempts beyond are not answered.
    pub max_connections: usize,
    /// Connections at once that came from one host, IPv6 by /64. Of one block of addresses (/24, /48) there is an
    /// eighth of three quarters of [`Self::max_connections`], and the last quarter is left for connections that are
    /// made here. Programs of this machine have no such bounds.
    pub max_accepted_per_host: usize,
    /// Room that a connection from somebody else begins with, in bytes. Its first packet has payload, and comes before
    /// the caller knows of the connection and can grant anything.
    pub accept_room: u64,
    /// How long the queue at the bottleneck may take, in microseconds: LEDBAT++ has 60 ms.
    pub target_delay: u64,
    /// The least time before a packet is sent again because nothing was heard, in microseconds. RFC 6298 has a second;
    /// clients have half of it, which their delayed acks of up to 100 ms fit into.
    pub min_retransmission_timeout: u64,
    /// Times in a row that nothing is heard before a connection is given up.
    pub max_timeouts: u32,
    /// The same before it stands.
    pub max_syn_timeouts: u32,
    /// The largest datagram that is tried, in bytes without IP and UDP headers: what Ethernet carries over IPv4. A
    /// caller who knows loopback or jumbo frames may raise it.
    pub max_datagram: usize,
    /// How long an ack may wait for company, in microseconds.
    pub ack_delay: u64,
    /// Silence after which a state packet keeps the mapping of a NAT, in microseconds.
    pub keep_alive: u64,
    /// Bytes that may leave at once, however slow the pace, and what system calls with many segments want.
    pub burst: u64,
    /// How late the caller may call [`crate::Multiplexer::advance`], in microseconds: poll counts whole milliseconds.
    /// What the pace would have let go in that time leaves at once, or a fast path would be no faster than two
    /// packets a millisecond.
    pub lateness: u64,
    /// Resets a second that are sent to strangers, all together.
    pub resets_per_second: u32,
    /// Whether now and then a packet is held back, to see whether the other side acknowledges what it cannot have.
    pub tests_acks: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            max_accepted_per_host: 32,
            accept_room: 4_096,
            target_delay: 60_000,
            min_retransmission_timeout: 500_000,
            max_timeouts: 6,
            max_syn_timeouts: 4,
            max_datagram: 1_472,
            ack_delay: 10_000,
            keep_alive: 29_000_000,
            burst: 2 * 1_472,
            lateness: 0,
            resets_per_second: 100,
            tests_acks: true,
        }
    }
}
