//! How much of a line TCP leaves to µTP, which gives way to whatever fills its queue, and that may be our own
//! connections over TCP: then peers that speak µTP alone would get next to nothing. So TCP is held to a rate in
//! proportion to its peers.
//!
//! Nobody tells how much a line carries, so each step is a trial: TCP is slowed down by an eighth, and it stays so
//! where µTP takes up what has become free. Where it does not, its peers have no more to give, or something else is
//! short: the rate is lifted and tried again later, ever more rarely. µTP that has its part lets TCP be faster by and
//! by, for the line may have become wider. The other way round nothing is needed: TCP takes what it can get.

use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::time::Instant;

/// How often it is looked at: round trips enough for µTP to take up an eighth of a line.
pub const ROUND: Duration = Duration::from_secs(2);
/// TCP is not held to less, in bytes a second.
const LEAST: u64 = 20_000;
/// Rounds in which the line may carry less than before until that is no accident.
const PATIENCE: u32 = 3;
/// How long it takes until the next trial after one that brought nothing; twice as long after each further one.
const REST: Duration = Duration::from_secs(30);
const MOST_DOUBLINGS: u32 = 5;

/// One direction of all connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From peers.
    Down,
    /// To peers.
    Up,
}

/// Peers that something is to come from, or to go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Crowd {
    /// Over TCP.
    pub tcp: u64,
    /// Over µTP.
    pub utp: u64,
    /// Those over µTP whose packets wait at the bottleneck.
    pub queued: u64,
    /// What µTP is held to by a limit, in bytes a second.
    pub limit: Option<u64>,
}

impl Crowd {
    /// One more; of one over µTP it is said whether its packets wait.
    pub fn add(&mut self, utp: Option<bool>) {
        let Some(waits) = utp else { return self.tcp += 1 };
        self.utp += 1;
        self.queued += u64::from(waits);
    }
}

/// What TCP is held to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Hold {
    rate: u64,
    /// What the line carried at best, less and less.
    best: u64,
    /// Rounds in a row in which it carried clearly less.
    idle: u32,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Direction {
    /// Bytes since the last round.
    tcp: u64,
    utp: u64,
    hold: Option<Hold>,
    /// Trials in a row that brought nothing, and when there may be another.
    failed: u32,
    rested: Instant,
}

impl Direction {
    fn round(&mut self, now: Instant, millis: u64, crowd: Crowd) {
        let second = |bytes: u64| bytes.saturating_mul(1000) / millis.max(1);
        let (tcp, utp) = (second(self.tcp), second(self.utp));
        (self.tcp, self.utp) = (0, 0);
        if crowd.tcp == 0 || crowd.utp == 0 {
            self.hold = None;
            return;
        }
        let total = tcp.saturating_add(utp);
        let peers = u128::from(crowd.tcp + crowd.utp);
        let of_utp = (u128::from(total) * u128::from(crowd.utp) / peers) as u64;
        let of_utp = crowd.limit.map_or(of_utp, |limit| limit.min(of_utp));
        let slower = (tcp - tcp / 8).max(total - of_utp).max(LEAST);
        let starves = utp < of_utp - of_utp.min(total - of_utp) / 8;
        let Some(hold) = &mut self.hold else {
            let queue = crowd.queued * 2 >= crowd.utp;
            if starves && queue && now >= self.rested && tcp > LEAST {
                self.hold = Some(Hold { rate: slower, best: total, idle: 0 });
            }
            return;
        };
        hold.best = total.max(hold.best - hold.best / 32);
        hold.idle = if total < hold.best - hold.best / 8 { hold.idle + 1 } else { 0 };
        if hold.idle >= PATIENCE {
            self.hold = None;
            self.rested = now + REST * (1 << self.failed.min(MOST_DOUBLINGS));
            self.failed = self.failed.saturating_add(1);
        } else if starves && hold.idle == 0 {
            hold.rate = slower.min(hold.rate);
        } else if !starves {
            self.failed = 0;
            // TCP gets an eighth more in each round while µTP is above its part, and a 32nd otherwise.
            let part = if utp > of_utp + of_utp / 8 { 8 } else { 32 };
            hold.rate = hold.rate.max(tcp).saturating_add(hold.rate / part);
        }
    }
}

/// Both directions.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct MixedMode {
    down: Direction,
    up: Direction,
    since: Instant,
    /// A round is due some time.
    is_due: bool,
}

impl MixedMode {
    /// Bytes were carried. Returns when a round is due, if none was.
    pub fn carried(&mut self, now: Instant, way: Way, utp: bool, bytes: u64) -> Option<Instant> {
        if self.count(way, utp, bytes) || self.is_due {
            return None;
        }
        // Time is looked at here alone: mostly there is one of the two.
        if now.since(self.since) >= ROUND {
            self.begin(now);
            self.count(way, utp, bytes);
            return None;
        }
        self.is_due = true;
        Some(self.since + ROUND)
    }

    /// Returns whether only one of the two has carried anything.
    fn count(&mut self, way: Way, utp: bool, bytes: u64) -> bool {
        let direction = self.direction(way);
        let count = if utp { &mut direction.utp } else { &mut direction.tcp };
        *count = count.saturating_add(bytes);
        direction.tcp == 0 || direction.utp == 0
    }

