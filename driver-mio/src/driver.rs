//! The loop: gathers what happened, steps the engine, performs what it asks for.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::addr::normalise;
use eddyline::base::ids::{ConnId, SocketToken, UdpSocketId};
use eddyline::base::rng::Seed;
use eddyline::trace::Origin;
use eddyline::{
    Action, CloseKind, CloseMode, Command, Config, ConnectFailure, DiskOp, Engine, Event,
    HttpAction, Notice, StreamAction, StreamEvent, Wakeup,
};
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::buffers::Buffers;
use crate::clock::Clock;
use crate::disk::{Batch, DiskPool, DiskStats, Locations, PoolOptions};
use crate::dns::Dns;
use crate::http::Http;
use crate::listen::{ListenOptions, Listening, connect, listen};
use crate::mailbox::Mailbox;
use crate::multicast::join_groups;
use crate::recorder::TraceFile;
use crate::resume_store::ResumeStore;
use crate::stream::{ReadOutcome, Stream};

const WAKER: Token = Token(0);
/// The first of four UDP sockets.
const UDP: usize = 1;
const LISTENERS: usize = 8;
const FIRST_STREAM: usize = 64;
/// Datagrams taken from one socket in one turn; the rest is left to the kernel.
const MAX_DATAGRAMS: usize = 128;
/// Blocks of one piece that go to a worker together.
const MAX_BATCH: usize = 64;
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
    /// Where resume data is kept; `None` keeps none.
    pub store: Option<Arc<ResumeStore>>,
    /// What to listen on; `None` for nothing.
    pub listen: Option<ListenOptions>,
    /// Worker threads for disk and hashing.
    pub disk_threads: usize,
    /// Record the run into this file.
    pub record: Option<PathBuf>,
}

/// Why a driver cannot start.
#[derive(Debug)]
pub enum DriverError {
    /// No port to listen on.
    Listen(io::Error),
    /// The trace cannot be written.
    Record(PathBuf, io::Error),
    /// The system refuses something basic.
    System(io::Error),
}

impl std::fmt::Display for DriverError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listen(error) => write!(f, "cannot listen: {error}"),
            Self::Record(path, error) => {
                write!(f, "cannot record into {}: {error}", path.display())
            }
            Self::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for DriverError {}

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
    options: ListenOptions,
    listeners: Vec<TcpListener>,
    /// For trackers and the DHT, then for local discovery; IPv4 and IPv6 each.
    udp: [Option<UdpSocket>; 4],
    port: Option<u16>,
    /// By the slot of the connection's id.
    streams: Vec<Option<Stream>>,
    /// Accepted and not adopted.
    waiting: HashMap<SocketToken, TcpStream>,
    next_socket: u64,
    /// Connections to be looked at before the next poll: they may be readable or writable.
    hot: Vec<usize>,
    buffers: Buffers,
    events: Vec<Event>,
    actions: Vec<Action>,
    writes: Batch,
    notices: Vec<Notice>,
    wakeup: Wakeup,
}

