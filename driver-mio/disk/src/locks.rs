//! Locks between processes that share a state folder, with a note of who holds each.
//!
//! A lock is a file that is locked with `flock`, so it ends with its holder, however that ends. The
//! process id and what the holder does stand in the file, for whoever is refused.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eddyline::Fault;

use crate::private;
use crate::system_error::SystemError;

/// How long a lock that is held is tried for: somebody may only be looking whether it is held.
const PATIENCE: Duration = Duration::from_millis(200);
/// Time between two tries.
const AGAIN: Duration = Duration::from_millis(10);
/// Longest note that is read.
const MAX_NOTE: u64 = 256;

/// A lock that this process holds until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// Locked for as long as it is open.
    _file: File,
    path: PathBuf,
}

/// Who holds a lock.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Holder {
    /// Its process id, if it has noted it.
    pub process: Option<u32>,
    /// What it does, as in `session run`; empty if it has not noted it.
    pub command: String,
}

impl Holder {
    /// This process, with what it does.
    #[must_use]
    pub fn this(command: &str) -> Self {
        Self { process: Some(std::process::id()), command: command.to_owned() }
    }

    /// As others read it with [`Self::read`].
    #[must_use]
    pub fn to_text(&self) -> String {
        let process = self.process.map_or_else(String::new, |process| process.to_string());
        format!("{process}\n{}\n", self.command)
    }

    /// What [`Self::to_text`] says; what cannot be read is left out.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let process = lines.next().and_then(|line| line.parse().ok());
        Self { process, command: lines.next().unwrap_or_default().to_owned() }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.process {
            Some(process) => write!(f, "process {process} (eddyline {})", self.command),
            None => f.write_str("another process"),
        }
    }
}

/// Why a lock cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else holds it.
    #[error("{0} holds it")]
    Held(Holder),
    /// The file of the lock cannot be made or locked.
    #[error("cannot use {path}: {1}", path = .0.display())]
    Io(PathBuf, SystemError),
}

impl LockError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Held(_) => Fault::Nobody,
            Self::Io(..) => Fault::Machine,
        }
    }
}

impl Lock {
    /// Takes the lock at `path` for `command`.
    ///
    /// # Errors
    /// When another process, or this one, holds it; when the file cannot be made.
    pub fn take(path: &Path, command: &str) -> Result<Self, LockError> {
        Self::take_within(path, command, PATIENCE)
    }

    /// As [`Self::take`], and waits up to `patience` for it.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_within(path: &Path, command: &str, patience: Duration) -> Result<Self, LockError> {
        let io = |error: io::Error| LockError::Io(path.to_owned(), error.into());
        let end = Instant::now() + patience;
        loop {
            let mut file = private::options()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(path)
                .map_err(io)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, path) => {
                    note(&mut file, command).map_err(io)?;
                    return Ok(Self { _file: file, path: path.to_owned() });
                }
                // The holder removed the file while we opened it: another one counts now.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < end => {
                    std::thread::sleep(AGAIN);
                }
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(read_note(&file))),
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
        }
    }

    /// Who holds the lock at `path`, without taking it. Nobody where the file cannot be read.
    #[must_use]
    pub fn holder(path: &Path) -> Option<Holder> {
        let file = File::open(path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(read_note(&file)),
            _ => None,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is locked still: nobody can hold another file under this name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether this open file is the one that the name leads to.
fn is_at(file: &File, path: &Path) -> bool {
    let ours = file.metadata().map(|about| (about.dev(), about.ino()));
    let there = fs::metadata(path).map(|about| (about.dev(), about.ino()));
    matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
}

fn note(file: &mut File, command: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(Holder::this(command).to_text().as_bytes())
}

fn read_note(mut file: &File) -> Holder {
    let mut text = String::new();
    let read =
        file.seek(SeekFrom::Start(0)).and_then(|_| file.take(MAX_NOTE).read_to_string(&mut text));
    if read.is_err() {
        return Holder::default();
    }
    Holder::read(&text)
}

#[cfg(test)]
mod tests {
    //! Unit tests of locks.

    use super::*;

    #[test]
    fn who_holds_a_lock_is_named_and_it_is_free_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        assert_eq!(Lock::holder(&path), None);
        let lock = Lock::take(&path, "download").unwrap();
        let holder = Holder { process: Some(std::process::id()), command: "download".into() };
        assert_eq!(Lock::holder(&path), Some(holder.clone()));
        match Lock::take(&path, "seed") {
            Err(LockError::Held(other)) => assert_eq!(other, holder),
            other => panic!("{other:?}"),
        }
        drop(lock);
        assert_eq!(Lock::holder(&path), None);
        assert!(!path.exists(), "nothing is left behind");
        drop(Lock::take(&path, "seed").unwrap());
    }

    #[test]
    fn a_lock_is_held_by_one_at_a_time_however_many_take_it_and_let_it_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Ok(lock) = Lock::take_within(&path, "test", Duration::ZERO) else {
                            continue;
                        };
                        let others = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(others, 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }
}
