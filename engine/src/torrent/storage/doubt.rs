//! Doubt: verified pieces of which the files say, or a read showed, that they may not be what they
//! were. They are hashed again; until then nobody is served from them, and those that are bad are
//! withdrawn and fetched again.
//!
//! After a crash there is a milder kind: what was claimed before it is believed and served, and
//! hashed again when there is nothing else to do.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::api::FileStatus;
use crate::base::bits::Bits;
use crate::metainfo::Metainfo;

/// What is not certain about a torrent's data.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::torrent) struct Doubt {
    /// The files as they were when last looked at; empty before that.
    files: Box<[FileStatus]>,
    /// Pieces written since the last sync began.
    written: BTreeSet<u32>,
    /// The one of them that was written last: its next block need not look for it in the set.
    last_written: Option<u32>,
    /// Pieces written before the sync in progress, or before one that failed.
    syncing: BTreeSet<u32>,
    /// Verified pieces to be hashed again before anybody is served from them.
    suspects: BTreeSet<u32>,
    /// Suspects that are being hashed.
    hashing: BTreeSet<u32>,
    /// Verified pieces to be hashed again when there is nothing else to do.
    idle: BTreeSet<u32>,
}

impl Doubt {
    /// The files were looked at when the torrent was opened.
    pub(in crate::torrent) fn seen(&mut self, files: &[FileStatus]) {
        self.files = files.into();
    }

    /// The files as they were when last looked at.
    pub(in crate::torrent) fn files(&self) -> &[FileStatus] {
        &self.files
    }

    /// A block of a piece was written.
    pub(in crate::torrent) fn wrote(&mut self, piece: u32) {
        if self.last_written != Some(piece) {
            self.last_written = Some(piece);
            self.written.insert(piece);
        }
    }

    fn take_written(&mut self) -> BTreeSet<u32> {
        self.last_written = None;
        core::mem::take(&mut self.written)
    }

    /// A sync begins: it covers what was written up to now.
    pub(in crate::torrent) fn sync_begins(&mut self) {
        let mut written = self.take_written();
        self.syncing.append(&mut written);
    }

    /// Whether everything written is durable.
    pub(in crate::torrent) fn is_synced(&self) -> bool {
        self.written.is_empty()
    }

    /// Whether nobody is to be served from a piece.
    pub(in crate::torrent) fn about(&self, piece: u32) -> bool {
        !self.suspects.is_empty() && self.suspects.contains(&piece)
    }

    /// Pieces that are hashed again when there is time.
    pub(in crate::torrent) fn when_idle(&mut self, pieces: impl Iterator<Item = u32>) {
        self.idle.extend(pieces);
    }

    /// What of `claimed` is certain, and the files as they were when it was. Files with suspects are
    /// told as changed, so that the next run looks at them.
    pub(in crate::torrent) fn certain(
        &self,
        claimed: &Bits,
        have: &Bits,
        metainfo: &Metainfo,
    ) -> (Bits, Vec<FileStatus>) {
        let mut certain = claimed.clone();
        let gone = claimed.ones().filter(|piece| !have.has(*piece) || self.about(*piece));
        for piece in gone {
            certain.clear(piece);
        }
        let mut files = self.files.to_vec();
        for piece in &self.suspects {
            let geometry = metainfo.geometry();
            let offset = geometry.piece_offset(*piece);
            for slice in metainfo.layout().slices(offset, geometry.piece_size(*piece)) {
                if let Some(status) = files.get_mut(slice.file as usize) {
                    status.modified = -1;
                }
            }
        }
        (certain, files)
    }

    /// Everything will be hashed anyway.
    pub(in crate::torrent) fn forget(&mut self) {
        // Hashes in progress still have to be answered.
        self.suspects.clone_from(&self.hashing);
        self.idle.clear();
    }

    /// Whether nothing is in doubt.
    pub(in crate::torrent) fn is_certain(&self) -> bool {
        self.suspects.is_empty() && self.idle.is_empty()
    }

