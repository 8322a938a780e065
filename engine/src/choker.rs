//! Who is served (BEP 3, BEP 21). One round looks at all interested peers of all torrents and
//! names those to unchoke; it keeps no state of its own but the turn of the optimistic slots.

use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use crate::api::SeedChoking;
use crate::base::crowd::Crowd;
use crate::base::ids::ConnId;
use crate::base::prefix::Prefix;
use crate::base::rng::Rng;
use crate::base::time::Instant;

/// Seconds between rounds.
pub const ROUND_SECONDS: u64 = 10;
/// Seconds between looks for slots that are not used; a round has a whole number of them.
pub const LOOK_SECONDS: u64 = 5;
/// Rounds between changes of the optimistic unchokes.
const OPTIMISTIC_ROUNDS: u64 = 3;
/// While seeding: milliseconds that a peer keeps its slot before others get a turn.
const SEED_TURN_MILLIS: u64 = 30_000;

/// Peers from one block of addresses (/24, /48) that are no crowd: the next four come behind all who stand alone.
const FEW_OF_BLOCK: u32 = 4;

/// What a round knows of an interested peer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Contender {
    /// Who.
    pub conn: ConnId,
    /// Its address.
    pub ip: IpAddr,
    /// The torrent is complete here.
    pub seeding: bool,
    /// It is unchoked now.
    pub unchoked: bool,
    /// It was asked and does not deliver.
    pub snubbed: bool,
    /// Payload bytes per second from it.
    pub down_rate: u64,
    /// Payload bytes per second to it.
    pub up_rate: u64,
    /// When it was connected.
    pub connected_at: Instant,
    /// When it was last unchoked; zero for never.
    pub unchoked_at: Instant,
    /// When it was last choked; zero for never.
    pub choked_at: Instant,
    /// Thousandths of the torrent that it has.
    pub progress: u32,
    /// It has a slot and does not use it.
    pub idle: bool,
    /// It had a slot and did not use it.
    pub missed_turn: bool,
}

/// How many peers of one host, and of one block of addresses, stand in a line so far. Connections are free, and so are
/// addresses to who has a block of them: they give nobody more turns than others have.
#[derive(Debug, Default)]
pub struct Crowds(Crowd);

impl Crowds {
    /// Counts these.
    pub fn count_all(&mut self, ips: impl Iterator<Item = IpAddr>) {
        for ip in ips {
            self.count(ip);
        }
    }

    /// Counts one more. Returns its place among those of its block, in groups of four, and among those of its host.
    /// This machine is no host, and a local network no block.
    pub fn count(&mut self, ip: IpAddr) -> (u32, u32) {
        if Prefix::of(ip).is_loopback() {
            return (0, 0);
        }
        let (of_host, of_block) = self.0.add(ip);
        (of_block / FEW_OF_BLOCK, of_host)
    }
}

/// The state between rounds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Choker {
    round: u64,
    optimistic: Vec<ConnId>,
}

/// Slots for an upload capacity in bytes per second: four, and more as the root of the capacity, so
/// that each slot gets faster as well.
pub fn slots_for(capacity: u64) -> u32 {
    4 + u32::try_from((capacity / 4096).isqrt()).unwrap_or(u32::MAX - 4).min(1000)
}

impl Choker {
    /// Names the peers to be unchoked until the next round, at most `slots`.
    pub fn round(
        &mut self,
        contenders: &[Contender],
        slots: u32,
        policy: SeedChoking,
        now: Instant,
        rng: &mut Rng,
    ) -> Vec<ConnId> {
        let slots = slots as usize;
        self.round += 1;
        if contenders.len() <= slots {
            self.optimistic.clear();
            return contenders.iter().map(|c| c.conn).collect();
        }
        // A fifth of the slots tries peers out; the rest rewards.
        let tries = (slots / 5).max(1).min(slots);
        let ranked = rank_all(contenders, policy, now);
        let (rewarded, rest) = ranked.split_at(slots - tries);
        let mut crowds = Crowds::default();
        crowds.count_all(rewarded.iter().map(|c| c.ip));
        self.choose_optimistic(rest, tries, crowds, now, rng);
        let mut chosen: Vec<ConnId> = rewarded.iter().map(|contender| contender.conn).collect();
        chosen.extend(&self.optimistic);
        chosen
    }

