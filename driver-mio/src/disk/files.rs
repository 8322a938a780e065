//! Open files: a bounded cache shared by all torrents, and errors as the engine knows them.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use eddyline::DiskError;
use eddyline::base::ids::TorrentId;
use rustix::io::Errno;

/// A file of a torrent, opened for reading or for both.
pub type FileKey = (TorrentId, u32, bool);

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<FileKey, (Arc<File>, u64)>,
    clock: u64,
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

    /// The file under `key`, opened by `open` where it is not yet.
    ///
    /// # Errors
    /// What `open` says.
    pub fn get(
        &self,
        key: FileKey,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<Arc<File>> {
        {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.clock += 1;
            let clock = inner.clock;
            if let Some((file, used)) = inner.open.get_mut(&key) {
                *used = clock;
                return Ok(file.clone());
            }
        }
        let file = Arc::new(open()?);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.open.len() >= self.limit {
            // A quarter at a time, so that the search for the oldest costs little per file.
            let mut ages: Vec<u64> = inner.open.values().map(|(_, used)| *used).collect();
            let middle = ages.len() / 4;
            let (_, age, _) = ages.select_nth_unstable(middle);
            let age = *age;
            inner.open.retain(|_, (_, used)| *used > age);
        }
        let clock = inner.clock;
        inner.open.insert(key, (file.clone(), clock));
        Ok(file)
    }

    /// Closes all files of a torrent.
    pub fn close(&self, torrent: TorrentId) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.open.retain(|(owner, ..), _| *owner != torrent);
    }
}

/// What an error means to the engine.
#[must_use]
pub fn disk_error(error: &io::Error) -> DiskError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return DiskError::Missing;
    }
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => DiskError::Missing,
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => DiskError::NoSpace,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => DiskError::Permission,
        Some(Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::MLINK) => DiskError::InTheWay,
        _ => DiskError::Io,
    }
}
