//! Announces to UDP trackers.

use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};

use super::{Announce, Around, Output, Reach, TrackerClient, UdpHost};
use crate::base::addr::{Scope, scope};
use crate::base::time::Instant;
use crate::tracker::{
    Admission, AnnounceEvent, Answer, Order, UdpOutcome, split_udp_url, url_data_option,
};

/// Host names whose addresses are remembered for the last announce.
const MAX_NAMES: usize = 1000;
/// Addresses of each of them.
const MAX_ADDRESSES: usize = 8;

/// The first address of each family that we have a socket for, and that may be asked.
fn targets(ips: &[IpAddr], near: bool, udp: [bool; 2]) -> Vec<IpAddr> {
    let usable = |v6: bool| {
        let fine = |ip: &&IpAddr| ip.is_ipv6() == v6 && (near || scope(**ip) == Scope::Public);
        udp[usize::from(v6)].then(|| ips.iter().find(fine).copied()).flatten()
    };
    usable(false).into_iter().chain(usable(true)).collect()
}

/// When somebody may be asked.
fn until(admission: &Admission) -> Instant {
    match admission {
        Admission::Go => Instant::ZERO,
        Admission::InLine(at) | Admission::Shunned(at) => *at,
    }
}

impl TrackerClient {
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
            let known = self.known_addresses(&host.host);
            return self.udp_legs(&host, &known, around, out);
        }
        out.push(Output::LookUp(host));
    }

    /// The addresses of a host, as far as they are known without a look-up.
    pub(super) fn known_addresses(&self, host: &str) -> Vec<IpAddr> {
        match host.parse::<IpAddr>() {
            Ok(ip) => [ip].into(),
            Err(_) => self.names.get(host).cloned().unwrap_or_default(),
        }
    }

    /// Whether the addresses that the name of a UDP tracker had the last time cannot be asked now: then it is not
    /// even looked up, and takes nothing of what other names share with it.
    pub(super) fn crowded(
        &mut self,
        order: &Order,
        near: bool,
        around: &Around,
    ) -> Option<Admission> {
        let (host, port, _) = split_udp_url(&order.url)?;
        if order.event == AnnounceEvent::Stopped {
            return None;
        }
        let known = targets(&self.known_addresses(&host), near, around.udp);
        let said = known.into_iter().map(|ip| self.udp.look(SocketAddr::new(ip, port), around.now));
        said.min_by_key(until).filter(|admission| *admission != Admission::Go)
    }

    /// The name of a UDP tracker was looked up; no address where that failed.
    pub fn resolved(
        &mut self,
        host: UdpHost,
        mut ips: Vec<IpAddr>,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        if self.names.len() >= MAX_NAMES {
            self.names.pop_first();
        }
        self.udp_legs(&host, &ips, around, out);
        ips.truncate(MAX_ADDRESSES);
        self.names.insert(host.host, ips);
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
        let (params, near) = (announce.params, announce.near);
        let targets = targets(ips, near, around.udp);
        if targets.is_empty() {
            let is_unknown = ips.is_empty();
            let why = if is_unknown { "host not found" } else { "the host has no usable address" };
            return self.leg_failed(key, Reach::Nowhere, why, None, around.now, out);
        }
        let path = &host.path;
        let options = if path.is_empty() { Vec::new() } else { url_data_option(path) };
        let mut packets = Vec::new();
        let (mut begun, mut put_off) = (0, None);
        for ip in targets {
            let to = SocketAddr::new(ip, host.port);
            let (now, options) = (around.now, options.clone());
            let said = self.udp.announce(key, to, params, options, now, around.rng, &mut packets);
            if said == Admission::Go {
                begun += 1;
            } else {
                put_off = put_off.into_iter().chain([said]).min_by_key(until);
            }
        }
        (1..begun).for_each(|_| self.add_leg(key));
        self.send(packets, out);
        if let (0, Some(admission)) = (begun, put_off) {
            self.put_off(key, admission, around.now, out);
        }
    }

    /// An announce is not made now, since its address has been asked enough under other names.
    fn put_off(&mut self, key: u64, admission: Admission, now: Instant, out: &mut Vec<Output>) {
        let Some(announce) = self.announces.remove(&key) else { return };
        let Announce { torrent, tracker, host, params, .. } = announce;
        if params.event != AnnounceEvent::Stopped {
            self.hosts.not_asked(&host, now);
            out.push(Output::PutOff { torrent, tracker, host, admission });
        }
    }

    fn send(&self, packets: Vec<(SocketAddr, Bytes)>, out: &mut Vec<Output>) {
        out.extend(packets.into_iter().map(|(to, data)| Output::Send(to, data)));
        out.extend(self.udp.next_deadline().map(Output::Wake));
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
        let ended = self.udp.datagram(from, data, around.now, around.rng, &mut packets);
        self.send(packets, out);
        if let Some((key, outcome)) = ended {
            self.leg_spoke(key, true);
            self.udp_ended(key, outcome, scope(from.ip()), around.now, out);
        }
    }

    /// Sends again what was not answered in time, and gives up.
    pub fn poll(&mut self, around: &mut Around, out: &mut Vec<Output>) {
        let mut packets = Vec::new();
        let ended = self.udp.poll(around.now, around.rng, &mut packets);
        self.send(packets, out);
        for (key, outcome) in ended {
            self.udp_ended(key, outcome, Scope::Public, around.now, out);
        }
    }

    /// A conversation with a tracker in that scope has ended.
    fn udp_ended(
        &mut self,
        key: u64,
        outcome: UdpOutcome,
        teller: Scope,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        match outcome {
            UdpOutcome::Answered { interval, counts, peers } => {
                let interval = Some(interval);
                let answer = Answer { interval, counts, ..Answer::default() };
                let named = |peer: &SocketAddr| teller.may_name(scope(peer.ip()));
                let peers = peers.into_iter().filter(named).collect();
                self.leg_answered(key, answer, peers, None, now, out);
            }
            UdpOutcome::Refused(why) => {
                self.leg_failed(key, Reach::Tracker, &why, None, now, out);
            }
            UdpOutcome::TimedOut => {
                self.leg_failed(key, Reach::Silence, "timed out", None, now, out);
            }
        }
    }
}
