//! How announces are made: over HTTP with redirects, over UDP, one leg for each address family. It is given what
//! torrents want and what came of it, and says what is to be sent and what torrents are to hear.
//!
//! It knows torrents by their ids alone, and any number of announces of one torrent may be in progress. Who is
//! asked next, and when, is the [`Announcer`](super::Announcer)'s to say.

mod http;
mod scrapes;
#[cfg(test)]
mod tests;
mod udp;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

use super::{
    Admission, AnnounceEvent, AnnounceParams, Answer, Failure, Hosts, Order, SwarmCounts,
    TrackerRef, Turned, UdpClient, Waits, host_of, is_web, may_be_near, split_udp_url, udp_host,
};
use crate::api::HttpGet;
use crate::base::addr::Scope;
use crate::base::ids::{ExchangeId, TorrentId};
use crate::base::rng::Rng;
use crate::base::slots::SlotMap;
use crate::base::time::Instant;
use crate::filter::Filter;
use http::Exchange;
use scrapes::Scrapes;

/// What others own, lent for a call.
pub struct Around<'a> {
    /// The time.
    pub now: Instant,
    /// The address families that HTTP is spoken over: IPv4, IPv6.
    pub http: [bool; 2],
    /// Those that there is a UDP socket for.
    pub udp: [bool; 2],
    /// Addresses that are not asked.
    pub filter: &'a Filter,
    /// For transactions over UDP.
    pub rng: &'a mut Rng,
    /// Whether a torrent still waits for its turn at a tracker.
    pub waits: &'a dyn Fn(TorrentId, TrackerRef) -> bool,
    /// The URL of a tracker of a torrent that is still there.
    pub url: &'a dyn Fn(TorrentId, TrackerRef) -> Option<String>,
}

/// The host of a UDP tracker, by name, and the announce that waits for its address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UdpHost {
    /// Which announce.
    pub announce: u64,
    /// The name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What stands behind it in the URL.
    pub path: String,
}

/// What the parent has to do, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// This exchange is to be made.
    Get(ExchangeId, HttpGet),
    /// This datagram is to be sent.
    Send(SocketAddr, Bytes),
    /// A name is to be looked up, for [`TrackerClient::resolved`].
    LookUp(UdpHost),
    /// A tracker in that scope names a peer by host name.
    NamedPeer {
        /// The torrent that it is a peer of.
        torrent: TorrentId,
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
        /// Where the tracker is.
        teller: Scope,
    },
    /// A tracker says that this is our address.
    OurAddress(IpAddr),
    /// The host of a tracker cannot be asked now.
    PutOff {
        /// For which torrent.
        torrent: TorrentId,
        /// Which tracker.
        tracker: TrackerRef,
        /// When it can be.
        admission: Admission,
    },
    /// It is a torrent's turn at a tracker that it waits for: [`TrackerClient::admitted`] comes next.
    Turn {
        /// Which torrent.
        torrent: TorrentId,
        /// Which tracker.
        tracker: TrackerRef,
        /// What its host is called.
        host: String,
    },
    /// A tracker answered.
    Answered {
        /// For which torrent.
        torrent: TorrentId,
        /// Which tracker.
        tracker: TrackerRef,
        /// What it said.
        answer: Answer,
        /// Whom it named.
        peers: Vec<SocketAddr>,
        /// A remark for the user.
        warning: Option<String>,
    },
    /// An announce failed.
    Failed {
        /// For which torrent.
        torrent: TorrentId,
        /// Which tracker.
        tracker: TrackerRef,
        /// Why.
        failure: Failure,
    },
    /// A tracker told the sizes of a swarm.
    Scraped {
        /// Of which torrent.
        torrent: TorrentId,
        /// Which tracker.
        tracker: TrackerRef,
        /// The sizes.
        counts: SwarmCounts,
    },
}

/// One announce, made over one or two address families.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Announce {
    torrent: TorrentId,
    tracker: TrackerRef,
    params: AnnounceParams,
    /// Whose budgets it is made from, since when.
    asked: Vec<Asked>,
    began: Instant,
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

