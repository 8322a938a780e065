//! Addresses of peers that a torrent knows: whom to try next, and when.
//!
//! The list is bounded whoever names the addresses, and nobody can fill it: a source, a stranger who
//! names others, and an address with its many ports each have a share. When the list is full,
//! whoever named most gives way to who named less.

mod blocked;
mod calls;
mod claim;
mod introducers;
mod left;
mod order;
mod shares;
#[cfg(test)]
mod tests;
mod turns;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::api::{PeerSource, Transport};
use crate::base::addr::{is_dialable, is_lasting, normalise};
use crate::base::prefix::Prefix;
use crate::base::time::Instant;
use crate::picker::PeerKey;

pub use calls::CALLS;
use calls::Calls;
use introducers::MAX_INTRODUCERS;
use left::Left;
use order::{Among, Order};
use shares::Shares;
pub use shares::{MAX_PORTS, Namer};

/// Seconds before the first retry; doubled with each failure in a row.
const RETRY_SECONDS: u64 = 5;
/// The same for one that the user has named, where nobody listens.
const REFUSED_SECONDS: u64 = 1;
/// Time until a peer that has everything is tried again, as long as we have everything too.
const WHOLE_SECONDS: u64 = 1800;
/// Time for which it is left alone even when it is of use again.
const RECALL_SECONDS: u64 = 10;
/// Doublings of the wait.
const MAX_DOUBLINGS: u32 = 8;
/// Failures in a row after which an address is forgotten when room is needed.
const HOPELESS: u32 = 3;
/// Time after which an address that nobody has named again may be replaced by a new one.
const STALE: Duration = Duration::from_secs(600);
/// How long an address waits while as many connections to its host stand as may.
const CROWDED_SECONDS: u64 = 60;

/// One address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Who named it first, or who is trusted more and named it since.
    pub source: PeerSource,
    /// Whose share it is counted in.
    namer: Namer,
    /// Whether `addr` can be connected to: not so for one that connected to us.
    dialable: bool,
    /// A connection stands or is being made.
    busy: bool,
    failures: u32,
    /// BEP 40 priority towards us.
    priority: u32,
    next_try: Instant,
    /// Its namer's turn to have it called comes at `next_try`, or has come.
    in_turn: bool,
    /// It is called without encryption next time, since with it nothing came about.
    encrypted: bool,
    /// What carried the last connection, unless none came about since.
    transport: Option<Transport>,
    /// Peers that are connected to it and may introduce us, the latest last.
    introducers: SmallVec<[PeerKey; MAX_INTRODUCERS]>,
    /// It had everything when it was left because we had everything too.
    whole: bool,
    /// When somebody named it last, or it was connected.
    named_at: Instant,
}

type Rank = (u32, core::cmp::Reverse<PeerSource>, core::cmp::Reverse<u32>, PeerKey);

/// How many connections there may be before no more are begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Most {
    /// To one host ([`Prefix`]).
    pub of_host: u32,
    /// Into one block that one owner may have (/24, /48).
    pub of_block: u32,
}

/// All addresses of one torrent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Candidates {
    known: BTreeMap<PeerKey, Candidate>,
    by_addr: BTreeMap<SocketAddr, PeerKey>,
    /// May be tried now, by who named them, best first.
    ready: BTreeMap<Namer, BTreeSet<Rank>>,
    /// May be tried later.
    waiting: BTreeSet<(Instant, PeerKey)>,
    order: Order,
    shares: Shares,
    calls: Calls,
    left: Left,
    next_key: PeerKey,
}

impl Candidate {
    /// Whether it can be called: not so for one that connected to us and has named no port.
    pub fn is_dialable(&self) -> bool {
        self.dialable
    }
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

