//! The loop: gathers what happened, steps the engine, performs what it asks for.

mod collect;
mod perform;
mod reads;
mod relay;
mod tunnel;
mod uplink;
mod utp;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline::base::ids::{SocketToken, TorrentId, UdpSocketId};
use eddyline::filter::Filter;
use eddyline::trace::Origin;
use eddyline::{
    Action, Command, Config, Engine, Event, Fault, Notice, Tag, Transport, Transports, Wakeup,
};
use eddyline_disk::mailbox::Mailbox;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_disk::{
    Batch, DiskPool, DiskStats, Gather, Locations, PoolOptions, Refusal, SystemError,
};
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::buffers::Buffers;
use crate::clock::Clock;
use crate::datagrams::{DatagramStats, Datagrams};
use crate::dns::{Dns, Names};
use crate::http::Http;
use crate::listen::{ListenOptions, Listening, listen};
use crate::multicast::join_groups;
use crate::network::NetworkPolicy;
use crate::platform::most_open_files;
use crate::proxy::Traffic;
use crate::recorder::{RecordTo, TraceFile};
use crate::services::random_seed;
use crate::stream::Stream;
use crate::utp_stream::UtpStream;
use reads::Reads;
use tunnel::Tunnels;
use uplink::Uplink;

const WAKER: Token = Token(0);
/// The first of the UDP sockets.
const UDP: usize = 1;
/// Of those the first for local discovery, and the one that leads to a proxy.
const LOCAL: usize = 2;
const RELAY: usize = 4;
const LISTENERS: usize = 8;
/// The TCP connection of an association with a proxy.
const RELAY_CONTROL: usize = 32;
const FIRST_STREAM: usize = 64;
/// How long bytes of a file get to come into memory before they are looked for again.
const COLD_WAIT: Duration = Duration::from_millis(2);
/// A sleep so short that disk threads need not end it: turns of a rate limit are no longer.
const SOON: Duration = Duration::from_millis(110);
/// A wait before which a trace is brought up to date.
const LONG_WAIT: Duration = Duration::from_millis(20);

/// What a driver needs to know.
#[derive(Debug)]
pub struct DriverConfig {
    /// Configuration of the engine.
    pub engine: Config,
    /// Where torrents lie; torrents that name no other place are at location 0.
    pub locations: Locations,
    /// Most bytes kept in memory of what was read for peers.
    pub read_cache: u64,
    /// Most bytes kept in memory of what was written and is not hashed yet: sixteen pieces of one
    /// torrent are hashed at once where the processor can, and need not be read back.
    pub unhashed: u64,
    /// Where resume data is kept; `None` keeps none.
    pub store: Option<Arc<ResumeStore>>,
    /// What to listen on; `None` for nothing.
    pub listen: Option<ListenOptions>,
    /// Worker threads for disk and hashing.
    pub disk_threads: usize,
    /// Record the run there.
    pub record: Option<RecordTo>,
    /// Make files executable where their torrent says so.
    pub keep_executable: bool,
}

/// Why a driver cannot start.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// No port to listen on.
    #[error("cannot listen: {0}")]
    Listen(SystemError),
    /// The trace cannot be written.
    #[error("cannot record into {path}: {1}", path = .0.display())]
    Record(PathBuf, SystemError),
    /// The system refuses something basic.
    #[error("cannot start: {0}")]
    System(SystemError),
}

impl DriverError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Machine
    }
}

