//! How announces are made: over HTTP with redirects, over UDP, one leg for each address family. It is given what
//! torrents want and what came of it, and says what is to be sent and what torrents are to hear.
//!
//! It knows torrents by their ids alone, and any number of announces of one torrent may be in progress. Who is
//! asked next, and when, is the [`Announcer`](super::Announcer)'s to say.

mod http;
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
    TrackerRef, UdpClient, host_of, is_web, may_be_near, split_udp_url,
};
use crate::api::HttpGet;
use crate::base::addr::Scope;
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ExchangeId, TorrentId};
use crate::base::rng::Rng;
use crate::base::slots::SlotMap;
use crate::base::time::Instant;
use http::Exchange;

/// What others own, lent for a call.
pub struct Around<'a> {
    /// The time.
    pub now: Instant,
    /// The address families that HTTP is spoken over: IPv4, IPv6.
    pub http: [bool; 2],
    /// Those that there is a UDP socket for.
    pub udp: [bool; 2],
    /// For transactions over UDP.
    pub rng: &'a mut Rng,
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
    /// [`TrackerClient::poll`] has something to do then.
    Wake(Instant),
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
        /// Its host, as [`host_of`] names it.
        host: String,
        /// When it can be.
        admission: Admission,
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
    /// A tracker told the sizes of swarms.
    Scraped {
        /// For which torrent it was asked.
        torrent: TorrentId,
        /// Which tracker.
        tracker: TrackerRef,
        /// The sizes.
        files: BTreeMap<Sha1Hash, SwarmCounts>,
    },
}

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

/// Everything in progress with trackers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TrackerClient {
    announces: BTreeMap<u64, Announce>,
    next: u64,
    hosts: Hosts,
    exchanges: SlotMap<ExchangeId, Exchange>,
    udp: UdpClient,
    /// Addresses of hosts of UDP trackers, for last announces.
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
        self.hosts.check()?;
        self.udp.check()
    }

    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        self.udp.corrupt(rule)
    }

    /// The user wants to know whether the tracker of this URL is there, also where its host has failed.
    pub fn insisted(&mut self, url: &str) {
        self.hosts.pardon(&host_of(url));
        if let Some((host, port, _)) = split_udp_url(url) {
            let known = self.known_addresses(&host);
            known.into_iter().for_each(|ip| self.udp.pardon(SocketAddr::new(ip, port)));
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
        let host = host_of(&order.url);
        let near = order.trusted || may_be_near(&order.url);
        let crowded = self.crowded(order, near, around);
        let admission = match crowded {
            Some(_) => crowded,
            None => self.admit(order.event, &host, around.now),
        };
        if admission != Some(Admission::Go) {
            let put_off = |admission| {
                let tracker = order.tracker;
                Output::PutOff { torrent, tracker, host, admission }
            };
            out.extend(admission.map(put_off));
            return;
        }
        self.next += 1;
        let key = self.next;
        let announce = Announce {
            torrent,
            tracker: order.tracker,
            params,
            host,
            began: around.now,
            spoke: false,
            near,
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
            self.leg_failed(key, Reach::Nowhere, why, None, around.now, out);
        }
    }

    /// Whether the host of a tracker may be asked now; `None` where nobody waits until it may.
    fn admit(&mut self, event: AnnounceEvent, host: &str, now: Instant) -> Option<Admission> {
        if event == AnnounceEvent::Stopped {
            return self.hosts.last_word(host, now).then_some(Admission::Go);
        }
        Some(self.hosts.begin(host, now))
    }

    fn add_leg(&mut self, key: u64) {
        if let Some(announce) = self.announces.get_mut(&key) {
            announce.legs += 1;
        }
    }

    /// Whether somebody has answered this leg as a tracker does.
    fn leg_spoke(&mut self, key: u64, spoke: bool) {
        if let Some(announce) = self.announces.get_mut(&key) {
            announce.spoke |= spoke;
        }
    }

    fn leg_answered(
        &mut self,
        key: u64,
        answer: Answer,
        peers: Vec<SocketAddr>,
        warning: Option<String>,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        if let Some(announce) = self.announces.get_mut(&key) {
            announce.answer.get_or_insert(answer);
            announce.peers.extend(peers);
            announce.warning = announce.warning.take().or(warning);
        }
        self.leg_ended(key, now, out);
    }

    fn leg_failed(
        &mut self,
        key: u64,
        reach: Reach,
        message: &str,
        retry_in: Option<Option<u32>>,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        if let Some(announce) = self.announces.get_mut(&key)
            && announce.failure.as_ref().is_none_or(|(other, _)| *other < reach)
        {
            announce.failure = Some((reach, Failure { message: message.to_string(), retry_in }));
        }
        self.leg_ended(key, now, out);
    }

    /// When the last leg has ended, an answer over either family is an answer.
    fn leg_ended(&mut self, key: u64, now: Instant, out: &mut Vec<Output>) {
        let Some(announce) = self.announces.get_mut(&key) else { return };
        announce.legs = announce.legs.saturating_sub(1);
        if announce.legs > 0 {
            return;
        }
        let Some(announce) = self.announces.remove(&key) else { return };
        if announce.params.event != AnnounceEvent::Stopped {
            self.hosts.ended(&announce.host, announce.began, announce.spoke, now);
        }
        let Announce { torrent, tracker, answer, peers, warning, failure, .. } = announce;
        match (answer, failure) {
            (Some(answer), _) => {
                out.push(Output::Answered { torrent, tracker, answer, peers, warning });
            }
            (None, Some((_, failure))) => out.push(Output::Failed { torrent, tracker, failure }),
            (None, None) => {}
        }
    }
}
