//! Open files: a bounded cache shared by all torrents, and errors as the engine knows them.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eddyline::DiskError;
use eddyline::base::ids::TorrentId;
use lru::LruCache;
use rustix::io::Errno;

use super::filesystem::StoredFile;
use super::locations::Gone;
use super::refusal;
use crate::claims::Taken;

/// A file of a torrent, opened for reading or for both.
pub type FileKey = (TorrentId, u32, bool);

#[derive(Debug)]
struct OpenFiles {
    files: LruCache<FileKey, Arc<dyn StoredFile>>,
    /// How often a name came to stand for another file. What was opened before is not kept.
    replaced: u64,
}

/// A cache of open files. A file in use stays open when it falls out.
#[derive(Debug)]
pub struct FileCache {
    open: Mutex<OpenFiles>,
    limit: usize,
}

impl FileCache {
    /// A cache of at most `limit` files.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { open: Mutex::new(OpenFiles { files: LruCache::unbounded(), replaced: 0 }), limit }
    }

    fn open(&self) -> MutexGuard<'_, OpenFiles> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file under `key`, opened by `open` where it is not yet. When the process may open no
    /// more files, a quarter of the cache is closed and it is tried again.
    ///
    /// # Errors
    /// What `open` says.
    pub fn get(
        &self,
        key: FileKey,
        open: impl Fn() -> io::Result<Arc<dyn StoredFile>>,
    ) -> io::Result<Arc<dyn StoredFile>> {
        let replaced = {
            let mut open = self.open();
            if let Some(file) = open.files.get(&key) {
                return Ok(file.clone());
            }
            open.replaced
        };
        let file = match open() {
            Err(error) if is_out_of_files(&error) => {
                {
                    let mut open = self.open();
                    let kept = open.files.len() * 3 / 4;
                    open.close_unused(kept);
                }
                open()?
            }
            other => other?,
        };
        let mut open = self.open();
        if open.replaced == replaced || key.2 {
            open.files.put(key, file.clone());
        }
        open.close_unused(self.limit);
        Ok(file)
    }

    /// A name stands for another file now: nobody reads the one before it any longer.
    pub(super) fn replace(&self, torrent: TorrentId, file: u32) {
        let mut open = self.open();
        open.files.pop(&(torrent, file, false));
        open.replaced += 1;
    }

    /// A file is not the one of its name any more: it is opened again where it is needed.
    pub(super) fn close_file(&self, key: FileKey) {
        let mut open = self.open();
        open.files.pop(&key);
        open.replaced += 1;
    }

    /// The files of a torrent that are open.
    pub(super) fn open_of(&self, torrent: TorrentId) -> BTreeSet<u32> {
        let open = self.open();
        let own = open.files.iter().filter(|((owner, ..), _)| *owner == torrent);
        own.map(|((_, file, _), _)| *file).collect()
    }

    /// The file under `key`, if it is open and nobody holds the cache.
    #[must_use]
    pub fn get_open(&self, key: FileKey) -> Option<Arc<dyn StoredFile>> {
        self.open.try_lock().ok()?.files.get(&key).cloned()
    }

    /// Closes all files of a torrent.
    pub fn close(&self, torrent: TorrentId) {
        let mut open = self.open();
        let all = open.files.iter().map(|(key, _)| *key);
        let own: Vec<_> = all.filter(|key| key.0 == torrent).collect();
        own.iter().for_each(|key| drop(open.files.pop(key)));
    }

    /// How many files are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open().files.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl OpenFiles {
    /// Closes those used longest ago until no more than `count` are open.
    fn close_unused(&mut self, count: usize) {
        while self.files.len() > count {
            self.files.pop_lru();
        }
    }
}

fn is_out_of_files(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

/// What an error means to the engine.
#[must_use]
pub fn disk_error(error: &io::Error) -> DiskError {
    let error = refusal::cause(error);
    if error.get_ref().is_some_and(|inner| inner.is::<Gone>()) {
        return DiskError::LocationGone;
    }
    if error.get_ref().is_some_and(|inner| inner.is::<Taken>()) {
        return DiskError::Taken;
    }
    if refusal::is_in_the_way(error) {
        return DiskError::InTheWay;
    }
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return DiskError::Missing;
    }
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => DiskError::Missing,
        Some(Errno::NOSPC | Errno::DQUOT) => DiskError::NoSpace,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => DiskError::Permission,
        Some(Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::MLINK | Errno::EXIST) => {
            DiskError::InTheWay
        }
        _ => DiskError::Io,
    }
}
