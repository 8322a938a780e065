//! What was there before: data of this torrent is adopted, what is something else is not touched.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::super::{Stage, Torrent};
use crate::api::{DiskError, DiskOp, FileStatus, Notice, Renamed, TorrentError};
use crate::context::{Context, DiskJob};
use crate::picker::Picker;
use crate::resume::ResumeData;

/// What is still to be found out about files that were there before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::torrent) struct Adoption {
    /// Files that are something else may be written over.
    overwrite: bool,
    /// Files that no record says are ours: a good piece has to show it.
    unproven: Vec<u32>,
    /// Files found under names that the torrent gives and that we would not. They are used if all of
    /// the torrent is in them, so that nothing is ever written to one.
    borrowed: BTreeSet<u32>,
    /// Files that are too long and are being cut.
    trimming: Option<Vec<u32>>,
}

impl Adoption {
    pub(in crate::torrent) fn new(overwrite: bool) -> Self {
        Self { overwrite, ..Self::default() }
    }
}

impl Torrent {
    /// Whether a record is about files at the place where they are looked for now.
    pub(in crate::torrent) fn is_of_this_place(&self, resume: &ResumeData) -> bool {
        resume.location == self.storage.arrangement.placement.location
    }

    /// Which of the files that are there have to show that they are ours. Those are not that are as the
    /// record has them; nor, after an end that left no last record, any at the place that it names,
    /// since they may have been written to after it.
    pub(in crate::torrent) fn ask_for_proof(&mut self, resume: Option<&ResumeData>) {
        let before = resume.map_or(&[][..], |resume| &resume.files);
        let ours = resume.is_some_and(|r| !r.clean && self.is_of_this_place(r));
        let files = self.metainfo.layout.files().iter().zip(self.storage.doubt.files()).enumerate();
        let unproven = files.filter(|(index, (file, is))| {
            let there = file.is_stored() && is.length.is_some_and(|length| length > 0);
            there && !ours && before.get(*index) != Some(is)
        });
        self.storage.adoption.unproven = unproven.map(|(index, _)| index as u32).collect();
    }

    /// Files are there under other names than was thought.
    pub(crate) fn borrow_names(&mut self, names: Vec<(u32, Vec<String>)>) {
        for (index, path) in names {
            let Some(entry) = self.metainfo.layout.files().get(index as usize) else { continue };
            if entry.own.as_deref() == Some(&path) {
                self.storage.adoption.borrowed.insert(index);
            }
            let name = Renamed { from: path.clone(), to: path };
            self.storage.arrangement.placement.renamed.insert(index, name);
        }
    }

    /// Decides what becomes of the files that are there, now that all of them have been looked at.
    /// Returns whether the torrent can go on at once.
    pub(in crate::torrent) fn adopt(&mut self, ctx: &mut Context) -> bool {
        if self.storage.adoption.trimming.is_some() || self.give_names_back(ctx) {
            return false;
        }
        let read_only = self.storage.arrangement.placement.read_only;
        if !self.storage.adoption.overwrite
            && let Some(error) = self.misfit()
        {
            // To be looked at again when the user says so.
            self.life.enter(Stage::Opening);
            self.stand_still(ctx, error);
            return false;
        }
        let files = self.too_long();
        if !files.is_empty() && !read_only {
            self.storage.adoption.trimming = Some(files.clone());
            ctx.disk(DiskJob::Trim(self.id), DiskOp::Trim { torrent: self.id, files });
            return false;
        }
        self.storage.adoption.unproven.clear();
        self.storage.adoption.borrowed.clear();
        true
    }

    /// Files were cut, or were not.
    pub(crate) fn trimmed(&mut self, ctx: &mut Context, outcome: Result<&[FileStatus], DiskError>) {
        let Some(cut) = self.storage.adoption.trimming.take() else { return };
        if !self.life.is_checking() {
            return;
        }
        match outcome {
            Ok(files) => {
                ctx.notify(Notice::Trimmed(self.id, cut));
                self.storage.doubt.seen(files);
                self.go_on_checking(ctx);
            }
            Err(error) => self.fail(ctx, error),
        }
    }

