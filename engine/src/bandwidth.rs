//! Rate limits as token buckets, for downloads and uploads alike.

use core::time::Duration;

use crate::base::time::Instant;
use serde::{Deserialize, Serialize};

/// How often those who wait for tokens have a turn. What a limit leaves is given in portions of this
/// time's worth or whole blocks, not byte by byte as it comes: each portion costs a step and a read.
pub const TURN: Duration = Duration::from_millis(TURN_MILLIS);
const TURN_MILLIS: u64 = 100;
/// A portion that takes at least this long to earn is given as soon as there is enough for it.
const SLOW: Duration = Duration::from_millis(50);

/// Tokens for a block and its header.
const BLOCK_TOKENS: u64 = 16 * 1024 + 13;
/// A bucket holds at most what the rate brings in this time.
const BURST_MILLIS: u64 = 180;
/// A portion may be fetched so late and nothing is lost.
const LATE_MILLIS: u64 = 20;
/// No portion is smaller, however slow the rate.
const LEAST_PORTION: u64 = 1024;
/// No wait for tokens is longer: a limit may change meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Tokens, one a byte. Taking may overdraw; the debt is paid before more is given.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct TokenBucket {
    rate: Option<u64>,
    tokens: i64,
    /// Nanoseconds that have not made a whole token yet.
    remainder: u64,
    filled_at: Instant,
    /// A block is the least that can move.
    whole_blocks: bool,
    /// The least that is worth a grant or a read; follows from the rate.
    portion: i64,
    /// Most tokens that are kept; follows from the rate.
    most: i64,
}

impl TokenBucket {
    /// A bucket for what can move in portions of any size.
    pub fn for_bytes(rate: Option<u64>, now: Instant) -> Self {
        Self::new(false, rate, now)
    }

    /// A bucket for what moves in whole blocks: it holds at least one.
    pub fn for_blocks(rate: Option<u64>, now: Instant) -> Self {
        Self::new(true, rate, now)
    }

    fn new(whole_blocks: bool, rate: Option<u64>, now: Instant) -> Self {
        let mut bucket = Self {
            rate: None,
            tokens: 0,
            remainder: 0,
            filled_at: now,
            whole_blocks,
            portion: 0,
            most: 0,
        };
        bucket.set_rate(rate, now);
        bucket
    }

    /// Changes the limit; `None` lifts it.
    pub fn set_rate(&mut self, rate: Option<u64>, now: Instant) {
        self.refill(now);
        self.rate = rate;
        let brings = |millis: u64| match rate {
            Some(rate) => (u128::from(rate) * u128::from(millis) / 1000).min(1 << 40) as u64,
            None => 0,
        };
        let portion = match (self.whole_blocks, rate) {
            (false, Some(_)) => brings(TURN_MILLIS).clamp(LEAST_PORTION, BLOCK_TOKENS),
            _ => BLOCK_TOKENS,
        };
        self.portion = portion as i64;
        self.most = brings(BURST_MILLIS).max(brings(LATE_MILLIS) + portion) as i64;
        self.tokens = if rate.is_none() { 0 } else { self.tokens.min(self.most) };
    }

    /// The limit in bytes per second.
    pub const fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// The least that is worth a grant or a read, in bytes; a block and its header without a limit.
    pub const fn portion(&self) -> u64 {
        self.portion.unsigned_abs()
    }

    fn refill(&mut self, now: Instant) {
        // It is asked many times in a step.
        if now <= self.filled_at {
            return;
        }
        let elapsed = now.as_nanos() - self.filled_at.as_nanos();
        self.filled_at = now;
        let Some(rate) = self.rate else { return };
        let earned = u128::from(elapsed) * u128::from(rate) + u128::from(self.remainder);
        self.remainder = (earned % 1_000_000_000) as u64;
        let whole = i64::try_from(earned / 1_000_000_000).unwrap_or(i64::MAX);
        self.tokens = self.tokens.saturating_add(whole).min(self.most);
    }

    /// Bytes that may move at `now`; `u64::MAX` without a limit.
    pub fn available(&mut self, now: Instant) -> u64 {
        self.refill(now);
        match self.rate {
            None => u64::MAX,
            Some(_) => u64::try_from(self.tokens).unwrap_or(0),
        }
    }

    /// How long it takes until a portion may move; two seconds at the most.
    pub fn until_portion(&mut self, now: Instant) -> Duration {
        self.refill(now);
        let Some(rate) = self.rate else { return Duration::ZERO };
        let missing = i128::from(self.portion) - i128::from(self.tokens);
        time_for(u128::try_from(missing).unwrap_or(0), rate)
    }

    /// Whether a portion may move.
    pub fn has_portion(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.rate.is_none() || self.tokens >= self.portion
    }

    /// How long those who wait for this bucket are best left alone: until there is a portion, and where
    /// portions come quickly, a whole turn. Zero without a limit.
    pub fn until_turn(&mut self, now: Instant) -> Duration {
        let wait = self.until_portion(now);
        match self.rate {
            Some(rate) if time_for(self.portion().into(), rate) < SLOW => wait.max(TURN),
            _ => wait,
        }
    }

