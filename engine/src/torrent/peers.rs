//! Who joins, who leaves, and whom to connect to.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::Torrent;
use crate::api::{
    CloseMode, CloseReason, EncryptionPolicy, Notice, PeerSource, StreamAction, Transport,
    Transports,
};
use crate::base::addr::{self, priority};
use crate::base::ids::ConnId;
use crate::base::prefix::Prefix;
use crate::candidates::Namer;
use crate::context::{Conn, Context, Handshaking, Opening, Phase, Timer};
use crate::peer::{Introduction, Peer};
use crate::picker::PeerKey;
use crate::standing::Way;
use crate::wire::{ExtendedHandshake, Handshake, Message, allowed_fast_set};

/// Seconds until a connection stands.
const CONNECT_SECONDS: u64 = 15;
/// Pieces a choked newcomer may fetch (BEP 6).
const ALLOWED_FAST: u32 = 10;
/// Seconds until an address is tried again that gave way to another.
const GAVE_WAY_SECONDS: u64 = 600;
/// How soon a peer is looked at for the first time, in milliseconds.
const FIRST_TICK_MILLIS: u64 = 2_000;
/// How long an address has to answer on one transport until it is called with the other one too.
const OTHER_TRANSPORT: Duration = Duration::from_millis(500);
/// Seconds until an address is tried again for which the transport had no place.
const NO_PLACE_SECONDS: u64 = 60;

impl Torrent {
    /// Takes in an address.
    pub(crate) fn add_candidate(&mut self, ctx: &mut Context, addr: SocketAddr, namer: Namer) {
        self.take_in(ctx, addr, namer);
    }

    /// As [`Self::add_candidate`]; returns its key, if it was not known.
    pub(super) fn take_in(
        &mut self,
        ctx: &mut Context,
        addr: SocketAddr,
        namer: Namer,
    ) -> Option<PeerKey> {
        let addr = addr::normalise(addr);
        let wrong_family = if addr.is_ipv6() { !ctx.config.ipv6 } else { !ctx.config.ipv4 };
        let unwanted = self.metainfo.is_private() && namer.source.is_hearsay();
        if wrong_family || unwanted || ctx.net.standing.refuses(addr, Way::Out, ctx.now) {
            return None;
        }
        let rank = priority(addr, ctx.net.identity.external(addr.is_ipv6()));
        let key = self.candidates.add(addr, namer, rank, ctx.config.max_candidates, ctx.now)?;
        ctx.agenda.touched.insert(self.id);
        Some(key)
    }

    /// Whether more peers are wanted. A seed looks for leechers too: it, or they, may be where no
    /// connection can come in.
    fn wants_peers(&self) -> bool {
        self.is_running()
    }

    /// How many peers a tracker should name.
    pub(super) fn peers_wanted(&self, ctx: &Context) -> u32 {
        let room = ctx.config.max_connections_per_torrent.saturating_sub(self.peers.len() as u32);
        if self.wants_peers() && room > 0 { 80 } else { 0 }
    }

    /// Connects to the best addresses while there is room.
    pub(super) fn connect_more(&mut self, ctx: &mut Context) {
        if !self.wants_peers() || ctx.stopping {
            return;
        }
        let limit = ctx.config.max_connections_per_torrent;
        while ctx.net.conns.half_open() < ctx.config.max_half_open
            && ctx.net.conns.len() < ctx.config.max_connections
            && self.peers.len() as u32 + self.connecting < limit
            && let Some((key, remote)) = self.candidates.next(self.most_to_call(ctx), ctx.now)
        {
            if let Err(wait) = ctx.net.dials.begin(remote, ctx.now) {
                let limit = ctx.config.max_candidates;
                self.candidates.postpone(key, wait.as_secs() + 1, limit, ctx.now);
                continue;
            }
            let deadline = ctx.now + Duration::from_secs(CONNECT_SECONDS);
            let (torrent, phase) = (Some(self.id), Phase::Connecting);
            let conn = Conn::new(remote, torrent, Some(key), phase, deadline);
            let id = ctx.net.conns.insert(conn);
            if !ctx.connect(id, remote, self.candidates.transport(key)) {
                ctx.net.conns.remove(id);
                let limit = ctx.config.max_candidates;
                self.candidates.postpone(key, NO_PLACE_SECONDS, limit, ctx.now);
                continue;
            }
            self.visited();
            self.connecting += 1;
            ctx.timers.schedule(deadline, Timer::Conn(id));
            if ctx.config.transports == Transports::Both {
                ctx.timers.schedule(ctx.now + OTHER_TRANSPORT, Timer::Conn(id));
            }
        }
        if self.candidates.next_deadline().is_some_and(|at| at <= ctx.now) {
            ctx.agenda.awaiting_room.insert(self.id);
        }
        if let Some(at) = self.candidates.next_deadline().filter(|at| *at > ctx.now) {
            let (queue, now) = (&mut ctx.timers, ctx.now);
            self.alarms.candidates.set(queue, at, now, Timer::Torrent(self.id));
        }
    }

