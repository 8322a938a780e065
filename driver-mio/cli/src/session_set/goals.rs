//! How long torrents of a running session are seeded.

use std::collections::BTreeMap;
use std::time::Instant;

use eddyline_session::session_store::Entry;

use super::super::goal::SeedGoal;

/// A torrent of the run.
struct Tracked {
    goal: SeedGoal,
    /// Since when it is complete in this run.
    complete: Option<Instant>,
    uploaded: u64,
    length: u64,
    reached: bool,
}

/// All torrents of a run that are not paused, by hash.
#[derive(Default)]
pub(super) struct Goals {
    usual: SeedGoal,
    torrents: BTreeMap<String, Tracked>,
    /// Whether earlier runs have seeded some torrents as much as was wanted.
    before: bool,
}

impl Goals {
    /// Goals of a run with these flags.
    pub fn new(usual: SeedGoal) -> Self {
        Self { usual, torrents: BTreeMap::new(), before: false }
    }

    /// A torrent takes part; earlier runs uploaded `uploaded` bytes of it.
    pub fn track(&mut self, entry: &Entry, uploaded: u64) {
        let goal = self.usual.of_entry(entry);
        let length = entry.length.unsigned_abs();
        let tracked = Tracked { goal, complete: None, uploaded, length, reached: false };
        self.torrents.insert(entry.hash.clone(), tracked);
    }

    /// Whether the seeding of a torrent ends some time.
    pub fn has_one(&self, entry: &Entry) -> bool {
        self.usual.of_entry(entry).is_set()
    }

    /// A torrent has been seeded as much as was wanted by an earlier run.
    pub fn reached_before(&mut self) {
        self.before = true;
    }

    /// A torrent is being fetched: what was there is not, or more is wanted.
    pub fn lacks(&mut self, hash: &str) {
        if let Some(tracked) = self.torrents.get_mut(hash).filter(|tracked| !tracked.reached) {
            tracked.complete = None;
        }
    }

    /// A torrent is complete.
    pub fn complete(&mut self, hash: &str, now: Instant) {
        if let Some(tracked) = self.torrents.get_mut(hash) {
            tracked.complete.get_or_insert(now);
        }
    }

    /// Whether it matters how much of it is uploaded.
    pub fn counts_upload(&self, hash: &str) -> bool {
        self.torrents.get(hash).is_some_and(|tracked| tracked.goal.ratio.is_some())
    }

    /// How much of it is uploaded, of how much.
    pub fn uploaded(&mut self, hash: &str, uploaded: u64, length: u64) {
        if let Some(tracked) = self.torrents.get_mut(hash) {
            (tracked.uploaded, tracked.length) = (uploaded, length);
        }
    }

    /// The torrents that have reached their goals now, but for those that are `busy` with something else.
    pub fn reached(&mut self, busy: impl Fn(&str) -> bool) -> Vec<String> {
        let mut reached = Vec::new();
        for (hash, tracked) in self.torrents.iter_mut().filter(|(_, tracked)| !tracked.reached) {
            let Some(since) = tracked.complete else { continue };
            let reached_goal = tracked.goal.is_reached(since, tracked.uploaded, tracked.length);
            if reached_goal && !busy(hash) {
                tracked.reached = true;
                reached.push(hash.clone());
            }
        }
        reached
    }

    /// Whether all torrents have reached their goals, in this run or before, and nothing is left to do. That
    /// is so of none at all, too, if the run was given a goal.
    pub fn all_reached(&self) -> bool {
        let something = !self.torrents.is_empty() || self.before || self.usual.is_set();
        something && self.torrents.values().all(|tracked| tracked.reached)
    }

    /// Whether something is not complete yet.
    pub fn is_unfinished(&self) -> bool {
        self.torrents.values().any(|tracked| tracked.complete.is_none())
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of goals of a session.

    use super::*;

    #[test]
    fn a_torrent_that_is_being_moved_has_something_to_do_whatever_its_goal() {
        let usual = SeedGoal { ratio: None, time: Some(std::time::Duration::ZERO) };
        let mut goals = Goals::new(usual);
        let tracked =
            Tracked { goal: usual, complete: None, uploaded: 0, length: 5, reached: false };
        goals.torrents.insert("a".into(), tracked);
        goals.complete("a", Instant::now());
        assert!(goals.reached(|_| true).is_empty() && !goals.all_reached());
        assert_eq!(goals.reached(|_| false), ["a"]);
        assert!(goals.all_reached());
    }
}
