//! Unit tests of reading what somebody made up.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use super::format::{MAX_EVENT_BYTES, MAX_READ_BYTES, MAX_STEP_BYTES, Segment, Stored, put_number};
use super::*;
use crate::api::{Config, Event, StreamEvent};
use crate::base::ids::{ConnId, DiskOpId};
use crate::base::rng::Seed;
use crate::base::time::Instant;

/// A trace of steps: each consists of one event and how often it is repeated.
fn made(steps: &[(Stored, u64)]) -> Result<Trace, TraceError> {
    let now = Instant::from_millis(1);
    let origin = Origin::New(Box::new((Config::default(), Seed([1; 32]), now)));
    let mut bytes = Recorder::new(origin).take();
    for (event, count) in steps {
        let event = postcard::to_allocvec(event).unwrap();
        let mut body = Vec::new();
        put_number(&mut body, 0);
        // No datagrams of µTP.
        put_number(&mut body, 0);
        put_number(&mut body, *count);
        (0..*count).for_each(|_| body.extend_from_slice(&event));
        put_number(&mut body, 0);
        body.extend([0; 4]);
        put_number(&mut bytes, body.len() as u64);
        bytes.extend(body);
    }
    Trace::parse(bytes.into())
}

fn received(segments: Vec<Segment>) -> Stored {
    Stored::Received(ConnId::from_u64(1).into(), segments)
}

fn brought(trace: &Trace, number: u64) -> Result<u64, TraceError> {
    let bytes = |event: &Event| match event {
        Event::Stream(_, StreamEvent::Received(bytes)) => bytes.len() as u64,
        _ => 0,
    };
    Ok(trace.step(number)?.map_or(0, |step| step.events.iter().map(bytes).sum()))
}

#[test]
fn a_step_brings_in_no_more_than_a_step_can_however_few_bytes_say_so() {
    let most = MAX_EVENT_BYTES as u32;
    let block = |length| Segment::Block { piece: 1, begin: 2, length, missing: 0 };
    let fits = MAX_STEP_BYTES / MAX_EVENT_BYTES;
    let trace = made(&[
        (received(alloc::vec![Segment::Content(most)]), fits),
        (received(alloc::vec![Segment::Content(most)]), fits + 1),
        (received(alloc::vec![Segment::Content(most + 1)]), 1),
        (received(alloc::vec![block(most - 13)]), 1),
        (received(alloc::vec![block(most - 12)]), 1),
        (received(alloc::vec![Segment::Content(most / 2), block(most / 2)]), 1),
        (received(alloc::vec![Segment::Content(u32::MAX); 1000]), 1),
        (received(alloc::vec![Segment::Content(16_384)]), MAX_STEP_BYTES / 16_384 + 1),
    ]);
    let trace = trace.unwrap();
    assert_eq!(brought(&trace, 1), Ok(MAX_STEP_BYTES));
    assert_eq!(brought(&trace, 4), Ok(MAX_EVENT_BYTES));
    for number in [2, 3, 5, 6, 7, 8] {
        assert_eq!(brought(&trace, number), Err(TraceError::TooMuch(number)));
    }
}

#[test]
fn parts_are_as_long_as_they_say_and_take_memory_each() {
    let parts = |lengths: &[(u32, u32)], content| {
        let segments = alloc::vec![Segment::Content(content)];
        (Stored::Parts(ConnId::from_u64(1 << 32 | 2).into(), lengths.into(), segments), 1)
    };
    let most = MAX_EVENT_BYTES as u32;
    let trace = made(&[
        parts(&[(1_400, 3), (100, 1)], 4_300),
        parts(&[(1_400, 3)], 4_300),
        parts(&[(1_400, 4)], 4_300),
        parts(&[(0, 1)], 1),
        parts(&[(1, most)], most),
        parts(&[(1, u32::MAX), (1, u32::MAX)], 5),
    ]);
    let trace = trace.unwrap();
    assert_eq!(brought(&trace, 1), Ok(4_300));
    let step = trace.step(1).unwrap().unwrap();
    assert!(matches!(&step.events[3], Event::Stream(conn, StreamEvent::Received(bytes))
        if bytes.len() == 100 && conn.as_u64() == 1 << 32 | 2));
    for number in 2..=4 {
        assert!(matches!(trace.step(number), Err(TraceError::Record(_))), "{number}");
    }
    for number in 5..=6 {
        assert!(matches!(trace.step(number), Err(TraceError::TooMuch(_))), "{number}");
    }
}

#[test]
fn blocks_read_for_peers_take_no_memory_each() {
    let read = |length| Stored::Read(DiskOpId::from_u64(1), length);
    let most = MAX_READ_BYTES as u32;
    let trace = made(&[(read(most), 100), (read(most + 1), 1), (read(most), 1000)]).unwrap();
    let step = trace.step(1).unwrap().unwrap();
    let bytes = |event: &Event| match event {
        Event::Disk(_, crate::api::DiskOutcome::Read(bytes)) => bytes.as_ptr(),
        _ => core::ptr::null(),
    };
    assert!(step.events.iter().all(|event| bytes(event) == bytes(&step.events[0])));
    assert!(matches!(trace.step(2), Err(TraceError::TooMuch(2))));
    assert!(matches!(trace.step(3), Err(TraceError::TooMuch(3))));
}

#[test]
fn empty_and_contradictory_segments_are_damage() {
    let block = Segment::Block { piece: 0, begin: 0, length: 5, missing: 6 };
    let trace = made(&[
        (received(alloc::vec![Segment::Content(0)]), 1),
        (received(alloc::vec![Segment::Verbatim(Bytes::new())]), 1),
        (received(alloc::vec![block]), 1),
        (received(Vec::new()), 1),
    ]);
    let trace = trace.unwrap();
    for number in 1..=3 {
        assert_eq!(brought(&trace, number), Err(TraceError::Record(number)));
    }
    assert_eq!(brought(&trace, 4), Ok(0));
}

#[test]
fn what_is_kept_of_all_steps_is_bounded_by_the_length_of_the_trace() {
    let step = || (received(alloc::vec![Segment::Content(MAX_EVENT_BYTES as u32)]), 4);
    let trace = made(&[step(), step(), step()]).unwrap();
    let kept = Plan::of(&trace, &mut |step| {
        step();
        true
    });
    assert_eq!(kept.unwrap_err(), TraceError::TooMuch(2));
    // What is redacted is written again, with what seemed to have been left out.
    let redacted = redact(&trace).unwrap_err();
    assert_eq!(redacted, RedactError::Trace(TraceError::TooMuch(2)));
}