/// A host from whose budget an announce is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Asked {
    host: String,
    /// Somebody there has answered as a tracker does.
    spoke: bool,
}

impl Asked {
    fn new(host: String) -> Self {
        Self { host, spoke: false }
    }
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

/// Everything in progress with trackers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TrackerClient {
    announces: BTreeMap<u64, Announce>,
    next: u64,
    hosts: Hosts,
    exchanges: SlotMap<ExchangeId, Exchange>,
    scrapes: Scrapes,
    udp: UdpClient,
    /// The addresses that hosts of UDP trackers had the last time, by what they are called.
    names: BTreeMap<String, Vec<IpAddr>>,
}

impl TrackerClient {
    /// Whether no announce is in progress.
    pub fn is_idle(&self) -> bool {
        self.announces.is_empty()
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let ordinary = |announce: &&Announce| announce.params.event != AnnounceEvent::Stopped;
        let asked = self.announces.values().filter(ordinary).flat_map(|announce| &announce.asked);
        self.hosts.check(asked.map(|asked| &asked.host))?;
        self.check_udp()
    }

    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        self.hosts.corrupt(rule).or_else(|| self.udp.corrupt(rule))
    }

    /// When [`Self::poll`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let udp = self.udp.next_deadline();
        let deadlines = [udp, self.hosts.next_deadline(), self.scrapes.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Whether the host of this name has answered since it failed, if it did; `Err` says until when it is left
    /// alone.
    ///
    /// # Errors
    /// It fails.
    pub fn is_back(&self, host: &str, now: Instant) -> Result<bool, Instant> {
        let known = self.names.get(host).into_iter().flatten();
        let known = known.map(|ip| udp_host(SocketAddr::new(*ip, 0)));
        let asked: Vec<String> = known.filter(|key| self.hosts.knows(key)).collect();
        let best = self.hosts.best(&asked, now);
        self.hosts.is_back(best.as_deref().unwrap_or(host), now)
    }

    /// The user wants to know whether the tracker of this URL is there, also where its host has failed.
    pub fn insisted(&mut self, url: &str) {
        let host = host_of(url);
        self.hosts.pardon(&host);
        let port = split_udp_url(url).map_or(0, |(_, port, _)| port);
        for ip in self.names.get(&host).into_iter().flatten() {
            self.hosts.pardon(&udp_host(SocketAddr::new(*ip, port)));
        }
    }

    /// A torrent wants an announce.
    pub fn wanted(
        &mut self,
        torrent: TorrentId,
        order: &Order,
        params: AnnounceParams,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        let host = self.host_to_ask(order, around);
        if order.event == AnnounceEvent::Stopped {
            if self.hosts.last_word(&host, around.now) {
                self.admitted(torrent, order, params, host, around, out);
            }
            return;
        }
        let tracker = order.tracker;
        match self.hosts.begin(&host, (torrent, tracker), around.now) {
            Admission::Go => self.admitted(torrent, order, params, host, around, out),
            admission => out.push(Output::PutOff { torrent, tracker, admission }),
        }
    }

    /// An announce may be made now, from the budget of this host.
    pub fn admitted(
        &mut self,
        torrent: TorrentId,
        order: &Order,
        params: AnnounceParams,
        host: String,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        self.next += 1;
        let key = self.next;
        let announce = Announce {
            torrent,
            tracker: order.tracker,
            params,
            asked: [Asked::new(host)].into(),
            began: around.now,
            near: may_lead_near(order),
            trusted: order.trusted,
            legs: 0,
            answer: None,
            peers: Vec::new(),
            warning: None,
            failure: None,
        };
        self.announces.insert(key, announce);
        if let Some((host, port, path)) = split_udp_url(&order.url) {
            self.announce_udp(UdpHost { announce: key, host, port, path }, around, out);
        } else if is_web(&order.url) {
            self.announce_http(key, order, params, around, out);
        } else {
            let why = "this kind of tracker is not supported";
            self.leg_failed(key, Reach::Nowhere, why, None, around, out);
        }
    }

    /// Something has changed at a host: others may have their turn.
    fn advance(&mut self, host: &str, around: &Around, out: &mut Vec<Output>) {
        self.advance_those(host, around.waits, around.now, out);
    }

    fn advance_those(&mut self, host: &str, waits: Waits, now: Instant, out: &mut Vec<Output>) {
        let mut turned = Vec::new();
        self.hosts.advance(host, waits, now, &mut turned);
        out.extend(turned.into_iter().map(|turned| output(turned, host)));
    }

    /// Lets those go whose turn has come; sends again what was not answered in time, and gives up.
    pub fn poll(&mut self, around: &mut Around, out: &mut Vec<Output>) {
        self.poll_udp(around, out);
        self.send_scrapes(around, out);
        for (host, turned) in self.hosts.poll(around.waits, around.now) {
            out.extend(turned.into_iter().map(|turned| output(turned, &host)));
        }
    }

    fn add_leg(&mut self, key: u64) {
        if let Some(announce) = self.announces.get_mut(&key) {
            announce.legs += 1;
        }
    }

    /// Somebody at these of its hosts has answered an announce as a tracker does.
    fn leg_spoke(&mut self, key: u64, there: impl Fn(&str) -> bool) {
        let asked = self.announces.get_mut(&key).into_iter().flat_map(|it| &mut it.asked);
        asked.filter(|asked| there(&asked.host)).for_each(|asked| asked.spoke = true);
    }

    fn leg_answered(
        &mut self,
        key: u64,
        answer: Answer,
        peers: Vec<SocketAddr>,
        warning: Option<String>,
        around: &Around,
        out: &mut Vec<Output>,
    ) {
        if let Some(announce) = self.announces.get_mut(&key) {
            announce.answer.get_or_insert(answer);
            announce.peers.extend(peers);
            announce.warning = announce.warning.take().or(warning);
        }
        self.leg_ended(key, around, out);
    }

    fn leg_failed(
        &mut self,
        key: u64,
        reach: Reach,
        message: &str,
        retry_in: Option<Option<u32>>,
        around: &Around,
        out: &mut Vec<Output>,
    ) {
        if let Some(announce) = self.announces.get_mut(&key)
            && announce.failure.as_ref().is_none_or(|(other, _)| *other < reach)
        {
            let (message, host_fails) = (message.to_string(), false);
            announce.failure = Some((reach, Failure { message, retry_in, host_fails }));
        }
        self.leg_ended(key, around, out);
    }

    /// When the last leg has ended, an answer over either family is an answer.
    fn leg_ended(&mut self, key: u64, around: &Around, out: &mut Vec<Output>) {
        let Some(announce) = self.announces.get_mut(&key) else { return };
        announce.legs = announce.legs.saturating_sub(1);
        if announce.legs > 0 {
            return;
        }
        let Some(announce) = self.announces.remove(&key) else { return };
        let Announce { torrent, tracker, asked, .. } = announce;
        match (announce.answer, announce.failure) {
            (Some(answer), _) => {
                let (peers, warning) = (announce.peers, announce.warning);
                out.push(Output::Answered { torrent, tracker, answer, peers, warning });
            }
            (None, Some((_, failure))) => {
                let host_fails = asked.iter().all(|asked| !asked.spoke);
                let failure = Failure { host_fails, ..failure };
                out.push(Output::Failed { torrent, tracker, failure });
            }
            (None, None) => {}
        }
        if announce.params.event != AnnounceEvent::Stopped {
            for Asked { host, spoke } in asked {
                self.hosts.ended(&host, announce.began, spoke, around.now);
                self.advance(&host, around, out);
            }
        }
    }
}

/// Whether an announce may lead to this machine or into a local network.
fn may_lead_near(order: &Order) -> bool {
    order.trusted || may_be_near(&order.url)
}

fn output(turned: Turned, host: &str) -> Output {
    match turned {
        Turned::Go((torrent, tracker)) => Output::Turn { torrent, tracker, host: host.to_string() },
        Turned::PutOff((torrent, tracker), until) => {
            Output::PutOff { torrent, tracker, admission: Admission::Shunned(until) }
        }
    }
}
