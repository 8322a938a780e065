//! Pieces that were verified, for peers to be told: one list for all, of which each peer has been told
//! up to somewhere. Who reads slowly is told later, and costs nothing in the meantime.

use alloc::collections::VecDeque;
use serde::{Deserialize, Serialize};

/// Pieces that a peer may be behind. A peer that did not read while so many were verified is closed.
pub(super) const MAX_OWED: usize = 16_384;

/// Pieces to be told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct HaveLog {
    pieces: VecDeque<u32>,
    /// Number of the first that is still there.
    first: u64,
    /// Something was added since the peers were last told.
    news: bool,
}

impl HaveLog {
    /// A piece was verified.
    pub(super) fn add(&mut self, piece: u32) {
        self.pieces.push_back(piece);
        self.news = true;
    }

    /// Number of the piece that will be verified next.
    pub(super) fn end(&self) -> u64 {
        self.first + self.pieces.len() as u64
    }

    /// Whether everybody was told everything.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether something was added that nobody was told.
    pub(super) fn has_news(&self) -> bool {
        self.news
    }

    /// From now on nothing is new.
    pub(super) fn take_news(&mut self) -> bool {
        core::mem::take(&mut self.news)
    }

    /// The next piece for a peer that was told everything before number `told`.
    pub(super) fn get(&self, told: u64) -> Option<u32> {
        let index = usize::try_from(told.checked_sub(self.first)?).ok()?;
        self.pieces.get(index).copied()
    }

    /// Whether a peer has fallen so far behind that it cannot be told any more.
    pub(super) fn is_too_late(&self, told: u64) -> bool {
        told < self.first || self.end() - told > MAX_OWED as u64
    }

    /// Everybody was told everything before number `told`.
    pub(super) fn forget_before(&mut self, told: u64) {
        while self.first < told && self.pieces.pop_front().is_some() {
            self.first += 1;
        }
        if self.pieces.is_empty() {
            self.pieces.shrink_to(16);
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the log.

    use super::*;

    #[test]
    fn each_peer_is_told_what_was_verified_since_it_was_last_told() {
        let mut log = HaveLog::default();
        (10..15).for_each(|piece| log.add(piece));
        assert!(log.take_news() && !log.has_news());
        assert_eq!((log.get(0), log.get(4), log.get(5)), (Some(10), Some(14), None));
        log.forget_before(3);
        assert_eq!((log.get(2), log.get(3), log.end()), (None, Some(13), 5));
        assert!(log.is_too_late(2) && !log.is_too_late(3));
        (0..MAX_OWED as u32).for_each(|piece| log.add(piece));
        assert!(log.is_too_late(4) && !log.is_too_late(5));
        log.forget_before(u64::MAX);
        assert!(log.get(log.end() - 1).is_none());
    }
}
