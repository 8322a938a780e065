//! The end of a step: messages and credit go out, and those who wait for tokens get their turn.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::Engine;
use crate::api::Transport;
use crate::bandwidth::TURN;
use crate::base::ids::{ConnId, TorrentId};
use crate::base::time::Instant;
use crate::context::{Context, Timer};
use crate::torrent::{Sharing, Torrent};

impl Engine {
    pub(super) fn flush(&mut self) {
        let turn = self.ctx.now >= self.turn_at();
        let mut waited = !self.ctx.limits.starved_up.is_empty();
        if turn || core::mem::take(&mut self.ctx.limits.starved_of_room) {
            self.serve_waiting();
        }
        self.flush_all();
        let turn = turn || self.ctx.now >= self.turn_at();
        waited |= !self.ctx.limits.starved_down.is_empty();
        if turn && waited {
            let waits = self.until_upload_turn().into_iter().chain(self.grant_waiting());
            let wait = waits.filter(|wait| !wait.is_zero()).min().unwrap_or(TURN);
            self.ctx.limits.starved_up.forget_growth();
            self.ctx.limits.starved_down.forget_growth();
            self.ctx.limits.next_turn = self.ctx.now + wait.min(TURN);
            self.ctx.limits.tokens_at = self.ctx.now + wait;
        }
        if !self.ctx.limits.starved_down.is_empty() || !self.ctx.limits.starved_up.is_empty() {
            let (at, ctx) = (self.turn_at(), &mut self.ctx);
            ctx.limits.bandwidth_alarm.set(&mut ctx.timers, at, ctx.now, Timer::Bandwidth);
        }
    }

    /// When those who wait for tokens have their next turn. If nobody has joined them since the last turn, that
    /// is not before there are tokens for at least one of them.
    fn turn_at(&self) -> Instant {
        let ctx = &self.ctx;
        match ctx.limits.starved_up.has_grown() || ctx.limits.starved_down.has_grown() {
            true => ctx.limits.next_turn,
            false => ctx.limits.tokens_at,
        }
    }

    /// How long those who wait to be served are left alone.
    fn until_upload_turn(&mut self) -> Option<Duration> {
        // The limit on all torrents is a lower bound for everybody.
        let all = self.ctx.limits.up.until_turn(self.ctx.now);
        let (mut least, mut asked): (Option<Duration>, _) = (None, None);
        for place in 0..self.ctx.limits.starved_up.len() {
            self.ctx.work.add_steps(1);
            let conn = self.ctx.limits.starved_up.get(place);
            let Some((torrent, ctx)) = conn.and_then(|conn| self.torrent_of(conn)) else {
                continue;
            };
            let Some(peer) = conn.and_then(|conn| torrent.peers().get(&conn)) else { continue };
            let asks = (torrent.id(), peer.transport);
            if asked.replace(asks) != Some(asks) {
                let wait = all.max(torrent.until_upload_turn(ctx, peer.transport));
                least = Some(least.map_or(wait, |least| least.min(wait)));
            }
            if least == Some(all) {
                break;
            }
        }
        least
    }

    fn flush_all(&mut self) {
        while let Some(conn) = self.ctx.agenda.flush.pop_first() {
            if let Some((torrent, ctx)) = self.torrent_of(conn) {
                torrent.flush(ctx, conn);
            }
        }
    }

    pub(super) fn torrent_of(&mut self, conn: ConnId) -> Option<(&mut Torrent, &mut Context)> {
        let id = self.ctx.net.conns.get(conn)?.torrent?;
        self.torrents.get_mut(id).map(|torrent| (&mut **torrent, &mut self.ctx))
    }

    /// Those who wait to be served get one block each, in turn, as long as there are tokens.
    fn serve_waiting(&mut self) {
        let mut served = Vec::new();
        loop {
            let goes_on = self.serve_round(&mut served);
            // Whoever had no portion of its torrent's own limit comes before those that were served.
            self.ctx.limits.starved_up.put_behind(&served);
            if !goes_on || served.is_empty() {
                return;
            }
            served.clear();
        }
    }

