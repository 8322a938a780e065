//! The order of preference when a peer can be asked for more.

use alloc::vec::Vec;
use smallvec::SmallVec;

use super::open::Offer;
use super::partial::Partial;
use super::readers::{Arrival, Place};
use super::{BlockRef, PeerKey, PeerPieces, Picker};
use crate::base::rng::Rng;

/// Verified pieces below which pieces are begun at random: a newcomer needs something to trade
/// soon, and the rarest piece is the slowest to get.
const RANDOM_FIRST: u32 = 4;
/// Pieces looked at in the buckets before falling back to comparing bit fields.
const PROBES: usize = 128;
/// Peers asked for one block in the endgame.
pub(super) const ENDGAME_COPIES: usize = 3;

/// What kind of peer is to be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PickMode<'a> {
    /// It delivers a piece within seconds and gets whole pieces.
    pub fast: bool,
    /// It shares the blame for a bad piece and gets only pieces of its own.
    pub parole: bool,
    /// The piece it was asked for last.
    pub current: Option<u32>,
    /// The piece it would like to be asked for (BEP 6).
    pub suggested: Option<u32>,
    /// Most pieces that may have open blocks at once.
    pub max_partial: u32,
    /// Pieces that it is not asked for now, because it declined; a few.
    pub except: &'a [u32],
    /// It has delivered something.
    pub proven: bool,
    /// How soon it would bring a block more: counts where somebody reads.
    pub arrival: Arrival,
}

/// Blocks to ask a peer for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pick {
    /// The blocks, in order; some may be asked of others too.
    pub blocks: Vec<BlockRef>,
    /// Whether they were asked of others already.
    pub endgame: bool,
}

impl Picker {
    /// Chooses up to `count` blocks to ask `peer` for and records it as asked. The peer has
    /// `pieces`; with `only`, nothing but those pieces is considered (allowed-fast, BEP 6).
    pub fn pick(
        &mut self,
        peer: PeerKey,
        pieces: &PeerPieces,
        only: Option<&[u32]>,
        count: u32,
        mode: PickMode<'_>,
        rng: &mut Rng,
    ) -> Pick {
        let mut pick = Pick::default();
        let count = count as usize;
        let may = |piece: u32| {
            let allowed = only.is_none_or(|set| set.contains(&piece));
            allowed && pieces.has(piece) && !mode.except.contains(&piece)
        };
        let reading = !self.readers.is_empty();
        let current = mode.current.filter(|piece| self.open.contains(*piece) && may(*piece));
        if let Some(piece) = current.filter(|piece| !reading || self.may_go_on_with(*piece, mode)) {
            self.take(peer, piece, count, mode, &mut pick);
        }
        // A suggestion is taken up where it costs no priority: among pieces that nobody has begun.
        let fresh = mode.suggested.filter(|piece| self.unstarted.has(*piece) && may(*piece));
        if let Some(piece) = fresh.filter(|_| pick.blocks.len() < count && !reading) {
            self.take(peer, piece, count, mode, &mut pick);
        }
        while pick.blocks.len() < count {
            let next = self.next_piece(peer, pieces, only, mode, rng, &may);
            let before = pick.blocks.len();
            match next {
                Some(piece) => self.take(peer, piece, count, mode, &mut pick),
                None => break,
            }
            if pick.blocks.len() == before {
                break;
            }
        }
        pick
    }