    /// The first file that stands in the way: one of which nothing shows that it belongs to the
    /// torrent, or one that is too long and may not be cut.
    fn misfit(&self) -> Option<TorrentError> {
        let foreign =
            self.storage.adoption.unproven.iter().find(|index| !self.has_good_piece(**index));
        let read_only = self.storage.arrangement.placement.read_only;
        let long = || {
            let mut long = self.too_long().into_iter();
            long.find(|index| read_only || !self.is_whole(*index)).map(TorrentError::TooLong)
        };
        let foreign = foreign.filter(|_| !read_only).copied().map(TorrentError::Foreign);
        foreign.or_else(long)
    }

    /// Files that are longer than they should be.
    fn too_long(&self) -> Vec<u32> {
        let files = self.metainfo.layout.files().iter().zip(self.storage.doubt.files()).enumerate();
        let long = files.filter(|(_, (file, status))| {
            file.is_stored() && status.length.is_some_and(|length| length > file.length)
        });
        long.map(|(index, _)| index as u32).collect()
    }

    /// Whether a file shows that it belongs to the torrent. Only a hash does: one good piece that has
    /// bytes of it. Its length says nothing, and a file in which no piece lies whole is no exception.
    fn has_good_piece(&self, index: u32) -> bool {
        let index = index as usize;
        let status = self.storage.doubt.files().get(index).copied().unwrap_or_default();
        let Some(file) = self.metainfo.layout.files().get(index) else { return false };
        let length = status.length.unwrap_or(0).min(file.length);
        let mut pieces = self.metainfo.geometry.pieces_of(file.offset, length);
        pieces.any(|piece| self.picker.have().has(piece))
    }

    /// Whether everything of a file is there and verified.
    fn is_whole(&self, index: u32) -> bool {
        let Some(file) = self.metainfo.layout.files().get(index as usize) else { return false };
        let mut pieces = self.metainfo.geometry.pieces_of(file.offset, file.length);
        file.length > 0 && pieces.all(|piece| self.picker.have().has(piece))
    }

    /// Where files under names that we would not give are not whole, the names that we give count for
    /// all of them, and everything is looked at again.
    fn give_names_back(&mut self, ctx: &mut Context) -> bool {
        let read_only = self.storage.arrangement.placement.read_only;
        let files = self.metainfo.layout.files().iter().zip(0..);
        let mut own = files.filter(|(file, _)| file.is_stored() && file.own.is_some());
        let whole =
            |index: u32| self.storage.adoption.borrowed.contains(&index) && self.is_whole(index);
        let fits = own.all(|(file, index)| file.length == 0 || whole(index));
        if read_only || self.storage.adoption.borrowed.is_empty() || fits {
            return false;
        }
        let borrowed = core::mem::take(&mut self.storage.adoption.borrowed);
        borrowed
            .iter()
            .for_each(|index| drop(self.storage.arrangement.placement.renamed.remove(index)));
        self.storage.arrangement.fit_names(&self.metainfo.layout);
        for index in borrowed {
            let Some(entry) = self.metainfo.layout.files().get(index as usize) else { continue };
            // Said explicitly, so that it is not looked for under another name.
            let name = || Renamed { from: entry.path.clone(), to: entry.path.clone() };
            self.storage.arrangement.placement.renamed.entry(index).or_insert_with(name);
        }
        self.picker = Picker::new(self.metainfo.geometry, &mut ctx.random.picks);
        self.picker.set_sequential(self.goal.sequential);
        self.apply_priorities();
        self.storage.resume = None;
        self.life.enter(Stage::Opening);
        let placement = Box::new(self.storage.arrangement.placement.clone());
        let op = DiskOp::Open { torrent: self.id, metainfo: self.metainfo.clone(), placement };
        ctx.disk(DiskJob::Open(self.id), op);
        true
    }
}
