//! When to announce to whom (BEP 3, 12, 31): the trackers of one torrent.
//!
//! One tracker at a time is asked, tier by tier, until one answers; that one moves to the front of
//! its tier. `started` is said once, `completed` once and only after a real download, `stopped` only
//! where `started` was heard.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::{Admission, AnnounceEvent, SwarmCounts, host_of};
use crate::base::rng::Rng;
use crate::base::time::Instant;

/// Seconds between announces when the tracker does not say.
const DEFAULT_INTERVAL: u32 = 1800;
/// The shortest interval that a tracker may ask for, in seconds.
const LEAST_INTERVAL: u32 = 30;
/// The longest.
const LONGEST_INTERVAL: u32 = 24 * 3600;
/// Longest wait after failures, in seconds.
const MAX_BACKOFF: u64 = 3600;
/// Longest wait that a tracker may ask for when it refuses, in seconds.
const MAX_RETRY: u64 = 24 * 3600;
/// Trackers of one torrent that are kept; the largest lists that are passed around have some 200.
const MAX_TRACKERS: usize = 500;

/// A tracker of a torrent; stable for the life of the announcer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct TrackerRef(pub u32);

/// What a tracker said, HTTP and UDP alike.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// Seconds to the next announce.
    pub interval: Option<u32>,
    /// Seconds below which none is welcome.
    pub min_interval: Option<u32>,
    /// To be echoed.
    pub tracker_id: Option<Vec<u8>>,
    /// Sizes of the swarm.
    pub counts: SwarmCounts,
}

/// Why an announce failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// For the user.
    pub message: String,
    /// When to try again, in minutes, if the tracker said; `None` inside for never (BEP 31).
    pub retry_in: Option<Option<u32>>,
}

/// An announce to be made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// To whom.
    pub tracker: TrackerRef,
    /// Its URL.
    pub url: String,
    /// What for.
    pub event: AnnounceEvent,
    /// To be echoed.
    pub tracker_id: Option<Vec<u8>>,
    /// The user named it, not a torrent or a magnet.
    pub trusted: bool,
}

/// State of one tracker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tracker {
    /// Its URL.
    pub url: String,
    /// Its tier.
    pub tier: u32,
    /// Failures in a row.
    pub failures: u32,
    /// Whether the last announce succeeded.
    pub working: bool,
    /// What the last failure said.
    pub message: Option<String>,
    /// Sizes of the swarm as it knows them.
    pub counts: SwarmCounts,
    id: Option<Vec<u8>>,
    next_at: Instant,
    not_before: Instant,
    started: bool,
    completed: bool,
    never: bool,
    /// It answered in an earlier run.
    worked_before: bool,
    /// The user named it.
    trusted: bool,
    /// Others are before us at its host, and it is waited for.
    in_line: bool,
}

/// The trackers of one torrent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Announcer {
    trackers: Vec<Tracker>,
    /// The order in which to ask, tier by tier.
    order: Vec<TrackerRef>,
    in_flight: Option<(TrackerRef, AnnounceEvent)>,
    /// The download finished in this run and someone may have to be told.
    completed: bool,
    running: bool,
}

impl Announcer {
    /// The trackers in `tiers`, shuffled inside each tier (BEP 12).
    pub fn new(tiers: &[Vec<String>], rng: &mut Rng) -> Self {
        let mut trackers: Vec<Tracker> = Vec::new();
        let mut order = Vec::new();
        let mut known = BTreeSet::new();
        for (tier, urls) in tiers.iter().enumerate() {
            let first = order.len();
            for url in urls {
                if trackers.len() >= MAX_TRACKERS || !known.insert(url) {
                    continue;
                }
                order.push(TrackerRef(trackers.len() as u32));
                trackers.push(Tracker::new(url, tier as u32));
            }
            rng.shuffle(&mut order[first..]);
        }
        Self { trackers, order, in_flight: None, completed: false, running: false }
    }

