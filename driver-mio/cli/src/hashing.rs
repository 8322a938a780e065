//! Hashing on all cores for `create` and `verify`, and what one sees of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::output::{printable, say_styled};
use super::progress::layout::{Phase, Row, lines, plain};
use super::terminal::{Display, size as terminal_size};

/// Work that takes less than this is not shown.
const SHOWN_AFTER: Duration = Duration::from_millis(300);
/// How often the display is drawn, and a plain line is printed where there is none.
const FRAME: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(20);

/// How many threads to use: as many as asked for, or as the machine has cores.
pub fn threads(asked: Option<u16>) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    asked.map_or(cores, usize::from)
}

/// Runs `work` on every item of `items` on several threads, each of which has something of its own
/// to work with, and hands each result to `done`. Stops at the first error.
pub fn in_parallel<T: Sync, S: Default, R: Send, E: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T, &mut S) -> Result<R, E> + Sync,
    mut done: impl FnMut(&T, R) + Send,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let done = Mutex::new(&mut done);
    let lock = |error: E| {
        stop.store(true, Ordering::Relaxed);
        *failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                let mut own = S::default();
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    match work(item, &mut own) {
                        Ok(result) => {
                            let mut done =
                                done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            done(item, result);
                        }
                        Err(error) => lock(error),
                    }
                }
            });
        }
    });
    match failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// How far hashing or copying has come, on standard error: a bar on a terminal, a line now and then elsewhere.
#[derive(Debug)]
pub struct HashingProgress {
    verb: &'static str,
    name: String,
    total: u64,
    done: u64,
    quiet: bool,
    display: Option<Display>,
    began: Instant,
    told: Instant,
}

impl HashingProgress {
    /// For this many bytes of what has this name; nothing is shown if `quiet`.
    pub fn new(name: &str, total: u64, quiet: bool) -> Self {
        Self::of("hashing", name, total, quiet)
    }

    /// For a torrent that is moved, of which nothing is known yet.
    pub fn moving(name: &str, quiet: bool) -> Self {
        Self::of("moving", name, 0, quiet)
    }

    fn of(verb: &'static str, name: &str, total: u64, quiet: bool) -> Self {
        let display = if quiet { None } else { Display::open() };
        let now = Instant::now();
        let name = name.to_owned();
        Self { verb, name, total, done: 0, quiet, display, began: now, told: now }
    }

    /// So many bytes more are hashed.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let (now, worked) = (Instant::now(), self.began.elapsed());
        let every = if self.display.is_some() { FRAME } else { LINE_EVERY };
        if self.quiet || worked < SHOWN_AFTER || now.duration_since(self.told) < every {
            return;
        }
        self.told = now;
        match &self.display {
            Some(display) => {
                let (columns, height) = terminal_size();
                display.show(lines(&[self.row()], columns, height, false));
            }
            None => say_styled(&plain(&self.row())),
        }
    }

    /// This is what is copied by now, and all that is to be.
    pub fn reach_of(&mut self, bytes: u64, total: u64) {
        self.total = total;
        self.reach(bytes);
    }

    /// So many bytes are hashed in all.
    pub fn reach(&mut self, bytes: u64) {
        self.done = bytes;
        self.add(0);
    }

    /// How far it is.
    fn row(&self) -> Row {
        let done = self.done.min(self.total);
        let rate = done as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        Row {
            name: format!("{} {}", self.verb, printable(&self.name)),
            phase: Phase::Hashing,
            done,
            length: self.total,
            down_rate: rate as u64,
            up_rate: 0,
            uploaded: 0,
            peers: 0,
            seeds: 0,
            utp: 0,
            web_seeds: 0,
            note: None,
            map: Vec::new(),
        }
    }
}
