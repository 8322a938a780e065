//! Moving a torrent to another place.

use std::io;

use eddyline::base::ids::TorrentId;
use eddyline::{FileStatus, LocationId};

use super::Shared;
use crate::naming::all_can_be;
use crate::refusal::of_file;

impl Shared {
    /// Moves the files of a torrent. Where that fails, nothing of it is left at the other place.
    pub(super) fn move_to(
        &self,
        torrent: TorrentId,
        to: LocationId,
    ) -> io::Result<Box<[FileStatus]>> {
        let moved = self.try_to_move(torrent, to);
        if moved.is_err() {
            self.locations.unmake(to);
        }
        moved
    }

    fn try_to_move(&self, torrent: TorrentId, to: LocationId) -> io::Result<Box<[FileStatus]>> {
        // It is not the folder that the torrent is in.
        let root = [self.locations.root(to).display().to_string()];
        let fs = self.locations.open(to).map_err(|error| of_file(&root, error))?;
        self.reads.close(torrent);
        let open = self.torrent(torrent)?;
        let paths = open.files.stored_paths();
        all_can_be(&self.locations.root(to), self.locations.naming(to), &paths)?;
        self.claim(&open.files, &*fs, to, &paths)?;
        let before = open.files.found();
        self.heed_folders(&open.files, &*fs, true)?;
        let moved = open.files.move_to(&fs, to);
        if moved.is_err() {
            open.files.leave_alone(before);
        }
        moved
    }
}
