//! Where block content lay in the bytes of a step, for whoever records it: a trace keeps everything
//! but that.

use alloc::vec::Vec;
use bytes::Bytes;

use super::Engine;

/// Content among the bytes that one event brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContentRange {
    /// Number of the event in its step, from 0.
    pub event: u32,
    /// First byte of content among the event's bytes.
    pub start: u32,
    /// First byte behind it.
    pub end: u32,
}

/// What is noted while somebody watches. No part of the state: no decision follows from it.
#[derive(Clone, Default)]
pub(super) struct ContentWatch {
    pub(super) on: bool,
    /// Events of this step that were taken in.
    pub(super) events: u32,
    ranges: Vec<ContentRange>,
    /// Events that brought bytes of an encrypted handshake, or behind one, and what they were for the protocol.
    clear: Vec<(u32, Bytes)>,
}

impl ContentWatch {
    pub(super) fn begin_step(&mut self) {
        self.events = 0;
        self.ranges.clear();
        self.clear.clear();
    }

    /// What the event that is being taken in brought, deciphered.
    pub(super) fn note_clear(&mut self, bytes: &Bytes) {
        if self.on {
            self.clear.push((self.events, bytes.clone()));
        }
    }

    /// Content in the event that is being taken in.
    pub(super) fn note(&mut self, start: u32, end: u32) {
        self.ranges.push(ContentRange { event: self.events, start, end });
    }
}

impl core::fmt::Debug for ContentWatch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ContentWatch")
    }
}

impl Engine {
    /// Asks for [`Self::content_ranges`] from the next step on.
    pub fn watch_content(&mut self) {
        self.content.on = true;
    }

    /// What events of the last step brought in encrypted connections for which the driver could not decipher it, as
    /// the protocol has it; nothing of an event that brought a part of the encrypted handshake only.
    #[cfg(feature = "trace")]
    pub fn deciphered_events(&self) -> &[(u32, Bytes)] {
        &self.content.clear
    }

    /// Where content lay in the bytes of the last step's events, in their order.
    pub fn content_ranges(&self) -> &[ContentRange] {
        &self.content.ranges
    }
}
