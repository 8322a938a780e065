//! What goes on with files that are ours: blocks are written, pieces hashed, what changed is doubted, what is
//! durable is put on record, and they are moved, renamed and selected.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::arrangement::{Arranged, Next};
use super::{Around, Output, Outputs, Storage};
use crate::api::{
    CommandError, DiskError, DiskOp, FileStatus, LocationId, Notice, Rename, StorageTask, Tag,
};
use crate::base::hash::Sha1Hash;
use crate::context::{DiskJob, HashPurpose};
use crate::picker::Picker;
use crate::resume::ResumeData;

/// Blocks, and a disk without room.
impl Storage {
    /// A block was written; with it, or not, all of its piece.
    pub(in crate::torrent) fn wrote(
        &mut self,
        around: &Around<'_>,
        piece: u32,
        whole: bool,
        out: &mut Outputs,
    ) {
        self.doubt.wrote(piece);
        if whole {
            self.hash_queue.insert(piece);
        }
        if self.full_disk.has_room() {
            out.push(Output::Notice(Notice::DiskHasRoom(around.torrent)));
            out.push(Output::GoOn);
        }
    }

    /// A block, or what was written before, found no room.
    pub(in crate::torrent) fn no_room(&mut self, around: &Around<'_>, out: &mut Outputs) {
        let Some(found) = self.full_disk.no_room(around.now) else { return };
        if found.is_news {
            out.push(Output::Notice(Notice::DiskFull(around.torrent)));
        }
        out.push(Output::Wake(found.until));
        out.push(Output::Hold);
    }

    /// The user says that there is room.
    pub(in crate::torrent) fn try_again(&mut self) {
        self.full_disk.has_room();
    }
}

/// Hashes, and doubt.
impl Storage {
    /// Pieces of which all blocks are written wait for their hash, those excepted that are being hashed.
    pub(in crate::torrent) fn hash_again(&mut self, around: &Around<'_>) {
        let hashing = around.disk.hashed_of(around.torrent);
        let Some(picker) = around.picker else { return };
        let whole = picker.written_blocks().into_iter().map(|(piece, _)| piece);
        let waiting = whole.filter(|piece| picker.awaits_hash(*piece) && !hashing.contains(piece));
        self.hash_queue.extend(waiting);
    }

    /// Begins to hash one piece: what was fetched before what is in doubt. Returns whether it did.
    pub(in crate::torrent) fn hash_one(&mut self, around: &Around<'_>, out: &mut Outputs) -> bool {
        while let Some(piece) = self.hash_queue.pop_first() {
            let generation = around.picker.and_then(|picker| picker.generation_of(piece));
            let Some(generation) = generation else { continue };
            hash(around, piece, HashPurpose::Verify(generation), out);
            return true;
        }
        let Some(piece) = self.doubt.next() else { return false };
        if around.have().has(piece) {
            hash(around, piece, HashPurpose::Doubt, out);
        } else {
            self.doubt.settled(piece);
        }
        true
    }

    /// A piece of `bytes` bytes is verified.
    pub(in crate::torrent) fn verified(&mut self, bytes: u32) {
        self.saving.mark_verified(bytes);
    }

    /// A read found that files are not what they were.
    pub(in crate::torrent) fn changed_in_place(
        &mut self,
        around: &Around<'_>,
        files: &[(u32, FileStatus)],
        out: &mut Outputs,
    ) {
        let Some(metainfo) = around.metainfo else { return };
        let suspects = self.doubt.changed(metainfo, around.have(), files);
        self.suspect(suspects, out);
    }

    /// A piece that we have could not be read: is it still there? What else is gone from its files
    /// shows when they are looked at.
    pub(in crate::torrent) fn missed(
        &mut self,
        around: &Around<'_>,
        piece: u32,
        out: &mut Outputs,
    ) {
        if around.have().has(piece) {
            self.suspect([piece].into(), out);
        }
        self.save_soon();
    }

    /// Hashes pieces again before anybody is served from them.
    pub(super) fn suspect(&mut self, pieces: BTreeSet<u32>, out: &mut Outputs) {
        if !pieces.is_empty() {
            self.doubt.suspect(pieces);
            out.push(Output::AwaitsHash);
        }
    }

