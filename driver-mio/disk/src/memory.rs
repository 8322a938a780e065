//! Files in memory: for tests, for games that keep what they fetch, for machines without a disk.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::filesystem::{Access, FileSystem, Found, Path, StoredFile};

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    changes: i64,
}

/// A file in memory.
#[derive(Clone, Debug, Default)]
struct MemoryFile(Arc<Mutex<Content>>);

#[derive(Debug)]
enum Entry {
    File(MemoryFile),
    Link,
}

/// A place in memory with a fixed capacity.
#[derive(Debug)]
pub struct Memory {
    files: Mutex<BTreeMap<Vec<String>, Entry>>,
    room: Arc<Mutex<u64>>,
}

impl Memory {
    /// An empty place for at most `room` bytes.
    #[must_use]
    pub fn new(room: u64) -> Self {
        Self { files: Mutex::default(), room: Arc::new(Mutex::new(room)) }
    }

    /// The names of everything in it.
    pub(crate) fn paths(&self) -> Vec<Vec<String>> {
        self.files().keys().cloned().collect()
    }

    /// Adds to the room that is left.
    pub(crate) fn make_room(&self, bytes: u64) {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
    }

    fn files(&self) -> std::sync::MutexGuard<'_, BTreeMap<Vec<String>, Entry>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file and what is left of the room that all of them share.
#[derive(Debug)]
struct Open {
    file: MemoryFile,
    room: Arc<Mutex<u64>>,
}

impl Open {
    fn grow(&self, content: &mut Content, length: usize) -> io::Result<()> {
        let more = length.saturating_sub(content.bytes.len()) as u64;
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        *room = room.checked_sub(more).ok_or(Errno::NOSPC)?;
        content.bytes.resize(length.max(content.bytes.len()), 0);
        content.changes += 1;
        Ok(())
    }

    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.file.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoredFile for Open {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let found = content.bytes.get(start..start.saturating_add(into.len()));
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let mut content = self.content();
        let mut at = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let total: usize = parts.iter().map(|part| part.len()).sum();
        self.grow(&mut content, at + total)?;
        for part in parts {
            content.bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Ok(())
    }

    fn lengthen(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| Errno::NOSPC)?;
        self.grow(&mut self.content(), length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.lengthen(length)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        let mut content = self.content();
        let before = content.bytes.len();
        content.bytes.truncate(usize::try_from(length).unwrap_or(before));
        content.changes += 1;
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) +=
            (before - content.bytes.len()) as u64;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn found(&self) -> io::Result<Found> {
        Ok(self.file.found())
    }
}

impl MemoryFile {
    fn found(&self) -> Found {
        let content = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = Some((0, Arc::as_ptr(&self.0).addr() as u64));
        let length = content.bytes.len() as u64;
        Found { is_file: true, is_folder: false, length, modified: content.changes, identity }
    }
}

impl FileSystem for Memory {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StoredFile>> {
        let mut files = self.files();
        if access != Access::Read {
            let above = (1..path.len()).any(|depth| files.contains_key(&path[..depth]));
            let mut below = files.range(path.to_vec()..);
            let below = below.find(|(other, _)| other.as_slice() != path);
            if above || below.is_some_and(|(other, _)| other.starts_with(path)) {
                return Err(Errno::LOOP.into());
            }
            files.entry(path.to_vec()).or_insert_with(|| Entry::File(MemoryFile::default()));
        }
        match files.get(path) {
            Some(Entry::File(file)) => {
                Ok(Arc::new(Open { file: file.clone(), room: self.room.clone() }))
            }
            Some(Entry::Link) => Err(Errno::LOOP.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<Option<Found>> {
        Ok(self.files().get(path).map(|entry| match entry {
            Entry::File(file) => file.found(),
            Entry::Link => {
                Found { is_file: false, is_folder: false, length: 0, modified: 0, identity: None }
            }
        }))
    }

    fn link(&self, path: &Path, _: &Path) -> io::Result<()> {
        self.files().entry(path.to_vec()).or_insert(Entry::Link);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files();
        if files.contains_key(to) {
            return Err(Errno::EXIST.into());
        }
        let entry = files.remove(from).ok_or(Errno::NOENT)?;
        files.insert(to.to_vec(), entry);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match self.files().remove(path).ok_or(Errno::NOENT)? {
            Entry::File(file) => {
                let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
                *room += file.found().length;
                Ok(())
            }
            Entry::Link => Ok(()),
        }
    }

    fn remove_folder(&self, path: &Path) -> io::Result<bool> {
        // Folders are no more than the names of what is in them.
        Ok(!self.files().keys().any(|other| other.starts_with(path)))
    }

    fn sync_folders(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn is_there(&self) -> bool {
        true
    }

    fn identity(&self) -> Option<(u64, u64)> {
        Some((0, std::ptr::from_ref(self).addr() as u64))
    }

    fn handle(&self, _: &Path, _: bool) -> io::Result<Option<(OwnedFd, String)>> {
        Ok(None)
    }
}
