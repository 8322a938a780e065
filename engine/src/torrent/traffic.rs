//! Payload of a torrent.

use serde::{Deserialize, Serialize};

use crate::base::rate::RateMeter;

/// What came and went.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// Received since trackers heard `started`.
    pub(super) down: RateMeter,
    /// Sent since then.
    pub(super) up: RateMeter,
    /// Payload of earlier runs, received and sent.
    pub(super) earlier: (u64, u64),
    /// Bytes that came and were of no use.
    pub(super) wasted: u64,
}

impl Traffic {
    /// Payload received in all runs.
    pub(super) fn downloaded(&self) -> u64 {
        self.earlier.0 + self.down.total()
    }

    /// Payload sent in all runs.
    pub(super) fn uploaded(&self) -> u64 {
        self.earlier.1 + self.up.total()
    }

    /// What an earlier run says of itself. What trackers still count as this session's is part of it.
    pub(super) fn resume(&mut self, downloaded: u64, uploaded: u64) {
        let (received, sent) = (self.down.total(), self.up.total());
        self.earlier = (downloaded.saturating_sub(received), uploaded.saturating_sub(sent));
    }
}
