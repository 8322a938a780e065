//! A disk that stores nothing: what a good block holds is known, so only its state is kept, and the
//! bytes of bad ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::base::payload::Payload;
use eddyline::base::time::Instant;
use eddyline::metainfo::{BLOCK_LENGTH, Metainfo};
use eddyline::{DiskError, DiskOp, DiskOutcome, FileStatus, StoredBlock};

use crate::content::Content;
use crate::entropy::Entropy;

/// What goes wrong with a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskFault {
    /// Writes fail with this error once this many bytes have been written.
    WritesFailAfter(u64, DiskError),
    /// Reads fail with this error.
    ReadsFail(DiskError),
    /// One read in this many returns other bytes than were written.
    ReadsLie(u32),
    /// The drive was unplugged.
    Gone,
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
    /// How long an operation takes, on a torrent with pieces of `piece_length` bytes.
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
    /// The files as the disk tells them, and as they were at the last sync.
    files: Vec<FileStatus>,
    synced_files: Vec<FileStatus>,
    /// Files that somebody else changed and that nobody was told of yet.
    changed: BTreeSet<usize>,
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
    /// A deliberate bug: it says that it has synced and has not.
    pub lies_about_syncs: bool,
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
        (0..volume.files.len()).for_each(|file| volume.touch(file));
        volume.synced_files.clone_from(&volume.files);
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

    /// Changes one byte of a torrent in the middle of a run, as another program might.
    pub fn change(&mut self, torrent: TorrentId, offset: usize) {
        self.damage(torrent, offset);
        if let Some(volume) = self.volumes.get_mut(&torrent) {
            for file in volume.files_between(offset, offset + 1) {
                volume.touch(file);
                volume.changed.insert(file);
            }
        }
    }

    /// Cuts a file off in the middle of a run, as somebody else might.
    pub fn truncate(&mut self, torrent: TorrentId, file: usize, length: u64) {
        let Some(volume) = self.volumes.get_mut(&torrent) else { return };
        let entry = &volume.content.metainfo.layout().files()[file];
        let (start, end) = (entry.offset + length, entry.offset + entry.length);
        for at in 0..volume.blocks.len() {
            let (from, to) = volume.span(at);
            if (from as u64) < end && start < to as u64 {
                volume.blocks[at] = Block::Absent;
            }
        }
        volume.touch(file);
        volume.files[file].length = Some(length);
    }

    /// Changes nothing but the time of a file, as a copy of it in its place would.
    pub fn touch(&mut self, torrent: TorrentId, file: usize) {
        if let Some(volume) = self.volumes.get_mut(&torrent) {
            volume.touch(file);
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
            if chance.chance(1, 2) {
                // The journal of the file system had not got so far.
                volume.files.clone_from(&volume.synced_files);
            }
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
        volume.map_or(0, |volume| volume.content.metainfo.geometry().piece_length().into())
    }

    /// Performs one operation.
    pub fn perform(&mut self, op: DiskOp) -> DiskOutcome {
        let resume = matches!(op, DiskOp::StoreResume { .. } | DiskOp::Close { .. });
        if self.fault == Some(DiskFault::Gone) && !resume {
            return DiskOutcome::Failed(DiskError::LocationGone);
        }
        match op {
            DiskOp::Open { torrent, metainfo, .. } => self.open(torrent, &metainfo),
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
                self.with(torrent, |volume| match volume.is_there(piece) {
                    true => DiskOutcome::PieceHashed(volume.hash(piece)),
                    false => DiskOutcome::Failed(DiskError::Missing),
                })
            }
            DiskOp::HashBlocks { torrent, piece } => self.with(torrent, |volume| {
                let bytes = volume.read_piece(piece);
                let blocks = bytes.chunks(BLOCK_LENGTH as usize);
                DiskOutcome::BlocksHashed(blocks.map(Sha1Hash::of).collect())
            }),
            DiskOp::Sync { torrent } => {
                let lies = self.lies_about_syncs;
                self.with(torrent, |volume| {
                    if !lies {
                        volume.unsynced.clear();
                        volume.synced_files.clone_from(&volume.files);
                    }
                    DiskOutcome::Synced(volume.files.clone().into())
                })
            }
            DiskOp::Select { torrent, .. }
            | DiskOp::Rename { torrent, .. }
            | DiskOp::Discard { torrent, .. } => self.with(torrent, |_| DiskOutcome::Done),
            DiskOp::Trim { torrent, files } => self.with(torrent, |volume| volume.cut(&files)),
            DiskOp::Move { torrent, .. } => self.with(torrent, Volume::moved),
            DiskOp::Delete { torrent, info_hash, data } => {
                self.resume.remove(&info_hash);
                match self.volumes.get_mut(&torrent) {
                    Some(_) if data => drop(self.volumes.remove(&torrent)),
                    Some(volume) => volume.closed = true,
                    None => {}
                }
                DiskOutcome::Done
            }
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
        let hash = metainfo.info_hashes().wire();
        // A torrent that was removed has left its data behind.
        let earlier = self.volumes.iter().find(|(_, v)| v.closed && v.content.hash() == hash);
        let earlier = earlier.map(|(id, _)| *id);
        if let Some(open) = self.volumes.get(&torrent) {
            return DiskOutcome::Opened(open.files.clone().into());
        }
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
        let files = volume.files.clone();
        self.volumes.insert(torrent, volume);
        DiskOutcome::Opened(files.into())
    }

    fn read(&mut self, torrent: TorrentId, piece: u32, begin: u32, length: u32) -> DiskOutcome {
        self.reads += 1;
        // A driver may answer in either way at any time.
        let lends = self.reads.is_multiple_of(2);
        let lie = match self.fault {
            Some(DiskFault::ReadsFail(error)) => return DiskOutcome::Failed(error),
            Some(DiskFault::ReadsLie(one_in)) => self.reads.is_multiple_of(one_in),
            _ => false,
        };
        self.with(torrent, |volume| {
            if !volume.is_there(piece) {
                return DiskOutcome::Failed(DiskError::Missing);
            }
            let start = volume.content.metainfo.geometry().piece_offset(piece) as usize;
            let start = start + begin as usize;
            let changed = volume.take_changed(start, start + length as usize);
            if !changed.is_empty() {
                return DiskOutcome::Changed(changed.into());
            }
            let bytes = volume.read(start, start + length as usize);
            match (lie, lends) {
                (true, _) => DiskOutcome::Read(rotten(&bytes)),
                (false, true) => DiskOutcome::Ready,
                (false, false) => DiskOutcome::Read(bytes),
            }
        })
    }

    /// Performs an operation, and brings other bytes than were written.
    pub(crate) fn perform_badly(&mut self, op: DiskOp) -> DiskOutcome {
        let block = match op {
            DiskOp::ReadBlock { torrent, piece, begin, length } => {
                Some(StoredBlock { torrent, piece, begin, length })
            }
            _ => None,
        };
        match (self.perform(op), block) {
            (DiskOutcome::Read(bytes), _) => DiskOutcome::Read(rotten(&bytes)),
            (DiskOutcome::Ready, Some(block)) => match self.stored(block) {
                Some(bytes) => DiskOutcome::Read(rotten(&bytes)),
                None => DiskOutcome::Failed(DiskError::Missing),
            },
            (other, _) => other,
        }
    }

    /// What lies where a block does, for sending it from there. `None` when it is gone.
    pub(crate) fn stored(&self, block: StoredBlock) -> Option<Bytes> {
        let StoredBlock { torrent, piece, begin, length } = block;
        let volume = self.volumes.get(&torrent).filter(|volume| volume.is_there(piece))?;
        let start =
            volume.content.metainfo.geometry().piece_offset(piece) as usize + begin as usize;
        Some(volume.read(start, start + length as usize))
    }
}

