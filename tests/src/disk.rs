//! A disk that stores nothing: what a good block holds is known, so only its state is kept, and the
//! bytes of bad ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::base::payload::Payload;
use eddyline::base::time::Instant;
use eddyline::metainfo::{BLOCK_LENGTH, Metainfo};
use eddyline::{DiskError, DiskOp, DiskOutcome, FileStatus};

use crate::content::Content;
use crate::entropy::Entropy;

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

/// How fast a disk is. It does one thing after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskSpeed {
    /// Before each operation.
    pub seek: Duration,
    /// Bytes per second, read or written.
    pub transfer: u64,
    /// Bytes hashed per second, on top of reading them.
    pub hash: u64,
}

impl DiskSpeed {
    /// How long an operation on so many bytes takes.
    pub(crate) fn time(&self, op: &DiskOp, piece_length: u64) -> Duration {
        let at = |bytes: u64, rate: u64| Duration::from_micros(bytes * 1_000_000 / rate.max(1));
        self.seek
            + match op {
                DiskOp::WriteBlock { payload, .. } => at(payload.len().into(), self.transfer),
                DiskOp::ReadBlock { length, .. } => at((*length).into(), self.transfer),
                DiskOp::HashPiece { .. } | DiskOp::HashBlocks { .. } => {
                    at(piece_length, self.transfer) + at(piece_length, self.hash)
                }
                _ => Duration::ZERO,
            }
    }
}

/// State of one block.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Block {
    /// Never written: zeros, if anything.
    Absent,
    /// What belongs there.
    Good,
    /// Something else.
    Bad(Bytes),
}

#[derive(Clone, Debug)]
struct Volume {
    content: Content,
    blocks: Vec<Block>,
    /// Blocks of a full piece.
    per_piece: usize,
    /// Writes since the last sync, with what was there before.
    unsynced: Vec<(usize, Block)>,
    /// Whether anything was ever written or preset.
    used: bool,
    closed: bool,
}

/// Content of all torrents of one node.
#[derive(Clone, Debug, Default)]
pub struct SyntheticDisk {
    volumes: BTreeMap<TorrentId, Volume>,
    /// What is on the disk of torrents that are not open.
    resting: BTreeMap<Sha1Hash, Volume>,
    known: BTreeMap<Sha1Hash, Content>,
    written: u64,
    reads: u32,
    /// Resume data as last stored, by info-hash.
    pub resume: BTreeMap<Sha1Hash, Bytes>,
    /// What goes wrong.
    pub fault: Option<DiskFault>,
    /// How fast it is; `None` for delays at random.
    pub speed: Option<DiskSpeed>,
    /// When it has done what it was asked for so far.
    pub(crate) free_at: Instant,
    /// Whether it may lose what was not synced; costs a note for each write.
    pub may_crash: bool,
}

impl SyntheticDisk {
    /// Makes known what belongs into the files of a torrent.
    pub fn know(&mut self, content: &Content) {
        self.known.insert(content.hash(), content.clone());
    }

