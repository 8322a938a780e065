//! Which block to ask whom for: rarest first (BEP 3), whole pieces for fast peers, endgame.
//!
//! Pieces that nobody has begun stand in buckets by priority and availability, so that a HAVE moves
//! one piece and a pick looks at the front of a bucket: neither looks at all pieces. Pieces begun
//! ("partial") are few, finished before new ones are begun, and carry the state of each block.

mod audit;
mod availability;
mod awaited;
mod choose;
mod open;
mod partial;
mod readers;
mod run;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::base::bits::Bits;
use crate::metainfo::Geometry;
use availability::Availability;
pub use awaited::Awaited;
pub use choose::{Pick, PickMode};
use open::OpenPieces;
use partial::{BlockState, Partial};
use readers::Readers;
pub use readers::{Arrival, MAX_READERS, Window};

/// What moving one piece in the index costs, in small steps.
pub const STEPS_TO_INDEX: u32 = 16;

/// Peers that fell silent about a block for each of which another one is asked for it, at the most.
const MAX_IN_VAIN: u8 = 16;
/// Blocks of which it is remembered how many fell silent about them.
const MAX_REMEMBERED: usize = 1024;

/// Blocks that may be asked of a second peer at first, and at the most.
const FIRST_SECOND_ASKS: u32 = 32;
const MAX_SECOND_ASKS: u32 = 256;
/// Blocks that have to come for one more of those.
const BLOCKS_A_SECOND_ASK: u32 = 16;

/// Names a peer for as long as its torrent lives, across reconnections.
pub type PeerKey = u32;

/// A block by piece number and block number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct BlockRef {
    /// Piece number.
    pub piece: u32,
    /// Block number in the piece.
    pub block: u32,
}

/// Pieces that a peer has. A seed costs no bit field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PeerPieces {
    /// All of them.
    All,
    /// These.
    Some(Bits),
    /// These; it had all of them and has lost some since (BEP 54). The index counts it as a seed still
    /// and each lost piece by itself, so that losing one costs the same for a thousand pieces and a
    /// million.
    AllBut(Bits),
}

impl PeerPieces {
    /// Whether the peer has `piece`.
    pub fn has(&self, piece: u32) -> bool {
        match self {
            Self::All => true,
            Self::Some(bits) | Self::AllBut(bits) => bits.has(piece),
        }
    }
}

/// What became of a received block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// It was needed; the peers named were asked for it too.
    Needed {
        /// Peers whose request is now to be cancelled.
        also_asked: Vec<PeerKey>,
    },
    /// It is here already, or its piece is not being fetched.
    Useless,
}

/// State of all pieces of a torrent, and of the blocks of those begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Picker {
    geometry: Geometry,
    /// Verified.
    have: Bits,
    /// Wanted and not verified: what makes a peer interesting.
    missing: Bits,
    /// Missing and not begun: what stands in the buckets.
    unstarted: Bits,
    availability: Availability,
    priorities: Vec<u8>,
    partials: BTreeMap<u32, Partial>,
    /// Partials with a block that nobody was asked for.
    open: OpenPieces,
    /// Counts resets of pieces, so that late completions are not taken for new ones.
    generation: u32,
    /// Who needs pieces in order, and by when.
    readers: Readers,
    /// How many blocks may be asked of a second peer because the first would bring them too late, in parts of which
    /// [`BLOCKS_A_SECOND_ASK`] make one.
    second_asks: u32,
    /// No unstarted piece lies below this.
    first_unstarted: u32,
    /// Peers that are asked for blocks and do not deliver.
    silent: BTreeSet<PeerKey>,
    /// Missing blocks, by piece and number, about which peers fell silent: how many did.
    in_vain: BTreeMap<(u32, u32), u8>,
}

impl Picker {
    /// A picker for `geometry` with nothing verified and everything wanted at priority 4.
    pub fn new(geometry: Geometry, order: &mut crate::base::rng::Rng) -> Self {
        let pieces = geometry.pieces();
        let mut picker = Self {
            geometry,
            have: Bits::new(pieces),
            missing: Bits::full(pieces),
            unstarted: Bits::full(pieces),
            availability: Availability::new(pieces),
            priorities: alloc::vec![4; pieces as usize],
            partials: BTreeMap::new(),
            open: OpenPieces::default(),
            generation: 0,
            readers: Readers::default(),
            second_asks: FIRST_SECOND_ASKS * BLOCKS_A_SECOND_ASK,
            first_unstarted: 0,
            silent: BTreeSet::new(),
            in_vain: BTreeMap::new(),
        };
        // A random order inside each bucket is what keeps peers from all fetching the same piece.
        let mut shuffled: Vec<u32> = (0..pieces).collect();
        order.shuffle(&mut shuffled);
        for piece in shuffled {
            picker.availability.insert(piece, 4);
        }
        picker
    }

