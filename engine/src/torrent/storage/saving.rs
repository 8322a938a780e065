//! Resume data: gathered when something changed, stored only after what it claims is durable.

use alloc::boxed::Box;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::super::Torrent;
use crate::api::{DiskError, DiskOp, FileStatus, Notice};
use crate::base::bits::Bits;
use crate::base::time::Instant;
use crate::context::{Context, DiskJob, Timer};
use crate::resume::ResumeData;

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
struct Claim {
    have: Bits,
    partial: alloc::vec::Vec<(u32, Bits)>,
    finished: bool,
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
}

impl Torrent {
    /// Saves on the user's demand.
    pub(crate) fn save_resume(&mut self, ctx: &mut Context) {
        self.storage.saving.mark();
        self.storage.saving.due_now();
        ctx.agenda.touched.insert(self.id);
    }

    /// Begins a save when one is due.
    pub(in crate::torrent) fn save_if_due(&mut self, ctx: &mut Context) {
        if !self.life.is_active() || !self.storage.saving.dirty {
            return;
        }
        let interval = Duration::from_secs(ctx.config.resume_interval.into());
        let due = match self.storage.saving.due {
            Some(due) => due,
            None => {
                let due = ctx.now + interval;
                self.storage.saving.due = Some(due);
                ctx.timers.schedule(due, Timer::Torrent(self.id));
                due
            }
        };
        if self.storage.saving.urgent
            || due <= ctx.now
            || self.storage.saving.verified >= SAVED_AT_ONCE
        {
            self.save_now(ctx);
        }
    }

    /// Begins a save unless one is in progress.
    pub(in crate::torrent) fn save_now(&mut self, ctx: &mut Context) {
        // What a sync sees in the middle of a move is neither the old files nor the new ones.
        if self.storage.saving.is_busy() || self.storage.arrangement.is_moving() {
            return;
        }
        self.storage.saving.dirty = false;
        self.storage.saving.urgent = false;
        self.storage.saving.verified = 0;
        self.storage.saving.due = None;
        self.storage.doubt.sync_begins();
        self.storage.saving.syncing = Some(Claim {
            have: self.picker.have().clone(),
            partial: self.picker.written_blocks(),
            finished: core::mem::take(&mut self.storage.saving.finished),
        });
        ctx.disk(DiskJob::Sync(self.id), DiskOp::Sync { torrent: self.id });
    }

    /// Everything written before the sync is durable: what was claimed then may be stored.
    pub(crate) fn synced(
        &mut self,
        ctx: &mut Context,
        outcome: Result<Box<[FileStatus]>, DiskError>,
    ) {
        let Some(claim) = self.storage.saving.syncing.take() else { return };
        let files = match outcome {
            Ok(files) => files,
            // What is not durable is claimed after a later save.
            Err(DiskError::NoSpace) => {
                self.storage.saving.dirty = true;
                self.storage.saving.finished |= claim.finished;
                self.no_room(ctx);
                ctx.agenda.touched.insert(self.id);
                return;
            }
            Err(error) => {
                self.storage.saving.dirty = true;
                self.storage.saving.finished |= claim.finished;
                return self.fail(ctx, error);
            }
        };
        self.compare_files(ctx, &files);
        if claim.finished {
            ctx.notify(Notice::Finished(self.id));
        }
        let (have, files) =
            self.storage.doubt.certain(&claim.have, self.picker.have(), &self.metainfo);
        let data = ResumeData {
            info_hash: self.info_hash(),
            have,
            partial: claim.partial,
            files,
            downloaded: self.traffic.downloaded(),
            uploaded: self.traffic.uploaded(),
            completed: !self.goal.was_incomplete,
            peers: self.candidates.worth_keeping(),
            clean: self.is_at_rest(ctx),
            location: self.storage.arrangement.placement.location,
            renamed: self.storage.arrangement.placement.renamed.clone(),
            left_at: self.storage.arrangement.left_at().to_vec(),
            trackers: self.announcer.worth_remembering(),
        };
        self.storage.saving.storing = true;
        self.arrangement_in_store();
        let op = DiskOp::StoreResume { torrent: self.id, data: data.encode().into() };
        ctx.disk(DiskJob::Store(self.id), op);
    }

    /// Whether nothing will be written any more, as far as is known: then a change of the files is
    /// somebody else's doing.
    fn is_at_rest(&self, ctx: &Context) -> bool {
        let stands = self.life.is_closing() || !self.is_running();
        self.storage.doubt.is_synced()
            && (stands || self.picker.is_finished())
            && !self.is_writing(ctx)
    }

    /// Resume data is stored. That it is not costs a check after the next start, no more.
    pub(crate) fn stored(&mut self, ctx: &mut Context, outcome: Result<(), DiskError>) {
        self.storage.saving.storing = false;
        if core::mem::take(&mut self.storage.unclaimed) {
            self.touch_interested(ctx);
        }
        if outcome.is_ok() {
            ctx.notify(Notice::ResumeSaved(self.id));
        }
        // A driver that keeps no resume data says so, and nothing waits for it.
        let stored = matches!(outcome, Ok(()) | Err(DiskError::Missing));
        if !stored {
            self.storage.saving.dirty = true;
        }
        self.arrangement_stored(ctx, stored);
        ctx.agenda.touched.insert(self.id);
    }
}
