//! What a torrent is made known by: its metainfo, or a magnet link, which is all there is until a peer has given the
//! info dictionary (BEP 9).

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::files::FileEntry;
use super::magnet::{InfoHash, Magnet, MagnetError, parse_info_hash};
use super::names::{Naming, safe_name};
use super::parse::Outside;
#[cfg(feature = "trace")]
use super::stored::Masks;
use super::{InfoHashes, Metainfo, MetainfoError, Node};

/// A torrent, or the magnet link by which it is found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Source {
    /// A torrent: files and pieces are known.
    Torrent(Arc<Metainfo>),
    /// A magnet URI, or an info-hash on its own: only the identity is known, and where to ask.
    Magnet(Arc<Magnet>),
}

impl Source {
    /// Both identities.
    pub fn info_hashes(&self) -> InfoHashes {
        match self {
            Self::Torrent(metainfo) => metainfo.info_hashes(),
            Self::Magnet(magnet) => magnet.info_hashes(),
        }
    }

    /// The suggested name, made safe. A magnet that has none is called by its hash, in hex.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Torrent(metainfo) => metainfo.name().into(),
            Self::Magnet(magnet) => magnet.safe_name().into(),
        }
    }

    /// The torrent, where it is known.
    pub fn metainfo(&self) -> Option<&Arc<Metainfo>> {
        match self {
            Self::Torrent(metainfo) => Some(metainfo),
            Self::Magnet(_) => None,
        }
    }

    /// The files, where they are known; else none.
    pub fn files(&self) -> &[FileEntry] {
        self.metainfo().map_or(&[], |metainfo| metainfo.layout().files())
    }

    /// Whether peers come only from trackers (BEP 27). Of a magnet it is not known, and taken for no.
    pub fn is_private(&self) -> bool {
        self.metainfo().is_some_and(|metainfo| metainfo.is_private())
    }

    /// Trackers in tiers (BEP 12). Each of a magnet is a tier of its own.
    pub fn trackers(&self) -> Cow<'_, [Vec<String>]> {
        match self {
            Self::Torrent(metainfo) => metainfo.trackers().into(),
            Self::Magnet(magnet) => magnet.tiers().into(),
        }
    }

    /// HTTP seeds (BEP 17); a magnet has none.
    pub fn http_seeds(&self) -> &[String] {
        match self {
            Self::Torrent(metainfo) => metainfo.http_seeds(),
            Self::Magnet(_) => &[],
        }
    }

    /// Web seeds (BEP 19).
    pub fn web_seeds(&self) -> &[String] {
        match self {
            Self::Torrent(metainfo) => metainfo.web_seeds(),
            Self::Magnet(magnet) => &magnet.web_seeds,
        }
    }

    /// DHT nodes that are named beside it (BEP 5).
    pub fn nodes(&self) -> Cow<'_, [Node]> {
        match self {
            Self::Torrent(metainfo) => metainfo.nodes().into(),
            Self::Magnet(magnet) => magnet.dht_nodes().into(),
        }
    }
}

#[cfg(feature = "trace")]
impl Source {
    /// The same without anything that says which torrent it is; for traces that must not tell.
    pub(crate) fn masked(&self, masks: &mut impl Masks) -> Self {
        match self {
            Self::Torrent(metainfo) => metainfo.masked(masks).into(),
            Self::Magnet(magnet) => magnet.masked(masks).into(),
        }
    }
}

#[cfg(feature = "trace")]
impl Magnet {
    /// Every field is named: a new one does not compile before somebody has said what it may tell.
    fn masked(&self, masks: &mut impl Masks) -> Self {
        let Self {
            v1,
            v2,
            publisher: _,
            name,
            trackers,
            web_seeds,
            peers: _,
            named_peers: _,
            nodes: _,
            select_only,
        } = self;
        let mut urls = |urls: &[String]| urls.iter().map(|url| masks.url(url)).collect();
        let (trackers, web_seeds) = (urls(trackers), urls(web_seeds));
        Self {
            v1: v1.map(|hash| masks.info_hash(hash)),
            v2: v2.map(|hash| masks.long_hash(hash)),
            name: name.as_ref().map(|_| masks.name(&self.safe_name())),
            trackers,
            web_seeds,
            select_only: select_only.clone(),
            ..Self::default()
        }
    }
}

