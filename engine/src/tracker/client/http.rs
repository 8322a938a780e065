//! Announces and scrapes over HTTP.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::BytesMut;
use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::scrapes::Place;
use super::{Around, Output, Reach, TrackerClient};
use crate::api::{HttpEvent, HttpFailure, HttpGet};
use crate::base::addr::{Scope, scope};
use crate::base::ids::ExchangeId;
use crate::base::time::Instant;
use crate::tracker::url::literal_family;
use crate::tracker::{
    AnnounceEvent, AnnounceParams, Answer, HttpAnnounceReply, Order, PeerHost, announce_url,
    host_of, is_web, may_be_near_by_redirect, parse_announce, parse_scrape, scrape_url,
};

/// Longest body of a tracker's reply.
const MAX_BODY: u32 = 1 << 20;
/// Seconds for an announce.
pub(super) const HTTP_SECONDS: u32 = 30;
/// Seconds for the last one.
const LAST_HTTP_SECONDS: u32 = 4;
/// Redirects followed.
const MAX_REDIRECTS: u8 = 5;

/// What an HTTP exchange is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// A leg of this announce.
    Announce(u64),
    /// The sizes of swarms, where announces did not tell (BEP 48): this scrape.
    Scrape(u64),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Exchange {
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
    pub(super) fn new(purpose: Purpose, ipv6: Option<bool>, timeout: u32, near: bool) -> Self {
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

impl Reach {
    fn of(failure: HttpFailure) -> Self {
        match failure {
            HttpFailure::BadUrl
            | HttpFailure::Lookup
            | HttpFailure::Forbidden
            | HttpFailure::Blocked => Self::Nowhere,
            HttpFailure::Connect => Self::Address,
            HttpFailure::TimedOut => Self::Silence,
            HttpFailure::Refused | HttpFailure::Closed => Self::Host,
            _ => Self::Reply,
        }
    }
}

/// The address families over which to announce to an HTTP tracker: one announce each, so that it learns both
/// our addresses (BEP 7); one in all where the URL holds an address.
fn families(url: &str, spoken: [bool; 2]) -> impl Iterator<Item = bool> {
    let only = literal_family(url);
    let usable =
        move |ipv6: &bool| spoken[usize::from(*ipv6)] && only.is_none_or(|family| family == *ipv6);
    [false, true].into_iter().filter(usable)
}

impl TrackerClient {
    /// Something about an exchange. False when there is no such exchange.
    pub fn http(
        &mut self,
        id: ExchangeId,
        event: HttpEvent,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(exchange) = self.exchanges.get_mut(id) else { return false };
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
                if let Some(exchange) = self.exchanges.remove(id) {
                    self.http_finished(exchange, around, out);
                }
            }
            HttpEvent::Failed(why) => {
                if let Some(exchange) = self.exchanges.remove(id) {
                    self.arrived(&exchange, false, around, out);
                    match exchange.purpose {
                        Purpose::Announce(key) => {
                            let (reach, text) = (Reach::of(why), why.to_string());
                            self.leg_failed(key, reach, &text, None, around, out);
                        }
                        Purpose::Scrape(key) => {
                            self.scraped(key, |_, _| None, out);
                        }
                    }
                }
            }
        }
        true
    }

    pub(super) fn announce_http(
        &mut self,
        key: u64,
        order: &Order,
        params: AnnounceParams,
        around: &Around,
        out: &mut Vec<Output>,
    ) {
        let url = announce_url(&order.url, &params, order.tracker_id.as_deref());
        let timeout =
            if params.event == AnnounceEvent::Stopped { LAST_HTTP_SECONDS } else { HTTP_SECONDS };
        let near = self.announces.get(&key).is_some_and(|announce| announce.near);
        let mut any = false;
        for ipv6 in families(&order.url, around.http) {
            any = true;
            self.add_leg(key);
            let exchange = Exchange::new(Purpose::Announce(key), Some(ipv6), timeout, near);
            self.get(&url, exchange, out);
        }
        if !any {
            let why = "no usable address family";
            self.leg_failed(key, Reach::Nowhere, why, None, around, out);
        }
    }

    pub(super) fn get(&mut self, url: &str, exchange: Exchange, out: &mut Vec<Output>) {
        let Exchange { ipv6, timeout, only, .. } = exchange;
        let id = self.exchanges.insert(exchange);
        let timeout = Duration::from_secs(timeout.into());
        let get = HttpGet { url: url.to_string(), ipv6, only, max_body: MAX_BODY, timeout };
        out.push(Output::Get(id, get));
    }

    fn http_finished(
        &mut self,
        mut exchange: Exchange,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        let redirected = (300..400).contains(&exchange.status);
        if let Some(location) = exchange.location.take().filter(|_| redirected) {
            return self.redirect(exchange, &location, around, out);
        }
        match exchange.purpose {
            Purpose::Announce(key) => self.announce_finished(key, &exchange, around, out),
            Purpose::Scrape(key) => {
                let reply = parse_scrape(&exchange.body).ok();
                self.arrived(&exchange, reply.is_some(), around, out);
                let files = reply.map(|reply| reply.files).unwrap_or_default();
                self.scraped(key, |_, hash| files.get(hash).copied(), out);
            }
        }
    }

    /// What is known now of the hosts that redirects led to.
    fn arrived(
        &mut self,
        exchange: &Exchange,
        spoke: bool,
        around: &Around,
        out: &mut Vec<Output>,
    ) {
        for (host, began) in &exchange.hops {
            self.hosts.request_ended(host, *began, spoke, around.now);
            self.advance(host, around, out);
        }
    }

    /// A tracker on the internet must not lead us into a private network, nor to somebody who has
    /// been asked enough.
    fn redirect(
        &mut self,
        mut exchange: Exchange,
        location: &str,
        around: &Around,
        out: &mut Vec<Output>,
    ) {
        let now = around.now;
        let host = self.hosts.key(host_of(location), now);
        let why = match (is_web(location), exchange.redirects < MAX_REDIRECTS) {
            (false, _) => "the tracker redirects to what is no web address",
            (true, false) => "the tracker redirects too often",
            (true, true) => "the tracker redirects to a host that is asked enough already",
        };
        let follow = is_web(location) && exchange.redirects < MAX_REDIRECTS;
        if follow && self.hosts.another(&host, now) {
            let from = exchange.only.unwrap_or(Scope::Loopback).min(exchange.scope);
            let trusted = matches!(exchange.purpose, Purpose::Announce(key)
                if self.announces.get(&key).is_some_and(|announce| announce.trusted));
            let near = trusted || may_be_near_by_redirect(location);
            let nearest = if near { from } else { Scope::Public };
            exchange.only = (nearest != Scope::Loopback).then_some(nearest);
            exchange.redirects += 1;
            exchange.hops.push((host, now));
            exchange.body.clear();
            return self.get(location, exchange, out);
        }
        self.arrived(&exchange, false, around, out);
        match exchange.purpose {
            Purpose::Announce(key) => {
                self.leg_failed(key, Reach::Reply, why, None, around, out);
            }
            Purpose::Scrape(key) => {
                self.scraped(key, |_, _| None, out);
            }
        }
    }

    fn announce_finished(
        &mut self,
        key: u64,
        exchange: &Exchange,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        let reply = parse_announce(&exchange.body);
        let spoke =
            reply.as_ref().is_ok_and(|reply| reply.failure.is_some() || exchange.status == 200);
        self.arrived(exchange, spoke, around, out);
        if spoke {
            self.leg_spoke(key, |_| true);
        }
        match reply {
            Ok(reply) if reply.failure.is_some() => {
                let why = reply.failure.filter(|why| !why.trim().is_empty());
                let why = why.unwrap_or_else(|| "the tracker refuses, and gives no reason".into());
                self.leg_failed(key, Reach::Tracker, &why, reply.retry_in, around, out);
            }
            Ok(reply) if exchange.status == 200 => {
                self.announce_answered(key, exchange, reply, around, out);
            }
            _ if exchange.status != 200 => {
                let why = alloc::format!("HTTP status {}", exchange.status);
                self.leg_failed(key, Reach::Reply, &why, None, around, out);
            }
            _ => {
                let why = "the reply is not bencoded";
                self.leg_failed(key, Reach::Reply, why, None, around, out);
            }
        }
    }

    fn announce_answered(
        &mut self,
        key: u64,
        exchange: &Exchange,
        reply: HttpAnnounceReply,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        out.extend(reply.external_ip.map(Output::OurAddress));
        let answer = Answer {
            interval: reply.interval,
            min_interval: reply.min_interval,
            tracker_id: reply.tracker_id,
            counts: reply.counts,
        };
        if reply.counts.complete.is_none() {
            self.scrape(key, exchange, around, out);
        }
        let peers = self.addresses(key, reply.peers, exchange.scope, out);
        self.leg_answered(key, answer, peers, reply.warning, around, out);
    }

    /// Asks for the sizes of a swarm, once an announce, where the tracker's URL allows it.
    fn scrape(
        &mut self,
        key: u64,
        announced: &Exchange,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        let Some(announce) = self.announces.get(&key) else { return };
        let (torrent, tracker, near) = (announce.torrent, announce.tracker, announce.near);
        if announce.params.event == AnnounceEvent::Stopped {
            return;
        }
        let hash = announce.params.info_hash;
        let url = (around.url)(torrent, tracker).filter(|url| scrape_url(url, &[]).is_some());
        if let Some(url) = url {
            let place = Place::Http(url, announced.ipv6, near);
            self.count(place, (hash, torrent, tracker), around, out);
        }
    }

    /// Addresses at once; host names are to be looked up. A tracker in that scope says so.
    fn addresses(
        &self,
        key: u64,
        peers: Vec<PeerHost>,
        teller: Scope,
        out: &mut Vec<Output>,
    ) -> Vec<SocketAddr> {
        let torrent = self.announces.get(&key).map(|announce| announce.torrent);
        let mut found = Vec::new();
        for peer in peers {
            match (peer, torrent) {
                (PeerHost::Addr(addr), _) if teller.may_name(scope(addr.ip())) => found.push(addr),
                (PeerHost::Name(host, port), Some(torrent)) => {
                    out.push(Output::NamedPeer { torrent, host, port, teller });
                }
                _ => {}
            }
        }
        found
    }
}
