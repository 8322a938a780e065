//! The state folder: resume data, replaced at once or not at all; what is known of
//! the DHT; and the locks that keep processes out of each other's way. Several processes share it: each
//! holds the locks of the torrents that it works on.
//!
//! A record is about a torrent in a folder. The usual one of a torrent is `HASH.resume`, that of the set where the
//! torrent is in it. Who works on the same torrent in another folder has a record of its own, `HASH-FOLDER.resume`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eddyline::base::hash::Sha1Hash;
use eddyline::{Fault, LocationId, ResumeData};

use crate::locks::{Holder, Lock, LockError};
use crate::private;
use crate::system_error::SystemError;
use crate::torrent_locks::TorrentLocks;

/// The command that holds the lock of the session for as long as it runs.
pub const RUNNING: &str = "session run";
/// How long the lock of the session is waited for, while somebody changes it for a moment.
const SESSION_PATIENCE: Duration = Duration::from_secs(2);

/// A state folder that can be written, and the locks of torrents that this process holds in it.
#[derive(Debug)]
pub struct ResumeStore {
    state: PathBuf,
    folder: PathBuf,
    locks: TorrentLocks,
    /// Torrents that are worked on in another folder than the usual record is about.
    apart: Mutex<BTreeMap<Sha1Hash, LocationId>>,
}

/// Why a state folder, or a torrent in it, cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds the lock.
    #[error(
        "{1} uses it in the state folder {folder}; stop that process, or choose another folder with --state-dir",
        folder = .0.display()
    )]
    Locked(PathBuf, Holder),
    /// It cannot be made or written.
    #[error("cannot use {path}: {1}", path = .0.display())]
    Io(PathBuf, SystemError),
}

impl StoreError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Locked(..) => Fault::Nobody,
            Self::Io(..) => Fault::Machine,
        }
    }
}

/// Bytes that there has to be room for: a lock, a claim and the record of a small torrent.
const TRIED: usize = 16 << 10;

