//! What torrents want of trackers, and what comes of it (`tracker/client.rs`); and the answers to look-ups of names
//! (`lookups.rs`), whoever wanted them.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Engine;
use crate::api::{Action, HttpAction, HttpEvent, LookupError, ViolatedRule};
use crate::base::addr::may_lead_to;
use crate::base::ids::{ExchangeId, LookupId, TorrentId};
use crate::context::Timer;
use crate::lookups::Lookup;
use crate::tracker::{Around, Order, Output, TrackerClient, TrackerRef, UdpHost};

impl Engine {
    /// Asks the machine that speaks with trackers, and does what it says.
    fn with_trackers<T>(
        &mut self,
        asks: impl FnOnce(&mut TrackerClient, &mut Around, &mut Vec<Output>) -> T,
    ) -> T {
        let (torrents, ctx) = (&self.torrents, &mut self.ctx);
        let url = |torrent: TorrentId, at: TrackerRef| {
            let tracker = torrents.get(torrent)?.announcer().tracker(at)?;
            Some(tracker.url.clone())
        };
        let waits = |torrent: TorrentId, at: TrackerRef| {
            torrents.get(torrent).is_some_and(|torrent| torrent.announcer().is_in_line(at))
        };
        let identity = &ctx.net.identity;
        let mut around = Around {
            now: ctx.now,
            http: [ctx.config.ipv4, ctx.config.ipv6],
            udp: [identity.udp4.is_some(), identity.udp6.is_some()],
            filter: ctx.net.standing.filter(),
            rng: &mut ctx.random.transactions,
            waits: &waits,
            url: &url,
        };
        let mut out = Vec::new();
        let answer = asks(&mut self.trackers, &mut around, &mut out);
        if let Some(at) = self.trackers.next_deadline() {
            let (alarm, timers) = (&mut self.trackers_alarm, &mut self.ctx.timers);
            alarm.set(timers, at, self.ctx.now, Timer::Trackers);
        }
        out.into_iter().for_each(|output| self.follow_tracker(output));
        answer
    }

    fn follow_tracker(&mut self, output: Output) {
        let ctx = &mut self.ctx;
        match output {
            Output::Get(id, get) => {
                ctx.out.actions.push(Action::Http(id, HttpAction::Get(get.into())));
            }
            Output::Send(to, data) => {
                // What was asked before its address was blocked is asked no more.
                let blocked = ctx.net.standing.filter().blocks(to.ip());
                if let Some(socket) = ctx.net.identity.udp(to.is_ipv6()).filter(|_| !blocked) {
                    ctx.out.actions.push(Action::SendDatagram { socket, to, data });
                }
            }
            Output::LookUp(UdpHost { announce, host, port, path }) => {
                let name = host.clone();
                self.look_up(Lookup::UdpTracker { announce, host, port, path }, name);
            }
            Output::NamedPeer { torrent, host, port, teller } => {
                self.look_up(Lookup::Peer { torrent, port, teller }, host);
            }
            Output::OurAddress(ip) => {
                // Whoever the tracker is: all of them have one voice.
                ctx.net.identity.vote(IpAddr::V4(Ipv4Addr::UNSPECIFIED), ip);
            }
            Output::PutOff { torrent, tracker, admission } => {
                if let Some(found) = self.torrents.get_mut(torrent) {
                    found.announce_put_off(ctx, tracker, admission);
                }
            }
            Output::Turn { torrent, tracker, host } => self.takes_its_turn(torrent, tracker, host),
            Output::Answered { torrent, tracker, answer, peers, warning } => {
                if let Some(torrent) = self.torrents.get_mut(torrent) {
                    torrent.tracker_answered(ctx, tracker, &answer, &peers, warning);
                }
            }
            Output::Failed { torrent, tracker, failure } => {
                if let Some(torrent) = self.torrents.get_mut(torrent) {
                    torrent.tracker_failed(ctx, tracker, &failure);
                }
            }
            Output::Scraped { torrent, tracker, counts } => {
                if let Some(torrent) = self.torrents.get_mut(torrent) {
                    torrent.scraped(tracker, counts);
                }
            }
        }
    }

