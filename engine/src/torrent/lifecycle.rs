//! Opening, checking, pausing, finishing and failing.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Exit, Stage, Torrent};
use crate::api::{
    CloseReason, DiskError, DiskOp, FilePriority, FileStatus, Notice, PeerSource, TorrentError,
};
use crate::base::hash::Sha1Hash;
use crate::base::ids::ConnId;
use crate::candidates::Namer;
use crate::context::{Context, DiskJob, HashPurpose, Wish};
use crate::resume::ResumeData;
use crate::wire::{ExtendedHandshake, Message};

impl Torrent {
    /// Makes the files known to the driver.
    pub(crate) fn open(&mut self, ctx: &mut Context) {
        self.life.enter(Stage::Opening);
        if let Some(resume) = self.storage.resume.as_ref().filter(|resume| self.fits(resume)) {
            self.storage.arrangement.restore(resume);
            self.announcer.remember(&resume.trackers);
        }
        self.storage.arrangement.fit_names(&self.metainfo.layout);
        self.go_on_announcing(ctx.now);
        self.storage.arrangement.placement.skipped = self.goal.skipped_files();
        let placement = self.storage.arrangement.placement.clone().into();
        let op = DiskOp::Open { torrent: self.id, metainfo: self.metainfo.clone(), placement };
        ctx.disk(DiskJob::Open(self.id), op);
    }

    /// The files have been looked at; decides what has to be hashed.
    pub(crate) fn opened(&mut self, ctx: &mut Context, files: &[FileStatus]) {
        if !self.life.is_opening() {
            return;
        }
        let resume = self.storage.resume.clone().filter(|r| self.fits(r));
        self.storage.doubt.seen(files);
        self.storage.unclaimed =
            resume.as_ref().is_none_or(|resume| !self.is_of_this_place(resume));
        self.storage.begun_before.clear();
        self.ask_for_proof(resume.as_deref());
        let queue = match &resume {
            Some(resume) => self.take_resume(resume, files),
            None => self.pieces_on_disk(files),
        };
        // Who was known before a rest has had time to come by itself.
        if let Some(resume) = resume.filter(|_| !self.is_coming_or_going()) {
            for addr in resume.peers {
                self.add_candidate(ctx, addr, Namer::all(PeerSource::Resume));
            }
        }
        self.recount_interest();
        self.begin_check(ctx, queue);
    }

    /// What is missing has changed in more than one place: recounts for every peer how much of it
    /// it has.
    fn recount_interest(&mut self) {
        for peer in self.peers.values_mut() {
            peer.interesting = self.picker.interesting(&peer.pieces);
        }
    }

    fn begin_check(&mut self, ctx: &mut Context, queue: BTreeSet<u32>) {
        if !queue.is_empty() {
            self.storage.saving.mark();
        }
        self.life.enter(Stage::Checking { queue, hashing: 0 });
        self.go_on_checking(ctx);
    }

    /// Whether resume data is about this torrent.
    fn fits(&self, resume: &ResumeData) -> bool {
        resume.info_hash == self.info_hash()
            && resume.have.len() == self.metainfo.geometry.pieces()
            && resume.files.len() == self.metainfo.layout.files().len()
    }

