//! What peers say: routing of each message to the part of the torrent that it concerns.

use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

use super::upload::{self, push};
use super::{Torrent, exchange, metadata, punch};
use crate::api::{CloseReason, PeerSource, READ_FLOOR};
use crate::base::bits::Bits;
use crate::base::budget::Budget;
use crate::base::ids::ConnId;
use crate::base::work::{STEP_UNITS, TURN_UNITS, Work};
use crate::candidates::Namer;
use crate::context::{Agenda, Context, Timer};
use crate::metadata_fetch::Arrival;
use crate::metainfo::BLOCK_LENGTH;
use crate::peer::{Misbehaviour, Peer, PeerError, PeerEvent};
use crate::picker::{BlockRef, PeerKey, PeerPieces, Picker, STEPS_TO_INDEX};
use crate::wire::{
    BlockRequest, ExtendedHandshake, FrameAssembler, HolepunchKind, HolepunchMessage, Message,
    MetadataMessage, PexFlags, PexMessage,
};

/// Milliseconds without a byte from a peer after which it is closed: keep-alives come every two minutes.
const SILENT_MILLIS: u64 = 150_000;
/// Milliseconds without sending anything after which we send a keep-alive.
const KEEP_ALIVE_MILLIS: u64 = 100_000;
/// How often a peer that is being asked or served is looked at.
const BUSY_TICK_MILLIS: u64 = 2_000;
/// How often one that is not.
const IDLE_TICK_MILLIS: u64 = 20_000;

/// Bytes of an unfinished message that are kept, beyond those of a bitfield: no other message that
/// means anything to us is longer.
pub(crate) const MAX_UNFINISHED: u64 = 64 * 1024;
/// The same for a bitfield while it is not known how many pieces there are: two million.
const MAX_EARLY_BITFIELD: u64 = 256 * 1024;

/// The block that a request, reject or cancel of ours names. Ours are always block-aligned.
pub(super) fn block_of(request: &BlockRequest) -> BlockRef {
    BlockRef { piece: request.piece, block: request.begin / BLOCK_LENGTH }
}

/// What came of bytes of a peer.
pub(crate) struct Taken {
    /// Messages are left for a turn that it has to wait for from now on.
    pub(crate) awaits_turn: bool,
    /// There were more than it was granted.
    pub(crate) too_many: bool,
}

/// What is left of a peer's bytes when its turn is over.
struct LeftOver {
    /// Complete messages, for another turn.
    awaits_turn: bool,
    /// Bytes in the assembler.
    unfinished: u64,
    /// More than before, and more than there is room for.
    too_much: bool,
}

impl LeftOver {
    /// A peer's turn is over: what it left is put away and accounted for.
    #[inline(always)]
    fn after_turn(peer: &mut Peer, assembling: &mut Budget, work: &Work, until: u64) -> Self {
        peer.awaits_turn = work.total() >= until && peer.assembler.has_message();
        let unfinished = peer.assembler.buffered() as u64;
        if !peer.awaits_turn && unfinished > 0 {
            peer.assembler.compact(false);
        }
        Self { awaits_turn: peer.awaits_turn, unfinished, too_much: account(peer, assembling) }
    }
}

/// Updates how many bytes of a peer wait. Returns whether they have grown and exceed the budget.
fn account(peer: &mut Peer, assembling: &mut Budget) -> bool {
    let (before, now) = (peer.assembling, peer.waiting_bytes());
    if before != now {
        peer.assembling = now;
        assembling.give(before);
        assembling.take(now);
    }
    now > before && !assembling.allows(now)
}

impl Torrent {
    /// Bytes came from a peer: they are taken out of its credit, and wait for its turn, or for the rest of a message.
    /// `None` for one that is no peer of this torrent.
    #[inline]
    pub(crate) fn bytes_received(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        bytes: Bytes,
        content: impl FnOnce(&FrameAssembler),
    ) -> Option<Taken> {
        let peer = self.peers.get_mut(&conn)?;
        let count = bytes.len() as u32;
        let within = peer.granted.min(count);
        peer.granted -= within;
        peer.receive_window.came(within);
        ctx.budgets.credit.give(within.into());
        peer.last_received = ctx.now;
        peer.assembler.push(bytes);
        content(&peer.assembler);
        let more = match peer.awaits_turn {
            // A peer in line acts on its messages when its turn comes.
            true => {
                self.account_for_waiting(ctx, conn);
                false
            }
            false => self.act_on_messages(ctx, conn),
        };
        Some(Taken { awaits_turn: more, too_many: within < count })
    }

