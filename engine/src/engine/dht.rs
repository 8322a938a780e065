//! What the engine and its torrents want of the DHT, and what comes of it (`dht/service.rs`).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::Engine;
use crate::api::{Action, DhtRequest, Notice, PeerSource, Tag};
use crate::base::ids::TorrentId;
use crate::base::time::Instant;
use crate::candidates::Namer;
use crate::context::Timer;
pub(super) use crate::dht::DhtService;
use crate::dht::{Asker, DhtNode, DhtState, Goal, NodeConfig, NodeId, Outcome, ServiceOutput};
use crate::lookups::Lookup;

/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

impl Engine {
    /// What the next run should know of the DHT; `None` where there is none.
    pub fn dht_state(&self) -> Option<DhtState> {
        self.dht.state()
    }

    /// The DHT node of an address family, to look at.
    pub fn dht_node(&self, ipv6: bool) -> Option<&DhtNode> {
        self.dht.node(ipv6)
    }

    /// Asks the machine, and does what it says.
    fn with_dht(&mut self, asks: impl FnOnce(&mut DhtService, Instant, &mut Vec<ServiceOutput>)) {
        self.leave_dht();
        let mut out = Vec::new();
        asks(&mut self.dht, self.ctx.now, &mut out);
        out.into_iter().for_each(|output| self.follow_dht(output));
    }

    fn follow_dht(&mut self, output: ServiceOutput) {
        match output {
            ServiceOutput::Send { ipv6, to, data } => {
                let blocked = self.ctx.net.standing.filter().blocks(to.ip());
                if let Some(socket) = self.ctx.net.identity.udp(ipv6).filter(|_| !blocked) {
                    self.ctx.out.actions.push(Action::SendDatagram { socket, to, data });
                }
            }
            ServiceOutput::Peers { torrent, ipv6, from, peers } => {
                let Some(torrent) = self.torrents.get_mut(torrent) else { return };
                let own = self.ctx.net.identity.external(ipv6);
                let namer = Namer::at(PeerSource::Dht, from);
                for addr in peers.into_iter().filter(|addr| *addr != own) {
                    torrent.add_candidate(&mut self.ctx, addr, namer);
                }
            }
            ServiceOutput::Done(Asker::Torrent(id), outcome) => self.looked_for(id, &outcome),
            ServiceOutput::Done(Asker::User(tag, target), outcome) => {
                self.ctx.notify(Notice::DhtAnswered { tag: Tag(tag), target, outcome });
            }
            ServiceOutput::Voice { ipv6, from, ip } => {
                self.ctx.net.identity.vote(from, ip);
                if let Some(ip) = self.ctx.net.identity.settled(ipv6) {
                    self.with_dht(|dht, now, _| dht.lives_at(ipv6, ip, now));
                }
            }
            ServiceOutput::Lonely => self.bootstrap_dht(),
        }
    }

    /// A torrent was looked for, over one address family.
    fn looked_for(&mut self, id: TorrentId, outcome: &Outcome) {
        let Some(torrent) = self.torrents.get(id) else { return };
        if self.ctx.config.rest_after.is_some() {
            self.ctx.agenda.touched.insert(id);
        }
        if torrent.peers().is_empty() && torrent.is_running() && !torrent.is_complete() {
            self.dht.is_lonely(id, self.ctx.now);
        }
        let (peers, nodes) = (outcome.peers.len() as u32, outcome.stored_at);
        self.ctx.notify(Notice::DhtReplied { torrent: id, peers, nodes });
    }

    /// Starts the nodes for which there is a socket now.
    pub(super) fn start_dht(&mut self) {
        if !self.ctx.config.dht {
            return;
        }
        for ipv6 in [false, true] {
            if self.ctx.net.identity.udp(ipv6).is_some() {
                let (read_only, anonymous) =
                    (self.ctx.config.dht_read_only, self.ctx.config.anonymous);
                let config = NodeConfig { ipv6, read_only, anonymous };
                let rng = self.ctx.random.seed.stream(if ipv6 { "dht6" } else { "dht4" });
                self.with_dht(|dht, now, out| dht.opened(config, rng, now, out));
            }
        }
        self.ctx.net.dht_runs = self.dht.runs();
        self.set_dht_alarm();
    }

    /// Ids and nodes of an earlier run.
    pub(super) fn restore_dht(&mut self, mut state: DhtState) {
        if self.ctx.config.anonymous {
            // Whoever knew us by it would know us again.
            state.ids = [None; 2];
        }
        state.nodes.retain(|node| !self.ctx.net.standing.filter().blocks(node.addr.ip()));
        self.with_dht(|dht, now, out| dht.restored(state, now, out));
    }

