//! Requests to a peer: what is outstanding, and how much should be.
//!
//! The depth begins small, grows by one with every block that arrives (so it doubles each round
//! trip) while the rate still grows, and then follows rate × round trip with a second in reserve. Where a
//! limit of our own holds the peer back, less is in reserve: what is asked for comes all the same, and fills
//! the receive buffer at once.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::base::time::Instant;
use crate::picker::BlockRef;

/// Depth at the start.
const INITIAL_DEPTH: u32 = 8;
/// How long a peer could go on without another request, in milliseconds beyond the round trip.
const RESERVE_MILLIS: u64 = 1000;
/// The same where our own limit holds it back: as much as may come at once under a limit.
const HELD_RESERVE_MILLIS: u64 = 150;
/// The same where readers wait: what is asked for last should come soon.
const READERS_RESERVE_MILLIS: u64 = 250;
/// Smallest depth of a peer that delivers.
const MIN_DEPTH: u32 = 2;
/// Upper bound on a measured round trip: a clock that jumps, or hours without a block, must not make the depth
/// unbounded.
const MAX_LATENCY_MILLIS: u64 = 60_000;
/// Requests given up that are remembered, so that their late answers are recognised.
const MAX_GIVEN_UP: usize = 2048;
/// Milliseconds without a block, while some are outstanding, after which a peer counts as snubbing us.
pub const SNUB_MILLIS: u64 = 20_000;

/// Rejects in a row after which a peer is not asked for a while, and how long; each further one doubles that.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Doublings of that wait: 25.6 seconds at the most.
const MAX_DOUBLINGS: u32 = 8;
/// Pieces that a peer declined which are remembered.
const MAX_DECLINED: usize = 16;

/// A request that is out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outstanding {
    /// What was asked for.
    pub at: BlockRef,
    /// When.
    pub sent: Instant,
}

/// Requests to one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Requests {
    outstanding: VecDeque<Outstanding>,
    /// Cancelled, timed out or choked away: may still be answered, and must not count as unasked.
    given_up: VecDeque<BlockRef>,
    depth: u32,
    slow_start: bool,
    /// Rate when slow start last looked.
    last_rate: u64,
    last_look: Instant,
    /// Shortest time from request to block seen lately, in milliseconds.
    latency: u64,
    /// The shortest since the depth was looked at.
    shortest: u64,
    /// Milliseconds that the depth has in reserve.
    reserve: u64,
    /// Since when it has been held back by a limit of ours.
    held: bool,
    /// Somebody reads what it brings.
    hurried: bool,
    last_block: Instant,
    snubbed: bool,
    /// It rejected something and is left alone until then.
    paused_until: Instant,
    /// How many times it rejected since its last block what it was asked for after the reject before.
    rejects: u32,
    /// When it last did.
    rejected_at: Instant,
    /// Pieces that it rejected and is not asked for until then. Afterwards they go first: what was
    /// rejected once may be served now, and another piece may be rejected as well.
    declined: SmallVec<[(u32, Instant); 2]>,
    /// The piece asked for last.
    pub current: Option<u32>,
}

