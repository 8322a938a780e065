//! The torrents of one run, from options to the end: the driver, and the books that an embedder needs.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Source;
use eddyline::{
    AddTorrent, Command, DiskError, FilePriority, LocationId, Notice, Priority, ResumeData,
    StorageTask, Tag, TorrentCommand, TorrentError,
};
use eddyline_disk::resume_store::{RUNNING, ResumeStore, StoreError};
use eddyline_disk::{Kind, Locations, in_folder, links_on_the_way};
use eddyline_mio::dns::Names;
use eddyline_mio::{Driver, DriverConfig, DriverError};

use crate::cut_off::CutOff;
use crate::dht_state::SharedDht;
use crate::item::{AddOptions, Item, Renames};
use crate::prepare::prepare;
use crate::selected::Selected;
use crate::session_store::SessionSet;
use crate::setup::{READ_CACHE, Setup, UNHASHED, disk_threads};
use crate::trouble::{AddError, PeerNameError, Trouble, Warning};

/// Longest wait for a tidy stop.
const STOP_PATIENCE: Duration = Duration::from_secs(6);

/// A driver with the torrents of this run.
#[derive(Debug)]
pub struct Session {
    /// The driver.
    pub driver: Driver,
    items: Vec<Item>,
    /// When the run began.
    pub started: Instant,
    /// Where torrents lie that name no other place.
    pub folder: PathBuf,
    store: Option<Arc<ResumeStore>>,
    dht: Option<SharedDht>,
    /// Which command this is, for whoever finds a torrent locked.
    command: &'static str,
    /// What went wrong and was not told yet.
    warnings: Vec<Warning>,
    /// It was told that resume data is not kept, and that lasts.
    told_unkept: bool,
    cut_off: CutOff,
    /// Where each is among the items, by hash and by id.
    places: HashMap<Sha1Hash, usize>,
    ids: HashMap<TorrentId, usize>,
    /// What came in the last turn of commands about files.
    answers: Vec<(Tag, Result<(), Trouble>)>,
    /// The folder that the program was started with.
    home: LocationId,
}

/// The addresses behind `HOST:PORT`. A name is looked up, which can take tens of seconds.
///
/// # Errors
/// When it is not of that form, or the name does not resolve.
pub fn resolve(text: &str, names: &Names) -> Result<Vec<SocketAddr>, PeerNameError> {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Ok(vec![addr]);
    }
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty() && !host.contains(':'))
    else {
        return Err(PeerNameError::Malformed);
    };
    let found = names.look_up(host).map_err(|_| PeerNameError::Unknown)?;
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

impl Drop for Session {
    /// The store may be held by workers that end a moment after the session: what it tells others does not.
    fn drop(&mut self) {
        if let Some(store) = &self.store {
            store.unlock_all();
        }
    }
}

impl Session {
    /// Starts a driver.
    ///
    /// # Errors
    /// When there is no port to listen on, or the system refuses something basic.
    pub fn start(setup: Setup) -> Result<Self, DriverError> {
        let Setup { command, folder, store, listen, engine, limits, record, keep_executable } =
            setup;
        // Resume data tells where the data is by this number.
        let home = Locations::number_of(&whole(&folder).to_string_lossy());
        let locations = Locations::default();
        locations.restore(home, Kind::Scoped(folder.clone()));
        let config = DriverConfig {
            engine,
            locations,
            read_cache: READ_CACHE,
            unhashed: UNHASHED,
            store: store.clone(),
            listen,
            disk_threads: disk_threads(),
            record,
            keep_executable,
        };
        let mut driver = Driver::new(config)?;
        driver.command(Command::SetLimits(limits));
        let mut dht = None;
        if let Some(store) = store.as_ref().filter(|_| driver.engine().config().dht) {
            let (shared, state) = SharedDht::open(store, command);
            if let Some(state) = state {
                driver.command(Command::RestoreDht(Box::new(state)));
            }
            dht = Some(shared);
        }
        Ok(Self {
            driver,
            items: Vec::new(),
            started: Instant::now(),
            folder,
            store,
            dht,
            command,
            warnings: Vec::new(),
            told_unkept: false,
            cut_off: CutOff::default(),
            places: HashMap::new(),
            ids: HashMap::new(),
            answers: Vec::new(),
            home,
        })
    }