    /// Believes what resume data says about files that have not changed since; returns the pieces
    /// of all others, to be hashed.
    fn take_resume(&mut self, resume: &ResumeData, files: &[FileStatus]) -> BTreeSet<u32> {
        let mut doubtful = BTreeSet::new();
        for (index, file) in self.metainfo.layout.files().iter().enumerate() {
            let (is, was) = (files.get(index), resume.files.get(index));
            if !file.is_stored() || is == was {
                continue;
            }
            let pieces = self.metainfo.geometry.pieces_of(file.offset, file.length);
            let length = |status: Option<&FileStatus>| status.and_then(|status| status.length);
            if resume.clean || length(is) < length(was) {
                doubtful.extend(pieces);
            } else {
                // We wrote to it after the last save: what was claimed then was not written again.
                let claimed = |piece: &u32| resume.have.has(*piece);
                self.storage.doubt.when_idle(pieces.clone().filter(claimed));
                doubtful.extend(pieces.filter(|piece| !claimed(piece)));
            }
        }
        for piece in resume.have.ones().filter(|piece| !doubtful.contains(piece)) {
            self.picker.set_have(piece);
        }
        for (piece, blocks) in &resume.partial {
            if !doubtful.contains(piece) {
                self.picker.restore_partial(*piece, blocks);
            } else if !resume.clean {
                self.storage.begun_before.push((*piece, blocks.clone()));
            }
        }
        self.traffic.resume(resume.downloaded, resume.uploaded);
        let there = self.pieces_on_disk(files);
        doubtful.into_iter().filter(|piece| there.contains(piece)).collect()
    }

    /// Pieces of which something may be on disk.
    fn pieces_on_disk(&self, files: &[FileStatus]) -> BTreeSet<u32> {
        let mut there = BTreeSet::new();
        for (file, status) in self.metainfo.layout.files().iter().zip(files) {
            let length = status.length.unwrap_or(0).min(file.length);
            if !file.is_stored() {
                continue;
            }
            let geometry = self.metainfo.geometry;
            there.extend(geometry.pieces_of(file.offset, length));
            if status.length.is_none() && status.modified != 0 {
                // Of a skipped file the part file has what its neighbours need.
                let pieces = geometry.pieces_of(file.offset, file.length);
                there.extend(pieces.clone().next().into_iter().chain(pieces.last()));
            }
        }
        there
    }

    /// Hashes more pieces, as far as there are jobs; goes active when all are done.
    pub(crate) fn go_on_checking(&mut self, ctx: &mut Context) {
        let Stage::Checking { queue, hashing } = self.life.stage() else { return };
        // Blocks may still be on their way to the disk from before; a hash sees whole writes only.
        if self.life.is_paused() || self.life.has_failed() || self.is_writing(ctx) {
            return;
        }
        if !queue.is_empty() {
            ctx.agenda.awaiting_hash.insert(self.id);
        } else if *hashing == 0 {
            self.go_active(ctx);
        }
    }

    /// Begins to hash one piece of a check. Returns whether it did.
    pub(super) fn check_one(&mut self, ctx: &mut Context) -> bool {
        if self.life.is_paused() || self.is_writing(ctx) {
            return false;
        }
        let Stage::Checking { queue, hashing } = self.life.stage_mut() else { return false };
        let Some(piece) = queue.pop_first() else { return false };
        *hashing += 1;
        let (torrent, purpose) = (self.id, HashPurpose::Check);
        let job = DiskJob::Hash { torrent, piece, purpose };
        ctx.disk(job, DiskOp::HashPiece { torrent, piece });
        true
    }

    /// Whether blocks are on their way to the disk.
    pub(super) fn is_writing(&self, ctx: &Context) -> bool {
        ctx.disk.is_writing(self.id)
    }

    /// A piece was hashed to find out what is on disk.
    pub(super) fn checked(
        &mut self,
        ctx: &mut Context,
        piece: u32,
        outcome: Result<Sha1Hash, DiskError>,
    ) {
        let Stage::Checking { queue, hashing } = self.life.stage_mut() else { return };
        *hashing -= 1;
        match outcome {
            // What cannot be read now may be good all the same; it is looked at again.
            Err(error) if error != DiskError::Missing => {
                queue.insert(piece);
                return self.fail(ctx, error);
            }
            Ok(hash) if self.metainfo.piece_hash(piece) == Some(hash) => {
                let was_missing = self.picker.is_missing(piece);
                self.picker.set_have(piece);
                // Whoever was there before the metadata still is.
                for peer in self.peers.values_mut().filter(|_| was_missing) {
                    peer.interesting -= u32::from(peer.pieces.has(piece));
                }
            }
            Ok(_) | Err(_) => {}
        }
        self.go_on_checking(ctx);
    }