impl From<Arc<Metainfo>> for Source {
    fn from(metainfo: Arc<Metainfo>) -> Self {
        Self::Torrent(metainfo)
    }
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

/// A magnet URI, or an info-hash (40 digits of hex, 32 of base32; 64 of hex or a multihash for v2).
impl FromStr for Source {
    type Err = MagnetError;

    fn from_str(text: &str) -> Result<Self, MagnetError> {
        let text = text.trim();
        if Magnet::is_magnet(text) {
            return Ok(Magnet::parse(text)?.into());
        }
        Ok(match parse_info_hash(text)? {
            InfoHash::V1(hash) => Magnet { v1: Some(hash), ..Magnet::default() },
            InfoHash::V2(hash) => Magnet { v2: Some(hash), ..Magnet::default() },
        }
        .into())
    }
}

impl Magnet {
    /// Whether a text has the scheme of magnets.
    #[must_use]
    pub fn is_magnet(text: &str) -> bool {
        text.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("magnet:"))
    }

    /// `dn` made safe as a file name; the hash in hex where there is none, or none that can be.
    #[must_use]
    pub fn safe_name(&self) -> String {
        let said = self.name.as_deref();
        let safe = said.and_then(|name| safe_name(name.as_bytes(), Naming::POSIX));
        safe.unwrap_or_else(|| self.info_hashes().wire().to_hex())
    }

    /// The trackers, each a tier of its own.
    fn tiers(&self) -> Vec<Vec<String>> {
        self.trackers.iter().map(|url| alloc::vec![url.clone()]).collect()
    }

    /// `dht`, as a torrent would name them.
    pub(crate) fn dht_nodes(&self) -> Vec<Node> {
        let node = |text: &String| {
            let (host, port) = text.rsplit_once(':')?;
            let host = host.trim_matches(['[', ']']).to_owned();
            Some(Node { host, port: port.parse().ok().filter(|port| *port != 0)? })
        };
        self.nodes.iter().filter_map(node).collect()
    }

    /// The torrent that this magnet leads to, by its info dictionary; trackers, web seeds and nodes stay.
    ///
    /// # Errors
    /// The first rule that the dictionary breaks; [`Identity`](MetainfoError::Identity) where it is not what
    /// the hashes of the magnet stand for. One that is read by its v1 hash and has no v1 half would declare
    /// pieces without bringing a hash for each, and nobody could check them.
    pub fn with_info(&self, info: &[u8]) -> Result<Metainfo, MetainfoError> {
        let found = Metainfo::parse_info(info)?;
        let InfoHashes { v1, v2 } = self.info_hashes();
        let contradicts = (v1.is_some() && v1 != found.info_hashes.v1)
            || (v2.is_some() && v2 != found.info_hashes.v2);
        if contradicts {
            return Err(MetainfoError::Identity);
        }
        let outside = Outside {
            trackers: self.tiers(),
            web_seeds: self.web_seeds.clone(),
            nodes: self.dht_nodes(),
            ..Outside::default()
        };
        Ok(Metainfo { outside, ..found })
    }
}

/// As its URI.
impl Serialize for Magnet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Its URI is parsed again, so that nothing comes into being that no URI could have said.
impl<'de> Deserialize<'de> for Magnet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let uri = Cow::<'_, str>::deserialize(deserializer)?;
        // Escapes may have made it longer than what was read once.
        Self::parse_any_length(&uri).map_err(serde::de::Error::custom)
    }
}
