//! What happened in the world since the last step.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

use super::command::{AddTorrent, Command, Tag};
use super::error::{ConnectFailure, DiskError, HttpFailure, LookupError};
use crate::base::addr::Scope;
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, DiskOpId, ExchangeId, LookupId, SocketToken, UdpSocketId};

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// The embedder asks for something, and calls it by this tag. Made of a command that nobody waits for
    /// by `Event::from`.
    Command(Tag, Command),
    /// Somebody connected. Answered by `StreamAction::Adopt` or `Action::Refuse`.
    Incoming {
        /// The driver's name for the socket.
        socket: SocketToken,
        /// Who.
        remote: SocketAddr,
    },
    /// Something about a connection.
    Stream(ConnId, StreamEvent),
    /// A UDP packet.
    Datagram {
        /// The socket it came in on.
        socket: UdpSocketId,
        /// Who sent it.
        from: SocketAddr,
        /// Its content.
        data: Bytes,
        /// Microseconds that it has waited in the kernel, where that is known: between its arrival and the time of this
        /// step. 0 where it is not. Only µTP makes use of it, to tell a slow driver from a slow path.
        waited: u32,
    },
    /// A disk or hash operation ended.
    Disk(DiskOpId, DiskOutcome),
    /// A name look-up ended.
    Resolved(LookupId, Result<Vec<IpAddr>, LookupError>),
    /// Something about an HTTP exchange.
    Http(ExchangeId, HttpEvent),
}

impl From<Command> for Event {
    fn from(command: Command) -> Self {
        Self::Command(Tag::NONE, command)
    }
}

impl From<AddTorrent> for Event {
    fn from(add: AddTorrent) -> Self {
        Command::from(add).into()
    }
}

/// What can happen to a connection.
#[derive(Clone, Serialize, Deserialize)]
pub enum StreamEvent {
    /// The connection stands.
    Connected,
    /// It does not, and never will.
    ConnectFailed(ConnectFailure),
    /// Bytes, never more than granted.
    Received(Bytes),
    /// So many bytes of what was sent were taken by the kernel.
    Sent(u32),
    /// It is over.
    Closed(CloseKind),
    /// More bytes of the outgoing stream of a connection over µTP are at hand, in the order in which they were
    /// told to be sent: what `Send` and `SendBlock` gave at once, what `SendStored` names when it was read. None of
    /// `Connected`, `ConnectFailed`, `Sent` and `Closed` is told of such a connection, but where a stored block is
    /// gone: then it is `Closed`.
    Offered(u32),
    /// A web server answers a [`Fetch`](crate::StreamAction::Fetch): the head of its reply.
    Answered(Box<HttpHead>),
    /// It does not, and there will be no more of this.
    NotFetched(HttpFailure),
}

/// The head of a web server's reply to a [`Fetch`](crate::StreamAction::Fetch).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HttpHead {
    /// HTTP status.
    pub status: u16,
    /// Absolute URL of a redirect.
    pub location: Option<String>,
    /// Whether the server's address is public.
    pub scope: Scope,
    /// The range that it says it sends; `None` where it names none, or several.
    pub range: Option<SentRange>,
    /// Bytes of the body, where it says.
    pub length: Option<u64>,
    /// Seconds after which it wants to be asked again, where it says.
    pub retry_after: Option<u32>,
}

/// `Content-Range`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SentRange {
    /// First byte.
    pub first: u64,
    /// Last byte.
    pub last: u64,
    /// Bytes of the whole file, where it says.
    pub total: Option<u64>,
}

