//! Reading a trace. Every byte of it is taken for hostile: what is in it takes memory in proportion
//! to its bytes, and what was left out of it, which takes a few bytes however long it was, is
//! bounded for an event, for a step, and for all steps where they are kept.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;

use super::chain::ActionMark;
use super::format::{
    Header, MAGIC, MAX_BYTES_PER_BYTE, MAX_EVENT_BYTES, MAX_READ_BYTES, MAX_RECORD, MAX_STEP_BYTES,
    PARTS, RECEIVED, Segment, ShortId, Step, Stored, TraceError, VERSION, take_number, take_time,
};
use super::packets::{Base, EVENT, Packets};
use crate::api::{DiskOutcome, Event, StreamEvent};
use crate::base::time::Instant;

/// A trace in memory, with an index of its steps.
#[derive(Clone, Debug)]
pub struct Trace {
    header: Header,
    bytes: Bytes,
    /// Where the body of each record lies, and the time of its step.
    index: Vec<(usize, usize, Instant)>,
    /// For each step with datagrams of µTP, what is known before it, by its number.
    bases: BTreeMap<u64, Base>,
    cut: bool,
    /// What stands for a block that was read: nobody looks at it, so one is enough.
    block: Bytes,
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
        let mut bases = BTreeMap::new();
        let mut packets = Some(Packets::default());
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
            // Behind a damaged one, no other can be read.
            packets = packets.take().and_then(|mut packets| {
                let base = base(&mut packets, body, now, last)?;
                bases.extend(base.map(|base| (index.len() as u64, base)));
                Some(packets)
            });
            last = now;
        }
        let block = BytesMut::zeroed(MAX_READ_BYTES as usize).freeze();
        Ok(Self { header, bytes, index, bases, cut, block })
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
        let datagrams = take_datagrams(&mut body).ok_or(damaged)?;
        let packets = self.bases.get(&number).map(Base::packets).unwrap_or_default();
        let mut datagrams = Datagrams { packets, bytes: datagrams, now };
        let count = take_number(&mut body).ok_or(damaged)?;
        let mut events = Vec::new();
        let mut left = MAX_STEP_BYTES;
        for _ in 0..count {
            let taken = self.take_event(&mut body, &mut left, &mut datagrams, &mut events);
            taken.map_err(|fault| match fault {
                Fault::Damaged => damaged,
                Fault::TooMuch => TraceError::TooMuch(number),
            })?;
        }
        if !datagrams.bytes.is_empty() {
            return Err(damaged);
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

/// The part of a record with datagrams of µTP.
fn take_datagrams<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(body)?).ok()?;
    let (datagrams, rest) = body.split_at_checked(length)?;
    *body = rest;
    Some(datagrams)
}

/// What is known before a step, if there are datagrams of µTP in it; `None` where they are damaged.
fn base(
    packets: &mut Packets,
    mut body: &[u8],
    now: Instant,
    last: Instant,
) -> Option<Option<Base>> {
    take_time(&mut body, last)?;
    let mut datagrams = take_datagrams(&mut body)?;
    if datagrams.is_empty() {
        return Some(None);
    }
    let mut base = packets.base();
    while !datagrams.is_empty() {
        packets.take(&mut datagrams, now, &mut |number, line| base.note(number, line))?;
    }
    Some(Some(base))
}

/// Datagrams of µTP that are left of a step.
struct Datagrams<'a> {
    packets: Packets,
    bytes: &'a [u8],
    now: Instant,
}

impl Datagrams<'_> {
    fn take(&mut self, left: &mut u64) -> Result<Event, Fault> {
        let taken = self.packets.take(&mut self.bytes, self.now, &mut |_, _| ());
        let taken = taken.ok_or(Fault::Damaged)?;
        *left = left.checked_sub(taken.size() + EVENT).ok_or(Fault::TooMuch)?;
        Ok(taken.event())
    }
}

