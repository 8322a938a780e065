//! Torrents of one run, from options to the end: what `download`, `seed` and `demo` share.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::dht::DhtState;
use eddyline::metainfo::Metainfo;
use eddyline::{
    AddTorrent, Allocation, Command, Config, LocationId, Notice, Priority, RateLimits, ResumeData,
};
use eddyline_mio::disk::Locations;
use eddyline_mio::dns::Names;
use eddyline_mio::lanes::{self, LANES};
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::resume_store::{ResumeStore, StoreError};
use eddyline_mio::{Driver, DriverConfig, DriverError};
use sha1::Sha1;

use super::exit::{DISK, Failure, NETWORK, UNEXPECTED, USAGE, io_text};
use super::output::warn;
use super::source::Source;

/// Longest wait for a tidy stop.
const STOP_PATIENCE: Duration = Duration::from_secs(6);

/// Most bytes kept of what was read for peers.
pub const READ_CACHE: u64 = 16 << 20;
/// Most bytes kept of what was written and is not hashed: eleven pieces of 1 MiB, and what comes
/// while they are hashed.
const UNHASHED: u64 = 16 << 20;
/// Payload that may wait for the disk.
const DISK_INTAKE: u32 = 4 << 20;

/// One torrent of a run.
#[derive(Debug)]
pub struct Item {
    /// Its id, once the engine has taken it.
    pub id: Option<TorrentId>,
    /// What it is.
    pub metainfo: Arc<Metainfo>,
    /// Everything wanted is verified and durable.
    pub done: bool,
    /// Why it stands still.
    pub failure: Option<Failure>,
    /// What the magnet it came from is called.
    pub called: Option<String>,
}

impl Item {
    /// What the magnet is called, where what it leads to has another name.
    pub fn misnamed(&self) -> Option<&str> {
        let called = self.called.as_deref().filter(|_| self.metainfo.is_known());
        called.filter(|called| *called != self.metainfo.name)
    }
}

/// How a source is added, beyond what its flags say.
#[derive(Clone, Debug, Default)]
pub struct AddOptions {
    /// Priority of each file; nothing for all of them.
    pub priorities: Vec<Priority>,
    /// Fetch pieces in order.
    pub sequential: bool,
    /// Of a magnet: wait for a choice when the metadata is there.
    pub hold: bool,
    /// Write over files that have nothing of the torrent in them.
    pub overwrite: bool,
    /// How room for files is made.
    pub allocation: Option<String>,
    /// Where its data is.
    pub location: LocationId,
    /// Limits of this torrent.
    pub limits: RateLimits,
}

/// A driver with the torrents of this run.
pub struct Session {
    /// The driver.
    pub driver: Driver,
    /// How names of peers are looked up.
    names: Names,
    /// The torrents, in the order given.
    pub items: Vec<Item>,
    /// When the run began.
    pub started: Instant,
    store: Option<Arc<ResumeStore>>,
    /// Where each is among the items, by hash and by id.
    places: HashMap<Sha1Hash, usize>,
    ids: HashMap<TorrentId, usize>,
}

/// How to set a session up.
#[derive(Debug)]
pub struct Setup {
    /// Where the data is.
    pub folder: PathBuf,
    /// Where resume data is.
    pub state: Option<PathBuf>,
    /// What to listen on; `None` for nothing.
    pub listen: Option<ListenOptions>,
    /// The engine's configuration.
    pub engine: Config,
    /// Limits on everything.
    pub limits: RateLimits,
    /// Record the run here.
    pub record: Option<PathBuf>,
    /// Make files executable where their torrent says so.
    pub keep_executable: bool,
}

