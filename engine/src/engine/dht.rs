//! The DHT in the engine (BEP 5): starting it, finding nodes again when it has lost all of them, and looking
//! for the peers of all torrents, a few torrents at a time.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::api::{Action, DhtRequest, Notice, PeerSource, Tag};
use crate::base::ids::TorrentId;
use crate::base::time::Instant;
use crate::base::timer_queue::Alarm;
use crate::candidates::Namer;
use crate::context::Timer;
use crate::dht::{
    DhtEvent, DhtNode, DhtState, Goal, LookupKey, NodeConfig, NodeId, Outcome, Output,
};
use crate::lookups::Lookup;

/// Torrents that are looked for at the same time, in each address family.
const MAX_RUNNING: usize = 8;
/// Time between two lookups (with an announce) of one torrent.
const INTERVAL: Duration = Duration::from_secs(900);
/// The same while something is missing and no peer is connected.
const LONELY_INTERVAL: Duration = Duration::from_secs(60);
/// Each interval is longer by up to this many milliseconds, drawn at random, so that torrents that were added
/// together are not looked for together for ever.
const JITTER: u32 = 60_000;
/// Lookups that may start at once after a pause. After that there is a time between two of them, so that a
/// thousand torrents do not query the same few nodes in one burst.
const BURST: u32 = 5;
/// Milliseconds between turns, at least.
const LEAST_GAP_MILLIS: u64 = 50;
/// The same at most.
const LONGEST_GAP_MILLIS: u64 = 500;
/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

/// Whom a lookup is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Client {
    Torrent(TorrentId),
    User(Tag, NodeId),
}

/// The nodes of both address families, and who waits for them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct DhtService {
    nodes: [Option<DhtNode>; 2],
    /// When each torrent is due.
    turns: BTreeMap<TorrentId, Instant>,
    queue: BTreeSet<(Instant, TorrentId)>,
    running: BTreeMap<(bool, LookupKey), Client>,
    /// Turns that may be taken now, and since when they are counted.
    pace: (u32, Instant),
    alarm: Alarm,
    /// What an earlier run left, for nodes that do not exist yet.
    restored: DhtState,
}

impl DhtService {
    /// The node of an address family, to look at.
    pub(super) fn node(&self, ipv6: bool) -> Option<&DhtNode> {
        self.nodes[usize::from(ipv6)].as_ref()
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        self.nodes.iter().flatten().try_for_each(DhtNode::check)?;
        if self.turns.len() != self.queue.len() {
            return Err("every torrent has one turn in the DHT");
        }
        Ok(())
    }

    /// Time between turns: all torrents have theirs in one interval, if that is not too fast.
    fn gap(&self) -> Duration {
        let fair = INTERVAL.as_millis() as u64 / (self.turns.len() as u64).max(1);
        Duration::from_millis(fair.clamp(LEAST_GAP_MILLIS, LONGEST_GAP_MILLIS))
    }

    /// Whether a turn may be taken now, which it then is.
    fn keep_pace(&mut self, now: Instant) -> bool {
        let (left, since) = self.pace;
        let gap = self.gap();
        let gained = (now.since(since).as_millis() / gap.as_millis().max(1)) as u64;
        if left as u64 + gained >= BURST.into() {
            self.pace = (BURST, now);
        } else if gained > 0 {
            self.pace = (left + gained as u32, since + gap * gained as u32);
        }
        let may = self.pace.0 > 0;
        self.pace.0 -= u32::from(may);
        may
    }

    pub(super) fn set_turn(&mut self, id: TorrentId, at: Instant) {
        self.drop_turn(id);
        self.turns.insert(id, at);
        self.queue.insert((at, id));
    }

    /// Whether a torrent is being looked for, or is to be now.
    pub(super) fn is_about(&self, id: TorrentId, now: Instant) -> bool {
        let reachable = self.nodes.iter().flatten().any(|node| !node.table().is_empty());
        (reachable && self.turns.get(&id).is_some_and(|at| *at <= now))
            || self.running.values().any(|c| matches!(c, Client::Torrent(of) if *of == id))
    }

    /// Takes a torrent's turn from it. One that could not be taken comes again later.
    pub(super) fn take_turn(&mut self, id: TorrentId, now: Instant) -> Option<Instant> {
        let at = self.turns.get(&id).copied();
        self.drop_turn(id);
        at.map(|at| if at > now { at } else { now + INTERVAL })
    }

