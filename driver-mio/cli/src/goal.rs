//! How much is seeded after completion.

use std::time::{Duration, Instant};

use eddyline_session::session_store::Entry;

use super::args::GoalFlags;

/// When seeding ends: whichever comes first. Without either it does not.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct SeedGoal {
    /// So many times the size is uploaded, over all runs.
    pub ratio: Option<f64>,
    /// So long after completion, or after the start where it was complete then.
    pub time: Option<Duration>,
}

impl SeedGoal {
    /// As `--seed-ratio` and `--seed-time` say.
    pub fn from_flags(flags: GoalFlags) -> Self {
        Self { ratio: flags.seed_ratio, time: flags.seed_time }
    }

    /// That of a torrent of the session; what it does not say is as in `self`.
    pub fn of_entry(self, entry: &Entry) -> Self {
        let ratio = u64::try_from(entry.seed_ratio).ok().map(|ratio| ratio as f64 / 1000.0);
        let time = u64::try_from(entry.seed_time).ok().map(Duration::from_secs);
        Self { ratio: ratio.or(self.ratio), time: time.or(self.time) }
    }

    /// Whether seeding ends at all.
    pub fn is_set(&self) -> bool {
        self.ratio.is_some() || self.time.is_some()
    }

    /// Whether it ends now: complete since `since`, with `uploaded` bytes sent of a torrent of `length` bytes.
    pub fn is_reached(&self, since: Instant, uploaded: u64, length: u64) -> bool {
        let enough = |ratio: f64| uploaded as f64 >= ratio * length as f64;
        self.ratio.is_some_and(enough) || self.time.is_some_and(|time| since.elapsed() >= time)
    }
}

/// A ratio as an entry of the session has it, in thousandths.
pub fn thousandths(ratio: f64) -> i64 {
    (ratio * 1000.0).round().clamp(0.0, 1e15) as i64
}

#[cfg(test)]
mod tests {
    //! Unit tests of goals.

    use super::*;

    #[test]
    fn the_first_goal_that_is_reached_ends_it_and_a_torrents_own_counts_first() {
        let now = Instant::now();
        let none = SeedGoal::default();
        assert!(!none.is_set() && !none.is_reached(now, u64::MAX, 1));
        let ratio = SeedGoal { ratio: Some(1.5), time: None };
        assert!(ratio.is_reached(now, 150, 100) && !ratio.is_reached(now, 149, 100));
        let either = SeedGoal { time: Some(Duration::ZERO), ..ratio };
        assert!(either.is_reached(now, 0, 100));
        assert_eq!(thousandths(1.5), 1500);
    }
}
