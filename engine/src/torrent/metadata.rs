//! The info dictionary (BEP 9), served to whoever asks; where a magnet began the torrent, `metadata_fetch` looks for
//! it.

use bytes::Bytes;

use crate::bandwidth::TokenBucket;
use crate::base::time::Instant;
use crate::context::Context;
use crate::metadata_fetch::{length, pieces};
use crate::peer::{Misbehaviour, Peer, PeerError};
use crate::wire::{METADATA_PIECE, Message, MetadataMessage};

/// Pieces that do not exist, asked for by one peer, beyond which it is no accident.
const MAX_IMPOSSIBLE: u32 = 16;

/// A peer asks for a piece of the dictionary, where that is known, which it is given as often as is decent. Returns
/// whether something is to be sent.
///
/// # Errors
/// It keeps asking for pieces that do not exist.
pub(super) fn ask(
    info: Option<&Bytes>,
    peer: &mut Peer,
    piece: u32,
    now: Instant,
) -> Result<bool, PeerError> {
    let size = info.map_or(0, Bytes::len) as u32;
    let Some(id) = peer.extensions.metadata else { return Ok(false) };
    let exists = piece < pieces(size);
    if info.is_some() && !exists {
        peer.impossible_metadata += 1;
        if peer.impossible_metadata > MAX_IMPOSSIBLE {
            return Err(Misbehaviour::MetadataRange.into());
        }
    }
    let granted = exists && peer.metadata.ask(piece, length(size, piece), size, now);
    if !granted {
        say(peer, id, &MetadataMessage::Reject(piece));
    }
    Ok(granted)
}

/// Sends a peer what was granted to it of the dictionary, as fast as it reads. `limit` is the torrent's own.
pub(super) fn send(
    ctx: &mut Context,
    limit: &mut TokenBucket,
    info: Option<&Bytes>,
    peer: &mut Peer,
) {
    let (Some(id), Some(info)) = (peer.extensions.metadata, info) else { return };
    let size = info.len() as u32;
    while let Some(piece) = peer.metadata.next(peer.outbox.unread()) {
        let start = piece as usize * METADATA_PIECE as usize;
        let bytes = length(size, piece);
        let data = info.slice(start..start + bytes as usize);
        // Metadata counts against the upload limit, as late as everything that cannot wait.
        ctx.limits.up.take(u64::from(bytes));
        limit.take(u64::from(bytes));
        say(peer, id, &MetadataMessage::Data { piece, total_size: Some(size), data });
        ctx.agenda.flush.insert(peer.intro.conn);
    }
}

/// Tells a peer something about the dictionary.
pub(super) fn say(peer: &mut Peer, id: u8, message: &MetadataMessage) {
    peer.send(&Message::Extended { id, payload: message.encode().into() });
}