    fn drop_turn(&mut self, id: TorrentId) {
        if let Some(at) = self.turns.remove(&id) {
            self.queue.remove(&(at, id));
        }
    }
}

impl Engine {
    /// Starts the nodes for which there is a socket now.
    pub(super) fn start_dht(&mut self) {
        if !self.ctx.config.dht {
            return;
        }
        for ipv6 in [false, true] {
            let identity = &self.ctx.net.identity;
            let socket = if ipv6 { identity.udp6 } else { identity.udp4 };
            let place = usize::from(ipv6);
            if socket.is_none() || self.dht.nodes[place].is_some() {
                continue;
            }
            let config = NodeConfig { ipv6, read_only: self.ctx.config.dht_read_only };
            let rng = self.ctx.random.seed.stream(if ipv6 { "dht6" } else { "dht4" });
            let id = self.dht.restored.ids[place].take();
            let mut node = DhtNode::new(config, id, rng, self.ctx.now);
            let mut out = Output::default();
            node.join(&self.dht.restored.nodes, self.ctx.now, &mut out);
            self.dht.nodes[place] = Some(node);
            self.handle_dht(ipv6, out);
        }
        self.ctx.net.dht_runs = self.dht.nodes.iter().any(Option::is_some);
        self.set_dht_alarm();
    }

    /// Ids and nodes of an earlier run.
    pub(super) fn restore_dht(&mut self, state: DhtState) {
        for ipv6 in [false, true] {
            self.with_dht(ipv6, |node, now, out| node.join(&state.nodes, now, out));
        }
        self.dht.restored = state;
    }

    /// What the next run should know of the DHT; `None` where there is none.
    pub fn dht_state(&self) -> Option<DhtState> {
        let ids = [false, true].map(|ipv6| self.dht.node(ipv6).map(DhtNode::id));
        let nodes = self.dht.nodes.iter().flatten().flat_map(DhtNode::known).collect();
        ids.iter().any(Option::is_some).then_some(DhtState { ids, nodes })
    }

    /// The DHT node of an address family, to look at.
    pub fn dht_node(&self, ipv6: bool) -> Option<&DhtNode> {
        self.dht.node(ipv6)
    }

    fn with_dht(&mut self, ipv6: bool, act: impl FnOnce(&mut DhtNode, Instant, &mut Output)) {
        self.leave_dht();
        let mut out = Output::default();
        if let Some(node) = &mut self.dht.nodes[usize::from(ipv6)] {
            act(node, self.ctx.now, &mut out);
            self.handle_dht(ipv6, out);
        }
    }

    /// A packet of the DHT.
    pub(super) fn dht_datagram(&mut self, from: SocketAddr, data: &[u8]) {
        self.leave_dht();
        let [v4, v6] = &mut self.dht.nodes;
        let (node, other) = if from.is_ipv6() { (v6, v4) } else { (v4, v6) };
        let Some(node) = node else { return };
        let mut out = Output::default();
        let other = other.as_ref().map(DhtNode::table);
        node.datagram(from, data, other, self.ctx.now, &mut out);
        self.handle_dht(from.is_ipv6(), out);
    }

    /// What is due in the DHT.
    pub(super) fn poll_dht(&mut self) {
        for ipv6 in [false, true] {
            self.with_dht(ipv6, DhtNode::poll);
        }
        self.take_turns();
    }

    fn handle_dht(&mut self, ipv6: bool, out: Output) {
        let identity = &self.ctx.net.identity;
        let socket = if ipv6 { identity.udp6 } else { identity.udp4 };
        if let Some(socket) = socket {
            let send = |(to, data)| Action::SendDatagram { socket, to, data };
            self.ctx.out.actions.extend(out.packets.into_iter().map(send));
        }
        for event in out.events {
            match event {
                DhtEvent::Peers { key, from, peers } => self.dht_found(ipv6, key, from, &peers),
                DhtEvent::Done(key, outcome) => self.dht_done(ipv6, key, *outcome),
                DhtEvent::Voice { from, addr } => {
                    self.ctx.net.identity.vote(from, addr.ip());
                    if let Some(ip) = self.ctx.net.identity.settled(ipv6) {
                        self.with_dht(ipv6, |node, now, _| node.lives_at(ip, now));
                    }
                }
                DhtEvent::Lonely => self.bootstrap_dht(),
            }
        }
    }

