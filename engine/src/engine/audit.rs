//! Invariants of the whole engine, for tests and simulation.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use super::Engine;
use crate::base::ids::ConnId;
use crate::context::{DiskJob, Phase};

/// How thoroughly to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckDepth {
    /// What can be checked after every step.
    Fast,
    /// Everything, recounted from scratch: costs peers × pieces.
    Full,
}

/// A rule that does not hold: a bug of the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvariantViolation {
    /// What should have been so.
    pub rule: &'static str,
}

impl fmt::Display for InvariantViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant broken: {}", self.rule)
    }
}

impl core::error::Error for InvariantViolation {}

impl Engine {
    /// Checks the state between two steps.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check_invariants(&self, depth: CheckDepth) -> Result<(), InvariantViolation> {
        let check =
            |outcome: Result<(), &'static str>| outcome.map_err(|rule| InvariantViolation { rule });
        check(self.check_budgets())?;
        check(self.check_leftovers())?;
        check(self.check_filter())?;
        for (_, torrent) in self.torrents.iter() {
            check(torrent.check_fast(&self.ctx))?;
            if depth == CheckDepth::Full {
                check(torrent.check_full(&self.ctx))?;
            }
        }
        check(self.ctx.limits.check(self.ctx.config.tcp_limits))?;
        check(self.standby.check())?;
        check(self.ctx.net.standing.check())?;
        check(self.ctx.net.holepunch.check())?;
        check(self.trackers.check())?;
        check(self.lookups.check())?;
        check(self.dht.check())?;
        let net = &self.ctx.net;
        check(self.ctx.net.utp.check(|conn| net.conns.get(conn).is_some()))?;
        if depth == CheckDepth::Full {
            check(self.ctx.net.utp.check_machine())?;
        }
        let bounded = net.introductions.is_bounded() && net.dials.is_bounded();
        if !bounded || !net.exchanges.is_bounded() || !net.idlers.is_bounded() {
            check(Err("addresses that strangers name are counted in bounded memory"))?;
        }
        if !net.web_hosts.is_bounded() {
            check(Err("hosts of web seeds are counted in bounded memory"))?;
        }
        check(self.ctx.net.conns.check())
    }

    /// Checks that lists have their lengths, before more is asked of what was read from bytes.
    pub(super) fn check_shape(&self) -> Result<(), InvariantViolation> {
        for (_, torrent) in self.torrents.iter() {
            torrent.check_shape().map_err(|rule| InvariantViolation { rule })?;
        }
        Ok(())
    }

    /// Every budget is a conservation law: what was taken is held by somebody.
    fn check_budgets(&self) -> Result<(), &'static str> {
        let peers = || self.torrents.iter().flat_map(|(_, torrent)| torrent.peers().values());
        let mut granted: u64 = peers().map(|peer| u64::from(peer.granted)).sum();
        let web = || self.torrents.iter().map(|(_, torrent)| torrent.web());
        granted += web().map(|web| web.granted()).sum::<u64>();
        let mut fetching = web().flat_map(|web| web.conns());
        let is_fetch = |conn| {
            let conn = self.ctx.net.conns.get(conn);
            conn.is_some_and(|conn| matches!(conn.phase, Phase::Fetching))
        };
        if !fetching.all(is_fetch)
            || web().map(|web| web.conns().len()).sum::<usize>()
                != self.ctx.net.conns.fetching() as usize
        {
            return Err("every request to a web seed is a connection, and the other way round");
        }
        let mut sending: u64 = peers().map(|peer| peer.outbox.blocks()).sum();
        let assembling: u64 = peers().map(|peer| peer.assembling).sum();
        let mut connecting = 0u64;
        for (_, conn) in self.ctx.net.conns.iter() {
            if let Phase::Handshaking(early) = &conn.phase {
                granted += u64::from(early.granted);
            }
            let pending = !matches!(conn.phase, Phase::Active) && conn.key.is_some();
            connecting += u64::from(pending);
        }
        for job in self.ctx.disk.jobs() {
            if let DiskJob::Read { request, .. } = job {
                sending = sending.saturating_add(request.length.into());
            }
        }
        if granted != self.ctx.budgets.credit.used() {
            return Err("read credit is conserved");
        }
        if assembling != self.ctx.budgets.assembling.used() {
            return Err("the assembly budget is conserved");
        }
        if sending != self.ctx.budgets.sending.used() {
            return Err("the send budget is conserved");
        }
        self.check_residues()?;
        self.ctx.disk.check()?;
        let counted: u64 =
            self.torrents.iter().map(|(_, torrent)| u64::from(torrent.connecting())).sum();
        if counted != connecting {
            return Err("connections being made equal the recount");
        }
        Ok(())
    }

    /// What is deciphered here is what was granted before the driver knew the key.
    fn check_residues(&self) -> Result<(), &'static str> {
        for (id, conn) in self.ctx.net.conns.iter() {
            let Some(cipher) = &conn.residue else { continue };
            let peer =
                conn.torrent.and_then(|torrent| self.torrents.get(torrent)?.peers().get(&id));
            let granted = match &conn.phase {
                Phase::Connecting | Phase::Fetching => 0,
                Phase::Handshaking(early) => early.granted,
                Phase::Active => peer.map_or(0, |peer| peer.granted),
            };
            if cipher.is_plain() || cipher.key().length() > granted.into() {
                return Err("no more is deciphered by the engine than was granted");
            }
        }
        Ok(())
    }

    /// Nothing that a step should have dealt with is left.
    fn check_leftovers(&self) -> Result<(), &'static str> {
        if !self.ctx.agenda.flush.is_empty() || self.ctx.agenda.discovery.has_announces() {
            return Err("nothing is left to flush after a step");
        }
        if !self.ctx.agenda.touched.is_empty() {
            return Err("no torrent is left to settle after a step");
        }
        if self.ctx.timers.next_deadline().is_some_and(|(at, _)| at <= self.ctx.now) {
            return Err("no timer is due after a step");
        }
        let peers = self.torrents.iter().flat_map(|(_, torrent)| torrent.peers());
        let awaits_turn: BTreeSet<_> =
            peers.filter(|(_, peer)| peer.awaits_turn).map(|(conn, _)| *conn).collect();
        let alive = |conn: &ConnId| self.ctx.net.conns.get(*conn).is_some();
        let in_line: Vec<_> = self.turns.iter().filter(alive).collect();
        if in_line.len() != awaits_turn.len()
            || in_line.iter().any(|conn| !awaits_turn.contains(conn))
        {
            return Err("whoever has not been heard stands in line once");
        }
        if self.by_hash.len() != self.torrents.len() {
            return Err("every torrent is found by its hash");
        }
        if !self.ctx.agenda.idle.is_empty() || !self.ctx.agenda.woken.is_empty() {
            return Err("nobody is left to rest or to wake after a step");
        }
        if self.by_hash.keys().any(|hash| self.standby.contains(*hash)) {
            return Err("what is on standby is not in memory");
        }
        let known = self.by_hash.len() + self.standby.len() as usize;
        if self.torrent_hashes.len() != known
            || !self.by_hash.keys().all(|hash| self.torrent_hashes.finds(*hash))
        {
            return Err("every torrent is found by what stands for it in encrypted handshakes");
        }
        Ok(())
    }
}
