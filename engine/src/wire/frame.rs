//! From a byte stream to messages, indifferent to how the bytes were split.
//!
//! Received buffers queue up; headers are peeked across their boundaries, block payload is sliced
//! out of them without a copy, and small messages are copied so that they pin no buffer.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::ops::Range;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::error::DecodeError;
use super::handshake::{HANDSHAKE_LENGTH, Handshake};
use super::message::{Message, PIECE_ID};
use crate::base::payload::Payload;

/// Longest message accepted: 1 MiB, which is a bitfield of eight million pieces.
pub const MAX_MESSAGE_LENGTH: u32 = 1 << 20;

/// What is shorter joins the bytes beside it while it waits, up to [`MAX_JOINED`]: kept by itself, each
/// piece of a stream that comes byte by byte would take fifty times its size.
const SMALL: usize = 256;
const MAX_JOINED: usize = 4096;
/// What is left of a read, and not longer, is copied at once, so that it does not hold on to a large
/// buffer.
const LEFT_OVER: usize = 2048;

/// Longest body of the messages of the core protocol that have one length.
const SHORT: usize = 12;

/// Buffered bytes of one connection, cut into messages.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct FrameAssembler {
    chunks: VecDeque<Bytes>,
    buffered: usize,
    /// The last chunk was put together here and holds no buffer but its own.
    #[serde(skip)]
    joined: bool,
    /// The first chunk is part of something larger.
    #[serde(skip)]
    cut: bool,
}

