//! Hashing what is on disk: one piece, its blocks, or many pieces side by side.

use std::io;

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::BLOCK_LENGTH;
use sha1::{Digest, Sha1};

use super::operations::TorrentFiles;
use crate::sha1_lanes::{LANES, Lanes};

/// Bytes read at once while one piece is hashed.
const CHUNK: usize = 256 * 1024;
/// Bytes read at once of each of many pieces.
const LANE_CHUNK: usize = 128 * 1024;
/// Fewer pieces than these are hashed faster one after the other.
pub(super) const WORTHWHILE: usize = 8;

impl TorrentFiles {
    /// SHA-1 of a whole piece.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn hash_piece(&self, piece: u32) -> io::Result<Sha1Hash> {
        let size = self.metainfo().geometry.piece_size(piece) as usize;
        let mut buffer = vec![0; CHUNK.min(size)];
        let mut sha = Sha1::new();
        let mut at = 0;
        while at < size {
            let chunk = CHUNK.min(size - at);
            self.read_into(piece, at as u32, &mut buffer[..chunk])?;
            sha.update(&buffer[..chunk]);
            at += chunk;
        }
        Ok(Sha1Hash(sha.finalize().into()))
    }

    /// SHA-1 of many pieces, in their order: side by side where that is faster. A piece that cannot
    /// be read is an error of its own.
    #[must_use]
    pub fn hash_pieces(&self, pieces: &[u32]) -> Vec<io::Result<Sha1Hash>> {
        let size = |piece: &u32| self.metainfo().geometry.piece_size(*piece);
        let mut out = Vec::with_capacity(pieces.len());
        for group in pieces.chunk_by(|a, b| size(a) == size(b)).flat_map(|run| run.chunks(LANES)) {
            if group.len() >= WORTHWHILE && Lanes::are_fast() {
                out.extend(self.hash_side_by_side(group, size(&group[0]) as usize));
            } else {
                out.extend(group.iter().map(|piece| self.hash_piece(*piece)));
            }
        }
        out
    }

    /// Up to sixteen pieces of one size.
    fn hash_side_by_side(&self, pieces: &[u32], size: usize) -> Vec<io::Result<Sha1Hash>> {
        let chunk = LANE_CHUNK.min(size);
        let mut buffer = vec![0; chunk * pieces.len()];
        let mut errors: Vec<Option<io::Error>> = pieces.iter().map(|_| None).collect();
        let mut lanes = Lanes::new();
        let mut at = 0;
        loop {
            let count = chunk.min(size - at);
            for (lane, piece) in pieces.iter().enumerate() {
                let place = &mut buffer[lane * chunk..][..count];
                if errors[lane].is_none() {
                    errors[lane] = self.read_into(*piece, at as u32, place).err();
                }
            }
            // Lanes that nobody needs repeat the first.
            let part = |lane: usize| &buffer[if lane < pieces.len() { lane } else { 0 } * chunk..];
            let parts = std::array::from_fn(|lane| &part(lane)[..count]);
            at += count;
            if at == size {
                let digests = lanes.finish(&parts);
                return errors
                    .into_iter()
                    .zip(digests)
                    .map(|(error, digest)| error.map_or(Ok(digest), Err))
                    .collect();
            }
            lanes.update(&parts);
        }
    }

    /// SHA-1 of each block of a piece.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn hash_blocks(&self, piece: u32) -> io::Result<Box<[Sha1Hash]>> {
        let geometry = self.metainfo().geometry;
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
