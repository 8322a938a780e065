//! Who sent a bad block.
//!
//! A piece that fails with one contributor convicts it. With several, each block is hashed and
//! remembered with its sender, and all of them are on parole: they get only pieces of their own, so
//! that the next failure convicts. When the piece is good at last, its blocks are hashed again, and
//! whoever sent one that differs is banned.
//!
//! Who sent what is known by address, not only by connection: hanging up before a piece is hashed
//! changes nothing. What follows from it is kept in [`crate::standing`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

use super::Torrent;
use crate::api::{CloseReason, DiskError, DiskOp, Notice};
use crate::base::hash::Sha1Hash;
use crate::base::ids::ConnId;
use crate::base::prefix::Prefix;
use crate::context::{Context, DiskJob};
use crate::peer::{Introduction, Peer};
use crate::picker::PeerKey;
use crate::standing::Way;

/// Failed pieces about which evidence is kept.
const MAX_CASES: usize = 256;
/// Blocks about which evidence is kept, in all cases together: 32 bytes each.
const MAX_EVIDENCE: usize = 65_536;
/// Senders whose addresses are remembered after they have left; the first to come goes first.
const MAX_SENDERS: usize = 4096;

/// One failed piece.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Case {
    /// Who sent each block of the failed attempt, while these are hashed; nobody for a block that is
    /// written again meanwhile, since what is hashed may be either.
    senders: Vec<Option<PeerKey>>,
    /// The blocks of the good piece are hashed, to judge the evidence by them.
    judging: bool,
    /// Bad blocks may be among these: block, sender, hash of what was sent.
    evidence: Vec<(u32, PeerKey, Sha1Hash)>,
}

/// Evidence about failed pieces.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Blame {
    cases: BTreeMap<u32, Case>,
    /// Blocks in all cases.
    evidence: usize,
    /// Where peers are, or were, that sent anything, and whether they came by themselves.
    senders: BTreeMap<PeerKey, (SocketAddr, bool)>,
}

impl Blame {
    /// A peer sends something for the first time since it was connected.
    fn remember(&mut self, peer: &Introduction) {
        self.senders.insert(peer.key, (peer.addr, peer.incoming));
        if self.senders.len() > MAX_SENDERS {
            self.senders.pop_first();
        }
    }

    fn close_case(&mut self, piece: u32) -> Option<Case> {
        let case = self.cases.remove(&piece)?;
        self.evidence -= case.evidence.len();
        Some(case)
    }

    /// A block is written: a hash of it that was asked for before proves nothing any more, or an honest
    /// sender would answer for what a liar put in the place of its block.
    pub(super) fn written(&mut self, piece: u32, block: u32) {
        let Some(case) = self.cases.get_mut(&piece) else { return };
        if case.judging {
            self.close_case(piece);
        } else if let Some(sender) = case.senders.get_mut(block as usize) {
            *sender = None;
        }
    }

    /// What must hold between two steps.
    ///
    /// # Errors
    /// The rule that does not.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let evidence: usize = self.cases.values().map(|case| case.evidence.len()).sum();
        let bounded = self.cases.len() <= MAX_CASES
            && self.evidence <= MAX_EVIDENCE
            && self.senders.len() <= MAX_SENDERS;
        let counted = evidence == self.evidence;
        if bounded && counted { Ok(()) } else { Err("evidence is counted and bounded") }
    }
}

impl Torrent {
    /// A peer brought something for the first time: from now on it answers for what it sends.
    pub(super) fn remember_sender(&mut self, conn: ConnId) {
        if let Some(peer) = self.peers.get_mut(&conn).filter(|peer| !peer.is_sender) {
            peer.is_sender = true;
            self.blame.remember(&peer.intro);
        }
    }

    fn peer(&self, key: PeerKey) -> Option<&Peer> {
        self.by_key.get(&key).and_then(|conn| self.peers.get(conn)).map(|peer| &**peer)
    }

    fn sender(&self, key: PeerKey) -> Option<(SocketAddr, bool)> {
        let here = self.peer(key).map(|peer| (peer.intro.addr, peer.intro.incoming));
        here.or_else(|| self.blame.senders.get(&key).copied())
    }

    /// Whom a sender counts as: its host. On this machine ports that we call are judged one by one.
    fn account(&self, key: PeerKey) -> Option<(Prefix, Option<u16>)> {
        let (addr, incoming) = self.sender(key)?;
        let prefix = Prefix::of(addr.ip());
        Some((prefix, (prefix.is_loopback() && !incoming).then_some(addr.port())))
    }

    /// Those of several senders who are guilty for certain: nobody but connections of one host sent
    /// anything, and these have not proven themselves. Otherwise it would be enough to come back in
    /// the middle of each piece.
    fn guilty_together(&self, suspects: &[PeerKey]) -> Vec<PeerKey> {
        let mut accounts = suspects.iter().map(|key| self.account(*key));
        let Some(first) = accounts.next().flatten() else { return Vec::new() };
        if accounts.any(|account| account != Some(first)) {
            return Vec::new();
        }
        let proven = |key: &PeerKey| self.peer(*key).is_some_and(|peer| peer.verified > 0);
        suspects.iter().copied().filter(|key| !proven(key)).collect()
    }

