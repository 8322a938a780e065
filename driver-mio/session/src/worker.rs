//! The thread that turns the loop: does what handles ask for, tells what happened, answers who waits.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Source;
use eddyline::{CommandError, LocationId, Notice, Tag, TorrentCommand};
use eddyline_mio::DriverError;

use crate::client::Error;
use crate::events::{Event, EventKind, Listeners};
use crate::item::AddOptions;
use crate::kept::KeptSet;
use crate::reply::Promise;
use crate::session::Session;
use crate::session_store::Entry;
use crate::trouble::{Trouble, Warning};

/// How long a turn may wait for something to happen. Whoever asks for something wakes the loop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that is done between two turns.
pub(crate) struct Request(pub(crate) Box<dyn FnOnce(&mut Worker) + Send>);

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// Looks whether what somebody waits for has come, and answers then. Returns whether it has.
type Watch = Box<dyn FnMut(&Session) -> bool + Send>;

/// The loop of a client.
pub(crate) struct Worker {
    pub(crate) session: Session,
    /// The set of torrents, where it is kept.
    kept: Option<KeptSet>,
    inbox: Receiver<Request>,
    listeners: Arc<Listeners>,
    watches: Vec<Watch>,
    /// Moves that are not over: by which command, and of which torrent.
    moves: Vec<(Tag, Sha1Hash)>,
    /// There are watches that have not looked yet.
    unlooked: bool,
    stopping: bool,
    /// Those who wait for the end.
    ends: Vec<Promise<()>>,
}

impl Worker {
    pub(crate) fn new(
        session: Session,
        kept: Option<KeptSet>,
        inbox: Receiver<Request>,
        listeners: Arc<Listeners>,
    ) -> Self {
        let (watches, moves, ends) = (Vec::new(), Vec::new(), Vec::new());
        let (unlooked, stopping) = (false, false);
        Self { session, kept, inbox, listeners, watches, moves, unlooked, stopping, ends }
    }

    /// Adds a torrent, also to the set. The magnet names these peers too.
    pub(crate) fn add(
        &mut self,
        source: Source,
        options: AddOptions,
        named: &[String],
    ) -> Result<Sha1Hash, Error> {
        let mut is_new = false;
        if let Some(kept) = &mut self.kept {
            let mut source = source.clone();
            if let Source::Magnet(magnet) = &mut source {
                Arc::make_mut(magnet).named_peers = named.to_vec();
            }
            let put = kept.put(&source, &options, &self.session);
            is_new = put.map_err(|error| Error::Set(error.into()))?;
        }
        let hash = source.info_hashes().wire();
        let added = self.session.add(source, options).map_err(Error::Add);
        if added.is_err() && is_new {
            self.keep(|kept| kept.remove(hash))?;
        }
        added
    }

    /// Something about a torrent is otherwise from now on, also in the next run.
    pub(crate) fn change(
        &mut self,
        hash: Sha1Hash,
        change: impl FnOnce(Entry) -> Entry,
    ) -> Result<(), Error> {
        self.keep(|kept| kept.change(hash, change))
    }

    /// A torrent is not in the next run, whatever becomes of it in this one.
    pub(crate) fn remove(&mut self, hash: Sha1Hash) -> Result<(), Error> {
        self.keep(|kept| kept.remove(hash))
    }

    /// Moves the data of a torrent to another folder. The answer to the command with the tag says what came of it.
    pub(crate) fn move_to(&mut self, hash: Sha1Hash, folder: &Path) -> Result<Tag, Error> {
        let place = self.session.place(folder).map_err(Error::Add)?;
        let item = self.session.item_by_hash(hash);
        let id = item.and_then(|item| item.id).ok_or(Error::Removed)?;
        if self.moves.iter().any(|(_, moving)| *moving == hash) {
            return Err(Error::Trouble(Trouble::Refused(CommandError::Busy)));
        }
        let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let moving_to = whole.to_string_lossy().into_owned();
        self.change(hash, |entry| Entry { moving_to, ..entry })?;
        Ok(self.begin_move(hash, id, place))
    }

    fn begin_move(&mut self, hash: Sha1Hash, id: TorrentId, place: LocationId) -> Tag {
        let tag = self.session.driver.command(TorrentCommand::Move(place).of(id));
        self.moves.push((tag, hash));
        tag
    }

    fn keep(&mut self, keep: impl FnOnce(&mut KeptSet) -> io::Result<()>) -> Result<(), Error> {
        let kept = self.kept.as_mut().map_or(Ok(()), keep);
        kept.map_err(|error| Error::Set(error.into()))
    }