    /// Pieces and blocks.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Verified pieces.
    pub fn have(&self) -> &Bits {
        &self.have
    }

    /// Pieces that are wanted and not verified.
    pub fn missing(&self) -> &Bits {
        &self.missing
    }

    /// Whether `piece` is wanted and not verified.
    pub fn is_missing(&self, piece: u32) -> bool {
        self.missing.has(piece)
    }

    /// True when nothing wanted is missing.
    pub fn is_finished(&self) -> bool {
        self.missing.count() == 0
    }

    /// Pieces begun.
    pub fn partial_count(&self) -> u32 {
        self.partials.len() as u32
    }

    /// How many of the pieces a peer has are missing here.
    pub fn interesting(&self, pieces: &PeerPieces) -> u32 {
        match pieces {
            PeerPieces::All => self.missing.count(),
            PeerPieces::Some(bits) | PeerPieces::AllBut(bits) => self.missing.count_common(bits),
        }
    }

    /// Switches fetching in order on or off.
    pub fn set_sequential(&mut self, sequential: bool) {
        self.readers.in_order = sequential;
    }

    /// A reader, by its number, needs the pieces of a window, or nothing any more.
    pub fn set_reader(&mut self, reader: u32, window: Option<Window>) {
        let front = window.map_or(0, |window| window.first);
        self.readers.set(reader, window, front);
        self.readers.advance(|piece| self.have.has(piece));
    }

    /// Whether somebody reads: [`PickMode::arrival`] counts.
    pub fn has_readers(&self) -> bool {
        !self.readers.is_empty()
    }

    /// Sets the priority of `piece`: 0 is unwanted, 7 the most wanted. Returns whether it became
    /// missing (`Some(true)`), ceased to be (`Some(false)`), or neither.
    pub fn set_priority(&mut self, piece: u32, priority: u8) -> Option<bool> {
        let slot = self.priorities.get_mut(piece as usize)?;
        if *slot == priority {
            return None;
        }
        let was_wanted = *slot > 0;
        *slot = priority;
        if self.have.has(piece) {
            return None;
        }
        if self.unstarted.has(piece) || (!was_wanted && !self.partials.contains_key(&piece)) {
            self.unlist(piece);
            if priority > 0 {
                self.list(piece);
            }
        }
        // Open blocks of a begun piece are on offer only while it is wanted.
        self.refresh_open(piece);
        match (was_wanted, priority > 0) {
            (false, true) => self.missing.set(piece).then_some(true),
            (true, false) => self.missing.clear(piece).then_some(false),
            _ => None,
        }
    }

    /// Puts a missing piece that nobody has begun into its bucket.
    fn list(&mut self, piece: u32) {
        if self.unstarted.set(piece) {
            self.availability.insert(piece, self.priorities[piece as usize]);
            self.first_unstarted = self.first_unstarted.min(piece);
        }
    }

    fn unlist(&mut self, piece: u32) {
        if self.unstarted.clear(piece) {
            self.availability.remove(piece);
        }
    }

    /// What it costs to count in, or out, a peer with these pieces, in small steps.
    pub fn cost_of(&self, pieces: &PeerPieces) -> u64 {
        let (words, changes) = match pieces {
            PeerPieces::All => (0, 0),
            PeerPieces::Some(bits) => (bits.len() / 8, bits.count()),
            PeerPieces::AllBut(bits) => (bits.len() / 8, bits.len() - bits.count()),
        };
        u64::from(words) + u64::from(changes) * u64::from(STEPS_TO_INDEX)
    }

    /// A peer with these pieces came.
    pub fn peer_joined(&mut self, pieces: &PeerPieces) {
        match pieces {
            PeerPieces::All => self.availability.seeds += 1,
            PeerPieces::Some(bits) => bits.ones().for_each(|piece| self.availability.add(piece)),
            PeerPieces::AllBut(bits) => {
                self.availability.seeds += 1;
                bits.zeros().for_each(|piece| self.availability.sub(piece));
            }
        }
    }

    /// A peer with these pieces left.
    pub fn peer_left(&mut self, pieces: &PeerPieces) {
        match pieces {
            PeerPieces::All => self.availability.seeds -= 1,
            PeerPieces::Some(bits) => bits.ones().for_each(|piece| self.availability.sub(piece)),
            PeerPieces::AllBut(bits) => {
                self.availability.seeds -= 1;
                bits.zeros().for_each(|piece| self.availability.add(piece));
            }
        }
    }

