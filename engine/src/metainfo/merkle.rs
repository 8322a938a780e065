//! Merkle trees of v2 torrents (BEP 52): SHA-256 over 16 KiB blocks, padded to a power of two.

use alloc::vec::Vec;

use super::geometry::BLOCK_LENGTH;
use crate::base::hash::Sha256Hash;

/// Hash of a parent node.
fn parent(left: Sha256Hash, right: Sha256Hash) -> Sha256Hash {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&left.0);
    both[32..].copy_from_slice(&right.0);
    Sha256Hash::of(&both)
}

/// The root of a subtree of `2^height` leaves that are all zero: what stands for absent blocks.
pub fn pad_hash(height: u32) -> Sha256Hash {
    (0..height).fold(Sha256Hash([0; 32]), |hash, _| parent(hash, hash))
}

/// The root over `nodes`, padded to a power of two with `pad`. `None` for no nodes.
pub fn layer_root(nodes: &[Sha256Hash], mut pad: Sha256Hash) -> Option<Sha256Hash> {
    let mut layer = nodes.to_vec();
    while layer.len() > 1 {
        layer = layer.chunks(2).map(|p| parent(p[0], p.get(1).copied().unwrap_or(pad))).collect();
        pad = parent(pad, pad);
    }
    layer.first().copied()
}

/// The Merkle tree of one file, built from the hashes of its blocks.
#[derive(Clone, Debug)]
pub struct MerkleTree {
    root: Sha256Hash,
    piece_layer: Vec<Sha256Hash>,
}

impl MerkleTree {
    /// Builds the tree over `blocks` (SHA-256 of every 16 KiB of the file, in order) for pieces of
    /// `piece_length`, a power of two of at least 16 KiB. `None` for an empty file.
    pub fn new(blocks: &[Sha256Hash], piece_length: u32) -> Option<Self> {
        let per_piece = (piece_length / BLOCK_LENGTH).max(1) as usize;
        let height = per_piece.trailing_zeros();
        if blocks.len() <= per_piece {
            let root = layer_root(blocks, pad_hash(0))?;
            return Some(Self { root, piece_layer: Vec::new() });
        }
        let piece_layer: Vec<_> =
            blocks.chunks(per_piece).filter_map(|piece| piece_root(piece, height)).collect();
        let root = layer_root(&piece_layer, pad_hash(height))?;
        Some(Self { root, piece_layer })
    }

    /// The `pieces root`.
    pub const fn root(&self) -> Sha256Hash {
        self.root
    }

    /// The hashes of the piece layer; empty for a file that fits one piece.
    pub fn piece_layer(&self) -> &[Sha256Hash] {
        &self.piece_layer
    }
}

/// Root of one piece: always a full subtree of `2^height` leaves, the absent ones zero.
fn piece_root(blocks: &[Sha256Hash], height: u32) -> Option<Sha256Hash> {
    let mut layer = blocks.to_vec();
    for level in 0..height {
        let pad = pad_hash(level);
        layer = layer.chunks(2).map(|p| parent(p[0], p.get(1).copied().unwrap_or(pad))).collect();
    }
    layer.first().copied()
}
