//! What the world has to do.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use serde::{Serialize, Serializer};

use eddyline_mse::StreamKey;

use super::notice::Notice;

use super::storage::{LocationId, Placement, Renamed};
use super::transport::UtpPacket;
use crate::base::addr::Scope;
use crate::base::hash::Sha1Hash;
use crate::base::ids::{
    ConnId, DiskOpId, ExchangeId, LookupId, SocketToken, TorrentId, UdpSocketId,
};
use crate::base::payload::{Payload, length_only};
use crate::base::time::whole_seconds;
use crate::metainfo::Metainfo;

/// One thing to do. Actions of one connection are performed in order; all others in any order.
#[derive(Clone, Serialize)]
pub enum Action {
    /// Something about a connection.
    Stream(ConnId, StreamAction),
    /// Closes a socket that was never adopted.
    Refuse {
        /// The driver's name for it.
        socket: SocketToken,
    },
    /// Sends a UDP packet; loss is expected.
    SendDatagram {
        /// From this socket.
        socket: UdpSocketId,
        /// To whom.
        to: SocketAddr,
        /// What.
        data: Bytes,
    },
    /// Sends a packet of µTP: its header, and behind it the part of an outgoing stream that it names. Counts as an
    /// action of the connection whose stream that is. Loss is expected, and leads to another action for the same bytes.
    Transmit(UdpSocketId, Box<UtpPacket>),
    /// A disk or hash operation; exactly one outcome, in any order.
    Disk(DiskOpId, DiskOp),
    /// Looks a name up.
    Resolve(LookupId, String),
    /// An HTTP exchange.
    Http(ExchangeId, HttpAction),
    /// Tells the embedder something.
    Notify(Notice),
}

impl core::fmt::Debug for Action {
    /// Shows everything but block content, which no decision depends on.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Stream(id, action) => write!(f, "{id:?} {action:?}"),
            Self::Refuse { socket } => write!(f, "Refuse {socket:?}"),
            Self::SendDatagram { socket, to, data } => {
                write!(f, "SendDatagram {socket:?} to {to} {data:?}")
            }
            Self::Transmit(socket, packet) => write!(f, "Transmit {socket:?} {packet:?}"),
            Self::Disk(id, op) => write!(f, "{id:?} {op:?}"),
            Self::Resolve(id, name) => write!(f, "{id:?} Resolve {name:?}"),
            Self::Http(id, action) => write!(f, "{id:?} {action:?}"),
            Self::Notify(notice) => write!(f, "Notify {notice:?}"),
        }
    }
}

/// What to do with a connection.
#[derive(Clone, Serialize)]
pub enum StreamAction {
    /// Connect with TCP; answered by `Connected` or `ConnectFailed`.
    Connect {
        /// To whom.
        remote: SocketAddr,
    },
    /// The accepted socket with this token is this connection.
    Adopt {
        /// The driver's name for it.
        socket: SocketToken,
    },
    /// So many more bytes may be delivered.
    GrantRead(u32),
    /// Send protocol bytes.
    Send(Bytes),
    /// Send block content, as a disk read returned it.
    SendBlock(#[serde(serialize_with = "length_only")] Bytes),
    /// Close; no further event for this id.
    Close(CloseMode),
    /// Send the content of a block that was said to be [`DiskOutcome::Ready`] in this very step,
    /// from where it lies: behind everything that was to be sent before, as each `Send` and `SendBlock` is,
    /// and before what comes after. When it turns out to be gone, the connection is broken: its header is
    /// sent already.
    ///
    /// [`DiskOutcome::Ready`]: crate::DiskOutcome::Ready
    SendStored(StoredBlock),
    /// Everything that is sent from here on is enciphered with this ([`StreamCipher`](crate::StreamCipher)): protocol
    /// bytes and content. What was given before goes as it is. A plain key says that nothing is.
    Encipher(StreamKey),
    /// Bytes that are granted from here on are deciphered with this before they are delivered. What was granted
    /// before is delivered as it comes, however late: the engine deciphers that.
    Decipher(StreamKey),
    /// This connection goes over µTP, whoever began it. There is no socket to make: the driver keeps its outgoing
    /// stream ([`OutgoingStream`](crate::OutgoingStream)) from here until `Close`. Whatever the connection is told to
    /// send is appended there, enciphered where `Encipher` says so, and the driver answers with
    /// [`StreamEvent::Offered`] when it is at hand. `GrantRead` says as for TCP where `Decipher` begins.
    ///
    /// [`StreamEvent::Offered`]: crate::StreamEvent::Offered
    OpenUtp {
        /// Who is at the other end.
        remote: SocketAddr,
    },
    /// The next bytes of a connection over µTP, as they came in datagrams. The driver deciphers them where `Decipher`
    /// says so, and gives them back as [`StreamEvent::Received`](crate::StreamEvent::Received), in one piece or in
    /// several.
    Deliver(Payload),
    /// What lies before this position of the outgoing stream of a connection over µTP, in bytes from its beginning,
    /// has arrived: no `Transmit` will ask for it again.
    Release(u64),
    /// This connection is one request to a web server, for a range of a file: GET without following redirects, and
    /// without asking for any encoding of the body. Answered by [`StreamEvent::Answered`], then by as much of the body
    /// as `GrantRead` allows, undecoded, as [`StreamEvent::Received`], and by `Closed` at the end of it; or by
    /// [`StreamEvent::NotFetched`]. Nothing is sent on it; `Close` gives it up. What is not wanted of a body is read or
    /// not as the driver likes, and so is whether the connection below is kept for the next request.
    ///
    /// [`StreamEvent::Answered`]: crate::StreamEvent::Answered
    /// [`StreamEvent::Received`]: crate::StreamEvent::Received
    /// [`StreamEvent::NotFetched`]: crate::StreamEvent::NotFetched
    Fetch(Box<RangeGet>),
}

/// A request for a range of a file on a web server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RangeGet {
    /// Absolute URL, to be sent byte for byte. What stands before `@` in it is sent as `Authorization`.
    pub url: String,
    /// Reach only addresses of this scope or a wider one, checked after the name was looked up; `None`
    /// for any.
    pub only: Option<Scope>,
    /// The URL says what is asked for: no `Range` is sent, and what is below says what is expected.
    pub whole: bool,
    /// First byte.
    pub first: u64,
    /// Last byte.
    pub last: u64,
}

