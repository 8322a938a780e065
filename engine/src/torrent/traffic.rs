//! Payload of a torrent, and how fast it may be.

use serde::{Deserialize, Serialize};

use crate::api::RateLimits;
use crate::bandwidth::TokenBucket;
use crate::base::rate::RateMeter;
use crate::base::time::Instant;

/// What came and went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// Received since trackers heard `started`.
    pub(super) down: RateMeter,
    /// Sent since then.
    pub(super) up: RateMeter,
    /// Payload of earlier runs, received and sent.
    pub(super) earlier: (u64, u64),
    /// Bytes that came and were of no use.
    pub(super) wasted: u64,
    /// Limit on what comes.
    pub(crate) down_limit: TokenBucket,
    /// Limit on what goes.
    pub(crate) up_limit: TokenBucket,
}

impl Traffic {
    /// Nothing came or went.
    pub(super) fn new(limits: RateLimits, now: Instant) -> Self {
        Self {
            down: RateMeter::default(),
            up: RateMeter::default(),
            earlier: (0, 0),
            wasted: 0,
            down_limit: TokenBucket::for_bytes(limits.down, now),
            up_limit: TokenBucket::for_blocks(limits.up, now),
        }
    }

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
