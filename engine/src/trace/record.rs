//! Writing a trace while an engine runs. The recorder owns no file: it hands out bytes to append.

use alloc::vec::Vec;
use bytes::Bytes;

use super::chain::Chain;
use super::format::{
    Header, MAGIC, Origin, Segment, ShortId, Stored, VERSION, put_number, put_time,
};
use super::packets::Packets;
use crate::api::{Action, DiskOutcome, Event, StreamEvent, Wakeup};
use crate::base::time::Instant;
use crate::engine::{ContentRange, Engine};

/// Bytes that are written as one entry at the most.
const MAX_JOINED: u64 = 1 << 20;
/// Bytes of a piece message before its content.
const PIECE_HEAD: usize = 13;

/// Records every step that goes through it.
#[derive(Debug)]
pub struct Recorder {
    chain: Chain,
    last: Instant,
    out: Vec<u8>,
    record: Vec<u8>,
    /// The events of a step, and datagrams of µTP before them.
    stored: Vec<u8>,
    datagrams: Vec<u8>,
    packets: Packets,
    marks: Vec<u8>,
    /// Of the step that is being made.
    events: Vec<Event>,
    now: Instant,
    steps: u64,
}

impl Recorder {
    /// A recorder of an engine that came to be as `origin` says and has made no step since.
    pub fn new(origin: Origin) -> Self {
        let mut out = Vec::from(*MAGIC);
        out.push(VERSION);
        let last = match &origin {
            Origin::New(parts) => parts.2,
            Origin::Snapshot(_) => Instant::ZERO,
        };
        let header = Header { engine: env!("CARGO_PKG_VERSION").into(), origin };
        let body = postcard::to_allocvec(&header).unwrap_or_default();
        put_number(&mut out, body.len() as u64);
        out.extend(body);
        Self {
            chain: Chain::default(),
            last,
            out,
            record: Vec::new(),
            stored: Vec::new(),
            datagrams: Vec::new(),
            packets: Packets::default(),
            marks: Vec::new(),
            events: Vec::new(),
            now: last,
            steps: 0,
        }
    }

    /// As [`Engine::step`], recorded.
    pub fn step(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        events: impl IntoIterator<Item = Event>,
        actions: &mut Vec<Action>,
    ) -> Wakeup {
        self.events.clear();
        self.events.extend(events);
        self.now = now;
        engine.watch_content();
        let before = actions.len();
        let wakeup = engine.step(now, self.events.iter().cloned(), actions);
        self.put_events(engine.content_ranges());
        self.marks.clear();
        let marks = &mut self.marks;
        self.chain.absorb_with(&actions[before..], wakeup, |mark| marks.push(mark.0));
        self.put_record();
        wakeup
    }

    /// Records the events of a step that the engine did not come back from, so that a replay goes
    /// the same way.
    pub fn interrupted(&mut self) {
        if !self.events.is_empty() {
            self.put_events(&[]);
            self.marks.clear();
            self.put_record();
        }
    }

    fn put_events(&mut self, mut ranges: &[ContentRange]) {
        self.record.clear();
        put_time(&mut self.record, self.last, self.now);
        self.last = self.now;
        self.stored.clear();
        self.datagrams.clear();
        let (mut count, mut run) = (0, 0);
        let mut parts = Parts::default();
        for (index, event) in core::mem::take(&mut self.events).into_iter().enumerate() {
            if let Event::Datagram { socket, from, data, waited } = &event
                && eddyline_utp::is_utp(data)
            {
                count += self.put_parts(&mut parts);
                self.packets.put(&mut self.datagrams, self.now, (*socket, *from, data, *waited));
                run += 1;
                continue;
            }
            let own = ranges.iter().take_while(|range| range.event == index as u32).count();
            let (own, others) = ranges.split_at(own);
            ranges = others;
            count += self.put_run(&mut run);
            match store(event, own) {
                Stored::Received(conn, segments) => {
                    if !parts.take(conn, &segments) {
                        count += self.put_parts(&mut parts);
                        parts.take(conn, &segments);
                    }
                }
                stored => {
                    count += self.put_parts(&mut parts) + 1;
                    self.put_stored(&stored);
                }
            }
        }
        count += self.put_run(&mut run) + self.put_parts(&mut parts);
        put_number(&mut self.record, self.datagrams.len() as u64);
        self.record.append(&mut self.datagrams);
        put_number(&mut self.record, count);
        self.record.append(&mut self.stored);
    }

