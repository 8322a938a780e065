//! Announces to UDP trackers.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};

use super::super::Engine;
use super::Reach;
use super::lookups::Lookup;
use crate::api::Action;
use crate::base::addr::{Scope, scope};
use crate::context::Timer;
use crate::tracker::{AnnounceEvent, Answer, UdpOutcome, url_data_option};

impl Engine {
    pub(super) fn announce_udp(&mut self, key: u64, host: String, port: u16, path: String) {
        self.add_leg(key);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.udp_legs(key, &[ip], port, &path);
        }
        let announce = self.trackers.announces.get(&key);
        if announce.is_some_and(|a| a.params.event == AnnounceEvent::Stopped) {
            // The last announce waits for no resolver.
            let known = self.trackers.names.get(&host).cloned().unwrap_or_default();
            return self.udp_legs(key, &known, port, &path);
        }
        let lookup = Lookup::UdpTracker { announce: key, host: host.clone(), port, path };
        self.look_up(lookup, host);
    }

    /// Announces by UDP to the first address of each family that we have a socket for. The leg
    /// that waited for the look-up becomes the first of them.
    pub(super) fn udp_legs(&mut self, key: u64, ips: &[IpAddr], port: u16, path: &str) {
        let Some(announce) = self.trackers.announces.get(&key) else { return };
        let (params, near) = (announce.params, announce.near);
        let usable = |v6: bool| {
            let socket = if v6 { self.ctx.net.identity.udp6 } else { self.ctx.net.identity.udp4 };
            let fine = |ip: &&IpAddr| ip.is_ipv6() == v6 && (near || scope(**ip) == Scope::Public);
            socket.and_then(|_| ips.iter().find(fine).copied())
        };
        let targets: Vec<IpAddr> = usable(false).into_iter().chain(usable(true)).collect();
        if targets.is_empty() {
            let is_unknown = ips.is_empty();
            let why = if is_unknown { "host not found" } else { "the host has no usable address" };
            return self.leg_failed(key, Reach::Nowhere, why, None);
        }
        let options = if path.is_empty() { Vec::new() } else { url_data_option(path) };
        let mut out = Vec::new();
        for (index, ip) in targets.into_iter().enumerate() {
            if index > 0 {
                self.add_leg(key);
            }
            let to = SocketAddr::new(ip, port);
            let (now, rng) = (self.ctx.now, &mut self.ctx.random.transactions);
            self.trackers.udp.announce(key, to, params, options.clone(), now, rng, &mut out);
        }
        self.send_udp(out);
    }

    fn send_udp(&mut self, packets: Vec<(SocketAddr, Bytes)>) {
        for (to, data) in packets {
            let identity = &self.ctx.net.identity;
            let socket = if to.is_ipv6() { identity.udp6 } else { identity.udp4 };
            if let Some(socket) = socket {
                self.ctx.out.actions.push(Action::SendDatagram { socket, to, data });
            }
        }
        if let Some(at) = self.trackers.udp.next_deadline() {
            let (queue, now) = (&mut self.ctx.timers, self.ctx.now);
            self.trackers.udp_alarm.set(queue, at, now, Timer::UdpTrackers);
        }
    }

    /// A UDP packet came.
    pub(in super::super) fn tracker_datagram(&mut self, from: SocketAddr, data: &[u8]) {
        let mut out = Vec::new();
        let (now, rng) = (self.ctx.now, &mut self.ctx.random.transactions);
        let ended = self.trackers.udp.datagram(from, data, now, rng, &mut out);
        self.send_udp(out);
        if let Some((key, outcome)) = ended {
            self.leg_spoke(key, true);
            self.udp_ended(key, outcome, scope(from.ip()));
        }
    }

    pub(in super::super) fn poll_udp_trackers(&mut self) {
        let mut out = Vec::new();
        let (now, rng) = (self.ctx.now, &mut self.ctx.random.transactions);
        let ended = self.trackers.udp.poll(now, rng, &mut out);
        self.send_udp(out);
        ended.into_iter().for_each(|(key, outcome)| self.udp_ended(key, outcome, Scope::Public));
    }

    /// A conversation with a tracker in that scope has ended.
    fn udp_ended(&mut self, key: u64, outcome: UdpOutcome, teller: Scope) {
        match outcome {
            UdpOutcome::Answered { interval, counts, peers } => {
                let interval = Some(interval);
                let answer = Answer { interval, counts, ..Answer::default() };
                let named = |peer: &SocketAddr| teller.may_name(scope(peer.ip()));
                let peers = peers.into_iter().filter(named).collect();
                self.leg_answered(key, answer, peers, None);
            }
            UdpOutcome::Refused(why) => self.leg_failed(key, Reach::Tracker, &why, None),
            UdpOutcome::TimedOut => self.leg_failed(key, Reach::Silence, "timed out", None),
        }
    }
}
