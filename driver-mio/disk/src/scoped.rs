//! A folder that nothing leaves, not even through symbolic links that somebody puts there while we
//! work. The system is asked to follow none on the whole way; where it cannot, or
//! something is missing, every folder on the way is opened by itself, without following links.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::filesystem::{Access, FileSystem, Found, Path, StoredFile};
use super::linked::Linked;
use super::platform::{self, dates_late, identity};
use super::real_file::{RealFile, found};
use super::refusal::in_the_way;

/// The folder that everything stays in.
#[derive(Debug)]
pub struct Scoped {
    folder: OwnedFd,
    path: PathBuf,
    identity: (u64, u64),
    dates_late: bool,
    /// The folder for those who only read, shared by all of them.
    followed: Mutex<Weak<Linked>>,
}

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Scoped {
    /// Opens the folder at `path`, which may itself be reached through links.
    ///
    /// # Errors
    /// When it is not there or no folder.
    pub fn open(path: &std::path::Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        let identity = identity(&rustix::fs::fstat(&folder)?);
        let dates_late = dates_late(&folder);
        let (path, followed) = (path.to_owned(), Mutex::default());
        Ok(Self { folder, path, identity, dates_late, followed })
    }

    /// Opens the folder of `parts`, making what is missing if asked to.
    fn folder(&self, parts: &[String], make: bool) -> rustix::io::Result<OwnedFd> {
        if !parts.is_empty() {
            let way = parts.join("/");
            match platform::open_inside(&self.folder, &way, FOLDER, Mode::empty()) {
                Ok(folder) => return Ok(folder),
                Err(Errno::NOENT) if !make => return Err(Errno::NOENT),
                // Step by step it may work, and if not, the error tells why.
                Err(_) => {}
            }
        }
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

    /// The folder of `parts`, if it is there.
    fn existing(&self, parts: &[String]) -> io::Result<Option<OwnedFd>> {
        match self.folder(parts, false) {
            Err(Errno::NOENT) => Ok(None),
            other => Ok(Some(other?)),
        }
    }

    /// The folder of a file, and its name there.
    fn parent<'a>(&self, path: &'a Path, make: bool) -> io::Result<(OwnedFd, &'a str)> {
        let (name, folders) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.folder(folders, make)?, name))
    }
}

impl FileSystem for Scoped {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StoredFile>> {
        let (flags, mode) = match access {
            Access::Read => (OFlags::RDONLY, Mode::empty()),
            Access::Write { executable } => {
                let mode = if executable { 0o777 } else { 0o666 };
                (OFlags::RDWR | OFlags::CREATE, Mode::from(mode))
            }
        };
        // Without NONBLOCK, opening a pipe that stands in the way would hang.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match platform::open_inside(&self.folder, &path.join("/"), flags, mode) {
            Ok(file) => file,
            // A folder may be missing; or step by step it may work.
            Err(_) => {
                let (folder, name) = self.parent(path, access != Access::Read)?;
                rustix::fs::openat(&folder, name, flags, mode)?
            }
        };
        let found = found(&rustix::fs::fstat(&file)?);
        if !found.is_file {
            return Err(in_the_way(found));
        }
        Ok(Arc::new(RealFile(File::from(file))))
    }

    fn find(&self, path: &Path) -> io::Result<Option<Found>> {
        let (name, folders) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        self.existing(folders)?.map_or(Ok(None), |folder| look(&folder, name))
    }

    /// Neighbours share a folder, which is opened once for all that follow each other.
    fn find_all(&self, paths: &mut dyn Iterator<Item = &Path>) -> io::Result<Vec<Option<Found>>> {
        let mut last: Option<(&Path, Option<OwnedFd>)> = None;
        let mut all = Vec::new();
        for path in paths {
            let (name, folders) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
            let folder = match last.take() {
                Some((same, folder)) if same == folders => folder,
                _ => self.existing(folders)?,
            };
            all.push(folder.as_ref().map_or(Ok(None), |folder| look(folder, name))?);
            last = Some((folders, folder));
        }
        Ok(all)
    }

    fn link(&self, path: &Path, target: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path, true)?;
        match rustix::fs::symlinkat(relative(path, target), &folder, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (old, old_name) = self.parent(from, false)?;
        let (new, new_name) = self.parent(to, true)?;
        match platform::rename_to_free(&old, old_name, &new, new_name) {
            Err(Errno::INVAL | Errno::NOSYS) => {}
            other => return Ok(other?),
        }
        // Not every file system knows how to leave alone what is there.
        if self.find(to)?.is_some() {
            return Err(Errno::EXIST.into());
        }
        Ok(rustix::fs::renameat(&old, old_name, &new, new_name)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path, false)?;
        Ok(rustix::fs::unlinkat(&folder, name, AtFlags::empty())?)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<bool> {
        let (folder, name) = self.parent(path, false)?;
        match rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn sync_folders(&self, path: &Path) -> io::Result<()> {
        for depth in 0..path.len() {
            rustix::fs::fsync(&self.folder(&path[..depth], false)?)?;
        }
        Ok(())
    }

    fn sync_all(&self) -> io::Result<bool> {
        platform::sync_all(&self.folder)
    }

    fn is_there(&self) -> bool {
        rustix::fs::stat(&self.path).is_ok_and(|stat| identity(&stat) == self.identity)
    }

    fn root(&self) -> Option<PathBuf> {
        Some(self.path.clone())
    }

    fn dates_late(&self) -> bool {
        self.dates_late
    }

    fn followed(&self) -> Option<Arc<dyn FileSystem>> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = followed.upgrade() {
            return Some(open);
        }
        let open = Arc::new(Linked::open(&self.path).ok()?);
        *followed = Arc::downgrade(&open);
        Some(open)
    }

    fn identity(&self) -> Option<(u64, u64)> {
        Some(self.identity)
    }

    fn handle(&self, path: &Path, make: bool) -> io::Result<Option<(OwnedFd, String)>> {
        let (folder, name) = self.parent(path, make)?;
        Ok(Some((folder, name.to_owned())))
    }
}

/// What stands in a folder under a name.
fn look(folder: &OwnedFd, name: &str) -> io::Result<Option<Found>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        other => Ok(Some(found(&other?))),
    }
}

/// The text of a link at `path` that leads to `target`.
pub(super) fn relative(path: &Path, target: &Path) -> String {
    let folders = &path[..path.len().saturating_sub(1)];
    let shared = folders.iter().zip(target).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", folders.len() - shared);
    let down = target[shared..].iter().map(String::as_str);
    up.chain(down).collect::<Vec<_>>().join("/")
}
