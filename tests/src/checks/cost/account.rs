//! What one stranger gave, and what came of it.

use std::fmt;
use std::net::IpAddr;

use eddyline::base::time::Instant;

/// Somebody who can make us do things.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stranger {
    /// A peer of some torrent, by its address.
    Peer(IpAddr),
    /// A node of the DHT or a UDP tracker, by its address.
    Packets(IpAddr),
    /// A sender of local discovery, by its address.
    Local(IpAddr),
    /// A web server, by the host and port of its URL.
    Server(String),
}

impl Stranger {
    /// Its address, where it is known by one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Peer(ip) | Self::Packets(ip) | Self::Local(ip) => Some(*ip),
            Self::Server(_) => None,
        }
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(ip) => write!(f, "the peer {ip}"),
            Self::Packets(ip) => write!(f, "the node {ip}"),
            Self::Local(ip) => write!(f, "the neighbour {ip}"),
            Self::Server(host) => write!(f, "the server {host}"),
        }
    }
}

/// What can be caused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Measure {
    /// Steps of loops in the engine, and actions.
    Work,
    /// Bytes of messages sent to a peer, without content and metadata.
    Protocol,
    /// Bytes of content sent to a peer.
    Content,
    /// Bytes of metadata sent to a peer.
    Metadata,
    /// Bytes of packets sent to an address, headers included.
    Packets,
    /// HTTP requests made to a server.
    Exchanges,
    /// Connections, queries and HTTP requests to others, which never spoke to us before.
    Requests,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 7] = [
        Self::Work,
        Self::Protocol,
        Self::Content,
        Self::Metadata,
        Self::Packets,
        Self::Exchanges,
        Self::Requests,
    ];
}

/// What a stranger gave and what it caused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    /// When it was heard of first.
    pub since: Instant,
    /// Bytes that it sent.
    pub given: u64,
    /// Connections and packets.
    pub visits: u64,
    /// Bytes of content that it asked for.
    pub asked: u64,
    /// Bytes of metadata that it asked for, at the most.
    pub asked_metadata: u64,
    /// See [`Measure::Work`].
    pub work: u64,
    /// See [`Measure::Protocol`].
    pub protocol: u64,
    /// See [`Measure::Content`].
    pub content: u64,
    /// See [`Measure::Metadata`].
    pub metadata: u64,
    /// See [`Measure::Packets`].
    pub packets: u64,
    /// See [`Measure::Exchanges`].
    pub exchanges: u64,
    /// See [`Measure::Requests`].
    pub requests: u64,
}

impl Account {
    pub(super) fn since(since: Instant) -> Self {
        Self {
            since,
            given: 0,
            visits: 0,
            asked: 0,
            asked_metadata: 0,
            work: 0,
            protocol: 0,
            content: 0,
            metadata: 0,
            packets: 0,
            exchanges: 0,
            requests: 0,
        }
    }

    /// How much of something it caused.
    pub fn caused(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Work => self.work,
            Measure::Protocol => self.protocol,
            Measure::Content => self.content,
            Measure::Metadata => self.metadata,
            Measure::Packets => self.packets,
            Measure::Exchanges => self.exchanges,
            Measure::Requests => self.requests,
        }
    }
}
