//! How much each peer may send: read credit, held back when the disk is behind or a limit is
//! reached, so that the sender's own TCP slows down and nothing is ever dropped.

use core::time::Duration;

use super::traffic::Traffic;
use crate::api::{IDLE_WINDOW, READ_FLOOR, StreamAction, Transport};
use crate::bandwidth::TokenBucket;
use crate::base::ids::ConnId;
use crate::context::Context;
use crate::peer::Peer;
use crate::webseed::Flow;

/// How many of those who wait for credit share a limit.
#[derive(Clone, Copy)]
pub(crate) struct Sharing {
    /// That on everything.
    pub(crate) all: u64,
    /// That on the peer's torrent.
    pub(crate) of_torrent: u64,
    /// That on the peer's transport.
    pub(crate) of_transport: u64,
}

/// The part of all credit that one peer over µTP may have at the most.
const UTP_PART: u32 = 4;

impl Traffic {
    /// How many bytes a peer should be allowed to send.
    fn window(ctx: &mut Context, peer: &mut Peer) -> u32 {
        // Its messages that wait in line are dealt with before it may send more.
        if peer.awaits_turn {
            return 0;
        }
        if peer.requests.is_empty() {
            return IDLE_WINDOW;
        }
        if ctx.disk_is_behind() {
            ctx.limits.awaiting_disk.insert(peer.intro.conn);
            return 0;
        }
        if !ctx.budgets.credit.has_room() {
            return READ_FLOOR;
        }
        // The second half of the budget is for peers whose measured rate needs it.
        let least = if ctx.budgets.credit.is_half_used() { READ_FLOOR } else { 4 * READ_FLOOR };
        if peer.transport == Transport::Utp {
            // No more than is left is granted at once, as of TCP, where that is a small window.
            let left = u64::from(peer.granted) + ctx.budgets.credit.room();
            let most = left.min(u64::from(ctx.config.read_credit / UTP_PART));
            let most = u32::try_from(most).unwrap_or(u32::MAX).max(ctx.config.read_window);
            let round_trip = ctx.net.utp.round_trip(peer.intro.conn);
            return peer.receive_window.size(ctx.now, round_trip, least, most);
        }
        // A quarter of a second of what it sends, within reason.
        let quarter = u32::try_from(peer.down.per_second(ctx.now) / 4).unwrap_or(u32::MAX);
        quarter.clamp(least, ctx.config.read_window.max(4 * READ_FLOOR))
    }

    /// Grants credit up to the peer's window; `share` is what a rate limit leaves for it.
    pub(super) fn grant(&mut self, ctx: &mut Context, peer: &mut Peer, share: Option<u64>) {
        let window = Self::window(ctx, peer);
        let now = ctx.now;
        let tokens = self.down_limits(ctx, peer.transport).map(|limit| limit.available(now)).min();
        let limited = tokens.is_some();
        // Granted when half of the window is used up: few grants, and the peer never has to stop.
        // Over µTP a window that is told in large parts is half a window.
        let part = if peer.transport == Transport::Utp { window / 8 } else { window / 2 };
        if peer.granted > window - part || window == 0 {
            return;
        }
        let mut amount = window - peer.granted;
        if limited && !peer.requests.is_empty() {
            // Outside of its turn a peer gets its whole window or nothing, and only if nobody waits.
            let at_once = ctx.limits.starved_down.is_empty() && tokens >= Some(amount.into());
            let Some(share) = share.or(at_once.then_some(amount.into())) else {
                ctx.limits.starved_down.join(peer.intro.conn);
                peer.requests.hold();
                return;
            };
            amount = amount.min(u32::try_from(share).unwrap_or(u32::MAX));
            self.down_limits(ctx, peer.transport).for_each(|limit| limit.take(amount.into()));
        }
        peer.granted += amount;
        ctx.budgets.credit.take(amount.into());
        ctx.stream(peer.intro.conn, StreamAction::GrantRead(amount));
    }

    /// How much more a web seed may send for a request, within its window and what limits leave.
    pub(super) fn fetch_grant(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        flow: Flow,
        share: Option<u64>,
    ) -> Option<u32> {
        let window = Self::fetch_window(ctx, conn, flow);
        if flow.granted > window / 2 || window == 0 {
            return None;
        }
        let now = ctx.now;
        let mut amount = window - flow.granted;
        let limits = self.down_limits(ctx, Transport::Tcp);
        if let Some(tokens) = limits.map(|limit| limit.available(now)).min() {
            let at_once = ctx.limits.starved_down.is_empty() && tokens >= u64::from(amount);
            let Some(share) = share.or(at_once.then_some(amount.into())) else {
                ctx.limits.starved_down.join(conn);
                return None;
            };
            amount = amount.min(u32::try_from(share).unwrap_or(u32::MAX));
            self.down_limits(ctx, Transport::Tcp).for_each(|limit| limit.take(amount.into()));
        }
        ctx.budgets.credit.take(amount.into());
        ctx.stream(conn, StreamAction::GrantRead(amount));
        Some(amount)
    }

    /// How many bytes a web seed should be allowed to send: as a peer, and no more than are left.
    fn fetch_window(ctx: &mut Context, conn: ConnId, flow: Flow) -> u32 {
        let left = u32::try_from(flow.left).unwrap_or(u32::MAX);
        if left <= flow.granted {
            return 0;
        }
        if ctx.disk_is_behind() {
            ctx.limits.awaiting_disk.insert(conn);
            return 0;
        }
        if !ctx.budgets.credit.has_room() {
            return READ_FLOOR.min(left);
        }
        let least = if ctx.budgets.credit.is_half_used() { READ_FLOOR } else { 4 * READ_FLOOR };
        let quarter = u32::try_from(flow.rate / 4).unwrap_or(u32::MAX);
        quarter.clamp(least, ctx.config.read_window.max(4 * READ_FLOOR)).min(left)
    }

    /// How long one who waits for credit has to wait for a turn, or else what it gets of what there is.
    pub(super) fn share(
        &mut self,
        ctx: &mut Context,
        transport: Transport,
        sharing: Sharing,
    ) -> Result<u64, Option<Duration>> {
        let now = ctx.now;
        if !self.down_limits(ctx, transport).all(|limit| limit.has_portion(now)) {
            let waits = self.down_limits(ctx, transport).map(|limit| limit.until_turn(now));
            return Err(waits.max());
        }
        let portions = self.down_limits(ctx, transport).map(|limit| limit.portion());
        let portion = portions.min().unwrap_or(u64::MAX);
        let part = |limit: &mut TokenBucket, sharing: u64| limit.available(now) / sharing.max(1);
        let lane = part(&mut ctx.limits.lane(transport).down, sharing.of_transport);
        let both = part(&mut ctx.limits.down, sharing.all)
            .min(part(&mut self.down_limit, sharing.of_torrent));
        let share = if ctx.limits_hold(transport) { lane.min(both) } else { lane };
        Ok(share.max(portion))
    }

    /// A peer's turn under a rate limit has come. Returns how long the peer has to wait for another turn where there is
    /// less than a portion.
    pub(crate) fn grant_share(
        &mut self,
        ctx: &mut Context,
        peer: &mut Peer,
        sharing: Sharing,
    ) -> Option<Duration> {
        match self.share(ctx, peer.transport, sharing) {
            Ok(share) => self.grant(ctx, peer, Some(share)),
            Err(wait) => return wait,
        }
        None
    }
}
