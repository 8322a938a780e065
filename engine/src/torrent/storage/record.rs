//! What an earlier run left on record, and how much of it is believed when the files have been looked at.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::api::{FileStatus, LocationId};
use crate::base::bits::Bits;
use crate::metainfo::Metainfo;
use crate::resume::ResumeData;

/// The record of a torrent, from the moment it is added until its files are known to be ours.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::torrent) struct Record {
    /// What an earlier run left.
    resume: Option<Box<ResumeData>>,
    /// Nothing durable says yet that the files are ours; nothing is written before that.
    unclaimed: bool,
    /// Pieces begun in an earlier run and not complete: blocks that are on disk if a check does not
    /// find the whole piece.
    begun: Vec<(u32, Bits)>,
}

/// What follows from a record and the files as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::torrent) struct Belief {
    /// Pieces that are good.
    pub(in crate::torrent) good: Vec<u32>,
    /// Blocks of begun pieces that are there.
    pub(in crate::torrent) begun: Vec<(u32, Bits)>,
    /// Pieces to be hashed at once.
    pub(in crate::torrent) check: BTreeSet<u32>,
    /// Pieces that are believed, and hashed again when there is time.
    pub(in crate::torrent) when_idle: BTreeSet<u32>,
}

impl Record {
    /// What an earlier run left, if it left anything.
    pub(in crate::torrent) fn new(resume: Option<Box<ResumeData>>) -> Self {
        Self { resume, ..Self::default() }
    }

    /// What is on record, if it is about this torrent.
    pub(in crate::torrent) fn about(&self, metainfo: &Metainfo) -> Option<&ResumeData> {
        let resume = self.resume.as_deref()?;
        let fits = resume.info_hash == metainfo.info_hashes().wire()
            && resume.have.len() == metainfo.geometry().pieces()
            && resume.files.len() == metainfo.layout().files().len();
        fits.then_some(resume)
    }

    /// The files at `location` have been looked at: whether the record claims them.
    pub(in crate::torrent) fn opened(&mut self, metainfo: &Metainfo, location: LocationId) {
        self.unclaimed = self.about(metainfo).is_none_or(|resume| resume.location != location);
        self.begun.clear();
    }

    /// Believes what is on record about files that have not changed since.
    pub(in crate::torrent) fn believe(
        &mut self,
        resume: &ResumeData,
        metainfo: &Metainfo,
        files: &[FileStatus],
    ) -> Belief {
        let mut belief = Belief::default();
        let mut doubtful = BTreeSet::new();
        for (index, file) in metainfo.layout().files().iter().enumerate() {
            let (is, was) = (files.get(index), resume.files.get(index));
            if !file.is_stored() || is == was {
                continue;
            }
            let pieces = metainfo.geometry().pieces_of(file.offset, file.length);
            let length = |status: Option<&FileStatus>| status.and_then(|status| status.length);
            if resume.clean || length(is) < length(was) {
                doubtful.extend(pieces);
            } else {
                // The file changed because we wrote to it after the last save; pieces claimed then were not
                // written again.
                let claimed = |piece: &u32| resume.have.has(*piece);
                belief.when_idle.extend(pieces.clone().filter(claimed));
                doubtful.extend(pieces.filter(|piece| !claimed(piece)));
            }
        }
        belief.good = resume.have.ones().filter(|piece| !doubtful.contains(piece)).collect();
        for (piece, blocks) in &resume.partial {
            if !doubtful.contains(piece) {
                belief.begun.push((*piece, blocks.clone()));
            } else if !resume.clean {
                self.begun.push((*piece, blocks.clone()));
            }
        }
        let there = pieces_on_disk(metainfo, files);
        belief.check = doubtful.into_iter().filter(|piece| there.contains(piece)).collect();
        belief
    }

    /// The files are known to be ours. Returns pieces begun in an earlier run.
    pub(in crate::torrent) fn accept(&mut self) -> Vec<(u32, Bits)> {
        self.resume = None;
        core::mem::take(&mut self.begun)
    }

    /// The record is about other files.
    pub(in crate::torrent) fn forget(&mut self) {
        self.resume = None;
    }

    /// Nothing durable says yet that the files are ours.
    pub(in crate::torrent) fn is_unclaimed(&self) -> bool {
        self.unclaimed
    }

    /// The claim on the files is durable from now on. Returns whether that is new.
    pub(in crate::torrent) fn claim(&mut self) -> bool {
        core::mem::take(&mut self.unclaimed)
    }
}

#[cfg(feature = "corruption")]
impl Record {
    /// Breaks a rule about it; `None` where that is another's.
    pub(in crate::torrent) fn corrupt(&mut self, rule: &str) -> Option<()> {
        let own = rule == "nothing is asked for before it is on record whose files these are";
        self.unclaimed |= own;
        own.then_some(())
    }
}

/// Pieces of which something may be on disk.
pub(in crate::torrent) fn pieces_on_disk(
    metainfo: &Metainfo,
    files: &[FileStatus],
) -> BTreeSet<u32> {
    let mut there = BTreeSet::new();
    for (file, status) in metainfo.layout().files().iter().zip(files) {
        let length = status.length.unwrap_or(0).min(file.length);
        if !file.is_stored() {
            continue;
        }
        let geometry = metainfo.geometry();
        there.extend(geometry.pieces_of(file.offset, length));
        if status.length.is_none() && status.modified != 0 {
            // The first and last piece of a skipped file may be in the part file, for its neighbours.
            let pieces = geometry.pieces_of(file.offset, file.length);
            there.extend(pieces.clone().next().into_iter().chain(pieces.last()));
        }
    }
    there
}
