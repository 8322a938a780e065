//! One queue of deadlines for the whole engine.
//!
//! A target that moves its deadline simply schedules again; the entry that is out of date fires
//! early and its owner, who stores the true deadline, ignores it. That keeps scheduling at
//! `O(log n)` without removal and makes ties fire in the order they were made.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use serde::{Deserialize, Serialize};

use super::time::Instant;

/// Deadlines of targets `T`, earliest first, ties in order of scheduling.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimerQueue<T: Ord> {
    heap: BinaryHeap<Reverse<(Instant, u64, T)>>,
    sequence: u64,
}

impl<T: Ord + Copy> Default for TimerQueue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0 }
    }
}

impl<T: Ord + Copy> TimerQueue<T> {
    /// Asks for `target` to fire at `deadline`.
    pub fn schedule(&mut self, deadline: Instant, target: T) {
        self.sequence += 1;
        self.heap.push(Reverse((deadline, self.sequence, target)));
    }

    /// The earliest deadline, if any.
    pub fn next_deadline(&self) -> Option<(Instant, T)> {
        self.heap.peek().map(|Reverse((at, _, target))| (*at, *target))
    }

    /// Takes the earliest entry that is due at `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.heap.peek().is_some_and(|Reverse((at, _, _))| *at <= now) {
            self.heap.pop().map(|Reverse((_, _, target))| target)
        } else {
            None
        }
    }

    /// Entries in the queue, the outdated ones included.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// True when nothing is scheduled.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

/// Remembers for what an owner has scheduled itself, so that deciding on a deadline again and again
/// does not fill the queue.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Alarm {
    set_for: Option<Instant>,
}

impl Alarm {
    /// Schedules `target` at `at`, unless it will be woken by then anyway.
    pub fn set<T: Ord + Copy>(
        &mut self,
        queue: &mut TimerQueue<T>,
        at: Instant,
        now: Instant,
        target: T,
    ) {
        if self.set_for.is_none_or(|set_for| set_for <= now || at < set_for) {
            self.set_for = Some(at);
            queue.schedule(at, target);
        }
    }
}
