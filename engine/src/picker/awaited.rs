//! Blocks that readers wait for, and the second peer that is asked where the first would bring one too late.

use alloc::vec::Vec;

use super::{BLOCKS_A_SECOND_ASK, BlockRef, PeerKey, Picker};
use crate::base::time::Instant;

/// Begun pieces at the front of a reader that are looked at.
const FRONT: usize = 64;

/// A block that one peer was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Awaited {
    /// Which.
    pub at: BlockRef,
    /// Who was asked.
    pub peer: PeerKey,
    /// When it is needed; `None` for as soon as possible.
    pub due: Option<Instant>,
}

impl Picker {
    /// Blocks of begun pieces that readers wait for and that one peer each was asked for, at most `limit`, in the
    /// order of the pieces. Empty where nobody reads.
    pub fn awaited(&self, limit: usize) -> Vec<Awaited> {
        let mut found = Vec::new();
        if !self.has_readers() || self.second_asks < BLOCKS_A_SECOND_ASK {
            return found;
        }
        for (piece, partial) in self.partials.iter().take(FRONT) {
            let due = self.readers.due_of(*piece);
            if due.is_none() && !self.readers.in_order {
                continue;
            }
            let blocks = partial.asked_of_one();
            found.extend(blocks.map(|(block, peer)| {
                let at = BlockRef { piece: *piece, block };
                Awaited { at, peer, due }
            }));
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        found
    }

    /// Asks `peer` too for a block that another one would bring too late. Returns whether it may: there is one such
    /// block for each [`BLOCKS_A_SECOND_ASK`] that came, and some to begin with.
    pub fn ask_second(&mut self, at: BlockRef, peer: PeerKey) -> bool {
        let Some(partial) = self.partials.get_mut(&at.piece) else { return false };
        let may = self.second_asks >= BLOCKS_A_SECOND_ASK
            && partial.only.is_none()
            && partial.ask_too(at.block, peer);
        if may {
            self.second_asks -= BLOCKS_A_SECOND_ASK;
        }
        may
    }
}
