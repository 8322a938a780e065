//! Connections before they are peers: accepting, connecting, shaking hands.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

use super::{Engine, ShutDown};
use crate::api::{
    Action, CloseMode, CloseReason, Notice, PeerSource, StreamAction, Transport, Transports,
    ViolatedRule,
};
use crate::base::addr::normalise;
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, SocketToken};
use crate::base::prefix::Prefix;
use crate::context::{ACCEPT_ROOM, Conn, Handshaking, Opening, Phase, Timer};
use crate::standing::Way;
use crate::wire::{Handshake, PeerId, Reserved};

/// Seconds a stranger has for its handshake.
pub(super) const HANDSHAKE_SECONDS: u64 = 10;
/// Bytes a stranger may send: a handshake and the first messages behind it.
const HANDSHAKE_CREDIT: u32 = ACCEPT_ROOM;

impl Engine {
    /// Somebody connected: adopted while there is room, refused otherwise.
    pub(super) fn incoming(&mut self, socket: SocketToken, remote: SocketAddr) {
        let spoken = self.ctx.config.transports.include(Transport::Tcp);
        let Some(id) = spoken.then(|| self.greet(normalise(remote))).flatten() else {
            return self.ctx.out.actions.push(Action::Refuse { socket });
        };
        self.ctx.stream(id, StreamAction::Adopt { socket });
        self.grant_stranger(id);
    }

    /// What a stranger may send.
    pub(super) fn grant_stranger(&mut self, conn: ConnId) {
        self.ctx.stream(conn, StreamAction::GrantRead(HANDSHAKE_CREDIT));
    }

    /// Somebody at `remote` came, by whatever transport: it may wait until it has said enough, if there is room
    /// for that.
    pub(super) fn greet(&mut self, remote: SocketAddr) -> Option<ConnId> {
        let banned = self.ctx.net.standing.refuses(remote, Way::In, self.ctx.now);
        if self.shut_down != ShutDown::No || banned || !self.may_come(remote) {
            return None;
        }
        let deadline = self.ctx.now + Duration::from_secs(HANDSHAKE_SECONDS);
        let opening = self.first_of_stranger();
        let early = Handshaking { granted: HANDSHAKE_CREDIT, opening, ..Handshaking::default() };
        let phase = Phase::Handshaking(Box::new(early));
        let conn = Conn { waits: true, ..Conn::new(remote, None, None, phase, deadline) };
        let id = self.ctx.net.conns.insert(conn);
        self.ctx.budgets.credit.take(HANDSHAKE_CREDIT.into());
        self.ctx.timers.schedule(deadline, Timer::Conn(id));
        Some(id)
    }

    /// A connection that we began is established: we send the first handshake.
    pub(super) fn connected(&mut self, conn: ConnId) {
        let Some(entry) = self.ctx.net.conns.get(conn) else { return };
        let torrent = entry.torrent.and_then(|id| self.torrents.get(id));
        let Some(us) = torrent.map(|torrent| (torrent.info_hash(), torrent.persona().peer_id))
        else {
            return;
        };
        let early = Handshaking { granted: HANDSHAKE_CREDIT, ..Handshaking::default() };
        self.ctx.net.conns.set_phase(conn, Phase::Handshaking(Box::new(early)));
        let deadline = self.ctx.now + Duration::from_secs(HANDSHAKE_SECONDS);
        if let Some(entry) = self.ctx.net.conns.get_mut(conn) {
            entry.deadline = deadline;
        }
        self.ctx.timers.schedule(deadline, Timer::Conn(conn));
        self.ctx.budgets.credit.take(HANDSHAKE_CREDIT.into());
        if self.calls_encrypted(conn) {
            let (info_hash, _) = us;
            let first = self.handshake(us).encode();
            self.begin_encrypted(conn, info_hash, &first);
        } else {
            self.send_early(conn, Bytes::copy_from_slice(&self.handshake(us).encode()));
        }
        self.ctx.stream(conn, StreamAction::GrantRead(HANDSHAKE_CREDIT));
        // Another connection may be begun in its place.
        self.ctx.room_for_connections();
    }

    fn handshake(&self, (info_hash, peer_id): (Sha1Hash, PeerId)) -> Handshake {
        Handshake { reserved: Reserved::ours(self.ctx.net.dht_runs), info_hash, peer_id }
    }

    /// Sends bytes before the connection is a peer.
    pub(super) fn send_early(&mut self, conn: ConnId, bytes: Bytes) {
        if let Some(entry) = self.ctx.net.conns.get_mut(conn)
            && let Phase::Handshaking(early) = &mut entry.phase
        {
            early.unsent += bytes.len() as u64;
            self.ctx.net.sent += bytes.len() as u64;
        }
        self.ctx.stream(conn, StreamAction::Send(bytes));
    }

