//! A world: nodes, links, trackers, names and scripted peers in virtual time, which jumps from one
//! happening to the next.
//!
//! The world is the driver of every engine in it, and the worst that the driver contract allows:
//! operations end in any order, bytes come in any pieces, and with [`World::faults`] set, every
//! kind of action fails in every way that it can.

mod datagrams;
mod embedder;
mod services;
mod strangers;
mod streams;
mod troubles;
mod utp;
mod utp_strangers;
mod web;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{
    ConnId, DiskOpId, ExchangeId, LookupId, SocketToken, TorrentId, UdpSocketId,
};
use eddyline::base::rng::{Rng, Seed};
use eddyline::base::time::Instant;
use eddyline::{
    Action, AddTorrent, Command, Config, DiskOp, Event, HttpAction, HttpGet, PeerSource, RangeGet,
    Tag, TorrentCommand,
};

use crate::content::Content;
use crate::faults::{Coverage, Fault, FaultRates};
use crate::net::{Partition, Weather, Wire};
use crate::node::{Node, NodeId};
use crate::scripted::Script;
use crate::tracker::{Tracker, UdpTracker};
use crate::web_server::Web;

pub use embedder::PeerOptions;
pub(crate) use strangers::Responder;
pub(crate) use utp::UtpStream;
pub(crate) use utp_strangers::UtpStranger;

/// The port at which every node listens, for TCP and UDP.
pub(crate) const PORT: u16 = 6881;
/// The UDP socket of every node.
pub(crate) const UDP: UdpSocketId = UdpSocketId(0);

pub(crate) enum Happening {
    /// For the driver of a node, unless its power has failed since.
    At(NodeId, u32, AtNode),
    Departed {
        wire: usize,
        from: usize,
        report: u32,
    },
    Arrive {
        wire: usize,
        from: usize,
        /// Bytes that were sent before these.
        place: u64,
        bytes: Bytes,
    },
    Deliver {
        wire: usize,
        from: usize,
    },
    Finish {
        wire: usize,
        from: usize,
    },
    Break {
        wire: usize,
    },
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        data: Bytes,
    },
    /// The machine of a stranger who speaks µTP has a turn.
    UtpTurn(SocketAddr),
}

/// What happens in the driver of one node.
pub(crate) enum AtNode {
    Disk(DiskOpId, DiskOp, Option<Fault>),
    Connect(ConnId, SocketAddr, Option<Fault>),
    Http(ExchangeId, Box<HttpGet>, Option<Fault>),
    Resolved(LookupId, String, Option<Fault>),
    Tell(Event),
    /// A request comes to a web server; the next part of a body to who asked for it.
    Fetch(ConnId, Box<RangeGet>, Option<Fault>),
    Part(ConnId),
    Wake,
    /// The engine asked to be called at this time, unless it has changed its mind since.
    Timer(Instant),
}

struct Scheduled {
    when: Instant,
    sequence: u64,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.when, self.sequence) == (other.when, other.sequence)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.when, self.sequence).cmp(&(other.when, other.sequence))
    }
}

pub(crate) enum Listener {
    Node(NodeId),
    Script(Box<dyn Fn() -> Box<dyn Script>>),
    /// Connections are neither accepted nor refused.
    HalfOpen,
    /// Packets are answered, connections are not.
    Responder(Responder),
}

