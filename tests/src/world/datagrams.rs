//! Datagrams: lost, doubled, late, translated, and answered by UDP trackers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::ids::UdpSocketId;
use eddyline::base::time::Instant;
use eddyline::local_discovery::GROUP_V4;
use eddyline::{Command, Event};

use super::{AtNode, Happening, Listener, PORT, UDP, World};
use crate::faults::Fault;
use crate::node::NodeId;

/// The UDP socket of every node that has joined the group of local discovery.
pub(super) const LOCAL_UDP: UdpSocketId = UdpSocketId(2);
/// How late a late datagram is.
const LATE: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn send_datagram(&mut self, id: NodeId, to: SocketAddr, data: Bytes) {
        if to == GROUP_V4 {
            return self.multicast(id, &data);
        }
        let node = &mut self.nodes[id];
        let port = node.nat_state.outgoing(node.nat, node.addr.port(), to);
        let from = SocketAddr::new(node.addr.ip(), port);
        let Some(waits) = self.queue_datagram(id, data.len()) else { return };
        let fault = self.fault(id, "SendDatagram");
        match fault {
            Some(Fault::Lost) => return,
            Some(Fault::Doubled) => self.launch(from, to, data.clone(), waits),
            _ => {}
        }
        let delay = if fault == Some(Fault::Late) { LATE } else { Duration::ZERO };
        self.launch(from, to, data, waits + delay);
    }

    /// All nodes are on one local network, the sender too.
    fn multicast(&mut self, id: NodeId, data: &Bytes) {
        let from = SocketAddr::new(self.nodes[id].addr.ip(), GROUP_V4.port());
        for node in 0..self.nodes.len() {
            let divided = self.partition_between(id, node).is_some();
            if !divided && self.rng.below(1000) >= self.weather.loss {
                let event =
                    Event::Datagram { socket: LOCAL_UDP, from, data: data.clone(), waited: 0 };
                let when = self.now + Duration::from_millis(1);
                self.at_node(when, node, AtNode::Tell(event));
            }
        }
    }

    /// How long a datagram waits for its sender's line; `None` when the queue is full.
    fn queue_datagram(&mut self, id: NodeId, length: usize) -> Option<Duration> {
        let now = self.now;
        let node = &mut self.nodes[id];
        let Some(rate) = node.access.up else { return Some(Duration::ZERO) };
        let wait = node.uplink_free.since(now);
        let queued = wait.as_nanos() as u64 / 1000 * rate / 1_000_000;
        if node.access.queue.is_some_and(|most| queued > most) {
            return None;
        }
        let took = Duration::from_nanos(length as u64 * 1_000_000_000 / rate.max(1));
        node.uplink_free = node.uplink_free.max(now) + took;
        Some(wait + took)
    }

    /// Puts a datagram on its way; the weather decides what becomes of it.
    pub(super) fn launch(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        data: Bytes,
        delay: Duration,
    ) {
        if self.rng.below(1000) < self.weather.loss {
            return;
        }
        let copies = 1 + u32::from(self.rng.below(1000) < self.weather.doubled);
        for _ in 0..copies {
            let jitter = u32::try_from(self.weather.jitter.as_micros()).unwrap_or(u32::MAX);
            let jitter = Duration::from_micros(self.rng.below(jitter).into());
            let when = self.now + self.weather.latency + jitter + delay;
            let Some(when) = self.downlink(to, when, data.len()) else { continue };
            self.at(when, Happening::Datagram { from, to, data: data.clone() });
        }
    }

    /// When a datagram that arrives at the receiver's line has gone through it; `None` when the queue is full.
    fn downlink(&mut self, to: SocketAddr, when: Instant, length: usize) -> Option<Instant> {
        let Some(Listener::Node(node)) = self.listener_at(to.ip()) else { return Some(when) };
        let node = *node;
        let node = &mut self.nodes[node];
        let Some(rate) = node.access.down else { return Some(when) };
        let took = Duration::from_nanos(length as u64 * 1_000_000_000 / rate.max(1));
        let wait = node.downlink_free.since(when);
        let queued = wait.as_nanos() as u64 / 1000 * rate / 1_000_000;
        if node.access.queue.is_some_and(|most| queued > most) {
            return None;
        }
        node.downlink_free = node.downlink_free.max(when) + took;
        Some(node.downlink_free)
    }

    fn listener_at(&self, ip: IpAddr) -> Option<&Listener> {
        let ports = SocketAddr::new(ip, 0)..=SocketAddr::new(ip, u16::MAX);
        self.listeners.range(ports).next().map(|(_, listener)| listener)
    }

    pub(super) fn datagram(&mut self, from: SocketAddr, to: SocketAddr, data: Bytes) {
        let now = self.now;
        if let Some(tracker) = self.udp_trackers.get_mut(&to) {
            if let Some(reply) = tracker.answer(from, &data, now) {
                self.launch(to, from, reply.into(), Duration::ZERO);
            }
            return;
        }
        if let Some(Listener::Responder(answer)) = self.listeners.get_mut(&to) {
            if let Some(reply) = answer(from, to, &data) {
                self.launch(to, from, reply, Duration::ZERO);
            }
            return;
        }
        let Some(data) = self.utp_stranger_hears(from, to, data) else { return };
        // A mapping for one destination leads to the same node as the usual port.
        let listener = self.listener_at(to.ip());
        let Some(Listener::Node(node)) = listener else { return };
        let node = *node;
        if let Some(Listener::Node(sender)) = self.listener_at(from.ip())
            && self.partition_between(*sender, node).is_some()
        {
            return;
        }
        if !self.nodes[node].hears_utp && data.first().is_some_and(|first| first & 15 == 1) {
            return;
        }
        if self.nodes[node].nat_state.admits(self.nodes[node].nat, from, to.port()) {
            self.tell(node, Event::Datagram { socket: UDP, from, data, waited: 0 });
        }
    }
}

/// What a driver tells a fresh engine: one port for everything, and a group that it has joined.
pub(super) fn listen_commands() -> [Event; 2] {
    [
        Command::ListenOn { port: Some(PORT), udp4: Some(UDP), udp6: None }.into(),
        Command::ListenLocally { udp4: Some(LOCAL_UDP), udp6: None }.into(),
    ]
}
