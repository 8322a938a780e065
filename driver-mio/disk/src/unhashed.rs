//! Blocks that are written and whose piece is not hashed yet. While they are few they stay in
//! memory, so that the piece is hashed where it is and not read back; what does not fit is read.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use eddyline::base::ids::TorrentId;
use eddyline::base::payload::Payload;

use crate::lanes::LANES;

type Key = (TorrentId, u32);

/// The blocks of a piece, in order and without a gap.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    blocks: BTreeMap<u32, Payload>,
    bytes: u64,
    /// When its first block came, in turns of the keeper.
    began: u64,
}

#[derive(Debug, Default)]
struct Inner {
    pieces: HashMap<Key, Blocks>,
    /// Bytes of all blocks, those that are being hashed included.
    bytes: u64,
    turn: u64,
}

/// The keeper of such blocks.
#[derive(Debug)]
pub(super) struct Unhashed {
    inner: Mutex<Inner>,
    limit: u64,
}

impl Blocks {
    /// The blocks, in order.
    pub(super) fn into_blocks(self) -> impl Iterator<Item = Payload> {
        self.blocks.into_values()
    }

    /// Whether these are all of a piece of `size` bytes.
    fn are_whole(&self, size: u32) -> bool {
        let mut end = 0;
        self.blocks.iter().all(|(begin, payload)| {
            let follows = *begin == end;
            end = begin.saturating_add(payload.len());
            follows
        }) && end == size
    }
}

impl Unhashed {
    /// Keeps at most `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self { inner: Mutex::default(), limit }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether pieces of `size` bytes are kept: those of which too few would fit are read back.
    pub(super) fn keeps(&self, size: u32) -> bool {
        u64::from(size) <= self.limit / LANES as u64
    }

    /// Blocks of one piece of `size` bytes have been written.
    pub(super) fn written(
        &self,
        key: Key,
        size: u32,
        blocks: impl Iterator<Item = (u32, Payload)>,
    ) {
        if !self.keeps(size) {
            return;
        }
        let mut dropped = Vec::new();
        let mut inner = self.inner();
        inner.turn += 1;
        let turn = inner.turn;
        let mut piece = inner.pieces.remove(&key).unwrap_or_default();
        if piece.began == 0 {
            piece.began = turn;
        }
        for (begin, payload) in blocks {
            let length = u64::from(payload.len());
            inner.bytes += length;
            piece.bytes += length;
            if let Some(old) = piece.blocks.insert(begin, payload) {
                inner.bytes -= u64::from(old.len());
                piece.bytes -= u64::from(old.len());
            }
        }
        inner.pieces.insert(key, piece);
        while inner.bytes > self.limit {
            let oldest = inner.pieces.iter().min_by_key(|(_, piece)| piece.began);
            let Some(key) = oldest.map(|(key, _)| *key) else { break };
            if let Some(piece) = inner.pieces.remove(&key) {
                inner.bytes -= piece.bytes;
                dropped.push(piece);
            }
        }
        drop(inner);
        // Buffers go back to where they came from without anybody waiting.
        drop(dropped);
    }

    /// Takes a piece of `size` bytes out to be hashed, if all of it is here. Its bytes count until
    /// they are said to be [`freed`](Self::freed).
    pub(super) fn take(&self, key: Key, size: u32) -> Option<Blocks> {
        let mut inner = self.inner();
        let piece = inner.pieces.remove(&key)?;
        if piece.are_whole(size) {
            return Some(piece);
        }
        inner.bytes -= piece.bytes;
        None
    }

    /// Bytes that were taken out are not held any more.
    pub(super) fn freed(&self, bytes: u64) {
        self.inner().bytes -= bytes;
    }

    /// What is here of a piece may not be what is on disk.
    pub(super) fn forget_piece(&self, key: Key) {
        let mut inner = self.inner();
        if let Some(piece) = inner.pieces.remove(&key) {
            inner.bytes -= piece.bytes;
        }
    }

    /// What is here of a torrent is of no use any more.
    pub(super) fn forget(&self, torrent: TorrentId) {
        let mut inner = self.inner();
        let mut gone = 0;
        inner.pieces.retain(|(owner, _), piece| {
            let keep = *owner != torrent;
            gone += if keep { 0 } else { piece.bytes };
            keep
        });
        inner.bytes -= gone;
    }

    /// Most bytes that are held.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that are held now.
    pub(super) fn held(&self) -> u64 {
        self.inner().bytes
    }
}
