//! Carrying out announces: name look-ups, HTTP exchanges with redirects, UDP conversations, one leg
//! for each address family. What comes of it goes back to the torrent.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::api::{Action, HttpAction, HttpEvent, HttpFailure, HttpGet, LookupError, ViolatedRule};
use crate::base::addr::Scope;
use crate::base::ids::{ExchangeId, LookupId, TorrentId};
use crate::base::slots::SlotMap;
use crate::base::timer_queue::Alarm;
use crate::context::Timer;
use crate::tracker::{
    AnnounceEvent, AnnounceParams, Answer, Failure, Order, PeerHost, TrackerRef, UdpClient,
    UdpOutcome, announce_url, parse_announce, parse_scrape, scrape_url, split_udp_url,
    url_data_option,
};

/// Longest body of a tracker's reply.
const MAX_BODY: u32 = 1 << 20;
/// Seconds for an announce, and for the last one.
const HTTP_SECONDS: (u32, u32) = (30, 4);
/// Redirects followed.
const MAX_REDIRECTS: u8 = 5;
/// Host names whose addresses are remembered for the last announce.
const MAX_NAMES: usize = 1000;

/// One announce, made over one or two address families.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Announce {
    torrent: TorrentId,
    tracker: TrackerRef,
    params: AnnounceParams,
    legs: u8,
    answer: Option<Answer>,
    peers: Vec<SocketAddr>,
    warning: Option<String>,
    failure: Option<Failure>,
}

/// What an HTTP exchange is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Purpose {
    /// A leg of this announce.
    Announce(u64),
    /// The sizes of a swarm, where the announce did not tell (BEP 48).
    Scrape(TorrentId, TrackerRef),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Exchange {
    purpose: Purpose,
    ipv6: Option<bool>,
    redirects: u8,
    status: u16,
    location: Option<String>,
    scope: Scope,
    /// Where redirects may lead; `None` for anywhere.
    only: Option<Scope>,
    body: BytesMut,
    timeout: u32,
}