    /// All trackers in the order in which they are asked.
    pub fn trackers(&self) -> impl Iterator<Item = &Tracker> {
        self.order.iter().map(|at| &self.trackers[at.0 as usize])
    }

    /// One tracker.
    pub fn tracker(&self, at: TrackerRef) -> Option<&Tracker> {
        self.trackers.get(at.0 as usize)
    }

    /// Adds a tracker as a tier of its own, unless it is there. `trusted`: the user named it.
    pub fn add(&mut self, url: &str, trusted: bool) {
        if let Some(known) = self.trackers.iter_mut().find(|known| known.url == url) {
            known.trusted |= trusted;
            return;
        }
        if self.trackers.len() >= MAX_TRACKERS && !trusted {
            return;
        }
        let tier = self.trackers.iter().map(|tracker| tracker.tier + 1).max().unwrap_or(0);
        self.order.push(TrackerRef(self.trackers.len() as u32));
        self.trackers.push(Tracker { trusted, ..Tracker::new(url, tier) });
    }

    /// The trackers that answered, in the order in which they are asked, with what each wants to be
    /// echoed: for the next run.
    pub fn worth_remembering(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let worked = self.trackers().filter(|tracker| tracker.working || tracker.worked_before);
        worked.map(|tracker| (tracker.url.clone(), tracker.id.clone())).collect()
    }

    /// Asks those first that answered in an earlier run, each in its tier.
    pub fn remember(&mut self, earlier: &[(String, Option<Vec<u8>>)]) {
        let place = |url: &str| earlier.iter().position(|(known, _)| known == url);
        for tracker in &mut self.trackers {
            if let Some(at) = place(&tracker.url) {
                tracker.id.clone_from(&earlier[at].1);
                tracker.worked_before = true;
            }
        }
        let trackers = &self.trackers;
        self.order.sort_by_key(|at| {
            let tracker = &trackers[at.0 as usize];
            (tracker.tier, place(&tracker.url).unwrap_or(usize::MAX))
        });
    }

    /// Which of the first 32 trackers heard `started`, as bits.
    pub fn told(&self) -> u32 {
        let first = self.trackers.iter().take(32).enumerate();
        first.fold(0, |bits, (place, tracker)| bits | u32::from(tracker.started) << place)
    }

    /// When trackers are to hear of a torrent that rests: those that know of it when they expect to,
    /// and the others then; `None` for never.
    pub fn next_of_all(&self) -> Option<Instant> {
        let told = self.trackers.iter().filter(|tracker| tracker.started && !tracker.never);
        told.map(|tracker| tracker.next_at).max().or_else(|| self.next_deadline())
    }

    /// Trackers that were `told` expect to hear of this torrent at `at`, in the session that they
    /// know. The others are not asked earlier.
    pub fn go_on(&mut self, at: Instant, told: u32) {
        for (place, tracker) in self.trackers.iter_mut().enumerate() {
            tracker.started = place < 32 && told >> place & 1 == 1;
            tracker.completed = tracker.started;
            (tracker.next_at, tracker.not_before) = (at, at);
        }
    }

    /// Whether nothing is being announced or due, and who is to hear of the download's end has.
    pub fn is_at_rest(&self, now: Instant) -> bool {
        let untold = |tracker: &Tracker| {
            self.completed && tracker.started && !tracker.completed && !tracker.never
        };
        !self.trackers.iter().any(untold)
            && self.in_flight.is_none()
            && !self.trackers.iter().any(|tracker| tracker.in_line)
            && self.next_deadline().is_none_or(|at| at > now)
    }

    /// Begins to announce.
    pub fn start(&mut self) {
        self.running = true;
    }

    /// The download has just finished.
    pub fn complete(&mut self) {
        self.completed = true;
        let told = self.trackers.iter_mut().filter(|t| t.started && !t.completed);
        told.for_each(|tracker| tracker.next_at = Instant::ZERO);
    }

