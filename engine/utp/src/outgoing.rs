//! What a caller keeps of a stream that it sends: all bytes that a lost datagram may ask for again.

use alloc::collections::VecDeque;
use core::ops::Range;

use bytes::Bytes;

/// The outgoing stream of a connection: appended to at its end, read anywhere, let go of from its beginning. Nothing is
/// copied: what is read are slices of what was appended.
///
/// ```
/// use eddyline_utp::OutgoingStream;
///
/// let mut stream = OutgoingStream::default();
/// stream.append("some ".into());
/// stream.append("bytes".into());
/// let parts: Vec<_> = stream.range(3..7).unwrap().collect();
/// assert_eq!(parts, ["e ", "by"]);
/// stream.release(5);
/// assert!(stream.range(3..7).is_none());
/// assert_eq!((stream.held(), stream.end()), (5, 10));
/// ```
#[derive(Clone, Debug, Default)]
pub struct OutgoingStream {
    /// Each with its position; none is empty.
    parts: VecDeque<(u64, Bytes)>,
    released: u64,
    end: u64,
}

impl OutgoingStream {
    /// Appends bytes.
    pub fn append(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            let at = self.end;
            self.end += bytes.len() as u64;
            self.parts.push_back((at, bytes));
        }
    }

    /// The position behind the last byte: how many were appended so far.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that were appended and not released.
    pub const fn held(&self) -> u64 {
        self.end - self.released
    }

    /// The bytes between two positions, as few slices as they were appended in. `None` if some of them were released,
    /// or not appended yet.
    pub fn range(&self, range: Range<u64>) -> Option<impl Iterator<Item = Bytes> + '_> {
        let Range { start, end } = range;
        if start < self.released || end > self.end || start > end {
            return None;
        }
        let first = self.parts.partition_point(|(at, part)| at + part.len() as u64 <= start);
        let parts = self.parts.range(first..).take_while(move |(at, _)| *at < end);
        Some(parts.map(move |(at, part)| {
            // Both are within the part, whose length is one of this machine.
            let from = start.saturating_sub(*at) as usize;
            let to = (end - at).min(part.len() as u64) as usize;
            part.slice(from..to)
        }))
    }

    /// Lets go of everything before a position. Memory is given back part by part.
    pub fn release(&mut self, up_to: u64) {
        self.released = up_to.clamp(self.released, self.end);
        while let Some((at, part)) = self.parts.front()
            && at + part.len() as u64 <= self.released
        {
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of outgoing streams.

    extern crate std;

    use alloc::vec::Vec;

    use super::*;

    fn read(stream: &OutgoingStream, range: Range<u64>) -> Option<Vec<u8>> {
        Some(stream.range(range)?.collect::<Vec<_>>().concat())
    }

    #[test]
    fn a_range_is_slices_of_what_was_appended() {
        let mut stream = OutgoingStream::default();
        let whole = Bytes::from_static(b"0123456789");
        stream.append(whole.clone());
        let slices: Vec<Bytes> = stream.range(2..5).expect("it is there").collect();
        assert_eq!(slices, [&b"234"[..]]);
        assert_eq!(slices[0].as_ptr(), whole[2..].as_ptr(), "nothing is copied");
    }

    #[test]
    fn what_is_not_there_is_not_given() {
        let mut stream = OutgoingStream::default();
        stream.append(Bytes::from_static(b"0123"));
        stream.release(2);
        assert_eq!(read(&stream, 1..3), None);
        assert_eq!(read(&stream, 3..5), None);
        assert_eq!(read(&stream, Range { start: 4, end: 3 }), None);
        assert_eq!(read(&stream, 2..4).as_deref(), Some(&b"23"[..]));
        assert_eq!(read(&stream, 4..4).as_deref(), Some(&b""[..]));
        stream.release(u64::MAX);
        assert_eq!((stream.held(), stream.end()), (0, 4));
    }

    #[test]
    fn a_stream_in_parts_is_one_stream() {
        fn property(parts: Vec<Vec<u8>>, cuts: Vec<(u16, u16)>, released: u16) -> bool {
            let all = parts.concat();
            let mut stream = OutgoingStream::default();
            parts.into_iter().for_each(|part| stream.append(part.into()));
            let released = usize::from(released) % (all.len() + 1);
            stream.release(released as u64);
            let place = |at: u16| usize::from(at) % (all.len() + 2);
            let right = cuts.into_iter().all(|(from, to)| {
                let (from, to) = (place(from), place(to));
                let there = from >= released && from <= to && to <= all.len();
                let expected = there.then(|| all[from..to].to_vec());
                read(&stream, from as u64..to as u64) == expected
            });
            right && stream.held() == (all.len() - released) as u64
        }
        quickcheck::quickcheck(property as fn(Vec<Vec<u8>>, Vec<(u16, u16)>, u16) -> bool);
    }
}
