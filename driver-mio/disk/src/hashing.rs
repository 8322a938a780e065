//! Hashing what is on disk: one piece, its blocks, or many pieces side by side.

use std::collections::BTreeSet;
use std::io;

use eddyline::base::hash::Sha1Hash;
use eddyline::base::payload::Payload;
use eddyline::metainfo::BLOCK_LENGTH;
use sha1::digest::Output;
use sha1::{Digest, Sha1};

use super::operations::{Arranged, TorrentFiles};
use super::unhashed::Blocks;
use crate::lanes::{self, LANES, LaneHash, Lanes, WORTHWHILE};

/// Bytes read at once while one piece is hashed.
const CHUNK: usize = 256 * 1024;
/// Bytes read at once of each of many pieces: those of all lanes stay in the processor's own cache.
const LANE_CHUNK: usize = 32 * 1024;

/// Where pieces are read into. Whoever hashes often keeps it, so that its pages are touched once.
#[derive(Debug, Default)]
pub struct HashBuffer(Vec<u8>);

impl HashBuffer {
    fn room(&mut self, count: usize) -> &mut [u8] {
        if self.0.len() < count {
            self.0.resize(count, 0);
        }
        &mut self.0[..count]
    }
}

/// SHA-1 of pieces of one size that are in memory: side by side where that is faster. What is hashed
/// is let go of at once, so that what comes meanwhile finds room; `freed` hears how many bytes.
pub(super) fn hash_in_memory(
    pieces: Vec<Blocks>,
    buffer: &mut HashBuffer,
    freed: impl Fn(u64),
) -> Vec<Sha1Hash> {
    let mut out = Vec::with_capacity(pieces.len());
    let mut pieces = pieces.into_iter();
    while pieces.len() > 0 {
        let group: Vec<Blocks> = pieces.by_ref().take(LANES).collect();
        let count = group.len();
        if count >= WORTHWHILE && lanes::are_fast::<Sha1>() {
            out.extend(side_by_side_in_memory(group, buffer, &freed).into_iter().take(count));
            continue;
        }
        out.extend(group.into_iter().map(|piece| {
            let mut sha = Sha1::new();
            for block in piece.into_blocks() {
                block.parts().iter().for_each(|part| sha.update(part));
                let length = block.len();
                drop(block);
                freed(length.into());
            }
            Sha1Hash(sha.finalize().into())
        }));
    }
    out
}

/// Block by block: those in one part are hashed where they are, the few others are put together.
fn side_by_side_in_memory(
    pieces: Vec<Blocks>,
    buffer: &mut HashBuffer,
    freed: impl Fn(u64),
) -> [Sha1Hash; LANES] {
    const BLOCK: usize = BLOCK_LENGTH as usize;
    let buffer = buffer.room(BLOCK * LANES);
    let mut lanes = Lanes::<Sha1>::of_first(pieces.len());
    let count = pieces.len();
    let mut blocks: Vec<_> =
        pieces.into_iter().map(|piece| piece.into_blocks().peekable()).collect();
    loop {
        let row: Vec<Payload> = blocks.iter_mut().filter_map(Iterator::next).collect();
        let mut parts: [&[u8]; LANES] = [&[]; LANES];
        for ((payload, slot), part) in row.iter().zip(buffer.chunks_mut(BLOCK)).zip(&mut parts) {
            *part = whole(payload, slot);
        }
        // Lanes that nobody needs repeat the first.
        let first = parts[0];
        parts[count..].fill(first);
        let bytes = row.iter().map(|payload| u64::from(payload.len())).sum();
        if blocks.iter_mut().all(|rest| rest.peek().is_none()) {
            let hashes = lanes.finish(&parts);
            drop(row);
            freed(bytes);
            return hashes.map(|digest| Sha1Hash(digest.into()));
        }
        lanes.update(&parts);
        drop(row);
        freed(bytes);
    }
}