    /// A handshake came for this torrent. Returns why the connection is refused, if it is.
    pub(crate) fn admit(
        &mut self,
        ctx: &mut Context,
        remote: SocketAddr,
        outgoing: bool,
        handshake: &Handshake,
    ) -> Result<(), CloseReason> {
        if handshake.peer_id == self.persona.peer_id {
            return Err(CloseReason::Ourselves);
        }
        if !self.is_running() || ctx.stopping {
            return Err(CloseReason::Stopped);
        }
        let way = if outgoing { Way::Out } else { Way::In };
        if ctx.net.standing.refuses(remote, way, ctx.now) {
            return Err(CloseReason::Banned);
        }
        // It calls from the very port that we have called.
        if !outgoing && self.candidates.is_busy(remote) && !self.prefer(ctx, remote, handshake) {
            return Err(CloseReason::Duplicate);
        }
        self.settle_twins(ctx, remote, outgoing, handshake)?;
        self.find_place(ctx, remote, outgoing)
    }

    /// Whether a peer that has called us is let in though we call it too; then we hang up. One that
    /// stands is better than one that may never do, where a NAT lets nobody in. If both stand, both
    /// sides must keep the same one: that which the larger peer id began.
    fn prefer(&mut self, ctx: &mut Context, remote: SocketAddr, handshake: &Handshake) -> bool {
        let larger = handshake.peer_id > self.persona.peer_id;
        let ours = |conn: &Conn| {
            conn.remote == remote && (larger || matches!(conn.phase, Phase::Connecting))
        };
        let pending = self.pending(ctx, ours);
        self.hang_up(ctx, CloseReason::Duplicate, &pending);
        !pending.is_empty()
    }

    /// Two connections to one peer are one too many. A peer id alone proves nothing, since everybody
    /// can show that of somebody else: whoever shows it at another address is somebody else, and
    /// takes nothing from one that has proven itself.
    fn settle_twins(
        &mut self,
        ctx: &mut Context,
        remote: SocketAddr,
        outgoing: bool,
        handshake: &Handshake,
    ) -> Result<(), CloseReason> {
        let host = Prefix::of(remote.ip());
        let twins = || self.peers.values().filter(|peer| peer.peer_id == handshake.peer_id);
        let twin = twins().find(|peer| Prefix::of(peer.intro.addr.ip()) == host);
        if let Some(twin) = twin {
            // Both sides must keep the same one: that which the larger peer id began.
            let ours_is_larger = self.persona.peer_id > handshake.peer_id;
            let keep_new = outgoing == ours_is_larger && twin.intro.incoming == outgoing;
            if !keep_new {
                return Err(CloseReason::Duplicate);
            }
            let old = twin.intro.conn;
            self.close_peer(ctx, old, CloseReason::Duplicate, true);
        } else if twins().any(|peer| peer.verified > 0) {
            return Err(CloseReason::Duplicate);
        }
        Ok(())
    }

    /// Makes an admitted connection a peer: says what we have and what we can do. Returns whether
    /// messages of it are left for another turn.
    pub(crate) fn join(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        handshake: &Handshake,
        early: Handshaking,
    ) -> bool {
        ctx.net.conns.introduce(conn, self.id);
        let Some(entry) = ctx.net.conns.get_mut(conn) else { return false };
        let (remote, encryption) = (entry.remote, entry.encryption);
        let incoming = entry.key.is_none();
        let rank = priority(remote, ctx.net.identity.external(remote.is_ipv6()));
        let key = match entry.key {
            Some(key) => key,
            None => *entry.key.insert(self.candidates.incoming(remote, rank)),
        };
        self.visited();
        let source = self.candidates.get(key).map_or(PeerSource::Incoming, |c| c.source);
        let intro = Introduction { conn, key, addr: remote, incoming, source, priority: rank };
        let pieces = self.metainfo.geometry().pieces();
        let Handshaking { assembler, granted, unsent, .. } = early;
        let mut peer = Peer::new(intro, handshake, assembler, granted, pieces, ctx.now);
        peer.encryption = encryption;
        if ctx.utp.has_opened(conn) {
            peer.transport = Transport::Utp;
        }
        self.candidates.spoke(key, Some(peer.transport));
        // It may have left to be trusted again.
        peer.parole = ctx.net.standing.is_on_parole(remote.ip());
        peer.outbox.handed_over(u32::try_from(unsent).unwrap_or(u32::MAX), ctx.now);
        ctx.notify(Notice::PeerConnected {
            torrent: self.id,
            conn,
            addr: remote,
            client: peer.client.clone(),
            source,
            encryption,
            transport: peer.transport,
        });
        self.introduce_ourselves(ctx, &mut peer);
        peer.tick_at = ctx.now + Duration::from_millis(FIRST_TICK_MILLIS);
        ctx.timers.schedule(peer.tick_at, Timer::Conn(conn));
        self.by_key.insert(key, conn);
        self.peers.insert(conn, Box::new(peer));
        if !incoming {
            ctx.net.dials.succeeded(remote);
            self.candidates.proven(key);
            self.list_peer(conn);
        }
        ctx.agenda.flush.insert(conn);
        self.act_on_messages(ctx, conn)
    }

