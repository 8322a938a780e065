//! How an address is called, and in whose share: what an attempt that came to nothing says of the next one.

use crate::api::{CloseReason, EncryptionPolicy, PeerSource, Transport, Transports};
use crate::base::ids::TorrentId;
use crate::base::prefix::Prefix;
use crate::candidates::Namer;
use crate::context::{Conn, NamedBy, Opening, Phase};

/// What an address is called over next that hung up on us before it was a peer: over µTP where it was TCP, for some
/// take a connection of TCP and speak µTP alone; over µTP again where that was encrypted, for the next one is not.
/// `None` where the transport is not to blame.
pub(super) fn transport_next(
    spoken: Transports,
    conn: &Conn,
    reason: CloseReason,
) -> Option<Option<Transport>> {
    let Phase::Handshaking(early) = &conn.phase else { return None };
    let blamed = matches!(reason, CloseReason::Remote | CloseReason::HandshakeTimeout);
    if !blamed || spoken != Transports::Both {
        return None;
    }
    let plain = !matches!(early.opening, Opening::Encrypted(_) | Opening::Waiting(..));
    let again = conn.transport == Transport::Tcp || !plain;
    Some(again.then_some(Transport::Utp))
}

/// Whether the next connection to an address is to be with encryption, or without, after one of the other kind came to
/// nothing before it was a peer; `None` where the kind is not to blame.
pub(super) fn encrypted_next(
    policy: EncryptionPolicy,
    conn: &Conn,
    reason: CloseReason,
) -> Option<bool> {
    let Phase::Handshaking(early) = &conn.phase else { return None };
    let blamed = matches!(
        reason,
        CloseReason::Remote
            | CloseReason::HandshakeTimeout
            | CloseReason::BadMessage
            | CloseReason::EncryptionUnsuited
    );
    match early.opening {
        Opening::Plain => Some(true),
        Opening::Encrypted(_) | Opening::Waiting(..) => Some(false),
        Opening::Unknown(_) | Opening::Agreed(_) => None,
    }
    .filter(|_| blamed && policy == EncryptionPolicy::Prefer)
}

/// In whose share of the places a call to an address counts that was named so; nobody's if the user named it.
pub(super) fn named_by(torrent: TorrentId, namer: Namer) -> Option<NamedBy> {
    let from = namer.from.map(|from| Prefix::owner_of(from.first()));
    let tracker = namer.tracker.map(|number| (torrent, number));
    let source = namer.source;
    (source != PeerSource::User).then_some(NamedBy { source, from, tracker })
}
