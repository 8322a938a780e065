//! How much each peer may send: read credit, held back when the disk is behind or a limit is
//! reached, so that the sender's own TCP slows down and nothing is ever dropped.

use core::time::Duration;

use super::traffic::Traffic;
use crate::api::{IDLE_WINDOW, READ_FLOOR, StreamAction};
use crate::context::Context;
use crate::peer::Peer;

impl Traffic {
    /// How many bytes a peer should be allowed to send.
    fn window(ctx: &mut Context, peer: &Peer) -> u32 {
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
        // A quarter of a second of what it sends, within reason.
        let quarter = u32::try_from(peer.down.per_second(ctx.now) / 4).unwrap_or(u32::MAX);
        quarter.clamp(least, ctx.config.read_window.max(4 * READ_FLOOR))
    }

    /// Grants credit up to the peer's window; `share` is what a rate limit leaves for it.
    pub(super) fn grant(&mut self, ctx: &mut Context, peer: &mut Peer, share: Option<u64>) {
        let window = Self::window(ctx, peer);
        let limited = ctx.limits_hold(peer.transport)
            && (ctx.limits.down.rate().is_some() || self.down_limit.rate().is_some());
        let tokens = if limited { self.tokens(ctx) } else { u64::MAX };
        // Granted when half of the window is used up: few grants, and the peer never has to stop.
        if peer.granted > window / 2 || window == 0 {
            return;
        }
        let mut amount = window - peer.granted;
        if limited && !peer.requests.is_empty() {
            // Outside of its turn a peer gets its whole window or nothing, and only if nobody waits.
            let at_once = ctx.limits.starved_down.is_empty() && tokens >= amount.into();
            let Some(share) = share.or(at_once.then_some(amount.into())) else {
                ctx.limits.starved_down.join(peer.intro.conn);
                peer.requests.hold();
                return;
            };
            amount = amount.min(u32::try_from(share).unwrap_or(u32::MAX));
            ctx.limits.down.take(amount.into());
            self.down_limit.take(amount.into());
        }
        peer.granted += amount;
        ctx.budgets.credit.take(amount.into());
        ctx.stream(peer.intro.conn, StreamAction::GrantRead(amount));
    }

    /// Bytes that both limits, of all torrents and of this one, allow now.
    fn tokens(&mut self, ctx: &mut Context) -> u64 {
        ctx.limits.down.available(ctx.now).min(self.down_limit.available(ctx.now))
    }

    /// A peer's turn under a rate limit has come, where `waiting` peers of all torrents share what all may
    /// and `own` peers of this torrent what it may. Returns how long the peer has to wait for another turn
    /// where there is less than a portion.
    pub(crate) fn grant_share(
        &mut self,
        ctx: &mut Context,
        peer: &mut Peer,
        waiting: u64,
        own: u64,
    ) -> Option<Duration> {
        let now = ctx.now;
        if !ctx.limits.down.has_portion(now) || !self.down_limit.has_portion(now) {
            return Some(ctx.limits.down.until_turn(now).max(self.down_limit.until_turn(now)));
        }
        let all = ctx.limits.down.available(now) / waiting.max(1);
        let own = self.down_limit.available(now) / own.max(1);
        let portion = self.down_limit.portion().min(ctx.limits.down.portion());
        self.grant(ctx, peer, Some(own.min(all).max(portion)));
        None
    }
}