    /// Everybody in line has a turn; who was served is noted. Returns whether there may be something for another round.
    fn serve_round(&mut self, served: &mut Vec<ConnId>) -> bool {
        for _ in 0..self.ctx.limits.starved_up.len() {
            // The first in line keeps its place until there is a portion for it.
            if !self.ctx.limits.up.has_portion(self.ctx.now) {
                return false;
            }
            if !self.ctx.budgets.sending.has_room() {
                self.ctx.limits.starved_of_room = true;
                self.serve_shares();
                return false;
            }
            let Some(conn) = self.ctx.limits.starved_up.take_first() else { break };
            let Some((torrent, ctx)) = self.torrent_of(conn) else { continue };
            if torrent.serve_one(ctx, conn) {
                ctx.limits.starved_up.join(conn);
                served.push(conn);
            }
        }
        true
    }

    /// The shared part of the send budget is used up: peers that hold less than their guaranteed share are
    /// served all the same, and keep their place in line.
    fn serve_shares(&mut self) {
        self.ctx.work.add_steps(self.ctx.limits.starved_up.len() as u64);
        let conns = &self.ctx.net.conns;
        self.ctx.limits.starved_up.retain(|conn| conns.get(conn).is_some());
        for index in 0..self.ctx.limits.starved_up.len() {
            let Some(conn) = self.ctx.limits.starved_up.get(index) else { return };
            let Some((torrent, ctx)) = self.torrent_of(conn) else { continue };
            while torrent.is_below_share(ctx, conn) && torrent.serve_one(ctx, conn) {}
        }
    }

    /// Those who wait for credit share what tokens there are. Returns how long those who got none
    /// are left alone.
    fn grant_waiting(&mut self) -> Option<Duration> {
        let mut least: Option<Duration> = None;
        // What a torrent or a transport may have is shared by its own.
        let mut counts: Option<Waiting> = None;
        for waiting in (1..=self.ctx.limits.starved_down.len() as u64).rev() {
            // Who is at the front stays there until there is something for it.
            if !self.ctx.limits.down.has_portion(self.ctx.now) {
                return Some(self.ctx.limits.down.until_turn(self.ctx.now));
            }
            let Some(conn) = self.ctx.limits.starved_down.take_first() else { break };
            let Some((torrent, ctx)) = self.torrent_of(conn) else { continue };
            let Some(transport) = torrent.transport_of(conn) else { continue };
            let mut sharing = Sharing { all: waiting, of_torrent: waiting, of_transport: waiting };
            let lane = ctx.limits.lane(transport).down.rate();
            if lane.or(torrent.traffic().down_limit.rate()).is_some() {
                let counts = counts.get_or_insert_with(|| Waiting::count(ctx, conn));
                (sharing.of_torrent, sharing.of_transport) =
                    counts.one_less(torrent.id(), transport);
            }
            if let Some(wait) = torrent.grant_share(ctx, conn, sharing) {
                ctx.limits.starved_down.join(conn);
                least = Some(least.map_or(wait, |least| least.min(wait)));
            }
        }
        least
    }
}

/// How many peers of each torrent, and over each transport, wait for credit.
#[derive(Default)]
struct Waiting {
    torrents: BTreeMap<TorrentId, u64>,
    tcp: u64,
    utp: u64,
}

impl Waiting {
    /// Those in the line, and `first`, who has just left it.
    fn count(ctx: &mut Context, first: ConnId) -> Self {
        let line = &ctx.limits.starved_down;
        ctx.work.add_steps(line.len() as u64);
        let mut waiting = Self::default();
        for conn in (0..line.len()).filter_map(|place| line.get(place)).chain([first]) {
            let Some(entry) = ctx.net.conns.get(conn) else { continue };
            *waiting.of_transport(entry.transport) += 1;
            if let Some(torrent) = entry.torrent {
                *waiting.torrents.entry(torrent).or_insert(0) += 1;
            }
        }
        waiting
    }

    fn of_transport(&mut self, transport: Transport) -> &mut u64 {
        if transport == Transport::Utp { &mut self.utp } else { &mut self.tcp }
    }

    /// One of those has its turn: how many there were with it.
    fn one_less(&mut self, torrent: TorrentId, transport: Transport) -> (u64, u64) {
        let less = |count: &mut u64| {
            let before = *count;
            *count = before.saturating_sub(1).max(1);
            before.max(1)
        };
        (less(self.torrents.entry(torrent).or_insert(1)), less(self.of_transport(transport)))
    }
}
