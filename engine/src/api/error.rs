//! Errors that cross the line, both ways.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Why a connection could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// Nobody listens there.
    Refused,
    /// No answer.
    TimedOut,
    /// No route, network down, or anything else.
    Unreachable,
}

/// Why a disk operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DiskError {
    /// The file, or the part of it that was asked for, is not there.
    Missing,
    /// No space left.
    NoSpace,
    /// Not allowed.
    Permission,
    /// Something that is no part of the torrent stands in the way (a folder where a file belongs,
    /// a symbolic link that leads elsewhere).
    InTheWay,
    /// The location is not there any more: a drive that was unplugged, a folder that was unmounted.
    LocationGone,
    /// Any other input or output error.
    Io,
    /// Another torrent has a file of the same path.
    Taken,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the file is missing or too short",
            Self::NoSpace => "no space left on the device",
            Self::Permission => "permission denied",
            Self::InTheWay => "something that is not part of this torrent is in the way",
            Self::LocationGone => "the folder or drive that holds the data is gone",
            Self::Io => "input/output error",
            Self::Taken => "another torrent has a file of the same path",
        })
    }
}

impl core::error::Error for DiskError {}

/// Why a name was not resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LookupError {
    /// There is no such name.
    NotFound,
    /// The resolver failed.
    Failed,
}

/// Why an HTTP exchange failed before a complete reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HttpFailure {
    /// The URL is malformed or of a scheme the driver does not speak.
    BadUrl,
    /// The host name does not resolve.
    Lookup,
    /// The host resolves to addresses that this exchange must not reach.
    Forbidden,
    /// No connection: the network or the host cannot be reached.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// No reply in time.
    TimedOut,
    /// A reply beyond the size limit, or one that is not HTTP.
    BadReply,
    /// The server's certificate is not trusted: who issued it is unknown, it has expired, or it is for
    /// another name.
    Certificate,
    /// The host is there, and nobody listens.
    Refused,
    /// The connection ended before there was a reply.
    Closed,
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadUrl => "malformed URL",
            Self::Lookup => "host not found",
            Self::Forbidden => "the address is not allowed here",
            Self::Connect => "cannot connect",
            Self::Tls => "TLS handshake failed",
            Self::TimedOut => "timed out",
            Self::BadReply => "the reply is malformed or too large",
            Self::Certificate => {
                "the server's certificate is not trusted: of an unknown issuer, expired, or for another name"
            }
            Self::Refused => "connection refused",
            Self::Closed => "the connection was closed before a reply came",
        })
    }
}

/// Why a command was rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CommandError {
    /// The torrent is there already.
    Duplicate,
    /// v2-only torrents cannot be transferred yet (BEP 52).
    V2Only,
    /// No such torrent.
    UnknownTorrent,
    /// The name cannot be given: it is not safe on every system, or another file has it.
    BadName,
    /// Too much is wanted of the torrent's files at once.
    Busy,
    /// The engine is shutting down.
    ShuttingDown,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "the torrent is already there",
            Self::V2Only => "torrents of the v2 format alone cannot be transferred yet",
            Self::UnknownTorrent => "no such torrent",
            Self::BadName => "the name is taken or not safe",
            Self::Busy => "the torrent's files are busy",
            Self::ShuttingDown => "the engine is shutting down",
        })
    }
}

/// Why a torrent stands still.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TorrentError {
    /// The disk refuses; `Command::Resume` tries again.
    Disk(DiskError),
    /// The file of this number was there before and has nothing of the torrent in it. It is not
    /// written over unless [`AddTorrent::overwrite`](crate::AddTorrent::overwrite) says so.
    Foreign(u32),
    /// The info dictionary has the right hash and describes no torrent.
    Metadata,
    /// The file of this number is longer than it should be, and may not be cut: not all of the torrent
    /// is in it, or nothing may be changed ([`AddTorrent::read_only`](crate::AddTorrent::read_only)).
    TooLong(u32),
}

/// A rule of the driver contract that the embedder broke. It is counted and does no harm; it is a bug of the driver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum ViolatedRule {
    /// Rule 1: `now` went backwards.
    TimeWentBackwards,
    /// Rule 4: more bytes than were granted.
    MoreThanGranted,
    /// Rule 6: a completion for an operation that was never issued, or a second one.
    UnknownCompletion,
    /// Rule 3: more bytes reported as sent than were given.
    MoreThanSent,
}
