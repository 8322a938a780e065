//! What was there before: data of this torrent is adopted, what is something else is not touched.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::api::{FileStatus, TorrentError};
use crate::base::bits::Bits;
use crate::metainfo::Metainfo;

/// What is still to be found out about files that were there before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::torrent) struct Adoption {
    /// Files that are no data of this torrent may be overwritten.
    overwrite: bool,
    /// Files that no record names as ours: only a verified piece proves that they are.
    unproven: Vec<u32>,
    /// Files found under the names in the torrent where we would use safer ones. They are used only if they are
    /// complete, so that nothing is ever written under such a name.
    borrowed: BTreeSet<u32>,
    /// Files that are too long and are being cut.
    trimming: Option<Vec<u32>>,
}

/// What is on record of files from an earlier run.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::torrent) struct Before<'a> {
    pub(in crate::torrent) files: &'a [FileStatus],
    /// They were in this place.
    pub(in crate::torrent) here: bool,
    /// They were, and that run ended in a crash: we may have written to them after the record.
    pub(in crate::torrent) crashed: bool,
}

/// What is known when all files have been looked at.
#[derive(Clone, Copy, Debug)]
pub(in crate::torrent) struct Found<'a> {
    pub(in crate::torrent) metainfo: &'a Metainfo,
    /// Pieces that are good.
    pub(in crate::torrent) have: &'a Bits,
    pub(in crate::torrent) files: &'a [FileStatus],
    /// Files that are not wanted, in order.
    pub(in crate::torrent) skipped: &'a [u32],
    /// Nothing is written.
    pub(in crate::torrent) read_only: bool,
}

/// What becomes of the files that are there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::torrent) enum Verdict {
    /// They are ours: the torrent can go on.
    Ours,
    /// Files are being cut.
    Wait,
    /// Some files under names that we would not use are incomplete: our own names are used for all of them, and
    /// everything is looked at again.
    OtherNames(BTreeSet<u32>),
    /// Files that nobody wants are somebody else's: they stay as they are, and what is fetched of the torrent's,
    /// because wanted files share pieces with them, goes by other names.
    Apart(Vec<u32>),
    /// Something stands in the way.
    InTheWay(TorrentError),
    /// These files are too long and are to be cut.
    Cut(Vec<u32>),
}

impl Adoption {
    /// Nothing was looked at yet.
    pub(in crate::torrent) fn new(overwrite: bool) -> Self {
        Self { overwrite, ..Self::default() }
    }

    /// Notes which of the existing files have to be proven ours: not those that are unchanged since the record, nor,
    /// where that is of this place, those without bytes, of which no piece can show it; and none after a crash. A file
    /// that is nothing but a hole is nobody's: there is nothing in it.
    pub(in crate::torrent) fn ask_for_proof(
        &mut self,
        metainfo: &Metainfo,
        files: &[FileStatus],
        before: Before<'_>,
    ) {
        let files = metainfo.layout().files().iter().zip(files).enumerate();
        let unproven = files.filter(|(index, (file, is))| {
            let there = file.is_stored() && is.length.is_some_and(|length| length > 0);
            let was = before.files.get(*index);
            let was_empty = file.length == 0 && was.is_some_and(|was| was.length == Some(0));
            let known = before.crashed || was == Some(is) || (before.here && was_empty);
            let ours = known || is_hole(is);
            there && !ours
        });
        self.unproven = unproven.map(|(index, _)| index as u32).collect();
    }

    /// A file is there under a name that the torrent gives and we would not.
    pub(in crate::torrent) fn borrow(&mut self, file: u32) {
        self.borrowed.insert(file);
    }

    /// Decides what becomes of the files that are there, now that all of them have been looked at.
    pub(in crate::torrent) fn decide(&mut self, found: Found<'_>) -> Verdict {
        if self.trimming.is_some() {
            return Verdict::Wait;
        }
        if self.has_wrong_names(found) {
            return Verdict::OtherNames(core::mem::take(&mut self.borrowed));
        }
        let apart = self.foreign(found, true);
        if !apart.is_empty() {
            return Verdict::Apart(apart);
        }
        if !self.overwrite
            && let Some(error) = self.misfit(found)
        {
            return Verdict::InTheWay(error);
        }
        let files = found.too_long();
        if !files.is_empty() && !found.read_only {
            self.trimming = Some(files.clone());
            return Verdict::Cut(files);
        }
        self.unproven.clear();
        self.borrowed.clear();
        Verdict::Ours
    }

    /// Files were cut, or were not. Returns which.
    pub(in crate::torrent) fn trimmed(&mut self) -> Option<Vec<u32>> {
        self.trimming.take()
    }