    /// Bytes before the handshake is complete.
    pub(super) fn received_early(&mut self, conn: ConnId, bytes: Bytes) {
        self.ctx.net.received += bytes.len() as u64;
        let Some(entry) = self.ctx.net.conns.get_mut(conn) else { return };
        let (remote, outgoing) = (entry.remote, entry.key.is_some());
        let Phase::Handshaking(early) = &mut entry.phase else { return };
        let parked = early.parked.is_some();
        let count = bytes.len() as u32;
        let within = early.granted.min(count);
        early.granted -= within;
        self.ctx.budgets.credit.give(within.into());
        if within < count {
            self.violated(ViolatedRule::MoreThanGranted);
        }
        let bytes = match self.open(conn, bytes) {
            Ok(bytes) => bytes,
            Err(reason) => return self.forget_early(conn, reason, true),
        };
        let Some(Phase::Handshaking(early)) =
            self.ctx.net.conns.get_mut(conn).map(|entry| &mut entry.phase)
        else {
            return;
        };
        early.assembler.push(bytes);
        if parked {
            return;
        }
        let handshake = match early.assembler.take_handshake() {
            Ok(Some(handshake)) => handshake,
            Ok(None) => return,
            Err(_) => return self.forget_early(conn, CloseReason::BadMessage, true),
        };
        if !self.take_place(conn) {
            return self.forget_early(conn, CloseReason::Limit, true);
        }
        let Some(Phase::Handshaking(early)) =
            self.ctx.net.conns.get_mut(conn).map(|entry| &mut entry.phase)
        else {
            return;
        };
        // The torrent of the handshake has to be the one that the encrypted handshake named.
        if matches!(early.opening, Opening::Agreed(hash) if hash != handshake.info_hash) {
            return self.forget_early(conn, CloseReason::BadMessage, true);
        }
        if let Err(reason) = self.welcome(conn, remote, outgoing, &handshake) {
            self.forget_early(conn, reason, true);
        }
    }

    /// A complete handshake: the connection becomes a peer, or is refused.
    pub(super) fn welcome(
        &mut self,
        conn: ConnId,
        remote: SocketAddr,
        outgoing: bool,
        handshake: &Handshake,
    ) -> Result<(), CloseReason> {
        if !outgoing && self.can_come(handshake.info_hash) {
            self.park(conn, remote, handshake);
            return Ok(());
        }
        let id = self.by_hash.get(&handshake.info_hash).copied();
        let id = id.ok_or(CloseReason::UnknownTorrent)?;
        let expected = self.ctx.net.conns.get(conn).and_then(|entry| entry.torrent);
        if expected.is_some_and(|expected| expected != id) {
            return Err(CloseReason::UnknownTorrent);
        }
        let torrent = self.torrents.get_mut(id).ok_or(CloseReason::UnknownTorrent)?;
        let admitted = torrent.admit(&mut self.ctx, remote, outgoing, handshake);
        let us = (torrent.info_hash(), torrent.persona().peer_id);
        // Where we have called ourselves, the side that called learns it too, and calls there no more.
        let answers = !matches!(admitted, Err(reason) if reason != CloseReason::Ourselves);
        if answers && !outgoing {
            self.send_early(conn, Bytes::copy_from_slice(&self.handshake(us).encode()));
        }
        admitted?;
        let early = match self.ctx.net.conns.set_phase(conn, Phase::Active) {
            Some(Phase::Handshaking(early)) => *early,
            _ => Handshaking::default(),
        };
        if let Some(torrent) = self.torrents.get_mut(id)
            && torrent.join(&mut self.ctx, conn, handshake, early)
        {
            self.turns.wait(conn);
        }
        Ok(())
    }

    /// A connection ends before it was a peer.
    pub(super) fn forget_early(&mut self, conn: ConnId, reason: CloseReason, tell: bool) {
        let Some(entry) = self.ctx.net.conns.remove(conn) else { return };
        self.ctx.net.exchanges.waiting.remove(&conn);
        if let Phase::Handshaking(early) = &entry.phase {
            self.ctx.budgets.credit.give(early.granted.into());
        }
        if entry.torrent.is_none()
            && matches!(reason, CloseReason::HandshakeTimeout | CloseReason::Remote)
        {
            self.ctx.net.idlers.note(Prefix::of(entry.remote.ip()), self.ctx.now);
        }
        if tell {
            let answered = reason == CloseReason::Ourselves;
            let mode = if answered { CloseMode::Flush } else { CloseMode::Now };
            self.ctx.stream(conn, StreamAction::Close(mode));
        }
        let utp_alone = entry.introduced || self.ctx.config.transports == Transports::Utp;
        let transport = match &entry.phase {
            Phase::Connecting if utp_alone => Transport::Utp,
            _ => entry.transport,
        };
        let (torrent, addr) = (entry.torrent, entry.remote);
        self.ctx.notify(Notice::PeerClosed { torrent, conn, addr, reason, transport });
        if let Some(torrent) = torrent.and_then(|id| self.torrents.get_mut(id)) {
            torrent.connection_lost(&mut self.ctx, &entry, reason);
        }
        // There is room for another connection, of any torrent.
        self.ctx.room_for_connections();
    }

    /// The kernel took bytes of a handshake.
    pub(super) fn sent_early(&mut self, conn: ConnId, count: u32) {
        let Some(entry) = self.ctx.net.conns.get_mut(conn) else { return };
        let Phase::Handshaking(early) = &mut entry.phase else { return };
        let taken = u64::from(count).min(early.unsent);
        early.unsent -= taken;
        if taken < u64::from(count) {
            self.violated(ViolatedRule::MoreThanSent);
        }
    }

    /// Closes every connection that is no peer yet.
    pub(super) fn close_unshaken(&mut self) {
        let early = self.ctx.net.conns.iter();
        let early = early.filter(|(_, c)| !matches!(c.phase, Phase::Active | Phase::Fetching));
        let early: Vec<ConnId> = early.map(|(id, _)| id).collect();
        early.into_iter().for_each(|id| self.forget_early(id, CloseReason::Stopped, true));
    }

    /// The source by which a peer is known, for an embedder's own book-keeping.
    pub fn source_of(&self, conn: ConnId) -> Option<PeerSource> {
        let torrent = self.ctx.net.conns.get(conn)?.torrent?;
        self.torrents.get(torrent)?.peers().get(&conn).map(|peer| peer.intro.source)
    }
}
