//! When to announce to whom (BEP 3, 12, 31): the trackers of one torrent.
//!
//! Trackers are asked in groups, which [`AnnouncePolicy`] makes: each tier is one, or each tracker, or all of
//! them. In a group one is asked, and the next where that one fails, is slow, or knows nobody for a torrent that
//! starves. What has answered comes first in its tier. Each tracker that has heard `started` hears of the torrent
//! in its own time from then on: `completed` once and only after a real download, `stopped` at the end.

mod turns;

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::{AnnounceEvent, SwarmCounts, host_of};
use crate::api::{AnnouncePolicy, TrackerState};
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
const MAX_KEPT_TRACKERS: usize = 500;
/// How long a tracker has to answer until the next one of its group is asked as well.
const SLOW: Duration = Duration::from_secs(3);
/// How long nobody is connected until trackers that named others do not suffice.
const ALONE: Duration = Duration::from_secs(30);
/// Announces of one torrent that may be under way at the same time, or wait for their turn.
pub const MAX_ASKED: usize = 32;
/// Hosts that a torrent at rest waits for.
const MAX_HOSTS_WAITED_FOR: usize = 8;

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
    /// Nobody at its host has answered as a tracker does.
    pub host_fails: bool,
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
    /// Peers that it named last.
    pub named: u32,
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
    /// Its host answers nobody as a tracker does, or did not when it was last asked for anyone.
    host_fails: bool,
    asked: Option<Asked>,
}

/// An announce that is under way, or waits for its turn.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Asked {
    event: AnnounceEvent,
    since: Instant,
    /// Others are before us at its host.
    in_line: bool,
}

/// The trackers of one torrent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Announcer {
    trackers: Vec<Tracker>,
    /// The order in which to ask, tier by tier.
    order: Vec<TrackerRef>,
    policy: AnnouncePolicy,
    /// The download finished in this run and someone may have to be told.
    completed: bool,
    running: bool,
    /// Since when nobody is connected, where somebody is needed.
    alone_since: Option<Instant>,
    /// That has been so for long, or nobody is left to try: no tracker that answers suffices.
    starving: bool,
    /// Nothing becomes due before; `None` where that has to be found out.
    quiet_until: Option<Instant>,
}