    /// Takes in an address that somebody named. Returns its key when it is new and of use.
    pub fn add(
        &mut self,
        addr: SocketAddr,
        namer: Namer,
        priority: u32,
        limit: u32,
        now: Instant,
    ) -> Option<PeerKey> {
        let addr = normalise(addr);
        if !is_dialable(addr) {
            return None;
        }
        if let Some(key) = self.by_addr.get(&addr).copied() {
            self.vouch(key, namer, limit, now);
            return None;
        }
        if !self.has_room_for(namer, Prefix::of(addr.ip()), limit, now) {
            return None;
        }
        let key = self.insert(addr, namer, priority, true);
        self.named(key, now);
        let at = self.left.take(addr, now).unwrap_or(Instant::ZERO);
        self.list(key, at);
        Some(key)
    }

    /// Somebody else names a known address; it counts as of the source that is trusted more.
    fn vouch(&mut self, key: PeerKey, namer: Namer, limit: u32, now: Instant) {
        self.named(key, now);
        let source = namer.source;
        // Who came of itself is known for that, whatever others say of it.
        let better = |c: &&Candidate| {
            c.source < source && !(c.source == PeerSource::Incoming && source.is_hearsay())
        };
        let Some(candidate) = self.known.get(&key).filter(better) else { return };
        let (busy, mut next_try) = (candidate.busy, candidate.next_try);
        if self.shares.is_namer_full(namer, limit) || self.shares.is_source_full(source, limit) {
            return;
        }
        self.unlist(key);
        if let Some(candidate) = self.known.get_mut(&key) {
            if core::mem::take(&mut candidate.in_turn) {
                // It waited for a turn of who named it first.
                self.calls.give_back(candidate.namer);
                next_try = Instant::ZERO;
            }
            self.shares.passes(candidate.namer, namer);
        }
        self.change(key, |candidate| (candidate.source, candidate.namer) = (source, namer));
        if !busy {
            self.list(key, next_try);
        }
    }

    /// The key of a peer that connected to us from `addr`; it is busy until [`Self::closed`].
    pub fn incoming(&mut self, addr: SocketAddr, priority: u32) -> PeerKey {
        let addr = normalise(addr);
        let key = match self.by_addr.get(&addr) {
            Some(key) => *key,
            None => self.insert(addr, Namer::itself(addr.ip()), priority, false),
        };
        self.unlist(key);
        self.set_busy(key, true);
        key
    }

    /// Whether a connection to exactly this address stands or is being made.
    pub fn is_busy(&self, addr: SocketAddr) -> bool {
        let key = self.by_addr.get(&normalise(addr));
        key.and_then(|key| self.known.get(key)).is_some_and(|candidate| candidate.busy)
    }

    /// Connections that stand or are being made to the host at `prefix`.
    pub fn busy_at(&self, prefix: Prefix) -> u32 {
        self.shares.busy_at(prefix)
    }

    fn set_busy(&mut self, key: PeerKey, busy: bool) {
        let Some(candidate) = self.known.get(&key) else { return };
        if candidate.busy != busy {
            self.shares.count_busy(candidate.addr.ip(), busy);
            // How the last connection ended says nothing about this one: without that, an address that
            // was left as complete, failed later and waits for that would be recalled at once.
            self.change(key, |candidate| {
                candidate.whole &= !busy;
                candidate.busy = busy;
            });
        }
    }

    fn insert(&mut self, addr: SocketAddr, namer: Namer, priority: u32, dialable: bool) -> PeerKey {
        self.next_key += 1;
        self.shares.take(namer, Prefix::of(addr.ip()));
        let candidate = Candidate {
            addr,
            source: namer.source,
            namer,
            dialable,
            busy: false,
            failures: 0,
            priority,
            next_try: Instant::ZERO,
            in_turn: false,
            encrypted: false,
            transport: None,
            introducers: SmallVec::new(),
            whole: false,
            named_at: Instant::ZERO,
        };
        self.order.insert(self.next_key, &candidate);
        self.known.insert(self.next_key, candidate);
        self.by_addr.insert(addr, self.next_key);
        self.next_key
    }