/// What is wrong with an event.
enum Fault {
    Damaged,
    TooMuch,
}

fn take<T: DeserializeOwned>(body: &mut &[u8]) -> Result<T, Fault> {
    let (value, rest) = postcard::take_from_bytes(body).map_err(|_| Fault::Damaged)?;
    *body = rest;
    Ok(value)
}

impl Trace {
    /// Bytes that all steps may bring in together where they are kept in memory.
    pub(super) fn most_kept(&self) -> u64 {
        MAX_STEP_BYTES.saturating_add((self.bytes.len() as u64).saturating_mul(MAX_BYTES_PER_BYTE))
    }

    /// The event at the front of `body`, or a run of datagrams; `left` is what the step may still bring in.
    fn take_event(
        &self,
        body: &mut &[u8],
        left: &mut u64,
        datagrams: &mut Datagrams<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Fault> {
        if body.first() == Some(&RECEIVED) {
            *body = &body[1..];
            let conn = take::<ShortId>(body)?.into();
            let bytes = take_received(body, left)?;
            events.push(Event::Stream(conn, StreamEvent::Received(bytes)));
            return Ok(());
        }
        if body.first() == Some(&PARTS) {
            *body = &body[1..];
            return take_parts(body, left, events);
        }
        let event = match take(body)? {
            Stored::Packets(count) => {
                for _ in 0..count {
                    events.push(datagrams.take(left)?);
                }
                return Ok(());
            }
            Stored::Read(op, length) => {
                let length = u64::from(length);
                *left = left.checked_sub(length).ok_or(Fault::TooMuch)?;
                if length > MAX_READ_BYTES {
                    return Err(Fault::TooMuch);
                }
                Event::Disk(op, DiskOutcome::Read(self.block.slice(..length as usize)))
            }
            Stored::Other(event) => event,
            // Its first byte would have said so.
            Stored::Received(..) | Stored::Parts(..) => return Err(Fault::Damaged),
        };
        events.push(event);
        Ok(())
    }
}

/// What a connection received in several events. Each of them takes memory besides its bytes.
fn take_parts(body: &mut &[u8], left: &mut u64, events: &mut Vec<Event>) -> Result<(), Fault> {
    let conn = take::<ShortId>(body)?.into();
    let lengths: Vec<(u32, u32)> = take(body)?;
    let parts: u64 = lengths.iter().map(|(_, count)| u64::from(*count)).sum();
    *left = left.checked_sub(parts.saturating_mul(EVENT)).ok_or(Fault::TooMuch)?;
    let mut bytes = take_received(body, left)?;
    for (length, count) in lengths {
        for _ in 0..count {
            if length == 0 || length as usize > bytes.len() {
                return Err(Fault::Damaged);
            }
            let part = bytes.split_to(length as usize);
            events.push(Event::Stream(conn, StreamEvent::Received(part)));
        }
    }
    if bytes.is_empty() { Ok(()) } else { Err(Fault::Damaged) }
}

/// Received bytes with zeros in the place of content. They are measured before they are made, and
/// never held as segments, which take more than their bytes.
fn take_received(body: &mut &[u8], left: &mut u64) -> Result<Bytes, Fault> {
    let count = take_number(body).ok_or(Fault::Damaged)?;
    let mut ahead = *body;
    let mut total = 0u64;
    for _ in 0..count {
        total = total.saturating_add(take::<Segment>(&mut ahead)?.length().ok_or(Fault::Damaged)?);
        if total > MAX_EVENT_BYTES {
            return Err(Fault::TooMuch);
        }
    }
    *left = left.checked_sub(total).ok_or(Fault::TooMuch)?;
    let mut out = BytesMut::with_capacity(total as usize);
    for _ in 0..count {
        put_segment(&mut out, &take(body)?).ok_or(Fault::Damaged)?;
    }
    Ok(out.freeze())
}

fn put_segment(out: &mut BytesMut, segment: &Segment) -> Option<()> {
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
    Some(())
}
