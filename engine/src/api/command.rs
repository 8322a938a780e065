//! What the embedder asks for. Commands are events, so a recorded run is complete.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::dht::{DhtRequest, DhtState};
use super::read::{FileRange, ReadAhead, ReaderId};
use super::resume::ResumeData;
use super::storage::{Allocation, LocationId, Rename};
use crate::base::hash::Sha1Hash;
use crate::base::ids::{TorrentId, UdpSocketId};
use crate::filter::Filter;
use crate::metainfo::{Naming, Source};

/// How much a file is wanted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Priority {
    /// Not at all.
    Skip,
    /// After everything else.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Before everything else.
    High,
}

/// A file and how much it is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FilePriority {
    /// Index into the layout's files.
    pub file: u32,
    /// How much.
    pub priority: Priority,
}

/// Where an address came from; what is trusted least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum PeerSource {
    /// It connected to us.
    Incoming,
    /// A peer named it (BEP 11).
    Pex,
    /// The DHT named it (BEP 5).
    Dht,
    /// A tracker named it.
    Tracker,
    /// It announced itself on the local network (BEP 14).
    Lsd,
    /// Resume data named it.
    Resume,
    /// The user named it.
    User,
}

impl PeerSource {
    /// Whether a private torrent has to do without it (BEP 27).
    pub fn is_hearsay(self) -> bool {
        matches!(self, Self::Pex | Self::Dht | Self::Lsd)
    }
}

/// Bytes per second, `None` for no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RateLimits {
    /// From peers.
    pub down: Option<u64>,
    /// To peers.
    pub up: Option<u64>,
}

/// Everything needed to add a torrent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddTorrent {
    /// What it is, or the magnet that leads to it.
    pub source: Source,
    /// What is known of its data from an earlier run; checked against the files.
    pub resume: Option<Box<ResumeData>>,
    /// Start only on `Command::Resume`.
    pub paused: bool,
    /// Fetch pieces in order.
    pub sequential: bool,
    /// Priority of each file; missing ones are normal.
    pub priorities: Vec<Priority>,
    /// Peers to connect to at once.
    pub peers: Vec<SocketAddr>,
    /// Trackers beyond those in the metainfo, each a tier of its own.
    pub trackers: Vec<String>,
    /// Web seeds beyond those in the metainfo (BEP 19). The user names them: they may be of a local network.
    pub mirrors: Vec<String>,
    /// Limits of this torrent.
    pub limits: RateLimits,
    /// Of a magnet: numbers of the files to fetch, once they are known (BEP 53); numbers beyond
    /// them mean nothing.
    pub select: Option<Vec<u32>>,
    /// Of a magnet: go no further than the metadata until [`TorrentCommand::Resume`].
    pub hold_metadata: bool,
    /// Where its data is.
    pub location: LocationId,
    /// How room for its files is made.
    pub allocation: Allocation,
    /// Write over files that are in the way, in which nothing of the torrent was found, and cut those
    /// that are too long.
    pub overwrite: bool,
    /// What names can be at that location.
    pub naming: Naming,
    /// Serve what is there and change nothing: a file that is not as it should be is an error.
    pub read_only: bool,
}

impl AddTorrent {
    /// Adds a torrent, or what a magnet leads to, with every option at its usual value. Peers and the selection
    /// of a magnet are included; its peers may be of this machine or of a local network: people hand each other
    /// such magnets, and what a connection says first is the same for everybody.
    pub fn new(source: impl Into<Source>) -> Self {
        let source = source.into();
        let (peers, select) = match &source {
            Source::Torrent(_) => Default::default(),
            Source::Magnet(magnet) => (magnet.peers.clone(), magnet.select_only.clone()),
        };
        Self {
            source,
            resume: None,
            paused: false,
            sequential: false,
            priorities: Vec::new(),
            peers,
            trackers: Vec::new(),
            mirrors: Vec::new(),
            limits: RateLimits::default(),
            select,
            hold_metadata: false,
            location: LocationId::default(),
            allocation: Allocation::default(),
            overwrite: false,
            naming: Naming::POSIX,
            read_only: false,
        }
    }
}

/// A number that the embedder chooses, and that the engine echoes in its answer to the command: each that is refused
/// ([`Notice::CommandRejected`](crate::Notice)), and adding, moving, renaming and reading where they succeed. Other
/// commands are carried out in the step that brings them, unless it refuses them.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Tag(pub u64);

impl Tag {
    /// For commands whose answers are not needed, and for what happens without a command.
    pub const NONE: Self = Self(0);
}

