//! Measuring a run, and holding it against what it may cost.

use std::time::Duration;

use super::bounds::{Bound, bound_of};
use super::counting::{self, NO_LIMIT};
use super::shapes::Shape;

/// Bytes that a run may hold, whatever its bound: beyond them an allocation fails, which ends the
/// process, so that a fault does not take the machine with it.
const MOST_LIVE: i64 = 1 << 30;
/// Bytes taken from the allocator that count as one unit of work: a line of the processor's cache.
const BYTES_A_UNIT: u64 = 64;
/// The lengths at which a shape is measured.
const LENGTHS: [usize; 4] = [1 << 14, 1 << 16, 1 << 18, 1 << 20];
/// How much more a byte of the longest input may cost than one of the shortest, in percent. Between
/// them lies a factor of 64: with n log n it is 143, with n² 6,400.
const GROWTH: u64 = 180;

/// What a run took on its thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spent {
    /// Bytes held at its highest, beyond those that were held before.
    pub peak: u64,
    /// Work, the same in every run: calls to the allocator, and a unit for each 64 bytes taken from
    /// it.
    pub work: u64,
    /// Time of the processor. Differs between runs and machines.
    pub time: Duration,
}

/// Lifts the limit of the thread at its end, also when what was measured panics.
struct Limited;

impl Drop for Limited {
    fn drop(&mut self) {
        counting::begin(NO_LIMIT);
    }
}

/// Runs something and says what it took. Memory and work are 0 where [`super::Counting`] is not the
/// allocator of the program.
pub fn measure(run: impl FnOnce()) -> Spent {
    let started = processor_time();
    let before = counting::begin(MOST_LIVE);
    let limited = Limited;
    run();
    let after = counting::counts();
    drop(limited);
    let taken = after.taken - before.taken;
    Spent {
        peak: u64::try_from(after.peak - before.live).unwrap_or(0),
        work: after.calls - before.calls + taken / BYTES_A_UNIT,
        time: processor_time().saturating_sub(started),
    }
}

/// Time that the calling thread has run; 0 where the system has no clock for that.
#[cfg(unix)]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(unix))]
fn processor_time() -> Duration {
    Duration::ZERO
}

impl Bound {
    /// Whether an input of `length` bytes held no more memory and made no more work than this. Both
    /// are the same in every run; see [`Bound::hold_time`] for what is not.
    ///
    /// # Errors
    /// What was exceeded, with the figures.
    pub fn hold(&self, length: usize, spent: &Spent) -> Result<(), String> {
        let length = length as u64;
        let most = |(allowance, factor): (u64, u64)| allowance + factor * length;
        let (memory, work) = (most(self.memory), most(self.work));
        let Spent { peak, work: done, .. } = *spent;
        let fault = match () {
            () if peak > memory => format!("held {peak} bytes at once, may hold {memory}"),
            () if done > work => format!("made {done} units of work, may make {work}"),
            () => return Ok(()),
        };
        Err(format!("{}: {length} bytes {fault}", self.target))
    }

    /// Whether an input of `length` bytes took no more time of the processor than this. It depends
    /// on the machine, so the fuzzers ask and the tests do not.
    ///
    /// # Errors
    /// What was exceeded, with the figures.
    pub fn hold_time(&self, length: usize, spent: &Spent) -> Result<(), String> {
        let (allowance, factor) = self.time;
        let time = Duration::from_millis(allowance)
            + Duration::from_nanos(factor.saturating_mul(length as u64));
        if spent.time <= time {
            return Ok(());
        }
        let took = spent.time;
        Err(format!("{}: {length} bytes took {took:?} of time, may take {time:?}", self.target))
    }
}

/// Runs a target over an input, and panics when it takes more memory or work than its bound.
///
/// # Panics
/// When the target does, and when it costs too much.
pub fn judge(target: &str, length: usize, run: impl FnOnce()) -> Spent {
    let spent = measure(run);
    if let Err(text) = bound_of(target).hold(length, &spent) {
        panic!("{text}");
    }
    spent
}

/// Gives `run` ever longer inputs of one shape: each has to be within its bound, and a byte of the
/// longest may make little more work than one of the shortest.
///
/// # Errors
/// What was exceeded, with the figures.
pub fn grow(shape: &Shape, run: fn(&[u8])) -> Result<(), String> {
    // What a target makes once, it makes here.
    run(b"");
    let mut all: Vec<(u64, Spent)> = Vec::new();
    for length in LENGTHS {
        let input = (shape.make)(length);
        let spent = measure(|| run(&input));
        let bound = bound_of(shape.target);
        bound.hold(input.len(), &spent).map_err(|text| format!("{}: {text}", shape.name))?;
        all.push((input.len() as u64, spent));
    }
    let (Some((short, first)), Some((long, last))) = (all.first(), all.last()) else {
        return Ok(());
    };
    if *short == 0 {
        return Err(format!("{}: {}: makes nothing of {}", shape.target, shape.name, LENGTHS[0]));
    }
    let linear = |cost: u64, small: u64| (cost + bound_of(shape.target).work.0 / 10) * long / small;
    let steep = last.work > linear(first.work, *short) * GROWTH / 100;
    if steep {
        return Err(format!(
            "{}: {}: grows faster than its length: {all:?}",
            shape.target, shape.name
        ));
    }
    Ok(())
}
