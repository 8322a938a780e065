//! How much is asked of whom: one budget for each host that trackers of any torrent are at, and one for each address
//! that names of UDP trackers lead to.
//!
//! A torrent may name any host as its tracker, as often as it likes, and thousands of torrents may
//! name one that is none. So a host that has not answered as a tracker does gets few announces, one
//! that fails is left alone for longer and longer, whoever would ask it, and all hosts that have not
//! proven themselves have one budget together. One that has answered may be asked for many torrents.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::pace::{Pace, Taken};
use crate::base::time::Instant;

/// Announces to a host that has answered as a tracker.
const PROVEN: Pace = Pace::new(100, 50);
/// Announces to any other host.
const UNPROVEN: Pace = Pace::new(8, 500);
/// Announces to one that has failed, when it is tried again.
const FAILED: Pace = Pace::new(1, 2000);
/// Announces to all hosts together that have not answered yet.
const STRANGERS: Pace = Pace::new(60, 250);
/// Announces in progress at one host that has answered.
const IN_FLIGHT_PROVEN: u32 = 8;
/// The same at one that has not.
const IN_FLIGHT_UNPROVEN: u32 = 4;
/// Longest time that a host is left alone after failures, in seconds.
const MAX_SHUN: u64 = 600;
/// How soon somebody in line looks again, at the least and at the most, before they are spread.
const CROWDED: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_secs(4);
/// Milliseconds over which those who wait are spread when they try again.
const SPREAD_MILLIS: u64 = 4000;
/// Last announces (`stopped`) that a host gets beyond what it gets anyway: those few seconds do not
/// suffice for a line.
const LAST_WORDS: Pace = Pace::new(200, 50);
/// Hosts that are told apart; others share one budget.
const MAX_HOSTS: usize = 4000;

/// Whether a host may be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Now; its end is told by [`Hosts::ended`].
    Go,
    /// Others are before us: look again then.
    InLine(Instant),
    /// It fails and is left alone until then.
    Shunned(Instant),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Host {
    taken: Taken,
    in_flight: u32,
    proven: bool,
    failures: u32,
    failed_at: Instant,
    shunned_until: Instant,
}

impl Host {
    fn pace(&self) -> Pace {
        match (self.failures, self.proven) {
            (0, true) => PROVEN,
            (0, false) => UNPROVEN,
            _ => FAILED,
        }
    }

    /// Announces that may be in progress.
    fn most(&self) -> u32 {
        match (self.failures, self.proven) {
            (0, true) => IN_FLIGHT_PROVEN,
            (0, false) => IN_FLIGHT_UNPROVEN,
            _ => 1,
        }
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.in_flight == 0 && self.taken.is_free(now) && self.shunned_until <= now
    }
}

/// All hosts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Hosts {
    hosts: BTreeMap<String, Host>,
    strangers: Taken,
    swept_at: Instant,
    spread: u32,
}

impl Hosts {
    /// Whether `host` may be asked now. If so, it is being asked.
    pub fn begin(&mut self, host: &str, now: Instant) -> Admission {
        let admission = self.look(host, now);
        if admission == Admission::Go {
            let entry = self.entry(host, now);
            entry.in_flight += 1;
            let proven = entry.proven;
            self.charge(host, proven, now);
        }
        admission
    }

    /// Whether `host` could be asked now.
    pub fn look(&mut self, host: &str, now: Instant) -> Admission {
        let strangers = self.strangers.wait(STRANGERS, now);
        let entry = self.entry(host, now);
        if entry.shunned_until > now {
            return Admission::Shunned(entry.shunned_until);
        }
        let (proven, pace, most) = (entry.proven, entry.pace(), entry.most());
        let wait = entry.taken.wait(pace, now).max(if proven { Duration::ZERO } else { strangers });
        if wait.is_zero() && entry.in_flight < most {
            return Admission::Go;
        }
        // Thousands in line do not look in the same moment.
        self.spread = self.spread.wrapping_add(1);
        let spread = Duration::from_millis(u64::from(self.spread) * 617 % SPREAD_MILLIS);
        Admission::InLine(now + wait.clamp(CROWDED, LOOK_AGAIN) + spread)
    }

    fn charge(&mut self, host: &str, proven: bool, now: Instant) {
        let entry = self.entry(host, now);
        entry.taken.charge(entry.pace(), now);
        if !proven {
            self.strangers.charge(STRANGERS, now);
        }
    }

    /// An announce to `host` that has begun at `now` is not made after all.
    pub fn not_asked(&mut self, host: &str, now: Instant) {
        let entry = self.entry(host, now);
        entry.in_flight = entry.in_flight.saturating_sub(1);
        entry.taken.give_back(entry.pace());
        if !entry.proven {
            self.strangers.give_back(STRANGERS);
        }
    }

    /// Whether one request more may go to `host` on the way of something that goes on anyway: another
    /// address family, a scrape, a redirect. It counts.
    pub fn another(&mut self, host: &str, now: Instant) -> bool {
        let strangers = self.strangers;
        let entry = self.entry(host, now);
        let pace = entry.pace();
        let free = entry.proven || strangers.wait(STRANGERS, now).is_zero();
        let may = free && entry.shunned_until <= now && entry.taken.wait(pace, now).is_zero();
        let proven = entry.proven;
        if may {
            self.charge(host, proven, now);
        }
        may
    }

