//! A world: nodes, wires, trackers and scripted peers in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::addr::Scope;
use eddyline::base::ids::{ConnId, DiskOpId, ExchangeId, SocketToken};
use eddyline::base::rng::{Rng, Seed};
use eddyline::base::time::Instant;
use eddyline::{
    Action, AddTorrent, CloseKind, Command, Config, ConnectFailure, DiskOp, Engine, Event,
    HttpAction, HttpEvent, HttpFailure, Notice, RateLimits, StreamAction, StreamEvent,
};

use crate::content::Content;
use crate::net::{End, Inbound, Wire};
use crate::node::{Node, NodeId};
use crate::scripted::{Script, ScriptAction};
use crate::tracker::Tracker;

/// How a torrent is added to a node.
#[derive(Clone, Debug, Default)]
pub struct PeerOptions {
    /// Peers to connect to.
    pub peers: Vec<SocketAddr>,
    /// Fetch in order.
    pub sequential: bool,
    /// Limits of the torrent.
    pub limits: RateLimits,
    /// The disk holds the content already.
    pub has_content: bool,
}

enum Happening {
    Disk(NodeId, DiskOpId, DiskOp),
    Arrive {
        wire: usize,
        to: usize,
        bytes: Bytes,
    },
    Deliver {
        wire: usize,
        to: usize,
    },
    Sent(NodeId, ConnId, u32),
    Connect(NodeId, ConnId, SocketAddr),
    Hangup {
        wire: usize,
        to: usize,
    },
    Http(NodeId, ExchangeId, String, Option<bool>),
    Wake(NodeId),
    /// The engine asked to be called at this time, unless it has changed its mind since.
    Timer(NodeId, Instant),
}

/// Nodes, wires, trackers and scripted peers, in virtual time.
pub struct World {
    now: Instant,
    rng: Rng,
    seed: Seed,
    nodes: Vec<Node>,
    wires: Vec<Wire>,
    scripts: Vec<Box<dyn Script>>,
    listeners: BTreeMap<SocketAddr, Listener>,
    /// Trackers by the URL that torrents name, without the query.
    pub trackers: BTreeMap<String, Tracker>,
    /// One way.
    pub latency: Duration,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    sequence: u64,
    sockets: BTreeMap<u64, (usize, usize)>,
}

