//! What a line carries is shared by TCP and µTP in proportion to their peers.

use super::Engine;
use crate::context::Timer;
use crate::mixed_mode::Crowd;

impl Engine {
    /// Decides how much TCP leaves to µTP.
    pub(super) fn share_lines(&mut self) {
        let ctx = &mut self.ctx;
        let crowd = |limit| Crowd { limit, ..Crowd::default() };
        let limits = &ctx.limits.utp;
        let (mut down, mut up) = (crowd(limits.down.rate()), crowd(limits.up.rate()));
        for (_, torrent) in self.torrents.iter() {
            ctx.work.add_steps(torrent.peers().len() as u64);
            for (conn, peer) in torrent.peers() {
                let waits = ctx.net.utp.waits(*conn);
                if !peer.requests.is_empty() && !peer.requests.is_snubbed() {
                    down.add(waits.map(|waits| waits.down));
                }
                if peer.uploads.has_queued() || peer.outbox.blocks() > 0 {
                    up.add(waits.map(|waits| waits.up));
                }
            }
        }
        let next = ctx.limits.mixed.round(ctx.now, down, up);
        ctx.limits.leave_room(ctx.config.tcp_limits, ctx.now);
        if let Some(at) = next {
            ctx.timers.schedule(at, Timer::MixedMode);
        }
    }
}