    /// Chooses one block that others were asked for already, when there is nothing else left to
    /// ask anyone for. At most `ENDGAME_COPIES` peers are asked for one block; those that do not
    /// deliver do not count for the others, and the last place is for one that is proven: it has
    /// delivered something. For each that fell silent about a block another one is asked. So a crowd
    /// that takes requests and never answers keeps no block from those that do.
    pub fn pick_endgame(
        &mut self,
        peer: PeerKey,
        pieces: &PeerPieces,
        only: Option<&[u32]>,
        mode: PickMode<'_>,
        rng: &mut Rng,
    ) -> Option<BlockRef> {
        if !self.is_endgame() {
            return None;
        }
        let silent = &self.silent;
        let limit = if mode.proven { ENDGAME_COPIES } else { ENDGAME_COPIES - 1 };
        let asked = |asked: &[PeerKey]| match silent.contains(&peer) {
            true => asked.len(),
            false => asked.iter().filter(|key| !silent.contains(key)).count(),
        };
        let may = |piece: u32| {
            let allowed = only.is_none_or(|set| set.contains(&piece));
            allowed && pieces.has(piece) && !mode.except.contains(&piece)
        };
        let spread = rng.next_u32();
        let wanted = self.partials.iter_mut().filter(|(piece, partial)| {
            may(**piece) && self.missing.has(**piece) && partial.only.is_none_or(|p| p == peer)
        });
        let in_vain = &self.in_vain;
        for (piece, partial) in wanted {
            let vain = |block| in_vain.get(&(*piece, block)).copied().map_or(0, usize::from);
            let limit = |block| limit + vain(block);
            if let Some(block) = partial.take_duplicate(peer, spread, limit, asked) {
                return Some(BlockRef { piece: *piece, block });
            }
        }
        None
    }

    /// True when every missing block was asked of somebody.
    pub fn is_endgame(&self) -> bool {
        self.unstarted.count() == 0 && self.open.is_empty() && self.missing.count() > 0
    }

    /// Takes open blocks of `piece`, beginning it if need be.
    pub(super) fn take(
        &mut self,
        peer: PeerKey,
        piece: u32,
        count: usize,
        mode: PickMode<'_>,
        pick: &mut Pick,
    ) {
        if !self.partials.contains_key(&piece) {
            self.begin(piece, mode.fast, mode.parole.then_some(peer));
        }
        if let Some(partial) = self.partials.get_mut(&piece) {
            if !allowed(partial, peer, mode) {
                return;
            }
            while pick.blocks.len() < count
                && let Some(block) = partial.take_open(peer)
            {
                pick.blocks.push(BlockRef { piece, block });
            }
        }
        self.refresh_open(piece);
    }

    pub(super) fn next_piece(
        &mut self,
        peer: PeerKey,
        pieces: &PeerPieces,
        only: Option<&[u32]>,
        mode: PickMode<'_>,
        rng: &mut Rng,
        may: &dyn Fn(u32) -> bool,
    ) -> Option<u32> {
        let places = if self.readers.is_empty() { SmallVec::new() } else { self.places(mode) };
        let usable = |piece: u32| may(piece) && allowed(&self.partials[&piece], peer, mode);
        let room = self.open.len() < mode.max_partial;
        for place in places {
            let fresh = |from| self.unstarted_from(pieces, only, mode.except, from);
            if let Some(piece) = self.piece_at(place, room, &usable, fresh) {
                return Some(piece);
            }
        }
        // First pieces that nobody is asked for any more, then pieces that peers of this speed share.
        let shared: &[Offer] =
            if mode.fast { &[Offer::Left] } else { &[Offer::Left, Offer::Shared] };
        if let Some(piece) = self.open.best(shared, &usable) {
            return Some(piece);
        }
        if room && let Some(piece) = self.unstarted_piece(pieces, only, mode.except, rng) {
            return Some(piece);
        }
        self.open.best(&[Offer::Left, Offer::Shared, Offer::Taken], &usable)
    }

    /// The best unstarted piece the peer has: at random for the first few, else the rarest.
    fn unstarted_piece(
        &self,
        pieces: &PeerPieces,
        only: Option<&[u32]>,
        except: &[u32],
        rng: &mut Rng,
    ) -> Option<u32> {
        let has = |piece: &u32| pieces.has(*piece) && !except.contains(piece);
        if let Some(set) = only {
            return set.iter().copied().find(|piece| self.unstarted.has(*piece) && has(piece));
        }
        if self.unstarted.count() == 0 {
            return None;
        }
        let spread = rng.next_u32();
        let start = rng.below(self.geometry.pieces());
        let prioritised = self.priorities.first().is_some_and(|p| *p != 4);
        if self.have.count() < RANDOM_FIRST && !prioritised {
            return self.common_unstarted(pieces, except, start, 1).next();
        }
        let probe = self.availability.ranked(spread).take(PROBES).find(has);
        probe.or_else(|| {
            let found = self.common_unstarted(pieces, except, start, PROBES);
            found.min_by_key(|piece| {
                let wanted = self.priorities[*piece as usize];
                (u8::MAX - wanted, self.availability.count(*piece))
            })
        })
    }