/// Nodes, links, trackers, names and scripted peers, in virtual time.
pub struct World {
    pub(crate) now: Instant,
    pub(crate) rng: Rng,
    seed: Seed,
    pub(crate) nodes: Vec<Node>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) scripts: Vec<Box<dyn Script>>,
    pub(crate) listeners: BTreeMap<SocketAddr, Listener>,
    pub(crate) utp_strangers: BTreeMap<SocketAddr, UtpStranger>,
    /// HTTP trackers by the URL that torrents name, without the query.
    pub trackers: BTreeMap<String, Tracker>,
    /// UDP trackers by the address at which they listen.
    pub udp_trackers: BTreeMap<SocketAddr, UdpTracker>,
    /// Web servers.
    pub web: Web,
    /// Host names and what they resolve to.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// How the network behaves.
    pub weather: Weather,
    /// Bytes of the longest datagram that passes whole, without the headers below it.
    pub mtu: usize,
    /// Bytes of streams in datagrams that were sent, those that were sent again counted again.
    pub utp_bytes: u64,
    /// How often each kind of action fails, and how; `None` for never.
    pub faults: Option<FaultRates>,
    /// Nodes whose disks and lines never fail of themselves.
    pub spared: Vec<NodeId>,
    /// What has gone wrong so far.
    pub coverage: Coverage,
    /// Times of happenings are rounded up to a multiple of this, so that more of them fall into one
    /// step. Zero leaves them as they are.
    pub quantum: Duration,
    /// Whether arrived bytes are given out in random pieces, each in a step of its own.
    pub splits: bool,
    /// Sizes of the next pieces in which arrived bytes are given out, the last one first, in units of
    /// 64 bytes; random ones follow.
    pub chunks: Vec<u8>,
    /// Whether new nodes take part in the DHT and in local discovery, as far as their configuration
    /// lets them. Most tests want to know who found whom.
    pub trackerless: bool,
    /// Whether new nodes are watched by the checkers outside the engine.
    pub watch: bool,
    /// Longest time of a disk operation.
    pub disk_delay: Duration,
    /// What went wrong with an engine, if anything has.
    pub violation: Option<(NodeId, String)>,
    partition: Option<Partition>,
    held: Vec<Happening>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    sequence: u64,
    awake: Vec<NodeId>,
    pub(crate) sockets: BTreeMap<SocketToken, (usize, usize)>,
    next_socket: u64,
    contents: BTreeMap<Sha1Hash, Content>,
}

impl World {
    /// An empty world in which everything random follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let seed = Seed::from_u64(seed);
        Self {
            now: Instant::from_millis(1000),
            rng: seed.stream("world"),
            seed,
            nodes: Vec::new(),
            wires: Vec::new(),
            scripts: Vec::new(),
            listeners: BTreeMap::new(),
            utp_strangers: BTreeMap::new(),
            trackers: BTreeMap::new(),
            udp_trackers: BTreeMap::new(),
            web: Web::default(),
            names: BTreeMap::new(),
            weather: Weather::default(),
            mtu: 1_472,
            utp_bytes: 0,
            faults: None,
            spared: Vec::new(),
            coverage: Coverage::default(),
            quantum: Duration::ZERO,
            splits: true,
            chunks: Vec::new(),
            trackerless: false,
            watch: true,
            disk_delay: Duration::from_millis(5),
            violation: None,
            partition: None,
            held: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            awake: Vec::new(),
            sockets: BTreeMap::new(),
            next_socket: 0,
            contents: BTreeMap::new(),
        }
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Adds a node with the usual configuration.
    pub fn add_node(&mut self) -> NodeId {
        self.add_node_with(Config::default())
    }

    /// Adds a node.
    pub fn add_node_with(&mut self, config: Config) -> NodeId {
        let id = self.nodes.len();
        let ip = Ipv4Addr::new(10, 0, (id / 250) as u8, (id % 250) as u8 + 1);
        let addr = SocketAddr::new(ip.into(), PORT);
        let mut seed = self.seed;
        seed.0[24..].copy_from_slice(&(id as u64 + 1).to_le_bytes());
        let mut config = config;
        config.dht &= self.trackerless;
        config.lsd &= self.trackerless;
        let mut node = Node::new(config, seed, addr, self.now);
        node.pending.extend(datagrams::listen_commands());
        node.disk.know_all(self.contents.values());
        if self.watch {
            node.watch();
        }
        self.nodes.push(node);
        self.listeners.insert(addr, Listener::Node(id));
        self.wake(id);
        id
    }

