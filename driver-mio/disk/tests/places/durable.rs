//! A place more attentive than any disk.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use eddyline_disk::{Access, FileSystem, Found, StoredFile};

/// A place that remembers what was durable: what would be there after a power cut.
#[derive(Debug)]
pub struct Durable {
    pub inner: Arc<dyn FileSystem>,
    pub durable: Arc<Mutex<BTreeMap<Vec<String>, Vec<u8>>>>,
    /// Held by whoever wants writes to wait.
    pub gate: Arc<Mutex<()>>,
    /// How many writes have come to the gate.
    pub came: Arc<AtomicU64>,
}

#[derive(Debug)]
struct DurableFile {
    inner: Arc<dyn StoredFile>,
    path: Vec<String>,
    durable: Arc<Mutex<BTreeMap<Vec<String>, Vec<u8>>>>,
    gate: Arc<Mutex<()>>,
    came: Arc<AtomicU64>,
}

impl StoredFile for DurableFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.inner.read_at(into, offset)
    }
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.came.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.lock());
        self.inner.write_at(parts, offset)
    }
    fn lengthen(&self, length: u64) -> io::Result<()> {
        self.inner.lengthen(length)
    }
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.inner.allocate(length)
    }
    fn cut(&self, length: u64) -> io::Result<()> {
        self.inner.cut(length)
    }
    fn sync(&self) -> io::Result<()> {
        let length = self.inner.found()?.length;
        let mut bytes = vec![0; length as usize];
        self.inner.read_at(&mut bytes, 0)?;
        self.durable.lock().unwrap().insert(self.path.clone(), bytes);
        Ok(())
    }
    fn found(&self) -> io::Result<Found> {
        self.inner.found()
    }
}

impl FileSystem for Durable {
    fn open(&self, path: &[String], access: Access) -> io::Result<Arc<dyn StoredFile>> {
        let inner = self.inner.open(path, access)?;
        let durable = self.durable.clone();
        let (gate, came) = (self.gate.clone(), self.came.clone());
        Ok(Arc::new(DurableFile { inner, path: path.to_vec(), durable, gate, came }))
    }
    fn find(&self, path: &[String]) -> io::Result<Option<Found>> {
        self.inner.find(path)
    }
    fn link(&self, path: &[String], target: &[String]) -> io::Result<()> {
        self.inner.link(path, target)
    }
    fn rename(&self, from: &[String], to: &[String]) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &[String]) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn remove_folder(&self, path: &[String]) -> io::Result<bool> {
        self.inner.remove_folder(path)
    }
    fn sync_folders(&self, path: &[String]) -> io::Result<()> {
        self.inner.sync_folders(path)
    }
    fn sync_all(&self) -> io::Result<bool> {
        Ok(false)
    }
    fn is_there(&self) -> bool {
        true
    }
    fn identity(&self) -> Option<(u64, u64)> {
        self.inner.identity()
    }
    fn handle(&self, _: &[String], _: bool) -> io::Result<Option<(OwnedFd, String)>> {
        Ok(None)
    }
}
