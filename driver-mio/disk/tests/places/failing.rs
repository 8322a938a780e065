//! A place on purpose worse than any disk.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use eddyline_disk::{Access, FileSystem, Found, StoredFile};

/// A place whose power fails after a given number of changes: from then on nothing works.
#[derive(Debug)]
pub struct Failing {
    pub inner: Arc<dyn FileSystem>,
    pub left: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct FailingFile(Arc<dyn StoredFile>, Arc<AtomicUsize>);

fn use_one(left: &AtomicUsize) -> io::Result<()> {
    let took = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    took.map(drop).map_err(|_| io::Error::other("the power failed"))
}

fn has_power(left: &AtomicUsize) -> io::Result<()> {
    if left.load(Ordering::SeqCst) == 0 {
        Err(io::Error::other("the power failed"))
    } else {
        Ok(())
    }
}

impl StoredFile for FailingFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        has_power(&self.1)?;
        self.0.read_at(into, offset)
    }
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        // Of a write that is cut short, the first half is there.
        if use_one(&self.1).is_err() {
            let first = parts.first().copied().unwrap_or_default();
            let _ = self.0.write_at(&[&first[..first.len() / 2]], offset);
            return Err(io::Error::other("the power failed"));
        }
        self.0.write_at(parts, offset)
    }
    fn lengthen(&self, length: u64) -> io::Result<()> {
        use_one(&self.1)?;
        self.0.lengthen(length)
    }
    fn allocate(&self, length: u64) -> io::Result<()> {
        use_one(&self.1)?;
        self.0.allocate(length)
    }
    fn cut(&self, length: u64) -> io::Result<()> {
        use_one(&self.1)?;
        self.0.cut(length)
    }
    fn sync(&self) -> io::Result<()> {
        use_one(&self.1)?;
        self.0.sync()
    }
    fn found(&self) -> io::Result<Found> {
        self.0.found()
    }
}

impl FileSystem for Failing {
    fn open(&self, path: &[String], access: Access) -> io::Result<Arc<dyn StoredFile>> {
        match access {
            Access::Read => has_power(&self.left)?,
            Access::Write { .. } => use_one(&self.left)?,
        }
        Ok(Arc::new(FailingFile(self.inner.open(path, access)?, self.left.clone())))
    }
    fn find(&self, path: &[String]) -> io::Result<Option<Found>> {
        has_power(&self.left)?;
        self.inner.find(path)
    }
    fn link(&self, path: &[String], target: &[String]) -> io::Result<()> {
        use_one(&self.left)?;
        self.inner.link(path, target)
    }
    fn rename(&self, from: &[String], to: &[String]) -> io::Result<()> {
        use_one(&self.left)?;
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &[String]) -> io::Result<()> {
        use_one(&self.left)?;
        self.inner.remove(path)
    }
    fn remove_folder(&self, path: &[String]) -> io::Result<bool> {
        use_one(&self.left)?;
        self.inner.remove_folder(path)
    }
    fn sync_folders(&self, path: &[String]) -> io::Result<()> {
        use_one(&self.left)?;
        self.inner.sync_folders(path)
    }
    fn sync_all(&self) -> io::Result<bool> {
        use_one(&self.left)?;
        self.inner.sync_all()
    }
    fn is_there(&self) -> bool {
        self.inner.is_there()
    }
    fn identity(&self) -> Option<(u64, u64)> {
        self.inner.identity()
    }
    fn handle(&self, path: &[String], make: bool) -> io::Result<Option<(OwnedFd, String)>> {
        let _ = (path, make);
        Ok(None)
    }
}
