//! Where addresses come from, whom to connect to, who joins, and who leaves.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::calls::{encrypted_next, named_by, transport_next};
use super::{Contents, Torrent, exchange, punch};
use crate::api::{CloseMode, CloseReason, Notice, PeerSource, StreamAction, Transports};
use crate::base::addr::{self, normalise, priority, scope};
use crate::base::ids::ConnId;
use crate::base::prefix::Prefix;
use crate::candidates::Namer;
use crate::context::{Agenda, Conn, Context, DiscoveryRequest, Handshaking, Phase, Timer};
use crate::peer::{Introduction, Peer};
use crate::picker::PeerKey;
use crate::standing::Way;
use crate::tracker::{Admission, Answer, Failure, Order, SwarmCounts, TrackerRef};
use crate::wire::{Handshake, HolepunchKind, HolepunchMessage};

/// Seconds that a connection may take to be established.
const CONNECT_SECONDS: u64 = 15;
/// Seconds until a peer that had to make room for another is called again.
const GAVE_WAY_SECONDS: u64 = 600;
/// Milliseconds from the handshake to the first tick of a peer.
const FIRST_TICK_MILLIS: u64 = 2_000;
/// How long an address has to answer on one transport until it is called with the other one too.
const OTHER_TRANSPORT: Duration = Duration::from_millis(500);
/// Seconds until an address is tried again for which the transport had no place.
const NO_PLACE_SECONDS: u64 = 60;