enum Listener {
    Node(NodeId),
    Script(Box<dyn Fn() -> Box<dyn Script>>),
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
            trackers: BTreeMap::new(),
            latency: Duration::from_millis(10),
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            sequence: 0,
            sockets: BTreeMap::new(),
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
        let addr = SocketAddr::new(ip.into(), 6881);
        let mut seed = self.seed;
        seed.0[24..].copy_from_slice(&(id as u64 + 1).to_le_bytes());
        let engine = Engine::new(config, seed, self.now);
        let mut node = Node::new(engine, addr);
        let listen = Command::ListenOn { port: Some(6881), udp4: None, udp6: None };
        node.pending.push(Event::Command(listen));
        self.nodes.push(node);
        self.listeners.insert(addr, Listener::Node(id));
        id
    }

    /// Adds a scripted peer that others can connect to; each connection gets a script of its own.
    pub fn add_script(&mut self, make: impl Fn() -> Box<dyn Script> + 'static) -> SocketAddr {
        let number = self.listeners.len() as u8;
        let addr = SocketAddr::new(Ipv4Addr::new(10, 1, 0, number).into(), 6881);
        self.listeners.insert(addr, Listener::Script(Box::new(make)));
        addr
    }

    /// Lets a scripted peer connect to a node.
    pub fn connect_script(&mut self, node: NodeId, script: Box<dyn Script>) {
        let number = self.scripts.len() as u16;
        let remote = SocketAddr::new(Ipv4Addr::new(10, 2, 0, 1).into(), 10_000 + number);
        self.connect_script_from(node, remote, script);
    }

    /// Lets a scripted peer connect to a node from the address `remote`.
    pub fn connect_script_from(
        &mut self,
        node: NodeId,
        remote: SocketAddr,
        script: Box<dyn Script>,
    ) {
        let number = self.scripts.len();
        self.scripts.push(script);
        let wire = self.add_wire(End::Script(number), End::Waiting(node));
        self.announce_socket(node, wire, remote);
        let actions = self.scripts[number].connected();
        self.perform_script(wire, 0, actions);
    }

    fn add_wire(&mut self, a: End, b: End) -> usize {
        let mut inbound = [Inbound::default(), Inbound::default()];
        for (end, inbound) in [&a, &b].into_iter().zip(&mut inbound) {
            if matches!(end, End::Script(_)) {
                inbound.credit = u64::MAX / 2;
            }
        }
        self.wires.push(Wire { ends: [a, b], inbound, free_at: [self.now; 2] });
        self.wires.len() - 1
    }

    fn announce_socket(&mut self, node: NodeId, wire: usize, remote: SocketAddr) {
        let token = self.sockets.len() as u64;
        self.sockets.insert(token, (wire, 1));
        let event = Event::Incoming { socket: SocketToken(token), remote };
        self.nodes[node].pending.push(event);
        self.at(self.now, Happening::Wake(node));
    }

    /// A node, to look at.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// A node, to change.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id]
    }

    /// Gives a node a command.
    pub fn command(&mut self, node: NodeId, command: Command) {
        self.nodes[node].pending.push(Event::Command(command));
        self.at(self.now, Happening::Wake(node));
    }

    /// Adds a torrent to a node.
    pub fn add(&mut self, node: NodeId, content: &Content, options: PeerOptions) {
        if options.has_content {
            let hash = content.metainfo.info_hashes.wire();
            self.nodes[node].disk.preset(hash, content.bytes.to_vec());
        }
        let mut add = AddTorrent::new(content.metainfo.clone());
        add.peers = options.peers;
        add.sequential = options.sequential;
        add.limits = options.limits;
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

    /// Whether every torrent of a node is complete and its content on disk is right.
    pub fn is_complete(&self, node: NodeId) -> bool {
        let node = &self.nodes[node];
        let complete = |id| node.engine.torrent(id).is_some_and(|view| view.have.is_full());
        !node.torrents.is_empty() && node.torrents.iter().all(|id| complete(*id))
    }

    fn at(&mut self, when: Instant, what: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((when, self.sequence)));
        self.happenings.insert(self.sequence, what);
    }

    /// Lets time pass until `done`, or for `seconds` at most. Returns whether it was done.
    pub fn run_until(&mut self, seconds: u64, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + Duration::from_secs(seconds);
        for id in 0..self.nodes.len() {
            self.step(id);
        }
        while !done(self) {
            let Some(Reverse((when, number))) = self.queue.pop() else { return false };
            if when > end {
                self.queue.push(Reverse((when, number)));
                self.now = end;
                return false;
            }
            self.now = self.now.max(when);
            let what = self.happenings.remove(&number).expect("what is queued is there");
            self.happen(what);
        }
        true
    }

    /// Lets `seconds` pass.
    pub fn run(&mut self, seconds: u64) {
        self.run_until(seconds, |_| false);
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Disk(node, id, op) => {
                // Performed as late as it ends, so that operations really overtake each other.
                let outcome = self.nodes[node].disk.perform(op);
                self.tell(node, Event::Disk(id, outcome));
            }
            Happening::Arrive { wire, to, bytes } => {
                self.wires[wire].inbound[to].queue.push_back(bytes);
                self.deliver(wire, to);
            }
            Happening::Deliver { wire, to } => self.deliver(wire, to),
            Happening::Sent(node, conn, count) => {
                if self.nodes[node].wires.contains_key(&conn) {
                    self.tell(node, Event::Stream(conn, StreamEvent::Sent(count)));
                }
            }
            Happening::Connect(node, conn, remote) => self.connect(node, conn, remote),
            Happening::Hangup { wire, to } => self.hang_up(wire, to),
            Happening::Http(node, exchange, url, ipv6) => self.http(node, exchange, &url, ipv6),
            Happening::Wake(node) => self.step(node),
            Happening::Timer(node, at) => {
                if self.nodes[node].wakeup == Some(at) {
                    self.step(node);
                }
            }
        }
    }

    fn tell(&mut self, node: NodeId, event: Event) {
        self.nodes[node].pending.push(event);
        self.step(node);
    }

    fn step(&mut self, id: NodeId) {
        let before = self.nodes[id].wakeup.filter(|at| *at > self.now);
        let actions = self.nodes[id].step(self.now);
        let wakeup = self.nodes[id].wakeup;
        for action in actions {
            self.perform(id, action);
        }
        if let Some(at) = wakeup.filter(|_| wakeup != before) {
            self.at(at, Happening::Timer(id, at));
        }
    }

    /// A delay of up to `millis`, so that completions come in any order.
    fn soon(&mut self, millis: u32) -> Instant {
        self.now + Duration::from_micros(u64::from(self.rng.below(millis * 1000)) + 1)
    }

    fn perform(&mut self, id: NodeId, action: Action) {
        match action {
            Action::Stream(conn, action) => self.stream(id, conn, action),
            Action::Refuse { socket } => {
                if let Some((wire, end)) = self.sockets.remove(&socket.0) {
                    self.close(wire, end);
                }
            }
            Action::Disk(op, what) => {
                let when = self.soon(5);
                self.at(when, Happening::Disk(id, op, what));
            }
            Action::Http(exchange, HttpAction::Get(get)) => {
                let when = self.now + self.latency * 2;
                // All addresses of this world are local.
                let url = if get.only == Some(Scope::Public) { String::new() } else { get.url };
                self.at(when, Happening::Http(id, exchange, url, get.ipv6));
            }
            Action::Resolve(lookup, _) => {
                let error = Err(eddyline::LookupError::NotFound);
                self.nodes[id].pending.push(Event::Resolved(lookup, error));
                self.at(self.now, Happening::Wake(id));
            }
            Action::SendDatagram { .. } => {}
            Action::Notify(notice) => {
                if let Notice::TorrentAdded(torrent, _) = &notice {
                    self.nodes[id].torrents.push(*torrent);
                }
                self.nodes[id].notices.push(notice);
            }
        }
    }

    fn stream(&mut self, id: NodeId, conn: ConnId, action: StreamAction) {
        match action {
            StreamAction::Connect { remote } => {
                let when = self.now + self.latency * 2;
                self.at(when, Happening::Connect(id, conn, remote));
            }
            StreamAction::Adopt { socket } => {
                let (wire, end) = self.sockets[&socket.0];
                if self.wires[wire].ends[end] == End::Gone {
                    let event = Event::Stream(conn, StreamEvent::Closed(CloseKind::Eof));
                    self.nodes[id].pending.push(event);
                    self.at(self.now, Happening::Wake(id));
                    return;
                }
                self.wires[wire].ends[end] = End::Engine(id, conn);
                self.nodes[id].wires.insert(conn, (wire, end));
            }
            StreamAction::GrantRead(count) => {
                if let Some((wire, to)) = self.nodes[id].wires.get(&conn).copied() {
                    self.wires[wire].inbound[to].credit += u64::from(count);
                    self.at(self.now, Happening::Deliver { wire, to });
                }
            }
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => {
                if let Some((wire, end)) = self.nodes[id].wires.get(&conn).copied() {
                    let left = self.send(wire, end, bytes.clone(), self.nodes[id].up_rate);
                    self.at(left, Happening::Sent(id, conn, bytes.len() as u32));
                }
            }
            StreamAction::Close(_) => {
                if let Some((wire, end)) = self.nodes[id].wires.remove(&conn) {
                    self.close(wire, end);
                }
            }
        }
    }

    /// Puts bytes on a wire; returns when the last one has left.
    fn send(&mut self, wire: usize, from: usize, bytes: Bytes, rate: Option<u64>) -> Instant {
        let start = self.wires[wire].free_at[from].max(self.now);
        let took = rate.map_or(0, |rate| bytes.len() as u64 * 1_000_000_000 / rate.max(1));
        let left = start + Duration::from_nanos(took + 1);
        self.wires[wire].free_at[from] = left;
        let arrives = left + self.latency;
        self.at(arrives, Happening::Arrive { wire, to: 1 - from, bytes });
        left
    }

    fn connect(&mut self, id: NodeId, conn: ConnId, remote: SocketAddr) {
        let from = self.nodes[id].addr;
        let script = match self.listeners.get(&remote) {
            None => {
                let failed = StreamEvent::ConnectFailed(ConnectFailure::Refused);
                return self.tell(id, Event::Stream(conn, failed));
            }
            Some(Listener::Node(node)) => {
                let node = *node;
                let wire = self.add_wire(End::Engine(id, conn), End::Waiting(node));
                self.nodes[id].wires.insert(conn, (wire, 0));
                let port = 40_000 + (wire % 20_000) as u16;
                self.announce_socket(node, wire, SocketAddr::new(from.ip(), port));
                None
            }
            Some(Listener::Script(make)) => Some(make()),
        };
        if let Some(mut script) = script {
            let actions = script.connected();
            self.scripts.push(script);
            let end = End::Script(self.scripts.len() - 1);
            let wire = self.add_wire(End::Engine(id, conn), end);
            self.nodes[id].wires.insert(conn, (wire, 0));
            self.perform_script(wire, 1, actions);
        }
        self.tell(id, Event::Stream(conn, StreamEvent::Connected));
    }

    fn deliver(&mut self, wire: usize, to: usize) {
        match self.wires[wire].ends[to].clone() {
            End::Engine(node, conn) => {
                // Reads are split at any byte.
                let limit = 1 + self.rng.below(40_000) as usize;
                if let Some(bytes) = self.wires[wire].inbound[to].take(limit) {
                    if !self.wires[wire].inbound[to].queue.is_empty() {
                        self.at(self.now, Happening::Deliver { wire, to });
                    }
                    self.tell(node, Event::Stream(conn, StreamEvent::Received(bytes)));
                }
            }
            End::Script(script) => {
                while let Some(bytes) = self.wires[wire].inbound[to].take(usize::MAX) {
                    let actions = self.scripts[script].received(&bytes);
                    self.perform_script(wire, to, actions);
                }
            }
            End::Waiting(_) | End::Gone => {}
        }
    }

    fn perform_script(&mut self, wire: usize, end: usize, actions: Vec<ScriptAction>) {
        for action in actions {
            match action {
                ScriptAction::Send(bytes) => {
                    self.send(wire, end, bytes, None);
                }
                ScriptAction::Close => self.close(wire, end),
            }
        }
    }

    fn close(&mut self, wire: usize, end: usize) {
        self.wires[wire].ends[end] = End::Gone;
        self.wires[wire].inbound[end].queue.clear();
        let when = self.wires[wire].free_at[end].max(self.now) + self.latency;
        self.at(when, Happening::Hangup { wire, to: 1 - end });
    }

    fn hang_up(&mut self, wire: usize, to: usize) {
        let end = std::mem::replace(&mut self.wires[wire].ends[to], End::Gone);
        if let End::Engine(node, conn) = end
            && self.nodes[node].wires.remove(&conn).is_some()
        {
            self.tell(node, Event::Stream(conn, StreamEvent::Closed(CloseKind::Eof)));
        }
    }

    fn http(&mut self, node: NodeId, exchange: ExchangeId, url: &str, ipv6: Option<bool>) {
        let base = url.split('?').next().unwrap_or_default();
        let now = self.now;
        let reply = |body: Vec<u8>| {
            vec![
                HttpEvent::Head { status: 200, location: None, scope: Scope::Local },
                HttpEvent::Body(body.into()),
                HttpEvent::Finished,
            ]
        };
        let scraped = base.replace("/scrape", "/announce");
        let events = match self.trackers.get_mut(base) {
            Some(Tracker { redirect: Some((to, scope)), .. }) => {
                let location = Some(to.clone());
                let head = HttpEvent::Head { status: 302, location, scope: *scope };
                vec![head, HttpEvent::Finished]
            }
            Some(tracker) if !tracker.reach.admits(ipv6) => {
                vec![HttpEvent::Failed(HttpFailure::Connect)]
            }
            Some(tracker) => match tracker.answer(url, now, ipv6 == Some(true)) {
                Some(body) => reply(body),
                None => vec![HttpEvent::Failed(HttpFailure::Connect)],
            },
            None => match self.trackers.get(&scraped) {
                Some(tracker) if !tracker.down => reply(tracker.scrape(url)),
                _ => vec![HttpEvent::Failed(HttpFailure::Connect)],
            },
        };
        for event in events {
            self.tell(node, Event::Http(exchange, event));
        }
    }
}