    /// A piece in doubt was hashed.
    pub(super) fn reassessed(
        &mut self,
        around: &Around<'_>,
        piece: u32,
        outcome: Result<Sha1Hash, DiskError>,
        out: &mut Outputs,
    ) {
        out.push(Output::Touched);
        self.doubt.hashed(piece);
        if !around.life.is_active() || !around.have().has(piece) {
            return self.doubt.settled(piece);
        }
        match outcome {
            Ok(hash) if around.piece_hash(piece) == Some(hash) => {
                self.doubt.settled(piece);
            }
            Ok(_) | Err(DiskError::Missing) => {
                self.doubt.settled(piece);
                // What else is wrong with its files shows when they are looked at.
                self.save_soon();
                out.push(Output::Lost(piece));
            }
            // Whether it is good is not known; it is looked at again when the disk is back.
            Err(error) => {
                self.doubt.suspect([piece].into());
                out.push(Output::Failed(error));
            }
        }
    }
}

/// A piece is to be hashed.
fn hash(around: &Around<'_>, piece: u32, purpose: HashPurpose, out: &mut Outputs) {
    let torrent = around.torrent;
    let job = DiskJob::Hash { torrent, piece, purpose };
    out.push(Output::Operation(job, DiskOp::HashPiece { torrent, piece }));
}

/// Resume data.
impl Storage {
    /// Something that resume data tells has changed.
    pub(in crate::torrent) fn mark(&mut self) {
        self.saving.mark();
    }

    /// Saves as soon as may be.
    pub(in crate::torrent) fn save_soon(&mut self) {
        self.saving.mark();
        self.saving.due_now();
    }

    /// The download has ended: that is told when everything is durable.
    pub(in crate::torrent) fn finished(&mut self) {
        self.saving.tell_finished();
        self.saving.due_now();
    }

    /// Begins a save when one is due, `interval` after the first change.
    pub(in crate::torrent) fn save_if_due(
        &mut self,
        around: &Around<'_>,
        interval: Duration,
        out: &mut Outputs,
    ) {
        if !around.life.is_active() {
            return;
        }
        let due = self.saving.due(around.now, interval);
        out.extend(due.wake.map(Output::Wake));
        if due.now {
            self.save_now(around, out);
        }
    }

    /// Begins a save unless one is in progress.
    pub(in crate::torrent) fn save_now(&mut self, around: &Around<'_>, out: &mut Outputs) {
        // What a sync sees in the middle of a move is neither the old files nor the new ones.
        if self.saving.is_busy() || self.arrangement.is_moving() {
            return;
        }
        self.doubt.sync_begins();
        let partial = around.picker.map_or_else(Vec::new, Picker::written_blocks);
        let have = around.have().clone();
        self.saving.sync_begins(have, partial);
        let torrent = around.torrent;
        out.push(Output::Operation(DiskJob::Sync(torrent), DiskOp::Sync { torrent }));
    }

    /// Everything written before the sync is durable: what was claimed then may be stored.
    pub(super) fn synced(
        &mut self,
        around: &Around<'_>,
        outcome: Result<Box<[FileStatus]>, DiskError>,
        out: &mut Outputs,
    ) {
        let Some(metainfo) = around.metainfo else { return };
        let Some(claim) = self.saving.synced(outcome.is_ok()) else { return };
        let files = match outcome {
            Ok(files) => files,
            Err(DiskError::NoSpace) => {
                self.no_room(around, out);
                return out.push(Output::Touched);
            }
            Err(error) => return out.push(Output::Failed(error)),
        };
        let suspects = self.doubt.compare(metainfo, around.have(), &files);
        self.suspect(suspects, out);
        if claim.finished {
            out.push(Output::Notice(Notice::Finished(around.torrent)));
        }
        let (have, files) = self.doubt.certain(&claim.have, around.have(), metainfo);
        let placement = &self.arrangement.placement;
        out.push(Output::Store(Box::new(ResumeData {
            info_hash: metainfo.info_hashes().wire(),
            have,
            partial: claim.partial,
            files,
            clean: self.writes_no_more(around),
            location: placement.location,
            renamed: placement.renamed.clone(),
            left_at: self.arrangement.left_at().to_vec(),
            downloaded: 0,
            uploaded: 0,
            completed: false,
            peers: Vec::new(),
            trackers: Vec::new(),
        })));
        self.saving.store_begins();
        self.arrangement.store_begins();
    }

    /// Whether nothing will be written any more, as far as is known: then a change of the files is
    /// somebody else's doing.
    fn writes_no_more(&self, around: &Around<'_>) -> bool {
        let stands = around.life.is_closing() || !around.life.is_running();
        self.doubt.is_synced()
            && (stands || around.lacks_nothing())
            && !around.disk.is_writing(around.torrent)
    }

