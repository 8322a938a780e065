//! How torrents are at a moment.

use eddyline::TorrentState;
use eddyline::base::hash::Sha1Hash;

use crate::item::Item;
use crate::session::Session;
use crate::trouble::Trouble;

/// How a client is at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its torrents, in the order in which they were added.
    pub torrents: Vec<TorrentSnapshot>,
    /// Payload bytes per second from peers.
    pub down_rate: u64,
    /// Payload bytes per second to peers.
    pub up_rate: u64,
}

impl Snapshot {
    pub(crate) fn of(session: &Session) -> Self {
        let torrents: Vec<_> =
            session.items().iter().map(|i| TorrentSnapshot::of(session, i)).collect();
        let sum = |rate: fn(&TorrentSnapshot) -> u64| torrents.iter().map(rate).sum();
        Self { down_rate: sum(|t| t.down_rate), up_rate: sum(|t| t.up_rate), torrents }
    }
}

/// How a torrent is at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TorrentSnapshot {
    /// Which it is: the v1 hash.
    pub info_hash: Sha1Hash,
    /// What it is called.
    pub name: String,
    /// Where it is in its life; `None` before the engine has it.
    pub state: Option<TorrentState>,
    /// Everything wanted is verified and durable.
    pub completed: bool,
    /// Why it stands still.
    pub trouble: Option<Trouble>,
    /// Bytes of the files that are wanted; 0 while that is not known.
    pub length: u64,
    /// Bytes of them that are verified.
    pub done: u64,
    /// Payload received in this run.
    pub downloaded: u64,
    /// Payload sent in this run.
    pub uploaded: u64,
    /// Payload bytes per second from peers.
    pub down_rate: u64,
    /// Payload bytes per second to peers.
    pub up_rate: u64,
    /// Connected peers.
    pub peers: u32,
    /// Connected peers that have everything.
    pub seeds: u32,
}

impl TorrentSnapshot {
    pub(crate) fn of(session: &Session, item: &Item) -> Self {
        let view = item.id.and_then(|id| session.driver.engine().torrent(id));
        let view = view.as_ref();
        let (downloaded, uploaded) = view.map_or((0, 0), |view| item.this_run(view));
        Self {
            info_hash: item.hash(),
            name: item.name().into_owned(),
            state: view.map(|view| view.state),
            completed: view.is_some_and(|view| item.is_complete(view)),
            trouble: item.trouble.clone(),
            length: item.selected.length(),
            done: view.map_or(0, |view| item.selected.done(&view.have)),
            downloaded,
            uploaded,
            down_rate: view.map_or(0, |view| view.down_rate),
            up_rate: view.map_or(0, |view| view.up_rate),
            peers: view.map_or(0, |view| view.peers),
            seeds: view.map_or(0, |view| view.seeds),
        }
    }
}
