//! What one run tells the next about a torrent, as a value. `crate::resume` has its format.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

use super::event::FileStatus;
use super::storage::{LocationId, Renamed};
use crate::base::bits::Bits;
use crate::base::hash::Sha1Hash;

/// State of one torrent at the end of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResumeData {
    /// The torrent, as handshakes name it.
    pub info_hash: Sha1Hash,
    /// Verified pieces.
    pub have: Bits,
    /// Pieces begun: number and the blocks that are on disk.
    pub partial: Vec<(u32, Bits)>,
    /// The files as they were when this was written.
    pub files: Vec<FileStatus>,
    /// Payload received in all runs.
    pub downloaded: u64,
    /// Payload sent in all runs.
    pub uploaded: u64,
    /// Whether `completed` was announced.
    pub completed: bool,
    /// Peers worth asking again.
    pub peers: Vec<SocketAddr>,
    /// Whether nothing was written after this: the files are as told here unless somebody else
    /// changed them. When not, only what is not in `have` is in doubt.
    pub clean: bool,
    /// Where the data is; for whoever adds the torrent again.
    pub location: LocationId,
    /// Files under other names, by index.
    pub renamed: BTreeMap<u32, Renamed>,
    /// Where copies may still lie that a move left behind.
    pub left_at: Vec<LocationId>,
    /// Trackers that answered, the one asked first in front, and what each wants to be echoed.
    pub trackers: Vec<(String, Option<Vec<u8>>)>,
}
