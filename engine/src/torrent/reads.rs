//! Who reads the data of a torrent: windows that readers name, and ranges that are waited for.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::api::{CommandError, FileRange, ReadAhead, ReaderId, Tag};
use crate::base::bits::Bits;
use crate::base::time::Instant;
use crate::metainfo::Metainfo;
use crate::picker::{MAX_READERS, Window};

/// Numbers of readers that wait for one range each, told apart from those that the embedder numbers.
const FIRST_WAITING: u32 = 1 << 31;

/// A range that somebody waits for.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting {
    tag: Tag,
    range: FileRange,
    /// All pieces of it before this one are verified.
    front: u32,
    window: Window,
}

/// What came of a range that was waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answered {
    pub(super) tag: Tag,
    pub(super) range: FileRange,
    /// The number under which the picker knows it.
    pub(super) reader: u32,
}

/// The readers of a torrent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reads {
    windows: BTreeMap<u32, Window>,
    waiting: BTreeMap<u32, Waiting>,
    next: u32,
}

impl Reads {
    /// Whether nobody waits for a range.
    pub(super) fn none_waits(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All windows, by the numbers under which the picker knows them.
    pub(super) fn windows(&self) -> impl Iterator<Item = (u32, Window)> + '_ {
        let waiting = self.waiting.iter().map(|(reader, waiting)| (*reader, waiting.window));
        self.windows.iter().map(|(reader, window)| (*reader, *window)).chain(waiting)
    }

    /// A reader names its window, or leaves. Returns its number and window for the picker.
    ///
    /// # Errors
    /// The range is not one of a file, or there are too many readers.
    pub(super) fn set(
        &mut self,
        reader: ReaderId,
        ahead: Option<&ReadAhead>,
        metainfo: &Metainfo,
        now: Instant,
    ) -> Result<(u32, Option<Window>), CommandError> {
        let number = reader.0 & (FIRST_WAITING - 1);
        let Some(ahead) = ahead else {
            self.windows.remove(&number);
            return Ok((number, None));
        };
        let pieces = pieces_of(&ahead.range, metainfo)?;
        if !self.windows.contains_key(&number) && self.len() >= MAX_READERS {
            return Err(CommandError::TooManyReaders);
        }
        let length = u64::from(metainfo.geometry().piece_length());
        let pace = ahead.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_nanos(length.saturating_mul(1_000_000_000) / rate.get())
        });
        let window = Window { first: pieces.start, end: pieces.end, due: now + ahead.within, pace };
        self.windows.insert(number, window);
        Ok((number, Some(window)))
    }

    /// Somebody waits for a range of which all pieces are there, or come. Returns the number and window for the picker.
    ///
    /// # Errors
    /// The range is not one of a file, a piece of it does not come, or there are too many readers.
    pub(super) fn wait(
        &mut self,
        tag: Tag,
        range: FileRange,
        within: Duration,
        metainfo: &Metainfo,
        now: Instant,
        comes: impl Fn(u32) -> bool,
    ) -> Result<(u32, Window), CommandError> {
        let pieces = pieces_of(&range, metainfo)?;
        if !pieces.clone().all(comes) {
            return Err(CommandError::NotWanted);
        }
        if self.len() >= MAX_READERS {
            return Err(CommandError::TooManyReaders);
        }
        // Fewer wait than there are numbers.
        while self.waiting.contains_key(&(FIRST_WAITING | self.next)) {
            self.next = (self.next + 1) % FIRST_WAITING;
        }
        let reader = FIRST_WAITING | self.next;
        self.next = (self.next + 1) % FIRST_WAITING;
        let (due, pace) = (now + within, Duration::ZERO);
        let window = Window { first: pieces.start, end: pieces.end, due, pace };
        self.waiting.insert(reader, Waiting { tag, range, front: pieces.start, window });
        Ok((reader, window))
    }

    /// The ranges of which all pieces are verified now: they are waited for no more.
    pub(super) fn take_ready(&mut self, have: &Bits) -> Vec<Answered> {
        let mut ready = Vec::new();
        self.waiting.retain(|reader, waiting| {
            let Window { first, end, .. } = waiting.window;
            while waiting.front < end && have.has(waiting.front) {
                waiting.front += 1;
            }
            // One that was verified may have been lost since.
            let done = waiting.front >= end
                && have.ones_within(first..end).count() == (end - first) as usize;
            if done {
                ready.push(Answered { tag: waiting.tag, range: waiting.range, reader: *reader });
            } else if waiting.front >= end {
                waiting.front = first;
            }
            !done
        });
        ready
    }

    /// Ranges that will not come: `lost` says so of a piece of a file.
    pub(super) fn take_hopeless(&mut self, lost: impl Fn(u32, u32) -> bool) -> Vec<Answered> {
        let mut gone = Vec::new();
        self.waiting.retain(|reader, waiting| {
            let lost = |piece| lost(waiting.range.file, piece);
            let hopeless = (waiting.window.first..waiting.window.end).any(lost);
            if hopeless {
                gone.push(Answered { tag: waiting.tag, range: waiting.range, reader: *reader });
            }
            !hopeless
        });
        gone
    }

    fn len(&self) -> usize {
        self.windows.len() + self.waiting.len()
    }
}

/// The pieces that a range of a file lies in.
fn pieces_of(range: &FileRange, metainfo: &Metainfo) -> Result<Range<u32>, CommandError> {
    let file = metainfo.layout().files().get(range.file as usize);
    let file = file.ok_or(CommandError::UnknownFile)?;
    let end = range.offset.checked_add(range.length).filter(|end| *end <= file.length);
    if range.length == 0 || end.is_none() {
        return Err(CommandError::OutOfRange);
    }
    Ok(metainfo.geometry().pieces_of(file.offset + range.offset, range.length))
}
