//! Round-trip time and the retransmission timeout (RFC 6298).

use serde::{Deserialize, Serialize};

/// What a timeout is before the first measurement.
const INITIAL_TIMEOUT: u64 = 1_000_000;
const MAX_TIMEOUT: u64 = 60_000_000;

/// Smoothed round-trip time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoundTrip {
    /// Eight times the smoothed time, so that nothing is lost to rounding. Zero before the first measurement.
    smoothed_eighths: u64,
    /// Four times the mean deviation.
    deviation_quarters: u64,
    /// The shortest ever seen; RACK's tolerance is a part of it.
    shortest: u64,
    latest: u64,
    min_timeout: u64,
}

impl RoundTrip {
    pub fn new(min_timeout: u64) -> Self {
        let shortest = u64::MAX;
        Self { smoothed_eighths: 0, deviation_quarters: 0, shortest, latest: 0, min_timeout }
    }

    /// A packet that was sent once was acknowledged after `micros`.
    pub fn measured(&mut self, micros: u64) {
        let micros = micros.clamp(1, MAX_TIMEOUT);
        self.latest = micros;
        self.shortest = self.shortest.min(micros);
        if self.smoothed_eighths == 0 {
            self.smoothed_eighths = micros * 8;
            self.deviation_quarters = micros * 2;
            return;
        }
        let deviation = micros.abs_diff(self.smoothed());
        self.deviation_quarters = self.deviation_quarters - self.deviation_quarters / 4 + deviation;
        self.smoothed_eighths = self.smoothed_eighths - self.smoothed_eighths / 8 + micros;
    }

    /// The smoothed time; before the first measurement, a guess.
    pub fn smoothed(&self) -> u64 {
        if self.smoothed_eighths == 0 { 100_000 } else { (self.smoothed_eighths / 8).max(1) }
    }

    pub fn is_measured(&self) -> bool {
        self.smoothed_eighths != 0
    }

    pub fn shortest(&self) -> u64 {
        if self.is_measured() { self.shortest } else { self.smoothed() }
    }

    pub fn latest(&self) -> u64 {
        self.latest
    }

    /// How long to wait for an ack, after `backoff` waits in vain.
    pub fn timeout(&self, backoff: u32) -> u64 {
        let base = if self.is_measured() {
            (self.smoothed() + self.deviation_quarters.max(1_000)).max(self.min_timeout)
        } else {
            INITIAL_TIMEOUT
        };
        (base << backoff.min(10)).min(MAX_TIMEOUT)
    }

    /// How long to wait for the ack of the last packets before one is sent to ask for it (RFC 8985, 7.2).
    pub fn probe_timeout(&self, alone: bool) -> u64 {
        // The other side may hold back the ack of a single packet; libutp does for 100 ms.
        let delayed = if alone { 100_000 } else { 0 };
        (2 * self.smoothed() + delayed).max(10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_rfc_6298() {
        let mut trip = RoundTrip::new(500_000);
        assert_eq!(trip.timeout(0), 1_000_000);
        trip.measured(400_000);
        // SRTT = R, RTTVAR = R / 2, RTO = SRTT + 4 * RTTVAR.
        assert_eq!((trip.smoothed(), trip.timeout(0)), (400_000, 1_200_000));
        assert_eq!(trip.timeout(1), 2_400_000);
        for _ in 0..100 {
            trip.measured(100_000);
        }
        assert!(trip.smoothed().abs_diff(100_000) < 100);
        assert_eq!(trip.timeout(0), 500_000, "the lower bound of the field");
        assert_eq!(trip.timeout(30), 60_000_000, "never more than a minute");
    }
}