    /// A packet of the DHT.
    pub(super) fn dht_datagram(&mut self, from: SocketAddr, data: &[u8]) {
        self.leave_dht();
        let mut out = Vec::new();
        let filter = self.ctx.net.standing.filter();
        let blocks = |ip| filter.blocks(ip);
        self.dht.datagram(from, data, &blocks, self.ctx.now, &mut out);
        out.into_iter().for_each(|output| self.follow_dht(output));
    }

    /// What is due in the DHT.
    pub(super) fn poll_dht(&mut self) {
        for ipv6 in [false, true] {
            self.with_dht(|dht, now, out| dht.poll(ipv6, now, out));
        }
        self.take_turns();
    }

    /// No node is known: asks the bootstrap nodes, and those of an earlier run again.
    fn bootstrap_dht(&mut self) {
        let names = self.ctx.config.dht_bootstrap.clone();
        names.iter().for_each(|name| self.dht_contact(name));
        let torrents =
            self.torrents.iter().filter(|(_, torrent)| !torrent.contents().are_private());
        let nodes = torrents.flat_map(|(torrent, found)| {
            let nodes = found.contents().nodes().into_owned().into_iter().take(8);
            nodes.map(move |node| (torrent, node.host, node.port))
        });
        let nodes: Vec<(TorrentId, String, u16)> = nodes.take(64).collect();
        for (torrent, host, port) in nodes {
            match host.parse::<IpAddr>() {
                Ok(ip) => self.dht_named(SocketAddr::new(ip, port)),
                Err(_) => self.look_up(Lookup::NamedNode { torrent, port }, host),
            }
        }
        self.with_dht(DhtService::rejoin);
    }

    /// Gets in touch with a node that is known by `HOST:PORT`.
    fn dht_contact(&mut self, name: &str) {
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

    /// Nodes at addresses that are blocked from now on are forgotten.
    pub(super) fn filter_dht(&mut self) {
        let filter = self.ctx.net.standing.filter();
        self.dht.forget(|ip| filter.blocks(ip));
    }

    fn dht_meet(&mut self, addr: SocketAddr) {
        if self.ctx.net.standing.filter().blocks(addr.ip()) {
            return;
        }
        self.with_dht(|dht, now, out| dht.met(addr, now, out));
    }

    /// Nodes that peers told of (BEP 5 PORT), and torrents that want to be looked for.
    pub(super) fn search_dht(&mut self, searched: BTreeSet<TorrentId>) {
        let contacts = self.ctx.net.introductions.take();
        self.leave_dht();
        if !self.ctx.net.dht_runs {
            return;
        }
        contacts.into_iter().for_each(|addr| self.dht_meet(addr));
        searched.into_iter().for_each(|id| self.dht.wanted(id, self.ctx.now));
        self.take_turns();
    }

    /// Torrents whose turn has come are looked for, as many as may be at a time.
    fn take_turns(&mut self) {
        let now = self.ctx.now;
        while let Some(id) = self.dht.next_turn(now) {
            let Some(torrent) = self.torrents.get(id) else { continue };
            // Whoever stands still, or is private, asks for a turn again when that changes.
            if self.ctx.stopping || !torrent.is_running() || torrent.contents().are_private() {
                continue;
            }
            let target = NodeId::from(torrent.info_hash());
            let announce = self.ctx.net.identity.port.map(Some);
            let goal = Goal::Peers { announce, seed: torrent.is_complete() };
            self.ask_dht(target, &goal, Asker::Torrent(id));
            self.dht.looked_for(id, &mut self.ctx.random.misc, now);
        }
        self.set_dht_alarm();
    }

    /// Asks over both address families.
    fn ask_dht(&mut self, target: NodeId, goal: &Goal, asker: Asker) {
        for ipv6 in [false, true] {
            let question = (target, goal.clone());
            self.with_dht(|dht, now, out| dht.asked(ipv6, question, asker, now, out));
        }
    }

    /// Ends lookups of torrents that turned out to be private, without a result.
    fn leave_dht(&mut self) {
        let departures = self.ctx.agenda.discovery.take_departures();
        departures.into_iter().for_each(|id| self.dht.left(id));
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
        self.ask_dht(target, &goal, Asker::User(tag.0, target));
        self.set_dht_alarm();
    }

    fn set_dht_alarm(&mut self) {
        let now = self.ctx.now;
        if let Some(at) = self.dht.next_deadline(now) {
            self.dht_alarm.set(&mut self.ctx.timers, at, now, Timer::Dht);
        }
    }
}
