//! Peer exchange (BEP 11): which peers are told of, and what becomes of those we are told of.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::api::Transport;
use crate::base::addr::{is_lasting, normalise, scope};
use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::peer::{Misbehaviour, Peer, PeerError};
use crate::peer_exchange::{Journal, MAX_TOLD};
use crate::wire::{PexFlags, PexMessage};

/// Others may be told of a peer as soon as it is known where it listens.
pub(super) fn list(journal: &mut Journal, peer: &mut Peer) {
    let addr = normalise(peer.intro.addr);
    let addr = match (peer.intro.incoming, peer.extensions.port) {
        (false, _) => addr,
        (true, Some(port)) => SocketAddr::new(addr.ip(), port),
        (true, None) => return,
    };
    if peer.pex.listed_as.is_some() || !is_lasting(addr) {
        return;
    }
    peer.pex.listed_as = Some(addr);
    journal.came(addr, flags_of(peer));
}

/// A peer has left.
pub(super) fn unlist(journal: &mut Journal, peer: &Peer) {
    if let Some(addr) = peer.pex.listed_as {
        journal.left(addr);
    }
}

/// What a peer is told of who came and who left, if it is time to; and by which number it knows such messages.
pub(super) fn news(
    journal: &Journal,
    peers: &mut BTreeMap<ConnId, Box<Peer>>,
    conn: ConnId,
    now: Instant,
) -> Option<(u8, PexMessage)> {
    let peer = peers.get(&conn)?;
    let id = peer.extensions.pex.filter(|_| peer.pex.is_due(now))?;
    let own = peer.pex.listed_as.unwrap_or(peer.intro.addr);
    let (message, next) = match peer.pex.told {
        Some(told) => journal.since(told, own),
        None => (everybody_but(peers, own), journal.end()),
    };
    let peer = peers.get_mut(&conn)?;
    peer.pex.told = Some(next);
    if message.is_empty() {
        return None;
    }
    peer.pex.told_now(now);
    Some((id, message))
}

/// The first message: whom we are connected to now.
fn everybody_but(peers: &BTreeMap<ConnId, Box<Peer>>, own: SocketAddr) -> PexMessage {
    let listed = peers.values().filter_map(|peer| {
        let addr = peer.pex.listed_as.filter(|addr| *addr != own)?;
        Some((addr, flags_of(peer)))
    });
    PexMessage { added: listed.take(MAX_TOLD).collect(), ..PexMessage::default() }
}

/// A peer names peers. Returns those that it may name.
///
/// # Errors
/// It names too many, too often.
pub(super) fn named(
    peer: &mut Peer,
    message: &PexMessage,
    now: Instant,
) -> Result<Vec<(SocketAddr, PexFlags)>, PeerError> {
    let taken = peer.pex.take(message.added.len(), now);
    let taken = taken.map_err(|_| Misbehaviour::PexFlood)?;
    let teller = scope(peer.intro.addr.ip());
    let named = message.added.iter().take(taken).copied();
    // Somebody far away has nothing to say about our own network.
    Ok(named.filter(|(addr, _)| teller.may_name(scope(addr.ip()))).collect())
}

fn flags_of(peer: &Peer) -> PexFlags {
    let seed = if peer.is_upload_only() { PexFlags::SEED } else { 0 };
    let reachable = if peer.intro.incoming { 0 } else { PexFlags::REACHABLE };
    // As we speak with it, so may others: what it says of itself is not heard by all.
    let encryption = if peer.encryption.is_some() { PexFlags::ENCRYPTION } else { 0 };
    let utp = if peer.transport == Transport::Utp { PexFlags::UTP } else { 0 };
    let holepunch = if peer.extensions.holepunch.is_some() { PexFlags::HOLEPUNCH } else { 0 };
    PexFlags(seed | reachable | encryption | utp | holepunch)
}
