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
use crate::lanes::{LANES, WORTHWHILE};

/// How long the last piece waits for another one.
const GAP: Duration = Duration::from_millis(6);
/// How long the first piece waits for all others.
const PATIENCE: Duration = Duration::from_millis(30);
/// The same while blocks are on their way and pieces come so fast that this makes them worth hashing side
/// by side: a download at 20 MB/s brings a piece of 256 KiB in 13 ms, and sixteen in 200.
const LONG_PATIENCE: Duration = Duration::from_millis(500);

/// Bytes that pieces hold in memory, above which they wait for no others.
const ENOUGH: u64 = 11 << 20;
/// Bytes of one file that one worker writes before it tells of them.
const TOGETHER: u64 = 1 << 20;

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
    /// Whether all of them came in a download that goes on, and fast enough to wait for others.
    patient: bool,
    /// When the last few pieces of downloads that went on came.
    lately: VecDeque<Instant>,
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
        self.put_all([(batch, file)]);
    }

    /// Adds several of them; those that write to one file are done by one worker, as far as that is
    /// not too much at once.
    pub(super) fn put_all(&self, batches: impl IntoIterator<Item = (Batch, Option<Written>)>) {
        let mut state = self.state();
        for (batch, file) in batches {
            state.add(batch, file);
        }
        if state.next_batch().is_some() {
            self.wake_one(&state);
        }
    }

    /// Nobody writes to a file any more. Whoever says so comes back for more at once.
    pub(super) fn done(&self, file: Written) {
        self.state().written.retain(|other| *other != file);
    }

    /// Adds a piece to be hashed, which may hold `bytes` in memory. Where a download `goes_on`, more
    /// pieces will come whether this one is hashed or not.
    pub(super) fn put_piece(&self, job: HashJob, bytes: u64, goes_on: bool) {
        let mut state = self.state();
        let hurried = state.add_piece(job, bytes, goes_on, Instant::now());
        // Somebody has to watch the clock, and somebody has to begin.
        if !self.gathers || hurried || state.pieces.len() == 1 {
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
    fn add(&mut self, batch: Batch, file: Option<Written>) {
        let bytes = |batch: &Batch| batch.iter().map(|(_, op)| bytes_of(op)).sum::<u64>();
        let fits = |(waiting, of): &&mut (Batch, Option<Written>)| {
            file.is_some() && *of == file && bytes(waiting) + bytes(&batch) <= TOGETHER
        };
        match self.batches.iter_mut().find(fits) {
            Some((waiting, _)) => waiting.extend(batch),
            None => self.batches.push_back((batch, file)),
        }
    }

    /// Adds a piece. Returns whether it is to be hashed sooner than a worker expects that watches the clock.
    fn add_piece(&mut self, job: HashJob, bytes: u64, goes_on: bool, now: Instant) -> bool {
        let (was_enough, was_patient) = (self.are_enough(), self.patient);
        let fast = goes_on && self.are_fast(now);
        self.patient = fast && (was_patient || self.pieces.is_empty());
        self.pieces.push_back((job, bytes));
        self.bytes += bytes;
        self.came = Some((self.came.map_or(now, |(first, _)| first), now));
        (self.are_enough() && !was_enough) || (was_patient && !self.patient)
    }

    /// A piece came of a download that goes on. Whether enough of them come within the long patience to
    /// be hashed side by side.
    fn are_fast(&mut self, now: Instant) -> bool {
        self.lately.push_back(now);
        if self.lately.len() < WORTHWHILE {
            return false;
        }
        let first = self.lately.pop_front();
        first.is_some_and(|first| now.saturating_duration_since(first) < LONG_PATIENCE)
    }

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
        Some(match gathers && !self.closed {
            true if self.patient => first + LONG_PATIENCE,
            true => (first + PATIENCE).min(last + GAP),
            false => first,
        })
    }
}

fn bytes_of(op: &DiskOp) -> u64 {
    match op {
        DiskOp::WriteBlock { payload, .. } => payload.len().into(),
        _ => 0,
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

#[cfg(test)]
mod tests {
    //! Unit tests of how long pieces wait for each other.

    use super::*;

    /// Adds pieces, `gap` milliseconds after each other. Returns how long the oldest waits at the most, from
    /// when the newest came.
    fn after(
        state: &mut State,
        count: u32,
        gap: u64,
        goes_on: bool,
        now: &mut Instant,
    ) -> Duration {
        for piece in 0..count {
            *now += Duration::from_millis(gap);
            let job = (TorrentId::from_u64(1), piece, DiskOpId::from_u64(piece.into()));
            state.add_piece(job, 1, goes_on, *now);
        }
        state.due(true).unwrap().saturating_duration_since(*now)
    }

    fn hash(state: &mut State) {
        state.pieces.clear();
        state.came = None;
    }

    #[test]
    fn in_a_fast_download_pieces_wait_until_they_are_worth_hashing_side_by_side() {
        let (mut state, mut now) = (State::default(), Instant::now());
        assert_eq!(after(&mut state, 1, 20, true, &mut now), GAP, "who knows how many will come");
        hash(&mut state);
        after(&mut state, 4, 20, true, &mut now);
        hash(&mut state);
        let left = after(&mut state, 10, 20, true, &mut now);
        assert_eq!(left, LONG_PATIENCE - Duration::from_millis(9 * 20));
        // The last one of a download waits for none, and nor do those before it.
        assert!(after(&mut state, 1, 20, false, &mut now) <= GAP);
    }

    #[test]
    fn in_a_slow_download_and_in_a_check_a_piece_waits_for_a_moment_only() {
        for (gap, goes_on) in [(130, true), (1, false)] {
            let (mut state, mut now) = (State::default(), Instant::now());
            for _ in 0..9 {
                assert!(after(&mut state, 1, gap, goes_on, &mut now) <= GAP, "{gap}");
                hash(&mut state);
            }
        }
    }

    #[test]
    fn writes_to_one_file_are_done_together_within_a_limit() {
        use bytes::Bytes;
        use eddyline::base::payload::Payload;
        let mut state = State::default();
        let batch = |piece: u32| {
            let payload = Payload::One(Bytes::from(vec![0; 400_000]));
            let torrent = TorrentId::from_u64(1);
            let op = DiskOp::WriteBlock { torrent, piece, begin: 0, payload };
            vec![(DiskOpId::from_u64(piece.into()), op)]
        };
        let file = |index| Some((TorrentId::from_u64(1), index));
        for (piece, file) in
            [(1, file(0)), (2, file(1)), (3, file(0)), (4, file(0)), (5, None), (6, None)]
        {
            state.add(batch(piece), file);
        }
        let lengths: Vec<usize> = state.batches.iter().map(|(batch, _)| batch.len()).collect();
        assert_eq!(lengths, [2, 1, 1, 1, 1]);
    }
}