/// A block in one part, put together in `slot` if it is in several.
fn whole<'a>(payload: &'a Payload, slot: &'a mut [u8]) -> &'a [u8] {
    if let [one] = payload.parts() {
        return one;
    }
    let mut end = 0;
    for part in payload.parts() {
        slot[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    }
    &slot[..end]
}

/// Digests of up to sixteen messages of `size` bytes, which `read` brings: bytes of a message, from a
/// place on. A message that cannot be read is an error of its own.
///
/// # Panics
/// When there are more than sixteen.
pub fn side_by_side<H: LaneHash, E>(
    count: usize,
    size: usize,
    buffer: &mut HashBuffer,
    mut read: impl FnMut(usize, usize, &mut [u8]) -> Result<(), E>,
) -> Vec<Result<Output<H::One>, E>> {
    let chunk = LANE_CHUNK.min(size);
    let buffer = buffer.room(chunk * count);
    let mut errors: Vec<Option<E>> = (0..count).map(|_| None).collect();
    let mut lanes = Lanes::<H>::of_first(count);
    let mut at = 0;
    loop {
        let length = chunk.min(size - at);
        for (lane, error) in errors.iter_mut().enumerate() {
            let place = &mut buffer[lane * chunk..][..length];
            if error.is_none() {
                *error = read(lane, at, place).err();
            }
        }
        // Lanes that nobody needs repeat the first.
        let part = |lane: usize| &buffer[if lane < count { lane } else { 0 } * chunk..];
        let parts = std::array::from_fn(|lane| &part(lane)[..length]);
        at += length;
        if at == size {
            let digests = lanes.finish(&parts);
            let each = errors.into_iter().zip(digests);
            return each.map(|(error, digest)| error.map_or(Ok(digest), Err)).collect();
        }
        lanes.update(&parts);
    }
}

impl TorrentFiles {
    /// SHA-1 of a whole piece, of the files that have their names now.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn hash_piece(&self, piece: u32, buffer: &mut HashBuffer) -> io::Result<Sha1Hash> {
        self.look_for_files(&[piece]);
        self.hash_with(piece, buffer, |at, into| self.read_into(piece, at, into))
    }

    /// Whether a piece is good as the files lie.
    pub(super) fn is_good(&self, arranged: &Arranged, piece: u32) -> bool {
        let read = |at, into: &mut [u8]| self.read_arranged(arranged, piece, at, into);
        let hash = self.hash_with(piece, &mut HashBuffer::default(), read);
        hash.is_ok_and(|hash| self.metainfo().piece_hash(piece) == Some(hash))
    }

    fn hash_with(
        &self,
        piece: u32,
        buffer: &mut HashBuffer,
        read: impl Fn(u32, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<Sha1Hash> {
        let size = self.metainfo().geometry().piece_size(piece) as usize;
        let buffer = buffer.room(CHUNK.min(size));
        let mut sha = Sha1::new();
        let mut at = 0;
        while at < size {
            let chunk = CHUNK.min(size - at);
            read(at as u32, &mut buffer[..chunk])?;
            sha.update(&buffer[..chunk]);
            at += chunk;
        }
        Ok(Sha1Hash(sha.finalize().into()))
    }

    /// SHA-1 of many pieces, in their order: side by side where that is faster. A piece that cannot
    /// be read is an error of its own.
    #[must_use]
    pub fn hash_pieces(
        &self,
        pieces: &[u32],
        buffer: &mut HashBuffer,
    ) -> Vec<io::Result<Sha1Hash>> {
        let size = |piece: &u32| self.metainfo().geometry().piece_size(*piece);
        self.look_for_files(pieces);
        let mut out = Vec::with_capacity(pieces.len());
        for group in pieces.chunk_by(|a, b| size(a) == size(b)).flat_map(|run| run.chunks(LANES)) {
            if group.len() >= WORTHWHILE && lanes::are_fast::<Sha1>() {
                out.extend(self.hash_side_by_side(group, size(&group[0]) as usize, buffer));
            } else {
                let read = |piece: u32| move |at, into: &mut [u8]| self.read_into(piece, at, into);
                out.extend(group.iter().map(|piece| self.hash_with(*piece, buffer, read(*piece))));
            }
        }
        out
    }

    /// Files that pieces lie in and that are open are closed where another one has their name, or none.
    fn look_for_files(&self, pieces: &[u32]) {
        let size = |piece: u32| self.metainfo().geometry().piece_size(piece);
        let files = pieces.iter().flat_map(|piece| self.files_of(*piece, 0, size(*piece)));
        let files: BTreeSet<u32> = files.collect();
        let arranged = self.read_lock();
        files.into_iter().for_each(|file| self.close_if_gone(&arranged, file));
    }

    /// Up to sixteen pieces of one size.
    fn hash_side_by_side(
        &self,
        pieces: &[u32],
        size: usize,
        buffer: &mut HashBuffer,
    ) -> Vec<io::Result<Sha1Hash>> {
        let read =
            |lane: usize, at: usize, into: &mut [u8]| self.read_into(pieces[lane], at as u32, into);
        let digests = side_by_side::<Sha1, _>(pieces.len(), size, buffer, read);
        digests.into_iter().map(|digest| digest.map(|digest| Sha1Hash(digest.into()))).collect()
    }

    /// SHA-1 of each block of a piece.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn hash_blocks(&self, piece: u32) -> io::Result<Box<[Sha1Hash]>> {
        let geometry = self.metainfo().geometry();
        let mut buffer = vec![0; BLOCK_LENGTH as usize];
        let mut hashes = Vec::new();
        for block in 0..geometry.blocks_in(piece) {
            let part = &mut buffer[..geometry.block_size(piece, block) as usize];
            self.read_into(piece, block * BLOCK_LENGTH, part)?;
            hashes.push(Sha1Hash(Sha1::digest(part).into()));
        }
        Ok(hashes.into())
    }
}
