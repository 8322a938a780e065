//! Limits on all torrents together: how fast, who waits for that, and for whom the disk is too slow.

use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};

use crate::api::{Config, RateLimits, Transport};
use crate::bandwidth::TokenBucket;
use crate::base::ids::ConnId;
use crate::base::rate::RateMeter;
use crate::base::time::Instant;
use crate::base::timer_queue::Alarm;
use crate::base::waiting_line::WaitingLine;
use crate::mixed_mode::{MixedMode, Way};

/// What one transport may carry, of all torrents.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Lane {
    /// From peers.
    pub down: TokenBucket,
    /// To peers.
    pub up: TokenBucket,
}

impl Lane {
    fn new(limits: RateLimits, now: Instant) -> Self {
        Self {
            down: TokenBucket::for_bytes(limits.down, now),
            up: TokenBucket::for_blocks(limits.up, now),
        }
    }
}

/// The limits, and who waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Limit on all downloads.
    pub down: TokenBucket,
    /// Limit on all uploads.
    pub up: TokenBucket,
    /// Limits on what goes over TCP: those that are set, and what is left to µTP.
    pub tcp: Lane,
    /// Limits on what goes over µTP.
    pub utp: Lane,
    /// How much TCP leaves to µTP.
    pub mixed: MixedMode,
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
    /// No limit but those of the configuration, and nobody waits.
    pub fn new(config: &Config, now: Instant) -> Self {
        Self {
            down: TokenBucket::for_bytes(None, now),
            up: TokenBucket::for_blocks(None, now),
            tcp: Lane::new(config.tcp_limits, now),
            utp: Lane::new(config.utp_limits, now),
            mixed: MixedMode::default(),
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

    /// What a transport may carry.
    pub const fn lane(&mut self, transport: Transport) -> &mut Lane {
        match transport {
            Transport::Tcp => &mut self.tcp,
            Transport::Utp => &mut self.utp,
        }
    }

    /// What TCP is held to.
    pub const fn tcp_limits(&self) -> RateLimits {
        RateLimits { down: self.tcp.down.rate(), up: self.tcp.up.rate() }
    }

    /// What TCP is to be held to.
    fn of_tcp(&self, set: RateLimits) -> RateLimits {
        let least = |set: Option<u64>, left: Option<u64>| match (set, left) {
            (Some(set), Some(left)) => Some(set.min(left)),
            (set, left) => set.or(left),
        };
        let (down, up) = (self.mixed.limit(Way::Down), self.mixed.limit(Way::Up));
        RateLimits { down: least(set.down, down), up: least(set.up, up) }
    }

    /// Checks that limits on TCP are those that are set, and what it leaves to µTP.
    ///
    /// # Errors
    /// The rule that does not hold.
    pub fn check(&self, set: RateLimits) -> Result<(), &'static str> {
        if self.tcp_limits() != self.of_tcp(set) {
            return Err("TCP is held to what is set and to what it leaves to µTP");
        }
        Ok(())
    }

    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, rule: &str, now: Instant) -> Option<()> {
        match rule {
            "TCP is held to what is set and to what it leaves to µTP" => {
                self.tcp.up.set_rate(Some(1), now);
            }
            _ => return None,
        }
        Some(())
    }

    /// Holds TCP to what is set for it, and to what it leaves to µTP.
    pub fn leave_room(&mut self, set: RateLimits, now: Instant) {
        let RateLimits { down, up } = self.of_tcp(set);
        if self.tcp_limits() != (RateLimits { down, up }) {
            self.tcp.down.set_rate(down, now);
            self.tcp.up.set_rate(up, now);
            self.tokens_at = now;
        }
    }
}