    fn go_active(&mut self, ctx: &mut Context) {
        if !self.adopt(ctx) {
            return;
        }
        self.storage.resume = None;
        self.life.enter(Stage::Active);
        for (piece, blocks) in core::mem::take(&mut self.storage.begun_before) {
            self.picker.restore_partial(piece, &blocks);
        }
        if self.storage.unclaimed {
            self.storage.saving.due_now();
        }
        self.arrange_room();
        self.goal.progress_at = ctx.now;
        self.goal.finished = self.picker.is_finished();
        self.goal.was_incomplete = !self.is_complete();
        ctx.notify(Notice::Checked(self.id, self.have().count()));
        if self.storage.unclaimed || !self.is_coming_or_going() {
            self.storage.saving.mark();
        }
        self.tell_late_haves(ctx);
        let known = self.has_come(ctx);
        if !self.life.is_paused() {
            self.announcer.start();
            if !known {
                ctx.look_for_peers(self.id);
            }
        }
        self.restart_hashes(ctx);
        ctx.agenda.touched.insert(self.id);
    }

    /// Pieces restored with all their blocks wait for their hash.
    fn restart_hashes(&mut self, ctx: &Context) {
        let hashing = ctx.disk.hashed_of(self.id);
        let complete = self.picker.written_blocks().into_iter().map(|(piece, _)| piece);
        let waiting =
            complete.filter(|piece| self.picker.awaits_hash(*piece) && !hashing.contains(piece));
        self.storage.hash_queue.extend(waiting);
    }

    /// Hashes everything again.
    pub(crate) fn recheck(&mut self, ctx: &mut Context) {
        if !(self.life.is_active() || self.life.is_checking()) {
            return;
        }
        if self.life.is_checking() {
            return;
        }
        self.close_all(ctx, CloseReason::Stopped);
        self.storage.hash_queue.clear();
        self.storage.doubt.forget();
        let geometry = self.metainfo.geometry;
        self.picker = crate::picker::Picker::new(geometry, &mut ctx.random.picks);
        self.picker.set_sequential(self.goal.sequential);
        self.apply_priorities();
        self.life.recover();
        self.begin_check(ctx, (0..geometry.pieces()).collect());
    }

    /// Stands still: peers go, trackers hear `stopped`, resume data is saved.
    pub(crate) fn pause(&mut self, ctx: &mut Context) {
        if self.life.pause() {
            self.leave_swarm(ctx, CloseReason::Stopped);
        }
    }

    pub(super) fn leave_swarm(&mut self, ctx: &mut Context, reason: CloseReason) {
        self.close_all(ctx, reason);
        for order in self.announcer.stop() {
            ctx.agenda.wishes.add(self.id, Wish::Announce(order));
        }
        self.storage.saving.mark();
        self.storage.saving.due_now();
        ctx.agenda.touched.insert(self.id);
    }

    /// Goes on after a pause or an error.
    pub(crate) fn resume(&mut self, ctx: &mut Context) {
        self.life.unpause();
        self.try_disk_again();
        if self.look_at_once(ctx) {
            return;
        }
        let failed = self.life.recover();
        match self.life.stage() {
            Stage::Active => {
                self.announcer.start();
                ctx.look_for_peers(self.id);
                self.restart_hashes(ctx);
                ctx.agenda.touched.insert(self.id);
            }
            Stage::Checking { .. } => self.go_on_checking(ctx),
            Stage::Metadata { .. } => {
                self.life.enter(Stage::Metadata { hold: false });
                if self.is_known() {
                    self.open(ctx);
                } else {
                    self.announcer.start();
                    ctx.look_for_peers(self.id);
                }
                ctx.agenda.touched.insert(self.id);
            }
            Stage::Opening if failed => self.open(ctx),
            Stage::Opening | Stage::Closing { .. } => {}
        }
    }

