//! Jobs that wait in lines, one line for each host or name, for one of a bounded number of places.
//!
//! No line gets more than its share, and those of whom nobody knows yet whether they answer at all
//! leave a share to those that have answered. Of the rest, who has been silent for some seconds holds
//! up nobody else who has not answered yet. So however many are silent, the others are served soon.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// Lines that are known for having answered.
const MAX_PROVEN: usize = 10_000;
/// A job that takes longer no longer counts against those that have not answered yet.
const SILENT: Duration = Duration::from_secs(3);
/// How often it is looked whether somebody who waits may run, though no job has ended.
const LOOK: Duration = Duration::from_millis(500);

/// How many jobs run at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// In all.
    pub in_all: usize,
    /// Of those, of lines that have not answered yet, and that were begun within [`SILENT`].
    pub unproven: usize,
    /// Of one line.
    pub each: usize,
}

/// Lines of jobs.
#[derive(Debug)]
pub struct Lines<J> {
    shares: Shares,
    waiting: BTreeMap<String, VecDeque<J>>,
    /// Lines in which somebody waits, in the order of their turns.
    turns: VecDeque<String>,
    running: BTreeMap<String, usize>,
    /// When jobs of lines that have not answered were begun, by number.
    unproven: BTreeMap<u64, Instant>,
    begun: u64,
    in_all: usize,
    proven: BTreeSet<String>,
}

/// A job that runs, and the line that it came from.
#[derive(Debug)]
pub struct Running<J> {
    /// The line.
    pub line: String,
    /// The job.
    pub job: J,
    number: u64,
}

impl<J> Lines<J> {
    /// Nobody waits.
    #[must_use]
    pub fn new(shares: Shares) -> Self {
        Self {
            shares,
            waiting: BTreeMap::new(),
            turns: VecDeque::new(),
            running: BTreeMap::new(),
            unproven: BTreeMap::new(),
            begun: 0,
            in_all: 0,
            proven: BTreeSet::new(),
        }
    }

    /// Puts a job at the end of its line.
    pub fn push(&mut self, line: String, job: J) {
        let jobs = self.waiting.entry(line.clone()).or_default();
        if jobs.is_empty() {
            self.turns.push_back(line);
        }
        jobs.push_back(job);
    }

    /// Whose turn it is at `now` among those that may run.
    fn next_turn(&self, now: Instant) -> Option<usize> {
        let fresh = |began: &&Instant| now.saturating_duration_since(**began) < SILENT;
        let unproven = self.unproven.values().filter(fresh).count();
        let may = |line: &String| {
            let running = self.running.get(line).copied().unwrap_or(0);
            let proven = self.proven.contains(line);
            running < self.shares.each && (proven || unproven < self.shares.unproven)
        };
        let room = self.in_all < self.shares.in_all;
        self.turns.iter().position(may).filter(|_| room)
    }

    /// The next job that may run at `now`; it runs until [`Self::done`].
    pub fn take_next(&mut self, now: Instant) -> Option<Running<J>> {
        let at = self.next_turn(now)?;
        let line = self.turns.remove(at)?;
        let jobs = self.waiting.get_mut(&line)?;
        let job = jobs.pop_front()?;
        if jobs.is_empty() {
            self.waiting.remove(&line);
        } else {
            self.turns.push_back(line.clone());
        }
        self.begun += 1;
        let number = self.begun;
        if !self.proven.contains(&line) {
            self.unproven.insert(number, now);
        }
        *self.running.entry(line.clone()).or_default() += 1;
        self.in_all += 1;
        Some(Running { line, job, number })
    }

