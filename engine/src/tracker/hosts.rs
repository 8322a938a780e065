//! How much is asked of whom: one budget for each host that trackers of any torrent are at. Over UDP that
//! is the address to which a name leads, once that is known: names are free, and many may lead to one.
//!
//! A torrent may name any host as its tracker, as often as it likes, and thousands of torrents may
//! name one that is none. So a host that has not answered as a tracker does gets few announces, one
//! that fails is left alone for longer and longer, whoever would ask it, and all hosts that have not
//! proven themselves have one budget together. One that has answered may be asked for many torrents.
//!
//! Who cannot be served at once stands in the host's line and is told when it is its turn. A host that fails has no
//! line: one torrent asks whether it is back, and the others look again later, spread over time.

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::TrackerRef;
use crate::base::ids::TorrentId;
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
/// How long an announce is waited for that asks whether a host is back.
const PROBE: Duration = Duration::from_secs(30);
/// How often hosts that nothing is known of any more are looked for, at the most.
const SWEEP: Duration = Duration::from_secs(4);
/// How far those lie apart who look again at a host that fails, and how many of them there are until they begin
/// from the front.
const APART: Duration = Duration::from_millis(5);
const MOST_APART: u32 = 12_000;
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
    /// Others are before us; we are told when it is our turn.
    InLine,
    /// It fails and is left alone until then.
    Shunned(Instant),
}

/// A tracker of a torrent.
pub type Asker = (TorrentId, TrackerRef);

/// Whether somebody still waits for its turn.
pub type Waits<'a> = &'a dyn Fn(TorrentId, TrackerRef) -> bool;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Host {
    taken: Taken,
    in_flight: u32,
    proven: bool,
    failures: u32,
    failed_at: Instant,
    shunned_until: Instant,
    /// How often somebody was put off since it failed last.
    put_off: u32,
    /// Who waits, in the order in which they came. Those who do not wait any more stay until it is their turn.
    line: VecDeque<Asker>,
    /// When it is the turn of the first in line; `None` where another announce has to end before.
    turn: Option<(Instant, u64)>,
    /// When the budget of all hosts that have not proven themselves has something for this one.
    reserved: Option<Instant>,
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

    /// Until when nobody else is to ask whether it is back.
    fn fails_until(&self, now: Instant) -> Option<Instant> {
        let probed = self.failures > 0 && self.in_flight > 0;
        let until = if probed { now + PROBE } else { Instant::ZERO };
        let until = until.max(self.shunned_until);
        (until > now).then_some(until)
    }

    /// When somebody looks again who cannot ask before `until`.
    fn later(&mut self, until: Instant) -> Instant {
        let at = until + APART * (self.put_off % MOST_APART);
        self.put_off = self.put_off.wrapping_add(1);
        at
    }

    fn is_idle(&self, now: Instant) -> bool {
        let unused = self.in_flight == 0 && self.line.is_empty();
        unused && self.taken.is_free(now) && self.shunned_until <= now
    }
}

/// What has become of somebody who stood in line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turned {
    /// It is its turn; the end of its announce is told by [`Hosts::ended`].
    Go(Asker),
    /// The host has failed; not before then.
    PutOff(Asker, Instant),
}

/// All hosts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Hosts {
    hosts: BTreeMap<String, Host>,
    strangers: Taken,
    swept_at: Instant,
    /// Everybody who stands in a line.
    waiting: BTreeSet<Asker>,
    /// The turns of lines that wait for nothing but time, at the same time in the order in which they were made:
    /// names of hosts must not decide.
    turns: BTreeMap<(Instant, u64), String>,
    made: u64,
}

impl Hosts {
    /// What a host is called here: by its name, or with all others where there are too many.
    pub fn key(&mut self, host: String, now: Instant) -> String {
        if self.hosts.len() >= MAX_HOSTS && now.since(self.swept_at) >= SWEEP {
            self.hosts.retain(|_, entry| !entry.is_idle(now));
            self.swept_at = now;
        }
        let full = self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(&host);
        if full { String::new() } else { host }
    }

    /// Whether `key` may be asked now; where others are before, `asker` stands in line.
    pub fn begin(&mut self, key: &str, asker: Asker, now: Instant) -> Admission {
        self.admit(key, asker, false, now)
    }

    /// The same; `paid` says whether what all strangers share was charged already.
    fn admit(&mut self, key: &str, asker: Asker, paid: bool, now: Instant) -> Admission {
        let strangers = &mut self.strangers;
        let entry = self.hosts.entry(key.to_string()).or_default();
        if let Some(until) = entry.fails_until(now) {
            return Admission::Shunned(entry.later(until));
        }
        let wait = entry.taken.wait(entry.pace(), now);
        if entry.failures > 0 && !wait.is_zero() {
            return Admission::Shunned(entry.later(now + wait));
        }
        let free = entry.line.is_empty() && entry.in_flight < entry.most() && wait.is_zero();
        let paid = paid || entry.proven;
        if free && (paid || strangers.wait(STRANGERS, now).is_zero()) {
            entry.in_flight += 1;
            entry.taken.charge(entry.pace(), now);
            if !paid {
                strangers.charge(STRANGERS, now);
            }
            return Admission::Go;
        }
        if self.waiting.insert(asker) {
            entry.line.push_back(asker);
        }
        if entry.line.len() == 1 {
            self.set_turn(key, now);
        }
        Admission::InLine
    }

