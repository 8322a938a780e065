//! Disk operations in progress: what each is for, and the budgets they hold.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::base::ids::{ConnId, DiskOpId, TorrentId};
use crate::base::slots::SlotMap;
use crate::picker::BlockRef;
use crate::wire::BlockRequest;
use serde::{Deserialize, Serialize};

/// Why a piece is hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HashPurpose {
    /// To find out what is on disk.
    Check,
    /// To verify what was fetched, in this generation of the piece.
    Verify(u32),
    /// To find out whether a verified piece is still what it was.
    Doubt,
}

/// What an operation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DiskJob {
    /// Opening a torrent.
    Open(TorrentId),
    /// Writing a block.
    Write {
        /// Torrent.
        torrent: TorrentId,
        /// Block.
        at: BlockRef,
        /// Generation of its piece.
        generation: u32,
        /// Bytes.
        length: u32,
    },
    /// Reading a block for a peer.
    Read {
        /// Torrent.
        torrent: TorrentId,
        /// Peer.
        conn: ConnId,
        /// What it asked for.
        request: BlockRequest,
    },
    /// Hashing a piece.
    Hash {
        /// Torrent.
        torrent: TorrentId,
        /// Piece.
        piece: u32,
        /// Why.
        purpose: HashPurpose,
    },
    /// Hashing the blocks of a piece, to find a liar.
    Evidence {
        /// Torrent.
        torrent: TorrentId,
        /// Piece.
        piece: u32,
        /// Whether the piece is good now.
        good: bool,
    },
    /// Making writes durable.
    Sync(TorrentId),
    /// Storing resume data.
    Store(TorrentId),
    /// Looking whether a location is back.
    Reopen(TorrentId),
    /// Selecting, moving, renaming.
    Arrange(TorrentId),
    /// Cutting files that are too long.
    Trim(TorrentId),
    /// Closing a torrent.
    Close(TorrentId),
}

impl DiskJob {
    /// The torrent it belongs to.
    pub const fn torrent(&self) -> TorrentId {
        match self {
            Self::Open(torrent) | Self::Sync(torrent) | Self::Store(torrent) => *torrent,
            Self::Close(torrent) | Self::Reopen(torrent) | Self::Arrange(torrent) => *torrent,
            Self::Trim(torrent) => *torrent,
            Self::Write { torrent, .. }
            | Self::Read { torrent, .. }
            | Self::Hash { torrent, .. }
            | Self::Evidence { torrent, .. } => *torrent,
        }
    }
}

/// Operations of one torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct InProgress {
    all: u32,
    writes: u32,
}

impl InProgress {
    fn of(job: &DiskJob) -> Self {
        Self { all: 1, writes: u32::from(matches!(job, DiskJob::Write { .. })) }
    }
}

/// All operations in progress.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DiskLedger {
    jobs: SlotMap<DiskOpId, DiskJob>,
    /// Torrents with anything in progress, and how much.
    by_torrent: BTreeMap<TorrentId, InProgress>,
    intake: u64,
    hashing: u32,
}

impl DiskLedger {
    /// Records an operation and takes what it holds out of the budgets.
    pub fn begin(&mut self, job: DiskJob) -> DiskOpId {
        match job {
            DiskJob::Write { length, .. } => self.intake += u64::from(length),
            DiskJob::Hash { .. } | DiskJob::Evidence { .. } => self.hashing += 1,
            _ => {}
        }
        let (jobs, one) = (self.by_torrent.entry(job.torrent()).or_default(), InProgress::of(&job));
        jobs.all += one.all;
        jobs.writes += one.writes;
        self.jobs.insert(job)
    }

