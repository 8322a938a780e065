//! Receive buffers: each is lent out with what a read brought, and comes back when nobody holds any
//! part of it, so that bytes land where bytes have landed before: no page is touched for the first
//! time, and none is cleared.
//!
//! A read of a stream fills several of them, one behind the other; of messages, each has one to itself.

#[cfg(test)]
mod tests;

use std::io::{self, IoSliceMut, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

/// Bytes of a buffer.
const BUFFER: usize = 128 * 1024;
/// Buffers that one read fills.
const AT_ONCE: usize = 4;
/// Bytes of a buffer for a message: the longest that there is.
const MESSAGE: usize = 64 * 1024;
/// Messages that one call brings.
pub const MESSAGES: usize = 16;
/// What fills less than this part of a buffer is copied, so that what is kept of a read pins no more than four times
/// itself.
const COPIED: usize = 4;
/// Messages lent at once. Where somebody holds on to a little of each of more, the others are copied datagram by
/// datagram.
pub const MAX_MESSAGES_LENT: usize = 512;
/// Buffers kept for later use: all that one fast download has on their way. What does not fit is
/// given to the system, which wipes each page before it is used again.
const MAX_KEPT: usize = 160;
/// Buffers kept while nothing comes.
const KEPT_AT_REST: usize = 8;
/// How long that has to last: under a rate limit nothing comes for most of the time.
const REST_AFTER: Duration = Duration::from_secs(1);

type Buffer = Box<[u8]>;
type Kept = Arc<Mutex<Vec<Buffer>>>;

/// A source of receive buffers.
#[derive(Debug)]
pub struct Buffers {
    /// Bytes of each.
    each: usize,
    /// Those that the next read goes to.
    next: Vec<Buffer>,
    kept: Kept,
    /// For how long nothing has come.
    quiet: Duration,
}

/// A buffer on loan.
struct Lent {
    buffer: Buffer,
    count: usize,
    home: Kept,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.count]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        let mut kept = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_KEPT {
            kept.push(buffer);
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::of(BUFFER)
    }
}

/// What one call brought.
#[derive(Debug)]
pub enum Message {
    /// It may be cut into parts, which hold all of it.
    Whole(Bytes),
    /// Too many are held already: whoever wants a part of it copies that.
    Copied(Bytes),
}

impl Buffers {
    /// Bytes of one buffer.
    pub const EACH: usize = BUFFER;
    /// Most bytes that one read brings.
    pub const MOST: usize = AT_ONCE * BUFFER;

    fn of(each: usize) -> Self {
        Self { each, next: Vec::new(), kept: Kept::default(), quiet: Duration::ZERO }
    }

    /// Buffers for messages.
    #[must_use]
    pub fn for_messages() -> Self {
        Self::of(MESSAGE)
    }

    /// Has `take` fill buffers with a message each. It is given room for [`MESSAGES`] and says of each that it filled
    /// how long it is. Returns their number.
    ///
    /// # Errors
    /// Whatever `take` says.
    pub fn messages(
        &mut self,
        take: impl FnOnce(&mut [IoSliceMut<'_>], &mut [usize]) -> io::Result<usize>,
        into: &mut Vec<Message>,
    ) -> io::Result<usize> {
        self.prepare(MESSAGES);
        let mut lengths = [0; MESSAGES];
        let mut rooms = self.next.iter_mut();
        let mut slices: [IoSliceMut<'_>; MESSAGES] = std::array::from_fn(|_| {
            IoSliceMut::new(rooms.next().map_or(&mut [][..], |buffer| &mut buffer[..]))
        });
        let count = take(&mut slices, &mut lengths)?;
        self.quiet = Duration::ZERO;
        for length in &lengths[..count] {
            let buffer = self.next.remove(0);
            let crowded = self.lent() >= MAX_MESSAGES_LENT;
            into.push(match crowded {
                false => Message::Whole(self.lend(buffer, *length)),
                true => Message::Copied(self.lend(buffer, *length)),
            });
        }
        Ok(count)
    }

    /// Buffers of which somebody holds a part.
    #[must_use]
    pub fn lent(&self) -> usize {
        // Each knows where it has to go back to.
        Arc::strong_count(&self.kept) - 1
    }

    /// Gets buffers ready for a read into as many.
    fn prepare(&mut self, wanted: usize) {
        while self.next.len() < wanted {
            let buffer = self.buffer();
            self.next.push(buffer);
        }
    }

    /// Hands out the first bytes of a buffer, or a copy where they are few.
    fn lend(&self, buffer: Buffer, count: usize) -> Bytes {
        if count < self.each / COPIED {
            let copy = Bytes::copy_from_slice(&buffer[..count]);
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
            return copy;
        }
        Bytes::from_owner(Lent { buffer, count, home: self.kept.clone() })
    }

    /// Reads once from `source`, at most `limit` bytes, and appends what came to `into`, in order. `arrived` may
    /// change the bytes of each part in place.
    /// Returns the number of bytes; 0 is the end of the stream.
    ///
    /// # Errors
    /// Whatever the source says.
    pub fn read(
        &mut self,
        source: &mut impl Read,
        limit: usize,
        mut arrived: impl FnMut(&mut [u8]),
        into: &mut Vec<Bytes>,
    ) -> io::Result<usize> {
        let wanted = limit.div_ceil(BUFFER).min(AT_ONCE);
        self.prepare(wanted);
        let mut left = limit;
        let mut slices: [IoSliceMut<'_>; AT_ONCE] =
            std::array::from_fn(|_| IoSliceMut::new(&mut []));
        for (slice, buffer) in slices.iter_mut().zip(&mut self.next[..wanted]) {
            let room = left.min(BUFFER);
            left -= room;
            *slice = IoSliceMut::new(&mut buffer[..room]);
        }
        let total = source.read_vectored(&mut slices[..wanted])?;
        self.quiet = Duration::ZERO;
        let mut left = total;
        for _ in 0..total.div_ceil(BUFFER) {
            let mut buffer = self.next.remove(0);
            let count = left.min(BUFFER);
            left -= count;
            arrived(&mut buffer[..count]);
            into.push(self.lend(buffer, count));
        }
        Ok(total)
    }

    /// Lends a buffer of which `fill` has filled the first `count` bytes, at most [`Self::EACH`];
    /// `None` when it says that it has not.
    pub fn fill(&mut self, count: usize, fill: impl FnOnce(&mut [u8]) -> bool) -> Option<Bytes> {
        self.quiet = Duration::ZERO;
        let mut buffer = self.next.pop().unwrap_or_else(|| self.buffer());
        if !fill(&mut buffer[..count]) {
            self.next.push(buffer);
            return None;
        }
        Some(Bytes::from_owner(Lent { buffer, count, home: self.kept.clone() }))
    }

    /// Nothing has happened for this time: after a second without a read, gives back what is kept for more
    /// than a little.
    pub fn idle(&mut self, time: Duration) {
        self.quiet = self.quiet.saturating_add(time);
        if self.quiet < REST_AFTER {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() > KEPT_AT_REST {
            kept.truncate(KEPT_AT_REST);
            kept.shrink_to_fit();
        }
    }

    fn buffer(&self) -> Buffer {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; self.each].into())
    }
}
