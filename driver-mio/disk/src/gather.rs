//! Blocks on their way to the disk, gathered by piece, so that a piece is written at once: that
//! costs half of what its blocks cost one by one. Pieces that are whole wait for others in turn, since
//! each time that a worker wakes costs as much as the writing of a few blocks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use eddyline::DiskOp;
use eddyline::base::ids::{DiskOpId, TorrentId};

use super::pool::Batch;

/// How long a block waits for its neighbours, and a piece for other pieces at the most: some turns of a rate limit,
/// which brings them in portions. A worker that wakes costs more than what it writes at a low rate.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes that are written together, whatever is still to come: of one piece, or of whole pieces.
const ENOUGH: u32 = 1 << 20;

type Key = (TorrentId, u32);

#[derive(Debug)]
struct Held {
    blocks: Batch,
    bytes: u32,
    /// Bytes with which it is complete.
    size: u32,
    /// When it has waited long enough.
    due: Instant,
}

/// Blocks that wait for others of their piece, and pieces that wait for others.
#[derive(Debug)]
pub struct Gather {
    pieces: HashMap<Key, Held>,
    bytes: u64,
    /// Bytes of pieces that are whole.
    whole: u64,
    limit: u64,
    /// When the oldest has waited long enough.
    due: Option<Instant>,
    /// How long that is.
    patience: Duration,
}

impl Held {
    fn is_whole(&self) -> bool {
        self.bytes >= self.size
    }
}

impl Gather {
    /// Holds at most `limit` bytes and a block.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { pieces: HashMap::new(), bytes: 0, whole: 0, limit, due: None, patience: PATIENCE }
    }

    /// Adds a block of a piece of `size` bytes. Returns what is to be written now, if anything is. When a piece is
    /// whole it is asked how long it may wait for others, `None` for no time.
    pub fn add(
        &mut self,
        (id, op): (DiskOpId, DiskOp),
        size: u32,
        may_wait: impl FnOnce() -> Option<Duration>,
        now: Instant,
    ) -> Vec<Batch> {
        let DiskOp::WriteBlock { torrent, piece, payload, .. } = &op else {
            return vec![vec![(id, op)]];
        };
        let (key, length) = ((*torrent, *piece), payload.len());
        let due = now + self.patience;
        let held = self.pieces.entry(key).or_insert_with(|| Held {
            blocks: Batch::new(),
            bytes: 0,
            size,
            due,
        });
        let was_whole = held.is_whole();
        held.blocks.push((id, op));
        held.bytes += length;
        self.bytes += u64::from(length);
        let waits = if held.is_whole() { may_wait() } else { Some(PATIENCE) };
        if let Some(wait) = waits {
            held.due = held.due.min(now + wait);
            self.due = Some(self.due.map_or(held.due, |earlier| earlier.min(held.due)));
        }
        self.whole += match (was_whole, held.is_whole()) {
            (true, _) => u64::from(length),
            (false, true) => u64::from(held.bytes),
            (false, false) => 0,
        };
        if held.bytes >= ENOUGH {
            return self.take(key).into_iter().collect();
        }
        if self.whole >= u64::from(ENOUGH) || waits.is_none() {
            return self.take_if(Held::is_whole);
        }
        if self.bytes > self.limit {
            if self.whole > 0 {
                return self.take_if(Held::is_whole);
            }
            let fullest = self.pieces.iter().max_by_key(|(_, held)| held.bytes);
            let fullest = fullest.map(|(key, _)| *key);
            return fullest.and_then(|key| self.take(key)).into_iter().collect();
        }
        Vec::new()
    }

    fn take(&mut self, key: Key) -> Option<Batch> {
        let held = self.pieces.remove(&key)?;
        self.bytes -= u64::from(held.bytes);
        if held.is_whole() {
            self.whole -= u64::from(held.bytes);
        }
        if self.pieces.is_empty() {
            self.due = None;
        }
        Some(held.blocks)
    }

    /// Takes out those of which `which` is true, in the order of their pieces.
    fn take_if(&mut self, which: impl Fn(&Held) -> bool) -> Vec<Batch> {
        let chosen = self.pieces.iter().filter(|(_, held)| which(held));
        let mut keys: Vec<Key> = chosen.map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys.into_iter().filter_map(|key| self.take(key)).collect()
    }

    /// When something has to be written at the latest.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Nothing waits for others any more: what is held is due now.
    pub fn hurry(&mut self, now: Instant) {
        self.patience = Duration::ZERO;
        self.pieces.values_mut().for_each(|held| held.due = now);
        self.due = self.due.map(|_| now);
    }

    /// Takes out what has waited long enough, and every piece that is whole.
    pub fn take_due(&mut self, now: Instant) -> Vec<Batch> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let ripe = self.pieces.values().any(|held| held.due <= now);
        let due = self.take_if(|held| ripe && (held.is_whole() || held.due <= now));
        self.due = self.pieces.values().map(|held| held.due).min();
        due
    }
}