    /// Makes a torrent known to all disks, so that they can tell good blocks from bad ones.
    pub fn know(&mut self, content: &Content) {
        if self.contents.insert(content.hash(), content.clone()).is_none() {
            self.nodes.iter_mut().for_each(|node| node.disk.know(content));
        }
    }

    /// A node, to look at.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// A node, to change.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id]
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Gives a node a command.
    pub fn command(&mut self, node: NodeId, command: Command) {
        if let Command::Add(add) = &command {
            let hash = add.source.info_hashes().wire();
            self.nodes[node].added.insert(hash, (**add).clone());
        }
        self.nodes[node].pending.push(command.into());
        self.wake(node);
    }

    /// The same with a tag, which the answers carry.
    pub fn ask(&mut self, node: NodeId, tag: Tag, command: Command) {
        self.nodes[node].pending.push(Event::Command(tag, command));
        self.wake(node);
    }

    /// Adds a torrent to a node.
    pub fn add(&mut self, node: NodeId, content: &Content, options: PeerOptions) {
        self.know(content);
        if options.has_content {
            self.nodes[node].disk.preset(content, &content.bytes);
        }
        let mut add = AddTorrent::new(content.metainfo.clone());
        add.peers = options.peers;
        add.sequential = options.sequential;
        add.limits = options.limits;
        // What lies on a simulated disk is of the torrent, however little of it is right.
        add.overwrite = !options.careful;
        self.command(node, Command::Add(Box::new(add)));
    }

    /// Adds a torrent of which the node knows no more than a magnet says, and peers.
    pub fn add_magnet(&mut self, node: NodeId, content: &Content, options: PeerOptions) {
        self.know(content);
        let mut add = AddTorrent::new(content.metainfo.magnet());
        add.peers = options.peers;
        add.sequential = options.sequential;
        add.limits = options.limits;
        add.overwrite = !options.careful;
        self.command(node, Command::Add(Box::new(add)));
    }

    /// Adds a torrent whose content the node has.
    pub fn seed(&mut self, node: NodeId, content: &Content) {
        self.add(node, content, PeerOptions { has_content: true, ..PeerOptions::default() });
    }

    /// Adds a torrent that the node fetches from `peers`, among others.
    pub fn leech(&mut self, node: NodeId, content: &Content, peers: &[NodeId]) {
        let peers = peers.iter().map(|peer| self.nodes[*peer].addr).collect();
        self.add(node, content, PeerOptions { peers, ..PeerOptions::default() });
    }

    /// The first torrent of a node: its only one in most tests.
    ///
    /// # Panics
    /// When the node has no torrent, or has not taken the step yet that adds it.
    pub fn torrent(&self, node: NodeId) -> TorrentId {
        let known = self.nodes[node].torrents().first().copied();
        known.unwrap_or_else(|| panic!("node {node} has no torrent"))
    }

    /// Tells the first torrent of a node of peers, as if `source` had named them.
    ///
    /// # Panics
    /// As [`Self::torrent`] does.
    pub fn add_peers(&mut self, node: NodeId, peers: Vec<SocketAddr>, source: PeerSource) {
        let torrent = self.torrent(node);
        self.command(node, TorrentCommand::AddPeers { peers, source }.of(torrent));
    }

    /// Tells the first torrent of a node of one peer, as a user does.
    ///
    /// # Panics
    /// As [`Self::torrent`] does.
    pub fn introduce(&mut self, node: NodeId, peer: SocketAddr) {
        self.add_peers(node, vec![peer], PeerSource::User);
    }

    /// Whether every torrent of a node is complete, as its engine says.
    pub fn is_complete(&self, node: NodeId) -> bool {
        let node = &self.nodes[node];
        let complete = |id| {
            let known = node.engine.metainfo(id).is_some();
            known && node.engine.torrent(id).is_some_and(|view| view.have.is_full())
        };
        // What rests was complete before.
        let some = !node.torrents.is_empty() || node.engine.stats().standby > 0;
        some && node.torrents.iter().all(|id| complete(*id))
    }

