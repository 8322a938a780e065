//! Which record of a torrent a session reads and writes.

use eddyline::LocationId;
use eddyline::base::hash::Sha1Hash;
use eddyline_disk::Locations;
use eddyline_disk::resume_store::RUNNING;

use crate::session::Session;
use crate::session_store::SessionSet;
use crate::trouble::Warning;

impl Session {
    /// A record is about a torrent in a folder. The usual one is that of the set, where the torrent is in it: who works
    /// on it in another folder takes nothing from that record, and does not replace it.
    pub(crate) fn settle_record(&mut self, hash: Sha1Hash, folder: LocationId) {
        let Some(store) = self.store() else { return };
        let usual = store.usual_folder(hash);
        // A session that runs is the only one that works on torrents of the set.
        if usual == Some(folder) || (usual.is_none() && self.command() == RUNNING) {
            return;
        }
        let set = SessionSet::read(store.state());
        let entry = set.as_ref().ok().and_then(|set| set.get(&hash.to_hex()));
        let of_set = |folder: LocationId| {
            entry.is_some_and(|entry| {
                [&entry.folder, &entry.moving_to]
                    .iter()
                    .any(|it| Locations::number_of(it) == folder)
            })
        };
        if of_set(folder) {
            if let Err(error) = store.make_usual(hash, folder) {
                self.warn(Warning::ResumeNotKept(error.to_string()));
            }
        } else if usual.is_some() || entry.is_some() {
            store.keep_apart(hash, folder);
        }
    }
}
