//! Worker threads for disk and hash operations.

mod hashes;
mod moves;
mod options;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{DiskOpId, TorrentId};
use eddyline::metainfo::Metainfo;
use eddyline::{DiskError, DiskOp, DiskOutcome, Event, LocationId, Placement};

use super::claiming::claim;
use super::files::{FileCache, disk_error};
use super::filesystem::FileSystem;
use super::found_folders::{found_folders, note};
use super::hashing::HashBuffer;
use super::locations::Locations;
use super::operations::{FileOptions, TorrentFiles};
use super::part_tag::PartTag;
use super::queue::{Queue, Work, Written, torrent_of};
use super::read_cache::{ReadCache, ReadStats};
use super::refusal::{self, Refusal, of_file};
use super::span::Span;
use super::unhashed::Unhashed;
use super::watch::{Changed, Turns};
use crate::claims::Claims;
use crate::lanes;
use crate::mailbox::Mailbox;
use crate::resume_store::ResumeStore;
use sha1::Sha1;

pub use options::PoolOptions;

/// Operations that one worker performs one after the other.
pub type Batch = Vec<(DiskOpId, DiskOp)>;

/// What the workers hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskStats {
    /// What was read for peers.
    pub reads: ReadStats,
    /// Bytes kept of what was written and not hashed, and the most that may be.
    pub unhashed: (u64, u64),
    /// Open files.
    pub open_files: usize,
}

#[derive(Debug)]
struct Open {
    files: TorrentFiles,
    /// Files written since the last sync.
    dirty: Mutex<BTreeSet<u32>>,
}

#[derive(Debug)]
struct Shared {
    locations: Locations,
    cache: Arc<FileCache>,
    reads: ReadCache,
    unhashed: Unhashed,
    store: Option<Arc<ResumeStore>>,
    /// Which paths belong to which torrent.
    claims: Claims,
    keep_executable: bool,
    turns: Turns,
    torrents: RwLock<HashMap<TorrentId, Arc<Open>>>,
    /// What the system said when an operation of a torrent failed last.
    refusals: Mutex<HashMap<TorrentId, Refusal>>,
    /// What the system said when resume data was stored last, if that failed.
    unkept: Mutex<Option<String>>,
    mailbox: Mailbox,
}

/// The workers.
#[derive(Debug)]
pub struct DiskPool {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
}

impl DiskPool {
    /// What the system said when an operation of a torrent failed last, with the file where it is known.
    #[must_use]
    pub fn refusal(&self, torrent: TorrentId) -> Option<Refusal> {
        let refusals = self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.get(&torrent).cloned()
    }