impl FrameAssembler {
    /// Appends received bytes.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.buffered += bytes.len();
        let count = bytes.len();
        let joins =
            |last: &Bytes| count.min(last.len()) < SMALL && last.len() + count <= MAX_JOINED;
        let join = self.chunks.back().is_some_and(joins);
        match if join { self.chunks.pop_back() } else { None } {
            Some(last) => {
                let own = if self.joined { last.try_into_mut() } else { Err(last) };
                let mut own = own.unwrap_or_else(|last| BytesMut::from(&last[..]));
                own.extend_from_slice(&bytes);
                self.chunks.push_back(own.freeze());
                self.joined = true;
            }
            None => {
                self.chunks.push_back(bytes);
                self.joined = false;
            }
        }
        if self.chunks.len() == 1 {
            self.cut = false;
        }
    }

    /// Copies what is left of a read if it is short, or in any case, so that it does not hold on to the
    /// buffer that the read filled.
    pub fn compact(&mut self, in_any_case: bool) {
        if let Some(front) = self.chunks.front_mut()
            && self.cut
            && (in_any_case || front.len() <= LEFT_OVER)
        {
            *front = Bytes::copy_from_slice(front);
            self.cut = false;
        }
    }

    /// Bytes that wait for the rest of their message.
    pub const fn buffered(&self) -> usize {
        self.buffered
    }

    /// Whether [`Self::next_message`] would give something: a message, or a fault.
    pub fn has_message(&self) -> bool {
        let mut head = [0; 4];
        if self.peek(&mut head) < 4 {
            return false;
        }
        let length = u32::from_be_bytes(head);
        length > MAX_MESSAGE_LENGTH || self.buffered >= 4 + length as usize
    }

    /// Takes the handshake off the front; `None` while more bytes are needed.
    ///
    /// # Errors
    /// As [`Handshake::decode`].
    pub fn take_handshake(&mut self) -> Result<Option<Handshake>, DecodeError> {
        let mut head = [0; HANDSHAKE_LENGTH];
        let available = self.peek(&mut head);
        let handshake = Handshake::decode(&head[..available])?;
        if handshake.is_some() {
            self.skip(HANDSHAKE_LENGTH);
        }
        Ok(handshake)
    }

    /// Takes the next message off the front; `None` while more bytes are needed.
    ///
    /// # Errors
    /// A length beyond [`MAX_MESSAGE_LENGTH`], seen before any of the body is waited for, or one
    /// that does not fit the message type.
    pub fn next_message(&mut self) -> Result<Option<Message>, DecodeError> {
        let mut head = [0; 13];
        let available = self.peek(&mut head);
        if available < 4 {
            return Ok(None);
        }
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        if length == 0 {
            self.skip(4);
            return Ok(Some(Message::KeepAlive));
        }
        if length > MAX_MESSAGE_LENGTH {
            return Err(DecodeError::TooLong { length });
        }
        if available < 5 {
            return Ok(None);
        }
        let id = head[4];
        if self.buffered < 4 + length as usize {
            return Ok(None);
        }
        check_length(id, length)?;
        if id == PIECE_ID {
            self.skip(13);
            let payload = self.take_payload(length as usize - 9);
            let word = |at: usize| {
                u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
            };
            return Ok(Some(Message::Piece { piece: word(5), begin: word(9), payload }));
        }
        self.skip(5);
        let count = length as usize - 1;
        let body = match self.chunks.front_mut() {
            // What is short is read at once and holds no buffer.
            Some(front) if count <= SHORT && front.len() > count => {
                self.buffered -= count;
                self.cut = true;
                front.split_to(count)
            }
            _ => self.take_copy(count),
        };
        Message::decode(id, body).map(Some)
    }

    /// Piece, begin and length of the block whose header lies at the front with none of its content
    /// behind it: what a sender of content by itself has written so far.
    pub fn pending_piece(&self) -> Option<(u32, u32, u32)> {
        let mut head = [0; 13];
        if self.buffered != head.len() || self.peek(&mut head) != head.len() || head[4] != PIECE_ID
        {
            return None;
        }
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        Some((word(5), word(9), word(0).checked_sub(9).filter(|length| *length > 0)?))
    }

    /// Where block content lies in the last `count` bytes appended, counted from the first of them.
    /// To be asked before messages are taken out.
    pub fn content_in_tail(&self, count: usize) -> SmallVec<[Range<u32>; 2]> {
        let mut found = SmallVec::new();
        let tail = self.buffered.saturating_sub(count);
        let mut at = 0;
        // The buffer begins with a message; each names the place of the next.
        while at + 5 <= self.buffered {
            let mut head = [0; 5];
            self.peek_at(at, &mut head);
            let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            if length > MAX_MESSAGE_LENGTH {
                break;
            }
            let end = at + 4 + length as usize;
            if head[4] == PIECE_ID && length >= 9 {
                let (from, to) = ((at + 13).max(tail), end.min(self.buffered));
                if from < to {
                    found.push((from - tail) as u32..(to - tail) as u32);
                }
            }
            at = end;
        }
        found
    }

    /// Copies up to `into.len()` bytes from the front without taking them.
    #[inline]
    fn peek(&self, into: &mut [u8]) -> usize {
        // Nearly always all of it lies in the first chunk.
        if let Some(front) = self.chunks.front().and_then(|front| front.get(..into.len())) {
            into.copy_from_slice(front);
            return into.len();
        }
        self.peek_at(0, into)
    }

    fn peek_at(&self, mut skip: usize, into: &mut [u8]) -> usize {
        let mut filled = 0;
        for chunk in &self.chunks {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let chunk = &chunk[core::mem::take(&mut skip)..];
            let take = chunk.len().min(into.len() - filled);
            into[filled..filled + take].copy_from_slice(&chunk[..take]);
            filled += take;
            if filled == into.len() {
                break;
            }
        }
        filled
    }

    fn skip(&mut self, mut count: usize) {
        self.buffered -= count;
        while let Some(front) = self.chunks.front_mut().filter(|_| count > 0) {
            if front.len() > count {
                let _ = front.split_to(count);
                self.cut = true;
                return;
            }
            count -= front.len();
            self.chunks.pop_front();
            self.cut = false;
        }
    }

    /// Slices of the receive buffers.
    fn take_payload(&mut self, count: usize) -> Payload {
        match self.chunks.front_mut() {
            Some(front) if front.len() > count => {
                self.buffered -= count;
                self.cut = true;
                Payload::One(front.split_to(count))
            }
            Some(front) if front.len() == count => {
                self.buffered -= count;
                self.cut = false;
                Payload::One(self.chunks.pop_front().unwrap_or_default())
            }
            _ => {
                let mut left = count;
                let mut parts = Vec::new();
                while left > 0
                    && let Some(front) = self.chunks.front_mut()
                {
                    let part = front.split_to(left.min(front.len()));
                    left -= part.len();
                    self.cut = !front.is_empty();
                    if front.is_empty() {
                        self.chunks.pop_front();
                    }
                    parts.push(part);
                }
                self.buffered -= count;
                Payload::from_parts(parts)
            }
        }
    }

    fn take_copy(&mut self, count: usize) -> Bytes {
        let mut copy = BytesMut::zeroed(count);
        self.peek(&mut copy);
        self.skip(count);
        copy.freeze()
    }
}

impl core::fmt::Debug for FrameAssembler {
    /// How the stream happened to be split is no part of the state.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FrameAssembler({} buffered)", self.buffered)
    }
}

/// Refuses a length that no body of this type can have.
fn check_length(id: u8, length: u32) -> Result<(), DecodeError> {
    let fits = match id {
        0..=3 | 14 | 15 => length == 1,
        4 | 13 | 17 => length == 5,
        6 | 8 | 16 => length == 13,
        PIECE_ID => length >= 9,
        9 => length == 3,
        20 => length >= 2,
        21 | 23 => length == 49,
        22 => length >= 49,
        _ => true,
    };
    if fits { Ok(()) } else { Err(DecodeError::WrongLength { id }) }
}
