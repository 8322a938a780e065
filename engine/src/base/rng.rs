//! Seeded randomness, split by label.
//!
//! Every consumer draws from its own `ChaCha` stream derived from the engine's seed and a label, so
//! that a new draw in one module leaves the sequences of all others as they were.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// The only source of randomness of an engine. Keep it secret on a real network: transaction ids
/// and peer ids follow from it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// A seed for tests and simulations.
    pub fn from_u64(number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Self(bytes)
    }

    /// The independent stream that belongs to `label`.
    pub fn stream(&self, label: &str) -> Rng {
        self.stream_of(label, &[])
    }

    /// The independent stream that belongs to `label` and to the thing that `name` names.
    pub fn stream_of(&self, label: &str, name: &[u8]) -> Rng {
        // Two hashes make a whole key: nothing of the seed stands in it as it is, since the key is in every
        // snapshot, also in one that shall not lead back to the seed.
        let mut key = [0; 32];
        for (part, number) in key.chunks_mut(20).zip(0u8..) {
            let mut sha = sha1_smol::Sha1::new();
            sha.update(&[number]);
            sha.update(&self.0);
            sha.update(label.as_bytes());
            sha.update(name);
            part.copy_from_slice(&sha.digest().bytes()[..part.len()]);
        }
        Rng(ChaCha12Rng::from_seed(key))
    }
}

impl core::fmt::Debug for Seed {
    /// Shows nothing: a seed in a log would give away every id drawn from it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// One labelled stream of random numbers.
#[derive(Clone, Serialize, Deserialize)]
pub struct Rng(#[serde(with = "place")] ChaCha12Rng);

/// A stream as key, number and place in it. The crate has the same form, but brings the standard library with it.
mod place {
    use super::{ChaCha12Rng, Deserialize, Serialize};
    use rand_chacha::rand_core::SeedableRng as _;
    use serde::{Deserializer, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Place {
        seed: [u8; 32],
        stream: u64,
        word_pos: u128,
    }

    pub(super) fn serialize<S: Serializer>(
        rng: &ChaCha12Rng,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let (seed, stream) = (rng.get_seed(), rng.get_stream());
        Place { seed, stream, word_pos: rng.get_word_pos() }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ChaCha12Rng, D::Error> {
        let Place { seed, stream, word_pos } = Place::deserialize(deserializer)?;
        let mut rng = ChaCha12Rng::from_seed(seed);
        rng.set_stream(stream);
        rng.set_word_pos(word_pos);
        Ok(rng)
    }
}

impl Rng {
    /// A random 32-bit number.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A random 64-bit number.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A random number from 0 to `bound - 1`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// A random index into something of length `len`; 0 when it is empty.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(u32::try_from(len).unwrap_or(u32::MAX)) as usize
    }

    /// Fills `bytes` with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.index(i + 1);
            items.swap(i, j);
        }
    }
}

impl core::fmt::Debug for Rng {
    /// Shows the position in the stream, which is what two equal states must agree on.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Rng(at {})", self.0.get_word_pos())
    }
}