impl core::fmt::Debug for StreamEvent {
    /// Shows lengths, not bytes.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Connected => f.write_str("Connected"),
            Self::ConnectFailed(kind) => write!(f, "ConnectFailed({kind:?})"),
            Self::Received(bytes) => write!(f, "Received({} bytes)", bytes.len()),
            Self::Sent(count) => write!(f, "Sent({count})"),
            Self::Closed(kind) => write!(f, "Closed({kind:?})"),
            Self::Offered(count) => write!(f, "Offered({count})"),
            Self::Answered(head) => write!(f, "Answered({head:?})"),
            Self::NotFetched(why) => write!(f, "NotFetched({why:?})"),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CloseKind {
    /// The peer closed it.
    Eof,
    /// It broke.
    Reset,
}

/// What the disk says of one file when a torrent is opened or synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FileStatus {
    /// Length in bytes; `None` when the file is not there.
    pub length: Option<u64>,
    /// Time of the last change, in an unit of the driver's choice; only compared for equality. Of
    /// a file that is not there and has parts in the part file: the time of that one, never 0. Of one in which
    /// nothing was ever written: [`Self::HOLE`], where the driver knows that.
    pub modified: i64,
}

impl FileStatus {
    /// What stands in the place of the time of change of a file that is nothing but a hole: it has a length, and nobody
    /// has written a byte to it. There is nothing in it that could be lost.
    pub const HOLE: i64 = i64::MAX;
}

/// How a disk operation ended.
#[derive(Clone, Serialize, Deserialize)]
pub enum DiskOutcome {
    /// The torrent is open, or has moved; the state of each file.
    Opened(Box<[FileStatus]>),
    /// The block is written.
    Written,
    /// The bytes that were asked for, exactly as many.
    Read(Bytes),
    /// SHA-1 of a piece.
    PieceHashed(Sha1Hash),
    /// SHA-1 of each block of a piece.
    BlocksHashed(Box<[Sha1Hash]>),
    /// Everything written before is durable; the state of each file.
    Synced(Box<[FileStatus]>),
    /// It is done: what has no result of its own.
    Done,
    /// It failed.
    Failed(DiskError),
    /// In the place of [`Self::Read`], from a driver that can send from the disk without waiting for
    /// it: the block is there, all of it. If it is still wanted, `StreamAction::SendStored` comes in
    /// the same step.
    Ready,
    /// In the place of [`Self::Read`], from a driver that looks at files before it serves from them:
    /// these are neither as the engine was last told of them nor as the driver has left them since. How
    /// they look now is told with their numbers. What is read from them later is answered later.
    Changed(Box<[(u32, FileStatus)]>),
    /// In the place of [`Self::Opened`]: the torrent is open, and these files, by number, are there
    /// under other names than it was told.
    OpenedAs(Box<[FileStatus]>, Vec<(u32, Vec<String>)>),
}

impl core::fmt::Debug for DiskOutcome {
    /// Shows lengths of payload, not bytes.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Opened(files) => write!(f, "Opened({files:?})"),
            Self::Written => f.write_str("Written"),
            Self::Read(bytes) => write!(f, "Read({} bytes)", bytes.len()),
            Self::PieceHashed(hash) => write!(f, "PieceHashed({hash:?})"),
            Self::BlocksHashed(hashes) => write!(f, "BlocksHashed({hashes:?})"),
            Self::Synced(files) => write!(f, "Synced({files:?})"),
            Self::Done => f.write_str("Done"),
            Self::Failed(error) => write!(f, "Failed({error:?})"),
            Self::Ready => f.write_str("Ready"),
            Self::Changed(files) => write!(f, "Changed({files:?})"),
            Self::OpenedAs(files, names) => write!(f, "OpenedAs({files:?}, {names:?})"),
        }
    }
}

/// What can happen to an HTTP exchange. `Head`, any number of `Body`, then `Finished`; or `Failed`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum HttpEvent {
    /// Status and, for a redirect, where to.
    Head {
        /// HTTP status.
        status: u16,
        /// Absolute URL of a redirect.
        location: Option<String>,
        /// Whether the server's address is public.
        scope: Scope,
    },
    /// Part of the body, decompressed.
    Body(Bytes),
    /// The body is complete.
    Finished,
    /// There is no complete reply.
    Failed(HttpFailure),
}
