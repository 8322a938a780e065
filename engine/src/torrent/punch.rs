//! Introducing peers to each other (BEP 55): what they are told.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::net::SocketAddr;

use crate::api::Transport;
use crate::base::addr::{is_dialable, normalise, scope};
use crate::base::ids::ConnId;
use crate::context::Context;
use crate::peer::Peer;
use crate::wire::{HolepunchError, HolepunchKind, HolepunchMessage, Message};

/// A peer asks to be introduced to the one at `addr`: both are told of each other, or it is told why not. Who asks
/// for more than it may is not answered. Costs as much as there are peers.
pub(super) fn introduce(
    ctx: &mut Context,
    peers: &mut BTreeMap<ConnId, Box<Peer>>,
    conn: ConnId,
    addr: SocketAddr,
) {
    ctx.work.add_steps(peers.len() as u64);
    let Some(asker) = peers.get(&conn) else { return };
    let asked_from = asker.intro.addr;
    let own = ctx.net.identity.external(addr.is_ipv6());
    let outcome = parties(peers, asker, addr, own);
    if !ctx.net.holepunch.introduces(asked_from, normalise(addr), ctx.now) {
        return;
    }
    match outcome {
        Err(why) => say(ctx, peers, conn, &HolepunchMessage::refusal(addr, why)),
        Ok(Introduced { target, target_at, asker_at }) => {
            let connect = |addr| HolepunchMessage::new(HolepunchKind::Connect, addr);
            say(ctx, peers, target, &connect(asker_at));
            say(ctx, peers, conn, &connect(target_at));
        }
    }
}

/// Two who are told of each other.
struct Introduced {
    target: ConnId,
    target_at: SocketAddr,
    asker_at: SocketAddr,
}

/// Whom a peer asks for, and where both are.
fn parties(
    peers: &BTreeMap<ConnId, Box<Peer>>,
    asker: &Peer,
    addr: SocketAddr,
    own: SocketAddr,
) -> Result<Introduced, HolepunchError> {
    let addr = normalise(addr);
    if !is_dialable(addr) {
        return Err(HolepunchError::NoSuchPeer);
    }
    let is_there =
        |peer: &Peer| normalise(peer.intro.addr) == addr || peer.pex.listed_as == Some(addr);
    if addr == own || is_there(asker) {
        return Err(HolepunchError::NoSelf);
    }
    let target = peers.values().find(|peer| is_there(peer)).ok_or(HolepunchError::NotConnected)?;
    if target.extensions.holepunch.is_none() {
        return Err(HolepunchError::NoSupport);
    }
    let (Some(target_at), Some(asker_at)) = (address(target), address(asker)) else {
        return Err(HolepunchError::NoSuchPeer);
    };
    // Neither is told of a network that is nearer to the other one than to it.
    let (near, far) = (scope(target_at.ip()), scope(asker_at.ip()));
    if !near.may_name(far) || !far.may_name(near) || target_at.is_ipv6() != asker_at.is_ipv6() {
        return Err(HolepunchError::NoSuchPeer);
    }
    Ok(Introduced { target: target.intro.conn, target_at, asker_at })
}

/// Where packets of a peer come from: over µTP that is seen, whatever port its router has chosen; with TCP it is where
/// it listens.
fn address(peer: &Peer) -> Option<SocketAddr> {
    match peer.transport {
        Transport::Utp => Some(normalise(peer.intro.addr)),
        Transport::Tcp => peer.pex.listed_as,
    }
}

/// Tells a peer something, if it knows what that means.
pub(super) fn say(
    ctx: &mut Context,
    peers: &mut BTreeMap<ConnId, Box<Peer>>,
    conn: ConnId,
    message: &HolepunchMessage,
) {
    let Some(peer) = peers.get_mut(&conn) else { return };
    let Some(id) = peer.extensions.holepunch else { return };
    peer.send(&Message::Extended { id, payload: message.encode().into() });
    ctx.agenda.flush.insert(conn);
}
