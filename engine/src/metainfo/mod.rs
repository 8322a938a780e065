//! What a torrent is: `.torrent` files (BEP 3, 47, 52), magnet URIs (BEP 9, 53), and their making.

mod accessors;
#[cfg(feature = "create")]
mod create;
mod encode;
mod error;
mod files;
mod geometry;
mod limits;
mod magnet;
mod merkle;
mod names;
mod parse;
mod parse_v2;
mod source;
mod stored;
mod unclash;

#[cfg(all(test, feature = "create"))]
mod tests;

#[cfg(feature = "create")]
pub use create::default_piece_length;
#[cfg(feature = "create")]
pub use create::{CreateError, CreateNeed, CreateOptions, Creator, Format, InputFile};
pub use error::MetainfoError;
pub use files::{FileAttributes, FileEntry, FileSlice, Layout, Slices};
pub use geometry::{BLOCK_LENGTH, Geometry, MAX_PIECE_LENGTH};
pub use limits::{
    MAX_FILE_INDEX, MAX_MAGNET_BYTES, MAX_MAGNET_PEERS, MAX_NODES, MAX_SELECTED, MAX_TRACKERS,
    MAX_URL_BYTES, MAX_WEB_SEEDS,
};
pub use magnet::{InfoHash, Magnet, MagnetError, Publisher, parse_info_hash};
pub use merkle::{MerkleTree, layer_root, pad_hash};
pub use names::{
    MAX_COMPONENT_BYTES, MAX_FILES, MAX_PATH_DEPTH, Naming, PATH_BYTES_FREE, PATH_BYTES_PER_BYTE,
    is_possible, is_reserved, safe_component, safe_name,
};
pub use parse::{InfoHashes, Metainfo, Node};
pub use source::Source;
#[cfg(feature = "trace")]
pub(crate) use stored::Masks;
pub(crate) use unclash::name_beside;
