//! A run: blocks that lie behind each other in the content, on their way from a web server.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::base::payload::Payload;
use crate::metainfo::{BLOCK_LENGTH, Geometry, Layout};
use crate::picker::BlockRef;

/// Padding, a block of it at a time.
static ZEROS: [u8; BLOCK_LENGTH as usize] = [0; BLOCK_LENGTH as usize];

/// A part that is shorter is copied: kept as it came, one byte would hold the whole buffer that it was received in.
const SMALL: usize = 4096;

/// A run of blocks. Those in the middle may have come from somebody else meanwhile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    geometry: Geometry,
    /// What has not come, in order.
    blocks: VecDeque<BlockRef>,
    /// What has come of the first of them.
    #[serde(with = "as_bytes")]
    parts: Vec<Bytes>,
    /// The last part is a buffer of our own, which small ones are added to.
    grows: bool,
    begun: u32,
}

/// Bytes of a run that came.
#[derive(Debug, Default)]
pub struct Taken {
    /// Blocks that are whole.
    pub blocks: Vec<(BlockRef, Payload)>,
    /// Bytes that belong to no block that is still missing.
    pub useless: u64,
}

/// What is to be done next for a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// These bytes of a file are to be fetched, up to `end`.
    Get {
        /// The file.
        file: u32,
        /// The first byte.
        first: u64,
        /// The first one behind them.
        end: u64,
    },
    /// All of it has come.
    Nothing,
}

impl Run {
    /// Blocks that lie behind each other.
    pub fn new(geometry: Geometry, blocks: Vec<BlockRef>) -> Self {
        Self { geometry, blocks: blocks.into(), parts: Vec::new(), grows: false, begun: 0 }
    }

    /// Where a block begins in the content.
    fn begin_of(&self, at: BlockRef) -> u64 {
        self.geometry.piece_offset(at.piece) + u64::from(at.block) * u64::from(BLOCK_LENGTH)
    }

    fn size_of(&self, at: BlockRef) -> u32 {
        self.geometry.block_size(at.piece, at.block)
    }

    /// The first byte of the content that is missing; `None` where nothing is.
    pub fn needs(&self) -> Option<u64> {
        self.blocks.front().map(|front| self.begin_of(*front) + u64::from(self.begun))
    }

    /// The first byte of the content behind the last block.
    pub fn end(&self) -> u64 {
        self.blocks.back().map_or(0, |last| self.begin_of(*last) + u64::from(self.size_of(*last)))
    }

    /// Bytes from the first that is missing to the last.
    pub fn length(&self) -> u64 {
        self.needs().map_or(0, |needs| self.end() - needs)
    }

