//! Congestion control: LEDBAT++ (RFC 6817 and draft-irtf-iccrg-ledbat-plus-plus), with five departures that the table
//! in `engine/utp/sim/fairness.txt` is the reason for.
//!
//! * A wider window has a lower target. With one target for all, two flows that both meet it have no reason to become
//!   equal, and a large one gives way to a small one only by chance. The slope is a sixteenth of the target for each
//!   doubling of the window, so the queue stays below the target, and a wide window holds a shorter one.
//! * The target is no more than a quarter of the delay at which the queue was seen to overflow. A buffer of 10 ms never
//!   shows a delay of 60, and a sender that waits for that competes with TCP by loss.
//! * After a slow-down the window is at once what the empty path carries, paced. Growing again by slow start would cost
//!   a tenth of the link; this costs two round trips in sixty or more.
//! * What is taken for a queue that overflowed and turns out to be noise is forgotten: delays that go up and down by
//!   half of it within a round trip, and nothing is lost. Radio and busy machines do that, and lose packets for other
//!   reasons.
//! * Losses without a queue take back little, and never more than what arrives anyway: they are the radio's.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// Fractions of a byte that the window is kept in.
const FRACTION: u64 = 256;
/// Packets at the beginning.
const INITIAL: u64 = 4;
/// The time between slow-downs: a multiple of what the last one took, and a least number of microseconds.
const SLOW_DOWN_EVERY: u64 = 30;
const SLOW_DOWN_LEAST: u64 = 10_000_000;
/// For how long it is remembered at which delay the queue overflowed.
const REMEMBERED: u64 = 300_000_000;
/// Rounds in a row without losses whose delays vary like noise until they are noise.
const NOISY: u32 = 4;
/// No target is lower than this: clocks of the system that receives are no better.
const LEAST_TARGET: u64 = 200;

/// What congestion control is told of an ack.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    /// Weight of what arrived.
    pub bytes: u64,
    /// How long the queue takes, in microseconds.
    pub queue: u64,
    /// The longest of the last samples.
    pub longest: u64,
    /// The round trip of the empty path.
    pub base: u64,
    /// The best rate of late, in bytes a second.
    pub rate: u64,
    /// The window was what held the sender back.
    pub limited: bool,
    /// A round trip is over.
    pub round: bool,
    /// What is under way.
    pub in_flight: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Phase {
    /// The window grows by a part of itself in each round trip, up to a limit if there is one.
    SlowStart { limit: u64 },
    /// The window follows the queue.
    Steady,
    /// Two packets until the path has been seen without our queue.
    SlowDown { since: Time, drained: Option<Time> },
}

/// How much may be under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Congestion {
    window: u64,
    packet: u64,
    phase: Phase,
    configured: u64,
    /// The delay at which the queue overflowed.
    overflow: Option<u64>,
    /// Until when that counts: the path may change.
    overflow_until: Time,
    base: u64,
    next_slow_down: Option<Time>,
    lost: u64,
    arrived: u64,
    longest: u64,
    shortest: u64,
    /// Rounds in a row in which delays said that what was taken for an overflow is none, and what they go up to then.
    noisy: u32,
    noise: u64,
    /// Rounds in which losses are those of before the window was reduced.
    spent: u32,
    pub slow_downs: u64,
    queue: u64,
    rate: u64,
}

impl Congestion {
    /// `target` in microseconds, `packet` in bytes.
    pub fn new(target: u64, packet: u64) -> Self {
        Self {
            window: INITIAL * packet * FRACTION,
            packet,
            phase: Phase::SlowStart { limit: u64::MAX },
            configured: target,
            overflow: None,
            overflow_until: Time::ZERO,
            base: 0,
            next_slow_down: None,
            lost: 0,
            arrived: 0,
            longest: 0,
            shortest: u64::MAX,
            noisy: 0,
            noise: 0,
            spent: 0,
            slow_downs: 0,
            queue: 0,
            rate: 0,
        }
    }

    /// Bytes that may be under way. One packet always may.
    pub fn window(&self) -> u64 {
        match self.phase {
            Phase::SlowDown { .. } => 2 * self.packet,
            _ => self.window / FRACTION,
        }
    }

    /// The size of a packet has changed.
    pub fn set_packet(&mut self, packet: u64) {
        self.packet = packet;
    }

    /// The pace in bytes a second: a little above what the window allows, so that the window decides.
    pub fn pace(&self, round_trip: u64) -> u64 {
        let (number, part) = match self.phase {
            Phase::SlowStart { .. } => (2, 1),
            _ => (17, 16),
        };
        (self.window().max(1) * number / part).saturating_mul(1_000_000) / round_trip.max(1)
    }