    fn begin(&mut self, now: Instant) {
        self.since = now;
        for direction in [&mut self.down, &mut self.up] {
            (direction.tcp, direction.utp) = (0, 0);
        }
    }

    fn direction(&mut self, way: Way) -> &mut Direction {
        match way {
            Way::Down => &mut self.down,
            Way::Up => &mut self.up,
        }
    }

    /// A round is due. Returns when the next one is, if there is need of it.
    pub fn round(&mut self, now: Instant, down: Crowd, up: Crowd) -> Option<Instant> {
        let millis = now.since(self.since).as_millis() as u64;
        self.down.round(now, millis, down);
        self.up.round(now, millis, up);
        self.begin(now);
        let mixed = |crowd: Crowd| crowd.tcp > 0 && crowd.utp > 0;
        self.is_due = mixed(down) || mixed(up);
        self.is_due.then(|| now + ROUND)
    }

    /// What TCP is held to in bytes a second.
    pub fn limit(&self, way: Way) -> Option<u64> {
        let direction = if way == Way::Down { &self.down } else { &self.up };
        direction.hold.map(|hold| hold.rate)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// A line that carries a million bytes a second, of which TCP takes what it is let, and µTP what is left, as far as
    /// its peers have as much. Returns what both had in the last of these rounds.
    fn rounds(mixed: &mut MixedMode, count: u64, crowd: Crowd, most_of_utp: u64) -> (u64, u64) {
        let mut had = (0, 0);
        for _ in 0..count {
            let now = mixed.since + ROUND;
            let line = 1_000_000;
            let tcp = mixed.limit(Way::Up).map_or(line - 10_000, |held| held.min(line - 10_000));
            had = (tcp, (line - tcp).min(most_of_utp));
            mixed.carried(mixed.since, Way::Up, false, had.0 * 2);
            mixed.carried(mixed.since, Way::Up, true, had.1 * 2);
            mixed.round(now, Crowd::default(), crowd);
        }
        had
    }

    fn crowd(tcp: u64, utp: u64) -> Crowd {
        Crowd { tcp, utp, queued: utp, limit: None }
    }

    #[test]
    fn each_transport_has_the_part_that_its_peers_are() {
        for (tcp, utp) in [(1, 1), (3, 1), (1, 3), (20, 1), (1, 20)] {
            let mut mixed = MixedMode::default();
            let (had, _) = rounds(&mut mixed, 40, crowd(tcp, utp), u64::MAX);
            let fair = (1_000_000 * tcp / (tcp + utp)).max(LEAST);
            assert!(had.abs_diff(fair) <= fair / 6, "{tcp} {utp}: {had} of {fair}");
        }
    }

    #[test]
    fn what_utp_does_not_take_is_given_back_and_tried_ever_more_rarely() {
        let mut mixed = MixedMode::default();
        let mut held = Vec::new();
        for round in 0..600 {
            rounds(&mut mixed, 1, crowd(1, 1), 50_000);
            held.extend(mixed.limit(Way::Up).map(|_| round));
        }
        assert!(held.len() < 60, "{} of 600 rounds", held.len());
        let late = held.iter().filter(|round| **round >= 300).count();
        assert!(late * 3 < held.len(), "{late} of {}", held.len());
    }

    #[test]
    fn without_a_queue_or_without_one_of_both_nobody_is_held() {
        let calm = Crowd { queued: 0, ..crowd(1, 1) };
        for crowd in [calm, crowd(1, 0), crowd(0, 1)] {
            let mut mixed = MixedMode::default();
            rounds(&mut mixed, 10, crowd, u64::MAX);
            assert_eq!(mixed.limit(Way::Up), None);
        }
        let mut mixed = MixedMode::default();
        rounds(&mut mixed, 10, crowd(1, 1), u64::MAX);
        assert!(mixed.limit(Way::Up).is_some());
        rounds(&mut mixed, 1, crowd(1, 0), u64::MAX);
        assert_eq!(mixed.limit(Way::Up), None, "the last over µTP has gone");
    }

    #[test]
    fn a_limit_on_utp_is_no_hunger() {
        let mut mixed = MixedMode::default();
        let limited = Crowd { limit: Some(50_000), ..crowd(1, 1) };
        let (tcp, _) = rounds(&mut mixed, 20, limited, 50_000);
        assert!(tcp > 900_000, "{tcp}");
    }

    #[test]
    fn a_round_is_due_once_both_have_carried_something() {
        let mut mixed = MixedMode::default();
        let at = Instant::from_millis;
        assert_eq!(mixed.carried(at(10_000), Way::Down, false, 1), None);
        assert_eq!(mixed.carried(at(10_100), Way::Up, true, 1), None, "another direction");
        assert_eq!(
            mixed.carried(at(10_500), Way::Down, true, 1),
            None,
            "the other may be long ago"
        );
        assert_eq!(mixed.carried(at(10_600), Way::Down, false, 1), Some(at(12_500)));
        assert_eq!(mixed.carried(at(10_700), Way::Up, false, 1), None, "it is due already");
        assert_eq!(mixed.round(at(12_500), crowd(1, 1), crowd(0, 0)), Some(at(14_500)));
        assert_eq!(mixed.round(at(14_500), crowd(1, 0), crowd(0, 1)), None);
    }
}