    /// Keeps the optimistic unchokes for some rounds, then gives the turn to others: those who
    /// waited longest, newcomers of a download three times as likely; of a crowd in which others have slots come last.
    fn choose_optimistic(
        &mut self,
        rest: &[&Contender],
        tries: usize,
        mut crowds: Crowds,
        now: Instant,
        rng: &mut Rng,
    ) {
        if self.round % OPTIMISTIC_ROUNDS == 1 {
            self.optimistic.clear();
        }
        // Whoever did not use its slot has lost it meanwhile.
        self.optimistic.retain(|conn| rest.iter().any(|c| c.conn == *conn && c.unchoked));
        self.optimistic.truncate(tries);
        let mut waiting: Vec<&&Contender> =
            rest.iter().filter(|c| !self.optimistic.contains(&c.conn)).collect();
        let kept = rest.iter().filter(|c| self.optimistic.contains(&c.conn));
        crowds.count_all(kept.map(|c| c.ip));
        let order = |c: &Contender| {
            // Who has a slot now waits for none: it would else keep it, as the one that was choked least lately.
            let since = if c.unchoked { now } else { c.choked_at.max(c.connected_at) };
            // Of a seed nobody gets more for being new: who comes back after its turn is new as well.
            let newcomer = !c.seeding && c.unchoked_at == Instant::ZERO;
            let waited = now.millis_since(since) * if newcomer { 3 } else { 1 };
            (c.missed_turn, core::cmp::Reverse(waited / 1000), c.conn)
        };
        waiting.sort_by_key(|c| order(c));
        waiting.sort_by_cached_key(|c| (c.missed_turn, crowds.count(c.ip)));
        // Equal waits are common at the start; chance decides among them.
        while self.optimistic.len() < tries && !waiting.is_empty() {
            let front = waiting.len().min(tries * 2);
            let chosen = waiting.remove(rng.index(front));
            self.optimistic.push(chosen.conn);
        }
    }
}

/// All, the best first. Where nobody gives us anything, those of one crowd come one after the other, each behind the
/// first, second, … of every other.
fn rank_all(contenders: &[Contender], policy: SeedChoking, now: Instant) -> Vec<&Contender> {
    let mut ranked: Vec<_> = contenders.iter().map(|c| (rank(c, policy, now), c)).collect();
    ranked.sort_by_key(|(rank, c)| (*rank, c.conn));
    let mut crowds = Crowds::default();
    ranked.sort_by_cached_key(|((class, _), c)| {
        let crowd = crowds.count(c.ip);
        (*class, if *class == 0 { (0, 0) } else { crowd })
    });
    ranked.into_iter().map(|(_, c)| c).collect()
}

/// Smaller is better: first those who give us something, fastest first, then the seeding policy. Whoever
/// asked for nothing when it could comes behind all who have not had a turn: any number of peers that
/// say they are interested would else take the slots of those who are.
fn rank(c: &Contender, policy: SeedChoking, now: Instant) -> (u8, u64) {
    if !c.seeding {
        // Anti-snubbing: who was asked and gives nothing has no claim but the optimistic one.
        return match c.snubbed || c.down_rate == 0 {
            false => (0, u64::MAX - c.down_rate),
            true if c.missed_turn || c.idle => last_in_line(c),
            true => (2, 0),
        };
    }
    if c.missed_turn || c.idle {
        return last_in_line(c);
    }
    match policy {
        SeedChoking::RoundRobin => {
            let turn_left = c.unchoked && now.millis_since(c.unchoked_at) < SEED_TURN_MILLIS;
            // Who had no turn yet has waited since it came. One that hangs up after its turn and comes back would
            // else stand in front of all who wait.
            let waits_since = c.unchoked_at.max(c.connected_at);
            if turn_left { (1, 0) } else { (1, 1 + waits_since.as_millis()) }
        }
        SeedChoking::FastestUpload => (1, u64::MAX - c.up_rate),
        SeedChoking::AntiLeech => (1, u64::from(500 - c.progress.abs_diff(500).min(500))),
    }
}

/// Behind all others, those first whose turn was longest ago.
fn last_in_line(c: &Contender) -> (u8, u64) {
    (3, c.choked_at.max(c.unchoked_at).as_millis())
}

#[cfg(test)]
mod tests;
