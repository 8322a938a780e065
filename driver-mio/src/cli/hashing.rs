//! Hashing on all cores for `create` and `verify`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
