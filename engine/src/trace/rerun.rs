//! Running part of a trace. When events are left out, the engine gives other ids to what remains,
//! so events name what they are about by how it came to be: the second connection to that address,
//! the first read of that block.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

use super::format::{Origin, TraceError};
use super::read::Trace;
use super::record::Recorder;
use crate::api::{Action, Command, DiskOp, Event, HttpAction, Notice, StreamAction, StreamEvent};
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, DiskOpId, ExchangeId, LookupId, TorrentId};
use crate::base::time::Instant;
use crate::engine::Engine;

/// What an event is about, by how it came to be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origination {
    /// The socket that the driver accepted under this number.
    Accepted(u64),
    /// A connection made to this address, and how many were before it.
    Dialled(SocketAddr, u32),
    /// A request to a web server for a file from this byte on, and how many were before it.
    Fetch(String, u64, u32),
    /// A disk operation: what it does, to which torrent and block, and how many were before it.
    Disk(u8, Sha1Hash, u32, u32, u32),
    /// A look-up of this name, and how many were before it.
    Lookup(String, u32),
    /// An exchange with this address, without its query, and how many were before it.
    Exchange(String, u32),
}

/// An event of a plan.
#[derive(Clone, Debug)]
pub struct PlannedEvent {
    /// As it was recorded.
    pub event: Event,
    /// What it is about, where that is something the engine named.
    pub about: Option<Origination>,
    /// The torrent that it concerns, where that is known.
    pub torrent: Option<Sha1Hash>,
}

/// A history to be run: that of a trace, or what has been left of it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How the engine comes to be.
    pub origin: Origin,
    /// Times and events.
    pub steps: Vec<(Instant, Vec<PlannedEvent>)>,
}

impl Plan {
    /// The whole history of a trace. `guard` runs each step and returns `false` where the engine
    /// breaks down, which ends the history.
    ///
    /// # Errors
    /// When the trace is damaged.
    pub fn of(
        trace: &Trace,
        guard: &mut dyn FnMut(&mut dyn FnMut()) -> bool,
    ) -> Result<Self, TraceError> {
        let origin = trace.header().origin.clone();
        let mut engine = origin.engine()?;
        let mut names = Names::default();
        let mut steps = Vec::new();
        let mut left = trace.most_kept();
        for number in 1..=trace.len() {
            let Some(step) = trace.step(number)? else { break };
            let brought = step.events.iter().map(content_of).sum();
            left = left.checked_sub(brought).ok_or(TraceError::TooMuch(number))?;
            let planned = step.events.iter().map(|event| names.plan(event.clone())).collect();
            steps.push((step.now, planned));
            let (mut actions, mut events) = (Vec::new(), step.events);
            let mut run = || {
                let _ = engine.step(step.now, core::mem::take(&mut events), &mut actions);
            };
            if !guard(&mut run) {
                break;
            }
            actions.iter().for_each(|action| names.learn(action));
        }
        Ok(Self { origin, steps })
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        self.steps.iter().map(|(_, events)| events.len()).sum()
    }

    /// The plan as a trace of its own. Where the engine breaks down, `guard` has to return
    /// `false`: it runs each step, and the last one is then recorded as one without an end.
    ///
    /// # Errors
    /// When the engine cannot begin.
    pub fn to_trace(
        &self,
        guard: &mut dyn FnMut(&mut dyn FnMut()) -> bool,
    ) -> Result<Vec<u8>, TraceError> {
        let mut recorder = Recorder::new(self.origin.clone());
        let mut rerun = Rerun::new(self)?;
        let mut more = true;
        while more {
            let mut step = || more = rerun.step_with(Some(&mut recorder)).is_some();
            if !guard(&mut step) {
                recorder.interrupted();
                break;
            }
        }
        Ok(recorder.take())
    }
}

/// Bytes that an event brings in and that may have been left out of its trace.
pub(super) fn content_of(event: &Event) -> u64 {
    match event {
        Event::Stream(_, StreamEvent::Received(bytes)) => bytes.len() as u64,
        _ => 0,
    }
}

