//! What a torrent says, to be read.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use super::files::Layout;
use super::geometry::Geometry;
use super::magnet::Magnet;
use super::parse::{raw_name, said_paths};
use super::{InfoHashes, Metainfo, Node};
use crate::base::hash::{Sha1Hash, Sha256Hash};
use crate::bencode::{Limits, Mode, scan};

impl Metainfo {
    /// Both identities.
    pub fn info_hashes(&self) -> InfoHashes {
        self.info_hashes
    }

    /// The suggested name, made safe: the file's name, or the folder around all files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files and their places in the content.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Pieces and blocks.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The v1 piece hashes, 20 bytes each; empty for v2-only torrents.
    pub fn piece_hashes(&self) -> &[u8] {
        &self.piece_hashes
    }

    /// The v2 piece layers by `pieces root`, 32 bytes a piece, each proven against its root.
    pub fn piece_layers(&self) -> &BTreeMap<Sha256Hash, Bytes> {
        &self.piece_layers
    }

    /// Trackers in tiers (BEP 12), order as found.
    pub fn trackers(&self) -> &[Vec<String>] {
        &self.outside.trackers
    }

    /// Web seeds (BEP 19).
    pub fn web_seeds(&self) -> &[String] {
        &self.outside.web_seeds
    }

    /// HTTP seeds (BEP 17).
    pub fn http_seeds(&self) -> &[String] {
        &self.outside.http_seeds
    }

    /// DHT nodes (BEP 5).
    pub fn nodes(&self) -> &[Node] {
        &self.outside.nodes
    }

    /// Peers only from trackers (BEP 27).
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Free text.
    pub fn comment(&self) -> Option<&str> {
        self.outside.comment.as_deref()
    }

    /// The program that made the torrent.
    pub fn created_by(&self) -> Option<&str> {
        self.outside.created_by.as_deref()
    }

    /// Seconds since 1970.
    pub fn creation_date(&self) -> Option<i64> {
        self.outside.creation_date
    }

    /// The `source` key by which private trackers make info-hashes their own.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The info dictionary byte for byte: what the identities are hashes of.
    pub fn info(&self) -> &Bytes {
        &self.info
    }

    /// The expected SHA-1 of v1 piece `piece`.
    pub fn piece_hash(&self, piece: u32) -> Option<Sha1Hash> {
        let start = piece as usize * 20;
        Sha1Hash::from_slice(self.piece_hashes.get(start..start + 20)?)
    }

    /// The name as the torrent has it, where [`Self::name`] is another one: because it would not have
    /// been safe, or because a single file of v2 goes by its name in the tree.
    pub fn name_in_torrent(&self) -> Option<String> {
        let document = scan(&self.info, Limits::METAINFO, Mode::Lenient).ok()?;
        let raw = String::from_utf8_lossy(raw_name(&document.root())?).into_owned();
        (raw != self.name).then_some(raw)
    }

    /// The paths that the torrent gives to files, with `/` between parts, where [`FileEntry::path`](super::FileEntry)
    /// is another one: those that would not have been safe, and those that no file can have. Reads the info dictionary.
    pub fn paths_in_torrent(&self) -> BTreeMap<u32, String> {
        let Ok(document) = scan(&self.info, Limits::METAINFO, Mode::Lenient) else {
            return BTreeMap::new();
        };
        let said = said_paths(&document.root());
        let files = (0u32..).zip(self.layout.files()).filter(|(_, file)| !file.attributes.pad);
        let mut said = said.into_iter();
        let both = files.filter_map(|(index, file)| Some((index, file, said.next()?)));
        let other = both.filter(|(_, file, said)| {
            let same = |(a, b): (&&[u8], &String)| *a == b.as_bytes();
            said.len() != file.path.len() || !said.iter().zip(&file.path).all(same)
        });
        let text = |parts: &[&[u8]]| String::from_utf8_lossy(&parts.join(&b'/')).into_owned();
        other.map(|(index, _, said)| (index, text(&said))).collect()
    }

    /// The magnet URI that leads to this torrent.
    pub fn magnet(&self) -> Magnet {
        Magnet {
            v1: self.info_hashes.v1,
            v2: self.info_hashes.v2,
            name: Some(self.name.clone()),
            trackers: self.trackers().concat(),
            web_seeds: self.web_seeds().to_vec(),
            ..Magnet::default()
        }
    }

    /// The same torrent with other trackers, in tiers: no hash covers them.
    #[must_use]
    pub fn with_trackers(mut self, trackers: Vec<Vec<String>>) -> Self {
        self.outside.trackers = trackers;
        self
    }

    /// The same torrent with other HTTP seeds (BEP 17): no hash covers them.
    #[must_use]
    pub fn with_http_seeds(mut self, urls: Vec<String>) -> Self {
        self.outside.http_seeds = urls;
        self
    }

    /// The same torrent with other DHT nodes: no hash covers them.
    #[must_use]
    pub fn with_nodes(mut self, nodes: Vec<Node>) -> Self {
        self.outside.nodes = nodes;
        self
    }

    /// Marks it as private on purpose, for tests of invariants.
    #[cfg(feature = "corruption")]
    pub(crate) fn corrupt_private(&mut self) {
        self.private = true;
    }
}
