//! A torrent of a client.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Metainfo;
use eddyline::{
    FilePriority, FileRange, PeerSource, Priority, RateLimits, ReadAhead, ReaderId, Tag,
    TorrentCommand,
};
use eddyline_mio::dns::Names;

use crate::client::{Error, Shared};
use crate::item::Item;
use crate::reply::{Reply, promise};
use crate::session::Session;
use crate::session_store::{Entry, PAUSED};
use crate::snapshot::TorrentSnapshot;
use crate::worker::Worker;

/// What becomes of the data of a torrent that is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Data {
    /// It stays.
    Keep,
    /// Its files go, and folders that are empty then.
    Delete,
}

/// A torrent of a client. It can be cloned and shared; the torrent goes on without handles as long as there is
/// one to the client.
#[derive(Clone)]
pub struct Torrent {
    hash: Sha1Hash,
    shared: Arc<Shared>,
}

impl fmt::Debug for Torrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Torrent").field(&self.hash).finish()
    }
}

impl Torrent {
    pub(crate) fn new(hash: Sha1Hash, shared: Arc<Shared>) -> Self {
        Self { hash, shared }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.shared.names
    }

    /// Which it is: the v1 hash.
    #[must_use]
    pub fn info_hash(&self) -> Sha1Hash {
        self.hash
    }

    /// Answers when everything wanted is verified and durable, at once where it is. It can be asked any number of
    /// times.
    ///
    /// The answer is [`Error::Trouble`] where the torrent stands still, and [`Error::Removed`] where it is removed.
    pub fn completed(&self) -> Reply<()> {
        self.until(|session, item| {
            if let Some(trouble) = &item.trouble {
                return Some(Err(Error::Trouble(trouble.clone())));
            }
            let view = session.driver.engine().torrent(item.id?)?;
            item.is_complete(&view).then_some(Ok(()))
        })
    }

    /// Answers when it is known what is in it, at once but for magnets.
    pub fn metainfo(&self) -> Reply<Arc<Metainfo>> {
        self.until(|_, item| match (item.metainfo(), &item.trouble) {
            (Some(metainfo), _) => Some(Ok(metainfo.clone())),
            (None, Some(trouble)) => Some(Err(Error::Trouble(trouble.clone()))),
            (None, None) => None,
        })
    }

    /// How it is now.
    pub fn snapshot(&self) -> Reply<TorrentSnapshot> {
        let ((promise, reply), hash) = (promise(), self.hash);
        self.shared.ask(move |worker| {
            let item = worker.session.item_by_hash(hash).filter(|item| item.id.is_some());
            let snapshot = item.map(|item| TorrentSnapshot::of(&worker.session, item));
            promise.keep(snapshot.ok_or(Error::Removed));
        });
        reply
    }

    /// Pauses it.
    pub fn pause(&self) -> Reply<()> {
        let paused = |entry| Entry { paused: PAUSED, ..entry };
        self.changes(paused, |session, _, id| session.driver.command(TorrentCommand::Pause.of(id)))
    }

    /// Resumes it after a pause or an error.
    pub fn resume(&self) -> Reply<()> {
        let resumed = |entry| Entry { paused: 0, ..entry };
        self.changes(resumed, |session, _, id| session.resume(id))
    }

    /// Hashes everything again.
    pub fn verify(&self) -> Reply<()> {
        self.does(|session, _, id| session.driver.command(TorrentCommand::Recheck.of(id)))
    }

    /// Adds peers to be connected to.
    pub fn add_peers(&self, peers: Vec<SocketAddr>) -> Reply<()> {
        self.does(move |session, _, torrent| {
            let add = TorrentCommand::AddPeers { peers, source: PeerSource::User };
            session.driver.command(add.of(torrent))
        })
    }

    /// Chooses files, by their numbers from 0 on; files beyond the list are selected. Of a magnet whose files are
    /// not known yet, the choice is kept until they are.
    pub fn select(&self, priorities: Vec<Priority>) -> Reply<()> {
        let numbered = (0u32..).zip(&priorities);
        let skipped = numbered.filter(|(_, p)| **p == Priority::Skip).map(|(n, _)| n).collect();
        let chosen = move |entry| Entry { skipped, select: Vec::new(), ..entry };
        self.changes(chosen, move |session, item, id| {
            let known = session.items()[item].files().len();
            let files = if known == 0 { priorities.len() } else { known };
            let each = (0..files).map(|file| FilePriority {
                file: file as u32,
                priority: priorities.get(file).copied().unwrap_or(Priority::Normal),
            });
            session.select(id, each.collect())
        })
    }

    /// Changes its limits, in bytes per second.
    pub fn set_limits(&self, limits: RateLimits) -> Reply<()> {
        let rate = |rate: Option<u64>| i64::try_from(rate.unwrap_or(0)).unwrap_or(i64::MAX);
        let (max_down, max_up) = (rate(limits.down), rate(limits.up));
        let limited = move |entry| Entry { max_down, max_up, ..entry };
        self.changes(limited, move |session, _, id| {
            session.driver.command(TorrentCommand::SetLimits(limits).of(id))
        })
    }

