//! Which process works on which torrent of a state folder: one at a time.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use eddyline::base::hash::Sha1Hash;

use crate::locks::{Holder, LockError};
use crate::register::{News, Process, Register};

/// The locks of torrents that this process holds, and what it knows of the others'.
#[derive(Debug)]
pub struct TorrentLocks {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    register: Register,
    own: BTreeMap<Sha1Hash, Holder>,
    others: BTreeMap<(Sha1Hash, Process), Holder>,
}

impl TorrentLocks {
    /// The locks that are told in `folder`, which is made with the first.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        let register = Register::new(folder);
        let inner = Inner { register, own: BTreeMap::new(), others: BTreeMap::new() };
        Self { inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock of a torrent for `command`, or keeps it.
    ///
    /// # Errors
    /// When another process holds it; when that cannot be found out or told.
    pub fn take(&self, torrent: Sha1Hash, command: &str) -> Result<(), LockError> {
        let Inner { register, own, others } = &mut *self.inner();
        if own.contains_key(&torrent) {
            return Ok(());
        }
        let folder = register.folder().to_owned();
        let io = |error: io::Error| LockError::Io(folder.clone(), error.into());
        let (mut guard, news) = register.open().map_err(io)?;
        take_news(others, news);
        if let Some(holder) = holder(others, torrent) {
            return Err(LockError::Held(holder));
        }
        let us = Holder::this(command);
        guard.take(torrent, us.to_text().as_bytes()).map_err(io)?;
        own.insert(torrent, us);
        Ok(())
    }

    /// Lets go of the lock of a torrent.
    pub fn release(&self, torrent: Sha1Hash) {
        let Inner { register, own, others } = &mut *self.inner();
        if own.remove(&torrent).is_some()
            && let Ok((mut guard, news)) = register.open()
        {
            take_news(others, news);
            // What cannot be told ends with this process.
            let _ = guard.give_back(torrent);
        }
    }

    /// Lets go of all locks.
    pub fn release_all(&self) {
        let Inner { register, own, .. } = &mut *self.inner();
        own.clear();
        register.give_all_back();
    }

    /// Who holds the lock of a torrent, be it this process.
    #[must_use]
    pub fn holder(&self, torrent: Sha1Hash) -> Option<Holder> {
        let Inner { register, own, others } = &mut *self.inner();
        take_news(others, register.look());
        own.get(&torrent).cloned().or_else(|| holder(others, torrent))
    }
}

fn holder(others: &BTreeMap<(Sha1Hash, Process), Holder>, torrent: Sha1Hash) -> Option<Holder> {
    let mut from = others.range((torrent, Process::new())..);
    from.next().filter(|((other, _), _)| *other == torrent).map(|(_, holder)| holder.clone())
}

fn take_news(others: &mut BTreeMap<(Sha1Hash, Process), Holder>, news: Vec<News>) {
    for news in news {
        match news {
            News::Took(process, torrent, what) => {
                let holder = Holder::read(&String::from_utf8_lossy(&what));
                others.insert((torrent, process), holder);
            }
            News::GaveBack(process, torrent) => {
                others.remove(&(torrent, process));
            }
            News::Gone(process) => others.retain(|(_, other), _| *other != process),
        }
    }
}
