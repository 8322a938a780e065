//! Two machines that talk over a network of any kind, with content that is checked and rules that are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use eddyline_utp::{
    CloseReason, Config, ConnectionId, Datagram, Multiplexer, Output, Time, Verdict, is_utp,
};

use crate::chance::Chance;
use crate::link::{Link, OVERHEAD, Weather};

/// One of two machines, and what it went through.
pub struct Side {
    /// The machine.
    pub machine: Multiplexer,
    /// Its connection, while there is one.
    pub connection: Option<ConnectionId>,
    /// Bytes that were offered.
    pub offered: u64,
    /// Bytes that have arrived here.
    pub received: u64,
    /// The position before which nothing was asked for again.
    pub released: u64,
    /// Whether what has arrived makes room at once.
    pub reads: bool,
    /// The other side has sent all.
    pub ended: bool,
    /// Why the connection has ended.
    pub closed: Option<CloseReason>,
    /// What became of datagrams, with nothing of those that were good.
    pub verdicts: Vec<Verdict>,
    /// The largest datagram that left, and how many, and how many without DF.
    pub sent: (usize, u64, u64),
    unread: u64,
}

/// When, in which order among those of one time, at which side; and the datagram, or a timer.
type Happening = (u64, u64, usize, Option<Bytes>);

/// Two machines and the links between them.
pub struct Pair {
    /// Nanoseconds.
    pub now: u64,
    /// Who connects, and who is connected to.
    pub sides: [Side; 2],
    /// The links from each side.
    pub links: [Link; 2],
    /// The rules are checked once in this number of datagrams.
    pub check_every: u64,
    events: BinaryHeap<Reverse<Happening>>,
    count: u64,
    chance: Chance,
    steps: u64,
    due: [u64; 2],
}

/// Where a side is.
pub fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, side as u8 + 1], 6881))
}

/// What stands at a position of the stream of a side.
fn content(side: usize, position: u64) -> u8 {
    (position.wrapping_mul(0x9e37_79b9).wrapping_add(side as u64 * 77) >> 16) as u8
}

impl Pair {
    /// A pair under one weather, which has not begun to talk.
    pub fn new(config: &Config, weather: &Weather, seed: u64) -> Self {
        let side = |n| Side {
            machine: Multiplexer::new(config.clone(), [seed, n]),
            connection: None,
            offered: 0,
            received: 0,
            released: 0,
            reads: true,
            ended: false,
            closed: None,
            verdicts: Vec::new(),
            sent: (0, 0, 0),
            unread: 0,
        };
        Self {
            now: 0,
            sides: [side(1), side(2)],
            links: [Link::new(weather.clone()), Link::new(weather.clone())],
            check_every: 16,
            events: BinaryHeap::new(),
            count: 0,
            chance: Chance::new(seed),
            steps: 0,
            due: [u64::MAX; 2],
        }
    }

    /// The first side connects, and grants `room` bytes.
    pub fn connect(&mut self, room: u64) {
        let id = self.sides[0].machine.connect(self.time(), address(1)).expect("a free id");
        self.sides[0].connection = Some(id);
        self.sides[0].machine.grant(id, room);
        self.turn(0);
    }

    /// A side has this many more bytes to send.
    pub fn offer(&mut self, side: usize, bytes: u64) {
        let it = &mut self.sides[side];
        let Some(id) = it.connection else { return };
        it.offered += bytes;
        it.machine.offer(id, bytes);
        self.turn(side);
    }

    /// A side has room for this many more bytes.
    pub fn grant(&mut self, side: usize, bytes: u64) {
        let it = &mut self.sides[side];
        if let Some(id) = it.connection {
            it.machine.grant(id, bytes);
            self.turn(side);
        }
    }

    /// A side reads what it left lying.
    pub fn read(&mut self, side: usize) {
        let unread = std::mem::take(&mut self.sides[side].unread);
        self.sides[side].reads = true;
        self.grant(side, unread);
    }

    /// A side has sent all.
    pub fn close(&mut self, side: usize) {
        let it = &mut self.sides[side];
        if let Some(id) = it.connection {
            it.machine.close(id, Some(6));
            self.turn(side);
        }
    }

    fn time(&self) -> Time {
        Time::from_micros(self.now / 1_000)
    }

    /// A datagram that somebody made up reaches a side.
    pub fn inject(&mut self, side: usize, from: SocketAddr, datagram: &Bytes) -> Verdict {
        let now = self.time();
        let verdict = self.sides[side].machine.datagram(now, now, from, datagram);
        self.turn(side);
        verdict
    }

