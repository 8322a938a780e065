//! Files that have other names elsewhere (hard links): what is under those belongs to somebody else, and nothing is
//! written through ours. Before the first write a torrent's name gets a file of its own with the same content.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::filesystem::{FileSystem, Path};

/// The files of a torrent that were looked at before they were written to in this run. A name that a file gets
/// elsewhere after that is that of the torrent's file, whoever gave it.
#[derive(Debug, Default)]
pub(super) struct OwnFiles(Mutex<BTreeSet<u32>>);

impl OwnFiles {
    /// Sees to it that the file at `path` has no other name, before it is opened to be written to. `copy` is what its
    /// copy is called until it is whole. Returns whether it is another file now. Who comes meanwhile waits, so that
    /// nothing is written that is not copied.
    pub(super) fn settle(
        &self,
        index: u32,
        fs: &dyn FileSystem,
        path: &Path,
        copy: &str,
    ) -> io::Result<bool> {
        let mut settled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if settled.contains(&index) {
            return Ok(false);
        }
        let part = match fs.handle(path, false) {
            Ok(Some((folder, name))) => part_from_others(&folder, &name, copy)?,
            // Nothing is there that could have another name; or opening it says why not.
            Ok(None) | Err(_) => false,
        };
        settled.insert(index);
        Ok(part)
    }

    /// Files lie elsewhere, or are called otherwise: they are looked at again.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Puts a copy in the place of a file that has other names. Returns whether it had some.
fn part_from_others(folder: &OwnedFd, name: &str, copy: &str) -> io::Result<bool> {
    let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(_) => return Ok(false),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink <= 1 {
        return Ok(false);
    }
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let from = rustix::fs::openat(folder, name, flags | OFlags::RDONLY, Mode::empty())?;
    match rustix::fs::unlinkat(folder, copy, AtFlags::empty()) {
        // What a crash left of an earlier copy.
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let new = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let to = rustix::fs::openat(folder, copy, new, Mode::from(0o600))?;
    let whole = fill(File::from(from), File::from(to), &stat)
        .and_then(|()| Ok(rustix::fs::renameat(folder, copy, folder, name)?));
    if whole.is_err() {
        // It takes room for nothing.
        let _ = rustix::fs::unlinkat(folder, copy, AtFlags::empty());
    }
    whole.map(|()| true)
}

/// Copies a file durably, with the time of its last change: it looks as the one that is on record.
fn fill(mut from: File, mut to: File, stat: &rustix::fs::Stat) -> io::Result<()> {
    io::copy(&mut from, &mut to)?;
    rustix::fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o777))?;
    let then = Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ };
    let times = Timestamps { last_access: then, last_modification: then };
    rustix::fs::futimens(&to, &times)?;
    to.sync_all()
}

#[cfg(test)]
mod tests {
    //! Unit tests of files with several names.

    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::super::{Access, Scoped, System};
    use super::*;

    const WRITE: Access = Access::Write { executable: false };

    #[test]
    fn a_file_with_another_name_is_copied_once_and_keeps_what_it_looks_like() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
        std::fs::write(&theirs, "theirs").unwrap();
        std::fs::set_permissions(&theirs, std::fs::Permissions::from_mode(0o766)).unwrap();
        std::fs::write(dir.path().join("copy"), "left by a crash, and longer").unwrap();
        let path = ["ours".to_owned()];
        let places: [Box<dyn FileSystem>; 2] = [
            Box::new(Scoped::open(dir.path()).unwrap()),
            Box::new(System::open(dir.path()).unwrap()),
        ];
        for fs in places {
            std::fs::hard_link(&theirs, &ours).unwrap();
            let before = fs.find(&path).unwrap().unwrap();
            let own = OwnFiles::default();
            assert!(own.settle(0, &*fs, &path, "copy").unwrap());
            assert!(!own.settle(0, &*fs, &path, "copy").unwrap());
            let after = fs.find(&path).unwrap().unwrap();
            assert_eq!((after.length, after.modified), (before.length, before.modified));
            assert_ne!(after.identity, before.identity);
            fs.open(&path, WRITE).unwrap().write_at(&[b"OURS"], 0).unwrap();
            assert_eq!(std::fs::read(&theirs).unwrap(), b"theirs");
            assert_eq!(std::fs::read(&ours).unwrap(), b"OURSrs");
            assert_eq!(std::fs::metadata(&ours).unwrap().mode() & 0o777, 0o766);
            assert!(!dir.path().join("copy").exists());
            std::fs::remove_file(&ours).unwrap();
        }
    }

    #[test]
    fn what_is_not_there_or_has_one_name_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let fs = Scoped::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("one"), "one").unwrap();
        let before = fs.find(&["one".to_owned()]).unwrap();
        for path in ["one", "none", "no/folder"] {
            let path: Vec<String> = path.split('/').map(str::to_owned).collect();
            assert!(!OwnFiles::default().settle(0, &fs, &path, "copy").unwrap());
        }
        assert_eq!(fs.find(&["one".to_owned()]).unwrap(), before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
