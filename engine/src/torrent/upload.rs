//! What is served: requests of a peer in, blocks out.

use bytes::Bytes;

use super::traffic::Traffic;
use crate::api::{DiskOp, MAX_SENDS, StoredBlock, StreamAction};
use crate::base::ids::TorrentId;
use crate::base::work::Work;
use crate::context::{Context, DiskJob};
use crate::peer::{Misbehaviour, Peer, PeerError, Verdict};
use crate::wire::{BlockRequest, Message};

/// A peer wants a block, of a piece that is there or is not.
///
/// # Errors
/// It asks for far more than it may.
pub(super) fn requested(
    ctx: &Context,
    peer: &mut Peer,
    request: BlockRequest,
    have: bool,
) -> Result<(), PeerError> {
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
    match peer.take_request(request, ctx.config.max_queued_requests, ctx.now) {
        Verdict::Queued | Verdict::Duplicate => {}
        Verdict::Full => refuse(peer, request),
        Verdict::Flood => return Err(Misbehaviour::RequestFlood.into()),
    }
    Ok(())
}

/// A peer does not want a block any more.
pub(super) fn cancelled(work: &mut Work, peer: &mut Peer, request: BlockRequest) {
    work.add_steps(peer.uploads.len().into());
    if peer.uploads.cancel(request) {
        refuse(peer, request);
    }
}

impl Traffic {
    /// Reads one block for a peer, as far as budgets and limits allow. Returns whether another may follow at once.
    pub(super) fn serve_one(
        &mut self,
        ctx: &mut Context,
        torrent: TorrentId,
        peer: &mut Peer,
    ) -> bool {
        if !peer.uploads.has_queued() {
            return false;
        }
        let (conn, backlog) = (peer.intro.conn, held_for(peer));
        // A block is a header and content; small ones cost more than their bytes.
        let many = peer.outbox.sends() + 2 * peer.uploads.reading() >= 2 * MAX_SENDS;
        if many || backlog >= u64::from(ctx.config.send_backlog) {
            return false;
        }
        let now = ctx.now;
        let tokens = self.up_limits(ctx, peer.transport).all(|limit| limit.has_portion(now));
        if !tokens || !ctx.budgets.sending.allows(backlog) {
            ctx.limits.starved_of_room |= tokens;
            ctx.limits.starved_up.join(conn);
            return false;
        }
        let Some(request) = peer.uploads.start_next() else { return false };
        let cost = u64::from(request.length) + 13;
        self.up_limits(ctx, peer.transport).for_each(|limit| limit.take(cost));
        ctx.budgets.sending.take(request.length.into());
        let BlockRequest { piece, begin, length } = request;
        let op = DiskOp::ReadBlock { torrent, piece, begin, length };
        ctx.disk(DiskJob::Read { torrent, conn, request }, op);
        true
    }

    /// Sends a peer a block that was read; without bytes, from the disk.
    pub(super) fn send_block(
        &mut self,
        ctx: &mut Context,
        torrent: TorrentId,
        peer: &mut Peer,
        request: BlockRequest,
        bytes: Option<Bytes>,
    ) {
        let BlockRequest { piece, begin, length } = request;
        let bytes_sent = u64::from(length);
        peer.send_block_header(request);
        push(ctx, peer);
        peer.outbox.block_handed_over(length, ctx.now);
        ctx.budgets.sending.take(bytes_sent);
        ctx.net.sent += bytes_sent;
        peer.up.add(ctx.now, bytes_sent);
        self.up.add(ctx.now, bytes_sent);
        ctx.limits.up_meter.add(ctx.now, bytes_sent);
        let stored = StoredBlock { torrent, piece, begin, length };
        let content = bytes.map(StreamAction::SendBlock);
        ctx.stream(peer.intro.conn, content.unwrap_or(StreamAction::SendStored(stored)));
    }
}

/// Whether a peer holds less than its share of the send budget, and waits for more.
pub(super) fn is_below_share(ctx: &Context, peer: &Peer) -> bool {
    peer.uploads.has_queued() && ctx.budgets.sending.allows(held_for(peer))
}

/// Chokes or unchokes a peer.
pub(super) fn set_choking(ctx: &mut Context, peer: &mut Peer, choke: bool) {
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
        let gone = peer.uploads.withdraw(|piece| kept.contains(&piece));
        gone.into_iter().for_each(|request| refuse(peer, request));
    } else {
        peer.am_choking = false;
        peer.unchoked_at = ctx.now;
        peer.send(&Message::Unchoke);
    }
    ctx.agenda.flush.insert(peer.intro.conn);
}

/// Bytes of blocks that are held for a peer.
fn held_for(peer: &Peer) -> u64 {
    peer.outbox.blocks() + peer.uploads.reading_bytes()
}

/// Says that a request will not be served, where the fast extension has a word for it (BEP 6).
pub(super) fn refuse(peer: &mut Peer, request: BlockRequest) {
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
