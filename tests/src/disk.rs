//! A disk in memory, with faults on demand.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::{BLOCK_LENGTH, Metainfo};
use eddyline::{DiskError, DiskOp, DiskOutcome, FileStatus};

/// What goes wrong with a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskFault {
    /// Writes fail with this error once so many bytes have been written.
    WritesFailAfter(u64, DiskError),
    /// Reads fail with this error.
    ReadsFail(DiskError),
    /// Reads return other bytes than were written, one in so many.
    ReadsLie(u32),
}

#[derive(Clone, Debug)]
struct Volume {
    metainfo: Arc<Metainfo>,
    bytes: Vec<u8>,
    /// Whether anything was ever written or preset.
    used: bool,
    closed: bool,
}

/// Content of all torrents of one node.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    volumes: BTreeMap<TorrentId, Volume>,
    preset: BTreeMap<Sha1Hash, Vec<u8>>,
    written: u64,
    reads: u32,
    /// Resume data as last stored, by info-hash.
    pub resume: BTreeMap<Sha1Hash, Bytes>,
    /// What goes wrong.
    pub fault: Option<DiskFault>,
}

impl MemoryDisk {
    /// Puts content in place before the torrent is added.
    pub fn preset(&mut self, hash: Sha1Hash, bytes: Vec<u8>) {
        self.preset.insert(hash, bytes);
    }

    /// The bytes of a torrent.
    pub fn content(&self, torrent: TorrentId) -> Option<&[u8]> {
        self.volumes.get(&torrent).map(|volume| volume.bytes.as_slice())
    }

    /// The bytes of a torrent, to be damaged.
    pub fn content_mut(&mut self, torrent: TorrentId) -> Option<&mut Vec<u8>> {
        self.volumes.get_mut(&torrent).map(|volume| &mut volume.bytes)
    }

    /// Performs one operation.
    pub fn perform(&mut self, op: DiskOp) -> DiskOutcome {
        match op {
            DiskOp::Open { torrent, metainfo } => self.open(torrent, metainfo),
            DiskOp::WriteBlock { torrent, piece, begin, payload } => {
                if let Some(DiskFault::WritesFailAfter(limit, error)) = self.fault
                    && self.written >= limit
                {
                    return DiskOutcome::Failed(error);
                }
                self.written += u64::from(payload.len());
                self.with(torrent, |volume| {
                    let mut at = volume.metainfo.geometry.piece_offset(piece) as usize;
                    at += begin as usize;
                    volume.used = true;
                    for part in payload.parts() {
                        volume.bytes[at..at + part.len()].copy_from_slice(part);
                        at += part.len();
                    }
                    DiskOutcome::Written
                })
            }
            DiskOp::ReadBlock { torrent, piece, begin, length } => {
                self.read(torrent, piece, begin, length)
            }
            DiskOp::HashPiece { torrent, piece } => self.with(torrent, |volume| {
                DiskOutcome::PieceHashed(Sha1Hash::of(volume.piece(piece)))
            }),
            DiskOp::HashBlocks { torrent, piece } => self.with(torrent, |volume| {
                let blocks = volume.piece(piece).chunks(BLOCK_LENGTH as usize);
                DiskOutcome::BlocksHashed(blocks.map(Sha1Hash::of).collect())
            }),
            DiskOp::Sync { torrent } => {
                self.with(torrent, |volume| DiskOutcome::Synced(volume.files()))
            }
            DiskOp::StoreResume { torrent, data } => {
                let Some(volume) = self.volumes.get(&torrent).filter(|volume| !volume.closed)
                else {
                    return DiskOutcome::Failed(DiskError::Missing);
                };
                self.resume.insert(volume.metainfo.info_hashes.wire(), data);
                DiskOutcome::Done
            }
            DiskOp::Close { torrent } => self.with(torrent, |volume| {
                volume.closed = true;
                DiskOutcome::Done
            }),
        }
    }

    fn with(
        &mut self,
        torrent: TorrentId,
        act: impl FnOnce(&mut Volume) -> DiskOutcome,
    ) -> DiskOutcome {
        let volume = self.volumes.get_mut(&torrent).filter(|volume| !volume.closed);
        volume.map_or(DiskOutcome::Failed(DiskError::Missing), act)
    }

    fn open(&mut self, torrent: TorrentId, metainfo: Arc<Metainfo>) -> DiskOutcome {
        let length = metainfo.layout.length() as usize;
        let preset = self.preset.get(&metainfo.info_hashes.wire()).cloned();
        let used = preset.is_some();
        let bytes = preset.unwrap_or_else(|| vec![0; length]);
        let volume = Volume { metainfo, bytes, used, closed: false };
        let files = volume.files();
        self.volumes.insert(torrent, volume);
        DiskOutcome::Opened(files)
    }

    fn read(&mut self, torrent: TorrentId, piece: u32, begin: u32, length: u32) -> DiskOutcome {
        self.reads += 1;
        let lie = match self.fault {
            Some(DiskFault::ReadsFail(error)) => return DiskOutcome::Failed(error),
            Some(DiskFault::ReadsLie(one_in)) => self.reads.is_multiple_of(one_in),
            _ => false,
        };
        self.with(torrent, |volume| {
            let begin = begin as usize;
            let mut bytes = volume.piece(piece)[begin..begin + length as usize].to_vec();
            if lie {
                bytes[0] ^= 1;
            }
            DiskOutcome::Read(bytes.into())
        })
    }
}

impl Volume {
    fn piece(&self, piece: u32) -> &[u8] {
        let geometry = self.metainfo.geometry;
        let start = geometry.piece_offset(piece) as usize;
        &self.bytes[start..start + geometry.piece_size(piece) as usize]
    }

    fn files(&self) -> Box<[FileStatus]> {
        let files = self.metainfo.layout.files().iter();
        files
            .map(|file| FileStatus { length: self.used.then_some(file.length), modified: 0 })
            .collect()
    }
}
