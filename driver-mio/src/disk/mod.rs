//! Disk and hash work: files opened safely, operations on worker threads.

mod files;
mod operations;
mod paths;
mod pool;

#[cfg(test)]
mod tests;

pub use files::{FileCache, disk_error};
pub use operations::TorrentFiles;
pub use paths::{Root, modified};
pub use pool::{Batch, DiskPool};
