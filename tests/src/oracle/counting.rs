//! An allocator that counts what each thread takes. A program makes it its own with
//! `#[global_allocator]`; without that, everything counts as nothing.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with counts for each thread. What one thread takes and another gives
/// back counts for both.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

/// Counts of one thread since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Bytes taken and not given back.
    pub(super) live: i64,
    /// The most that `live` has been since the peak was last reset.
    pub(super) peak: i64,
    /// How often memory was taken, or made longer.
    pub(super) calls: u64,
    /// Bytes taken in all.
    pub(super) taken: u64,
    /// Where `live` may not go: beyond it, allocations fail.
    pub(super) limit: i64,
}

/// A limit that is none.
pub(super) const NO_LIMIT: i64 = i64::MAX;

thread_local! {
    // No destructor and no lazy start: it may be used while a thread begins and ends.
    static COUNTS: Cell<Counts> = const {
        Cell::new(Counts { live: 0, peak: 0, calls: 0, taken: 0, limit: NO_LIMIT })
    };
}

/// What the calling thread has counted.
pub(super) fn counts() -> Counts {
    COUNTS.get()
}

/// Lets the peak begin at what is live now, and sets a limit above that.
pub(super) fn begin(limit: i64) -> Counts {
    let counts = COUNTS.get();
    let limit = counts.live.saturating_add(limit);
    COUNTS.set(Counts { peak: counts.live, limit, ..counts });
    counts
}

/// Whether `more` bytes may be taken.
fn may_take(more: usize) -> bool {
    let counts = COUNTS.get();
    i64::try_from(more).is_ok_and(|more| counts.live.saturating_add(more) <= counts.limit)
}

fn changed(before: usize, after: usize) {
    let mut counts = COUNTS.get();
    let more = after as i64 - before as i64;
    counts.live += more;
    counts.peak = counts.peak.max(counts.live);
    if after > 0 {
        counts.calls += 1;
        counts.taken += after.saturating_sub(before) as u64;
    }
    COUNTS.set(counts);
}

// SAFETY: every call goes to the system's allocator with the arguments that came. Counting touches
// no memory but a cell of the thread, and neither allocates nor panics: lengths fit in an `i64`, as
// `Layout` sees to.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !may_take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract of this method, which is that of the system's.
        let at = unsafe { System.alloc(layout) };
        if !at.is_null() {
            changed(0, layout.size());
        }
        at
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !may_take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `alloc`.
        let at = unsafe { System.alloc_zeroed(layout) };
        if !at.is_null() {
            changed(0, layout.size());
        }
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`; `at` came from the system's allocator.
        unsafe { System.dealloc(at, layout) };
        changed(layout.size(), 0);
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !may_take(size.saturating_sub(layout.size())) {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `dealloc`.
        let new = unsafe { System.realloc(at, layout, size) };
        if !new.is_null() {
            changed(layout.size(), size);
        }
        new
    }
}
