//! Torrents of one run, from options to the end: what `download`, `seed` and `demo` share.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Metainfo;
use eddyline::{
    AddTorrent, Allocation, Command, FilePriority, LocationId, Notice, Priority, RateLimits,
    ResumeData, StorageTask, TorrentError, TorrentView,
};
use eddyline_disk::resume_store::{RUNNING, ResumeStore, StoreError};
use eddyline_disk::{Kind, Locations, in_folder};
use eddyline_mio::dns::Names;
use eddyline_mio::session_store::SessionSet;
use eddyline_mio::{Driver, DriverConfig, DriverError};

use super::dht_state::SharedDht;
use super::exit::{
    DISK, Failure, NETWORK, UNEXPECTED, UNFINISHED, USAGE, WOULD_OVERWRITE, io_text,
};
use super::found::{Renames, file_of, is_taken, link_in_the_way, told_of};
use super::output::warn;
use super::selected::Selected;
pub use super::setup::{
    Setup, default_state_dir, disk_threads, names, open_store, state_dir, store_failure,
};
use super::source::Source;

/// Longest wait for a tidy stop.
const STOP_PATIENCE: Duration = Duration::from_secs(6);

/// Most bytes kept of what was read for peers.
pub const READ_CACHE: u64 = 16 << 20;
/// Most bytes kept of what was written and is not hashed: eleven pieces of 1 MiB, and what comes
/// while they are hashed.
const UNHASHED: u64 = 16 << 20;

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
    /// The folder that its files are in.
    pub folder: PathBuf,
    /// What of it is wanted.
    pub selected: Selected,
    /// When it was added.
    pub added: Instant,
    /// Payload received and sent by earlier runs.
    earlier: (u64, u64),
    /// Files that the magnet names (BEP 53).
    select: Option<Vec<u32>>,
    /// Files that earlier runs left under other names.
    renames: Renames,
}

impl Item {
    /// Its hash, as handshakes and the state folder name it.
    pub fn hash(&self) -> Sha1Hash {
        self.metainfo.info_hashes.wire()
    }

    /// Payload received and sent in this run, of what a view says of all runs.
    pub fn this_run(&self, view: &TorrentView) -> (u64, u64) {
        let (down, up) = self.earlier;
        (view.downloaded.saturating_sub(down), view.uploaded.saturating_sub(up))
    }

    /// Whether the magnet wants this file; one that names none, or none that there is, wants all.
    fn is_selected(&self, file: u32) -> bool {
        let files = self.metainfo.layout.files().len() as u32;
        let select = self.select.as_ref().filter(|list| list.iter().any(|n| *n < files));
        select.is_none_or(|list| list.contains(&file))
    }

    /// What an earlier run called a file, if otherwise than the torrent does.
    pub fn known_name(&self, file: u32) -> Option<&Vec<String>> {
        self.renames.get(&file).map(|renamed| &renamed.to)
    }

    /// A file that the magnet names and that is not there, counted from 1.
    pub fn unknown_file(&self) -> Option<u32> {
        let files = self.metainfo.layout.files().len() as u32;
        let mut select = self.select.iter().flatten().copied();
        select.find(|file| *file >= files).map(|file| file.saturating_add(1))
    }

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
    /// The folder that this is; that of the run where nothing is said.
    pub folder: Option<PathBuf>,
    /// Limits of this torrent.
    pub limits: RateLimits,
    /// Serve what is there and change nothing.
    pub read_only: bool,
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
    /// Where torrents lie that name no other place.
    pub folder: PathBuf,
    store: Option<Arc<ResumeStore>>,
    dht: Option<SharedDht>,
    /// Which command this is, for whoever finds a torrent locked.
    command: &'static str,
    /// Where each is among the items, by hash and by id.
    places: HashMap<Sha1Hash, usize>,
    ids: HashMap<TorrentId, usize>,
    /// The folder that the program was started with.
    home: LocationId,
}

