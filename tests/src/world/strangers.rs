//! Strangers that are no engines: scripts at addresses of their own, packets from anywhere.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::Event;

use super::datagrams::LOCAL_UDP;
use super::{AtNode, Happening, Listener, World};
use crate::net::End;
use crate::node::NodeId;
use crate::scripted::Script;

/// Answers packets that come from the first address to the second.
pub type Responder = Box<dyn FnMut(SocketAddr, SocketAddr, &[u8]) -> Option<Bytes>>;

impl World {
    /// Adds a scripted peer that others can connect to at an address of choice.
    pub fn add_script_at(
        &mut self,
        addr: SocketAddr,
        make: impl Fn() -> Box<dyn Script> + 'static,
    ) {
        self.listeners.insert(addr, Listener::Script(Box::new(make)));
    }

    /// Adds somebody who answers packets at an address of choice.
    pub fn add_responder(&mut self, addr: SocketAddr, responder: Responder) {
        self.listeners.insert(addr, Listener::Responder(responder));
    }

    /// A packet from anywhere, which the weather spares.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, data: Bytes) {
        let when = self.now + self.weather.latency;
        self.at(when, Happening::Datagram { from, to, data });
    }

    /// An announcement on the local network that every node hears.
    pub fn shout(&mut self, from: SocketAddr, data: &Bytes) {
        let when = self.now + Duration::from_millis(1);
        for node in 0..self.nodes.len() {
            let event = Event::Datagram { socket: LOCAL_UDP, from, data: data.clone(), waited: 0 };
            self.at_node(when, node, AtNode::Tell(event));
        }
    }

    /// Lets every scripted peer that is connected say something of its own accord.
    pub fn prompt_scripts(&mut self) {
        for wire in 0..self.wires.len() {
            for end in 0..2 {
                if let End::Script(script) = self.wires[wire].ends[end]
                    && self.wires[wire].ends[1 - end] != End::Gone
                {
                    let actions = self.scripts[script].tick();
                    self.perform_script(wire, end, actions);
                }
            }
        }
        self.prompt_utp_strangers();
    }

    /// Whoever is at such an address is gone: connections break, and nobody listens there.
    pub fn drive_out(&mut self, such: impl Fn(IpAddr) -> bool) {
        self.listeners.retain(|addr, _| !such(addr.ip()));
        self.utp_strangers.retain(|addr, _| !such(addr.ip()));
        for wire in 0..self.wires.len() {
            if self.wires[wire].addrs.iter().any(|ip| such(*ip)) {
                self.break_wire(wire);
            }
        }
    }

    /// Bytes that a node has sent and that its system has not taken.
    pub fn backlog(&self, node: NodeId) -> u64 {
        let ways = self.nodes[node].wires.values().map(|(wire, end)| &self.wires[*wire].ways[*end]);
        let runs = ways.flat_map(|way| &way.outgoing);
        runs.map(|run| run.bytes.len() as u64).sum()
    }

    /// Whether an address is one of a node.
    pub fn is_node(&self, ip: IpAddr) -> bool {
        self.nodes.iter().any(|node| node.addr.ip() == ip)
    }
}
