//! Transfer rates without floating point: bytes in half-second slots over the last four seconds.

use super::time::Instant;
use serde::{Deserialize, Serialize};

const SLOTS: u64 = 8;
const SLOT_MILLIS: u64 = 500;

/// Measures bytes per second over a sliding window of four seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct RateMeter {
    slots: [u64; SLOTS as usize],
    newest: u64,
    started: u64,
    total: u64,
}

impl RateMeter {
    /// Counts `bytes` that moved at `now`.
    pub fn add(&mut self, now: Instant, bytes: u64) {
        if self.total == 0 {
            self.started = now.as_millis() / SLOT_MILLIS;
        }
        self.advance(now);
        self.slots[(self.newest % SLOTS) as usize] += bytes;
        self.total += bytes;
    }

    /// Counts from `total` on, and measures as if it were new.
    pub fn carry(&mut self, now: Instant, total: u64) {
        *self = Self { total, started: now.as_millis() / SLOT_MILLIS, ..Self::default() };
        self.newest = self.started;
    }

    /// Bytes per second over the window that ends at `now`. A meter younger than the window
    /// divides by its age, but by no less than one slot.
    pub fn per_second(&self, now: Instant) -> u64 {
        let mut copy = *self;
        copy.advance(now);
        let sum: u64 = copy.slots.iter().sum();
        let into_slot = now.as_millis() % SLOT_MILLIS;
        let age =
            (copy.newest.saturating_sub(copy.started)).min(SLOTS - 1) * SLOT_MILLIS + into_slot;
        sum * 1000 / age.max(SLOT_MILLIS)
    }

    /// All bytes ever counted.
    pub const fn total(&self) -> u64 {
        self.total
    }

    fn advance(&mut self, now: Instant) {
        let slot = now.as_millis() / SLOT_MILLIS;
        if slot <= self.newest {
            return;
        }
        let steps = (slot - self.newest).min(SLOTS);
        for step in 1..=steps {
            self.slots[((slot - steps + step) % SLOTS) as usize] = 0;
        }
        self.newest = slot;
    }
}
