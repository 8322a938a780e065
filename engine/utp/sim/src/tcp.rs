//! TCP as far as it matters to who shares a bottleneck with it: windows of Reno and of CUBIC (RFC 9438), losses found
//! by later packets that arrive, and nothing of content.

use std::collections::VecDeque;

use crate::link::SECOND;

/// Parts of a packet that windows are kept in.
const PARTS: u64 = 1024;
/// What a packet takes on the wire.
pub const PACKET: u64 = 1_500;

/// Which window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One packet more in a round trip, half after a loss.
    Reno,
    /// A cubic curve of time, seven tenths after a loss.
    Cubic,
}

/// A sender of TCP with no end of things to send.
#[derive(Clone, Debug)]
pub struct Tcp {
    kind: Kind,
    window: u64,
    threshold: u64,
    /// Packets under way, by the order in which they left.
    under_way: VecDeque<(u64, u64)>,
    next: u64,
    /// Losses before this are those of a window that was reduced already.
    recovered: u64,
    round_trip: u64,
    last_ack: u64,
    /// Of CUBIC: the window at the last loss, and when that was.
    best: u64,
    since: u64,
    /// Bytes that have arrived.
    pub delivered: u64,
}

fn cube_root(value: u128) -> u64 {
    let (mut low, mut high) = (0u64, 1 << 40);
    while low < high {
        let middle = u64::midpoint(low, high + 1);
        if u128::from(middle).pow(3) <= value { low = middle } else { high = middle - 1 }
    }
    low
}

impl Tcp {
    /// A sender that begins with ten packets.
    pub const fn new(kind: Kind, now: u64) -> Self {
        Self {
            kind,
            window: 10 * PARTS,
            threshold: u64::MAX,
            under_way: VecDeque::new(),
            next: 0,
            recovered: 0,
            round_trip: SECOND / 10,
            last_ack: now,
            best: 0,
            since: now,
            delivered: 0,
        }
    }

    /// The number of a packet that leaves now, if one may.
    pub fn send(&mut self, now: u64) -> Option<u64> {
        if self.under_way.len() as u64 * PARTS >= self.window {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.under_way.push_back((number, now));
        Some(number)
    }

    /// When it gives up waiting for acks.
    pub fn deadline(&self) -> u64 {
        self.last_ack + (SECOND).max(2 * self.round_trip)
    }

    /// Nothing was acknowledged for too long.
    pub fn time_out(&mut self, now: u64) {
        self.last_ack = now;
        self.threshold = (self.window / 2).max(2 * PARTS);
        (self.best, self.since) = (self.window, now);
        self.window = PARTS;
        self.recovered = self.next;
        self.under_way.clear();
    }

    /// A packet has arrived, and its ack is here.
    pub fn acked(&mut self, now: u64, number: u64) {
        self.last_ack = now;
        let Ok(at) = self.under_way.binary_search_by_key(&number, |(number, _)| *number) else {
            return;
        };
        let (_, sent) = self.under_way.remove(at).expect("just found");
        self.round_trip = self.round_trip - self.round_trip / 8 + (now - sent) / 8;
        self.grow(now);
        let mut lost = false;
        while let Some((old, _)) = self.under_way.front().copied()
            && old + 3 < number
        {
            self.under_way.pop_front();
            lost |= old >= self.recovered;
        }
        if lost {
            self.recovered = self.next;
            (self.best, self.since) = (self.window, now);
            let kept = if self.kind == Kind::Reno { self.window / 2 } else { self.window * 7 / 10 };
            self.window = kept.max(2 * PARTS);
            self.threshold = self.window;
        }
    }

    fn grow(&mut self, now: u64) {
        if self.window < self.threshold {
            self.window += PARTS;
            return;
        }
        let reno = PARTS * PARTS / self.window;
        self.window += match self.kind {
            Kind::Reno => reno,
            Kind::Cubic => self.cubic(now),
        };
    }

    fn cubic(&self, now: u64) -> u64 {
        let ms = i128::from((now - self.since + self.round_trip) / 1_000_000);
        // K³ = best × 0.3 / 0.4, in milliseconds.
        let turn = cube_root(u128::from(self.best) * 750_000_000 / u128::from(PARTS));
        let distance = ms - i128::from(turn);
        let curve = distance.pow(3) * 2 * i128::from(PARTS) / 5 / 1_000_000_000;
        let target = i128::from(self.best) + curve;
        // No slower than Reno would be with the same decrease.
        let rounds = u128::from(now - self.since) * 529 / u128::from(self.round_trip.max(1));
        let friendly =
            i128::from(self.best) * 7 / 10 + (rounds * u128::from(PARTS) / 1_000) as i128;
        let target = target.max(friendly).min(i128::from(self.window) * 3 / 2);
        let more = (target - i128::from(self.window)).max(0) as u64;
        more * PARTS / self.window
    }
}