impl Setup {
    /// Reads the flags that `download` and `seed` share.
    pub fn from_flags(matches: &ArgMatches) -> Result<Self, Failure> {
        let mut engine = Config {
            trackers: !matches.get_flag("no-trackers"),
            pex: !matches.get_flag("no-pex"),
            dht: !matches.get_flag("no-dht"),
            lsd: !matches.get_flag("no-lsd"),
            hash_jobs: hash_jobs(),
            disk_intake: DISK_INTAKE,
            ..Config::default()
        };
        if let Some(nodes) = matches.get_many::<String>("dht-bootstrap") {
            engine.dht_bootstrap = nodes.cloned().collect();
        }
        if let Some(peers) = matches.get_one::<u32>("max-peers") {
            engine.max_connections_per_torrent = *peers;
            engine.max_connections = engine.max_connections.max(*peers);
        }
        // A session has a folder for each torrent.
        let folder = matches.try_get_one::<PathBuf>("dir").ok().flatten();
        Ok(Self {
            folder: folder.cloned().unwrap_or_else(|| ".".into()),
            state: state_dir(matches),
            listen: Some(listen_options(matches)?),
            engine,
            limits: RateLimits {
                down: matches.get_one::<u64>("max-down").copied(),
                up: matches.get_one::<u64>("max-up").copied(),
            },
            record: matches.get_one::<PathBuf>("record").cloned(),
            keep_executable: matches.try_get_one("keep-executable").ok().flatten() == Some(&true),
        })
    }
}

/// Where state is kept: as the flag says, or where the system keeps such things.
pub fn state_dir(matches: &ArgMatches) -> Option<PathBuf> {
    if let Ok(Some(path)) = matches.try_get_one::<PathBuf>("state-dir") {
        return Some(path.clone());
    }
    let home = std::env::var_os("XDG_STATE_HOME").filter(|home| !home.is_empty());
    let home = home.map(PathBuf::from).or_else(|| {
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"))
    })?;
    Some(home.join("eddyline"))
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

/// Pieces hashed at once: enough to fill the lanes of every worker, where it has some.
fn hash_jobs() -> u32 {
    let each = if lanes::are_fast::<Sha1>() { LANES } else { 2 };
    (each * disk_threads()) as u32
}

/// Worker threads for disk and hashing.
pub fn disk_threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 4)
}

/// Resolves `HOST:PORT`.
pub fn resolve(text: &str, names: &Names) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Ok(vec![addr]);
    }
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty() && !host.contains(':'))
    else {
        return Err(Failure::new(USAGE, format!("'{text}' is not HOST:PORT")));
    };
    let found = names.look_up(host).map_err(|_| {
        let why = "the name does not resolve";
        Failure::new(NETWORK, format!("cannot reach the peer {text}: {why}"))
    })?;
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

impl Session {
    /// Starts a driver.
    pub fn start(setup: Setup) -> Result<Self, Failure> {
        let store = match &setup.state {
            Some(path) => Some(Arc::new(ResumeStore::open(path).map_err(store_failure)?)),
            None => None,
        };
        let names = Names::new(setup.listen.clone().unwrap_or_default().policy());
        let config = DriverConfig {
            engine: setup.engine,
            locations: Locations::folder(setup.folder),
            read_cache: READ_CACHE,
            unhashed: UNHASHED,
            store: store.clone(),
            listen: setup.listen,
            disk_threads: disk_threads(),
            record: setup.record,
            keep_executable: setup.keep_executable,
        };
        let mut driver = Driver::new(config).map_err(|error| match &error {
            DriverError::Listen(why) => {
                let why = io_text(why);
                let text = format!("cannot listen: {why}; choose another port with --port");
                Failure::new(NETWORK, text)
            }
            DriverError::Record(path, error) => {
                let text = format!("cannot record into {}: {}", path.display(), io_text(error));
                Failure::new(DISK, text)
            }
            DriverError::System(_) => Failure::new(UNEXPECTED, error.to_string()),
        })?;
        driver.command(Command::SetLimits(None, setup.limits));
        if let Some(bytes) = store.as_ref().and_then(|store| store.load_dht()) {
            driver.command(Command::RestoreDht(Box::new(DhtState::decode(&bytes))));
        }
        let (places, ids) = (HashMap::new(), HashMap::new());
        Ok(Self { driver, names, items: Vec::new(), started: Instant::now(), store, places, ids })
    }

    /// Where resume data is.
    pub fn store(&self) -> Option<&ResumeStore> {
        self.store.as_deref()
    }