    /// A peer has its turn: acts on the complete messages in its assembler, as far as a turn and the
    /// work of a step go. Returns whether some are left for another turn.
    pub(crate) fn act_on_messages(&mut self, ctx: &mut Context, conn: ConnId) -> bool {
        let until = (ctx.work.total() + TURN_UNITS).min(STEP_UNITS);
        let left_over = loop {
            // The metadata may arrive between two messages of the same peer.
            let geometry = self.contents.picker().map(Picker::geometry);
            let Some(peer) = self.peers.get_mut(&conn) else { return false };
            let outcome = match peer.next_event(geometry, &mut ctx.work, until) {
                Ok(Some(event)) => self.act_on(ctx, conn, event),
                Ok(None) => {
                    break LeftOver::after_turn(
                        peer,
                        &mut ctx.budgets.assembling,
                        &ctx.work,
                        until,
                    );
                }
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                let reason = match error {
                    PeerError::Decode(_) => CloseReason::BadMessage,
                    PeerError::Misbehaved(Misbehaviour::NotReading) => CloseReason::NotReading,
                    PeerError::Misbehaved(_) => CloseReason::Misbehaved,
                };
                self.close_peer(ctx, conn, reason, true);
                return false;
            }
        };
        ctx.agenda.flush.insert(conn);
        self.touch(&mut ctx.agenda, conn);
        if left_over.too_much {
            self.make_room_for_waiting(ctx);
        }
        if left_over.awaits_turn {
            return self.peers.contains_key(&conn);
        }
        let longest = MAX_UNFINISHED + self.longest_bitfield();
        if left_over.unfinished > longest {
            self.close_peer(ctx, conn, CloseReason::BadMessage, true);
        }
        false
    }

    /// Bytes of the longest bitfield that a peer may send.
    fn longest_bitfield(&self) -> u64 {
        let known = |picker: &Picker| u64::from(picker.geometry().pieces() / 8);
        self.contents.picker().map_or(MAX_EARLY_BITFIELD, known)
    }

    /// Keeps the account of bytes that a peer has sent and nobody has acted on.
    pub(crate) fn account_for_waiting(&mut self, ctx: &mut Context, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if account(peer, &mut ctx.budgets.assembling) {
            self.make_room_for_waiting(ctx);
        }
    }

    /// The shared part of the budget is used up: the peer that holds most of it is closed.
    fn make_room_for_waiting(&mut self, ctx: &mut Context) {
        ctx.work.add_steps(self.peers.len() as u64);
        let most = self.peers.values().max_by_key(|peer| (peer.assembling, peer.intro.conn));
        if let Some(conn) = most.map(|peer| peer.intro.conn) {
            self.close_peer(ctx, conn, CloseReason::Limit, true);
        }
    }

