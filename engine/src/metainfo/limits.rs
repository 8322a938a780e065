//! What is taken of a torrent or a magnet, whoever made it: every cap of these formats, in one place.
//! Beyond a cap the rest of a list is left out; where that would change what a torrent is, it is
//! refused.
//!
//! | what | cap | beyond it |
//! | --- | --- | --- |
//! | a `.torrent` or info dictionary | [`Limits::METAINFO`](crate::bencode::Limits::METAINFO) | refused |
//! | pieces | [`Geometry::MAX_PIECES`](super::Geometry::MAX_PIECES), each with its 20 bytes of hash in v1 | refused |
//! | piece length | [`MAX_PIECE_LENGTH`](super::MAX_PIECE_LENGTH) | refused |
//! | files | [`MAX_FILES`](super::MAX_FILES) | refused |
//! | components of a path | [`MAX_PATH_DEPTH`](super::MAX_PATH_DEPTH) | refused |
//! | bytes of a component | [`MAX_COMPONENT_BYTES`](super::MAX_COMPONENT_BYTES) | shortened |
//! | bytes of a magnet | [`MAX_MAGNET_BYTES`] | refused |
//! | bytes of a URL | [`MAX_URL_BYTES`] | left out |
//! | trackers, of all tiers | [`MAX_TRACKERS`] | left out |
//! | web seeds; HTTP seeds | [`MAX_WEB_SEEDS`] of each | left out |
//! | DHT nodes | [`MAX_NODES`] | left out |
//! | peers that a magnet names | [`MAX_MAGNET_PEERS`] of each kind | left out |
//! | files that a magnet selects | [`MAX_SELECTED`], numbers up to [`MAX_FILE_INDEX`] | left out |
//!
//! Whatever is read costs at most n log n in its bytes: lists are kept free of duplicates by a
//! [`Distinct`], which also holds the cap.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Bytes of a magnet URI.
pub const MAX_MAGNET_BYTES: usize = 1 << 20;
/// Bytes of the URL of a tracker or a web seed: what web servers take in a request line.
pub const MAX_URL_BYTES: usize = 8 << 10;
/// Trackers of a torrent, all tiers together. Published lists of public trackers hold up to 150.
pub const MAX_TRACKERS: usize = 256;
/// Web seeds (BEP 19) of a torrent, and HTTP seeds (BEP 17).
pub const MAX_WEB_SEEDS: usize = 256;
/// DHT nodes that a torrent or a magnet names (BEP 5).
pub const MAX_NODES: usize = 256;
/// Peers that a magnet names by address, and those that it names by host name.
pub const MAX_MAGNET_PEERS: usize = 256;
/// Files that `so` of a magnet may select (BEP 53).
pub const MAX_SELECTED: usize = 100_000;
/// Highest file number that `so` of a magnet may name.
pub const MAX_FILE_INDEX: u32 = 0x00ff_ffff;

/// A list without duplicates and with a cap, in the order of its making. A value is looked at in
/// the logarithm of what is in the list, and not at all once that is full.
#[derive(Clone, Debug)]
pub(super) struct Distinct<T> {
    list: Vec<T>,
    seen: BTreeSet<T>,
    most: usize,
}

impl<T: Clone + Ord> Distinct<T> {
    /// An empty list that takes up to `most` values.
    pub(super) fn new(most: usize) -> Self {
        Self { list: Vec::new(), seen: BTreeSet::new(), most }
    }

    /// Takes a value, unless it is there or the list is full. Returns whether it was taken.
    pub(super) fn add(&mut self, value: T) -> bool {
        let taken = !self.is_full() && self.seen.insert(value.clone());
        if taken {
            self.list.push(value);
        }
        taken
    }

    /// Whether nothing more is taken.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= self.most
    }

    /// The values, in the order in which they were taken.
    pub(super) fn into_vec(self) -> Vec<T> {
        self.list
    }
}
