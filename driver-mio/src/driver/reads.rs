//! Blocks for peers. What the system has in memory is sent from there where it lies in one file, or
//! else read at once, blocks that lie behind each other together; what would have to come from a disk
//! is left to a worker, so that the loop never waits.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use eddyline::base::ids::{DiskOpId, TorrentId};
use eddyline::{DiskOp, DiskOutcome, Event, StoredBlock};
use eddyline_disk::{Residence, Span};

use super::Driver;
use crate::buffers::Buffers;

/// Bytes read at once.
const MOST: u32 = Buffers::EACH as u32;
/// Runs of at least this many bytes are read into a buffer that is used again; shorter ones into one of
/// exactly their length.
const LONG: u32 = MOST / 2;

/// Shorter blocks are not worth the calls that sending them from a file takes.
const WORTHWHILE: u32 = 8 * 1024;

/// A block to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockRead {
    pub(super) id: DiskOpId,
    pub(super) torrent: TorrentId,
    pub(super) piece: u32,
    pub(super) begin: u32,
    pub(super) length: u32,
}

/// Blocks for peers on their way.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// To be read in this turn.
    pub(super) wanted: Vec<BlockRead>,
    /// Those that the engine was told to be ready, in that order.
    pub(super) lent: VecDeque<(BlockRead, Span)>,
    /// Those were in memory not before this.
    seen: Option<Instant>,
}

impl BlockRead {
    fn op(self) -> (DiskOpId, DiskOp) {
        let Self { id, torrent, piece, begin, length } = self;
        (id, DiskOp::ReadBlock { torrent, piece, begin, length })
    }

    /// Whether `next` lies right behind this one.
    fn is_before(&self, next: &Self) -> bool {
        (self.torrent, self.piece) == (next.torrent, next.piece)
            && self.begin.checked_add(self.length) == Some(next.begin)
    }
}

impl Driver {
    /// Reads what this turn asked for.
    pub(super) fn read_blocks(&mut self) {
        let wanted = std::mem::take(&mut self.reads.wanted);
        self.reads.seen = (!wanted.is_empty()).then(Instant::now);
        let mut rest = wanted.as_slice();
        while let Some((first, behind)) = rest.split_first() {
            let (mut count, mut length, mut last) = (1, first.length, first);
            for next in behind {
                if !last.is_before(next) || length + next.length > MOST {
                    break;
                }
                (count, length, last) = (count + 1, length + next.length, next);
            }
            let (run, behind) = rest.split_at(count);
            rest = behind;
            if self.lend(run, length) {
                continue;
            }
            match self.read_at_once(first, length) {
                Some(bytes) => {
                    let outcomes = run.iter().map(|block| {
                        let from = (block.begin - first.begin) as usize;
                        let part = bytes.slice(from..from + block.length as usize);
                        Event::Disk(block.id, DiskOutcome::Read(part))
                    });
                    self.events.extend(outcomes);
                }
                None => self.disk.submit(run.iter().map(|block| block.op()).collect()),
            }
        }
        self.reads.wanted = wanted;
        self.reads.wanted.clear();
    }

    /// Where they can be sent from the disk, blocks are not read at all. Returns whether that is so.
    fn lend(&mut self, run: &[BlockRead], length: u32) -> bool {
        let [first, ..] = run else { return false };
        if first.length < WORTHWHILE {
            return false;
        }
        let span = self.disk.span(first.torrent, first.piece, first.begin, length);
        let Some(span) = span.filter(|span| span.residence() == Residence::Memory) else {
            return false;
        };
        for block in run {
            let part = span.part(block.begin - first.begin, block.length);
            self.reads.lent.push_back((*block, part));
            self.events.push(Event::Disk(block.id, DiskOutcome::Ready));
        }
        true
    }

    /// What was said to be ready and is to be sent now. Asked for in the order in which it was said;
    /// what is left out is not wanted any more. With it comes the time at which it was in memory.
    pub(super) fn lent(&mut self, wanted: StoredBlock) -> Option<(Span, Instant)> {
        let seen = self.reads.seen?;
        while let Some((block, span)) = self.reads.lent.pop_front() {
            let BlockRead { torrent, piece, begin, length, .. } = block;
            if (StoredBlock { torrent, piece, begin, length }) == wanted {
                return Some((span, seen));
            }
        }
        None
    }

    fn read_at_once(&mut self, first: &BlockRead, length: u32) -> Option<Bytes> {
        let BlockRead { torrent, piece, begin, .. } = *first;
        let read = |into: &mut [u8]| self.disk.read_resident(torrent, piece, begin, into);
        if length >= LONG {
            return self.buffers.fill(length as usize, read);
        }
        let mut bytes = BytesMut::zeroed(length as usize);
        read(&mut bytes).then(|| bytes.freeze())
    }
}
