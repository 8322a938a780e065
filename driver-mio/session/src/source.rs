//! What a torrent is made known by: a `.torrent`, a magnet URI, or an info-hash.

use std::path::Path;
use std::str::FromStr;

use eddyline::metainfo::{InfoHash, Magnet, MagnetError, Metainfo, parse_info_hash};
use eddyline_disk::private;

/// Longest `.torrent` that is read. A film that is named by mistake is not read whole.
pub const MAX_TORRENT: u64 = 64 << 20;

/// A torrent, or what it is found by.
#[derive(Clone, Debug)]
pub enum Source {
    /// A torrent.
    Torrent(Box<Metainfo>),
    /// A magnet URI, or an info-hash on its own.
    Magnet(Box<Magnet>),
}

impl Source {
    /// Reads a `.torrent` file.
    ///
    /// # Errors
    /// Whatever the system says; `FileTooLarge` for more than [`MAX_TORRENT`] bytes; `InvalidData` with a
    /// [`MetainfoError`](eddyline::metainfo::MetainfoError) for what is no torrent.
    pub fn read(path: impl AsRef<Path>) -> std::io::Result<Self> {
        let bytes = private::read(path.as_ref(), MAX_TORRENT)?;
        let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        Metainfo::parse(&bytes).map(Self::from).map_err(invalid)
    }
}

/// A magnet URI, or an info-hash (40 digits of hex, 32 of base32; 64 of hex or a multihash for v2).
impl FromStr for Source {
    type Err = MagnetError;

    fn from_str(text: &str) -> Result<Self, MagnetError> {
        let text = text.trim();
        if is_magnet(text) {
            return Ok(Magnet::parse(text)?.into());
        }
        Ok(match parse_info_hash(text)? {
            InfoHash::V1(hash) => Magnet { v1: Some(hash), ..Magnet::default() },
            InfoHash::V2(hash) => Magnet { v2: Some(hash), ..Magnet::default() },
        }
        .into())
    }
}

/// Whether a text has the scheme of magnets.
#[must_use]
pub fn is_magnet(text: &str) -> bool {
    text.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("magnet:"))
}

impl From<Metainfo> for Source {
    fn from(metainfo: Metainfo) -> Self {
        Self::Torrent(metainfo.into())
    }
}

impl From<Magnet> for Source {
    fn from(magnet: Magnet) -> Self {
        Self::Magnet(magnet.into())
    }
}
