//! How long the queue at the bottleneck takes, from what packets say and from round trips.
//!
//! One-way delay is the honest measure: it leaves out what acks meet on their way back, and that the other side may
//! hold them. But it is the difference of two clocks, which drift and are set. Round trips know one clock only, and
//! are too long rather than too short. The queue is no longer than either says.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// Minutes for which the lowest delay counts as that of the empty path.
const HISTORY: usize = 10;
const MINUTE: u64 = 60_000_000;
/// The queue is the least of this number of samples: one that was delayed by something else shall not count.
const FILTER: usize = 4;
/// By how much the one-way delay may exceed what round trips allow before a clock is to blame, and how often.
const CLOCK_TOLERANCE: u64 = 20_000;
const CLOCK_PATIENCE: u32 = 16;

/// Lowest values, minute by minute, of something that may wrap at 2³².
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Base {
    minutes: [u32; HISTORY],
    known: usize,
    lowest: u32,
    turned: Time,
}

impl Base {
    fn new() -> Self {
        Self { minutes: [0; HISTORY], known: 0, lowest: 0, turned: Time::ZERO }
    }

    /// How far a sample lies above the lowest, after it was taken into account.
    fn above(&mut self, now: Time, sample: u32) -> u64 {
        if self.known == 0 {
            self.restart(now, sample);
            return 0;
        }
        if now.since(self.turned) >= MINUTE {
            self.turned = now;
            self.minutes.rotate_right(1);
            self.minutes[0] = sample;
            self.known = (self.known + 1).min(HISTORY);
            let lower = |a: u32, b: &u32| if (b.wrapping_sub(a) as i32) < 0 { *b } else { a };
            self.lowest = self.minutes[..self.known].iter().fold(sample, lower);
        }
        if (sample.wrapping_sub(self.minutes[0]) as i32) < 0 {
            self.minutes[0] = sample;
        }
        if (sample.wrapping_sub(self.lowest) as i32) < 0 {
            self.lowest = sample;
        }
        u64::from(sample.wrapping_sub(self.lowest))
    }

    fn restart(&mut self, now: Time, sample: u32) {
        (self.minutes[0], self.known, self.lowest, self.turned) = (sample, 1, sample, now);
    }
}

/// The last samples.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Recent {
    samples: [u64; FILTER],
    at: usize,
    filled: usize,
}

impl Recent {
    fn add(&mut self, sample: u64) {
        self.samples[self.at] = sample;
        self.at = (self.at + 1) % FILTER;
        self.filled = (self.filled + 1).min(FILTER);
    }

    fn known(&self) -> impl Iterator<Item = u64> + '_ {
        self.samples[..self.filled].iter().copied()
    }
}

/// The queue of packets to us, by the clocks of both sides alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Incoming {
    one_way: Base,
    recent: Recent,
}

impl Incoming {
    pub fn new() -> Self {
        Self { one_way: Base::new(), recent: Recent::default() }
    }

    /// A packet to us was under way for that long by the clocks of both sides.
    pub fn measured(&mut self, now: Time, one_way: u32) {
        self.recent.add(self.one_way.above(now, one_way));
    }

    /// How long the queue takes, in microseconds.
    pub fn queue(&self) -> u64 {
        self.recent.known().min().unwrap_or(0)
    }
}

/// The queue of one direction of a path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delay {
    one_way: Base,
    round_trip: Base,
    /// How far the last round trip lay above the shortest.
    round_trip_queue: u64,
    recent: Recent,
    odd: u32,
}

impl Delay {
    pub fn new() -> Self {
        Self {
            one_way: Base::new(),
            round_trip: Base::new(),
            round_trip_queue: 0,
            recent: Recent::default(),
            odd: 0,
        }
    }

    /// A packet of ours was under way for `one_way` by the clocks of both sides, and was acknowledged after
    /// `round_trip`, where that is known. Microseconds.
    pub fn measured(&mut self, now: Time, one_way: u32, round_trip: Option<u64>) {
        if let Some(trip) = round_trip {
            self.round_trip_queue =
                self.round_trip.above(now, u32::try_from(trip).unwrap_or(u32::MAX / 2));
        }
        let mut queue = self.one_way.above(now, one_way);
        if round_trip.is_some() && queue > self.round_trip_queue + CLOCK_TOLERANCE {
            self.odd += 1;
            if self.odd >= CLOCK_PATIENCE {
                // A clock was set, or runs faster than ours.
                let base = one_way.wrapping_sub(self.round_trip_queue as u32);
                self.one_way.restart(now, base);
                self.odd = 0;
            }
        } else if round_trip.is_some() {
            self.odd = 0;
        }
        queue = queue.min(self.round_trip_queue);
        self.recent.add(queue);
    }

    /// How long the queue takes, in microseconds.
    pub fn queue(&self) -> u64 {
        self.recent.known().min().unwrap_or(0)
    }

    /// The longest among the last samples.
    pub fn longest(&self) -> u64 {
        self.recent.known().max().unwrap_or(0)
    }

    /// The round trip of the empty path in microseconds; zero before it is known.
    pub fn base_round_trip(&self) -> u64 {
        u64::from(self.round_trip.lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(delay: &mut Delay, from: u64, clock: impl Fn(u64) -> u32, queue: u64) -> u64 {
        for turn in 0..40 {
            let now = Time::from_millis(from + turn * 10);
            delay.measured(
                now,
                clock(from + turn * 10).wrapping_add(queue as u32),
                Some(50_000 + queue),
            );
        }
        delay.queue()
    }

    #[test]
    fn the_queue_is_what_lies_above_the_lowest_delay_also_when_the_clock_wraps() {
        let mut delay = Delay::new();
        let far = |_| u32::MAX - 5_000;
        assert_eq!(settle(&mut delay, 0, far, 0), 0);
        assert_eq!(settle(&mut delay, 1_000, far, 30_000), 30_000);
        assert_eq!(settle(&mut delay, 2_000, far, 0), 0);
    }

    #[test]
    fn a_clock_that_drifts_or_is_set_does_not_look_like_a_queue_for_long() {
        for drift in [-200i64, 200] {
            let mut delay = Delay::new();
            // Parts in a million: microseconds a second.
            let clock =
                |ms: u64| 1_000_000u32.wrapping_add_signed((ms as i64 * drift / 1_000) as i32);
            for second in 0..3_600 {
                let queue = settle(&mut delay, second * 1_000, clock, 10_000 * (second % 2));
                let wrong = queue.abs_diff(10_000 * (second % 2));
                assert!(wrong <= 10_000, "{drift} after {second} s: {queue}");
            }
        }
        let mut delay = Delay::new();
        settle(&mut delay, 0, |_| 1_000, 0);
        assert_eq!(settle(&mut delay, 1_000, |_| 900_001_000, 20_000), 20_000, "set forward");
        assert_eq!(settle(&mut delay, 2_000, |_| 77, 0), 0, "and back");
    }

    #[test]
    fn a_path_that_has_become_longer_is_known_after_ten_minutes() {
        let mut delay = Delay::new();
        settle(&mut delay, 0, |_| 0, 0);
        for minute in 0..12 {
            settle(&mut delay, 1_000 + minute * 60_001, |_| 0, 40_000);
        }
        assert_eq!(delay.queue(), 0);
        assert_eq!(delay.base_round_trip(), 90_000);
    }
}
