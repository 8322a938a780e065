//! Limits on all torrents together: how fast, who waits for that, and for whom the disk is too slow.

use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};

use crate::bandwidth::TokenBucket;
use crate::base::ids::ConnId;
use crate::base::rate::RateMeter;
use crate::base::time::Instant;
use crate::base::timer_queue::Alarm;
use crate::base::waiting_line::WaitingLine;

/// The limits, and who waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Limit on all downloads.
    pub down: TokenBucket,
    /// Limit on all uploads.
    pub up: TokenBucket,
    /// All payload uploaded, for the number of slots.
    pub up_meter: RateMeter,
    /// The highest upload rate seen lately.
    pub up_capacity: u64,
    /// Peers that get no credit until the disk has caught up.
    pub awaiting_disk: BTreeSet<ConnId>,
    /// Peers that wait for download tokens, in order.
    pub starved_down: WaitingLine,
    /// Peers that wait for upload tokens or send budget, in order.
    pub starved_up: WaitingLine,
    /// Somebody in that line waits for send budget, which may come with any event.
    pub starved_of_room: bool,
    /// For when the bandwidth timer is set.
    pub bandwidth_alarm: Alarm,
    /// When those who wait for tokens may have a turn, if somebody new waits or a limit was changed.
    pub next_turn: Instant,
    /// When there is something for those who waited at the last turn.
    pub tokens_at: Instant,
}

impl Limits {
    /// No limit, and nobody waits.
    pub fn new(now: Instant) -> Self {
        Self {
            down: TokenBucket::for_bytes(None, now),
            up: TokenBucket::for_blocks(None, now),
            up_meter: RateMeter::default(),
            up_capacity: 0,
            awaiting_disk: BTreeSet::new(),
            starved_down: WaitingLine::default(),
            starved_up: WaitingLine::default(),
            starved_of_room: false,
            bandwidth_alarm: Alarm::default(),
            next_turn: Instant::ZERO,
            tokens_at: Instant::ZERO,
        }
    }
}