    fn act_on(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        event: PeerEvent,
    ) -> Result<(), PeerError> {
        match event {
            PeerEvent::HasAll { before } => self.peer_has_all(&mut ctx.work, conn, &before),
            PeerEvent::Gained(gained) => self.peer_gained(&mut ctx.work, conn, &gained),
            PeerEvent::Have(piece) => self.peer_has(&mut ctx.work, conn, piece),
            PeerEvent::DontHave(piece) => self.peer_lost(ctx, conn, piece),
            PeerEvent::Choked => self.choked(ctx, conn),
            PeerEvent::MayRequest => {
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.requests.go_on();
                }
            }
            PeerEvent::Unchoked => {
                if let Some(peer) = self.peers.get_mut(&conn) {
                    match peer.choke_calm.follow(ctx.now) {
                        true => peer.requests.go_on(),
                        false => drop(peer.requests.pause(ctx.now)),
                    }
                }
            }
            PeerEvent::Interest => {
                let peer = self.peers.get_mut(&conn);
                ctx.agenda.slots_changed |= peer.is_some_and(|p| p.interest_calm.follow(ctx.now));
            }
            PeerEvent::Request(request) => {
                let have = self.may_serve(request.piece);
                let Some(peer) = self.peers.get_mut(&conn) else { return Ok(()) };
                return upload::requested(ctx, peer, request, have);
            }
            PeerEvent::Cancel(request) => {
                if let Some(peer) = self.peers.get_mut(&conn) {
                    upload::cancelled(&mut ctx.work, peer, request);
                }
            }
            PeerEvent::Block { piece, begin, payload } => {
                let at = BlockRef { piece, block: begin / BLOCK_LENGTH };
                return self.block_received(ctx, conn, at, payload);
            }
            PeerEvent::Reject(request) => return self.rejected(ctx, conn, request),
            PeerEvent::Extended(handshake) => self.extended(ctx, conn, &handshake),
            PeerEvent::Metadata(message) => return self.metadata_message(ctx, conn, message),
            PeerEvent::Pex(message) => return self.take_in_peers(ctx, conn, &message),
            PeerEvent::Holepunch(message) => self.holepunch_message(ctx, conn, message),
            PeerEvent::DhtPort(port) => {
                if let Some(peer) = self.peers.get(&conn).filter(|_| ctx.net.dht_runs) {
                    let node = SocketAddr::new(peer.intro.addr.ip(), port);
                    ctx.net.introductions.tell(node, ctx.now);
                }
            }
        }
        Ok(())
    }

    fn peer_has_all(&mut self, work: &mut Work, conn: ConnId, before: &PeerPieces) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let Some(picker) = self.contents.picker_mut() else { return };
        work.add_steps(picker.cost_of(before));
        picker.peer_left(before);
        picker.peer_joined(&peer.pieces);
        peer.interesting = picker.interesting(&peer.pieces);
    }

    fn peer_gained(&mut self, work: &mut Work, conn: ConnId, gained: &Bits) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let Some(picker) = self.contents.picker_mut() else { return };
        work.add_steps(u64::from(gained.len() / 8 + gained.count() * STEPS_TO_INDEX));
        gained.ones().for_each(|piece| picker.peer_got(piece));
        peer.interesting += picker.missing().count_common(gained);
        self.seed_if_complete(work, conn);
    }

    fn peer_has(&mut self, work: &mut Work, conn: ConnId, piece: u32) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let Some(picker) = self.contents.picker_mut() else { return };
        picker.peer_got(piece);
        peer.interesting += u32::from(picker.is_missing(piece));
        self.seed_if_complete(work, conn);
    }

    /// A peer that has become complete needs no bit field. One that had everything before and lost
    /// something keeps it, so that a piece lost and found again and again costs nothing but itself.
    fn seed_if_complete(&mut self, work: &mut Work, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let Some(picker) = self.contents.picker_mut() else { return };
        let complete = peer.piece_count == picker.geometry().pieces();
        if let (true, PeerPieces::Some(_)) = (complete, &peer.pieces) {
            work.add_steps(picker.cost_of(&peer.pieces));
            picker.peer_left(&peer.pieces);
            peer.pieces = PeerPieces::All;
            picker.peer_joined(&peer.pieces);
        }
    }

    fn peer_lost(&mut self, ctx: &mut Context, conn: ConnId, piece: u32) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let Some(picker) = self.contents.picker_mut() else { return };
        peer.forget_piece(piece, picker.geometry().pieces());
        picker.peer_lost(piece);
        peer.interesting -= u32::from(picker.is_missing(piece));
        ctx.work.add_steps(peer.requests.len().into());
        let lost = peer.requests.cancel_piece(piece);
        for at in &lost {
            picker.request_dropped(*at, peer.intro.key);
            // If it announces the piece again it is asked again, so the old request has to be cancelled.
            let length = picker.geometry().block_size(at.piece, at.block);
            let begin = at.block * BLOCK_LENGTH;
            peer.send(&Message::Cancel(BlockRequest { piece: at.piece, begin, length }));
        }
        if !lost.is_empty() {
            // It is not asked for a while: a peer that loses and announces the same piece over and over would
            // otherwise cause many requests with a few bytes.
            let until = peer.requests.pause(ctx.now);
            if until < peer.tick_at {
                peer.tick_at = until;
                ctx.timers.schedule(until, Timer::Conn(conn));
            }
            ctx.agenda.flush.insert(conn);
            self.touch_interested(&mut ctx.agenda);
        }
    }

    /// Without the fast extension a choke silently drops all requests; with it each is answered
    /// (BEP 6).
    fn choked(&mut self, ctx: &mut Context, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if let Some(picker) = self.contents.picker_mut() {
            let key = peer.intro.key;
            ctx.work.add_steps(picker.partial_count().into());
            picker.release(key);
            if !peer.fast {
                for at in peer.requests.cancel_all() {
                    picker.request_dropped(at, key);
                }
            }
        }
        self.touch_interested(&mut ctx.agenda);
    }

    /// Open blocks may be of use to every peer that has something: all of them are looked at when
    /// this step is settled, however often this is called.
    pub(super) fn touch_interested(&mut self, agenda: &mut Agenda) {
        self.undecided.reopened = true;
        agenda.touched.insert(self.id);
    }

    /// Marks those to whom open blocks may be of use.
    pub(super) fn offer_reopened(&mut self, work: &mut Work) {
        if core::mem::take(&mut self.undecided.reopened) {
            work.add(self.peers.len() as u64 / 4);
            let useful = self.peers.values().filter(|p| p.interesting > 0);
            self.undecided.touched.extend(useful.map(|peer| peer.intro.conn));
        }
    }

    /// A peer names peers.
    fn take_in_peers(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        message: &PexMessage,
    ) -> Result<(), PeerError> {
        if !self.exchanges_peers(ctx) {
            return Ok(());
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return Ok(()) };
        let namer = Namer::at(PeerSource::Pex, peer.intro.addr.ip());
        let (key, introduces) = (peer.intro.key, peer.extensions.holepunch.is_some());
        for (addr, flags) in exchange::named(peer, message, ctx.now)? {
            // An address is looked for in the list of them, and kept.
            ctx.work.add(1);
            if addr != ctx.net.identity.external(addr.is_ipv6()) {
                let new = self.take_in(ctx, addr, namer);
                let (encrypted, utp) = (flags.has(PexFlags::ENCRYPTION), flags.has(PexFlags::UTP));
                new.into_iter().for_each(|key| self.candidates.hint(key, encrypted, utp));
                if introduces && flags.has(PexFlags::HOLEPUNCH) {
                    self.candidates.introduced_by(addr, key);
                }
            }
        }
        Ok(())
    }

    /// A peer wants to be introduced to somebody, or introduces us, or does not. Who does not know the extension is not
    /// listened to.
    fn holepunch_message(&mut self, ctx: &mut Context, conn: ConnId, message: HolepunchMessage) {
        let knows = self.peers.get(&conn).is_some_and(|peer| peer.extensions.holepunch.is_some());
        if !knows || !self.punches_holes(ctx) {
            return;
        }
        match message.kind {
            // Who tells nobody of peers introduces nobody either.
            HolepunchKind::Rendezvous if self.exchanges_peers(ctx) => {
                punch::introduce(ctx, &mut self.peers, conn, message.addr);
            }
            HolepunchKind::Connect => self.introduced(ctx, conn, message.addr),
            HolepunchKind::Error => self.not_introduced(ctx, conn, message.addr),
            HolepunchKind::Rendezvous | HolepunchKind::Unknown(_) => {}
        }
    }

    /// A peer said in its handshake what it can do for us.
    pub(super) fn metadata_offered(&mut self, ctx: &mut Context, conn: ConnId, size: Option<i64>) {
        let (Some(fetch), Some(peer)) = (self.contents.fetch_mut(), self.peers.get(&conn)) else {
            return;
        };
        let (Some(size), Some(_)) = (size, peer.extensions.metadata) else { return };
        // An impossible length is not punished; the peer is only not asked for metadata.
        if fetch.offered(peer.intro.key, peer.intro.addr.ip(), size, ctx.now).is_ok() {
            ctx.agenda.touched.insert(self.id);
        }
    }

    /// Asks for what is due to be asked.
    pub(super) fn poll_metadata(&mut self, ctx: &mut Context) {
        if !self.life.awaits_metadata() || !self.is_running() {
            return;
        }
        let Some(fetch) = self.contents.fetch_mut() else { return };
        for (key, piece) in fetch.poll(ctx.now) {
            let conn = self.by_key.get(&key);
            let Some(peer) = conn.and_then(|conn| self.peers.get_mut(conn)) else { continue };
            let Some(id) = peer.extensions.metadata else { continue };
            metadata::say(peer, id, &MetadataMessage::Request(piece));
            ctx.agenda.flush.insert(peer.intro.conn);
        }
        if let Some(at) = fetch.next_deadline() {
            let (queue, now) = (&mut ctx.timers, ctx.now);
            self.alarms.metadata.set(queue, at, now, Timer::Torrent(self.id));
        }
    }

    /// A peer says something about the info dictionary.
    pub(super) fn metadata_message(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        message: MetadataMessage,
    ) -> Result<(), PeerError> {
        match message {
            MetadataMessage::Request(piece) => {
                let info = self.contents.info();
                let Some(peer) = self.peers.get_mut(&conn) else { return Ok(()) };
                ctx.agenda.flush.insert(conn);
                if metadata::ask(info, peer, piece, ctx.now)? {
                    metadata::send(ctx, &mut self.traffic.up_limit, self.contents.info(), peer);
                }
            }
            MetadataMessage::Data { piece, total_size, data } => {
                return self.metadata_arrived(ctx, conn, piece, total_size, &data);
            }
            MetadataMessage::Reject(piece) => {
                let Some(peer) = self.peers.get(&conn) else { return Ok(()) };
                if let Some(fetch) = self.contents.fetch_mut() {
                    fetch.rejected(peer.intro.key, piece, ctx.now);
                    ctx.agenda.touched.insert(self.id);
                }
            }
            MetadataMessage::Unknown { .. } => {}
        }
        Ok(())
    }

    fn metadata_arrived(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        piece: u32,
        total_size: Option<u32>,
        data: &Bytes,
    ) -> Result<(), PeerError> {
        let Some(peer) = self.peers.get_mut(&conn) else { return Ok(()) };
        // Somebody else was faster.
        let Some(fetch) = self.contents.fetch_mut() else { return Ok(()) };
        let arrival = fetch.arrived(peer.intro.key, piece, total_size, data);
        let arrival = arrival.map_err(|_| Misbehaviour::Metadata)?;
        peer.useful_at = ctx.now;
        self.remember_sender(conn);
        ctx.agenda.touched.insert(self.id);
        match arrival {
            Arrival::More => {}
            Arrival::Wrong(liar) => self.metadata_wrong(ctx, liar),
            Arrival::Complete(info) => self.metadata_complete(ctx, &info),
        }
        Ok(())
    }

    /// The dictionary has the wrong hash: bans the peer that sent all of it, if one peer did.
    fn metadata_wrong(&mut self, ctx: &mut Context, liar: Option<PeerKey>) {
        if let Some(key) = liar {
            self.ban(ctx, key);
        }
    }

    fn extended(&mut self, ctx: &mut Context, conn: ConnId, handshake: &ExtendedHandshake) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if let Some(ip) = handshake.yourip {
            ctx.net.identity.vote(peer.intro.addr.ip(), ip);
        }
        if let Some(port) = handshake.p.filter(|_| peer.intro.incoming) {
            self.candidates.listens_on(peer.intro.key, port);
        }
        exchange::list(&mut self.journal, peer);
        self.metadata_offered(ctx, conn, handshake.metadata_size);
    }

    /// A peer's timer fired: silence, snubbing, keep-alives.
    pub(crate) fn tick(&mut self, ctx: &mut Context, conn: ConnId) {
        let now = ctx.now;
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if now < peer.tick_at {
            return;
        }
        if now.millis_since(peer.last_received) >= SILENT_MILLIS {
            return self.close_peer(ctx, conn, CloseReason::Silent, true);
        }
        if peer.outbox.is_stalled(now) {
            return self.close_peer(ctx, conn, CloseReason::NotReading, true);
        }
        // A peer that holds much credit and sends nothing is closed when credit is short.
        let hoards = peer.requests.is_snubbed() && peer.granted > READ_FLOOR;
        if hoards && !ctx.budgets.credit.has_room() {
            return self.close_peer(ctx, conn, CloseReason::Limit, true);
        }
        peer.assembler.compact(true);
        if self.should_give_way(ctx, conn) {
            return self.close_peer(ctx, conn, CloseReason::Limit, true);
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if now.millis_since(peer.last_sent) >= KEEP_ALIVE_MILLIS {
            peer.send(&Message::KeepAlive);
            ctx.agenda.flush.insert(conn);
        }
        let news = match self.exchanges_peers(ctx) {
            true => exchange::news(&self.journal, &mut self.peers, conn, now),
            false => None,
        };
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if let Some((id, message)) = news {
            peer.send(&Message::Extended { id, payload: message.encode().into() });
            ctx.agenda.flush.insert(conn);
        }
        let rate = peer.down.per_second(now);
        peer.requests.adapt(rate, self.contents.geometry().block_length(), now);
        let busy = !peer.requests.is_empty() || !peer.uploads.is_empty();
        let next = if busy { BUSY_TICK_MILLIS } else { IDLE_TICK_MILLIS };
        let next = now + Duration::from_millis(next);
        // A peer that is not asked for a while is looked at when that time is over.
        peer.tick_at = peer.requests.resumes_at(now).map_or(next, |at| at.min(next));
        ctx.timers.schedule(peer.tick_at, Timer::Conn(conn));
        // Under a rate limit of ours nothing may arrive because we granted nothing.
        let withheld = peer.granted == 0;
        ctx.agenda.slots_changed |= peer.interest_calm.take_held();
        if !withheld && peer.requests.check_snub(now) {
            self.snubbed(&mut ctx.agenda, conn);
        }
        self.touch(&mut ctx.agenda, conn);
    }

    /// A peer that does not deliver keeps one request as a chance; the rest goes to others.
    fn snubbed(&mut self, agenda: &mut Agenda, conn: ConnId) {
        if let Some(peer) = self.peers.get(&conn) {
            let asked = peer.requests.iter().map(|request| request.at);
            if let Some(picker) = self.contents.picker_mut() {
                picker.went_silent(peer.intro.key, asked);
            }
        }
        self.withdraw_requests(agenda, conn);
        self.touch_interested(agenda);
    }

    /// Hands a peer's messages to the driver and grants it credit.
    pub(crate) fn flush(&mut self, ctx: &mut Context, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return self.grant_fetch(ctx, conn, None);
        };
        if peer.outbox.is_overfull() {
            return self.close_peer(ctx, conn, CloseReason::NotReading, true);
        }
        if !peer.outbox.is_held() {
            push(ctx, peer);
        }
        self.traffic.grant(ctx, peer, None);
    }

    /// Takes back whatever a peer is asked for.
    pub(super) fn withdraw_requests(&mut self, agenda: &mut Agenda, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if let Some(picker) = self.contents.picker_mut() {
            let (key, geometry) = (peer.intro.key, picker.geometry());
            for at in peer.requests.cancel_all() {
                picker.request_dropped(at, key);
                let length = geometry.block_size(at.piece, at.block);
                let begin = at.block * BLOCK_LENGTH;
                peer.send(&Message::Cancel(BlockRequest { piece: at.piece, begin, length }));
            }
            picker.release(key);
        }
        agenda.flush.insert(conn);
    }

    pub(super) fn misbehaves(rule: Misbehaviour) -> Result<(), PeerError> {
        Err(PeerError::Misbehaved(rule))
    }
}
