//! How it stands with the trackers of a torrent, as a running session tells `session list`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eddyline::{Instant, TrackerState, TrackerView};
use serde::{Deserialize, Serialize};

use super::super::documents::ListedTracker;
use super::super::passkeys::without_passkey;
use super::super::units::count;

/// Trackers of a torrent that are told of.
const MOST: usize = 50;

/// How it stands with one tracker.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct TrackerStatus {
    url: String,
    tier: u32,
    /// As [`state_name`] calls it.
    state: String,
    failures: u32,
    error: Option<String>,
    /// Seconds since 1970.
    next_announce: Option<u64>,
    peers: u32,
    seeds: Option<u32>,
    leechers: Option<u32>,
    downloads: Option<u32>,
}

impl TrackerStatus {
    /// Those of a torrent, the engine's time being `now`.
    pub fn all(views: &[TrackerView], now: Instant) -> Vec<Self> {
        views.iter().take(MOST).map(|view| Self::of(view, now)).collect()
    }

    fn of(view: &TrackerView, now: Instant) -> Self {
        let next = view.next_announce.map(|at| SystemTime::now() + at.since(now));
        let next = next.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Self {
            url: view.url.clone(),
            tier: view.tier,
            state: state_name(view.state).to_owned(),
            failures: view.failures,
            error: view.message.clone(),
            next_announce: next.map(|at| at.as_secs()),
            peers: view.named,
            seeds: view.complete,
            leechers: view.incomplete,
            downloads: view.downloaded,
        }
    }

    /// The same for `--json`.
    pub fn listed(&self, verbose: u8) -> ListedTracker<'_> {
        ListedTracker {
            url: without_passkey(&self.url, verbose),
            tier: self.tier,
            state: &self.state,
            failures: self.failures,
            error: self.error.as_deref(),
            next_announce: self.next_announce,
            peers: self.peers,
            seeds: self.seeds,
            leechers: self.leechers,
            downloads: self.downloads,
        }
    }

    /// The same in a line.
    pub fn words(&self, verbose: u8) -> String {
        let mut told = vec![format!("{}: {}", without_passkey(&self.url, verbose), self.state)];
        told.extend(self.error.clone());
        if self.failures > 1 {
            told.push(format!("failed {} in a row", count(self.failures, "time")));
        }
        if self.peers > 0 {
            told.push(format!("named {}", count(self.peers, "peer")));
        }
        told.extend(self.seeds.map(|seeds| count(seeds, "seed")));
        told.extend(self.leechers.map(|leechers| count(leechers, "leecher")));
        told.extend(self.downloads.map(|downloads| count(downloads, "download")));
        told.extend(self.next_announce.map(|at| {
            let left = (UNIX_EPOCH + Duration::from_secs(at)).duration_since(SystemTime::now());
            match left.map(|left| left.as_secs()) {
                Ok(left @ 120..) => format!("next in {} min", left.div_ceil(60)),
                Ok(left) => format!("next in {left} s"),
                Err(_) => "next now".to_owned(),
            }
        }));
        told.join(", ")
    }
}

/// A state in a word or two.
fn state_name(state: TrackerState) -> &'static str {
    match state {
        TrackerState::Unasked => "not asked yet",
        TrackerState::Waiting => "in line",
        TrackerState::Asked => "asked",
        TrackerState::Working => "working",
        TrackerState::Failing => "failing",
        TrackerState::HostFails => "host fails",
        TrackerState::Refusing => "refusing",
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is told of trackers.

    use super::*;

    fn view(state: TrackerState) -> TrackerView {
        TrackerView {
            url: "http://t.example/0123456789abcdef0123456789abcdef/announce".into(),
            tier: 1,
            failures: 0,
            working: state == TrackerState::Working,
            state,
            next_announce: Some(Instant::from_millis(1_900_500)),
            message: None,
            complete: Some(5),
            incomplete: None,
            downloaded: Some(1),
            named: 7,
        }
    }

    #[test]
    fn a_tracker_is_told_of_in_a_line_without_its_passkey() {
        let now = Instant::from_millis(1_000_000);
        let all = TrackerStatus::all(&[view(TrackerState::Working)], now);
        let line = all[0].words(1);
        let (begin, end) = line.split_once(", next in ").unwrap();
        assert_eq!(
            begin,
            "http://t.example/…/announce: working, named 7 peers, 5 seeds, 1 download"
        );
        assert!(["15 min", "16 min"].contains(&end), "{end}");
        assert!(all[0].words(2).contains("0123456789abcdef"));
        assert!(!all[0].listed(0).url.contains("0123456789abcdef"));
        let failing = TrackerView {
            message: Some("timed out".into()),
            failures: 3,
            next_announce: Some(Instant::from_millis(1_030_000)),
            named: 0,
            complete: None,
            downloaded: None,
            ..view(TrackerState::Failing)
        };
        let all = TrackerStatus::all(&vec![failing; 500], now);
        assert_eq!(all.len(), MOST);
        let line = all[0].words(1);
        let expected = ": failing, timed out, failed 3 times in a row, next in ";
        assert!(line.contains(expected) && line.ends_with(" s"), "{line}");
        // What is told is read by another process.
        let bytes = serde_json::to_vec(&all).unwrap();
        assert_eq!(serde_json::from_slice::<Vec<TrackerStatus>>(&bytes).unwrap(), all);
    }
}
