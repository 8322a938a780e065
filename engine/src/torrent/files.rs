//! What follows for a torrent from what happens to its files: outcomes of the disk go into the machines of
//! `storage`, and what these say is done here, with peers, picker and embedder.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::storage::{Arranged, Found, Next, Verdict};
use super::{Stage, Torrent};
use crate::api::{
    DiskError, DiskOp, FileStatus, LocationId, Notice, Rename, StorageTask, Tag, TorrentError,
};
use crate::base::hash::Sha1Hash;
use crate::base::ids::ConnId;
use crate::context::{Agenda, Context, DiskJob, HashPurpose, Timer};
use crate::picker::Picker;
use crate::resume::ResumeData;
use crate::wire::{Message, dont_have};

/// What holds a torrent up while its location is gone.
const GONE: TorrentError = TorrentError::Disk(DiskError::LocationGone);

/// Adoption: what was there before.
impl Torrent {
    /// Files are there under other names than was thought.
    pub(crate) fn borrow_names(&mut self, names: Vec<(u32, Vec<String>)>) {
        for (index, path) in names {
            let Some(entry) = self.metainfo.layout().files().get(index as usize) else { continue };
            if entry.own.as_deref() == Some(&path) {
                self.storage.adoption.borrow(index);
            }
            self.storage.arrangement.found_as(index, path);
        }
    }

    /// Decides what becomes of the files that are there, now that all of them have been looked at.
    /// Returns whether the torrent can go on at once.
    pub(super) fn adopt(&mut self, ctx: &mut Context) -> bool {
        let found = Found {
            metainfo: &self.metainfo,
            have: self.picker.have(),
            files: self.storage.doubt.files(),
            read_only: self.storage.arrangement.placement.read_only,
        };
        match self.storage.adoption.decide(found) {
            Verdict::Ours => return true,
            Verdict::Wait => {}
            Verdict::OtherNames(borrowed) => self.give_names_back(ctx, &borrowed),
            Verdict::InTheWay(error) => {
                // To be looked at again when the user says so.
                self.life.enter(Stage::Opening);
                self.stand_still(ctx, error);
            }
            Verdict::Cut(files) => {
                ctx.disk(DiskJob::Trim(self.id), DiskOp::Trim { torrent: self.id, files });
            }
        }
        false
    }

    /// Files were cut, or were not.
    pub(crate) fn trimmed(&mut self, ctx: &mut Context, outcome: Result<&[FileStatus], DiskError>) {
        let Some(cut) = self.storage.adoption.trimmed() else { return };
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

    /// The names that we give count for all files, and everything is looked at again.
    fn give_names_back(&mut self, ctx: &mut Context, borrowed: &BTreeSet<u32>) {
        self.storage.arrangement.name_again(self.metainfo.layout(), borrowed);
        self.forget_pieces(ctx);
        self.storage.record.forget();
        self.life.enter(Stage::Opening);
        self.ask_to_open(ctx, DiskJob::Open(self.id));
    }

    /// Nothing is known of any piece.
    pub(super) fn forget_pieces(&mut self, ctx: &mut Context) {
        self.picker = Picker::new(self.metainfo.geometry(), &mut ctx.random.picks);
        self.picker.set_sequential(self.goal.sequential);
        self.apply_priorities();
    }

    /// Has the driver look at the files.
    pub(super) fn ask_to_open(&mut self, ctx: &mut Context, job: DiskJob) {
        let placement = Box::new(self.storage.arrangement.placement.clone());
        let metainfo = self.metainfo.clone();
        ctx.disk(job, DiskOp::Open { torrent: self.id, metainfo, placement });
    }
}

/// Doubt: what may not be what it was.
impl Torrent {
    /// A read found that files are not what they were.
    pub(crate) fn changed_in_place(&mut self, agenda: &mut Agenda, files: &[(u32, FileStatus)]) {
        let doubt = &mut self.storage.doubt;
        let suspects = doubt.changed(&self.metainfo, self.picker.have(), files);
        self.suspect(agenda, suspects);
    }

    /// Hashes pieces again before anybody is served from them.
    fn suspect(&mut self, agenda: &mut Agenda, pieces: BTreeSet<u32>) {
        if !pieces.is_empty() {
            self.storage.doubt.suspect(pieces);
            agenda.awaiting_hash.insert(self.id);
            agenda.touched.insert(self.id);
        }
    }

    /// A piece that we have could not be read: is it still there? What else is gone from its files
    /// shows when they are looked at.
    pub(super) fn missed(&mut self, agenda: &mut Agenda, piece: u32) {
        if self.picker.have().has(piece) {
            self.suspect(agenda, [piece].into());
        }
        self.storage.save_soon();
    }

