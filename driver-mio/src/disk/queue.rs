//! What waits for a worker. Pieces to be hashed are gathered for a moment: many side by side cost a
//! third of as many one after the other, and at the speed at which that matters they come in quick
//! succession.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use eddyline::base::ids::{DiskOpId, TorrentId};

use super::pool::Batch;
use crate::lanes::LANES;

/// How long the last piece waits for another one.
const GAP: Duration = Duration::from_millis(6);
/// How long the first piece waits for all others.
const PATIENCE: Duration = Duration::from_millis(30);

/// Bytes that pieces hold in memory, above which they wait for no others.
const ENOUGH: u64 = 12 << 20;

/// A piece to be hashed.
pub(super) type HashJob = (TorrentId, u32, DiskOpId);

/// Something for a worker to do.
#[derive(Debug)]
pub(super) enum Work {
    /// Operations, one after the other.
    Batch(Batch),
    /// Pieces to be hashed, as many as the lanes take.
    Pieces(Vec<HashJob>),
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
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

    /// Adds operations.
    pub(super) fn put(&self, batch: Batch) {
        let mut state = self.state();
        state.batches.push_back(batch);
        self.wake_one(&state);
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
            if let Some(batch) = state.batches.pop_front() {
                self.pass_on(&state);
                return Some(Work::Batch(batch));
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
        if !state.pieces.is_empty() || !state.batches.is_empty() {
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
