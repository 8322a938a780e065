//! A folder for who only reads: what is in it, and what links of the user's lead to. Nothing is made,
//! changed or removed.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use super::filesystem::{Access, FileSystem, Found, Path, StoredFile};
use super::scoped::Scoped;
use super::system::System;

/// The folder as it is, and as it is where links are followed.
#[derive(Debug)]
pub(super) struct Linked {
    scoped: Scoped,
    system: System,
}

fn refused<T>() -> io::Result<T> {
    Err(Errno::ROFS.into())
}

/// Whether a link may be what stood on the way.
fn may_be_a_link(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::LOOP | Errno::NOTDIR))
}

impl Linked {
    /// The folder at `path`.
    pub(super) fn open(path: &std::path::Path) -> io::Result<Self> {
        Ok(Self { scoped: Scoped::open(path)?, system: System::open(path)? })
    }
}

impl FileSystem for Linked {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StoredFile>> {
        if access != Access::Read {
            return refused();
        }
        match self.scoped.open(path, access) {
            Err(error) if may_be_a_link(&error) => self.system.open(path, access),
            other => other,
        }
    }

    fn find(&self, path: &Path) -> io::Result<Option<Found>> {
        match self.scoped.find(path) {
            Ok(Some(found)) if !found.is_file => self.system.find(path),
            Err(error) if may_be_a_link(&error) => self.system.find(path),
            other => other,
        }
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_folder(&self, _: &Path) -> io::Result<bool> {
        refused()
    }

    fn sync_folders(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn is_there(&self) -> bool {
        self.scoped.is_there()
    }

    fn root(&self) -> Option<PathBuf> {
        self.scoped.root()
    }

    fn dates_late(&self) -> bool {
        self.scoped.dates_late() || self.system.dates_late()
    }

    fn identity(&self) -> Option<(u64, u64)> {
        self.scoped.identity()
    }

    fn handle(&self, _: &Path, _: bool) -> io::Result<Option<(OwnedFd, String)>> {
        Ok(None)
    }
}

/// The symbolic links that stand on the way to files in a folder, each once.
pub fn links_on_the_way<'a>(
    folder: &std::path::Path,
    paths: impl Iterator<Item = &'a Path>,
) -> Vec<PathBuf> {
    let mut links = BTreeSet::new();
    let mut looked_at: BTreeSet<&Path> = BTreeSet::new();
    for path in paths {
        for depth in 1..=path.len() {
            if !looked_at.insert(&path[..depth]) {
                continue;
            }
            let place = path[..depth].iter().fold(folder.to_owned(), |way, part| way.join(part));
            if std::fs::symlink_metadata(&place).is_ok_and(|found| found.is_symlink()) {
                links.insert(place);
            }
        }
    }
    links.into_iter().collect()
}