    /// Why resume data is not kept, with the file, while the state folder cannot be written. Nothing waits for
    /// that: what is not on record is checked by the next run.
    #[must_use]
    pub fn unkept(&self) -> Option<String> {
        self.shared.unkept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of a torrent that a move in progress has brought to the other place, and all of them.
    #[must_use]
    pub fn move_progress(&self, torrent: TorrentId) -> Option<(u64, u64)> {
        self.shared.torrent(torrent).ok()?.files.move_progress()
    }

    /// Starts the workers.
    #[must_use]
    pub fn start(options: PoolOptions, mailbox: Mailbox) -> Self {
        let queue = Arc::new(Queue::new(lanes::are_fast::<Sha1>(), options.hash_jobs));
        let shared = Arc::new(Shared {
            locations: options.locations,
            cache: Arc::new(FileCache::new(options.open_files)),
            reads: ReadCache::new(options.read_cache),
            unhashed: Unhashed::new(options.unhashed),
            claims: Claims::new(options.store.as_ref().map(|store| store.claims())),
            store: options.store,
            keep_executable: options.keep_executable,
            turns: Turns::default(),
            refusals: Mutex::default(),
            unkept: Mutex::default(),
            torrents: RwLock::default(),
            mailbox,
        });
        for _ in 0..options.threads.max(1) {
            let (queue, shared) = (queue.clone(), shared.clone());
            std::thread::spawn(move || work(&queue, &shared));
        }
        Self { queue, shared }
    }

    /// Gives a worker something to do. What may take hours gets a thread of its own.
    pub fn submit(&self, batch: Batch) {
        if batch.iter().any(|(_, op)| matches!(op, DiskOp::Move { .. } | DiskOp::Discard { .. })) {
            let shared = self.shared.clone();
            std::thread::spawn(move || shared.work_off(batch));
            return;
        }
        if let [(id, DiskOp::HashPiece { torrent, piece })] = batch.as_slice() {
            self.hash(*id, *torrent, *piece, None);
            return;
        }
        let file = self.shared.written_by(&batch);
        self.queue.put(batch, file);
    }

    /// Gives workers blocks to be written.
    pub fn write(&self, batches: impl Iterator<Item = Batch>) {
        let with_files: Vec<_> =
            batches.map(|batch| (self.shared.written_by(&batch), batch)).collect();
        self.queue.put_all(with_files.into_iter().map(|(file, batch)| (batch, file)));
    }

    /// Gives workers a piece to be hashed. Where the download goes on, it may wait for others up to
    /// the time that `patiently` gives: they come whether this one is hashed or not. Returns when to
    /// [`look`](Self::look), if that is of use.
    pub fn hash(
        &self,
        id: DiskOpId,
        torrent: TorrentId,
        piece: u32,
        patiently: Option<Duration>,
    ) -> Option<Instant> {
        let open = self.shared.torrent(torrent);
        let size = open.map_or(0, |open| open.files.metainfo().geometry().piece_size(piece));
        let held = if self.shared.unhashed.keeps(size) { size } else { 0 };
        self.queue.put_piece((torrent, piece, id), held.into(), patiently)
    }

    /// Has pieces hashed that have waited long enough. Returns when to look again.
    pub fn look(&self) -> Option<Instant> {
        self.queue.look()
    }

    /// Has pieces hashed that wait for others which will not come.
    pub fn hurry(&self) {
        self.queue.hurry();
    }

    /// Fills `into` with part of a piece if that needs no waiting at all: the file is open, its bytes
    /// are in memory, and nobody is rearranging the torrent. Returns whether it did.
    #[must_use]
    pub fn read_resident(
        &self,
        torrent: TorrentId,
        piece: u32,
        begin: u32,
        into: &mut [u8],
    ) -> bool {
        let Ok(torrents) = self.shared.torrents.try_read() else { return false };
        let Some(open) = torrents.get(&torrent) else { return false };
        let trusted = |location| self.shared.locations.is_trusted(location);
        open.files.read_resident(piece, begin, into, self.shared.turns.now(), trusted)
    }

    /// Where part of a piece lies, if it can be sent from there: it is in one open file, and nobody is
    /// rearranging the torrent.
    #[must_use]
    pub fn span(&self, torrent: TorrentId, piece: u32, begin: u32, length: u32) -> Option<Span> {
        let torrents = self.shared.torrents.try_read().ok()?;
        let open = torrents.get(&torrent)?;
        let trusted = |location| self.shared.locations.is_trusted(location);
        open.files.span(piece, begin, length, self.shared.turns.now(), trusted)
    }

    /// Why the files of a torrent could not be had, where another torrent has them.
    #[must_use]
    pub fn taken(&self, info_hash: Sha1Hash) -> Option<String> {
        self.shared.claims.told(info_hash)
    }

    /// The loop is about to collect what workers have left.
    pub fn turn_begins(&self) {
        self.shared.turns.begin();
    }

    /// What the workers hold.
    #[must_use]
    pub fn stats(&self) -> DiskStats {
        let shared = &self.shared;
        DiskStats {
            reads: shared.reads.stats(),
            unhashed: (shared.unhashed.held(), shared.unhashed.limit()),
            open_files: shared.cache.len(),
        }
    }
}

impl Drop for DiskPool {
    /// The workers end when they have done what they were given.
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn work(queue: &Queue, shared: &Shared) {
    let mut buffer = HashBuffer::default();
    while let Some(work) = queue.take() {
        match work {
            Work::Batch(batch, file) => {
                shared.work_off(batch);
                file.into_iter().for_each(|file| queue.done(file));
            }
            Work::Pieces(jobs) => {
                let count = jobs.len();
                let events = shared.hash_off(jobs, &mut buffer);
                queue.hashed(count);
                shared.mailbox.leave_for_later(events);
            }
        }
    }
}

impl Shared {
    /// The file that operations write to; the first, where there are more.
    fn written_by(&self, batch: &Batch) -> Option<Written> {
        let [(_, DiskOp::WriteBlock { torrent, piece, begin, payload }), ..] = batch.as_slice()
        else {
            return None;
        };
        let open = self.torrent(*torrent).ok()?;
        let file = open.files.files_of(*piece, *begin, payload.len()).next()?;
        Some((*torrent, file))
    }

