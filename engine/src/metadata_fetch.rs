//! Fetching the info dictionary of a magnet from many peers at once (BEP 9).
//!
//! Peers say how long the dictionary is, and some lie. What is fetched is kept apart by that length,
//! so that a liar spoils nothing but what liars of the same length send. Memory is taken only as
//! pieces arrive. When a dictionary has the wrong hash and one peer sent all of it, that peer is a
//! liar; when several did, one peer after the other has to deliver a whole one, until one is right.

#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::base::hash::{Sha1Hash, Sha256Hash};
use crate::base::time::Instant;
use crate::metainfo::InfoHashes;
use crate::picker::PeerKey;
use crate::wire::METADATA_PIECE;

/// Requests outstanding at one peer.
const MAX_ASKED: usize = 4;
/// Lengths that are fetched at the same time.
const MAX_ATTEMPTS: usize = 4;
/// Peers that are asked for the same piece at the same time.
const MAX_ASKERS: usize = 3;
/// A request unanswered for so long is given up.
const PATIENCE: Duration = Duration::from_secs(12);
/// A piece may be asked of a second peer when the first has not answered for so long.
const SECOND_CHANCE: Duration = Duration::from_secs(3);
/// A peer that did not answer is left alone for so long.
const AFTER_SILENCE: Duration = Duration::from_secs(3);
/// A peer that rejected is left alone for so long.
const AFTER_REJECT: Duration = Duration::from_secs(60);
/// A length for which nothing came for so long makes room for another.
const STALLED: Duration = Duration::from_secs(30);
/// How often requests are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Why a peer's message is refused. The peer is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FetchError {
    /// A dictionary of no bytes, or of more than we take.
    Size,
    /// A piece that was not asked for.
    Unasked,
    /// A piece of the wrong length, or of a dictionary of another length than was said.
    Length,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "metadata of an impossible size",
            Self::Unasked => "metadata that nobody asked for",
            Self::Length => "a metadata piece of the wrong length",
        })
    }
}

impl core::error::Error for FetchError {}

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

/// A connected peer that offers the dictionary.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Holder {
    size: u32,
    /// Pieces asked for, and when.
    asked: SmallVec<[(u32, Instant); MAX_ASKED]>,
    /// Asked and given up; an answer may still come.
    late: SmallVec<[u32; 8]>,
    not_before: Instant,
    /// How often it was the only one to be asked, in vain.
    turns: u32,
    /// When its length last had to make room for another.
    stalled_at: Instant,
}

/// What has come of a dictionary of one length.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Attempt {
    pieces: BTreeMap<u32, (PeerKey, Bytes)>,
    /// Bytes of all those pieces.
    bytes: u64,
    progress_at: Instant,
    /// The hash was wrong once, and nobody knows by whose fault: whose turn it is to deliver all.
    sole: Option<Option<PeerKey>>,
}

/// The fetching of one info dictionary.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MetadataFetch {
    wanted: InfoHashes,
    max_size: u32,
    attempts: BTreeMap<u32, Attempt>,
    holders: BTreeMap<PeerKey, Holder>,
    next_look: Option<Instant>,
}

impl MetadataFetch {
    /// Fetches the dictionary with these hashes, of at most `max_size` bytes.
    pub fn new(wanted: InfoHashes, max_size: u32) -> Self {
        let (attempts, holders) = (BTreeMap::new(), BTreeMap::new());
        Self { wanted, max_size, attempts, holders, next_look: None }
    }

    /// A peer says that it has the dictionary and that it is so many bytes long.
    ///
    /// # Errors
    /// [`FetchError::Size`] for a length that cannot be.
    pub fn offered(&mut self, key: PeerKey, size: i64, now: Instant) -> Result<(), FetchError> {
        let size = u32::try_from(size).ok().filter(|size| (1..=self.max_size).contains(size));
        let size = size.ok_or(FetchError::Size)?;
        if self.holders.get(&key).is_some_and(|holder| holder.size == size) {
            return Ok(());
        }
        let holder = Holder {
            size,
            asked: SmallVec::new(),
            late: SmallVec::new(),
            not_before: now,
            turns: 0,
            stalled_at: Instant::ZERO,
        };
        self.holders.insert(key, holder);
        Ok(())
    }

    /// A peer is connected no more. What it sent stays.
    pub fn left(&mut self, key: PeerKey) {
        self.holders.remove(&key);
    }

