//! Links and what runs over them: connections that keep order within a window, address translation,
//! partitions, clocks that are wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use eddyline::StreamCipher;
use eddyline::base::ids::ConnId;
use eddyline::base::time::Instant;

use crate::node::NodeId;

/// Bytes of a connection that may be on their way or unread, as the window of a TCP connection.
pub(crate) const WINDOW: u64 = 4 << 20;
/// Longest run of bytes that takes its turn on an uplink.
pub(crate) const CHUNK: usize = 16 * 1024 + 13;

/// How a network behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Weather {
    /// One way.
    pub latency: Duration,
    /// The most by which a packet takes longer, drawn for each; order within a connection is kept.
    pub jitter: Duration,
    /// Thousandths of packets that are lost: datagrams for good, bytes of a connection until they
    /// are sent again.
    pub loss: u32,
    /// Thousandths of datagrams that arrive twice.
    pub doubled: u32,
}

impl Default for Weather {
    fn default() -> Self {
        Self { latency: Duration::from_millis(10), jitter: Duration::ZERO, loss: 0, doubled: 0 }
    }
}

/// A node's own line, shared by all its connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Access {
    /// Bytes per second out; `None` for no limit.
    pub up: Option<u64>,
    /// Bytes per second in.
    pub down: Option<u64>,
    /// What it adds to the latency of every path.
    pub latency: Duration,
    /// Bytes that wait for the line at the most; datagrams beyond are dropped. `None` for no bound.
    /// Connections wait in their senders, as TCP has it.
    pub queue: Option<u64>,
}

/// Address translation in front of a node (RFC 4787: mapping and filtering).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Nat {
    /// None: anyone can reach it.
    #[default]
    Open,
    /// Endpoint-independent mapping and filtering: whoever knows the mapping can reach it.
    FullCone,
    /// Filtering by address: only addresses that were sent to.
    Restricted,
    /// Filtering by address and port.
    PortRestricted,
    /// A mapping for each destination, and filtering by address and port.
    Symmetric,
}

/// The state of a translator.
#[derive(Clone, Debug, Default)]
pub(crate) struct NatState {
    /// Whom was sent to.
    sent_to: BTreeSet<SocketAddr>,
    /// From which port, where each destination has one of its own.
    ports: BTreeMap<SocketAddr, u16>,
}

impl NatState {
    /// A packet goes out to `to`; returns the port that it seems to come from.
    pub(crate) fn outgoing(&mut self, nat: Nat, port: u16, to: SocketAddr) -> u16 {
        self.sent_to.insert(to);
        match nat {
            Nat::Symmetric => {
                let next = 20_000 + self.ports.len() as u16 % 40_000;
                *self.ports.entry(to).or_insert(next)
            }
            _ => port,
        }
    }

    /// Whether a packet from `from` to the port `port` gets in.
    pub(crate) fn admits(&self, nat: Nat, from: SocketAddr, port: u16) -> bool {
        match nat {
            Nat::Open | Nat::FullCone => true,
            Nat::Restricted => self.sent_to.iter().any(|known| known.ip() == from.ip()),
            Nat::PortRestricted => self.sent_to.contains(&from),
            Nat::Symmetric => self.ports.get(&from) == Some(&port),
        }
    }
}

/// What becomes of traffic between the two sides of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Partition {
    /// It waits until the partition heals.
    Hold,
    /// Connections break, datagrams are lost.
    Drop,
}

/// A clock that differs from the time of the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeClock {
    /// Parts in a million by which it runs fast (or slow, below zero).
    drift: i64,
    /// World time and node time of the last adjustment.
    anchor: (Instant, Instant),
}

impl NodeClock {
    /// A clock that is right.
    pub(crate) fn right(now: Instant) -> Self {
        Self { drift: 0, anchor: (now, now) }
    }

