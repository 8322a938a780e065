//! Packets leave at a pace, not in a heap: a bucket of bytes that fills with time.

use serde::{Deserialize, Serialize};

use crate::time::Time;

const MILLION: u64 = 1_000_000;

/// When the next packet may leave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pacing {
    /// Millionths of a byte that may leave; below zero when more left than there was.
    credit: i128,
    at: Time,
}

impl Pacing {
    pub fn new(now: Time) -> Self {
        Self { credit: 0, at: now }
    }

    /// Brings the bucket up to now. `rate` is in bytes a second, `burst` what it holds at the most.
    pub fn fill(&mut self, now: Time, rate: u64, burst: u64) {
        let gained = i128::from(now.since(self.at)) * i128::from(rate);
        self.at = self.at.max(now);
        self.credit = (self.credit + gained).min(i128::from(burst) * i128::from(MILLION));
    }

    /// Whether a packet may leave now. Its length does not matter: it is paid for afterwards.
    pub fn may_send(&self) -> bool {
        self.credit >= 0
    }

    /// Takes what has left.
    pub fn take(&mut self, bytes: u64) {
        self.credit -= i128::from(bytes) * i128::from(MILLION);
    }

    /// When a packet may leave at that rate.
    pub fn ready_at(&self, rate: u64) -> Time {
        let missing = u64::try_from(-self.credit.min(0)).unwrap_or(u64::MAX);
        self.at + missing.div_ceil(rate.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_late_by_no_more_than_the_burst_allows_loses_no_pace() {
        let (rate, late) = (100_000_000, 2_000);
        let mut pacing = Pacing::new(Time::ZERO);
        let mut sent = 0;
        for turn in 0..1_000_000 / late {
            pacing.fill(Time::from_micros(turn * late), rate, rate * late / MILLION);
            while pacing.may_send() {
                pacing.take(1_400);
                sent += 1_400;
            }
        }
        assert!((rate - 300_000..rate + 300_000).contains(&sent), "{sent}");
    }

    #[test]
    fn what_leaves_in_a_second_is_the_rate_and_a_burst() {
        let (rate, burst) = (1_000_000, 3_000);
        let mut pacing = Pacing::new(Time::ZERO);
        let (mut sent, mut now) = (0, Time::ZERO);
        while now < Time::from_millis(1_000) {
            pacing.fill(now, rate, burst);
            while pacing.may_send() {
                pacing.take(1_400);
                sent += 1_400;
            }
            now = pacing.ready_at(rate);
        }
        assert!((1_000_000..1_000_000 + burst + 2_800).contains(&sent), "{sent}");
        pacing.fill(now + 60_000_000, rate, burst);
        let mut at_once = 0;
        while pacing.may_send() {
            pacing.take(1_400);
            at_once += 1_400;
        }
        assert!(at_once <= burst + 1_400, "rest is not saved up: {at_once}");
    }
}
