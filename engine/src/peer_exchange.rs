//! Peer exchange (BEP 11) as a machine: what to tell a peer of others, and how much of what it tells
//! is taken.
//!
//! Who came and who left stands in one journal for all peers; each peer has read it up to somewhere.
//! So telling a peer costs what has changed since it was told last, and nothing has to be remembered
//! of what each of them knows.

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::time::Instant;
use crate::wire::{PexFlags, PexMessage};

/// Addresses told in one message (BEP 11 allows fifty new ones and fifty gone ones).
pub const MAX_TOLD: usize = 50;
/// Time between two messages to one peer (BEP 11).
const INTERVAL: Duration = Duration::from_secs(60);
/// Messages that a peer may send in a minute before it is no accident any more.
const MAX_HEARD_A_MINUTE: u32 = 10;
/// Messages of a minute of which addresses are taken: some clients begin with two.
const TAKEN_A_MINUTE: u32 = 2;
/// Addresses taken of one message.
const MAX_TAKEN: u32 = 100;
/// Addresses that one connection may name for good.
const MAX_TAKEN_IN_ALL: u32 = 1000;
/// Comings and goings that are remembered.
const MAX_JOURNAL: usize = 2000;

/// Somebody came or left.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Entry {
    addr: SocketAddr,
    flags: u8,
    came: bool,
}

/// Who came and who left.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Journal {
    entries: VecDeque<Entry>,
    /// Number of the first entry that is still there.
    first: u64,
}

impl Journal {
    /// Somebody who listens at `addr` is connected now.
    pub fn came(&mut self, addr: SocketAddr, flags: PexFlags) {
        self.note(Entry { addr, flags: flags.0, came: true });
    }

    /// Somebody is connected no more.
    pub fn left(&mut self, addr: SocketAddr) {
        self.note(Entry { addr, flags: 0, came: false });
    }

    fn note(&mut self, entry: Entry) {
        if self.entries.len() == MAX_JOURNAL {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(entry);
    }

    /// Number of the entry that will come next.
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// What changed from entry `from` on, as far as one message holds it, for the peer at `to`; and
    /// the entry to go on with. Whoever came and left in between is not mentioned.
    pub fn since(&self, from: u64, to: SocketAddr) -> (PexMessage, u64) {
        let start = from.max(self.first);
        let mut changes: BTreeMap<SocketAddr, (Entry, Entry)> = BTreeMap::new();
        let mut next = start;
        for entry in self.entries.iter().skip((start - self.first) as usize) {
            if changes.len() == MAX_TOLD && !changes.contains_key(&entry.addr) {
                break;
            }
            next += 1;
            if entry.addr != to {
                changes.entry(entry.addr).or_insert((*entry, *entry)).1 = *entry;
            }
        }
        let mut message = PexMessage::default();
        for (addr, (first, last)) in changes {
            match (first.came, last.came) {
                (true, true) => message.added.push((addr, PexFlags(last.flags))),
                (false, false) => message.dropped.push(addr),
                // It left and is back: nothing that the peer needs to know. Or it was a visit.
                _ => {}
            }
        }
        (message, next)
    }
}

/// A peer names peers far more often than it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flood;

/// What one peer was told, and has told.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct PexLedger {
    /// How others are told of it, once that is known.
    pub listed_as: Option<SocketAddr>,
    /// It has been told everything before this entry of the journal; `None` before the first
    /// message.
    pub told: Option<u64>,
    /// When it may be told more.
    next_at: Instant,
    /// Since when its messages are counted, and how many came.
    named: (Instant, u32),
    /// Addresses it named that were taken.
    taken: u32,
}

impl PexLedger {
    /// Whether it may be told something.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next_at <= now
    }

    /// It was told something.
    pub fn told_now(&mut self, now: Instant) {
        self.next_at = now + INTERVAL;
    }

    /// It sent a message that names `named` peers. Returns how many of them to remember.
    ///
    /// # Errors
    /// When it does so all the time.
    pub fn take(&mut self, named: usize, now: Instant) -> Result<usize, Flood> {
        let (since, count) = &mut self.named;
        if *count == 0 || now.since(*since) >= INTERVAL {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count > MAX_HEARD_A_MINUTE {
            return Err(Flood);
        }
        if *count > TAKEN_A_MINUTE {
            return Ok(0);
        }
        let named = u32::try_from(named).unwrap_or(u32::MAX);
        let taken = named.min(MAX_TAKEN).min(MAX_TAKEN_IN_ALL - self.taken);
        self.taken += taken;
        Ok(taken as usize)
    }
}
