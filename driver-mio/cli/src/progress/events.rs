//! The events of `--json`, as `driver-mio/schema/events.json` describes them.

use eddyline::{CloseReason, PeerSource, Reachability, Stall};
use serde::Serialize;

/// A line of JSON.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    #[serde(flatten)]
    pub event: Event<'a>,
    /// The torrent that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info_hash: Option<String>,
    /// Its name, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Seconds since the start.
    pub t: f64,
}

/// What happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A torrent can be had, and the port is open.
    Ready { port: Option<u16>, info_hash_v1: Option<String>, info_hash_v2: Option<String> },
    /// What a torrent holds is known.
    Metadata { magnet_name: Option<&'a str>, length: u64, files: u32, selected: u32 },
    /// How far a torrent is.
    Progress { done: u64, length: u64, down_rate: u64, up_rate: u64, peers: u32, seeds: u32 },
    /// Data that is there is hashed.
    Checking { done: u64, length: u64 },
    /// A piece was verified.
    Piece { index: u32 },
    /// A peer came or went.
    Peer {
        addr: String,
        state: &'static str,
        client: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        transport: &'static str,
        encrypted: bool,
    },
    /// A tracker answered, or failed.
    Tracker {
        url: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        peers: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    },
    /// It is believed otherwise now whether others can connect to us.
    Reachability { state: &'static str, address: Option<String> },
    /// Everything wanted is here: of a torrent, or, without a hash, of all of them.
    Complete(Complete),
    /// Nothing moves.
    Stalled { why: &'static str },
    /// It moves again.
    Resumed,
    /// Something failed.
    Error { message: &'a str, code: u8 },
    /// A signal ended it.
    Stopped { signal: &'static str },
}

/// What a download came to: in this run, and in all of them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Complete {
    pub seconds: f64,
    pub downloaded: u64,
    pub uploaded: u64,
    pub wasted: u64,
    pub total_downloaded: u64,
    pub total_uploaded: u64,
    pub length: u64,
    /// Bytes of it that were here when the run began.
    #[serde(skip)]
    pub found: u64,
}

/// A signal by its exit code; `None` for what is no signal.
pub fn signal_name(code: u8) -> Option<&'static str> {
    match code {
        129 => Some("SIGHUP"),
        130 => Some("SIGINT"),
        143 => Some("SIGTERM"),
        _ => None,
    }
}

/// Who named a peer.
pub fn source_name(source: PeerSource) -> &'static str {
    match source {
        PeerSource::Incoming => "incoming",
        PeerSource::Pex => "pex",
        PeerSource::Dht => "dht",
        PeerSource::Tracker => "tracker",
        PeerSource::Lsd => "lsd",
        PeerSource::Resume => "resume",
        PeerSource::User => "user",
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

/// Whether others can connect to us: for programs, and for people.
pub fn reachability(state: Reachability) -> (&'static str, &'static str) {
    match state {
        Reachability::Unknown => ("unknown", "it is not known whether peers can connect to us"),
        Reachability::Open => ("open", "peers can connect to us"),
        Reachability::OverTcp => ("over_tcp", "peers can connect to us over TCP"),
        Reachability::OverUtp => ("over_utp", "peers can connect to us over uTP"),
        Reachability::Closed => {
            ("closed", "no peer can connect to us: a router may have to let the port in")
        }
    }
}

/// Why a connection ended: for programs, and for people.
pub fn close_reason(reason: CloseReason) -> (&'static str, &'static str) {
    match reason {
        CloseReason::Remote => ("remote", "the peer closed it, or it broke"),
        CloseReason::ConnectFailed => ("connect_failed", "it could not be reached"),
        CloseReason::HandshakeTimeout => ("handshake_timeout", "it sent no handshake in time"),
        CloseReason::Silent => ("silent", "it was silent for too long"),
        CloseReason::BadMessage => ("bad_message", "it sent something that is not BitTorrent"),
        CloseReason::Misbehaved => ("misbehaved", "it broke a rule of the protocol"),
        CloseReason::UnknownTorrent => ("unknown_torrent", "it wants a torrent that is not here"),
        CloseReason::Ourselves => ("ourselves", "it was this client itself"),
        CloseReason::Duplicate => ("duplicate", "it was connected already"),
        CloseReason::BothComplete => ("both_complete", "both sides have everything"),
        CloseReason::Banned => ("banned", "it is banned"),
        CloseReason::Private => {
            ("private", "the torrent is private, and its tracker did not name it")
        }
        CloseReason::Limit => ("limit", "there was no place for it"),
        CloseReason::Stopped => ("stopped", "the torrent was stopped"),
        CloseReason::EncryptionUnsuited => {
            ("encryption_unsuited", "one side wants encryption and the other does not")
        }
        CloseReason::NotReading => ("not_reading", "it did not read what was sent to it"),
        _ => ("other", "for another reason"),
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
