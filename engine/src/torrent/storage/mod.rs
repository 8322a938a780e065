//! The files of a torrent: what was there before, how they lie, what is in doubt, what is on record.

mod adoption;
mod arrangement;
mod doubt;
mod full_disk;
mod record;
mod saving;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};

use crate::resume::ResumeData;

pub(super) use adoption::{Adoption, Found, Verdict};
pub(super) use arrangement::{Arranged, Arrangement, Next};
pub(super) use doubt::Doubt;
pub(super) use full_disk::FullDisk;
pub(super) use record::{Record, pieces_on_disk};
pub(super) use saving::Saving;

/// What is known of the files of a torrent, and what is in progress with them. Each part is a machine by
/// itself and sees no other; `torrent/files.rs` gives them what happens and does what they say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Storage {
    /// What an earlier run left.
    pub(super) record: Record,
    /// What was there before.
    pub(super) adoption: Adoption,
    /// How the files lie.
    pub(super) arrangement: Arrangement,
    /// What may not be what it was.
    pub(super) doubt: Doubt,
    /// When resume data is stored.
    pub(super) saving: Saving,
    /// Whether there is room.
    pub(super) full_disk: FullDisk,
    /// Pieces whose blocks are all written.
    pub(super) hash_queue: BTreeSet<u32>,
}

impl Storage {
    /// Files that were not opened yet.
    pub(super) fn new(
        arrangement: Arrangement,
        adoption: Adoption,
        resume: Option<Box<ResumeData>>,
    ) -> Self {
        Self {
            record: Record::new(resume),
            adoption,
            arrangement,
            doubt: Doubt::default(),
            saving: Saving::default(),
            full_disk: FullDisk::default(),
            hash_queue: BTreeSet::new(),
        }
    }

    /// Whether everything is certain, saved and where it is wanted.
    pub(super) fn is_at_rest(&self) -> bool {
        self.saving.is_clean()
            && self.doubt.is_certain()
            && self.arrangement.is_done()
            && !self.full_disk.is_full()
    }

    /// Whether nothing may be asked for, since it could not be written.
    pub(super) fn holds_writes(&self) -> bool {
        self.record.is_unclaimed() || self.arrangement.holds_writes()
    }

    /// Saves as soon as may be.
    pub(super) fn save_soon(&mut self) {
        self.saving.mark();
        self.saving.due_now();
    }
}