/// The same bytes but for one bit.
fn rotten(bytes: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(&bytes[..]);
    if let Some(first) = bytes.first_mut() {
        *first ^= 1;
    }
    bytes.freeze()
}

impl Volume {
    fn new(content: Content) -> Self {
        let geometry = content.metainfo.geometry();
        let files = content.metainfo.layout().files().len();
        let per_piece = geometry.piece_length().div_ceil(BLOCK_LENGTH) as usize;
        let last = geometry.pieces().checked_sub(1).map_or(0, |last| geometry.piece_size(last));
        let full = geometry.pieces().saturating_sub(1) as usize * per_piece;
        let count = full + last.div_ceil(BLOCK_LENGTH) as usize;
        Self {
            content,
            blocks: vec![Block::Absent; count],
            per_piece,
            unsynced: Vec::new(),
            files: vec![FileStatus::default(); files],
            synced_files: vec![FileStatus::default(); files],
            changed: BTreeSet::new(),
            closed: false,
        }
    }

    /// First byte of a block, and the first behind it.
    fn span(&self, at: usize) -> (usize, usize) {
        let geometry = self.content.metainfo.geometry();
        let piece = (at / self.per_piece) as u32;
        let start = geometry.piece_offset(piece) as usize;
        let begin = start + at % self.per_piece * BLOCK_LENGTH as usize;
        let end = (begin + BLOCK_LENGTH as usize).min(start + geometry.piece_size(piece) as usize);
        (begin, end)
    }

