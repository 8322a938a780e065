//! Choking rounds over all torrents, and slots given at once when they are free.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::Engine;
use crate::base::ids::{ConnId, TorrentId};
use crate::choker::{Contender, Crowds, LOOK_SECONDS, ROUND_SECONDS, slots_for};
use crate::context::Timer;
use crate::peer::Peer;
use crate::torrent::Torrent;

impl Engine {
    /// How many peers may be unchoked.
    pub(super) fn slots(&self) -> u32 {
        let capacity = match self.ctx.limits.up.rate() {
            Some(limit) => limit,
            None => self.ctx.limits.up_capacity,
        };
        self.ctx.config.unchoke_slots.unwrap_or_else(|| slots_for(capacity).max(8))
    }

    /// All peers that want something, of all torrents.
    fn interested(&self) -> Vec<(TorrentId, Contender)> {
        let now = self.ctx.now;
        let mut all = Vec::new();
        for (id, torrent) in self.torrents.iter().filter(|(_, t)| t.is_transferring()) {
            let wanting = torrent.peers().values().filter(|peer| peer.peer_interested);
            all.extend(wanting.map(|peer| (id, contender(torrent, peer, now))));
        }
        all
    }

    /// One round: who is served until the next. Returns whether anybody wants something.
    fn choke_round(&mut self) -> bool {
        let now = self.ctx.now;
        let rate = self.ctx.limits.up_meter.per_second(now);
        // The capacity is what was reached lately; it fades when it is not reached any more.
        self.ctx.limits.up_capacity =
            rate.max(self.ctx.limits.up_capacity - self.ctx.limits.up_capacity / 16);
        let interested = self.interested();
        let contenders: Vec<Contender> = interested.iter().map(|(_, c)| *c).collect();
        let policy = self.ctx.config.seed_choking;
        let slots = self.slots();
        let chosen =
            self.choker.round(&contenders, slots, policy, now, &mut self.ctx.random.chokes);
        let chosen: BTreeSet<ConnId> = chosen.into_iter().collect();
        // A peer that is not interested keeps its slot until another peer needs it.
        let mut spare = (slots as usize).saturating_sub(chosen.len());
        let mut changed = Vec::new();
        for (id, torrent) in self.torrents.iter() {
            for (conn, peer) in torrent.peers() {
                let keeps = !peer.am_choking && !peer.peer_interested && spare > 0;
                spare -= usize::from(keeps);
                if (chosen.contains(conn) || keeps) == peer.am_choking {
                    changed.push((id, *conn, !peer.am_choking));
                }
            }
        }
        self.set_choking(&changed);
        !interested.is_empty()
    }

    /// Between two rounds: whoever has a slot and does not use it makes room for as many as have not had
    /// a turn. Returns whether anybody wants something.
    fn take_idle_slots(&mut self) -> bool {
        let interested = self.interested();
        let waiting = interested.iter().filter(|(_, c)| !c.unchoked && !c.missed_turn).count();
        let idle = interested.iter().filter(|(_, c)| c.idle).take(waiting);
        let idle: Vec<_> = idle.map(|(id, c)| (*id, c.conn, true)).collect();
        self.set_choking(&idle);
        self.ctx.agenda.slots_changed |= !idle.is_empty();
        !interested.is_empty()
    }

    /// The timer of choking is due.
    pub(super) fn look_at_slots(&mut self) {
        self.choke_timer = false;
        let needed = if self.ctx.now >= self.choke_round_at {
            self.choke_round_at = self.ctx.now + Duration::from_secs(ROUND_SECONDS);
            self.choke_round()
        } else {
            self.take_idle_slots()
        };
        self.arm_choke_timer(needed);
    }

    fn arm_choke_timer(&mut self, needed: bool) {
        if needed && !self.choke_timer {
            self.choke_timer = true;
            // Where nobody wanted anything, there were no rounds.
            let now = self.ctx.now;
            if self.choke_round_at <= now {
                self.choke_round_at = now + Duration::from_secs(ROUND_SECONDS);
            }
            let look = now + Duration::from_secs(LOOK_SECONDS);
            self.ctx.timers.schedule(look.min(self.choke_round_at), Timer::ChokeRound);
        }
    }

    /// Gives free slots to those who wait, without waiting for the round.
    pub(super) fn fill_free_slots(&mut self) {
        let interested = self.interested();
        self.arm_choke_timer(!interested.is_empty());
        let taken = interested.iter().filter(|(_, c)| c.unchoked).count();
        let mut waiting: Vec<_> = interested.iter().filter(|(_, c)| !c.unchoked).collect();
        // Whoever came first, and has not had its turn; of a crowd in which others have slots come last.
        let mut crowds = Crowds::default();
        crowds.count_all(interested.iter().filter(|(_, c)| c.unchoked).map(|(_, c)| c.ip));
        waiting.sort_by_key(|(_, c)| (c.missed_turn, c.choked_at, c.connected_at, c.conn));
        waiting.sort_by_cached_key(|(_, c)| (c.missed_turn, crowds.count(c.ip)));
        let slots = self.slots() as usize;
        waiting.truncate(slots.saturating_sub(taken));
        let mut changed: Vec<_> = waiting.iter().map(|(id, c)| (*id, c.conn, false)).collect();
        // Those who want nothing any more make room for them.
        let idle = self.torrents.iter().flat_map(|(id, torrent)| {
            let idle = torrent.peers().iter().filter(|(_, p)| !p.am_choking && !p.peer_interested);
            idle.map(move |(conn, _)| (id, *conn, true))
        });
        let idle: Vec<_> = idle.collect();
        let crowded = (taken + waiting.len() + idle.len()).saturating_sub(slots);
        changed.extend(idle.into_iter().take(crowded));
        self.set_choking(&changed);
    }

    /// Chokes or unchokes.
    fn set_choking(&mut self, changed: &[(TorrentId, ConnId, bool)]) {
        for (id, conn, choke) in changed {
            if let Some(torrent) = self.torrents.get_mut(*id) {
                torrent.set_choking(&mut self.ctx, *conn, *choke);
            }
        }
    }
}

fn contender(torrent: &Torrent, peer: &Peer, now: crate::base::time::Instant) -> Contender {
    let pieces = u64::from(torrent.contents().geometry().pieces()).max(1);
    Contender {
        conn: peer.intro.conn,
        ip: peer.intro.addr.ip(),
        seeding: torrent.contents().lack_nothing(),
        unchoked: !peer.am_choking,
        snubbed: peer.requests.is_snubbed(),
        down_rate: peer.down.per_second(now),
        up_rate: peer.up.per_second(now),
        connected_at: peer.connected_at,
        unchoked_at: peer.unchoked_at,
        choked_at: peer.choked_at,
        progress: (u64::from(peer.piece_count) * 1000 / pieces) as u32,
        idle: peer.is_idle(now),
        missed_turn: peer.missed_turn,
    }
}