/// The names of what the engine has asked for.
#[derive(Clone, Debug, Default)]
struct Names {
    conns: BTreeMap<ConnId, Origination>,
    ops: BTreeMap<DiskOpId, Origination>,
    lookups: BTreeMap<LookupId, Origination>,
    exchanges: BTreeMap<ExchangeId, Origination>,
    torrents: BTreeMap<TorrentId, Sha1Hash>,
    of_conn: BTreeMap<ConnId, Sha1Hash>,
    counts: BTreeMap<Origination, u32>,
}

impl Names {
    /// Gives something its name: `make` gets the number of its like before it.
    fn name(&mut self, make: impl Fn(u32) -> Origination) -> Origination {
        let count = self.counts.entry(make(0)).or_default();
        *count += 1;
        make(*count - 1)
    }

    fn learn(&mut self, action: &Action) {
        match action {
            Action::Stream(conn, StreamAction::Connect { remote }) => {
                let name = self.name(|n| Origination::Dialled(*remote, n));
                self.conns.insert(*conn, name);
            }
            Action::Stream(conn, StreamAction::Fetch(get)) => {
                let (base, first) = (get.url.split('?').next().unwrap_or_default(), get.first);
                let name = self.name(|n| Origination::Fetch(base.to_string(), first, n));
                self.conns.insert(*conn, name);
            }
            Action::Stream(conn, StreamAction::Adopt { socket }) => {
                self.conns.insert(*conn, Origination::Accepted(socket.0));
            }
            Action::Disk(op, what) => {
                let (kind, torrent, piece, begin) = place(what);
                let hash = match what {
                    DiskOp::Open { metainfo, .. } => Some(metainfo.info_hashes().wire()),
                    _ => self.torrents.get(&torrent).copied(),
                };
                let hash = hash.unwrap_or(Sha1Hash([0; 20]));
                let name = self.name(|n| Origination::Disk(kind, hash, piece, begin, n));
                self.ops.insert(*op, name);
            }
            Action::Resolve(lookup, host) => {
                let name = self.name(|n| Origination::Lookup(host.clone(), n));
                self.lookups.insert(*lookup, name);
            }
            Action::Http(exchange, HttpAction::Get(get)) => {
                let base = get.url.split('?').next().unwrap_or_default().to_string();
                let name = self.name(|n| Origination::Exchange(base.clone(), n));
                self.exchanges.insert(*exchange, name);
            }
            Action::Notify(Notice::TorrentAdded { torrent: id, info_hashes: hashes, .. }) => {
                self.torrents.insert(*id, hashes.wire());
            }
            Action::Notify(Notice::PeerConnected { torrent, conn, .. }) => {
                if let Some(hash) = self.torrents.get(torrent) {
                    self.of_conn.insert(*conn, *hash);
                }
            }
            _ => {}
        }
    }

    fn plan(&self, event: Event) -> PlannedEvent {
        let about = match &event {
            Event::Stream(conn, _) => self.conns.get(conn).cloned(),
            Event::Disk(op, _) => self.ops.get(op).cloned(),
            Event::Resolved(lookup, _) => self.lookups.get(lookup).cloned(),
            Event::Http(exchange, _) => self.exchanges.get(exchange).cloned(),
            Event::Command(..) | Event::Incoming { .. } | Event::Datagram { .. } => None,
        };
        let torrent = match (&event, &about) {
            (Event::Command(_, Command::Add(add)), _) => Some(add.source.info_hashes().wire()),
            (Event::Command(_, command), _) => {
                command.torrent().and_then(|id| self.torrents.get(&id).copied())
            }
            (Event::Stream(conn, _), _) => self.of_conn.get(conn).copied(),
            (_, Some(Origination::Disk(_, hash, ..))) => Some(*hash),
            _ => None,
        };
        PlannedEvent { event, about, torrent }
    }
}