impl Torrent {
    /// Adds an address to the list of candidates, unless it may not be called.
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
        let unwanted = self.contents.are_private() && namer.source.is_hearsay();
        if wrong_family || unwanted || ctx.net.standing.refuses(addr, Way::Out, ctx.now) {
            return None;
        }
        let rank = priority(addr, ctx.net.identity.external(addr.is_ipv6()));
        let key = self.candidates.add(addr, namer, rank, ctx.config.max_candidates, ctx.now)?;
        ctx.agenda.touched.insert(self.id);
        Some(key)
    }

    /// Makes the announce that is due, and sets the timer for the next.
    pub(super) fn poll_announces(&mut self, ctx: &mut Context) {
        if !self.is_running() || ctx.stopping {
            return;
        }
        let alone = self.peers.is_empty() && !self.contents.are_finished();
        let later = self.candidates.next_deadline().is_none_or(|at| at > ctx.now);
        self.announcer.looks_for_peers(alone, self.connecting == 0 && later, ctx.now);
        while let Some(order) = self.announcer.poll(ctx.now) {
            ctx.agenda.discovery.add(self.id, DiscoveryRequest::Announce(order));
        }
        if let Some(at) = self.announcer.next_deadline().filter(|at| *at > ctx.now) {
            let (queue, now) = (&mut ctx.timers, ctx.now);
            self.alarms.announce.set(queue, at, now, Timer::Announce(self.id));
        }
    }

    /// All trackers are asked now.
    pub(crate) fn announce_now(&mut self, agenda: &mut Agenda) {
        self.announcer.force();
        agenda.touched.insert(self.id);
    }

    /// The turn of a tracker that stood in line: what is announced, if anything still is.
    pub(crate) fn announce_turn(&mut self, ctx: &mut Context, at: TrackerRef) -> Option<Order> {
        let order = self.announcer.turn(at, ctx.now)?;
        ctx.agenda.touched.insert(self.id);
        Some(order)
    }

    /// An announce waits for its host.
    pub(crate) fn announce_put_off(&mut self, ctx: &mut Context, at: TrackerRef, why: Admission) {
        self.announcer.put_off(at, why);
        ctx.agenda.touched.insert(self.id);
    }

    /// A tracker told how many there are.
    pub(crate) fn scraped(&mut self, at: TrackerRef, counts: SwarmCounts) {
        self.announcer.counted(at, counts);
    }

    /// Addresses of a block are not called any more.
    pub(crate) fn forget_candidates(&mut self, at: Prefix, gone: impl Fn(SocketAddr) -> bool) {
        self.candidates.forget_at(at, gone);
    }

    /// The same of those that are such.
    pub(crate) fn forget_candidates_where(&mut self, such: impl Fn(SocketAddr) -> bool) {
        self.candidates.forget_where(such);
    }

    /// A tracker answered.
    pub(crate) fn tracker_answered(
        &mut self,
        ctx: &mut Context,
        at: TrackerRef,
        answer: &Answer,
        peers: &[SocketAddr],
        warning: Option<alloc::string::String>,
    ) {
        self.announcer.succeeded(at, answer, peers.len() as u32, ctx.now);
        let own = [ctx.net.identity.external(false), ctx.net.identity.external(true)];
        let others: Vec<_> = peers.iter().filter(|peer| !own.contains(peer)).copied().collect();
        for addr in &others {
            self.add_candidate(ctx, *addr, Namer::tracker(at.0));
        }
        if let Some(tracker) = self.announcer.tracker(at) {
            let (torrent, url) = (self.id, tracker.url.clone());
            let peers = peers.len() as u32;
            ctx.notify(Notice::TrackerReplied { torrent, url, peers, warning });
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// A tracker failed.
    pub(crate) fn tracker_failed(&mut self, ctx: &mut Context, at: TrackerRef, why: &Failure) {
        self.announcer.failed(at, why, ctx.now);
        if let Some(tracker) = self.announcer.tracker(at) {
            let (torrent, url) = (self.id, tracker.url.clone());
            let error = why.message.clone();
            ctx.notify(Notice::TrackerFailed { torrent, url, error });
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// A tracker named a peer by host name, which has been resolved.
    pub(crate) fn peer_resolved(&mut self, ctx: &mut Context, ips: &[IpAddr], port: u16) {
        for ip in ips.iter().take(4) {
            let namer = Namer::all(PeerSource::Tracker);
            self.add_candidate(ctx, SocketAddr::new(*ip, port), namer);
        }
    }

    /// The next address to call: places to make connections in are shared by who named the addresses.
    fn next_to_call(&mut self, ctx: &Context) -> Option<(PeerKey, SocketAddr)> {
        let (torrent, conns, most) = (self.id, &ctx.net.conns, ctx.config.max_half_open);
        let share = |namer| match named_by(torrent, namer) {
            Some(namer) => conns.share_of(namer, most),
            None => Some(0),
        };
        self.candidates.next(self.most_to_call(ctx), share, ctx.now)
    }

    /// Connects to the best addresses while there is room.
    pub(super) fn connect_more(&mut self, ctx: &mut Context) {
        if !self.wants_peers() || ctx.stopping {
            return;
        }
        while self.may_call(ctx)
            && self.has_place_for_peers(ctx)
            && let Some((key, remote)) = self.next_to_call(ctx)
        {
            self.call(ctx, key, remote, false);
        }
        if self.candidates.next_deadline().is_some_and(|at| at <= ctx.now) {
            ctx.agenda.awaiting_room.insert(self.id);
        }
        if let Some(at) = self.candidates.next_deadline().filter(|at| *at > ctx.now) {
            let (queue, now) = (&mut ctx.timers, ctx.now);
            self.alarms.candidates.set(queue, at, now, Timer::Torrent(self.id));
        }
    }

    /// Calls an address that was taken from the list; over µTP alone where the other side was told to call us.
    fn call(&mut self, ctx: &mut Context, key: PeerKey, remote: SocketAddr, introduced: bool) {
        let limit = ctx.config.max_candidates;
        if let Err(wait) = ctx.net.dials.begin(remote, ctx.now) {
            return self.candidates.postpone(key, wait.as_secs() + 1, limit, ctx.now);
        }
        let deadline = ctx.now + Duration::from_secs(CONNECT_SECONDS);
        let mut conn = Conn::new(remote, Some(self.id), Some(key), Phase::Connecting, deadline);
        conn.introduced = introduced;
        conn.named_by = self.candidates.namer(key).and_then(|namer| named_by(self.id, namer));
        let id = ctx.net.conns.insert(conn);
        let begun = match introduced {
            true => ctx.connect_utp(id, remote, false),
            false => ctx.connect(id, remote, self.candidates.transport(key)),
        };
        if !begun {
            ctx.net.conns.remove(id);
            return self.candidates.postpone(key, NO_PLACE_SECONDS, limit, ctx.now);
        }
        self.rest.visited();
        self.connecting += 1;
        ctx.timers.schedule(deadline, Timer::Conn(id));
        if ctx.config.transports == Transports::Both && !introduced {
            ctx.timers.schedule(ctx.now + OTHER_TRANSPORT, Timer::Conn(id));
        }
    }

    /// Nobody answered at an address: asks a peer that is connected to it to introduce us (BEP 55).
    fn ask_for_introduction(&mut self, ctx: &mut Context, key: PeerKey) {
        let Some(addr) = self.candidates.get(key).map(|candidate| candidate.addr) else { return };
        if !self.punches_holes(ctx) || !self.wants_peers() || ctx.stopping {
            return;
        }
        for introducer in self.candidates.introducers(key) {
            let conn = self.by_key.get(&introducer);
            let Some(peer) = conn.and_then(|conn| self.peers.get(conn)) else { continue };
            let (conn, at) = (peer.intro.conn, peer.intro.addr);
            let knows = peer.extensions.holepunch.is_some();
            if knows && ctx.net.holepunch.asks(self.id, addr, (conn, at), ctx.now) {
                let question = HolepunchMessage::new(HolepunchKind::Rendezvous, addr);
                return punch::say(ctx, &mut self.peers, conn, &question);
            }
        }
    }

    /// A peer that we asked does not introduce us: another one is asked.
    pub(super) fn not_introduced(&mut self, ctx: &mut Context, conn: ConnId, addr: SocketAddr) {
        let addr = normalise(addr);
        if ctx.net.holepunch.refused(self.id, addr, conn)
            && let Some(key) = self.candidates.key_of(addr)
        {
            if let Some(peer) = self.peers.get(&conn) {
                self.candidates.not_introduced_by(key, peer.intro.key);
            }
            self.ask_for_introduction(ctx, key);
        }
    }

    /// A peer introduces us to somebody who calls us at this moment: we call too, so that what stands before either of
    /// us lets the other one in. The peer may say so without being asked, so it has little to say of others' addresses,
    /// and nothing of networks that are nearer to us than to it.
    pub(super) fn introduced(&mut self, ctx: &mut Context, conn: ConnId, addr: SocketAddr) {
        let Some(peer) = self.peers.get(&conn) else { return };
        let (addr, at) = (normalise(addr), peer.intro.addr);
        let is_there =
            |peer: &Peer| normalise(peer.intro.addr) == addr || peer.pex.listed_as == Some(addr);
        ctx.work.add_steps(self.peers.len() as u64);
        let known = self.candidates.is_busy(addr) || self.peers.values().any(|p| is_there(p));
        let own = addr == ctx.net.identity.external(addr.is_ipv6());
        let may_name = scope(at.ip()).may_name(scope(addr.ip()));
        if known || own || !may_name || !addr::is_dialable(addr) || !self.wants_peers() {
            return;
        }
        if ctx.stopping
            || ctx.net.conns.half_open() >= ctx.config.max_half_open
            || !self.has_place_for_peers(ctx)
            || !ctx.net.holepunch.calls(self.id, addr, (conn, at), ctx.now)
        {
            return;
        }
        let namer = Namer::at(PeerSource::Pex, at.ip());
        let key = self.take_in(ctx, addr, namer).or_else(|| self.candidates.key_of(addr));
        let most = self.most_to_call(ctx);
        if let Some(key) = key
            && !ctx.net.standing.refuses(addr, Way::Out, ctx.now)
            && self.candidates.call(key, most, ctx.now).is_some()
        {
            self.call(ctx, key, addr, true);
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
            // A call of ours to that address, which is ours or of somebody who says so, ends and is the last one.
            let same = |conn: &Conn| !outgoing && conn.key.is_some() && conn.remote == remote;
            let pending = self.pending(ctx, same);
            self.hang_up(ctx, CloseReason::Ourselves, &pending);
            return Err(CloseReason::Ourselves);
        }
        if !self.is_running() || ctx.stopping {
            return Err(CloseReason::Stopped);
        }
        let way = if outgoing { Way::Out } else { Way::In };
        if ctx.net.standing.refuses(remote, way, ctx.now) {
            return Err(CloseReason::Banned);
        }
        // The peer calls us from the address and port that we are calling.
        if !outgoing && self.candidates.is_busy(remote) && !self.prefer(ctx, remote, handshake) {
            return Err(CloseReason::Duplicate);
        }
        self.settle_twins(ctx, remote, outgoing, handshake)?;
        // Of its host, and among all.
        let here = self.others_of(remote, outgoing);
        for makes_room in [Self::who_gives_way_to_host, Self::who_gives_way_to_all] {
            if let Some(conn) = makes_room(self, ctx, remote, here)? {
                self.close_peer(ctx, conn, CloseReason::Limit, true);
            }
        }
        Ok(())
    }

    /// Whether a peer that has called us is let in although we are calling it too; our own call is then ended.
    /// An established connection is better than one that a NAT may never let through. If both are established,
    /// both sides have to keep the same one: the one that the larger peer id began.
    fn prefer(&mut self, ctx: &mut Context, remote: SocketAddr, handshake: &Handshake) -> bool {
        let larger = handshake.peer_id > self.persona.peer_id;
        let ours = |conn: &Conn| {
            conn.remote == remote && (larger || matches!(conn.phase, Phase::Connecting))
        };
        let pending = self.pending(ctx, ours);
        self.hang_up(ctx, CloseReason::Duplicate, &pending);
        !pending.is_empty()
    }

    /// Keeps one of two connections to the same peer. A peer id proves nothing, since anybody can send that of
    /// another peer: the same id at another address is taken for a different peer, which neither replaces this
    /// one nor is kept out for it.
    fn settle_twins(
        &mut self,
        ctx: &mut Context,
        remote: SocketAddr,
        outgoing: bool,
        handshake: &Handshake,
    ) -> Result<(), CloseReason> {
        let host = Prefix::of(remote.ip());
        let twin = self.peers.values().find(|peer| {
            peer.peer_id == handshake.peer_id && Prefix::of(peer.intro.addr.ip()) == host
        });
        if let Some(twin) = twin {
            // Both sides must keep the same one: that which the larger peer id began.
            let ours_is_larger = self.persona.peer_id > handshake.peer_id;
            let keep_new = outgoing == ours_is_larger && twin.intro.incoming == outgoing;
            if !keep_new {
                return Err(CloseReason::Duplicate);
            }
            let old = twin.intro.conn;
            self.close_peer(ctx, old, CloseReason::Duplicate, true);
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
        let outgoing = ctx.net.conns.get(conn).is_some_and(|entry| entry.key.is_some());
        self.connecting = self.connecting.saturating_sub(outgoing.into());
        ctx.net.conns.introduce(conn, self.id);
        let Some(entry) = ctx.net.conns.get_mut(conn) else { return false };
        let (remote, encryption, transport) = (entry.remote, entry.encryption, entry.transport);
        let incoming = entry.key.is_none();
        let rank = priority(remote, ctx.net.identity.external(remote.is_ipv6()));
        let called = entry.key.is_some() || self.candidates.key_of(remote).is_some();
        if ctx.net.reach.met(remote, incoming, called, transport, ctx.now) {
            ctx.tell_reachability();
        }
        let Some(entry) = ctx.net.conns.get_mut(conn) else { return false };
        let key = match entry.key {
            Some(key) => key,
            None => *entry.key.insert(self.candidates.incoming(remote, rank)),
        };
        self.rest.visited();
        let source = self.candidates.get(key).map_or(PeerSource::Incoming, |c| c.source);
        let intro = Introduction { conn, key, addr: remote, incoming, source, priority: rank };
        let pieces = self.contents.geometry().pieces();
        let Handshaking { assembler, granted, unsent, .. } = early;
        let mut peer = Peer::new(intro, handshake, assembler, granted, pieces, ctx.now);
        peer.encryption = encryption;
        peer.transport = transport;
        self.candidates.spoke(key, Some(peer.transport));
        // A peer on parole stays on parole when it reconnects.
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
            // Of one that knows extended messages more is known when it has said which.
            if let Some(peer) = self.peers.get_mut(&conn).filter(|peer| !peer.extended) {
                exchange::list(&mut self.journal, peer);
            }
        }
        ctx.agenda.flush.insert(conn);
        self.act_on_messages(ctx, conn)
    }

    /// A connection has ended before its handshake was complete.
    pub(crate) fn connection_lost(&mut self, ctx: &mut Context, conn: &Conn, reason: CloseReason) {
        self.connecting = self.connecting.saturating_sub(1);
        if let Some(key) = conn.key {
            let limit = ctx.config.max_candidates;
            let unanswered = reason == CloseReason::ConnectFailed;
            if unanswered {
                self.candidates.spoke(key, None);
            } else if let Some(next) = transport_next(ctx.config.transports, conn, reason) {
                self.candidates.spoke(key, next);
            }
            match reason {
                CloseReason::Ourselves => {
                    self.candidates.postpone(key, 365 * 24 * 3600, limit, ctx.now);
                }
                CloseReason::Duplicate => self.candidates.postpone(key, 120, limit, ctx.now),
                CloseReason::ConnectFailed if conn.refused => {
                    self.candidates.refused(key, limit, ctx.now);
                }
                _ => match encrypted_next(ctx.config.encryption.policy, conn, reason) {
                    Some(encrypted) => {
                        self.candidates.try_otherwise(key, encrypted, limit, ctx.now);
                    }
                    None => self.candidates.closed(key, true, limit, ctx.now),
                },
            }
            if unanswered && !conn.introduced {
                self.ask_for_introduction(ctx, key);
            }
        }
        ctx.agenda.touched.insert(self.id);
    }

    /// Closes a peer and returns everything that it held to the budgets. With `tell`, the driver is asked to
    /// close the connection.
    pub(crate) fn close_peer(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        reason: CloseReason,
        tell: bool,
    ) {
        let Some(mut peer) = self.peers.remove(&conn) else { return };
        exchange::unlist(&mut self.journal, &peer);
        let key = peer.intro.key;
        self.by_key.remove(&key);
        self.undecided.touched.remove(&conn);
        match &mut self.contents {
            Contents::Unknown(_, fetch) => fetch.left(key),
            Contents::Known(_, picker) => {
                ctx.work.add_steps(picker.cost_of(&peer.pieces));
                picker.peer_left(&peer.pieces);
                for at in peer.requests.cancel_all() {
                    picker.request_dropped(at, key);
                }
                picker.release(key);
                picker.not_silent(key);
            }
        }
        ctx.budgets.credit.give(peer.granted.into());
        ctx.budgets.sending.give(peer.outbox.blocks());
        ctx.budgets.assembling.give(peer.assembling);
        ctx.agenda.flush.remove(&conn);
        ctx.limits.awaiting_disk.remove(&conn);
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
        // Other peers may be asked for the blocks that it was asked for.
        self.touch_interested(&mut ctx.agenda);
        let (torrent, addr, transport) = (Some(self.id), peer.intro.addr, peer.transport);
        ctx.notify(Notice::PeerClosed { torrent, conn, addr, reason, transport });
        ctx.agenda.touched.insert(self.id);
    }

    pub(super) fn close_all(&mut self, ctx: &mut Context, reason: CloseReason) {
        let peers: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in peers {
            self.close_peer(ctx, conn, reason, true);
        }
        self.leave_web_seeds(ctx);
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

    /// Bans a peer that is proven to have sent bad data, and closes it if it is still there.
    pub(super) fn ban(&mut self, ctx: &mut Context, key: PeerKey) {
        if self.web.is_server(key) {
            return self.ban_web_seed(ctx, key);
        }
        let listens = self.candidates.get(key).map(|candidate| candidate.addr);
        let sender = self.blame.sender(key, self.here(key));
        if let Some(addr) = sender.map(|(addr, _)| addr).or(listens) {
            ctx.net.standing.convict(addr, listens, ctx.now);
            ctx.notify(Notice::PeerBanned(self.id, listens.unwrap_or(addr)));
            // The ban is enforced before the end of the step.
            ctx.agenda.touched.insert(self.id);
        }
        if let Some(conn) = self.by_key.get(&key).copied() {
            self.close_peer(ctx, conn, CloseReason::Banned, true);
        }
        // Its blocks of unfinished pieces are fetched again; otherwise others would share the blame for them.
        if self.contents.picker_mut().is_some_and(|picker| picker.reopen(key)) {
            self.touch_interested(&mut ctx.agenda);
        }
    }

    /// The address of a peer is banned because of another one. Who has proven itself stays, and may
    /// be called again where it listens.
    pub(crate) fn meet_ban(&mut self, ctx: &mut Context, conn: ConnId) {
        let Some(peer) = self.peers.get(&conn) else { return };
        if peer.verified > 0 && !peer.parole {
            let candidate = self.candidates.get(peer.intro.key);
            if let Some(candidate) = candidate.filter(|candidate| candidate.is_dialable()) {
                ctx.net.standing.spare(candidate.addr);
            }
            return;
        }
        // On this machine every client has the same address: a ban of one says nothing of the others.
        if Prefix::of(peer.intro.addr.ip()).is_loopback() {
            return;
        }
        let way = if peer.intro.incoming { Way::In } else { Way::Out };
        if ctx.net.standing.refuses(peer.intro.addr, way, ctx.now) {
            self.close_peer(ctx, conn, CloseReason::Banned, true);
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