impl ResumeStore {
    /// Opens the state folder at `path`, making it where needed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let io = |error: io::Error| StoreError::Io(path.to_owned(), error.into());
        let store = Self::at(path);
        private::make_folder(&store.folder).map_err(io)?;
        private::correct(path);
        // Whether it can be written is better known now than when there is something to keep.
        let mut tried = tempfile::Builder::new().prefix("lock.").tempfile_in(path).map_err(io)?;
        // A disk without room has some for a file without bytes.
        tried.as_file_mut().write_all(&[0; TRIED]).map_err(io)?;
        tried.as_file().sync_data().map_err(io)?;
        Ok(store)
    }

    /// The state folder at `path`, to be read.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        let locks = TorrentLocks::new(path.join("locks"));
        Self { state: path.to_owned(), folder: path.join("resume"), locks, apart: Mutex::default() }
    }

    /// Where the state folder is.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Takes the lock of a torrent for `command`, and keeps it until [`Self::unlock`] or the end.
    ///
    /// # Errors
    /// When another process works on the torrent.
    pub fn lock(&self, hash: Sha1Hash, command: &str) -> Result<(), StoreError> {
        self.locks.take(hash, command).map_err(|error| self.refused(error))
    }

    /// Lets go of the lock of a torrent.
    pub fn unlock(&self, hash: Sha1Hash) {
        self.locks.release(hash);
    }

    /// Lets go of the locks of all torrents, at the end of the program.
    pub fn unlock_all(&self) {
        self.locks.release_all();
    }

    /// Who works on a torrent.
    #[must_use]
    pub fn holder(&self, hash: Sha1Hash) -> Option<Holder> {
        self.locks.holder(hash)
    }

    /// Takes the lock of the session, under which the set of torrents is changed and run.
    ///
    /// # Errors
    /// When another process runs the session, or changes it for longer than a moment.
    pub fn lock_session(&self, command: &str) -> Result<Lock, StoreError> {
        let path = self.session_lock();
        let running = self.session_holder().is_some_and(|holder| holder.command == RUNNING);
        let patience = if running { Duration::ZERO } else { SESSION_PATIENCE };
        Lock::take_within(&path, command, patience).map_err(|error| self.refused(error))
    }

    /// Who holds the lock of the session.
    #[must_use]
    pub fn session_holder(&self) -> Option<Holder> {
        Lock::holder(&self.session_lock())
    }

    /// The lock of the DHT identity that is kept here: one process at a time has these ids, others
    /// make their own. `None` when it is taken.
    #[must_use]
    pub fn lock_dht(&self, command: &str) -> Option<Lock> {
        Lock::take_within(&self.state.join("dht.lock"), command, Duration::ZERO).ok()
    }

    fn session_lock(&self) -> PathBuf {
        self.state.join("session.lock")
    }

    fn refused(&self, error: LockError) -> StoreError {
        match error {
            LockError::Held(holder) => StoreError::Locked(self.state.clone(), holder),
            LockError::Io(path, error) => StoreError::Io(path, error),
        }
    }

    /// Where claims on paths are told to other processes.
    pub fn claims(&self) -> PathBuf {
        self.folder.with_file_name("claims")
    }

    /// Where the resume data of a torrent is.
    pub(crate) fn path(&self, hash: Sha1Hash) -> PathBuf {
        match self.apart().get(&hash) {
            Some(folder) => self.path_apart(hash, *folder),
            None => self.usual_path(hash),
        }
    }

    fn apart(&self) -> MutexGuard<'_, BTreeMap<Sha1Hash, LocationId>> {
        self.apart.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usual_path(&self, hash: Sha1Hash) -> PathBuf {
        self.folder.join(format!("{}.resume", hash.to_hex()))
    }

    fn path_apart(&self, hash: Sha1Hash, folder: LocationId) -> PathBuf {
        self.folder.join(format!("{}-{:08x}.resume", hash.to_hex(), folder.0))
    }

    /// From now on a torrent is worked on in `folder`, and the usual record is about another one: that stays as it is,
    /// and what is loaded and stored of the torrent is the record of this folder.
    pub fn keep_apart(&self, hash: Sha1Hash, folder: LocationId) {
        self.apart().insert(hash, folder);
    }

    /// The record of a torrent in a folder, if there is one.
    #[must_use]
    pub fn load_in(&self, hash: Sha1Hash, folder: LocationId) -> Option<ResumeData> {
        let usual = private::read(&self.usual_path(hash), private::MAX_STATE).ok();
        let usual = usual.and_then(|data| ResumeData::decode(&data).ok());
        if let Some(usual) = usual.filter(|usual| usual.location == folder) {
            return Some(usual);
        }
        let apart = private::read(&self.path_apart(hash, folder), private::MAX_STATE).ok()?;
        ResumeData::decode(&apart).ok().filter(|apart| apart.location == folder)
    }

    /// The folder that the usual record of a torrent is about. Early records tell none, and damaged ones nothing.
    #[must_use]
    pub fn usual_folder(&self, hash: Sha1Hash) -> Option<LocationId> {
        let usual = private::read(&self.usual_path(hash), private::MAX_STATE).ok()?;
        let folder = ResumeData::decode(&usual).ok()?.location;
        (folder != LocationId::default()).then_some(folder)
    }

    /// The usual record of a torrent is to be about `folder`: one about another folder goes aside, and the one about
    /// this comes in its place, if there is one.
    ///
    /// # Errors
    /// When the disk refuses. Nothing is lost then.
    pub fn make_usual(&self, hash: Sha1Hash, folder: LocationId) -> io::Result<()> {
        let Some(other) = self.usual_folder(hash).filter(|usual| *usual != folder) else {
            return Ok(());
        };
        let (usual, aside) = (self.usual_path(hash), self.path_apart(hash, other));
        let own = self.path_apart(hash, folder);
        // Folders first: who finds a record finds them beside it.
        for beside in ["folders", "resume"] {
            let at = |path: &Path| path.with_extension(beside);
            for (from, to) in [(&usual, &aside), (&own, &usual)] {
                match fs::rename(at(from), at(to)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        File::open(&self.folder)?.sync_all()
    }

    /// Whether there is a record of a torrent besides the one that is being worked on.
    fn has_other_record(&self, hash: Sha1Hash) -> io::Result<bool> {
        let own = self.path(hash);
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&hash.to_hex()) && name.ends_with(".resume") && path != own {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The resume data of a torrent.
    #[must_use]
    pub fn load(&self, hash: Sha1Hash) -> Option<Vec<u8>> {
        private::read(&self.path(hash), private::MAX_STATE).ok()
    }

    /// What was noted of the folders that a torrent found.
    #[must_use]
    pub(crate) fn load_folders(&self, hash: Sha1Hash) -> Option<Vec<u8>> {
        private::read(&self.path(hash).with_extension("folders"), private::MAX_STATE).ok()
    }

    /// Stores it durably.
    ///
    /// # Errors
    /// When the disk refuses; what was there is then there still.
    pub(crate) fn store_folders(&self, hash: Sha1Hash, data: &[u8]) -> io::Result<()> {
        replace(&self.path(hash).with_extension("folders"), data)
    }

    /// The `.torrent` of one that came as a magnet.
    #[must_use]
    pub fn load_torrent(&self, hash: Sha1Hash) -> Option<Vec<u8>> {
        private::read(&self.usual_path(hash).with_extension("torrent"), private::MAX_STATE).ok()
    }

    /// Stores it durably: the next run needs nobody to tell it what the magnet leads to.
    ///
    /// # Errors
    /// When the disk refuses; what was there is then there still.
    pub fn store_torrent(&self, hash: Sha1Hash, data: &[u8]) -> io::Result<()> {
        replace(&self.usual_path(hash).with_extension("torrent"), data)
    }

    /// What tells the part file of a torrent from any other file.
    #[must_use]
    pub(crate) fn load_tag(&self, hash: Sha1Hash) -> Option<[u8; 16]> {
        private::read(&self.usual_path(hash).with_extension("tag"), private::MAX_STATE)
            .ok()?
            .try_into()
            .ok()
    }

    /// Stores it durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn store_tag(&self, hash: Sha1Hash, tag: [u8; 16]) -> io::Result<()> {
        replace(&self.usual_path(hash).with_extension("tag"), &tag)
    }

    /// What tells the part file of a torrent from any other file, for whoever only looks and needs no lock.
    #[must_use]
    pub fn look_up_tag(state: &Path, hash: Sha1Hash) -> Option<[u8; 16]> {
        let file = state.join("resume").join(format!("{}.tag", hash.to_hex()));
        private::read(&file, private::MAX_STATE).ok()?.try_into().ok()
    }

    /// What an earlier run left of the DHT.
    #[must_use]
    pub fn load_dht(&self) -> Option<Vec<u8>> {
        private::read(&self.dht_file(), private::MAX_STATE).ok()
    }

    /// Stores what the next run should know of the DHT.
    ///
    /// # Errors
    /// When the disk refuses; the old data is then still there.
    pub fn store_dht(&self, data: &[u8]) -> io::Result<()> {
        replace(&self.dht_file(), data)
    }

    fn dht_file(&self) -> PathBuf {
        self.state.join("dht.dat")
    }

    /// Forgets a torrent, durably. What was kept of it in other folders stays.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self, hash: Sha1Hash) -> io::Result<()> {
        if !self.has_other_record(hash)? {
            for beside in ["tag", "torrent"] {
                let _ = fs::remove_file(self.usual_path(hash).with_extension(beside));
            }
        }
        let _ = fs::remove_file(self.path(hash).with_extension("folders"));
        match fs::remove_file(self.path(hash)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.folder)?.sync_all(),
        }
    }

    /// Puts damaged data aside for whoever wants to know.
    pub fn set_aside(&self, hash: Sha1Hash) {
        let file = self.path(hash);
        let _ = fs::rename(&file, file.with_extension("damaged"));
    }

    /// Stores resume data durably.
    ///
    /// # Errors
    /// When the disk refuses; the old data is then still there.
    pub fn store(&self, hash: Sha1Hash, data: &[u8]) -> io::Result<()> {
        replace(&self.path(hash), data)
    }
}