/// An engine on real sockets and files.
#[derive(Debug)]
pub struct Driver {
    engine: Engine,
    trace: Option<TraceFile>,
    clock: Clock,
    poll: Poll,
    ready: Events,
    mailbox: Mailbox,
    disk: DiskPool,
    locations: Locations,
    dns: Dns,
    http: Http,
    policy: NetworkPolicy,
    /// What is watched where not everything may be used.
    uplink: Option<Uplink>,
    listeners: Vec<TcpListener>,
    /// For trackers and the DHT, then for local discovery; IPv4 and IPv6 each. The last leads to a proxy.
    udp: [Option<Datagrams>; 5],
    tunnels: Tunnels,
    port: Option<u16>,
    /// By the slot of the connection's id.
    streams: Vec<Option<Stream>>,
    /// Those over µTP, by the same slots.
    utp: Vec<Option<UtpStream>>,
    /// Slots of those to which something happened in this turn; some more than once.
    utp_busy: Vec<usize>,
    /// Accepted and not adopted.
    waiting: HashMap<SocketToken, TcpStream>,
    next_socket: u64,
    /// Listeners and datagram sockets, by token, at which something may wait.
    pending: BTreeSet<usize>,
    /// Nobody is accepted until then, for want of descriptors.
    accept_rest: Option<Instant>,
    /// Connections to be looked at before the next poll: they may be readable or writable.
    hot: Vec<usize>,
    buffers: Buffers,
    /// For datagrams.
    messages: Buffers,
    received: Vec<Bytes>,
    events: Vec<Event>,
    /// That of the last command.
    last_tag: Tag,
    actions: Vec<Action>,
    blocks: Gather,
    /// Blocks to be written at the end of this turn.
    writes: Vec<Batch>,
    /// When pieces that wait to be hashed have waited long enough.
    hash_due: Option<Instant>,
    reads: Reads,
    /// Streams whose next bytes are not in memory at the moment.
    cold: Vec<usize>,
    notices: Vec<Notice>,
    wakeup: Wakeup,
}

impl Driver {
    /// Starts an engine with a seed from the system.
    ///
    /// # Errors
    /// When no port is free or the system refuses something basic.
    pub fn new(config: DriverConfig) -> Result<Self, DriverError> {
        let system = |error: io::Error| DriverError::System(error.into());
        let DriverConfig {
            engine: mut engine_config,
            locations,
            read_cache,
            unhashed,
            store,
            listen: options,
            disk_threads,
            record,
            keep_executable,
        } = config;
        let (poll, clock) = (Poll::new().map_err(system)?, Clock::start());
        let mailbox = mailbox_of(Waker::new(poll.registry(), WAKER).map_err(system)?);
        let (policy, names) = network(options.as_ref(), &mut engine_config);
        let (seed, began) = (random_seed().map_err(system)?, clock.now());
        let origin = || Origin::New(Box::new((engine_config.clone(), seed, began)));
        let trace = record.map(|to| trace(to, origin())).transpose()?;
        let pool = PoolOptions {
            locations: locations.clone(),
            store,
            threads: disk_threads,
            hash_jobs: engine_config.hash_jobs as usize,
            open_files: open_files(),
            read_cache,
            unhashed,
            keep_executable,
        };
        let driver = Self {
            tunnels: Tunnels::new(policy.any_gate()),
            http: Http::start(&mailbox, &engine_config.client, names.clone()),
            locations,
            blocks: Gather::new(u64::from(engine_config.disk_intake) / 4),
            engine: Engine::new(engine_config, seed, began),
            trace,
            clock,
            poll,
            ready: Events::with_capacity(1024),
            disk: DiskPool::start(pool, mailbox.clone()),
            dns: Dns::start(&mailbox, names),
            mailbox,
            uplink: None,
            policy,
            listeners: Vec::new(),
            udp: [const { None }; 5],
            port: None,
            streams: Vec::new(),
            utp: Vec::new(),
            utp_busy: Vec::new(),
            waiting: HashMap::new(),
            next_socket: 0,
            pending: BTreeSet::new(),
            accept_rest: None,
            hot: Vec::new(),
            buffers: Buffers::default(),
            messages: Buffers::for_messages(),
            received: Vec::new(),
            events: Vec::new(),
            last_tag: Tag::NONE,
            actions: Vec::new(),
            writes: Vec::new(),
            hash_due: None,
            reads: Reads::default(),
            cold: Vec::new(),
            notices: Vec::new(),
            wakeup: Wakeup::Immediately,
        };
        driver.listening(options)
    }