/// What a disk operation does and where.
fn place(op: &DiskOp) -> (u8, TorrentId, u32, u32) {
    match op {
        DiskOp::Open { torrent, .. } => (0, *torrent, 0, 0),
        DiskOp::WriteBlock { torrent, piece, begin, .. } => (1, *torrent, *piece, *begin),
        DiskOp::ReadBlock { torrent, piece, begin, .. } => (2, *torrent, *piece, *begin),
        DiskOp::HashPiece { torrent, piece } => (3, *torrent, *piece, 0),
        DiskOp::HashBlocks { torrent, piece } => (4, *torrent, *piece, 0),
        DiskOp::Sync { torrent } => (5, *torrent, 0, 0),
        DiskOp::StoreResume { torrent, .. } => (6, *torrent, 0, 0),
        DiskOp::Close { torrent } => (7, *torrent, 0, 0),
        DiskOp::Select { torrent, .. } => (8, *torrent, 0, 0),
        DiskOp::Move { torrent, to } => (9, *torrent, to.0, 0),
        DiskOp::Discard { torrent, from } => (10, *torrent, from.0, 0),
        DiskOp::Rename { torrent, .. } => (11, *torrent, 0, 0),
        DiskOp::Delete { torrent, .. } => (12, *torrent, 0, 0),
        DiskOp::Trim { torrent, .. } => (13, *torrent, 0, 0),
    }
}

/// What is known of a connection of the run: how much may be delivered and reported.
#[derive(Clone, Debug, Default)]
struct Line {
    credit: u64,
    unsent: u64,
    waiting: VecDeque<Bytes>,
}

/// An engine on its way through a plan. It keeps the driver's contract, whatever was left out.
#[derive(Clone, Debug)]
pub struct Rerun<'a> {
    plan: &'a Plan,
    engine: Engine,
    at: usize,
    names: Names,
    live: BTreeMap<Origination, u64>,
    lines: BTreeMap<ConnId, Line>,
    actions: Vec<Action>,
}

