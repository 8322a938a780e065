//! The events of `--json`. Of these types `schema/events.json` is made, which describes the lines to others.

use eddyline::{CloseReason, PeerSource, Reachability, Stall, Transport};
#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

#[cfg(test)]
use super::schema::{of_a_torrent, of_a_torrent_with_a_name, of_no_torrent};

/// A line of `eddyline download --json`, `seed --json` or `session run --json`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(title = "Events of eddyline", deny_unknown_fields))]
pub struct Line<'a> {
    #[serde(flatten)]
    pub event: Event<'a>,
    /// The v1 info-hash in hex; of a v2-only torrent the v2 one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$")))]
    pub info_hash: Option<String>,
    /// The name of the torrent, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub name: Option<&'a str>,
    /// Seconds since the start, with a fraction.
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub t: f64,
}

/// What happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[cfg_attr(test, derive(JsonSchema))]
pub enum Event<'a> {
    /// The port is open and the torrent can be had; for `seed`, its data is checked. Without `info_hash`: a session
    /// in which no torrent is active.
    Ready {
        #[cfg_attr(test, schemars(range(min = 1)))]
        port: Option<u16>,
        #[cfg_attr(test, schemars(regex(pattern = "^[0-9a-f]{40}$")))]
        info_hash_v1: Option<String>,
        #[cfg_attr(test, schemars(regex(pattern = "^[0-9a-f]{64}$")))]
        info_hash_v2: Option<String>,
    },
    /// What the torrent holds is known.
    #[cfg_attr(test, schemars(transform = of_a_torrent_with_a_name))]
    Metadata {
        /// What the magnet called it.
        magnet_name: Option<&'a str>,
        /// Bytes of the selected files.
        length: u64,
        /// Files of the torrent, without padding.
        files: u32,
        /// Files of it that are selected.
        selected: u32,
    },
    /// How far the torrent is; at most once a second. Lengths are those of the selected files, rates are bytes per
    /// second.
    #[cfg_attr(test, schemars(transform = of_a_torrent))]
    Progress {
        done: u64,
        length: u64,
        down_rate: u64,
        up_rate: u64,
        peers: u32,
        seeds: u32,
        /// Peers over uTP.
        utp: u32,
        /// Peers with whom all bytes are encrypted.
        encrypted: u32,
        /// Web seeds of which something is asked.
        web_seeds: u32,
    },
    /// Data that is on the disk is hashed; at most once a second, and at its end.
    #[cfg_attr(test, schemars(transform = of_a_torrent_with_a_name))]
    Checking { done: u64, length: u64 },
    /// A piece was verified; with -v.
    #[cfg_attr(test, schemars(transform = of_a_torrent_with_a_name))]
    Piece { index: u32 },
    /// A peer connected, was closed or banned; with -v. A web seed is one with an address of HTTP.
    Peer {
        addr: String,
        client: &'a str,
        /// What carried the connection, or was to; null of an address that is banned.
        transport: Option<Carrier>,
        /// Whether all bytes are encrypted; null of one that never was a peer.
        encrypted: Option<bool>,
        #[serde(flatten)]
        change: PeerChange,
    },
    /// A tracker named peers, or failed.
    #[cfg_attr(test, schemars(transform = of_a_torrent))]
    Tracker {
        url: &'a str,
        #[serde(flatten)]
        answer: TrackerAnswer<'a>,
    },
    /// It is believed otherwise now whether others can connect to this port: inferred from who does. `address` is our
    /// address on the internet, where those who see it agree.
    #[cfg_attr(test, schemars(transform = of_no_torrent))]
    Reachability { state: Reach, address: Option<String> },
    /// What `--bind` names is gone or has no address, so that nothing is sent (`why`), or it can be used again. The
    /// same of the proxy.
    #[cfg_attr(test, schemars(transform = of_no_torrent))]
    Network { usable: bool, why: Option<String> },
    /// Everything that is selected is here. `seconds`, `downloaded`, `uploaded` and `wasted` are of this run, the
    /// totals of all runs. Without `info_hash`: the sum of several torrents, or of a session that has nothing left to
    /// do, at the end.
    Complete(Complete),
    /// Nothing has moved for a while, or is not waited for any longer.
    #[cfg_attr(test, schemars(transform = of_a_torrent))]
    Stalled { why: &'static str },
    /// It moves again after it was stalled.
    #[cfg_attr(test, schemars(transform = of_a_torrent))]
    Resumed,
    /// A torrent, or without `info_hash` the run, has failed. `code` is the exit code for it.
    Error {
        message: &'a str,
        #[cfg_attr(test, schemars(range(min = 1)))]
        code: u8,
    },
    /// A signal has ended the run; the last event.
    #[cfg_attr(test, schemars(transform = of_no_torrent))]
    Stopped { signal: Signal },
}

/// What became of a peer.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[cfg_attr(test, derive(JsonSchema))]
pub enum PeerChange {
    Connected { source: Source },
    Closed { reason: Reason },
    Banned,
}

/// What carries a connection; http, requests to a web seed.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(JsonSchema))]
pub enum Carrier {
    Tcp,
    Utp,
    Http,
}

impl From<Transport> for Carrier {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Utp => Self::Utp,
        }
    }
}

/// What came of asking a tracker.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(JsonSchema))]
pub enum TrackerAnswer<'a> {
    /// It named this many.
    Peers(u32),
    /// It failed.
    Error(&'a str),
}

/// What a download came to: in this run, and in all of them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Complete {
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub seconds: f64,
    pub downloaded: u64,
    pub uploaded: u64,
    pub wasted: u64,
    pub total_downloaded: u64,
    pub total_uploaded: u64,
    /// What of `downloaded` came from web seeds.
    pub from_web_seeds: u64,
    pub length: u64,
    /// Bytes of it that were here when the run began.
    #[serde(skip)]
    pub found: u64,
}