    /// Datagrams of µTP came one after the other. Returns whether there were any.
    fn put_run(&mut self, run: &mut u32) -> u64 {
        let count = core::mem::take(run);
        if count > 0 {
            self.put_stored(&Stored::Packets(count));
        }
        u64::from(count > 0)
    }

    /// A connection received something, in one event or several. Returns whether it did.
    fn put_parts(&mut self, parts: &mut Parts) -> u64 {
        let Parts { conn, lengths, segments, .. } = core::mem::take(parts);
        let Some(conn) = conn else { return 0 };
        self.put_stored(&match lengths[..] {
            [(_, 1)] => Stored::Received(conn, segments),
            _ => Stored::Parts(conn, lengths, segments),
        });
        1
    }

    fn put_stored(&mut self, stored: &Stored) {
        // Events hold nothing that cannot be written.
        let bytes = core::mem::take(&mut self.stored);
        self.stored = postcard::to_extend(stored, bytes).unwrap_or_default();
    }

    fn put_record(&mut self) {
        put_number(&mut self.record, self.marks.len() as u64);
        self.record.extend_from_slice(&self.marks);
        self.record.extend_from_slice(&self.chain.short().to_le_bytes());
        put_number(&mut self.out, self.record.len() as u64);
        self.out.extend_from_slice(&self.record);
        self.steps += 1;
    }

    /// Takes what is to be appended to the trace: whole records only.
    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.out)
    }

    /// Bytes that wait to be taken.
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// Steps recorded.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The chain so far.
    pub fn chain(&self) -> Chain {
        self.chain
    }
}

/// What a connection received in events one after the other.
#[derive(Default)]
struct Parts {
    conn: Option<ShortId>,
    /// Bytes of an event, and how many of that length follow each other.
    lengths: Vec<(u32, u32)>,
    segments: Vec<Segment>,
    total: u64,
}

impl Parts {
    /// Takes one event more, unless it is of another connection or there are enough.
    fn take(&mut self, conn: ShortId, segments: &[Segment]) -> bool {
        let length = segments.iter().filter_map(Segment::length).sum::<u64>();
        let fits = self.conn.is_none_or(|own| own == conn && length > 0 && self.total > 0);
        if !fits || self.total + length > MAX_JOINED && self.conn.is_some() {
            return false;
        }
        self.conn = Some(conn);
        self.total += length;
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        match self.lengths.last_mut() {
            Some((same, count)) if *same == length => *count += 1,
            _ => self.lengths.push((length, 1)),
        }
        for segment in segments {
            let joined = self.segments.last_mut().is_some_and(|last| last.join(segment));
            if !joined {
                self.segments.push(segment.clone());
            }
        }
        true
    }
}

fn store(event: Event, ranges: &[ContentRange]) -> Stored {
    match event {
        Event::Stream(conn, StreamEvent::Received(bytes)) => {
            Stored::Received(conn.into(), sift(&bytes, ranges))
        }
        Event::Disk(op, DiskOutcome::Read(bytes)) => Stored::Read(op, bytes.len() as u32),
        other => Stored::Other(other),
    }
}

/// Takes the content out of received bytes.
fn sift(bytes: &Bytes, ranges: &[ContentRange]) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut done = 0;
    for range in ranges {
        let (start, end) = (range.start as usize, range.end as usize);
        let head = start.checked_sub(PIECE_HEAD).filter(|head| *head >= done);
        let block = head.and_then(|head| block_header(&bytes[head..start], (end - start) as u32));
        let plain = if block.is_some() { start - PIECE_HEAD } else { start };
        if plain > done {
            segments.push(Segment::Verbatim(bytes.slice(done..plain)));
        }
        segments.push(block.unwrap_or(Segment::Content((end - start) as u32)));
        done = end;
    }
    if done < bytes.len() {
        segments.push(Segment::Verbatim(bytes.slice(done..)));
    }
    segments
}

/// The header of a piece message of which `here` bytes of content follow.
fn block_header(head: &[u8], here: u32) -> Option<Segment> {
    let word = |at: usize| {
        let bytes = head.get(at..at + 4)?;
        bytes.try_into().ok().map(u32::from_be_bytes)
    };
    let length = word(0)?.checked_sub(9)?;
    let missing = length.checked_sub(here)?;
    (head[4] == 7).then_some(Segment::Block { piece: word(5)?, begin: word(9)?, length, missing })
}