impl<'a> Rerun<'a> {
    /// An engine before the first step of `plan`.
    ///
    /// # Errors
    /// When it cannot begin.
    pub fn new(plan: &'a Plan) -> Result<Self, TraceError> {
        Ok(Self {
            plan,
            engine: plan.origin.engine()?,
            at: 0,
            names: Names::default(),
            live: BTreeMap::new(),
            lines: BTreeMap::new(),
            actions: Vec::new(),
        })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What it asked for in the last step.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Makes the next step; `None` at the end of the plan.
    pub fn step(&mut self) -> Option<Instant> {
        self.step_with(None)
    }

    fn step_with(&mut self, recorder: Option<&mut Recorder>) -> Option<Instant> {
        let (now, planned) = self.plan.steps.get(self.at)?;
        self.at += 1;
        let mut events = self.overdue();
        for planned in planned {
            if let Some(event) = self.translate(planned) {
                events.push(event);
            }
        }
        self.actions.clear();
        let _ = match recorder {
            None => self.engine.step(*now, events, &mut self.actions),
            Some(recorder) => recorder.step(&mut self.engine, *now, events, &mut self.actions),
        };
        for action in core::mem::take(&mut self.actions) {
            self.learn(&action);
            self.actions.push(action);
        }
        Some(*now)
    }

    fn learn(&mut self, action: &Action) {
        self.names.learn(action);
        match action {
            Action::Stream(conn, StreamAction::GrantRead(count)) => {
                if let Some(line) = self.lines.get_mut(conn) {
                    line.credit += u64::from(*count);
                }
            }
            Action::Stream(conn, StreamAction::Send(bytes) | StreamAction::SendBlock(bytes)) => {
                if let Some(line) = self.lines.get_mut(conn) {
                    line.unsent += bytes.len() as u64;
                }
            }
            Action::Stream(conn, StreamAction::SendStored(block)) => {
                if let Some(line) = self.lines.get_mut(conn) {
                    line.unsent += u64::from(block.length);
                }
            }
            Action::Stream(conn, StreamAction::Close(_)) => {
                self.lines.remove(conn);
            }
            Action::Stream(
                _,
                StreamAction::Encipher(_)
                | StreamAction::Decipher(_)
                | StreamAction::Deliver(_)
                | StreamAction::Release(_),
            ) => {}
            Action::Stream(conn, _) => {
                self.lines.insert(*conn, Line::default());
                if let Some(name) = self.names.conns.get(conn) {
                    self.live.insert(name.clone(), conn.as_u64());
                }
            }
            Action::Disk(op, _) => {
                if let Some(name) = self.names.ops.get(op) {
                    self.live.insert(name.clone(), op.as_u64());
                }
            }
            Action::Resolve(lookup, _) => {
                if let Some(name) = self.names.lookups.get(lookup) {
                    self.live.insert(name.clone(), lookup.as_u64());
                }
            }
            Action::Http(exchange, _) => {
                if let Some(name) = self.names.exchanges.get(exchange) {
                    self.live.insert(name.clone(), exchange.as_u64());
                }
            }
            _ => {}
        }
    }

    /// Bytes that have waited for credit.
    fn overdue(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for (conn, line) in &mut self.lines {
            if let Some(bytes) = line.deliver() {
                events.push(Event::Stream(*conn, StreamEvent::Received(bytes)));
            }
        }
        events
    }

    /// The event with the ids of this run; `None` when what it is about never came to be here.
    fn translate(&mut self, planned: &PlannedEvent) -> Option<Event> {
        let event = planned.event.clone();
        let Some(name) = &planned.about else {
            return match event {
                Event::Command(tag, command) => {
                    let command = self.translate_command(command, planned.torrent)?;
                    Some(Event::Command(tag, command))
                }
                // What was about something unknown in the record is so here as well.
                Event::Stream(..) | Event::Disk(..) | Event::Resolved(..) | Event::Http(..) => None,
                other => Some(other),
            };
        };
        let id = *self.live.get(name)?;
        match event {
            Event::Stream(_, event) => self.translate_stream(ConnId::from_u64(id), event, name),
            Event::Disk(_, outcome) => {
                self.live.remove(name);
                Some(Event::Disk(DiskOpId::from_u64(id), outcome))
            }
            Event::Resolved(_, result) => {
                self.live.remove(name);
                Some(Event::Resolved(LookupId::from_u64(id), result))
            }
            Event::Http(_, event) => Some(Event::Http(ExchangeId::from_u64(id), event)),
            other => Some(other),
        }
    }

    fn translate_stream(
        &mut self,
        conn: ConnId,
        event: StreamEvent,
        name: &Origination,
    ) -> Option<Event> {
        let line = self.lines.get_mut(&conn)?;
        let event = match event {
            StreamEvent::Received(bytes) => {
                line.waiting.push_back(bytes);
                StreamEvent::Received(line.deliver()?)
            }
            StreamEvent::Sent(count) => {
                let count = u64::from(count).min(line.unsent);
                line.unsent -= count;
                StreamEvent::Sent(u32::try_from(count).ok().filter(|count| *count > 0)?)
            }
            StreamEvent::Connected => StreamEvent::Connected,
            StreamEvent::Offered(count) => StreamEvent::Offered(count),
            StreamEvent::Answered(_) => event,
            StreamEvent::ConnectFailed(_) | StreamEvent::NotFetched(_) | StreamEvent::Closed(_) => {
                self.lines.remove(&conn);
                self.live.remove(name);
                event
            }
        };
        Some(Event::Stream(conn, event))
    }

    fn translate_command(&self, command: Command, torrent: Option<Sha1Hash>) -> Option<Command> {
        let Command::Torrent(_, command) = command else { return Some(command) };
        let here = self.names.torrents.iter().find(|(_, hash)| Some(**hash) == torrent);
        Some(command.of(*here?.0))
    }
}

impl Line {
    /// As much of what waits as credit allows, as one buffer.
    fn deliver(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        while self.credit > 0
            && let Some(front) = self.waiting.front_mut()
        {
            let count = usize::try_from(self.credit).unwrap_or(usize::MAX).min(front.len());
            out.extend_from_slice(&front.split_to(count));
            self.credit -= count as u64;
            if front.is_empty() {
                self.waiting.pop_front();
            }
        }
        (!out.is_empty()).then(|| out.into())
    }
}