    /// Whether the last announce of a torrent may go to `host`, which has heard its first.
    pub fn last_word(&mut self, host: &str, now: Instant) -> bool {
        self.entry(host, now).taken.take(LAST_WORDS, now)
    }

    /// An announce that began at `began` has ended: `spoke` says whether the host answered as a
    /// tracker does, be it with a refusal.
    pub fn ended(&mut self, host: &str, began: Instant, spoke: bool, now: Instant) {
        let entry = self.entry(host, now);
        entry.in_flight = entry.in_flight.saturating_sub(1);
        self.request_ended(host, began, spoke, now);
    }

    /// A request that was let through by [`Self::another`] has ended.
    pub fn request_ended(&mut self, host: &str, began: Instant, spoke: bool, now: Instant) {
        let entry = self.entry(host, now);
        if spoke {
            if !entry.proven || entry.failures > 0 {
                entry.taken = Taken::default();
            }
            (entry.proven, entry.failures, entry.shunned_until) = (true, 0, Instant::ZERO);
        } else if entry.failures == 0 || began >= entry.failed_at {
            // Those that were in progress with the first that failed say nothing new.
            entry.failures = entry.failures.saturating_add(1);
            entry.failed_at = now;
            entry.proven &= entry.failures < 3;
            let fails = u64::from(entry.failures.min(100));
            // What a torrent waits by itself after as many failures, up to a bound.
            let seconds = (5 + 5 * fails * fails * 5 / 2).min(MAX_SHUN);
            entry.shunned_until = now + Duration::from_secs(seconds);
        }
    }

    /// The user wants to know whether `host` is there.
    pub fn pardon(&mut self, host: &str) {
        if let Some(entry) = self.hosts.get_mut(host) {
            entry.shunned_until = Instant::ZERO;
        }
    }

    /// Announces in progress, at all hosts.
    pub fn in_flight(&self) -> u32 {
        self.hosts.values().map(|host| host.in_flight).sum()
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.hosts.len() > MAX_HOSTS + 1 {
            return Err("addresses that strangers name are counted in bounded memory");
        }
        Ok(())
    }

    fn entry(&mut self, host: &str, now: Instant) -> &mut Host {
        if self.hosts.len() >= MAX_HOSTS && now.since(self.swept_at) >= LOOK_AGAIN {
            self.hosts.retain(|_, entry| !entry.is_idle(now));
            self.swept_at = now;
        }
        let full = self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(host);
        let name = if full { String::new() } else { host.to_string() };
        self.hosts.entry(name).or_default()
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of budgets of hosts.

    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1_000_000 + millis)
    }

    /// Ten thousand torrents ask whenever they may; the host takes 100 ms. Returns how often it was
    /// asked in `seconds`.
    fn asked(hosts: &mut Hosts, spoke: bool, seconds: u64) -> u32 {
        let mut waiting = vec![at(0); 10_000];
        let (mut running, mut count) = (Vec::new(), 0);
        for tick in 0..seconds * 10 {
            let now = at(tick * 100);
            running.retain(|began| {
                let over = now.millis_since(*began) >= 100;
                over.then(|| hosts.ended("host", *began, spoke, now));
                !over
            });
            for look in &mut waiting {
                if *look > now {
                    continue;
                }
                *look = match hosts.begin("host", now) {
                    Admission::Go => {
                        running.push(now);
                        count += 1;
                        now + Duration::from_secs(1800)
                    }
                    Admission::InLine(again) | Admission::Shunned(again) => again,
                };
            }
            hosts.check().unwrap();
        }
        count
    }

    #[test]
    fn a_host_that_is_no_tracker_is_left_alone_whoever_names_it() {
        let count = asked(&mut Hosts::default(), false, 3600);
        assert!((10..30).contains(&count), "{count} announces in an hour");
    }

    #[test]
    fn a_tracker_is_asked_for_thousands_of_torrents_in_turn() {
        let count = asked(&mut Hosts::default(), true, 1200);
        assert_eq!(count, 10_000, "all of them have had their turn");
    }

    #[test]
    fn thousands_of_names_have_one_budget_until_they_answer() {
        let mut hosts = Hosts::default();
        let begin = |hosts: &mut Hosts, n: u32, second: u64| {
            hosts.begin(&alloc::format!("h{n}"), at(second * 1000)) == Admission::Go
        };
        assert_eq!((0..10_000).filter(|n| begin(&mut hosts, *n, 0)).count(), 60);
        hosts.check().unwrap();
        // One that answers depends on nobody else.
        hosts.ended("h1", at(0), true, at(100));
        assert!((0..8).all(|_| begin(&mut hosts, 1, 1)));
    }

    #[test]
    fn failures_at_the_same_time_count_once_and_an_answer_ends_the_shunning() {
        let mut hosts = Hosts::default();
        for _ in 0..4 {
            assert_eq!(hosts.begin("a", at(0)), Admission::Go);
        }
        (0..4).for_each(|_| hosts.ended("a", at(0), false, at(1000)));
        assert_eq!(hosts.begin("a", at(2000)), Admission::Shunned(at(18_000)));
        assert!(!hosts.another("a", at(2000)));
        assert_eq!(hosts.begin("a", at(18_000)), Admission::Go);
        hosts.ended("a", at(18_000), true, at(19_000));
        assert_eq!(hosts.begin("a", at(19_000)), Admission::Go);
        hosts.ended("a", at(19_000), false, at(20_000));
        hosts.pardon("a");
        assert_eq!(hosts.begin("a", at(21_000)), Admission::Go);
    }
}