    fn named(&mut self, key: PeerKey, now: Instant) {
        self.change(key, |candidate| candidate.named_at = now);
    }

    /// Whether there is room for an address of `host`; where a share or the list is full, something
    /// that counts in the same makes room, if it is worth less.
    fn has_room_for(&mut self, namer: Namer, host: Prefix, limit: u32, now: Instant) -> bool {
        let shares = &self.shares;
        if namer.source != PeerSource::User && shares.is_crowded(host) {
            self.make_room(namer, Among::Host(host), now)
        } else if shares.is_namer_full(namer, limit) {
            self.make_room(namer, Among::Namer, now)
        } else if shares.is_source_full(namer.source, limit) {
            self.make_room(namer, Among::Source, now)
        } else {
            self.known.len() < limit as usize || self.make_room(namer, Among::Everybody, now)
        }
    }

    /// Forgets an address for want of room. When it is named again, it waits as it does now: until its next
    /// attempt is due, not until its namer's turn comes.
    fn give_up(&mut self, key: PeerKey, now: Instant) -> bool {
        if let Some(candidate) = self.known.get(&key).filter(|c| c.dialable && !c.in_turn) {
            self.left.remember(candidate.addr, candidate.next_try, now);
        }
        self.forget(key)
    }

    fn forget(&mut self, key: PeerKey) -> bool {
        self.unlist(key);
        self.set_busy(key, false);
        let Some(candidate) = self.known.remove(&key) else { return false };
        self.order.remove(key, &candidate);
        if candidate.in_turn {
            self.calls.give_back(candidate.namer);
        }
        self.shares.give(candidate.namer, Prefix::of(candidate.addr.ip()));
        if self.by_addr.get(&candidate.addr) == Some(&key) {
            self.by_addr.remove(&candidate.addr);
        }
        true
    }

    /// Forgets the idle addresses of one host that shall not be kept.
    pub fn forget_at(&mut self, prefix: Prefix, gone: impl Fn(SocketAddr) -> bool) {
        let (first, last) = prefix.bounds();
        let there = self.by_addr.range(first..=last).filter(|(addr, _)| gone(**addr));
        let there: Vec<PeerKey> = there.map(|(_, key)| *key).collect();
        for key in there {
            if self.known.get(&key).is_some_and(|candidate| !candidate.busy) {
                self.forget(key);
            }
        }
    }

    fn rank(key: PeerKey, c: &Candidate) -> Rank {
        // User before resume before tracker; then fewest failures, then BEP 40.
        (c.failures, core::cmp::Reverse(c.source), core::cmp::Reverse(c.priority), key)
    }

    fn unlist(&mut self, key: PeerKey) {
        if let Some(candidate) = self.known.get(&key) {
            let (namer, rank) = (candidate.namer, Self::rank(key, candidate));
            if let Some(ranks) = self.ready.get_mut(&namer) {
                ranks.remove(&rank);
                if ranks.is_empty() {
                    self.ready.remove(&namer);
                }
            }
            self.waiting.remove(&(candidate.next_try, key));
        }
    }

    fn list(&mut self, key: PeerKey, next_try: Instant) {
        if let Some(candidate) = self.known.get_mut(&key) {
            candidate.next_try = next_try;
            if candidate.dialable && next_try == Instant::ZERO {
                let rank = Self::rank(key, candidate);
                self.ready.entry(candidate.namer).or_default().insert(rank);
            } else if candidate.dialable {
                self.waiting.insert((next_try, key));
            }
        }
    }

    /// Takes the best address that may be tried at `now`; it is busy until [`Self::closed`]. No host
    /// and no block is connected to more than `most` says, but for this machine and local networks. What the user
    /// named comes first, and then the turn is that of whoever has least of what `share` says that each has; it says
    /// nothing for those who may have no more.
    pub fn next(
        &mut self,
        most: Most,
        share: impl Fn(Namer) -> Option<u32>,
        now: Instant,
    ) -> Option<(PeerKey, SocketAddr)> {
        while let Some((at, key)) = self.waiting.first().copied().filter(|(at, _)| *at <= now) {
            self.waiting.remove(&(at, key));
            self.list(key, Instant::ZERO);
        }
        while let Some(key) = self.take_ready(&share) {
            if let Some(addr) = self.claim(key, most, now) {
                return Some((key, addr));
            }
        }
        None
    }