    /// Whether an announce that goes to another address of a tracker may go to `key` too, for which nobody stands in
    /// line. Its end is told by [`Self::ended`]. All strangers together have been charged for it already.
    pub fn as_well(&mut self, key: &str, now: Instant) -> bool {
        let entry = self.hosts.entry(key.to_string()).or_default();
        let free = entry.line.is_empty() && entry.in_flight < entry.most();
        let may = free && entry.fails_until(now).is_none() && entry.taken.take(entry.pace(), now);
        entry.in_flight += u32::from(may);
        may
    }

    /// An announce that was let through to `from` leads to `to`: whether that may be asked now. What all
    /// strangers share has been paid. [`Self::advance`] comes next for both.
    pub fn moves(&mut self, from: &str, to: &str, asker: Asker, now: Instant) -> Admission {
        let Some(entry) = self.hosts.get_mut(from) else { return self.begin(to, asker, now) };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        let paid = !entry.proven;
        let admission = self.admit(to, asker, paid, now);
        let is_proven = self.hosts.get(to).is_some_and(|entry| entry.proven);
        if paid && (is_proven || admission != Admission::Go) {
            self.strangers.give_back(STRANGERS);
        }
        admission
    }

    /// The name of `from` leads to `to`, and whoever waits for it waits there. [`Self::advance`] comes next for both.
    pub fn leads(&mut self, from: &str, to: &str) {
        let Some(entry) = self.hosts.get_mut(from) else { return };
        // What may have failed is the look-up.
        (entry.failures, entry.shunned_until) = (0, Instant::ZERO);
        let line = core::mem::take(&mut entry.line);
        self.hosts.entry(to.to_string()).or_default().line.extend(line);
    }

    /// Whether one request more may go to `key` on the way of something that goes on anyway: a scrape, a
    /// redirect. It counts.
    pub fn another(&mut self, key: &str, now: Instant) -> bool {
        let strangers = &mut self.strangers;
        let entry = self.hosts.entry(key.to_string()).or_default();
        let pace = entry.pace();
        let free = entry.proven || strangers.wait(STRANGERS, now).is_zero();
        let may = free && entry.shunned_until <= now && entry.taken.take(pace, now);
        if may && !entry.proven {
            strangers.charge(STRANGERS, now);
        }
        may
    }

    /// Whether the last announce of a torrent may go to `key`, which has heard its first.
    pub fn last_word(&mut self, key: &str, now: Instant) -> bool {
        self.hosts.entry(key.to_string()).or_default().taken.take(LAST_WORDS, now)
    }

    /// An announce that began at `began` has ended: `spoke` says whether the host answered as a
    /// tracker does, be it with a refusal. [`Self::advance`] comes next.
    pub fn ended(&mut self, key: &str, began: Instant, spoke: bool, now: Instant) {
        if let Some(entry) = self.hosts.get_mut(key) {
            entry.in_flight = entry.in_flight.saturating_sub(1);
        }
        self.request_ended(key, began, spoke, now);
    }