    /// Lets time pass until `done`, for `seconds` at most, or until an engine breaks a rule.
    /// Returns whether it was done.
    pub fn try_until(
        &mut self,
        seconds: u64,
        done: impl Fn(&Self) -> bool,
    ) -> Result<bool, String> {
        self.try_for(Duration::from_secs(seconds), done)
    }

    fn try_for(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> Result<bool, String> {
        let end = self.now + time;
        for id in 0..self.nodes.len() {
            self.wake_now(id);
        }
        loop {
            self.step_awake();
            if let Some((node, rule)) = &self.violation {
                let (node, steps) = (&self.nodes[*node], self.nodes[*node].steps);
                return Err(format!("{rule} (node at {}, step {steps})", node.addr));
            }
            if done(self) {
                return Ok(true);
            }
            let Some(Reverse(next)) = self.queue.peek() else { return Ok(false) };
            if next.when > end {
                self.now = end;
                return Ok(false);
            }
            self.now = self.now.max(next.when);
            while let Some(Reverse(next)) = self.queue.peek()
                && next.when <= self.now
                && let Some(Reverse(Scheduled { what, .. })) = self.queue.pop()
            {
                self.happen(what);
            }
        }
    }

    /// Lets time pass until `done`, or for `seconds` at most. Returns whether it was done.
    ///
    /// # Panics
    /// When an engine breaks a rule.
    pub fn run_until(&mut self, seconds: u64, done: impl Fn(&Self) -> bool) -> bool {
        self.try_until(seconds, done).unwrap_or_else(|violation| panic!("{violation}"))
    }

    /// Lets `seconds` pass.
    ///
    /// # Panics
    /// When an engine breaks a rule.
    pub fn run(&mut self, seconds: u64) {
        self.run_until(seconds, |_| false);
    }

    /// Lets a time pass, a part of a second for instance.
    ///
    /// # Panics
    /// When an engine breaks a rule.
    pub fn run_for(&mut self, time: Duration) {
        self.try_for(time, |_| false).unwrap_or_else(|violation| panic!("{violation}"));
    }

    /// Schedules something.
    pub(crate) fn at(&mut self, when: Instant, what: Happening) {
        let quantum = self.quantum.as_nanos() as u64;
        let when = match when.as_nanos().checked_next_multiple_of(quantum.max(1)) {
            Some(nanos) => Instant::from_nanos(nanos),
            None => when,
        };
        self.sequence += 1;
        self.queue.push(Reverse(Scheduled { when, sequence: self.sequence, what }));
    }

    pub(crate) fn hold(&mut self, what: Happening) {
        self.held.push(what);
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::At(node, epoch, what) if epoch == self.nodes[node].epoch => {
                self.happen_at(node, what);
            }
            Happening::At(..) => {}
            Happening::Departed { wire, from, report } => self.departed(wire, from, report),
            Happening::Arrive { wire, from, place, bytes } => {
                self.arrive(wire, from, place, bytes);
            }
            Happening::Deliver { wire, from } => self.deliver(wire, from),
            Happening::Finish { wire, from } => self.finish(wire, from),
            Happening::UtpTurn(addr) => self.serve_utp_stranger(addr),
            Happening::Break { wire } => self.break_wire(wire),
            Happening::Datagram { from, to, data } => self.datagram(from, to, data),
        }
    }

    fn happen_at(&mut self, node: NodeId, what: AtNode) {
        match what {
            AtNode::Disk(id, op, fault) => self.disk_ends(node, id, op, fault),
            AtNode::Connect(conn, remote, fault) => self.connect(node, conn, remote, fault),
            AtNode::Http(exchange, get, fault) => self.http(node, exchange, &get, fault),
            AtNode::Resolved(lookup, name, fault) => self.resolved(node, lookup, &name, fault),
            AtNode::Fetch(conn, get, fault) => self.fetch(node, conn, &get, fault),
            AtNode::Part(conn) => self.part(node, conn),
            AtNode::Tell(event) => self.tell(node, event),
            AtNode::Wake => self.wake_now(node),
            AtNode::Timer(at) => {
                if self.nodes[node].wakeup == Some(at) {
                    self.wake_now(node);
                }
            }
        }
    }