    /// Moves its data to another folder, which is made where it is not there. Answers when everything is there; it goes
    /// on meanwhile. Where that fails, or another move is not over yet, all is as it was, and the answer is
    /// [`Error::Trouble`].
    pub fn move_to(&self, folder: impl Into<PathBuf>) -> Reply<()> {
        let ((promise, reply), hash, folder) = (promise(), self.hash, folder.into());
        self.shared.ask(move |worker| match worker.move_to(hash, &folder) {
            Err(error) => promise.keep(Err(error)),
            Ok(tag) => worker.watch(promise, move |session| {
                session.answer_to(tag).map(|answer| answer.map_err(Error::Trouble))
            }),
        });
        reply
    }

    /// Waits for bytes of a file, which come before all that nobody waits for, the sooner the less time there is
    /// (`within`). Answers with the file's path when they are verified and written: they can be read from there,
    /// whatever else is missing.
    ///
    /// The answer is [`Error::Trouble`] where the file has no such bytes or is not wanted, and [`Error::Removed`]
    /// where the torrent is removed first.
    pub fn wait_for(&self, range: FileRange, within: Duration) -> Reply<PathBuf> {
        let ((promise, reply), hash) = (promise(), self.hash);
        self.shared.ask(move |worker| {
            let session = &mut worker.session;
            let Some(id) = session.item_by_hash(hash).and_then(|item| item.id) else {
                return promise.keep(Err(Error::Removed));
            };
            let tag = session.driver.command(TorrentCommand::Read { range, within }.of(id));
            worker.watch(promise, move |session| {
                let Some(item) = session.item_by_hash(hash) else {
                    return Some(Err(Error::Removed));
                };
                let answer = session.answer_to(tag)?;
                let path = session.driver.engine().file_path(id, range.file).unwrap_or_default();
                let path = path.iter().fold(item.folder.clone(), |folder, part| folder.join(part));
                Some(answer.map(|()| path).map_err(Error::Trouble))
            });
        });
        reply
    }

    /// Says what a reader needs next and by when: at each step of a player, for instance, and when it jumps. `None`
    /// where it needs nothing any more.
    pub fn set_reader(&self, reader: ReaderId, ahead: Option<ReadAhead>) -> Reply<()> {
        self.does(move |session, _, id| {
            session.driver.command(TorrentCommand::SetReader { reader, ahead }.of(id))
        })
    }

    /// Removes it. Answers when it is gone.
    pub fn remove(&self, data: Data) -> Reply<()> {
        let ((promise, reply), hash) = (promise(), self.hash);
        self.shared.ask(move |worker| {
            let id = worker.session.item_by_hash(hash).and_then(|item| item.id);
            if let Err(error) = worker.remove(hash) {
                return promise.keep(Err(error));
            }
            if let Some(id) = id {
                worker.session.driver.command(match data {
                    Data::Keep => TorrentCommand::Remove.of(id),
                    Data::Delete => TorrentCommand::RemoveWithData.of(id),
                });
            }
            worker.watch(promise, move |session| {
                session.item_by_hash(hash).is_none_or(|item| item.id != id).then_some(Ok(()))
            });
        });
        reply
    }

    /// Answers when `looks` has an answer, or the torrent is gone.
    fn until<T: Send + 'static>(
        &self,
        mut looks: impl FnMut(&Session, &Item) -> Option<Result<T, Error>> + Send + 'static,
    ) -> Reply<T> {
        let ((promise, reply), hash) = (promise(), self.hash);
        self.shared.ask(move |worker| {
            worker.watch(promise, move |session| match session.item_by_hash(hash) {
                Some(item) => looks(session, item),
                None => Some(Err(Error::Removed)),
            });
        });
        reply
    }

    /// Asks the engine for something that the next run is to know as well. Answers when it has done it, or has refused.
    fn changes(
        &self,
        change: impl FnOnce(Entry) -> Entry + Send + 'static,
        does: impl FnOnce(&mut Session, usize, TorrentId) -> Tag + Send + 'static,
    ) -> Reply<()> {
        self.asks(does, |worker, hash| worker.change(hash, change))
    }

    /// Asks the engine for something, of the torrent by its place among the items and its id. Answers when it has done
    /// it, or has refused.
    fn does(
        &self,
        does: impl FnOnce(&mut Session, usize, TorrentId) -> Tag + Send + 'static,
    ) -> Reply<()> {
        self.asks(does, |_, _| Ok(()))
    }

    fn asks(
        &self,
        does: impl FnOnce(&mut Session, usize, TorrentId) -> Tag + Send + 'static,
        keep: impl FnOnce(&mut Worker, Sha1Hash) -> Result<(), Error> + Send + 'static,
    ) -> Reply<()> {
        let ((promise, reply), hash) = (promise(), self.hash);
        self.shared.ask(move |worker| {
            let mut items = worker.session.items().iter();
            let place = items.position(|item| item.hash() == hash);
            let id = place.and_then(|place| worker.session.items()[place].id);
            let Some((place, id)) = place.zip(id) else {
                return promise.keep(Err(Error::Removed));
            };
            let tag = does(&mut worker.session, place, id);
            if let Err(error) = keep(worker, hash) {
                return promise.keep(Err(error));
            }
            // It is looked at when the engine has had the command. What it does not refuse then, it has done.
            worker.watch(promise, move |session| {
                let refused = session.answer_to(tag).and_then(Result::err);
                Some(refused.map_or(Ok(()), |why| Err(Error::Trouble(why))))
            });
        });
        reply
    }
}