    /// Ends an operation and gives back what it held. `None` for one that is not in progress.
    pub fn end(&mut self, id: DiskOpId) -> Option<DiskJob> {
        let job = self.jobs.remove(id)?;
        match job {
            DiskJob::Write { length, .. } => self.intake -= u64::from(length),
            DiskJob::Hash { .. } | DiskJob::Evidence { .. } => self.hashing -= 1,
            _ => {}
        }
        if let Some(jobs) = self.by_torrent.get_mut(&job.torrent()) {
            let one = InProgress::of(&job);
            jobs.all -= one.all;
            jobs.writes -= one.writes;
            if jobs.all == 0 {
                self.by_torrent.remove(&job.torrent());
            }
        }
        Some(job)
    }

    /// Payload bytes handed to the disk and not written.
    pub const fn intake(&self) -> u64 {
        self.intake
    }

    /// Hash operations in progress.
    pub const fn hashing(&self) -> u32 {
        self.hashing
    }

    /// True when nothing is in progress.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether anything of a torrent is in progress.
    pub fn is_busy_with(&self, torrent: TorrentId) -> bool {
        self.by_torrent.contains_key(&torrent)
    }

    /// Whether blocks of a torrent are being written.
    pub fn is_writing(&self, torrent: TorrentId) -> bool {
        self.by_torrent.get(&torrent).is_some_and(|jobs| jobs.writes > 0)
    }

    /// Pieces of a torrent that are being hashed, in a look at all operations.
    pub fn hashed_of(&self, torrent: TorrentId) -> BTreeSet<u32> {
        let piece = |job: &DiskJob| match job {
            DiskJob::Hash { torrent: of, piece, .. } if *of == torrent => Some(*piece),
            _ => None,
        };
        self.jobs.iter().filter_map(|(_, job)| piece(job)).collect()
    }

    /// All jobs, for audits.
    pub fn jobs(&self) -> impl Iterator<Item = &DiskJob> {
        self.jobs.iter().map(|(_, job)| job)
    }

    /// Checks the counts against a recount.
    ///
    /// # Errors
    /// The name of the rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let (mut intake, mut hashing) = (0, 0);
        let mut by_torrent: BTreeMap<TorrentId, InProgress> = BTreeMap::new();
        for job in self.jobs() {
            match job {
                DiskJob::Write { length, .. } => intake += u64::from(*length),
                DiskJob::Hash { .. } | DiskJob::Evidence { .. } => hashing += 1,
                _ => {}
            }
            let (jobs, one) = (by_torrent.entry(job.torrent()).or_default(), InProgress::of(job));
            jobs.all += one.all;
            jobs.writes += one.writes;
        }
        let same = (intake, hashing) == (self.intake, self.hashing);
        if same && by_torrent == self.by_torrent {
            Ok(())
        } else {
            Err("disk budgets are conserved")
        }
    }
}

#[cfg(feature = "corruption")]
impl DiskLedger {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "disk budgets are conserved" => self.intake += 1,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the ledger.

    use super::*;

    #[test]
    fn the_ledger_knows_of_each_torrent_whether_it_is_written_to() {
        let [one, two] = [1, 2].map(TorrentId::from_u64);
        let at = BlockRef { piece: 3, block: 0 };
        let mut ledger = DiskLedger::default();
        let write = ledger.begin(DiskJob::Write { torrent: one, at, generation: 1, length: 9 });
        let purpose = HashPurpose::Check;
        let hash = ledger.begin(DiskJob::Hash { torrent: one, piece: 5, purpose });
        let sync = ledger.begin(DiskJob::Sync(two));
        assert!(ledger.is_writing(one) && !ledger.is_writing(two) && ledger.is_busy_with(two));
        assert_eq!(ledger.hashed_of(one), [5].into());
        assert_eq!(ledger.check(), Ok(()));
        assert!([write, sync].into_iter().all(|id| ledger.end(id).is_some()));
        assert!(!ledger.is_writing(one) && ledger.is_busy_with(one) && !ledger.is_busy_with(two));
        assert!(ledger.end(hash).is_some() && ledger.end(hash).is_none());
        assert!(ledger.is_empty() && !ledger.is_busy_with(one));
        assert_eq!(ledger.check(), Ok(()));
    }
}
