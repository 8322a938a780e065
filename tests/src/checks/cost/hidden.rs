//! Encrypted connections. The engine says in plain text what the driver enciphers, so what is sent can be counted as
//! it is elsewhere. What a peer said in its encrypted handshake cannot be heard from outside: so it is taken to have
//! asked for as much as its bytes could ask for.

use eddyline::wire::{FrameAssembler, Message, MetadataMessage};

use super::METADATA_REPLY;

/// What a request asks for, and how long it is.
const BLOCK: u64 = 16_384;
const REQUEST: u64 = 17;
/// The shortest request for a piece of metadata.
const METADATA_REQUEST: u64 = 31;
/// Requests that an encrypted handshake may have brought.
const IN_HANDSHAKE: u64 = 64;

/// Bytes of content and of metadata that could be asked for with this number of bytes.
pub(super) const fn could_ask_for(bytes: u64) -> (u64, u64) {
    let (blocks, pieces) = (bytes.div_ceil(REQUEST), bytes.div_ceil(METADATA_REQUEST));
    (blocks * BLOCK, pieces * METADATA_REPLY)
}

/// The same for an encrypted handshake.
pub(super) const fn handshake_could_ask_for() -> (u64, u64) {
    could_ask_for(IN_HANDSHAKE * REQUEST)
}

/// Bytes of messages with metadata, among whole messages.
pub(super) fn metadata_in(bytes: &[u8]) -> u64 {
    let mut frames = FrameAssembler::default();
    frames.push(bytes::Bytes::copy_from_slice(bytes));
    if bytes.starts_with(b"\x13") && frames.take_handshake().is_err() {
        return 0;
    }
    let mut sum = 0;
    while let Ok(Some(message)) = frames.next_message() {
        if let Message::Extended { payload, .. } = &message
            && matches!(MetadataMessage::decode(payload), Ok(MetadataMessage::Data { .. }))
        {
            sum += payload.len() as u64 + 6;
        }
    }
    sum
}
