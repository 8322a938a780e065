//! How a session is set up, and what is good for this machine.

use std::path::PathBuf;
use std::sync::Arc;

use eddyline::{Config, Encryption, RateLimits, Transports};
use eddyline_disk::lanes::{self, LANES};
use eddyline_disk::resume_store::ResumeStore;
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::recorder::RecordTo;
use sha1::Sha1;

/// Payload that may wait for the disk.
const DISK_INTAKE: u32 = 4 << 20;
/// Most bytes kept of what was read for peers.
pub(crate) const READ_CACHE: u64 = 16 << 20;
/// Most bytes kept of what was written and is not hashed: eleven pieces of 1 MiB, and what comes
/// while they are hashed.
pub(crate) const UNHASHED: u64 = 16 << 20;

/// How to set a session up.
#[derive(Debug)]
pub struct Setup {
    /// What this is, as others are told who find a torrent locked.
    pub command: &'static str,
    /// Where the data of torrents is that name no other place.
    pub folder: PathBuf,
    /// The state folder; without one nothing is kept for the next run.
    pub store: Option<Arc<ResumeStore>>,
    /// What to listen on; `None` for nothing.
    pub listen: Option<ListenOptions>,
    /// The engine's configuration; see [`engine_config`].
    pub engine: Config,
    /// Limits on everything.
    pub limits: RateLimits,
    /// Record the run there.
    pub record: Option<RecordTo>,
    /// Make files executable where their torrent says so.
    pub keep_executable: bool,
}

/// The usual configuration of an engine, with as much hashing at once as this machine has use for.
#[must_use]
pub fn engine_config() -> Config {
    Config {
        hash_jobs: hash_jobs(),
        disk_intake: DISK_INTAKE,
        encryption: Encryption::PREFERRED,
        transports: Transports::Both,
        ..Config::default()
    }
}

/// Pieces hashed at once: enough to fill the lanes of every worker, where it has some.
fn hash_jobs() -> u32 {
    let each = if lanes::are_fast::<Sha1>() { LANES } else { 2 };
    (each * disk_threads()) as u32
}

/// Worker threads for disk and hashing.
#[must_use]
pub fn disk_threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 4)
}
