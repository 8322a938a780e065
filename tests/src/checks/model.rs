//! A tiny model that is stepped beside each engine: what is verified, from the hashes alone, and
//! who wants to be served. The engine must agree with it.

use std::collections::{BTreeMap, BTreeSet};

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{DiskOpId, TorrentId};
use eddyline::metainfo::Metainfo;
use eddyline::{
    Action, Command, DiskOp, DiskOutcome, Engine, Event, FileStatus, Notice, ResumeData,
    TorrentCommand, TorrentState,
};
use std::sync::Arc;

/// What is known of one torrent.
#[derive(Clone, Debug)]
struct Known {
    metainfo: Arc<Metainfo>,
    verified: BTreeSet<u32>,
    /// What resume data claims, until the files have been looked at.
    claimed: Option<Box<ResumeData>>,
    /// Writes of each piece that have not ended.
    writing: BTreeMap<u32, u32>,
    /// The last time that each piece was asked to be hashed, unless it was written since: what an
    /// earlier one finds says nothing of what is there now.
    hashing: BTreeMap<u32, DiskOpId>,
    closing: bool,
}

/// What is verified, torrent by torrent.
#[derive(Clone, Debug, Default)]
pub struct Model {
    added: BTreeMap<Sha1Hash, Option<Box<ResumeData>>>,
    torrents: BTreeMap<TorrentId, Known>,
    by_hash: BTreeMap<Sha1Hash, TorrentId>,
    ops: BTreeMap<DiskOpId, Op>,
    /// The engine was told to shut down: what is opened from then on is closed again.
    stopping: bool,
    steps: u64,
}

#[derive(Clone, Debug)]
enum Op {
    Open(TorrentId),
    Hash(TorrentId, u32),
    Write(TorrentId, u32),
    Other,
}

