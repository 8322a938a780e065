//! What lookups are for, what they ask, and what they make of the answers.

use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

use super::item::Item;
use super::krpc::{Contact, ItemFields, Query, Reply};
use super::lookup::{Lookup, LookupCost};
use super::node_id::NodeId;
use crate::base::addr::{is_dialable, scope};

/// Peers that one lookup finds, and no more.
const MAX_FOUND: usize = 2000;

/// What a lookup is for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Goal {
    /// Nodes near the target.
    Nodes,
    /// Peers of a torrent.
    Peers {
        /// And announce ourselves as one, on this port; `None` inside for the port of the packet.
        announce: Option<Option<u16>>,
        /// We have everything (BEP 33).
        seed: bool,
    },
    /// The size of a swarm (BEP 33).
    Scrape,
    /// The item there (BEP 44), with the salt of a mutable one.
    Get(Option<Bytes>),
    /// Store this item; with the sequence number that we believe to be there.
    Put(Item, Option<i64>),
    /// Torrents that nodes near the target store peers of (BEP 51).
    Samples,
}

/// What came of a lookup.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Peers found, each once.
    pub peers: Vec<SocketAddr>,
    /// The nearest nodes that answered.
    pub closest: Vec<Contact>,
    /// The item found, the newest of a mutable one.
    pub item: Option<Item>,
    /// Nodes that were asked to store something.
    pub stored_at: u32,
    /// Seeds and others, about, where the lookup was a scrape.
    pub swarm: Option<(u64, u64)>,
    /// Torrents.
    pub samples: Vec<NodeId>,
    /// What it cost.
    pub cost: LookupCost,
}

/// A lookup with what it has found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) lookup: Lookup,
    pub(super) goal: Goal,
    pub(super) peers: Vec<SocketAddr>,
    pub(super) item: Option<Item>,
    pub(super) filters: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) samples: Vec<NodeId>,
}

impl Running {
    /// A lookup that has found nothing yet.
    pub(super) fn new(lookup: Lookup, goal: Goal) -> Self {
        let (peers, samples) = (Vec::new(), Vec::new());
        Self { lookup, goal, peers, item: None, filters: None, samples }
    }

    /// The query of a step.
    pub(super) fn query(&self, own: NodeId) -> Query {
        let target = Some(Bytes::copy_from_slice(&self.lookup.target().0));
        let method = match &self.goal {
            Goal::Nodes => "find_node",
            Goal::Peers { .. } | Goal::Scrape => "get_peers",
            Goal::Get(_) | Goal::Put(..) => "get",
            Goal::Samples => "sample_infohashes",
        };
        let mut query = Query::new(method, own);
        match &self.goal {
            Goal::Peers { seed, .. } => {
                query.info_hash = target;
                query.no_seed = *seed;
            }
            Goal::Scrape => {
                query.info_hash = target;
                query.scrape = true;
            }
            _ => query.target = target,
        }
        query
    }

    /// Takes in peers, filters and samples; returns the peers that are new.
    pub(super) fn take_values(&mut self, from: SocketAddr, reply: &Reply) -> Vec<SocketAddr> {
        let mut found = Vec::new();
        if let (Goal::Peers { .. }, Some(values)) = (&self.goal, &reply.values) {
            for peer in values.iter().filter(|peer| peer.is_ipv6() == from.is_ipv6()) {
                let named = scope(from.ip()).may_name(scope(peer.ip()));
                let fine = named && is_dialable(*peer);
                if fine && self.peers.len() < MAX_FOUND && !self.peers.contains(peer) {
                    self.peers.push(*peer);
                    found.push(*peer);
                }
            }
        }
        if let (Goal::Scrape, Some((seeds, others))) = (&self.goal, &reply.filters) {
            let (all_seeds, all_others) = self.filters.get_or_insert_default();
            merge(all_seeds, seeds);
            merge(all_others, others);
        }
        if let (Goal::Samples, Some((samples, ..))) = (&self.goal, &reply.samples) {
            for sample in samples {
                if self.samples.len() < MAX_FOUND && !self.samples.contains(sample) {
                    self.samples.push(*sample);
                }
            }
        }
        found
    }

    /// Takes in an item, if it is what is looked for and newer than what is known.
    pub(super) fn take_item(&mut self, fields: &ItemFields) {
        let salt = match &self.goal {
            Goal::Get(salt) => salt.clone(),
            Goal::Put(item, _) => item.mutable.as_ref().map(|mutable| mutable.salt.clone()),
            _ => None,
        };
        let Ok(item) = Item::from_fields(fields, salt.as_ref()) else { return };
        if item.target() != self.lookup.target() {
            return;
        }
        let seq = |item: &Item| item.mutable.as_ref().map_or(0, |mutable| mutable.seq);
        if self.item.as_ref().is_none_or(|known| seq(known) < seq(&item)) {
            self.item = Some(item);
        }
    }
}

fn merge(all: &mut Vec<u8>, more: &[u8]) {
    if more.len() == super::FILTER_BYTES {
        all.resize(super::FILTER_BYTES, 0);
        all.iter_mut().zip(more).for_each(|(byte, more)| *byte |= more);
    }
}

/// The query that stores what a lookup was for, if it was for storing something.
pub(super) fn store_query(goal: &Goal, own: NodeId, target: &Bytes, token: Bytes) -> Option<Query> {
    let method = |name: &str| Query { token: Some(token.clone()), ..Query::new(name, own) };
    match goal {
        Goal::Peers { announce: Some(port), seed } => Some(Query {
            info_hash: Some(target.clone()),
            port: Some(port.unwrap_or(1)),
            implied_port: port.is_none(),
            seed: *seed,
            ..method("announce_peer")
        }),
        Goal::Put(item, cas) => Some(Query { item: item.fields(true), cas: *cas, ..method("put") }),
        _ => None,
    }
}