    fn block_at(&self, offset: usize) -> usize {
        let length = self.content.metainfo.geometry().piece_length() as usize;
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
        for file in self.files_between(start, end) {
            self.touch(file);
        }
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
        let geometry = self.content.metainfo.geometry();
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

    /// Files with a byte between two places.
    fn files_between(&self, start: usize, end: usize) -> Vec<usize> {
        let slices = self.content.metainfo.layout().slices(start as u64, (end - start) as u32);
        slices.map(|slice| slice.file as usize).collect()
    }

    /// Files with a byte between two places that somebody else changed, and how they look now: told once.
    fn take_changed(&mut self, start: usize, end: usize) -> Vec<(u32, FileStatus)> {
        if self.changed.is_empty() {
            return Vec::new();
        }
        let mut found = self.files_between(start, end);
        found.retain(|file| self.changed.remove(file));
        found.into_iter().map(|file| (file as u32, self.files[file])).collect()
    }

    /// A file is written: it is there in its whole length, and its time changes.
    fn touch(&mut self, file: usize) {
        let entry = &self.content.metainfo.layout().files()[file];
        let status = &mut self.files[file];
        *status = FileStatus { length: Some(entry.length), modified: status.modified + 1 };
    }

    /// Nothing of files is left behind where they should end.
    fn cut(&mut self, files: &[u32]) -> DiskOutcome {
        for file in files {
            self.touch(*file as usize);
        }
        DiskOutcome::Opened(self.files.clone().into())
    }

    /// Copies of all files stand in their places, durable from the start.
    fn moved(&mut self) -> DiskOutcome {
        self.unsynced.clear();
        for status in &mut self.files {
            status.modified += i64::from(status.length.is_some());
        }
        self.synced_files.clone_from(&self.files);
        DiskOutcome::Opened(self.files.clone().into())
    }

    /// Whether no file that a piece lies in is missing or cut off.
    fn is_there(&self, piece: u32) -> bool {
        let geometry = self.content.metainfo.geometry();
        let (start, size) = (geometry.piece_offset(piece), geometry.piece_size(piece));
        let layout = self.content.metainfo.layout();
        layout.slices(start, size).all(|slice| {
            let length = self.files[slice.file as usize].length;
            let stored = layout.files()[slice.file as usize].is_stored();
            !stored || length.is_some_and(|length| slice.offset + u64::from(slice.length) <= length)
        })
    }
}
