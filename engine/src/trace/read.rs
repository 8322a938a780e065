//! Reading a trace. Every byte of it is taken for hostile.

use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

use super::chain::ActionMark;
use super::format::{
    Header, MAGIC, MAX_EVENT_BYTES, MAX_RECORD, Segment, Step, Stored, TraceError, VERSION,
    take_number, take_time,
};
use crate::api::{DiskOutcome, Event, StreamEvent};
use crate::base::time::Instant;

/// A trace in memory, with an index of its steps.
#[derive(Clone, Debug)]
pub struct Trace {
    header: Header,
    bytes: Bytes,
    /// Where the body of each record lies, and the time of its step.
    index: Vec<(usize, usize, Instant)>,
    cut: bool,
}

impl Trace {
    /// Reads header and index.
    ///
    /// # Errors
    /// When it is no trace, or its first record is damaged. A trace that was cut ends with its
    /// last whole step.
    pub fn parse(bytes: Bytes) -> Result<Self, TraceError> {
        let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or(TraceError::NotATrace)?;
        let (version, mut rest) = rest.split_first().ok_or(TraceError::Header)?;
        if *version != VERSION {
            return Err(TraceError::Version(*version));
        }
        let body = take_record(&mut rest).ok_or(TraceError::Header)?;
        let header: Header = postcard::from_bytes(body).map_err(|_| TraceError::Header)?;
        let mut last = match &header.origin {
            super::Origin::New(parts) => parts.2,
            super::Origin::Snapshot(_) => Instant::ZERO,
        };
        let mut index = Vec::new();
        let mut cut = false;
        while !rest.is_empty() {
            let record = take_record(&mut rest);
            let now = record.and_then(|mut body| take_time(&mut body, last));
            let (Some(body), Some(now)) = (record, now) else {
                cut = true;
                break;
            };
            let end = bytes.len() - rest.len();
            index.push((end - body.len(), end, now));
            last = now;
        }
        Ok(Self { header, bytes, index, cut })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Number of whole steps.
    pub fn len(&self) -> u64 {
        self.index.len() as u64
    }

    /// True when there is no whole step.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether something follows the last whole step.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The time of step `number`, counted from 1.
    pub fn time_of(&self, number: u64) -> Option<Instant> {
        self.place(number).map(|(.., now)| now)
    }

    fn place(&self, number: u64) -> Option<(usize, usize, Instant)> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        self.index.get(at).copied()
    }

    /// Step `number`, counted from 1; `None` behind the end.
    ///
    /// # Errors
    /// When its record is damaged.
    pub fn step(&self, number: u64) -> Result<Option<Step>, TraceError> {
        let Some((start, end, now)) = self.place(number) else { return Ok(None) };
        let damaged = TraceError::Record(number);
        let mut body = &self.bytes[start..end];
        // The time is in the index already.
        take_time(&mut body, now).ok_or(damaged)?;
        let count = take_number(&mut body).ok_or(damaged)?;
        let mut events = Vec::new();
        for _ in 0..count {
            let (stored, rest) = postcard::take_from_bytes::<Stored>(body).map_err(|_| damaged)?;
            body = rest;
            events.push(event(stored).ok_or(damaged)?);
        }
        let marks = take_number(&mut body).and_then(|n| usize::try_from(n).ok()).ok_or(damaged)?;
        let (marks, digest) = body.split_at_checked(marks).ok_or(damaged)?;
        let digest = u32::from_le_bytes(digest.try_into().map_err(|_| damaged)?);
        let marks = marks.iter().map(|mark| ActionMark(*mark)).collect();
        Ok(Some(Step { now, events, marks, digest }))
    }
}

fn take_record<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut ahead = *rest;
    let length = take_number(&mut ahead).filter(|length| *length <= MAX_RECORD)?;
    let (body, behind) = ahead.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(body)
}

fn event(stored: Stored) -> Option<Event> {
    Some(match stored {
        Stored::Received(conn, segments) => {
            Event::Stream(conn, StreamEvent::Received(fill(&segments)?))
        }
        Stored::Read(op, length) => {
            let length = usize::try_from(length).ok()?;
            if length as u64 > MAX_EVENT_BYTES {
                return None;
            }
            Event::Disk(op, DiskOutcome::Read(BytesMut::zeroed(length).freeze()))
        }
        Stored::Other(event) => event,
    })
}

/// Received bytes with zeros in the place of content.
fn fill(segments: &[Segment]) -> Option<Bytes> {
    let lengths = segments.iter().map(|segment| match segment {
        Segment::Verbatim(bytes) => Some(bytes.len() as u64),
        Segment::Block { length, missing, .. } => {
            length.checked_sub(*missing).map(|here| u64::from(here) + 13)
        }
        Segment::Content(count) => Some(u64::from(*count)),
    });
    let total = lengths.sum::<Option<u64>>()?;
    if total > MAX_EVENT_BYTES {
        return None;
    }
    let mut out = BytesMut::with_capacity(total as usize);
    for segment in segments {
        match segment {
            Segment::Verbatim(bytes) => out.extend_from_slice(bytes),
            Segment::Block { piece, begin, length, missing } => {
                out.put_u32(length.checked_add(9)?);
                out.put_u8(7);
                out.put_u32(*piece);
                out.put_u32(*begin);
                out.put_bytes(0, (length - missing) as usize);
            }
            Segment::Content(count) => out.put_bytes(0, *count as usize),
        }
    }
    Some(out.freeze())
}
