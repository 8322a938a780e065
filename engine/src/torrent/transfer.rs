//! What is asked for, what comes, what is verified, who is to blame, and what is served: each is told to the machine
//! that knows of it (`picker`, `blame`, `have_log`, `upload`), and what that says is done.

use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::blame::{Failure, Here};
use super::storage::Storage;
use super::upload::{self, refuse};
use super::{Contents, Stage, Torrent};
use crate::api::{CloseReason, DiskError, DiskOp, Notice, RateLimits, Transport};
use crate::base::hash::Sha1Hash;
use crate::base::ids::ConnId;
use crate::base::payload::Payload;
use crate::base::rng::Rng;
use crate::context::{Agenda, Context, DiskJob, Timer};
use crate::metainfo::BLOCK_LENGTH;
use crate::peer::{HAVES_MARK, Misbehaviour, Peer, PeerError};
use crate::picker::{BlockRef, PeerKey, PickMode, Picker, Received};
use crate::wire::{BlockRequest, Message};

use super::messages::block_of;

/// A peer that delivers a piece within this many seconds is given whole pieces.
const FAST_PIECE_SECONDS: u64 = 10;
/// Bytes of unrequested blocks, above which a peer misbehaves: fewer may be late answers.
const MAX_UNASKED: u64 = 1 << 20;
/// Rejects of requests that nobody made, above which a peer misbehaves.
const MAX_UNASKED_REJECTS: u32 = 100;
/// Outstanding requests up to which a peer is asked for blocks that others were asked for too (endgame).
const ENDGAME_DEPTH: u32 = 4;

impl Torrent {
    /// Tells a peer whether we want something it has.
    pub(super) fn update_interest(&mut self, agenda: &mut Agenda, conn: ConnId) {
        let running = self.is_transferring();
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let wanted = running && peer.interesting > 0;
        if wanted != peer.am_interested {
            peer.am_interested = wanted;
            peer.send(if wanted { &Message::Interested } else { &Message::NotInterested });
            agenda.flush.insert(conn);
        }
    }

    /// Asks a peer for as much as it can bring.
    pub(super) fn fill_requests(&mut self, ctx: &mut Context, conn: ConnId) {
        if !self.is_transferring() || self.storage.is_read_only() {
            return;
        }
        let room = self.room_for_requests(ctx);
        let max_partial = 8 + 2 * self.peers.len() as u32;
        let arrival = self.arrival(conn, ctx.now);
        let late = self.too_late_elsewhere(conn, ctx.now);
        let Some(picker) = self.contents.picker_mut() else { return };
        let geometry = picker.geometry();
        let piece_length = u64::from(geometry.piece_length());
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if !peer.am_interested || peer.requests.is_paused(ctx.now) || peer.may_request().is_none() {
            return;
        }
        let rate = peer.down.per_second(ctx.now);
        let read = picker.has_readers();
        peer.requests.hurry(read);
        peer.requests.adapt(rate, geometry.block_length(), ctx.now);
        let depth = peer.requests.depth(peer.extensions.reqq, ctx.config.max_outstanding_requests);
        let mut depth = depth.min(room.saturating_add(peer.requests.len()));
        if read {
            depth = depth.min(peer.requests.depth_for_readers(rate, geometry.block_length()));
        }
        let outstanding = peer.requests.len();
        if outstanding + peer.requests.batch(depth) > depth {
            return;
        }
        let (declined, retry) =
            (peer.requests.declined(ctx.now), peer.requests.take_retry(ctx.now));
        let mode = PickMode {
            fast: rate * FAST_PIECE_SECONDS > piece_length,
            parole: peer.parole,
            current: peer.requests.current.or(retry),
            suggested: peer.suggested.take().or(retry),
            max_partial,
            except: &declined,
            proven: peer.down.total() > 0,
            arrival,
        };
        let ask = Ask { late, count: depth - outstanding, endgame: ctx.config.endgame, depth };
        let blocks = choose(picker, peer, ask, mode, &mut ctx.random.picks);
        for at in blocks {
            peer.requests.sent(at, ctx.now);
            peer.requests.current = Some(at.piece);
            let length = geometry.block_size(at.piece, at.block);
            let begin = at.block * BLOCK_LENGTH;
            peer.send(&Message::Request(BlockRequest { piece: at.piece, begin, length }));
            ctx.agenda.flush.insert(conn);
        }
    }

