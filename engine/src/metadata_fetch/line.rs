//! What has come of one info dictionary, and what is missing of it.

use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{length, pieces};
use crate::picker::PeerKey;

/// The pieces of a dictionary of one length.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Line {
    pieces: BTreeMap<u32, (PeerKey, Bytes)>,
    /// Bytes of all those pieces.
    bytes: u64,
    /// Pieces below this have been asked for.
    frontier: u32,
    /// Those of them that have not come, and how many times each was asked for: as many as were ever
    /// outstanding at a time, not as many as the dictionary is said to have.
    missing: BTreeMap<u32, u32>,
}

impl Line {
    /// Bytes that have come.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a piece that fits; of several the first counts.
    pub(super) fn put(&mut self, piece: u32, sender: PeerKey, data: &[u8]) {
        if let Entry::Vacant(place) = self.pieces.entry(piece) {
            place.insert((sender, Bytes::copy_from_slice(data)));
            self.bytes += data.len() as u64;
            self.missing.remove(&piece);
        }
    }

    /// Whether nothing is missing of a dictionary of `size` bytes.
    pub(super) fn is_whole(&self, size: u32) -> bool {
        self.pieces.len() as u32 == pieces(size)
    }

    /// A missing piece that may be asked for: one that was asked for before, else the next one that
    /// was not. `may` is told how many times a piece was asked for.
    pub(super) fn next_missing(
        &mut self,
        size: u32,
        may: impl Fn(u32, u32) -> bool,
    ) -> Option<u32> {
        let mut again = self.missing.iter_mut().filter(|(piece, times)| may(**piece, **times));
        if let Some((piece, times)) = again.next() {
            *times = times.saturating_add(1);
            return Some(*piece);
        }
        while self.frontier < pieces(size) {
            let piece = self.frontier;
            self.frontier += 1;
            // One may be here already, from before the line was begun again.
            if !self.pieces.contains_key(&piece) {
                self.missing.insert(piece, 1);
                return Some(piece);
            }
        }
        None
    }

    /// The whole dictionary, and who sent any of it.
    pub(super) fn into_whole(self) -> (Vec<u8>, SmallVec<[PeerKey; 8]>) {
        let mut whole = Vec::with_capacity(self.bytes as usize);
        let mut senders = BTreeSet::new();
        for (sender, bytes) in self.pieces.values() {
            whole.extend_from_slice(bytes);
            senders.insert(*sender);
        }
        (whole, senders.into_iter().collect())
    }

    /// What must hold after every step.
    pub(super) fn check(&self, size: u32) -> Result<(), &'static str> {
        let fits = |(piece, (_, bytes)): (&u32, &(PeerKey, Bytes))| {
            *piece < pieces(size) && bytes.len() as u32 == length(size, *piece)
        };
        if !self.pieces.iter().all(fits) {
            return Err("metadata pieces fit the length that was said");
        }
        let counted: u64 = self.pieces.values().map(|(_, bytes)| bytes.len() as u64).sum();
        if counted != self.bytes {
            return Err("metadata that has come is counted");
        }
        if self.is_whole(size) {
            return Err("complete metadata is judged at once");
        }
        if self.missing.keys().any(|piece| self.pieces.contains_key(piece)) {
            return Err("metadata pieces that have come are not missing");
        }
        Ok(())
    }
}

#[cfg(feature = "corruption")]
impl Line {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "metadata pieces fit the length that was said" => {
                let (_, bytes) = self.pieces.values_mut().next()?;
                bytes.truncate(bytes.len() - 1);
            }
            "metadata that has come is counted" => self.bytes += 1,
            "metadata pieces that have come are not missing" => {
                self.missing.insert(*self.pieces.keys().next()?, 1);
            }
            _ => return None,
        }
        Some(())
    }

    /// All of it is there and was not judged.
    pub(super) fn complete(&mut self, size: u32) {
        let piece = |n| (n, (1, Bytes::from(alloc::vec![0; length(size, n) as usize])));
        self.pieces = (0..pieces(size)).map(piece).collect();
        self.bytes = size.into();
    }
}
