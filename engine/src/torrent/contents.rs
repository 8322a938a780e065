//! What is in a torrent, as far as that is known: pieces to pick from, or the search for the info dictionary that says
//! which there are.

use serde::{Deserialize, Serialize};

use crate::base::bits::{Bits, NOTHING};
use crate::metadata_fetch::MetadataFetch;
use crate::picker::Picker;

/// What is known of the contents of a torrent.
#[expect(clippy::large_enum_variant, reason = "there is one for each torrent, and most are known")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Contents {
    /// Nothing but the identity; the info dictionary is asked of peers.
    Unknown(MetadataFetch),
    /// Files and pieces.
    Known(Picker),
}

impl Contents {
    /// Whether files and pieces are known.
    pub(crate) fn are_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// The pieces, once they are known.
    #[inline]
    pub(crate) fn picker(&self) -> Option<&Picker> {
        match self {
            Self::Known(picker) => Some(picker),
            Self::Unknown(_) => None,
        }
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn picker_mut(&mut self) -> Option<&mut Picker> {
        match self {
            Self::Known(picker) => Some(picker),
            Self::Unknown(_) => None,
        }
    }

    /// The search for the info dictionary, until it is known.
    pub(super) fn fetch(&self) -> Option<&MetadataFetch> {
        match self {
            Self::Unknown(fetch) => Some(fetch),
            Self::Known(_) => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn fetch_mut(&mut self) -> Option<&mut MetadataFetch> {
        match self {
            Self::Unknown(fetch) => Some(fetch),
            Self::Known(_) => None,
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
    use crate::metainfo::{Geometry, InfoHashes};

    #[test]
    fn there_is_something_to_pick_or_to_look_for_and_never_both() {
        let hashes = InfoHashes { v1: Some(Sha1Hash([1; 20])), v2: None };
        let mut contents = Contents::Unknown(MetadataFetch::new(hashes, 1000));
        assert!(!contents.are_known() && contents.picker().is_none());
        assert!(contents.fetch().is_some() && contents.have().is_empty());
        assert!(contents.lack_nothing() && !contents.are_finished());
        let mut rng = Seed::from_u64(1).stream("test");
        let geometry = Geometry::new(40_000, 16_384).unwrap();
        contents = Contents::Known(Picker::new(geometry, &mut rng));
        assert!(contents.are_known() && contents.fetch().is_none());
        assert!(!contents.lack_nothing() && !contents.are_finished());
        for piece in 0..3 {
            contents.picker_mut().unwrap().set_have(piece);
        }
        assert!(contents.lack_nothing() && contents.are_finished());
        assert_eq!(contents.have().count(), 3);
    }
}