    /// Node time at a world time.
    pub fn at(&self, world: Instant) -> Instant {
        let (from, base) = self.anchor;
        let elapsed = i128::from(world.as_nanos()) - i128::from(from.as_nanos());
        let scaled = elapsed * (1_000_000 + i128::from(self.drift)) / 1_000_000;
        let nanos = i128::from(base.as_nanos()) + scaled.max(0);
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The first world time at which the clock shows `node` or later.
    pub(crate) fn when(&self, node: Instant) -> Instant {
        let (from, base) = self.anchor;
        let elapsed = i128::from(node.as_nanos()) - i128::from(base.as_nanos());
        let scaled = elapsed * 1_000_000 / (1_000_000 + i128::from(self.drift));
        let nanos = i128::from(from.as_nanos()) + scaled.max(0);
        let mut world = Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        while self.at(world) < node {
            world = world + Duration::from_nanos(1);
        }
        world
    }

    /// Lets it run fast or slow from `now` on.
    pub(crate) fn set_drift(&mut self, now: Instant, drift: i64) {
        self.anchor = (now, self.at(now));
        self.drift = drift.clamp(-500_000, 500_000);
    }

    /// Lets it jump ahead, as after a suspend.
    pub(crate) fn jump(&mut self, now: Instant, by: Duration) {
        self.anchor = (now, self.at(now) + by);
    }
}

/// One end of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A connection of an engine.
    Engine(NodeId, ConnId),
    /// A socket that an engine has not adopted yet.
    Waiting(NodeId),
    /// A scripted peer.
    Script(usize),
    /// Closed on this side.
    Gone,
}

/// A connection in both directions. `ways[0]` goes from end 0 to end 1.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) ends: [End; 2],
    /// The nodes at both ends, also after one of them has closed: what is under way then is still
    /// on the same network.
    pub(crate) nodes: [Option<NodeId>; 2],
    pub(crate) addrs: [IpAddr; 2],
    pub(crate) ways: [Way; 2],
}

/// Bytes given by a sender, and how many of its own it hears to have been taken with them.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) bytes: Bytes,
    pub(crate) report: u32,
}

/// One direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    /// Given by the sender, not sent yet.
    pub(crate) outgoing: VecDeque<Run>,
    /// A run of bytes has its turn on the uplink.
    pub(crate) sending: bool,
    /// Sent and not read.
    pub(crate) unread: u64,
    /// When the last bytes arrive: order is kept.
    pub(crate) last_arrival: Instant,
    /// Arrived, waiting for credit.
    pub(crate) inbound: VecDeque<Bytes>,
    /// What the receiver may still be given.
    pub(crate) credit: u64,
    /// Nothing is given out before then.
    pub(crate) stalled_until: Instant,
    /// Bytes were lost for good. No connection delivers what is behind a gap.
    pub(crate) torn: bool,
    /// The sender has closed; the end is reported once everything has been read.
    pub(crate) finished: bool,
    /// Bytes given by the sender, put on their way, arrived, and given to the receiver.
    pub(crate) given: u64,
    pub(crate) launched: u64,
    pub(crate) arrived: u64,
    pub(crate) delivered: u64,
    /// What the sender's driver enciphers with.
    pub(crate) encipher: Option<StreamCipher>,
    /// What the receiver's driver deciphers with, behind as many bytes that come as they are.
    pub(crate) decipher: Option<(u64, StreamCipher)>,
}

impl Way {
    /// What a driver delivers of bytes that came.
    fn deciphered(&mut self, bytes: Bytes) -> Bytes {
        let Some((before, cipher)) = &mut self.decipher else { return bytes };
        let plain = usize::try_from(*before).map_or(bytes.len(), |before| before.min(bytes.len()));
        *before -= plain as u64;
        let mut clear = bytes.to_vec();
        cipher.apply(&mut clear[plain..]);
        clear.into()
    }

    /// What a driver sends of bytes that it was given.
    pub(crate) fn enciphered(&mut self, bytes: Bytes) -> Bytes {
        let Some(cipher) = &mut self.encipher else { return bytes };
        let mut hidden = bytes.to_vec();
        cipher.apply(&mut hidden);
        hidden.into()
    }

    /// Takes up to `limit` arrived bytes within the credit, from one run of bytes.
    pub(crate) fn take(&mut self, limit: usize) -> Option<Bytes> {
        let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
        let front = self.inbound.front_mut()?;
        let count = limit.min(credit).min(front.len());
        if count == 0 {
            return None;
        }
        let part = front.split_to(count);
        if front.is_empty() {
            self.inbound.pop_front();
        }
        self.credit -= count as u64;
        self.unread = self.unread.saturating_sub(count as u64);
        self.delivered += count as u64;
        Some(self.deciphered(part))
    }
}
