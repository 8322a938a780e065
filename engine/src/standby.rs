//! Torrents that are not in memory: whoever embeds the engine can load them at any time, and need
//! not before somebody asks for them or an announce is due. One costs some hundred bytes.
//!
//! A torrent on standby becomes *wanted*: it is asked for, and comes back with `Command::Add`, or
//! does not, and is asked for again later. Those that come only because an announce is due are
//! *announce-only* until they rest again, and there are never many of them at a time.
//!
//! Where none of the hosts answers that an announce would go to, torrents stand in line for them: one comes back to
//! ask whether a host answers again, and the others when it does.

mod lines;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::hash::Sha1Hash;
use crate::base::ids::TorrentId;
use crate::base::time::Instant;
use lines::Lines;

/// Torrents in memory, or asked for, only because they are due.
const MAX_ANNOUNCE_ONLY: usize = 128;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// When a torrent that did not come is asked for again.
const RETRY: Duration = Duration::from_secs(600);
/// Peers kept for a torrent that is wanted.
const MAX_PEERS: usize = 8;

/// What a torrent goes on with when it comes back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    /// When its trackers are to hear of it; `None` for never.
    pub announce: Option<Instant>,
    /// Which of the first 32 trackers know of it, as bits.
    pub told: u32,
    /// How often each of its trackers has failed in a row, at the least.
    pub failures: u32,
    /// The hosts that have to answer before an announce makes sense; none where that is not known of all.
    pub hosts: Vec<String>,
    /// When it has its turn in the DHT.
    pub dht: Option<Instant>,
    /// Payload received since trackers heard `started`.
    pub received: u64,
    /// Payload sent since then.
    pub sent: u64,
}

impl Kept {
    /// When it has to come back if nobody wants it before.
    pub fn due(&self) -> Option<Instant> {
        // Who waits for a host stands in line for it.
        match (self.announce.filter(|_| self.hosts.is_empty()), self.dht) {
            (Some(announce), Some(dht)) => Some(announce.min(dht)),
            (one, other) => one.or(other),
        }
    }
}

/// A torrent that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Called {
    /// When the answer is not waited for any more.
    until: Instant,
    /// It was due; nobody else asked for it.
    announce_only: bool,
    /// Who is known to have it or to want it.
    peers: Vec<SocketAddr>,
}

/// A torrent as it comes back.
#[derive(Debug)]
pub struct Returned {
    /// What it goes on with.
    pub kept: Kept,
    /// It comes because it was due.
    pub announce_only: bool,
    /// Peers for it.
    pub peers: Vec<SocketAddr>,
}

/// Everything on standby.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Standby {
    /// What each goes on with, and when it has to come back at the latest.
    known: BTreeMap<Sha1Hash, (Kept, Option<Instant>)>,
    /// Those times, of all that are not wanted.
    due: BTreeSet<(Instant, Sha1Hash)>,
    wanted: BTreeMap<Sha1Hash, Called>,
    /// Those that wait for hosts.
    lines: Lines,
    announce_only: BTreeSet<TorrentId>,
}

impl Standby {
    /// Number of torrents.
    pub fn len(&self) -> u32 {
        self.known.len() as u32
    }

    /// Whether a torrent is on standby.
    pub fn contains(&self, hash: Sha1Hash) -> bool {
        self.known.contains_key(&hash)
    }

