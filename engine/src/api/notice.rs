//! What the engine tells the embedder.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

use eddyline_mse::Method as EncryptionMethod;

use super::command::{PeerSource, Tag};
use super::dht::{NodeId, Outcome as DhtOutcome};
use super::error::{CommandError, DiskError, TorrentError};
use super::read::FileRange;
use super::storage::StorageTask;
use super::transport::{Reachability, Transport};
use super::views::WebSeedView;
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, TorrentId};
use crate::metainfo::InfoHashes;

/// Why a connection was closed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed it, or it broke.
    Remote,
    /// No connection came about.
    ConnectFailed,
    /// No handshake in time.
    HandshakeTimeout,
    /// Nothing was heard for too long.
    Silent,
    /// Not the `BitTorrent` protocol, or a malformed message.
    BadMessage,
    /// A rule of the protocol was broken.
    Misbehaved,
    /// The torrent is not here.
    UnknownTorrent,
    /// It was ourselves.
    Ourselves,
    /// The peer is connected already.
    Duplicate,
    /// Both sides have everything.
    BothComplete,
    /// Banned.
    Banned,
    /// The torrent turned out to be private, and the peer did not come from its tracker (BEP 27).
    Private,
    /// Others are preferred, or there is no room.
    Limit,
    /// The torrent was paused, removed or closed.
    Stopped,
    /// It does not read what is sent to it.
    NotReading,
    /// One side wants encryption and the other does not, or not in the same way.
    EncryptionUnsuited,
    /// Its address is blocked by the filter.
    Blocked,
}

/// Something worth telling.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Notice {
    /// A torrent was added.
    TorrentAdded {
        /// That of the command.
        tag: Tag,
        /// What it is called by from now on.
        torrent: TorrentId,
        /// Its identities.
        info_hashes: InfoHashes,
    },
    /// A command could not be carried out.
    CommandRejected {
        /// That of the command.
        tag: Tag,
        /// Why not.
        error: CommandError,
        /// The torrent that is there already, where one is added a second time: what the second source
        /// names, trackers and peers, is taken over.
        torrent: Option<TorrentId>,
    },
    /// The info dictionary has come; see [`crate::Engine::metainfo`].
    MetadataReady(TorrentId),
    /// The data was checked, or resume data was trusted; the number of good pieces.
    Checked(TorrentId, u32),
    /// A piece was verified.
    PieceVerified(TorrentId, u32),
    /// A piece failed its hash.
    PieceFailed(TorrentId, u32),
    /// A piece that was verified is not what it was; it is fetched again where it is wanted.
    PieceWithdrawn(TorrentId, u32),
    /// Everything wanted is verified, durable on disk, and was not before.
    Finished(TorrentId),
    /// The torrent stands still because of an error.
    TorrentFailed(TorrentId, TorrentError),
    /// The disk is full: nothing more is requested, and one block is written every 5 to 60 s to see whether
    /// there is room again.
    DiskFull(TorrentId),
    /// There is room on the disk again.
    DiskHasRoom(TorrentId),
    /// What was wanted of the files as a whole is done, durably.
    StorageDone {
        /// That of the command.
        tag: Tag,
        /// The torrent.
        torrent: TorrentId,
        /// What was wanted.
        task: StorageTask,
    },
    /// It could not be done; everything is as it was before.
    StorageFailed {
        /// That of the command.
        tag: Tag,
        /// The torrent.
        torrent: TorrentId,
        /// What was wanted.
        task: StorageTask,
        /// Why it could not be.
        error: DiskError,
    },
    /// The location that had gone is back, and the torrent goes on.
    LocationBack(TorrentId),
    /// The torrent is gone.
    TorrentRemoved(TorrentId),
    /// A peer's handshake came.
    PeerConnected {
        /// Torrent.
        torrent: TorrentId,
        /// Connection.
        conn: ConnId,
        /// Address.
        addr: SocketAddr,
        /// Client, as its peer id says.
        client: String,
        /// Who named the address.
        source: PeerSource,
        /// What an encrypted handshake agreed on; `None` where there was none.
        encryption: Option<EncryptionMethod>,
        /// What carries it.
        transport: Transport,
    },
    /// A connection ended.
    PeerClosed {
        /// Torrent, where it was known.
        torrent: Option<TorrentId>,
        /// Connection.
        conn: ConnId,
        /// Address.
        addr: SocketAddr,
        /// Why.
        reason: CloseReason,
        /// What carried it, or was to.
        transport: Transport,
    },
    /// A peer was banned.
    PeerBanned(TorrentId, SocketAddr),
    /// A tracker answered.
    TrackerReplied {
        /// Torrent.
        torrent: TorrentId,
        /// URL.
        url: String,
        /// How many peers it named.
        peers: u32,
        /// What it wants the user to read.
        warning: Option<String>,
    },
    /// A tracker failed.
    TrackerFailed {
        /// Torrent.
        torrent: TorrentId,
        /// URL.
        url: String,
        /// Why.
        error: String,
    },
    /// The DHT was asked for peers of a torrent, in one address family.
    DhtReplied {
        /// Torrent.
        torrent: TorrentId,
        /// How many peers it named.
        peers: u32,
        /// At how many nodes we are announced.
        nodes: u32,
    },
    /// What came of a [`DhtRequest`](crate::DhtRequest) in one address family.
    DhtAnswered {
        /// That of the command.
        tag: Tag,
        /// What was looked for.
        target: NodeId,
        /// What was found.
        outcome: Box<DhtOutcome>,
    },
    /// Our estimate of whether others can connect to us has changed.
    Reachability {
        /// What is believed.
        state: Reachability,
        /// Our address on the internet, where enough of those who see it (peers, trackers, nodes of the DHT) agree.
        address: Option<IpAddr>,
    },
    /// All pieces of a range that was waited for are verified and written: it can be read from the files.
    ReadReady {
        /// That of the command.
        tag: Tag,
        /// The torrent.
        torrent: TorrentId,
        /// The bytes.
        range: FileRange,
    },
    /// A range that was waited for will not come: the torrent leaves, or the file is not wanted any more.
    ReadFailed {
        /// That of the command.
        tag: Tag,
        /// The torrent.
        torrent: TorrentId,
        /// The bytes.
        range: FileRange,
    },
    /// Resume data was stored.
    ResumeSaved(TorrentId),
    /// The engine has stopped; nothing more will come.
    ShutDown,
    /// Nothing has happened to a torrent for [`Config::rest_after`](crate::Config::rest_after): it is
    /// saved, its files are closed, its id is no more, and its hash is on standby.
    Rested(TorrentId, Sha1Hash),
    /// A torrent on standby is wanted: to be added again, with its resume data, within half a minute;
    /// or [`Command::Forget`](crate::Command::Forget) says that it is gone.
    Wanted(Sha1Hash),
    /// These files were longer than they should be, and everything behind that was cut off.
    Trimmed(TorrentId, Vec<u32>),
    /// A web seed has brought something for the first time since it was added or failed, or failed itself, or is not
    /// asked any more.
    WebSeed(TorrentId, Box<WebSeedView>),
}