    /// The first file that stands in the way: one of which nothing shows that it belongs to the
    /// torrent, or one that is too long and may not be cut.
    fn misfit(&self, found: Found<'_>) -> Option<TorrentError> {
        let long = || {
            let mut long = found.too_long().into_iter();
            let may_be_cut = |index| found.is_hole(index) || found.is_whole_so_far(index);
            let uncut = long.find(|index| found.read_only || !may_be_cut(*index));
            uncut.map(TorrentError::TooLong)
        };
        let foreign = self.foreign(found, false).first().copied().map(TorrentError::Foreign);
        foreign.or_else(long)
    }

    /// Files that are there and of which nothing shows that they belong to the torrent, among those that are
    /// `skipped` or among the others. Where nothing is written they harm nobody.
    fn foreign(&self, found: Found<'_>, skipped: bool) -> Vec<u32> {
        let all = self.unproven.iter().copied().filter(|_| !found.read_only);
        let these = all.filter(|index| found.is_skipped(*index) == skipped);
        these.filter(|index| !found.has_good_piece(*index)).collect()
    }

    /// Whether files are under names that we would not give, and not whole.
    fn has_wrong_names(&self, found: Found<'_>) -> bool {
        if found.read_only || self.borrowed.is_empty() {
            return false;
        }
        let files = found.metainfo.layout().files().iter().zip(0..);
        let mut own = files.filter(|(file, _)| file.is_stored() && file.own.is_some());
        let whole = |index: u32| self.borrowed.contains(&index) && found.is_whole(index);
        !own.all(|(file, index)| file.length == 0 || whole(index))
    }
}

/// Whether nobody has written anything to a file.
fn is_hole(status: &FileStatus) -> bool {
    status.modified == FileStatus::HOLE
}

impl Found<'_> {
    fn is_hole(&self, index: u32) -> bool {
        self.files.get(index as usize).is_some_and(is_hole)
    }

    fn is_skipped(&self, index: u32) -> bool {
        self.skipped.binary_search(&index).is_ok()
    }

    /// Wanted files that are longer than they should be. Of others nothing is cut.
    fn too_long(&self) -> Vec<u32> {
        let files = self.metainfo.layout().files().iter().zip(self.files).enumerate();
        let long = files.filter(|(index, (file, status))| {
            let long = status.length.is_some_and(|length| length > file.length);
            file.is_stored() && long && !self.is_skipped(*index as u32)
        });
        long.map(|(index, _)| index as u32).collect()
    }

    /// Whether a file shows that it belongs to the torrent. Only a hash does: one good piece that has
    /// bytes of it. Its length proves nothing, also where the file is too small to hold a whole piece.
    fn has_good_piece(&self, index: u32) -> bool {
        let index = index as usize;
        let status = self.files.get(index).copied().unwrap_or_default();
        let Some(file) = self.metainfo.layout().files().get(index) else { return false };
        let length = status.length.unwrap_or(0).min(file.length);
        let mut pieces = self.metainfo.geometry().pieces_of(file.offset, length);
        pieces.any(|piece| self.have.has(piece))
    }

    /// Whether everything of a file is there and verified, as it is of one without bytes.
    fn is_whole(&self, index: u32) -> bool {
        let Some(file) = self.metainfo.layout().files().get(index as usize) else { return false };
        let mut pieces = self.metainfo.geometry().pieces_of(file.offset, file.length);
        pieces.all(|piece| self.have.has(piece))
    }

    /// Whether everything of a file is there and verified, as far as that can be told: pieces that it shares with
    /// files that are not there, because nobody wants them for instance, tell nothing of it.
    fn is_whole_so_far(&self, index: u32) -> bool {
        let Some(file) = self.metainfo.layout().files().get(index as usize) else { return false };
        let pieces = self.metainfo.geometry().pieces_of(file.offset, file.length);
        let (mut good, mut rest) = (0, pieces);
        let whole = rest.all(|piece| {
            good += u32::from(self.have.has(piece));
            self.have.has(piece) || self.lacks_others(piece, index)
        });
        // No piece tells of a file without bytes: it is on record, or would be foreign.
        whole && (good > 0 || file.length == 0)
    }

    /// Whether something of a piece is not there that lies in other files than this one.
    fn lacks_others(&self, piece: u32, index: u32) -> bool {
        let (layout, geometry) = (self.metainfo.layout(), self.metainfo.geometry());
        let mut slices = layout.slices(geometry.piece_offset(piece), geometry.piece_size(piece));
        slices.any(|slice| {
            let stored = layout.files().get(slice.file as usize).is_some_and(|f| f.is_stored());
            let status = self.files.get(slice.file as usize).copied().unwrap_or_default();
            let end = slice.offset + u64::from(slice.length);
            slice.file != index && stored && status.length.unwrap_or(0) < end
        })
    }
}
