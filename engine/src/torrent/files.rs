//! The files of a torrent, seen from the torrent: what happens to them is told to `storage`, and what that says is
//! done here, with peers, picker and embedder; which of them are wanted, by whom, and in which order.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::reads::Answered;
use super::storage::{Around, Output, Outputs, Storage, error_of};
use super::{Contents, Stage, Torrent};
use crate::api::{
    CommandError, DiskError, DiskOp, DiskOutcome, FilePriority, FileRange, LocationId, Notice,
    ReadAhead, ReaderId, Rename, Tag, TorrentError,
};
use crate::base::ids::ConnId;
use crate::context::{Context, DiskJob, HashPurpose, Timer};
use crate::picker::BlockRef;
use crate::resume::ResumeData;
use crate::wire::{Message, dont_have};

impl Torrent {
    /// Tells storage something, and does what follows.
    pub(super) fn tell_storage<R>(
        &mut self,
        ctx: &mut Context,
        tell: impl FnOnce(&mut Storage, &Around<'_>, &mut Outputs) -> R,
    ) -> R {
        let mut out = Outputs::new();
        let around = Around {
            torrent: self.id,
            now: ctx.now,
            metainfo: self.contents.metainfo(),
            life: &self.life,
            picker: self.contents.picker(),
            disk: &ctx.disk,
        };
        let told = tell(&mut self.storage, &around, &mut out);
        out.into_iter().for_each(|output| self.follow(ctx, output));
        told
    }

    /// Does what storage says.
    fn follow(&mut self, ctx: &mut Context, output: Output) {
        match output {
            Output::Operation(job, op) => drop(ctx.disk(job, op)),
            Output::Notice(notice) => ctx.notify(notice),
            Output::Rejected(tag, error) => ctx.reject(tag, error),
            Output::Touched => drop(ctx.agenda.touched.insert(self.id)),
            Output::Wake(at) => ctx.timers.schedule(at, Timer::Torrent(self.id)),
            Output::AwaitsHash => {
                ctx.agenda.awaiting_hash.insert(self.id);
                ctx.agenda.touched.insert(self.id);
            }
            Output::Opened(belief, resume) => self.opened(ctx, belief, resume),
            Output::GoOnChecking => self.go_on_checking(ctx),
            Output::LookedAtAgain => {
                self.leave_web_seeds(ctx);
                self.forget_pieces(ctx);
                self.life.enter(Stage::Opening);
            }
            Output::Adopted(begun) => self.go_active(ctx, begun),
            Output::InTheWay(error) => {
                self.life.enter(Stage::Opening);
                self.stand_still(ctx, error);
            }
            Output::Failed(error) => self.fail(ctx, error),
            Output::Recovered => drop(self.life.recover()),
            Output::Back => {
                self.life.recover();
                if !self.life.is_paused() {
                    self.resume(ctx);
                }
                ctx.agenda.touched.insert(self.id);
            }
            Output::Lost(piece) => self.withdraw_piece(ctx, piece),
            Output::Hold => self.withdraw_all_requests(ctx),
            Output::GoOn => self.touch_interested(&mut ctx.agenda),
            Output::Store(data) => self.store(ctx, *data),
        }
    }

    /// An operation on the files has ended.
    pub(crate) fn operation_ended(
        &mut self,
        ctx: &mut Context,
        job: DiskJob,
        outcome: DiskOutcome,
    ) {
        // The most frequent one goes first, and by itself.
        if let DiskJob::Write { at, generation, .. } = job {
            let written = matches!(outcome, DiskOutcome::Written);
            let result = written.then_some(()).ok_or_else(|| error_of(&outcome));
            return self.block_written(ctx, at, generation, result);
        }
        self.other_operation_ended(ctx, job, outcome);
    }

    #[inline(never)]
    fn other_operation_ended(&mut self, ctx: &mut Context, job: DiskJob, outcome: DiskOutcome) {
        let error = error_of(&outcome);
        match (job, outcome) {
            (DiskJob::Read { conn, request, .. }, DiskOutcome::Changed(files)) => {
                self.tell_storage(ctx, |storage, around, out| {
                    storage.changed_in_place(around, &files, out);
                });
                self.read(ctx, conn, request, Err(DiskError::Missing));
            }
            (DiskJob::Read { conn, request, .. }, outcome) => {
                let result = match outcome {
                    DiskOutcome::Read(bytes) => Ok(Some(bytes)),
                    DiskOutcome::Ready => Ok(None),
                    _ => Err(error),
                };
                self.read(ctx, conn, request, result);
            }
            (
                DiskJob::Hash {
                    piece,
                    purpose: purpose @ (HashPurpose::Check | HashPurpose::Verify(_)),
                    ..
                },
                outcome,
            ) => {
                let hash = match outcome {
                    DiskOutcome::PieceHashed(hash) => Ok(hash),
                    _ => Err(error),
                };
                match purpose {
                    HashPurpose::Verify(generation) => self.hashed(ctx, piece, generation, hash),
                    _ => self.checked(ctx, piece, hash),
                }
            }
            (DiskJob::Evidence { piece, good, .. }, outcome) => {
                let hashes = match &outcome {
                    DiskOutcome::BlocksHashed(hashes) => Ok(&hashes[..]),
                    _ => Err(error),
                };
                for key in self.blame.hashed(piece, good, hashes) {
                    self.ban(ctx, key);
                }
            }
            (job, outcome) => self.tell_storage(ctx, |storage, around, out| {
                storage.outcome(job, outcome, around, out);
            }),
        }
    }

    /// A block is on disk, or is not.
    fn block_written(
        &mut self,
        ctx: &mut Context,
        at: BlockRef,
        generation: u32,
        outcome: Result<(), DiskError>,
    ) {
        ctx.agenda.touched.insert(self.id);
        self.go_on_checking(ctx);
        let Some(picker) = self.contents.picker_mut() else { return };
        match outcome {
            Ok(()) => {
                let whole = picker.block_written(at, generation);
                self.tell_storage(ctx, |storage, around, out| {
                    storage.wrote(around, at.piece, whole, out);
                });
            }
            Err(DiskError::NoSpace) => {
                picker.write_failed(at, generation);
                self.tell_storage(ctx, Storage::no_room);
            }
            Err(error) => {
                picker.write_failed(at, generation);
                self.fail(ctx, error);
            }
        }
    }

    /// Resume data is to be put on record: what storage does not know is filled in.
    fn store(&mut self, ctx: &mut Context, data: ResumeData) {
        let data = ResumeData {
            downloaded: self.traffic.downloaded(),
            uploaded: self.traffic.uploaded(),
            completed: !self.goal.was_incomplete,
            peers: self.candidates.worth_keeping(),
            trackers: self.announcer.worth_remembering(),
            ..data
        };
        let op = DiskOp::StoreResume { torrent: self.id, data: data.encode().into() };
        ctx.disk(DiskJob::Store(self.id), op);
    }

    /// Nothing is known of any piece.
    pub(super) fn forget_pieces(&mut self, ctx: &mut Context) {
        let limit = ctx.config.max_metadata;
        self.contents = self.contents.begun_again(limit, &mut ctx.random.picks);
        self.apply_readers();
        self.apply_priorities();
    }

    /// A piece turned out to be bad or gone: peers are told (`lt_donthave`), it is not served any more, and
    /// it is fetched again.
    fn withdraw_piece(&mut self, ctx: &mut Context, piece: u32) {
        let Some(picker) = self.contents.picker_mut() else { return };
        let wanted = picker.clear_have(piece);
        self.goal.finished = self.goal.finished && picker.is_finished();
        for peer in self.peers.values_mut() {
            if let Some(id) = peer.extensions.dont_have.filter(|_| peer.extended) {
                let payload = dont_have(piece);
                peer.send(&Message::Extended { id, payload });
                ctx.agenda.flush.insert(peer.intro.conn);
            }
            peer.interesting += u32::from(wanted && peer.pieces.has(piece));
        }
        ctx.notify(Notice::PieceWithdrawn(self.id, piece));
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.touch(&mut ctx.agenda, conn));
        if wanted && self.life.may_go_on() {
            self.candidates.recall_whole(ctx.now);
            ctx.look_for_peers(self.id);
        }
    }

