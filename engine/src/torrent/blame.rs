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

use crate::base::hash::Sha1Hash;
use crate::base::prefix::Prefix;
use crate::peer::Introduction;
use crate::picker::PeerKey;

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
    pub(super) fn remember(&mut self, peer: &Introduction) {
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
    pub(super) fn block_written(&mut self, piece: u32, block: u32) {
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

/// A sender that is a peer now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here {
    pub(super) addr: SocketAddr,
    /// It came by itself.
    pub(super) incoming: bool,
    /// It has sent a piece that was good.
    pub(super) proven: bool,
}

/// What follows for those who sent a piece that failed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Failure {
    /// Who is guilty for certain.
    pub(super) guilty: Vec<PeerKey>,
    /// Who may be.
    pub(super) suspects: Vec<PeerKey>,
    /// The blocks are to be hashed, as evidence.
    pub(super) hash: bool,
}

impl Blame {
    /// Where a sender is, or was.
    pub(super) fn sender(&self, key: PeerKey, here: Option<Here>) -> Option<(SocketAddr, bool)> {
        let here = here.map(|here| (here.addr, here.incoming));
        here.or_else(|| self.senders.get(&key).copied())
    }

    /// Whom a sender counts as: its host. On this machine ports that we call are judged one by one.
    fn account(&self, key: PeerKey, here: Option<Here>) -> Option<(Prefix, Option<u16>)> {
        let (addr, incoming) = self.sender(key, here)?;
        let prefix = Prefix::of(addr.ip());
        Some((prefix, (prefix.is_loopback() && !incoming).then_some(addr.port())))
    }

    /// Which of several senders are certainly guilty: if all blocks came from connections of one host, those
    /// that have not proven themselves. Without this a liar could avoid blame by reconnecting in the middle of
    /// each piece.
    fn guilty_together(
        &self,
        suspects: &[PeerKey],
        here: impl Fn(PeerKey) -> Option<Here>,
    ) -> Vec<PeerKey> {
        let mut accounts = suspects.iter().map(|key| self.account(*key, here(*key)));
        let Some(first) = accounts.next().flatten() else { return Vec::new() };
        if accounts.any(|account| account != Some(first)) {
            return Vec::new();
        }
        let proven = |key: &PeerKey| here(*key).is_some_and(|peer| peer.proven);
        suspects.iter().copied().filter(|key| !proven(key)).collect()
    }

    /// A piece failed that `senders` sent the blocks of: convicts the only one, or suspects all of them. `here`
    /// says which of them are peers now.
    pub(super) fn failed(
        &mut self,
        piece: u32,
        senders: Vec<Option<PeerKey>>,
        here: impl Fn(PeerKey) -> Option<Here>,
    ) -> Failure {
        let mut suspects: Vec<PeerKey> = senders.iter().flatten().copied().collect();
        suspects.sort_unstable();
        suspects.dedup();
        // Blocks from before the restart have no sender; then nobody can be convicted.
        let all_known = senders.iter().all(Option::is_some);
        if let ([only], true) = (suspects.as_slice(), all_known) {
            return Failure { guilty: alloc::vec![*only], ..Failure::default() };
        }
        let guilty = if all_known { self.guilty_together(&suspects, here) } else { Vec::new() };
        suspects.retain(|key| !guilty.contains(key));
        let hash = (!all_known || !suspects.is_empty()) && self.open_case(piece, senders);
        Failure { guilty, suspects, hash }
    }

    /// Evidence is to be gathered about a piece. Returns whether there is room for it.
    fn open_case(&mut self, piece: u32, senders: Vec<Option<PeerKey>>) -> bool {
        let full = self.evidence + senders.len() > MAX_EVIDENCE
            || (self.cases.len() >= MAX_CASES && !self.cases.contains_key(&piece));
        if full {
            return false;
        }
        let case = self.cases.entry(piece).or_default();
        // Else what is hashed for the last failure would be taken for this one's.
        let free = case.senders.is_empty();
        if free {
            case.senders = senders;
        }
        free
    }

    /// A piece is good. Returns whether there is evidence to be judged, for which its blocks have to be hashed.
    pub(super) fn verified(&mut self, piece: u32) -> bool {
        let Some(case) = self.cases.get_mut(&piece) else { return false };
        case.judging = true;
        true
    }

