//! Disk and hash work: places that hold files, the files of torrents in them, operations on worker
//! threads.

mod claiming;
mod files;
mod filesystem;
mod found_folders;
mod found_names;
mod gather;
mod hashing;
mod linked;
mod locations;
mod memory;
mod naming;
mod operations;
mod part_file;
mod part_tag;
mod pool;
mod queue;
mod read_cache;
mod real_file;
mod refusal;
mod relocation;
mod scoped;
mod span;
mod system;
mod unhashed;
mod watch;

#[cfg(test)]
mod gathering_tests;
#[cfg(test)]
mod tests;

pub use files::{FileCache, disk_error};
pub use filesystem::{Access, FileSystem, Found, Residence, StoredFile};
pub(crate) use found_folders::decode_folders;
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
pub use refusal::{Refusal, in_folder, words};
pub use scoped::Scoped;
pub use span::Span;
pub use system::System;