/// Replaces a file at once or not at all, durably. Several processes may do so at once.
///
/// # Errors
/// Whatever the system says; what was there is then there still.
pub fn replace(target: &Path, data: &[u8]) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // For the owner alone, as everything in a state folder. What the system says is kept as it is.
    let make = |path: &Path| private::options().write(true).create_new(true).open(path);
    let mut draft = tempfile::Builder::new().prefix(&*name).suffix(".new").make_in(folder, make)?;
    draft.as_file_mut().write_all(data)?;
    draft.as_file().sync_all()?;
    draft.persist(target).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    //! Unit tests of the state folder.

    use super::*;

    #[test]
    fn processes_share_the_folder_and_hold_torrents_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let open = || ResumeStore::open(folder.path()).unwrap();
        let (first, second) = (open(), open());
        let (one, other) = (Sha1Hash([1; 20]), Sha1Hash([2; 20]));
        first.lock(one, "download").unwrap();
        first.lock(one, "download").unwrap();
        second.lock(other, "seed").unwrap();
        let refused = second.lock(one, "seed").unwrap_err();
        assert!(
            refused.to_string().contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
        assert_eq!(second.holder(one).unwrap().command, "download");
        first.unlock(one);
        second.lock(one, "seed").unwrap();
        drop(second);
        assert_eq!(first.holder(one), None);
    }

    #[test]
    fn the_session_and_the_ids_of_the_dht_belong_to_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = ResumeStore::open(folder.path()).unwrap();
        let running = store.lock_session(RUNNING).unwrap();
        assert!(matches!(store.lock_session("session add"), Err(StoreError::Locked(..))));
        assert_eq!(ResumeStore::at(folder.path()).session_holder().unwrap().command, RUNNING);
        drop(running);
        assert!(store.lock_session("session add").is_ok());
        let ids = store.lock_dht("download").unwrap();
        assert!(store.lock_dht("seed").is_none());
        drop(ids);
        assert!(store.lock_dht("seed").is_some());
    }

    #[test]
    fn what_several_processes_store_at_once_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = ResumeStore::open(folder.path()).unwrap();
        std::thread::scope(|scope| {
            for byte in 0..8u8 {
                let store = &store;
                scope.spawn(move || (0..50).for_each(|_| store.store_dht(&[byte; 5000]).unwrap()));
            }
        });
        let kept = store.load_dht().unwrap();
        assert!(kept.len() == 5000 && kept.iter().all(|byte| *byte == kept[0]));
        let names = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 2, "dht.dat and the folder of resume data");
    }

    #[test]
    fn a_store_that_fails_leaves_the_old_data() {
        let folder = tempfile::tempdir().unwrap();
        let store = ResumeStore::open(folder.path()).unwrap();
        let hash = Sha1Hash([7; 20]);
        store.store(hash, b"old").unwrap();
        // A folder in the place of the file stands for a disk that refuses.
        let other = Sha1Hash([8; 20]);
        fs::create_dir(store.path(other)).unwrap();
        assert!(store.store(other, b"new").is_err());
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 2, "no draft is left");
        assert_eq!(store.load(hash).as_deref(), Some(b"old".as_slice()));
    }
}
