//! Disk operations performed at once, for the example loops. A path from a torrent is safe, so
//! joining it to a folder stays inside; the real driver also guards against symbolic links.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::{BLOCK_LENGTH, Metainfo};
use eddyline::{DiskError, DiskOp, DiskOutcome, FileStatus};

/// Torrents below one folder.
pub struct InlineDisk {
    folder: PathBuf,
    torrents: HashMap<TorrentId, Arc<Metainfo>>,
}

impl InlineDisk {
    /// Torrents below `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, torrents: HashMap::new() }
    }

    /// Performs one operation.
    pub fn perform(&mut self, op: DiskOp) -> DiskOutcome {
        self.attempt(op).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => {
                DiskOutcome::Failed(DiskError::Missing)
            }
            io::ErrorKind::StorageFull => DiskOutcome::Failed(DiskError::NoSpace),
            _ => DiskOutcome::Failed(DiskError::Io),
        })
    }

    fn attempt(&mut self, op: DiskOp) -> io::Result<DiskOutcome> {
        Ok(match op {
            DiskOp::Open { torrent, metainfo, .. } => {
                for file in metainfo.layout().files().iter().filter(|f| f.is_stored()) {
                    let path = self.folder.join(file.path.iter().collect::<PathBuf>());
                    std::fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
                    if file.length == 0 {
                        OpenOptions::new().create(true).append(true).open(path)?;
                    }
                }
                self.torrents.insert(torrent, metainfo);
                DiskOutcome::Opened(self.status(torrent)?)
            }
            DiskOp::WriteBlock { torrent, piece, begin, payload } => {
                let mut at = begin;
                for part in payload.parts() {
                    self.run(torrent, piece, at, part.len() as u32, |file, run| {
                        let mut file = file.map_or(Ok(None), |path| {
                            OpenOptions::new()
                                .create(true)
                                .truncate(false)
                                .write(true)
                                .open(path)
                                .map(Some)
                        })?;
                        if let Some(file) = &mut file {
                            file.seek(SeekFrom::Start(run.file_offset))?;
                            file.write_all(&part[run.start..run.start + run.length])?;
                        }
                        Ok(())
                    })?;
                    at += part.len() as u32;
                }
                DiskOutcome::Written
            }
            DiskOp::ReadBlock { torrent, piece, begin, length } => {
                DiskOutcome::Read(self.read(torrent, piece, begin, length)?.into())
            }
            DiskOp::HashPiece { torrent, piece } => {
                let size = self.metainfo(torrent)?.geometry().piece_size(piece);
                DiskOutcome::PieceHashed(Sha1Hash::of(&self.read(torrent, piece, 0, size)?))
            }
            DiskOp::HashBlocks { torrent, piece } => {
                let size = self.metainfo(torrent)?.geometry().piece_size(piece);
                let bytes = self.read(torrent, piece, 0, size)?;
                let blocks = bytes.chunks(BLOCK_LENGTH as usize);
                DiskOutcome::BlocksHashed(blocks.map(Sha1Hash::of).collect())
            }
            // A loop that keeps no resume data has nothing to make durable for it.
            DiskOp::Sync { torrent } => DiskOutcome::Synced(self.status(torrent)?),
            DiskOp::StoreResume { .. } => DiskOutcome::Failed(DiskError::Missing),
            // One folder, all files, names as they are: that is what these loops ask for.
            DiskOp::Select { .. }
            | DiskOp::Move { .. }
            | DiskOp::Discard { .. }
            | DiskOp::Rename { .. }
            | DiskOp::Trim { .. } => DiskOutcome::Failed(DiskError::Io),
            DiskOp::Close { torrent } | DiskOp::Delete { torrent, .. } => {
                self.torrents.remove(&torrent);
                DiskOutcome::Done
            }
        })
    }

    fn metainfo(&self, torrent: TorrentId) -> io::Result<Arc<Metainfo>> {
        self.torrents.get(&torrent).cloned().ok_or(io::ErrorKind::NotFound.into())
    }

    fn status(&self, torrent: TorrentId) -> io::Result<Box<[FileStatus]>> {
        let metainfo = self.metainfo(torrent)?;
        let lengths = metainfo.layout().files().iter().map(|file| {
            let path = self.folder.join(file.path.iter().collect::<PathBuf>());
            let length = std::fs::metadata(path).ok().map(|meta| meta.len());
            FileStatus { length, modified: 0 }
        });
        Ok(lengths.collect())
    }

    fn read(&self, torrent: TorrentId, piece: u32, begin: u32, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.run(torrent, piece, begin, length, |file, run| {
            if let Some(path) = file {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(run.file_offset))?;
                file.read_exact(&mut bytes[run.start..run.start + run.length])?;
            }
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Calls `act` for each file that a span lies in; padding has no path.
    fn run(
        &self,
        torrent: TorrentId,
        piece: u32,
        begin: u32,
        length: u32,
        mut act: impl FnMut(Option<PathBuf>, Run) -> io::Result<()>,
    ) -> io::Result<()> {
        let metainfo = self.metainfo(torrent)?;
        let mut start = 0;
        let offset = metainfo.geometry().piece_offset(piece) + u64::from(begin);
        for slice in metainfo.layout().slices(offset, length) {
            let file = &metainfo.layout().files()[slice.file as usize];
            let path = self.folder.join(file.path.iter().collect::<PathBuf>());
            let length = slice.length as usize;
            let run = Run { start, length, file_offset: slice.offset };
            act(file.is_stored().then_some(path), run)?;
            start += length;
        }
        Ok(())
    }
}

/// A run of bytes of a span that lies in one file.
struct Run {
    start: usize,
    length: usize,
    file_offset: u64,
}
