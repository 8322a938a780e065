//! Worker threads for disk and hash operations.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crossbeam_channel::{Receiver, Sender, unbounded};
use eddyline::base::ids::{DiskOpId, TorrentId};
use eddyline::{DiskError, DiskOp, DiskOutcome, Event};

use super::files::{FileCache, disk_error};
use super::operations::TorrentFiles;
use crate::mailbox::Mailbox;
use crate::resume_store::ResumeStore;

/// Operations that one worker performs one after the other.
pub type Batch = Vec<(DiskOpId, DiskOp)>;

#[derive(Debug)]
struct Open {
    files: TorrentFiles,
    /// Files written since the last sync.
    dirty: Mutex<BTreeSet<u32>>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    cache: Arc<FileCache>,
    store: Option<Arc<ResumeStore>>,
    torrents: RwLock<HashMap<TorrentId, Arc<Open>>>,
    mailbox: Mailbox,
}

/// The workers.
#[derive(Debug)]
pub struct DiskPool {
    jobs: Sender<Batch>,
}

impl DiskPool {
    /// Starts `threads` workers for torrents below `folder`, with at most `open_files` open.
    #[must_use]
    pub fn start(
        folder: PathBuf,
        store: Option<Arc<ResumeStore>>,
        threads: usize,
        open_files: usize,
        mailbox: Mailbox,
    ) -> Self {
        let (jobs, queue) = unbounded();
        let shared = Arc::new(Shared {
            folder,
            cache: Arc::new(FileCache::new(open_files)),
            store,
            torrents: RwLock::default(),
            mailbox,
        });
        for _ in 0..threads.max(1) {
            let (queue, shared) = (queue.clone(), shared.clone());
            std::thread::spawn(move || work(&queue, &shared));
        }
        Self { jobs }
    }

    /// Gives a worker something to do.
    pub fn submit(&self, batch: Batch) {
        // The threads live as long as this sender.
        let _ = self.jobs.send(batch);
    }
}

fn work(queue: &Receiver<Batch>, shared: &Shared) {
    while let Ok(batch) = queue.recv() {
        let events: Vec<Event> =
            batch.into_iter().map(|(id, op)| Event::Disk(id, shared.perform(op))).collect();
        shared.mailbox.leave(events);
    }
}

impl Shared {
    fn torrent(&self, id: TorrentId) -> std::io::Result<Arc<Open>> {
        let torrents = self.torrents.read().unwrap_or_else(PoisonError::into_inner);
        torrents.get(&id).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    fn perform(&self, op: DiskOp) -> DiskOutcome {
        self.attempt(op).unwrap_or_else(|error| DiskOutcome::Failed(disk_error(&error)))
    }

    fn attempt(&self, op: DiskOp) -> std::io::Result<DiskOutcome> {
        Ok(match op {
            DiskOp::Open { torrent, metainfo } => {
                std::fs::create_dir_all(&self.folder)?;
                let cache = self.cache.clone();
                let files = TorrentFiles::new(torrent, metainfo, &self.folder, cache)?;
                let status = files.open()?;
                let open = Arc::new(Open { files, dirty: Mutex::default() });
                let mut torrents = self.torrents.write().unwrap_or_else(PoisonError::into_inner);
                torrents.insert(torrent, open);
                DiskOutcome::Opened(status)
            }
            DiskOp::WriteBlock { torrent, piece, begin, payload } => {
                let open = self.torrent(torrent)?;
                let touched = open.files.files_of(piece, begin, payload.len());
                open.dirty.lock().unwrap_or_else(PoisonError::into_inner).extend(touched);
                open.files.write(piece, begin, &payload)?;
                DiskOutcome::Written
            }
            DiskOp::ReadBlock { torrent, piece, begin, length } => {
                DiskOutcome::Read(self.torrent(torrent)?.files.read(piece, begin, length)?)
            }
            DiskOp::HashPiece { torrent, piece } => {
                DiskOutcome::PieceHashed(self.torrent(torrent)?.files.hash_piece(piece)?)
            }
            DiskOp::HashBlocks { torrent, piece } => {
                DiskOutcome::BlocksHashed(self.torrent(torrent)?.files.hash_blocks(piece)?)
            }
            DiskOp::Sync { torrent } => {
                let open = self.torrent(torrent)?;
                let dirty = {
                    let mut dirty = open.dirty.lock().unwrap_or_else(PoisonError::into_inner);
                    std::mem::take(&mut *dirty)
                };
                let list: Vec<u32> = dirty.iter().copied().collect();
                match open.files.sync(&list) {
                    Ok(status) => DiskOutcome::Synced(status),
                    Err(error) => {
                        // They are as dirty as before.
                        open.dirty.lock().unwrap_or_else(PoisonError::into_inner).extend(dirty);
                        return Err(error);
                    }
                }
            }
            DiskOp::StoreResume { torrent, data } => self.store(torrent, &data)?,
            DiskOp::Close { torrent } => {
                let mut torrents = self.torrents.write().unwrap_or_else(PoisonError::into_inner);
                if let Some(open) = torrents.remove(&torrent) {
                    open.files.close();
                }
                DiskOutcome::Done
            }
        })
    }

    fn store(&self, torrent: TorrentId, data: &[u8]) -> std::io::Result<DiskOutcome> {
        let Some(store) = &self.store else {
            return Ok(DiskOutcome::Failed(DiskError::Missing));
        };
        let hash = self.torrent(torrent)?.files.metainfo().info_hashes.wire();
        store.store(hash, data)?;
        Ok(DiskOutcome::Done)
    }
}
