//! How often a peer may change a flag before we stop reacting to each change at once.
//!
//! Choking and interest can change for good reasons a few times a minute. Each change costs us
//! decisions about everybody else, so a peer that changes its mind all the time is followed when its
//! next tick comes.

use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::time::Instant;

/// Changes a minute that are followed at once.
const MAX_A_MINUTE: u32 = 120;
const MINUTE: Duration = Duration::from_secs(60);

/// Changes of one kind by one peer.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Calm {
    since: Instant,
    count: u32,
    held: bool,
}

impl Calm {
    /// Something changed. Returns whether to follow at once.
    pub fn follow(&mut self, now: Instant) -> bool {
        if self.count == 0 || now.since(self.since) >= MINUTE {
            (self.since, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(1);
        self.held = self.count > MAX_A_MINUTE;
        !self.held
    }

    /// Whether a change was held back; from now on it counts as followed.
    pub fn take_held(&mut self) -> bool {
        core::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the patience with peers that change their minds.

    use super::*;

    #[test]
    fn some_changes_a_minute_are_followed_at_once_and_the_rest_later() {
        let mut calm = Calm::default();
        let at = Instant::from_millis;
        let followed = (0..1000).filter(|n| calm.follow(at(1000 + n))).count();
        assert_eq!(followed, MAX_A_MINUTE as usize);
        assert!(calm.take_held() && !calm.take_held());
        assert!(calm.follow(at(61_000)), "a minute later it counts from the start");
        assert!(!calm.take_held());
    }
}
