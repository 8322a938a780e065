//! Streams of random numbers, one for each kind of choice, so that a new choice of one kind changes no other.

use serde::{Deserialize, Serialize};

use crate::base::rng::{Rng, Seed};

/// All randomness that parts of an engine share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Randomness {
    /// Where the streams come from.
    pub seed: Seed,
    /// For picking pieces.
    pub picks: Rng,
    /// For transactions with trackers.
    pub transactions: Rng,
    /// For choking.
    pub chokes: Rng,
    /// For the keys of encrypted connections.
    pub encryption: Rng,
    /// For everything else.
    pub misc: Rng,
}

impl Randomness {
    /// All streams of `seed`.
    pub fn new(seed: Seed) -> Self {
        Self {
            picks: seed.stream("picker"),
            transactions: seed.stream("transactions"),
            chokes: seed.stream("choker"),
            encryption: seed.stream("encryption"),
            misc: seed.stream("misc"),
            seed,
        }
    }
}
