//! Rate limits as token buckets, for downloads and uploads alike.

use crate::base::time::Instant;
use serde::{Deserialize, Serialize};

/// A bucket holds at most what an eighth of a second brings, and at least one block.
const BURST_DIVISOR: u64 = 8;
const MIN_BURST: u64 = 16 * 1024;

/// Tokens, one a byte. Taking may overdraw; the debt is paid before more is given.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TokenBucket {
    rate: Option<u64>,
    tokens: i64,
    /// Nanoseconds that have not made a whole token yet.
    remainder: u64,
    filled_at: Instant,
}

impl TokenBucket {
    /// A bucket with a limit from the start.
    pub fn limited(rate: Option<u64>, now: Instant) -> Self {
        let mut bucket = Self::default();
        bucket.set_rate(rate, now);
        bucket
    }

    /// Changes the limit; `None` lifts it.
    pub fn set_rate(&mut self, rate: Option<u64>, now: Instant) {
        self.refill(now);
        self.rate = rate;
        self.tokens = self.tokens.min(self.burst());
        if rate.is_none() {
            self.tokens = 0;
        }
    }

    /// The limit in bytes per second.
    pub const fn rate(&self) -> Option<u64> {
        self.rate
    }

    fn burst(&self) -> i64 {
        self.rate.map_or(0, |rate| (rate / BURST_DIVISOR).clamp(MIN_BURST, 1 << 40) as i64)
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.as_nanos().saturating_sub(self.filled_at.as_nanos());
        self.filled_at = self.filled_at.max(now);
        let Some(rate) = self.rate else { return };
        // A suspended machine earns no more than the bucket holds.
        let elapsed = elapsed.min(1_000_000_000);
        let earned = u128::from(elapsed) * u128::from(rate) + u128::from(self.remainder);
        self.remainder = (earned % 1_000_000_000) as u64;
        let whole = i64::try_from(earned / 1_000_000_000).unwrap_or(i64::MAX);
        self.tokens = self.tokens.saturating_add(whole).min(self.burst());
    }

    /// Bytes that may move at `now`; `u64::MAX` without a limit.
    pub fn available(&mut self, now: Instant) -> u64 {
        self.refill(now);
        match self.rate {
            None => u64::MAX,
            Some(_) => u64::try_from(self.tokens).unwrap_or(0),
        }
    }

    /// Uses up `bytes`.
    pub fn take(&mut self, bytes: u64) {
        if self.rate.is_some() {
            self.tokens = self.tokens.saturating_sub_unsigned(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the token bucket.

    use super::*;

    /// Bytes that a greedy taker gets in ten seconds, asking every `step` milliseconds and not at all in
    /// the seconds of `pause`, and the most that it gets beyond the rate in any stretch of time.
    fn ten_seconds(rate: u64, step: u64, chunk: u64, pause: core::ops::Range<u64>) -> (u64, i64) {
        let mut bucket = TokenBucket::default();
        bucket.set_rate(Some(rate), Instant::ZERO);
        let (mut total, mut least, mut burst) = (0, 0, 0);
        for at in (0..10_000).step_by(step as usize).filter(|at| !pause.contains(&(at / 1000))) {
            let brought = (rate * at / 1000) as i64;
            least = least.min(total as i64 - brought);
            while bucket.available(Instant::from_millis(at)) > 0 {
                bucket.take(chunk);
                total += chunk;
            }
            burst = burst.max(total as i64 - brought - least);
        }
        (total, burst)
    }

    #[test]
    fn limits_hold_within_two_percent_over_ten_seconds_and_no_burst_is_above_200_ms() {
        for rate in [10_000, 100_000, 1_000_000, 50_000_000, 1_000_000_000] {
            for (step, chunk) in [(1, 1000), (50, 16_384), (100, 16_384)] {
                let (total, burst) = ten_seconds(rate, step, chunk, 0..0);
                // At the slowest rate a whole block is 16 % of the ten seconds.
                let slack = (rate / 5).max(2 * chunk);
                assert!(total.abs_diff(rate * 10) <= slack, "{rate} {step}: {total}");
                // A pause brings no more than the bucket holds.
                let (rested, after) = ten_seconds(rate, step, chunk, 3..7);
                assert!(rested <= rate * 6 + slack + MIN_BURST, "{rate} {step}: {rested}");
                let most = (rate / 5).max(MIN_BURST + chunk + rate / 1000 * step) as i64;
                assert!(burst <= most && after <= most, "{rate} {step}: {burst}, {after}");
            }
        }
    }

    #[test]
    fn no_limit_is_no_limit_and_can_be_lifted_at_any_time() {
        let mut bucket = TokenBucket::default();
        assert_eq!(bucket.available(Instant::ZERO), u64::MAX);
        bucket.set_rate(Some(10), Instant::ZERO);
        bucket.take(1_000_000);
        assert_eq!(bucket.available(Instant::from_millis(1)), 0);
        bucket.set_rate(None, Instant::from_millis(2));
        assert_eq!(bucket.available(Instant::from_millis(2)), u64::MAX);
    }
}
