//! The one source of everything random in a scenario: a seed, or bytes that a fuzzer chose.

use eddyline::base::rng::{Rng, Seed};

/// Random numbers from a seed, or from given bytes, which are zeros behind their end.
#[derive(Clone, Debug)]
pub enum Entropy {
    /// An endless stream that follows from a seed.
    Seeded(Box<Rng>),
    /// The bytes that are left.
    Given(Vec<u8>),
}

impl Entropy {
    /// Everything follows from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Box::new(Seed::from_u64(seed).stream("scenario")))
    }

    /// Everything follows from `bytes`; the first byte is used first.
    pub fn given(bytes: &[u8]) -> Self {
        Self::Given(bytes.iter().rev().copied().collect())
    }

    /// A number from 0 to `bound - 1`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        match self {
            Self::Seeded(rng) => rng.below(bound),
            Self::Given(bytes) => {
                let mut number = 0u32;
                let mut width = bound.saturating_sub(1);
                while width > 0 {
                    number = number << 8 | u32::from(bytes.pop().unwrap_or(0));
                    width >>= 8;
                }
                if bound == 0 { 0 } else { number % bound }
            }
        }
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True `part` times in `whole`.
    pub fn chance(&mut self, part: u32, whole: u32) -> bool {
        self.below(whole) < part
    }

    /// One of `items`.
    pub fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u32) as usize]
    }

    /// A seed for something that draws much.
    pub fn seed(&mut self) -> u64 {
        u64::from(self.below(u32::MAX)) << 32 | u64::from(self.below(u32::MAX))
    }
}
