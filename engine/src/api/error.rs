//! Errors that cross the line, both ways.

use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;

/// Why a connection could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// No answer.
    #[error("no answer in time")]
    TimedOut,
    /// No route, network down, or anything else.
    #[error("the network does not lead there")]
    Unreachable,
}

impl ConnectFailure {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Nobody
    }
}

/// Why a disk operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The file, or the part of it that was asked for, is not there.
    #[error("the file is missing or too short")]
    Missing,
    /// No space left.
    #[error("no space left on the device")]
    NoSpace,
    /// Not allowed.
    #[error("permission denied")]
    Permission,
    /// Something that is no part of the torrent stands in the way (a folder where a file belongs,
    /// a symbolic link that leads elsewhere).
    #[error("something that is not part of this torrent is in the way")]
    InTheWay,
    /// The location is not there any more: a drive that was unplugged, a folder that was unmounted.
    #[error("the folder or drive that holds the data is gone")]
    LocationGone,
    /// Any other input or output error.
    #[error("input/output error")]
    Io,
    /// Another torrent has a file of the same path.
    #[error("another torrent has a file of the same path")]
    Taken,
}

impl DiskError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Missing | Self::NoSpace | Self::Permission | Self::LocationGone | Self::Io => {
                Fault::Machine
            }
            Self::InTheWay | Self::Taken => Fault::Caller,
        }
    }
}

/// Why a name was not resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// There is no such name.
    #[error("there is no such name")]
    NotFound,
    /// The resolver failed.
    #[error("names cannot be looked up")]
    Failed,
}

impl LookupError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NotFound => Fault::Remote,
            Self::Failed => Fault::Machine,
        }
    }
}

/// Why an HTTP exchange failed before a complete reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum HttpFailure {
    /// The URL is malformed or of a scheme the driver does not speak.
    #[error("malformed URL")]
    BadUrl,
    /// The host name does not resolve.
    #[error("host not found")]
    Lookup,
    /// The host resolves to addresses that this exchange must not reach.
    #[error("the address is not allowed here")]
    Forbidden,
    /// No connection: the network or the host cannot be reached.
    #[error("cannot connect")]
    Connect,
    /// The TLS handshake failed.
    #[error("TLS handshake failed")]
    Tls,
    /// No reply in time.
    #[error("timed out")]
    TimedOut,
    /// A reply beyond the size limit, or one that is not HTTP.
    #[error("the reply is malformed or too large")]
    BadReply,
    /// The server's certificate is not trusted: who issued it is unknown, it has expired, or it is for
    /// another name.
    #[error(
        "the server's certificate is not trusted: of an unknown issuer, expired, or for another name"
    )]
    Certificate,
    /// The host is there, and nobody listens.
    #[error("connection refused")]
    Refused,
    /// The connection ended before there was a reply.
    #[error("the connection was closed before a reply came")]
    Closed,
    /// All addresses of the host are blocked by the filter.
    #[error("the address of the host is blocked by the filter")]
    Blocked,
}

impl HttpFailure {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::BadUrl | Self::Blocked => Fault::Caller,
            Self::Connect => Fault::Machine,
            Self::Lookup | Self::TimedOut | Self::Refused => Fault::Nobody,
            Self::Forbidden | Self::Tls | Self::BadReply | Self::Certificate | Self::Closed => {
                Fault::Remote
            }
        }
    }
}

/// Why a command was rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The torrent is there already.
    #[error("the torrent is already there")]
    Duplicate,
    /// v2-only torrents cannot be transferred yet (BEP 52).
    #[error("torrents of the v2 format alone cannot be transferred yet")]
    V2Only,
    /// No such torrent.
    #[error("no such torrent")]
    UnknownTorrent,
    /// The name cannot be given: it is not safe on every system, or another file has it.
    #[error("the name is taken or not safe")]
    BadName,
    /// Too much is wanted of the torrent's files at once.
    #[error("the torrent's files are busy")]
    Busy,
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// What the torrent holds is not known yet.
    #[error("the torrent's metadata is not known yet")]
    NoMetadata,
    /// The torrent has no file of that number.
    #[error("no such file in the torrent")]
    UnknownFile,
    /// The range is empty or goes beyond the end of the file.
    #[error("the range is empty or beyond the end of the file")]
    OutOfRange,
    /// The file is not wanted, so it will not come.
    #[error("the file is not selected")]
    NotWanted,
    /// As many read the torrent as may.
    #[error("the torrent has too many readers")]
    TooManyReaders,
}

impl CommandError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Caller
    }
}

/// Why a torrent stands still.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum TorrentError {
    /// The disk refuses; `Command::Resume` tries again.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file of this number was there before and has nothing of the torrent in it. It is not
    /// written over unless [`AddTorrent::overwrite`](crate::AddTorrent::overwrite) says so.
    #[error("file {0} was there before and has nothing of the torrent in it")]
    Foreign(u32),
    /// The info dictionary has the right hash and describes no torrent.
    #[error("the info dictionary has the right hash and describes no torrent")]
    Metadata,
    /// The file of this number is longer than it should be, and may not be cut: not all of the torrent
    /// is in it, or nothing may be changed ([`AddTorrent::read_only`](crate::AddTorrent::read_only)).
    #[error("file {0} is longer than the torrent says, and may not be cut")]
    TooLong(u32),
}

impl TorrentError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Disk(error) => error.fault(),
            Self::Foreign(_) | Self::TooLong(_) => Fault::Caller,
            Self::Metadata => Fault::Remote,
        }
    }
}

/// A rule of the driver contract that the embedder broke. It is counted and does no harm; it is a bug of the driver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[non_exhaustive]
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
