//! Addresses of peers that a torrent knows: whom to try next, when, and whom never again.

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::api::PeerSource;
use crate::base::addr::{is_dialable, normalise};
use crate::base::time::Instant;
use crate::picker::PeerKey;

/// Seconds before the first retry; doubled with each failure in a row.
const RETRY_SECONDS: u64 = 5;
/// Time until a peer that has everything is tried again, as long as we have everything too.
const WHOLE_SECONDS: u64 = 1800;
/// Time for which it is left alone even when it is of use again.
const RECALL_SECONDS: u64 = 10;
/// Doublings of the wait.
const MAX_DOUBLINGS: u32 = 8;
/// Failures in a row after which an address is forgotten when room is needed.
const HOPELESS: u32 = 3;
/// An address that nobody has named for so long makes room for a fresh one.
const STALE: Duration = Duration::from_secs(600);
/// Addresses that may be banned at once; the oldest is pardoned beyond that.
const MAX_BANNED: usize = 10_000;

/// One address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Who named it first.
    pub source: PeerSource,
    /// Whether `addr` can be connected to: not so for one that connected to us.
    dialable: bool,
    /// A connection stands or is being made.
    busy: bool,
    failures: u32,
    /// Wrong behaviour that is no proof of ill will.
    strikes: u32,
    /// BEP 40 priority towards us.
    priority: u32,
    next_try: Instant,
    /// It had everything when it was left because we had everything too.
    whole: bool,
    /// When somebody named it last, or it was connected.
    named_at: Instant,
}

impl Candidate {
    /// A connection is being made or has come. How the last one ended says nothing about this one:
    /// without that, an address that was left as complete, failed later and waits for that would
    /// be recalled at once.
    fn begin(&mut self) {
        self.busy = true;
        self.whole = false;
    }
}

type Rank = (u32, core::cmp::Reverse<PeerSource>, core::cmp::Reverse<u32>, PeerKey);

/// All addresses of one torrent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Candidates {
    known: BTreeMap<PeerKey, Candidate>,
    by_addr: BTreeMap<SocketAddr, PeerKey>,
    /// May be tried now, best first.
    ready: BTreeSet<Rank>,
    /// May be tried later.
    waiting: BTreeSet<(Instant, PeerKey)>,
    banned: BTreeSet<IpAddr>,
    banned_ports: BTreeSet<SocketAddr>,
    next_key: PeerKey,
}

impl Candidates {
    /// Number of addresses.
    pub fn len(&self) -> u32 {
        self.known.len() as u32
    }

    /// True when none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether a peer at `addr` is refused.
    pub fn is_banned(&self, addr: SocketAddr) -> bool {
        let addr = normalise(addr);
        self.banned.contains(&addr.ip()) || self.banned_ports.contains(&addr)
    }

    /// Takes in an address that somebody named. Returns its key when it is new and of use.
    pub fn add(
        &mut self,
        addr: SocketAddr,
        source: PeerSource,
        priority: u32,
        limit: u32,
        now: Instant,
    ) -> Option<PeerKey> {
        let addr = normalise(addr);
        if !is_dialable(addr) || self.is_banned(addr) {
            return None;
        }
        if let Some(key) = self.by_addr.get(&addr).copied() {
            self.vouch(key, source, now);
            return None;
        }
        if self.known.len() >= limit as usize && !self.make_room(source, now) {
            return None;
        }
        let key = self.insert(addr, source, priority, true);
        self.named(key, now);
        self.list(key, Instant::ZERO);
        Some(key)
    }

    /// Somebody else names a known address; it counts as of the source that is trusted more.
    fn vouch(&mut self, key: PeerKey, source: PeerSource, now: Instant) {
        self.named(key, now);
        // Who came of itself is known for that, whatever others say of it.
        let better = |c: &&Candidate| {
            c.source < source && !(c.source == PeerSource::Incoming && source.is_hearsay())
        };
        let Some(candidate) = self.known.get(&key).filter(better) else { return };
        let (busy, next_try) = (candidate.busy, candidate.next_try);
        self.unlist(key);
        if let Some(candidate) = self.known.get_mut(&key) {
            candidate.source = source;
        }
        if !busy {
            self.list(key, next_try);
        }
    }