    /// The disk refuses: the torrent stands still until the user says otherwise.
    pub(crate) fn fail(&mut self, ctx: &mut Context, error: DiskError) {
        if error == DiskError::LocationGone {
            self.location_gone(ctx);
        }
        self.stand_still(ctx, TorrentError::Disk(error));
    }

    /// Nothing more is done until the user says otherwise.
    pub(super) fn stand_still(&mut self, ctx: &mut Context, error: TorrentError) {
        if self.life.fail(error) {
            ctx.notify(Notice::TorrentFailed(self.id, error));
            self.leave_swarm(ctx, CloseReason::Stopped);
        }
    }

    /// Ends the torrent: peers go, trackers hear `stopped`, resume data is saved, files are closed.
    pub(crate) fn close(&mut self, ctx: &mut Context, exit: Exit) {
        if self.life.is_closing() {
            self.life.leave(exit);
            return;
        }
        self.leave_swarm(ctx, CloseReason::Stopped);
        self.life.leave(exit);
        self.go_on_closing(ctx);
    }

    /// Disk operations end in any order, so each waits for those before it: first whatever is in
    /// progress, then a save of what that left, then the files are closed.
    pub(crate) fn go_on_closing(&mut self, ctx: &mut Context) {
        let (torrent, info_hash) = (self.id, self.info_hash());
        let Stage::Closing { exit, save, last } = self.life.stage_mut() else { return };
        if last.is_some() || ctx.disk.is_busy_with(torrent) {
            return;
        }
        if core::mem::take(save) {
            return self.save_now(ctx);
        }
        *last = Some(*exit);
        let op = match exit {
            // Files that were never on record as ours may be somebody else's.
            Exit::Remove { data } => {
                DiskOp::Delete { torrent, info_hash, data: *data && !self.storage.unclaimed }
            }
            Exit::Stop | Exit::Rest => DiskOp::Close { torrent },
        };
        ctx.disk(DiskJob::Close(torrent), op);
    }

    /// Deals with the end of the download, once.
    pub(super) fn finish_if_done(&mut self, ctx: &mut Context) {
        if !self.life.is_active() || self.goal.finished || !self.picker.is_finished() {
            return;
        }
        self.goal.finished = true;
        if self.is_complete() && core::mem::take(&mut self.goal.was_incomplete) {
            self.announcer.complete();
        }
        self.storage.saving.tell_finished();
        self.storage.saving.due_now();
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.tell_upload_only(conn);
            ctx.agenda.flush.insert(conn);
            self.touch(ctx, conn);
        }
    }

    /// Tells a peer that we download nothing any more (BEP 21).
    fn tell_upload_only(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn).filter(|peer| peer.extended) else { return };
        let handshake =
            ExtendedHandshake { upload_only: Some(true), ..ExtendedHandshake::default() };
        peer.send(&Message::Extended { id: 0, payload: handshake.encode().into() });
    }

    /// Changes priorities of files.
    pub(crate) fn set_priorities(&mut self, ctx: &mut Context, changes: &[FilePriority]) {
        for change in changes {
            if let Some(slot) = self.goal.priorities.get_mut(change.file as usize) {
                *slot = change.priority;
            }
        }
        self.apply_priorities();
        self.arrange_selection(ctx);
        self.recount_interest();
        if !self.life.is_active() {
            return;
        }
        if self.goal.finished && !self.picker.is_finished() {
            self.goal.finished = false;
            self.candidates.recall_whole(ctx.now);
        }
        self.goal.was_incomplete |= !self.is_complete();
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.touch(ctx, conn);
        }
        self.storage.saving.mark();
        ctx.agenda.touched.insert(self.id);
    }

    /// A piece is wanted as much as the most wanted file that has a part in it.
    pub(super) fn apply_priorities(&mut self) {
        for (piece, level) in self.goal.levels(&self.metainfo).into_iter().enumerate() {
            self.picker.set_priority(piece as u32, level);
        }
    }
}
