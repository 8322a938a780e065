//! Connections: who reaches whom, bytes that keep their order, credit, and every way to end.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::ids::{ConnId, SocketToken};
use eddyline::base::time::Instant;
use eddyline::{
    CloseKind, CloseMode, ConnectFailure, Event, StreamAction, StreamCipher, StreamEvent, Transport,
};

use super::{AtNode, Happening, Listener, World};
use crate::faults::Fault;
use crate::net::{CHUNK, End, Nat, Partition, Run, WINDOW, Way, Wire};
use crate::node::NodeId;
use crate::scripted::{Script, ScriptAction};

/// How long a system tries to connect to an address that does not answer.
const SYN_PATIENCE: Duration = Duration::from_secs(130);
/// How late something late is.
const LATE: Duration = Duration::from_secs(3);
/// How long bytes of a connection may wait for the receiver's line; what would wait longer stays in the sender.
const LINE_QUEUE: Duration = Duration::from_millis(500);
/// Longest run of bytes given to an engine at once, where they are split.
const SPLIT: u32 = 40_000;

impl World {
    /// Adds a scripted peer that others can connect to; each connection gets a script of its own.
    pub fn add_script(&mut self, make: impl Fn() -> Box<dyn Script> + 'static) -> SocketAddr {
        self.add_listener(Listener::Script(Box::new(make)))
    }

    /// Adds an address that neither accepts nor refuses connections.
    pub fn add_half_open(&mut self) -> SocketAddr {
        self.add_listener(Listener::HalfOpen)
    }

    fn add_listener(&mut self, listener: Listener) -> SocketAddr {
        let number = self.listeners.len() as u16;
        let ip = Ipv4Addr::new(10, 1, (number >> 8) as u8, number as u8);
        let addr = SocketAddr::new(ip.into(), super::PORT);
        self.listeners.insert(addr, listener);
        addr
    }

    /// Lets a scripted peer connect to a node.
    pub fn connect_script(&mut self, node: NodeId, script: Box<dyn Script>) {
        let number = self.scripts.len() as u16;
        let remote = SocketAddr::new(Ipv4Addr::new(10, 2, 0, 1).into(), 10_000 + number);
        self.connect_script_from(node, remote, script);
    }

    /// Lets a scripted peer connect to a node from the address `remote`.
    pub fn connect_script_from(
        &mut self,
        node: NodeId,
        remote: SocketAddr,
        script: Box<dyn Script>,
    ) {
        let number = self.scripts.len();
        self.scripts.push(script);
        let here = self.nodes[node].addr.ip();
        let wire = self.add_wire([End::Script(number), End::Waiting(node)], [remote.ip(), here]);
        self.announce_socket(node, wire, remote);
        let actions = self.scripts[number].connected();
        self.perform_script(wire, 0, actions);
    }

    fn add_wire(&mut self, ends: [End; 2], addrs: [IpAddr; 2]) -> usize {
        let mut ways = [Way::default(), Way::default()];
        // The way to end n is way 1 - n; scripts that read take everything.
        for (n, end) in ends.iter().enumerate() {
            if matches!(end, End::Script(script) if self.scripts[*script].reads()) {
                ways[1 - n].credit = u64::MAX / 2;
            }
        }
        let node = |end: &End| match end {
            End::Engine(node, _) | End::Waiting(node) => Some(*node),
            End::Script(_) | End::Gone => None,
        };
        let nodes = [node(&ends[0]), node(&ends[1])];
        self.wires.push(Wire { ends, nodes, addrs, ways });
        self.wires.len() - 1
    }

    fn announce_socket(&mut self, node: NodeId, wire: usize, remote: SocketAddr) {
        let socket = self.next_token();
        self.sockets.insert(socket, (wire, 1));
        self.at_node(self.now, node, AtNode::Tell(Event::Incoming { socket, remote }));
    }

