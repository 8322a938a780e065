//! Addresses that were forgotten for want of room while they had to wait. Whoever names one of them again
//! does not make it come sooner.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::time::Instant;

/// How many are remembered: those that wait longest.
pub(super) const MAX_LEFT: usize = 200;
/// How long at most. Who was left because it had nothing to give may be of use sooner than its wait was.
const LONGEST: Duration = Duration::from_secs(60);

/// Until when each of them waits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Left {
    until: BTreeMap<SocketAddr, Instant>,
    by_time: BTreeSet<(Instant, SocketAddr)>,
}

impl Left {
    /// An address is forgotten that may be called again at `at`.
    pub(super) fn remember(&mut self, addr: SocketAddr, at: Instant, now: Instant) {
        self.forget_past(now);
        if at <= now {
            return;
        }
        let at = at.min(now + LONGEST);
        if let Some(before) = self.until.insert(addr, at) {
            self.by_time.remove(&(before, addr));
        }
        self.by_time.insert((at, addr));
        if self.until.len() > MAX_LEFT
            && let Some((_, addr)) = self.by_time.pop_first()
        {
            self.until.remove(&addr);
        }
    }

    /// An address that comes in again: until when it has still to wait, if it has to.
    pub(super) fn take(&mut self, addr: SocketAddr, now: Instant) -> Option<Instant> {
        self.forget_past(now);
        let at = self.until.remove(&addr)?;
        self.by_time.remove(&(at, addr));
        Some(at)
    }

    fn forget_past(&mut self, now: Instant) {
        while let Some((at, addr)) = self.by_time.first().copied().filter(|(at, _)| *at <= now) {
            self.by_time.remove(&(at, addr));
            self.until.remove(&addr);
        }
    }

    /// Whether its memory is bounded and both orders hold the same.
    pub(super) fn is_bounded(&self) -> bool {
        let same = |(addr, at): (&SocketAddr, &Instant)| self.by_time.contains(&(*at, *addr));
        self.until.len() <= MAX_LEFT
            && self.until.len() == self.by_time.len()
            && self.until.iter().all(same)
    }
}