    /// The user wants an announce now: also one at a host that has failed.
    pub(super) fn announce_now(&mut self, id: TorrentId) {
        if let Some(torrent) = self.torrents.get_mut(id) {
            torrent.announcer().trackers().for_each(|tracker| self.trackers.insisted(&tracker.url));
            torrent.announce_now(&mut self.ctx.agenda);
        }
    }

    /// A torrent wants this announce.
    pub(super) fn announce(&mut self, id: TorrentId, order: &Order) {
        let Some(torrent) = self.torrents.get(id) else { return };
        let params = torrent.announce_params(&self.ctx, order);
        self.with_trackers(|trackers, around, out| {
            trackers.wanted(id, order, params, around, out);
        });
    }

    /// A torrent is served that stood in line.
    fn takes_its_turn(&mut self, id: TorrentId, tracker: TrackerRef, host: String) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let Some(order) = torrent.announce_turn(&mut self.ctx, tracker) else { return };
        let params = torrent.announce_params(&self.ctx, &order);
        self.with_trackers(|trackers, around, out| {
            trackers.admitted(id, &order, params, host, around, out);
        });
    }

    /// Something about an HTTP exchange.
    pub(super) fn http(&mut self, id: ExchangeId, event: HttpEvent) {
        if !self.with_trackers(|trackers, around, out| trackers.http(id, event, around, out)) {
            self.violated(ViolatedRule::UnknownCompletion);
        }
    }

    /// A UDP packet came.
    pub(super) fn tracker_datagram(&mut self, from: SocketAddr, data: &[u8]) {
        self.with_trackers(|trackers, around, out| trackers.datagram(from, data, around, out));
    }

    pub(super) fn poll_trackers(&mut self) {
        self.with_trackers(TrackerClient::poll);
    }

    /// Has a name looked up, where that may be.
    pub(super) fn look_up(&mut self, lookup: Lookup, host: String) {
        if let Some(id) = self.lookups.wanted(lookup, self.ctx.now) {
            self.ctx.out.actions.push(Action::Resolve(id, host));
        }
    }

    /// Whether a name is looked up for a tracker.
    pub fn looks_up_for_tracker(&self, id: LookupId) -> bool {
        matches!(self.lookups.get(id), Some(Lookup::UdpTracker { .. }))
    }

    /// Whether a UDP tracker at that address is being asked.
    pub fn asks_tracker_at(&self, addr: SocketAddr) -> bool {
        self.trackers.asks_at_address(addr)
    }

    /// A name was looked up.
    pub(super) fn resolved(&mut self, id: LookupId, result: Result<Vec<IpAddr>, LookupError>) {
        let Some(lookup) = self.lookups.ended(id) else {
            return self.violated(ViolatedRule::UnknownCompletion);
        };
        let mut ips = result.unwrap_or_default();
        match lookup {
            Lookup::DhtNode { port } => self.dht_resolved(&ips, port),
            Lookup::NamedNode { port, .. } => {
                let nodes = ips.into_iter().take(2).map(|ip| SocketAddr::new(ip, port));
                nodes.for_each(|node| self.dht_named(node));
            }
            Lookup::Peer { torrent, port, teller } => {
                ips.retain(|ip| may_lead_to(teller, *ip));
                if let Some(torrent) = self.torrents.get_mut(torrent) {
                    torrent.peer_resolved(&mut self.ctx, &ips, port);
                }
            }
            Lookup::UdpTracker { announce, host, port, path } => {
                let host = UdpHost { announce, host, port, path };
                self.with_trackers(|trackers, around, out| {
                    trackers.resolved(host, ips, around, out);
                });
            }
        }
    }
}