    /// Somebody at an address that was called is a peer.
    pub fn proven(&mut self, key: PeerKey) {
        if let Some(candidate) = self.known.get(&key) {
            self.calls.give_back(candidate.namer);
        }
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
    pub fn closed(&mut self, key: PeerKey, failed: bool, limit: u32, now: Instant) {
        self.ended(key, failed, RETRY_SECONDS, limit, now);
    }

    /// Nobody listens at `key`. One that the user names may be about to: it is tried again soon at first.
    pub fn refused(&mut self, key: PeerKey, limit: u32, now: Instant) {
        let named = self.known.get(&key).is_some_and(|c| c.source == PeerSource::User);
        let first = if named { REFUSED_SECONDS } else { RETRY_SECONDS };
        self.ended(key, true, first, limit, now);
    }

    fn ended(&mut self, key: PeerKey, failed: bool, first: u64, limit: u32, now: Instant) {
        self.unlist(key);
        self.set_busy(key, false);
        self.change(key, |candidate| {
            if !failed {
                candidate.named_at = now;
            }
            candidate.failures = if failed { candidate.failures.saturating_add(1) } else { 0 };
        });
        let Some(candidate) = self.known.get(&key) else { return };
        let wait = first << candidate.failures.min(MAX_DOUBLINGS);
        self.keep(key, now + Duration::from_secs(wait), limit, now);
    }

    /// A connection without encryption (or with it, where `encrypted` is not said) came to nothing, perhaps for that:
    /// the next one is made the other way. With encryption, that is as soon as an address may be called again at all.
    pub fn try_otherwise(&mut self, key: PeerKey, encrypted: bool, limit: u32, now: Instant) {
        if let Some(candidate) = self.known.get_mut(&key) {
            candidate.encrypted = encrypted;
        }
        // An address that has failed both ways is no sooner called for it.
        let failed_before = self.known.get(&key).is_some_and(|candidate| candidate.failures > 0);
        if encrypted && !failed_before {
            self.postpone(key, RETRY_SECONDS, limit, now);
        } else {
            self.closed(key, true, limit, now);
        }
    }

    /// Whether an address is called with encryption where both may be.
    pub fn is_called_encrypted(&self, key: PeerKey) -> bool {
        self.known.get(&key).is_some_and(|candidate| candidate.encrypted)
    }

    /// What carried a connection that stands, or that none came about.
    pub fn spoke(&mut self, key: PeerKey, transport: Option<Transport>) {
        if let Some(candidate) = self.known.get_mut(&key) {
            candidate.transport = transport;
        }
    }

    /// Somebody says of an address that was not known how it is called with success: with encryption, or over µTP.
    pub fn hint(&mut self, key: PeerKey, encrypted: bool, utp: bool) {
        if let Some(candidate) = self.known.get_mut(&key) {
            candidate.encrypted = encrypted;
            candidate.transport = utp.then_some(Transport::Utp);
        }
    }

    /// The key of an address that is known.
    pub fn key_of(&self, addr: SocketAddr) -> Option<PeerKey> {
        self.by_addr.get(&normalise(addr)).copied()
    }

    /// With what an address is called first where there is a choice.
    pub fn transport(&self, key: PeerKey) -> Option<Transport> {
        self.known.get(&key).and_then(|candidate| candidate.transport)
    }

    /// Keeps an address that is not connected any more, to be tried again at `at`, if it can be
    /// and there is room for it.
    fn keep(&mut self, key: PeerKey, at: Instant, limit: u32, now: Instant) {
        let Some(candidate) = self.known.get(&key) else { return };
        let namer = candidate.namer;
        if !candidate.dialable {
            self.forget(key);
            return;
        }
        self.list(key, at);
        if self.shares.exceeds(namer, limit) {
            // Of those who came by themselves the ones that were here last are kept.
            if let Some(key) = self.order.oldest_of(namer.source) {
                self.give_up(key, now);
            }
        }
        if self.known.len() > limit as usize && !self.make_room(namer, Among::Everybody, now) {
            self.give_up(key, now);
        }
    }

    /// A connection to `key` was never of use and shall not be tried again soon.
    pub fn postpone(&mut self, key: PeerKey, seconds: u64, limit: u32, now: Instant) {
        self.unlist(key);
        self.set_busy(key, false);
        self.keep(key, now + Duration::from_secs(seconds), limit, now);
    }

    /// A peer that has everything was left because we have everything too.
    pub fn left_whole(&mut self, key: PeerKey, limit: u32, now: Instant) {
        self.postpone(key, WHOLE_SECONDS, limit, now);
        self.change(key, |candidate| (candidate.whole, candidate.named_at) = (true, now));
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

    /// Where a peer that connected to us listens, as it says (BEP 10 `p`). The first port that it
    /// names counts, if not too many of its host are known already.
    pub fn listens_on(&mut self, key: PeerKey, port: u16) {
        let Some(candidate) = self.known.get(&key).filter(|c| !c.dialable) else { return };
        let old = candidate.addr;
        let addr = SocketAddr::new(old.ip(), port);
        let crowded = self.shares.is_crowded(Prefix::of(addr.ip()));
        if self.by_addr.contains_key(&addr) || !is_dialable(addr) || crowded {
            return;
        }
        self.by_addr.remove(&old);
        self.by_addr.insert(addr, key);
        if let Some(candidate) = self.known.get_mut(&key) {
            candidate.addr = addr;
            candidate.dialable = true;
        }
    }

    /// One address.
    pub fn get(&self, key: PeerKey) -> Option<&Candidate> {
        self.known.get(&key)
    }

    /// Addresses that were reached before and can be again, for resume data.
    pub fn worth_keeping(&self) -> Vec<SocketAddr> {
        let good = self.known.values().filter(|c| c.dialable && c.failures == 0);
        let good = good.filter(|c| is_lasting(c.addr));
        good.map(|c| c.addr).take(100).collect()
    }

    /// What must hold between two steps. `connections` is how many the torrent may have: those that
    /// came by themselves are known too as long as they stand.
    ///
    /// # Errors
    /// The rule that does not.
    pub fn check(&self, limit: u32, connections: u32) -> Result<(), &'static str> {
        let bounded = self.known.len() <= limit.saturating_add(connections) as usize;
        let (mut shares, mut order) = (Shares::default(), Order::default());
        for (key, candidate) in &self.known {
            order.insert(*key, candidate);
            let prefix = Prefix::of(candidate.addr.ip());
            shares.take(candidate.namer, prefix);
            if candidate.busy {
                shares.count_busy(candidate.addr.ip(), true);
            }
        }
        let kept = self.calls.is_bounded() && self.left.is_bounded();
        if !bounded || !kept || shares != self.shares {
            return Err("known addresses are bounded and counted, whoever names them");
        }
        if order != self.order {
            return Err("it is known at any time which address makes room");
        }
        Ok(())
    }
}

#[cfg(feature = "corruption")]
impl Candidates {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "a private torrent knows only peers of its trackers" => {
                self.known.values_mut().next()?.source = PeerSource::Pex;
            }
            "known addresses are bounded and counted, whoever names them" => {
                self.known.values_mut().next()?.busy ^= true;
            }
            "it is known at any time which address makes room" => {
                let known = self.known.values().next()?.clone();
                let nobody = Candidate { busy: false, ..known };
                self.order.insert(PeerKey::MAX, &nobody);
            }
            _ => return None,
        }
        Some(())
    }
}
