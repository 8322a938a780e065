//! All connections of a socket: which packet belongs to whom, who may connect, and what strangers are answered.

mod accepted;
mod strangers;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::connection::{Connection, Route};
use crate::handshake::{Answers, Echo};
use crate::output::{CloseReason, Output, Statistics};
use crate::packet::{Kind, Packet};
use crate::time::Time;
use crate::verdict::{Fault, Verdict};
use accepted::Accepted;
use strangers::{Farewells, Ration};

/// A connection, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ConnectionId {
    slot: u32,
    generation: u32,
}

/// Why no attempt is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There are as many connections as there may be.
    #[error("there are as many connections as there may be")]
    Full,
    /// All ids for that address that were tried are taken.
    #[error("no id is free for this address")]
    NoId,
}

impl ConnectError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Nobody
    }
}

type Key = (SocketAddr, u16);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
    timer: Option<Time>,
    dirty: bool,
}

/// All connections of a socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Multiplexer {
    config: Config,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// By address and the id of packets for us.
    routes: BTreeMap<Key, u32>,
    /// The connection of the last datagram, which is that of the next as a rule.
    last: Option<(Key, u32)>,
    timers: BTreeSet<(Time, u32)>,
    /// Whose turn it is in the next [`Self::advance`].
    dirty: Vec<u32>,
    accepted: Accepted,
    answers: Answers,
    farewells: Farewells,
    ration: Ration,
    /// Answers to strangers.
    #[serde(skip)]
    pending: Vec<Output>,
    now: Time,
}

impl Multiplexer {
    /// A multiplexer without connections. The key is secret: ids and answers to SYNs follow from it.
    pub fn new(config: Config, key: [u64; 2]) -> Self {
        Self {
            ration: Ration::new(config.resets_per_second),
            config,
            slots: Vec::new(),
            free: Vec::new(),
            routes: BTreeMap::new(),
            last: None,
            timers: BTreeSet::new(),
            dirty: Vec::new(),
            accepted: Accepted::default(),
            answers: Answers::new(key),
            farewells: Farewells::default(),
            pending: Vec::new(),
            now: Time::ZERO,
        }
    }

    /// How many connections there are, those that are being made too.
    pub fn connections(&self) -> usize {
        self.routes.len()
    }

