//! Items stored for others (BEP 44): bounded, and forgotten after two hours without a new put. Where there are too
//! many, whoever (a /24, a /48) put most loses its oldest.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::item::Item;
use super::node_id::NodeId;
use crate::base::crowd::Counts;
use crate::base::prefix::Prefix;
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

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    item: Item,
    put: Instant,
    /// In whose share it counts: who put it first.
    owner: Prefix,
}

/// Items by where they belong.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ItemStore {
    items: BTreeMap<NodeId, Stored>,
    owners: Counts<Prefix>,
}

impl ItemStore {
    /// Stores an item of somebody at `from` whose signature is right, unless there is a newer one. `cas` is the
    /// sequence number that the sender believes to be here.
    ///
    /// # Errors
    /// When there is a reason to keep what is here.
    pub fn put(
        &mut self,
        item: Item,
        from: IpAddr,
        cas: Option<i64>,
        now: Instant,
    ) -> Result<(), Outdated> {
        let target = item.target();
        let known = self.items.get(&target);
        let here = known.and_then(|known| known.item.mutable.as_ref());
        if let (Some(here), Some(new)) = (here, &item.mutable) {
            if cas.is_some_and(|cas| cas != here.seq) {
                return Err(Outdated::Cas);
            }
            let same = known.is_some_and(|known| known.item.value == item.value);
            if new.seq < here.seq || (new.seq == here.seq && !same) {
                return Err(Outdated::Sequence);
            }
        }
        if let Some(known) = self.items.get_mut(&target) {
            (known.item, known.put) = (item, now);
            return Ok(());
        }
        let owner = Prefix::owner_of(from);
        if self.items.len() >= MAX_ITEMS {
            self.make_room_for(owner);
        }
        self.owners.add(owner);
        self.items.insert(target, Stored { item, put: now, owner });
        Ok(())
    }

    fn make_room_for(&mut self, owner: Prefix) {
        let who = self.owners.fullest(self.owners.of(owner)).unwrap_or(owner);
        let theirs = self.items.iter().filter(|(_, stored)| stored.owner == who);
        let oldest = theirs.min_by_key(|(id, stored)| (stored.put, **id)).map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.items.remove(&id);
            self.owners.remove(who);
        }
    }

    /// The item at `target`.
    pub fn get(&self, target: NodeId) -> Option<&Item> {
        self.items.get(&target).map(|stored| &stored.item)
    }

    /// Forgets old items.
    pub fn expire(&mut self, now: Instant) {
        self.items.retain(|_, stored| now.since(stored.put) < ITEM_LIFE);
        self.owners = self.items.values().map(|stored| stored.owner).collect();
    }

    /// Number of items.
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let owners: Counts<Prefix> = self.items.values().map(|stored| stored.owner).collect();
        if self.items.len() > MAX_ITEMS || owners != self.owners {
            return Err("items stored for others are counted and bounded");
        }
        Ok(())
    }
}

#[cfg(feature = "corruption")]
impl ItemStore {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "items stored for others are counted and bounded" => {
                self.owners.add(Prefix::of(IpAddr::from([1, 2, 3, 4])));
            }
            _ => return None,
        }
        Some(())
    }
}