    /// Where resume data is.
    #[must_use]
    pub fn store(&self) -> Option<&ResumeStore> {
        self.store.as_deref()
    }

    /// How names of peers are looked up.
    #[must_use]
    pub fn names(&self) -> &Names {
        self.driver.names()
    }

    /// The torrents, in the order given.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// What this session is, as others are told who find a torrent locked.
    #[must_use]
    pub fn command(&self) -> &'static str {
        self.command
    }

    /// What went wrong since this was asked last, and stopped nothing.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    /// Something went wrong that stops nothing.
    pub(crate) fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    /// Adds a torrent, with what an earlier run has left of it. One that is there already, of which this may be
    /// the magnet, gets the trackers and peers. Names of peers that a magnet has are looked up meanwhile.
    ///
    /// # Errors
    /// When it cannot be transferred, or another process works on it.
    pub fn add(&mut self, source: Source, options: AddOptions) -> Result<Sha1Hash, AddError> {
        let (folder, fresh, recheck) = (options.folder.clone(), options.fresh, options.recheck);
        let location = folder.as_deref().map(|folder| self.place(folder)).transpose()?;
        let mut add = prepare(source, options, self.driver.names())?;
        add.location = location.unwrap_or(self.home);
        // A file and a magnet of one torrent are one torrent.
        let hash = add.source.info_hashes().wire();
        self.claim(hash, &add.source.name())?;
        if !self.places.contains_key(&hash) {
            self.settle_record(hash, add.location);
        }
        if !fresh {
            add.resume = self.load_resume(&add.source);
        }
        if let Some(resume) = add.resume.as_mut().filter(|_| recheck) {
            // No file is as it was: all of them are hashed.
            resume.clean = true;
            resume.files.iter_mut().for_each(|file| file.modified = i64::MIN);
        }
        match self.places.contains_key(&hash) {
            true => drop(self.driver.command(add)),
            false => self.push_in(add, folder),
        }
        Ok(hash)
    }

    /// The number of a folder, which is a place for data of torrents from then on. It is the same in every run.
    ///
    /// # Errors
    /// When another folder has that number.
    pub fn place(&self, folder: &Path) -> Result<LocationId, AddError> {
        let whole = whole(folder);
        let (locations, id) =
            (self.driver.locations(), Locations::number_of(&whole.to_string_lossy()));
        match self.folder_at(id) {
            None => locations.restore(id, Kind::Scoped(whole)),
            Some(known) if known == whole => {}
            Some(_) => return Err(AddError::Folder(whole)),
        }
        Ok(id)
    }

    /// The folder that has a number.
    fn folder_at(&self, id: LocationId) -> Option<PathBuf> {
        self.driver.locations().list().into_iter().find_map(|(known, kind)| match kind {
            Kind::Scoped(path) if known == id => Some(whole(&path)),
            _ => None,
        })
    }

    /// What came of the command of this tag in the last turn, where the engine has refused it, or has answered.
    #[must_use]
    pub fn answer_to(&self, tag: Tag) -> Option<Result<(), Trouble>> {
        self.answers.iter().find(|(other, _)| *other == tag).map(|(_, answer)| answer.clone())
    }

    /// Nobody else works on this torrent while we do. A running session holds no lock for each: its own
    /// says enough, together with the set.
    fn claim(&self, hash: Sha1Hash, name: &str) -> Result<(), AddError> {
        let Some(store) = &self.store else { return Ok(()) };
        let refused = |error| AddError::Store(name.to_owned(), error);
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
            self.places.insert(item.hash(), place);
        }
    }

    /// Chooses files of a torrent; those that are not named stay as they are wanted.
    pub fn select(&mut self, id: TorrentId, changes: Vec<FilePriority>) -> Tag {
        if let Some(item) = self.item_mut(id) {
            let known = item.files().len();
            let files = if known == 0 { changes.len() } else { known };
            let mut priorities = vec![Priority::Normal; files];
            for change in &changes {
                if let Some(priority) = priorities.get_mut(change.file as usize) {
                    *priority = change.priority;
                }
            }
            item.selected = Selected::of_source(&item.source, &priorities);
            item.chosen = if known == 0 { priorities } else { Vec::new() };
        }
        self.driver.command(TorrentCommand::SetPriorities(changes).of(id))
    }

    /// Has a torrent go on, after a pause or after what was wrong is mended.
    pub fn resume(&mut self, id: TorrentId) -> Tag {
        if let Some(item) = self.item_mut(id) {
            item.trouble = None;
        }
        self.driver.command(TorrentCommand::Resume.of(id))
    }

    /// A torrent cannot go on, for a reason that the engine knows nothing of: a number that means something
    /// to the embedder, and a sentence.
    pub fn fail(&mut self, id: TorrentId, code: u8, why: String) {
        if let Some(item) = self.item_mut(id) {
            item.trouble = Some(Trouble::Given(code, why));
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
        let source = add.source.clone();
        let hash = source.info_hashes().wire();
        self.places.insert(hash, self.items.len());
        let called = match &source {
            Source::Torrent(_) => None,
            Source::Magnet(magnet) => {
                Some(magnet.safe_name()).filter(|name| *name != hash.to_hex())
            }
        };
        let earlier =
            add.resume.as_ref().map_or((0, 0), |resume| (resume.downloaded, resume.uploaded));
        let (selected, select) =
            (Selected::of_source(&source, &add.priorities), add.select.clone());
        let renames =
            add.resume.as_ref().map_or_else(Renames::new, |resume| resume.renamed.clone());
        let recorded = add.resume.is_some();
        let chosen = match source {
            Source::Torrent(_) => Vec::new(),
            Source::Magnet(_) => add.priorities.clone(),
        };
        let asked = self.driver.command(add);
        self.items.push(Item {
            id: None,
            asked,
            folder: folder.unwrap_or_else(|| self.folder.clone()),
            selected,
            source,
            done: false,
            trouble: None,
            called,
            found: None,
            added: Instant::now(),
            earlier,
            chosen,
            select,
            renames,
            recorded,
        });
    }

    /// Resume data that can be read; damaged data is put aside and costs a check.
    fn load_resume(&mut self, source: &Source) -> Option<Box<ResumeData>> {
        let store = self.store.as_ref()?;
        let hash = source.info_hashes().wire();
        let bytes = store.load(hash)?;
        match ResumeData::decode(&bytes) {
            Ok(resume) => Some(Box::new(resume)),
            Err(error) => {
                store.set_aside(hash);
                self.warnings.push(Warning::DamagedResume(source.name().into_owned(), error));
                None
            }
        }
    }

    /// One turn: waits for something to happen, at most `patience`, and deals with it. Book-keeping is done; the
    /// notices are for showing.
    ///
    /// # Errors
    /// When the system cannot wait.
    pub fn turn(&mut self, patience: Duration) -> io::Result<Vec<Notice>> {
        let notices = self.driver.turn(patience)?;
        self.answers.clear();
        for notice in &notices {
            self.keep_book(notice);
        }
        let unkept = self.driver.unkept();
        let is_told = std::mem::replace(&mut self.told_unkept, unkept.is_some());
        self.warnings.extend(unkept.filter(|_| !is_told).map(Warning::ResumeNotKept));
        self.warnings.extend(self.cut_off.look(&mut self.driver, self.ids.keys()));
        self.warnings.extend(self.cut_off.look_at_proxy(&self.driver));
        Ok(notices)
    }

    fn keep_book(&mut self, notice: &Notice) {
        match notice {
            Notice::TorrentAdded { torrent, info_hashes, .. } => {
                if let Some(place) = self.places.get(&info_hashes.wire()) {
                    self.items[*place].id = Some(*torrent);
                    self.ids.insert(*torrent, *place);
                }
            }
            // Adding the same torrent twice is no error.
            Notice::CommandRejected { error: eddyline::CommandError::Duplicate, .. } => {}
            Notice::CommandRejected { tag, error, .. } => {
                self.answers.push((*tag, Err(Trouble::Refused(*error))));
                if let Some(item) = self.items.iter_mut().find(|item| item.asked == *tag) {
                    item.trouble = Some(Trouble::Refused(*error));
                }
            }
            Notice::MetadataReady(id) => {
                let found = self.driver.engine().metainfo(*id).cloned();
                if let (Some(metainfo), Some(item)) = (found, self.item_mut(*id)) {
                    item.source = metainfo.clone().into();
                    let files = 0..item.files().len() as u32;
                    let skipped: Vec<u32> = files.filter(|file| !item.is_selected(*file)).collect();
                    item.selected = Selected::without(&metainfo, &skipped);
                }
            }
            Notice::Finished(id) => {
                if let Some(item) = self.item_mut(*id) {
                    item.done = true;
                }
            }
            Notice::Checked(id, _) => {
                let view = self.driver.engine().torrent(*id);
                let done = view.as_ref().is_some_and(|view| view.wanted_done == view.wanted);
                if let Some(item) = self.item_mut(*id) {
                    item.done = done;
                    let here = view.map_or(0, |view| item.selected.done(&view.have));
                    item.found.get_or_insert(here);
                }
            }
            // A download that cannot be finished now is not waited for.
            Notice::DiskFull(id) => {
                let told = self.driver.disk_refusal(*id);
                if let Some(item) = self.item_mut(*id) {
                    let told = told.map(|told| told.told(Some(&item.folder), &item.name()));
                    item.trouble = Some(Trouble::Disk(DiskError::NoSpace, told));
                }
            }
            Notice::DiskHasRoom(id) => {
                if let Some(item) = self.item_mut(*id) {
                    let full =
                        |trouble: &Trouble| matches!(trouble, Trouble::Disk(DiskError::NoSpace, _));
                    item.trouble.take_if(|trouble| full(trouble));
                }
            }
            Notice::TorrentFailed(id, error) => self.keep_trouble(*id, *error),
            Notice::ReadReady { tag, .. } => self.answers.push((*tag, Ok(()))),
            Notice::ReadFailed { tag, .. } => {
                self.answers.push((*tag, Err(Trouble::Refused(eddyline::CommandError::NotWanted))));
            }
            Notice::StorageDone { .. } | Notice::StorageFailed { .. } => self.keep_storage(notice),
            _ => {}
        }
    }

    /// What came of something that was wanted of a torrent's files.
    fn keep_storage(&mut self, notice: &Notice) {
        match notice {
            Notice::StorageDone { tag, torrent, task } => {
                self.answers.push((*tag, Ok(())));
                let folder = match task {
                    StorageTask::Move(to) => self.folder_at(*to),
                    _ => None,
                };
                if let (Some(folder), Some(item)) = (folder, self.item_mut(*torrent)) {
                    item.folder = folder;
                }
            }
            // It goes on where it is.
            Notice::StorageFailed {
                tag,
                torrent,
                task: StorageTask::Move(_) | StorageTask::Rename,
                error,
            } => {
                let told = self.driver.disk_refusal(*torrent);
                if let Some(item) = self.item(*torrent) {
                    // The error does not say whether the source or the target failed.
                    let told = told.map(|told| told.told(None, &item.name()));
                    self.answers.push((*tag, Err(Trouble::Disk(*error, told))));
                }
            }
            _ => {}
        }
    }

    /// Why a torrent stands still.
    fn keep_trouble(&mut self, id: TorrentId, error: TorrentError) {
        let (told, engine) = (self.driver.disk_refusal(id), self.driver.engine());
        let path = file_of(error).and_then(|file| engine.file_path(id, file));
        let hash = engine.metainfo(id).map(|metainfo| metainfo.info_hashes().wire());
        let taken = hash.and_then(|hash| self.driver.taken(hash)).filter(|_| is_taken(error));
        if let Some(item) = self.item_mut(id) {
            let path = in_folder(&item.folder, &path.unwrap_or_default().join("/"));
            let told = told.map(|told| told.told(Some(&item.folder), &item.name()));
            item.trouble = Some(match (taken, error) {
                (Some(text), _) => Trouble::Taken(text),
                (None, TorrentError::Disk(error)) => {
                    link_in_the_way(item, error).map_or(Trouble::Disk(error, told), Trouble::Link)
                }
                (None, error) => Trouble::Torrent(error, path),
            });
        }
    }

    fn item_mut(&mut self, id: TorrentId) -> Option<&mut Item> {
        self.ids.get(&id).and_then(|place| self.items.get_mut(*place))
    }

    /// The torrent with this id.
    #[must_use]
    pub fn item(&self, id: TorrentId) -> Option<&Item> {
        self.ids.get(&id).and_then(|place| self.items.get(*place))
    }

    /// The torrent with this hash.
    #[must_use]
    pub fn item_by_hash(&self, hash: Sha1Hash) -> Option<&Item> {
        self.places.get(&hash).and_then(|place| self.items.get(*place))
    }

    /// Whether every torrent is done, and none has failed.
    #[must_use]
    pub fn all_done(&self) -> bool {
        self.items.iter().all(|item| item.done && item.trouble.is_none())
    }

    /// Whether nothing can move any more: every torrent is done or has failed.
    #[must_use]
    pub fn all_ended(&self) -> bool {
        self.items.iter().all(|item| item.done || item.trouble.is_some())
    }

    /// Keeps what is known of the DHT for the next run. That it is not costs a few seconds then.
    fn remember_dht(&mut self) {
        let state = self.driver.engine().dht_state().filter(|state| !state.nodes.is_empty());
        if let (Some(store), Some(dht), Some(state)) = (&self.store, &self.dht, state) {
            let kept = dht.keep(store, state);
            self.warnings.extend(kept.err().map(Warning::DhtNotKept));
        }
    }

    /// Stops tidily: keeps resume data, tells trackers and peers, at most for some seconds. Returns what the engine
    /// had to tell meanwhile, of which `each` is told at once.
    ///
    /// # Errors
    /// When the system cannot wait, or the trace could not be written whole.
    pub fn stop(
        &mut self,
        mut each: impl FnMut(&Self, &[Notice]),
    ) -> Result<Vec<Notice>, DriverError> {
        self.remember_dht();
        self.driver.command(Command::ShutDown);
        let end = Instant::now() + STOP_PATIENCE;
        let mut told = Vec::new();
        while Instant::now() < end {
            let notices = self
                .turn(Duration::from_millis(100))
                .map_err(|error| DriverError::System(error.into()))?;
            each(self, &notices);
            // Sockets get what was said last before they are closed.
            let stopped = notices.contains(&Notice::ShutDown);
            told.extend(notices);
            if stopped {
                break;
            }
        }
        self.driver.finish_recording()?;
        Ok(told)
    }
}

/// The file that an error is about.
fn file_of(error: TorrentError) -> Option<u32> {
    match error {
        TorrentError::Foreign(file) | TorrentError::TooLong(file) => Some(file),
        _ => None,
    }
}

/// Whether an error is that another torrent has a path.
fn is_taken(error: TorrentError) -> bool {
    error == TorrentError::Disk(DiskError::Taken)
}

/// A link on the way to a file, where that is what the system refuses to follow.
fn link_in_the_way(item: &Item, error: DiskError) -> Option<PathBuf> {
    let stored = item.files().iter().filter(|file| file.is_stored());
    let paths = stored.map(|file| file.path.as_slice());
    let links = (error == DiskError::InTheWay).then(|| links_on_the_way(&item.folder, paths))?;
    links.into_iter().next()
}

/// A folder from the root on.
fn whole(folder: &Path) -> PathBuf {
    match folder.is_absolute() {
        true => folder.to_owned(),
        false => std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
    }
}