    /// Whether a piece waits to be hashed again.
    pub(in crate::torrent) fn is_waiting(&self) -> bool {
        self.suspects.len() > self.hashing.len() || !self.idle.is_empty()
    }

    /// The next piece to be hashed again, suspects first.
    pub(in crate::torrent) fn next(&mut self) -> Option<u32> {
        let suspect = self.suspects.iter().find(|piece| !self.hashing.contains(piece)).copied();
        if let Some(piece) = suspect {
            self.hashing.insert(piece);
            return Some(piece);
        }
        self.idle.pop_first()
    }

    /// Checks that the sets agree.
    pub(in crate::torrent) fn check(&self) -> Result<(), &'static str> {
        if self.hashing.is_subset(&self.suspects) {
            Ok(())
        } else {
            Err("only suspects are hashed as suspects")
        }
    }
}

impl Doubt {
    /// The files were looked at by a sync. Returns the pieces of those that changed without our having
    /// written to them.
    pub(in crate::torrent) fn compare(
        &mut self,
        metainfo: &Metainfo,
        have: &Bits,
        files: &[FileStatus],
    ) -> BTreeSet<u32> {
        let mut suspects = BTreeSet::new();
        for (index, file) in metainfo.layout().files().iter().enumerate() {
            let same = self.files.get(index) == files.get(index);
            if same || !file.is_stored() || self.files.is_empty() {
                continue;
            }
            let pieces = metainfo.geometry().pieces_of(file.offset, file.length);
            let ours = |set: &BTreeSet<u32>| set.range(pieces.clone()).next().is_some();
            if !ours(&self.syncing) && !ours(&self.written) {
                suspects.extend(have.ones_within(pieces));
            }
        }
        self.files = files.into();
        self.syncing.clear();
        suspects
    }

    /// A read found that files are not what they were. Returns their pieces. What a sync has told already
    /// is known.
    pub(in crate::torrent) fn changed(
        &mut self,
        metainfo: &Metainfo,
        have: &Bits,
        files: &[(u32, FileStatus)],
    ) -> BTreeSet<u32> {
        let mut suspects = BTreeSet::new();
        for (index, status) in files {
            let entry = metainfo.layout().files().get(*index as usize);
            let known = self.files.get_mut(*index as usize);
            if let (Some(entry), Some(known)) = (entry, known)
                && known != status
            {
                *known = *status;
                let pieces = metainfo.geometry().pieces_of(entry.offset, entry.length);
                suspects.extend(have.ones_within(pieces));
            }
        }
        suspects
    }

    /// The location was gone and is back. Returns the pieces of whatever was not durable, or is not what
    /// it was.
    pub(in crate::torrent) fn compare_after_absence(
        &mut self,
        metainfo: &Metainfo,
        have: &Bits,
        files: &[FileStatus],
    ) -> BTreeSet<u32> {
        let mut unsure = self.take_written();
        unsure.append(&mut self.syncing);
        unsure.retain(|piece| have.has(*piece));
        unsure.append(&mut self.compare(metainfo, have, files));
        unsure
    }

    /// Pieces are to be hashed again before anybody is served from them.
    pub(in crate::torrent) fn suspect(&mut self, pieces: BTreeSet<u32>) {
        self.suspects.extend(pieces);
    }

    /// A suspect was hashed, or could not be.
    pub(in crate::torrent) fn hashed(&mut self, piece: u32) {
        self.hashing.remove(&piece);
    }

    /// There is no doubt about a piece any more.
    pub(in crate::torrent) fn settled(&mut self, piece: u32) {
        self.suspects.remove(&piece);
        self.hashing.remove(&piece);
        self.idle.remove(&piece);
    }
}

#[cfg(feature = "corruption")]
impl Doubt {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "only suspects are hashed as suspects" => {
                self.suspects.clear();
                self.hashing.insert(0);
            }
            _ => return None,
        }
        Some(())
    }
}
