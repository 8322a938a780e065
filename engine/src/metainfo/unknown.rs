//! A torrent of which only the identity is known: what a magnet stands for until its info
//! dictionary has come (BEP 9).

use alloc::collections::BTreeMap;
use alloc::string::String;
use bytes::Bytes;

use super::files::Layout;
use super::geometry::Geometry;
use super::magnet::Magnet;
use super::names::{Naming, safe_name};
use super::parse::Outside;
use super::{InfoHashes, Metainfo, Node};

impl Metainfo {
    /// What a magnet says, with no files and no pieces.
    pub fn from_magnet(magnet: &Magnet) -> Self {
        let hashes = magnet.info_hashes();
        let name =
            magnet.name.as_deref().and_then(|name| safe_name(name.as_bytes(), Naming::POSIX));
        let node = |text: &String| {
            let (host, port) = text.rsplit_once(':')?;
            let host = host.trim_matches(['[', ']']).into();
            Some(Node { host, port: port.parse().ok().filter(|port| *port != 0)? })
        };
        let outside = Outside {
            trackers: magnet.trackers.iter().map(|url| alloc::vec![url.clone()]).collect(),
            web_seeds: magnet.web_seeds.clone(),
            nodes: magnet.nodes.iter().filter_map(node).collect(),
            ..Outside::default()
        };
        Self::unknown(hashes, name.unwrap_or_else(|| hashes.wire().to_hex()), outside)
    }

    pub(super) fn unknown(info_hashes: InfoHashes, name: String, outside: Outside) -> Self {
        Self {
            info_hashes,
            name,
            layout: Layout::default(),
            geometry: Geometry::EMPTY,
            piece_hashes: Bytes::new(),
            piece_layers: BTreeMap::new(),
            private: false,
            source: None,
            info: Bytes::new(),
            outside,
            stand_in: false,
        }
    }

    /// Whether files and pieces are known.
    pub fn is_known(&self) -> bool {
        !self.info.is_empty()
    }

    /// The info dictionary `info` in the place of nothing; trackers, web seeds and nodes stay.
    ///
    /// # Errors
    /// The first rule that the dictionary breaks; [`Identity`](super::MetainfoError::Identity) where
    /// it is not what the hashes of the magnet stand for. One that is read by its v1 hash and has no
    /// v1 half would declare pieces without bringing a hash for each, and nobody could check them.
    pub fn with_info(&self, info: &[u8]) -> Result<Self, super::MetainfoError> {
        let found = Self::parse_info(info)?;
        let InfoHashes { v1, v2 } = self.info_hashes;
        let contradicts = (v1.is_some() && v1 != found.info_hashes.v1)
            || (v2.is_some() && v2 != found.info_hashes.v2);
        if contradicts {
            return Err(super::MetainfoError::Identity);
        }
        Ok(Self { outside: self.outside.clone(), ..found })
    }
}
