//! Carrying out announces: name look-ups, HTTP exchanges with redirects, UDP conversations, one leg
//! for each address family. What comes of it goes back to the torrent.

mod lookups;
mod udp;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::BytesMut;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::api::{Action, HttpAction, HttpEvent, HttpFailure, HttpGet, ViolatedRule};
use crate::base::addr::Scope;
use crate::base::ids::{ExchangeId, LookupId, TorrentId};
use crate::base::slots::SlotMap;
use crate::base::time::Instant;
use crate::base::timer_queue::Alarm;
use crate::tracker::{
    Admission, AnnounceEvent, AnnounceParams, Answer, Failure, Hosts, Order, TrackerRef, UdpClient,
    announce_url, host_of, may_be_near, may_be_near_by_redirect, parse_announce, parse_scrape,
    scrape_url, split_udp_url,
};
use lookups::Lookup;

/// Longest body of a tracker's reply.
const MAX_BODY: u32 = 1 << 20;
/// Seconds for an announce.
const HTTP_SECONDS: u32 = 30;
/// Seconds for the last one.
const LAST_HTTP_SECONDS: u32 = 4;
/// Redirects followed.
const MAX_REDIRECTS: u8 = 5;

/// One announce, made over one or two address families.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Announce {
    torrent: TorrentId,
    tracker: TrackerRef,
    params: AnnounceParams,
    /// Whose budget it is made from, since when.
    host: String,
    began: Instant,
    /// Somebody there has answered as a tracker does.
    spoke: bool,
    /// It may lead to this machine or into a local network.
    near: bool,
    /// The user named the tracker.
    trusted: bool,
    legs: u8,
    answer: Option<Answer>,
    peers: Vec<SocketAddr>,
    warning: Option<String>,
    /// Of the leg that came farthest.
    failure: Option<(Reach, Failure)>,
}

/// How far a leg came before it failed. What is told of an announce is the failure of the leg that came
/// farthest: of a host with one address, the other family has nothing to say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
enum Reach {
    /// There is no address to ask.
    Nowhere,
    /// The address does not let us in.
    Address,
    /// Nothing came back.
    Silence,
    /// The host has answered, if only that nobody listens there.
    Host,
    /// Something that listens there has answered, and not as a tracker should.
    Reply,
    /// The tracker itself refused.
    Tracker,
}

impl Reach {
    fn of(failure: HttpFailure) -> Self {
        match failure {
            HttpFailure::BadUrl | HttpFailure::Lookup | HttpFailure::Forbidden => Self::Nowhere,
            HttpFailure::Connect => Self::Address,
            HttpFailure::TimedOut => Self::Silence,
            HttpFailure::Refused | HttpFailure::Closed => Self::Host,
            _ => Self::Reply,
        }
    }
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
    /// The narrowest scope of addresses that it may reach; `None` for any.
    only: Option<Scope>,
    /// Where redirects led, and when.
    hops: Vec<(String, Instant)>,
    body: BytesMut,
    timeout: u32,
}

impl Exchange {
    fn new(purpose: Purpose, ipv6: Option<bool>, timeout: u32, near: bool) -> Self {
        Self {
            purpose,
            ipv6,
            redirects: 0,
            status: 0,
            location: None,
            scope: Scope::Public,
            only: (!near).then_some(Scope::Public),
            hops: Vec::new(),
            body: BytesMut::new(),
            timeout,
        }
    }
}

/// Everything in progress with trackers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct TrackerIo {
    announces: BTreeMap<u64, Announce>,
    next: u64,
    hosts: Hosts,
    exchanges: SlotMap<ExchangeId, Exchange>,
    lookups: SlotMap<LookupId, Lookup>,
    udp: UdpClient,
    udp_alarm: Alarm,
    names: BTreeMap<String, Vec<IpAddr>>,
    caused: lookups::CausedByStrangers,
}

impl TrackerIo {
    pub(super) fn is_idle(&self) -> bool {
        self.announces.is_empty()
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        self.hosts.check()?;
        self.caused.check(&self.lookups)
    }
}

