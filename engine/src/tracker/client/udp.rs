//! Announces to UDP trackers.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::mem::replace;
use core::net::{IpAddr, SocketAddr};

use super::scrapes::Place;
use super::{Around, Asked, Output, Reach, TrackerClient, UdpHost, may_lead_near};
use crate::base::addr::{Scope, may_lead_to, scope};
use crate::base::time::Instant;
use crate::tracker::{
    Admission, AnnounceEvent, Answer, Order, UdpOutcome, host_of, split_udp_url, udp_host,
    url_data_option,
};

/// Host names whose addresses are remembered, for the last announce and to know whose budget the next one is made from.
const MAX_NAMES: usize = 1000;
/// Addresses of each of them.
const MAX_ADDRESSES: usize = 8;

/// The first address of each family that we have a socket for, and that may be asked.
fn targets(ips: &[IpAddr], port: u16, near: bool, around: &Around) -> Vec<SocketAddr> {
    let usable = |v6: bool| {
        let fine = |ip: &&IpAddr| {
            let may = near || may_lead_to(Scope::Public, **ip);
            ip.is_ipv6() == v6 && may && !around.filter.blocks(**ip)
        };
        around.udp[usize::from(v6)].then(|| ips.iter().find(fine).copied()).flatten()
    };
    let ips = usable(false).into_iter().chain(usable(true));
    ips.map(|ip| SocketAddr::new(ip, port)).collect()
}

impl UdpHost {
    /// What the name is called among hosts.
    fn called(&self) -> String {
        host_of(&format!("udp://{}", self.host))
    }
}

impl TrackerClient {
    /// From whose budget an announce is made: over UDP that of the address that the name had the last time. Where that
    /// has been asked enough, the name is not even looked up.
    pub(super) fn host_to_ask(&mut self, order: &Order, around: &Around) -> String {
        let name = host_of(&order.url);
        let known = self.names.get(&name).zip(split_udp_url(&order.url));
        let known = known.map_or(Vec::new(), |(ips, (_, port, _))| {
            targets(ips, port, may_lead_near(order), around)
        });
        let hosts: Vec<String> = known.into_iter().map(udp_host).collect();
        let host = self.hosts.best(&hosts, around.now).unwrap_or(name);
        self.hosts.key(host, around.now)
    }

    pub(super) fn announce_udp(
        &mut self,
        host: UdpHost,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        self.add_leg(host.announce);
        if let Ok(ip) = host.host.parse::<IpAddr>() {
            return self.udp_legs(&host, &[ip], around, out);
        }
        let announce = self.announces.get(&host.announce);
        if announce.is_some_and(|a| a.params.event == AnnounceEvent::Stopped) {
            // The last announce waits for no resolver.
            let known = self.names.get(&host.called()).cloned().unwrap_or_default();
            return self.udp_legs(&host, &known, around, out);
        }
        out.push(Output::LookUp(host));
    }

    /// The name of a UDP tracker was looked up; no address where that failed.
    pub fn resolved(
        &mut self,
        host: UdpHost,
        mut ips: Vec<IpAddr>,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        let name = host.called();
        if self.names.len() >= MAX_NAMES && !self.names.contains_key(&name) {
            self.names.pop_first();
        }
        self.udp_legs(&host, &ips, around, out);
        ips.truncate(MAX_ADDRESSES);
        self.names.insert(name, ips);
    }

    /// Announces by UDP to the first address of each family that we have a socket for. The leg
    /// that waited for the look-up becomes the first of them.
    fn udp_legs(
        &mut self,
        host: &UdpHost,
        ips: &[IpAddr],
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        let key = host.announce;
        let Some(announce) = self.announces.get(&key) else { return };
        let (params, targets) = (announce.params, targets(ips, host.port, announce.near, around));
        if targets.is_empty() {
            let blocked = ips.iter().any(|ip| around.filter.blocks(*ip));
            let why = match ips.is_empty() {
                true => "host not found",
                false if blocked => "the address of the host is blocked by the filter",
                false => "the host has no usable address",
            };
            return self.leg_failed(key, Reach::Nowhere, why, None, around, out);
        }
        let called = |to: &SocketAddr| self.hosts.key(udp_host(*to), around.now);
        let hosts: Vec<String> = targets.iter().map(called).collect();
        if !self.leads_to(host, &hosts, around, out) {
            return;
        }
        let path = &host.path;
        let options = if path.is_empty() { Vec::new() } else { url_data_option(path) };
        let (mut packets, mut begun) = (Vec::new(), 0);
        for (to, called) in targets.into_iter().zip(hosts) {
            if self.asks_at(key, called, around.now) {
                let (now, options) = (around.now, options.clone());
                self.udp.announce(key, to, params, options, now, around.rng, &mut packets);
                begun += 1;
            }
        }
        (1..begun).for_each(|_| self.add_leg(key));
        Self::send(packets, out);
    }

