//! What is read for peers: a bounded cache of spans that are read at once, so that a piece that many
//! want comes from the disk once.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use eddyline::base::ids::TorrentId;
use lru::LruCache;

/// Bytes read at once.
pub const SPAN: u32 = 128 * 1024;

/// A span of a piece.
type Key = (TorrentId, u32, u32);

/// How well the cache does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReadStats {
    /// Blocks served from memory.
    pub hits: u64,
    /// Spans read from the disk.
    pub misses: u64,
    /// Bytes held now.
    pub held: u64,
    /// Most bytes that may be held.
    pub limit: u64,
}

#[derive(Debug)]
struct Inner {
    spans: LruCache<Key, Bytes>,
    stats: ReadStats,
}

/// The cache.
#[derive(Debug)]
pub struct ReadCache {
    inner: Mutex<Inner>,
}

impl ReadCache {
    /// A cache of at most `limit` bytes; 0 for none.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        let stats = ReadStats { limit, ..ReadStats::default() };
        Self { inner: Mutex::new(Inner { spans: LruCache::unbounded(), stats }) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of a piece of `size` bytes; `read` gets a whole span from the disk.
    ///
    /// # Errors
    /// What `read` says.
    pub fn get(
        &self,
        (torrent, piece): (TorrentId, u32),
        (begin, length): (u32, u32),
        size: u32,
        read: impl Fn(u32, u32) -> io::Result<Bytes>,
    ) -> io::Result<Bytes> {
        let start = begin / SPAN * SPAN;
        let end = start.saturating_add(SPAN).min(size);
        let limit = self.inner().stats.limit;
        // What lies in two spans is rare; what is larger than the cache would empty it.
        if begin + length > end || u64::from(SPAN) > limit {
            return read(begin, length);
        }
        let key = (torrent, piece, start);
        let part = |span: &Bytes| {
            let from = (begin - start) as usize;
            span.slice(from..from + length as usize)
        };
        {
            let mut inner = self.inner();
            if let Some(span) = inner.spans.get(&key) {
                let block = part(span);
                inner.stats.hits += 1;
                return Ok(block);
            }
            inner.stats.misses += 1;
        }
        let span = match read(start, end - start) {
            Ok(span) => span,
            // The block may be there where its neighbours are not.
            Err(_) => return read(begin, length),
        };
        let block = part(&span);
        self.inner().insert(key, span);
        Ok(block)
    }

    /// Forgets a piece that is written.
    pub fn written(&self, torrent: TorrentId, piece: u32) {
        self.inner().forget(|(owner, number, _)| (*owner, *number) == (torrent, piece));
    }

    /// Forgets a torrent.
    pub fn close(&self, torrent: TorrentId) {
        self.inner().forget(|(owner, ..)| *owner == torrent);
    }

    /// How well it does.
    #[must_use]
    pub fn stats(&self) -> ReadStats {
        self.inner().stats
    }
}

impl Inner {
    fn forget(&mut self, is_one: impl Fn(&Key) -> bool) {
        let spans: Vec<Key> = self.spans.iter().map(|(key, _)| *key).filter(is_one).collect();
        for key in spans {
            let span = self.spans.pop(&key);
            self.is_gone(span);
        }
    }

    fn insert(&mut self, key: Key, span: Bytes) {
        self.stats.held += span.len() as u64;
        let old = self.spans.put(key, span);
        self.is_gone(old);
        while self.stats.held > self.stats.limit {
            let Some((_, oldest)) = self.spans.pop_lru() else { break };
            self.is_gone(Some(oldest));
        }
    }

    fn is_gone(&mut self, span: Option<Bytes>) {
        self.stats.held -= span.map_or(0, |span| span.len() as u64);
    }
}