    /// A peer got a piece that it did not have.
    pub fn peer_got(&mut self, piece: u32) {
        self.availability.add(piece);
    }

    /// A peer lost a piece (BEP 54); of a seed, that was turned into [`PeerPieces::AllBut`] before.
    pub fn peer_lost(&mut self, piece: u32) {
        self.availability.sub(piece);
    }

    /// How many connected peers have `piece`.
    pub fn available(&self, piece: u32) -> u32 {
        self.availability.seeds.saturating_add_signed(self.availability.count(piece))
    }

    /// A piece was found good by a check or taken from resume data.
    pub fn set_have(&mut self, piece: u32) {
        self.unlist(piece);
        self.partials.remove(&piece);
        self.open.remove(piece);
        self.missing.clear(piece);
        self.have.set(piece);
        if !self.readers.is_empty() {
            self.readers.advance(|piece| self.have.has(piece));
        }
        if !self.in_vain.is_empty() {
            self.in_vain.retain(|(of, _), _| *of != piece);
        }
        if self.missing.count() == 0 {
            self.availability.shrink();
        }
    }

    /// A verified piece turned out to be lost. Returns whether it is missing now.
    pub fn clear_have(&mut self, piece: u32) -> bool {
        if !self.have.clear(piece) {
            return false;
        }
        self.readers.go_back(piece);
        let wanted = self.priorities[piece as usize] > 0;
        if wanted {
            self.missing.set(piece);
            self.list(piece);
        }
        wanted
    }

    /// Blocks of a piece that are on disk already, from resume data.
    pub fn restore_partial(&mut self, piece: u32, written: &Bits) {
        let blocks = self.geometry.blocks_in(piece);
        if self.have.has(piece) || written.len() != blocks || written.count() == blocks {
            return;
        }
        self.begin(piece, false, None);
        for block in written.ones() {
            if let Some(partial) = self.partials.get_mut(&piece) {
                partial.set(block, BlockState::Written);
            }
        }
        self.refresh_open(piece);
    }

    /// Pieces begun and the blocks of each that are on disk.
    pub fn written_blocks(&self) -> Vec<(u32, Bits)> {
        let begun = self.partials.iter().filter(|(_, partial)| partial.has_written());
        begun.map(|(piece, partial)| (*piece, partial.written_bits())).collect()
    }

    fn begin(&mut self, piece: u32, fast: bool, only: Option<PeerKey>) {
        self.unlist(piece);
        self.generation += 1;
        let blocks = self.geometry.blocks_in(piece);
        self.partials.insert(piece, Partial::new(blocks, self.generation, fast, only));
        self.refresh_open(piece);
    }

    fn refresh_open(&mut self, piece: u32) {
        let wanted = self.priorities.get(piece as usize).copied().unwrap_or(0);
        self.open.refresh(piece, self.partials.get(&piece), wanted);
    }

    /// A request will not be answered: rejected, timed out, choked away or cancelled.
    pub fn request_dropped(&mut self, at: BlockRef, peer: PeerKey) {
        if let Some(partial) = self.partials.get_mut(&at.piece) {
            partial.forget_requester(at.block, peer);
            if partial.is_untouched() {
                self.partials.remove(&at.piece);
                self.open.remove(at.piece);
                if self.missing.has(at.piece) {
                    self.list(at.piece);
                }
                return;
            }
            self.refresh_open(at.piece);
        }
    }

    /// A peer that was `asked` for these blocks does not deliver.
    pub fn went_silent(&mut self, peer: PeerKey, asked: impl Iterator<Item = BlockRef>) {
        self.silent.insert(peer);
        for at in asked {
            let key = (at.piece, at.block);
            if self.in_vain.len() < MAX_REMEMBERED || self.in_vain.contains_key(&key) {
                let count = self.in_vain.entry(key).or_default();
                *count = count.saturating_add(1).min(MAX_IN_VAIN);
            }
        }
    }

    /// A peer that did not deliver does again, or has left.
    pub fn not_silent(&mut self, peer: PeerKey) {
        self.silent.remove(&peer);
    }

    /// Whether a peer is taken not to deliver.
    pub fn is_silent(&self, peer: PeerKey) -> bool {
        self.silent.contains(&peer)
    }

    /// A peer left, or does not deliver: what was reserved for it is open to everyone.
    pub fn release(&mut self, peer: PeerKey) {
        for partial in self.partials.values_mut().filter(|p| p.only == Some(peer)) {
            partial.only = None;
        }
    }

