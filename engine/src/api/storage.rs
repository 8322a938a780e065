//! Where the data of a torrent is, and what can be done with it as a whole.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A place that the driver keeps data in; which one a number means is the driver's affair.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct LocationId(pub u32);

/// How room for files is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Allocation {
    /// Files grow as they are written.
    #[default]
    None,
    /// Files have their length from the start and take room as they are written.
    Sparse,
    /// All the room that wanted files need is taken at the start, so that it cannot run out later.
    Full,
}

/// A file that is called otherwise than the torrent says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Renamed {
    /// The name before, under which it may still be found after a crash; the name now, once that cannot
    /// be any more. From then on another file may have the name before.
    pub from: Vec<String>,
    /// The name now.
    pub to: Vec<String>,
}

/// How the files of a torrent lie.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Placement {
    /// Where.
    pub location: LocationId,
    /// How room is made.
    pub allocation: Allocation,
    /// Files that are not wanted. What shared pieces have of them lies in a part file, unless they
    /// exist.
    pub skipped: Vec<u32>,
    /// Files under other names, by index. Of all others a driver may look for names that the torrent
    /// itself gives ([`FileEntry::own`](crate::metainfo::FileEntry::own)), or that they had by earlier
    /// rules, and tell of what it finds with `DiskOutcome::OpenedAs`.
    pub renamed: BTreeMap<u32, Renamed>,
    /// Nothing will be written: nothing is made, and symbolic links of the user's may be followed.
    pub read_only: bool,
}

/// Something that is done with the files of a torrent as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StorageTask {
    /// Other files are wanted now: shared parts move between part file and files.
    Select,
    /// The data moves to another location.
    Move(LocationId),
    /// Files get other names.
    Rename,
}

/// What is to be renamed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Rename {
    /// The whole torrent: its folder, or its only file.
    Torrent(String),
    /// One file, by index: its path below the location, with slashes.
    File(u32, String),
}
