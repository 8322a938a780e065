//! What a trace consists of: a header, then one record a step.
//!
//! ```text
//! "EDDYTRACE", version, length and body of the header,
//! then for each step: length, time, length and bytes of datagrams of µTP (`packets.rs`), number of events, events,
//! marks of the actions, digest
//! ```
//! Numbers are LEB128. Whatever follows the last whole record, as a killed process leaves it, does
//! not count. Block content is not in a trace: the engine never looks at it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::api::{Config, Event};
use crate::base::fault::Fault;
use crate::base::ids::{ConnId, DiskOpId};
use crate::base::rng::Seed;
use crate::base::time::Instant;
use crate::engine::{Engine, SnapshotError};

pub(super) const MAGIC: &[u8; 9] = b"EDDYTRACE";
pub(super) const VERSION: u8 = 15;
/// Longest record accepted: far above any step, far below what would hurt. It has to be there: memory
/// for what is in a record is at most some thirty times its bytes.
pub(super) const MAX_RECORD: u64 = 256 << 20;
/// Bytes that one event may bring in, left-out content included. A socket is granted 512 KiB.
pub(super) const MAX_EVENT_BYTES: u64 = 16 << 20;
/// Bytes of a block that was read for a peer: the longest request that is served.
pub(super) const MAX_READ_BYTES: u64 = 128 << 10;
/// Bytes that all events of a step may bring in, left-out content included. With the usual
/// configuration 48 MiB can be granted at a time.
pub(super) const MAX_STEP_BYTES: u64 = 64 << 20;
/// Where all steps are held in memory: bytes that they may bring in together for each byte of the
/// trace, [`MAX_STEP_BYTES`] on top. A download leaves a byte for each 600 to 1,000.
pub(super) const MAX_BYTES_PER_BYTE: u64 = 2048;

/// How the recorded engine came to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Origin {
    /// `Engine::new` with these.
    New(Box<(Config, Seed, Instant)>),
    /// `Engine::restore` of this snapshot.
    Snapshot(Bytes),
}

impl Origin {
    /// The engine at the beginning of the trace.
    ///
    /// # Errors
    /// When a snapshot cannot be restored.
    pub fn engine(&self) -> Result<Engine, TraceError> {
        match self {
            Self::New(parts) => {
                let (config, seed, now) = &**parts;
                Ok(Engine::new(config.clone(), *seed, *now))
            }
            Self::Snapshot(bytes) => Engine::restore(bytes).map_err(TraceError::Snapshot),
        }
    }
}

/// The first record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Version of the engine that recorded.
    pub engine: String,
    /// How it came to be.
    pub origin: Origin,
}

/// One step as it is replayed.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its time.
    pub now: Instant,
    /// What had happened; block content is zeros.
    pub events: Vec<Event>,
    /// What is kept of each action.
    pub marks: Vec<super::ActionMark>,
    /// Short form of the chain behind it.
    pub digest: u32,
}

/// Why a trace cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// It is something else.
    #[error("not a trace")]
    NotATrace,
    /// It was written in another format, whose version this is.
    #[error("a trace of version {0}; this program reads version {VERSION}")]
    Version(u8),
    /// Its header is cut or damaged.
    #[error("the beginning of the trace is cut or damaged")]
    Header,
    /// The record of this step is damaged.
    #[error("the record of step {0} is damaged")]
    Record(u64),
    /// The events of this step bring in more than a step can, or all steps together more than a trace
    /// of that length can.
    #[error("step {0} brings in more than it can have")]
    TooMuch(u64),
    /// The snapshot that it begins with cannot be restored.
    #[error("the trace cannot begin: {0}")]
    Snapshot(SnapshotError),
}

impl TraceError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

/// Received bytes: what is kept, and the places where block content was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Segment {
    /// Bytes as they came.
    Verbatim(Bytes),
    /// The header of a piece message and its content, the last `missing` bytes of it excepted.
    Block { piece: u32, begin: u32, length: u32, missing: u32 },
    /// So many bytes of content.
    Content(u32),
}

impl Segment {
    /// Bytes of it. It is never empty: else many of them would cost time and bring nothing.
    pub(super) fn length(&self) -> Option<u64> {
        let length = match self {
            Self::Verbatim(bytes) => bytes.len() as u64,
            Self::Block { length, missing, .. } => u64::from(length.checked_sub(*missing)?) + 13,
            Self::Content(count) => u64::from(*count),
        };
        (length > 0).then_some(length)
    }

    /// Makes one of two, where the second goes on with the content of the first. Returns whether it does.
    pub(super) fn join(&mut self, next: &Self) -> bool {
        let Self::Content(more) = next else { return false };
        match self {
            Self::Block { missing, .. } => match missing.checked_sub(*more) {
                Some(left) => *missing = left,
                None => return false,
            },
            Self::Content(count) => match count.checked_add(*more) {
                Some(all) => *count = all,
                None => return false,
            },
            Self::Verbatim(_) => return false,
        }
        true
    }
}

/// The first byte of [`Stored::Received`]: the number of the variant.
pub(super) const RECEIVED: u8 = 0;
/// The same of [`Stored::Parts`].
pub(super) const PARTS: u8 = 1;

/// A connection in fewer bytes: its place, and how often that was used before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct ShortId(u32, u32);

impl From<ConnId> for ShortId {
    fn from(conn: ConnId) -> Self {
        Self(conn.as_u64() as u32, (conn.as_u64() >> 32) as u32)
    }
}

impl From<ShortId> for ConnId {
    fn from(ShortId(place, before): ShortId) -> Self {
        Self::from_u64(u64::from(before) << 32 | u64::from(place))
    }
}

/// An event as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Stored {
    Received(ShortId, Vec<Segment>),
    /// Several events one after the other: the length of each, and how many of that length there are, and what they
    /// brought together. What came in packets is given back in such parts.
    Parts(ShortId, Vec<(u32, u32)>, Vec<Segment>),
    Read(DiskOpId, u32),
    Other(Event),
    /// A number of datagrams of µTP, which stand before the events of the step.
    Packets(u32),
}

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Time since the last step: whole microseconds cost least, and a clock may have been set back.
pub(super) fn put_time(out: &mut Vec<u8>, last: Instant, now: Instant) {
    let (last, now) = (last.as_nanos(), now.as_nanos());
    let (delta, back) = (now.abs_diff(last), now < last);
    match (back, delta % 1000) {
        (false, 0) => put_number(out, delta / 1000 * 3),
        _ if delta > u64::MAX / 4 => {
            put_number(out, 2);
            put_number(out, now);
        }
        (false, _) => put_number(out, delta * 3 + 1),
        (true, _) => {
            put_number(out, 2);
            put_number(out, now);
        }
    }
}

pub(super) fn take_time(bytes: &mut &[u8], last: Instant) -> Option<Instant> {
    let number = take_number(bytes)?;
    let nanos = match number % 3 {
        0 => last.as_nanos().checked_add((number / 3).checked_mul(1000)?)?,
        1 => last.as_nanos().checked_add(number / 3)?,
        _ => take_number(bytes)?,
    };
    Some(Instant::from_nanos(nanos))
}
