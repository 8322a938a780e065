//! Looking at an engine: plain data, computed on demand, with no effect on state.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

use eddyline_mse::Method as EncryptionMethod;

use super::command::{PeerSource, RateLimits};
use super::error::TorrentError;
use super::transport::Transport;
use crate::base::bits::Bits;
use crate::base::ids::{ConnId, TorrentId};
use crate::base::time::Instant;
use crate::metainfo::InfoHashes;

/// Where a torrent is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TorrentState {
    /// The info dictionary is being looked for (BEP 9).
    Metadata,
    /// The files are being looked at.
    Opening,
    /// Pieces are being hashed.
    Checking,
    /// Pieces are being fetched.
    Downloading,
    /// Everything wanted is here.
    Seeding,
    /// Stopped by the user.
    Paused,
    /// Stopped by an error.
    Failed,
}

/// Why a download does not move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stall {
    /// It moves, or has nothing to do.
    None,
    /// No address of a peer is known and every tracker failed.
    NoTracker,
    /// No address of a peer is known.
    NoPeers,
    /// Addresses are known, none is connected.
    NoConnection,
    /// Peers are connected; none offers the info dictionary.
    NoMetadata,
    /// Peers are connected; none has what is missing.
    NothingToGet,
    /// Peers have what is missing and choke us.
    Choked,
    /// Requests are out and nothing comes.
    Waiting,
    /// The disk is full; a block is written every 5 to 60 s to see whether there is room again.
    DiskFull,
    /// The disk does not keep up.
    Disk,
    /// The rate limit is reached.
    Limited,
}

/// One torrent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TorrentView {
    /// Its id.
    pub id: TorrentId,
    /// Its identities.
    pub info_hashes: InfoHashes,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: TorrentState,
    /// Why it failed.
    pub error: Option<TorrentError>,
    /// Verified pieces.
    pub have: Bits,
    /// Pieces fully checked while `Checking`.
    pub checked: u32,
    /// Bytes wanted.
    pub wanted: u64,
    /// Bytes wanted and verified.
    pub wanted_done: u64,
    /// Bytes verified.
    pub done: u64,
    /// Payload received.
    pub downloaded: u64,
    /// Payload sent.
    pub uploaded: u64,
    /// Payload received for nothing: duplicates, unrequested, failed hashes.
    pub wasted: u64,
    /// Payload bytes per second from peers.
    pub down_rate: u64,
    /// Payload bytes per second to peers.
    pub up_rate: u64,
    /// Connected peers.
    pub peers: u32,
    /// Connected peers that have everything.
    pub seeds: u32,
    /// Connected peers over µTP.
    pub utp: u32,
    /// Connected peers with whom all bytes are encrypted.
    pub encrypted: u32,
    /// Web seeds of which something is asked.
    pub web_seeds: u32,
    /// Connections being made.
    pub connecting: u32,
    /// Addresses known.
    pub candidates: u32,
    /// Pieces being fetched.
    pub partial_pieces: u32,
    /// Why nothing moves.
    pub stall: Stall,
    /// Its trackers.
    pub trackers: Vec<TrackerView>,
}

impl TorrentView {
    /// Whether all that is wanted of it is verified: never of a magnet whose metadata is not there.
    pub const fn is_complete(&self) -> bool {
        self.wanted > 0 && self.wanted_done == self.wanted
    }
}

/// How it stands with a tracker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrackerState {
    /// It has not been asked yet.
    Unasked,
    /// Others are before us at its host.
    Waiting,
    /// It has been asked, and has not answered yet.
    Asked,
    /// It answered last time.
    Working,
    /// It failed last time.
    Failing,
    /// Its host answers nobody, so it was not asked.
    HostFails,
    /// It said that it does not want to be asked again.
    Refusing,
}

