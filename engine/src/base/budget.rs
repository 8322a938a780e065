//! A budget that many share: bytes, mostly, that are held for connections.

use serde::{Deserialize, Serialize};

/// How much of something is in use, and how much may be.
///
/// Whoever holds less than its share may always take more, whatever the others hold; beyond its share
/// everybody takes from what is common. So a stranger can exhaust what is common and its own share,
/// and never the share of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Budget {
    limit: u64,
    share: u64,
    used: u64,
}

impl Budget {
    /// A budget of `limit` in common, of which each holder has `share` for itself.
    pub const fn new(limit: u64, share: u64) -> Self {
        Self { limit, share, used: 0 }
    }

    /// Whether a holder of `own` may take more.
    pub const fn allows(&self, own: u64) -> bool {
        own < self.share || self.has_room()
    }

    /// Whether something is left of what is common.
    pub const fn has_room(&self) -> bool {
        self.used < self.limit
    }

    /// What is left of what is common.
    pub const fn room(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Whether half of what is common is taken.
    pub const fn is_half_used(&self) -> bool {
        self.used >= self.limit / 2
    }

    /// Takes `amount`, which may overstep the limit: only whole blocks and windows are taken.
    pub const fn take(&mut self, amount: u64) {
        self.used += amount;
    }

    /// Gives `amount` back.
    pub const fn give(&mut self, amount: u64) {
        self.used = self.used.saturating_sub(amount);
    }

    /// What is taken at the moment.
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// What `holders` can hold at the most, if none takes more than `grain` at once.
    pub const fn most(limit: u64, share: u64, grain: u64, holders: u64) -> u64 {
        limit + grain + holders * (share + grain)
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the budget.

    use super::*;

    #[test]
    fn a_hoarder_exhausts_what_is_common_and_nobodys_share() {
        let (limit, share, grain) = (100, 10, 5);
        let mut budget = Budget::new(limit, share);
        let mut held = [0; 8];
        for holder in &mut held[..7] {
            while budget.allows(*holder) {
                budget.take(grain);
                *holder += grain;
            }
        }
        assert!(!budget.has_room() && held[0] >= limit);
        while budget.allows(held[7]) {
            budget.take(grain);
            held[7] += grain;
        }
        assert_eq!(held[7], share);
        assert!(budget.used() <= Budget::most(limit, share, grain, 8));
        held.into_iter().for_each(|held| budget.give(held));
        assert_eq!(budget.used(), 0);
    }
}