    /// Schedules something in the driver of a node.
    pub(crate) fn at_node(&mut self, when: Instant, node: NodeId, what: AtNode) {
        let epoch = self.nodes[node].epoch;
        self.at(when, Happening::At(node, epoch, what));
    }

    pub(crate) fn tell(&mut self, node: NodeId, event: Event) {
        self.nodes[node].pending.push(event);
        self.wake_now(node);
    }

    fn wake_now(&mut self, node: NodeId) {
        if !std::mem::replace(&mut self.nodes[node].is_awake, true) {
            self.awake.push(node);
        }
    }

    fn wake(&mut self, node: NodeId) {
        self.at_node(self.now, node, AtNode::Wake);
    }

    fn step_awake(&mut self) {
        // What one engine does reaches another a moment later at the earliest.
        for id in std::mem::take(&mut self.awake) {
            self.nodes[id].is_awake = false;
            self.step(id);
        }
    }

    fn step(&mut self, id: NodeId) {
        let now = self.now;
        let before = self.nodes[id].wakeup.filter(|at| *at > now);
        let mut actions = match self.nodes[id].step(now) {
            Ok(actions) => actions,
            Err(rule) => {
                self.violation.get_or_insert((id, rule));
                return;
            }
        };
        let wakeup = self.nodes[id].wakeup;
        for action in actions.drain(..) {
            self.perform(id, action);
        }
        self.nodes[id].reuse(actions);
        if let Some(at) = wakeup.filter(|_| wakeup != before) {
            self.sequence += 1;
            let what = Happening::At(id, self.nodes[id].epoch, AtNode::Timer(at));
            self.queue.push(Reverse(Scheduled { when: at, sequence: self.sequence, what }));
        }
    }

    fn perform(&mut self, id: NodeId, action: Action) {
        match action {
            Action::Stream(conn, action) => {
                if let Some(action) = self.utp_action(id, conn, action) {
                    self.stream(id, conn, action);
                }
            }
            Action::Refuse { socket } => self.refuse(socket),
            Action::Disk(op, what) => self.disk(id, op, what),
            Action::Http(exchange, HttpAction::Get(get)) => self.http_get(id, exchange, get),
            Action::Resolve(lookup, name) => self.resolve(id, lookup, name),
            Action::SendDatagram { to, data, .. } => self.send_datagram(id, to, data),
            Action::Transmit(_, packet) => self.transmit(id, &packet),
            Action::Notify(notice) => self.noticed(id, notice),
        }
    }

    /// Draws whether an action fails, and how.
    pub(crate) fn fault(&mut self, node: NodeId, action: &'static str) -> Option<Fault> {
        let rates = self.faults.as_ref()?;
        if self.spared.contains(&node) {
            return None;
        }
        let faults = crate::faults::TABLE.iter().find(|(name, _)| *name == action)?.1;
        for fault in faults {
            let rate = rates.of(action, *fault);
            if rate > 0 && self.rng.below(1000) < rate {
                self.coverage.note(action, *fault);
                return Some(*fault);
            }
        }
        None
    }

    /// A time from now up to `most` later, so that things end in any order.
    pub(crate) fn soon(&mut self, most: Duration) -> Instant {
        let most = u32::try_from(most.as_micros()).unwrap_or(u32::MAX);
        self.now + Duration::from_micros(u64::from(self.rng.below(most)) + 1)
    }

    pub(crate) fn next_token(&mut self) -> SocketToken {
        self.next_socket += 1;
        SocketToken(self.next_socket)
    }
}
