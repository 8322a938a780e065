//! What waits for a worker. Pieces to be hashed are gathered for a moment: many side by side cost a
//! third of as many one after the other, and at the speed at which that matters they come in quick
//! succession. One file is written to by one worker at a time: the system lets no second one in, and
//! has it spin at the door meanwhile.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use eddyline::DiskOp;
use eddyline::base::ids::{DiskOpId, TorrentId};

use super::pool::Batch;
use crate::lanes::LANES;

/// How long the last piece waits for another one.
const GAP: Duration = Duration::from_millis(6);
/// How long the first piece waits for all others.
const PATIENCE: Duration = Duration::from_millis(30);

/// Bytes that pieces hold in memory, above which they wait for no others.
const ENOUGH: u64 = 11 << 20;

/// A piece to be hashed.
pub(super) type HashJob = (TorrentId, u32, DiskOpId);

/// A file of a torrent that is written to.
pub(super) type Written = (TorrentId, u32);

/// Something for a worker to do.
#[derive(Debug)]
pub(super) enum Work {
    /// Operations, one after the other. When they are done, the queue has to be told which file they
    /// wrote to.
    Batch(Batch, Option<Written>),
    /// Pieces to be hashed, as many as the lanes take.
    Pieces(Vec<HashJob>),
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<(Batch, Option<Written>)>,
    /// Files that workers write to at the moment.
    written: Vec<Written>,
    pieces: VecDeque<(HashJob, u64)>,
    /// Bytes that all these pieces hold in memory.
    bytes: u64,
    /// When the oldest and the newest of the pieces came.
    came: Option<(Instant, Instant)>,
    /// Workers that wait.
    idle: usize,
    closed: bool,
}

/// The queue of all workers.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// Whether pieces are worth gathering.
    gathers: bool,
}

impl Queue {
    /// An empty queue.
    pub(super) fn new(gathers: bool) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), gathers }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds operations, and the file that they write to.
    pub(super) fn put(&self, batch: Batch, file: Option<Written>) {
        let mut state = self.state();
        state.batches.push_back((batch, file));
        if state.next_batch().is_some() {
            self.wake_one(&state);
        }
    }

    /// Nobody writes to a file any more. Whoever says so comes back for more at once.
    pub(super) fn done(&self, file: Written) {
        self.state().written.retain(|other| *other != file);
    }

    /// Adds a piece to be hashed, which may hold `bytes` in memory.
    pub(super) fn put_piece(&self, job: HashJob, bytes: u64) {
        let now = Instant::now();
        let mut state = self.state();
        let was_enough = state.are_enough();
        state.pieces.push_back((job, bytes));
        state.bytes += bytes;
        let first = state.came.map_or(now, |(first, _)| first);
        state.came = Some((first, now));
        // Somebody has to watch the clock, and somebody has to begin.
        let begin = state.are_enough() && !was_enough;
        if !self.gathers || begin || state.pieces.len() == 1 {
            self.wake_one(&state);
        }
    }

    fn wake_one(&self, state: &State) {
        if state.idle > 0 {
            self.wake.notify_one();
        }
    }

    /// Waits for something to do; `None` when there never will be.
    pub(super) fn take(&self) -> Option<Work> {
        let mut state = self.state();
        loop {
            let due = state.due(self.gathers);
            let ripe = due.is_some_and(|due| due <= Instant::now());
            if ripe || state.are_enough() {
                let count = if self.gathers { LANES } else { 1 }.min(state.pieces.len());
                let taken: Vec<_> = state.pieces.drain(..count).collect();
                state.bytes -= taken.iter().map(|(_, bytes)| bytes).sum::<u64>();
                let pieces = taken.into_iter().map(|(job, _)| job).collect();
                let now = Instant::now();
                state.came = (!state.pieces.is_empty()).then_some((now, now));
                self.pass_on(&state);
                return Some(Work::Pieces(pieces));
            }
            if let Some((batch, file)) = state.take_batch() {
                self.pass_on(&state);
                return Some(Work::Batch(batch, file));
            }
            if state.closed && state.pieces.is_empty() {
                return None;
            }
            state.idle += 1;
            state = match due {
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let patience = due.saturating_duration_since(Instant::now());
                    self.wake
                        .wait_timeout(state, patience)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
            state.idle -= 1;
        }
    }

    /// What is left is for another worker to watch.
    fn pass_on(&self, state: &State) {
        if !state.pieces.is_empty() || state.next_batch().is_some() {
            self.wake_one(state);
        }
    }

    /// Nothing more will come: workers end when everything is done.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.wake.notify_all();
    }
}

impl State {
    /// The first operations that can be performed now.
    fn next_batch(&self) -> Option<usize> {
        let free = |file: &Option<Written>| file.is_none_or(|file| !self.written.contains(&file));
        self.batches.iter().position(|(_, file)| free(file))
    }

    fn take_batch(&mut self) -> Option<(Batch, Option<Written>)> {
        let next = self.batches.remove(self.next_batch()?)?;
        self.written.extend(next.1);
        Some(next)
    }

    /// Whether nothing is gained by waiting for more pieces.
    fn are_enough(&self) -> bool {
        self.pieces.len() >= LANES || self.bytes >= ENOUGH
    }

    /// When the pieces that are here are hashed at the latest.
    fn due(&self, gathers: bool) -> Option<Instant> {
        let (first, last) = self.came?;
        Some(if gathers && !self.closed { (first + PATIENCE).min(last + GAP) } else { first })
    }
}

/// The torrent that an operation is about.
pub(super) fn torrent_of(op: &DiskOp) -> TorrentId {
    match op {
        DiskOp::Open { torrent, .. }
        | DiskOp::WriteBlock { torrent, .. }
        | DiskOp::ReadBlock { torrent, .. }
        | DiskOp::HashPiece { torrent, .. }
        | DiskOp::HashBlocks { torrent, .. }
        | DiskOp::Sync { torrent }
        | DiskOp::StoreResume { torrent, .. }
        | DiskOp::Select { torrent, .. }
        | DiskOp::Move { torrent, .. }
        | DiskOp::Discard { torrent, .. }
        | DiskOp::Rename { torrent, .. }
        | DiskOp::Trim { torrent, .. }
        | DiskOp::Close { torrent }
        | DiskOp::Delete { torrent, .. } => *torrent,
    }
}