    pub(super) fn stream(&mut self, id: NodeId, conn: ConnId, action: StreamAction) {
        let Some(action) = self.web_action(id, conn, action) else { return };
        match action {
            StreamAction::Connect { remote } => {
                self.nodes[id].tcp_calls += 1;
                let fault = self.fault(id, "Connect");
                let delay = if fault == Some(Fault::Late) { LATE } else { Duration::ZERO };
                let when = self.now + self.weather.latency * 2 + delay;
                self.at_node(when, id, AtNode::Connect(conn, remote, fault));
            }
            StreamAction::Adopt { socket } => self.adopt(id, conn, socket),
            StreamAction::GrantRead(count) => self.grant(id, conn, count),
            StreamAction::Send(bytes) => {
                let report = bytes.len() as u32;
                let bytes = match self.nodes[id].tamper {
                    Some(tamper) => tamper.apply(bytes),
                    None => bytes,
                };
                self.send(id, conn, Run { bytes, report }, "Send");
            }
            StreamAction::SendBlock(bytes) => {
                let report = bytes.len() as u32;
                self.send(id, conn, Run { bytes, report }, "SendBlock");
            }
            StreamAction::Encipher(key) => {
                if let Some((wire, end)) = self.nodes[id].wires.get(&conn).copied() {
                    let cipher = (!key.is_plain()).then(|| StreamCipher::new(&key));
                    self.wires[wire].ways[end].encipher = cipher;
                }
            }
            StreamAction::Decipher(key) => {
                if let Some((wire, end)) = self.nodes[id].wires.get(&conn).copied() {
                    let way = &mut self.wires[wire].ways[1 - end];
                    let granted = way.credit;
                    way.decipher = (!key.is_plain()).then(|| (granted, StreamCipher::new(&key)));
                }
            }
            StreamAction::SendStored(block) => match self.nodes[id].disk.stored(block) {
                Some(bytes) => {
                    self.send(id, conn, Run { bytes, report: block.length }, "SendStored");
                }
                // What a driver does when the content is gone: the header is sent already.
                None => {
                    if let Some((wire, _)) = self.nodes[id].wires.get(&conn).copied() {
                        self.at(self.now, Happening::Break { wire });
                    }
                }
            },
            // Those of connections over µTP are performed elsewhere.
            StreamAction::OpenUtp { .. }
            | StreamAction::Deliver(_)
            | StreamAction::Release(_)
            | StreamAction::Fetch(_) => {}
            StreamAction::Close(mode) => {
                if let Some((wire, end)) = self.nodes[id].wires.remove(&conn) {
                    let late = self.fault(id, "Close").is_some();
                    self.close(wire, end, mode, late);
                }
            }
        }
    }

    fn adopt(&mut self, id: NodeId, conn: ConnId, socket: SocketToken) {
        let (wire, end) = self.sockets.remove(&socket).expect("only offered sockets are adopted");
        let gone = self.wires[wire].ends[end] == End::Gone || self.fault(id, "Adopt").is_some();
        if gone {
            self.close(wire, end, CloseMode::Now, false);
            let event = Event::Stream(conn, StreamEvent::Closed(CloseKind::Eof));
            return self.at_node(self.now, id, AtNode::Tell(event));
        }
        self.wires[wire].ends[end] = End::Engine(id, conn);
        self.nodes[id].wires.insert(conn, (wire, end));
    }

    pub(super) fn refuse(&mut self, socket: SocketToken) {
        if let Some((wire, end)) = self.sockets.remove(&socket) {
            self.close(wire, end, CloseMode::Now, false);
        }
    }

    fn grant(&mut self, id: NodeId, conn: ConnId, count: u32) {
        let Some((wire, end)) = self.nodes[id].wires.get(&conn).copied() else { return };
        let from = 1 - end;
        let fault = self.fault(id, "GrantRead");
        let now = self.now;
        let way = &mut self.wires[wire].ways[from];
        way.credit += u64::from(count);
        if fault == Some(Fault::Stalled) {
            way.stalled_until = now + LATE;
        }
        let when = way.stalled_until.max(now);
        if !way.inbound.is_empty() || way.finished {
            self.at(when, Happening::Deliver { wire, from });
        }
    }

    fn send(&mut self, id: NodeId, conn: ConnId, run: Run, action: &'static str) {
        let Some((wire, end)) = self.nodes[id].wires.get(&conn).copied() else { return };
        match self.fault(id, action) {
            Some(Fault::Broken) => self.at(self.now, Happening::Break { wire }),
            Some(_) => {
                // The line is busy with something else for a while.
                let way = &mut self.wires[wire].ways[end];
                way.last_arrival = way.last_arrival.max(self.now + LATE);
            }
            None => {}
        }
        let way = &mut self.wires[wire].ways[end];
        let run = Run { bytes: way.enciphered(run.bytes), ..run };
        way.given += run.bytes.len() as u64;
        if run.bytes.is_empty() {
            let event = Event::Stream(conn, StreamEvent::Sent(run.report));
            return self.at_node(self.now, id, AtNode::Tell(event));
        }
        way.outgoing.push_back(run);
        self.pump(wire, end);
    }

