//! What is held against addresses, for the life of an engine and over all of its torrents.
//!
//! A stranger is known by its address (the whole /64 with IPv6): connections, ports and peer ids are
//! free, so blame that hung on one of them would be shaken off by connecting again. Three broken
//! rules, or one proof of bad data, ban an address from every torrent. Strikes fade and bans end,
//! since addresses change hands; who goes on is banned for longer each time.
//!
//! Many people may share an address. Those of them that have proven themselves keep their
//! connections, and may be called again where they listen; nobody else comes in from there.
//!
//! Memory is bounded. What is forgotten first is the oldest: of bans the one that began first, of
//! other records the one that nothing has happened to for longest.

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::base::prefix::Prefix;
use crate::base::time::Instant;
use crate::filter::Filter;
#[cfg(feature = "corruption")]
use crate::filter::FilterBuilder;

/// Broken rules after which an address is banned.
pub const STRIKES: u32 = 3;
/// Time after which one strike is forgotten.
const FADES: Duration = Duration::from_secs(6 * 3600);
/// How long the first ban for broken rules lasts; each further one lasts twice as long.
const FIRST_BAN: Duration = Duration::from_secs(3600);
/// How long a ban for bad data lasts, and any ban at the most.
const LONGEST_BAN: Duration = Duration::from_secs(24 * 3600);
/// Bans that are remembered.
pub const MAX_BANS: usize = 10_000;
/// Other records that are remembered.
pub const MAX_RECORDS: usize = 10_000;
/// Addresses with ports that are remembered with one ban: those convicted, and those spared.
const MAX_NAMED: usize = 8;
/// Networks (/64) of one /48 that are banned, after which all of it is: its owner has 65,536.
const MAX_OF_BLOCK: usize = 8;

/// What is known of an address that is not banned, or was once.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Record {
    /// Broken rules, as of `at`.
    strikes: u32,
    /// How often it was banned.
    bans: u32,
    /// It shares the blame for a bad piece and has not proven itself since.
    parole: bool,
    /// When anything of this was last noted.
    at: Instant,
}

/// One ban.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ban {
    since: Instant,
    until: Instant,
    /// Who was convicted, with ports, the last one last.
    convicted: SmallVec<[SocketAddr; 1]>,
    /// Who listens there and has proven itself.
    spared: SmallVec<[SocketAddr; 1]>,
}

impl Ban {
    /// It is because of `addr`.
    fn name(&mut self, addr: SocketAddr) {
        self.spared.retain(|spared| *spared != addr);
        if !self.convicted.contains(&addr) {
            push_bounded(&mut self.convicted, addr);
        }
    }
}

/// How somebody gets in touch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// It connects to us; its port says nothing of who it is.
    In,
    /// We connect to it, where it listens.
    Out,
}

/// What is held against addresses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    records: BTreeMap<Prefix, Record>,
    /// The same, oldest first.
    by_age: BTreeSet<(Instant, Prefix)>,
    bans: BTreeMap<Prefix, Ban>,
    /// The same, oldest first.
    bans_by_age: BTreeSet<(Instant, Prefix)>,
    /// Banned and not yet enforced.
    fresh: Vec<Prefix>,
    /// Addresses that the user blocks.
    filter: Arc<Filter>,
}

impl Standing {
    /// A peer at `addr` broke a rule. Returns whether its address is banned for it.
    pub fn strike(&mut self, addr: SocketAddr, now: Instant) -> bool {
        let prefix = Prefix::of(addr.ip());
        let mut record = self.record(prefix, now);
        record.strikes += 1;
        let banned = record.strikes >= STRIKES;
        if banned {
            let doubled = record.bans.min(LONGEST_BAN.as_secs().ilog2());
            let lasts = FIRST_BAN.saturating_mul(1 << doubled).min(LONGEST_BAN);
            // The first broken rule after the ban is the last.
            record.strikes = STRIKES - 1;
            record.bans = record.bans.saturating_add(1);
            self.ban(addr, lasts, now);
        }
        self.note(prefix, record, now);
        banned
    }

    /// It is proven that `addr` sent bad data: its address is banned at once. `listens` is where it
    /// can be called, if that is known and another port.
    pub fn convict(&mut self, addr: SocketAddr, listens: Option<SocketAddr>, now: Instant) {
        let prefix = Prefix::of(addr.ip());
        let mut record = self.record(prefix, now);
        record.strikes = record.strikes.max(STRIKES - 1);
        record.bans = record.bans.saturating_add(1);
        self.note(prefix, record, now);
        self.ban(addr, LONGEST_BAN, now);
        if let Some(listens) = listens.filter(|listens| Prefix::of(listens.ip()) == prefix)
            && let Some(ban) = self.bans.get_mut(&prefix)
        {
            ban.name(listens);
        }
    }

    /// A piece to which `ip` and others contributed is bad.
    pub fn suspect(&mut self, ip: IpAddr, now: Instant) {
        let prefix = Prefix::of(ip);
        let record = Record { parole: true, ..self.record(prefix, now) };
        self.note(prefix, record, now);
    }

    /// A piece to which `ip` contributed is good.
    pub fn clear(&mut self, ip: IpAddr, now: Instant) {
        let prefix = Prefix::of(ip);
        if self.records.get(&prefix).is_some_and(|record| record.parole) {
            let record = Record { parole: false, ..self.record(prefix, now) };
            self.note(prefix, record, now);
        }
    }

