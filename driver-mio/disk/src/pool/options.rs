//! What a pool of workers works with.

use std::sync::Arc;

use eddyline::Config;

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
    /// Pieces that are given to be hashed at once, `Config::hash_jobs` of the engine: when all of them are here, none
    /// waits for others.
    pub hash_jobs: usize,
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
    /// Two workers, as many hash jobs as the engine has by default, 256 open files, 16 MiB of each kind of memory;
    /// no place yet, and nothing kept for the next run.
    fn default() -> Self {
        Self {
            locations: Locations::default(),
            store: None,
            threads: 2,
            hash_jobs: Config::default().hash_jobs as usize,
            open_files: 256,
            read_cache: 16 << 20,
            unhashed: 16 << 20,
            keep_executable: false,
        }
    }
}