    /// Whether all who sent blocks of a piece are here and have proven themselves.
    pub(crate) fn is_of_proven_peers(&self, piece: u32) -> bool {
        let mut last = None;
        self.picker.contributors(piece).all(|key| {
            // One peer usually sends many blocks in a row.
            let same = key.is_some() && key == last;
            last = key;
            let peer = || self.peer(key?);
            same || peer().is_some_and(|peer| peer.verified > 0 && !peer.parole)
        })
    }

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
        if all_known {
            let guilty = self.guilty_together(&suspects);
            suspects.retain(|key| !guilty.contains(key));
            guilty.into_iter().for_each(|key| self.ban(ctx, key));
            if suspects.is_empty() {
                return;
            }
        }
        for key in &suspects {
            if let Some((addr, _)) = self.sender(*key) {
                ctx.net.standing.suspect(addr.ip(), ctx.now);
            }
            let conn = self.by_key.get(key);
            if let Some(peer) = conn.and_then(|conn| self.peers.get_mut(conn)) {
                peer.parole = true;
            }
        }
        let blame = &mut self.blame;
        let full = blame.evidence + senders.len() > MAX_EVIDENCE
            || (blame.cases.len() >= MAX_CASES && !blame.cases.contains_key(&piece));
        if full {
            return;
        }
        let case = blame.cases.entry(piece).or_default();
        if !case.senders.is_empty() {
            // What is hashed for the last failure would be taken for this one's.
            return;
        }
        case.senders = senders;
        let torrent = self.id;
        let job = DiskJob::Evidence { torrent, piece, good: false };
        ctx.disk(job, DiskOp::HashBlocks { torrent, piece });
    }

    /// A piece is good: its contributors are trusted again, and old evidence can be judged.
    pub(super) fn clear_suspects(&mut self, ctx: &mut Context, piece: u32) {
        let mut last = None;
        for key in self.picker.contributors(piece).flatten() {
            // One peer usually sends many blocks in a row.
            if last.replace(key) == Some(key) {
                continue;
            }
            let conn = self.by_key.get(&key);
            if let Some(peer) = conn.and_then(|conn| self.peers.get_mut(conn)) {
                peer.verified = peer.verified.saturating_add(1);
                if core::mem::take(&mut peer.parole) {
                    ctx.net.standing.clear(peer.intro.addr.ip(), ctx.now);
                }
            }
        }
        if let Some(case) = self.blame.cases.get_mut(&piece) {
            case.judging = true;
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
            self.blame.close_case(piece);
            return;
        };
        if !good {
            let Some(case) = self.blame.cases.get_mut(&piece) else { return };
            let senders = core::mem::take(&mut case.senders);
            let sent = senders.iter().zip(hashes).enumerate();
            let sent = sent.filter_map(|(block, (sender, hash))| {
                sender.map(|sender| (block as u32, sender, *hash))
            });
            // Several pieces may have failed since there was room.
            let room = MAX_EVIDENCE - self.blame.evidence;
            let before = case.evidence.len();
            case.evidence.extend(sent.take(room));
            self.blame.evidence += case.evidence.len() - before;
            return;
        }
        let Some(case) = self.blame.close_case(piece) else { return };
        let liars = case.evidence.into_iter().filter(|(block, _, sent)| {
            hashes.get(*block as usize).is_some_and(|right| right != sent)
        });
        let mut liars: Vec<PeerKey> = liars.map(|(_, key, _)| key).collect();
        liars.sort_unstable();
        liars.dedup();
        liars.into_iter().for_each(|key| self.ban(ctx, key));
    }

    /// Bans a peer that is proven to have sent bad data, and closes it if it is still there.
    pub(super) fn ban(&mut self, ctx: &mut Context, key: PeerKey) {
        let listens = self.candidates.get(key).map(|candidate| candidate.addr);
        if let Some(addr) = self.sender(key).map(|(addr, _)| addr).or(listens) {
            ctx.net.standing.convict(addr, listens, ctx.now);
            ctx.notify(Notice::PeerBanned(self.id, listens.unwrap_or(addr)));
            // The ban is enforced before the end of the step.
            ctx.agenda.touched.insert(self.id);
        }
        if let Some(conn) = self.by_key.get(&key).copied() {
            self.close_peer(ctx, conn, CloseReason::Banned, true);
        }
        // What else it has sent is fetched again, before others share the blame for it.
        if self.picker.reopen(key) {
            self.touch_interested(&mut ctx.agenda);
        }
    }

    /// The address of a peer is banned because of another one. Who has proven itself stays, and may
    /// be called again where it listens.
    pub(crate) fn meet_ban(&mut self, ctx: &mut Context, conn: ConnId) {
        let Some(peer) = self.peers.get(&conn) else { return };
        if peer.verified > 0 && !peer.parole {
            let candidate = self.candidates.get(peer.intro.key);
            if let Some(candidate) = candidate.filter(|candidate| candidate.is_dialable()) {
                ctx.net.standing.spare(candidate.addr);
            }
            return;
        }
        // On this machine a connection that did nothing itself is somebody else's, as far as we know.
        if Prefix::of(peer.intro.addr.ip()).is_loopback() {
            return;
        }
        let way = if peer.intro.incoming { Way::In } else { Way::Out };
        if ctx.net.standing.refuses(peer.intro.addr, way, ctx.now) {
            self.close_peer(ctx, conn, CloseReason::Banned, true);
        }
    }
}

#[cfg(feature = "corruption")]
impl Blame {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "evidence is counted and bounded" => self.evidence += 1,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of evidence.

    use super::*;

    #[test]
    fn what_is_written_while_evidence_is_hashed_proves_nothing() {
        let mut blame = Blame::default();
        let sender = Some(PeerKey::default());
        let pending = Case { senders: alloc::vec![sender; 3], ..Case::default() };
        blame.cases.insert(7, pending);
        blame.written(7, 1);
        blame.written(7, 9);
        blame.written(8, 0);
        assert_eq!(blame.cases[&7].senders, [sender, None, sender]);
        // Once the good piece is hashed to judge, what is written makes that worthless.
        blame.cases.entry(7).or_default().judging = true;
        blame.written(7, 0);
        assert!(blame.cases.is_empty());
        assert_eq!(blame.check(), Ok(()));
    }
}