    /// Makes several torrents known.
    pub(crate) fn know_all<'a>(&mut self, contents: impl Iterator<Item = &'a Content>) {
        contents.for_each(|content| self.know(content));
    }

    /// Puts bytes in place before the torrent is added.
    pub fn preset(&mut self, content: &Content, bytes: &[u8]) {
        self.know(content);
        let mut volume = Volume::new(content.clone());
        volume.used = true;
        if bytes == &content.bytes[..] {
            volume.blocks.fill(Block::Good);
        } else {
            for at in 0..volume.blocks.len() {
                let (start, end) = volume.span(at);
                volume.blocks[at] = volume.judge(at, &Bytes::copy_from_slice(&bytes[start..end]));
            }
        }
        self.resting.insert(content.hash(), volume);
    }

    /// The bytes of a torrent.
    pub fn content(&self, torrent: TorrentId) -> Option<Bytes> {
        let volume = self.volumes.get(&torrent)?;
        Some(volume.read(0, volume.content.bytes.len()))
    }

    /// Damages one byte of a torrent.
    pub fn damage(&mut self, torrent: TorrentId, offset: usize) {
        if let Some(volume) = self.volumes.get_mut(&torrent) {
            let at = volume.block_at(offset);
            let (start, end) = volume.span(at);
            let mut bytes = BytesMut::from(&volume.read(start, end)[..]);
            bytes[offset - start] ^= 1;
            volume.blocks[at] = volume.judge(at, &bytes.freeze());
        }
    }

    /// Whether every byte of a torrent is what it should be.
    pub fn is_right(&self, torrent: TorrentId) -> bool {
        let volume = self.volumes.get(&torrent);
        volume.is_some_and(|volume| volume.blocks.iter().all(|block| *block == Block::Good))
    }

    /// Whether every byte of a piece is what it should be.
    pub fn is_piece_right(&self, torrent: TorrentId, piece: u32) -> bool {
        let volume = self.volumes.get(&torrent);
        volume.is_some_and(|volume| volume.piece(piece).iter().all(|block| *block == Block::Good))
    }

    /// The power fails: of what was not synced some is there, some is not, some is torn.
    pub fn crash(&mut self, chance: &mut Entropy) {
        for (_, mut volume) in std::mem::take(&mut self.volumes) {
            for (at, before) in std::mem::take(&mut volume.unsynced).into_iter().rev() {
                match chance.below(3) {
                    0 => {}
                    1 => volume.blocks[at] = before,
                    _ => {
                        let (start, end) = volume.span(at);
                        let torn = BytesMut::zeroed(end - start);
                        volume.blocks[at] = volume.judge(at, &torn.freeze());
                    }
                }
            }
            volume.closed = false;
            self.resting.insert(volume.content.hash(), volume);
        }
    }

    /// Bytes of a full piece of the torrent that an operation is about.
    pub(crate) fn piece_length(&self, op: &DiskOp) -> u64 {
        let torrent = match op {
            DiskOp::HashPiece { torrent, .. } | DiskOp::HashBlocks { torrent, .. } => torrent,
            _ => return 0,
        };
        let volume = self.volumes.get(torrent);
        volume.map_or(0, |volume| volume.content.metainfo.geometry.piece_length().into())
    }

    /// Performs one operation.
    pub fn perform(&mut self, op: DiskOp) -> DiskOutcome {
        match op {
            DiskOp::Open { torrent, metainfo } => self.open(torrent, &metainfo),
            DiskOp::WriteBlock { torrent, piece, begin, payload } => {
                let noted = self.may_crash;
                if let Some(DiskFault::WritesFailAfter(limit, error)) = self.fault
                    && self.written >= limit
                {
                    return DiskOutcome::Failed(error);
                }
                self.written += u64::from(payload.len());
                self.with(torrent, |volume| volume.write(piece, begin, &payload, noted))
            }
            DiskOp::ReadBlock { torrent, piece, begin, length } => {
                self.read(torrent, piece, begin, length)
            }
            DiskOp::HashPiece { torrent, piece } => {
                self.with(torrent, |volume| match volume.used {
                    true => DiskOutcome::PieceHashed(volume.hash(piece)),
                    false => DiskOutcome::Failed(DiskError::Missing),
                })
            }
            DiskOp::HashBlocks { torrent, piece } => self.with(torrent, |volume| {
                let bytes = volume.read_piece(piece);
                let blocks = bytes.chunks(BLOCK_LENGTH as usize);
                DiskOutcome::BlocksHashed(blocks.map(Sha1Hash::of).collect())
            }),
            DiskOp::Sync { torrent } => self.with(torrent, |volume| {
                volume.unsynced.clear();
                DiskOutcome::Synced(volume.files())
            }),
            DiskOp::StoreResume { torrent, data } => {
                let Some(volume) = self.volumes.get(&torrent).filter(|volume| !volume.closed)
                else {
                    return DiskOutcome::Failed(DiskError::Missing);
                };
                self.resume.insert(volume.content.hash(), data);
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

    fn open(&mut self, torrent: TorrentId, metainfo: &Arc<Metainfo>) -> DiskOutcome {
        let hash = metainfo.info_hashes.wire();
        // A torrent that was removed has left its data behind.
        let earlier = self.volumes.iter().find(|(_, v)| v.closed && v.content.hash() == hash);
        let earlier = earlier.map(|(id, _)| *id);
        let volume = match (self.resting.remove(&hash), earlier) {
            (Some(volume), _) => volume,
            (None, Some(id)) => match self.volumes.get(&id) {
                Some(volume) => Volume { closed: false, ..volume.clone() },
                None => return DiskOutcome::Failed(DiskError::Missing),
            },
            (None, None) => match self.known.get(&hash) {
                Some(content) => Volume::new(content.clone()),
                None => panic!("nobody told this disk what belongs into {hash:?}"),
            },
        };
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
            let start = volume.content.metainfo.geometry.piece_offset(piece) as usize;
            let start = start + begin as usize;
            let bytes = volume.read(start, start + length as usize);
            DiskOutcome::Read(if lie { rotten(&bytes) } else { bytes })
        })
    }
}

