//! Metainfo as it is stored, in traces and snapshots: the bytes of the info dictionary and what stood
//! beside it. Reading it parses those bytes, so that nothing that contradicts itself comes into being.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::files::{FileEntry, Layout};
use super::geometry::Geometry;
use super::names::{MAX_PATH_DEPTH, Naming, safe_component};
use super::parse::Outside;
use super::parse_v2::proven_layers;
use super::{InfoHashes, Metainfo, MetainfoError};
#[cfg(feature = "trace")]
use crate::base::hash::Sha1Hash;
use crate::base::hash::Sha256Hash;

#[derive(Serialize)]
#[serde(rename = "Stored")]
enum Storing<'a> {
    Parsed { info: &'a Bytes, layers: &'a BTreeMap<Sha256Hash, Bytes>, outside: &'a Outside },
    StandIn(Box<StandIn>),
}

#[derive(Deserialize)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made")]
enum Stored {
    Parsed { info: Bytes, layers: BTreeMap<Sha256Hash, Bytes>, outside: Outside },
    StandIn(Box<StandIn>),
}

/// A torrent of which nothing is told but lengths: no info dictionary has its hash.
#[derive(Serialize, Deserialize)]
struct StandIn {
    hashes: InfoHashes,
    name: String,
    files: Vec<FileEntry>,
    piece_length: u32,
    piece_hashes: Bytes,
    private: bool,
    /// As long as the info dictionary, which peers are told.
    info: Bytes,
    outside: Outside,
}

/// What stands in for names and hashes.
#[cfg(feature = "trace")]
pub(crate) trait Masks {
    /// In the place of a v1 identity.
    fn info_hash(&mut self, hash: Sha1Hash) -> Sha1Hash;
    /// In the place of a v2 identity.
    fn long_hash(&mut self, hash: Sha256Hash) -> Sha256Hash;
    /// In the place of the hash of a piece.
    fn piece(&mut self, hash: Sha1Hash) -> Sha1Hash;
    /// In the place of a part of a path; one that is safe.
    fn name(&mut self, name: &str) -> String;
    /// In the place of a URL.
    fn url(&mut self, url: &str) -> String;
}

impl Serialize for Metainfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let outside = &self.outside;
        let stored = if self.stand_in {
            Storing::StandIn(Box::new(StandIn::of(self)))
        } else {
            Storing::Parsed { info: &self.info, layers: &self.piece_layers, outside }
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Metainfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Stored::deserialize(deserializer)? {
            Stored::Parsed { info, layers, outside } => {
                Self::of_stored(&info, &layers, outside).map_err(D::Error::custom)
            }
            Stored::StandIn(stand_in) => {
                stand_in.build().ok_or_else(|| D::Error::custom("no torrent could be like this"))
            }
        }
    }
}

impl Metainfo {
    fn of_stored(
        info: &[u8],
        layers: &BTreeMap<Sha256Hash, Bytes>,
        outside: Outside,
    ) -> Result<Self, MetainfoError> {
        let found = Self::parse_info(info)?;
        let layers = layers.iter().map(|(root, layer)| (*root, &layer[..]));
        let piece_layers = proven_layers(layers, &found.layout, found.geometry)?;
        Ok(Self { piece_layers, outside, ..found })
    }

    /// The same without anything that says which torrent it is; for traces that must not tell. Every
    /// field is named: a new one does not compile before somebody has said what it may tell.
    #[cfg(feature = "trace")]
    pub(crate) fn masked(&self, masks: &mut impl Masks) -> Self {
        let Self {
            info_hashes: InfoHashes { v1, v2 },
            name,
            layout,
            geometry,
            piece_hashes,
            piece_layers: _,
            private,
            source: _,
            info,
            outside,
            stand_in: _,
        } = self;
        let Outside {
            trackers,
            web_seeds,
            http_seeds,
            nodes: _,
            comment: _,
            created_by: _,
            creation_date: _,
        } = outside;
        let v2 = v2.map(|hash| masks.long_hash(hash));
        let v1 = v1.map(|hash| masks.info_hash(hash));
        let name = masks.name(name);
        let mut layout = layout.clone();
        layout.rename(|part| masks.name(part));
        let pieces = piece_hashes.chunks_exact(20).filter_map(Sha1Hash::from_slice);
        let piece_hashes: Vec<u8> = pieces.flat_map(|hash| masks.piece(hash).0).collect();
        let mut urls = |urls: &[String]| urls.iter().map(|url| masks.url(url)).collect();
        let outside = Outside {
            trackers: trackers.iter().map(|tier| urls(tier)).collect(),
            web_seeds: urls(web_seeds),
            http_seeds: urls(http_seeds),
            ..Outside::default()
        };
        Self {
            info_hashes: InfoHashes { v1, v2 },
            name,
            layout,
            geometry: *geometry,
            piece_hashes: piece_hashes.into(),
            piece_layers: BTreeMap::new(),
            private: *private,
            source: None,
            info: nothing(info.len()),
            outside,
            stand_in: true,
        }
    }
}

impl StandIn {
    fn of(metainfo: &Metainfo) -> Self {
        Self {
            hashes: metainfo.info_hashes,
            name: metainfo.name.clone(),
            files: metainfo.layout.files().to_vec(),
            piece_length: metainfo.geometry.piece_length(),
            piece_hashes: metainfo.piece_hashes.clone(),
            private: metainfo.private,
            info: metainfo.info.clone(),
            outside: metainfo.outside.clone(),
        }
    }

    /// `None` where it breaks a rule that every parsed torrent keeps to.
    fn build(self) -> Option<Metainfo> {
        let is_safe = |path: &[String]| {
            let safe = |part: &String| {
                safe_component(part.as_bytes(), Naming::POSIX).as_ref() == Some(part)
            };
            (1..=MAX_PATH_DEPTH + 1).contains(&path.len()) && path.iter().all(safe)
        };
        let safe = self
            .files
            .iter()
            .all(|file| is_safe(&file.path) && file.symlink.as_deref().is_none_or(is_safe));
        if self.files.is_empty() || !safe || !is_safe(core::slice::from_ref(&self.name)) {
            return None;
        }
        let layout = Layout::new(self.files)?;
        let geometry = Geometry::new(layout.length(), self.piece_length)?;
        let hashes = if self.hashes.v1.is_some() { u64::from(geometry.pieces()) * 20 } else { 0 };
        if self.piece_hashes.len() as u64 != hashes {
            return None;
        }
        Some(Metainfo {
            info_hashes: self.hashes,
            name: self.name,
            layout,
            geometry,
            piece_hashes: self.piece_hashes,
            piece_layers: BTreeMap::new(),
            private: self.private,
            source: None,
            info: nothing(self.info.len()),
            outside: self.outside,
            stand_in: true,
        })
    }
}

fn nothing(length: usize) -> Bytes {
    alloc::vec![b'x'; length].into()
}