/// The content of a block on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct StoredBlock {
    /// The torrent.
    pub torrent: TorrentId,
    /// The piece.
    pub piece: u32,
    /// First byte in the piece.
    pub begin: u32,
    /// Number of bytes.
    pub length: u32,
}

impl core::fmt::Debug for StreamAction {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Connect { remote } => write!(f, "Connect {remote}"),
            Self::Adopt { socket } => write!(f, "Adopt {socket:?}"),
            Self::GrantRead(count) => write!(f, "GrantRead {count}"),
            Self::Send(bytes) => write!(f, "Send {bytes:?}"),
            Self::SendBlock(bytes) => write!(f, "SendBlock({} bytes)", bytes.len()),
            Self::Close(mode) => write!(f, "Close {mode:?}"),
            Self::SendStored(StoredBlock { torrent, piece, begin, length }) => {
                write!(f, "SendStored {torrent:?} {piece}+{begin} {length}")
            }
            Self::Encipher(key) => write!(f, "Encipher {key:?}"),
            Self::Decipher(key) => write!(f, "Decipher {key:?}"),
            Self::OpenUtp { remote } => write!(f, "OpenUtp {remote}"),
            Self::Deliver(payload) => write!(f, "Deliver({} bytes)", payload.len()),
            Self::Release(up_to) => write!(f, "Release {up_to}"),
            Self::Fetch(get) => write!(f, "Fetch {get:?}"),
        }
    }
}

/// How to close a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum CloseMode {
    /// Send what was given, then close.
    Flush,
    /// At once.
    Now,
}

