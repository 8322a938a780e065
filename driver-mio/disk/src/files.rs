//! Open files: a bounded cache shared by all torrents, and errors as the engine knows them.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use eddyline::DiskError;
use eddyline::base::ids::TorrentId;
use rustix::io::Errno;

use super::filesystem::StoredFile;
use super::locations::Gone;
use super::refusal;
use crate::claims::Taken;

/// A file of a torrent, opened for reading or for both.
pub type FileKey = (TorrentId, u32, bool);

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<FileKey, (Arc<dyn StoredFile>, u64)>,
    clock: u64,
    /// How often a name came to stand for another file. What was opened before is not kept.
    replaced: u64,
}

/// A cache of open files. A file in use stays open when it falls out.
#[derive(Debug)]
pub struct FileCache {
    inner: Mutex<Inner>,
    limit: usize,
}

impl FileCache {
    /// A cache of at most `limit` files.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { inner: Mutex::default(), limit }
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
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.clock += 1;
            let clock = inner.clock;
            if let Some((file, used)) = inner.open.get_mut(&key) {
                *used = clock;
                return Ok(file.clone());
            }
            inner.replaced
        };
        let file = match open() {
            Err(error) if is_out_of_files(&error) => {
                self.inner.lock().unwrap_or_else(PoisonError::into_inner).shrink();
                open()?
            }
            other => other?,
        };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.open.len() >= self.limit {
            inner.shrink();
        }
        let clock = inner.clock;
        if inner.replaced == replaced || key.2 {
            inner.open.insert(key, (file.clone(), clock));
        }
        Ok(file)
    }

    /// A name stands for another file now: nobody reads the one before it any longer.
    pub(super) fn replace(&self, torrent: TorrentId, file: u32) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.open.remove(&(torrent, file, false));
        inner.replaced += 1;
    }

    /// The file under `key`, if it is open and nobody holds the cache.
    #[must_use]
    pub fn get_open(&self, key: FileKey) -> Option<Arc<dyn StoredFile>> {
        let mut inner = self.inner.try_lock().ok()?;
        inner.clock += 1;
        let clock = inner.clock;
        let (file, used) = inner.open.get_mut(&key)?;
        *used = clock;
        Some(file.clone())
    }

    /// Closes all files of a torrent.
    pub fn close(&self, torrent: TorrentId) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.open.retain(|(owner, ..), _| *owner != torrent);
    }

    /// How many files are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).open.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    /// Closes those used longest ago, a quarter at a time, so that the search costs little per file.
    fn shrink(&mut self) {
        let mut ages: Vec<u64> = self.open.values().map(|(_, used)| *used).collect();
        if ages.is_empty() {
            return;
        }
        let middle = ages.len() / 4;
        let (_, age, _) = ages.select_nth_unstable(middle);
        let age = *age;
        self.open.retain(|_, (_, used)| *used > age);
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
