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

use super::super::Torrent;
use crate::api::{DiskError, DiskOp, FileStatus, Notice};
use crate::base::bits::Bits;
use crate::base::hash::Sha1Hash;
use crate::base::ids::ConnId;
use crate::context::{Context, DiskJob, HashPurpose};
use crate::metainfo::Metainfo;
use crate::wire::{Message, dont_have};

/// What is not certain about a torrent's data.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::torrent) struct Doubt {
    /// The files as they were when last looked at; empty before that.
    files: Box<[FileStatus]>,
    /// Pieces written since the last sync began.
    written: BTreeSet<u32>,
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
        self.written.insert(piece);
    }

    /// A sync begins: it covers what was written up to now.
    pub(in crate::torrent) fn sync_begins(&mut self) {
        self.syncing.append(&mut self.written);
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
            let geometry = metainfo.geometry;
            let offset = geometry.piece_offset(*piece);
            for slice in metainfo.layout.slices(offset, geometry.piece_size(*piece)) {
                if let Some(status) = files.get_mut(slice.file as usize) {
                    status.modified = -1;
                }
            }
        }
        (certain, files)
    }

    /// Everything will be hashed anyway.
    pub(in crate::torrent) fn forget(&mut self) {
        // Those that are being hashed are still answered for.
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
    fn next(&mut self) -> Option<u32> {
        let suspect = self.suspects.iter().find(|piece| !self.hashing.contains(piece)).copied();
        if let Some(piece) = suspect {
            self.hashing.insert(piece);
            return Some(piece);
        }
        self.idle.pop_first()
    }

    /// The ledgers agree.
    pub(in crate::torrent) fn check(&self) -> Result<(), &'static str> {
        if self.hashing.is_subset(&self.suspects) {
            Ok(())
        } else {
            Err("only suspects are hashed as suspects")
        }
    }
}

impl Torrent {
    /// The files were looked at by a sync. What changed without our having written it is in doubt.
    pub(in crate::torrent) fn compare_files(&mut self, ctx: &mut Context, files: &[FileStatus]) {
        let geometry = self.metainfo.geometry;
        let mut suspects = BTreeSet::new();
        for (index, file) in self.metainfo.layout.files().iter().enumerate() {
            let same = self.storage.doubt.files.get(index) == files.get(index);
            if same || !file.is_stored() || self.storage.doubt.files.is_empty() {
                continue;
            }
            let pieces = geometry.pieces_of(file.offset, file.length);
            let ours = |set: &BTreeSet<u32>| set.range(pieces.clone()).next().is_some();
            if !ours(&self.storage.doubt.syncing) && !ours(&self.storage.doubt.written) {
                suspects.extend(pieces.filter(|piece| self.picker.have().has(*piece)));
            }
        }
        self.storage.doubt.files = files.into();
        self.storage.doubt.syncing.clear();
        self.suspect(ctx, suspects);
    }

    /// A read found that files are not what they were. What a sync has told already is known.
    pub(crate) fn changed_in_place(&mut self, ctx: &mut Context, files: &[(u32, FileStatus)]) {
        let mut suspects = BTreeSet::new();
        for (index, status) in files {
            let entry = self.metainfo.layout.files().get(*index as usize);
            let known = self.storage.doubt.files.get_mut(*index as usize);
            if let (Some(entry), Some(known)) = (entry, known)
                && known != status
            {
                *known = *status;
                let pieces = self.metainfo.geometry.pieces_of(entry.offset, entry.length);
                suspects.extend(pieces.filter(|piece| self.picker.have().has(*piece)));
            }
        }
        self.suspect(ctx, suspects);
    }