    /// A block came from a peer.
    pub(super) fn block_received(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        at: BlockRef,
        payload: Payload,
    ) -> Result<(), PeerError> {
        let Some(peer) = self.peers.get_mut(&conn) else { return Ok(()) };
        let Some(picker) = self.contents.picker_mut() else { return Ok(()) };
        let length = payload.len();
        peer.down.add(ctx.now, length.into());
        self.traffic.down.add(ctx.now, length.into());
        if peer.requests.is_snubbed() {
            picker.not_silent(peer.intro.key);
        }
        let asked = peer.requests.block_received(at, ctx.now);
        if asked.is_none() {
            self.traffic.wasted += u64::from(length);
            peer.unasked += u64::from(length);
            if peer.unasked > MAX_UNASKED {
                return Self::misbehaves(Misbehaviour::UnaskedBlocks);
            }
            return Ok(());
        }
        match picker.block_received(at, peer.intro.key) {
            Received::Needed { also_asked } => {
                peer.useful_at = ctx.now;
                self.remember_sender(conn);
                for key in also_asked {
                    self.cancel_at(ctx, key, at);
                }
                self.write(ctx, at, payload);
            }
            Received::Useless => self.traffic.wasted += u64::from(length),
        }
        Ok(())
    }

    pub(super) fn write(&mut self, ctx: &mut Context, at: BlockRef, payload: Payload) {
        let generation = self.contents.picker().and_then(|picker| picker.generation_of(at.piece));
        let Some(generation) = generation else { return };
        let torrent = self.id;
        let job = DiskJob::Write { torrent, at, generation, length: payload.len() };
        let begin = at.block * BLOCK_LENGTH;
        self.blame.block_written(at.piece, at.block);
        ctx.disk(job, DiskOp::WriteBlock { torrent, piece: at.piece, begin, payload });
        self.storage.mark();
    }

    /// Another peer was faster: a request to `key` is not needed any more.
    pub(super) fn cancel_at(&mut self, ctx: &mut Context, key: PeerKey, at: BlockRef) {
        let Some(conn) = self.by_key.get(&key).copied() else {
            return self.cancel_at_web_seed(ctx, key, at);
        };
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if peer.requests.cancel(at) {
            let length = self.contents.geometry().block_size(at.piece, at.block);
            let begin = at.block * BLOCK_LENGTH;
            peer.send(&Message::Cancel(BlockRequest { piece: at.piece, begin, length }));
            ctx.agenda.flush.insert(conn);
            self.touch(&mut ctx.agenda, conn);
        }
    }

    /// A peer will not serve a request.
    pub(super) fn rejected(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        request: BlockRequest,
    ) -> Result<(), PeerError> {
        let at = block_of(&request);
        let Some(peer) = self.peers.get_mut(&conn) else { return Ok(()) };
        let asked = peer.requests.rejected(at);
        match asked {
            Some(Some(_)) => {}
            Some(None) => return Ok(()),
            None => {
                peer.unasked_rejects += 1;
                if peer.unasked_rejects > MAX_UNASKED_REJECTS {
                    return Self::misbehaves(Misbehaviour::UnaskedRejects);
                }
                return Ok(());
            }
        }
        if let Some(picker) = self.contents.picker_mut() {
            picker.request_dropped(at, peer.intro.key);
        }
        if peer.peer_choking {
            // It rejects a piece of its allowed-fast set: it may not have it.
            peer.allowed_fast_in.retain(|piece| *piece != at.piece);
        } else if let Some(Some(sent)) = asked {
            // It is not asked for this piece for a while; otherwise request and reject would repeat at full speed.
            let until = peer.requests.back_off(at.piece, sent, ctx.now);
            // Without this it would be asked again only at its next tick, seconds later.
            if until < peer.tick_at {
                peer.tick_at = until;
                ctx.timers.schedule(until, Timer::Conn(conn));
            }
        }
        self.touch_interested(&mut ctx.agenda);
        Ok(())
    }

    /// Whether a piece could be hashed if there were a job free.
    pub(crate) fn awaits_hash(&self) -> bool {
        match self.life.stage() {
            _ if self.life.has_failed() => false,
            Stage::Checking { queue, .. } => !self.life.is_paused() && !queue.is_empty(),
            Stage::Active => self.storage.awaits_hash(),
            _ => false,
        }
    }

    /// Begins to hash one piece: what was fetched before what is in doubt. Returns whether it did.
    pub(crate) fn hash_one(&mut self, ctx: &mut Context) -> bool {
        match self.life.stage() {
            _ if self.life.has_failed() => false,
            Stage::Checking { .. } => self.check_one(ctx),
            Stage::Active => self.tell_storage(ctx, Storage::hash_one),
            _ => false,
        }
    }