    /// Begins a connection. [`Output::Connected`] or [`Output::Closed`] follows.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn connect(&mut self, now: Time, to: SocketAddr) -> Result<ConnectionId, ConnectError> {
        self.now = self.now.max(now);
        if self.routes.len() >= self.config.max_connections {
            return Err(ConnectError::Full);
        }
        let free = |id: &u16| {
            let taken = |id: u16| self.routes.contains_key(&(to, id));
            // The id of packets from us must be no other connection's either, or resets would be ambiguous.
            !taken(*id) && !taken(id.wrapping_add(1)) && !taken(id.wrapping_sub(1))
        };
        let drawn: [u16; 8] = core::array::from_fn(|_| self.answers.draw() as u16);
        let receive_id = drawn.into_iter().find(free).ok_or(ConnectError::NoId)?;
        let route = Route { peer: to, receive_id, send_id: receive_id.wrapping_add(1) };
        let ours = self.answers.draw() as u16;
        let clock = self.answers.draw() as u32;
        let id = self.insert(route, (ours, clock), None);
        if let Some(connection) = self.connection(id) {
            connection.begin_syn();
        }
        Ok(id)
    }

    fn insert(&mut self, route: Route, ours: (u16, u32), theirs: Option<u16>) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let draw = self.answers.draw();
        let place = &mut self.slots[slot as usize];
        let id = ConnectionId { slot, generation: place.generation };
        place.connection =
            Some(Connection::new(&self.config, self.now, (id, route), ours, theirs, draw));
        self.routes.insert((route.peer, route.receive_id), slot);
        self.touch(slot);
        id
    }

    fn touch(&mut self, slot: u32) {
        if !core::mem::replace(&mut self.slots[slot as usize].dirty, true) {
            self.dirty.push(slot);
        }
    }

    /// The connection of that id, which then has a turn.
    fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get(id.slot as usize)?;
        if slot.generation != id.generation || slot.connection.is_none() {
            return None;
        }
        self.touch(id.slot);
        self.slots[id.slot as usize].connection.as_mut()
    }

    /// The caller has this many more bytes to send.
    pub fn offer(&mut self, id: ConnectionId, bytes: u64) {
        if let Some(connection) = self.connection(id) {
            connection.offer(bytes);
        }
    }

    /// The caller has room for this many more bytes. Nothing is received without.
    pub fn grant(&mut self, id: ConnectionId, bytes: u64) {
        if let Some(connection) = self.connection(id) {
            connection.grant(bytes);
        }
    }

    /// Ends our half when all that was offered has arrived. `code` is told the other side.
    pub fn close(&mut self, id: ConnectionId, code: Option<u32>) {
        if let Some(connection) = self.connection(id) {
            connection.finish(code);
        }
    }

    /// Ends a connection at once.
    pub fn abort(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id) {
            connection.abort(CloseReason::Aborted);
        }
    }

    /// How a connection is doing.
    pub fn statistics(&self, id: ConnectionId) -> Option<Statistics> {
        let slot =
            self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        slot.connection.as_ref().map(Connection::statistics)
    }

    /// The smoothed round trip of a connection in microseconds, once it has been measured.
    pub fn round_trip(&self, id: ConnectionId) -> Option<u64> {
        let slot = self.slots.get(id.slot as usize).filter(|it| it.generation == id.generation)?;
        slot.connection.as_ref().and_then(Connection::round_trip)
    }

    /// A datagram for which [`crate::is_utp`] holds. `received` is when it came, by the clock of `now` but before it:
    /// the kernel's time of arrival, where there is one.
    pub fn datagram(
        &mut self,
        now: Time,
        received: Time,
        from: SocketAddr,
        datagram: &Bytes,
    ) -> Verdict {
        self.now = self.now.max(now);
        let packet = match Packet::decode(datagram) {
            Ok(packet) => packet,
            Err(error) => return Verdict::Malformed(error),
        };
        if packet.kind == Kind::Syn {
            return self.syn(from, &packet);
        }
        let Some(slot) = self.route(from, &packet) else {
            return self.unrouted(received, from, packet);
        };
        self.give(slot, received, packet)
    }

    fn give(&mut self, slot: u32, received: Time, packet: Packet) -> Verdict {
        self.touch(slot);
        let (now, tests) = (self.now, self.config.tests_acks);
        let connection = self.slots[slot as usize].connection.as_mut();
        connection.map_or(Verdict::Ignored, |it| it.packet(now, received, packet, tests))
    }

    fn route(&mut self, from: SocketAddr, packet: &Packet) -> Option<u32> {
        let key = (from, packet.connection_id);
        if let Some((last, slot)) = self.last
            && last == key
        {
            return Some(slot);
        }
        if let Some(slot) = self.routes.get(&key) {
            self.last = Some((key, *slot));
            return Some(*slot);
        }
        if packet.kind != Kind::Reset {
            return None;
        }
        // Who does not know a connection answers with the id that it read, which is that of our packets.
        [packet.connection_id.wrapping_sub(1), packet.connection_id.wrapping_add(1)]
            .into_iter()
            .find_map(|id| {
                let slot = *self.routes.get(&(from, id))?;
                let connection = self.slots[slot as usize].connection.as_ref()?;
                (connection.route.send_id == packet.connection_id).then_some(slot)
            })
    }

    fn syn(&mut self, from: SocketAddr, packet: &Packet) -> Verdict {
        let key = (from, packet.connection_id.wrapping_add(1));
        if let Some(slot) = self.routes.get(&key) {
            // The answer was lost, or somebody guesses; what it has to say is said by any packet of the connection.
            let known = self.slots[*slot as usize].connection.as_ref().is_some_and(|c| c.accepted);
            return if known { Verdict::Duplicate } else { Verdict::OutOfPlace };
        }
        if !self.has_place(from) {
            return Verdict::Full;
        }
        let ours = self.answers.answer(self.now, from, packet.connection_id, packet.sequence);
        let room = u32::try_from(self.config.accept_room).unwrap_or(u32::MAX);
        let answer = strangers::answer(self.now, from, packet, ours, room);
        self.pending.push(Output::Send(answer));
        Verdict::SynAnswered
    }

    fn has_place(&self, from: SocketAddr) -> bool {
        self.routes.len() < self.config.max_connections
            && self.accepted.has_place(from.ip(), &self.config)
    }

    /// A packet that belongs to no connection: it may open one.
    fn unrouted(&mut self, received: Time, from: SocketAddr, packet: Packet) -> Verdict {
        if packet.kind == Kind::Reset {
            return Verdict::Ignored;
        }
        let (now, key) = (self.now, (from, packet.connection_id));
        if let Some(answer) = self.farewells.answer(now, key, &packet) {
            // Acks ask for nothing. Were they answered, two farewells would answer each other for good.
            if packet.kind != Kind::State {
                self.pending.push(Output::Send(answer));
            }
            return Verdict::Duplicate;
        }
        let syn_id = packet.connection_id.wrapping_sub(1);
        let opening = self.answers.opening(now, from, syn_id, Echo::of(&packet));
        let Some(opening) = opening.filter(|_| packet.kind != Kind::Fin) else {
            if !self.ration.take(now) {
                return Verdict::Ignored;
            }
            self.pending.push(Output::Send(strangers::reset(now, from, &packet)));
            return Verdict::Unknown;
        };
        if !self.has_place(from) {
            return Verdict::Full;
        }
        let route = Route { peer: from, receive_id: packet.connection_id, send_id: syn_id };
        let ours = (opening.ours, opening.clock);
        let connection = self.insert(route, ours, Some(opening.syn.wrapping_add(1)));
        self.grant(connection, self.config.accept_room);
        self.accepted.add(from.ip());
        self.pending.push(Output::Accepted { connection, from });
        self.give(connection.slot, received, packet)
    }

    /// Whether something has happened since [`Self::advance`] was called last, so that it has something to say.
    pub fn has_news(&self) -> bool {
        !self.dirty.is_empty() || !self.pending.is_empty()
    }

    /// When [`Self::advance`] wants to be called at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.dirty.is_empty() || !self.pending.is_empty() {
            return Some(self.now);
        }
        self.timers.first().map(|(at, _)| *at)
    }

    /// Does what is due, and says what there is to do. To be called after each batch of datagrams and other calls, and
    /// at [`Self::next_deadline`]. What it costs is for the connections that something happened to.
    pub fn advance(&mut self, now: Time, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        let now = self.now;
        out.append(&mut self.pending);
        while let Some((at, slot)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            self.slots[slot as usize].timer = None;
            self.touch(slot);
        }
        let turns = core::mem::take(&mut self.dirty);
        for slot in &turns {
            let place = &mut self.slots[*slot as usize];
            place.dirty = false;
            let Some(connection) = &mut place.connection else { continue };
            connection.advance(&self.config, now, out);
            let timer = connection.deadline(&self.config).filter(|_| connection.closed.is_none());
            if place.timer != timer {
                if let Some(old) = place.timer {
                    self.timers.remove(&(old, *slot));
                }
                place.timer = timer;
                self.timers.extend(timer.map(|at| (at, *slot)));
            }
            if connection.closed.is_some() {
                self.remove(*slot, out);
            }
        }
        self.dirty = turns;
        self.dirty.clear();
    }

    fn remove(&mut self, slot: u32, out: &mut Vec<Output>) {
        let place = &mut self.slots[slot as usize];
        let Some(connection) = place.connection.take() else { return };
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
        let route = connection.route;
        let key = (route.peer, route.receive_id);
        self.routes.remove(&key);
        self.last = None;
        if connection.accepted {
            self.accepted.remove(route.peer.ip());
        }
        let Some(reason) = connection.closed else { return };
        if let CloseReason::Finished { .. } = reason {
            self.farewells.remember(self.now, key, route.send_id, connection.last_numbers());
        }
        out.push(Output::Closed { connection: connection.id, reason });
    }

    /// Rules that do not hold. Empty, unless there is a fault in this crate. It goes over everything: for tests.
    pub fn violations(&self) -> Vec<&'static str> {
        let mut out = Vec::new();
        let mut count = 0;
        for (slot, place) in self.slots.iter().enumerate() {
            let Some(connection) = &place.connection else { continue };
            count += 1;
            connection.violations(&self.config, &mut out);
            let key = (connection.route.peer, connection.route.receive_id);
            if self.routes.get(&key) != Some(&(slot as u32)) {
                out.push("a connection is found under its address and id");
            }
            let timed = place.timer.is_some_and(|at| self.timers.contains(&(at, slot as u32)));
            if !place.dirty && !timed {
                out.push("a connection has a timer, or a turn");
            }
        }
        let there = |slot: &u32| (*slot as usize) < self.slots.len();
        let named = self.dirty.iter().chain(&self.free).chain(self.timers.iter().map(|(_, n)| n));
        if !named.chain(self.last.iter().map(|(_, slot)| slot)).all(there) {
            out.push("no turn is that of a place that there is not");
        }
        if count != self.routes.len() {
            out.push("each address and id leads to one connection");
        }
        out
    }

    /// Breaks something in every connection, to show that [`Self::violations`] sees it.
    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, what: crate::Corruption) {
        if what == crate::Corruption::Route {
            self.routes.pop_first();
        }
        for connection in self.slots.iter_mut().filter_map(|slot| slot.connection.as_mut()) {
            connection.corrupt(what);
        }
    }
}