    /// Makes an announce from the budget of one of the addresses that its name leads to. Where that has been asked
    /// enough, under whatever names, the torrent stands in line there or is put off; `false` then.
    fn leads_to(
        &mut self,
        name: &UdpHost,
        hosts: &[String],
        around: &Around,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(announce) = self.announces.get_mut(&name.announce) else { return false };
        let (torrent, tracker) = (announce.torrent, announce.tracker);
        let Some(asked) = announce.asked.first_mut() else { return false };
        let Some(to) = self.hosts.best(hosts, around.now) else { return false };
        if hosts.contains(&asked.host) {
            return true;
        }
        let from = replace(&mut asked.host, to.clone());
        if announce.params.event == AnnounceEvent::Stopped {
            return true;
        }
        let admission = self.hosts.moves(&from, &to, (torrent, tracker), around.now);
        if from == name.called() {
            self.hosts.leads(&from, &to);
        }
        if admission != Admission::Go {
            self.announces.remove(&name.announce);
            out.push(Output::PutOff { torrent, tracker, admission });
        }
        // The torrent does not know yet that it waits.
        let waits = |t, at| (t, at) == (torrent, tracker) || (around.waits)(t, at);
        self.advance_those(&from, &waits, around.now, out);
        self.advance_those(&to, &waits, around.now, out);
        admission == Admission::Go
    }

    /// Whether an announce is made from the budget of that host, or may be from now on.
    fn asks_at(&mut self, key: u64, host: String, now: Instant) -> bool {
        let Some(announce) = self.announces.get_mut(&key) else { return false };
        if announce.asked.iter().any(|asked| asked.host == host) {
            return true;
        }
        let may = match announce.params.event {
            AnnounceEvent::Stopped => self.hosts.last_word(&host, now),
            _ => self.hosts.as_well(&host, now),
        };
        if may {
            announce.asked.push(Asked::new(host));
        }
        may
    }

    /// Whether somebody at that address is being asked.
    pub fn asks_at_address(&self, addr: SocketAddr) -> bool {
        self.udp.asks_at(addr)
    }

    /// Every announce over UDP is made from the budget of the address to which it goes.
    pub(super) fn check_udp(&self) -> Result<(), &'static str> {
        let counted = |(key, to): (u64, SocketAddr)| {
            let called = udp_host(to);
            let mut asked = self.announces.get(&key).into_iter().flat_map(|it| &it.asked);
            asked.any(|asked| asked.host == called || asked.host.is_empty())
        };
        if self.udp.announces().all(counted) {
            Ok(())
        } else {
            Err("conversations with UDP trackers are counted by address")
        }
    }

    pub(super) fn send(packets: Vec<(SocketAddr, Bytes)>, out: &mut Vec<Output>) {
        out.extend(packets.into_iter().map(|(to, data)| Output::Send(to, data)));
    }

    /// A datagram came.
    pub fn datagram(
        &mut self,
        from: SocketAddr,
        data: &[u8],
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        let mut packets = Vec::new();
        // Whoever stands behind a name answers from an address that we were not told.
        let to = self.udp.asked_by(data, from);
        let ended = self.udp.datagram(from, data, around.now, around.rng, &mut packets);
        Self::send(packets, out);
        if let Some((key, outcome)) = ended {
            let called = udp_host(to);
            self.leg_spoke(key, |host| host == called || host.is_empty());
            self.count_by_udp(key, to, &outcome, around, out);
            self.udp_ended(key, outcome, scope(from.ip()), around, out);
        }
    }

    /// An answer over UDP does not say how often a torrent was downloaded: that is asked once, for many together.
    fn count_by_udp(
        &mut self,
        key: u64,
        from: SocketAddr,
        outcome: &UdpOutcome,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        let announce = self.announces.get(&key);
        let first = announce.filter(|announce| announce.params.event == AnnounceEvent::Started);
        if let (Some(announce), UdpOutcome::Answered { .. }) = (first, outcome) {
            let counted = (announce.params.info_hash, announce.torrent, announce.tracker);
            self.count(Place::Udp(from), counted, around, out);
        }
    }

    /// Sends again what was not answered in time, and gives up.
    pub(super) fn poll_udp(&mut self, around: &mut Around, out: &mut Vec<Output>) {
        let mut packets = Vec::new();
        let ended = self.udp.poll(around.now, around.rng, &mut packets);
        Self::send(packets, out);
        for (key, outcome) in ended {
            self.udp_ended(key, outcome, Scope::Public, around, out);
        }
    }

    /// A conversation with a tracker in that scope has ended.
    fn udp_ended(
        &mut self,
        key: u64,
        outcome: UdpOutcome,
        teller: Scope,
        around: &Around,
        out: &mut Vec<Output>,
    ) {
        let files = match &outcome {
            UdpOutcome::Scraped { files } => files.as_slice(),
            _ => &[],
        };
        if self.scraped(key, |place, _| files.get(place).copied(), out) {
            return;
        }
        match outcome {
            UdpOutcome::Scraped { .. } => {}
            UdpOutcome::Answered { interval, counts, peers } => {
                let interval = Some(interval);
                let answer = Answer { interval, counts, ..Answer::default() };
                let named = |peer: &SocketAddr| teller.may_name(scope(peer.ip()));
                let peers = peers.into_iter().filter(named).collect();
                self.leg_answered(key, answer, peers, None, around, out);
            }
            UdpOutcome::Refused(why) => {
                self.leg_failed(key, Reach::Tracker, &why, None, around, out);
            }
            UdpOutcome::TimedOut => {
                self.leg_failed(key, Reach::Silence, "timed out", None, around, out);
            }
        }
    }
}