    /// A job of `line` has ended; `answered` says whether anybody was there. It need not be given
    /// back before others are taken.
    pub fn done<K>(&mut self, ended: &Running<K>, answered: bool) {
        self.in_all -= 1;
        self.unproven.remove(&ended.number);
        if let Some(running) = self.running.get_mut(&ended.line) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&ended.line);
            }
        }
        if !answered {
            self.proven.remove(&ended.line);
        } else if self.proven.len() < MAX_PROVEN {
            self.proven.insert(ended.line.clone());
        }
    }

    /// Takes everybody who waits in a line: what has ended answers them too.
    pub fn take_line(&mut self, line: &str) -> Vec<J> {
        self.turns.retain(|other| other != line);
        self.waiting.remove(line).into_iter().flatten().collect()
    }
}

/// Jobs at lines, each a task of its own.
#[derive(Debug)]
pub struct Workshop<J> {
    shared: Arc<Shared<J>>,
}

#[derive(Debug)]
struct Shared<J>(Mutex<State<J>>);

#[derive(Debug)]
struct State<J> {
    lines: Lines<J>,
    /// A task looks now and then whether somebody who waits may run.
    watched: bool,
    closed: bool,
}

impl<J> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those that wait behind a job in its line.
#[derive(Debug)]
pub struct Rest<J> {
    shared: Arc<Shared<J>>,
    line: String,
}

impl<J> Rest<J> {
    /// Takes them all: what has ended answers them too.
    #[must_use]
    pub fn take(&self) -> Vec<J> {
        self.shared.lock().lines.take_line(&self.line)
    }
}

/// A job that runs. However it ends, its place is free then.
struct Ending<J: Send + 'static> {
    shared: Arc<Shared<J>>,
    ended: Running<()>,
    answered: bool,
}

impl<J: Send + 'static> Drop for Ending<J> {
    fn drop(&mut self) {
        self.shared.lock().lines.done(&self.ended, self.answered);
    }
}

impl<J: Send + 'static> Workshop<J> {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(shares: Shares) -> Self {
        let state = State { lines: Lines::new(shares), watched: false, closed: false };
        Self { shared: Arc::new(Shared(Mutex::new(state))) }
    }

    /// Puts a job in line. `work` does it on `thread`, and says whether anybody answered.
    pub fn push<W, F>(&self, thread: &Handle, line: String, job: J, work: W)
    where
        W: Fn(J, Rest<J>) -> F + Clone + Send + 'static,
        F: Future<Output = bool> + Send + 'static,
    {
        self.shared.lock().lines.push(line, job);
        begin(&self.shared, thread, &work);
        let mut state = self.shared.lock();
        if !state.watched && !state.lines.turns.is_empty() {
            state.watched = true;
            thread.spawn(watch(self.shared.clone(), thread.clone(), work));
        }
    }
}

/// Begins the jobs that may run.
fn begin<J, W, F>(shared: &Arc<Shared<J>>, thread: &Handle, work: &W)
where
    J: Send + 'static,
    W: Fn(J, Rest<J>) -> F + Clone + Send + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    let mut state = shared.lock();
    while !state.closed
        && let Some(Running { line, job, number }) = state.lines.take_next(Instant::now())
    {
        let rest = Rest { shared: shared.clone(), line: line.clone() };
        let ended = Running { line, job: (), number };
        let mut ending = Ending { shared: shared.clone(), ended, answered: false };
        let (shared, next, work) = (shared.clone(), thread.clone(), work.clone());
        thread.spawn(async move {
            ending.answered = work(job, rest).await;
            drop(ending);
            // What waited for this line, or for a share, may run now.
            begin(&shared, &next, &work);
        });
    }
}

/// Lets those run for whom there is room because others have been silent for too long, while anybody
/// waits.
async fn watch<J, W, F>(shared: Arc<Shared<J>>, thread: Handle, work: W)
where
    J: Send + 'static,
    W: Fn(J, Rest<J>) -> F + Clone + Send + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    loop {
        tokio::time::sleep(LOOK).await;
        {
            let mut state = shared.lock();
            if state.closed || state.lines.turns.is_empty() {
                state.watched = false;
                return;
            }
        }
        begin(&shared, &thread, &work);
    }
}