impl Drop for Session {
    /// The store may be held by workers that end a moment after the program: what it tells others does not.
    fn drop(&mut self) {
        if let Some(store) = &self.store {
            store.unlock_all();
        }
    }
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
        let store = if setup.keeps { open_store(setup.state.as_deref()) } else { None };
        let folder = setup.folder.clone();
        let names = Names::new(setup.listen.clone().unwrap_or_default().policy());
        // Resume data tells where the data is by this number.
        let whole = std::path::absolute(&setup.folder).unwrap_or_else(|_| setup.folder.clone());
        let home = Locations::number_of(&whole.to_string_lossy());
        let locations = Locations::default();
        locations.restore(home, Kind::Scoped(setup.folder));
        let config = DriverConfig {
            engine: setup.engine,
            locations,
            read_cache: READ_CACHE,
            unhashed: UNHASHED,
            store: store.clone(),
            listen: setup.listen,
            disk_threads: disk_threads(),
            record: setup.record,
            keep_executable: setup.keep_executable,
        };
        let mut driver = Driver::new(config).map_err(|error| match &error {
            DriverError::Listen(why) => Failure::listen(why),
            DriverError::Record(path, error) => {
                let text = format!("cannot record into {}: {}", path.display(), io_text(error));
                Failure::new(DISK, text)
            }
            DriverError::System(_) => Failure::new(UNEXPECTED, error.to_string()),
        })?;
        driver.command(Command::SetLimits(None, setup.limits));
        let mut dht = None;
        if let Some(store) = store.as_ref().filter(|_| driver.engine().config().dht) {
            let (shared, state) = SharedDht::open(store, setup.command);
            if let Some(state) = state {
                driver.command(Command::RestoreDht(Box::new(state)));
            }
            dht = Some(shared);
        }
        Ok(Self {
            driver,
            names,
            items: Vec::new(),
            started: Instant::now(),
            folder,
            store,
            dht,
            command: setup.command,
            places: HashMap::new(),
            ids: HashMap::new(),
            home,
        })
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
        let folder = options.folder.clone();
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
        self.claim(hash, &add.metainfo.name)?;
        if self.places.contains_key(&hash) {
            self.driver.command(Command::Add(Box::new(add)));
            return Ok(());
        }
        self.push_in(add, folder);
        Ok(())
    }

    /// Adds a torrent as it is, with its resume data, and nobody's flags.
    pub fn restore(&mut self, source: Source, options: AddOptions) -> Result<(), Failure> {
        let folder = options.folder.clone();
        let mut add = prepare(source, options, &self.names)?;
        self.claim(add.metainfo.info_hashes.wire(), &add.metainfo.name)?;
        add.resume = self.load_resume(&add.metainfo);
        self.push_in(add, folder);
        Ok(())
    }

    /// Nobody else works on this torrent while we do. A running session holds no lock for each: its own
    /// says enough, together with the set.
    fn claim(&self, hash: Sha1Hash, name: &str) -> Result<(), Failure> {
        let Some(store) = &self.store else { return Ok(()) };
        let refused = |error| {
            let failure = store_failure(error);
            Failure::new(failure.code, format!("{name}: {}", failure.message))
        };
        if self.command == RUNNING {
            return Ok(());
        }
        store.lock(hash, self.command).map_err(refused)?;
        let running = store.session_holder().filter(|holder| holder.command == RUNNING);
        if let Some(holder) = running
            && SessionSet::read(store.state()).is_ok_and(|set| set.get(&hash.to_hex()).is_some())
        {
            return Err(refused(StoreError::Locked(store.state().to_owned(), holder)));
        }
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

    /// Chooses files of a torrent; those that are not named stay as they are wanted.
    pub fn select(&mut self, id: TorrentId, changes: Vec<FilePriority>) {
        if let Some(item) = self.item_mut(id) {
            let mut priorities = vec![Priority::Normal; item.metainfo.layout.files().len()];
            for change in &changes {
                if let Some(priority) = priorities.get_mut(change.file as usize) {
                    *priority = change.priority;
                }
            }
            item.selected = Selected::by_priority(&item.metainfo, &priorities);
        }
        self.driver.command(Command::SetPriorities(id, changes));
    }

    /// A torrent cannot go on, for a reason that the engine knows nothing of.
    pub fn fail(&mut self, id: TorrentId, failure: Failure) {
        if let Some(item) = self.item_mut(id) {
            item.failure = Some(failure);
        }
    }

    /// Adds a torrent to the folder of the run.
    pub fn push(&mut self, add: AddTorrent) {
        self.push_in(add, None);
    }

    fn push_in(&mut self, mut add: AddTorrent, folder: Option<PathBuf>) {
        if add.location == LocationId::default() {
            add.location = self.home;
        }
        add.naming = self.driver.locations().naming(add.location);
        let metainfo = add.metainfo.clone();
        self.places.insert(metainfo.info_hashes.wire(), self.items.len());
        let named = !metainfo.is_known() && metainfo.name != metainfo.info_hashes.wire().to_hex();
        let called = named.then(|| metainfo.name.clone());
        let earlier =
            add.resume.as_ref().map_or((0, 0), |resume| (resume.downloaded, resume.uploaded));
        self.items.push(Item {
            id: None,
            folder: folder.unwrap_or_else(|| self.folder.clone()),
            selected: Selected::by_priority(&metainfo, &add.priorities),
            metainfo,
            done: false,
            failure: None,
            called,
            added: Instant::now(),
            earlier,
            select: add.select.clone(),
            renames: add.resume.as_ref().map_or_else(Renames::new, |resume| resume.renamed.clone()),
        });
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
            if let Some(text) = self.item_of(notice).and_then(|item| told_of(self, item, notice)) {
                warn(&text);
            }
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
                    let files = 0..item.metainfo.layout.files().len() as u32;
                    let skipped: Vec<u32> = files.filter(|file| !item.is_selected(*file)).collect();
                    item.selected = Selected::without(&item.metainfo, &skipped);
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
                let told = self.driver.disk_refusal(*id);
                if let Some(item) = self.item_mut(*id) {
                    let (name, error) = (&item.metainfo.name, eddyline::DiskError::NoSpace);
                    let told = told.map(|told| told.told(Some(&item.folder), name));
                    item.failure = Some(Failure::of_disk(name, told, error));
                }
            }
            Notice::DiskHasRoom(id) => {
                if let Some(item) = self.item_mut(*id) {
                    item.failure = None;
                }
            }
            Notice::TorrentFailed(id, error) => self.keep_failure(*id, *error),
            // It goes on where it is.
            Notice::StorageFailed(id, StorageTask::Move(_) | StorageTask::Rename, error) => {
                let told = self.driver.disk_refusal(*id);
                if let Some(item) = self.item_mut(*id) {
                    // Of which folder it is depends on what was done.
                    let name = &item.metainfo.name;
                    let told = told.map(|told| told.told(None, name));
                    item.failure = Some(Failure::of_disk(name, told, *error));
                }
            }
            _ => {}
        }
    }

    /// Why a torrent stands still.
    fn keep_failure(&mut self, id: TorrentId, error: TorrentError) {
        let (told, engine) = (self.driver.disk_refusal(id), self.driver.engine());
        let path = file_of(error).and_then(|file| engine.file_path(id, file));
        let hash = engine.metainfo(id).map(|metainfo| metainfo.info_hashes.wire());
        let taken = hash.and_then(|hash| self.driver.taken(hash)).filter(|_| is_taken(error));
        let in_session = self.command.starts_with("session");
        if let Some(item) = self.item_mut(id) {
            let path = in_folder(&item.folder, &path.unwrap_or_default().join("/"));
            let name = &item.metainfo.name;
            let told = told.map(|told| told.told(Some(&item.folder), name));
            item.failure = Some(match (taken, error, told) {
                (Some(text), ..) => Failure::new(WOULD_OVERWRITE, text),
                (None, TorrentError::Disk(error), told) => link_in_the_way(item, error)
                    .unwrap_or_else(|| Failure::of_disk(name, told, error)),
                _ => Failure::of_torrent(name, error, &path, in_session),
            });
        }
    }

    fn item_mut(&mut self, id: TorrentId) -> Option<&mut Item> {
        self.ids.get(&id).and_then(|place| self.items.get_mut(*place))
    }

    /// The torrent whose files a notice is about.
    fn item_of(&self, notice: &Notice) -> Option<&Item> {
        match notice {
            Notice::Checked(id, _) | Notice::Trimmed(id, _) | Notice::MetadataReady(id) => {
                self.item(*id)
            }
            _ => None,
        }
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

    /// What became of several torrents of which some have failed; `None` if none has. Where all have
    /// failed in one way it is that, else what could be done is done and the rest is not.
    pub fn failures(&self) -> Option<Failure> {
        let failure = self.failure()?;
        let mut codes = self.items.iter().map(|item| item.failure.as_ref().map(|f| f.code));
        if codes.all(|code| code == Some(failure.code)) {
            return Some(failure);
        }
        Some(self.one_failed(failure))
    }

    /// The failure of one torrent, as the outcome of all.
    pub fn one_failed(&self, failure: Failure) -> Failure {
        match self.items.len() {
            ..2 => failure,
            all => {
                let failed = self.items.iter().filter(|item| item.failure.is_some()).count().max(1);
                let text = format!("{failed} of {all} torrents failed: {}", failure.message);
                Failure::new(UNFINISHED, text)
            }
        }
    }

    /// Keeps what is known of the DHT for the next run. That it is not costs a few seconds then.
    fn remember_dht(&self) {
        let state = self.driver.engine().dht_state().filter(|state| !state.nodes.is_empty());
        if let (Some(store), Some(dht), Some(state)) = (&self.store, &self.dht, state) {
            dht.keep(store, state);
        }
    }

    /// Stops tidily. Returns what the engine had to tell meanwhile.
    pub fn stop(&mut self) -> Result<Vec<Notice>, Failure> {
        self.remember_dht();
        self.driver.command(Command::ShutDown);
        let end = Instant::now() + STOP_PATIENCE;
        let mut told = Vec::new();
        while Instant::now() < end {
            let notices = self.turn(Duration::from_millis(100))?;
            // Sockets get what was said last before they are closed.
            let stopped = notices.contains(&Notice::ShutDown);
            told.extend(notices);
            if stopped {
                break;
            }
        }
        self.driver
            .finish_recording()
            .map_err(|error| Failure::new(DISK, format!("the trace is incomplete: {error}")))?;
        Ok(told)
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
    add.read_only = options.read_only;
    add.allocation = match options.allocation.as_deref() {
        Some("sparse") => Allocation::Sparse,
        Some("full") => Allocation::Full,
        _ => Allocation::None,
    };
    Ok(add)
}
