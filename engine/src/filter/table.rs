//! Ranges of numbers, in order, none touching the next.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

/// What addresses are made of.
pub(super) trait Number: Copy + Ord {
    const ONE: Self;
    fn plus(self, other: Self) -> Option<Self>;
    fn minus(self, other: Self) -> Self;
}

macro_rules! number {
    ($($kind:ty),*) => {$(
        impl Number for $kind {
            const ONE: Self = 1;
            fn plus(self, other: Self) -> Option<Self> {
                self.checked_add(other)
            }
            fn minus(self, other: Self) -> Self {
                self.saturating_sub(other)
            }
        }
    )*};
}
number!(u32, u64, u128);

/// First and last numbers apart from each other, so that a search reads half as much.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Ranges<N> {
    first: Box<[N]>,
    last: Box<[N]>,
}

impl<N> Default for Ranges<N> {
    fn default() -> Self {
        Self { first: Box::default(), last: Box::default() }
    }
}

impl<N: Number> Ranges<N> {
    /// Of any ranges: those that overlap or touch become one.
    pub(super) fn merge(mut ranges: Vec<(N, N)>) -> Self {
        ranges.sort_unstable();
        let mut kept = 0;
        for at in 0..ranges.len() {
            let (first, last) = ranges[at];
            let touches = |before: &(N, N)| before.1.plus(N::ONE).is_none_or(|next| first <= next);
            if kept > 0 && touches(&ranges[kept - 1]) {
                ranges[kept - 1].1 = ranges[kept - 1].1.max(last);
            } else {
                ranges[kept] = (first, last);
                kept += 1;
            }
        }
        ranges.truncate(kept);
        let first = ranges.iter().map(|(first, _)| *first).collect();
        Self { first, last: ranges.into_iter().map(|(_, last)| last).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (N, N)> + '_ {
        self.first.iter().copied().zip(self.last.iter().copied())
    }

    pub(super) fn contains(&self, number: N) -> bool {
        self.contains_within(0..self.len(), number)
    }

    /// The same where it is known between which places a range would begin that contains it.
    pub(super) fn contains_within(&self, places: Range<usize>, number: N) -> bool {
        let begin = places.start;
        let near = self.first.get(places).unwrap_or_default();
        let before = begin + near.partition_point(|first| *first <= number);
        let last = before.checked_sub(1).and_then(|at| self.last.get(at));
        last.is_some_and(|last| number <= *last)
    }

    /// Each as the distance from the end of the one before it, and its length less one.
    pub(super) fn steps(&self) -> Vec<(N, N)> {
        let mut end = None;
        let step = |(first, last): (N, N)| {
            let gap = end.map_or(first, |end| first.minus(end));
            end = Some(last);
            (gap, last.minus(first))
        };
        self.iter().map(step).collect()
    }

    /// The other way round, in place; `None` where they lead beyond the last number.
    pub(super) fn of_steps(mut steps: Vec<(N, N)>) -> Option<Self> {
        let mut end: Option<N> = None;
        for (gap, length) in &mut steps {
            let first = match end {
                Some(end) => end.plus(*gap)?,
                None => *gap,
            };
            let last = first.plus(*length)?;
            end = Some(last);
            (*gap, *length) = (first, last);
        }
        // What was damaged may touch or overlap: that is put right, and blocks the same.
        Some(Self::merge(steps))
    }
}

/// Ranges from which an index of them pays.
const INDEXED: usize = 4096;

/// For each beginning of 16 bits, how many ranges begin before it. Without one, a search looks at all.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Starts {
    all: usize,
    before: Option<Box<[u32]>>,
}

impl Starts {
    pub(super) fn of(ranges: &Ranges<u32>) -> Self {
        let all = ranges.len();
        let index = || {
            let begin = |bits: u32| ranges.first.partition_point(|first| first >> 16 < bits) as u32;
            (0..=1 << 16).map(begin).collect()
        };
        Self { all, before: (all >= INDEXED).then(index) }
    }

    /// Where ranges begin that begin with the same bits as `number`, and one before them.
    pub(super) fn near(&self, number: u32) -> Range<usize> {
        let Some(before) = &self.before else { return 0..self.all };
        let high = (number >> 16) as usize;
        let at = |place: usize| before.get(place).map_or(self.all, |count| *count as usize);
        at(high).saturating_sub(1)..at(high + 1)
    }

    pub(super) fn bytes(&self) -> usize {
        self.before.as_ref().map_or(0, |before| 4 * before.len())
    }
}
