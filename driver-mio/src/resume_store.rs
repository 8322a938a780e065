//! Resume data on disk: one file a torrent, replaced at once or not at all, and a lock that keeps a
//! second process out.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use eddyline::base::hash::Sha1Hash;

use crate::private;

/// A state folder that this process holds.
#[derive(Debug)]
pub struct ResumeStore {
    folder: PathBuf,
    /// Held until the process ends.
    _lock: File,
}

/// Why a state folder cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// Another process holds it.
    Locked(PathBuf),
    /// It cannot be made or written.
    Io(PathBuf, io::Error),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Locked(path) => write!(
                f,
                "another eddyline uses the state folder {}; stop it, or choose another one with --state-dir",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "cannot use {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

impl ResumeStore {
    /// Opens and locks the state folder at `path`, making it where needed.
    ///
    /// # Errors
    /// When another process holds it, or it cannot be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let io = |error| StoreError::Io(path.to_owned(), error);
        let folder = path.join("resume");
        private::make_folder(&folder).map_err(io)?;
        let lock = private::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {
                private::correct(path);
                Ok(Self { folder, _lock: lock })
            }
            Err(fs::TryLockError::WouldBlock) => Err(StoreError::Locked(path.to_owned())),
            Err(fs::TryLockError::Error(error)) => Err(io(error)),
        }
    }

    fn file(&self, hash: Sha1Hash) -> PathBuf {
        self.folder.join(format!("{}.resume", hash.to_hex()))
    }

    /// The resume data of a torrent.
    #[must_use]
    pub fn load(&self, hash: Sha1Hash) -> Option<Vec<u8>> {
        fs::read(self.file(hash)).ok()
    }

    /// What was noted of the folders that a torrent found.
    #[must_use]
    pub(crate) fn load_folders(&self, hash: Sha1Hash) -> Option<Vec<u8>> {
        fs::read(self.file(hash).with_extension("folders")).ok()
    }

    /// Stores it durably.
    ///
    /// # Errors
    /// When the disk refuses; what was there is then there still.
    pub(crate) fn store_folders(&self, hash: Sha1Hash, data: &[u8]) -> io::Result<()> {
        replace(&self.file(hash).with_extension("folders"), data)
    }

    /// What tells the part file of a torrent from any other file.
    #[must_use]
    pub(crate) fn load_tag(&self, hash: Sha1Hash) -> Option<[u8; 16]> {
        fs::read(self.file(hash).with_extension("tag")).ok()?.try_into().ok()
    }

    /// Stores it durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn store_tag(&self, hash: Sha1Hash, tag: [u8; 16]) -> io::Result<()> {
        replace(&self.file(hash).with_extension("tag"), &tag)
    }

    /// As [`Self::load_tag`], for whoever only looks and needs no lock.
    #[must_use]
    pub fn look_up_tag(state: &Path, hash: Sha1Hash) -> Option<[u8; 16]> {
        let file = state.join("resume").join(format!("{}.tag", hash.to_hex()));
        fs::read(file).ok()?.try_into().ok()
    }

    /// What an earlier run left of the DHT.
    #[must_use]
    pub fn load_dht(&self) -> Option<Vec<u8>> {
        fs::read(self.dht_file()).ok()
    }

    /// Stores what the next run should know of the DHT.
    ///
    /// # Errors
    /// When the disk refuses; the old data is then still there.
    pub fn store_dht(&self, data: &[u8]) -> io::Result<()> {
        replace(&self.dht_file(), data)
    }

    fn dht_file(&self) -> PathBuf {
        self.folder.join("../dht.dat")
    }

    /// Forgets a torrent, durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self, hash: Sha1Hash) -> io::Result<()> {
        let _ = fs::remove_file(self.file(hash).with_extension("folders"));
        let _ = fs::remove_file(self.file(hash).with_extension("tag"));
        match fs::remove_file(self.file(hash)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.folder)?.sync_all(),
        }
    }

    /// Puts damaged data aside for whoever wants to know.
    pub fn set_aside(&self, hash: Sha1Hash) {
        let file = self.file(hash);
        let _ = fs::rename(&file, file.with_extension("damaged"));
    }

    /// Stores resume data durably.
    ///
    /// # Errors
    /// When the disk refuses; the old data is then still there.
    pub fn store(&self, hash: Sha1Hash, data: &[u8]) -> io::Result<()> {
        replace(&self.file(hash), data)
    }
}

/// Replaces a file at once or not at all, durably.
pub(crate) fn replace(target: &Path, data: &[u8]) -> io::Result<()> {
    let draft = target.with_extension("new");
    let mut file = private::create(&draft)?;
    file.write_all(data)?;
    file.sync_all()?;
    fs::rename(&draft, target)?;
    File::open(target.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    //! Unit tests of the state folder.

    use super::*;

    #[test]
    fn a_second_process_is_told_that_the_state_folder_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let first = ResumeStore::open(folder.path()).unwrap();
        let second = ResumeStore::open(folder.path());
        assert!(matches!(second, Err(StoreError::Locked(_))));
        drop(first);
        assert!(ResumeStore::open(folder.path()).is_ok());
    }

    #[test]
    fn a_store_that_fails_leaves_the_old_data() {
        let folder = tempfile::tempdir().unwrap();
        let store = ResumeStore::open(folder.path()).unwrap();
        let hash = Sha1Hash([7; 20]);
        store.store(hash, b"old").unwrap();
        // A folder in the place of the draft stands for a disk that refuses.
        fs::create_dir(store.file(hash).with_extension("new")).unwrap();
        assert!(store.store(hash, b"new").is_err());
        assert_eq!(store.load(hash).as_deref(), Some(b"old".as_slice()));
    }
}
