//! The files of one torrent, and each operation on them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::base::payload::Payload;
use eddyline::metainfo::{BLOCK_LENGTH, FileEntry, FileSlice, Metainfo};
use eddyline::{DiskError, FileStatus};
use rustix::fs::FileType;
use sha1::{Digest, Sha1};

use super::files::FileCache;
use super::paths::{Root, modified};

/// Bytes read at once while hashing.
const HASH_CHUNK: usize = 256 * 1024;

/// An open torrent.
#[derive(Debug)]
pub struct TorrentFiles {
    id: TorrentId,
    metainfo: Arc<Metainfo>,
    root: Root,
    cache: Arc<FileCache>,
}

impl TorrentFiles {
    /// The files of `metainfo` below the folder at `path`.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn new(
        id: TorrentId,
        metainfo: Arc<Metainfo>,
        path: &Path,
        cache: Arc<FileCache>,
    ) -> io::Result<Self> {
        Ok(Self { id, metainfo, root: Root::open(path)?, cache })
    }

    /// The torrent.
    #[must_use]
    pub fn metainfo(&self) -> &Metainfo {
        &self.metainfo
    }

    /// Looks at every file; makes empty files and symbolic links. Nothing that exists is changed.
    ///
    /// # Errors
    /// [`DiskError::InTheWay`] in the form of `ELOOP` when something else stands at a path, or a
    /// file there is longer than it should be.
    pub fn open(&self) -> io::Result<Box<[FileStatus]>> {
        let mut all = Vec::new();
        for entry in self.metainfo.layout.files() {
            if let Some(target) = &entry.symlink {
                self.root.link(&entry.path, target)?;
            }
            if entry.is_stored() && entry.length == 0 && self.root.stat(&entry.path)?.is_none() {
                self.root.file(&entry.path, true, entry.attributes.executable)?;
            }
            let status = self.status(entry)?;
            if status.length.is_some_and(|length| length > entry.length) {
                return Err(in_the_way());
            }
            all.push(status);
        }
        Ok(all.into())
    }

    fn status(&self, entry: &FileEntry) -> io::Result<FileStatus> {
        if !entry.is_stored() {
            return Ok(FileStatus::default());
        }
        let Some(stat) = self.root.stat(&entry.path)? else { return Ok(FileStatus::default()) };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(in_the_way());
        }
        let length = u64::try_from(stat.st_size).ok();
        Ok(FileStatus { length, modified: modified(&stat) })
    }

    fn file(&self, index: u32, write: bool) -> io::Result<Arc<File>> {
        let entry = &self.metainfo.layout.files()[index as usize];
        self.cache.get((self.id, index, write), || {
            self.root.file(&entry.path, write, entry.attributes.executable)
        })
    }

    fn slices(&self, piece: u32, begin: u32, length: u32) -> impl Iterator<Item = FileSlice> + '_ {
        let offset = self.metainfo.geometry.piece_offset(piece) + u64::from(begin);
        self.metainfo.layout.slices(offset, length)
    }

    fn is_pad(&self, slice: FileSlice) -> bool {
        self.metainfo.layout.files()[slice.file as usize].attributes.pad
    }

    /// Writes a block.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn write(&self, piece: u32, begin: u32, payload: &Payload) -> io::Result<()> {
        let mut at = begin;
        for part in payload.parts() {
            let mut rest: &[u8] = part;
            for slice in self.slices(piece, at, part.len() as u32) {
                let (head, tail) = rest.split_at(slice.length as usize);
                if !self.is_pad(slice) {
                    self.file(slice.file, true)?.write_all_at(head, slice.offset)?;
                }
                rest = tail;
            }
            at += part.len() as u32;
        }
        Ok(())
    }

    /// Reads bytes of a piece into `into`.
    ///
    /// # Errors
    /// Whatever the system says; the end of a file is an error.
    pub fn read_into(&self, piece: u32, begin: u32, into: &mut [u8]) -> io::Result<()> {
        let mut rest = into;
        for slice in self.slices(piece, begin, rest.len() as u32) {
            let (head, tail) = rest.split_at_mut(slice.length as usize);
            if self.is_pad(slice) {
                head.fill(0);
            } else {
                self.file(slice.file, false)?.read_exact_at(head, slice.offset)?;
            }
            rest = tail;
        }
        Ok(())
    }

    /// Reads a block.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn read(&self, piece: u32, begin: u32, length: u32) -> io::Result<Bytes> {
        let mut buffer = BytesMut::zeroed(length as usize);
        self.read_into(piece, begin, &mut buffer)?;
        Ok(buffer.freeze())
    }

    /// SHA-1 of a whole piece.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn hash_piece(&self, piece: u32) -> io::Result<Sha1Hash> {
        let size = self.metainfo.geometry.piece_size(piece) as usize;
        let mut buffer = vec![0; HASH_CHUNK.min(size)];
        let mut sha = Sha1::new();
        let mut at = 0;
        while at < size {
            let chunk = HASH_CHUNK.min(size - at);
            self.read_into(piece, at as u32, &mut buffer[..chunk])?;
            sha.update(&buffer[..chunk]);
            at += chunk;
        }
        Ok(Sha1Hash(sha.finalize().into()))
    }

    /// SHA-1 of each block of a piece.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn hash_blocks(&self, piece: u32) -> io::Result<Box<[Sha1Hash]>> {
        let geometry = self.metainfo.geometry;
        let mut buffer = vec![0; BLOCK_LENGTH as usize];
        let mut hashes = Vec::new();
        for block in 0..geometry.blocks_in(piece) {
            let part = &mut buffer[..geometry.block_size(piece, block) as usize];
            self.read_into(piece, block * BLOCK_LENGTH, part)?;
            hashes.push(Sha1Hash(Sha1::digest(part).into()));
        }
        Ok(hashes.into())
    }

    /// Makes everything written durable and looks at every file.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn sync(&self, dirty: &[u32]) -> io::Result<Box<[FileStatus]>> {
        for index in dirty {
            self.file(*index, true)?.sync_data()?;
        }
        let files = self.metainfo.layout.files().iter();
        files.map(|entry| self.status(entry)).collect()
    }

    /// The files that a block lies in.
    pub fn files_of(&self, piece: u32, begin: u32, length: u32) -> impl Iterator<Item = u32> + '_ {
        self.slices(piece, begin, length).filter(|s| !self.is_pad(*s)).map(|slice| slice.file)
    }

    /// Closes all files.
    pub fn close(&self) {
        self.cache.close(self.id);
    }
}

fn in_the_way() -> io::Error {
    debug_assert_eq!(
        super::disk_error(&io::Error::from(rustix::io::Errno::LOOP)),
        DiskError::InTheWay
    );
    rustix::io::Errno::LOOP.into()
}