    /// Begins to hash one piece that is in doubt.
    pub(super) fn hash_doubtful(&mut self, ctx: &mut Context) -> bool {
        let Some(piece) = self.storage.doubt.next() else { return false };
        if !self.picker.have().has(piece) {
            self.storage.doubt.settled(piece);
            return true;
        }
        let job = DiskJob::Hash { torrent: self.id, piece, purpose: HashPurpose::Doubt };
        ctx.disk(job, DiskOp::HashPiece { torrent: self.id, piece });
        true
    }

    /// A piece in doubt was hashed.
    pub(super) fn reassessed(
        &mut self,
        ctx: &mut Context,
        piece: u32,
        outcome: Result<Sha1Hash, DiskError>,
    ) {
        ctx.agenda.touched.insert(self.id);
        let doubt = &mut self.storage.doubt;
        doubt.hashed(piece);
        if !self.life.is_active() || !self.picker.have().has(piece) {
            return doubt.settled(piece);
        }
        match outcome {
            Ok(hash) if self.metainfo.piece_hash(piece) == Some(hash) => doubt.settled(piece),
            Ok(_) | Err(DiskError::Missing) => {
                doubt.settled(piece);
                self.withdraw_piece(ctx, piece);
            }
            // Whether it is good is not known; it is looked at again when the disk is back.
            Err(error) => {
                doubt.suspect([piece].into());
                self.fail(ctx, error);
            }
        }
    }

    /// A piece turned out to be bad or gone: peers are told (`lt_donthave`), it is not served any more, and
    /// it is fetched again.
    fn withdraw_piece(&mut self, ctx: &mut Context, piece: u32) {
        let wanted = self.picker.clear_have(piece);
        self.goal.finished = self.goal.finished && self.picker.is_finished();
        for peer in self.peers.values_mut() {
            if let Some(id) = peer.extensions.dont_have.filter(|_| peer.extended) {
                let payload = dont_have(piece);
                peer.send(&Message::Extended { id, payload });
                ctx.agenda.flush.insert(peer.intro.conn);
            }
            peer.interesting += u32::from(wanted && peer.pieces.has(piece));
        }
        ctx.notify(Notice::PieceWithdrawn(self.id, piece));
        // What else is wrong with its files shows when they are looked at.
        self.storage.save_soon();
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.touch(&mut ctx.agenda, conn));
        if wanted && self.life.may_go_on() {
            self.candidates.recall_whole(ctx.now);
            ctx.look_for_peers(self.id);
        }
    }
}

/// Saving: what is on record.
impl Torrent {
    /// Saves on the user's demand.
    pub(crate) fn save_resume(&mut self, ctx: &mut Context) {
        self.storage.save_soon();
        ctx.agenda.touched.insert(self.id);
    }

    /// Begins a save when one is due.
    pub(super) fn save_if_due(&mut self, ctx: &mut Context) {
        if !self.life.is_active() {
            return;
        }
        let interval = Duration::from_secs(ctx.config.resume_interval.into());
        let due = self.storage.saving.due(ctx.now, interval);
        if let Some(at) = due.wake {
            ctx.timers.schedule(at, Timer::Torrent(self.id));
        }
        if due.now {
            self.save_now(ctx);
        }
    }

    /// Begins a save unless one is in progress.
    pub(super) fn save_now(&mut self, ctx: &mut Context) {
        // What a sync sees in the middle of a move is neither the old files nor the new ones.
        if self.storage.saving.is_busy() || self.storage.arrangement.is_moving() {
            return;
        }
        self.storage.doubt.sync_begins();
        let (have, partial) = (self.picker.have().clone(), self.picker.written_blocks());
        self.storage.saving.sync_begins(have, partial);
        ctx.disk(DiskJob::Sync(self.id), DiskOp::Sync { torrent: self.id });
    }