/// What the embedder asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Adds a torrent; answered by `Notice::TorrentAdded` or `Notice::CommandRejected`.
    Add(Box<AddTorrent>),
    /// Something about a torrent that is there. Answered by `Notice::CommandRejected` where there is no
    /// such torrent.
    Torrent(TorrentId, TorrentCommand),
    /// Changes the limits on all torrents together.
    SetLimits(RateLimits),
    /// Where the driver listens and which UDP sockets it has. Given at the start and on change.
    ListenOn {
        /// The port peers can reach, for both families; `None` when not listening.
        port: Option<u16>,
        /// UDP socket for IPv4.
        udp4: Option<UdpSocketId>,
        /// UDP socket for IPv6.
        udp6: Option<UdpSocketId>,
    },
    /// UDP sockets that have joined the groups of local discovery (BEP 14), on their port.
    ListenLocally {
        /// For IPv4.
        udp4: Option<UdpSocketId>,
        /// For IPv6.
        udp6: Option<UdpSocketId>,
    },
    /// What an earlier run left of the DHT; best given before `ListenOn`.
    RestoreDht(Box<DhtState>),
    /// Asks the DHT.
    Dht(Box<DhtRequest>),
    /// A torrent is complete and can be loaded at any time: it need not be in memory. It is asked for
    /// with `Notice::Wanted` when somebody wants it. It works without
    /// [`Config::rest_after`](crate::Config::rest_after); only with that does a torrent that was loaded go back to
    /// standby.
    StandBy {
        /// Which.
        info_hash: Sha1Hash,
        /// Whether trackers and DHT are to hear of it: then it is asked for soon, with few others at
        /// a time, and again whenever it is due.
        announce: bool,
    },
    /// A torrent on standby is not there any more.
    Forget(Sha1Hash),
    /// Nothing is sent to the addresses that it blocks, and nobody there is heard: peers, however they were named,
    /// nodes of the DHT, UDP trackers. Peers that are connected from there are closed. It replaces the one before
    /// it. What the embedder reaches by name, trackers and web seeds with HTTP, it has to check itself. A trace holds
    /// it whole, for decisions follow from it; it is worth its bytes only where it differs from the one before.
    SetFilter(Arc<Filter>),
    /// Stops everything tidily; ends with `Notice::ShutDown`. Trackers hear `stopped` of torrents in
    /// memory; those of torrents on standby forget them by themselves.
    ShutDown,
}

/// What can be asked for about one torrent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum TorrentCommand {
    /// Forgets it; its data stays. Ends with `Notice::TorrentRemoved`.
    Remove,
    /// Forgets it and removes its data: its files, and folders that are empty then.
    RemoveWithData,
    /// Moves its data to another location. It is served meanwhile, and nothing is fetched; answered by
    /// `Notice::StorageDone` or `Notice::StorageFailed`.
    Move(LocationId),
    /// Gives a file or the whole torrent another name, answered in the same way.
    Rename(Rename),
    /// Disconnects and stands still.
    Pause,
    /// Goes on after a pause or an error.
    Resume,
    /// Hashes everything again.
    Recheck,
    /// Announces now, as far as the trackers' minimum intervals allow.
    Announce,
    /// Changes priorities of files.
    SetPriorities(Vec<FilePriority>),
    /// Fetches pieces in order, or not: as a reader of everything that has time.
    SetSequential(bool),
    /// A reader says what it needs next and by when, or leaves with `None`. Pieces of its window go before all others,
    /// those that are due soonest first; a peer that would bring one too late is not asked for it while others
    /// can be. At most [`MAX_READERS`](crate::picker::MAX_READERS), those that wait included. Answered by
    /// `Notice::CommandRejected` only, where the range is not there.
    SetReader {
        /// Which reader.
        reader: ReaderId,
        /// What it needs.
        ahead: Option<ReadAhead>,
    },
    /// Waits for all pieces of a range, which are needed within a time; answered once by `Notice::ReadReady` or
    /// `Notice::ReadFailed`, with the tag of the command. That time does not end the waiting: it decides what goes
    /// first.
    Read {
        /// The bytes.
        range: FileRange,
        /// How soon they are needed.
        within: Duration,
    },
    /// Changes its own limits.
    SetLimits(RateLimits),
    /// Adds addresses of peers.
    AddPeers {
        /// The addresses.
        peers: Vec<SocketAddr>,
        /// Who named them.
        source: PeerSource,
    },
    /// Saves resume data now, if anything has changed; a save is told by `Notice::ResumeSaved`.
    SaveResume,
}

impl TorrentCommand {
    /// This, about torrent `id`.
    #[must_use]
    pub fn of(self, id: TorrentId) -> Command {
        Command::Torrent(id, self)
    }
}

impl From<AddTorrent> for Command {
    fn from(add: AddTorrent) -> Self {
        Self::Add(Box::new(add))
    }
}

impl Command {
    /// The torrent that it names.
    pub fn torrent(&self) -> Option<TorrentId> {
        match self {
            Self::Torrent(id, _) => Some(*id),
            _ => None,
        }
    }
}