    /// With its ports open, where there are any to open.
    fn listening(mut self, options: Option<ListenOptions>) -> Result<Self, DriverError> {
        let Some(options) = options else { return Ok(self) };
        let filter = options.filter.get();
        if !filter.is_empty() {
            self.command(Command::SetFilter(filter));
        }
        let standing = self.policy.look();
        // An interface may have its address later; one that nobody has is a mistake.
        let later =
            standing.as_ref().is_some_and(|now| !now.is_open() && options.interface.is_some());
        if !later {
            self.open_ports(&options)?;
        }
        self.uplink = standing.map(|standing| Uplink::new(options, standing, !later));
        Ok(self)
    }

    fn open_ports(&mut self, options: &ListenOptions) -> Result<(), DriverError> {
        if self.policy.hides_peers() {
            return self.open_without_peers().map_err(|error| DriverError::Listen(error.into()));
        }
        let listening = listen(options).map_err(|error| DriverError::Listen(error.into()))?;
        let lsd = self.engine.config().lsd;
        let local = if lsd { join_groups(&self.policy) } else { [None, None] };
        self.register(listening, local).map_err(|error| DriverError::System(error.into()))
    }

    /// Where peers are reached through a proxy nothing is listened on: who came that way would see our address. UDP
    /// trackers that are asked directly are asked from sockets of their own.
    fn open_without_peers(&mut self) -> io::Result<()> {
        if self.policy.gate(Traffic::Trackers).is_none() {
            for (index, ip) in self.policy.listening_addresses().into_iter().enumerate() {
                let any = SocketAddr::new(ip, 0);
                let index = if ip.is_ipv6() { 1 } else { index };
                // A machine without IPv6 is no error.
                let Ok(socket) = self.policy.datagrams_to(any, 0) else { continue };
                let mut socket = Datagrams::new(UdpSocket::from_std(socket))?;
                socket.register(self.poll.registry(), Token(UDP + index))?;
                self.udp[index] = Some(socket);
            }
        }
        self.tell_of_ports();
        Ok(())
    }

    fn register(&mut self, listening: Listening, local: [Option<UdpSocket>; 2]) -> io::Result<()> {
        let registry = self.poll.registry();
        // Who is not let in over TCP is to learn it at once. The port is not kept from others then.
        let transports = self.engine.config().transports;
        let heard = listening.tcp.into_iter().filter(|_| transports.include(Transport::Tcp));
        for (index, mut listener) in heard.enumerate() {
            registry.register(&mut listener, Token(LISTENERS + index), Interest::READABLE)?;
            self.listeners.push(listener);
        }
        let [local4, local6] = local;
        let sockets = [listening.udp4, listening.udp6, local4, local6];
        for (index, (ours, socket)) in self.udp.iter_mut().zip(sockets).enumerate() {
            let Some(socket) = socket else { continue };
            ours.insert(Datagrams::new(socket)?).register(registry, Token(UDP + index))?;
        }
        self.port = Some(listening.port);
        self.tell_of_ports();
        let id = |index: usize| self.udp[index].is_some().then_some(UdpSocketId(index as u32));
        let (local4, local6) = (id(LOCAL), id(LOCAL + 1));
        self.command(Command::ListenLocally { udp4: local4, udp6: local6 });
        Ok(())
    }

    /// The port that peers can reach.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The engine, to look at.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How names are looked up, by the rules of what is listened on.
    #[must_use]
    pub fn names(&self) -> &Names {
        self.dns.names()
    }

    /// Where other threads leave events for the engine. To wake it ends the wait of [`Self::turn`].
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The places that data is kept in.
    #[must_use]
    pub fn locations(&self) -> &Locations {
        &self.locations
    }

    /// What the system said when an operation of a torrent failed last, with the file where it is known:
    /// more than a [`DiskError`](eddyline::DiskError) tells.
    #[must_use]
    pub fn disk_refusal(&self, torrent: TorrentId) -> Option<Refusal> {
        self.disk.refusal(torrent)
    }

