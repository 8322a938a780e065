//! Resume data: gathered when something changed, stored only after what it claims is durable.

use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::bits::Bits;
use crate::base::time::Instant;

/// Bytes verified after which a save begins early: the last sync of a download waits for no more
/// than these, and the disk works while more is fetched.
const SAVED_AT_ONCE: u64 = 64 << 20;

/// When resume data is to be stored, and how far that has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::torrent) struct Saving {
    /// Something changed since the last save.
    dirty: bool,
    /// Bytes verified since the last save.
    verified: u64,
    /// Save as soon as the save in progress allows.
    urgent: bool,
    /// When the next save is due; `None` while nothing has changed.
    due: Option<Instant>,
    /// What was verified and written when the sync in progress began.
    syncing: Option<Claim>,
    storing: bool,
    /// The end of the download is to be told with the next completed sync.
    finished: bool,
}

/// What a completed sync allows to be claimed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::torrent) struct Claim {
    /// Pieces that were verified when it began.
    pub(in crate::torrent) have: Bits,
    /// Blocks that were written then.
    pub(in crate::torrent) partial: Vec<(u32, Bits)>,
    /// The end of the download is to be told.
    pub(in crate::torrent) finished: bool,
}

/// When to save.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::torrent) struct Due {
    /// Now.
    pub(in crate::torrent) now: bool,
    /// A timer is to be set for then, when the save is due.
    pub(in crate::torrent) wake: Option<Instant>,
}

impl Saving {
    /// Something that resume data tells has changed.
    pub(in crate::torrent) fn mark(&mut self) {
        self.dirty = true;
    }

    /// A piece of `bytes` bytes is verified.
    pub(in crate::torrent) fn mark_verified(&mut self, bytes: u32) {
        self.dirty = true;
        self.verified += u64::from(bytes);
    }

    /// Whether everything is saved.
    pub(in crate::torrent) fn is_clean(&self) -> bool {
        !self.dirty && !self.finished && !self.is_busy()
    }

    /// Whether a save is in progress.
    pub(in crate::torrent) fn is_busy(&self) -> bool {
        self.syncing.is_some() || self.storing
    }

    /// Save now.
    pub(in crate::torrent) fn due_now(&mut self) {
        self.urgent = true;
    }

    /// Tell the end of the download when everything is durable.
    pub(in crate::torrent) fn tell_finished(&mut self) {
        self.dirty = true;
        self.finished = true;
    }

    /// When a save is due: at the latest `interval` after the first change.
    pub(in crate::torrent) fn due(&mut self, now: Instant, interval: Duration) -> Due {
        if !self.dirty {
            return Due::default();
        }
        let wake = self.due.is_none().then_some(now + interval);
        let due = *self.due.get_or_insert(now + interval);
        Due { now: self.urgent || due <= now || self.verified >= SAVED_AT_ONCE, wake }
    }

    /// A sync begins: when it has ended, this may be claimed.
    pub(in crate::torrent) fn sync_begins(&mut self, have: Bits, partial: Vec<(u32, Bits)>) {
        self.dirty = false;
        self.urgent = false;
        self.verified = 0;
        self.due = None;
        let finished = core::mem::take(&mut self.finished);
        self.syncing = Some(Claim { have, partial, finished });
    }

    /// The sync has ended, well or not. Returns what may be claimed if it ended well.
    pub(in crate::torrent) fn synced(&mut self, well: bool) -> Option<Claim> {
        let claim = self.syncing.take()?;
        if !well {
            // What is not durable is claimed after a later save.
            self.dirty = true;
            self.finished |= claim.finished;
        }
        Some(claim)
    }

    /// The record is on its way to the disk.
    pub(in crate::torrent) fn store_begins(&mut self) {
        self.storing = true;
    }

    /// It is stored, or is not and has to be stored again.
    pub(in crate::torrent) fn stored(&mut self, stored: bool) {
        self.storing = false;
        self.dirty |= !stored;
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of saving.

    use super::*;

    #[test]
    fn a_save_waits_for_the_interval_unless_somebody_or_much_asks_for_it() {
        let (at, interval) =
            (|second: u64| Instant::from_millis(second * 1000), Duration::from_secs(60));
        let mut saving = Saving::default();
        saving.due_now();
        assert_eq!(saving.due(at(1), interval), Due::default(), "nothing has changed");
        let mut saving = Saving::default();
        saving.mark();
        let wake = Some(at(65));
        assert_eq!(saving.due(at(5), interval), Due { now: false, wake });
        saving.mark();
        let due = |now| Due { now, wake: None };
        assert_eq!(saving.due(at(64), interval), due(false), "from the first change");
        assert_eq!(saving.due(at(65), interval), due(true));
        let mut saving = Saving::default();
        saving.mark_verified(SAVED_AT_ONCE as u32);
        assert!(saving.due(at(5), interval).now);
    }

    #[test]
    fn what_could_not_be_made_durable_is_claimed_by_a_later_save() {
        let mut saving = Saving::default();
        saving.tell_finished();
        saving.sync_begins(Bits::new(8), Vec::new());
        assert!(saving.is_busy() && !saving.is_clean());
        assert!(saving.synced(false).is_some() && saving.synced(true).is_none());
        saving.sync_begins(Bits::new(8), Vec::new());
        assert!(saving.synced(true).is_some_and(|claim| claim.finished));
        saving.store_begins();
        assert!(saving.is_busy());
        saving.stored(true);
        assert!(saving.is_clean());
        saving.stored(false);
        assert!(!saving.is_clean());
    }
}