/// A disk or hash operation.
#[derive(Clone, Serialize)]
pub enum DiskOp {
    /// Makes the files of a torrent known, creates empty ones, and reports what is there. Nothing
    /// that exists is changed.
    Open {
        /// The torrent, which later operations name.
        torrent: TorrentId,
        /// Its files.
        #[serde(serialize_with = "hashes_only")]
        metainfo: Arc<Metainfo>,
        /// How they lie.
        placement: Box<Placement>,
    },
    /// Writes a block.
    WriteBlock {
        /// The torrent.
        torrent: TorrentId,
        /// The piece.
        piece: u32,
        /// First byte in the piece.
        begin: u32,
        /// The bytes.
        payload: Payload,
    },
    /// Reads a block, or says that it can be sent from where it lies.
    ReadBlock {
        /// The torrent.
        torrent: TorrentId,
        /// The piece.
        piece: u32,
        /// First byte in the piece.
        begin: u32,
        /// Number of bytes.
        length: u32,
    },
    /// SHA-1 of a whole piece as it is on disk. Issued only after all its writes have completed.
    HashPiece {
        /// The torrent.
        torrent: TorrentId,
        /// The piece.
        piece: u32,
    },
    /// SHA-1 of each 16 KiB block of a piece, to find out who sent bad ones.
    HashBlocks {
        /// The torrent.
        torrent: TorrentId,
        /// The piece.
        piece: u32,
    },
    /// Makes everything written so far durable.
    Sync {
        /// The torrent.
        torrent: TorrentId,
    },
    /// Stores resume data durably, replacing what was there at once or not at all. `Done` says that it
    /// outlives a power cut; a driver that keeps none answers `Failed(DiskError::Missing)`: then nothing
    /// waits for it, and [`Notice::ResumeSaved`] is not told.
    StoreResume {
        /// The torrent.
        torrent: TorrentId,
        /// The data.
        data: Bytes,
    },
    /// Other files are wanted: what of them lies in the part file moves out of it. Safe at any
    /// moment of a crash.
    Select {
        /// The torrent.
        torrent: TorrentId,
        /// Files that are not wanted now.
        skipped: Vec<u32>,
    },
    /// Copies all data to another location, compares the copies, and works there from then on.
    /// Nothing is written meanwhile; reads may come. What was there before stays until `Discard`.
    Move {
        /// The torrent.
        torrent: TorrentId,
        /// Where to.
        to: LocationId,
    },
    /// Removes what a `Move` left behind.
    Discard {
        /// The torrent.
        torrent: TorrentId,
        /// Where it lay.
        from: LocationId,
    },
    /// Cuts files that are longer than they should be, durably; answered by the state of all files.
    Trim {
        /// The torrent.
        torrent: TorrentId,
        /// Which.
        files: Vec<u32>,
    },
    /// Renames files, and overwrites none.
    Rename {
        /// The torrent.
        torrent: TorrentId,
        /// File by index, and its new path.
        renamed: Vec<(u32, Renamed)>,
    },
    /// Closes the files of a torrent.
    Close {
        /// The torrent.
        torrent: TorrentId,
    },
    /// Closes the files of a torrent that is no more, and removes its resume data and, if told to,
    /// its files and the folders that are empty then.
    Delete {
        /// The torrent; it may never have been opened.
        torrent: TorrentId,
        /// As resume data names it.
        info_hash: Sha1Hash,
        /// Whether its files go too.
        data: bool,
    },
}

/// A torrent is told from others by its hashes.
fn hashes_only<S: Serializer>(metainfo: &Arc<Metainfo>, serializer: S) -> Result<S::Ok, S::Error> {
    metainfo.info_hashes().serialize(serializer)
}

impl core::fmt::Debug for DiskOp {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Open { torrent, metainfo, placement } => {
                write!(f, "Open {torrent:?} {:?} {placement:?}", metainfo.info_hashes())
            }
            Self::WriteBlock { torrent, piece, begin, payload } => {
                write!(f, "WriteBlock {torrent:?} {piece}+{begin} {payload:?}")
            }
            Self::ReadBlock { torrent, piece, begin, length } => {
                write!(f, "ReadBlock {torrent:?} {piece}+{begin} {length}")
            }
            Self::HashPiece { torrent, piece } => write!(f, "HashPiece {torrent:?} {piece}"),
            Self::HashBlocks { torrent, piece } => write!(f, "HashBlocks {torrent:?} {piece}"),
            Self::Sync { torrent } => write!(f, "Sync {torrent:?}"),
            Self::StoreResume { torrent, data } => write!(f, "StoreResume {torrent:?} {data:?}"),
            Self::Select { torrent, skipped } => write!(f, "Select {torrent:?} but {skipped:?}"),
            Self::Move { torrent, to } => write!(f, "Move {torrent:?} to {to:?}"),
            Self::Discard { torrent, from } => write!(f, "Discard {torrent:?} at {from:?}"),
            Self::Rename { torrent, renamed } => write!(f, "Rename {torrent:?} {renamed:?}"),
            Self::Trim { torrent, files } => write!(f, "Trim {torrent:?} {files:?}"),
            Self::Close { torrent } => write!(f, "Close {torrent:?}"),
            Self::Delete { torrent, data, .. } => write!(f, "Delete {torrent:?} data: {data}"),
        }
    }
}

/// What to do with an HTTP exchange.
#[derive(Clone, Debug, Serialize)]
pub enum HttpAction {
    /// GET without following redirects.
    Get(Box<HttpGet>),
}

/// An HTTP request.
#[derive(Clone, Debug, Serialize)]
pub struct HttpGet {
    /// Absolute URL, to be sent byte for byte.
    pub url: String,
    /// Use only addresses of this family; `None` for any.
    pub ipv6: Option<bool>,
    /// Reach only addresses of this scope or a wider one, checked after the name was looked up; `None`
    /// for any.
    pub only: Option<Scope>,
    /// Longest body, decompressed.
    pub max_body: u32,
    /// How long everything may take together, in whole seconds.
    #[serde(with = "whole_seconds")]
    pub timeout: Duration,
}
