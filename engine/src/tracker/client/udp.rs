//! Announces to UDP trackers.

use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};

use super::scrapes::Place;
use super::{Around, Output, Reach, TrackerClient, UdpHost};
use crate::base::addr::{Scope, scope};
use crate::tracker::{AnnounceEvent, Answer, UdpOutcome, url_data_option};

/// Host names whose addresses are remembered for the last announce.
const MAX_NAMES: usize = 1000;

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
            let known = self.names.get(&host.host).cloned().unwrap_or_default();
            return self.udp_legs(&host, &known, around, out);
        }
        out.push(Output::LookUp(host));
    }

    /// The name of a UDP tracker was looked up; no address where that failed.
    pub fn resolved(
        &mut self,
        host: UdpHost,
        ips: Vec<IpAddr>,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        if self.names.len() >= MAX_NAMES {
            self.names.pop_first();
        }
        self.udp_legs(&host, &ips, around, out);
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
        let usable = |v6: bool| {
            let fine = |ip: &&IpAddr| ip.is_ipv6() == v6 && (near || scope(**ip) == Scope::Public);
            around.udp[usize::from(v6)].then(|| ips.iter().find(fine).copied()).flatten()
        };
        let targets: Vec<IpAddr> = usable(false).into_iter().chain(usable(true)).collect();
        if targets.is_empty() {
            let is_unknown = ips.is_empty();
            let why = if is_unknown { "host not found" } else { "the host has no usable address" };
            return self.leg_failed(key, Reach::Nowhere, why, None, around, out);
        }
        let path = &host.path;
        let options = if path.is_empty() { Vec::new() } else { url_data_option(path) };
        let mut packets = Vec::new();
        for (index, ip) in targets.into_iter().enumerate() {
            if index > 0 {
                self.add_leg(key);
            }
            let to = SocketAddr::new(ip, host.port);
            let (now, options) = (around.now, options.clone());
            self.udp.announce(key, to, params, options, now, around.rng, &mut packets);
        }
        Self::send(packets, out);
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
        let ended = self.udp.datagram(from, data, around.now, around.rng, &mut packets);
        Self::send(packets, out);
        if let Some((key, outcome)) = ended {
            self.leg_spoke(key, true);
            self.count_by_udp(key, from, &outcome, around, out);
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
            let place = Place::Udp(from, announce.host.clone());
            self.count(place, counted, around, out);
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