    /// Saves on the user's demand.
    pub(crate) fn save_resume(&mut self, ctx: &mut Context) {
        self.storage.save_soon();
        ctx.agenda.touched.insert(self.id);
    }

    /// Begins a save when one is due.
    pub(super) fn save_if_due(&mut self, ctx: &mut Context) {
        let interval = Duration::from_secs(ctx.config.resume_interval.as_secs());
        self.tell_storage(ctx, |storage, around, out| storage.save_if_due(around, interval, out));
    }

    /// The data is to move to another location.
    pub(crate) fn move_to(&mut self, ctx: &mut Context, tag: Tag, to: LocationId) {
        self.tell_storage(ctx, |storage, around, out| storage.move_to(around, tag, to, out));
    }

    /// Files are to get other names.
    pub(crate) fn rename(&mut self, ctx: &mut Context, tag: Tag, rename: &Rename) {
        self.tell_storage(ctx, |storage, around, out| storage.rename(around, tag, rename, out));
    }

    /// What a file is called now.
    pub(crate) fn path_now(&self, file: u32) -> Option<Vec<String>> {
        self.storage.path_now(self.contents.files(), file)
    }

    /// The disk refuses: the torrent stands still until the user says otherwise.
    pub(crate) fn fail(&mut self, ctx: &mut Context, error: DiskError) {
        if error == DiskError::LocationGone {
            self.tell_storage(ctx, |storage, around, out| storage.location_gone(around.now, out));
        }
        self.stand_still(ctx, TorrentError::Disk(error));
    }

    /// How many blocks may be asked for, all peers together.
    pub(super) fn room_for_requests(&self, ctx: &Context) -> u32 {
        self.storage.room_for_requests(ctx.now, || self.blocks_asked())
    }

