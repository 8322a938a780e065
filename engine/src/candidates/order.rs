//! In which order addresses make room: kept up to date, so that a newcomer costs a few look-ups however many addresses
//! are known. A full list is where strangers can have it looked through for six bytes each.

use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Reverse;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

use super::{Candidate, Candidates, HOPELESS, Namer, Rank, STALE};
use crate::api::PeerSource;
use crate::base::prefix::Prefix;
use crate::base::time::Instant;
use crate::picker::PeerKey;

/// Which addresses may make room for one more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Among {
    /// Those of one host.
    Host(Prefix),
    /// Those that the newcomer's namer named.
    Namer,
    /// Those of its kind of source.
    Source,
    /// All.
    Everybody,
}

/// The addresses that are not connected, in the orders in which they make room.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Order {
    /// By who named them, the best first.
    ranks: BTreeSet<(Namer, Rank)>,
    /// By who named them, those first that nobody has named for longest.
    ages: BTreeSet<(Namer, Instant, PeerKey)>,
    /// The same by kind of source.
    by_source: BTreeMap<PeerSource, BTreeSet<(Instant, PeerKey)>>,
    /// Those that failed often, by kind of source and by how often.
    hopeless: BTreeMap<PeerSource, BTreeSet<(u32, PeerKey)>>,
}

impl Order {
    pub(super) fn insert(&mut self, key: PeerKey, candidate: &Candidate) {
        let Candidate { namer, source, named_at, failures, busy, .. } = *candidate;
        if busy {
            return;
        }
        self.ranks.insert((namer, Candidates::rank(key, candidate)));
        self.ages.insert((namer, named_at, key));
        self.by_source.entry(source).or_default().insert((named_at, key));
        if failures >= HOPELESS {
            self.hopeless.entry(source).or_default().insert((failures, key));
        }
    }

    pub(super) fn remove(&mut self, key: PeerKey, candidate: &Candidate) {
        let Candidate { namer, source, named_at, failures, busy, .. } = *candidate;
        if busy {
            return;
        }
        self.ranks.remove(&(namer, Candidates::rank(key, candidate)));
        self.ages.remove(&(namer, named_at, key));
        take(&mut self.by_source, source, &(named_at, key));
        take(&mut self.hopeless, source, &(failures, key));
    }

    /// The last of those that `namer` named.
    fn last_of(&self, namer: Namer) -> Option<Rank> {
        let end = (u32::MAX, Reverse(namer.source), Reverse(0), PeerKey::MAX);
        let last = self.ranks.range(..=(namer, end)).next_back();
        last.filter(|(of, _)| *of == namer).map(|(_, rank)| *rank)
    }

    /// The one of a kind of source that nobody has named for longest.
    pub(super) fn oldest_of(&self, source: PeerSource) -> Option<PeerKey> {
        self.by_source.get(&source)?.first().map(|(_, key)| *key)
    }

    fn hopeless(&self, namer: Namer, among: Among) -> Option<PeerKey> {
        let worst = match among {
            Among::Host(_) => None,
            Among::Namer => {
                let last = self.last_of(namer).filter(|(failures, ..)| *failures >= HOPELESS);
                last.map(|(failures, .., key)| (failures, key))
            }
            Among::Source => self.hopeless.get(&namer.source).and_then(BTreeSet::last).copied(),
            Among::Everybody => self.hopeless.values().filter_map(|set| set.last().copied()).max(),
        };
        worst.map(|(_, key)| key)
    }

    fn stale(&self, namer: Namer, among: Among, now: Instant) -> Option<PeerKey> {
        let is_stale = |(at, _): &(Instant, PeerKey)| now.since(*at) >= STALE;
        let oldest = match among {
            Among::Host(_) => None,
            Among::Namer => {
                let first = self.ages.range((namer, Instant::ZERO, 0)..).next();
                let own = first.filter(|(of, ..)| *of == namer);
                own.map(|(_, at, key)| (*at, *key)).filter(is_stale)
            }
            Among::Source => {
                let oldest = self.by_source.get(&namer.source).and_then(BTreeSet::first);
                oldest.copied().filter(is_stale)
            }
            Among::Everybody => {
                // Nobody makes room for who is trusted less.
                let kinds = self.by_source.range(..=namer.source).map(|(_, set)| set.first());
                kinds.flatten().copied().find(is_stale)
            }
        };
        oldest.map(|(_, key)| key)
    }
}

fn take<T: Ord>(sets: &mut BTreeMap<PeerSource, BTreeSet<T>>, source: PeerSource, what: &T) {
    if let Some(set) = sets.get_mut(&source) {
        set.remove(what);
        if set.is_empty() {
            sets.remove(&source);
        }
    }
}

impl Candidates {
    /// Changes something that the order follows from.
    pub(super) fn change(&mut self, key: PeerKey, change: impl FnOnce(&mut Candidate)) {
        let Some(candidate) = self.known.get_mut(&key) else { return };
        self.order.remove(key, candidate);
        change(candidate);
        self.order.insert(key, candidate);
    }

    /// Forgets, among such addresses, the one that failed most often, if any seems hopeless; else, for
    /// a source that is trusted as much, the one that nobody has named for longest, if that is long;
    /// else one of those whom the most were named by, if that is more than the newcomer's namer has.
    pub(super) fn make_room(&mut self, namer: Namer, among: Among, now: Instant) -> bool {
        let gives_way = match among {
            Among::Host(host) => self.of_host(host, namer, now),
            _ => {
                let hopeless = self.order.hopeless(namer, among);
                let stale = || self.order.stale(namer, among, now);
                hopeless.or_else(stale).or_else(|| self.excess(namer, among))
            }
        };
        gives_way.is_some_and(|key| self.give_up(key, now))
    }

    /// One of those whom the most were named by.
    fn excess(&self, namer: Namer, among: Among) -> Option<PeerKey> {
        let such = |fullest: &Namer| match among {
            Among::Everybody | Among::Host(_) => true,
            Among::Source => fullest.source == namer.source,
            Among::Namer => *fullest == namer,
        };
        let fullest = self.shares.fullest_but(namer).filter(such)?;
        self.order.last_of(fullest).map(|(.., key)| key)
    }

    /// Of a host, which has a few ports, the one that gives way by the same rules.
    fn of_host(&self, host: Prefix, namer: Namer, now: Instant) -> Option<PeerKey> {
        let (first, last) = host.bounds();
        let there = || {
            let keys = self.by_addr.range::<SocketAddr, _>(first..=last).map(|(_, key)| *key);
            keys.filter_map(|key| Some((key, self.known.get(&key)?))).filter(|(_, c)| !c.busy)
        };
        let hopeless = there().filter(|(_, c)| c.failures >= HOPELESS);
        let worst = hopeless.max_by_key(|(key, c)| (c.failures, *key));
        let stale = || {
            let stale =
                there().filter(|(_, c)| c.source <= namer.source && now.since(c.named_at) >= STALE);
            stale.min_by_key(|(key, c)| (c.source, c.named_at, *key))
        };
        let excess = || {
            let fullest = self.shares.fullest_but(namer)?;
            let theirs = there().filter(|(_, c)| c.namer == fullest);
            theirs.max_by_key(|(key, c)| Self::rank(*key, c))
        };
        worst.or_else(stale).or_else(excess).map(|(key, _)| key)
    }
}