    /// Adds a torrent with the flags that `download` and `seed` share.
    pub fn add(
        &mut self,
        source: Source,
        matches: &ArgMatches,
        options: AddOptions,
    ) -> Result<(), Failure> {
        let mut add = prepare(source, options, &self.names)?;
        let list = |key: &str| matches.get_many::<String>(key).into_iter().flatten();
        add.trackers = list("tracker").cloned().collect();
        for peer in list("peer") {
            add.peers.extend(resolve(peer, &self.names)?);
        }
        if !matches.get_flag("no-resume") {
            add.resume = self.load_resume(&add.metainfo);
        }
        // A file and a magnet of one torrent are one torrent.
        let hash = add.metainfo.info_hashes.wire();
        if self.places.contains_key(&hash) {
            self.driver.command(Command::Add(Box::new(add)));
            return Ok(());
        }
        self.push(add);
        Ok(())
    }

    /// Adds a torrent as it is, with its resume data, and nobody's flags.
    pub fn restore(&mut self, source: Source, options: AddOptions) -> Result<(), Failure> {
        let mut add = prepare(source, options, &self.names)?;
        add.resume = self.load_resume(&add.metainfo);
        self.push(add);
        Ok(())
    }

    /// A torrent is not in the engine any more.
    pub fn forget(&mut self, id: TorrentId) {
        self.items.retain(|item| item.id != Some(id));
        self.places.clear();
        let ids = self.items.iter().enumerate().filter_map(|(place, item)| Some((item.id?, place)));
        self.ids = ids.collect();
        for (place, item) in self.items.iter().enumerate() {
            self.places.insert(item.metainfo.info_hashes.wire(), place);
        }
    }

    /// Adds a torrent.
    pub fn push(&mut self, add: AddTorrent) {
        let metainfo = add.metainfo.clone();
        self.places.insert(metainfo.info_hashes.wire(), self.items.len());
        let named = !metainfo.is_known() && metainfo.name != metainfo.info_hashes.wire().to_hex();
        let called = named.then(|| metainfo.name.clone());
        self.items.push(Item { id: None, metainfo, done: false, failure: None, called });
        self.driver.command(Command::Add(Box::new(add)));
    }

    /// Resume data that can be read; damaged data is put aside and costs a check.
    fn load_resume(&self, metainfo: &Metainfo) -> Option<Box<ResumeData>> {
        let store = self.store.as_ref()?;
        let hash = metainfo.info_hashes.wire();
        let bytes = store.load(hash)?;
        match ResumeData::decode(&bytes) {
            Ok(resume) => Some(Box::new(resume)),
            Err(error) => {
                warn(&format!("{}: {error}; the data is checked again", metainfo.name));
                store.set_aside(hash);
                None
            }
        }
    }

    /// One turn. Book-keeping is done; the notices are for showing.
    pub fn turn(&mut self, patience: Duration) -> Result<Vec<Notice>, Failure> {
        let notices = self
            .driver
            .turn(patience)
            .map_err(|error| Failure::new(UNEXPECTED, format!("cannot wait: {error}")))?;
        for notice in &notices {
            self.keep_book(notice);
        }
        Ok(notices)
    }

    fn keep_book(&mut self, notice: &Notice) {
        match notice {
            Notice::TorrentAdded(id, hashes) => {
                if let Some(place) = self.places.get(&hashes.wire()) {
                    self.items[*place].id = Some(*id);
                    self.ids.insert(*id, *place);
                }
            }
            // The second of two equal sources is one with the first.
            Notice::CommandRejected(eddyline::CommandError::Duplicate, _) => {}
            Notice::CommandRejected(error, Some(hashes)) => {
                let mut items = self.items.iter_mut();
                let item = items.find(|i| i.metainfo.info_hashes == *hashes && i.failure.is_none());
                if let Some(item) = item {
                    let text = format!("{}: {error}", item.metainfo.name);
                    item.failure = Some(Failure::new(UNEXPECTED, text));
                }
            }
            Notice::MetadataReady(id) => {
                let found = self.driver.engine().metainfo(*id).cloned();
                if let (Some(metainfo), Some(item)) = (found, self.item_mut(*id)) {
                    item.metainfo = metainfo;
                }
            }
            Notice::Finished(id) => {
                if let Some(item) = self.item_mut(*id) {
                    item.done = true;
                }
            }
            Notice::Checked(id, _) => {
                let view = self.driver.engine().torrent(*id);
                let done = view.is_some_and(|view| view.wanted_done == view.wanted);
                if let Some(item) = self.item_mut(*id) {
                    item.done = done;
                }
            }
            // A download that cannot be finished now is not waited for.
            Notice::DiskFull(id) => {
                if let Some(item) = self.item_mut(*id) {
                    let error = eddyline::DiskError::NoSpace;
                    item.failure = Some(Failure::disk(&item.metainfo.name, error));
                }
            }
            Notice::DiskHasRoom(id) => {
                if let Some(item) = self.item_mut(*id) {
                    item.failure = None;
                }
            }
            Notice::TorrentFailed(id, error) => {
                let error = *error;
                if let Some(item) = self.item_mut(*id) {
                    item.failure = Some(Failure::of_torrent(&item.metainfo, error));
                }
            }
            _ => {}
        }
    }

