//! How an address is called, and in whose share: what an attempt that came to nothing says of the next one.

use alloc::vec::Vec;

use super::Torrent;
use crate::api::{CloseReason, EncryptionPolicy, PeerSource, Transport, Transports};
use crate::base::ids::{ConnId, TorrentId};
use crate::base::prefix::Prefix;
use crate::candidates::Namer;
use crate::context::{Conn, Context, NamedBy, Opening, Phase};

/// Connections that may be made to addresses which the user named while there is no place for others.
const USERS_PLACES: u32 = 4;

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

impl Torrent {
    /// Whether more peers are wanted. A seed also calls: it, or the others, may be behind a NAT that lets no
    /// connection in.
    pub(super) fn wants_peers(&self) -> bool {
        self.is_running()
    }

    /// How many peers a tracker should name.
    pub(super) fn peers_wanted(&self, ctx: &Context) -> u32 {
        let room = ctx.config.max_connections_per_torrent.saturating_sub(self.peers.len() as u32);
        if self.wants_peers() && room > 0 { 80 } else { 0 }
    }

    /// Whether there is a place to make a connection in. Behind those for all there are some for the user's own.
    pub(super) fn may_call(&self, ctx: &Context) -> bool {
        let (half_open, most) = (ctx.net.conns.half_open(), ctx.config.max_half_open);
        let users = most > 0 && self.candidates.is_users_turn();
        half_open < most || half_open < most + USERS_PLACES && users
    }

    pub(super) fn has_place_for_peers(&self, ctx: &Context) -> bool {
        ctx.net.conns.len() < ctx.config.max_connections
            && self.peers.len() as u32 + self.connecting < ctx.config.max_connections_per_torrent
    }

    /// Connections of this torrent that are no peers yet.
    pub(super) fn pending(&self, ctx: &Context, such: impl Fn(&Conn) -> bool) -> Vec<ConnId> {
        let pending = ctx.net.conns.iter().filter(|(_, conn)| {
            let early = !matches!(conn.phase, Phase::Active | Phase::Fetching);
            conn.torrent == Some(self.id) && early && such(conn)
        });
        pending.map(|(id, _)| id).collect()
    }
}