    /// The key of a peer that connected to us from `addr`; it is busy until [`Self::closed`].
    pub fn incoming(&mut self, addr: SocketAddr, priority: u32) -> PeerKey {
        let addr = normalise(addr);
        let key = match self.by_addr.get(&addr) {
            Some(key) => *key,
            None => self.insert(addr, PeerSource::Incoming, priority, false),
        };
        self.unlist(key);
        if let Some(candidate) = self.known.get_mut(&key) {
            candidate.begin();
        }
        key
    }

    fn insert(
        &mut self,
        addr: SocketAddr,
        source: PeerSource,
        priority: u32,
        dialable: bool,
    ) -> PeerKey {
        self.next_key += 1;
        let candidate = Candidate {
            addr,
            source,
            dialable,
            busy: false,
            failures: 0,
            strikes: 0,
            priority,
            next_try: Instant::ZERO,
            whole: false,
            named_at: Instant::ZERO,
        };
        self.known.insert(self.next_key, candidate);
        self.by_addr.insert(addr, self.next_key);
        self.next_key
    }

    fn named(&mut self, key: PeerKey, now: Instant) {
        if let Some(candidate) = self.known.get_mut(&key) {
            candidate.named_at = now;
        }
    }

    /// Forgets the address that failed most often, if any seems hopeless; else, for a source that is
    /// trusted as much, the one that nobody has named for longest, if that is long.
    fn make_room(&mut self, source: PeerSource, now: Instant) -> bool {
        let idle = self.known.iter().filter(|(_, c)| !c.busy && c.failures >= HOPELESS);
        let worst = idle.max_by_key(|(key, c)| (c.failures, **key)).map(|(key, _)| *key);
        let stale = || {
            let idle = self
                .known
                .iter()
                .filter(|(_, c)| !c.busy && c.source <= source && now.since(c.named_at) >= STALE);
            idle.min_by_key(|(key, c)| (c.source, c.named_at, **key)).map(|(key, _)| *key)
        };
        worst.or_else(stale).is_some_and(|key| self.forget(key))
    }

    fn forget(&mut self, key: PeerKey) -> bool {
        self.unlist(key);
        let Some(candidate) = self.known.remove(&key) else { return false };
        self.by_addr.remove(&candidate.addr);
        true
    }

    fn rank(key: PeerKey, c: &Candidate) -> Rank {
        // User before resume before tracker; then fewest failures, then BEP 40.
        (c.failures, core::cmp::Reverse(c.source), core::cmp::Reverse(c.priority), key)
    }

    fn unlist(&mut self, key: PeerKey) {
        if let Some(candidate) = self.known.get(&key) {
            self.ready.remove(&Self::rank(key, candidate));
            self.waiting.remove(&(candidate.next_try, key));
        }
    }

    fn list(&mut self, key: PeerKey, next_try: Instant) {
        if let Some(candidate) = self.known.get_mut(&key) {
            candidate.next_try = next_try;
            if candidate.dialable && next_try == Instant::ZERO {
                self.ready.insert(Self::rank(key, candidate));
            } else if candidate.dialable {
                self.waiting.insert((next_try, key));
            }
        }
    }

    /// Takes the best address that may be tried at `now`; it is busy until [`Self::closed`].
    pub fn next(&mut self, now: Instant) -> Option<(PeerKey, SocketAddr)> {
        while let Some((at, key)) = self.waiting.first().copied().filter(|(at, _)| *at <= now) {
            self.waiting.remove(&(at, key));
            self.list(key, Instant::ZERO);
        }
        let (.., key) = self.ready.pop_first()?;
        let candidate = self.known.get_mut(&key)?;
        candidate.begin();
        Some((key, candidate.addr))
    }