/// The same bytes but for one bit.
pub(crate) fn rotten(bytes: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(&bytes[..]);
    if let Some(first) = bytes.first_mut() {
        *first ^= 1;
    }
    bytes.freeze()
}

impl Volume {
    fn new(content: Content) -> Self {
        let geometry = content.metainfo.geometry;
        let per_piece = geometry.piece_length().div_ceil(BLOCK_LENGTH) as usize;
        let last = geometry.pieces().checked_sub(1).map_or(0, |last| geometry.piece_size(last));
        let full = geometry.pieces().saturating_sub(1) as usize * per_piece;
        let count = full + last.div_ceil(BLOCK_LENGTH) as usize;
        Self {
            content,
            blocks: vec![Block::Absent; count],
            per_piece,
            unsynced: Vec::new(),
            used: false,
            closed: false,
        }
    }

    /// First byte of a block, and the first behind it.
    fn span(&self, at: usize) -> (usize, usize) {
        let geometry = self.content.metainfo.geometry;
        let piece = (at / self.per_piece) as u32;
        let start = geometry.piece_offset(piece) as usize;
        let begin = start + at % self.per_piece * BLOCK_LENGTH as usize;
        let end = (begin + BLOCK_LENGTH as usize).min(start + geometry.piece_size(piece) as usize);
        (begin, end)
    }

    fn block_at(&self, offset: usize) -> usize {
        let length = self.content.metainfo.geometry.piece_length() as usize;
        offset / length * self.per_piece + offset % length / BLOCK_LENGTH as usize
    }

    fn judge(&self, at: usize, bytes: &Bytes) -> Block {
        let (start, end) = self.span(at);
        let wanted = &self.content.bytes[start..end];
        let same = std::ptr::eq(wanted.as_ptr(), bytes.as_ptr()) && wanted.len() == bytes.len();
        if same || wanted == &bytes[..] { Block::Good } else { Block::Bad(bytes.clone()) }
    }

    fn write(&mut self, piece: u32, begin: u32, payload: &Payload, noted: bool) -> DiskOutcome {
        let at = piece as usize * self.per_piece + (begin / BLOCK_LENGTH) as usize;
        let (start, end) = self.span(at);
        assert_eq!((end - start) as u32, payload.len(), "whole blocks are written");
        let mut offset = start;
        let wanted = &self.content.bytes;
        let good = payload.parts().iter().all(|part| {
            let place = &wanted[offset..offset + part.len()];
            offset += part.len();
            std::ptr::eq(place.as_ptr(), part.as_ptr()) || place == &part[..]
        });
        let block = if good { Block::Good } else { Block::Bad(payload.parts().concat().into()) };
        let before = std::mem::replace(&mut self.blocks[at], block);
        if noted {
            self.unsynced.push((at, before));
        }
        self.used = true;
        DiskOutcome::Written
    }

    fn read(&self, start: usize, end: usize) -> Bytes {
        if start == end {
            return Bytes::new();
        }
        let (first, last) = (self.block_at(start), self.block_at(end - 1));
        if self.blocks[first..=last].iter().all(|block| *block == Block::Good) {
            return self.content.bytes.slice(start..end);
        }
        let mut out = BytesMut::with_capacity(end - start);
        for at in first..=last {
            let (from, to) = self.span(at);
            let (low, high) = (start.max(from), end.min(to));
            match &self.blocks[at] {
                Block::Absent => out.resize(out.len() + high - low, 0),
                Block::Good => out.extend_from_slice(&self.content.bytes[low..high]),
                Block::Bad(bytes) => out.extend_from_slice(&bytes[low - from..high - from]),
            }
        }
        out.freeze()
    }

    fn piece(&self, piece: u32) -> &[Block] {
        let start = piece as usize * self.per_piece;
        &self.blocks[start..self.blocks.len().min(start + self.per_piece)]
    }

    fn read_piece(&self, piece: u32) -> Bytes {
        let geometry = self.content.metainfo.geometry;
        let start = geometry.piece_offset(piece) as usize;
        self.read(start, start + geometry.piece_size(piece) as usize)
    }

    fn hash(&self, piece: u32) -> Sha1Hash {
        let good = self.piece(piece).iter().all(|block| *block == Block::Good);
        match self.content.metainfo.piece_hash(piece).filter(|_| good) {
            Some(known) => known,
            None => Sha1Hash::of(&self.read_piece(piece)),
        }
    }

    fn files(&self) -> Box<[FileStatus]> {
        let files = self.content.metainfo.layout.files().iter();
        files
            .map(|file| FileStatus { length: self.used.then_some(file.length), modified: 0 })
            .collect()
    }
}