    /// Reserves for `peer`, which has to prove itself, a piece that others have begun and nobody is
    /// being asked for. Returns whether there is one.
    pub fn entrust(&mut self, peer: PeerKey, pieces: &PeerPieces, only: Option<&[u32]>) -> bool {
        let may = |piece: u32| pieces.has(piece) && only.is_none_or(|set| set.contains(&piece));
        let missing = &self.missing;
        let left = self.partials.iter_mut().find(|(piece, partial)| {
            let free = partial.only.is_none() && partial.is_open() && partial.is_abandoned();
            free && missing.has(**piece) && may(**piece)
        });
        let Some((piece, partial)) = left else { return false };
        partial.only = Some(peer);
        let piece = *piece;
        self.refresh_open(piece);
        true
    }

    /// `peer` has sent bad data: its blocks of unfinished pieces that are on disk are fetched again.
    /// Returns whether there are any. Pieces of which nothing is missing are hashed as they are.
    pub fn reopen(&mut self, peer: PeerKey) -> bool {
        let unfinished = self.partials.iter_mut().filter(|(_, partial)| !partial.is_complete());
        let reopened =
            unfinished.filter_map(|(piece, partial)| partial.reopen(peer).then_some(*piece));
        let reopened: Vec<u32> = reopened.collect();
        for piece in &reopened {
            if self.partials.get(piece).is_some_and(Partial::is_untouched) {
                self.partials.remove(piece);
                self.open.remove(*piece);
                if self.missing.has(*piece) {
                    self.list(*piece);
                }
            } else {
                self.refresh_open(*piece);
            }
        }
        !reopened.is_empty()
    }

    /// A block came from `peer`; it is on its way to the disk if it was needed.
    pub fn block_received(&mut self, at: BlockRef, peer: PeerKey) -> Received {
        let Some(partial) = self.partials.get_mut(&at.piece) else { return Received::Useless };
        let wanted = self.priorities.get(at.piece as usize).copied().unwrap_or(0);
        let listed = OpenPieces::entry(at.piece, partial, wanted);
        let Some(also_asked) = partial.receive(at.block, peer) else { return Received::Useless };
        // Usually the piece stays where it is listed.
        if OpenPieces::entry(at.piece, partial, wanted) != listed {
            self.open.refresh(at.piece, Some(partial), wanted);
        }
        if !self.readers.is_empty() {
            let most = MAX_SECOND_ASKS * BLOCKS_A_SECOND_ASK;
            self.second_asks = (self.second_asks + 1).min(most);
        }
        Received::Needed { also_asked }
    }

    /// The generation of a piece being fetched, to recognise it in late completions.
    pub fn generation_of(&self, piece: u32) -> Option<u32> {
        self.partials.get(&piece).map(|partial| partial.generation)
    }

    /// A block is on disk. Returns true when it was the last one and the piece can be hashed.
    pub fn block_written(&mut self, at: BlockRef, generation: u32) -> bool {
        let partial = self.partials.get_mut(&at.piece).filter(|p| p.generation == generation);
        partial.is_some_and(|partial| {
            partial.set(at.block, BlockState::Written);
            partial.is_complete()
        })
    }

    /// A block could not be written; it is open again.
    pub fn write_failed(&mut self, at: BlockRef, generation: u32) {
        if let Some(partial) = self.partials.get_mut(&at.piece)
            && partial.generation == generation
        {
            partial.set(at.block, BlockState::Open);
            self.refresh_open(at.piece);
        }
    }

    /// The peers that delivered the blocks of a piece, block by block.
    pub fn contributors(&self, piece: u32) -> impl Iterator<Item = Option<PeerKey>> + '_ {
        self.partials.get(&piece).into_iter().flat_map(Partial::contributors)
    }

    /// A piece failed its hash: everything about it is forgotten, to be fetched again.
    pub fn piece_failed(&mut self, piece: u32) {
        if self.partials.remove(&piece).is_some() {
            self.open.remove(piece);
            if self.missing.has(piece) {
                self.list(piece);
            }
        }
    }

    /// Whether all blocks of a piece are on disk and it waits for its hash.
    pub fn awaits_hash(&self, piece: u32) -> bool {
        self.partials.get(&piece).is_some_and(Partial::is_complete)
    }

    /// Whether `peer` is recorded as asked for a block.
    pub fn is_requested_from(&self, at: BlockRef, peer: PeerKey) -> bool {
        self.partials.get(&at.piece).is_some_and(|partial| partial.is_asked(at.block, peer))
    }

    /// All requests on record: block and peer.
    pub fn requests(&self) -> Vec<(BlockRef, PeerKey)> {
        let mut all = Vec::new();
        for (piece, partial) in &self.partials {
            for (block, peer) in partial.requests() {
                all.push((BlockRef { piece: *piece, block }, peer));
            }
        }
        all
    }
}