    /// Everything written before the sync is durable: what was claimed then may be stored.
    pub(crate) fn synced(
        &mut self,
        ctx: &mut Context,
        outcome: Result<Box<[FileStatus]>, DiskError>,
    ) {
        let Some(claim) = self.storage.saving.synced(outcome.is_ok()) else { return };
        let files = match outcome {
            Ok(files) => files,
            Err(DiskError::NoSpace) => {
                self.no_room(ctx);
                ctx.agenda.touched.insert(self.id);
                return;
            }
            Err(error) => return self.fail(ctx, error),
        };
        let suspects = self.storage.doubt.compare(&self.metainfo, self.picker.have(), &files);
        self.suspect(&mut ctx.agenda, suspects);
        if claim.finished {
            ctx.notify(Notice::Finished(self.id));
        }
        let doubt = &self.storage.doubt;
        let (have, files) = doubt.certain(&claim.have, self.picker.have(), &self.metainfo);
        let data = ResumeData {
            info_hash: self.info_hash(),
            have,
            partial: claim.partial,
            files,
            downloaded: self.traffic.downloaded(),
            uploaded: self.traffic.uploaded(),
            completed: !self.goal.was_incomplete,
            peers: self.candidates.worth_keeping(),
            clean: self.writes_no_more(ctx),
            location: self.storage.arrangement.placement.location,
            renamed: self.storage.arrangement.placement.renamed.clone(),
            left_at: self.storage.arrangement.left_at().to_vec(),
            trackers: self.announcer.worth_remembering(),
        };
        self.storage.saving.store_begins();
        self.storage.arrangement.store_begins();
        let op = DiskOp::StoreResume { torrent: self.id, data: data.encode().into() };
        ctx.disk(DiskJob::Store(self.id), op);
    }

    /// Whether nothing will be written any more, as far as is known: then a change of the files is
    /// somebody else's doing.
    fn writes_no_more(&self, ctx: &Context) -> bool {
        let stands = self.life.is_closing() || !self.is_running();
        self.storage.doubt.is_synced()
            && (stands || self.picker.is_finished())
            && !ctx.disk.is_writing(self.id)
    }

    /// Resume data is stored. That it is not costs a check after the next start, no more.
    pub(crate) fn stored(&mut self, ctx: &mut Context, outcome: Result<(), DiskError>) {
        if self.storage.record.claim() {
            self.touch_interested(&mut ctx.agenda);
        }
        if outcome.is_ok() {
            ctx.notify(Notice::ResumeSaved(self.id));
        }
        // A driver that keeps no resume data says so, and nothing waits for it.
        let stored = matches!(outcome, Ok(()) | Err(DiskError::Missing));
        self.storage.saving.stored(stored);
        for (tag, task) in self.storage.arrangement.stored(stored) {
            ctx.notify(Notice::StorageDone { tag, torrent: self.id, task });
        }
        ctx.agenda.touched.insert(self.id);
    }
}

/// Arrangement: how the files lie.
impl Torrent {
    /// Other files are wanted: the driver has to know before it is asked to write.
    pub(super) fn arrange_selection(&mut self, agenda: &mut Agenda, tag: Tag) {
        let is_open = !self.life.awaits_metadata();
        if self.storage.arrangement.select(tag, self.goal.skipped_files(), is_open) {
            agenda.touched.insert(self.id);
        }
    }

