//! The end of a step: messages and credit go out, and those who wait for tokens get their turn.

use core::time::Duration;

use super::Engine;
use crate::base::ids::ConnId;
use crate::context::{Context, Timer};
use crate::torrent::Torrent;

/// How often waiting peers get a turn under a rate limit. What a limit leaves is given in portions of
/// this time's worth, not byte by byte as it comes: each portion costs a step and a read.
const TURN_MILLIS: u64 = 50;

impl Engine {
    pub(super) fn flush(&mut self) {
        let turn = self.ctx.now >= self.ctx.next_turn;
        let mut waited = !self.ctx.starved_up.is_empty();
        if turn || core::mem::take(&mut self.ctx.starved_of_room) {
            self.serve_waiting();
        }
        self.flush_all();
        waited |= !self.ctx.starved_down.is_empty();
        if turn && waited {
            self.grant_waiting();
            self.ctx.next_turn = self.ctx.now + Duration::from_millis(TURN_MILLIS);
        }
        let waiting = !self.ctx.starved_down.is_empty() || !self.ctx.starved_up.is_empty();
        if waiting && !self.ctx.bandwidth_timer {
            self.ctx.bandwidth_timer = true;
            self.ctx.timers.schedule(self.ctx.next_turn, Timer::Bandwidth);
        }
    }

    fn flush_all(&mut self) {
        while let Some(conn) = self.ctx.flush.pop_first() {
            if let Some((torrent, ctx)) = self.torrent_of(conn) {
                torrent.flush(ctx, conn);
            }
        }
    }

    pub(super) fn torrent_of(&mut self, conn: ConnId) -> Option<(&mut Torrent, &mut Context)> {
        let id = self.ctx.conns.get(conn)?.torrent?;
        self.torrents.get_mut(id).map(|torrent| (&mut **torrent, &mut self.ctx))
    }

    /// Those who wait to be served get one block each, in turn, as long as there are tokens.
    fn serve_waiting(&mut self) {
        let mut served = true;
        while core::mem::take(&mut served) {
            for _ in 0..self.ctx.starved_up.len() {
                // Who is at the front stays there until there is something for it.
                if !self.ctx.has_upload_tokens() {
                    return;
                }
                if !self.ctx.sending.has_room() {
                    self.ctx.starved_of_room = true;
                    return self.serve_shares();
                }
                let Some(conn) = self.ctx.starved_up.take_first() else { break };
                let Some((torrent, ctx)) = self.torrent_of(conn) else { continue };
                if torrent.serve_one(ctx, conn) {
                    served = true;
                    ctx.starved_up.join(conn);
                }
            }
        }
    }

    /// What is common is used up: those who hold less than their share get it all the same, and keep
    /// their place.
    fn serve_shares(&mut self) {
        self.ctx.work.add_steps(self.ctx.starved_up.len() as u64);
        let conns = &self.ctx.conns;
        self.ctx.starved_up.retain(|conn| conns.get(conn).is_some());
        for index in 0..self.ctx.starved_up.len() {
            let Some(conn) = self.ctx.starved_up.get(index) else { return };
            let Some((torrent, ctx)) = self.torrent_of(conn) else { continue };
            while torrent.is_below_share(ctx, conn) && torrent.serve_one(ctx, conn) {}
        }
    }

    /// Those who wait for credit share what tokens there are.
    fn grant_waiting(&mut self) {
        for waiting in (1..=self.ctx.starved_down.len() as u64).rev() {
            // Who is at the front stays there until there is something for it.
            if self.ctx.down_limit.available(self.ctx.now) == 0 {
                return;
            }
            let Some(conn) = self.ctx.starved_down.take_first() else { break };
            let Some((torrent, ctx)) = self.torrent_of(conn) else { continue };
            if !torrent.grant_share(ctx, conn, waiting) {
                ctx.starved_down.join(conn);
            }
        }
    }
}