impl<J> Drop for Workshop<J> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of lines.

    use super::*;

    const SHARES: Shares = Shares { in_all: 8, unproven: 6, each: 2 };

    fn names(lines: &mut Lines<u32>) -> Vec<Running<u32>> {
        let now = Instant::now();
        std::iter::from_fn(|| lines.take_next(now)).collect()
    }

    #[test]
    fn silent_lines_leave_a_share_to_those_that_have_answered() {
        let mut lines = Lines::new(SHARES);
        lines.push("good".into(), 0);
        let first = lines.take_next(Instant::now()).unwrap();
        lines.done(&first, true);
        for job in 0..1000 {
            lines.push(format!("silent{}", job % 100), job);
        }
        assert_eq!(names(&mut lines).len(), 6);
        (0..9).for_each(|job| lines.push("good".into(), job));
        let taken = names(&mut lines);
        assert!(taken.len() == 2 && taken.iter().all(|running| running.line == "good"));
        // One of them that has ended makes room for the next.
        lines.done(&taken[0], true);
        assert_eq!(lines.take_next(Instant::now()).unwrap().line, "good");
    }

    #[test]
    fn who_has_been_silent_for_seconds_holds_up_nobody_else() {
        let mut lines = Lines::new(Shares { in_all: 20, ..SHARES });
        for job in 0..12 {
            lines.push(format!("silent{job}"), job);
        }
        lines.push("unknown".into(), 12);
        let began = Instant::now();
        let take = |lines: &mut Lines<u32>, now| {
            std::iter::from_fn(|| lines.take_next(now)).collect::<Vec<_>>()
        };
        assert_eq!(take(&mut lines, began).len(), 6);
        assert!(take(&mut lines, began + SILENT - LOOK).is_empty());
        assert_eq!(take(&mut lines, began + SILENT).len(), 6);
        let last = take(&mut lines, began + 2 * SILENT);
        assert!(last.len() == 1 && last[0].line == "unknown");
        // In all they are bounded all the same.
        (0..50).for_each(|job| lines.push(format!("more{job}"), job));
        assert_eq!(take(&mut lines, began + 9 * SILENT).len(), 6);
        assert_eq!(take(&mut lines, began + 99 * SILENT).len(), 1);
    }

    #[test]
    fn each_line_has_its_turn_and_no_more_than_its_share() {
        let mut lines = Lines::new(Shares { in_all: 100, unproven: 100, each: 2 });
        (0..50).for_each(|job| lines.push("a".into(), job));
        lines.push("b".into(), 50);
        let taken = names(&mut lines);
        let of = |line| taken.iter().filter(|running| running.line == line).count();
        assert_eq!((of("a"), of("b")), (2, 1));
        assert_eq!(taken[1].line, "b", "b need not wait for all of a");
        assert_eq!(lines.take_line("a").len(), 48);
        assert!(lines.take_next(Instant::now()).is_none() && lines.waiting.is_empty());
        taken.iter().for_each(|ended| lines.done(ended, false));
        assert!(lines.running.is_empty() && lines.in_all == 0 && lines.unproven.is_empty());
    }

    #[tokio::test]
    async fn everything_in_line_is_done_once_and_a_job_that_fails_gives_its_place_back() {
        let workshop = Workshop::new(SHARES);
        let (done, mut results) = tokio::sync::mpsc::unbounded_channel();
        let work = move |job: u32, _| {
            let done = done.clone();
            async move {
                tokio::task::yield_now().await;
                assert!(job % 50 != 7, "one that fails");
                done.send(job).is_ok()
            }
        };
        let here = Handle::current();
        (0..500)
            .for_each(|job| workshop.push(&here, format!("line{}", job % 7), job, work.clone()));
        let mut seen = Vec::new();
        while seen.len() < 490 {
            seen.push(results.recv().await.unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..500).filter(|job| job % 50 != 7).collect::<Vec<_>>());
        // The last one may still be on its way out.
        tokio::task::yield_now().await;
        assert_eq!(workshop.shared.lock().lines.in_all, 0);
    }
}