impl Requests {
    /// Nothing outstanding at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            outstanding: VecDeque::new(),
            given_up: VecDeque::new(),
            depth: INITIAL_DEPTH,
            slow_start: true,
            last_rate: 0,
            last_look: now,
            latency: u64::MAX,
            shortest: u64::MAX,
            reserve: RESERVE_MILLIS,
            held: false,
            hurried: false,
            last_block: now,
            snubbed: false,
            paused_until: Instant::ZERO,
            rejects: 0,
            rejected_at: Instant::ZERO,
            declined: SmallVec::new(),
            current: None,
        }
    }

    /// Number of requests outstanding.
    pub fn len(&self) -> u32 {
        self.outstanding.len() as u32
    }

    /// True when none is outstanding.
    pub fn is_empty(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// All outstanding requests, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Outstanding> {
        self.outstanding.iter()
    }

    /// Whether the peer has not delivered for a while.
    pub const fn is_snubbed(&self) -> bool {
        self.snubbed
    }

    /// Leaves the peer alone for a second. Returns when that is over.
    pub fn pause(&mut self, now: Instant) -> Instant {
        self.current = None;
        self.paused_until = now + Duration::from_secs(1);
        self.paused_until
    }

    /// A request made at `sent` for a block of `piece` was rejected by a peer that serves others. What
    /// was rejected is not asked of it for a while; when it rejects what it is asked for instead, it is
    /// left alone, twice as long each time until it delivers. Returns when it may be asked again.
    pub fn back_off(&mut self, piece: u32, sent: Instant, now: Instant) -> Instant {
        self.current = None;
        // Rejects of requests made before the first reject count as one.
        if self.rejects == 0 || sent > self.rejected_at {
            self.rejects = self.rejects.saturating_add(1);
            self.rejected_at = now;
        }
        let wait = FIRST_WAIT * (1 << (self.rejects - 1).min(MAX_DOUBLINGS));
        let until = self.rejected_at + wait;
        if self.rejects > 1 {
            self.paused_until = until;
        }
        self.declined.retain(|(declined, _)| *declined != piece);
        if self.declined.len() == MAX_DECLINED {
            self.declined.remove(0);
        }
        self.declined.push((piece, until));
        until
    }

    /// Pieces that the peer is not asked for now.
    pub fn declined(&self, now: Instant) -> SmallVec<[u32; 2]> {
        let declined = self.declined.iter().filter(|(_, until)| *until > now);
        declined.map(|(piece, _)| *piece).collect()
    }

    /// When a peer that is left alone, or not asked for some pieces, may be asked again.
    pub fn resumes_at(&self, now: Instant) -> Option<Instant> {
        if self.is_paused(now) {
            return Some(self.paused_until);
        }
        self.declined.iter().map(|(_, until)| *until).filter(|until| *until > now).min()
    }

    /// A piece that it rejected before, and may be asked for again.
    pub fn take_retry(&mut self, now: Instant) -> Option<u32> {
        let due = self.declined.iter().position(|(_, until)| *until <= now)?;
        Some(self.declined.remove(due).0)
    }

    /// Ends a pause.
    pub fn go_on(&mut self) {
        self.paused_until = Instant::ZERO;
        self.declined.clear();
    }

    /// Whether the peer is left alone.
    pub fn is_paused(&self, now: Instant) -> bool {
        now < self.paused_until
    }

    /// How many requests should be outstanding, for a peer that queues `reqq`.
    pub fn depth(&self, reqq: u32, max: u32) -> u32 {
        if self.snubbed {
            return 1;
        }
        self.depth.clamp(1, max.min(reqq).max(1))
    }

    /// How many at the most where somebody reads what comes, for a peer that brings `rate` bytes a second in blocks of
    /// `block` bytes: what is asked for last should not wait behind much else.
    pub fn depth_for_readers(&self, rate: u64, block: u32) -> u32 {
        let latency = if self.latency == u64::MAX { 0 } else { self.latency };
        let horizon = latency + 2 * READERS_RESERVE_MILLIS;
        let blocks = rate.saturating_mul(horizon) / 1000 / u64::from(block.max(1));
        u32::try_from(blocks).unwrap_or(u32::MAX).max(MIN_DEPTH) + 1
    }

    /// How many requests are made at a time where `depth` should be outstanding: one message of many costs
    /// less than many of one. Under a limit of our own blocks come in portions, and are asked for in such.
    pub fn batch(&self, depth: u32) -> u32 {
        let portions = if self.reserve == HELD_RESERVE_MILLIS { 3 } else { 8 };
        (depth / portions).max(1)
    }

    /// Records a request made at `now`.
    pub fn sent(&mut self, at: BlockRef, now: Instant) {
        if self.outstanding.is_empty() && !self.snubbed {
            self.last_block = now;
        }
        self.outstanding.push_back(Outstanding { at, sent: now });
    }

    /// A block came. Returns whether it was outstanding, `None` when it was not even given up.
    pub fn block_received(&mut self, at: BlockRef, now: Instant) -> Option<bool> {
        self.last_block = now;
        self.snubbed = false;
        if core::mem::take(&mut self.rejects) > 1 {
            self.paused_until = now;
        }
        if let Some(place) = self.outstanding.iter().position(|request| request.at == at) {
            let request = self.outstanding.remove(place)?;
            let took = now.millis_since(request.sent).min(MAX_LATENCY_MILLIS);
            self.latency = self.latency.min(took);
            self.shortest = self.shortest.min(took);
            if self.slow_start {
                self.depth += 1;
            }
            return Some(true);
        }
        let place = self.given_up.iter().position(|given_up| *given_up == at)?;
        self.given_up.remove(place);
        Some(false)
    }

    /// A request was rejected. Returns when it was made, if it was outstanding; `None` when it was not
    /// even given up.
    pub fn rejected(&mut self, at: BlockRef) -> Option<Option<Instant>> {
        if let Some(place) = self.outstanding.iter().position(|request| request.at == at) {
            let request = self.outstanding.remove(place)?;
            return Some(Some(request.sent));
        }
        let place = self.given_up.iter().position(|given_up| *given_up == at)?;
        self.given_up.remove(place);
        Some(None)
    }

    /// Gives one request up. Returns whether it was outstanding.
    pub fn cancel(&mut self, at: BlockRef) -> bool {
        let Some(place) = self.outstanding.iter().position(|request| request.at == at) else {
            return false;
        };
        self.outstanding.remove(place);
        self.remember(at);
        true
    }

    /// Gives up all requests for blocks of a piece and returns them.
    pub fn cancel_piece(&mut self, piece: u32) -> Vec<BlockRef> {
        let gone = self.outstanding.iter().map(|request| request.at).filter(|at| at.piece == piece);
        let gone: Vec<BlockRef> = gone.collect();
        if !gone.is_empty() {
            self.outstanding.retain(|request| request.at.piece != piece);
            gone.iter().for_each(|at| self.remember(*at));
        }
        gone
    }

    /// Gives every request up and returns them.
    pub fn cancel_all(&mut self) -> Vec<BlockRef> {
        let all: Vec<_> = self.outstanding.drain(..).map(|request| request.at).collect();
        all.iter().for_each(|at| self.remember(*at));
        all
    }

    fn remember(&mut self, at: BlockRef) {
        if self.given_up.len() == MAX_GIVEN_UP {
            self.given_up.pop_front();
        }
        self.given_up.push_back(at);
    }

    /// Adapts the depth to the measured `rate`, in blocks of `block` bytes; to be called now and then.
    pub fn adapt(&mut self, rate: u64, block: u32, now: Instant) {
        let elapsed = now.millis_since(self.last_look);
        if elapsed < 500 {
            return;
        }
        self.last_look = now;
        let held = core::mem::take(&mut self.held);
        let reserve = match (held, self.hurried) {
            (true, _) => HELD_RESERVE_MILLIS,
            (false, true) => READERS_RESERVE_MILLIS,
            (false, false) => RESERVE_MILLIS,
        };
        if self.slow_start {
            // Slow start goes on while the rate grows by a tenth between two looks.
            if rate > 0 && rate < self.last_rate + self.last_rate / 10 {
                self.slow_start = false;
            }
            self.last_rate = rate;
        }
        if !self.slow_start {
            let before = core::mem::replace(&mut self.reserve, reserve);
            let horizon = if self.latency == u64::MAX { reserve } else { self.latency + reserve };
            let blocks = rate.saturating_mul(horizon) / 1000 / u64::from(block.max(1));
            self.depth = u32::try_from(blocks).unwrap_or(u32::MAX).max(MIN_DEPTH) + 1;
            // The route may have changed; the minimum may grow again, but not by what blocks waited in the
            // queue that the depth makes: that would make it deeper, and the wait longer.
            if self.shortest != u64::MAX {
                let grown = (self.latency + self.latency / 16 + 1).min(MAX_LATENCY_MILLIS);
                let one = u64::from(block) * 1000 / rate.max(1);
                let by_route = self.shortest.saturating_sub(before.max(reserve) + one);
                self.latency = grown.min(by_route).max(self.latency);
            }
        }
        self.shortest = u64::MAX;
    }

    /// Whether somebody reads what the peer brings.
    pub fn hurry(&mut self, hurried: bool) {
        self.hurried = hurried;
    }

    /// The peer is held back by a limit of ours: a deeper queue would bring nothing more.
    pub fn hold(&mut self) {
        self.held = true;
        self.slow_start = false;
    }

    /// Notices when the peer ceases to deliver. Returns true when it has just begun to snub us.
    pub fn check_snub(&mut self, now: Instant) -> bool {
        let silent = now.millis_since(self.last_block) >= SNUB_MILLIS;
        if self.outstanding.is_empty() || !silent {
            return false;
        }
        self.last_block = now;
        self.depth = MIN_DEPTH;
        self.slow_start = true;
        self.last_rate = 0;
        !core::mem::replace(&mut self.snubbed, true) || !self.outstanding.is_empty()
    }
}

#[cfg(feature = "corruption")]
impl Requests {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "whoever does not deliver is known as silent" => self.snubbed = true,
            _ => return None,
        }
        Some(())
    }
}