    /// The user wants an announce now; minimum intervals still hold.
    pub fn force(&mut self) {
        self.trackers.iter_mut().for_each(|tracker| tracker.next_at = tracker.not_before);
    }

    /// Stops announcing. Returns the `stopped` announces to be made: one for each tracker that
    /// heard `started`.
    pub fn stop(&mut self) -> Vec<Order> {
        self.running = false;
        self.in_flight = None;
        let mut orders = Vec::new();
        for (index, tracker) in self.trackers.iter_mut().enumerate() {
            (tracker.next_at, tracker.in_line) = (Instant::ZERO, false);
            if core::mem::take(&mut tracker.started) {
                let event = AnnounceEvent::Stopped;
                orders.push(tracker.order(TrackerRef(index as u32), event));
            }
        }
        orders
    }

    /// The announce that is due at `now`, if any. Its end is told by [`Self::succeeded`] or
    /// [`Self::failed`]; until then there is no other.
    pub fn poll(&mut self, now: Instant) -> Option<Order> {
        if !self.running || self.in_flight.is_some() {
            return None;
        }
        for at in &self.order {
            let tracker = &self.trackers[at.0 as usize];
            if tracker.never {
                continue;
            }
            if tracker.next_at <= now {
                let event = match (tracker.started, self.completed && !tracker.completed) {
                    (false, _) => AnnounceEvent::Started,
                    (true, true) => AnnounceEvent::Completed,
                    (true, false) => AnnounceEvent::None,
                };
                self.in_flight = Some((*at, event));
                let order = tracker.order(*at, event);
                if let Some(tracker) = self.trackers.get_mut(at.0 as usize) {
                    tracker.in_line = false;
                }
                return Some(order);
            }
            // A working tracker whose time has not come satisfies the torrent (BEP 12), and one at
            // which we stand in line is waited for.
            if tracker.working || tracker.in_line {
                return None;
            }
        }
        None
    }

    /// When the next announce may become due; `None` for never, or while one is in flight.
    pub fn next_deadline(&self) -> Option<Instant> {
        if !self.running || self.in_flight.is_some() {
            return None;
        }
        let usable = self.order.iter().map(|at| &self.trackers[at.0 as usize]);
        let mut deadline: Option<Instant> = None;
        for tracker in usable.filter(|tracker| !tracker.never) {
            deadline = Some(deadline.map_or(tracker.next_at, |d| d.min(tracker.next_at)));
            if tracker.working || tracker.in_line {
                break;
            }
        }
        deadline
    }

    /// The host of a tracker cannot be asked now. One that is shunned is passed over meanwhile, and so
    /// are all others at the same host.
    pub fn put_off(&mut self, at: TrackerRef, host: &str, admission: Admission) {
        if self.take_in_flight(at).is_none() {
            return;
        }
        let Some(tracker) = self.trackers.get_mut(at.0 as usize) else { return };
        (tracker.next_at, tracker.in_line) = match admission {
            Admission::Go => return,
            Admission::InLine(look) => (look, true),
            Admission::Shunned(until) => (until, false),
        };
        tracker.working &= tracker.in_line;
        if let Admission::Shunned(until) = admission {
            let failures = tracker.failures;
            for other in self.trackers.iter_mut().filter(|t| host_of(&t.url) == host) {
                // What has failed more often comes behind what has not, or only the first of several
                // would ever be tried.
                let later = Duration::from_secs((other.failures > failures).into());
                other.next_at = other.next_at.max(until + later);
                (other.in_line, other.working) = (false, false);
            }
        }
    }