/// A signal that ends a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub enum Signal {
    #[serde(rename = "SIGHUP")]
    Hangup,
    #[serde(rename = "SIGINT")]
    Interrupt,
    #[serde(rename = "SIGTERM")]
    Terminate,
}

impl Signal {
    /// That of an exit code; `None` for what is no signal.
    pub fn of(code: u8) -> Option<Self> {
        match code {
            129 => Some(Self::Hangup),
            130 => Some(Self::Interrupt),
            143 => Some(Self::Terminate),
            _ => None,
        }
    }
}

/// Who named a peer.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(JsonSchema))]
pub enum Source {
    Incoming,
    Pex,
    Dht,
    Tracker,
    Lsd,
    Resume,
    User,
    Torrent,
}

impl From<PeerSource> for Source {
    fn from(source: PeerSource) -> Self {
        match source {
            PeerSource::Incoming => Self::Incoming,
            PeerSource::Pex => Self::Pex,
            PeerSource::Dht => Self::Dht,
            PeerSource::Tracker => Self::Tracker,
            PeerSource::Lsd => Self::Lsd,
            PeerSource::Resume => Self::Resume,
            PeerSource::User => Self::User,
        }
    }
}

/// The same for people.
pub fn source_words(source: PeerSource) -> &'static str {
    match source {
        PeerSource::Incoming => "it connected to us",
        PeerSource::Pex => "named by a peer",
        PeerSource::Dht => "found in the DHT",
        PeerSource::Tracker => "named by a tracker",
        PeerSource::Lsd => "on the local network",
        PeerSource::Resume => "known from an earlier run",
        PeerSource::User => "given with --peer",
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(JsonSchema))]
pub enum Reason {
    Remote,
    ConnectFailed,
    HandshakeTimeout,
    Silent,
    BadMessage,
    Misbehaved,
    UnknownTorrent,
    Ourselves,
    Duplicate,
    BothComplete,
    Banned,
    Blocked,
    Private,
    Limit,
    Stopped,
    EncryptionUnsuited,
    NotReading,
    Failed,
    Other,
}

/// Whether others can connect to this port, over which transport.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(JsonSchema))]
pub enum Reach {
    Unknown,
    Open,
    OverTcp,
    OverUtp,
    Closed,
}

/// Whether others can connect to us: for programs, and for people.
pub fn reachability(state: Reachability) -> (Reach, &'static str) {
    match state {
        Reachability::Unknown => {
            (Reach::Unknown, "it is not known whether peers can connect to us")
        }
        Reachability::Open => (Reach::Open, "peers can connect to us"),
        Reachability::OverTcp => (Reach::OverTcp, "peers can connect to us over TCP"),
        Reachability::OverUtp => (Reach::OverUtp, "peers can connect to us over uTP"),
        Reachability::Closed => {
            (Reach::Closed, "no peer can connect to us: a router may have to let the port in")
        }
    }
}

/// Why a connection ended: for programs, and for people.
pub fn close_reason(reason: CloseReason) -> (Reason, &'static str) {
    match reason {
        CloseReason::Remote => (Reason::Remote, "the peer closed it, or it broke"),
        CloseReason::ConnectFailed => (Reason::ConnectFailed, "it could not be reached"),
        CloseReason::HandshakeTimeout => (Reason::HandshakeTimeout, "it sent no handshake in time"),
        CloseReason::Silent => (Reason::Silent, "it was silent for too long"),
        CloseReason::BadMessage => (Reason::BadMessage, "it sent something that is not BitTorrent"),
        CloseReason::Misbehaved => (Reason::Misbehaved, "it broke a rule of the protocol"),
        CloseReason::UnknownTorrent => {
            (Reason::UnknownTorrent, "it wants a torrent that is not here")
        }
        CloseReason::Ourselves => (Reason::Ourselves, "it was this client itself"),
        CloseReason::Duplicate => (Reason::Duplicate, "it was connected already"),
        CloseReason::BothComplete => (Reason::BothComplete, "both sides have everything"),
        CloseReason::Banned => (Reason::Banned, "it is banned"),
        CloseReason::Blocked => (Reason::Blocked, "its address is on a list of --ip-filter"),
        CloseReason::Private => {
            (Reason::Private, "the torrent is private, and its tracker did not name it")
        }
        CloseReason::Limit => (Reason::Limit, "there was no place for it"),
        CloseReason::Stopped => (Reason::Stopped, "the torrent was stopped"),
        CloseReason::EncryptionUnsuited => {
            (Reason::EncryptionUnsuited, "one side wants encryption and the other does not")
        }
        CloseReason::NotReading => (Reason::NotReading, "it did not read what was sent to it"),
        _ => (Reason::Other, "for another reason"),
    }
}

/// A stall in words.
pub fn why(stall: Stall) -> &'static str {
    match stall {
        Stall::None => "data comes, but no piece is complete",
        Stall::NoTracker => "no tracker answers, and no other peer is known",
        Stall::NoPeers => "no peer is known yet",
        Stall::NoConnection => "no known peer can be reached",
        Stall::NoMetadata => "no connected peer has the metadata",
        Stall::NothingToGet => "no connected peer has what is missing",
        Stall::Choked => "the peers that have it do not serve us yet",
        Stall::Waiting => "the peers we asked are silent",
        Stall::DiskFull => "there is no room on the disk",
        Stall::Disk => "the disk is slower than the network",
        Stall::Limited => "the rate limit is reached",
    }
}