    /// When the next address may be tried: zero for at once, `None` for never.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.ready.is_empty() {
            self.waiting.first().map(|(at, _)| *at)
        } else {
            Some(Instant::ZERO)
        }
    }

    /// A connection to `key` ended, or none came about. After `failed` the wait grows.
    pub fn closed(&mut self, key: PeerKey, failed: bool, now: Instant) {
        self.unlist(key);
        let Some(candidate) = self.known.get_mut(&key) else { return };
        let addr = candidate.addr;
        candidate.busy = false;
        if !failed {
            candidate.named_at = now;
        }
        candidate.failures = if failed { candidate.failures.saturating_add(1) } else { 0 };
        let dialable = candidate.dialable;
        if !dialable || self.is_banned(addr) {
            // Its blame is remembered by address, not by port.
            self.forget(key);
            return;
        }
        let failures = self.known.get(&key).map_or(0, |candidate| candidate.failures);
        let wait = RETRY_SECONDS << failures.min(MAX_DOUBLINGS);
        self.list(key, now + Duration::from_secs(wait));
    }

    /// A connection to `key` was never of use and shall not be tried again soon.
    pub fn postpone(&mut self, key: PeerKey, now: Instant, seconds: u64) {
        self.unlist(key);
        let Some(candidate) = self.known.get_mut(&key) else { return };
        candidate.busy = false;
        if candidate.dialable {
            self.list(key, now + Duration::from_secs(seconds));
        } else {
            self.forget(key);
        }
    }

    /// A peer that has everything was left because we have everything too.
    pub fn left_whole(&mut self, key: PeerKey, now: Instant) {
        self.postpone(key, now, WHOLE_SECONDS);
        if let Some(candidate) = self.known.get_mut(&key) {
            (candidate.whole, candidate.named_at) = (true, now);
        }
    }

    /// Something is wanted again: those who have everything are of use now.
    pub fn recall_whole(&mut self, now: Instant) {
        let left = self.known.iter().filter(|(_, c)| c.whole && !c.busy && c.dialable);
        let left: Vec<_> = left.map(|(key, c)| (*key, c.named_at)).collect();
        for (key, left_at) in left {
            self.unlist(key);
            self.list(key, now.max(left_at + Duration::from_secs(RECALL_SECONDS)));
            if let Some(candidate) = self.known.get_mut(&key) {
                candidate.whole = false;
            }
        }
    }

    /// Who named each of the addresses.
    pub fn sources(&self) -> impl Iterator<Item = PeerSource> + '_ {
        self.known.values().map(|candidate| candidate.source)
    }

    /// Forgets every address that is not in use and came from such a source.
    pub fn forget_sources(&mut self, such: impl Fn(PeerSource) -> bool) {
        let gone = self.known.iter().filter(|(_, c)| !c.busy && such(c.source));
        let gone: Vec<PeerKey> = gone.map(|(key, _)| *key).collect();
        for key in gone {
            self.forget(key);
        }
    }

    /// Where a peer that connected to us listens, as it says (BEP 10 `p`).
    pub fn listens_on(&mut self, key: PeerKey, port: u16) {
        let Some(candidate) = self.known.get(&key).filter(|c| !c.dialable) else { return };
        let addr = SocketAddr::new(candidate.addr.ip(), port);
        let old = candidate.addr;
        if self.by_addr.contains_key(&addr) {
            return;
        }
        self.by_addr.remove(&old);
        self.by_addr.insert(addr, key);
        if let Some(candidate) = self.known.get_mut(&key) {
            candidate.addr = addr;
            candidate.dialable = true;
        }
    }

    /// Notes wrong behaviour; the third time is a ban. Returns whether it is banned now.
    pub fn strike(&mut self, key: PeerKey) -> bool {
        let Some(candidate) = self.known.get_mut(&key) else { return false };
        candidate.strikes += 1;
        if candidate.strikes < 3 {
            return false;
        }
        self.ban(key);
        true
    }

    /// Bans `key` for the life of the torrent: its whole address, or only its port where another
    /// peer that nobody complains of is connected from the same address.
    pub fn ban(&mut self, key: PeerKey) -> Option<SocketAddr> {
        let addr = self.known.get(&key)?.addr;
        let shared = self.known.iter().any(|(other, candidate)| {
            *other != key && candidate.busy && candidate.addr.ip() == addr.ip()
        });
        if self.banned.len() + self.banned_ports.len() >= MAX_BANNED {
            self.banned.pop_first();
            self.banned_ports.pop_first();
        }
        if shared {
            self.banned_ports.insert(addr);
        } else {
            self.banned.insert(addr.ip());
        }
        self.unlist(key);
        let idle: Vec<PeerKey> = self
            .known
            .iter()
            .filter(|(_, candidate)| !candidate.busy && self.is_banned(candidate.addr))
            .map(|(key, _)| *key)
            .collect();
        for key in idle {
            self.forget(key);
        }
        Some(addr)
    }

    /// One address.
    pub fn get(&self, key: PeerKey) -> Option<&Candidate> {
        self.known.get(&key)
    }

    /// Addresses that were reached before and can be again, for resume data.
    pub fn worth_keeping(&self) -> Vec<SocketAddr> {
        let good = self.known.values().filter(|c| c.dialable && c.failures == 0);
        good.map(|c| c.addr).take(100).collect()
    }
}