    /// A tracker answered.
    pub fn succeeded(&mut self, at: TrackerRef, answer: &Answer, now: Instant) {
        let Some(event) = self.take_in_flight(at) else { return };
        // Nobody is waited for any more.
        self.trackers.iter_mut().for_each(|tracker| tracker.in_line = false);
        let Some(tracker) = self.trackers.get_mut(at.0 as usize) else { return };
        let (least, most) = (LEAST_INTERVAL, LONGEST_INTERVAL);
        let min = answer.min_interval.unwrap_or(0).min(most);
        let interval = answer.interval.unwrap_or(DEFAULT_INTERVAL).clamp(least, most).max(min);
        tracker.working = true;
        tracker.failures = 0;
        tracker.message = None;
        tracker.next_at = now + Duration::from_secs(interval.into());
        tracker.not_before = now + Duration::from_secs(min.max(least).into());
        tracker.id = answer.tracker_id.clone().or_else(|| tracker.id.take());
        tracker.counts = answer.counts;
        match event {
            AnnounceEvent::Started => {
                tracker.started = true;
                // A download that finished before anyone heard of it was never `completed` there,
                // unless it began after `started` was sent; then the next poll tells.
            }
            AnnounceEvent::Completed => tracker.completed = true,
            AnnounceEvent::None | AnnounceEvent::Stopped => {}
        }
        if self.completed && !tracker.completed {
            tracker.next_at = now;
        }
        self.promote(at);
    }

    /// A tracker told the sizes of the swarm by a scrape.
    pub fn counted(&mut self, at: TrackerRef, counts: SwarmCounts) {
        if let Some(tracker) = self.trackers.get_mut(at.0 as usize) {
            tracker.counts = counts;
        }
    }

    /// A tracker failed; the next one in line is due at once.
    pub fn failed(&mut self, at: TrackerRef, failure: &Failure, now: Instant) {
        if self.take_in_flight(at).is_none() {
            return;
        }
        let Some(tracker) = self.trackers.get_mut(at.0 as usize) else { return };
        tracker.working = false;
        tracker.failures = tracker.failures.saturating_add(1);
        tracker.message = Some(failure.message.clone());
        let fails = u64::from(tracker.failures.min(1000));
        let own = (5 + 5 * fails * fails * 5 / 2).min(MAX_BACKOFF);
        // A tracker may ask for more patience than we have anyway, not for less.
        let wait = match failure.retry_in {
            Some(Some(minutes)) => (u64::from(minutes) * 60).clamp(own, MAX_RETRY),
            Some(None) => {
                tracker.never = true;
                MAX_BACKOFF
            }
            None => own,
        };
        tracker.next_at = now + Duration::from_secs(wait);
        tracker.not_before = tracker.next_at;
    }

    /// Whether no tracker works, and at least one has failed.
    pub fn all_failed(&self) -> bool {
        self.trackers.iter().all(|t| !t.working) && self.trackers.iter().any(|t| t.failures > 0)
    }

    fn take_in_flight(&mut self, at: TrackerRef) -> Option<AnnounceEvent> {
        let (asked, event) = self.in_flight?;
        (asked == at).then(|| {
            self.in_flight = None;
            event
        })
    }

    /// Moves a tracker that answered to the front of its tier.
    fn promote(&mut self, at: TrackerRef) {
        let tier = self.trackers[at.0 as usize].tier;
        let in_tier = |other: &TrackerRef| self.trackers[other.0 as usize].tier == tier;
        let first = self.order.iter().position(in_tier);
        let place = self.order.iter().position(|other| *other == at);
        if let (Some(first), Some(place)) = (first, place) {
            self.order[first..=place].rotate_right(1);
        }
    }
}

impl Tracker {
    fn new(url: &str, tier: u32) -> Self {
        Self {
            url: url.to_string(),
            tier,
            failures: 0,
            working: false,
            message: None,
            counts: SwarmCounts::default(),
            id: None,
            next_at: Instant::ZERO,
            not_before: Instant::ZERO,
            started: false,
            completed: false,
            never: false,
            worked_before: false,
            trusted: false,
            in_line: false,
        }
    }

    fn order(&self, tracker: TrackerRef, event: AnnounceEvent) -> Order {
        Order {
            tracker,
            url: self.url.clone(),
            event,
            tracker_id: self.id.clone(),
            trusted: self.trusted,
        }
    }
}