impl Driver {
    /// Starts an engine with a seed from the system.
    ///
    /// # Errors
    /// When no port is free or the system refuses something basic.
    pub fn new(config: DriverConfig) -> Result<Self, DriverError> {
        let system = DriverError::System;
        let DriverConfig {
            engine: engine_config,
            locations,
            read_cache,
            store,
            listen: options,
            disk_threads,
            record,
        } = config;
        let poll = Poll::new().map_err(system)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(system)?;
        let mailbox = Mailbox::new(waker);
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| system(io::Error::other(error)))?;
        let clock = Clock::start();
        let http = Http::start(&mailbox, &engine_config.client);
        let (seed, began) = (Seed(seed), clock.now());
        let trace = record.map(|path| {
            let origin = Origin::New(Box::new((engine_config.clone(), seed, began)));
            TraceFile::create(&path, origin).map_err(|error| DriverError::Record(path, error))
        });
        let pool = PoolOptions {
            locations: locations.clone(),
            store,
            threads: disk_threads,
            open_files: open_files(),
            read_cache,
        };
        let mut driver = Self {
            locations,
            engine: Engine::new(engine_config, seed, began),
            trace: trace.transpose()?,
            clock,
            poll,
            ready: Events::with_capacity(1024),
            disk: DiskPool::start(pool, mailbox.clone()),
            dns: Dns::start(&mailbox),
            http,
            mailbox,
            options: options.clone().unwrap_or_default(),
            listeners: Vec::new(),
            udp: [None, None, None, None],
            port: None,
            streams: Vec::new(),
            waiting: HashMap::new(),
            next_socket: 0,
            hot: Vec::new(),
            buffers: Buffers::default(),
            events: Vec::new(),
            actions: Vec::new(),
            writes: Batch::new(),
            notices: Vec::new(),
            wakeup: Wakeup::Immediately,
        };
        if let Some(options) = options {
            let listening = listen(&options).map_err(DriverError::Listen)?;
            let local =
                if driver.engine.config().lsd { join_groups(&options) } else { [None, None] };
            driver.register(listening, local).map_err(system)?;
        }
        Ok(driver)
    }

    fn register(&mut self, listening: Listening, local: [Option<UdpSocket>; 2]) -> io::Result<()> {
        let registry = self.poll.registry();
        for (index, mut listener) in listening.tcp.into_iter().enumerate() {
            registry.register(&mut listener, Token(LISTENERS + index), Interest::READABLE)?;
            self.listeners.push(listener);
        }
        let [local4, local6] = local;
        self.udp = [listening.udp4, listening.udp6, local4, local6];
        for (index, socket) in self.udp.iter_mut().enumerate() {
            let token = Token(UDP + index);
            if let Some(socket) = socket {
                registry.register(socket, token, Interest::READABLE)?;
            }
        }
        self.port = Some(listening.port);
        let id = |index: usize| self.udp[index].is_some().then_some(UdpSocketId(index as u32));
        let (udp4, udp6, local4, local6) = (id(0), id(1), id(2), id(3));
        self.command(Command::ListenOn { port: self.port, udp4, udp6 });
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

    /// The places that data is kept in.
    #[must_use]
    pub fn locations(&self) -> &Locations {
        &self.locations
    }

    /// What the disk threads hold and have done.
    #[must_use]
    pub fn disk_stats(&self) -> DiskStats {
        self.disk.stats()
    }

    /// All bytes that are buffered anywhere between sockets and disk, and the most that there may be
    /// by the configuration: granted to sockets, on the way to the disk, on the way from it, and kept
    /// of what was read.
    #[must_use]
    pub fn buffered(&self) -> (u64, u64) {
        let (stats, reads) = (self.engine.stats(), self.disk.stats().reads);
        let now = stats.read_credit + stats.disk_intake + stats.send_budget + reads.held;
        (now, self.engine.config().memory_bound().total() + reads.limit)
    }

    /// Ends the recording, if there is one, and waits until it is written.
    ///
    /// # Errors
    /// When part of the trace could not be written.
    pub fn finish_recording(&mut self) -> Result<(), DriverError> {
        let Some(trace) = self.trace.take() else { return Ok(()) };
        let path = trace.path().to_owned();
        trace.finish().map_err(|error| DriverError::Record(path, error))
    }

    /// Gives the engine a command with the next turn.
    pub fn command(&mut self, command: Command) {
        self.events.push(Event::Command(command));
    }

    /// One turn: waits for something to happen, at most `patience`, and deals with it. Returns
    /// what the engine has to tell.
    ///
    /// # Errors
    /// When the poll itself fails.
    pub fn turn(&mut self, patience: Duration) -> io::Result<Vec<Notice>> {
        let busy = !self.events.is_empty() || !self.hot.is_empty();
        let wait = if busy { Duration::ZERO } else { self.until_wakeup().min(patience) };
        if let Some(trace) = self.trace.as_mut().filter(|_| wait >= LONG_WAIT) {
            trace.hand_over();
        }
        match self.poll.poll(&mut self.ready, Some(wait)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.ready.clear(),
            Err(error) => return Err(error),
        }
        self.gather();
        let (now, events) = (self.clock.now(), self.events.drain(..));
        self.wakeup = match &mut self.trace {
            None => self.engine.step(now, events, &mut self.actions),
            Some(trace) => trace.step(&mut self.engine, now, events, &mut self.actions),
        };
        self.perform();
        Ok(std::mem::take(&mut self.notices))
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

    /// Collects everything that happened as events.
    fn gather(&mut self) {
        let ready = std::mem::replace(&mut self.ready, Events::with_capacity(0));
        for event in &ready {
            match event.token() {
                WAKER => {}
                Token(token) if (UDP..UDP + 4).contains(&token) => {
                    self.receive_datagrams(token - UDP);
                }
                Token(token) if token < FIRST_STREAM => self.accept(token - LISTENERS),
                Token(token) => {
                    let slot = token - FIRST_STREAM;
                    if let Some(stream) = self.streams.get_mut(slot).and_then(Option::as_mut) {
                        stream.readable |= event.is_readable() || event.is_read_closed();
                        stream.readable |= event.is_error();
                        stream.writable |= event.is_writable() || event.is_error();
                        self.hot.push(slot);
                    }
                }
            }
        }
        self.ready = ready;
        self.mailbox.collect(&mut self.events);
        let mut hot = std::mem::take(&mut self.hot);
        hot.sort_unstable();
        hot.dedup();
        for slot in hot {
            self.serve(slot);
        }
    }

    /// Connects, writes and reads as far as a stream can.
    fn serve(&mut self, slot: usize) {
        let Some(stream) = self.streams.get_mut(slot).and_then(Option::as_mut) else { return };
        let conn = stream.conn;
        if !stream.connected && (stream.writable || stream.readable) {
            match finished_connecting(&stream.socket) {
                Some(Ok(())) => {
                    stream.connected = true;
                    let _ = stream.socket.set_nodelay(true);
                    self.events.push(Event::Stream(conn, StreamEvent::Connected));
                }
                Some(Err(failure)) => {
                    self.drop_stream(slot);
                    let event = StreamEvent::ConnectFailed(failure);
                    return self.events.push(Event::Stream(conn, event));
                }
                None => return,
            }
        }
        if !self.write(slot) {
            return;
        }
        let Some(stream) = self.streams.get_mut(slot).and_then(Option::as_mut) else { return };
        match stream.read(&mut self.buffers) {
            ReadOutcome::Bytes(bytes) => {
                if stream.readable && stream.credit > 0 {
                    self.hot.push(slot);
                }
                self.events.push(Event::Stream(conn, StreamEvent::Received(bytes)));
            }
            ReadOutcome::Nothing => {}
            ReadOutcome::End => self.closed(slot, CloseKind::Eof),
            ReadOutcome::Broken => self.closed(slot, CloseKind::Reset),
        }
    }

    /// Writes what is queued. Returns false when the stream is gone.
    fn write(&mut self, slot: usize) -> bool {
        let Some(stream) = self.streams.get_mut(slot).and_then(Option::as_mut) else {
            return false;
        };
        if stream.wants_write() {
            match stream.write() {
                Ok(0) => {}
                Ok(count) => {
                    self.events.push(Event::Stream(stream.conn, StreamEvent::Sent(count)));
                }
                Err(_) => {
                    self.closed(slot, CloseKind::Reset);
                    return false;
                }
            }
        }
        let done = stream.closing && stream.is_flushed();
        if done {
            self.drop_stream(slot);
        }
        !done
    }

    fn closed(&mut self, slot: usize, kind: CloseKind) {
        if let Some(stream) = self.drop_stream(slot)
            && !stream.closing
        {
            self.events.push(Event::Stream(stream.conn, StreamEvent::Closed(kind)));
        }
    }

    fn drop_stream(&mut self, slot: usize) -> Option<Stream> {
        let mut stream = self.streams.get_mut(slot)?.take()?;
        let _ = self.poll.registry().deregister(&mut stream.socket);
        Some(stream)
    }

    fn accept(&mut self, listener: usize) {
        loop {
            let Some(listener) = self.listeners.get(listener) else { return };
            match listener.accept() {
                Ok((socket, remote)) => {
                    let token = SocketToken(self.next_socket);
                    self.next_socket += 1;
                    self.waiting.insert(token, socket);
                    let remote = normalise(remote);
                    self.events.push(Event::Incoming { socket: token, remote });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Out of descriptors, or nobody there: the next readiness tries again.
                Err(_) => return,
            }
        }
    }

    fn receive_datagrams(&mut self, index: usize) {
        let mut packet = [0; 65_536];
        let Some(socket) = &self.udp[index] else { return };
        for _ in 0..MAX_DATAGRAMS {
            match socket.recv_from(&mut packet) {
                Ok((count, from)) => self.events.push(Event::Datagram {
                    socket: UdpSocketId(index as u32),
                    from: normalise(from),
                    data: Bytes::copy_from_slice(&packet[..count]),
                }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP error of an earlier packet; the next one may be good.
                Err(_) => {}
            }
        }
    }

    /// Performs what the engine asks for.
    fn perform(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Stream(conn, action) => self.stream(conn, action),
                Action::Refuse { socket } => drop(self.waiting.remove(&socket)),
                Action::SendDatagram { socket, to, data } => {
                    if let Some(Some(socket)) = self.udp.get(socket.0 as usize) {
                        let _ = socket.send_to(&data, to);
                    }
                }
                Action::Disk(id, op) => self.disk_op(id, op),
                Action::Resolve(id, name) => self.dns.resolve(id, name),
                Action::Http(id, HttpAction::Get(get)) => self.http.get(id, *get),
                Action::Notify(notice) => self.notices.push(notice),
            }
        }
        self.actions = actions;
        self.submit_writes();
    }

    /// Blocks of one piece that come together go to one worker together.
    fn disk_op(&mut self, id: eddyline::base::ids::DiskOpId, op: DiskOp) {
        let DiskOp::WriteBlock { piece, torrent, .. } = &op else {
            return self.disk.submit(vec![(id, op)]);
        };
        let same = self.writes.last().is_none_or(|(_, last)| {
            matches!(last, DiskOp::WriteBlock { piece: p, torrent: t, .. } if p == piece && t == torrent)
        });
        if !same || self.writes.len() >= MAX_BATCH {
            self.submit_writes();
        }
        self.writes.push((id, op));
    }

    fn submit_writes(&mut self) {
        if !self.writes.is_empty() {
            self.disk.submit(std::mem::take(&mut self.writes));
        }
    }

    fn stream(&mut self, conn: ConnId, action: StreamAction) {
        let slot = slot_of(conn);
        match action {
            StreamAction::Connect { remote } => return self.connect(conn, remote),
            StreamAction::Adopt { socket } => {
                if let Some(stream) = self.waiting.remove(&socket) {
                    let _ = stream.set_nodelay(true);
                    self.add_stream(conn, stream, true);
                }
                return;
            }
            StreamAction::Close(CloseMode::Now) => {
                // What the engine said last is worth an attempt: a choke, a reject, a goodbye.
                let ours = self.streams.get(slot).and_then(Option::as_ref);
                if ours.is_some_and(|stream| stream.conn == conn) {
                    if let Some(stream) = self.streams[slot].as_mut() {
                        let _ = stream.wants_write().then(|| stream.write());
                    }
                    self.drop_stream(slot);
                }
                return;
            }
            _ => {}
        }
        let stream = self.streams.get_mut(slot).and_then(Option::as_mut);
        let Some(stream) = stream.filter(|stream| stream.conn == conn) else { return };
        match action {
            StreamAction::GrantRead(count) => stream.credit += count,
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => stream.send(bytes),
            StreamAction::Close(_) => stream.closing = true,
            StreamAction::Connect { .. } | StreamAction::Adopt { .. } => {}
        }
        let readable = stream.readable && stream.credit > 0;
        if readable || stream.wants_write() || stream.closing {
            self.hot.push(slot);
        }
    }

    fn connect(&mut self, conn: ConnId, remote: SocketAddr) {
        match connect(remote, &self.options) {
            Ok(socket) => self.add_stream(conn, socket, false),
            Err(error) => {
                let failure = match error.kind() {
                    io::ErrorKind::ConnectionRefused => ConnectFailure::Refused,
                    _ => ConnectFailure::Unreachable,
                };
                self.events.push(Event::Stream(conn, StreamEvent::ConnectFailed(failure)));
            }
        }
    }

    fn add_stream(&mut self, conn: ConnId, mut socket: TcpStream, connected: bool) {
        let slot = slot_of(conn);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(FIRST_STREAM + slot);
        if self.poll.registry().register(&mut socket, token, interest).is_err() {
            let event = if connected {
                StreamEvent::Closed(CloseKind::Reset)
            } else {
                StreamEvent::ConnectFailed(ConnectFailure::Unreachable)
            };
            return self.events.push(Event::Stream(conn, event));
        }
        if self.streams.len() <= slot {
            self.streams.resize_with(slot + 1, || None);
        }
        self.streams[slot] = Some(Stream::new(conn, socket, connected));
    }
}

/// The dense part of a connection's id.
fn slot_of(conn: ConnId) -> usize {
    (conn.as_u64() & 0xffff_ffff) as usize
}

/// Whether a connection attempt has ended, and how.
fn finished_connecting(socket: &TcpStream) -> Option<Result<(), ConnectFailure>> {
    match socket.take_error() {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => {
            return Some(Err(match error.kind() {
                io::ErrorKind::ConnectionRefused => ConnectFailure::Refused,
                io::ErrorKind::TimedOut => ConnectFailure::TimedOut,
                _ => ConnectFailure::Unreachable,
            }));
        }
    }
    match socket.peer_addr() {
        Ok(_) => Some(Ok(())),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
        Err(_) => Some(Err(ConnectFailure::Unreachable)),
    }
}

/// How many files may be open: half of what the system allows, the rest being for sockets.
fn open_files() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.unwrap_or(4096);
    usize::try_from(limit / 2).unwrap_or(2048).clamp(16, 4096)
}