    /// The first messages: pieces (BEP 3, 6), extended handshake (BEP 10), allowed-fast set.
    fn introduce_ourselves(&self, ctx: &Context, peer: &mut Peer) {
        let have = self.have();
        if peer.fast && self.is_complete() {
            peer.send(&Message::HaveAll);
        } else if peer.fast && have.count() == 0 {
            peer.send(&Message::HaveNone);
        } else if have.count() > 0 {
            peer.send(&Message::Bitfield(have.to_wire().into()));
        }
        if let Some(port) = ctx.net.identity.port.filter(|_| ctx.net.dht_runs && peer.dht) {
            peer.send(&Message::Port(port));
        }
        if peer.extended {
            let payload = self.extended_handshake(ctx, peer).encode().into();
            peer.send(&Message::Extended { id: 0, payload });
        }
        if let (true, IpAddr::V4(ip)) = (peer.fast, peer.intro.addr.ip().to_canonical()) {
            let pieces = self.metainfo.geometry().pieces();
            for piece in allowed_fast_set(ip, self.info_hash(), pieces, ALLOWED_FAST) {
                if have.has(piece) {
                    peer.allowed_fast_out.push(piece);
                    // Twice, since what was sent may have been lost with a bad neighbour.
                    let size = self.metainfo.geometry().piece_size(piece);
                    peer.fast_allowance += 2 * u64::from(size);
                    peer.send(&Message::AllowedFast(piece));
                }
            }
        }
    }

    fn extended_handshake(&self, ctx: &Context, peer: &Peer) -> ExtendedHandshake {
        let finished = self.is_known() && self.picker.is_finished();
        let mut handshake = ExtendedHandshake {
            m: [("lt_donthave".into(), crate::peer::OUR_DONT_HAVE_ID)].into(),
            v: Some(ctx.config.client.clone()),
            p: ctx.net.identity.port,
            reqq: Some(ctx.config.max_queued_requests),
            yourip: Some(peer.intro.addr.ip().to_canonical()),
            upload_only: finished.then_some(true),
            ..ExtendedHandshake::default()
        };
        self.offer_extensions(ctx, &mut handshake);
        handshake
    }

