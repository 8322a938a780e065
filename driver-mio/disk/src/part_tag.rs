//! What tells the part file of a torrent from everything that a stranger could have put in its place.

use std::io;
use std::sync::Arc;

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::Metainfo;

use crate::resume_store::ResumeStore;

/// Sixteen random bytes that only the state folder knows. They are in the name of the part file and at
/// its head.
#[derive(Clone, Debug)]
pub struct PartTag {
    bytes: [u8; 16],
    /// Where it is kept, and whose it is.
    store: Option<(Arc<ResumeStore>, Sha1Hash)>,
}

impl PartTag {
    /// A tag that is kept elsewhere.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self { bytes, store: None }
    }

    /// A tag for this run: what is in the part file is gone with it.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self::new(bytes))
    }

    /// The tag that is on record, or one that will be as soon as there is a part file.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn of(store: Option<&Arc<ResumeStore>>, hash: Sha1Hash) -> io::Result<Self> {
        let Some(store) = store else { return Self::random() };
        let bytes = match store.load_tag(hash) {
            Some(bytes) => bytes,
            None => Self::random()?.bytes,
        };
        Ok(Self { bytes, store: Some((store.clone(), hash)) })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; 16] {
        self.bytes
    }

    /// Whether another run can know it.
    pub(super) fn is_lasting(&self) -> bool {
        self.store.is_some()
    }

    /// Puts it on record, durably, unless it is.
    pub(super) fn keep(&self) -> io::Result<()> {
        match &self.store {
            Some((store, hash)) if store.load_tag(*hash) != Some(self.bytes) => {
                store.store_tag(*hash, self.bytes)
            }
            _ => Ok(()),
        }
    }

    /// The name of the part file of a torrent: one that no torrent's own file can have.
    #[must_use]
    pub fn file_name(&self, metainfo: &Metainfo) -> String {
        format!("{}.parts", self.stem(metainfo))
    }

    /// What the copy of a file is called until it is whole.
    pub(super) fn copy_name(&self, metainfo: &Metainfo, file: u32) -> String {
        format!("{}.{file}.copy", self.stem(metainfo))
    }

    fn stem(&self, metainfo: &Metainfo) -> String {
        let tag: String = self.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(".{}.{tag}", metainfo.info_hashes().wire().to_hex())
    }
}