impl Model {
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Command(_, Command::Add(add)) => {
                self.added.insert(add.source.info_hashes().wire(), add.resume.clone());
            }
            // What comes in of a torrent that is being closed is of no use to it.
            Event::Command(
                _,
                Command::Torrent(torrent, TorrentCommand::Remove | TorrentCommand::RemoveWithData),
            ) => {
                if let Some(known) = self.torrents.get_mut(torrent) {
                    known.closing = true;
                }
            }
            Event::Command(_, Command::ShutDown) => {
                self.stopping = true;
                self.torrents.values_mut().for_each(|known| known.closing = true);
            }
            Event::Disk(op, outcome) => self.ended(*op, outcome),
            _ => {}
        }
    }

    fn ended(&mut self, op: DiskOpId, outcome: &DiskOutcome) {
        match (self.ops.remove(&op), outcome) {
            (Some(Op::Open(torrent)), DiskOutcome::Opened(files)) => {
                if let Some(known) = self.torrents.get_mut(&torrent) {
                    known.trust(files);
                    self.added.remove(&known.metainfo.info_hashes().wire());
                }
            }
            (Some(Op::Hash(torrent, piece)), DiskOutcome::PieceHashed(hash)) => {
                if let Some(known) = self.torrents.get_mut(&torrent)
                    && known.hashing.get(&piece) == Some(&op)
                {
                    known.hashing.remove(&piece);
                    if known.metainfo.piece_hash(piece) == Some(*hash) {
                        known.verified.insert(piece);
                    } else {
                        known.verified.remove(&piece);
                    }
                }
            }
            (Some(Op::Write(torrent, piece)), _) => {
                if let Some(known) = self.torrents.get_mut(&torrent)
                    && let Some(count) = known.writing.get_mut(&piece)
                {
                    *count -= 1;
                }
            }
            _ => {}
        }
    }

    pub(super) fn see(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Disk(op, what) => self.asked(*op, what),
            Action::Notify(Notice::PieceVerified(torrent, piece)) => {
                let fine = self.torrents.get(torrent).is_some_and(|k| k.verified.contains(piece));
                let rule = "nothing is told as verified that was not hashed";
                if fine { Ok(()) } else { Err(format!("{rule}: piece {piece}")) }
            }
            Action::Notify(Notice::PieceWithdrawn(torrent, piece)) => {
                if let Some(known) = self.torrents.get_mut(torrent) {
                    known.verified.remove(piece);
                }
                Ok(())
            }
            Action::Notify(Notice::TorrentRemoved(torrent) | Notice::Rested(torrent, _)) => {
                self.torrents.remove(torrent);
                self.by_hash.retain(|_, id| id != torrent);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn asked(&mut self, op: DiskOpId, what: &DiskOp) -> Result<(), String> {
        let kind = match what {
            // Its location is looked for.
            DiskOp::Open { torrent, .. } if self.torrents.contains_key(torrent) => {
                Op::Open(*torrent)
            }
            DiskOp::Open { torrent, metainfo, .. } => {
                let hash = metainfo.info_hashes().wire();
                let claimed = self.added.get(&hash).cloned().flatten();
                let known = Known {
                    metainfo: metainfo.clone(),
                    verified: BTreeSet::new(),
                    claimed,
                    writing: BTreeMap::new(),
                    hashing: BTreeMap::new(),
                    closing: self.stopping,
                };
                self.torrents.insert(*torrent, known);
                self.by_hash.insert(hash, *torrent);
                Op::Open(*torrent)
            }
            DiskOp::WriteBlock { torrent, piece, .. } => {
                let known = self.torrents.get_mut(torrent).ok_or("an open torrent is written")?;
                if known.verified.contains(piece) {
                    return Err(format!("no verified piece is written again: {piece}"));
                }
                *known.writing.entry(*piece).or_default() += 1;
                known.hashing.remove(piece);
                Op::Write(*torrent, *piece)
            }
            DiskOp::HashPiece { torrent, piece } => {
                let known = self.torrents.get_mut(torrent).ok_or("an open torrent is hashed")?;
                if known.writing.get(piece).is_some_and(|count| *count > 0) {
                    return Err(format!("a piece is hashed when its writes have ended: {piece}"));
                }
                known.hashing.insert(*piece, op);
                Op::Hash(*torrent, *piece)
            }
            DiskOp::StoreResume { torrent, data } => {
                let resume = ResumeData::decode(data).map_err(|error| error.to_string())?;
                let known = self.torrents.get(torrent).ok_or("an open torrent is saved")?;
                if let Some(piece) = resume.have.ones().find(|p| !known.verified.contains(p)) {
                    return Err(format!("resume data claims what is verified: piece {piece}"));
                }
                Op::Other
            }
            _ => Op::Other,
        };
        self.ops.insert(op, kind);
        Ok(())
    }

    /// Whether a piece of the torrent with this hash is verified.
    pub(super) fn is_verified(&self, hash: Sha1Hash, piece: u32) -> bool {
        let known = self.by_hash.get(&hash).and_then(|id| self.torrents.get(id));
        known.is_some_and(|known| known.verified.contains(&piece))
    }

    /// Number of pieces of the torrent with this hash.
    pub(super) fn pieces(&self, hash: Sha1Hash) -> Option<u32> {
        let known = self.by_hash.get(&hash).and_then(|id| self.torrents.get(id))?;
        Some(known.metainfo.geometry().pieces())
    }

    /// Compares with what the engine says of itself, now and then: it costs as much as there are
    /// pieces.
    pub(super) fn compare(&mut self, engine: &Engine) -> Result<(), String> {
        self.steps += 1;
        if !self.steps.is_multiple_of(16) {
            return Ok(());
        }
        for (id, known) in &self.torrents {
            let Some(view) = engine.torrent(*id) else { continue };
            if let Some(piece) = view.have.ones().find(|piece| !known.verified.contains(piece)) {
                return Err(format!("the engine has what the model has: piece {piece} is extra"));
            }
            let settled = matches!(view.state, TorrentState::Downloading | TorrentState::Seeding);
            if settled && !known.closing && view.have.count() as usize != known.verified.len() {
                let (engine, model) = (view.have.count(), known.verified.len());
                return Err(format!("the engine has what the model has: {engine} of {model}"));
            }
        }
        Ok(())
    }
}

impl Known {
    /// Believes what resume data says of files that have not changed.
    fn trust(&mut self, files: &[FileStatus]) {
        let Some(resume) = self.claimed.take() else { return };
        let layout = self.metainfo.layout().files();
        if resume.files.len() != layout.len()
            || resume.have.len() != self.metainfo.geometry().pieces()
        {
            return;
        }
        let mut doubtful = BTreeSet::new();
        for (index, file) in layout.iter().enumerate() {
            let (is, was) = (files.get(index), resume.files.get(index));
            // After an unclean end a file that grew, or was written, keeps what was claimed.
            let shorter = is.and_then(|f| f.length) < was.and_then(|f| f.length);
            if file.is_stored() && is != was && (resume.clean || shorter) {
                doubtful.extend(self.metainfo.geometry().pieces_of(file.offset, file.length));
            }
        }
        self.verified.extend(resume.have.ones().filter(|piece| !doubtful.contains(piece)));
    }
}
