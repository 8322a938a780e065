//! A piece being fetched: the state of each block, who was asked, who delivered.

use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::PeerKey;
use crate::base::bits::Bits;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum BlockState {
    /// Nobody was asked, or nobody who was asked will answer.
    Open,
    /// Somebody was asked.
    Requested,
    /// Received, on the way to the disk.
    Writing,
    /// On disk.
    Written,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Block {
    state: BlockState,
    /// While requested: those asked. Afterwards: the one who delivered.
    peers: SmallVec<[PeerKey; 2]>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Partial {
    blocks: Vec<Block>,
    /// Blocks in each state, in the order of [`BlockState`].
    counts: [u32; 4],
    /// No open block lies below this.
    first_open: u32,
    pub(super) generation: u32,
    /// Begun by a fast peer; slow ones leave it alone while there is anything else.
    pub(super) fast: bool,
    /// Reserved for one peer that has to prove itself.
    pub(super) only: Option<PeerKey>,
}

impl Partial {
    pub(super) fn new(blocks: u32, generation: u32, fast: bool, only: Option<PeerKey>) -> Self {
        let block = Block { state: BlockState::Open, peers: SmallVec::new() };
        Self {
            blocks: vec![block; blocks as usize],
            counts: [blocks, 0, 0, 0],
            first_open: 0,
            generation,
            fast,
            only,
        }
    }

    /// Number of blocks.
    pub(super) fn len(&self) -> u32 {
        self.blocks.len() as u32
    }

    fn count(&self, state: BlockState) -> u32 {
        self.counts[state as usize]
    }

    pub(super) fn is_open(&self) -> bool {
        self.count(BlockState::Open) > 0
    }

    pub(super) fn open_blocks(&self) -> u32 {
        self.count(BlockState::Open)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.count(BlockState::Written) as usize == self.blocks.len()
    }

    /// No block received and none requested: counts as not begun.
    pub(super) fn is_untouched(&self) -> bool {
        self.count(BlockState::Open) as usize == self.blocks.len()
    }

    /// Nobody is being asked for anything.
    pub(super) fn is_abandoned(&self) -> bool {
        self.count(BlockState::Requested) == 0
    }

    pub(super) fn set(&mut self, block: u32, state: BlockState) {
        let Some(slot) = self.blocks.get_mut(block as usize) else { return };
        self.counts[slot.state as usize] -= 1;
        self.counts[state as usize] += 1;
        slot.state = state;
        if state == BlockState::Open {
            slot.peers.clear();
            self.first_open = self.first_open.min(block);
        }
    }

    /// The first open block.
    pub(super) fn next_open(&self) -> Option<u32> {
        let from = self.first_open as usize;
        let found = self.blocks[from..].iter().position(|b| b.state == BlockState::Open)?;
        Some((from + found) as u32)
    }

    /// Takes the first open block for `peer`.
    pub(super) fn take_open(&mut self, peer: PeerKey) -> Option<u32> {
        let block = self.next_open()?;
        self.first_open = block + 1;
        self.set(block, BlockState::Requested);
        self.blocks[block as usize].peers.push(peer);
        Some(block)
    }

    /// The block from `start` on, going round, that the fewest peers were asked for, fewer than its
    /// `limit` by the count of `asked`, and not `peer` itself.
    pub(super) fn take_duplicate(
        &mut self,
        peer: PeerKey,
        start: u32,
        limit: impl Fn(u32) -> usize,
        asked: impl Fn(&[PeerKey]) -> usize,
    ) -> Option<u32> {
        let len = self.blocks.len();
        let order = (0..len).map(|i| (start as usize + i) % len);
        let eligible = order.filter(|i| {
            let block = &self.blocks[*i];
            block.state == BlockState::Requested
                && asked(&block.peers) < limit(*i as u32)
                && !block.peers.contains(&peer)
        });
        let best = eligible.min_by_key(|i| asked(&self.blocks[*i].peers))?;
        self.blocks[best].peers.push(peer);
        Some(best as u32)
    }

    /// Blocks that one peer was asked for.
    pub(super) fn asked_of_one(&self) -> impl Iterator<Item = (u32, PeerKey)> + '_ {
        let asked =
            self.blocks.iter().enumerate().filter(|(_, block)| {
                block.state == BlockState::Requested && block.peers.len() == 1
            });
        asked.map(|(index, block)| (index as u32, block.peers[0]))
    }

    /// Asks `peer` for a block that others were asked for. Returns whether they were, and not `peer` too.
    pub(super) fn ask_too(&mut self, block: u32, peer: PeerKey) -> bool {
        let asked = self.blocks.get_mut(block as usize);
        let asked = asked
            .filter(|block| block.state == BlockState::Requested && !block.peers.contains(&peer));
        asked.map(|block| block.peers.push(peer)).is_some()
    }

    /// The same, where fewer than `limit` were asked.
    pub(super) fn ask_too_below(&mut self, block: u32, peer: PeerKey, limit: usize) -> bool {
        let asked = self.blocks.get(block as usize).map_or(limit, |block| block.peers.len());
        asked < limit && self.ask_too(block, peer)
    }

    pub(super) fn forget_requester(&mut self, block: u32, peer: PeerKey) {
        let Some(slot) = self.blocks.get_mut(block as usize) else { return };
        if slot.state != BlockState::Requested {
            return;
        }
        slot.peers.retain(|asked| *asked != peer);
        if slot.peers.is_empty() {
            self.set(block, BlockState::Open);
        }
    }

    /// Marks a block as received from `peer`. Returns the others that were asked for it, or `None`
    /// when it is here already.
    pub(super) fn receive(&mut self, block: u32, peer: PeerKey) -> Option<Vec<PeerKey>> {
        let slot = self.blocks.get_mut(block as usize)?;
        if !matches!(slot.state, BlockState::Open | BlockState::Requested) {
            return None;
        }
        // Usually empty, and then free of allocation.
        let others = slot.peers.iter().copied().filter(|asked| *asked != peer).collect();
        slot.peers.clear();
        slot.peers.push(peer);
        self.set(block, BlockState::Writing);
        Some(others)
    }

    /// Takes back what `peer` delivered and is on disk. Returns whether there was anything.
    pub(super) fn reopen(&mut self, peer: PeerKey) -> bool {
        let theirs = |block: &Block| {
            block.state == BlockState::Written && block.peers.first() == Some(&peer)
        };
        let theirs: Vec<u32> =
            (0..self.len()).filter(|block| theirs(&self.blocks[*block as usize])).collect();
        for block in &theirs {
            self.set(*block, BlockState::Open);
        }
        !theirs.is_empty()
    }

    pub(super) fn contributors(&self) -> impl Iterator<Item = Option<PeerKey>> + '_ {
        self.blocks.iter().map(|block| block.peers.first().copied())
    }

    pub(super) fn has_written(&self) -> bool {
        self.blocks.iter().any(|block| block.state == BlockState::Written)
    }

    pub(super) fn written_bits(&self) -> Bits {
        let mut bits = Bits::new(self.blocks.len() as u32);
        for (index, block) in self.blocks.iter().enumerate() {
            if block.state == BlockState::Written {
                bits.set(index as u32);
            }
        }
        bits
    }

    pub(super) fn is_asked(&self, block: u32, peer: PeerKey) -> bool {
        self.blocks
            .get(block as usize)
            .is_some_and(|slot| slot.state == BlockState::Requested && slot.peers.contains(&peer))
    }

    pub(super) fn requests(&self) -> impl Iterator<Item = (u32, PeerKey)> + '_ {
        let asked = self.blocks.iter().enumerate();
        asked
            .filter(|(_, block)| block.state == BlockState::Requested)
            .flat_map(|(index, block)| block.peers.iter().map(move |peer| (index as u32, *peer)))
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let mut counts = [0; 4];
        for (index, block) in self.blocks.iter().enumerate() {
            counts[block.state as usize] += 1;
            if block.state == BlockState::Open
                && (!block.peers.is_empty() || (index as u32) < self.first_open)
            {
                return Err("open blocks have no requester and lie behind the cursor");
            }
            if block.state == BlockState::Requested && block.peers.is_empty() {
                return Err("requested blocks have a requester");
            }
        }
        if counts == self.counts { Ok(()) } else { Err("block counters equal the recount") }
    }
}

#[cfg(feature = "corruption")]
impl Partial {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "open blocks have no requester and lie behind the cursor" => {
                self.block_that_is(BlockState::Open)?.peers.push(77);
            }
            "requested blocks have a requester" => {
                self.block_that_is(BlockState::Requested)?.peers.clear();
            }
            "requests on record equal those outstanding at peers" => {
                self.block_that_is(BlockState::Requested)?.peers.push(4_000_000);
            }
            "block counters equal the recount" => {
                self.block_that_is(BlockState::Written)?.state = BlockState::Writing;
            }
            _ => return None,
        }
        Some(())
    }

    fn block_that_is(&mut self, state: BlockState) -> Option<&mut Block> {
        self.blocks.iter_mut().find(|block| block.state == state)
    }
}