    /// A peer does not give a piece.
    pub fn rejected(&mut self, key: PeerKey, piece: u32, now: Instant) {
        if let Some(holder) = self.holders.get_mut(&key) {
            holder.asked.retain(|(asked, _)| *asked != piece);
            holder.not_before = now + AFTER_REJECT;
            self.pass_on(key);
        }
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
        now: Instant,
    ) -> Result<Arrival, FetchError> {
        let holder = self.holders.get_mut(&key).ok_or(FetchError::Unasked)?;
        let place = holder.asked.iter().position(|(asked, _)| *asked == piece);
        let late = holder.late.iter().position(|late| *late == piece);
        match (place, late) {
            (Some(place), _) => drop(holder.asked.remove(place)),
            (None, Some(late)) => drop(holder.late.remove(late)),
            (None, None) => return Err(FetchError::Unasked),
        }
        let size = holder.size;
        if total_size.is_some_and(|total| total != size) || data.len() as u32 != length(size, piece)
        {
            return Err(FetchError::Length);
        }
        let Some(attempt) = self.attempts.get_mut(&size) else { return Ok(Arrival::More) };
        if attempt.sole.is_some_and(|sole| sole != Some(key)) {
            return Ok(Arrival::More);
        }
        attempt.progress_at = now;
        if let Entry::Vacant(place) = attempt.pieces.entry(piece) {
            place.insert((key, Bytes::copy_from_slice(data)));
            attempt.bytes += data.len() as u64;
        }
        if (attempt.pieces.len() as u32) < pieces(size) {
            self.make_space(now);
            return Ok(Arrival::More);
        }
        Ok(self.judge(size))
    }

    /// Whoever lies about the length may send a lot: what is kept of all lengths together is bounded,
    /// and what the fewest peers stand for goes first.
    fn make_space(&mut self, now: Instant) {
        while self.buffered() > self.most_buffered() {
            let holders = |size: u32| self.holders.values().filter(|h| h.size == size).count();
            let weakest = self.attempts.iter().min_by_key(|(size, attempt)| {
                (holders(**size), core::cmp::Reverse(attempt.bytes), **size)
            });
            let Some(size) = weakest.map(|(size, _)| *size) else { return };
            self.drop_attempt(size, now);
        }
    }

    fn most_buffered(&self) -> u64 {
        2 * u64::from(self.max_size)
    }

    /// Forgets what has come of a length; another one has its turn first.
    fn drop_attempt(&mut self, size: u32, now: Instant) {
        self.attempts.remove(&size);
        for holder in self.holders.values_mut().filter(|holder| holder.size == size) {
            holder.give_up_all();
            holder.stalled_at = now;
        }
    }

    /// All pieces of a length are there: is it the dictionary that is wanted?
    fn judge(&mut self, size: u32) -> Arrival {
        let Some(attempt) = self.attempts.get_mut(&size) else { return Arrival::More };
        let pieces = core::mem::take(&mut attempt.pieces);
        attempt.bytes = 0;
        let mut whole = Vec::with_capacity(size as usize);
        let mut senders = SmallVec::<[PeerKey; 8]>::new();
        for (sender, bytes) in pieces.values() {
            whole.extend_from_slice(bytes);
            if !senders.contains(sender) {
                senders.push(*sender);
            }
        }
        let v1 = self.wanted.v1.is_none_or(|hash| Sha1Hash::of(&whole) == hash);
        let v2 = self.wanted.v2.is_none_or(|hash| Sha256Hash::of(&whole) == hash);
        if v1 && v2 {
            return Arrival::Complete(whole.into());
        }
        let liar = match senders.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        attempt.sole = Some(None);
        if let Some(liar) = liar {
            self.holders.remove(&liar);
        }
        // Whatever else is on its way for this length belongs to no whole one.
        for holder in self.holders.values_mut().filter(|holder| holder.size == size) {
            holder.give_up_all();
        }
        Arrival::Wrong(liar)
    }

    /// Requests to be made now.
    pub fn poll(&mut self, now: Instant) -> Vec<(PeerKey, u32)> {
        let mut requests = Vec::new();
        self.give_up(now);
        self.make_attempts(now);
        let sizes: SmallVec<[u32; MAX_ATTEMPTS]> = self.attempts.keys().copied().collect();
        for size in sizes {
            self.choose_sole(size, now);
            while let Some((key, piece)) = self.next_request(size, now) {
                if let Some(holder) = self.holders.get_mut(&key) {
                    holder.asked.push((piece, now));
                }
                requests.push((key, piece));
            }
        }
        self.next_look = (!self.holders.is_empty()).then_some(now + LOOK);
        requests
    }