    /// Why resume data is not kept, with the file, while the state folder cannot be written.
    #[must_use]
    pub fn unkept(&self) -> Option<String> {
        self.disk.unkept()
    }

    /// Bytes of a torrent that a move in progress has brought to the other place, and all of them.
    #[must_use]
    pub fn move_progress(&self, torrent: TorrentId) -> Option<(u64, u64)> {
        self.disk.move_progress(torrent)
    }

    /// Why the files of a torrent could not be had, where another torrent has them.
    #[must_use]
    pub fn taken(&self, info_hash: eddyline::base::hash::Sha1Hash) -> Option<String> {
        self.disk.taken(info_hash)
    }

    /// What the disk threads hold and have done.
    #[must_use]
    pub fn disk_stats(&self) -> DiskStats {
        self.disk.stats()
    }

    /// What the sockets for datagrams have done: that of IPv4, that of IPv6, and those of local discovery.
    pub fn datagram_stats(&self) -> impl Iterator<Item = DatagramStats> + '_ {
        self.udp.iter().flatten().map(Datagrams::stats)
    }

    /// All bytes that are buffered anywhere between sockets and disk, and the most that there may be
    /// by the configuration: granted to sockets, on the way to the disk, on the way from it, and kept
    /// of what was read.
    #[must_use]
    pub fn buffered(&self) -> (u64, u64) {
        let (stats, disk) = (self.engine.stats(), self.disk.stats());
        let sending = stats.send_budget + stats.unread;
        let now = stats.read_credit + stats.disk_intake + stats.assembling + sending;
        let most = self.engine.config().memory_bound(1, 0).in_flight();
        (now + disk.reads.held + disk.unhashed.0, most + disk.reads.limit + disk.unhashed.1)
    }

    /// Ends the recording, if there is one, and waits until it is written.
    ///
    /// # Errors
    /// When part of the trace could not be written.
    pub fn finish_recording(&mut self) -> Result<(), DriverError> {
        let Some(trace) = self.trace.take() else { return Ok(()) };
        let path = trace.path().to_owned();
        trace.finish().map_err(|error| DriverError::Record(path, error.into()))
    }

    /// Gives the engine a command with the next turn. Notices that answer it carry the tag that is
    /// returned.
    pub fn command(&mut self, command: impl Into<Command>) -> Tag {
        let command = command.into();
        if matches!(command, Command::ShutDown) {
            // Nothing waits for what would have come later.
            self.blocks.hurry(Instant::now());
            self.disk.hurry();
            self.hash_due = None;
        }
        self.last_tag = Tag(self.last_tag.0 + 1);
        self.events.push(Event::Command(self.last_tag, command));
        self.last_tag
    }

    /// Blocks other addresses than before: for the engine, for names that lead there, and for who connects.
    pub fn set_filter(&mut self, filter: Arc<Filter>) -> Tag {
        self.policy.filter().set(filter.clone());
        self.command(Command::SetFilter(filter))
    }

    /// One turn: waits for something to happen, at most `patience`, and deals with it. Returns
    /// what the engine has to tell.
    ///
    /// # Errors
    /// When the poll itself fails.
    pub fn turn(&mut self, patience: Duration) -> io::Result<Vec<Notice>> {
        let busy = !self.events.is_empty() || !self.hot.is_empty() || self.has_pending();
        let wait = if busy { Duration::ZERO } else { self.until_wakeup().min(patience) };
        let wait = self.unless_work(wait).min(self.until_accept()).min(self.until_look());
        let wait = wait.min(self.until_relay());
        let wait = if self.cold.is_empty() { wait } else { wait.min(COLD_WAIT) };
        let wait = self.unless_left(wait);
        if let Some(trace) = self.trace.as_mut().filter(|_| wait >= LONG_WAIT) {
            trace.hand_over();
        }
        match self.poll.poll(&mut self.ready, Some(wait)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.ready.clear(),
            Err(error) => return Err(error),
        }
        if self.ready.is_empty() {
            self.buffers.idle(wait);
            self.messages.idle(wait);
        }
        self.collect_events();
        self.look_at_network();
        let (now, events) = (self.clock.now(), self.events.drain(..));
        self.wakeup = match &mut self.trace {
            None => self.engine.step(now, events, &mut self.actions),
            Some(trace) => trace.step(&mut self.engine, now, events, &mut self.actions),
        };
        self.perform();
        Ok(std::mem::take(&mut self.notices))
    }

    /// How long to sleep, where blocks to be written and pieces to be hashed wait for others until then or
    /// longer. They have waited patiently, so a loop that wakes soon need not wake for them before.
    fn unless_work(&self, wait: Duration) -> Duration {
        if wait <= SOON {
            return wait;
        }
        let due = self.blocks.due().into_iter().chain(self.hash_due).min();
        due.map_or(wait, |due| wait.min(due.saturating_duration_since(Instant::now())))
    }

    /// How long to sleep, if disk threads have left nothing.
    fn unless_left(&self, wait: Duration) -> Duration {
        let much = self.engine.disk_intake() >= u64::from(self.engine.config().disk_intake) / 2;
        let soon = sleeps_through(wait, much, self.engine.has_pieces_waiting_for_hashes());
        let left = self.mailbox.before_sleep(soon);
        if left && !soon { Duration::ZERO } else { wait }
    }

    fn until_wakeup(&self) -> Duration {
        match self.wakeup {
            Wakeup::Immediately => Duration::ZERO,
            Wakeup::OnEvent => Duration::MAX,
            // The poll counts whole milliseconds; one more never spins.
            Wakeup::At { deadline, .. } => {
                deadline.since(self.clock.now()) + Duration::from_millis(1)
            }
        }
    }
}