    /// Resume data is stored. That it is not costs a check after the next start, no more.
    pub(super) fn stored(
        &mut self,
        around: &Around<'_>,
        outcome: Result<(), DiskError>,
        out: &mut Outputs,
    ) {
        let torrent = around.torrent;
        if self.record.claim() {
            out.push(Output::GoOn);
        }
        if outcome.is_ok() {
            out.push(Output::Notice(Notice::ResumeSaved(torrent)));
        }
        // A driver that keeps no resume data says so, and nothing waits for it.
        let stored = matches!(outcome, Ok(()) | Err(DiskError::Missing));
        self.saving.stored(stored);
        for (tag, task) in self.arrangement.stored(stored) {
            out.push(Output::Notice(Notice::StorageDone { tag, torrent, task }));
        }
        out.push(Output::Touched);
    }
}

/// How the files lie.
impl Storage {
    /// Other files are wanted, these are not: the driver has to know before it is asked to write.
    pub(in crate::torrent) fn select(
        &mut self,
        around: &Around<'_>,
        tag: Tag,
        skipped: Vec<u32>,
        out: &mut Outputs,
    ) {
        let is_open = !around.life.awaits_metadata();
        if self.arrangement.select(tag, skipped, is_open) {
            out.push(Output::Touched);
        }
    }

    /// The data is to move to another location.
    pub(in crate::torrent) fn move_to(
        &mut self,
        around: &Around<'_>,
        tag: Tag,
        to: LocationId,
        out: &mut Outputs,
    ) {
        // Of a magnet there is nothing to be moved yet.
        let moved = match around.metainfo {
            Some(_) => self.arrangement.move_to(tag, to),
            None => Ok(self.arrangement.begin_at(to)),
        };
        match moved {
            Ok(true) => {
                let (torrent, task) = (around.torrent, StorageTask::Move(to));
                out.push(Output::Notice(Notice::StorageDone { tag, torrent, task }));
            }
            Ok(false) => {}
            Err(error) => out.push(Output::Rejected(tag, error)),
        }
        out.push(Output::Touched);
    }

    /// Files are to get other names.
    pub(in crate::torrent) fn rename(
        &mut self,
        around: &Around<'_>,
        tag: Tag,
        rename: &Rename,
        out: &mut Outputs,
    ) {
        let Some(metainfo) = around.metainfo else {
            return out.push(Output::Rejected(tag, CommandError::NoMetadata));
        };
        if let Err(error) = self.arrangement.rename(tag, metainfo.layout(), rename) {
            out.push(Output::Rejected(tag, error));
        }
        out.push(Output::Touched);
    }

    /// Does the next thing that is wanted of the files, when nothing stands in its way.
    pub(super) fn arrange(&mut self, around: &Around<'_>, out: &mut Outputs) {
        let ready = around.life.is_active() || around.life.is_checking();
        if !ready || around.life.has_failed() {
            return;
        }
        match self.arrangement.next() {
            Next::Nothing => return,
            Next::Record { save } => {
                if save {
                    self.save_soon();
                }
                return;
            }
            Next::Quiet => {
                out.push(Output::Hold);
                if around.disk.is_writing(around.torrent) || self.saving.is_busy() {
                    return;
                }
            }
            Next::Begin => {}
        }
        if let Some(op) = self.arrangement.begin(around.torrent) {
            out.push(Output::Operation(DiskJob::Arrange(around.torrent), op));
        }
    }

    /// What was wanted of the files is done, or is not.
    pub(super) fn arranged(
        &mut self,
        around: &Around<'_>,
        outcome: Result<Option<&[FileStatus]>, DiskError>,
        out: &mut Outputs,
    ) {
        let Some(arranged) = self.arrangement.arranged(outcome.is_ok()) else { return };
        out.push(Output::Touched);
        match (arranged, outcome) {
            (Arranged::Discarded(done), _) => {
                // What cannot be removed now is on record, and tried again at the next start.
                if done {
                    self.saving.mark();
                }
                return;
            }
            (Arranged::Done { moved: true }, Ok(files)) => {
                self.doubt.seen(files.unwrap_or_default());
            }
            (Arranged::Failed(tag, task), Err(error)) => {
                let (torrent, select) = (around.torrent, task == StorageTask::Select);
                out.push(Output::Notice(Notice::StorageFailed { tag, torrent, task, error }));
                if select {
                    return out.push(Output::Failed(error));
                }
            }
            _ => {}
        }
        self.save_soon();
        out.push(Output::GoOn);
    }
}
