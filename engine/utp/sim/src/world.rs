//! Flows of several kinds that share a bottleneck.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use eddyline_utp::{Config, ConnectionId, Datagram, Multiplexer, Output, Statistics, Time};

use crate::chance::Chance;
use crate::link::{Link, OVERHEAD, Weather};
use crate::tcp::{Kind, PACKET, Tcp};

/// Room that a receiver has.
const ROOM: u64 = 1 << 27;
/// A queue is looked at so often, in nanoseconds.
const LOOK: u64 = 5_000_000;

/// A download over µTP without end.
struct Utp {
    sides: [Multiplexer; 2],
    connection: Option<ConnectionId>,
    /// When each side is to be called.
    due: [u64; 2],
    delivered: u64,
    begins: u64,
    /// Parts in a million by which the receiver's clock is fast.
    drift: i64,
}

enum Flow {
    Utp(Box<Utp>),
    Tcp(Tcp),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Datagram { side: usize, bytes: Bytes },
    Arrived { number: u64 },
    Acked { number: u64 },
    Call { side: usize },
    Look,
}

/// A bottleneck and what flows through it.
pub struct World {
    now: u64,
    count: u64,
    events: BinaryHeap<Reverse<(u64, u64, usize, What)>>,
    bottleneck: Link,
    back: Link,
    flows: Vec<Flow>,
    chance: Chance,
    queue_sum: u64,
    looks: u64,
    /// Whether the machines are asked for broken rules now and then.
    pub checks: bool,
}

fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, side as u8 + 1], 6881))
}

fn micros(nanos: u64) -> Time {
    Time::from_micros(nanos / 1_000)
}

impl World {
    /// An empty network: a bottleneck, and a way back without one.
    pub fn new(bottleneck: Weather, seed: u64) -> Self {
        let back = Weather { delay: bottleneck.delay, mtu: bottleneck.mtu, ..Weather::default() };
        let mut world = Self {
            now: 0,
            count: 0,
            events: BinaryHeap::new(),
            bottleneck: Link::new(bottleneck),
            back: Link::new(back),
            flows: Vec::new(),
            chance: Chance::new(seed),
            queue_sum: 0,
            looks: 0,
            checks: false,
        };
        world.at(LOOK, 0, What::Look);
        world
    }

    fn at(&mut self, time: u64, flow: usize, what: What) {
        self.count += 1;
        self.events.push(Reverse((time, self.count, flow, what)));
    }

    /// A download over µTP that begins then. The receiver's clock is elsewhere, and drifts by parts in a million.
    pub fn utp(&mut self, begins: u64, drift: i64) -> usize {
        let flow = self.flows.len();
        let seed = self.chance.draw();
        // Room is granted with the connection.
        let config = Config { accept_room: 0, ..Config::default() };
        let side = |n| Multiplexer::new(config.clone(), [seed, n]);
        let sides = [side(1), side(2)];
        let (connection, due) = (None, [begins, u64::MAX]);
        self.flows.push(Flow::Utp(Box::new(Utp {
            sides,
            connection,
            due,
            delivered: 0,
            begins,
            drift,
        })));
        self.at(begins, flow, What::Call { side: 0 });
        flow
    }

    /// A download over TCP that begins then.
    pub fn tcp(&mut self, kind: Kind, begins: u64) -> usize {
        let flow = self.flows.len();
        self.flows.push(Flow::Tcp(Tcp::new(kind, begins)));
        self.at(begins, flow, What::Call { side: 0 });
        flow
    }

    /// Bytes on the wire that have arrived for a flow.
    pub fn delivered(&self, flow: usize) -> u64 {
        match &self.flows[flow] {
            Flow::Utp(utp) => utp.delivered,
            Flow::Tcp(tcp) => tcp.delivered,
        }
    }

    /// How a flow over µTP is doing.
    pub fn statistics(&self, flow: usize) -> Statistics {
        let Flow::Utp(utp) = &self.flows[flow] else { return Statistics::default() };
        utp.connection.and_then(|id| utp.sides[0].statistics(id)).unwrap_or_default()
    }

    /// The mean time that packets had to wait at the bottleneck since this was asked last, in microseconds.
    pub fn mean_wait(&mut self) -> u64 {
        let mean = self.queue_sum.checked_div(self.looks).unwrap_or(0) / 1_000;
        (self.queue_sum, self.looks) = (0, 0);
        mean
    }

    /// Runs until then.
    pub fn run_until(&mut self, end: u64) {
        while let Some(Reverse((time, ..))) = self.events.peek()
            && *time <= end
        {
            let Some(Reverse((time, _, flow, what))) = self.events.pop() else { return };
            self.now = time;
            match what {
                What::Look => {
                    self.queue_sum += self.bottleneck.wait(time);
                    self.looks += 1;
                    self.at(time + LOOK, 0, What::Look);
                    self.check();
                }
                What::Datagram { side, bytes } => self.datagram(flow, side, &bytes),
                What::Arrived { number } => self.tcp_arrived(flow, number),
                What::Acked { number } => {
                    if let Flow::Tcp(tcp) = &mut self.flows[flow] {
                        tcp.acked(time, number);
                        self.tcp_sends(flow);
                    }
                }
                What::Call { side } => self.call(flow, side),
            }
        }
        self.now = end;
    }

