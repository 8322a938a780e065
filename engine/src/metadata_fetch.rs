//! Fetching the info dictionary of a magnet from many peers at once (BEP 9).
//!
//! Peers say how long the dictionary is, and some lie. What is fetched is kept apart by that length,
//! in a `Line` each, so that a liar spoils nothing but what liars of the same length send. When a
//! dictionary put together from several peers has the wrong hash, nobody knows whose fault it is, and
//! from then on each peer of that length has a line of its own and has to deliver a whole one.
//!
//! A few lines are asked for at a time: they hold places (`places.rs`). Whatever liars do, a line
//! with an honest peer has its turn: an address holds one place, half of the places go to who was
//! tried least, and who does not bring a share of its length in a turn makes room for whoever waits.
//! Memory is taken only for pieces that have arrived.

mod line;
mod places;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::base::fault::Fault;
use crate::base::hash::{Sha1Hash, Sha256Hash};
use crate::base::prefix::Prefix;
use crate::base::time::Instant;
use crate::metainfo::InfoHashes;
use crate::picker::PeerKey;
use crate::wire::METADATA_PIECE;
use line::Line;
use places::Places;

/// Requests outstanding at one peer.
const MAX_ASKED: usize = 4;
/// Peers that are asked for the same piece within [`SECOND_CHANCE`].
const MAX_ASKERS: u32 = 32;
/// Time after which an unanswered request is given up.
const PATIENCE: Duration = Duration::from_secs(12);
/// Time without an answer after which a piece is asked of more peers: of as many as were asked in vain, so
/// that the delay by a crowd of silent peers grows with the logarithm of their number.
const SECOND_CHANCE: Duration = Duration::from_secs(3);
/// How long a peer is not asked after it did not answer.
const AFTER_SILENCE: Duration = Duration::from_secs(3);
/// How long a peer is not asked after a reject.
const AFTER_REJECT: Duration = Duration::from_secs(60);
/// How often requests and places are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Lines of which something is kept though nobody offers their length any more.
const MAX_ORPHANS: usize = 16;
/// What is kept of all lines together, in lengths of the longest dictionary.
const MAX_BUFFERED: u64 = 2;

/// Why a peer's message is refused. The peer is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A dictionary of no bytes, or of more than we take.
    #[error("metadata of an impossible size")]
    Size,
    /// A piece that was not asked for.
    #[error("metadata that nobody asked for")]
    Unasked,
    /// A piece of the wrong length, or of a dictionary of another length than was said.
    #[error("a metadata piece of the wrong length")]
    Length,
}

impl FetchError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

/// What came of a piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// More pieces are missing.
    More,
    /// The info dictionary, with the right hash.
    Complete(Bytes),
    /// All pieces were there and the hash was wrong. This peer sent all of them, if it is known.
    Wrong(Option<PeerKey>),
}

/// A dictionary that is put together: its length and, where those of that length do not agree, the
/// peer that has to deliver all of it.
type LineKey = (u32, Option<PeerKey>);

/// A connected peer that offers the dictionary.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Holder {
    size: u32,
    /// Its address; of IPv6, its /64.
    host: Prefix,
    /// Pieces asked for, and when.
    asked: SmallVec<[(u32, Instant); MAX_ASKED]>,
    /// Asked and given up; an answer may still come.
    late: SmallVec<[u32; 8]>,
    not_before: Instant,
    /// Requests that it let pass or rejected.
    failures: u32,
    /// Pieces that it gave.
    given: u32,
}

/// The fetching of one info dictionary.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MetadataFetch {
    wanted: InfoHashes,
    max_size: u32,
    holders: BTreeMap<PeerKey, Holder>,
    lines: BTreeMap<LineKey, Line>,
    /// Lengths of which those who offer them do not agree.
    disputed: BTreeSet<u32>,
    places: Places,
    /// Something happened since the last look.
    stirred: bool,
    next_look: Option<Instant>,
}

impl MetadataFetch {
    /// Fetches the dictionary with these hashes, of at most `max_size` bytes.
    pub fn new(wanted: InfoHashes, max_size: u32) -> Self {
        Self {
            wanted,
            max_size,
            holders: BTreeMap::new(),
            lines: BTreeMap::new(),
            disputed: BTreeSet::new(),
            places: Places::default(),
            stirred: false,
            next_look: None,
        }
    }

