//! Hole punching (BEP 55) as a machine: how often we introduce others, whom we have asked to introduce us, and
//! how often somebody who is not asked may make us call a stranger.
//!
//! An introduction costs the one who asks for it 22 bytes, and makes two others send packets. So each of the three
//! has a pace: who asks, who is named, and whoever names us somebody.

#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::ids::{ConnId, TorrentId};
use crate::base::pace::{Pace, PaceLedger, Taken, owner};
use crate::base::time::Instant;

/// Introductions that one host may ask us for, and that one host is told of: twenty at once, then one in three
/// seconds.
pub const INTRODUCTIONS: Pace = Pace::new(20, 3_000);
/// Introductions that we make for all together.
const INTRODUCTIONS_OF_ALL: Pace = Pace::new(100, 200);
/// Calls to strangers that one host may make us begin by naming them without being asked.
pub const CALLS_FOR_OTHERS: Pace = Pace::new(8, 15_000);
/// The same of all together.
const CALLS_FOR_ALL: Pace = Pace::new(50, 1_000);
/// Introductions that we ask one peer for: fewer than it grants, if it is like us.
const QUESTIONS: Pace = Pace::new(10, 4_000);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Questions that wait for an answer.
const MAX_ASKED: usize = 100;
/// Hosts that are told apart in each of the ledgers.
const MAX_HOSTS: usize = 1000;

/// Somebody who counts: a host; on this machine, where all have one address, a port of it.
type Party = (IpAddr, u16);

fn party(addr: SocketAddr) -> Party {
    let here = addr.ip().to_canonical().is_loopback();
    (owner(addr.ip()), if here { addr.port() } else { 0 })
}

/// A question that was not answered yet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Asked {
    relay: ConnId,
    until: Instant,
}

/// What we do for others, and others for us.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Holepunch {
    /// Who asked us.
    askers: PaceLedger<Party>,
    /// Who was told of somebody by us.
    targets: PaceLedger<Party>,
    introductions: Taken,
    /// Who named somebody to us whom we had not asked for.
    namers: PaceLedger<Party>,
    calls: Taken,
    /// Whom we have asked.
    relays: PaceLedger<Party>,
    /// Introductions that we have asked for.
    asked: BTreeMap<(TorrentId, SocketAddr), Asked>,
}

impl Default for Holepunch {
    fn default() -> Self {
        Self {
            askers: PaceLedger::new(MAX_HOSTS),
            targets: PaceLedger::new(MAX_HOSTS),
            introductions: Taken::default(),
            namers: PaceLedger::new(MAX_HOSTS),
            calls: Taken::default(),
            relays: PaceLedger::new(MAX_HOSTS),
            asked: BTreeMap::new(),
        }
    }
}

impl Holepunch {
    /// A peer asks to be introduced to another one. Returns whether it is.
    pub fn introduces(&mut self, asker: SocketAddr, target: SocketAddr, now: Instant) -> bool {
        let (asker, target) = (party(asker), party(target));
        let free = self.introductions.wait(INTRODUCTIONS_OF_ALL, now).is_zero()
            && self.targets.wait(&target, INTRODUCTIONS, now).is_zero();
        let may = self.askers.take(asker, INTRODUCTIONS, now) && free;
        if may {
            self.targets.take(target, INTRODUCTIONS, now);
            self.introductions.charge(INTRODUCTIONS_OF_ALL, now);
        }
        may
    }

    /// Nobody answers at `target`, which `relay` may be connected to. Returns whether it is to be asked now.
    pub fn asks(
        &mut self,
        torrent: TorrentId,
        target: SocketAddr,
        relay: (ConnId, SocketAddr),
        now: Instant,
    ) -> bool {
        self.asked.retain(|_, asked| asked.until > now);
        let full = self.asked.len() >= MAX_ASKED || self.asked.contains_key(&(torrent, target));
        if full || !self.relays.take(party(relay.1), QUESTIONS, now) {
            return false;
        }
        let asked = Asked { relay: relay.0, until: now + PATIENCE };
        self.asked.insert((torrent, target), asked);
        true
    }

    /// A peer that was asked does not introduce us. Returns whether it had been asked.
    pub fn refused(&mut self, torrent: TorrentId, target: SocketAddr, relay: ConnId) -> bool {
        let asked = self.asked.get(&(torrent, target)).is_some_and(|asked| asked.relay == relay);
        asked && self.asked.remove(&(torrent, target)).is_some()
    }

    /// A peer says that somebody at `addr` is about to call us. Returns whether we call there. The port may be another
    /// one than we asked for: a router has chosen it.
    pub fn calls(
        &mut self,
        torrent: TorrentId,
        addr: SocketAddr,
        relay: (ConnId, SocketAddr),
        now: Instant,
    ) -> bool {
        let host = (torrent, SocketAddr::new(addr.ip(), 0))
            ..=(torrent, SocketAddr::new(addr.ip(), u16::MAX));
        let mut asked = self.asked.range(host).filter(|(_, asked)| asked.relay == relay.0);
        if let Some(key) = asked.next().map(|(key, _)| *key) {
            self.asked.remove(&key);
            return true;
        }
        let may = self.calls.wait(CALLS_FOR_ALL, now).is_zero()
            && self.namers.take(party(relay.1), CALLS_FOR_OTHERS, now);
        if may {
            self.calls.charge(CALLS_FOR_ALL, now);
        }
        may
    }

    /// Checks that its memory is bounded.
    ///
    /// # Errors
    /// The rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let ledgers = [&self.askers, &self.targets, &self.namers, &self.relays];
        if ledgers.iter().all(|ledger| ledger.is_bounded()) && self.asked.len() <= MAX_ASKED {
            Ok(())
        } else {
            Err("introductions are counted and bounded, whoever asks for them")
        }
    }

    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "introductions are counted and bounded, whoever asks for them" => {
                let nobody = Asked { relay: ConnId::from_u64(7), until: Instant::ZERO };
                let port = |port: u16| SocketAddr::new([1, 2, 3, 4].into(), port);
                let torrent = TorrentId::from_u64(1);
                let many = (0..=MAX_ASKED as u16).map(|n| ((torrent, port(n)), nobody));
                self.asked.extend(many);
            }
            _ => return None,
        }
        Some(())
    }
}
