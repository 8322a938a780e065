//! Items stored for others (BEP 44): bounded, and forgotten after two hours without a new put.

use alloc::collections::BTreeMap;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::item::Item;
use super::node_id::NodeId;
use crate::base::time::Instant;

/// Time after which an item is forgotten unless somebody puts it again (BEP 44).
pub const ITEM_LIFE: Duration = Duration::from_secs(2 * 3600);
/// Items.
pub const MAX_ITEMS: usize = 1000;

/// Why an item is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outdated {
    /// The item that is here has another sequence number than the sender thinks.
    Cas,
    /// There is a newer item, or another of the same age.
    Sequence,
}

/// Items by where they belong.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ItemStore {
    items: BTreeMap<NodeId, (Item, Instant)>,
}

impl ItemStore {
    /// Stores an item whose signature is right, unless there is a newer one. `cas` is the sequence
    /// number that the sender believes to be here.
    ///
    /// # Errors
    /// When there is a reason to keep what is here.
    pub fn put(&mut self, item: Item, cas: Option<i64>, now: Instant) -> Result<(), Outdated> {
        let target = item.target();
        let here = self.items.get(&target).and_then(|(here, _)| here.mutable.as_ref());
        if let (Some(here), Some(new)) = (here, &item.mutable) {
            if cas.is_some_and(|cas| cas != here.seq) {
                return Err(Outdated::Cas);
            }
            let same = self.items.get(&target).is_some_and(|(known, _)| known.value == item.value);
            if new.seq < here.seq || (new.seq == here.seq && !same) {
                return Err(Outdated::Sequence);
            }
        }
        if self.items.len() >= MAX_ITEMS && !self.items.contains_key(&target) {
            let oldest = self.items.iter().min_by_key(|(id, (_, put))| (*put, **id));
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.items.remove(&id);
            }
        }
        self.items.insert(target, (item, now));
        Ok(())
    }

    /// The item at `target`.
    pub fn get(&self, target: NodeId) -> Option<&Item> {
        self.items.get(&target).map(|(item, _)| item)
    }

    /// Forgets old items.
    pub fn expire(&mut self, now: Instant) {
        self.items.retain(|_, (_, put)| now.since(*put) < ITEM_LIFE);
    }

    /// Number of items.
    pub fn count(&self) -> usize {
        self.items.len()
    }
}