impl Exchange {
    fn new(purpose: Purpose, ipv6: Option<bool>, timeout: u32) -> Self {
        Self {
            purpose,
            ipv6,
            redirects: 0,
            status: 0,
            location: None,
            scope: Scope::Local,
            only: None,
            body: BytesMut::new(),
            timeout,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Lookup {
    /// The host of a UDP tracker.
    UdpTracker { announce: u64, host: String, port: u16, path: String },
    /// A node of the DHT.
    DhtNode { port: u16 },
    /// A peer that a tracker named by host name.
    Peer { torrent: TorrentId, port: u16 },
}

/// Everything in progress with trackers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct TrackerIo {
    announces: BTreeMap<u64, Announce>,
    next: u64,
    exchanges: SlotMap<ExchangeId, Exchange>,
    lookups: SlotMap<LookupId, Lookup>,
    udp: UdpClient,
    udp_alarm: Alarm,
    names: BTreeMap<String, Vec<IpAddr>>,
}

impl TrackerIo {
    pub(super) fn is_idle(&self) -> bool {
        self.announces.is_empty()
    }
}

impl Engine {
    /// Makes the announces that torrents ordered in this step.
    pub(super) fn make_announces(&mut self) {
        while !self.ctx.orders.is_empty() {
            for (id, order) in core::mem::take(&mut self.ctx.orders) {
                self.announce(id, &order);
            }
            // A tracker that fails at once hands over to the next in the same step.
            self.settle();
            self.flush();
        }
    }

    fn announce(&mut self, id: TorrentId, order: &Order) {
        let Some(torrent) = self.torrents.get(id) else { return };
        let params = torrent.announce_params(&self.ctx, order);
        self.trackers.next += 1;
        let key = self.trackers.next;
        let announce = Announce {
            torrent: id,
            tracker: order.tracker,
            params,
            legs: 0,
            answer: None,
            peers: Vec::new(),
            warning: None,
            failure: None,
        };
        self.trackers.announces.insert(key, announce);
        if let Some((host, port, path)) = split_udp_url(&order.url) {
            return self.announce_udp(key, host, port, path);
        }
        let lower = order.url.to_ascii_lowercase();
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            return self.leg_failed(key, "this kind of tracker is not supported", None);
        }
        let url = announce_url(&order.url, &params, order.tracker_id.as_deref());
        let timeout =
            if params.event == AnnounceEvent::Stopped { HTTP_SECONDS.1 } else { HTTP_SECONDS.0 };
        let families = self.families(&order.url);
        if families.is_empty() {
            return self.leg_failed(key, "no usable address family", None);
        }
        for ipv6 in families {
            self.add_leg(key);
            let exchange = Exchange::new(Purpose::Announce(key), ipv6, timeout);
            self.http_get(&url, exchange);
        }
    }

    /// The address families over which to announce to an HTTP tracker: one announce each, so that
    /// it learns both our addresses (BEP 7); one in all where the URL holds an address.
    fn families(&self, url: &str) -> Vec<Option<bool>> {
        let config = &self.ctx.config;
        let host = url.split_once("://").map_or("", |(_, rest)| rest);
        let host = host.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let is_v6 = host.starts_with('[');
        let name = host.split(':').next().unwrap_or_default();
        let is_v4 = name.parse::<core::net::Ipv4Addr>().is_ok();
        match (is_v4, is_v6) {
            (true, _) => config.ipv4.then_some(Some(false)).into_iter().collect(),
            (_, true) => config.ipv6.then_some(Some(true)).into_iter().collect(),
            _ => {
                let v4 = config.ipv4.then_some(Some(false));
                v4.into_iter().chain(config.ipv6.then_some(Some(true))).collect()
            }
        }
    }

    fn add_leg(&mut self, key: u64) {
        if let Some(announce) = self.trackers.announces.get_mut(&key) {
            announce.legs += 1;
        }
    }

    fn http_get(&mut self, url: &str, exchange: Exchange) {
        let Exchange { ipv6, timeout, only, .. } = exchange;
        let id = self.trackers.exchanges.insert(exchange);
        let get = HttpGet { url: url.to_string(), ipv6, only, max_body: MAX_BODY, timeout };
        self.ctx.actions.push(Action::Http(id, HttpAction::Get(get.into())));
    }

    /// Something about an HTTP exchange.
    pub(super) fn http(&mut self, id: ExchangeId, event: HttpEvent) {
        let Some(exchange) = self.trackers.exchanges.get_mut(id) else {
            return self.violated(ViolatedRule::UnknownCompletion);
        };
        match event {
            HttpEvent::Head { status, location, scope } => {
                exchange.status = status;
                exchange.location = location;
                exchange.scope = scope;
            }
            HttpEvent::Body(bytes) => {
                let room = MAX_BODY as usize - exchange.body.len();
                exchange.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            HttpEvent::Finished => {
                if let Some(exchange) = self.trackers.exchanges.remove(id) {
                    self.http_finished(exchange);
                }
            }
            HttpEvent::Failed(why) => {
                if let Some(exchange) = self.trackers.exchanges.remove(id) {
                    self.http_failed(exchange.purpose, why);
                }
            }
        }
    }

    fn http_failed(&mut self, purpose: Purpose, why: HttpFailure) {
        if let Purpose::Announce(key) = purpose {
            self.leg_failed(key, &why.to_string(), None);
        }
    }

    fn http_finished(&mut self, mut exchange: Exchange) {
        let redirected = (300..400).contains(&exchange.status);
        if let Some(location) = exchange.location.take().filter(|_| redirected) {
            return self.redirect(exchange, &location);
        }
        match exchange.purpose {
            Purpose::Announce(key) => self.announce_finished(key, &exchange),
            Purpose::Scrape(torrent, tracker) => {
                let reply = parse_scrape(&exchange.body).ok();
                if let (Some(torrent), Some(reply)) = (self.torrents.get_mut(torrent), reply)
                    && let Some(counts) = reply.files.get(&torrent.info_hash)
                {
                    torrent.announcer.counted(tracker, *counts);
                }
            }
        }
    }

    /// A tracker on the internet must not lead us into a private network.
    fn redirect(&mut self, mut exchange: Exchange, location: &str) {
        let lower = location.to_ascii_lowercase();
        let web = lower.starts_with("http://") || lower.starts_with("https://");
        if web && exchange.redirects < MAX_REDIRECTS {
            exchange.only =
                exchange.only.or((exchange.scope == Scope::Public).then_some(Scope::Public));
            exchange.redirects += 1;
            exchange.body.clear();
            return self.http_get(location, exchange);
        }
        if let Purpose::Announce(key) = exchange.purpose {
            self.leg_failed(key, "the tracker redirects to nowhere", None);
        }
    }

    fn announce_finished(&mut self, key: u64, exchange: &Exchange) {
        match parse_announce(&exchange.body) {
            Ok(reply) if reply.failure.is_some() => {
                let why = reply.failure.unwrap_or_default();
                self.leg_failed(key, &why, reply.retry_in);
            }
            Ok(reply) if exchange.status == 200 => {
                if let Some(ip) = reply.external_ip {
                    let voice = IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
                    self.ctx.identity.hear(voice, ip);
                }
                let answer = Answer {
                    interval: reply.interval,
                    min_interval: reply.min_interval,
                    tracker_id: reply.tracker_id,
                    counts: reply.counts,
                };
                if reply.counts.complete.is_none() {
                    self.scrape(key, exchange);
                }
                let peers = self.addresses(key, reply.peers);
                self.leg_answered(key, answer, peers, reply.warning);
            }
            Ok(_) | Err(_) if exchange.status != 200 => {
                let why = alloc::format!("HTTP status {}", exchange.status);
                self.leg_failed(key, &why, None);
            }
            Ok(_) | Err(_) => self.leg_failed(key, "the reply is not bencoded", None),
        }
    }

    /// Asks for the sizes of a swarm, once an announce, where the tracker's URL allows it.
    fn scrape(&mut self, key: u64, announced: &Exchange) {
        let Some(announce) = self.trackers.announces.get(&key) else { return };
        let (id, tracker) = (announce.torrent, announce.tracker);
        if announce.params.event == AnnounceEvent::Stopped {
            return;
        }
        let Some(torrent) = self.torrents.get(id) else { return };
        let url = torrent.announcer.tracker(tracker);
        let url = url.and_then(|tracker| scrape_url(&tracker.url, &[torrent.info_hash]));
        if let Some(url) = url {
            let purpose = Purpose::Scrape(id, tracker);
            self.http_get(&url, Exchange::new(purpose, announced.ipv6, HTTP_SECONDS.0));
        }
    }

    /// Addresses at once, host names looked up.
    fn addresses(&mut self, key: u64, peers: Vec<PeerHost>) -> Vec<SocketAddr> {
        let torrent = self.trackers.announces.get(&key).map(|announce| announce.torrent);
        let mut found = Vec::new();
        let mut names = 0;
        for peer in peers {
            match (peer, torrent) {
                (PeerHost::Addr(addr), _) => found.push(addr),
                (PeerHost::Name(host, port), Some(torrent)) if names < 20 => {
                    names += 1;
                    let id = self.trackers.lookups.insert(Lookup::Peer { torrent, port });
                    self.ctx.actions.push(Action::Resolve(id, host));
                }
                _ => {}
            }
        }
        found
    }

    fn announce_udp(&mut self, key: u64, host: String, port: u16, path: String) {
        self.add_leg(key);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.udp_legs(key, &[ip], port, &path);
        }
        let stopping = self
            .trackers
            .announces
            .get(&key)
            .is_some_and(|announce| announce.params.event == AnnounceEvent::Stopped);
        if stopping {
            // The last announce waits for no resolver.
            let known = self.trackers.names.get(&host).cloned().unwrap_or_default();
            return self.udp_legs(key, &known, port, &path);
        }
        let lookup = Lookup::UdpTracker { announce: key, host: host.clone(), port, path };
        let id = self.trackers.lookups.insert(lookup);
        self.ctx.actions.push(Action::Resolve(id, host));
    }

    /// Looks up the name of a node of the DHT.
    pub(super) fn resolve_dht_node(&mut self, host: String, port: u16) {
        let id = self.trackers.lookups.insert(Lookup::DhtNode { port });
        self.ctx.actions.push(Action::Resolve(id, host));
    }

    /// A name was looked up.
    pub(super) fn resolved(&mut self, id: LookupId, result: Result<Vec<IpAddr>, LookupError>) {
        let Some(lookup) = self.trackers.lookups.remove(id) else {
            return self.violated(ViolatedRule::UnknownCompletion);
        };
        let ips = result.unwrap_or_default();
        match lookup {
            Lookup::DhtNode { port } => self.dht_resolved(&ips, port),
            Lookup::Peer { torrent, port } => {
                if let Some(torrent) = self.torrents.get_mut(torrent) {
                    torrent.peer_resolved(&mut self.ctx, &ips, port);
                }
            }
            Lookup::UdpTracker { announce, host, port, path } => {
                if self.trackers.names.len() >= MAX_NAMES {
                    self.trackers.names.pop_first();
                }
                self.trackers.names.insert(host, ips.clone());
                self.udp_legs(announce, &ips, port, &path);
            }
        }
    }

    /// Announces by UDP to the first address of each family that we have a socket for. The leg
    /// that waited for the look-up becomes the first of them.
    fn udp_legs(&mut self, key: u64, ips: &[IpAddr], port: u16, path: &str) {
        let usable = |v6: bool| {
            let socket = if v6 { self.ctx.identity.udp6 } else { self.ctx.identity.udp4 };
            socket.and_then(|_| ips.iter().find(|ip| ip.is_ipv6() == v6).copied())
        };
        let targets: Vec<IpAddr> = usable(false).into_iter().chain(usable(true)).collect();
        let Some(params) = self.trackers.announces.get(&key).map(|a| a.params) else { return };
        if targets.is_empty() {
            return self.leg_failed(key, "host not found", None);
        }
        let options = if path.is_empty() { Vec::new() } else { url_data_option(path) };
        let mut out = Vec::new();
        for (index, ip) in targets.into_iter().enumerate() {
            if index > 0 {
                self.add_leg(key);
            }
            let to = SocketAddr::new(ip, port);
            let (now, rng) = (self.ctx.now, &mut self.ctx.transactions);
            self.trackers.udp.announce(key, to, params, options.clone(), now, rng, &mut out);
        }
        self.send_udp(out);
    }

    fn send_udp(&mut self, packets: Vec<(SocketAddr, Bytes)>) {
        for (to, data) in packets {
            let identity = &self.ctx.identity;
            let socket = if to.is_ipv6() { identity.udp6 } else { identity.udp4 };
            if let Some(socket) = socket {
                self.ctx.actions.push(Action::SendDatagram { socket, to, data });
            }
        }
        if let Some(at) = self.trackers.udp.next_deadline() {
            let (queue, now) = (&mut self.ctx.timers, self.ctx.now);
            self.trackers.udp_alarm.set(queue, at, now, Timer::UdpTrackers);
        }
    }

    /// A UDP packet came.
    pub(super) fn tracker_datagram(&mut self, from: SocketAddr, data: &[u8]) {
        let mut out = Vec::new();
        let (now, rng) = (self.ctx.now, &mut self.ctx.transactions);
        let ended = self.trackers.udp.received(from, data, now, rng, &mut out);
        self.send_udp(out);
        if let Some((key, outcome)) = ended {
            self.udp_ended(key, outcome);
        }
    }

    pub(super) fn poll_udp_trackers(&mut self) {
        let mut out = Vec::new();
        let (now, rng) = (self.ctx.now, &mut self.ctx.transactions);
        let ended = self.trackers.udp.poll(now, rng, &mut out);
        self.send_udp(out);
        ended.into_iter().for_each(|(key, outcome)| self.udp_ended(key, outcome));
    }

    fn udp_ended(&mut self, key: u64, outcome: UdpOutcome) {
        match outcome {
            UdpOutcome::Answered { interval, counts, peers } => {
                let interval = Some(interval);
                let answer = Answer { interval, counts, ..Answer::default() };
                self.leg_answered(key, answer, peers, None);
            }
            UdpOutcome::Refused(why) => self.leg_failed(key, &why, None),
            UdpOutcome::TimedOut => self.leg_failed(key, "timed out", None),
        }
    }

    fn leg_answered(
        &mut self,
        key: u64,
        answer: Answer,
        peers: Vec<SocketAddr>,
        warning: Option<String>,
    ) {
        if let Some(announce) = self.trackers.announces.get_mut(&key) {
            announce.answer.get_or_insert(answer);
            announce.peers.extend(peers);
            announce.warning = announce.warning.take().or(warning);
        }
        self.leg_ended(key);
    }

    fn leg_failed(&mut self, key: u64, message: &str, retry_in: Option<Option<u32>>) {
        if let Some(announce) = self.trackers.announces.get_mut(&key) {
            let failure = Failure { message: message.to_string(), retry_in };
            announce.failure.get_or_insert(failure);
        }
        self.leg_ended(key);
    }

    /// When the last leg has ended, an answer over either family is an answer.
    fn leg_ended(&mut self, key: u64) {
        let Some(announce) = self.trackers.announces.get_mut(&key) else { return };
        announce.legs = announce.legs.saturating_sub(1);
        if announce.legs > 0 {
            return;
        }
        let Some(announce) = self.trackers.announces.remove(&key) else { return };
        let Some(torrent) = self.torrents.get_mut(announce.torrent) else { return };
        let ctx = &mut self.ctx;
        let Announce { tracker, answer, peers, warning, failure, .. } = announce;
        match (answer, failure) {
            (Some(answer), _) => {
                torrent.tracker_answered(ctx, tracker, &answer, &peers, warning);
            }
            (None, Some(failure)) => torrent.tracker_failed(ctx, tracker, &failure),
            (None, None) => {}
        }
    }
}
