//! What carries the stream of a connection to a peer: TCP, or packets of µTP (BEP 29).

use core::net::SocketAddr;
use core::ops::Range;

use eddyline_utp::HeaderBytes;
use serde::{Deserialize, Serialize, Serializer};

use crate::base::ids::ConnId;

/// What carries the stream of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Transport {
    /// A connection of the operating system.
    #[default]
    Tcp,
    /// Packets on the UDP socket that is shared with DHT and trackers.
    Utp,
}

/// Whether others can connect to us, as far as it can be inferred.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Reachability {
    /// It is not known yet, or not any more.
    #[default]
    Unknown,
    /// Peers on the internet have connected to us within an hour, over TCP and over µTP.
    Open,
    /// The same, over TCP alone.
    OverTcp,
    /// The same, over µTP alone.
    OverUtp,
    /// None has for ten minutes and more, while we have reached many.
    Closed,
}

/// Which transports are spoken, with whoever calls and when we call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Transports {
    /// TCP alone.
    #[default]
    Tcp,
    /// µTP alone.
    Utp,
    /// Both. An address is called with the one that worked there last; where none has, with TCP, and a moment later
    /// with µTP too.
    Both,
}

impl Transports {
    /// Whether that one is spoken.
    pub const fn include(self, transport: Transport) -> bool {
        match transport {
            Transport::Tcp => matches!(self, Self::Tcp | Self::Both),
            Transport::Utp => matches!(self, Self::Utp | Self::Both),
        }
    }
}

/// A packet of µTP to be sent.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct UtpPacket {
    /// To whom.
    pub to: SocketAddr,
    /// Header and extensions: the first bytes of the datagram.
    #[serde(serialize_with = "as_bytes")]
    pub header: HeaderBytes,
    /// The connection whose outgoing stream `payload` is a range of. `None` where there is no payload.
    pub stream: Option<ConnId>,
    /// Positions in that stream, in bytes from its beginning; empty for many. All of them were said to be `Offered`,
    /// and are not yet behind a `Release`. If the driver cannot provide them, nothing is sent.
    pub payload: Range<u64>,
    /// Whether routers must not split it (the DF flag). Only what is sent again after silence may be split.
    pub whole: bool,
}

impl UtpPacket {
    /// Bytes of the datagram.
    pub fn length(&self) -> u64 {
        self.header.len() as u64 + self.payload.end.saturating_sub(self.payload.start)
    }
}

impl core::fmt::Debug for UtpPacket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { to, header, stream, payload, .. } = self;
        write!(f, "to {to} header of {} bytes", header.len())?;
        match stream {
            Some(conn) => write!(f, ", {payload:?} of {conn:?}"),
            None => Ok(()),
        }
    }
}

fn as_bytes<S: Serializer>(header: &HeaderBytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(header)
}