    /// Answers when `looks` has an answer. It looks for the first time when the engine has had what was asked of
    /// it before.
    pub(crate) fn watch<T: Send + 'static>(
        &mut self,
        promise: Promise<T>,
        mut looks: impl FnMut(&Session) -> Option<Result<T, Error>> + Send + 'static,
    ) {
        let mut promise = Some(promise);
        self.unlooked = true;
        self.watches.push(Box::new(move |session| {
            if promise.as_ref().is_none_or(|promise| !promise.is_wanted()) {
                return true;
            }
            let Some(answer) = looks(session) else { return false };
            promise
                .take()
                .into_iter()
                .zip([answer])
                .for_each(|(promise, answer)| promise.keep(answer));
            true
        }));
    }

    /// Stops when what was asked for before is done.
    pub(crate) fn stop(&mut self, promise: Option<Promise<()>>) {
        self.stopping = true;
        self.ends.extend(promise);
    }

    pub(crate) fn run(mut self) {
        let mut failed = None;
        // Who asks something of a torrent of the last run would hear that it was removed before the engine has it.
        while failed.is_none() && !self.has_begun() {
            failed = self.turn().err().map(|error| DriverError::System(error.into()));
        }
        while failed.is_none() && !self.stopping {
            while let Ok(Request(request)) = self.inbox.try_recv() {
                request(&mut self);
            }
            if !self.stopping {
                failed = self.turn().err().map(|error| DriverError::System(error.into()));
            }
        }
        let listeners = self.listeners.clone();
        let stopped = self.session.stop(|session, notices| tell(&listeners, session, notices));
        let result = failed.map_or(stopped.map(drop), Err);
        let mut ends = std::mem::take(&mut self.ends).into_iter();
        if let Err(error) = result {
            // One is told how; for the others it is over.
            if let Some(end) = ends.next() {
                end.keep(Err(Error::Driver(error)));
            }
            return;
        }
        ends.for_each(|end| end.keep(Ok(())));
    }

    /// Whether the engine has taken or refused every torrent that was there when the client began.
    fn has_begun(&self) -> bool {
        self.session.items().iter().all(|item| item.id.is_some() || item.trouble.is_some())
    }

    fn turn(&mut self) -> std::io::Result<()> {
        let notices = self.session.turn(PATIENCE)?;
        tell(&self.listeners, &self.session, &notices);
        if let Some(kept) = &mut self.kept {
            notices.iter().for_each(|notice| kept.heard(&mut self.session, notice));
        }
        for notice in &notices {
            match notice {
                Notice::TorrentAdded { torrent: id, info_hashes, .. } => {
                    // A move that the last run began goes on.
                    let hash = info_hashes.wire();
                    let place = self.kept.as_ref().and_then(|kept| kept.moving_to(hash));
                    place.map(|place| self.begin_move(hash, *id, place));
                }
                Notice::TorrentRemoved(id) => self.removed(*id),
                Notice::StorageDone { tag, .. } | Notice::StorageFailed { tag, .. } => {
                    self.moves.retain(|(moving, _)| moving != tag);
                }
                Notice::CommandRejected { tag, .. } => self.rejected(*tag),
                _ => {}
            }
        }
        if self.unlooked || !notices.is_empty() {
            self.unlooked = false;
            let session = &self.session;
            self.watches.retain_mut(|watch| !watch(session));
        }
        Ok(())
    }

    /// A move that the engine refuses is not begun in the next run either.
    fn rejected(&mut self, tag: Tag) {
        let Some(at) = self.moves.iter().position(|(moving, _)| *moving == tag) else { return };
        let (_, hash) = self.moves.swap_remove(at);
        let kept = self.kept.as_mut().map_or(Ok(()), |kept| kept.change(hash, Entry::not_moved));
        kept.unwrap_or_else(|error| self.session.warn(Warning::SetNotKept(error)));
    }

    fn removed(&mut self, id: TorrentId) {
        if let Some(item) = self.session.item(id) {
            let hash = item.hash();
            self.moves.retain(|(_, moving)| *moving != hash);
        }
        if let (Some(item), Some(store)) = (self.session.item(id), self.session.store()) {
            store.unlock(item.hash());
        }
        self.session.forget(id);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.listeners.end();
    }
}

/// Tells whoever listens.
fn tell(listeners: &Listeners, session: &Session, notices: &[Notice]) {
    for notice in notices {
        let (torrent, kind) = event_of(session, notice);
        listeners.tell(&Event { torrent, kind });
    }
}

/// What a notice is to those who know torrents by their hashes.
fn event_of(session: &Session, notice: &Notice) -> (Option<Sha1Hash>, EventKind) {
    let item = |id: &TorrentId| session.item(*id);
    let about = |id: &TorrentId, kind| (item(id).map(|item| item.hash()), kind);
    let trouble = |id: &TorrentId| match item(id).and_then(|item| item.trouble.clone()) {
        Some(trouble) => EventKind::Failed(trouble),
        None => EventKind::Other(notice.clone()),
    };
    match notice {
        Notice::TorrentAdded { torrent: id, .. } => about(id, EventKind::Added),
        Notice::MetadataReady(id) => about(id, EventKind::Metadata),
        Notice::Checked(id, good) => about(id, EventKind::Checked(*good)),
        Notice::PieceVerified(id, piece) => about(id, EventKind::Piece(*piece)),
        Notice::Finished(id) => about(id, EventKind::Completed),
        Notice::TorrentFailed(id, _) | Notice::DiskFull(id) => about(id, trouble(id)),
        Notice::StorageFailed { tag, torrent: id, .. } => match session.answer_to(*tag) {
            Some(Err(why)) => about(id, EventKind::NotMoved(why)),
            _ => about(id, trouble(id)),
        },
        Notice::DiskHasRoom(id) | Notice::LocationBack(id) => about(id, EventKind::Recovered),
        Notice::TorrentRemoved(id) => about(id, EventKind::Removed),
        Notice::PeerConnected { torrent, addr, client, .. } => {
            about(torrent, EventKind::PeerConnected(*addr, client.clone()))
        }
        Notice::PeerClosed { torrent, addr, .. } => {
            let torrent = torrent.as_ref().and_then(item).map(|item| item.hash());
            (torrent, EventKind::PeerClosed(*addr))
        }
        Notice::TrackerReplied { torrent, url, peers, .. } => {
            about(torrent, EventKind::Tracker(url.clone(), Ok(*peers)))
        }
        Notice::TrackerFailed { torrent, url, error } => {
            about(torrent, EventKind::Tracker(url.clone(), Err(error.clone())))
        }
        other => (None, EventKind::Other(other.clone())),
    }
}