    /// No node is known: asks the bootstrap nodes, and those of an earlier run again.
    fn bootstrap_dht(&mut self) {
        let names = self.ctx.config.dht_bootstrap.clone();
        names.iter().for_each(|name| self.dht_contact(name));
        let torrents = self.torrents.iter().filter(|(_, torrent)| !torrent.metainfo.is_private());
        let nodes = torrents.flat_map(|(_, torrent)| torrent.metainfo.nodes().iter().take(8));
        let nodes: Vec<(String, u16)> =
            nodes.take(64).map(|node| (node.host.clone(), node.port)).collect();
        for (host, port) in nodes {
            match host.parse::<IpAddr>() {
                Ok(ip) => self.dht_named(SocketAddr::new(ip, port)),
                Err(_) => self.look_up(Lookup::NamedNode { port }, host),
            }
        }
        let restored = self.dht.restored.nodes.clone();
        for ipv6 in [false, true] {
            self.with_dht(ipv6, |node, now, out| node.join(&restored, now, out));
        }
    }

    /// Gets in touch with a node that is known by `HOST:PORT`.
    pub(super) fn dht_contact(&mut self, name: &str) {
        if let Ok(addr) = name.parse::<SocketAddr>() {
            return self.dht_meet(addr);
        }
        let Some((host, port)) = name.rsplit_once(':') else { return };
        let Ok(port) = port.parse::<u16>() else { return };
        let host = host.trim_matches(['[', ']']);
        match host.parse::<IpAddr>() {
            Ok(ip) => self.dht_meet(SocketAddr::new(ip, port)),
            Err(_) => self.look_up(Lookup::DhtNode { port }, host.into()),
        }
    }

    /// A name of a node was looked up.
    pub(super) fn dht_resolved(&mut self, ips: &[IpAddr], port: u16) {
        for ipv6 in [false, true] {
            let family = ips.iter().filter(|ip| ip.is_ipv6() == ipv6);
            family.take(MAX_ADDRESSES).for_each(|ip| self.dht_meet(SocketAddr::new(*ip, port)));
        }
    }

    /// A torrent names a node, wherever it is, as a magnet names peers: not many are met in all.
    pub(super) fn dht_named(&mut self, node: SocketAddr) {
        self.ctx.net.introductions.tell(node, self.ctx.now);
    }

    fn dht_meet(&mut self, addr: SocketAddr) {
        let addr = crate::base::addr::normalise(addr);
        self.with_dht(addr.is_ipv6(), |node, now, out| node.meet(addr, now, out));
    }

    /// Nodes that peers told of (BEP 5 PORT), and torrents that want to be looked for.
    pub(super) fn search_dht(&mut self, searched: BTreeSet<TorrentId>) {
        let contacts = self.ctx.net.introductions.take();
        self.leave_dht();
        if !self.ctx.net.dht_runs {
            return;
        }
        contacts.into_iter().for_each(|addr| self.dht_meet(addr));
        for id in searched {
            let at = self.ctx.now;
            if self.dht.turns.get(&id).is_none_or(|turn| *turn > at) {
                self.dht.set_turn(id, at);
            }
        }
        self.take_turns();
    }

    /// Torrents whose turn has come are looked for, as many as may be at a time.
    fn take_turns(&mut self) {
        let now = self.ctx.now;
        while let Some((at, id)) = self.dht.queue.first().copied()
            && at <= now
            && self.dht.running.len() < 2 * MAX_RUNNING
            && self.dht.nodes.iter().flatten().any(|node| !node.table().is_empty())
            && self.dht.keep_pace(now)
        {
            self.dht.drop_turn(id);
            let Some(torrent) = self.torrents.get(id) else { continue };
            // Whoever stands still, or is private, asks for a turn again when that changes.
            if self.ctx.stopping || !torrent.is_running() || torrent.metainfo.is_private() {
                continue;
            }
            let target = NodeId::from(torrent.info_hash());
            let announce = self.ctx.net.identity.port.map(Some);
            let goal = Goal::Peers { announce, seed: torrent.is_complete() };
            for ipv6 in [false, true] {
                self.dht_look_up(ipv6, target, goal.clone(), Client::Torrent(id));
            }
            let jitter = Duration::from_millis(self.ctx.random.misc.below(JITTER).into());
            self.dht.set_turn(id, now + INTERVAL + jitter);
        }
        self.set_dht_alarm();
    }

