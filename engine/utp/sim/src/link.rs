//! One direction of a path: rate, delay, a buffer that drops at its tail, and weather.

use crate::chance::Chance;

/// A nanosecond clock's unit.
pub const SECOND: u64 = 1_000_000_000;
/// What IP and UDP add to a datagram.
pub const OVERHEAD: u64 = 28;

/// How a link behaves.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Bytes a second; zero is without limit.
    pub rate: u64,
    /// Nanoseconds from end to end.
    pub delay: u64,
    /// Bytes that may wait.
    pub buffer: u64,
    /// Losses in a million.
    pub loss: u32,
    /// Packets in a million that come twice.
    pub twice: u32,
    /// Packets in a million that are late.
    pub late: u32,
    /// By how much at the most, in nanoseconds; and what all others vary by is a tenth of it, in order.
    pub lateness: u64,
    /// Larger packets vanish, IP header counted.
    pub mtu: u64,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            rate: 0,
            delay: 1_000_000,
            buffer: u64::MAX,
            loss: 0,
            twice: 0,
            late: 0,
            lateness: 0,
            mtu: 1_500,
        }
    }
}

/// A link, and when it is free.
#[derive(Clone, Debug)]
pub struct Link {
    /// How it behaves from now on.
    pub weather: Weather,
    free_at: u64,
    last_arrival: u64,
    /// The most bytes that ever waited.
    pub longest_queue: u64,
}

impl Link {
    /// An empty link.
    pub const fn new(weather: Weather) -> Self {
        Self { weather, free_at: 0, last_arrival: 0, longest_queue: 0 }
    }

    /// Bytes that wait.
    pub fn queue(&self, now: u64) -> u64 {
        let wait = u128::from(self.free_at.saturating_sub(now));
        (wait * u128::from(self.weather.rate) / u128::from(SECOND)) as u64
    }

    /// How long what comes now would wait, in nanoseconds.
    pub fn wait(&self, now: u64) -> u64 {
        self.free_at.saturating_sub(now)
    }

    /// Sends a packet of `bytes`, with the headers of IP and UDP. Returns when it arrives: once, twice, or never.
    pub fn carry(&mut self, now: u64, bytes: u64, chance: &mut Chance) -> [Option<u64>; 2] {
        let weather = &self.weather;
        if bytes > weather.mtu || chance.happens(weather.loss) {
            return [None; 2];
        }
        let mut left = now;
        if weather.rate > 0 {
            let queue = self.queue(now);
            if queue + bytes > weather.buffer.max(bytes) {
                return [None; 2];
            }
            self.longest_queue = self.longest_queue.max(queue + bytes);
            self.free_at =
                self.free_at.max(now) + (bytes * SECOND).checked_div(weather.rate).unwrap_or(0);
            left = self.free_at;
        }
        let mut at = left + weather.delay;
        if chance.happens(weather.late) {
            at += chance.below(weather.lateness.max(1));
        } else if weather.lateness > 0 {
            at = (at + chance.below(weather.lateness / 10 + 1)).max(self.last_arrival);
            self.last_arrival = at;
        }
        let again = chance.happens(weather.twice).then(|| at + chance.below(weather.delay.max(1)));
        [Some(at), again]
    }
}