    /// The hash of a fetched piece is known, or could not be.
    pub(super) fn hashed(
        &mut self,
        ctx: &mut Context,
        piece: u32,
        generation: u32,
        outcome: Result<Sha1Hash, DiskError>,
    ) {
        let Contents::Known(metainfo, picker) = &mut self.contents else { return };
        if !self.life.is_active() || picker.generation_of(piece) != Some(generation) {
            return;
        }
        ctx.agenda.touched.insert(self.id);
        match outcome {
            Ok(hash) if metainfo.piece_hash(piece) == Some(hash) => {
                self.piece_verified(ctx, piece);
            }
            Ok(_) => self.piece_failed(ctx, piece),
            Err(error) => {
                // What is gone is fetched again; what cannot be read now is hashed again when the
                // disk is back.
                if error == DiskError::Missing {
                    picker.piece_failed(piece);
                }
                self.fail(ctx, error);
            }
        }
    }

    // By itself: inlined, the walk over the peers costs a third more.
    #[inline(never)]
    fn piece_verified(&mut self, ctx: &mut Context, piece: u32) {
        self.trust_contributors(ctx, piece);
        // A piece that was deselected meanwhile is not counted as missing any more.
        let Some(picker) = self.contents.picker_mut() else { return };
        let counted = picker.is_missing(piece);
        picker.set_have(piece);
        self.goal.progress_at = ctx.now;
        self.storage.verified(self.contents.geometry().piece_size(piece));
        let number = self.haves.end();
        let mut owed = false;
        for (conn, peer) in &mut self.peers {
            if !peer.pieces.has(piece) {
                owed = true;
                if peer.haves_told.is_none() {
                    peer.haves_told = Some(number);
                    self.haves.fall_behind(*conn);
                }
            } else if counted {
                peer.interesting -= 1;
                if peer.interesting == 0 {
                    self.undecided.touched.insert(*conn);
                }
            }
        }
        if owed {
            self.haves.add(piece);
        }
        ctx.notify(Notice::PieceVerified(self.id, piece));
    }

    fn piece_failed(&mut self, ctx: &mut Context, piece: u32) {
        ctx.notify(Notice::PieceFailed(self.id, piece));
        self.traffic.wasted += u64::from(self.contents.geometry().piece_size(piece));
        self.blame_contributors(ctx, piece);
        if let Some(picker) = self.contents.picker_mut() {
            picker.piece_failed(piece);
        }
        self.touch_interested(&mut ctx.agenda);
    }

    /// A peer brought something for the first time: from now on it answers for what it sends.
    pub(super) fn remember_sender(&mut self, conn: ConnId) {
        if let Some(peer) = self.peers.get_mut(&conn).filter(|peer| !peer.is_sender) {
            peer.is_sender = true;
            self.blame.remember(&peer.intro);
        }
    }

    /// A piece failed: convicts its only contributor, or suspects all of them.
    fn blame_contributors(&mut self, ctx: &mut Context, piece: u32) {
        let Some(picker) = self.contents.picker() else { return };
        let senders = picker.contributors(piece).collect();
        let (by_key, peers) = (&self.by_key, &self.peers);
        let here = |key| by_key.get(&key).and_then(|conn| peers.get(conn)).map(|peer| here(peer));
        let Failure { guilty, suspects, hash } = self.blame.failed(piece, senders, here);
        guilty.into_iter().for_each(|key| self.ban(ctx, key));
        for key in suspects {
            if let Some((addr, _)) = self.blame.sender(key, self.here(key)) {
                ctx.net.standing.suspect(addr.ip(), ctx.now);
            }
            self.web.suspect(key);
            let conn = self.by_key.get(&key);
            if let Some(peer) = conn.and_then(|conn| self.peers.get_mut(conn)) {
                peer.parole = true;
            }
        }
        if hash {
            self.hash_blocks(ctx, piece, false);
        }
    }

    /// A piece is good: its contributors are trusted again, and old evidence can be judged.
    fn trust_contributors(&mut self, ctx: &mut Context, piece: u32) {
        let Some(picker) = self.contents.picker() else { return };
        let mut last = None;
        for key in picker.contributors(piece).flatten() {
            // One peer usually sends many blocks in a row.
            if last.replace(key) == Some(key) {
                continue;
            }
            self.web.trust(key);
            let conn = self.by_key.get(&key);
            if let Some(peer) = conn.and_then(|conn| self.peers.get_mut(conn)) {
                peer.verified = peer.verified.saturating_add(1);
                if core::mem::take(&mut peer.parole) {
                    ctx.net.standing.clear(peer.intro.addr.ip(), ctx.now);
                }
            }
        }
        if self.blame.verified(piece) {
            self.hash_blocks(ctx, piece, true);
        }
    }