    /// The data is to move to another location.
    pub(crate) fn move_to(&mut self, ctx: &mut Context, tag: Tag, to: LocationId) {
        match self.storage.arrangement.move_to(tag, to) {
            Ok(true) => {
                let task = StorageTask::Move(to);
                ctx.notify(Notice::StorageDone { tag, torrent: self.id, task });
            }
            Ok(false) => {}
            Err(error) => ctx.reject(tag, error),
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// Files are to get other names.
    pub(crate) fn rename(&mut self, ctx: &mut Context, tag: Tag, rename: &Rename) {
        if let Err(error) = self.storage.arrangement.rename(tag, self.metainfo.layout(), rename) {
            ctx.reject(tag, error);
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// What a file is called now.
    pub(crate) fn path_now(&self, file: u32) -> Option<Vec<String>> {
        self.storage.arrangement.path_now(self.metainfo.layout(), file)
    }

    /// Does the next thing that is wanted of the files, when nothing stands in its way.
    pub(super) fn arrange(&mut self, ctx: &mut Context) {
        self.look_for_location(ctx);
        let ready = self.life.is_active() || self.life.is_checking();
        if !ready || self.life.has_failed() {
            return;
        }
        match self.storage.arrangement.next() {
            Next::Nothing => return,
            Next::Record { save } => {
                if save {
                    self.storage.save_soon();
                }
                return;
            }
            Next::Quiet => {
                self.withdraw_all_requests(&mut ctx.agenda);
                if ctx.disk.is_writing(self.id) || self.storage.saving.is_busy() {
                    return;
                }
            }
            Next::Begin => {}
        }
        if let Some(op) = self.storage.arrangement.begin(self.id) {
            ctx.disk(DiskJob::Arrange(self.id), op);
        }
    }

    /// What was wanted of the files is done, or is not.
    pub(crate) fn arranged(
        &mut self,
        ctx: &mut Context,
        outcome: Result<Option<&[FileStatus]>, DiskError>,
    ) {
        let Some(arranged) = self.storage.arrangement.arranged(outcome.is_ok()) else { return };
        ctx.agenda.touched.insert(self.id);
        match (arranged, outcome) {
            (Arranged::Discarded(done), _) => {
                // What cannot be removed now is on record, and tried again at the next start.
                if done {
                    self.storage.saving.mark();
                }
                return;
            }
            (Arranged::Done { moved: true }, Ok(files)) => {
                self.storage.doubt.seen(files.unwrap_or_default());
            }
            (Arranged::Failed(tag, task), Err(error)) => {
                let (torrent, told) = (self.id, task.clone());
                ctx.notify(Notice::StorageFailed { tag, torrent, task: told, error });
                if task == StorageTask::Select {
                    return self.fail(ctx, error);
                }
            }
            _ => {}
        }
        self.storage.save_soon();
        self.touch_interested(&mut ctx.agenda);
    }

    /// The location is gone: it is looked for until it is back.
    pub(super) fn location_gone(&mut self, ctx: &mut Context) {
        let at = self.storage.arrangement.location_gone(ctx.now);
        ctx.timers.schedule(at, Timer::Torrent(self.id));
    }

    /// Looks for a location that is gone at once, if it is what holds the torrent up.
    pub(super) fn look_at_once(&mut self, ctx: &mut Context) -> bool {
        let gone = self.life.error() == Some(GONE);
        if gone {
            self.storage.arrangement.look_now(ctx.now);
            ctx.agenda.touched.insert(self.id);
        }
        gone
    }

    fn look_for_location(&mut self, ctx: &mut Context) {
        if !self.storage.arrangement.is_look_due(ctx.now) || self.life.error() != Some(GONE) {
            return;
        }
        if ctx.disk.is_busy_with(self.id) {
            return self.location_gone(ctx);
        }
        self.storage.arrangement.look_begins();
        self.ask_to_open(ctx, DiskJob::Reopen(self.id));
    }

    /// The location was looked for.
    pub(crate) fn reopened(
        &mut self,
        ctx: &mut Context,
        outcome: Result<&[FileStatus], DiskError>,
    ) {
        if self.life.error() != Some(GONE) || self.life.is_closing() {
            return;
        }
        let Ok(files) = outcome else { return self.location_gone(ctx) };
        ctx.notify(Notice::LocationBack(self.id));
        if self.life.is_opening() {
            self.life.recover();
            return self.opened(ctx, files);
        }
        let doubt = &mut self.storage.doubt;
        let suspects = doubt.compare_after_absence(&self.metainfo, self.picker.have(), files);
        self.suspect(&mut ctx.agenda, suspects);
        self.storage.saving.mark();
        self.life.recover();
        if !self.life.is_paused() {
            self.resume(ctx);
        }
        ctx.agenda.touched.insert(self.id);
    }
}

/// A disk without room.
impl Torrent {
    /// A block, or what was written before, found no room.
    pub(super) fn no_room(&mut self, ctx: &mut Context) {
        let Some(found) = self.storage.full_disk.no_room(ctx.now) else { return };
        if found.is_news {
            ctx.notify(Notice::DiskFull(self.id));
        }
        ctx.timers.schedule(found.until, Timer::Torrent(self.id));
        self.withdraw_all_requests(&mut ctx.agenda);
    }

    /// A block found room.
    pub(super) fn found_room(&mut self, ctx: &mut Context) {
        if self.storage.full_disk.has_room() {
            ctx.notify(Notice::DiskHasRoom(self.id));
            self.touch_interested(&mut ctx.agenda);
        }
    }

    /// How many blocks may be asked for, all peers together.
    pub(super) fn room_for_requests(&self, ctx: &Context) -> u32 {
        if self.storage.holds_writes() {
            return 0;
        }
        self.storage.full_disk.room(ctx.now, || self.blocks_asked())
    }

    /// Blocks that peers are asked for.
    pub(super) fn blocks_asked(&self) -> u32 {
        self.peers.values().map(|peer| peer.requests.len()).sum()
    }

    /// The time to try again may have come.
    pub(super) fn look_for_room(&mut self, ctx: &mut Context) {
        if self.storage.full_disk.is_due(ctx.now) && self.room_for_requests(ctx) > 0 {
            let interesting = self.peers.values().filter(|peer| peer.interesting > 0);
            self.undecided.touched.extend(interesting.map(|peer| peer.intro.conn));
        }
    }

    fn withdraw_all_requests(&mut self, agenda: &mut Agenda) {
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.withdraw_requests(agenda, conn));
    }
}