    /// A connection that was being made, or was shaking hands, is no more.
    pub(crate) fn connection_lost(&mut self, ctx: &mut Context, conn: &Conn, reason: CloseReason) {
        self.connecting = self.connecting.saturating_sub(1);
        if let Some(key) = conn.key {
            let limit = ctx.config.max_candidates;
            if reason == CloseReason::ConnectFailed {
                self.candidates.spoke(key, None);
            }
            match reason {
                CloseReason::Ourselves => {
                    self.candidates.postpone(key, 365 * 24 * 3600, limit, ctx.now);
                }
                CloseReason::Duplicate => self.candidates.postpone(key, 120, limit, ctx.now),
                _ => match encrypted_next(ctx.config.encryption.policy, conn, reason) {
                    Some(encrypted) => {
                        self.candidates.try_otherwise(key, encrypted, limit, ctx.now);
                    }
                    None => self.candidates.closed(key, true, limit, ctx.now),
                },
            }
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// Closes a peer and gives back everything it held. `tell` asks the driver to close it too.
    pub(crate) fn close_peer(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        reason: CloseReason,
        tell: bool,
    ) {
        let Some(mut peer) = self.peers.remove(&conn) else { return };
        self.unlist_peer(&peer);
        let key = peer.intro.key;
        self.by_key.remove(&key);
        self.undecided.touched.remove(&conn);
        if let Some(fetch) = &mut self.fetch {
            fetch.left(key);
        }
        ctx.work.add_steps(self.picker.cost_of(&peer.pieces));
        self.picker.peer_left(&peer.pieces);
        for at in peer.requests.cancel_all() {
            self.picker.request_dropped(at, key);
        }
        self.picker.release(key);
        self.picker.not_silent(key);
        ctx.budgets.credit.give(peer.granted.into());
        ctx.budgets.sending.give(peer.outbox.blocks());
        ctx.budgets.assembling.give(peer.assembling);
        ctx.agenda.flush.remove(&conn);
        ctx.limits.throttled.remove(&conn);
        ctx.agenda.slots_changed |= !peer.am_choking;
        ctx.net.conns.remove(conn);
        ctx.room_for_connections();
        if tell {
            ctx.stream(conn, StreamAction::Close(CloseMode::Now));
        }
        let useless = peer.down.total() == 0 && peer.up.total() == 0;
        let (limit, now) = (ctx.config.max_candidates, ctx.now);
        match reason {
            CloseReason::BothComplete => self.candidates.left_whole(key, limit, now),
            CloseReason::Duplicate => self.candidates.postpone(key, 120, limit, now),
            CloseReason::Limit | CloseReason::NotReading => {
                self.candidates.postpone(key, GAVE_WAY_SECONDS, limit, now)
            }
            CloseReason::Misbehaved | CloseReason::BadMessage => {
                if ctx.net.standing.strike(peer.intro.addr, now) {
                    ctx.notify(Notice::PeerBanned(self.id, peer.intro.addr));
                }
                self.candidates.closed(key, true, limit, now);
            }
            CloseReason::Banned => self.candidates.closed(key, true, limit, now),
            _ => self.candidates.closed(key, useless, limit, now),
        }
        // Blocks it was asked for are open again, for everyone.
        self.touch_interested(&mut ctx.agenda);
        let (torrent, addr) = (Some(self.id), peer.intro.addr);
        ctx.notify(Notice::PeerClosed { torrent, conn, addr, reason });
        ctx.agenda.touched.insert(self.id);
    }

    pub(super) fn close_all(&mut self, ctx: &mut Context, reason: CloseReason) {
        let peers: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in peers {
            self.close_peer(ctx, conn, reason, true);
        }
        self.close_pending(ctx, reason, |_| true);
    }

    /// Closes connections of a kind that are not peers yet.
    pub(super) fn close_pending(
        &mut self,
        ctx: &mut Context,
        reason: CloseReason,
        such: impl Fn(PeerSource) -> bool,
    ) {
        let source = |conn: &Conn| {
            let candidate = conn.key.and_then(|key| self.candidates.get(key));
            candidate.map_or(PeerSource::Incoming, |candidate| candidate.source)
        };
        let pending = self.pending(ctx, |conn| such(source(conn)));
        self.hang_up(ctx, reason, &pending);
    }

    /// Connections of this torrent that are no peers yet.
    fn pending(&self, ctx: &Context, such: impl Fn(&Conn) -> bool) -> Vec<ConnId> {
        let pending = ctx.net.conns.iter().filter(|(_, conn)| {
            let active = matches!(conn.phase, Phase::Active);
            conn.torrent == Some(self.id) && !active && such(conn)
        });
        pending.map(|(id, _)| id).collect()
    }

    fn hang_up(&mut self, ctx: &mut Context, reason: CloseReason, pending: &[ConnId]) {
        for id in pending {
            let Some(conn) = ctx.net.conns.remove(*id) else { continue };
            if let Phase::Handshaking(early) = &conn.phase {
                ctx.budgets.credit.give(early.granted.into());
            }
            ctx.stream(*id, StreamAction::Close(CloseMode::Now));
            self.connection_lost(ctx, &conn, reason);
        }
    }

    /// Lets a peer go that neither side can use: both have everything (BEP 21).
    pub(super) fn part_when_both_complete(&mut self, ctx: &mut Context, conn: ConnId) {
        if !self.life.is_active() || !self.goal.finished {
            return;
        }
        let Some(peer) = self.peers.get(&conn) else { return };
        if peer.is_upload_only() && peer.interesting == 0 && !peer.peer_interested {
            self.close_peer(ctx, conn, CloseReason::BothComplete, true);
        }
    }
}

/// Whether the next connection to an address is to be with encryption, or without, after one of the other kind came to
/// nothing before it was a peer; `None` where the kind is not to blame.
fn encrypted_next(policy: EncryptionPolicy, conn: &Conn, reason: CloseReason) -> Option<bool> {
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
        Opening::Encrypted(_) => Some(false),
        Opening::Unknown(_) | Opening::Agreed(_) => None,
    }
    .filter(|_| blamed && policy == EncryptionPolicy::Prefer)
}