impl Announcer {
    /// The trackers in `tiers`, shuffled inside each tier (BEP 12).
    pub fn new(tiers: &[Vec<String>], policy: AnnouncePolicy, rng: &mut Rng) -> Self {
        let mut trackers: Vec<Tracker> = Vec::new();
        let mut order = Vec::new();
        let mut known = BTreeSet::new();
        for (tier, urls) in tiers.iter().enumerate() {
            let first = order.len();
            for url in urls {
                if trackers.len() >= MAX_KEPT_TRACKERS || !known.insert(url) {
                    continue;
                }
                order.push(TrackerRef(trackers.len() as u32));
                trackers.push(Tracker::new(url, tier as u32));
            }
            rng.shuffle(&mut order[first..]);
        }
        Self {
            trackers,
            order,
            policy,
            completed: false,
            running: false,
            alone_since: None,
            starving: false,
            quiet_until: None,
        }
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
        self.quiet_until = None;
        if let Some(known) = self.trackers.iter_mut().find(|known| known.url == url) {
            known.trusted |= trusted;
            return;
        }
        if self.trackers.len() >= MAX_KEPT_TRACKERS && !trusted {
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

    /// When trackers are to hear of a torrent that rests: when the first of those expects to that work and know of
    /// it, and none of them before its minimum interval; `None` for never.
    pub fn next_of_all(&self) -> Option<Instant> {
        let told = || self.trackers.iter().filter(|tracker| tracker.started && !tracker.never);
        let works = |tracker: &&Tracker| tracker.working;
        let allowed = told().filter(works).map(|tracker| tracker.not_before).max();
        let first = told().filter(works).map(|tracker| tracker.next_at).min();
        let first = first.or_else(|| told().map(|tracker| tracker.next_at).min());
        first
            .map(|at| allowed.map_or(at, |allowed| at.max(allowed)))
            .or_else(|| self.next_deadline())
    }

    /// The hosts that have to answer before an announce makes sense, where that is so of all trackers: a torrent
    /// that rests need not come back before.
    pub fn hosts_waited_for(&self) -> Vec<String> {
        let mut hosts = Vec::new();
        for tracker in self.trackers().filter(|tracker| !tracker.never) {
            if !tracker.host_fails {
                return Vec::new();
            }
            let host = host_of(&tracker.url);
            if hosts.len() < MAX_HOSTS_WAITED_FOR && !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }

    /// Announces that failed, of the tracker that failed least: what a rest must not forget, or a tracker that
    /// refuses would be asked again after the shortest wait each time.
    pub fn least_failures(&self) -> u32 {
        self.trackers.iter().map(|tracker| tracker.failures).min().unwrap_or(0)
    }

    /// Trackers that were `told` expect to hear of this torrent at `at`, in the session that they
    /// know. The others are not asked earlier. Each has failed at least as often as that.
    pub fn go_on(&mut self, at: Instant, told: u32, failures: u32) {
        self.quiet_until = None;
        for (place, tracker) in self.trackers.iter_mut().enumerate() {
            tracker.started = place < 32 && told >> place & 1 == 1;
            tracker.completed = tracker.started;
            tracker.failures = tracker.failures.max(failures);
            (tracker.next_at, tracker.not_before) = (at, at);
        }
    }

    /// Whether nothing is being announced or due, and who is to hear of the download's end has.
    pub fn is_at_rest(&self, now: Instant) -> bool {
        let untold = |tracker: &Tracker| {
            self.completed && tracker.started && !tracker.completed && !tracker.never
        };
        !self.trackers.iter().any(|tracker| tracker.asked.is_some() || untold(tracker))
            && self.next_deadline().is_none_or(|at| at > now)
    }

    /// Begins to announce.
    pub fn start(&mut self) {
        self.quiet_until = None;
        self.running = true;
    }

    /// The download has just finished.
    pub fn complete(&mut self) {
        self.quiet_until = None;
        self.completed = true;
        let told = self.trackers.iter_mut().filter(|t| t.started && !t.completed);
        told.for_each(|tracker| tracker.next_at = Instant::ZERO);
    }

    /// The user wants an announce now; minimum intervals still hold.
    pub fn force(&mut self) {
        self.quiet_until = None;
        self.trackers.iter_mut().for_each(|tracker| tracker.next_at = tracker.not_before);
    }

    /// Stops announcing. Returns the `stopped` announces to be made: one for each tracker that
    /// heard `started`.
    pub fn stop(&mut self) -> Vec<Order> {
        self.running = false;
        let mut orders = Vec::new();
        for (index, tracker) in self.trackers.iter_mut().enumerate() {
            (tracker.next_at, tracker.asked) = (Instant::ZERO, None);
            if core::mem::take(&mut tracker.started) {
                let event = AnnounceEvent::Stopped;
                orders.push(tracker.order(TrackerRef(index as u32), event));
            }
        }
        orders
    }

    /// A tracker answered, and `named` is the number of peers in its answer.
    pub fn succeeded(&mut self, at: TrackerRef, answer: &Answer, named: u32, now: Instant) {
        let Some(event) = self.take_asked(at) else { return };
        let Some(tracker) = self.trackers.get_mut(at.0 as usize) else { return };
        let (least, most) = (LEAST_INTERVAL, LONGEST_INTERVAL);
        let min = answer.min_interval.unwrap_or(0).min(most);
        let interval = answer.interval.unwrap_or(DEFAULT_INTERVAL).clamp(least, most).max(min);
        tracker.working = true;
        tracker.failures = 0;
        tracker.message = None;
        tracker.host_fails = false;
        tracker.named = named;
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

    /// A tracker failed; the next one of its group is due at once.
    pub fn failed(&mut self, at: TrackerRef, failure: &Failure, now: Instant) {
        if self.take_asked(at).is_none() {
            return;
        }
        let Some(tracker) = self.trackers.get_mut(at.0 as usize) else { return };
        tracker.working = false;
        tracker.host_fails = failure.host_fails;
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
        let failed = |tracker: &Tracker| tracker.failures > 0 || tracker.host_fails;
        self.trackers.iter().all(|t| !t.working) && self.trackers.iter().any(failed)
    }

    fn take_asked(&mut self, at: TrackerRef) -> Option<AnnounceEvent> {
        self.quiet_until = None;
        let asked = self.trackers.get_mut(at.0 as usize)?.asked.take()?;
        Some(asked.event)
    }

    /// Moves a tracker that answered to the front of its tier, behind those that answered before.
    fn promote(&mut self, at: TrackerRef) {
        let tier = self.trackers[at.0 as usize].tier;
        let makes_room = |other: &TrackerRef| {
            let tracker = &self.trackers[other.0 as usize];
            tracker.tier == tier && (!tracker.working || *other == at)
        };
        let first = self.order.iter().position(makes_room);
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
            named: 0,
            id: None,
            next_at: Instant::ZERO,
            not_before: Instant::ZERO,
            started: false,
            completed: false,
            never: false,
            worked_before: false,
            trusted: false,
            host_fails: false,
            asked: None,
        }
    }

    /// What the next announce to it is for.
    fn event(&self, completed: bool) -> AnnounceEvent {
        match (self.started, completed && !self.completed) {
            (false, _) => AnnounceEvent::Started,
            (true, true) => AnnounceEvent::Completed,
            (true, false) => AnnounceEvent::None,
        }
    }

    /// How it stands with it, in a word.
    pub fn state(&self) -> TrackerState {
        match &self.asked {
            _ if self.never => TrackerState::Refusing,
            Some(asked) if asked.in_line => TrackerState::Waiting,
            Some(_) => TrackerState::Asked,
            None if self.working => TrackerState::Working,
            None if self.failures > 0 => TrackerState::Failing,
            None if self.host_fails => TrackerState::HostFails,
            None => TrackerState::Unasked,
        }
    }

    /// When it may be asked next, where that is known.
    pub fn next_at(&self) -> Option<Instant> {
        let is_known = self.asked.is_none() && !self.never && self.next_at > Instant::ZERO;
        is_known.then_some(self.next_at)
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