    /// The location was gone and is back: whatever was not durable, or is not what it was, is in
    /// doubt.
    pub(in crate::torrent) fn compare_after_absence(
        &mut self,
        ctx: &mut Context,
        files: &[FileStatus],
    ) {
        let unsure: BTreeSet<u32> =
            self.storage.doubt.written.union(&self.storage.doubt.syncing).copied().collect();
        let have = self.picker.have();
        let unsure = unsure.into_iter().filter(|piece| have.has(*piece)).collect();
        self.storage.doubt.written.clear();
        self.storage.doubt.syncing.clear();
        self.compare_files(ctx, files);
        self.suspect(ctx, unsure);
    }

    /// Hashes pieces again before anybody is served from them.
    pub(in crate::torrent) fn suspect(&mut self, ctx: &mut Context, pieces: BTreeSet<u32>) {
        if pieces.is_empty() {
            return;
        }
        self.storage.doubt.suspects.extend(pieces);
        ctx.agenda.awaiting_hash.insert(self.id);
        ctx.agenda.touched.insert(self.id);
    }

    /// A piece that we have could not be read: is it still there? What else is gone from its files
    /// shows when they are looked at.
    pub(in crate::torrent) fn missed(&mut self, ctx: &mut Context, piece: u32) {
        if self.picker.have().has(piece) {
            self.suspect(ctx, [piece].into());
        }
        self.storage.saving.mark();
        self.storage.saving.due_now();
    }

    /// Begins to hash one piece that is in doubt.
    pub(in crate::torrent) fn hash_doubtful(&mut self, ctx: &mut Context) -> bool {
        let Some(piece) = self.storage.doubt.next() else { return false };
        if !self.picker.have().has(piece) {
            self.storage.doubt.settled(piece);
            return true;
        }
        let job = DiskJob::Hash { torrent: self.id, piece, purpose: HashPurpose::Doubt };
        ctx.disk(job, DiskOp::HashPiece { torrent: self.id, piece });
        true
    }

    /// A piece in doubt was hashed.
    pub(in crate::torrent) fn reassessed(
        &mut self,
        ctx: &mut Context,
        piece: u32,
        outcome: Result<Sha1Hash, DiskError>,
    ) {
        ctx.agenda.touched.insert(self.id);
        self.storage.doubt.hashing.remove(&piece);
        if !self.life.is_active() || !self.picker.have().has(piece) {
            return self.storage.doubt.settled(piece);
        }
        match outcome {
            Ok(hash) if self.metainfo.piece_hash(piece) == Some(hash) => {
                self.storage.doubt.settled(piece)
            }
            Ok(_) | Err(DiskError::Missing) => {
                self.storage.doubt.settled(piece);
                self.withdraw_piece(ctx, piece);
            }
            // Whether it is good is not known; it is looked at again when the disk is back.
            Err(error) => {
                self.storage.doubt.suspects.insert(piece);
                self.fail(ctx, error);
            }
        }
    }

    /// A piece turned out to be bad or gone: peers are told (`lt_donthave`), it is not served any more, and it is
    /// fetched again.
    fn withdraw_piece(&mut self, ctx: &mut Context, piece: u32) {
        let wanted = self.picker.clear_have(piece);
        self.goal.finished = self.goal.finished && self.picker.is_finished();
        for peer in self.peers.values_mut() {
            if let Some(id) = peer.extensions.dont_have.filter(|_| peer.extended) {
                let payload = dont_have(piece);
                peer.send(&Message::Extended { id, payload });
                ctx.agenda.flush.insert(peer.intro.conn);
            }
            peer.interesting += u32::from(wanted && peer.pieces.has(piece));
        }
        ctx.notify(Notice::PieceWithdrawn(self.id, piece));
        // What else is wrong with its files shows when they are looked at.
        self.storage.saving.mark();
        self.storage.saving.due_now();
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.touch(ctx, conn));
        if wanted && self.life.may_go_on() {
            self.candidates.recall_whole(ctx.now);
            ctx.look_for_peers(self.id);
        }
    }
}

impl Doubt {
    /// There is no doubt about a piece any more.
    fn settled(&mut self, piece: u32) {
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
