//! A client: the loop on a thread of its own, and handles to it that any thread or task may hold.

use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use eddyline::metainfo::{Magnet, Source};
use eddyline::{Command, Config, Fault, RateLimits};
use eddyline_disk::SystemError;
use eddyline_disk::mailbox::Mailbox;
use eddyline_disk::resume_store::{RUNNING, ResumeStore, StoreError};
use eddyline_mio::DriverError;
use eddyline_mio::dns::Names;
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::recorder::RecordTo;

use crate::events::{Events, Listeners};
use crate::handle::Torrent;
use crate::item::AddOptions;
use crate::kept::KeptSet;
use crate::reply::{Reply, promise};
use crate::session::{Session, resolve};
use crate::setup::{Setup, engine_config};
use crate::snapshot::Snapshot;
use crate::trouble::{AddError, Trouble};
use crate::worker::{Request, Worker};

/// Why a client cannot do what it is asked for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It has stopped.
    #[error("the client has stopped")]
    Stopped,
    /// The torrent is not in it any more.
    #[error("the torrent was removed")]
    Removed,
    /// The torrent was not taken.
    #[error(transparent)]
    Add(AddError),
    /// The torrent stands still.
    #[error(transparent)]
    Trouble(Trouble),
    /// The state folder cannot be used.
    #[error(transparent)]
    Store(StoreError),
    /// The set of torrents cannot be read or changed.
    #[error("the set of torrents cannot be kept: {0}")]
    Set(SystemError),
    /// The driver cannot start, or has ended.
    #[error(transparent)]
    Driver(DriverError),
}

impl Error {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Stopped | Self::Removed => Fault::Caller,
            Self::Add(error) => error.fault(),
            Self::Trouble(trouble) => trouble.fault(),
            Self::Store(error) => error.fault(),
            Self::Set(_) => Fault::Machine,
            Self::Driver(error) => error.fault(),
        }
    }
}

/// How a client is made. Everything has a usual value.
#[derive(Debug)]
pub struct ClientBuilder {
    name: &'static str,
    folder: PathBuf,
    state: Option<PathBuf>,
    keeps_set: bool,
    listen: Option<ListenOptions>,
    engine: Config,
    limits: RateLimits,
    record: Option<RecordTo>,
}