    /// Blocks that have not come.
    pub fn blocks(&self) -> impl Iterator<Item = BlockRef> + '_ {
        self.blocks.iter().copied()
    }

    /// How many those are.
    pub fn len(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// A block is not needed any more. Returns whether it was of this run.
    pub fn forget(&mut self, at: BlockRef) -> bool {
        // They stand in order.
        let Ok(place) = self.blocks.binary_search(&at) else { return false };
        self.blocks.remove(place);
        if place == 0 {
            self.parts.clear();
            (self.begun, self.grows) = (0, false);
        }
        true
    }

    /// Bytes of the content, from `at` on.
    pub fn take(&mut self, mut at: u64, mut bytes: Bytes, taken: &mut Taken) {
        while !bytes.is_empty() {
            let Some(needs) = self.needs().filter(|needs| *needs < at + bytes.len() as u64) else {
                taken.useless += bytes.len() as u64;
                return;
            };
            let Some(before) = needs.checked_sub(at) else {
                // What comes lies behind what is missing: nobody asked for it like that.
                taken.useless += bytes.len() as u64;
                return;
            };
            taken.useless += before;
            let _ = bytes.split_to(before as usize);
            let Some(front) = self.blocks.front().copied() else { return };
            let size = self.size_of(front);
            let part = bytes.split_to(bytes.len().min((size - self.begun) as usize));
            let part_length = part.len() as u32;
            at = needs + u64::from(part_length);
            self.keep(part, size);
            self.begun += part_length;
            if self.begun == size {
                self.blocks.pop_front();
                (self.begun, self.grows) = (0, false);
                let payload = Payload::from_parts(core::mem::take(&mut self.parts));
                taken.blocks.push((front, payload));
            }
        }
    }

    /// Keeps part of a block of `size`.
    fn keep(&mut self, part: Bytes, size: u32) {
        let grows =
            core::mem::replace(&mut self.grows, part.len() < SMALL && part.len() < size as usize);
        if !self.grows {
            return self.parts.push(part);
        }
        let last = if grows { self.parts.pop() } else { None };
        let mut buffer = match last.map(Bytes::try_into_mut) {
            Some(Ok(buffer)) => buffer,
            Some(Err(shared)) => BytesMut::from(&shared[..]),
            None => BytesMut::with_capacity(size.saturating_sub(self.begun) as usize),
        };
        buffer.extend_from_slice(&part);
        self.parts.push(buffer.freeze());
    }

    /// What comes next: padding is known to be zeros and is taken at once, the rest lies in a file.
    pub fn next(&mut self, layout: &Layout, taken: &mut Taken) -> Next {
        while let Some(needs) = self.needs() {
            let left = u32::try_from(self.end() - needs).unwrap_or(u32::MAX);
            let Some(slice) = layout.slices(needs, left).next() else { break };
            let entry = layout.files().get(slice.file as usize);
            if !entry.is_some_and(|file| file.attributes.pad) {
                let (file, first) = (slice.file, slice.offset);
                return Next::Get { file, first, end: first + u64::from(slice.length) };
            }
            let (mut at, mut left) = (needs, slice.length);
            while left > 0 {
                let count = left.min(BLOCK_LENGTH);
                let zeros = Bytes::from_static(ZEROS.get(..count as usize).unwrap_or(&ZEROS));
                self.take(at, zeros, taken);
                at += u64::from(count);
                left -= count;
            }
        }
        Next::Nothing
    }

    /// The same of a server that sends pieces: bytes of one piece, up to its end or to padding in it. `file` is the
    /// piece.
    pub fn next_in_piece(&mut self, layout: &Layout, taken: &mut Taken) -> Next {
        let Next::Get { .. } = self.next(layout, taken) else { return Next::Nothing };
        let (Some(needs), Some(front)) = (self.needs(), self.blocks.front()) else {
            return Next::Nothing;
        };
        let piece = front.piece;
        let begin = self.geometry.piece_offset(piece);
        let end = self.end().min(begin + u64::from(self.geometry.piece_size(piece)));
        let left = u32::try_from(end - needs).unwrap_or(u32::MAX);
        let is_pad =
            |file: u32| layout.files().get(file as usize).is_some_and(|f| f.attributes.pad);
        let stored = layout.slices(needs, left).take_while(|slice| !is_pad(slice.file));
        let count: u64 = stored.map(|slice| u64::from(slice.length)).sum();
        let first = needs - begin;
        Next::Get { file: piece, first, end: first + count }
    }

    /// Whether it is of content that is cut like that.
    pub fn fits(&self, geometry: Geometry) -> bool {
        let is_there = |at: &BlockRef| at.block < geometry.blocks_in(at.piece);
        self.geometry == geometry && self.blocks.iter().all(is_there) && self.check().is_ok()
    }

    /// What must hold at any time.
    ///
    /// # Errors
    /// The rule that does not.
    pub fn check(&self) -> Result<(), &'static str> {
        let size = self.blocks.front().map_or(0, |front| self.size_of(*front));
        let held: usize = self.parts.iter().map(Bytes::len).sum();
        let in_order = self.blocks.iter().zip(self.blocks.iter().skip(1)).all(|(a, b)| a < b);
        let fits = held == self.begun as usize && (self.begun == 0 || self.begun < size);
        if in_order && fits { Ok(()) } else { Err("a run holds part of its first block only") }
    }

    /// Breaks that.
    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self) {
        self.begun += 1;
    }
}