    fn check(&self) {
        if !self.checks {
            return;
        }
        for flow in &self.flows {
            if let Flow::Utp(utp) = flow {
                let faults: Vec<_> = utp.sides.iter().flat_map(Multiplexer::violations).collect();
                assert!(faults.is_empty(), "at {}: {faults:?}", self.now);
            }
        }
    }

    fn call(&mut self, flow: usize, side: usize) {
        let now = self.now;
        match &mut self.flows[flow] {
            Flow::Tcp(tcp) => {
                if tcp.deadline() <= now && tcp.delivered > 0 {
                    tcp.time_out(now);
                }
                let next = tcp.deadline().max(now + 100_000_000);
                self.at(next, flow, What::Call { side });
                self.tcp_sends(flow);
            }
            Flow::Utp(utp) if utp.due[side] <= now => {
                utp.due[side] = u64::MAX;
                if side == 0 && utp.connection.is_none() && utp.begins <= now {
                    let id = utp.sides[0].connect(micros(now), address(1)).expect("a free id");
                    utp.sides[0].offer(id, 1 << 50);
                    utp.connection = Some(id);
                }
                self.advance(flow, side);
            }
            Flow::Utp(_) => {}
        }
    }

    fn tcp_sends(&mut self, flow: usize) {
        while let Flow::Tcp(tcp) = &mut self.flows[flow]
            && let Some(number) = tcp.send(self.now)
        {
            let arrivals = self.bottleneck.carry(self.now, PACKET, &mut self.chance);
            for at in arrivals.into_iter().flatten() {
                self.at(at, flow, What::Arrived { number });
            }
        }
    }

    fn tcp_arrived(&mut self, flow: usize, number: u64) {
        if let Flow::Tcp(tcp) = &mut self.flows[flow] {
            tcp.delivered += PACKET;
            self.at(self.now + self.back.weather.delay, flow, What::Acked { number });
        }
    }

    fn clock(&self, flow: usize, side: usize) -> Time {
        let Flow::Utp(utp) = &self.flows[flow] else { return Time::ZERO };
        let now = self.now / 1_000;
        let fast = if side == 1 { now as i64 * utp.drift / 1_000_000 + 77_000_000 } else { 0 };
        Time::from_micros(now.saturating_add_signed(fast))
    }

    fn datagram(&mut self, flow: usize, side: usize, bytes: &Bytes) {
        let now = self.clock(flow, side);
        let Flow::Utp(utp) = &mut self.flows[flow] else { return };
        if side == 1 && bytes.len() > 400 {
            utp.delivered += bytes.len() as u64 + OVERHEAD;
        }
        utp.sides[side].datagram(now, now, address(1 - side), bytes);
        self.advance(flow, side);
    }

    fn advance(&mut self, flow: usize, side: usize) {
        let now = self.clock(flow, side);
        let Flow::Utp(utp) = &mut self.flows[flow] else { return };
        let mut outputs = Vec::new();
        utp.sides[side].advance(now, &mut outputs);
        let mut sends = Vec::new();
        for output in outputs {
            match output {
                Output::Send(datagram) => sends.push(datagram),
                Output::Accepted { connection, .. } => utp.sides[side].grant(connection, ROOM),
                Output::Received { connection, slices } => {
                    let bytes = slices.iter().map(|slice| slice.len() as u64).sum();
                    utp.sides[side].grant(connection, bytes);
                }
                Output::Closed { reason, .. } => {
                    panic!("flow {flow} ended at {}: {reason:?}", self.now)
                }
                _ => {}
            }
        }
        if let Some(at) = utp.sides[side].next_deadline() {
            // Never at once again: time has to pass.
            let wait = at.since(now).max(1) * 1_000;
            let wait =
                wait - if side == 1 { wait / 1_000 * utp.drift.max(0) as u64 / 1_000 } else { 0 };
            let due = self.now + wait;
            if due < utp.due[side] || utp.due[side] <= self.now {
                utp.due[side] = due;
                self.at(due, flow, What::Call { side });
            }
        }
        for datagram in sends {
            self.send(flow, side, &datagram);
        }
    }

    fn send(&mut self, flow: usize, side: usize, datagram: &Datagram) {
        let length = (datagram.payload.end - datagram.payload.start) as usize;
        let mut bytes = BytesMut::with_capacity(datagram.header.len() + length);
        bytes.extend_from_slice(&datagram.header);
        bytes.resize(datagram.header.len() + length, 0);
        let bytes = bytes.freeze();
        let link = if side == 0 { &mut self.bottleneck } else { &mut self.back };
        let size = bytes.len() as u64 + OVERHEAD;
        for at in link.carry(self.now, size, &mut self.chance).into_iter().flatten() {
            self.at(at, flow, What::Datagram { side: 1 - side, bytes: bytes.clone() });
        }
    }
}
