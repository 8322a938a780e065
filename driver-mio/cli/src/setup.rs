//! How a run is set up, from the flags that transfers share.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ArgMatches;
use eddyline::{Config, Encryption, EncryptionLevel, EncryptionPolicy, RateLimits, Transports};
use eddyline_disk::resume_store::{ResumeStore, StoreError};
use eddyline_mio::dns::Names;
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::recorder::RecordTo;
use eddyline_session::engine_config;

use super::exit::{DISK, Failure, NETWORK, UNEXPECTED, io_text};
use super::folders;
use super::output::warn;
use super::output_file::record_to;
use super::spared::Spared;

/// How to set a session up.
#[derive(Debug)]
pub struct Setup {
    /// Which command this is, as others are told who find a torrent locked.
    pub command: &'static str,
    /// Where the data is.
    pub folder: PathBuf,
    /// Where resume data is.
    pub state: Option<PathBuf>,
    /// Whether anything is kept for the next run.
    pub keeps: bool,
    /// What to listen on; `None` for nothing.
    pub listen: Option<ListenOptions>,
    /// The engine's configuration.
    pub engine: Config,
    /// Limits on everything.
    pub limits: RateLimits,
    /// Record the run there.
    pub record: Option<RecordTo>,
    /// Make files executable where their torrent says so.
    pub keep_executable: bool,
}

impl Setup {
    /// Where the run is recorded, with what may not be written over.
    ///
    /// # Errors
    /// When something of the state is there.
    pub fn spared(&self) -> Result<Option<Spared<'_>>, Failure> {
        let record =
            self.record.as_ref().map(|record| Spared::look(&record.path, self.state.as_deref()));
        record.transpose()
    }

    /// Reads the flags that `download` and `seed` share.
    pub fn from_flags(matches: &ArgMatches, command: &'static str) -> Result<Self, Failure> {
        let mut engine = Config {
            trackers: !matches.get_flag("no-trackers"),
            pex: !matches.get_flag("no-pex"),
            holepunch: !matches.get_flag("no-holepunch"),
            dht: !matches.get_flag("no-dht"),
            lsd: !matches.get_flag("no-lsd"),
            encryption: encryption(matches),
            transports: transports(matches),
            limit_utp: !matches.get_flag("no-limit-utp"),
            ..engine_config()
        };
        if let Some(nodes) = matches.get_many::<String>("dht-bootstrap") {
            engine.dht_bootstrap = nodes.filter(|node| !node.is_empty()).cloned().collect();
        }
        if let Some(peers) = matches.get_one::<u32>("max-peers") {
            engine.max_connections_per_torrent = *peers;
            engine.max_connections = engine.max_connections.max(*peers);
        }
        // A session has a folder for each torrent.
        let folder = matches.try_get_one::<PathBuf>("dir").ok().flatten();
        Ok(Self {
            command,
            folder: folder.cloned().unwrap_or_else(|| ".".into()),
            state: state_dir(matches),
            keeps: true,
            listen: Some(listen_options(matches)?),
            engine,
            limits: RateLimits {
                down: matches.get_one::<u64>("max-down").copied(),
                up: matches.get_one::<u64>("max-up").copied(),
            },
            record: record_to(matches)?,
            keep_executable: matches.try_get_one("keep-executable").ok().flatten() == Some(&true),
        })
    }
}

/// Over what peers are spoken to, as the flags say.
fn transports(matches: &ArgMatches) -> Transports {
    match matches.get_one::<String>("transport").map(String::as_str) {
        Some("tcp") => Transports::Tcp,
        Some("utp") => Transports::Utp,
        _ => Transports::Both,
    }
}

/// How connections are encrypted, as the flags say.
fn encryption(matches: &ArgMatches) -> Encryption {
    let word = |flag| matches.get_one::<String>(flag).map(String::as_str);
    let policy = match word("encryption") {
        Some("require") => EncryptionPolicy::Require,
        Some("disable") => EncryptionPolicy::Disable,
        _ => EncryptionPolicy::Prefer,
    };
    let level = match word("encryption-level") {
        Some("rc4") => EncryptionLevel::Rc4,
        Some("plaintext") => EncryptionLevel::Plaintext,
        _ => EncryptionLevel::Either,
    };
    Encryption { policy, level }
}

/// Where state is kept: as the flag says, or where the system keeps such things.
pub fn state_dir(matches: &ArgMatches) -> Option<PathBuf> {
    if let Ok(Some(path)) = matches.try_get_one::<PathBuf>("state-dir") {
        return Some(path.clone());
    }
    folders::state()
}

/// Where the system keeps such things.
pub fn default_state_dir() -> Option<PathBuf> {
    folders::state()
}

/// How names are looked up under the rules of `--bind`.
pub fn names(matches: &ArgMatches) -> Result<Names, Failure> {
    Ok(Names::new(listen_options(matches)?.policy()))
}

fn listen_options(matches: &ArgMatches) -> Result<ListenOptions, Failure> {
    let bind = matches.get_one::<String>("bind");
    let address = bind.and_then(|bind| bind.parse::<IpAddr>().ok());
    let interface = bind.filter(|_| address.is_none()).cloned();
    if let Some(name) = &interface
        && !Path::new("/sys/class/net").join(name).exists()
    {
        let text = format!("there is no network interface or address '{name}'");
        return Err(Failure::new(NETWORK, text));
    }
    let port = matches.try_get_one::<u16>("port").ok().flatten().copied();
    Ok(ListenOptions { port, address, interface })
}

/// The state folder; `None`, with a word, where there is none or it cannot be made: a transfer does without.
pub fn open_store(path: Option<&Path>) -> Option<Arc<ResumeStore>> {
    let why = match path.map(ResumeStore::open) {
        Some(Ok(store)) => return Some(Arc::new(store)),
        Some(Err(error)) => store_failure(error).message,
        None => "there is no home folder, and no --state-dir".into(),
    };
    warn(&format!("{why}; this run is not kept for the next one"));
    None
}

/// Why the state folder cannot be used.
pub fn store_failure(error: StoreError) -> Failure {
    match &error {
        StoreError::Io(path, why) => {
            let text = format!("cannot use the state folder {}: {}", path.display(), io_text(why));
            Failure::new(DISK, text)
        }
        _ => Failure::new(UNEXPECTED, error.to_string()),
    }
}
