//! Hashing what a worker took out of the queue.

use std::io;

use eddyline::base::hash::Sha1Hash;
use eddyline::{DiskOutcome, Event};

use super::Shared;
use crate::hashing::{HashBuffer, hash_in_memory};
use crate::queue::HashJob;

impl Shared {
    /// Hashes pieces: those of one torrent side by side, what is still in memory where it is. Returns what came of it.
    pub(super) fn hash_off(&self, mut jobs: Vec<HashJob>, buffer: &mut HashBuffer) -> Vec<Event> {
        jobs.sort_unstable();
        let mut events = Vec::with_capacity(jobs.len());
        for run in jobs.chunk_by(|a, b| a.0 == b.0) {
            let torrent = run[0].0;
            let mut leave = |job: &HashJob, hash: io::Result<Sha1Hash>| {
                let outcome = match hash {
                    Ok(hash) => DiskOutcome::PieceHashed(hash),
                    Err(error) => DiskOutcome::Failed(self.judge(torrent, &error)),
                };
                events.push(Event::Disk(job.2, outcome));
            };
            let open = self.torrent(torrent).and_then(|open| {
                self.locations.look(open.files.location(), false)?;
                Ok(open)
            });
            let open = match open {
                Ok(open) => open,
                Err(error) => {
                    run.iter().for_each(|job| leave(job, Err(error.kind().into())));
                    continue;
                }
            };
            let size = |piece: u32| open.files.metainfo().geometry().piece_size(piece);
            let (mut here, mut there) = (Vec::new(), Vec::new());
            for job in run {
                match self.unhashed.take((torrent, job.1), size(job.1)) {
                    Some(blocks) => here.push((job, blocks)),
                    None => there.push(job),
                }
            }
            for group in here.chunk_by_mut(|a, b| size(a.0.1) == size(b.0.1)) {
                let blocks: Vec<_> =
                    group.iter_mut().map(|(_, blocks)| std::mem::take(blocks)).collect();
                let hashes = hash_in_memory(blocks, buffer, |bytes| self.unhashed.freed(bytes));
                group.iter().zip(hashes).for_each(|((job, _), hash)| leave(job, Ok(hash)));
            }
            let pieces: Vec<u32> = there.iter().map(|job| job.1).collect();
            let hashes = open.files.hash_pieces(&pieces, buffer);
            there.into_iter().zip(hashes).for_each(|(job, hash)| leave(job, hash));
        }
        events
    }
}
