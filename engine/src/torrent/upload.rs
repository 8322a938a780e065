//! What is served: requests in, blocks out.

use alloc::vec::Vec;
use bytes::Bytes;

use super::Torrent;
use crate::api::{DiskError, DiskOp, MAX_SENDS, StoredBlock, StreamAction};
use crate::base::ids::ConnId;
use crate::base::work::Work;
use crate::context::{Context, DiskJob};
use crate::peer::{Misbehaviour, Peer, PeerError, Verdict};
use crate::wire::{BlockRequest, Message};

impl Torrent {
    /// A peer wants a block.
    pub(super) fn requested(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        request: BlockRequest,
    ) -> Result<(), PeerError> {
        let have = self.picker.have().has(request.piece) && !self.storage.doubts(request.piece);
        let Some(peer) = self.peers.get_mut(&conn) else { return Ok(()) };
        if have && peer.am_choking && peer.allowed_fast_out.contains(&request.piece) {
            match peer.fast_allowance.checked_sub(request.length.into()) {
                Some(left) => peer.fast_allowance = left,
                None => peer.allowed_fast_out.clear(),
            }
        }
        let allowed = !peer.am_choking || peer.allowed_fast_out.contains(&request.piece);
        if !have || !allowed {
            refuse(peer, request);
            return Ok(());
        }
        let limit = ctx.config.max_queued_requests;
        match peer.take_request(request, limit, ctx.now) {
            Verdict::Queued | Verdict::Duplicate => {}
            Verdict::Full => refuse(peer, request),
            Verdict::Flood => return Self::misbehaves(Misbehaviour::RequestFlood),
        }
        Ok(())
    }

    /// A peer does not want a block any more.
    pub(super) fn cancelled(&mut self, work: &mut Work, conn: ConnId, request: BlockRequest) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        work.add_steps(peer.uploads.len().into());
        if peer.uploads.cancel(request) {
            refuse(peer, request);
        }
    }

    /// Reads blocks for a peer, as far as budgets and limits allow.
    pub(crate) fn serve(&mut self, ctx: &mut Context, conn: ConnId) {
        if ctx.limits.starved_up.is_empty() {
            while self.serve_one(ctx, conn) {}
        } else if self.peers.get(&conn).is_some_and(|peer| peer.uploads.has_queued()) {
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
        if !peer.uploads.has_queued() {
            return false;
        }
        let backlog = held_for(peer);
        // A block is a header and content; small ones cost more than their bytes.
        let many = peer.outbox.sends() + 2 * peer.uploads.reading() >= 2 * MAX_SENDS;
        if many || backlog >= u64::from(ctx.config.send_backlog) {
            return false;
        }
        let tokens =
            ctx.limits.up.has_portion(ctx.now) && self.traffic.up_limit.has_portion(ctx.now);
        if !tokens || !ctx.budgets.sending.allows(backlog) {
            ctx.limits.starved_of_room |= tokens;
            ctx.limits.starved_up.join(conn);
            return false;
        }
        let Some(request) = peer.uploads.start_next() else { return false };
        let cost = u64::from(request.length) + 13;
        ctx.limits.up.take(cost);
        self.traffic.up_limit.take(cost);
        ctx.budgets.sending.take(request.length.into());
        let BlockRequest { piece, begin, length } = request;
        let torrent = self.id;
        let op = DiskOp::ReadBlock { torrent, piece, begin, length };
        ctx.disk(DiskJob::Read { torrent, conn, request }, op);
        true
    }

    /// A block was read for a peer, or could not be. Without bytes, it can be sent from the disk.
    pub(crate) fn read(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        request: BlockRequest,
        outcome: Result<Option<Bytes>, DiskError>,
    ) {
        // It may have come into doubt while it was read.
        let sure = self.picker.have().has(request.piece) && !self.storage.doubts(request.piece);
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let wanted = peer.uploads.finish(request);
        match outcome {
            Ok(_) if wanted && !sure => {
                refuse(peer, request);
                ctx.agenda.flush.insert(conn);
            }
            Ok(bytes)
                if wanted && bytes.as_ref().is_none_or(|b| b.len() == request.length as usize) =>
            {
                let length = u64::from(request.length);
                peer.send_block_header(request);
                push(ctx, peer);
                peer.outbox.block_handed_over(request.length, ctx.now);
                ctx.budgets.sending.take(length);
                ctx.net.sent += length;
                peer.up.add(ctx.now, length);
                self.traffic.up.add(ctx.now, length);
                ctx.limits.up_meter.add(ctx.now, length);
                self.storage.mark();
                let BlockRequest { piece, begin, length } = request;
                let torrent = self.id;
                let stored = StoredBlock { torrent, piece, begin, length };
                let content = bytes.map(StreamAction::SendBlock);
                ctx.stream(conn, content.unwrap_or(StreamAction::SendStored(stored)));
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

    /// The kernel took bytes.
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

    /// Whether a peer holds less than its share of the send budget, and waits for more.
    pub(crate) fn is_below_share(&self, ctx: &Context, conn: ConnId) -> bool {
        let peer = self.peers.get(&conn);
        peer.is_some_and(|p| p.uploads.has_queued() && ctx.budgets.sending.allows(held_for(p)))
    }

    /// Chokes or unchokes a peer.
    pub(crate) fn set_choking(&mut self, ctx: &mut Context, conn: ConnId, choke: bool) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if peer.am_choking == choke {
            return;
        }
        if choke {
            let unasked = peer.is_idle(ctx.now) && peer.asked_at < peer.unchoked_at;
            peer.missed_turn |= unasked || peer.outbox.is_slow(ctx.now);
            peer.choked_at = ctx.now;
            peer.am_choking = true;
            peer.send(&Message::Choke);
            let kept = peer.allowed_fast_out.clone();
            let gone: Vec<_> = peer.uploads.withdraw(|piece| kept.contains(&piece));
            gone.into_iter().for_each(|request| refuse(peer, request));
        } else {
            peer.am_choking = false;
            peer.unchoked_at = ctx.now;
            peer.send(&Message::Unchoke);
        }
        ctx.agenda.flush.insert(conn);
    }
}

/// Bytes of blocks that are held for a peer.
fn held_for(peer: &Peer) -> u64 {
    peer.outbox.blocks() + peer.uploads.reading_bytes()
}

/// Says that a request will not be served, where the fast extension has a word for it (BEP 6).
fn refuse(peer: &mut Peer, request: BlockRequest) {
    if peer.fast {
        peer.send(&Message::Reject(request));
    }
}

/// Hands a peer's queued messages to the driver.
pub(super) fn push(ctx: &mut Context, peer: &mut Peer) {
    if let Some(bytes) = peer.outbox.take(ctx.now) {
        peer.last_sent = ctx.now;
        ctx.net.sent += bytes.len() as u64;
        ctx.stream(peer.intro.conn, StreamAction::Send(bytes));
    }
}
