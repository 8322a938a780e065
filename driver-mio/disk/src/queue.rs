//! Operations that wait for a worker. Pieces to be hashed are held back for a moment: hashing sixteen side
//! by side costs a third of hashing them one after the other, and when that matters they follow each other
//! quickly. One file is written to by one worker at a time: the kernel locks the file during a write, and a
//! second writer would spin on that lock.

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
    /// How long the first waits for others, if all of them came in a download that goes on, and fast enough
    /// for this to be of use.
    patience: Option<Duration>,
    /// Pieces of a download come so slowly that none waits for another one.
    slow: bool,
    /// When the last few pieces of downloads that went on came.
    lately: VecDeque<Instant>,
    /// Pieces that workers are hashing.
    hashing: usize,
    /// Workers that wait.
    idle: usize,
    closed: bool,
    /// Pieces that whoever puts them here has hashed at once: when all of them are here, no other comes.
    most: usize,
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
    pub(super) fn new(gathers: bool, most: usize) -> Self {
        let state = State { most, ..State::default() };
        Self { state: Mutex::new(state), wake: Condvar::new(), gathers }
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

    /// Adds a piece to be hashed, which may hold `bytes` in memory. Where a download goes on, more pieces
    /// will come whether this one is hashed or not: it may wait for them `patiently`, if they come fast
    /// enough to be hashed side by side then. Returns when to [`look`](Self::look), if no worker does.
    pub(super) fn put_piece(
        &self,
        job: HashJob,
        bytes: u64,
        patiently: Option<Duration>,
    ) -> Option<Instant> {
        let mut state = self.state();
        let hurried = state.add_piece(job, bytes, patiently, Instant::now());
        if self.gathers && state.patience.is_some() && !hurried {
            return state.due(true);
        }
        // Somebody has to watch the clock, and somebody has to begin.
        if !self.gathers || hurried || state.pieces.len() == 1 {
            self.wake_one(&state);
        }
        None
    }

    /// Wakes a worker if pieces have waited long enough. Returns when to look again.
    pub(super) fn look(&self) -> Option<Instant> {
        let state = self.state();
        let due = state.due(self.gathers)?;
        if due > Instant::now() {
            return Some(due);
        }
        self.wake_one(&state);
        None
    }

    /// Nothing more will come: pieces that wait patiently wait no longer.
    pub(super) fn hurry(&self) {
        let mut state = self.state();
        state.patience = None;
        if !state.pieces.is_empty() {
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
                state.hashing += taken.len();
                state.bytes -= taken.iter().map(|(_, bytes)| bytes).sum::<u64>();
                let pieces = taken.into_iter().map(|(job, _)| job).collect();
                let now = Instant::now();
                state.came = (!state.pieces.is_empty()).then_some((now, now));
                // Nobody looks for what is left.
                state.patience = None;
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
            // Those that wait patiently are looked for by whoever put them here.
            state = match due.filter(|_| !state.is_patient()) {
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

    /// Pieces that were taken are hashed: others may come for them.
    pub(super) fn hashed(&self, count: usize) {
        self.state().hashing -= count;
    }

    /// What is left is for another worker to watch.
    fn pass_on(&self, state: &State) {
        let watched = state.pieces.is_empty() || state.is_patient();
        if !watched || state.next_batch().is_some() {
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
    fn add_piece(
        &mut self,
        job: HashJob,
        bytes: u64,
        patiently: Option<Duration>,
        now: Instant,
    ) -> bool {
        let (was_enough, before) = (self.are_enough(), self.patience);
        let fast = patiently.and_then(|patience| self.are_fast(patience, now));
        let patience = patiently.filter(|_| fast == Some(true));
        self.slow = fast == Some(false);
        self.patience = match self.pieces.is_empty() {
            true => patience,
            false => patience.zip(before).map(|(one, other)| one.min(other)),
        };
        self.pieces.push_back((job, bytes));
        self.bytes += bytes;
        self.came = Some((self.came.map_or(now, |(first, _)| first), now));
        (self.are_enough() && !was_enough) || (before.is_some() && self.patience.is_none())
    }

    /// A piece came of a download that goes on. Whether enough of them come within that time to be hashed
    /// side by side; `None` where too few have come to tell.
    fn are_fast(&mut self, patience: Duration, now: Instant) -> Option<bool> {
        self.lately.push_back(now);
        if self.lately.len() < WORTHWHILE {
            return None;
        }
        let first = self.lately.pop_front()?;
        Some(now.saturating_duration_since(first) < patience)
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

    /// Whether no worker needs to watch the clock for the pieces that are here.
    fn is_patient(&self) -> bool {
        self.patience.is_some() && !self.closed && !self.are_enough()
    }

    /// Whether nothing is gained by waiting for more pieces.
    fn are_enough(&self) -> bool {
        let here = self.pieces.len();
        here >= LANES || self.bytes >= ENOUGH || (here > 0 && here + self.hashing >= self.most)
    }

    /// When the pieces that are here are hashed at the latest.
    fn due(&self, gathers: bool) -> Option<Instant> {
        let (first, last) = self.came?;
        Some(match (gathers && !self.closed, self.patience) {
            (true, Some(patience)) => first + patience,
            (true, None) if !self.slow => (first + PATIENCE).min(last + GAP),
            _ => first,
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
        patiently: Option<Duration>,
        now: &mut Instant,
    ) -> Duration {
        for piece in 0..count {
            *now += Duration::from_millis(gap);
            let job = (TorrentId::from_u64(1), piece, DiskOpId::from_u64(piece.into()));
            state.add_piece(job, 1, patiently, *now);
        }
        state.due(true).unwrap().saturating_duration_since(*now)
    }

    /// Of those who put pieces here there is no end.
    fn endless() -> State {
        State { most: usize::MAX, ..State::default() }
    }

    fn hash(state: &mut State) {
        state.pieces.clear();
        state.came = None;
    }

    #[test]
    fn in_a_fast_download_pieces_wait_until_they_are_worth_hashing_side_by_side() {
        let (mut state, mut now) = (endless(), Instant::now());
        let patience = Duration::from_millis(500);
        let first = after(&mut state, 1, 20, Some(patience), &mut now);
        assert_eq!(first, GAP, "who knows how many will come");
        hash(&mut state);
        after(&mut state, 4, 20, Some(patience), &mut now);
        hash(&mut state);
        let left = after(&mut state, 10, 20, Some(2 * patience), &mut now);
        assert_eq!(left, 2 * patience - Duration::from_millis(9 * 20));
        // What one of them may wait at most holds for all.
        let left = after(&mut state, 1, 20, Some(patience), &mut now);
        assert_eq!(left, patience - Duration::from_millis(10 * 20));
        // The last one of a download waits for none, and nor do those before it.
        assert!(after(&mut state, 1, 20, None, &mut now) <= GAP);
    }

    #[test]
    fn in_a_download_that_is_known_to_be_slow_no_piece_waits_for_another() {
        let (mut state, mut now) = (endless(), Instant::now());
        for piece in 0..9 {
            let wait = after(&mut state, 1, 600, Some(Duration::from_secs(2)), &mut now);
            assert_eq!(wait, if piece < 4 { GAP } else { Duration::ZERO }, "{piece}");
            hash(&mut state);
        }
        // In a check, after that, pieces follow each other quickly.
        assert_eq!(after(&mut state, 1, 600, None, &mut now), GAP);
    }

    #[test]
    fn in_a_slow_download_and_in_a_check_a_piece_waits_for_a_moment_only() {
        for (gap, patiently) in [(130, Some(Duration::from_millis(500))), (1, None)] {
            let (mut state, mut now) = (endless(), Instant::now());
            for _ in 0..9 {
                assert!(after(&mut state, 1, gap, patiently, &mut now) <= GAP, "{gap}");
                hash(&mut state);
            }
        }
    }

    #[test]
    fn however_few_pieces_are_hashed_at_once_none_waits_for_others_that_cannot_come() {
        let patience = Some(Duration::from_secs(3600));
        for (most, patiently) in
            [1, 2, 4, 7, 15].map(|most| [(most, None), (most, patience)]).concat()
        {
            let mut state = State { most, ..State::default() };
            let mut now = Instant::now();
            // Later rounds are those of a download that is known to be fast.
            for _ in 0..9 {
                for here in 0..most {
                    assert!(!state.are_enough(), "{here} of {most}");
                    after(&mut state, 1, 1, patiently, &mut now);
                }
                assert!(state.are_enough() && !state.is_patient(), "{most}");
                hash(&mut state);
            }
            // Some of them are being hashed: the others are all that can be here until then.
            state.hashing = most - 1;
            after(&mut state, 1, 1, patiently, &mut now);
            assert!(state.are_enough());
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
