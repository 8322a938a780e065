//! The set of torrents of a client that has one: what `eddyline session` has in the same folder, kept up to date with
//! what is asked of the client and with what happens.

use std::io;
use std::sync::Arc;

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Source;
use eddyline::{LocationId, Notice, StorageTask};
use eddyline_disk::Locations;
use eddyline_disk::locks::Lock;
use eddyline_disk::resume_store::{RUNNING, ResumeStore};

use crate::client::Error;
use crate::entries::EntryError;
use crate::item::AddOptions;
use crate::session::Session;
use crate::session_store::{Entry, SessionStore};
use crate::trouble::Warning;

/// The set, and the lock under which it is changed.
#[derive(Debug)]
pub(crate) struct KeptSet {
    set: SessionStore,
    _lock: Lock,
}

impl KeptSet {
    /// Takes the set that is in the state folder, so that nobody else changes or runs it.
    pub(crate) fn open(store: &ResumeStore) -> Result<Self, Error> {
        let lock = store.lock_session(RUNNING).map_err(Error::Store)?;
        let set = SessionStore::open(store.state()).map_err(|error| Error::Set(error.into()))?;
        Ok(Self { set, _lock: lock })
    }

    /// Adds all torrents of the set to a session. What cannot be added stays in the set, and is told as a warning.
    pub(crate) fn begin_all(&self, session: &mut Session) {
        if self.set.was_damaged() {
            session.warn(Warning::DamagedSet);
        }
        for entry in self.set.list() {
            if let Err(why) = self.begin(entry, session) {
                session.warn(Warning::LeftOut(entry.name.clone(), why));
            }
        }
    }

    fn begin(&self, entry: &Entry, session: &mut Session) -> Result<Sha1Hash, EntryError> {
        let source = self.set.source(entry)?;
        let mut options = session.options_of(entry, &source).map_err(EntryError::Add)?;
        // What the user of the program has put in words waits for somebody who understands them.
        options.hold = !entry.select.is_empty();
        session.add(source, options).map_err(EntryError::Add)
    }

    /// Puts a torrent into the set that is about to be added. Returns whether it is new there; what the set says of one
    /// that is not stays.
    pub(crate) fn put(
        &mut self,
        source: &Source,
        options: &AddOptions,
        session: &Session,
    ) -> io::Result<bool> {
        let mut source = source.clone();
        let more = options.trackers.iter().cloned();
        match &mut source {
            Source::Torrent(metainfo) => {
                let tiers = metainfo.trackers().iter().cloned();
                let tiers = tiers.chain(more.map(|url| vec![url])).collect();
                *metainfo = (**metainfo).clone().with_trackers(tiers).into();
            }
            Source::Magnet(magnet) => {
                let magnet = Arc::make_mut(magnet);
                magnet.trackers.extend(more);
                magnet.peers.extend(&options.peers);
            }
        }
        let entry = Entry::of(&source, options, &session.folder);
        if self.set.get(&entry.hash).is_some() {
            return Ok(false);
        }
        let torrent = source.metainfo().map(|metainfo| metainfo.encode());
        self.set.put(vec![(entry, torrent)]).map(|()| true)
    }

    /// Something about a torrent is otherwise from now on.
    pub(crate) fn change(
        &mut self,
        hash: Sha1Hash,
        change: impl FnOnce(Entry) -> Entry,
    ) -> io::Result<()> {
        match self.set.get(&hash.to_hex()).cloned() {
            Some(entry) => self.set.put(vec![(change(entry), None)]),
            None => Ok(()),
        }
    }

    /// Where a torrent was being moved to when the last run ended.
    pub(crate) fn moving_to(&self, hash: Sha1Hash) -> Option<LocationId> {
        let entry = self.set.get(&hash.to_hex())?;
        (!entry.moving_to.is_empty()).then(|| Locations::number_of(&entry.moving_to))
    }

    /// A torrent is not in the set any more.
    pub(crate) fn remove(&mut self, hash: Sha1Hash) -> io::Result<()> {
        match self.set.get(&hash.to_hex()) {
            Some(_) => self.set.remove(&hash.to_hex()),
            None => Ok(()),
        }
    }

    /// Something has happened. What cannot be kept of it costs the next run a fetch or a look, and is told as a
    /// warning.
    pub(crate) fn heard(&mut self, session: &mut Session, notice: &Notice) {
        if let Err(error) = self.take_in(session, notice) {
            session.warn(Warning::SetNotKept(error));
        }
    }

    fn take_in(&mut self, session: &mut Session, notice: &Notice) -> io::Result<()> {
        match notice {
            Notice::MetadataReady(id) => self.metadata_came(session, *id),
            Notice::StorageDone { torrent: id, task: StorageTask::Move(to), .. } => {
                let to = *to;
                self.change_by_id(session, *id, move |entry| {
                    let there = Locations::number_of(&entry.moving_to) == to;
                    if there { entry.moved() } else { entry }
                })
            }
            Notice::StorageFailed { torrent: id, task: StorageTask::Move(_), .. } => {
                self.change_by_id(session, *id, Entry::not_moved)
            }
            Notice::TorrentRemoved(id) => match session.item(*id).map(|item| item.hash()) {
                Some(hash) => self.remove(hash),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn change_by_id(
        &mut self,
        session: &Session,
        id: TorrentId,
        change: impl FnOnce(Entry) -> Entry,
    ) -> io::Result<()> {
        session.item(id).map_or(Ok(()), |item| self.change(item.hash(), change))
    }

    /// What a magnet leads to is known: the next run needs nobody to tell it.
    fn metadata_came(&mut self, session: &Session, id: TorrentId) -> io::Result<()> {
        let Some(item) = session.item(id) else { return Ok(()) };
        let Some(entry) = self.set.get(&item.hash().to_hex()).cloned() else { return Ok(()) };
        let Some(metainfo) = item.metainfo() else { return Ok(()) };
        let files = 0..item.files().len() as u32;
        let skipped = files.filter(|file| !item.is_selected(*file)).collect();
        let select = entry.select.clone();
        let entry = Entry { select, ..entry.known(metainfo, skipped) };
        self.set.put(vec![(entry, Some(metainfo.encode()))])
    }
}
