//! Runs: blocks that lie behind each other, for a server that is asked for a range of bytes at a time.

use alloc::vec::Vec;

use super::choose::{ENDGAME_COPIES, PickMode, allowed};
use super::{BlockRef, PeerKey, PeerPieces, Picker};
use crate::base::rng::Rng;

impl Picker {
    /// Chooses up to `count` blocks that lie behind each other to ask `peer` for, and records it as asked: from the
    /// piece `start` on where nobody has begun that, else from wherever a peer would be asked next.
    pub fn pick_run(
        &mut self,
        peer: PeerKey,
        pieces: &PeerPieces,
        start: Option<u32>,
        count: u32,
        mode: PickMode<'_>,
        rng: &mut Rng,
    ) -> Vec<BlockRef> {
        let mut run = Vec::new();
        let may = |piece: u32| pieces.has(piece);
        let fresh = |piece: &u32| self.unstarted.has(*piece) && may(*piece);
        let start = start.filter(|piece| !self.has_readers() && fresh(piece));
        let first = start.or_else(|| self.next_piece(peer, pieces, None, mode, rng, &may));
        let mut next = first.filter(|piece| self.usable(*piece, peer, mode));
        while let Some(piece) = next {
            if !self.partials.contains_key(&piece) {
                // Begins it, and takes nothing yet.
                self.take(peer, piece, 0, mode, &mut super::Pick::default());
            }
            let whole = self.take_behind(peer, piece, count as usize, &mut run);
            self.refresh_open(piece);
            let behind = piece + 1;
            let goes_on = whole && run.len() < count as usize && may(behind);
            next =
                Some(behind).filter(|behind| goes_on && self.is_open_at_front(*behind, peer, mode));
        }
        run
    }

    /// Takes open blocks of a piece as long as each lies behind the last. Returns whether the last of the piece was
    /// among them.
    fn take_behind(
        &mut self,
        peer: PeerKey,
        piece: u32,
        count: usize,
        run: &mut Vec<BlockRef>,
    ) -> bool {
        let Some(partial) = self.partials.get_mut(&piece) else { return false };
        while run.len() < count
            && let Some(block) = partial.next_open()
            && run.last().is_none_or(|last| last.piece != piece || last.block + 1 == block)
        {
            partial.take_open(peer);
            run.push(BlockRef { piece, block });
        }
        run.last().is_some_and(|last| last.piece == piece && last.block + 1 == partial.len())
    }

    fn usable(&self, piece: u32, peer: PeerKey, mode: PickMode<'_>) -> bool {
        let begun = self.partials.get(&piece);
        begun.map_or(self.unstarted.has(piece), |partial| allowed(partial, peer, mode))
    }

    /// Whether `peer` may be asked for the first block of a piece.
    fn is_open_at_front(&self, piece: u32, peer: PeerKey, mode: PickMode<'_>) -> bool {
        let begun = self.partials.get(&piece);
        let open = begun.is_none_or(|partial| partial.next_open() == Some(0));
        open && self.missing.has(piece) && self.usable(piece, peer, mode)
    }

    /// The same in the endgame: blocks of one piece that others were asked for.
    pub fn pick_run_again(
        &mut self,
        peer: PeerKey,
        pieces: &PeerPieces,
        count: u32,
        mode: PickMode<'_>,
        rng: &mut Rng,
    ) -> Vec<BlockRef> {
        let Some(first) = self.pick_endgame(peer, pieces, None, mode, rng) else {
            return Vec::new();
        };
        let mut run = alloc::vec![first];
        let Some(partial) = self.partials.get_mut(&first.piece) else { return run };
        let behind = first.block + 1..partial.len().min(first.block.saturating_add(count));
        for block in behind {
            if !partial.ask_too_below(block, peer, ENDGAME_COPIES) {
                break;
            }
            run.push(BlockRef { piece: first.piece, block });
        }
        run
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of runs.

    use super::*;
    use crate::base::rng::Seed;
    use crate::metainfo::Geometry;

    const SERVER: PeerKey = PeerKey::MAX;

    fn picker() -> (Picker, Rng) {
        let mut rng = Seed::from_u64(1).stream("test");
        // Ten pieces of three blocks, the last with two.
        let geometry = Geometry::new(29 * 16_384, 3 * 16_384).unwrap();
        (Picker::new(geometry, &mut rng), rng)
    }

    fn mode() -> PickMode<'static> {
        PickMode { max_partial: 8, ..PickMode::default() }
    }

    fn places(run: &[BlockRef]) -> Vec<u32> {
        run.iter().map(|at| at.piece * 3 + at.block).collect()
    }

    #[test]
    fn a_run_goes_over_whole_pieces_until_it_meets_what_is_there_or_long_enough() {
        let (mut picker, mut rng) = picker();
        picker.set_have(5);
        let all = PeerPieces::All;
        let run = picker.pick_run(SERVER, &all, Some(2), 100, mode(), &mut rng);
        assert_eq!(places(&run), (6..15).collect::<Vec<_>>());
        let run = picker.pick_run(SERVER, &all, Some(6), 4, mode(), &mut rng);
        assert_eq!(places(&run), [18, 19, 20, 21]);
        // The rest of a piece that is begun comes first, with what lies behind it.
        let run = picker.pick_run(SERVER, &all, None, 100, mode(), &mut rng);
        assert_eq!(places(&run), (18..29).skip(4).collect::<Vec<_>>());
        assert_eq!(picker.requests().len(), 9 + 11);
        assert_eq!(picker.check(), Ok(()));
    }

    #[test]
    fn what_the_server_lacks_ends_a_run() {
        let (mut picker, mut rng) = picker();
        let mut bits = crate::base::bits::Bits::full(10);
        bits.clear(3);
        let run = picker.pick_run(SERVER, &PeerPieces::Some(bits), Some(1), 100, mode(), &mut rng);
        assert_eq!(places(&run), (3..9).collect::<Vec<_>>());
    }

    #[test]
    fn in_the_endgame_a_run_is_of_blocks_that_others_were_asked_for() {
        let (mut picker, mut rng) = picker();
        let all = PeerPieces::All;
        assert!(picker.pick_run_again(SERVER, &all, 9, mode(), &mut rng).is_empty());
        (0..9).for_each(|piece| picker.set_have(piece));
        assert_eq!(picker.pick_run(3, &all, None, 9, mode(), &mut rng).len(), 2);
        assert!(picker.pick_run(SERVER, &all, None, 9, mode(), &mut rng).is_empty());
        let run = picker.pick_run_again(SERVER, &all, 9, mode(), &mut rng);
        assert!(!run.is_empty() && run.iter().all(|at| at.piece == 9));
        assert!(run.iter().all(|at| picker.is_requested_from(*at, SERVER)));
        assert_eq!(picker.check(), Ok(()));
    }
}
