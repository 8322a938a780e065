//! Receive buffers: large chunks from which each read takes as much as it got.

use std::io::{self, Read};

use bytes::{Bytes, BytesMut};

/// Bytes of a chunk; a block that is kept pins no more than this.
const CHUNK: usize = 256 * 1024;
/// Less room than this is not worth a read.
const MIN_ROOM: usize = 16 * 1024;

/// A source of receive buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    chunk: BytesMut,
}

impl Buffers {
    /// Reads once from `source`, at most `limit` bytes. An empty result is the end of the stream.
    ///
    /// # Errors
    /// Whatever the source says.
    pub fn read(&mut self, source: &mut impl Read, limit: usize) -> io::Result<Bytes> {
        if self.chunk.len() < MIN_ROOM.min(limit) {
            self.chunk = BytesMut::zeroed(CHUNK);
        }
        let room = self.chunk.len().min(limit);
        let count = source.read(&mut self.chunk[..room])?;
        Ok(self.chunk.split_to(count).freeze())
    }
}
