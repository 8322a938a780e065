//! How much web servers are asked for: one budget for each host that web seeds of any torrent are at, or lead to.
//!
//! A torrent may name any host as a web seed, by as many URLs as it likes, and has as many files as it likes. So a host
//! that has brought nothing gets few requests; one that brings what it is asked for gets them back. A host that brings
//! nothing many times in a row is left alone for longer and longer, and all hosts that have brought nothing yet have
//! one budget together. Who redirects answers for where it leads.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::pace::{Pace, Taken};
use crate::base::time::Instant;

/// Requests that a host gets which has brought nothing.
const UNPROVEN: Pace = Pace::new(8, 500);
/// Those of one that has, or that the user named, and which it does not answer.
const PROVEN: Pace = Pace::new(64, 500);
/// Requests to all hosts together that have brought nothing yet.
const STRANGERS: Pace = Pace::new(60, 250);
/// Requests in a row that bring nothing before a host is left alone that has brought nothing: it may lack some files,
/// and have others.
const MISSES: u32 = 8;
/// The same of a host that has; it has to prove itself again.
const LAPSED: u32 = 200;
/// Longest time that a host is left alone, in seconds.
const LONGEST_WAIT: u64 = 600;
/// Hosts that are told apart; others share one budget.
const MAX_HOSTS: usize = 1000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Host {
    taken: Taken,
    /// It has brought something.
    proven: bool,
    /// The user named it.
    named: bool,
    /// Requests in a row that brought nothing.
    misses: u32,
    /// It is left alone until then.
    until: Instant,
}

impl Host {
    const fn pace(&self) -> Pace {
        if self.proven || self.named { PROVEN } else { UNPROVEN }
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.taken.is_free(now) && self.until <= now
    }
}

/// All hosts that web seeds are at.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WebHosts {
    hosts: BTreeMap<String, Host>,
    strangers: Taken,
    swept_at: Instant,
    /// A torrent of which no web seed is asked waits for a place.
    crowded: bool,
    /// When somebody has to give way, at the earliest.
    room_at: Instant,
}

/// Requests to web seeds at the same time, of all torrents.
pub const MAX_FETCHES: u32 = 64;

impl WebHosts {
    /// Whether a torrent with `own` requests of `all` may make another: it may have as many as it leaves free, so that
    /// there is one for each.
    pub fn has_room(&self, own: u32, all: u32) -> bool {
        own < MAX_FETCHES.saturating_sub(all)
    }

    /// A torrent of which no web seed is asked waits for a place.
    pub fn is_crowded(&mut self) {
        self.crowded = true;
    }

    /// Whether one request has to give way now.
    pub fn wants_room(&mut self, now: Instant) -> bool {
        let wants = self.crowded && self.room_at <= now;
        if wants {
            (self.crowded, self.room_at) = (false, now + Duration::from_secs(1));
        }
        wants
    }

    /// Whether a host may be asked now.
    ///
    /// # Errors
    /// When it may be.
    pub fn may_ask(&self, host: &str, now: Instant) -> Result<(), Instant> {
        let unknown = Host::default();
        let entry = self.hosts.get(self.name(host)).unwrap_or(&unknown);
        let wait = entry.taken.wait(entry.pace(), now);
        let wait = if entry.proven || entry.named {
            wait
        } else {
            wait.max(self.strangers.wait(STRANGERS, now))
        };
        let at = entry.until.max(now + wait);
        if at > now { Err(at) } else { Ok(()) }
    }

    /// A host is asked; `named` where the user named it.
    pub fn asked(&mut self, host: &str, named: bool, now: Instant) {
        if self.hosts.len() >= MAX_HOSTS && now.since(self.swept_at) >= Duration::from_secs(4) {
            self.hosts.retain(|_, entry| !entry.is_idle(now));
            self.swept_at = now;
        }
        let host = self.name(host).to_string();
        let entry = self.hosts.entry(host).or_default();
        entry.named |= named;
        entry.taken.charge(entry.pace(), now);
        if !entry.proven && !entry.named {
            self.strangers.charge(STRANGERS, now);
        }
    }

    /// What a host was asked for has come from it, or from where it led.
    pub fn brought(&mut self, host: &str) {
        let host = self.name(host).to_string();
        let Some(entry) = self.hosts.get_mut(&host) else { return };
        entry.taken.give_back(PROVEN);
        if !core::mem::replace(&mut entry.proven, true) && !entry.named {
            self.strangers.give_back(STRANGERS);
        }
        (entry.misses, entry.until) = (0, Instant::ZERO);
    }