    /// Sends as much as the window allows, one run of bytes at a time.
    fn pump(&mut self, wire: usize, from: usize) {
        loop {
            let way = &mut self.wires[wire].ways[from];
            if way.sending || way.unread >= WINDOW {
                return;
            }
            let Some(front) = way.outgoing.front_mut() else { return };
            let count = front.bytes.len().min(CHUNK);
            let bytes = front.bytes.split_to(count);
            let report = front.report.min(count as u32);
            front.report -= report;
            let rest = front.report;
            let emptied = front.bytes.is_empty();
            if emptied {
                way.outgoing.pop_front();
            }
            let report = report + if emptied { rest } else { 0 };
            way.unread += count as u64;
            way.sending = true;
            let place = way.launched;
            way.launched += count as u64;
            let departs = self.uplink(wire, from, count);
            let (arrives, waits) = self.arrival(wire, from, departs, count);
            self.at(arrives, Happening::Arrive { wire, from, place, bytes });
            // Congestion control: the line's queue is kept short, the rest waits in the sender,
            // which forgets it when the connection ends.
            let next = departs + waits.saturating_sub(LINE_QUEUE);
            self.at(next, Happening::Departed { wire, from, report });
        }
    }

    /// When bytes have left the sender's line.
    fn uplink(&mut self, wire: usize, from: usize, count: usize) -> Instant {
        let now = self.now;
        let took = |rate: u64| Duration::from_nanos(count as u64 * 1_000_000_000 / rate.max(1));
        match self.wires[wire].ends[from] {
            End::Engine(node, _) => {
                let node = &mut self.nodes[node];
                let Some(rate) = node.access.up else { return now };
                node.uplink_free = node.uplink_free.max(now) + took(rate);
                node.uplink_free
            }
            End::Script(script) => match self.scripts[script].rate() {
                // It sends one run after the other, so that each begins when the last has left.
                Some(rate) => now + took(rate),
                None => now,
            },
            End::Waiting(_) | End::Gone => now,
        }
    }

    /// When bytes that leave at `departs` are there, behind everything sent before them, and for
    /// how long they wait for the receiver's line until then.
    fn arrival(
        &mut self,
        wire: usize,
        from: usize,
        departs: Instant,
        count: usize,
    ) -> (Instant, Duration) {
        let mut latency = self.weather.latency;
        for end in &self.wires[wire].ends {
            if let End::Engine(node, _) | End::Waiting(node) = end {
                latency += self.nodes[*node].access.latency;
            }
        }
        if self.weather.jitter > Duration::ZERO {
            let most = u32::try_from(self.weather.jitter.as_micros()).unwrap_or(u32::MAX);
            latency += Duration::from_micros(self.rng.below(most).into());
        }
        if self.weather.loss > 0 && self.rng.below(1000) < self.weather.loss {
            // Sent again after a time-out; everything behind it waits.
            latency = 2 * latency + Duration::from_millis(200);
        }
        let mut arrives = departs + latency;
        let mut waits = Duration::ZERO;
        if let End::Engine(node, _) = self.wires[wire].ends[1 - from]
            && let Some(rate) = self.nodes[node].access.down
        {
            let took = Duration::from_nanos(count as u64 * 1_000_000_000 / rate.max(1));
            let node = &mut self.nodes[node];
            node.downlink_free = node.downlink_free.max(arrives) + took;
            waits = node.downlink_free.since(arrives);
            arrives = node.downlink_free;
        }
        let way = &mut self.wires[wire].ways[from];
        way.last_arrival = way.last_arrival.max(arrives);
        (way.last_arrival, waits)
    }

    pub(super) fn departed(&mut self, wire: usize, from: usize, report: u32) {
        self.wires[wire].ways[from].sending = false;
        if let End::Engine(node, conn) = self.wires[wire].ends[from]
            && report > 0
        {
            self.tell(node, Event::Stream(conn, StreamEvent::Sent(report)));
        }
        self.pump(wire, from);
    }

    /// Whether a partition stands between the ends of a wire.
    pub(super) fn is_divided(&self, wire: usize) -> bool {
        self.partition_on(wire).is_some()
    }

    fn partition_on(&self, wire: usize) -> Option<Partition> {
        let [a, b] = self.wires[wire].nodes;
        self.partition_between(a?, b?)
    }

