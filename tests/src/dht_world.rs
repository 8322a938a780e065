//! A network of DHT nodes, thousands of them, in virtual time: the shipped node, among silent and
//! lying ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::rng::{Rng, Seed};
use eddyline::base::time::Instant;
use eddyline::dht::krpc::{Body, Packet, Query, Reply};
use eddyline::dht::{
    Contact, DhtEvent, DhtNode, Goal, LookupKey, NodeConfig, NodeId, Outcome, Output,
};

/// How a node of the network behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DhtManner {
    /// The shipped node.
    Honest,
    /// It answered once and does not any more.
    Silent,
    /// It answers everything with nodes that are not there and peers that are none.
    Lying,
    /// It answers with others of its kind, which all stand near one target, and knows of no peer.
    Eclipsing,
}

struct Player {
    addr: SocketAddr,
    manner: DhtManner,
    id: NodeId,
    node: DhtNode,
    wakeup: Instant,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Packet(usize, SocketAddr, Bytes),
    Wake(usize),
}

/// A network of DHT nodes.
pub struct DhtWorld {
    now: Instant,
    rng: Rng,
    players: Vec<Player>,
    by_addr: BTreeMap<SocketAddr, usize>,
    queue: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    sequence: u64,
    done: BTreeMap<(usize, LookupKey), Outcome>,
    /// Packets sent so far.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The largest packet so far.
    pub largest: usize,
    /// Whom eclipsing nodes name.
    gang: Vec<Contact>,
    ipv6: bool,
}

