//! The files of a torrent: what was there before, how they lie, what is in doubt, what is on record.
//!
//! One machine for its parent: [`Storage::open`] has the files looked at, [`Storage::outcome`] is told what came of
//! an operation, [`Storage::settle`] does what is due, and what follows for everybody else is a list of [`Output`]s.
//! What it is made of (`record`, `adoption`, `arrangement`, `doubt`, `saving`, `full_disk`) are machines by
//! themselves, none of which sees another; `opening` and `upkeep` give them what happens.

mod adoption;
mod arrangement;
mod doubt;
mod full_disk;
mod opening;
mod record;
mod saving;
#[cfg(test)]
mod tests;
mod upkeep;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::life::Life;
use crate::api::{
    CommandError, DiskError, DiskOp, DiskOutcome, FileStatus, Notice, Tag, TorrentError,
};
use crate::base::bits::{Bits, NOTHING};
use crate::base::hash::Sha1Hash;
use crate::base::ids::TorrentId;
use crate::base::time::Instant;
use crate::context::{DiskJob, DiskLedger, HashPurpose};
use crate::metainfo::{FileEntry, Metainfo};
use crate::picker::Picker;
use crate::resume::ResumeData;

pub(super) use adoption::Adoption;
pub(super) use arrangement::Arrangement;
use doubt::Doubt;
use full_disk::FullDisk;
pub(super) use record::Belief;
use record::Record;
use saving::Saving;

/// What holds a torrent up while its location is gone.
const GONE: TorrentError = TorrentError::Disk(DiskError::LocationGone);

/// What is known of the files of a torrent, and what is in progress with them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Storage {
    /// What an earlier run left.
    record: Record,
    /// What was there before.
    adoption: Adoption,
    /// How the files lie.
    arrangement: Arrangement,
    /// What may not be what it was.
    doubt: Doubt,
    /// When resume data is stored.
    saving: Saving,
    /// Whether there is room.
    full_disk: FullDisk,
    /// Pieces whose blocks are all written.
    hash_queue: BTreeSet<u32>,
}

/// What others own and storage looks at while it is told something.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) torrent: TorrentId,
    pub(super) now: Instant,
    /// The torrent, once its files are known.
    pub(super) metainfo: Option<&'a Arc<Metainfo>>,
    pub(super) life: &'a Life,
    /// The pieces, once they are known.
    pub(super) picker: Option<&'a Picker>,
    /// Operations in progress.
    pub(super) disk: &'a DiskLedger,
}

impl Around<'_> {
    fn piece_hash(&self, piece: u32) -> Option<Sha1Hash> {
        self.metainfo.and_then(|metainfo| metainfo.piece_hash(piece))
    }

    fn have(&self) -> &Bits {
        self.picker.map_or(&NOTHING, Picker::have)
    }

    /// Whether nothing that is known is missing.
    fn lacks_nothing(&self) -> bool {
        self.picker.is_none_or(Picker::is_finished)
    }
}

/// What follows for everybody else, in this order.
#[derive(Debug)]
pub(super) enum Output {
    /// The disk is to do this.
    Operation(DiskJob, DiskOp),
    /// The embedder is told this.
    Notice(Notice),
    /// A command cannot be carried out.
    Rejected(Tag, CommandError),
    /// The torrent has something to decide.
    Touched,
    /// Somebody has to look again then.
    Wake(Instant),
    /// Pieces wait to be hashed.
    AwaitsHash,
    /// The files were looked at: what is believed of them, and what is on record besides.
    Opened(Belief, Option<Box<ResumeData>>),
    /// What was being checked may go on.
    GoOnChecking,
    /// Files have other names now: nothing is known of any piece, and they are looked at again.
    LookedAtAgain,
    /// The files are ours. Blocks of pieces that an earlier run began are there.
    Adopted(Vec<(u32, Bits)>),
    /// Something stands in the way of the files, until the user says otherwise.
    InTheWay(TorrentError),
    /// The disk refuses: the torrent stands still.
    Failed(DiskError),
    /// What made the torrent stand still is over: it is opened.
    Recovered,
    /// The location is back: the torrent goes on where it stood.
    Back,
    /// A piece turned out to be bad, or gone.
    Lost(u32),
    /// Nothing may be asked for: requests are withdrawn.
    Hold,
    /// Blocks may be asked for again.
    GoOn,
    /// To be put on record, when the rest is filled in.
    Store(Box<ResumeData>),
}

