//! Disk and hash work for the Eddyline engine: places that hold files, the files of torrents in them, operations
//! on worker threads, and the state folder that processes share. There is no event loop in here: a driver gives
//! a function that wakes its own.

#![deny(unsafe_code)]

mod claiming;
pub mod claims;
mod files;
mod filesystem;
mod found_folders;
mod found_names;
#[doc(hidden)]
pub mod fuzzing;
mod gather;
mod hard_links;
mod hashing;
pub mod lanes;
mod linked;
mod locations;
pub mod locks;
pub mod mailbox;
mod memory;
mod naming;
mod operations;
mod part_file;
mod part_tag;
mod platform;
mod pool;
mod present;
pub mod private;
mod queue;
mod read_cache;
mod real_file;
mod refusal;
mod register;
mod relocation;
pub mod resume_store;
mod scoped;
mod span;
mod system;
mod system_error;
mod torrent_locks;
mod unhashed;
mod watch;

#[cfg(test)]
mod gathering_tests;
#[cfg(test)]
mod tests;

pub use files::{FileCache, disk_error};
pub use filesystem::{Access, FileSystem, Found, Residence, StoredFile};
pub use found_folders::found_folders;
pub use gather::Gather;
pub use hashing::{HashBuffer, side_by_side};
pub use linked::links_on_the_way;
pub use locations::{Gone, Kind, LocationError, Locations};
pub use memory::Memory;
pub use naming::{names_fit, naming_of};
pub use operations::{FileOptions, TorrentFiles};
pub use part_tag::PartTag;
pub use pool::{Batch, DiskPool, DiskStats, PoolOptions};
pub use read_cache::{ReadCache, ReadStats};
pub use real_file::status_of;
pub use refusal::{Refusal, describe, in_folder, words};
pub use scoped::Scoped;
pub use span::Span;
pub use system::System;
pub use system_error::SystemError;