impl DhtWorld {
    /// An empty network in which everything random follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_millis(1_000_000),
            rng: Seed::from_u64(seed).stream("dht world"),
            players: Vec::new(),
            by_addr: BTreeMap::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            done: BTreeMap::new(),
            packets: 0,
            bytes: 0,
            largest: 0,
            gang: Vec::new(),
            ipv6: false,
        }
    }

    /// The same over IPv6.
    pub fn over_ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }

    /// A network of `count` nodes, of which `silent` in a hundred fall silent and `lying` in a hundred lie
    /// after all have found their places.
    pub fn with_nodes(seed: u64, count: u32, silent: u32, lying: u32) -> Self {
        let mut world = Self::new(seed);
        world.populate(count, silent, lying);
        world
    }

    /// Adds `count` nodes, which find their places. `silent` in a hundred then fall silent, `lying` in a
    /// hundred lie from the start.
    pub fn populate(&mut self, count: u32, silent: u32, lying: u32) {
        let world = self;
        for n in 0..count {
            let id = world.add_node();
            if world.rng.below(100) < lying && n > 0 {
                world.players[id].manner = DhtManner::Lying;
            }
            // Everybody knows a few who were there before.
            for _ in 0..3.min(n) {
                let other = world.rng.index(n as usize);
                let other = world.players[other].addr;
                world.act(id, |node, now, out| node.meet(other, now, out));
            }
            if n % 20 == 0 {
                world.run(Duration::from_secs(1));
            }
        }
        world.run(Duration::from_secs(120));
        for player in 0..world.players.len() {
            if world.players[player].manner == DhtManner::Honest && world.rng.below(100) < silent {
                world.players[player].manner = DhtManner::Silent;
            }
        }
    }

    /// Adds a node with a public address of its own and an id that it allows.
    pub fn add_node(&mut self) -> usize {
        let number = self.players.len() as u32;
        // No two in one block, and all over the public space.
        let block = number.wrapping_mul(7919) % 0x004e_ffff;
        let ip: IpAddr = if self.ipv6 {
            Ipv6Addr::from((0x2a00 << 112) | (u128::from(block) << 64) | 9).into()
        } else {
            Ipv4Addr::from(0x1000_0000 + block * 256 + 9).into()
        };
        let id = NodeId::for_address(ip, &mut self.rng);
        self.add_node_at(SocketAddr::new(ip, 6881), id, DhtManner::Honest)
    }

    /// Adds a node of an address and an id of choice.
    pub fn add_node_at(&mut self, addr: SocketAddr, id: NodeId, manner: DhtManner) -> usize {
        let number = self.players.len();
        let rng = Seed::from_u64(self.rng.next_u64()).stream("node");
        let config = NodeConfig { ipv6: self.ipv6, ..NodeConfig::default() };
        let node = DhtNode::new(config, Some(id), rng, self.now);
        self.players.push(Player { addr, manner, id, node, wakeup: self.now });
        self.by_addr.insert(addr, number);
        if manner == DhtManner::Eclipsing {
            self.gang.push(Contact { id, addr });
        }
        self.schedule(self.now, Happening::Wake(number));
        number
    }

    /// One node, to look at.
    pub fn node(&self, id: usize) -> &DhtNode {
        &self.players[id].node
    }

    /// Where a node is.
    pub fn addr(&self, id: usize) -> SocketAddr {
        self.players[id].addr
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A random node that is what it should be.
    pub fn any_honest(&mut self) -> usize {
        loop {
            let id = self.rng.index(self.players.len());
            if self.players[id].manner == DhtManner::Honest {
                return id;
            }
        }
    }

    /// A random point.
    pub fn any_target(&mut self) -> NodeId {
        NodeId::random(&mut self.rng)
    }

    fn schedule(&mut self, when: Instant, what: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((when, self.sequence, what)));
    }

    /// Lets a node do something.
    pub fn act<T>(
        &mut self,
        id: usize,
        act: impl FnOnce(&mut DhtNode, Instant, &mut Output) -> T,
    ) -> T {
        let mut out = Output::default();
        let result = act(&mut self.players[id].node, self.now, &mut out);
        self.send(id, out);
        result
    }

    fn send(&mut self, id: usize, out: Output) {
        let from = self.players[id].addr;
        for (to, data) in out.packets {
            self.post(from, to, data);
        }
        for event in out.events {
            if let DhtEvent::Done(key, outcome) = event {
                self.done.insert((id, key), *outcome);
            }
        }
        let player = &mut self.players[id];
        let next = player.node.next_deadline(self.now);
        if next < player.wakeup || player.wakeup <= self.now {
            player.wakeup = next;
            self.schedule(next, Happening::Wake(id));
        }
    }

    fn post(&mut self, from: SocketAddr, to: SocketAddr, data: Bytes) {
        self.packets += 1;
        self.bytes += data.len() as u64;
        self.largest = self.largest.max(data.len());
        let lost = self.rng.below(100) < 1;
        if let Some(target) = self.by_addr.get(&to).copied().filter(|_| !lost) {
            let latency = Duration::from_millis(u64::from(10 + self.rng.below(150)));
            self.schedule(self.now + latency, Happening::Packet(target, from, data));
        }
    }

    /// Lets time pass.
    ///
    /// # Panics
    /// When a node breaks a rule.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
        self.now = end;
    }

    fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) {
        while !done(self)
            && let Some(Reverse((when, ..))) = self.queue.peek()
            && *when <= end
            && let Some(Reverse((when, _, what))) = self.queue.pop()
        {
            self.now = self.now.max(when);
            match what {
                Happening::Wake(id) => {
                    let player = &self.players[id];
                    if player.wakeup <= self.now && player.manner == DhtManner::Honest {
                        self.act(id, |node, now, out| node.poll(now, out));
                    }
                }
                Happening::Packet(id, from, data) => self.deliver(id, from, &data),
            }
        }
    }

    fn deliver(&mut self, id: usize, from: SocketAddr, data: &[u8]) {
        match self.players[id].manner {
            DhtManner::Honest => {
                self.act(id, |node, now, out| node.datagram(from, data, None, now, out));
                self.players[id].node.check().unwrap_or_else(|rule| panic!("{rule}"));
            }
            DhtManner::Silent => {}
            DhtManner::Lying | DhtManner::Eclipsing => self.lie(id, from, data),
        }
    }

    fn lie(&mut self, id: usize, from: SocketAddr, data: &[u8]) {
        let Ok(Packet { t, body: Body::Query(query), .. }) = Packet::decode(data) else { return };
        let player = &self.players[id];
        let (own, addr) = (player.id, player.addr);
        let mut reply = Reply::new(own);
        reply.families = (true, false);
        if player.manner == DhtManner::Eclipsing {
            reply.nodes.clone_from(&self.gang);
            reply.nodes.truncate(30);
        } else {
            let target = target_of(&query).unwrap_or(own);
            for _ in 0..8 {
                let bits = 100 + self.rng.below(50);
                let ip = Ipv4Addr::from(0x6000_0000 + self.rng.below(0x0fff_ffff));
                let id = target.random_near(bits, &mut self.rng);
                reply.nodes.push(Contact { id, addr: SocketAddr::new(ip.into(), 1) });
            }
            reply.values = Some(vec!["66.66.66.66:666".parse().expect("an address")]);
        }
        reply.token = Some(Bytes::from_static(b"worthless"));
        let body = Body::Reply(reply);
        let packet = Packet { t, v: None, ip: None, read_only: false, body };
        self.post(addr, from, packet.encode().into());
    }

    /// Looks something up and waits for what comes of it; `None` when it does not end in time.
    pub fn look_up(&mut self, id: usize, target: NodeId, goal: Goal) -> Option<Outcome> {
        let key = self.act(id, |node, now, out| node.look_up(target, goal, now, out))?;
        let end = self.now + Duration::from_secs(120);
        self.run_until(end, |world| world.done.contains_key(&(id, key)));
        self.done.remove(&(id, key))
    }

    /// Sizes of the routing tables of all honest nodes, in order.
    pub fn table_sizes(&self) -> Vec<usize> {
        let honest = self.players.iter().filter(|player| player.manner == DhtManner::Honest);
        let mut sizes: Vec<usize> = honest.map(|player| player.node.table().len()).collect();
        sizes.sort_unstable();
        sizes
    }
}

