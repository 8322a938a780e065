//! Torrents that wait for hosts of trackers which do not answer.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::hash::Sha1Hash;
use crate::base::time::Instant;

/// After how long a torrent that came to ask has done so, or another one is sent.
const ASKS: Duration = Duration::from_secs(90);

/// Who waits for one host.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    members: BTreeSet<Sha1Hash>,
    /// When it is looked at.
    next: Instant,
    /// Who was sent last.
    sent: Option<Sha1Hash>,
}

/// All lines, by host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Lines {
    lines: BTreeMap<String, Line>,
    /// When each is looked at.
    turns: BTreeSet<(Instant, String)>,
}

impl Lines {
    /// A torrent waits for a host, which is not asked before `at`.
    pub(super) fn join(&mut self, host: &str, hash: Sha1Hash, at: Instant) {
        if let Some(line) = self.lines.get_mut(host) {
            line.members.insert(hash);
            return;
        }
        let line = Line { members: [hash].into(), next: at, sent: None };
        self.lines.insert(host.to_string(), line);
        self.turns.insert((at, host.to_string()));
    }

    /// A torrent does not wait any more.
    pub(super) fn leave(&mut self, host: &str, hash: Sha1Hash) {
        let Some(line) = self.lines.get_mut(host) else { return };
        line.members.remove(&hash);
        if line.members.is_empty() {
            self.turns.remove(&(line.next, host.to_string()));
            self.lines.remove(host);
        }
    }

    /// Torrents whose turn it is: of the line for a host that answers again all, of that for one that may be asked
    /// one, in turn.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        is_back: impl Fn(&str) -> Result<bool, Instant>,
    ) -> Vec<Sha1Hash> {
        let mut called = Vec::new();
        while let Some((at, host)) = self.turns.pop_first() {
            if at > now {
                self.turns.insert((at, host));
                break;
            }
            let Some(line) = self.lines.get_mut(&host) else { continue };
            line.next = now + ASKS;
            match is_back(&host) {
                Err(until) => line.next = until,
                Ok(true) => called.extend(line.members.iter().copied()),
                Ok(false) => {
                    let behind = |sent: Sha1Hash| line.members.iter().find(|hash| **hash > sent);
                    line.sent = line.sent.and_then(behind).or(line.members.first()).copied();
                    called.extend(line.sent);
                }
            }
            self.turns.insert((line.next, host));
        }
        called
    }

    /// When [`Self::poll`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.turns.first().map(|(at, _)| *at)
    }

    /// What must hold between two steps, `named` being who waits for which host.
    ///
    /// # Errors
    /// The rule that does not.
    pub(super) fn check<'a>(
        &self,
        named: impl Iterator<Item = (&'a String, Sha1Hash)>,
    ) -> Result<(), &'static str> {
        let stand: BTreeSet<_> = self
            .lines
            .iter()
            .flat_map(|(host, line)| line.members.iter().map(move |hash| (host, *hash)))
            .collect();
        let turns = self.lines.iter().map(|(host, line)| (line.next, host.clone()));
        if stand == named.collect() && turns.collect::<BTreeSet<_>>() == self.turns {
            Ok(())
        } else {
            Err("whoever waits for a host stands in its line, and each line has its turn")
        }
    }

    /// Breaks the rule that [`Self::check`] knows.
    #[cfg(feature = "corruption")]
    pub(super) fn corrupt(&mut self, rule: &str) -> Option<()> {
        if rule != "whoever waits for a host stands in its line, and each line has its turn" {
            return None;
        }
        self.turns.insert((Instant::from_nanos(7), "nowhere".into()));
        Some(())
    }
}
