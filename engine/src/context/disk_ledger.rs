//! Disk operations in progress: what each is for, and the budgets they hold.

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

/// All operations in progress.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DiskLedger {
    jobs: SlotMap<DiskOpId, DiskJob>,
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

    /// All jobs, for audits.
    pub fn jobs(&self) -> impl Iterator<Item = &DiskJob> {
        self.jobs.iter().map(|(_, job)| job)
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