    fn hash_blocks(&self, ctx: &mut Context, piece: u32, good: bool) {
        let torrent = self.id;
        let job = DiskJob::Evidence { torrent, piece, good };
        ctx.disk(job, DiskOp::HashBlocks { torrent, piece });
    }

    /// Whether all who sent blocks of a piece are here and have proven themselves.
    pub(crate) fn is_of_proven_peers(&self, piece: u32) -> bool {
        let Some(picker) = self.contents.picker() else { return false };
        let mut last = None;
        picker.contributors(piece).all(|key| {
            // One peer usually sends many blocks in a row.
            let same = key.is_some() && key == last;
            last = key;
            let peer = || self.by_key.get(&key?).and_then(|conn| self.peers.get(conn));
            let proven = || peer().is_some_and(|peer| peer.verified > 0 && !peer.parole);
            same || proven() || key.is_some_and(|key| self.web.is_trusted(key))
        })
    }

    /// A sender, where it is a peer now.
    pub(super) fn here(&self, key: PeerKey) -> Option<Here> {
        let conn = self.by_key.get(&key)?;
        self.peers.get(conn).map(|peer| here(peer))
    }

    /// Whether a peer may be served from a piece.
    pub(super) fn may_serve(&self, piece: u32) -> bool {
        self.have().has(piece) && !self.storage.doubts(piece)
    }

    /// Reads blocks for a peer, as far as budgets and limits allow.
    pub(super) fn serve(&mut self, ctx: &mut Context, conn: ConnId) {
        let Some(peer) = self.peers.get(&conn) else { return };
        let free = self.traffic.up_limits(ctx, peer.transport).next().is_none()
            && !ctx.limits.starved_of_room;
        if ctx.limits.starved_up.is_empty() || free && ctx.budgets.sending.has_room() {
            while self.serve_one(ctx, conn) {}
        } else if peer.uploads.has_queued() {
            // Where there is not enough for all, everyone waits in one line.
            ctx.limits.starved_up.join(conn);
        }
    }

    /// Reads one block for a peer. Returns whether another may follow at once.
    pub(crate) fn serve_one(&mut self, ctx: &mut Context, conn: ConnId) -> bool {
        if !self.is_transferring() {
            return false;
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return false };
        self.traffic.serve_one(ctx, self.id, peer)
    }

    /// Whether a peer holds less than its share of the send budget, and waits for more.
    pub(crate) fn is_below_share(&self, ctx: &Context, conn: ConnId) -> bool {
        self.peers.get(&conn).is_some_and(|peer| upload::is_below_share(ctx, peer))
    }

    /// A block was read for a peer, or could not be. Without bytes, it can be sent from the disk.
    pub(super) fn read(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        request: BlockRequest,
        outcome: Result<Option<Bytes>, DiskError>,
    ) {
        // It may have come into doubt while it was read.
        let sure = self.may_serve(request.piece);
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let wanted = peer.uploads.finish(request);
        let length = request.length as usize;
        match outcome {
            Ok(_) if wanted && !sure => {
                refuse(peer, request);
                ctx.agenda.flush.insert(conn);
            }
            Ok(bytes) if wanted && bytes.as_ref().is_none_or(|b| b.len() == length) => {
                self.traffic.send_block(ctx, self.id, peer, request, bytes);
                self.storage.mark();
            }
            Ok(_) => {}
            Err(DiskError::Missing) => {
                refuse(peer, request);
                ctx.agenda.flush.insert(conn);
                self.tell_storage(ctx, |storage, around, out| {
                    storage.missed(around, request.piece, out);
                });
            }
            Err(error) => {
                refuse(peer, request);
                self.fail(ctx, error);
            }
        }
        self.touch(&mut ctx.agenda, conn);
    }

    /// The kernel took bytes. Returns whether as many were given to it.
    pub(crate) fn sent(&mut self, ctx: &mut Context, conn: ConnId, count: u32) -> bool {
        let Some(peer) = self.peers.get_mut(&conn) else { return true };
        let (blocks, all) = peer.outbox.taken(count, ctx.now);
        ctx.budgets.sending.give(blocks);
        if !peer.outbox.is_empty() {
            ctx.agenda.flush.insert(conn);
        }
        let waits = peer.uploads.has_queued() || peer.metadata.is_waiting();
        if waits || peer.haves_told.is_some() {
            self.touch(&mut ctx.agenda, conn);
        }
        all
    }