impl Engine {
    /// The user wants an announce now: also one at a host that has failed.
    pub(super) fn announce_now(&mut self, id: TorrentId) {
        let urls = self.torrents.get(id).map(|torrent| torrent.announcer.trackers());
        let hosts = urls.into_iter().flatten().map(|tracker| host_of(&tracker.url));
        hosts.for_each(|host| self.trackers.hosts.pardon(&host));
        if let Some(torrent) = self.torrents.get_mut(id) {
            torrent.announcer.force();
            self.ctx.agenda.touched.insert(id);
        }
    }

    /// Whether the host of a tracker may be asked now. If not, the torrent tries again, or another.
    fn admit_announce(&mut self, id: TorrentId, order: &Order, host: &str) -> bool {
        let (hosts, now) = (&mut self.trackers.hosts, self.ctx.now);
        if order.event == AnnounceEvent::Stopped {
            return hosts.last_word(host, now);
        }
        let admission = hosts.begin(host, now);
        if admission != Admission::Go
            && let Some(torrent) = self.torrents.get_mut(id)
        {
            torrent.announcer.put_off(order.tracker, host, admission);
            self.ctx.agenda.touched.insert(id);
        }
        admission == Admission::Go
    }

    pub(super) fn announce(&mut self, id: TorrentId, order: &Order) {
        let Some(torrent) = self.torrents.get(id) else { return };
        let params = torrent.announce_params(&self.ctx, order);
        let host = host_of(&order.url);
        if !self.admit_announce(id, order, &host) {
            return;
        }
        self.trackers.next += 1;
        let key = self.trackers.next;
        let near = order.trusted || may_be_near(&order.url);
        let announce = Announce {
            torrent: id,
            tracker: order.tracker,
            params,
            host,
            began: self.ctx.now,
            spoke: false,
            near,
            trusted: order.trusted,
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
            return self.leg_failed(
                key,
                Reach::Nowhere,
                "this kind of tracker is not supported",
                None,
            );
        }
        let url = announce_url(&order.url, &params, order.tracker_id.as_deref());
        let timeout =
            if params.event == AnnounceEvent::Stopped { LAST_HTTP_SECONDS } else { HTTP_SECONDS };
        let families = self.families(&order.url);
        if families.is_empty() {
            return self.leg_failed(key, Reach::Nowhere, "no usable address family", None);
        }
        for ipv6 in families {
            self.add_leg(key);
            let purpose = Purpose::Announce(key);
            let exchange = Exchange::new(purpose, ipv6, timeout, near);
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
        let timeout = Duration::from_secs(timeout.into());
        let get = HttpGet { url: url.to_string(), ipv6, only, max_body: MAX_BODY, timeout };
        self.ctx.out.actions.push(Action::Http(id, HttpAction::Get(get.into())));
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
                    self.arrived(&exchange, false);
                    self.http_failed(exchange.purpose, why);
                }
            }
        }
    }

    fn http_failed(&mut self, purpose: Purpose, why: HttpFailure) {
        if let Purpose::Announce(key) = purpose {
            self.leg_failed(key, Reach::of(why), &why.to_string(), None);
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
                self.arrived(&exchange, reply.is_some());
                if let (Some(torrent), Some(reply)) = (self.torrents.get_mut(torrent), reply)
                    && let Some(counts) = reply.files.get(&torrent.info_hash())
                {
                    torrent.announcer.counted(tracker, *counts);
                }
            }
        }
    }

    /// What is known now of the hosts that redirects led to.
    fn arrived(&mut self, exchange: &Exchange, spoke: bool) {
        for (host, began) in &exchange.hops {
            self.trackers.hosts.request_ended(host, *began, spoke, self.ctx.now);
        }
    }

    /// A tracker on the internet must not lead us into a private network, nor to somebody who has
    /// been asked enough.
    fn redirect(&mut self, mut exchange: Exchange, location: &str) {
        let lower = location.to_ascii_lowercase();
        let web = lower.starts_with("http://") || lower.starts_with("https://");
        let host = host_of(location);
        let follow = web && exchange.redirects < MAX_REDIRECTS;
        if follow && self.trackers.hosts.another(&host, self.ctx.now) {
            let from = exchange.only.unwrap_or(Scope::Loopback).min(exchange.scope);
            let trusted = matches!(exchange.purpose, Purpose::Announce(key)
                if self.trackers.announces.get(&key).is_some_and(|announce| announce.trusted));
            let near = trusted || may_be_near_by_redirect(location);
            let nearest = if near { from } else { Scope::Public };
            exchange.only = (nearest != Scope::Loopback).then_some(nearest);
            exchange.redirects += 1;
            exchange.hops.push((host, self.ctx.now));
            exchange.body.clear();
            return self.http_get(location, exchange);
        }
        self.arrived(&exchange, false);
        if let Purpose::Announce(key) = exchange.purpose {
            self.leg_failed(key, Reach::Reply, "the tracker redirects to nowhere", None);
        }
    }

    fn announce_finished(&mut self, key: u64, exchange: &Exchange) {
        let reply = parse_announce(&exchange.body);
        let spoke =
            reply.as_ref().is_ok_and(|reply| reply.failure.is_some() || exchange.status == 200);
        self.arrived(exchange, spoke);
        self.leg_spoke(key, spoke);
        match reply {
            Ok(reply) if reply.failure.is_some() => {
                let why = reply.failure.unwrap_or_default();
                self.leg_failed(key, Reach::Tracker, &why, reply.retry_in);
            }
            Ok(reply) if exchange.status == 200 => {
                if let Some(ip) = reply.external_ip {
                    let voice = IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
                    self.ctx.net.identity.vote(voice, ip);
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
                let peers = self.addresses(key, reply.peers, exchange.scope);
                self.leg_answered(key, answer, peers, reply.warning);
            }
            Ok(_) | Err(_) if exchange.status != 200 => {
                let why = alloc::format!("HTTP status {}", exchange.status);
                self.leg_failed(key, Reach::Reply, &why, None);
            }
            Ok(_) | Err(_) => self.leg_failed(key, Reach::Reply, "the reply is not bencoded", None),
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
        let url = url.and_then(|tracker| scrape_url(&tracker.url, &[torrent.info_hash()]));
        let near = announce.near;
        if let Some(url) = url
            && self.trackers.hosts.another(&host_of(&url), self.ctx.now)
        {
            let purpose = Purpose::Scrape(id, tracker);
            let (ipv6, timeout) = (announced.ipv6, HTTP_SECONDS);
            self.http_get(&url, Exchange::new(purpose, ipv6, timeout, near));
        }
    }

    /// Whether somebody has answered this leg as a tracker does.
    fn leg_spoke(&mut self, key: u64, spoke: bool) {
        if let Some(announce) = self.trackers.announces.get_mut(&key) {
            announce.spoke |= spoke;
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

    fn leg_failed(&mut self, key: u64, reach: Reach, message: &str, retry_in: Option<Option<u32>>) {
        if let Some(announce) = self.trackers.announces.get_mut(&key)
            && announce.failure.as_ref().is_none_or(|(other, _)| *other < reach)
        {
            announce.failure = Some((reach, Failure { message: message.to_string(), retry_in }));
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
        if announce.params.event != AnnounceEvent::Stopped {
            let (hosts, now) = (&mut self.trackers.hosts, self.ctx.now);
            hosts.ended(&announce.host, announce.began, announce.spoke, now);
        }
        let Some(torrent) = self.torrents.get_mut(announce.torrent) else { return };
        let ctx = &mut self.ctx;
        let Announce { tracker, answer, peers, warning, failure, .. } = announce;
        match (answer, failure) {
            (Some(answer), _) => {
                torrent.tracker_answered(ctx, tracker, &answer, &peers, warning);
            }
            (None, Some((_, failure))) => torrent.tracker_failed(ctx, tracker, &failure),
            (None, None) => {}
        }
    }
}

#[cfg(feature = "corruption")]
impl TrackerIo {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        self.caused.corrupt(rule)
    }
}
