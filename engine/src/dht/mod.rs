//! The distributed hash table (BEP 5, 32, 33, 42, 43, 44, 45, 51) as a machine: packets and time in,
//! packets and findings out.
//!
//! Each address family has a node of its own ([`DhtNode`]), with a routing table of its own. From the
//! outside in: `service` owns both and says who has a turn ([`DhtService`]); `node` sends queries and makes sense of
//! answers, `answer` answers those of others; both rest on the routing table (`table`), the lookup (`lookup`), what is
//! kept for others (`peer_store`, `item_store`), and what keeps strangers at bay (`tokens`, `guard`).

mod answer;
mod bloom;
mod goal;
mod guard;
mod item;
mod item_store;
pub mod krpc;
mod lookup;
mod node;
mod node_id;
mod peer_store;
mod service;
mod state;
mod table;
mod tokens;

#[cfg(test)]
mod tests;

pub use goal::{Goal, Outcome};
pub use item::{Item, ItemError, MAX_SALT, MAX_VALUE, Mutable, mutable_target, signed_bytes};
pub use krpc::{Contact, Packet};
pub use node_id::{NodeId, prefix_for};
pub use state::DhtState;

#[cfg(not(feature = "unstable"))]
pub(crate) use {
    bloom::{Bloom, FILTER_BYTES},
    lookup::LookupCost,
    node::{DhtEvent, DhtNode, LookupKey, NodeConfig, Output},
    service::{Asker, DhtService, ServiceOutput},
    table::Table,
};
#[cfg(feature = "unstable")]
pub use {
    bloom::{Bloom, FILTER_BYTES},
    lookup::LookupCost,
    node::{DhtEvent, DhtNode, LookupKey, NodeConfig, Output},
    service::{Asker, DhtService, ServiceOutput},
    table::{Node, Table},
};
