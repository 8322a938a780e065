//! The largest datagram that passes whole (RFC 8899).
//!
//! A probe is a packet with payload of a size that is known to pass, made longer by an extension that nobody knows and
//! everybody skips. So when it is dropped, for example by a tunnel that says nothing, the same packet goes again
//! without the padding: packets of µTP cannot be cut again, since their numbers stand for what is in them. Probes say
//! nothing about congestion.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// What IPv6 and every tunnel worth the name carry: 1,280 bytes less IP and UDP headers.
const BASE: usize = 1_200;
/// What any path carries over IPv4, for those on which even that is lost.
const LEAST: usize = 548;
/// Sizes this near to each other are not told apart.
const STEP: usize = 8;
/// A size is too large when this number of probes of it were lost.
const TRIES: u32 = 3;
/// When a narrow path is tried again, in microseconds.
const AGAIN: u64 = 600_000_000;
/// Losses of the largest packets in a row, all found by a timer, after which the path is believed to have narrowed.
const HOLE: u32 = 3;

/// The search for the path MTU, in bytes of UDP payload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PathMtu {
    /// Known to pass, or believed to be.
    passes: usize,
    /// Known not to pass.
    too_large: usize,
    limit: usize,
    tries: u32,
    under_way: bool,
    /// When the search begins again.
    again_at: Option<Time>,
    silent: u32,
}

impl PathMtu {
    /// A search that ends at `limit`, the largest datagram that shall be tried.
    pub fn new(limit: usize) -> Self {
        let limit = limit.max(LEAST);
        let passes = BASE.min(limit);
        Self {
            passes,
            too_large: limit + 1,
            limit,
            tries: 0,
            under_way: false,
            again_at: None,
            silent: 0,
        }
    }

    /// The size of a datagram that may be sent.
    pub fn datagram(&self) -> usize {
        self.passes
    }

    /// The size of a probe that should be sent now.
    pub fn probe(&mut self, now: Time) -> Option<usize> {
        if self.again_at.is_some_and(|at| at <= now) {
            (self.too_large, self.again_at, self.tries) = (self.limit + 1, None, 0);
        }
        if self.under_way || self.again_at.is_some() || self.passes >= self.limit {
            return None;
        }
        // The whole first: most paths carry it. Then the half of what is left.
        let whole = self.too_large > self.limit;
        if !whole && self.too_large <= self.passes + STEP {
            self.again_at = Some(now + AGAIN);
            return None;
        }
        let size = if whole { self.limit } else { usize::midpoint(self.passes, self.too_large) };
        Some(size)
    }

    /// The probe has left.
    pub fn probing(&mut self) {
        self.under_way = true;
    }

    /// A probe of that size has arrived.
    pub fn arrived(&mut self, size: usize) {
        (self.under_way, self.tries) = (false, 0);
        self.passes = self.passes.max(size.min(self.limit));
        self.too_large = self.too_large.max(self.passes + 1);
        self.silent = 0;
    }

    /// A probe of that size was lost.
    pub fn vanished(&mut self, now: Time, size: usize) {
        self.under_way = false;
        self.tries += 1;
        if self.tries >= TRIES {
            self.tries = 0;
            self.too_large = self.too_large.min(size);
            if self.too_large <= self.passes + STEP {
                self.again_at = Some(now + AGAIN);
            }
        }
    }

    /// A probe will not be answered, for reasons that have nothing to do with its size.
    pub fn forgotten(&mut self) {
        self.under_way = false;
    }

    /// Something of the largest size was acknowledged.
    pub fn confirmed(&mut self) {
        self.silent = 0;
    }

    /// A timer ran out with packets of the largest size under way. True when the path is believed to have narrowed.
    pub fn silence(&mut self, now: Time) -> bool {
        self.silent += 1;
        if self.silent < HOLE || self.passes <= LEAST {
            return false;
        }
        self.too_large = self.passes;
        self.passes = if self.passes > BASE { BASE } else { LEAST };
        (self.silent, self.tries, self.under_way) = (0, 0, false);
        self.again_at = Some(now + AGAIN);
        true
    }

    #[cfg(feature = "corruption")]
    pub fn broken() -> Self {
        Self { too_large: 1, ..Self::new(BASE) }
    }

    pub fn violations(&self, out: &mut alloc::vec::Vec<&'static str>) {
        if self.passes >= self.too_large || self.passes > self.limit || self.passes < LEAST {
            out.push("the path MTU lies between what passes and what does not");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: usize, limit: usize) -> (usize, u32) {
        let (mut search, mut probes) = (PathMtu::new(limit), 0);
        while let Some(size) = search.probe(Time::ZERO) {
            search.probing();
            probes += 1;
            if size <= path { search.arrived(size) } else { search.vanished(Time::ZERO, size) }
        }
        (search.datagram(), probes)
    }

    #[test]
    fn a_path_is_measured_with_few_probes() {
        assert_eq!(found(1_472, 1_472), (1_472, 1));
        assert_eq!(found(65_000, 16_384), (16_384, 1));
        for path in 1_200..1_472 {
            let (size, probes) = found(path, 1_472);
            assert!(size <= path && size + STEP > path, "{path}: {size}");
            assert!(probes <= 3 * 8, "{path}: {probes}");
        }
    }

    #[test]
    fn silence_narrows_the_path_and_it_is_tried_again_ten_minutes_later() {
        let mut search = PathMtu::new(1_472);
        search.arrived(1_472);
        assert!(!search.silence(Time::ZERO) && !search.silence(Time::ZERO));
        search.confirmed();
        assert!(!search.silence(Time::ZERO) && !search.silence(Time::ZERO));
        assert!(search.silence(Time::ZERO));
        assert_eq!(search.datagram(), BASE);
        assert_eq!(search.probe(Time::ZERO), None);
        assert_eq!(search.probe(Time::ZERO + AGAIN), Some(1_472));
        (0..HOLE).for_each(|_| _ = search.silence(Time::ZERO));
        assert_eq!(search.datagram(), LEAST, "no tunnel is too narrow");
    }
}