    /// Whether `ip` has to prove itself before it is trusted with pieces of others.
    pub fn is_on_parole(&self, ip: IpAddr) -> bool {
        self.records.get(&Prefix::of(ip)).is_some_and(|record| record.parole)
    }

    /// Blocks other addresses than before.
    pub fn set_filter(&mut self, filter: Arc<Filter>) {
        self.filter = filter;
    }

    /// Addresses that the user blocks.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether nobody at `addr` is talked to: it is blocked, or banned.
    pub fn refuses(&self, addr: SocketAddr, way: Way, now: Instant) -> bool {
        if self.filter.blocks(addr.ip()) {
            return true;
        }
        let prefix = Prefix::of(addr.ip());
        match self.bans.get(&prefix).filter(|ban| ban.until > now) {
            None => prefix.first().is_ipv6() && self.is_block_banned(prefix, now),
            Some(_) if way == Way::In => true,
            // On one machine each port is somebody else's, as far as we know.
            Some(ban) if prefix.is_loopback() => ban.convicted.contains(&addr),
            Some(ban) => !ban.spared.contains(&addr),
        }
    }

    /// Somebody who listens at `addr`, which is banned, has proven itself: it may be called again.
    pub fn spare(&mut self, addr: SocketAddr) {
        if let Some(ban) = self.bans.get_mut(&Prefix::of(addr.ip()))
            && !ban.convicted.contains(&addr)
        {
            push_bounded(&mut ban.spared, addr);
        }
    }

    /// Bans that are to be enforced on whoever is connected.
    pub fn take_fresh(&mut self) -> Vec<Prefix> {
        core::mem::take(&mut self.fresh)
    }

    /// Number of addresses that are banned, or were and are not forgotten yet.
    pub fn banned(&self) -> usize {
        self.bans.len()
    }

    /// What is known of an address, with strikes faded.
    fn record(&self, prefix: Prefix, now: Instant) -> Record {
        let mut record = self.records.get(&prefix).copied().unwrap_or_default();
        let faded = now.since(record.at).as_secs() / FADES.as_secs();
        record.strikes = record.strikes.saturating_sub(u32::try_from(faded).unwrap_or(u32::MAX));
        record
    }

    fn note(&mut self, prefix: Prefix, record: Record, now: Instant) {
        let record = Record { at: now, ..record };
        if let Some(old) = self.records.insert(prefix, record) {
            self.by_age.remove(&(old.at, prefix));
        }
        self.by_age.insert((now, prefix));
        if self.records.len() > MAX_RECORDS
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.records.remove(&oldest);
        }
    }

    fn ban(&mut self, addr: SocketAddr, lasts: Duration, now: Instant) {
        let prefix = Prefix::of(addr.ip());
        let fresh = Ban {
            since: now,
            until: now + lasts,
            convicted: SmallVec::new(),
            spared: SmallVec::new(),
        };
        let mut ban = match self.bans.remove(&prefix) {
            Some(old) => {
                self.bans_by_age.remove(&(old.since, prefix));
                let goes_on = old.until > now;
                let until = old.until.max(fresh.until);
                if goes_on { Ban { since: now, until, ..old } } else { fresh }
            }
            None => fresh,
        };
        ban.name(addr);
        self.bans_by_age.insert((now, prefix));
        self.bans.insert(prefix, ban);
        if self.bans.len() > MAX_BANS
            && let Some((_, oldest)) = self.bans_by_age.pop_first()
        {
            self.bans.remove(&oldest);
        }
        self.fresh.push(prefix);
    }

    /// Whether enough networks of a /48 are banned to treat all of it as one stranger.
    fn is_block_banned(&self, prefix: Prefix, now: Instant) -> bool {
        let block = prefix.wide();
        let banned = self.bans.range(block..).take_while(|(other, _)| other.wide() == block);
        banned.filter(|(_, ban)| ban.until > now).take(MAX_OF_BLOCK).count() >= MAX_OF_BLOCK
    }

    /// What must hold between two steps.
    ///
    /// # Errors
    /// The rule that does not.
    pub fn check(&self) -> Result<(), &'static str> {
        let records = self.records.iter().map(|(prefix, record)| (record.at, *prefix));
        let bans = self.bans.iter().map(|(prefix, ban)| (ban.since, *prefix));
        let bounded = self.records.len() <= MAX_RECORDS && self.bans.len() <= MAX_BANS;
        let listed = records.collect::<BTreeSet<_>>() == self.by_age
            && bans.collect::<BTreeSet<_>>() == self.bans_by_age;
        if self.fresh.is_empty() && bounded && listed {
            Ok(())
        } else {
            Err("bans are enforced at once, and what is held against addresses is bounded")
        }
    }
}

/// Appends to a short list; the first makes room.
fn push_bounded(list: &mut SmallVec<[SocketAddr; 1]>, addr: SocketAddr) {
    if list.len() >= MAX_NAMED {
        list.remove(0);
    }
    list.push(addr);
}

#[cfg(feature = "corruption")]
impl Standing {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "bans are enforced at once, and what is held against addresses is bounded" => {
                self.fresh.push(Prefix::of(IpAddr::from([1, 2, 3, 4])));
            }
            "nobody is connected or called at an address that is blocked" => {
                let mut everybody = FilterBuilder::default();
                everybody.block(IpAddr::from([0; 4]), IpAddr::from([255; 4]));
                everybody.block(IpAddr::from([0u8; 16]), IpAddr::from([255u8; 16]));
                self.filter = everybody.build().into();
            }
            _ => return None,
        }
        Some(())
    }
}
