//! Whose turn it is: a few lines are asked for at a time, and who brings too little makes room.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::line::Line;
use super::{LineKey, MetadataFetch};
use crate::base::prefix::Prefix;
use crate::base::time::Instant;

/// Lines that are asked for at the same time.
const PLACES: usize = 16;
/// A turn: how long a line may take to bring its share, where others wait.
const TURN: Duration = Duration::from_secs(5);
/// The share of its length that a line has to bring in a turn, as a divisor: all of it in 80 seconds.
/// What it brought is kept, so a slow peer comes to its end in several turns.
const SHARE: u64 = 16;
/// Addresses of which it is remembered how often they were tried.
const MAX_TRIED: usize = 512;
/// What a whole dictionary of the wrong hash counts, in turns without a result.
const WRONG: u32 = 8;

/// A line that is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Place {
    /// The address that it is given to.
    host: Prefix,
    /// When the turn began, and how much was there then.
    since: Instant,
    bytes: u64,
}

/// Who is asked now, and who was tried how often.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Places {
    held: BTreeMap<LineKey, Place>,
    /// Turns without a result by address. It outlives connections, so that whoever comes back is not
    /// new.
    tried: BTreeMap<Prefix, u32>,
    /// Turns without a result by line, for lines of the same addresses.
    turns: BTreeMap<LineKey, u32>,
    /// Places given so far.
    given: u32,
}

impl Places {
    /// The lines that are asked for.
    pub(super) fn held(&self) -> Vec<LineKey> {
        self.held.keys().copied().collect()
    }

    /// A line needs no place any more.
    pub(super) fn vacate(&mut self, at: LineKey) {
        self.held.remove(&at);
    }

    /// An address delivered a whole dictionary that is wrong.
    pub(super) fn blame(&mut self, host: Prefix) {
        self.count(host, WRONG);
    }

    fn count(&mut self, host: Prefix, turns: u32) {
        let count = self.tried.entry(host).or_default();
        *count = count.saturating_add(turns);
        if self.tried.len() > MAX_TRIED {
            // Whoever was tried least loses least by being new again.
            let least = self.tried.iter().min_by_key(|(host, count)| (**count, **host));
            let least = least.map(|(host, _)| *host);
            least.map(|host| self.tried.remove(&host));
        }
    }

    fn tried(&self, host: Prefix) -> u32 {
        self.tried.get(&host).copied().unwrap_or(0)
    }

    /// A line brought nothing worth while: its addresses and itself have had a turn.
    fn disappointed(&mut self, at: LineKey, hosts: &BTreeSet<Prefix>) {
        self.held.remove(&at);
        hosts.iter().for_each(|host| self.count(*host, 1));
        *self.turns.entry(at).or_default() += 1;
    }

    /// What must hold after every step.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.held.len() > PLACES {
            return Err("metadata is fetched in few lengths at a time");
        }
        let hosts: BTreeSet<Prefix> = self.held.values().map(|place| place.host).collect();
        if hosts.len() != self.held.len() {
            return Err("an address has one place in the search for metadata");
        }
        if self.tried.len() > MAX_TRIED {
            return Err("few addresses are remembered in the search for metadata");
        }
        Ok(())
    }
}

/// A line that somebody stands behind.
struct Contender {
    at: LineKey,
    hosts: BTreeSet<Prefix>,
}

impl MetadataFetch {
    /// Takes places from lines that bring too little while others wait, and gives what is free.
    pub(super) fn take_turns(&mut self, now: Instant) {
        let mut contenders = self.contenders();
        let known: BTreeMap<LineKey, &BTreeSet<Prefix>> =
            contenders.iter().map(|contender| (contender.at, &contender.hosts)).collect();
        let places = &mut self.places;
        places
            .held
            .retain(|at, place| known.get(at).is_some_and(|hosts| hosts.contains(&place.host)));
        places.turns.retain(|at, _| known.contains_key(at));
        if contenders.len() > places.held.len() {
            for at in places.held() {
                let bytes = self.lines.get(&at).map_or(0, Line::bytes);
                if let Some(place) = places.held.get_mut(&at)
                    && !place.is_on_time(at.0, bytes, now)
                {
                    places.disappointed(at, known[&at]);
                }
            }
        }
        contenders.retain(|contender| !self.places.held.contains_key(&contender.at));
        while self.places.held.len() < PLACES && self.give_place(&mut contenders, now) {}
    }