    /// Nothing came.
    pub fn missed(&mut self, host: &str, now: Instant) {
        let host = self.name(host).to_string();
        let Some(entry) = self.hosts.get_mut(&host) else { return };
        // Those that were in progress when it was left alone say nothing new.
        if entry.until > now {
            return;
        }
        entry.misses = entry.misses.saturating_add(1);
        let most = if entry.proven { LAPSED } else { MISSES };
        // What the user wants is asked for, at its pace.
        if entry.misses >= most && !entry.named {
            if core::mem::take(&mut entry.proven) {
                entry.misses = MISSES;
            }
            let seconds = 1 << (entry.misses - MISSES).min(10);
            entry.until = now + Duration::from_secs(LONGEST_WAIT.min(seconds));
        }
    }

    /// What a host is called here: by its name, or with all others where there are too many.
    fn name<'a>(&self, host: &'a str) -> &'a str {
        let full = self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(host);
        if full { "" } else { host }
    }

    /// Whether its memory is bounded.
    pub fn is_bounded(&self) -> bool {
        self.hosts.len() <= MAX_HOSTS + 1
    }

    /// More hosts than there may be.
    #[cfg(feature = "corruption")]
    pub(crate) fn overfill(&mut self) {
        for n in 0..=MAX_HOSTS + 1 {
            self.hosts.insert(n.to_string(), Host::default());
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the budgets of hosts.

    use super::*;
    use alloc::format;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(1_000_000 + seconds * 1000)
    }

    fn ask(hosts: &mut WebHosts, host: &str, now: Instant) -> bool {
        let may = hosts.may_ask(host, now).is_ok();
        if may {
            hosts.asked(host, false, now);
        }
        may
    }

    #[test]
    fn a_host_that_brings_nothing_gets_few_requests_and_then_ever_fewer() {
        let mut hosts = WebHosts::default();
        let mut count = 0;
        for second in 0..3600 {
            while ask(&mut hosts, "victim", at(second)) {
                count += 1;
                hosts.missed("victim", at(second));
            }
        }
        assert!((8..30).contains(&count), "{count} requests in an hour");
    }

    #[test]
    fn a_host_that_brings_what_it_is_asked_for_is_asked_without_end() {
        let mut hosts = WebHosts::default();
        for n in 0..10_000 {
            assert!(ask(&mut hosts, "mirror", at(0)), "{n}");
            // It lacks one file of two.
            if n % 2 == 0 {
                hosts.brought("mirror")
            } else {
                hosts.missed("mirror", at(n / 4))
            }
            if n % 2 == 1 {
                hosts.hosts.get_mut("mirror").expect("it was asked").taken = Taken::default();
            }
        }
    }

    #[test]
    fn a_mirror_that_lacks_many_files_in_a_row_is_asked_for_those_behind_them() {
        let mut hosts = WebHosts::default();
        assert!(ask(&mut hosts, "mirror", at(0)));
        hosts.brought("mirror");
        let (mut missed, mut second) = (0, 0);
        while missed < 100 {
            if ask(&mut hosts, "mirror", at(second)) {
                hosts.missed("mirror", at(second));
                missed += 1;
            } else {
                second += 1;
            }
        }
        assert!(
            second <= 20 && hosts.may_ask("mirror", at(second + 1)).is_ok(),
            "{second} seconds"
        );
    }

    #[test]
    fn what_the_user_names_is_asked_without_end_at_its_pace() {
        let mut hosts = WebHosts::default();
        hosts.asked("own", true, at(0));
        let mut asked = 0;
        for second in 0..1000 {
            while ask(&mut hosts, "own", at(second)) {
                hosts.missed("own", at(second));
                asked += 1;
            }
        }
        assert!((2000..=2064).contains(&asked), "{asked}");
    }

    #[test]
    fn who_has_brought_something_may_miss_more_often_than_who_has_not() {
        let mut hosts = WebHosts::default();
        assert!(ask(&mut hosts, "mirror", at(0)));
        hosts.brought("mirror");
        let asked = (0..1000).filter(|_| ask(&mut hosts, "mirror", at(0))).count();
        let stranger = (0..1000).filter(|_| ask(&mut hosts, "other", at(0))).count();
        assert_eq!((asked, stranger), (64, 8));
    }

    #[test]
    fn all_who_have_brought_nothing_have_one_budget_and_take_nothing_from_others() {
        let mut hosts = WebHosts::default();
        assert!(ask(&mut hosts, "mirror", at(0)));
        hosts.brought("mirror");
        let names = (0..1000).map(|n| format!("{n}.example"));
        assert_eq!(names.filter(|name| ask(&mut hosts, name, at(0))).count(), 60);
        assert!(ask(&mut hosts, "mirror", at(0)));
    }

    #[test]
    fn too_many_hosts_share_one_budget() {
        let mut hosts = WebHosts::default();
        for n in 0..5 * MAX_HOSTS as u64 {
            hosts.asked(&format!("{n}.example"), false, at(0));
        }
        assert!(hosts.is_bounded());
    }
}