    /// A peer at `ip` says that it has the dictionary and how many bytes long that is. It may repeat this,
    /// with the same length or another.
    ///
    /// # Errors
    /// [`FetchError::Size`] for a length that cannot be.
    pub fn offered(
        &mut self,
        key: PeerKey,
        ip: IpAddr,
        size: i64,
        now: Instant,
    ) -> Result<(), FetchError> {
        let size = u32::try_from(size).ok().filter(|size| (1..=self.max_size).contains(size));
        let size = size.ok_or(FetchError::Size)?;
        if self.holders.get(&key).is_some_and(|holder| holder.size == size) {
            return Ok(());
        }
        let failures = self.holders.get(&key).map_or(0, |holder| holder.failures + 1);
        self.left(key);
        let holder = Holder {
            size,
            host: Prefix::of(ip),
            asked: SmallVec::new(),
            late: SmallVec::new(),
            not_before: now,
            failures,
            given: 0,
        };
        self.holders.insert(key, holder);
        self.stirred = true;
        Ok(())
    }

    /// A peer is connected no more. What it sent stays, where others may add to it.
    pub fn left(&mut self, key: PeerKey) {
        if let Some(holder) = self.holders.remove(&key) {
            self.lines.remove(&(holder.size, Some(key)));
            self.places.vacate((holder.size, Some(key)));
            self.stirred = true;
        }
    }

    /// A peer does not give a piece.
    pub fn rejected(&mut self, key: PeerKey, piece: u32, now: Instant) {
        let Some(holder) = self.holders.get_mut(&key) else { return };
        let Some(place) = holder.asked.iter().position(|(asked, _)| *asked == piece) else {
            return;
        };
        holder.asked.remove(place);
        holder.not_before = now + AFTER_REJECT;
        holder.failures += 1;
        self.stirred = true;
    }

    /// A piece came.
    ///
    /// # Errors
    /// When the message itself proves that the peer is at fault.
    pub fn arrived(
        &mut self,
        key: PeerKey,
        piece: u32,
        total_size: Option<u32>,
        data: &[u8],
    ) -> Result<Arrival, FetchError> {
        let holder = self.holders.get_mut(&key).ok_or(FetchError::Unasked)?;
        let place = holder.asked.iter().position(|(asked, _)| *asked == piece);
        let late = holder.late.iter().position(|late| *late == piece);
        match (place, late) {
            (Some(place), _) => drop(holder.asked.remove(place)),
            (None, Some(late)) => drop(holder.late.remove(late)),
            (None, None) => return Err(FetchError::Unasked),
        }
        holder.given += 1;
        let size = holder.size;
        if total_size.is_some_and(|total| total != size) || data.len() as u32 != length(size, piece)
        {
            return Err(FetchError::Length);
        }
        self.stirred = true;
        let at = self.line_of(size, key);
        let Some(line) = self.lines.get_mut(&at) else { return Ok(Arrival::More) };
        line.put(piece, key, data);
        if !line.is_whole(size) {
            self.make_space();
            return Ok(Arrival::More);
        }
        Ok(self.judge(at))
    }

    /// The line to which what a peer of that length sends belongs.
    fn line_of(&self, size: u32, key: PeerKey) -> LineKey {
        (size, self.disputed.contains(&size).then_some(key))
    }

    /// What is kept of all lines together is bounded: of those who brought most, the line with the
    /// most bytes for each address behind it goes.
    fn make_space(&mut self) {
        while self.buffered() > self.most_buffered() {
            let burden = |at: LineKey, line: &Line| line.bytes() / self.hosts_of(at).max(1) as u64;
            let worst = self.lines.iter().max_by_key(|(at, line)| (burden(**at, line), **at));
            let Some(at) = worst.map(|(at, _)| *at) else { return };
            self.drop_line(at);
        }
    }

    /// Addresses behind a line.
    fn hosts_of(&self, at: LineKey) -> usize {
        let hosts: BTreeSet<Prefix> = self.behind(at).map(|(_, holder)| holder.host).collect();
        hosts.len()
    }

    /// The peers that may add to a line.
    fn behind(&self, (size, sole): LineKey) -> impl Iterator<Item = (PeerKey, &Holder)> {
        let all = self.holders.iter().map(|(key, holder)| (*key, holder));
        all.filter(move |(key, holder)| holder.size == size && sole.is_none_or(|sole| sole == *key))
    }

    fn most_buffered(&self) -> u64 {
        MAX_BUFFERED * u64::from(self.max_size)
    }