fn target_of(query: &Query) -> Option<NodeId> {
    let bytes = query.target.as_ref().or(query.info_hash.as_ref())?;
    NodeId::from_slice(bytes)
}

/// What a number of lookups did.
#[derive(Clone, Debug, Default)]
pub struct LookupReport {
    /// Lookups that found the peer that was stored before.
    pub found: usize,
    /// Lookups.
    pub tries: usize,
    hops: Vec<u64>,
    queries: Vec<u64>,
    millis: Vec<u64>,
    tables: Vec<usize>,
}

impl LookupReport {
    /// Lets one node after the other announce itself, and another look for it.
    pub fn make(world: &mut DhtWorld, tries: usize) -> Self {
        let mut report = Self { tries, ..Self::default() };
        for _ in 0..tries {
            let (announcer, seeker) = (world.any_honest(), world.any_honest());
            let torrent = world.any_target();
            let announce = Goal::Peers { announce: Some(Some(7777)), seed: false };
            world.look_up(announcer, torrent, announce);
            world.run(Duration::from_secs(1));
            let began = world.now();
            let goal = Goal::Peers { announce: None, seed: false };
            let Some(outcome) = world.look_up(seeker, torrent, goal) else { continue };
            let peer = SocketAddr::new(world.addr(announcer).ip(), 7777);
            report.found += usize::from(outcome.peers.contains(&peer));
            report.hops.push(outcome.cost.hops.into());
            report.queries.push(outcome.cost.queries.into());
            report.millis.push(world.now().since(began).as_millis() as u64);
        }
        report.tables = world.table_sizes();
        report
    }

    /// The report as a table.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{} of {} lookups found the peer\n", self.found, self.tries);
        let _ =
            writeln!(out, "{:16} {:>8} {:>8} {:>8} {:>8}", "", "least", "half", "nine/ten", "most");
        let tables = self.tables.iter().map(|size| *size as u64).collect();
        let rows = [
            ("hops", self.hops.clone()),
            ("queries", self.queries.clone()),
            ("milliseconds", self.millis.clone()),
            ("nodes in tables", tables),
        ];
        for (name, mut values) in rows {
            values.sort_unstable();
            let at = |part: usize| values[(values.len() - 1) * part / 10];
            let _ = writeln!(out, "{name:16} {:>8} {:>8} {:>8} {:>8}", at(0), at(5), at(9), at(10));
        }
        out
    }
}

/// The committed table: 2,000 nodes, a fifth of them silent, one in twenty lying.
pub fn dht_table() -> String {
    let mut world = DhtWorld::with_nodes(1, 2000, 20, 5);
    let report = LookupReport::make(&mut world, 300);
    let head = "2000 nodes, 20 % of them silent, 5 % lying, 10-160 ms one way, 1 % loss\n\n";
    let tail = format!("\nthe largest packet had {} bytes\n", world.largest);
    format!("{head}{}{tail}", report.table())
}
