//! Identifiers. Each is unique within the life of an engine and never used twice, so an answer
//! that arrives late can never be taken for the answer to something else.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl Serialize for $name {
            /// As slot and generation, which are both small.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                ((self.0 & 0xffff_ffff) as u32, (self.0 >> 32) as u32).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let (slot, generation) = <(u32, u32)>::deserialize(deserializer)?;
                Ok(Self(u64::from(generation) << 32 | u64::from(slot)))
            }
        }

        impl $name {
            /// Rebuilds an id from the number that [`Self::as_u64`] gave.
            pub const fn from_u64(raw: u64) -> Self {
                Self(raw)
            }

            /// The id as a number, for an embedder's own tables.
            pub const fn as_u64(self) -> u64 {
                self.0
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({}.{})"), self.0 & 0xffff_ffff, self.0 >> 32)
            }
        }
    };
}

id!(
    /// A torrent in one engine.
    TorrentId
);
id!(
    /// A stream connection to a peer, from the decision to connect (or the adoption of an accepted
    /// socket) until it is closed.
    ConnId
);
impl ConnId {
    /// The dense half of the id: a number below the most connections that were open at once, which
    /// another connection gets when this one is gone. A driver may index an array by it, and tells
    /// holders of a place apart by the whole id.
    pub const fn slot(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

id!(
    /// One disk or hash operation.
    DiskOpId
);
id!(
    /// One name look-up.
    LookupId
);
id!(
    /// One HTTP exchange.
    ExchangeId
);

/// The embedder's name for an accepted socket that the engine has not adopted yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SocketToken(pub u64);

/// The embedder's name for a bound UDP socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct UdpSocketId(pub u32);
