//! A folder of the operating system as it is: links that the user put there are followed.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use super::filesystem::{Access, FileSystem, Found, Path, StoredFile};
use super::platform::{self, dates_late, identity};
use super::real_file::{RealFile, found};
use super::refusal::in_the_way;
use super::scoped::relative;

/// A folder, with whatever links lead elsewhere from it.
#[derive(Debug)]
pub struct System {
    root: PathBuf,
    identity: (u64, u64),
}

impl System {
    /// The folder at `path`.
    ///
    /// # Errors
    /// When it is not there or no folder.
    pub fn open(path: &std::path::Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        Ok(Self { root: path.to_owned(), identity: identity(&rustix::fs::stat(path)?) })
    }

    fn path(&self, path: &Path) -> PathBuf {
        path.iter().fold(self.root.clone(), |whole, part| whole.join(part))
    }

    fn make_folders(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(self.path(&path[..path.len().saturating_sub(1)]))
    }
}

impl FileSystem for System {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StoredFile>> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = File::options();
        options.read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
        if let Access::Write { executable } = access {
            self.make_folders(path)?;
            options.write(true).create(true).mode(if executable { 0o777 } else { 0o666 });
        }
        let file = options.open(self.path(path))?;
        let found = found(&rustix::fs::fstat(&file)?);
        if !found.is_file {
            return Err(in_the_way(found));
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn find(&self, path: &Path) -> io::Result<Option<Found>> {
        match rustix::fs::stat(self.path(path)) {
            Err(Errno::NOENT) => Ok(None),
            other => Ok(Some(found(&other?))),
        }
    }

    fn link(&self, path: &Path, target: &Path) -> io::Result<()> {
        self.make_folders(path)?;
        match std::os::unix::fs::symlink(relative(path, target), self.path(path)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.make_folders(to)?;
        // A second name first: it is not given where something has it.
        fs::hard_link(self.path(from), self.path(to))?;
        fs::remove_file(self.path(from))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<bool> {
        match fs::remove_dir(self.path(path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sync_folders(&self, path: &Path) -> io::Result<()> {
        (0..path.len()).try_for_each(|depth| File::open(self.path(&path[..depth]))?.sync_all())
    }

    fn sync_all(&self) -> io::Result<bool> {
        platform::sync_all(File::open(&self.root)?)
    }

    fn is_there(&self) -> bool {
        rustix::fs::stat(&self.root).is_ok_and(|stat| identity(&stat) == self.identity)
    }

    fn dates_late(&self) -> bool {
        // Links may lead to anywhere.
        File::open(&self.root).is_ok_and(dates_late)
    }

    fn identity(&self) -> Option<(u64, u64)> {
        Some(self.identity)
    }

    fn handle(&self, path: &Path, make: bool) -> io::Result<Option<(OwnedFd, String)>> {
        let (name, folders) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        if make {
            self.make_folders(path)?;
        }
        Ok(Some((File::open(self.path(folders))?.into(), name.clone())))
    }
}