    /// The blocks of a piece were hashed, after a failure or, where it is `good`, at last after success. Returns who
    /// is guilty.
    pub(super) fn hashed<E>(
        &mut self,
        piece: u32,
        good: bool,
        outcome: Result<&[Sha1Hash], E>,
    ) -> Vec<PeerKey> {
        let Ok(hashes) = outcome else {
            self.close_case(piece);
            return Vec::new();
        };
        if !good {
            self.keep_evidence(piece, hashes);
            return Vec::new();
        }
        let Some(case) = self.close_case(piece) else { return Vec::new() };
        let liars = case.evidence.into_iter().filter(|(block, _, sent)| {
            hashes.get(*block as usize).is_some_and(|right| right != sent)
        });
        let mut liars: Vec<PeerKey> = liars.map(|(_, key, _)| key).collect();
        liars.sort_unstable();
        liars.dedup();
        liars
    }

    fn keep_evidence(&mut self, piece: u32, hashes: &[Sha1Hash]) {
        let Some(case) = self.cases.get_mut(&piece) else { return };
        let senders = core::mem::take(&mut case.senders);
        let sent = senders.iter().zip(hashes).enumerate();
        let sent = sent.filter_map(|(block, (sender, hash))| {
            sender.map(|sender| (block as u32, sender, *hash))
        });
        // Several pieces may have failed since there was room.
        let room = MAX_EVIDENCE - self.evidence;
        let before = case.evidence.len();
        case.evidence.extend(sent.take(room));
        self.evidence += case.evidence.len() - before;
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

    const PIECE: u32 = 7;

    /// A peer of host `host` that calls us.
    fn peer(host: u8, proven: bool) -> Here {
        Here { addr: ([10, 0, 0, host], 6881).into(), incoming: true, proven }
    }

    #[test]
    fn who_sent_all_of_a_bad_piece_is_guilty_and_so_are_connections_of_one_host() {
        let mut blame = Blame::default();
        let nobody = |_| None;
        let only = blame.failed(PIECE, alloc::vec![Some(3); 4], nobody);
        assert_eq!((only.guilty, only.suspects, only.hash), ([3].into(), [].into(), false));
        let two = || alloc::vec![Some(1), Some(2), Some(1)];
        let together = blame.failed(PIECE, two(), |_| Some(peer(1, false)));
        assert_eq!((together.guilty, together.hash), ([1, 2].into(), false));
        // Who has sent a good piece is a suspect only, and so is everybody where a sender is not known.
        let proven = blame.failed(PIECE, two(), |key| Some(peer(1, key == 2)));
        assert_eq!((proven.guilty, proven.suspects, proven.hash), ([1].into(), [2].into(), true));
        let mut blame = Blame::default();
        let unknown = blame.failed(PIECE, alloc::vec![Some(1), None], |_| Some(peer(1, false)));
        assert_eq!((unknown.guilty, unknown.suspects, unknown.hash), ([].into(), [1].into(), true));
    }

    #[test]
    fn whose_block_differs_from_the_good_one_is_guilty_at_last() {
        let mut blame = Blame::default();
        let here = |key: PeerKey| Some(peer(key as u8, false));
        let sent = [[1; 20], [9; 20], [3; 20]].map(Sha1Hash);
        let good = [[1; 20], [2; 20], [3; 20]].map(Sha1Hash);
        let failed = blame.failed(PIECE, alloc::vec![Some(1), Some(2), Some(3)], here);
        assert_eq!(
            (failed.guilty, failed.suspects, failed.hash),
            ([].into(), [1, 2, 3].into(), true)
        );
        assert!(!blame.failed(PIECE, alloc::vec![Some(4), Some(5)], here).hash, "one at a time");
        assert!(blame.hashed::<()>(PIECE, false, Ok(&sent)).is_empty());
        assert!(!blame.verified(8) && blame.verified(PIECE));
        assert_eq!(blame.hashed::<()>(PIECE, true, Ok(&good)), [2]);
        assert!(!blame.verified(PIECE), "the case is closed");
        assert_eq!(blame.check(), Ok(()));
    }

    #[test]
    fn what_is_written_while_evidence_is_hashed_proves_nothing() {
        let mut blame = Blame::default();
        let sender = Some(PeerKey::default());
        let pending = Case { senders: alloc::vec![sender; 3], ..Case::default() };
        blame.cases.insert(7, pending);
        blame.block_written(7, 1);
        blame.block_written(7, 9);
        blame.block_written(8, 0);
        assert_eq!(blame.cases[&7].senders, [sender, None, sender]);
        // Once the good piece is hashed to judge, what is written makes that worthless.
        blame.cases.entry(7).or_default().judging = true;
        blame.block_written(7, 0);
        assert!(blame.cases.is_empty());
        assert_eq!(blame.check(), Ok(()));
    }
}