    /// Ends lookups of torrents that turned out to be private, without a result.
    fn leave_dht(&mut self) {
        for id in self.ctx.agenda.discovery.take_departures() {
            self.dht.drop_turn(id);
            let about = |client: &Client| matches!(client, Client::Torrent(t) if *t == id);
            let lookups = self.dht.running.iter().filter(|(_, client)| about(client));
            let lookups: Vec<_> = lookups.map(|(key, _)| *key).collect();
            for (ipv6, key) in lookups {
                self.dht.running.remove(&(ipv6, key));
                if let Some(node) = &mut self.dht.nodes[usize::from(ipv6)] {
                    node.give_up(key);
                }
            }
        }
    }

    fn dht_look_up(&mut self, ipv6: bool, target: NodeId, goal: Goal, client: Client) {
        let mut out = Output::default();
        if let Some(node) = &mut self.dht.nodes[usize::from(ipv6)] {
            if let Some(key) = node.look_up(target, goal, self.ctx.now, &mut out) {
                self.dht.running.insert((ipv6, key), client);
            }
            self.handle_dht(ipv6, out);
        }
    }

    fn dht_found(&mut self, ipv6: bool, key: LookupKey, from: IpAddr, peers: &[SocketAddr]) {
        let Some(Client::Torrent(id)) = self.dht.running.get(&(ipv6, key)) else { return };
        let id = *id;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let own = self.ctx.net.identity.external(ipv6);
        let namer = Namer::at(PeerSource::Dht, from);
        for addr in peers.iter().filter(|addr| **addr != own) {
            torrent.add_candidate(&mut self.ctx, *addr, namer);
        }
    }

    fn dht_done(&mut self, ipv6: bool, key: LookupKey, outcome: Outcome) {
        match self.dht.running.remove(&(ipv6, key)) {
            Some(Client::Torrent(id)) => {
                let Some(torrent) = self.torrents.get(id) else { return };
                if self.ctx.config.rest_after.is_some() {
                    self.ctx.agenda.touched.insert(id);
                }
                if torrent.peers.is_empty() && torrent.is_running() && !torrent.is_complete() {
                    let soon = self.ctx.now + LONELY_INTERVAL;
                    self.dht.set_turn(id, soon);
                }
                let (peers, nodes) = (outcome.peers.len() as u32, outcome.stored_at);
                self.ctx.notify(Notice::DhtReplied { torrent: id, peers, nodes });
            }
            Some(Client::User(tag, target)) => {
                let outcome = outcome.into();
                self.ctx.notify(Notice::DhtAnswered { tag, target, outcome });
            }
            None => {}
        }
    }

    /// The embedder asks the DHT.
    pub(super) fn dht_request(&mut self, tag: Tag, request: DhtRequest) {
        let (target, goal) = match request {
            DhtRequest::Contact(name) => return self.dht_contact(&name),
            DhtRequest::Get { target, salt } => (target, Goal::Get(salt)),
            DhtRequest::Put { item, cas } => (item.target(), Goal::Put(item, cas)),
            DhtRequest::Scrape(hash) => (hash.into(), Goal::Scrape),
            DhtRequest::Samples(target) => (target, Goal::Samples),
        };
        for ipv6 in [false, true] {
            self.dht_look_up(ipv6, target, goal.clone(), Client::User(tag, target));
        }
        self.set_dht_alarm();
    }

    fn set_dht_alarm(&mut self) {
        let now = self.ctx.now;
        let nodes = self.dht.nodes.iter().flatten().map(|node| node.next_deadline(now));
        // A lookup that waits for a free place, or for known nodes, may start when a node has done something.
        let turn = self.dht.queue.first().map(|(at, _)| (*at).max(now + self.dht.gap()));
        let company = self.dht.nodes.iter().flatten().any(|node| !node.table().is_empty());
        let room = self.dht.running.len() < 2 * MAX_RUNNING;
        let next = nodes.chain(turn.filter(|_| company && room)).min();
        if let Some(at) = next {
            let at = at.max(now + Duration::from_millis(1));
            self.dht.alarm.set(&mut self.ctx.timers, at, now, Timer::Dht);
        }
    }
}

#[cfg(feature = "corruption")]
impl DhtService {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "every torrent has one turn in the DHT" => {
                self.turns.insert(TorrentId::from_u64(9 << 32 | 9), Instant::from_nanos(7));
            }
            _ => return self.nodes.iter_mut().flatten().find_map(|node| node.corrupt(rule)),
        }
        Some(())
    }
}
