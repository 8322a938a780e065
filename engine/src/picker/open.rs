//! Begun pieces with blocks that nobody was asked for, each where a peer that can be asked finds it
//! without looking at the others.

use alloc::collections::{BTreeMap, BTreeSet};
use serde::{Deserialize, Serialize};

use super::partial::Partial;

/// Who a begun piece is on offer to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) enum Offer {
    /// No block of it is requested from anybody: offered to every peer, before all others.
    Left,
    /// Slow peers bring it: to other slow ones.
    Shared,
    /// A fast peer brings all of it: to others when nothing else is left.
    Taken,
}

/// What goes first: the most wanted, then those with the fewest open blocks, then by number.
type Rank = (u8, u32, u32);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct OpenPieces {
    listed: BTreeMap<u32, (Offer, Rank)>,
    ranked: [BTreeSet<Rank>; 3],
}

impl OpenPieces {
    /// Where a piece of priority `wanted` belongs, if it does.
    pub(super) fn entry(piece: u32, partial: &Partial, wanted: u8) -> Option<(Offer, Rank)> {
        let offer = match (partial.is_abandoned(), partial.fast) {
            (true, _) => Offer::Left,
            (false, false) => Offer::Shared,
            (false, true) => Offer::Taken,
        };
        let rank = (u8::MAX - wanted, partial.open_blocks(), piece);
        (partial.is_open() && wanted > 0).then_some((offer, rank))
    }

    /// Lists a piece as it is now; `None` for one that is not begun.
    pub(super) fn refresh(&mut self, piece: u32, partial: Option<&Partial>, wanted: u8) {
        let new = partial.and_then(|partial| Self::entry(piece, partial, wanted));
        let old = self.listed.get(&piece).copied();
        if new == old {
            return;
        }
        if let Some((offer, rank)) = old {
            self.ranked[offer as usize].remove(&rank);
        }
        match new {
            Some((offer, rank)) => {
                self.listed.insert(piece, (offer, rank));
                self.ranked[offer as usize].insert(rank);
            }
            None => {
                self.listed.remove(&piece);
            }
        }
    }

    /// Takes a piece off the list.
    pub(super) fn remove(&mut self, piece: u32) {
        self.refresh(piece, None, 0);
    }

    pub(super) fn contains(&self, piece: u32) -> bool {
        self.listed.contains_key(&piece)
    }

    pub(super) fn len(&self) -> u32 {
        self.listed.len() as u32
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// All pieces, by number.
    pub(super) fn in_order(&self) -> impl Iterator<Item = u32> + '_ {
        self.listed.keys().copied()
    }

    /// The pieces from `from` on, by number.
    pub(super) fn in_order_from(&self, from: u32) -> impl Iterator<Item = u32> + '_ {
        self.listed.range(from..).map(|(piece, _)| *piece)
    }

    /// The first piece by rank, of those on one of these offers, that `usable` accepts.
    pub(super) fn best(&self, offers: &[Offer], usable: &impl Fn(u32) -> bool) -> Option<u32> {
        let first = |offer: &Offer| {
            self.ranked[*offer as usize].iter().find(|(.., piece)| usable(*piece)).copied()
        };
        offers.iter().filter_map(first).min().map(|(.., piece)| piece)
    }

    /// Whether a begun piece is listed as it is.
    pub(super) fn is_right(&self, piece: u32, partial: &Partial, wanted: u8) -> bool {
        let entry = self.listed.get(&piece).copied();
        let ranked = entry.is_none_or(|(offer, rank)| self.ranked[offer as usize].contains(&rank));
        ranked && entry == Self::entry(piece, partial, wanted)
    }

    /// Whether nothing stands in two places.
    pub(super) fn is_tidy(&self) -> bool {
        self.ranked.iter().map(BTreeSet::len).sum::<usize>() == self.listed.len()
    }
}

#[cfg(feature = "corruption")]
impl OpenPieces {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "open partials are listed" => self.listed.clear(),
            "what is listed as open is begun" => self.ranked[0] = [(0, 0, 0)].into(),
            _ => return None,
        }
        Some(())
    }
}
