//! Who sent a bad block.
//!
//! A piece that fails with one contributor convicts it. With several, each block is hashed and
//! remembered with its sender, and all of them are on parole: they get only pieces of their own, so
//! that the next failure convicts. When the piece is good at last, its blocks are hashed again, and
//! whoever sent one that differs is banned.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::Torrent;
use crate::api::{CloseReason, DiskError, DiskOp, Notice};
use crate::base::hash::Sha1Hash;
use crate::context::{Context, DiskJob};
use crate::picker::PeerKey;

/// Failed pieces about which evidence is kept.
const MAX_CASES: usize = 256;

/// One failed piece.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Case {
    /// Who sent each block of the failed attempt.
    senders: Vec<Option<PeerKey>>,
    /// Bad blocks may be among these: block, sender, hash of what was sent.
    evidence: Vec<(u32, PeerKey, Sha1Hash)>,
}

/// Evidence about failed pieces.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Blame {
    cases: BTreeMap<u32, Case>,
}

impl Torrent {
    /// A piece failed: convicts its only contributor, or suspects all of them.
    pub(super) fn suspect_contributors(&mut self, ctx: &mut Context, piece: u32) {
        let senders: Vec<_> = self.picker.contributors(piece).collect();
        let mut suspects: Vec<PeerKey> = senders.iter().flatten().copied().collect();
        suspects.sort_unstable();
        suspects.dedup();
        // Blocks from before the restart have no sender; then nobody can be convicted.
        let all_known = senders.iter().all(Option::is_some);
        if let ([only], true) = (suspects.as_slice(), all_known) {
            return self.ban(ctx, *only);
        }
        for key in &suspects {
            let conn = self.by_key.get(key);
            if let Some(peer) = conn.and_then(|conn| self.peers.get_mut(conn)) {
                peer.parole = true;
            }
        }
        if self.blame.cases.len() >= MAX_CASES && !self.blame.cases.contains_key(&piece) {
            return;
        }
        self.blame.cases.entry(piece).or_default().senders = senders;
        let torrent = self.id;
        let job = DiskJob::Evidence { torrent, piece, good: false };
        ctx.disk(job, DiskOp::HashBlocks { torrent, piece });
    }

    /// A piece is good: its contributors are trusted again, and old evidence can be judged.
    pub(super) fn clear_suspects(&mut self, ctx: &mut Context, piece: u32) {
        for key in self.picker.contributors(piece).flatten() {
            let conn = self.by_key.get(&key);
            if let Some(peer) = conn.and_then(|conn| self.peers.get_mut(conn)) {
                peer.parole = false;
            }
        }
        if self.blame.cases.contains_key(&piece) {
            let torrent = self.id;
            let job = DiskJob::Evidence { torrent, piece, good: true };
            ctx.disk(job, DiskOp::HashBlocks { torrent, piece });
        }
    }

    /// The blocks of a piece were hashed, after a failure or at last after success.
    pub(crate) fn evidence(
        &mut self,
        ctx: &mut Context,
        piece: u32,
        good: bool,
        outcome: Result<&[Sha1Hash], DiskError>,
    ) {
        let Ok(hashes) = outcome else {
            self.blame.cases.remove(&piece);
            return;
        };
        if !good {
            let Some(case) = self.blame.cases.get_mut(&piece) else { return };
            let senders = core::mem::take(&mut case.senders);
            for (block, (sender, hash)) in senders.iter().zip(hashes).enumerate() {
                if let Some(sender) = sender {
                    case.evidence.push((block as u32, *sender, *hash));
                }
            }
            return;
        }
        let Some(case) = self.blame.cases.remove(&piece) else { return };
        let liars = case.evidence.into_iter().filter(|(block, _, sent)| {
            hashes.get(*block as usize).is_some_and(|right| right != sent)
        });
        let mut liars: Vec<PeerKey> = liars.map(|(_, key, _)| key).collect();
        liars.sort_unstable();
        liars.dedup();
        liars.into_iter().for_each(|key| self.ban(ctx, key));
    }

    /// Bans a peer that is proven to have sent a bad block.
    fn ban(&mut self, ctx: &mut Context, key: PeerKey) {
        if let Some(addr) = self.candidates.ban(key) {
            ctx.notify(Notice::PeerBanned(self.id, addr));
        }
        if let Some(conn) = self.by_key.get(&key).copied() {
            self.close_peer(ctx, conn, CloseReason::Banned, true);
        }
    }
}