/// Where outputs are left for the parent: mostly none or one, which needs no memory of its own.
pub(super) type Outputs = SmallVec<[Output; 1]>;

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

    /// An operation has ended.
    pub(super) fn outcome(
        &mut self,
        job: DiskJob,
        outcome: DiskOutcome,
        around: &Around<'_>,
        out: &mut Outputs,
    ) {
        let error = error_of(&outcome);
        let outcome = self.take_names(around, outcome);
        match (job, outcome) {
            (DiskJob::Open(_), DiskOutcome::Opened(files)) => self.opened(around, &files, out),
            (DiskJob::Open(_), _) => out.push(Output::Failed(error)),
            (DiskJob::Reopen(_), outcome) => self.reopened(around, seen(&outcome, error), out),
            (DiskJob::Trim(_), outcome) => self.trimmed(around, seen(&outcome, error), out),
            (DiskJob::Arrange(_), DiskOutcome::Done) => self.arranged(around, Ok(None), out),
            (DiskJob::Arrange(_), outcome) => {
                self.arranged(around, seen(&outcome, error).map(Some), out);
            }
            (DiskJob::Hash { piece, purpose: HashPurpose::Doubt, .. }, outcome) => {
                let hash = match outcome {
                    DiskOutcome::PieceHashed(hash) => Ok(hash),
                    _ => Err(error),
                };
                self.reassessed(around, piece, hash, out);
            }
            (DiskJob::Sync(_), DiskOutcome::Synced(files)) => self.synced(around, Ok(files), out),
            (DiskJob::Sync(_), _) => self.synced(around, Err(error), out),
            (DiskJob::Store(_), outcome) => {
                let result = matches!(outcome, DiskOutcome::Done).then_some(()).ok_or(error);
                self.stored(around, result, out);
            }
            // What is written, read and hashed for peers is told by name, the end of all by nobody.
            (
                DiskJob::Write { .. }
                | DiskJob::Read { .. }
                | DiskJob::Hash { .. }
                | DiskJob::Evidence { .. }
                | DiskJob::Close(_),
                _,
            ) => {}
        }
    }

    /// Does what is due: what is wanted of the files is begun, if nothing stands in its way.
    pub(super) fn settle(&mut self, around: &Around<'_>, out: &mut Outputs) {
        self.look_for_location(around, out);
        self.arrange(around, out);
    }

    /// What is on record of this torrent, until its files are known to be ours.
    pub(super) fn on_record(&self, metainfo: &Metainfo) -> Option<&ResumeData> {
        self.record.about(metainfo)
    }

    /// Nothing durable says yet that the files are ours.
    pub(super) fn is_unclaimed(&self) -> bool {
        self.record.is_unclaimed()
    }

    /// Nothing is ever written.
    pub(super) fn is_read_only(&self) -> bool {
        self.arrangement.placement.read_only
    }

    /// What a file is called now.
    pub(super) fn path_now(&self, files: &[FileEntry], file: u32) -> Option<Vec<String>> {
        self.arrangement.path_now(files, file)
    }

    /// Whether nobody is to be served from a piece.
    pub(super) fn doubts(&self, piece: u32) -> bool {
        self.doubt.about(piece)
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

    /// Whether the disk is known to have no room.
    pub(super) fn is_full(&self) -> bool {
        self.full_disk.is_full()
    }

    /// Whether it is time to find out if there is room again.
    pub(super) fn is_trial_due(&self, now: Instant) -> bool {
        self.full_disk.is_due(now)
    }

    /// How many blocks may be asked for, all peers together, of whom `asked` blocks are.
    pub(super) fn room_for_requests(&self, now: Instant, asked: impl FnOnce() -> u32) -> u32 {
        if self.holds_writes() { 0 } else { self.full_disk.room(now, asked) }
    }

    /// Whether a piece waits to be hashed, fetched or in doubt.
    pub(super) fn awaits_hash(&self) -> bool {
        !self.hash_queue.is_empty() || self.doubt.is_waiting()
    }

    /// What must hold after every step, when `asked` blocks are asked for.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub(super) fn check(&self, now: Instant, asked: u32) -> Result<(), &'static str> {
        self.full_disk.check(now, asked)?;
        self.doubt.check()?;
        if self.record.is_unclaimed() && asked > 0 {
            return Err("nothing is asked for before it is on record whose files these are");
        }
        if self.arrangement.is_moving() && asked > 0 {
            return Err("nothing is asked for while the data moves");
        }
        Ok(())
    }
}

/// Why an operation did not work. An outcome of the wrong kind is the driver's fault; the operation did not
/// work then.
pub(super) fn error_of(outcome: &DiskOutcome) -> DiskError {
    match outcome {
        DiskOutcome::Failed(error) => *error,
        _ => DiskError::Io,
    }
}

/// The files as they were looked at, where that is what came of an operation.
fn seen(outcome: &DiskOutcome, error: DiskError) -> Result<&[FileStatus], DiskError> {
    match outcome {
        DiskOutcome::Opened(files) => Ok(&files[..]),
        _ => Err(error),
    }
}

#[cfg(feature = "corruption")]
impl Storage {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub(super) fn corrupt(&mut self, rule: &str) -> Option<()> {
        let damaged = self.arrangement.corrupt(rule).or_else(|| self.doubt.corrupt(rule));
        damaged.or_else(|| self.full_disk.corrupt(rule)).or_else(|| self.record.corrupt(rule))
    }
}