    fn item_mut(&mut self, id: TorrentId) -> Option<&mut Item> {
        self.ids.get(&id).and_then(|place| self.items.get_mut(*place))
    }

    /// The torrent with this id.
    pub fn item(&self, id: TorrentId) -> Option<&Item> {
        self.ids.get(&id).and_then(|place| self.items.get(*place))
    }

    /// Whether every torrent is done, and none has failed.
    pub fn all_done(&self) -> bool {
        self.items.iter().all(|item| item.done && item.failure.is_none())
    }

    /// Whether nothing can move any more: every torrent is done or has failed.
    pub fn all_ended(&self) -> bool {
        self.items.iter().all(|item| item.done || item.failure.is_some())
    }

    /// The first failure of a torrent.
    pub fn failure(&self) -> Option<Failure> {
        self.items.iter().find_map(|item| item.failure.clone())
    }

    /// Keeps what is known of the DHT for the next run. That it is not costs a few seconds then.
    fn remember_dht(&self) {
        let state = self.driver.engine().dht_state().filter(|state| !state.nodes.is_empty());
        if let (Some(store), Some(state)) = (&self.store, state)
            && let Err(error) = store.store_dht(&state.encode())
        {
            warn(&format!("cannot save the DHT's nodes: {}", io_text(&error)));
        }
    }

    /// Stops tidily.
    pub fn stop(&mut self) -> Result<(), Failure> {
        self.remember_dht();
        self.driver.command(Command::ShutDown);
        let end = Instant::now() + STOP_PATIENCE;
        while Instant::now() < end {
            if self.turn(Duration::from_millis(100))?.contains(&Notice::ShutDown) {
                // Sockets get what was said last before they are closed.
                break;
            }
        }
        self.driver
            .finish_recording()
            .map_err(|error| Failure::new(DISK, format!("the trace is incomplete: {error}")))
    }
}

/// A torrent as its source and the options say.
fn prepare(source: Source, options: AddOptions, names: &Names) -> Result<AddTorrent, Failure> {
    let mut add = match source {
        Source::Torrent(metainfo) => AddTorrent::new(Arc::new(*metainfo)),
        Source::Magnet(magnet) => {
            let mut add = AddTorrent::magnet(&magnet);
            // A peer that is named in passing may well be gone.
            let found = magnet.named_peers.iter().filter_map(|peer| resolve(peer, names).ok());
            add.peers.extend(found.flatten());
            add
        }
    };
    if add.metainfo.info_hashes.v1.is_none() {
        let name = &add.metainfo.name;
        let text = format!("{name}: torrents of the v2 format alone cannot be transferred yet");
        return Err(Failure::new(UNEXPECTED, text));
    }
    add.priorities = options.priorities;
    add.sequential = options.sequential;
    add.hold_metadata = options.hold;
    add.location = options.location;
    add.limits = options.limits;
    add.overwrite = options.overwrite;
    add.allocation = match options.allocation.as_deref() {
        Some("sparse") => Allocation::Sparse,
        Some("full") => Allocation::Full,
        _ => Allocation::None,
    };
    Ok(add)
}

/// Why the state folder cannot be used.
pub fn store_failure(error: StoreError) -> Failure {
    let code = match &error {
        StoreError::Locked(_) => UNEXPECTED,
        StoreError::Io(..) => DISK,
    };
    Failure::new(code, error.to_string())
}