    pub(super) fn arrive(&mut self, wire: usize, from: usize, place: u64, bytes: Bytes) {
        match self.partition_on(wire) {
            Some(Partition::Hold) => {
                return self.hold(Happening::Arrive { wire, from, place, bytes });
            }
            Some(Partition::Drop) => self.wires[wire].ways[from].torn = true,
            None => {}
        }
        let way = &mut self.wires[wire].ways[from];
        if way.torn {
            // Both sides find out when the connection breaks.
            return;
        }
        assert_eq!(way.arrived, place, "bytes of a connection keep their order, without a gap");
        way.arrived += bytes.len() as u64;
        way.inbound.push_back(bytes);
        if way.inbound.len() == 1 {
            self.deliver(wire, from);
        }
    }

    pub(super) fn deliver(&mut self, wire: usize, from: usize) {
        let to = 1 - from;
        match self.wires[wire].ends[to].clone() {
            End::Engine(node, conn) => self.deliver_to_engine(wire, from, node, conn),
            End::Script(script) => {
                while let Some(bytes) = self.wires[wire].ways[from].take(usize::MAX) {
                    let actions = self.scripts[script].received(&bytes);
                    self.perform_script(wire, to, actions);
                }
                self.pump(wire, from);
            }
            End::Waiting(_) => {}
            End::Gone => self.wires[wire].ways[from].inbound.clear(),
        }
    }

    fn deliver_to_engine(&mut self, wire: usize, from: usize, node: NodeId, conn: ConnId) {
        if self.wires[wire].ways[from].stalled_until > self.now {
            let when = self.wires[wire].ways[from].stalled_until;
            return self.at(when, Happening::Deliver { wire, from });
        }
        let limit = if let Some(size) = self.chunks.pop() {
            1 + usize::from(size) * 64
        } else if !self.splits {
            usize::MAX
        } else if self.fault(node, "GrantRead") == Some(Fault::Split) {
            1 + self.rng.below(3) as usize
        } else {
            1 + self.rng.below(SPLIT) as usize
        };
        let way = &mut self.wires[wire].ways[from];
        if let Some(bytes) = way.take(limit) {
            let more = way.credit > 0 && !way.inbound.is_empty();
            self.tell(node, Event::Stream(conn, StreamEvent::Received(bytes)));
            if more && self.splits {
                let when = self.now + Duration::from_nanos(1);
                self.at(when, Happening::Deliver { wire, from });
            } else if more {
                self.deliver(wire, from);
            }
            self.pump(wire, from);
        }
        let way = &self.wires[wire].ways[from];
        if way.finished && way.inbound.is_empty() {
            self.report_end(wire, 1 - from, CloseKind::Eof);
        }
    }

    pub(super) fn connect(
        &mut self,
        id: NodeId,
        conn: ConnId,
        remote: SocketAddr,
        fault: Option<Fault>,
    ) {
        let from = self.nodes[id].addr;
        let unreachable = match self.listeners.get(&remote) {
            Some(Listener::Node(node)) => {
                self.partition_between(id, *node).is_some() || self.is_hidden(*node)
            }
            Some(Listener::HalfOpen | Listener::Responder(_)) => true,
            _ => false,
        };
        let failure = match fault {
            Some(Fault::Refused) => Some((Duration::ZERO, ConnectFailure::Refused)),
            Some(Fault::TimedOut) => Some((SYN_PATIENCE, ConnectFailure::TimedOut)),
            _ if self.speaks_no_tcp(remote) => Some((Duration::ZERO, ConnectFailure::Refused)),
            _ if unreachable => Some((SYN_PATIENCE, ConnectFailure::TimedOut)),
            _ if !self.listeners.contains_key(&remote) => {
                Some((Duration::ZERO, ConnectFailure::Refused))
            }
            _ => None,
        };
        if let Some((delay, kind)) = failure {
            let event = Event::Stream(conn, StreamEvent::ConnectFailed(kind));
            return self.at_node(self.now + delay, id, AtNode::Tell(event));
        }
        let made = match self.listeners.get(&remote) {
            Some(Listener::Script(make)) => Some(make()),
            _ => None,
        };
        let addrs = [from.ip(), remote.ip()];
        let wire = match (self.listeners.get(&remote), made) {
            (Some(Listener::Node(node)), _) => {
                let node = *node;
                let wire = self.add_wire([End::Engine(id, conn), End::Waiting(node)], addrs);
                let port = 40_000 + (wire % 20_000) as u16;
                self.announce_socket(node, wire, SocketAddr::new(from.ip(), port));
                wire
            }
            (_, Some(mut script)) => {
                let actions = script.connected();
                self.scripts.push(script);
                let end = End::Script(self.scripts.len() - 1);
                let wire = self.add_wire([End::Engine(id, conn), end], addrs);
                self.perform_script(wire, 1, actions);
                wire
            }
            _ => return,
        };
        self.nodes[id].wires.insert(conn, (wire, 0));
        self.tell(id, Event::Stream(conn, StreamEvent::Connected));
    }