    /// All of them.
    pub fn hashes(&self) -> impl Iterator<Item = Sha1Hash> + '_ {
        self.known.keys().copied()
    }

    /// Puts a torrent on standby, to come back at `due` at the latest.
    pub fn put(&mut self, hash: Sha1Hash, kept: Kept, due: Option<Instant>) {
        self.remove(hash);
        if let Some(at) = kept.announce {
            kept.hosts.iter().for_each(|host| self.lines.join(host, hash, at));
        }
        self.known.insert(hash, (kept, due));
        self.due.extend(due.map(|at| (at, hash)));
    }

    /// Takes a torrent off the list: it is here, or gone for good.
    pub fn remove(&mut self, hash: Sha1Hash) -> Option<Returned> {
        let (kept, due) = self.known.remove(&hash)?;
        let wanted = self.wanted.remove(&hash);
        if let (None, Some(at)) = (&wanted, due) {
            self.due.remove(&(at, hash));
        }
        kept.hosts.iter().for_each(|host| self.lines.leave(host, hash));
        let announce_only = wanted.as_ref().is_some_and(|wanted| wanted.announce_only);
        let peers = wanted.map(|wanted| wanted.peers).unwrap_or_default();
        Some(Returned { kept, announce_only, peers })
    }

    /// Somebody wants a torrent; `peer` may have it or want it. Returns whether it is to be asked
    /// for now.
    pub fn want(&mut self, hash: Sha1Hash, peer: Option<SocketAddr>, now: Instant) -> bool {
        let Some((_, due)) = self.known.get(&hash) else { return false };
        let new = !self.wanted.contains_key(&hash);
        if let (true, Some(at)) = (new, due) {
            self.due.remove(&(*at, hash));
        }
        let until = now + PATIENCE;
        let unasked = || Called { until, announce_only: false, peers: Vec::new() };
        let wanted = self.wanted.entry(hash).or_insert_with(unasked);
        wanted.announce_only = false;
        if let Some(peer) = peer.filter(|_| wanted.peers.len() < MAX_PEERS)
            && !wanted.peers.contains(&peer)
        {
            wanted.peers.push(peer);
        }
        new
    }

    /// Torrents that the embedder should load now because an announce is due: as many as may be loaded for that
    /// at the same time. `is_back` says of a host whether it has answered since it failed, or until when it is left
    /// alone.
    pub fn call(
        &mut self,
        now: Instant,
        is_back: impl Fn(&str) -> Result<bool, Instant>,
    ) -> Vec<Sha1Hash> {
        self.give_up(now);
        for hash in self.lines.poll(now, is_back) {
            self.come_due(hash, now);
        }
        let mut called = Vec::new();
        while let Some((at, hash)) = self.due.first().copied()
            && at <= now
            && self.has_room()
        {
            self.due.pop_first();
            let wanted = Called { until: now + PATIENCE, announce_only: true, peers: Vec::new() };
            self.wanted.insert(hash, wanted);
            called.push(hash);
        }
        called
    }

    /// A torrent that stood in line is due now.
    fn come_due(&mut self, hash: Sha1Hash, now: Instant) {
        if let Some((kept, due)) = self.known.get_mut(&hash)
            && !self.wanted.contains_key(&hash)
        {
            self.due.extend([(now, hash)]);
            if let Some(before) = due.replace(now).filter(|before| *before != now) {
                self.due.remove(&(before, hash));
            }
            kept.announce = Some(now);
            // It stands in line again when it has been here and no host has answered.
            for host in core::mem::take(&mut kept.hosts) {
                self.lines.leave(&host, hash);
            }
        }
    }

    /// Those that did not come are asked for again later.
    fn give_up(&mut self, now: Instant) {
        let late = self.wanted.iter().filter(|(_, wanted)| wanted.until <= now);
        let late: Vec<Sha1Hash> = late.map(|(hash, _)| *hash).collect();
        for hash in late {
            self.wanted.remove(&hash);
            if let Some((_, due @ Some(_))) = self.known.get_mut(&hash) {
                *due = Some(now + RETRY);
                self.due.insert((now + RETRY, hash));
            }
        }
    }

    fn has_room(&self) -> bool {
        let asked = self.wanted.values().filter(|wanted| wanted.announce_only).count();
        asked + self.announce_only.len() < MAX_ANNOUNCE_ONLY
    }

    /// A torrent has come because it was due.
    pub fn comes_to_announce(&mut self, id: TorrentId) {
        self.announce_only.insert(id);
    }

    /// Whether a torrent is here only because it was due.
    pub fn is_announce_only(&self, id: TorrentId) -> bool {
        self.announce_only.contains(&id)
    }

    /// A torrent is gone, or is here for another reason now.
    pub fn not_announce_only(&mut self, id: TorrentId) {
        self.announce_only.remove(&id);
    }

    /// When [`Self::call`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let due = self.due.first().filter(|_| self.has_room()).map(|(at, _)| *at);
        let late = self.wanted.values().map(|wanted| wanted.until).min();
        let line = self.lines.next_deadline().filter(|_| self.has_room());
        due.into_iter().chain(late).chain(line).min()
    }

    /// What must hold between two steps.
    ///
    /// # Errors
    /// The rule that does not.
    pub fn check(&self) -> Result<(), &'static str> {
        let turns = self.known.iter().filter(|(hash, _)| !self.wanted.contains_key(hash));
        let turns = turns.filter_map(|(hash, (_, due))| Some(((*due)?, *hash)));
        let wanted = self.wanted.keys().all(|hash| self.known.contains_key(hash));
        if !wanted || turns.collect::<BTreeSet<_>>() != self.due {
            return Err("what is on standby is either wanted or has its turn");
        }
        let named = self.known.iter().flat_map(|(hash, (kept, _))| {
            kept.hosts.iter().filter(|_| kept.announce.is_some()).map(|host| (host, *hash))
        });
        self.lines.check(named)
    }
}

#[cfg(feature = "corruption")]
impl Standby {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "what is on standby is either wanted or has its turn" => {
                self.due.insert((Instant::from_nanos(7), Sha1Hash([7; 20])));
            }
            _ => return self.lines.corrupt(rule),
        }
        Some(())
    }
}
