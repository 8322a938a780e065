//! What goes wrong, as types: with a session, with adding a torrent, with a torrent later on.

use std::fmt;
use std::io;
use std::path::PathBuf;

use eddyline::{CommandError, DiskError, Fault, ResumeError, TorrentError};
use eddyline_disk::resume_store::StoreError;

use crate::entries::EntryError;

/// Why a torrent stands still.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// The engine did not take it.
    Refused(CommandError),
    /// The disk refuses, and what the system said, with the file that it is about, where that is known.
    Disk(DiskError, Option<String>),
    /// Another torrent has one of its paths: a sentence that names both.
    Taken(String),
    /// A symbolic link, through which nothing is written, stands where files should be.
    Link(PathBuf),
    /// A file that was there before is in the way, at this path; or the metadata is no torrent's.
    Torrent(TorrentError, String),
    /// A reason of the embedder's ([`Session::fail`](crate::Session::fail)): a number that means something to it,
    /// and a sentence.
    Given(u8, String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Disk(_, Some(text)) | Self::Taken(text) | Self::Given(_, text) => {
                f.write_str(text)
            }
            Self::Disk(error, None) => error.fmt(f),
            Self::Link(path) => {
                write!(
                    f,
                    "{} is a symbolic link, and nothing is written through one",
                    path.display()
                )
            }
            Self::Torrent(TorrentError::Foreign(_), path) => {
                write!(f, "{path} is there already and has nothing of the torrent in it")
            }
            Self::Torrent(TorrentError::TooLong(_), path) => {
                write!(
                    f,
                    "{path} is longer than the torrent says, and not all of the torrent is in it"
                )
            }
            Self::Torrent(TorrentError::Metadata, _) => {
                f.write_str("the magnet leads to something that is not a valid torrent")
            }
            Self::Torrent(error, _) => error.fmt(f),
        }
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    /// Whose fault it is. A reason that the embedder gave is the embedder's.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Refused(error) => error.fault(),
            Self::Disk(error, _) => error.fault(),
            Self::Torrent(error, _) => error.fault(),
            Self::Taken(_) | Self::Link(_) | Self::Given(..) => Fault::Caller,
        }
    }
}

/// Why a torrent is not taken into a session.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// It is of the v2 format alone, which cannot be transferred yet (BEP 52).
    #[error("{0}: torrents of the v2 format alone cannot be transferred yet")]
    V2Only(String),
    /// Another process works on it, or the state folder cannot be used. With it the torrent's name.
    #[error("{0}: {1}")]
    Store(String, StoreError),
    /// The number of its folder is that of another one.
    #[error("the folder {path} cannot be told from another one; use its parent", path = .0.display())]
    Folder(PathBuf),
}

impl AddError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::V2Only(_) | Self::Folder(_) => Fault::Caller,
            Self::Store(_, error) => error.fault(),
        }
    }
}

/// Why the name of a peer leads to no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerNameError {
    /// It is not `HOST:PORT`.
    #[error("not HOST:PORT")]
    Malformed,
    /// The name does not resolve.
    #[error("the name does not resolve")]
    Unknown,
}

impl PeerNameError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Malformed => Fault::Caller,
            Self::Unknown => Fault::Remote,
        }
    }
}

/// What went wrong and stops nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Warning {
    /// Resume data of the torrent with this name is damaged. It was put aside, and the data is checked again.
    DamagedResume(String, ResumeError),
    /// Resume data is not kept since now: the file, and what the system says. Transfers go on, and it is tried again.
    ResumeNotKept(String),
    /// What the session is bound to is gone, or has no address: nothing is sent and nobody can reach us until it is
    /// back.
    CutOff(String),
    /// What the session is bound to can be used again.
    NoLongerCutOff,
    /// The proxy does not do what it is to do, or not all of it: what it would have to carry is not sent.
    ProxyFails(String),
    /// The proxy does what it is to do.
    ProxyWorks,
    /// What is known of the DHT is not kept for the next run.
    DhtNotKept(io::Error),
    /// The torrent with this name is in the set, and is left out of this run.
    LeftOut(String, EntryError),
    /// The set of torrents was damaged: it is kept as `session.log.damaged`, and what stood before the damage is used.
    DamagedSet,
    /// A change of the set of torrents is not kept for the next run.
    SetNotKept(io::Error),
}
