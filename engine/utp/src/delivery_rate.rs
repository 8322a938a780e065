//! How much arrives, in bytes a second: what an ack says of the time since its packet left.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// What is noted of a packet when it leaves.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Mark {
    delivered: u64,
    delivered_at: Time,
    first_sent: Time,
}

/// Bytes delivered so far, and the best rate of late.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeliveryRate {
    delivered: u64,
    delivered_at: Time,
    first_sent: Time,
    /// The best of this span of rounds and of the one before.
    best: [u64; 2],
}

impl DeliveryRate {
    pub fn new(now: Time) -> Self {
        Self { delivered: 0, delivered_at: now, first_sent: now, best: [0; 2] }
    }

    /// A packet leaves; `idle` when none is under way.
    pub fn sent(&mut self, now: Time, idle: bool) -> Mark {
        if idle {
            (self.first_sent, self.delivered_at) = (now, now);
        }
        Mark {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
        }
    }

    /// Bytes were acknowledged.
    pub fn delivered(&mut self, now: Time, bytes: u64) {
        self.delivered += bytes;
        self.delivered_at = now;
    }

    /// The newest packet of an ack was sent then, with that mark. The rate in its time.
    pub fn sample(&mut self, now: Time, sent_at: Time, mark: &Mark) -> u64 {
        self.first_sent = sent_at;
        // Acks may come in a heap after having been held somewhere: bytes do not arrive faster than they were sent.
        let span = now.since(mark.delivered_at).max(sent_at.since(mark.first_sent)).max(1);
        let rate = (self.delivered - mark.delivered).saturating_mul(1_000_000) / span;
        self.best[0] = self.best[0].max(rate);
        rate
    }

    /// A span of rounds is over.
    pub fn turn(&mut self) {
        self.best = [0, self.best[0]];
    }

    /// The best rate of late.
    pub fn best(&self) -> u64 {
        self.best[0].max(self.best[1])
    }
}