    /// Whether nothing is under way that was offered and not received.
    pub fn is_done(&self) -> bool {
        let [a, b] = &self.sides;
        a.received == b.offered && b.received == a.offered
    }

    /// Runs for this many nanoseconds, or until everything has arrived.
    pub fn run(&mut self, span: u64) -> bool {
        let end = self.now + span;
        while !self.is_done() && self.step(end) {}
        self.is_done()
    }

    /// Runs for this many nanoseconds.
    pub fn wait(&mut self, span: u64) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    fn step(&mut self, end: u64) -> bool {
        if self.events.peek().is_none_or(|Reverse((at, ..))| *at > end) {
            return false;
        }
        let Some(Reverse((at, _, side, datagram))) = self.events.pop() else { return false };
        self.now = at;
        match datagram {
            Some(bytes) => {
                let now = self.time();
                let verdict =
                    self.sides[side].machine.datagram(now, now, address(1 - side), &bytes);
                if !matches!(verdict, Verdict::Accepted | Verdict::Duplicate) {
                    self.sides[side].verdicts.push(verdict);
                }
                self.turn(side);
            }
            None if self.due[side] <= at => {
                self.due[side] = u64::MAX;
                self.turn(side);
            }
            None => {}
        }
        true
    }

    /// A side does what is due.
    pub fn turn(&mut self, side: usize) {
        self.steps += 1;
        let mut outputs = Vec::new();
        let now = self.time();
        self.sides[side].machine.advance(now, &mut outputs);
        for output in outputs {
            self.heard(side, output);
        }
        if self.steps.is_multiple_of(self.check_every) {
            let faults = self.sides[side].machine.violations();
            assert!(faults.is_empty(), "side {side} at {now:?}: {faults:?}");
        }
        if let Some(at) = self.sides[side].machine.next_deadline() {
            let due = self.now + at.since(now).max(1) * 1_000;
            if due < self.due[side] {
                self.due[side] = due;
                self.schedule(due, side, None);
            }
        }
    }

    fn heard(&mut self, side: usize, output: Output) {
        let it = &mut self.sides[side];
        match output {
            Output::Send(datagram) => self.send(side, &datagram),
            Output::Accepted { connection, from } => {
                assert_eq!(from, address(1 - side));
                if it.connection.is_none() {
                    it.connection = Some(connection);
                    it.machine.grant(connection, 1 << 20);
                }
            }
            Output::Connected { connection } => assert_eq!(it.connection, Some(connection)),
            Output::Received { connection, slices } if it.connection == Some(connection) => {
                let before = it.received;
                for slice in slices {
                    assert!(!slice.is_empty());
                    for byte in &slice {
                        assert_eq!(*byte, content(1 - side, it.received), "at {}", it.received);
                        it.received += 1;
                    }
                }
                if it.reads {
                    it.machine.grant(connection, it.received - before);
                } else {
                    it.unread += it.received - before;
                }
            }
            Output::Received { .. } => {}
            Output::Ended { .. } => it.ended = true,
            Output::Released { up_to, .. } => {
                assert!(up_to > it.released && up_to <= it.offered);
                it.released = up_to;
            }
            Output::Closed { connection, reason } => {
                if it.connection == Some(connection) {
                    (it.connection, it.closed) = (None, Some(reason));
                }
            }
        }
    }

    fn send(&mut self, side: usize, datagram: &Datagram) {
        let it = &mut self.sides[side];
        assert!(
            datagram.payload.start >= it.released.min(datagram.payload.end),
            "what was released is not needed"
        );
        assert!(datagram.payload.end <= it.offered);
        let mut bytes = BytesMut::from(&datagram.header[..]);
        bytes.extend(datagram.payload.clone().map(|position| content(side, position)));
        let bytes = bytes.freeze();
        assert!(is_utp(&bytes));
        it.sent.0 = it.sent.0.max(bytes.len());
        it.sent.1 += 1;
        it.sent.2 += u64::from(!datagram.whole);
        let size = bytes.len() as u64 + OVERHEAD;
        for at in self.links[side].carry(self.now, size, &mut self.chance).into_iter().flatten() {
            self.schedule(at, 1 - side, Some(bytes.clone()));
        }
    }

    fn schedule(&mut self, at: u64, side: usize, datagram: Option<Bytes>) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, side, datagram)));
    }
}