    /// Where readers need pieces, the most urgent first.
    fn places(&mut self, mode: PickMode<'_>) -> SmallVec<[Place; 2]> {
        let lowest = self.unstarted.common_from(&self.unstarted, self.first_unstarted, 1);
        self.first_unstarted = lowest.first().copied().unwrap_or(self.geometry.pieces());
        let open = |from: u32| {
            let begun = self.open.in_order_from(from).next();
            let from = from.max(self.first_unstarted);
            let fresh = self.unstarted.common_from(&self.unstarted, from, 1).first().copied();
            begun.into_iter().chain(fresh.filter(|fresh| *fresh >= from)).min()
        };
        self.readers.places(mode.arrival, self.geometry.pieces(), open)
    }

    /// The first piece at a place that the peer can be asked for, behind what is left to faster ones. Where there is
    /// none, the nearest half of that is not left to them, then the nearest quarter, so that nobody has nothing to do.
    fn piece_at(
        &self,
        place: Place,
        room: bool,
        usable: &dyn Fn(u32) -> bool,
        fresh: impl Fn(u32) -> Option<u32>,
    ) -> Option<u32> {
        let mut lead = place.lead.min(place.end - place.front);
        loop {
            let from = place.front + lead;
            let begun = self.open.in_order_from(from).find(|piece| usable(*piece));
            let fresh = if room { fresh(from).filter(|piece| *piece >= from) } else { None };
            let first = begun.into_iter().chain(fresh).min().filter(|piece| *piece < place.end);
            if first.is_some() || lead == 0 {
                return first;
            }
            lead /= 2;
        }
    }

    /// Whether a peer may go on with a piece that it was asked for: it lies where nobody reads, or is not among those
    /// that others would bring sooner.
    fn may_go_on_with(&mut self, piece: u32, mode: PickMode<'_>) -> bool {
        let places = self.places(mode);
        let inside = places.iter().find(|place| (place.front..place.end).contains(&piece));
        inside.map_or(places.is_empty(), |place| piece - place.front >= place.lead / 2)
    }

    fn unstarted_from(
        &self,
        pieces: &PeerPieces,
        only: Option<&[u32]>,
        except: &[u32],
        from: u32,
    ) -> Option<u32> {
        if let Some(set) = only {
            let usable = |piece: &u32| {
                self.unstarted.has(*piece) && pieces.has(*piece) && !except.contains(piece)
            };
            return set.iter().copied().filter(|piece| *piece >= from && usable(piece)).min();
        }
        self.common_unstarted(pieces, except, from, 1).next()
    }

    /// Unstarted pieces of a peer from `start` on, going round, at most `limit`.
    fn common_unstarted<'a>(
        &self,
        pieces: &PeerPieces,
        except: &'a [u32],
        start: u32,
        limit: usize,
    ) -> impl Iterator<Item = u32> + use<'a> {
        let theirs = match pieces {
            PeerPieces::All => &self.unstarted,
            PeerPieces::Some(bits) | PeerPieces::AllBut(bits) => bits,
        };
        let found = self.unstarted.common_from(theirs, start, limit + except.len());
        found.into_iter().filter(|piece| !except.contains(piece)).take(limit)
    }
}

/// Whether `peer` may be asked for blocks of a piece that others may have begun.
pub(super) fn allowed(partial: &Partial, peer: PeerKey, mode: PickMode<'_>) -> bool {
    match partial.only {
        Some(owner) => owner == peer,
        None => !mode.parole || partial.is_untouched(),
    }
}