    /// The queueing delay that is aimed at, in microseconds.
    pub fn target(&self) -> u64 {
        let seen = self.overflow.map_or(u64::MAX, |delay| delay / 4);
        let target = self.configured.min(seen).max(LEAST_TARGET);
        // Sixteenths of doublings, by straight lines between powers of two.
        let sixteenths = (self.window / FRACTION * 16 / self.packet).max(16);
        let power = sixteenths.ilog2();
        let doublings = u64::from(power - 4) * 16 + ((sixteenths << 4) >> power) - 16;
        (target * (320 - doublings.min(256)) / 256).max(LEAST_TARGET)
    }

    pub fn is_slowing_down(&self) -> bool {
        matches!(self.phase, Phase::SlowDown { .. })
    }

    fn least(&self) -> u64 {
        self.packet * FRACTION / 4
    }

    /// What the empty path carries.
    fn path(&self) -> u64 {
        let bytes = u128::from(self.rate) * u128::from(self.base) / 1_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX / FRACTION) * FRACTION
    }

    /// Something has arrived.
    pub fn acked(&mut self, now: Time, ack: &Acked) {
        (self.base, self.queue, self.rate) = (ack.base.max(1), ack.queue, ack.rate);
        self.arrived += ack.bytes;
        self.longest = self.longest.max(ack.longest);
        self.shortest = self.shortest.min(ack.queue);
        match self.phase {
            Phase::SlowStart { limit } => self.slow_start(now, ack, limit),
            Phase::Steady => self.follow(now, ack),
            Phase::SlowDown { since, drained } => self.slow_down(now, ack, since, drained),
        }
        if ack.round {
            self.end_round(now);
        }
        self.window = self.window.max(self.least());
    }

    fn slow_start(&mut self, now: Time, ack: &Acked, limit: u64) {
        let threshold = (self.target() * 3 / 4).min(self.base / 8 + 2_000);
        if ack.queue > threshold || self.window >= limit {
            self.steady(now, 2 * (self.base + ack.queue));
            let enough = self.path() + self.path() / 8;
            if ack.queue > threshold && enough > 0 {
                self.window = self.window.min(enough.max(2 * self.packet * FRACTION));
            }
        } else if ack.limited {
            let part = (2 * self.configured).div_ceil(self.base).clamp(1, 16);
            self.window += ack.bytes * FRACTION / part;
        }
    }

    fn steady(&mut self, now: Time, slow_down_in: u64) {
        self.phase = Phase::Steady;
        self.next_slow_down.get_or_insert(now + slow_down_in);
    }

    fn follow(&mut self, now: Time, ack: &Acked) {
        if self.next_slow_down.is_some_and(|at| at <= now) {
            self.phase = Phase::SlowDown { since: now, drained: None };
            self.slow_downs += 1;
            return;
        }
        let target = self.target();
        // How much of the difference is made up for in a round trip: a half, and less where the round trip is long
        // against the target, since what is done now is seen one round trip later.
        let slowness = 2 * (self.base + target) / target;
        let bytes = ack.bytes * FRACTION;
        if ack.queue > target {
            let over = (ack.queue - target).min(target * slowness / 2);
            let less = u128::from(bytes) * u128::from(over) / u128::from(target * slowness);
            self.window = self.window.saturating_sub(less as u64);
        } else if ack.limited {
            let under = u128::from(bytes) * u128::from(target - ack.queue);
            let more = (under / u128::from(target * slowness)) as u64;
            // A packet in a round trip, or a sixty-fourth; a sixteenth where there is hardly a queue at all.
            let part = if ack.queue < target / 8 { 16 } else { 64 };
            let most = (bytes / part).max(self.one_packet_of(bytes));
            self.window += more.min(most);
        }
    }

    /// The part of a packet that is these bytes' when a round trip brings one packet.
    fn one_packet_of(&self, bytes: u64) -> u64 {
        let packet = u128::from(self.packet * FRACTION);
        (u128::from(bytes) * packet / u128::from(self.window.max(1))) as u64
    }

    fn slow_down(&mut self, now: Time, ack: &Acked, since: Time, drained: Option<Time>) {
        match drained {
            None if ack.in_flight <= 2 * self.packet => {
                self.phase = Phase::SlowDown { since, drained: Some(now) };
            }
            // What was sent with nothing of ours before it has come back.
            Some(at) if now.since(at) >= self.base => {
                let took = now.since(since);
                self.next_slow_down = Some(now + (SLOW_DOWN_EVERY * took).max(SLOW_DOWN_LEAST));
                self.phase = Phase::Steady;
                self.window = self.window.min(self.path().max(2 * self.packet * FRACTION));
                if now >= self.overflow_until {
                    (self.overflow, self.noise) = (None, 0);
                }
            }
            _ => {}
        }
    }

    /// So many bytes were found lost.
    pub fn lost(&mut self, now: Time, bytes: u64) {
        self.lost += bytes;
        let many = (3 * self.packet).max(self.window / FRACTION / 16);
        if self.lost > many && self.spent == 0 {
            self.overflowed(now, true);
        }
    }

    fn end_round(&mut self, now: Time) {
        if self.spent > 0 {
            self.spent -= 1;
        } else if self.lost > 0 {
            let many = self.lost * 16 > self.arrived + self.lost && self.lost > 3 * self.packet;
            self.overflowed(now, many);
        }
        self.look_for_noise();
        (self.lost, self.arrived, self.longest, self.shortest) = (0, 0, 0, u64::MAX);
    }

    /// A queue that overflows at some delay does not reach most of that and nothing again within one round.
    fn look_for_noise(&mut self) {
        let Some(known) = self.overflow else { return };
        // Where the queue makes up most of the round trip, it may.
        let short = known <= self.base / 8;
        let up_and_down = short && self.longest >= known * 3 / 4 && self.shortest <= known / 4;
        self.noisy = if up_and_down && self.lost == 0 { self.noisy + 1 } else { 0 };
        if self.noisy >= NOISY {
            (self.overflow, self.noisy) = (None, 0);
            self.noise = self.longest.max(known);
        }
    }

    /// Losses, many or few, in the last round.
    fn overflowed(&mut self, now: Time, many: bool) {
        let full = match self.overflow {
            Some(known) => self.longest >= known * 3 / 4,
            None => self.longest >= (self.base / 32).max(2 * self.noise) && self.longest > 0,
        };
        if !many && !full {
            // Nothing of a queue: take back what was lost, but no more than to what arrives anyway.
            let less = self.window.saturating_sub(2 * self.lost * FRACTION);
            self.window = less.max(self.window.min(self.path()));
            return;
        }
        if full || many && self.longest > 0 && self.overflow.is_none() {
            let delay = self.longest.max(4 * LEAST_TARGET);
            (self.overflow, self.overflow_until) = (Some(delay), now + REMEMBERED);
        }
        self.spent = 2;
        let kept = self.path().clamp(self.window / 2, self.window * 7 / 8);
        self.window = kept.max(self.least());
        if let Phase::SlowStart { .. } = self.phase {
            self.steady(now, 2 * self.base);
        }
    }

    /// Nothing was heard for a whole timeout.
    pub fn timed_out(&mut self) {
        let limit = (self.window / 2).max(2 * self.packet * FRACTION);
        self.window = self.packet * FRACTION;
        self.phase = Phase::SlowStart { limit };
        (self.lost, self.arrived, self.spent) = (0, 0, 2);
    }

    pub fn violations(&self, out: &mut alloc::vec::Vec<&'static str>) {
        if self.window < self.least().min(self.packet * FRACTION / 8) || self.window == 0 {
            out.push("the congestion window is at least a quarter of a packet");
        }
        let target = self.target();
        if target < LEAST_TARGET || target > self.configured * 320 / 256 {
            out.push("the target is at least what clocks can tell, and no more than was set");
        }
    }

    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, what: crate::Corruption) {
        match what {
            crate::Corruption::Window => self.window = 0,
            crate::Corruption::Target => self.configured = 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of forty packets over an empty path of 50 ms whose delays vary by up to 3 ms; of some a packet is lost.
    #[test]
    fn delays_that_vary_are_not_taken_for_a_queue_for_long() {
        let mut congestion = Congestion::new(60_000, 1_000);
        let mut lowest = u64::MAX;
        for round in 0..400u64 {
            for packet in 0..40 {
                let recent = |back: u64| (round * 40 + packet + back) * 7_919 % 3_000;
                let delays = [recent(0), recent(1), recent(2), recent(3)];
                let ack = Acked {
                    bytes: 1_000,
                    queue: delays.into_iter().min().unwrap(),
                    longest: delays.into_iter().max().unwrap(),
                    base: 50_000,
                    rate: 800_000,
                    limited: true,
                    round: packet == 39,
                    in_flight: 40_000,
                };
                if packet == 20 && round % 10 == 9 {
                    congestion.lost(Time::from_millis(round * 50), 1_000);
                }
                congestion.acked(Time::from_millis(round * 50), &ack);
            }
            if round > 60 {
                lowest = lowest.min(congestion.target());
            }
        }
        assert!(lowest > 10_000, "the target is {lowest} us");
    }

    #[test]
    fn after_a_timeout_the_window_begins_again_with_a_packet() {
        let mut congestion = Congestion::new(60_000, 1_000);
        let ack = Acked {
            bytes: 1_000,
            queue: 0,
            longest: 0,
            base: 50_000,
            rate: 1_000_000,
            limited: true,
            round: false,
            in_flight: 1_000,
        };
        (0..100).for_each(|_| congestion.acked(Time::from_millis(1), &ack));
        let before = congestion.window();
        assert!(before > 30_000, "{before}");
        congestion.timed_out();
        assert_eq!(congestion.window(), 1_000);
        // By slow start up to the half of what it was, and then no faster than elsewhere.
        (0..400).for_each(|_| congestion.acked(Time::from_millis(2), &ack));
        assert_eq!(congestion.phase, Phase::Steady);
        assert!(congestion.window() >= before / 2, "{}", congestion.window());
    }
}
