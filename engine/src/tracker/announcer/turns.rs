//! Whose turn it is among the trackers of a torrent.

use core::time::Duration;

use super::{ALONE, Announcer, Asked, MAX_ASKED, Order, SLOW, TrackerRef};
use crate::api::AnnouncePolicy;
use crate::base::time::Instant;
use crate::tracker::{Admission, host_of};

/// A time that does not come.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

impl Announcer {
    /// Whether the torrent is `alone`, needing somebody, and whether nobody is left whom it could call now. It
    /// starves if both are so, or if it has been alone for long, as with a tracker that knows only dead peers. Then
    /// trackers are asked that would not be while another one answers.
    pub fn looks_for_peers(&mut self, alone: bool, nobody_left: bool, now: Instant) {
        let since = alone.then(|| self.alone_since.unwrap_or(now));
        let starving = since.is_some_and(|since| nobody_left || now >= since + ALONE);
        if (self.starving, self.alone_since) != (starving, since) {
            (self.starving, self.alone_since, self.quiet_until) = (starving, since, None);
        }
    }

    /// An announce that is due at `now`, if any is. Its end is told by [`Self::succeeded`] or [`Self::failed`], or
    /// that it cannot be made by [`Self::put_off`]; until then that tracker is not asked again.
    pub fn poll(&mut self, now: Instant) -> Option<Order> {
        if !self.running || self.quiet_until.is_some_and(|at| at > now) {
            return None;
        }
        let (mut due, mut next) = (None, NEVER);
        self.each_in_turn(|at, when| {
            if when <= now {
                due = due.or(Some(at));
            } else {
                next = next.min(when);
            }
        });
        let Some(at) = due.filter(|_| self.asked() < MAX_ASKED) else {
            if let Some(since) = self.alone_since.filter(|_| !self.starving) {
                next = next.min(since + ALONE);
            }
            // Whoever is under way ends at some time.
            self.quiet_until = Some(next);
            return None;
        };
        self.quiet_until = None;
        let completed = self.completed;
        let tracker = self.trackers.get_mut(at.0 as usize)?;
        let event = tracker.event(completed);
        tracker.asked = Some(Asked { event, since: now, in_line: false });
        Some(tracker.order(at, event))
    }

    /// When the next announce may become due; `None` for never, or not before one that is under way has ended.
    pub fn next_deadline(&self) -> Option<Instant> {
        if !self.running {
            return None;
        }
        let mut next = NEVER;
        match self.quiet_until {
            Some(at) => next = at,
            None => self.each_in_turn(|_, when| next = next.min(when)),
        }
        (next < NEVER).then_some(next)
    }

    /// Calls `visit` with each tracker that may be asked next, in order, and when.
    fn each_in_turn(&self, mut visit: impl FnMut(TrackerRef, Instant)) {
        let mut group = None;
        // In this group somebody answers; nobody further behind is asked before.
        let (mut satisfied, mut not_before) = (false, Instant::ZERO);
        for at in &self.order {
            let Some(tracker) = self.trackers.get(at.0 as usize) else { continue };
            let its_group = match self.policy {
                AnnouncePolicy::Tiers => tracker.tier,
                AnnouncePolicy::All => at.0,
                AnnouncePolicy::First => 0,
            };
            if group.replace(its_group) != Some(its_group) {
                (satisfied, not_before) = (false, Instant::ZERO);
            }
            if tracker.never {
                continue;
            }
            if let Some(asked) = &tracker.asked {
                not_before = not_before.max(asked.since + SLOW);
                continue;
            }
            if tracker.started {
                visit(*at, tracker.next_at);
            } else if !satisfied {
                visit(*at, tracker.next_at.max(not_before));
            }
            satisfied |= tracker.working && !self.starving;
        }
    }

    /// Announces that are under way, or wait for their turn.
    fn asked(&self) -> usize {
        self.trackers.iter().filter(|tracker| tracker.asked.is_some()).count()
    }

    /// The host of a tracker cannot be asked now. One that fails is passed over meanwhile, and so are all others at
    /// the same host.
    pub fn put_off(&mut self, at: TrackerRef, admission: Admission) {
        let Some(tracker) = self.trackers.get_mut(at.0 as usize) else { return };
        let Some(asked) = &mut tracker.asked else { return };
        match admission {
            Admission::Go => asked.in_line = false,
            Admission::InLine => asked.in_line = true,
            Admission::Shunned(until) => {
                self.quiet_until = None;
                tracker.asked = None;
                let (failures, host) = (tracker.failures, host_of(&tracker.url));
                let idle = self.trackers.iter_mut().filter(|tracker| tracker.asked.is_none());
                for other in idle.filter(|other| host_of(&other.url) == host) {
                    // What has failed more often comes behind what has not, or only the first of several
                    // would ever be tried.
                    let later = Duration::from_secs((other.failures > failures).into());
                    other.next_at = other.next_at.max(until + later);
                    (other.host_fails, other.working) = (true, false);
                }
            }
        }
    }

    /// Whether a tracker is waited for in line.
    pub fn is_in_line(&self, at: TrackerRef) -> bool {
        let tracker = self.trackers.get(at.0 as usize);
        tracker.and_then(|tracker| tracker.asked).is_some_and(|asked| asked.in_line)
    }

    /// It is our turn at a tracker that was waited for: the announce that is to be made there.
    pub fn turn(&mut self, at: TrackerRef, now: Instant) -> Option<Order> {
        let completed = self.completed;
        let tracker = self.trackers.get_mut(at.0 as usize)?;
        tracker.asked.filter(|asked| asked.in_line)?;
        let event = tracker.event(completed);
        tracker.asked = Some(Asked { event, since: now, in_line: false });
        self.quiet_until = None;
        Some(tracker.order(at, event))
    }
}
