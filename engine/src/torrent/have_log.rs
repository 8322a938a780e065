//! Pieces that were verified, for peers to be told: one list for all, and which peers have not been told
//! all of it. Who reads slowly is told later, and costs nothing in the meantime; who has every piece
//! already is no part of it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::base::ids::ConnId;

/// Most haves that a peer may not have been told of yet. One that reads nothing while more pieces than this
/// are verified is closed.
pub(super) const MAX_OWED: usize = 16_384;

/// Pieces to be told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct HaveLog {
    pieces: VecDeque<u32>,
    /// Number of the first that is still there.
    first: u64,
    /// Connections that were not told everything, in the order in which they fell behind. Those that
    /// were closed since may be among them.
    behind: Vec<ConnId>,
    /// Something was added since the peers were last told.
    news: bool,
}

impl HaveLog {
    /// A piece was verified of which somebody has to be told.
    pub(super) fn add(&mut self, piece: u32) {
        self.pieces.push_back(piece);
        self.news = true;
    }

    /// A connection was told everything until now, and has to be told of the next piece.
    pub(super) fn fall_behind(&mut self, conn: ConnId) {
        self.behind.push(conn);
    }

    /// Number of the piece that will be added next.
    pub(super) fn end(&self) -> u64 {
        self.first + self.pieces.len() as u64
    }

    /// Whether everybody was told everything.
    pub(super) fn is_empty(&self) -> bool {
        self.behind.is_empty()
    }

    /// Whether something was added that nobody was told.
    pub(super) fn has_news(&self) -> bool {
        self.news
    }

    /// Marks everything as told. Returns whether something was new.
    pub(super) fn take_news(&mut self) -> bool {
        core::mem::take(&mut self.news)
    }

    /// Connections that were not told everything.
    pub(super) fn behind(&self) -> &[ConnId] {
        &self.behind
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

    /// Forgets the connections that are not behind any more and the pieces that everybody was told.
    /// `told` says up to where a connection was told, or nothing if it is not behind.
    pub(super) fn tidy(&mut self, told: impl Fn(ConnId) -> Option<u64>) {
        let mut least = self.end();
        self.behind.retain(|conn| {
            let told = told(*conn);
            least = told.map_or(least, |told| told.min(least));
            told.is_some()
        });
        while self.first < least && self.pieces.pop_front().is_some() {
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
        let (one, two) = (ConnId::from_u64(1), ConnId::from_u64(2));
        let mut log = HaveLog::default();
        [one, two].into_iter().for_each(|conn| log.fall_behind(conn));
        (10..15).for_each(|piece| log.add(piece));
        assert!(log.take_news() && !log.has_news());
        assert_eq!((log.get(0), log.get(4), log.get(5)), (Some(10), Some(14), None));
        log.tidy(|conn| (conn == one).then_some(3));
        assert_eq!((log.get(2), log.get(3), log.end()), (None, Some(13), 5));
        assert_eq!(log.behind(), [one]);
        assert!(log.is_too_late(2) && !log.is_too_late(3));
        (0..MAX_OWED as u32).for_each(|piece| log.add(piece));
        assert!(log.is_too_late(4) && !log.is_too_late(5));
        log.tidy(|_| None);
        assert!(log.is_empty() && log.get(log.end() - 1).is_none());
    }
}
