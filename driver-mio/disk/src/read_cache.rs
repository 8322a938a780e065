//! What is read for peers: a bounded cache of spans that are read at once, so that a piece that many
//! want comes from the disk once.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use eddyline::base::ids::TorrentId;

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

#[derive(Debug, Default)]
struct Inner {
    spans: HashMap<Key, (Bytes, u64)>,
    clock: u64,
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
        Self { inner: Mutex::new(Inner { stats, ..Inner::default() }) }
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
            inner.clock += 1;
            let clock = inner.clock;
            if let Some((span, used)) = inner.spans.get_mut(&key) {
                *used = clock;
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
        let mut inner = self.inner();
        if !inner.spans.is_empty() {
            inner.retain(|(owner, number, _)| (*owner, *number) != (torrent, piece));
        }
    }

    /// Forgets a torrent.
    pub fn close(&self, torrent: TorrentId) {
        self.inner().retain(|(owner, ..)| *owner != torrent);
    }

    /// How well it does.
    #[must_use]
    pub fn stats(&self) -> ReadStats {
        self.inner().stats
    }
}

impl Inner {
    fn retain(&mut self, keep: impl Fn(&Key) -> bool) {
        self.spans.retain(|key, _| keep(key));
        self.stats.held = self.spans.values().map(|(span, _)| span.len() as u64).sum();
    }

    fn insert(&mut self, key: Key, span: Bytes) {
        self.stats.held += span.len() as u64;
        let clock = self.clock;
        if let Some((old, _)) = self.spans.insert(key, (span, clock)) {
            self.stats.held -= old.len() as u64;
        }
        if self.stats.held > self.stats.limit {
            // A quarter at a time, so that the search for the oldest costs little.
            let mut ages: Vec<u64> = self.spans.values().map(|(_, used)| *used).collect();
            let middle = ages.len() / 4;
            let age = *ages.select_nth_unstable(middle).1;
            self.spans.retain(|_, (_, used)| *used > age);
            self.stats.held = self.spans.values().map(|(span, _)| span.len() as u64).sum();
        }
    }
}
