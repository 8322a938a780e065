//! Blocks on their way to the disk, gathered by piece, so that a piece is written at once: that
//! costs half of what its blocks cost one by one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use eddyline::DiskOp;
use eddyline::base::ids::{DiskOpId, TorrentId};

use super::pool::Batch;

/// How long a block waits for its neighbours: two turns of a rate limit, which brings them in portions.
const PATIENCE: Duration = Duration::from_millis(100);
/// Bytes of a piece that are written together, whatever is still to come.
const ENOUGH: u32 = 1 << 20;

type Key = (TorrentId, u32);

#[derive(Debug)]
struct Held {
    blocks: Batch,
    bytes: u32,
    /// Bytes with which it is complete.
    enough: u32,
    since: Instant,
}

/// Blocks that wait for others of their piece.
#[derive(Debug)]
pub struct Gather {
    pieces: HashMap<Key, Held>,
    bytes: u64,
    limit: u64,
    /// When the oldest has waited long enough.
    due: Option<Instant>,
}

impl Gather {
    /// Holds at most `limit` bytes and a block.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { pieces: HashMap::new(), bytes: 0, limit, due: None }
    }

    /// Adds a block of a piece of `size` bytes. Returns what is to be written now, if anything is.
    pub fn add(&mut self, id: DiskOpId, op: DiskOp, size: u32, now: Instant) -> Option<Batch> {
        let DiskOp::WriteBlock { torrent, piece, payload, .. } = &op else {
            return Some(vec![(id, op)]);
        };
        let (key, length) = ((*torrent, *piece), payload.len());
        let held = self.pieces.entry(key).or_insert_with(|| Held {
            blocks: Batch::new(),
            bytes: 0,
            enough: size.min(ENOUGH),
            since: now,
        });
        held.blocks.push((id, op));
        held.bytes += length;
        self.bytes += u64::from(length);
        let due = now + PATIENCE;
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        if held.bytes >= held.enough {
            return self.take(key);
        }
        if self.bytes > self.limit {
            let fullest = self.pieces.iter().max_by_key(|(_, held)| held.bytes);
            let fullest = fullest.map(|(key, _)| *key);
            return fullest.and_then(|key| self.take(key));
        }
        None
    }

    fn take(&mut self, key: Key) -> Option<Batch> {
        let held = self.pieces.remove(&key)?;
        self.bytes -= u64::from(held.bytes);
        if self.pieces.is_empty() {
            self.due = None;
        }
        Some(held.blocks)
    }

    /// When something has to be written at the latest.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes out what has waited long enough.
    pub fn take_due(&mut self, now: Instant) -> Vec<Batch> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let ripe = |held: &Held| held.since + PATIENCE <= now;
        let keys: Vec<Key> =
            self.pieces.iter().filter(|(_, held)| ripe(held)).map(|(key, _)| *key).collect();
        let batches = keys.into_iter().filter_map(|key| self.take(key)).collect();
        self.due = self.pieces.values().map(|held| held.since + PATIENCE).min();
        batches
    }
}
