//! A slot map: O(1) insertion, look-up and removal, with keys that are never used twice.
//!
//! A key is the slot's index in its low half and the slot's generation in its high half.
//! Iteration is in index order and therefore the same on every machine.

use alloc::vec::Vec;
use core::marker::PhantomData;
use serde::{Deserialize, Serialize};

use super::ids::{ConnId, DiskOpId, ExchangeId, LookupId, TorrentId};

/// A key made of a slot index and a generation.
pub trait SlotKey: Copy {
    /// The key with this raw value.
    fn from_raw(raw: u64) -> Self;
    /// The raw value.
    fn raw(self) -> u64;
    /// The slot's index: small, dense, and reused by later keys.
    fn index(self) -> usize {
        (self.raw() & 0xffff_ffff) as usize
    }
}

macro_rules! slot_key {
    ($($name:ident),*) => { $(
        impl SlotKey for $name {
            fn from_raw(raw: u64) -> Self { Self::from_u64(raw) }
            fn raw(self) -> u64 { self.as_u64() }
        }
    )* };
}
slot_key!(TorrentId, ConnId, DiskOpId, LookupId, ExchangeId);

/// Values of `V` under keys of `K`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SlotMap<K, V> {
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
    len: usize,
    key: PhantomData<K>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Slot<V> {
    generation: u32,
    value: Option<V>,
}

impl<K, V> Default for SlotMap<K, V> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0, key: PhantomData }
    }
}

impl<K: SlotKey, V> SlotMap<K, V> {
    /// Stores `value` and names it.
    pub fn insert(&mut self, value: V) -> K {
        self.insert_with(|_| value)
    }

    /// Stores the value that `make` builds from its own key.
    pub fn insert_with(&mut self, make: impl FnOnce(K) -> V) -> K {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.generation += 1;
        let key = K::from_raw(u64::from(slot.generation) << 32 | u64::from(index));
        slot.value = Some(make(key));
        self.len += 1;
        key
    }

    /// The value under `key`, if it is still there.
    pub fn get(&self, key: K) -> Option<&V> {
        let slot = self.slots.get(key.index())?;
        (u64::from(slot.generation) == key.raw() >> 32).then_some(slot.value.as_ref()).flatten()
    }

    /// The value under `key`, if it is still there.
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let slot = self.slots.get_mut(key.index())?;
        (u64::from(slot.generation) == key.raw() >> 32).then_some(slot.value.as_mut()).flatten()
    }

    /// Takes the value out. A slot whose generations are used up is never used again.
    pub fn remove(&mut self, key: K) -> Option<V> {
        let slot = self.slots.get_mut(key.index())?;
        if u64::from(slot.generation) != key.raw() >> 32 {
            return None;
        }
        let value = slot.value.take()?;
        self.len -= 1;
        if slot.generation < u32::MAX {
            self.free.push(key.index() as u32);
        }
        Some(value)
    }

    /// True when a value is stored under `key`.
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// How many values are stored.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All keys and values, in index order.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let key = K::from_raw(u64::from(slot.generation) << 32 | index as u64);
            slot.value.as_ref().map(|value| (key, value))
        })
    }

    /// All keys and values, in index order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| {
            let key = K::from_raw(u64::from(slot.generation) << 32 | index as u64);
            slot.value.as_mut().map(|value| (key, value))
        })
    }

    /// All keys, in index order.
    pub fn keys(&self) -> Vec<K> {
        self.iter().map(|(key, _)| key).collect()
    }
}
