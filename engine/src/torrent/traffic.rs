//! Payload of a torrent, and how fast it may be.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::{RateLimits, Transport};
use crate::bandwidth::TokenBucket;
use crate::base::rate::RateMeter;
use crate::base::time::Instant;
use crate::context::{Context, Limits};

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

    /// The limits that hold for what comes over a transport.
    pub(super) fn down_limits<'a>(
        &'a mut self,
        ctx: &'a mut Context,
        transport: Transport,
    ) -> impl Iterator<Item = &'a mut TokenBucket> {
        let holds = ctx.limits_hold(transport);
        let Limits { down, tcp, utp, .. } = &mut ctx.limits;
        let lane = if transport == Transport::Utp { utp } else { tcp };
        let both = [down, &mut self.down_limit].into_iter().filter(move |_| holds);
        both.chain([&mut lane.down]).filter(|limit| limit.rate().is_some())
    }

    /// The limits that hold for what goes over a transport.
    pub(super) fn up_limits<'a>(
        &'a mut self,
        ctx: &'a mut Context,
        transport: Transport,
    ) -> impl Iterator<Item = &'a mut TokenBucket> {
        let holds = ctx.limits_hold(transport);
        let Limits { up, tcp, utp, .. } = &mut ctx.limits;
        let lane = if transport == Transport::Utp { utp } else { tcp };
        let both = [up, &mut self.up_limit].into_iter().filter(move |_| holds);
        both.chain([&mut lane.up]).filter(|limit| limit.rate().is_some())
    }

    /// How long who waits to be served over a transport is best left alone.
    pub(crate) fn until_upload_turn(
        &mut self,
        ctx: &mut Context,
        transport: Transport,
    ) -> Duration {
        let now = ctx.now;
        self.up_limits(ctx, transport).map(|limit| limit.until_turn(now)).max().unwrap_or_default()
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