    /// Blocks that peers and web seeds are asked for.
    pub(super) fn blocks_asked(&self) -> u32 {
        self.peers.values().map(|peer| peer.requests.len()).sum::<u32>() + self.web.blocks_asked()
    }

    /// The time to try a full disk again may have come.
    pub(super) fn look_for_room(&mut self, ctx: &mut Context) {
        if self.storage.is_trial_due(ctx.now) && self.room_for_requests(ctx) > 0 {
            let interesting = self.peers.values().filter(|peer| peer.interesting > 0);
            self.undecided.touched.extend(interesting.map(|peer| peer.intro.conn));
        }
    }

    fn withdraw_all_requests(&mut self, ctx: &mut Context) {
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.withdraw_requests(&mut ctx.agenda, conn));
        self.leave_web_seeds(ctx);
    }

    /// Fetches pieces in order from now on, or not.
    pub(crate) fn set_sequential(&mut self, on: bool) {
        self.goal.sequential = on;
        if let Some(picker) = self.contents.picker_mut() {
            picker.set_sequential(on);
        }
    }

    /// A reader needs something else than before.
    pub(crate) fn set_reader(
        &mut self,
        ctx: &mut Context,
        tag: Tag,
        reader: ReaderId,
        ahead: Option<&ReadAhead>,
    ) {
        let Contents::Known(metainfo, picker) = &mut self.contents else {
            return ctx.reject(tag, CommandError::NoMetadata);
        };
        match self.goal.reads.set(reader, ahead, metainfo, ctx.now) {
            Ok((number, window)) => picker.set_reader(number, window),
            Err(error) => ctx.reject(tag, error),
        }
        self.touch_interested(&mut ctx.agenda);
    }

    /// Somebody waits for a range.
    pub(crate) fn read_ahead(
        &mut self,
        ctx: &mut Context,
        tag: Tag,
        range: FileRange,
        within: Duration,
    ) {
        let Contents::Known(metainfo, picker) = &mut self.contents else {
            return ctx.reject(tag, CommandError::NoMetadata);
        };
        // The first piece of a file may come with the one before, and lie elsewhere than in the file.
        let wanted = self.goal.wants(range.file);
        let comes = |piece| wanted && (picker.have().has(piece) || picker.is_missing(piece));
        match self.goal.reads.wait(tag, range, within, metainfo, ctx.now, comes) {
            Ok((number, window)) => picker.set_reader(number, Some(window)),
            Err(error) => ctx.reject(tag, error),
        }
        ctx.agenda.touched.insert(self.id);
        self.touch_interested(&mut ctx.agenda);
    }

    /// The picker is a new one: it learns who reads.
    pub(super) fn apply_readers(&mut self) {
        let Some(picker) = self.contents.picker_mut() else { return };
        picker.set_sequential(self.goal.sequential);
        for (reader, window) in self.goal.reads.windows() {
            picker.set_reader(reader, Some(window));
        }
    }

    /// Tells who waited for what is there now.
    pub(super) fn answer_reads(&mut self, ctx: &mut Context) {
        if !self.goal.reads.none_waits() && self.life.is_active() {
            let ready = self.goal.reads.take_ready(self.contents.have());
            self.end_reads(ctx, ready, true);
        }
    }

    pub(super) fn end_reads(&mut self, ctx: &mut Context, ended: Vec<Answered>, ready: bool) {
        for Answered { tag, range, reader } in ended {
            if let Some(picker) = self.contents.picker_mut() {
                picker.set_reader(reader, None);
            }
            let torrent = self.id;
            ctx.notify(match ready {
                true => Notice::ReadReady { tag, torrent, range },
                false => Notice::ReadFailed { tag, torrent, range },
            });
        }
    }

    /// Changes priorities of files.
    pub(crate) fn set_priorities(&mut self, ctx: &mut Context, tag: Tag, changes: &[FilePriority]) {
        self.goal.prioritise(changes, self.is_known());
        if !self.is_known() {
            return;
        }
        self.apply_priorities();
        let picker = self.contents.picker();
        let comes = |piece| picker.is_some_and(|it| it.have().has(piece) || it.is_missing(piece));
        let hopeless = self.goal.take_hopeless_reads(comes);
        self.end_reads(ctx, hopeless, false);
        let skipped = self.goal.skipped_files();
        self.tell_storage(ctx, |storage, around, out| storage.select(around, tag, skipped, out));
        self.recount_interest();
        if !self.life.is_active() {
            return;
        }
        if self.goal.finished && !self.contents.are_finished() {
            self.goal.finished = false;
            self.candidates.recall_whole(ctx.now);
        }
        self.goal.was_incomplete |= !self.is_complete();
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.touch(&mut ctx.agenda, conn);
        }
        self.storage.mark();
        ctx.agenda.touched.insert(self.id);
    }

    /// A piece is wanted as much as the most wanted file that has a part in it.
    pub(super) fn apply_priorities(&mut self) {
        let Contents::Known(metainfo, picker) = &mut self.contents else { return };
        for (piece, level) in self.goal.levels(metainfo).into_iter().enumerate() {
            picker.set_priority(piece as u32, level);
        }
    }
}
