//! The files of a torrent: what was there before, how they lie, what is in doubt, what is on record.

mod adoption;
mod arrangement;
mod doubt;
mod full_disk;
mod saving;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::base::bits::Bits;
use crate::resume::ResumeData;

pub(super) use adoption::Adoption;
pub(super) use arrangement::Arrangement;
pub(super) use doubt::Doubt;
pub(super) use full_disk::FullDisk;
pub(super) use saving::Saving;

/// What is known of the files of a torrent, and what is in progress with them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Storage {
    pub(super) saving: Saving,
    pub(super) doubt: Doubt,
    pub(super) arrangement: Arrangement,
    pub(super) adoption: Adoption,
    /// There was no room on the disk.
    pub(super) full_disk: Option<FullDisk>,
    /// Nothing durable says yet that the files are ours; nothing is written before that.
    pub(super) unclaimed: bool,
    /// Pieces begun in an earlier run and not complete: blocks that are on disk if a check does not
    /// find the whole piece.
    pub(super) begun_before: Vec<(u32, Bits)>,
    /// What an earlier run left, until what is there is known to be ours.
    pub(super) resume: Option<Box<ResumeData>>,
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
            saving: Saving::default(),
            doubt: Doubt::default(),
            arrangement,
            adoption,
            full_disk: None,
            unclaimed: false,
            begun_before: Vec::new(),
            resume,
            hash_queue: BTreeSet::new(),
        }
    }
}