    /// Forgets what has come of a line.
    fn drop_line(&mut self, at: LineKey) {
        self.lines.remove(&at);
        self.give_up_all(at);
        self.places.vacate(at);
    }

    /// What is outstanding for a line is given up; an answer is taken all the same.
    fn give_up_all(&mut self, (size, sole): LineKey) {
        let behind = self
            .holders
            .iter_mut()
            .filter(|(key, holder)| holder.size == size && sole.is_none_or(|sole| sole == **key));
        behind.for_each(|(_, holder)| holder.give_up_all());
    }

    /// All pieces of a line are there: is it the dictionary that is wanted?
    fn judge(&mut self, at: LineKey) -> Arrival {
        let Some(line) = self.lines.remove(&at) else { return Arrival::More };
        self.places.vacate(at);
        let (whole, senders) = line.into_whole();
        let v1 = self.wanted.v1.is_none_or(|hash| Sha1Hash::of(&whole) == hash);
        let v2 = self.wanted.v2.is_none_or(|hash| Sha256Hash::of(&whole) == hash);
        if v1 && v2 {
            return Arrival::Complete(whole.into());
        }
        // Whatever else is on its way for this length belongs to no whole one.
        self.give_up_all(at);
        if let [liar] = senders.as_slice() {
            if let Some(holder) = self.holders.get(liar) {
                self.places.blame(holder.host);
            }
            self.left(*liar);
            return Arrival::Wrong(Some(*liar));
        }
        self.disputed.insert(at.0);
        Arrival::Wrong(None)
    }

    /// Requests to be made now. What costs anything is done only where something has happened since
    /// the last time, or a second has passed.
    pub fn poll(&mut self, now: Instant) -> Vec<(PeerKey, u32)> {
        let mut requests = Vec::new();
        if !self.stirred && self.next_look.is_none_or(|at| now < at) {
            return requests;
        }
        self.stirred = false;
        self.give_up(now);
        self.take_turns(now);
        for at in self.places.held() {
            self.ask_for(at, now, &mut requests);
        }
        self.forget_orphans();
        self.next_look = (!self.holders.is_empty()).then_some(now + LOOK);
        requests
    }

    /// When to [`Self::poll`] again, if nothing happens until then.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.next_look
    }

    /// Bytes that have come, of any length.
    pub fn buffered(&self) -> u64 {
        self.lines.values().map(Line::bytes).sum()
    }

    /// Peers that offer the dictionary.
    pub fn holders(&self) -> u32 {
        self.holders.len() as u32
    }

    /// Takes back what was asked too long ago.
    fn give_up(&mut self, now: Instant) {
        for holder in self.holders.values_mut() {
            let overdue = holder.asked.iter().filter(|(_, since)| now.since(*since) >= PATIENCE);
            let overdue: SmallVec<[u32; MAX_ASKED]> = overdue.map(|(piece, _)| *piece).collect();
            if !overdue.is_empty() {
                holder.asked.retain(|(piece, _)| !overdue.contains(piece));
                overdue.iter().for_each(|piece| holder.remember(*piece));
                holder.not_before = now + AFTER_SILENCE;
                holder.failures += 1;
            }
        }
    }

    /// Of lines that nobody stands behind, a few are kept, the fullest ones.
    fn forget_orphans(&mut self) {
        let orphans = self.lines.iter().filter(|(at, _)| self.behind(**at).next().is_none());
        let mut orphans: Vec<_> = orphans.map(|(at, line)| (line.bytes(), *at)).collect();
        orphans.sort_unstable();
        let empty = orphans.iter().take_while(|(bytes, _)| *bytes == 0).count();
        let gone = empty.max(orphans.len().saturating_sub(MAX_ORPHANS));
        orphans.into_iter().take(gone).for_each(|(_, at)| self.drop_line(at));
    }

    /// Makes the requests of one line: pieces that nobody was asked for, else those that are overdue,
    /// of the peers that failed least and have the fewest requests. Silent peers cannot keep a piece
    /// from one that gives what it is asked for.
    fn ask_for(&mut self, at: LineKey, now: Instant, requests: &mut Vec<(PeerKey, u32)>) {
        let mut asked: BTreeMap<u32, Askers> = BTreeMap::new();
        let mut able = Vec::new();
        for (key, holder) in self.behind(at) {
            for (piece, since) in &holder.asked {
                asked.entry(*piece).or_default().add(holder.host, *since, now);
            }
            if holder.not_before <= now {
                let balance = holder.failures.saturating_sub(holder.given);
                able.push((balance, holder.asked.len(), key));
            }
        }
        able.sort_unstable();
        let Some(line) = self.lines.get_mut(&at) else { return };
        // In rounds, so that all peers share the work.
        for round in 0..MAX_ASKED {
            for (_, before, key) in &able {
                let Some(holder) = self.holders.get_mut(key) else { continue };
                if *before > round || holder.asked.len() >= MAX_ASKED {
                    continue;
                }
                let may = |piece: u32, times: u32| {
                    asked.get(&piece).is_none_or(|all| all.allow(holder.host, times))
                };
                let Some(piece) = line.next_missing(at.0, may) else { continue };
                holder.asked.push((piece, now));
                holder.late.retain(|late| *late != piece);
                asked.entry(piece).or_default().add(holder.host, now, now);
                requests.push((*key, piece));
            }
        }
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        for (at, line) in &self.lines {
            if at.0 > self.max_size {
                return Err("metadata is fetched in lengths that can be");
            }
            line.check(at.0)?;
            if at.1.is_some_and(|key| !self.holders.contains_key(&key)) {
                return Err("who has to deliver all of the metadata is there");
            }
        }
        if self.buffered() > self.most_buffered() {
            return Err("metadata that has come is bounded");
        }
        if self.holders.values().any(|holder| holder.asked.len() > MAX_ASKED) {
            return Err("few metadata pieces are asked of a peer at a time");
        }
        self.places.check()
    }
}