/// One tracker of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackerView {
    /// URL.
    pub url: String,
    /// Tier, 0 being asked first.
    pub tier: u32,
    /// Failures in a row.
    pub failures: u32,
    /// Whether the last announce succeeded.
    pub working: bool,
    /// How it stands with it.
    pub state: TrackerState,
    /// When it is asked next, where that is known.
    pub next_announce: Option<Instant>,
    /// What it said last, if it was a failure.
    pub message: Option<String>,
    /// Seeds it knows of.
    pub complete: Option<u32>,
    /// Leechers it knows of.
    pub incomplete: Option<u32>,
    /// Downloads that it has counted.
    pub downloaded: Option<u32>,
    /// Peers that it named last.
    pub named: u32,
}

/// One peer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PeerView {
    /// Connection.
    pub conn: ConnId,
    /// Address.
    pub addr: SocketAddr,
    /// Client.
    pub client: String,
    /// Who named the address.
    pub source: PeerSource,
    /// Whether it connected to us.
    pub incoming: bool,
    /// Pieces it has.
    pub pieces: u32,
    /// We choke it.
    pub am_choking: bool,
    /// We want something it has.
    pub am_interested: bool,
    /// It chokes us.
    pub peer_choking: bool,
    /// It wants something we have.
    pub peer_interested: bool,
    /// It has not delivered for a while.
    pub snubbed: bool,
    /// Requests outstanding at it.
    pub outstanding: u32,
    /// Its requests that wait here.
    pub queued: u32,
    /// Payload bytes per second from it.
    pub down_rate: u64,
    /// Payload bytes per second to it.
    pub up_rate: u64,
    /// Payload from it.
    pub downloaded: u64,
    /// Payload to it.
    pub uploaded: u64,
    /// What an encrypted handshake agreed on; `None` where there was none.
    pub encryption: Option<EncryptionMethod>,
    /// What carries the connection.
    pub transport: Transport,
}

/// What a web seed is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WebSeedState {
    /// Nothing is asked of it.
    Idle,
    /// Something is.
    Active,
    /// It failed, or has enough to do, and is left alone until then.
    Waiting(Instant),
    /// It is not asked any more.
    GivenUp,
}

/// A server that has the files of a torrent (BEP 19).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WebSeedView {
    /// Its address, as it was given: it may hold a user and a password.
    pub url: String,
    /// Whether the user named it.
    pub by_user: bool,
    /// What it is doing.
    pub state: WebSeedState,
    /// Requests in progress.
    pub requests: u32,
    /// Payload bytes per second from it.
    pub down_rate: u64,
    /// Payload from it.
    pub downloaded: u64,
    /// How often it has failed in a row.
    pub failures: u32,
    /// What was wrong last.
    pub message: Option<String>,
}

/// The whole engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct EngineStats {
    /// Torrents in memory.
    pub torrents: u32,
    /// Torrents on standby.
    pub standby: u32,
    /// Connections, those being made included.
    pub connections: u32,
    /// Connections over µTP, those being made included.
    pub utp: u32,
    /// What TCP is held to in bytes per second, by a limit of its own or to leave room for µTP.
    pub tcp_limits: RateLimits,
    /// Connections being made.
    pub half_open: u32,
    /// Connections that have not begun to shake hands; they count among no others.
    pub waiting: u32,
    /// Connections that are shaking hands.
    pub handshaking: u32,
    /// Bytes granted and not received.
    pub read_credit: u64,
    /// Payload bytes handed to the disk and not written.
    pub disk_intake: u64,
    /// Pieces being hashed.
    pub hash_jobs: u32,
    /// Bytes being read for upload or waiting to be sent.
    pub send_budget: u64,
    /// Bytes of messages, blocks apart, that peers have not read.
    pub unread: u64,
    /// Bytes of messages of peers that are not complete or wait for their turn.
    pub assembling: u64,
    /// Upload slots.
    pub unchoke_slots: u32,
    /// Peers unchoked.
    pub unchoked: u32,
    /// Events that broke the driver contract.
    pub violations: u32,
    /// Protocol and payload bytes received.
    pub received: u64,
    /// Protocol and payload bytes sent.
    pub sent: u64,
}
