//! The rarity index: unstarted pieces in buckets by priority and number of holders.
//!
//! Seeds raise all pieces alike and are one counter; what one of them has lost since is counted as a
//! holder less. Every change moves one piece between two
//! buckets by swapping it with the last, so it costs the same for a thousand pieces and a million.

use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Holders that are told apart; pieces with more are equally common.
const LEVELS: usize = 64;
/// Level of a piece that nobody but the seeds has; below it stand those that seeds have lost.
const NOBODY: i32 = 4;
/// Priorities 1 to 7.
const PRIORITIES: usize = 7;
const UNLISTED: u32 = u32::MAX;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Availability {
    /// Peers that have everything.
    pub(super) seeds: u32,
    /// Other holders of each piece, less the seeds that have lost it.
    holders: Vec<i16>,
    /// Place of each listed piece in its bucket.
    place: Vec<u32>,
    /// Priority under which each piece is listed.
    priority: Vec<u8>,
    /// By rank of priority, then by level: no more levels than were ever needed.
    buckets: [Vec<Vec<u32>>; PRIORITIES],
    /// One bit for each bucket that is not empty.
    occupied: [u64; PRIORITIES],
}

impl Availability {
    pub(super) fn new(pieces: u32) -> Self {
        let pieces = pieces as usize;
        Self {
            seeds: 0,
            holders: vec![0; pieces],
            place: vec![UNLISTED; pieces],
            priority: vec![0; pieces],
            buckets: Default::default(),
            occupied: [0; PRIORITIES],
        }
    }

    /// Holders that are no seeds, less the seeds that have lost the piece.
    pub(super) fn count(&self, piece: u32) -> i32 {
        self.holders[piece as usize].into()
    }

    /// Bucket of a piece, by rank of its priority and level: the most wanted first, the rarest first
    /// among those.
    fn bucket(&self, piece: u32) -> (usize, usize) {
        (rank(self.priority[piece as usize]), level(self.holders[piece as usize]))
    }

    pub(super) fn insert(&mut self, piece: u32, priority: u8) {
        self.priority[piece as usize] = priority;
        self.put_in(piece, self.bucket(piece));
    }

    fn put_in(&mut self, piece: u32, (rank, level): (usize, usize)) {
        let levels = &mut self.buckets[rank];
        if levels.len() <= level {
            levels.resize(level + 1, Vec::new());
        }
        self.place[piece as usize] = levels[level].len() as u32;
        levels[level].push(piece);
        self.occupied[rank] |= 1 << level;
    }

    pub(super) fn remove(&mut self, piece: u32) {
        self.take_out(piece, self.bucket(piece));
        self.place[piece as usize] = UNLISTED;
    }

    /// Takes a piece out of its bucket; its place is to be set by the caller.
    fn take_out(&mut self, piece: u32, (rank, level): (usize, usize)) {
        let place = self.place[piece as usize] as usize;
        let listed = &mut self.buckets[rank][level];
        listed.swap_remove(place);
        if let Some(moved) = listed.get(place) {
            self.place[*moved as usize] = place as u32;
        }
        if listed.is_empty() {
            self.occupied[rank] &= !(1 << level);
        }
    }

    /// Nothing is missing any more: gives back what only a download needs.
    pub(super) fn shrink(&mut self) {
        if self.occupied == [0; PRIORITIES] {
            self.buckets = Default::default();
        }
    }

    pub(super) fn is_listed(&self, piece: u32) -> bool {
        self.place[piece as usize] != UNLISTED
    }

    pub(super) fn add(&mut self, piece: u32) {
        self.change(piece, |holders| holders.saturating_add(1));
    }

    pub(super) fn sub(&mut self, piece: u32) {
        self.change(piece, |holders| holders.saturating_sub(1));
    }

    fn change(&mut self, piece: u32, by: impl Fn(i16) -> i16) {
        let Some(holders) = self.holders.get_mut(piece as usize) else { return };
        let before = level(*holders);
        *holders = by(*holders);
        let after = level(*holders);
        if before != after && self.is_listed(piece) {
            let rank = rank(self.priority[piece as usize]);
            self.take_out(piece, (rank, before));
            self.put_in(piece, (rank, after));
        }
    }

    /// Listed pieces, the most wanted and rarest first. Inside a bucket the walk begins at a place
    /// that `spread` decides, so that peers asked in turn do not all get the same piece.
    pub(super) fn ranked(&self, spread: u32) -> impl Iterator<Item = u32> + '_ {
        let ranks = self.occupied.iter().enumerate();
        ranks.flat_map(|(rank, bits)| Occupied { base: rank * LEVELS, bits: *bits }).flat_map(
            move |bucket| {
                let bucket = &self.buckets[bucket / LEVELS][bucket % LEVELS];
                let start = spread as usize % bucket.len();
                bucket[start..].iter().chain(&bucket[..start]).copied()
            },
        )
    }

    /// Whether every list has an entry for each of `pieces`, and names no others.
    pub(super) fn fits(&self, pieces: u32) -> bool {
        let count = pieces as usize;
        self.holders.len() == count
            && self.place.len() == count
            && self.priority.len() == count
            && self.buckets.iter().all(|levels| levels.len() <= LEVELS)
            && self.occupied.iter().enumerate().all(|(rank, bits)| {
                let levels = self.buckets[rank].len();
                bits.checked_shr(levels as u32).unwrap_or(0) == 0
            })
            && self.buckets.iter().flatten().flatten().all(|piece| *piece < pieces)
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let all = self.buckets.iter().enumerate().flat_map(|(rank, levels)| {
            levels.iter().enumerate().map(move |(level, bucket)| ((rank, level), bucket))
        });
        for (index, bucket) in all {
            let marked = self.occupied[index.0] >> index.1 & 1 == 1;
            if marked == bucket.is_empty() {
                return Err("occupied buckets are marked");
            }
            for (place, piece) in bucket.iter().enumerate() {
                if self.place[*piece as usize] as usize != place || self.bucket(*piece) != index {
                    return Err("listed pieces know their place");
                }
            }
        }
        Ok(())
    }
}

/// Where pieces of a priority stand.
fn rank(priority: u8) -> usize {
    PRIORITIES - usize::from(priority).clamp(1, PRIORITIES)
}

/// Where pieces with `holders` holders stand.
fn level(holders: i16) -> usize {
    (i32::from(holders) + NOBODY).clamp(0, LEVELS as i32 - 1) as usize
}

/// The buckets of one priority that are not empty.
struct Occupied {
    base: usize,
    bits: u64,
}

impl Iterator for Occupied {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.bits == 0 {
            return None;
        }
        let level = self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(self.base + level)
    }
}

#[cfg(feature = "corruption")]
impl Availability {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "unstarted pieces stand in buckets" => *self.listed()? = UNLISTED,
            "availability equals the recount of bit fields" => self.seeds += 1,
            "occupied buckets are marked" => self.occupied = [0; PRIORITIES],
            "listed pieces know their place" => *self.listed()? = 100_000,
            _ => return None,
        }
        Some(())
    }

    /// The place of the first piece that has one.
    fn listed(&mut self) -> Option<&mut u32> {
        self.place.iter_mut().find(|place| **place != UNLISTED)
    }
}
