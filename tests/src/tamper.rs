//! Deliberate bugs on the way out of an engine: messages that are swallowed. A test that does not
//! notice one of them is worth nothing.

use bytes::{Bytes, BytesMut};
use eddyline::wire::{FrameAssembler, HANDSHAKE_LENGTH, Message};

/// Which messages get lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tamper {
    /// Haves.
    LoseHaves,
    /// Cancels.
    LoseCancels,
    /// Interest.
    LoseInterested,
    /// Unchokes.
    LoseUnchokes,
}

impl Tamper {
    /// What is left of the messages in one send.
    pub(crate) fn apply(self, bytes: Bytes) -> Bytes {
        let mut rest = bytes.clone();
        let mut out = BytesMut::new();
        if rest.starts_with(b"\x13BitTorrent") && rest.len() >= HANDSHAKE_LENGTH {
            out.extend_from_slice(&rest.split_to(HANDSHAKE_LENGTH));
        }
        let mut assembler = FrameAssembler::default();
        let total = rest.len();
        assembler.push(rest.clone());
        let mut done = 0;
        while let Ok(Some(message)) = assembler.next_message() {
            let end = total - assembler.buffered();
            let frame = rest.slice(done..end);
            done = end;
            match (self, &message) {
                (Self::LoseHaves, Message::Have(_))
                | (Self::LoseCancels, Message::Cancel(_))
                | (Self::LoseInterested, Message::Interested)
                | (Self::LoseUnchokes, Message::Unchoke) => {}
                _ => out.extend_from_slice(&frame),
            }
        }
        // The header of a block, whose content is sent by itself.
        out.extend_from_slice(&rest[done..]);
        out.freeze()
    }
}