    /// Chokes or unchokes a peer.
    pub(crate) fn set_choking(&mut self, ctx: &mut Context, conn: ConnId, choke: bool) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            upload::set_choking(ctx, peer, choke);
        }
    }

    /// Tells peers about verified pieces that they do not have: everybody of what is new, and who has
    /// not read until now when it has.
    pub(super) fn tell_haves(&mut self, ctx: &mut Context) {
        if self.haves.is_empty() {
            return;
        }
        let conns: Vec<ConnId> = match self.haves.take_news() {
            true => self.haves.behind().to_vec(),
            false => self.undecided.touched.iter().collect(),
        };
        let mut told = false;
        for conn in conns {
            told |= self.tell_peer(ctx, conn);
        }
        if told {
            let peers = &self.peers;
            self.haves.tidy(|conn| peers.get(&conn).and_then(|peer| peer.haves_told));
        }
    }

    /// Tells one peer as much as it reads. Returns whether it was told something, or is gone.
    fn tell_peer(&mut self, ctx: &mut Context, conn: ConnId) -> bool {
        let Some(peer) = self.peers.get_mut(&conn) else { return true };
        let Some(mut next) = peer.haves_told else { return false };
        if self.haves.is_too_late(next) {
            self.close_peer(ctx, conn, CloseReason::NotReading, true);
            return true;
        }
        let before = next;
        while peer.outbox.unread() <= HAVES_MARK
            && let Some(piece) = self.haves.get(next)
        {
            next += 1;
            if !peer.pieces.has(piece) && self.contents.have().has(piece) {
                peer.send(&Message::Have(piece));
                ctx.agenda.flush.insert(conn);
            }
        }
        peer.haves_told = (next < self.haves.end()).then_some(next);
        before != next
    }

    /// How fast its payload may be.
    pub(crate) fn set_limits(&mut self, ctx: &mut Context, limits: RateLimits) {
        self.traffic.down_limit.set_rate(limits.down, ctx.now);
        self.traffic.up_limit.set_rate(limits.up, ctx.now);
        ctx.limits.tokens_at = ctx.now;
    }

    /// How long who waits to be served over a transport is best left alone.
    pub(crate) fn until_upload_turn(
        &mut self,
        ctx: &mut Context,
        transport: Transport,
    ) -> Duration {
        self.traffic.until_upload_turn(ctx, transport)
    }

    /// Bytes are sent again: they count under its limit as what is sent.
    pub(crate) fn pay_for_resent(&mut self, bytes: u64) {
        self.traffic.up_limit.take(bytes);
    }
}

fn here(peer: &Peer) -> Here {
    let (addr, incoming) = (peer.intro.addr, peer.intro.incoming);
    Here { addr, incoming, proven: peer.verified > 0 }
}

/// What a peer is to be asked for.
struct Ask {
    /// Blocks that readers wait for and that others would bring too late.
    late: Vec<BlockRef>,
    /// How many blocks at the most.
    count: u32,
    /// Whether blocks are asked of several peers at the end.
    endgame: bool,
    /// How many may be outstanding.
    depth: u32,
}

/// Chooses what to ask a peer for, and has it on record as asked.
fn choose(
    picker: &mut Picker,
    peer: &Peer,
    ask: Ask,
    mode: PickMode<'_>,
    rng: &mut Rng,
) -> Vec<BlockRef> {
    let (key, only) = (peer.intro.key, peer.may_request().flatten());
    let outstanding = peer.requests.len();
    let mut blocks = ask.late;
    // Nobody but who may be asked for anything takes over from others.
    let may_take_over = only.is_none() && !peer.parole;
    blocks.retain(|at| may_take_over && !mode.except.contains(&at.piece));
    blocks.truncate(ask.count as usize);
    blocks.retain(|at| picker.ask_second(*at, key));
    let count = ask.count - blocks.len() as u32;
    blocks.append(&mut picker.pick(key, &peer.pieces, only, count, mode, rng).blocks);
    // A peer on parole gets pieces of its own only; where none is left, it takes over one that others have begun.
    if blocks.is_empty()
        && peer.parole
        && outstanding == 0
        && picker.entrust(key, &peer.pieces, only)
    {
        blocks = picker.pick(key, &peer.pieces, only, count, mode, rng).blocks;
    }
    if blocks.is_empty() && !peer.parole && ask.endgame {
        while outstanding + (blocks.len() as u32) < ENDGAME_DEPTH.min(ask.depth)
            && let Some(at) = picker.pick_endgame(key, &peer.pieces, only, mode, rng)
        {
            blocks.push(at);
        }
    }
    blocks
}