    /// All lines that are, or could be.
    fn contenders(&self) -> Vec<Contender> {
        let mut found: BTreeMap<LineKey, BTreeSet<Prefix>> = BTreeMap::new();
        for (key, holder) in &self.holders {
            found.entry(self.line_of(holder.size, *key)).or_default().insert(holder.host);
        }
        found.into_iter().map(|(at, hosts)| Contender { at, hosts }).collect()
    }

    /// Gives one place: in turns to the line with the most addresses behind it and to the one that
    /// was tried least. An address that holds a place gets no second one.
    fn give_place(&mut self, contenders: &mut Vec<Contender>, now: Instant) -> bool {
        let places = &self.places;
        let busy: BTreeSet<Prefix> = places.held.values().map(|place| place.host).collect();
        let mut best: Option<(_, usize, Prefix)> = None;
        for (number, contender) in contenders.iter().enumerate() {
            let free = contender.hosts.iter().filter(|host| !busy.contains(*host));
            let Some(host) = free.min_by_key(|host| (places.tried(**host), **host)) else {
                continue;
            };
            let tried = places.tried(*host);
            let turns = places.turns.get(&contender.at).copied().unwrap_or(0);
            let many = Reverse(contender.hosts.len());
            let rank = match places.given % 2 {
                0 => (many, tried, turns, Reverse(0)),
                _ => (Reverse(0), tried, turns, many),
            };
            if best.as_ref().is_none_or(|(other, ..)| rank < *other) {
                best = Some((rank, number, *host));
            }
        }
        let Some((_, number, host)) = best else { return false };
        let Contender { at, .. } = contenders.swap_remove(number);
        let bytes = self.lines.entry(at).or_default().bytes();
        self.places.held.insert(at, Place { host, since: now, bytes });
        self.places.given = self.places.given.wrapping_add(1);
        true
    }
}

impl Place {
    /// Whether the line brings its share; a turn that ends well begins another.
    fn is_on_time(&mut self, size: u32, bytes: u64, now: Instant) -> bool {
        let elapsed = now.since(self.since);
        if elapsed < TURN {
            return true;
        }
        let brought = u128::from(bytes.saturating_sub(self.bytes));
        let due = u128::from(size) * elapsed.as_millis();
        if brought * u128::from(SHARE) * TURN.as_millis() < due {
            return false;
        }
        (self.since, self.bytes) = (now, bytes);
        true
    }
}

#[cfg(feature = "corruption")]
impl Places {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "metadata is fetched in few lengths at a time" => self.hold_more((0..16).map(Some))?,
            "an address has one place in the search for metadata" => {
                self.hold_more(core::iter::once(None))?;
            }
            "few addresses are remembered in the search for metadata" => {
                self.tried = (0..=MAX_TRIED as u16).map(|n| (host(n), 1)).collect();
            }
            _ => return None,
        }
        Some(())
    }

    /// More places than are held, each with the host of that number, or of the first.
    fn hold_more(&mut self, hosts: impl Iterator<Item = Option<u16>>) -> Option<()> {
        let first = self.held.values().next()?.clone();
        for (number, other) in hosts.enumerate() {
            let place = Place { host: other.map_or(first.host, host), ..first.clone() };
            self.held.insert((900_000 + number as u32, None), place);
        }
        Some(())
    }
}

#[cfg(feature = "corruption")]
fn host(number: u16) -> Prefix {
    let [high, low] = number.to_be_bytes();
    Prefix::of(core::net::IpAddr::from([10, 9, high, low]))
}
