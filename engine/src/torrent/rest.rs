//! Going to rest when there is nothing to do, and coming back.

use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::time::{Instant, whole_seconds};
use crate::base::timer_queue::Alarm;
use crate::standby::Kept;

/// Seconds without peers before a rest, at least.
const LEAST_WAIT: u32 = 10;

/// What a torrent knows of its rests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rest {
    /// What it goes on with, until it is open.
    kept: Option<Kept>,
    /// Since when nothing has happened.
    idle_since: Option<Instant>,
    /// Somebody was here since it came, or was called.
    visited: bool,
    /// For when it may rest.
    pub(super) alarm: Alarm,
}

impl Rest {
    /// It was on standby, and goes on with this.
    pub(super) fn returns(&mut self, kept: Kept) {
        self.kept = Some(kept);
    }

    /// It was on standby, and takes no part yet.
    pub(super) fn is_coming(&self) -> bool {
        self.kept.is_some()
    }

    /// Somebody is here, or is being called.
    pub(super) fn visited(&mut self) {
        self.visited = true;
    }

    /// When trackers expect to hear of it, and what else they know of the session that it goes on with. Only
    /// once: when its files cannot be opened that session ends, and another one begins when they can.
    pub(super) fn take_session(&mut self) -> Option<(Instant, Kept)> {
        let kept = self.kept.as_mut()?;
        let at = kept.announce.take()?;
        Some((at, kept.clone()))
    }

    /// It takes part again. Returns whether it was on standby, and whether DHT and local network know of it.
    pub(super) fn has_come(&mut self) -> Option<bool> {
        Some(self.kept.take()?.dht.is_some())
    }

    /// Notes whether there is nothing to do. Returns since when.
    pub(super) fn look(&mut self, now: Instant, nothing_to_do: bool) -> Option<Instant> {
        if !nothing_to_do {
            self.idle_since = None;
            return None;
        }
        Some(*self.idle_since.get_or_insert(now))
    }

    /// When it may rest if nothing has happened since then, `patience` being what the user wants. A torrent
    /// that is here only because it was due goes as soon as nobody is there.
    pub(super) fn begins(
        &self,
        since: Instant,
        announce_only: bool,
        patience: Duration,
    ) -> Instant {
        // What is not remembered in rest, such as who was called last, must not matter after it.
        let seconds = whole_seconds::of(patience).max(LEAST_WAIT);
        let wait = if announce_only && !self.visited { 0 } else { seconds };
        since + Duration::from_secs(wait.into())
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of rests.

    use super::*;

    fn at(second: u64) -> Instant {
        Instant::from_millis(second * 1000)
    }

    #[test]
    fn it_rests_when_nothing_has_happened_for_a_while_and_at_once_after_an_announce() {
        let mut rest = Rest::default();
        assert_eq!(rest.look(at(5), true), Some(at(5)));
        assert_eq!(rest.look(at(8), true), Some(at(5)));
        assert_eq!(rest.look(at(9), false), None);
        assert_eq!(rest.look(at(11), true), Some(at(11)), "from the beginning");
        assert_eq!(rest.begins(at(11), false, Duration::from_secs(60)), at(71));
        assert_eq!(rest.begins(at(11), false, Duration::ZERO), at(21), "not at once");
        assert_eq!(
            rest.begins(at(11), true, Duration::from_secs(60)),
            at(11),
            "it was here to announce only"
        );
        rest.visited();
        assert_eq!(rest.begins(at(11), true, Duration::from_secs(60)), at(71), "somebody came");
    }

    #[test]
    fn a_session_with_trackers_is_gone_on_with_once() {
        let mut rest = Rest::default();
        assert!(!rest.is_coming() && rest.has_come().is_none() && rest.take_session().is_none());
        let kept = Kept { announce: Some(at(7)), dht: Some(at(9)), ..Kept::default() };
        rest.returns(kept);
        assert!(rest.is_coming());
        assert_eq!(rest.take_session().map(|(at, _)| at), Some(at(7)));
        assert!(rest.take_session().is_none());
        assert_eq!(rest.has_come(), Some(true));
        assert!(!rest.is_coming());
    }
}