/// Who is being asked for one piece.
#[derive(Default)]
struct Askers {
    hosts: SmallVec<[Prefix; 4]>,
    /// Those of them that were asked a moment ago.
    recent: u32,
}

impl Askers {
    fn add(&mut self, host: Prefix, since: Instant, now: Instant) {
        self.hosts.push(host);
        self.recent += u32::from(now.since(since) < SECOND_CHANCE);
    }

    /// Whether one more may be asked for a piece that was asked for `times` times.
    fn allow(&self, host: Prefix, times: u32) -> bool {
        let in_vain = times.saturating_sub(self.recent);
        self.recent < in_vain.clamp(1, MAX_ASKERS) && !self.hosts.contains(&host)
    }
}

impl Holder {
    fn remember(&mut self, piece: u32) {
        if self.late.len() == self.late.inline_size() {
            self.late.remove(0);
        }
        self.late.push(piece);
    }

    fn give_up_all(&mut self) {
        for (piece, _) in core::mem::take(&mut self.asked) {
            self.remember(piece);
        }
    }
}

/// Number of pieces of a dictionary of `size` bytes.
pub const fn pieces(size: u32) -> u32 {
    size.div_ceil(METADATA_PIECE)
}

/// Bytes of piece `piece` of a dictionary of `size` bytes; 0 where there is no such piece.
pub const fn length(size: u32, piece: u32) -> u32 {
    let start = piece as u64 * METADATA_PIECE as u64;
    let left = (size as u64).saturating_sub(start);
    if left < METADATA_PIECE as u64 { left as u32 } else { METADATA_PIECE }
}

#[cfg(feature = "corruption")]
impl MetadataFetch {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "metadata is fetched in lengths that can be" => self.max_size = 1,
            "who has to deliver all of the metadata is there" => {
                let (at, line) = self.lines.pop_first()?;
                self.lines.insert((at.0, Some(1_000_000)), line);
            }
            "metadata that has come is bounded" => {
                self.max_size = 2 * METADATA_PIECE;
                let mut line = Line::default();
                line.put(0, 1, &[0; METADATA_PIECE as usize]);
                self.lines = (0..5).map(|n| ((self.max_size - n, None), line.clone())).collect();
            }
            "few metadata pieces are asked of a peer at a time" => {
                let asked = (0..=MAX_ASKED as u32).map(|piece| (piece, Instant::ZERO));
                self.holders.values_mut().next()?.asked = asked.collect();
            }
            "complete metadata is judged at once" => {
                let mut lines = self.lines.iter_mut();
                lines.next().map(|(at, line)| line.complete(at.0))?;
            }
            _ => {
                let line = self.lines.values_mut().find_map(|line| line.corrupt(rule));
                return line.or_else(|| self.places.corrupt(rule));
            }
        }
        Some(())
    }
}