impl ClientBuilder {
    /// Where the data of torrents is; the folder that the program was started in unless given.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// The folder for what one run tells the next of data: what is verified, and nodes of the DHT. Torrents are not
    /// kept: the embedder adds them again. Several clients and programs may share it. Without one, data that is there
    /// is checked when its torrent is added.
    #[must_use]
    pub fn resume_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        (self.state, self.keeps_set) = (Some(folder.into()), false);
        self
    }

    /// The same folder for a client that also keeps its torrents: those of the last run are there when it is built,
    /// each with its folder, limits and choice of files, and paused where it was. It is the set that
    /// `eddyline session` has in this folder, and belongs to one client or program at a time; goals of seeding are
    /// that program's business, and a magnet for which files were chosen in words there waits for
    /// [`Torrent::select`] and [`Torrent::resume`].
    /// Priorities other than to skip a file, and how files are made, are not kept.
    ///
    /// A torrent that cannot be brought back stays in the set, and [`Session::take_warnings`] tells why.
    #[must_use]
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        (self.state, self.keeps_set) = (Some(folder.into()), true);
        self
    }

    /// What to listen on, what of the network is used at all, and through which proxies; port 6881 or one behind it,
    /// and no proxy, unless given. `None` for nothing to listen on.
    #[must_use]
    pub fn listen(mut self, listen: Option<ListenOptions>) -> Self {
        self.listen = listen;
        self
    }

    /// The engine's configuration; best made of [`engine_config`]. Torrents do not go to standby, whatever
    /// [`Config::rest_after`] says.
    #[must_use]
    pub fn engine(mut self, config: Config) -> Self {
        self.engine = config;
        self
    }

    /// Limits on everything, in bytes per second.
    #[must_use]
    pub fn limits(mut self, limits: RateLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Records everything that happens, for `eddyline replay`.
    #[must_use]
    pub fn record(mut self, to: RecordTo) -> Self {
        self.record = Some(to);
        self
    }

    /// What other processes are told that find one of the torrents locked; `client` unless given. A client that keeps
    /// its torrents is what runs the session, and is called so.
    #[must_use]
    pub fn name(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Starts the client.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Set`] and [`Error::Driver`]: the state folder cannot be made, or somebody else has
    /// its set of torrents; there is no port to listen on, or the system refuses something basic.
    pub fn build(self) -> Result<Client, Error> {
        let store = self.state.map(|folder| ResumeStore::open(&folder)).transpose();
        let store = store.map_err(Error::Store)?.map(Arc::new);
        let kept = store.as_deref().filter(|_| self.keeps_set).map(KeptSet::open).transpose()?;
        let setup = Setup {
            command: if kept.is_some() { RUNNING } else { self.name },
            folder: self.folder,
            store,
            listen: self.listen,
            // What rests is not among the items, and nobody would bring it back.
            engine: Config { rest_after: None, ..self.engine },
            limits: self.limits,
            record: self.record,
            keep_executable: false,
        };
        let mut session = Session::start(setup).map_err(Error::Driver)?;
        if let Some(kept) = &kept {
            kept.begin_all(&mut session);
        }
        Client::start(session, kept).map_err(Error::Driver)
    }
}

/// What all handles share. When the last of them is dropped, the client stops.
#[derive(Debug)]
pub(crate) struct Shared {
    requests: Sender<Request>,
    mailbox: Mailbox,
    listeners: Arc<Listeners>,
    pub(crate) names: Names,
    port: Option<u16>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Shared {
    /// Gives the loop something to do. Where it has stopped, that is dropped.
    pub(crate) fn ask(&self, request: impl FnOnce(&mut Worker) + Send + 'static) {
        // Promises inside tell that the loop has stopped when they are dropped.
        let _ = self.requests.send(Request(Box::new(request)));
        self.mailbox.wake();
    }
}

impl Drop for Shared {
    /// The loop stops tidily, and is not waited for.
    fn drop(&mut self) {
        self.ask(|worker| worker.stop(None));
    }
}

/// A BitTorrent client. It can be cloned and shared; all clones are one client, which stops tidily when the last
/// of them, and the last [`Torrent`], is dropped. A program that ends then at once leaves it no time for that:
/// [`Self::stop`] is what waits.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("port", &self.0.port).finish_non_exhaustive()
    }
}

impl Client {
    /// A client to be made, with everything as is usual.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            name: "client",
            folder: ".".into(),
            state: None,
            keeps_set: false,
            listen: Some(ListenOptions::default()),
            engine: engine_config(),
            limits: RateLimits::default(),
            record: None,
        }
    }

    /// Runs a session on a thread of its own.
    fn start(session: Session, kept: Option<KeptSet>) -> Result<Self, DriverError> {
        let (requests, inbox) = mpsc::channel();
        let listeners = Arc::new(Listeners::default());
        let (mailbox, names) = (session.driver.mailbox().clone(), session.names().clone());
        let port = session.driver.port();
        let worker = Worker::new(session, kept, inbox, listeners.clone());
        let thread = std::thread::Builder::new().name("eddyline".into());
        let thread = thread
            .spawn(move || worker.run())
            .map_err(|error| DriverError::System(error.into()))?;
        let thread = Mutex::new(Some(thread));
        Ok(Self(Arc::new(Shared { requests, mailbox, listeners, names, port, thread })))
    }

    /// The port that peers can reach.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.0.port
    }

    /// Adds a torrent, with every option at its usual value.
    pub fn add(&self, source: impl Into<Source>) -> Reply<Torrent> {
        self.add_with(source, AddOptions::default())
    }

    /// Adds a torrent. One that is there already is that one. The answer comes when the engine has it, or has refused
    /// it.
    pub fn add_with(&self, source: impl Into<Source>, options: AddOptions) -> Reply<Torrent> {
        let mut source = source.into();
        let mut named = match &mut source {
            Source::Magnet(magnet) => later(Arc::make_mut(magnet)),
            Source::Torrent(_) => Vec::new(),
        };
        let (promise, reply) = promise();
        // A handle here would keep the client from being stopped by its last one.
        let shared = Arc::downgrade(&self.0);
        self.0.ask(move |worker| match worker.add(source, options, &named) {
            Err(error) => promise.keep(Err(error)),
            Ok(hash) => worker.watch(promise, move |session| {
                let Some(item) = session.item_by_hash(hash) else {
                    return Some(Err(Error::Removed));
                };
                if let (None, Some(trouble)) = (item.id, &item.trouble) {
                    return Some(Err(Error::Trouble(trouble.clone())));
                }
                item.id?;
                let Some(shared) = shared.upgrade() else { return Some(Err(Error::Stopped)) };
                let torrent = Torrent::new(hash, shared);
                look_up(std::mem::take(&mut named), &torrent);
                Some(Ok(torrent))
            }),
        });
        reply
    }

    /// Handles to all torrents.
    pub fn torrents(&self) -> Reply<Vec<Torrent>> {
        let shared = Arc::downgrade(&self.0);
        self.with(move |session| {
            let Some(shared) = shared.upgrade() else { return Vec::new() };
            let items = session.items().iter();
            items.map(|item| Torrent::new(item.hash(), shared.clone())).collect()
        })
    }

    /// How all torrents are now.
    pub fn snapshot(&self) -> Reply<Snapshot> {
        self.with(|session| Snapshot::of(session))
    }

    /// Changes limits on everything, in bytes per second.
    pub fn set_limits(&self, limits: RateLimits) -> Reply<()> {
        self.with(move |session| {
            session.driver.command(Command::SetLimits(limits));
        })
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.0.listeners.add()
    }

    /// Does something with the session, between two turns of its loop: for what has no method here. Who takes long
    /// holds up all torrents; who panics ends the loop, and from then on everything is answered with
    /// [`Error::Stopped`].
    pub fn with<T: Send + 'static>(
        &self,
        does: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Reply<T> {
        let (promise, reply) = promise();
        self.0.ask(move |worker| promise.keep(Ok(does(&mut worker.session))));
        reply
    }

    /// Stops tidily: resume data is kept, peers and trackers are told. That takes some seconds at most.
    pub fn stop(&self) -> Reply<()> {
        let (promise, reply) = promise();
        self.0.ask(move |worker| worker.stop(Some(promise)));
        reply
    }

    /// Waits for the thread of the loop to end, after [`Self::stop`].
    pub fn join(&self) {
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A loop that panicked has ended as well.
        thread.map(JoinHandle::join).and_then(Result::err).into_iter().for_each(drop);
    }
}

/// Takes the peers out of a magnet that have to be looked up by name, for which the loop does not wait.
fn later(magnet: &mut Magnet) -> Vec<String> {
    std::mem::take(&mut magnet.named_peers)
}

/// Looks up peers on a thread of its own. One that is named in passing may well be gone.
fn look_up(named: Vec<String>, torrent: &Torrent) {
    if named.is_empty() {
        return;
    }
    let torrent = torrent.clone();
    std::thread::spawn(move || {
        let found = named.iter().filter_map(|peer| resolve(peer, torrent.names()).ok());
        let peers = found.flatten().collect();
        drop(torrent.add_peers(peers));
    });
}
