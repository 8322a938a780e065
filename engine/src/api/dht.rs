//! Questions to the DHT, and what is told of it.

use alloc::string::String;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::hash::Sha1Hash;
use crate::dht::Item;
pub(crate) use crate::dht::{DhtState, NodeId, Outcome};

/// A question to the DHT; answered by [`Notice::DhtAnswered`](crate::Notice::DhtAnswered) once for
/// each address family in which there is a node; not at all if there is no node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DhtRequest {
    /// Get in touch with the node at `HOST:PORT`; not answered.
    Contact(String),
    /// The item at a target (BEP 44).
    Get {
        /// Where: the hash of an immutable item, [`crate::dht::mutable_target`] of a mutable one.
        target: NodeId,
        /// Of a mutable item.
        salt: Option<Bytes>,
    },
    /// Stores an item (BEP 44). Items are kept for two hours.
    Put {
        /// The item.
        item: Item,
        /// The sequence number that is believed to be there.
        cas: Option<i64>,
    },
    /// The size of a swarm (BEP 33).
    Scrape(Sha1Hash),
    /// Torrents that nodes near a point know of (BEP 51).
    Samples(NodeId),
}