    fn work_off(&self, batch: Batch) {
        let mut events = Vec::with_capacity(batch.len());
        let only_writes = batch.iter().all(|(_, op)| matches!(op, DiskOp::WriteBlock { .. }));
        let (mut writes, mut changed) = (Batch::new(), Vec::new());
        for (id, op) in batch {
            if matches!(op, DiskOp::WriteBlock { .. }) {
                writes.push((id, op));
                continue;
            }
            self.write_off(&mut writes, &mut events);
            let torrent = torrent_of(&op);
            let outcome = self.perform(op);
            if let DiskOutcome::Changed(files) = &outcome {
                changed.push((torrent, files.clone()));
            }
            events.push(Event::Disk(id, outcome));
        }
        self.write_off(&mut writes, &mut events);
        match only_writes {
            true => self.mailbox.leave_for_later(events),
            false => self.mailbox.leave(events),
        }
        // Not before: what is read from now on is answered behind what was left.
        for (torrent, files) in changed {
            if let Ok(open) = self.torrent(torrent) {
                open.files.watch.told(&files, self.turns.now());
            }
        }
    }

    /// Writes blocks of one piece: those that lie behind each other go to the disk at once.
    fn write_off(&self, writes: &mut Batch, events: &mut Vec<Event>) {
        let mut blocks: Vec<_> = writes
            .drain(..)
            .filter_map(|(id, op)| match op {
                DiskOp::WriteBlock { torrent, piece, begin, payload } => {
                    Some((torrent, piece, begin, id, payload))
                }
                _ => None,
            })
            .collect();
        blocks.sort_by_key(|(torrent, piece, begin, ..)| (*torrent, *piece, *begin));
        let mut rest = blocks.as_slice();
        while let Some((torrent, piece, begin, ..)) = rest.first() {
            let mut end = *begin;
            let run = rest.iter().take_while(|(t, p, at, _, payload)| {
                let next = (t, p) == (torrent, piece) && *at == end;
                end += payload.len();
                next
            });
            let count = run.count();
            let (run, behind) = rest.split_at(count);
            let parts: Vec<&[u8]> = run
                .iter()
                .flat_map(|(.., payload)| payload.parts().iter().map(|part| &part[..]))
                .collect();
            let result = self.write(*torrent, *piece, *begin, &parts);
            match &result {
                Ok(size) => {
                    let blocks = run.iter().map(|(_, _, at, _, payload)| (*at, payload.clone()));
                    self.unhashed.written((*torrent, *piece), *size, blocks);
                }
                // What is on disk is anybody's guess.
                Err(_) => self.unhashed.forget_piece((*torrent, *piece)),
            }
            for (.., id, _) in run {
                let outcome = match &result {
                    Ok(_) => DiskOutcome::Written,
                    Err(error) => DiskOutcome::Failed(*error),
                };
                events.push(Event::Disk(*id, outcome));
            }
            rest = behind;
        }
    }

    /// Writes part of a piece. Returns the size of the piece.
    fn write(
        &self,
        torrent: TorrentId,
        piece: u32,
        begin: u32,
        parts: &[&[u8]],
    ) -> Result<u32, DiskError> {
        let write = || {
            let open = self.torrent(torrent)?;
            let length: usize = parts.iter().map(|part| part.len()).sum();
            self.locations.look(open.files.location(), false)?;
            self.reads.written(torrent, piece);
            let written = open.files.write(piece, begin, parts);
            // Not before: a sync that ran beside the write would have taken the mark for its own.
            let touched = open.files.files_of(piece, begin, length as u32);
            open.dirty.lock().unwrap_or_else(PoisonError::into_inner).extend(touched);
            written?;
            Ok(open.files.metainfo().geometry().piece_size(piece))
        };
        write().map_err(|error| self.judge(torrent, &error))
    }

    fn torrent(&self, id: TorrentId) -> io::Result<Arc<Open>> {
        let torrents = self.torrents.read().unwrap_or_else(PoisonError::into_inner);
        torrents.get(&id).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// What an error means. Behind many of them is a drive that is not there any more.
    fn judge(&self, torrent: TorrentId, error: &io::Error) -> DiskError {
        let open = self.torrent(torrent);
        let gone = open.is_ok_and(|open| self.locations.look(open.files.location(), true).is_err());
        let told = refusal::describe(error).filter(|_| !gone);
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Some(told) => refusals.insert(torrent, told),
            None => refusals.remove(&torrent),
        };
        if gone { DiskError::LocationGone } else { disk_error(error) }
    }

