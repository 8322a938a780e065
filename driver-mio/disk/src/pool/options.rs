//! What a pool of workers works with.

use std::sync::Arc;

use crate::locations::Locations;
use crate::resume_store::ResumeStore;

/// What a pool works with.
#[derive(Debug)]
pub struct PoolOptions {
    /// Where data is kept.
    pub locations: Locations,
    /// Where resume data is kept.
    pub store: Option<Arc<ResumeStore>>,
    /// Number of workers.
    pub threads: usize,
    /// Most files that are open at once.
    pub open_files: usize,
    /// Most bytes kept of what was read for peers.
    pub read_cache: u64,
    /// Most bytes kept of what was written and not hashed.
    pub unhashed: u64,
    /// Whether files are made executable where their torrent says so.
    pub keep_executable: bool,
}

impl Default for PoolOptions {
    /// Two workers, 256 open files, 16 MiB of each kind of memory; no place yet, and nothing kept for the next run.
    fn default() -> Self {
        Self {
            locations: Locations::default(),
            store: None,
            threads: 2,
            open_files: 256,
            read_cache: 16 << 20,
            unhashed: 16 << 20,
            keep_executable: false,
        }
    }
}
