//! Deliberate damage to a healthy engine, for the tests that show that each rule fires: one kind for each
//! rule that `audit` and the machines check, beside the check where it needs private fields.

use super::Engine;
use crate::base::ids::{ConnId, TorrentId};
use crate::base::time::Instant;
use crate::standby::Kept;

impl Engine {
    /// Breaks a rule of [`Self::check_invariants`]; `None` where this state has nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        let nobody = TorrentId::from_u64(1 << 32);
        let ctx = &mut self.ctx;
        match rule {
            "read credit is conserved" => ctx.budgets.credit.take(1),
            "the send budget is conserved" => ctx.budgets.sending.take(1),
            "the assembly budget is conserved" => ctx.budgets.assembling.take(1),
            "nothing is left to flush after a step" => {
                ctx.agenda.flush.insert(ConnId::from_u64(1 << 32));
            }
            "no torrent is left to settle after a step" => {
                ctx.agenda.touched.insert(nobody);
            }
            "nobody is left to rest or to wake after a step" => {
                ctx.agenda.woken.insert(nobody);
            }
            "no timer is due after a step" => ctx.now = Instant::from_nanos(u64::MAX),
            "outstanding requests stay within the depth" => {
                ctx.config.max_outstanding_requests = 1;
            }
            "the upload queue stays within reqq" => ctx.config.max_queued_requests = 0,
            "every torrent is found by its hash" => self.by_hash.clear(),
            "every torrent is found by what stands for it in encrypted handshakes" => {
                self.torrent_hashes.clear();
            }
            "what is on standby is not in memory" => {
                let hash = *self.by_hash.keys().next()?;
                self.standby.put(hash, Kept::default(), None);
            }
            "hosts of web seeds are counted in bounded memory" => self.ctx.net.web_hosts.overfill(),
            _ => return self.corrupt_machines(rule),
        }
        Some(())
    }

    fn corrupt_machines(&mut self, rule: &str) -> Option<()> {
        let ctx = &mut self.ctx;
        let damaged = ctx.net.conns.corrupt(rule).or_else(|| ctx.disk.corrupt(rule));
        let damaged = damaged.or_else(|| ctx.net.utp.corrupt(rule));
        let damaged = damaged.or_else(|| ctx.net.introductions.corrupt(rule));
        let damaged = damaged.or_else(|| ctx.limits.corrupt(rule, ctx.now));
        let damaged = damaged.or_else(|| ctx.net.standing.corrupt(rule));
        let damaged = damaged.or_else(|| ctx.net.holepunch.corrupt(rule));
        let damaged = damaged.or_else(|| self.standby.corrupt(rule));
        let damaged = damaged.or_else(|| self.lookups.corrupt(rule));
        let damaged = damaged.or_else(|| self.trackers.corrupt(rule));
        let damaged = damaged.or_else(|| self.dht.corrupt(rule));
        damaged.or_else(|| {
            let mut torrents = self.torrents.iter_mut();
            torrents.find_map(|(_, torrent)| torrent.corrupt(&mut self.ctx, rule))
        })
    }
}