    fn perform(&self, op: DiskOp) -> DiskOutcome {
        let torrent = torrent_of(&op);
        self.attempt(op).unwrap_or_else(|error| DiskOutcome::Failed(self.judge(torrent, &error)))
    }

    fn attempt(&self, op: DiskOp) -> io::Result<DiskOutcome> {
        Ok(match op {
            DiskOp::Open { torrent, metainfo, placement } => {
                self.open(torrent, metainfo, &placement)?
            }
            DiskOp::WriteBlock { .. } => return Err(io::ErrorKind::InvalidInput.into()),
            DiskOp::ReadBlock { torrent, piece, begin, length } => {
                self.read(torrent, piece, begin, length)?
            }
            DiskOp::HashPiece { torrent, piece } => {
                let open = self.torrent(torrent)?;
                self.locations.look(open.files.location(), false)?;
                DiskOutcome::PieceHashed(open.files.hash_piece(piece, &mut HashBuffer::default())?)
            }
            DiskOp::HashBlocks { torrent, piece } => {
                DiskOutcome::BlocksHashed(self.torrent(torrent)?.files.hash_blocks(piece)?)
            }
            DiskOp::Sync { torrent } => self.sync(torrent)?,
            DiskOp::StoreResume { torrent, data } => self.store(torrent, &data)?,
            DiskOp::Select { torrent, skipped } => {
                self.torrent(torrent)?.files.select(&skipped)?;
                DiskOutcome::Done
            }
            DiskOp::Move { torrent, to } => DiskOutcome::Opened(self.move_to(torrent, to)?),
            DiskOp::Discard { torrent, from } => {
                let fs = self.locations.open(from)?;
                let open = self.torrent(torrent)?;
                let hash = open.files.metainfo().info_hashes().wire();
                let found = self.store.as_ref().map(|store| found_folders(store, hash, &*fs));
                open.files.discard(&*fs, &found.unwrap_or_default())?;
                DiskOutcome::Done
            }
            DiskOp::Trim { torrent, files } => {
                self.reads.close(torrent);
                DiskOutcome::Opened(self.torrent(torrent)?.files.trim(&files)?)
            }
            DiskOp::Rename { torrent, renamed } => {
                let open = self.torrent(torrent)?;
                let paths: Vec<_> = renamed.iter().map(|(n, r)| (*n, r.to.clone())).collect();
                let location = open.files.location();
                self.claim(&open.files, &*self.locations.open(location)?, location, &paths)?;
                open.files.rename(&renamed)?;
                DiskOutcome::Done
            }
            DiskOp::Close { torrent } => {
                self.close(torrent);
                DiskOutcome::Done
            }
            DiskOp::Delete { torrent, info_hash, data } => self.delete(torrent, info_hash, data)?,
        })
    }

    fn open(
        &self,
        torrent: TorrentId,
        metainfo: Arc<Metainfo>,
        placement: &Placement,
    ) -> io::Result<DiskOutcome> {
        let fs = self.locations.open(placement.location)?;
        // It may be open: the location was gone and is back. Nothing opened before is of use.
        self.close(torrent);
        let hash = metainfo.info_hashes().wire();
        let tag = PartTag::of(self.store.as_ref(), hash)?;
        let options = FileOptions { tag, keep_executable: self.keep_executable };
        let cache = self.cache.clone();
        let files = TorrentFiles::new(torrent, metainfo, fs.clone(), placement, cache, options)?;
        let new = self.store.as_ref().is_none_or(|store| store.load(hash).is_none());
        self.heed_folders(&files, &*fs, new)?;
        self.claim(&files, &*fs, placement.location, &files.stored_paths())?;
        let status = files.open(new).inspect_err(|_| self.claims.release(hash))?;
        let names: Vec<_> = files.found_names().clone().into_iter().collect();
        let open = Arc::new(Open { files, dirty: Mutex::default() });
        let mut torrents = self.torrents.write().unwrap_or_else(PoisonError::into_inner);
        torrents.insert(torrent, open);
        Ok(match names.is_empty() {
            true => DiskOutcome::Opened(status),
            false => DiskOutcome::OpenedAs(status, names),
        })
    }