/// Parts in a snapshot: as one.
mod as_bytes {
    use alloc::vec::Vec;
    use bytes::{Bytes, BytesMut};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(parts: &[Bytes], serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = BytesMut::new();
        parts.iter().for_each(|part| all.extend_from_slice(part));
        all.freeze().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bytes>, D::Error> {
        let all = Bytes::deserialize(deserializer)?;
        Ok(if all.is_empty() { Vec::new() } else { alloc::vec![all] })
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of runs.

    use super::*;
    use crate::metainfo::{FileAttributes, FileEntry};
    use alloc::string::ToString;

    const BLOCK: u64 = 16_384;

    fn geometry() -> Geometry {
        Geometry::new(100_000, 40_000).unwrap()
    }

    fn blocks(of: &[(u32, u32)]) -> Vec<BlockRef> {
        of.iter().map(|(piece, block)| BlockRef { piece: *piece, block: *block }).collect()
    }

    fn file(length: u64, pad: bool) -> FileEntry {
        let attributes = FileAttributes { pad, ..FileAttributes::default() };
        let path = alloc::vec!["t".to_string(), "f".to_string()];
        let (symlink, pieces_root, own) = (None, None, None);
        FileEntry { path, length, offset: 0, attributes, symlink, pieces_root, own }
    }

    #[test]
    fn bytes_become_blocks_however_they_are_cut() {
        for step in [1, 7, 16_384, 50_000] {
            let mut run = Run::new(geometry(), blocks(&[(0, 1), (0, 2), (1, 0)]));
            assert_eq!((run.needs(), run.end()), (Some(BLOCK), 40_000 + BLOCK));
            let all = Bytes::from(alloc::vec![9; (run.end() - BLOCK) as usize]);
            let (mut at, mut taken) = (BLOCK, Taken::default());
            for part in all.chunks(step) {
                run.take(at, Bytes::copy_from_slice(part), &mut taken);
                at += part.len() as u64;
                run.check().unwrap();
            }
            let size = |(at, payload): &(BlockRef, Payload)| (at.piece, at.block, payload.len());
            let sizes: Vec<_> = taken.blocks.iter().map(size).collect();
            assert_eq!(sizes, [(0, 1, 16_384), (0, 2, 7_232), (1, 0, 16_384)]);
            assert!(run.is_empty() && taken.useless == 0);
            // However it comes, a block lies in few parts: each holds a buffer.
            assert!(taken.blocks.iter().all(|(_, block)| block.parts().len() <= 9), "{step}");
        }
    }

    #[test]
    fn small_parts_of_a_block_are_joined_and_do_not_hold_what_they_came_in() {
        let mut run = Run::new(geometry(), blocks(&[(0, 0)]));
        let mut taken = Taken::default();
        let received = Bytes::from(alloc::vec![9; 65_536]);
        for at in 0..BLOCK {
            let part = received.slice(at as usize..at as usize + 1);
            run.take(at, part, &mut taken);
            assert!(run.parts.len() <= 1);
        }
        assert_eq!(taken.blocks[0].1.len(), 16_384);
        assert!(received.try_into_mut().is_ok(), "nobody else holds it");
    }

    #[test]
    fn what_somebody_else_has_brought_is_passed_over() {
        let mut run = Run::new(geometry(), blocks(&[(0, 0), (0, 1), (0, 2)]));
        let mut taken = Taken::default();
        run.take(0, Bytes::from(alloc::vec![1; 100]), &mut taken);
        assert!(run.forget(BlockRef { piece: 0, block: 0 }));
        assert!(run.forget(BlockRef { piece: 0, block: 1 }));
        assert!(!run.forget(BlockRef { piece: 0, block: 1 }));
        run.check().unwrap();
        run.take(100, Bytes::from(alloc::vec![1; 39_900]), &mut taken);
        assert_eq!(taken.blocks.len(), 1);
        assert_eq!(taken.useless, 2 * BLOCK - 100);
        // The body of a server that knows no ranges goes on behind what is wanted.
        run.take(40_000, Bytes::from(alloc::vec![1; 10]), &mut taken);
        assert_eq!(taken.useless, 2 * BLOCK - 90);
    }

    #[test]
    fn padding_is_zeros_and_is_never_asked_for() {
        let files = alloc::vec![file(20_000, false), file(20_000, true), file(60_000, false)];
        let layout = Layout::new(files).unwrap();
        let mut run = Run::new(geometry(), blocks(&[(0, 0), (0, 1), (0, 2), (1, 0)]));
        let mut taken = Taken::default();
        let next = run.next(&layout, &mut taken);
        assert_eq!(next, Next::Get { file: 0, first: 0, end: 20_000 });
        run.take(0, Bytes::from(alloc::vec![1; 20_000]), &mut taken);
        assert_eq!(taken.blocks.len(), 1);
        let next = run.next(&layout, &mut taken);
        assert_eq!(next, Next::Get { file: 2, first: 0, end: BLOCK });
        assert_eq!(taken.blocks.len(), 3);
        let last = taken.blocks[2].1.parts().concat();
        assert!(last.len() == 7_232 && last.iter().all(|byte| *byte == 0));
        run.take(40_000, Bytes::from(alloc::vec![1; BLOCK as usize]), &mut taken);
        assert_eq!(run.next(&layout, &mut taken), Next::Nothing);
    }
}