    /// A request that was let through by [`Self::another`] has ended. [`Self::advance`] comes next.
    pub fn request_ended(&mut self, key: &str, began: Instant, spoke: bool, now: Instant) {
        let entry = self.hosts.entry(key.to_string()).or_default();
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
            entry.put_off = 0;
        }
    }

    /// Something has changed at `key`: whoever's turn it is goes, and where it fails nobody waits.
    pub fn advance(&mut self, key: &str, waits: Waits, now: Instant, turned: &mut Vec<Turned>) {
        let Some(entry) = self.hosts.get_mut(key) else { return };
        if let Some(until) = entry.fails_until(now) {
            while let Some(asker) = entry.line.pop_front() {
                self.waiting.remove(&asker);
                turned.push(Turned::PutOff(asker, entry.later(until)));
            }
        }
        loop {
            let Some(entry) = self.hosts.get_mut(key) else { return };
            while let Some(asker) = entry.line.front().copied()
                && !waits(asker.0, asker.1)
            {
                entry.line.pop_front();
                self.waiting.remove(&asker);
            }
            self.set_turn(key, now);
            let Some(entry) = self.hosts.get_mut(key) else { return };
            if entry.turn.is_none_or(|(at, _)| at > now) {
                return;
            }
            let Some(asker) = entry.line.pop_front() else { return };
            self.waiting.remove(&asker);
            entry.in_flight += 1;
            entry.taken.charge(entry.pace(), now);
            entry.reserved = None;
            turned.push(Turned::Go(asker));
        }
    }

    /// Notes when it is the turn of the first in line.
    fn set_turn(&mut self, key: &str, now: Instant) {
        let Some(entry) = self.hosts.get_mut(key) else { return };
        if let Some(turn) = entry.turn.take() {
            self.turns.remove(&turn);
        }
        if entry.line.is_empty() {
            entry.reserved = None;
        } else if entry.in_flight < entry.most() {
            let mut at = now + entry.taken.wait(entry.pace(), now);
            if !entry.proven {
                let reserved = entry.reserved.get_or_insert_with(|| {
                    let wait = self.strangers.wait(STRANGERS, now);
                    self.strangers.charge(STRANGERS, now);
                    now + wait
                });
                at = at.max(*reserved);
            }
            self.made += 1;
            entry.turn = Some((at, self.made));
            self.turns.insert((at, self.made), key.to_string());
        }
    }

    /// Lets those go whose turn has come. With each host that has one.
    pub fn poll(&mut self, waits: Waits, now: Instant) -> Vec<(String, Vec<Turned>)> {
        let mut all = Vec::new();
        while let Some(first) = self.turns.first_entry()
            && first.key().0 <= now
        {
            let (key, mut turned) = (first.remove(), Vec::new());
            self.advance(&key, waits, now, &mut turned);
            all.push((key, turned));
        }
        all
    }

    /// When [`Self::poll`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.turns.first_key_value().map(|((at, _), _)| *at)
    }

    /// The user wants to know whether `host` is there.
    pub fn pardon(&mut self, host: &str) {
        if let Some(entry) = self.hosts.get_mut(host) {
            entry.shunned_until = Instant::ZERO;
        }
    }

    /// Which of the hosts that a tracker is at is to be asked: the first that does not fail.
    pub fn best(&self, keys: &[String], now: Instant) -> Option<String> {
        let fails = |key: &&String| {
            self.hosts.get(*key).is_some_and(|entry| entry.fails_until(now).is_some())
        };
        keys.iter().find(|key| !fails(key)).or(keys.first()).cloned()
    }

    /// Whether anything is known of a host.
    pub fn knows(&self, key: &str) -> bool {
        self.hosts.contains_key(key)
    }

    /// Whether a host may be asked, by somebody who does not stand in its line: `Ok` says whether it has answered
    /// since it failed, if it did, and `Err` until when it is left alone.
    pub fn is_back(&self, host: &str, now: Instant) -> Result<bool, Instant> {
        let Some(entry) = self.hosts.get(host) else { return Ok(false) };
        match entry.fails_until(now) {
            Some(until) => Err(until),
            None => Ok(entry.failures == 0 && entry.proven),
        }
    }

    /// What must hold after every step, `announces` being those in progress, each at its host.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check<'a>(
        &self,
        announces: impl Iterator<Item = &'a String>,
    ) -> Result<(), &'static str> {
        if self.hosts.len() > MAX_HOSTS + 1 {
            return Err("addresses that strangers name are counted in bounded memory");
        }
        let mut in_flight: BTreeMap<&String, u32> = BTreeMap::new();
        for host in announces {
            *in_flight.entry(host).or_default() += 1;
        }
        let counted = self.hosts.iter().filter(|(_, entry)| entry.in_flight > 0);
        if !counted.map(|(host, entry)| (host, entry.in_flight)).eq(in_flight) {
            return Err("announces in progress at a host equal the recount");
        }
        let stuck = |entry: &Host| {
            !entry.line.is_empty() && entry.turn.is_none() && entry.in_flight < entry.most()
        };
        if self.hosts.values().any(stuck) {
            return Err("nobody waits for a tracker that could be asked");
        }
        let waiting: usize = self.hosts.values().map(|entry| entry.line.len()).sum();
        let turns = self.hosts.iter().filter_map(|(host, entry)| Some((entry.turn?, host.clone())));
        let turns: BTreeMap<_, _> = turns.collect();
        if waiting == self.waiting.len() && turns == self.turns {
            Ok(())
        } else {
            Err("whoever waits for a tracker stands in one line, and each line has its turn")
        }
    }
}

#[cfg(feature = "corruption")]
impl Hosts {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        let entry = self.hosts.entry("nobody".into()).or_default();
        match rule {
            "announces in progress at a host equal the recount" => entry.in_flight += 1,
            "whoever waits for a tracker stands in one line, and each line has its turn" => {
                self.turns.insert((Instant::ZERO, 0), "nobody".into());
            }
            "nobody waits for a tracker that could be asked" => {
                let asker = (TorrentId::from_u64(7), TrackerRef(7));
                entry.line.push_back(asker);
                self.waiting.insert(asker);
            }
            _ => return None,
        }
        Some(())
    }
}