/// Whether the end of writes and hashes need not end a sleep. A short one is not worth it, unless the disk has
/// `much` to do, or more `pieces_wait` to be hashed than are at a time: those would get on by as many in each sleep.
fn sleeps_through(wait: Duration, much: bool, pieces_wait: bool) -> bool {
    wait <= SOON && !much && !pieces_wait
}

/// A trace that begins.
fn trace(to: RecordTo, origin: Origin) -> Result<TraceFile, DriverError> {
    TraceFile::create(&to, origin).map_err(|error| DriverError::Record(to.path, error.into()))
}

/// A mailbox that wakes the poll.
fn mailbox_of(waker: Waker) -> Mailbox {
    // A loop that cannot be woken still wakes for its timers.
    Mailbox::new(move || drop(waker.wake()))
}

/// What of the network may be used; the engine asks for nothing that would be refused.
fn network(options: Option<&ListenOptions>, config: &mut Config) -> (NetworkPolicy, Names) {
    let policy = options.map(ListenOptions::policy).unwrap_or_default();
    config.anonymous |= policy.is_anonymous();
    config.lsd &= !config.anonymous;
    if let Some(gate) = policy.gate(Traffic::Peers) {
        // Neighbours would be told our address, and by which of its addresses a proxy goes on is not ours to say.
        config.lsd = false;
        if !gate.proxy.carries_datagrams() {
            config.dht = false;
            config.transports = Transports::Tcp;
        }
    } else {
        config.ipv4 &= policy.allows(false);
        config.ipv6 &= policy.allows(true);
    }
    let names = Names::new(policy.clone());
    (policy, names)
}

/// How many files may be open: half of what the system allows, the rest being for sockets.
fn open_files() -> usize {
    usize::try_from(most_open_files() / 2).unwrap_or(2048).clamp(16, 4096)
}

#[cfg(test)]
mod tests {
    //! Unit tests of what ends a sleep.

    use super::*;

    #[test]
    fn only_a_short_sleep_goes_on_when_disk_threads_are_done_and_not_while_pieces_wait_for_them() {
        assert!(sleeps_through(SOON, false, false));
        assert!(!sleeps_through(SOON, true, false));
        assert!(!sleeps_through(SOON, false, true));
        assert!(!sleeps_through(SOON + Duration::from_millis(1), false, false));
    }
}
