//! Opening files so that nothing leaves the chosen folder, not even through symbolic links that
//! somebody put there: every folder on the way is opened by itself, without following links.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// The folder that everything stays in.
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
}

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Root {
    /// Opens the folder at `path`, which may itself be reached through links.
    ///
    /// # Errors
    /// When it is not there or no folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { folder: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// Opens the folder of `parts`, making what is missing if asked to.
    fn folder(&self, parts: &[String], make: bool) -> rustix::io::Result<OwnedFd> {
        let mut current = rustix::fs::openat(&self.folder, ".", FOLDER, Mode::empty())?;
        for part in parts {
            let next = rustix::fs::openat(&current, part.as_str(), FOLDER, Mode::empty());
            current = match next {
                Err(Errno::NOENT) if make => {
                    match rustix::fs::mkdirat(&current, part.as_str(), Mode::from(0o777)) {
                        // Another thread may have made it.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error),
                    }
                    rustix::fs::openat(&current, part.as_str(), FOLDER, Mode::empty())?
                }
                other => other?,
            };
        }
        Ok(current)
    }

    /// Opens the file at `path` for reading, and for writing if asked to; then it and its folders
    /// are made where missing.
    ///
    /// # Errors
    /// When something on the way is a link or no folder, when the file is no regular file, and
    /// whatever the system says.
    pub fn file(&self, path: &[String], write: bool, executable: bool) -> io::Result<File> {
        let (name, folders) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = self.folder(folders, write)?;
        let access = if write { OFlags::RDWR | OFlags::CREATE } else { OFlags::RDONLY };
        // Without NONBLOCK, opening a pipe that stands in the way would hang.
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = Mode::from(if executable { 0o777 } else { 0o666 });
        let file = rustix::fs::openat(&folder, name.as_str(), flags, mode)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(Errno::LOOP.into());
        }
        Ok(file.into())
    }

    /// What is at `path`, without following links; `None` when nothing is.
    ///
    /// # Errors
    /// When something on the way is a link or no folder, and whatever the system says.
    pub fn stat(&self, path: &[String]) -> io::Result<Option<Stat>> {
        let Some((name, folders)) = path.split_last() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let folder = match self.folder(folders, false) {
            Err(Errno::NOENT) => return Ok(None),
            other => other?,
        };
        match rustix::fs::statat(&folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            other => Ok(Some(other?)),
        }
    }

    /// Makes a symbolic link at `path` that points to `target`, both below this folder, unless
    /// something is there already.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn link(&self, path: &[String], target: &[String]) -> io::Result<()> {
        let Some((name, folders)) = path.split_last() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let shared = folders.iter().zip(target).take_while(|(a, b)| a == b).count();
        let up = std::iter::repeat_n("..", folders.len() - shared);
        let down = target[shared..].iter().map(String::as_str);
        let relative: Vec<&str> = up.chain(down).collect();
        let folder = self.folder(folders, true)?;
        match rustix::fs::symlinkat(relative.join("/"), &folder, name.as_str()) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Time of the last change of a file in nanoseconds, for comparison only.
#[must_use]
pub fn modified(stat: &Stat) -> i64 {
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanos)
}