    /// When to [`Self::poll`] again, if nothing happens until then.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.next_look
    }

    /// Bytes that have come, of any length.
    pub fn buffered(&self) -> u64 {
        self.attempts.values().map(|attempt| attempt.bytes).sum()
    }

    /// Peers that offer the dictionary.
    pub fn holders(&self) -> u32 {
        self.holders.len() as u32
    }

    /// Takes back what was asked too long ago.
    fn give_up(&mut self, now: Instant) {
        let mut silent = SmallVec::<[PeerKey; 8]>::new();
        for (key, holder) in &mut self.holders {
            let overdue = holder.asked.iter().filter(|(_, since)| now.since(*since) >= PATIENCE);
            let overdue: SmallVec<[u32; MAX_ASKED]> = overdue.map(|(piece, _)| *piece).collect();
            if !overdue.is_empty() {
                holder.asked.retain(|(piece, _)| !overdue.contains(piece));
                overdue.iter().for_each(|piece| holder.remember(*piece));
                holder.not_before = now + AFTER_SILENCE;
                silent.push(*key);
            }
        }
        silent.into_iter().for_each(|key| self.pass_on(key));
    }

    /// The peer whose turn it was did not deliver: the next one begins from the start.
    fn pass_on(&mut self, key: PeerKey) {
        let Some(holder) = self.holders.get_mut(&key) else { return };
        let Some(attempt) = self.attempts.get_mut(&holder.size) else { return };
        if attempt.sole == Some(Some(key)) {
            attempt.sole = Some(None);
            attempt.clear();
            holder.turns += 1;
            holder.give_up_all();
        }
    }

    /// Lets every length that somebody offers have its chance, a few at a time.
    fn make_attempts(&mut self, now: Instant) {
        let offered = |size: &u32, holders: &BTreeMap<PeerKey, Holder>| {
            holders.values().any(|holder| holder.size == *size)
        };
        let mut waiting: Vec<_> = self.holders.values().map(|h| (h.stalled_at, h.size)).collect();
        waiting.sort_unstable();
        for (_, size) in waiting {
            if self.attempts.contains_key(&size) {
                continue;
            }
            if self.attempts.len() >= MAX_ATTEMPTS {
                let stalled = self.attempts.iter().filter(|(size, attempt)| {
                    !offered(size, &self.holders) || now.since(attempt.progress_at) >= STALLED
                });
                let oldest = stalled.min_by_key(|(size, attempt)| (attempt.progress_at, **size));
                let Some(oldest) = oldest.map(|(size, _)| *size) else { return };
                self.drop_attempt(oldest, now);
            }
            let (pieces, bytes, progress_at, sole) = (BTreeMap::new(), 0, now, None);
            self.attempts.insert(size, Attempt { pieces, bytes, progress_at, sole });
        }
    }

    /// Where one peer has to deliver everything, says whose turn it is.
    fn choose_sole(&mut self, size: u32, now: Instant) {
        let Some(attempt) = self.attempts.get_mut(&size) else { return };
        let Some(sole) = attempt.sole else { return };
        if sole.is_some_and(|key| self.holders.contains_key(&key)) {
            return;
        }
        let able = self.holders.iter().filter(|(_, h)| h.size == size && h.not_before <= now);
        let next = able.min_by_key(|(key, holder)| (holder.turns, **key)).map(|(key, _)| *key);
        attempt.sole = Some(next);
        attempt.clear();
    }

    /// The next request for a dictionary of this length: a piece that nobody was asked for, else
    /// one that is overdue, of the peer with the fewest requests.
    fn next_request(&self, size: u32, now: Instant) -> Option<(PeerKey, u32)> {
        let attempt = self.attempts.get(&size)?;
        let able = self.holders.iter().filter(|(key, holder)| {
            let turn = attempt.sole.is_none_or(|sole| sole == Some(**key));
            turn && holder.size == size
                && holder.not_before <= now
                && holder.asked.len() < MAX_ASKED
        });
        let mut able: Vec<_> = able.collect();
        able.sort_by_key(|(key, holder)| (holder.asked.len(), **key));
        let first = able.first()?;
        let missing = || (0..pieces(size)).filter(|piece| !attempt.pieces.contains_key(piece));
        let asked = |piece: u32| {
            let all = self.holders.values().filter(move |holder| holder.size == size);
            all.flat_map(|holder| &holder.asked).filter(move |(asked, _)| *asked == piece)
        };
        if let Some(piece) = missing().find(|piece| asked(*piece).next().is_none()) {
            return Some((*first.0, piece));
        }
        for (key, holder) in able {
            let again = missing().find(|piece| {
                let overdue = |(_, since): &(u32, Instant)| now.since(*since) >= SECOND_CHANCE;
                !holder.asked.iter().any(|(asked, _)| asked == piece)
                    && asked(*piece).count() < MAX_ASKERS
                    && asked(*piece).all(overdue)
            });
            if let Some(piece) = again {
                return Some((*key, piece));
            }
        }
        None
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.attempts.len() > MAX_ATTEMPTS {
            return Err("metadata is fetched in few lengths at a time");
        }
        for (size, attempt) in &self.attempts {
            let fits = |(piece, (_, bytes)): (&u32, &(PeerKey, Bytes))| {
                *piece < pieces(*size) && bytes.len() as u32 == length(*size, *piece)
            };
            if *size > self.max_size || !attempt.pieces.iter().all(fits) {
                return Err("metadata pieces fit the length that was said");
            }
            let counted: u64 = attempt.pieces.values().map(|(_, bytes)| bytes.len() as u64).sum();
            if counted != attempt.bytes || self.buffered() > self.most_buffered() {
                return Err("metadata that has come is counted and bounded");
            }
            if attempt.pieces.len() as u32 >= pieces(*size) {
                return Err("complete metadata is judged at once");
            }
        }
        if self.holders.values().any(|holder| holder.asked.len() > MAX_ASKED) {
            return Err("few metadata pieces are asked of a peer at a time");
        }
        Ok(())
    }
}

impl Attempt {
    fn clear(&mut self) {
        self.pieces.clear();
        self.bytes = 0;
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