    /// Uses up `bytes`.
    pub fn take(&mut self, bytes: u64) {
        if self.rate.is_some() {
            self.tokens = self.tokens.saturating_sub_unsigned(bytes);
        }
    }
}

/// How long `rate` takes to bring `tokens`.
fn time_for(tokens: u128, rate: u64) -> Duration {
    let nanos = (tokens * 1_000_000_000).div_ceil(u128::from(rate.max(1)));
    u64::try_from(nanos).map_or(LONGEST_WAIT, Duration::from_nanos).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    //! Unit tests of the token bucket.

    use super::*;

    const RATES: [u64; 9] =
        [10_000, 30_000, 95_000, 100_000, 210_000, 330_000, 1_000_000, 50_000_000, 1_000_000_000];

    fn both(rate: u64) -> [TokenBucket; 2] {
        let limit = Some(rate);
        [
            TokenBucket::for_bytes(limit, Instant::ZERO),
            TokenBucket::for_blocks(limit, Instant::ZERO),
        ]
    }

    /// What a greedy taker gets in ten seconds beyond what the rate brings, coming `late` milliseconds
    /// after it should and not at all in the seconds of `pause`, and the most that it gets beyond the
    /// rate in any stretch of time.
    fn ten_seconds(mut bucket: TokenBucket, late: u64, pause: core::ops::Range<u64>) -> (i64, i64) {
        let rate = bucket.rate().unwrap();
        let (mut total, mut least, mut burst, mut now) = (0, 0, 0, Instant::ZERO);
        let brought =
            |now: Instant| (u128::from(rate) * u128::from(now.as_nanos()) / 1_000_000_000) as i64;
        while now < Instant::from_millis(10_000) {
            least = least.min(total - brought(now));
            if !pause.contains(&(now.as_nanos() / 1_000_000_000)) {
                while bucket.until_portion(now).is_zero() {
                    let all = bucket.available(now);
                    let taken = if bucket.whole_blocks { BLOCK_TOKENS } else { all };
                    bucket.take(taken);
                    total += taken as i64;
                }
            }
            burst = burst.max(total - brought(now) - least);
            let wait = bucket.until_turn(now).max(Duration::from_millis(1));
            now = now + wait + Duration::from_millis(late);
        }
        (total - brought(now), burst)
    }

    #[test]
    fn limits_hold_within_two_percent_over_ten_seconds_and_no_burst_is_above_200_ms() {
        for (rate, bucket) in RATES.into_iter().flat_map(|rate| both(rate).map(|b| (rate, b))) {
            // Whole blocks cannot move in less than a block.
            let block = if bucket.whole_blocks { BLOCK_TOKENS + rate / 50 } else { 0 };
            let most = (rate / 5).max(block) as i64;
            for late in [0, 1, 15] {
                let (ahead, burst) = ten_seconds(bucket, late, 0..0);
                assert!(ahead.abs() <= most, "{rate} {late}: {ahead}");
                assert!(burst <= most, "{rate} {late}: {burst}");
                // A pause brings no more than the bucket holds.
                let (rested, _) = ten_seconds(bucket, late, 3..7);
                let lost = 3_600 * rate as i64 / 1000;
                assert!(rested <= most - lost, "{rate} {late}: {rested}");
            }
        }
    }

    #[test]
    fn a_block_may_take_longer_than_a_second_to_earn() {
        let mut bucket = TokenBucket::for_blocks(Some(5_000), Instant::ZERO);
        assert_eq!(bucket.available(Instant::from_millis(3_000)), 15_000);
        assert_eq!(bucket.available(Instant::from_millis(3_600_000)), BLOCK_TOKENS + 100);
    }

    #[test]
    fn who_waits_as_long_as_is_said_finds_a_portion() {
        for mut bucket in RATES.into_iter().flat_map(both) {
            let now = Instant::from_millis(5);
            bucket.take(bucket.rate().unwrap() / 50);
            let wait = bucket.until_portion(now);
            assert!(wait > Duration::ZERO && wait <= LONGEST_WAIT, "{wait:?}");
            assert_eq!(bucket.until_portion(now + wait), Duration::ZERO);
            let held = TokenBucket::available(&mut bucket, now + wait);
            assert!(held >= bucket.portion() && held <= bucket.portion() + 1, "{held}");
            // What takes for ever is looked at again.
            bucket.take(1 << 50);
            assert_eq!(bucket.until_portion(now), LONGEST_WAIT);
        }
        assert_eq!(
            TokenBucket::for_bytes(None, Instant::ZERO).until_portion(Instant::ZERO),
            Duration::ZERO
        );
        for mut stopped in both(0) {
            assert_eq!(stopped.until_portion(Instant::ZERO), LONGEST_WAIT);
        }
    }

    #[test]
    fn no_limit_is_no_limit_and_can_be_lifted_at_any_time() {
        let mut bucket = TokenBucket::for_bytes(None, Instant::ZERO);
        assert_eq!(bucket.available(Instant::ZERO), u64::MAX);
        bucket.set_rate(Some(10), Instant::ZERO);
        bucket.take(1_000_000);
        assert_eq!(bucket.available(Instant::from_millis(1)), 0);
        bucket.set_rate(None, Instant::from_millis(2));
        assert_eq!(bucket.available(Instant::from_millis(2)), u64::MAX);
    }
}
