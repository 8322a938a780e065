//! What is in a torrent, as far as that is known: files and pieces to pick from, or the search for the info dictionary
//! that says which there are.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::bits::{Bits, NOTHING};
use crate::base::rng::Rng;
use crate::metadata_fetch::MetadataFetch;
#[cfg(feature = "dht")]
use crate::metainfo::Node;
use crate::metainfo::{FileEntry, Geometry, InfoHashes, Magnet, Metainfo, Source};
use crate::picker::Picker;

/// What is known of the contents of a torrent.
#[expect(clippy::large_enum_variant, reason = "there is one for each torrent, and most are known")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Contents {
    /// Nothing but what the magnet says; the info dictionary is asked of peers.
    Unknown(Arc<Magnet>, MetadataFetch),
    /// Files and pieces.
    Known(Arc<Metainfo>, Picker),
}

impl Contents {
    /// What a torrent begins with. Info dictionaries are fetched up to `max_metadata` bytes; `picks` makes pickers
    /// choose.
    pub(super) fn new(source: Source, max_metadata: u32, picks: &mut Rng) -> Self {
        match source {
            Source::Torrent(metainfo) => Self::known(metainfo, picks),
            Source::Magnet(magnet) => {
                let fetch = MetadataFetch::new(magnet.info_hashes(), max_metadata);
                Self::Unknown(magnet, fetch)
            }
        }
    }

    /// Files and pieces are known, and no piece is there.
    pub(super) fn known(metainfo: Arc<Metainfo>, picks: &mut Rng) -> Self {
        let picker = Picker::new(metainfo.geometry(), picks);
        Self::Known(metainfo, picker)
    }

    /// No piece is there, or no part of the info dictionary.
    pub(super) fn begun_again(&self, max_metadata: u32, picks: &mut Rng) -> Self {
        let source = match self {
            Self::Known(metainfo, _) => Source::Torrent(metainfo.clone()),
            Self::Unknown(magnet, _) => Source::Magnet(magnet.clone()),
        };
        Self::new(source, max_metadata, picks)
    }

    /// Whether files and pieces are known.
    pub(crate) fn are_known(&self) -> bool {
        matches!(self, Self::Known(..))
    }

    /// The torrent, once it is known.
    #[inline]
    pub(crate) fn metainfo(&self) -> Option<&Arc<Metainfo>> {
        match self {
            Self::Known(metainfo, _) => Some(metainfo),
            Self::Unknown(..) => None,
        }
    }

    /// The info dictionary, once it is known.
    pub(super) fn info(&self) -> Option<&Bytes> {
        self.metainfo().map(|metainfo| metainfo.info())
    }

    /// Pieces and blocks; none before they are known.
    #[inline]
    pub(crate) fn geometry(&self) -> Geometry {
        self.metainfo().map_or(Geometry::EMPTY, |metainfo| metainfo.geometry())
    }

    /// The files; none before they are known.
    pub(crate) fn files(&self) -> &[FileEntry] {
        self.metainfo().map_or(&[], |metainfo| metainfo.layout().files())
    }

    /// Both identities.
    pub(crate) fn info_hashes(&self) -> InfoHashes {
        match self {
            Self::Known(metainfo, _) => metainfo.info_hashes(),
            Self::Unknown(magnet, _) => magnet.info_hashes(),
        }
    }

    /// The suggested name, made safe.
    pub(super) fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Known(metainfo, _) => metainfo.name().into(),
            Self::Unknown(magnet, _) => magnet.safe_name().into(),
        }
    }

    /// Whether peers come only from trackers (BEP 27), as far as that is known.
    pub(crate) fn are_private(&self) -> bool {
        self.metainfo().is_some_and(|metainfo| metainfo.is_private())
    }

    /// DHT nodes that were named with the torrent (BEP 5).
    #[cfg(feature = "dht")]
    pub(crate) fn nodes(&self) -> Cow<'_, [Node]> {
        match self {
            Self::Known(metainfo, _) => metainfo.nodes().into(),
            Self::Unknown(magnet, _) => magnet.dht_nodes().into(),
        }
    }

    /// The pieces, once they are known.
    #[inline]
    pub(crate) fn picker(&self) -> Option<&Picker> {
        match self {
            Self::Known(_, picker) => Some(picker),
            Self::Unknown(..) => None,
        }
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn picker_mut(&mut self) -> Option<&mut Picker> {
        match self {
            Self::Known(_, picker) => Some(picker),
            Self::Unknown(..) => None,
        }
    }

    /// The search for the info dictionary, until it is known.
    pub(super) fn fetch(&self) -> Option<&MetadataFetch> {
        match self {
            Self::Unknown(_, fetch) => Some(fetch),
            Self::Known(..) => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn fetch_mut(&mut self) -> Option<&mut MetadataFetch> {
        match self {
            Self::Unknown(_, fetch) => Some(fetch),
            Self::Known(..) => None,
        }
    }

    /// Verified pieces.
    #[inline]
    pub(super) fn have(&self) -> &Bits {
        self.picker().map_or(&NOTHING, Picker::have)
    }

    /// Whether nothing that is known is missing. Of a torrent without pieces nothing is.
    pub(crate) fn lack_nothing(&self) -> bool {
        self.picker().is_none_or(Picker::is_finished)
    }

    /// Whether the pieces are known and nothing that is wanted is missing.
    pub(super) fn are_finished(&self) -> bool {
        self.picker().is_some_and(Picker::is_finished)
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of contents.

    use super::*;
    use crate::base::hash::Sha1Hash;
    use crate::base::rng::Seed;

    #[test]
    fn there_is_something_to_pick_or_to_look_for_and_never_both() {
        let magnet = Magnet { v1: Some(Sha1Hash([1; 20])), ..Magnet::default() };
        let mut rng = Seed::from_u64(1).stream("test");
        let contents = Contents::new(magnet.into(), 1000, &mut rng);
        assert!(!contents.are_known() && contents.picker().is_none());
        assert!(contents.fetch().is_some() && contents.have().is_empty());
        assert!(contents.lack_nothing() && !contents.are_finished());
        assert!(contents.metainfo().is_none() && contents.files().is_empty());
        let info =
            b"d6:lengthi40000e4:name1:a12:piece lengthi16384e6:pieces60:aaaaaaaaaaaaaaaaaaaa\
            aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaae";
        let metainfo = Metainfo::parse_info(info).unwrap();
        let mut contents = Contents::new(metainfo.into(), 1000, &mut rng);
        assert!(contents.are_known() && contents.fetch().is_none());
        assert!(contents.files().len() == 1 && contents.geometry().pieces() == 3);
        assert!(!contents.lack_nothing() && !contents.are_finished());
        for piece in 0..3 {
            contents.picker_mut().unwrap().set_have(piece);
        }
        assert!(contents.lack_nothing() && contents.are_finished());
        assert_eq!(contents.have().count(), 3);
        assert_eq!(contents.begun_again(1000, &mut rng).have().count(), 0);
    }
}
