//! What a running session tells `session list`: a file beside the set, replaced every few seconds.
//! It is for looking at; nothing depends on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use eddyline::TorrentState;
use eddyline_disk::private;
use serde::{Deserialize, Serialize};

use super::trackers::TrackerStatus;
use super::web_seeds::WebSeedStatus;

/// How one torrent does.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct TorrentStatus {
    /// As [`state_name`] calls it.
    pub state: String,
    /// Wanted bytes that are here.
    pub done: u64,
    /// Wanted bytes.
    pub length: u64,
    pub uploaded: u64,
    pub down_rate: u64,
    pub up_rate: u64,
    pub peers: u32,
    pub seeds: u32,
    /// Why it stands still.
    pub error: Option<String>,
    /// Bytes that a move has brought to where it goes, and all of them.
    #[serde(default)]
    pub moved: Option<(u64, u64)>,
    #[serde(default)]
    pub trackers: Vec<TrackerStatus>,
    #[serde(default)]
    pub web_seeds: Vec<WebSeedStatus>,
}

/// How all torrents do that have something to tell, by hash.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Status {
    pub torrents: BTreeMap<String, TorrentStatus>,
    /// Whether peers can connect to it, in words, where something is known.
    #[serde(default)]
    pub reachability: Option<String>,
}

impl Status {
    fn path(state: &Path) -> PathBuf {
        state.join("session.status")
    }

    /// What was told last. What cannot be read counts as nothing.
    pub fn read(state: &Path) -> Self {
        let bytes = private::read(&Self::path(state), private::MAX_STATE).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// What was wrong with a torrent may be so no more: the next run sees.
    pub fn solved(state: &Path, hash: &str) {
        let mut status = Self::read(state);
        if status.torrents.get_mut(hash).is_some_and(|torrent| torrent.error.take().is_some()) {
            status.write(state);
        }
    }

    /// How far a move has come that no run makes; `None` when it has ended.
    pub fn tell_move(state: &Path, hash: &str, moved: Option<(u64, u64)>) {
        let mut status = Self::read(state);
        let before = status.torrents.get(hash).and_then(|torrent| torrent.moved);
        if before != moved {
            status.torrents.entry(hash.to_owned()).or_default().moved = moved;
            status.write(state);
        }
    }

    /// Tells it. That it cannot be told harms nobody.
    pub fn write(&self, state: &Path) {
        let draft = state.join("session.status.new");
        let written = serde_json::to_vec(self)
            .map_err(std::io::Error::other)
            .and_then(|bytes| private::write(&draft, &bytes))
            .and_then(|()| std::fs::rename(&draft, Self::path(state)));
        drop(written);
    }
}

/// A state in one word.
pub(super) fn state_name(state: TorrentState) -> &'static str {
    match state {
        TorrentState::Metadata => "metadata",
        TorrentState::Opening | TorrentState::Checking => "checking",
        TorrentState::Downloading => "downloading",
        TorrentState::Seeding => "seeding",
        TorrentState::Paused => "paused",
        TorrentState::Failed => "failed",
    }
}