    /// Whether nobody listens there, for the node speaks µTP alone.
    fn speaks_no_tcp(&self, addr: SocketAddr) -> bool {
        let node = match self.listeners.get(&addr) {
            Some(Listener::Node(node)) => &self.nodes[*node],
            _ => return false,
        };
        !node.config.transports.include(Transport::Tcp) && !node.takes_tcp
    }

    /// Whether nobody can connect to a node: its address is translated, or it does not answer.
    fn is_hidden(&self, node: NodeId) -> bool {
        let node = &self.nodes[node];
        !node.hears_tcp || !matches!(node.nat, Nat::Open | Nat::FullCone)
    }

    pub(super) fn perform_script(&mut self, wire: usize, end: usize, actions: Vec<ScriptAction>) {
        for action in actions {
            match action {
                ScriptAction::Send(bytes) => {
                    let way = &mut self.wires[wire].ways[end];
                    way.given += bytes.len() as u64;
                    way.outgoing.push_back(Run { bytes, report: 0 });
                    self.pump(wire, end);
                }
                ScriptAction::Close => self.close(wire, end, CloseMode::Flush, false),
            }
        }
    }

    /// One side closes; the other hears of it behind everything that was sent before.
    fn close(&mut self, wire: usize, end: usize, mode: CloseMode, late: bool) {
        let latency = self.weather.latency;
        let now = self.now;
        let record = &mut self.wires[wire];
        record.ends[end] = End::Gone;
        let way = &mut record.ways[end];
        if mode == CloseMode::Now {
            way.outgoing.clear();
        }
        let delay = if late { LATE } else { Duration::ZERO };
        let mut when = way.last_arrival.max(now + latency) + delay;
        if !way.outgoing.is_empty() {
            when = when + LATE;
        }
        record.ways[1 - end].inbound.clear();
        self.at(when, Happening::Finish { wire, from: end });
    }

    pub(super) fn finish(&mut self, wire: usize, from: usize) {
        match self.partition_on(wire) {
            Some(Partition::Hold) => return self.hold(Happening::Finish { wire, from }),
            Some(Partition::Drop) => self.wires[wire].ways[from].torn = true,
            None => {}
        }
        let way = &mut self.wires[wire].ways[from];
        if way.torn {
            return;
        }
        way.finished = true;
        if way.inbound.is_empty() {
            self.report_end(wire, 1 - from, CloseKind::Eof);
        }
    }

    /// The connection breaks for both sides.
    pub(super) fn break_wire(&mut self, wire: usize) {
        for end in 0..2 {
            self.report_end(wire, end, CloseKind::Reset);
        }
    }

    /// One side is gone without a word; the other finds out.
    pub(super) fn vanish(&mut self, wire: usize, end: usize) {
        self.wires[wire].ends[end] = End::Gone;
        let when = self.now + self.weather.latency;
        self.at(when, Happening::Break { wire });
    }

    fn report_end(&mut self, wire: usize, to: usize, kind: CloseKind) {
        let end = std::mem::replace(&mut self.wires[wire].ends[to], End::Gone);
        let record = &mut self.wires[wire];
        // Wires stay on record; what they held does not.
        record.ways.iter_mut().for_each(|way| {
            way.inbound = VecDeque::new();
            way.outgoing = VecDeque::new();
        });
        if let End::Engine(node, conn) = end
            && self.nodes[node].wires.remove(&conn).is_some()
        {
            self.tell(node, Event::Stream(conn, StreamEvent::Closed(kind)));
        }
    }

    /// Checks that no link has made or lost bytes.
    ///
    /// # Errors
    /// The link that has, and how.
    pub fn check_links(&self) -> Result<(), String> {
        for (number, wire) in self.wires.iter().enumerate() {
            for way in &wire.ways {
                if way.arrived > way.given || way.delivered > way.arrived {
                    let (given, arrived) = (way.given, way.arrived);
                    return Err(format!(
                        "bytes are conserved on every link: {given} given, {arrived} arrived, {} \
                         delivered on link {number} between {} and {}",
                        way.delivered, wire.addrs[0], wire.addrs[1]
                    ));
                }
            }
        }
        Ok(())
    }
}