    /// Makes paths at a location the torrent's, besides those that it has.
    fn claim(
        &self,
        files: &TorrentFiles,
        fs: &dyn FileSystem,
        location: LocationId,
        paths: &[(u32, Vec<String>)],
    ) -> io::Result<()> {
        let (root, naming) = (self.locations.root(location), self.locations.naming(location));
        let claim = claim(files, fs, &root, naming.folds_case, paths, self.store.as_deref());
        let hash = files.metainfo().info_hashes().wire();
        let claim = match self.claims.of(hash) {
            Some(known) => known.and(claim),
            None => claim,
        };
        self.claims.take(hash, claim, |file| {
            let path = paths.iter().find(|(index, _)| *index == file);
            path.map_or_else(|| root.clone(), |(_, path)| root.join(path.join("/")))
        })
    }

    /// Sees to it that folders in `fs` that are not the torrent's own outlive it. Where it is `new`,
    /// those are the folders that are there now.
    fn heed_folders(&self, files: &TorrentFiles, fs: &dyn FileSystem, new: bool) -> io::Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let hash = files.metainfo().info_hashes().wire();
        if new {
            note(store, hash, fs, files.paths().iter().map(Vec::as_slice))?;
        }
        files.leave_alone(found_folders(store, hash, fs));
        Ok(())
    }

    fn read(
        &self,
        torrent: TorrentId,
        piece: u32,
        begin: u32,
        length: u32,
    ) -> io::Result<DiskOutcome> {
        let open = self.torrent(torrent)?;
        self.locations.look(open.files.location(), false)?;
        let size = open.files.metainfo().geometry().piece_size(piece);
        let read = |begin, length| open.files.read(piece, begin, length);
        match self.reads.get((torrent, piece), (begin, length), size, read) {
            Ok(bytes) => Ok(DiskOutcome::Read(bytes)),
            Err(error) => match error.downcast::<Changed>() {
                Ok(Changed(files)) => Ok(DiskOutcome::Changed(files.into())),
                Err(error) => Err(error),
            },
        }
    }

    fn sync(&self, torrent: TorrentId) -> io::Result<DiskOutcome> {
        let open = self.torrent(torrent)?;
        self.locations.look(open.files.location(), true)?;
        let dirty = {
            let mut dirty = open.dirty.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *dirty)
        };
        let list: Vec<u32> = dirty.iter().copied().collect();
        match open.files.sync(&list) {
            Ok(status) => Ok(DiskOutcome::Synced(status)),
            Err(error) => {
                // They are as dirty as before.
                open.dirty.lock().unwrap_or_else(PoisonError::into_inner).extend(dirty);
                Err(error)
            }
        }
    }

    fn store(&self, torrent: TorrentId, data: &[u8]) -> io::Result<DiskOutcome> {
        let Some(store) = &self.store else {
            return Ok(DiskOutcome::Failed(DiskError::Missing));
        };
        let hash = self.torrent(torrent)?.files.metainfo().info_hashes().wire();
        let path = || store.path(hash).display().to_string();
        let stored = store.store(hash, data).map_err(|error| of_file(&[path()], error));
        let why = stored.as_ref().err().map(|error| match refusal::describe(error) {
            Some(told) => told.told(None, ""),
            None => format!("{}: {error}", path()),
        });
        *self.unkept.lock().unwrap_or_else(PoisonError::into_inner) = why;
        stored.map(|()| DiskOutcome::Done)
    }

    fn close(&self, torrent: TorrentId) {
        let mut torrents = self.torrents.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = torrents.remove(&torrent) {
            self.claims.release(open.files.metainfo().info_hashes().wire());
            open.files.leave();
            self.reads.close(torrent);
            self.unhashed.forget(torrent);
        }
    }

    /// Resume data goes last: without it, what is left of the data would be nobody's.
    fn delete(
        &self,
        torrent: TorrentId,
        info_hash: Sha1Hash,
        data: bool,
    ) -> io::Result<DiskOutcome> {
        let deleted = match self.torrent(torrent) {
            Ok(open) if data => open.files.delete(&BTreeSet::new()),
            _ => Ok(()),
        };
        self.close(torrent);
        deleted?;
        if let Some(store) = &self.store {
            store.forget(info_hash)?;
        }
        Ok(DiskOutcome::Done)
    }
}
