//! A node of the DHT in one address family: its queries, what comes of them, and its upkeep.

#[cfg(feature = "corruption")]
mod corrupt;
mod limits;
mod welcome;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::bloom::Bloom;
use super::goal::{Goal, Outcome, Running, store_query};
use super::guard::{Courtesy, Guard};
use super::item_store::ItemStore;
use super::krpc::{Body, Contact, Packet, Query, Reply};
use super::lookup::{Lookup, credible};
use super::node_id::NodeId;
use super::peer_store::PeerStore;
use super::table::{BUCKET, Table};
use super::tokens::Tokens;
use crate::base::addr::{is_dialable, is_placeholder};
use crate::base::rng::Rng;
use crate::base::time::Instant;
use limits::{
    EXPIRY_INTERVAL, FEW, FIRST_BOOTSTRAP_WAIT, LONGEST_BOOTSTRAP_WAIT, MAX_LOOKUPS, MAX_WAITING,
    PATIENCE, QUERIES_A_SECOND, QUERY_BURST, SLOW, UPKEEP_INTERVAL,
};

/// How a node behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NodeConfig {
    /// IPv6 in place of IPv4.
    pub ipv6: bool,
    /// Ask, but answer nobody (BEP 43).
    pub read_only: bool,
    /// Say no version.
    pub anonymous: bool,
}

/// Names a lookup.
pub type LookupKey = u64;

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DhtEvent {
    /// A lookup found peers; more may come.
    Peers {
        /// Which lookup.
        key: LookupKey,
        /// The node that named them.
        from: IpAddr,
        /// The peers.
        peers: Vec<SocketAddr>,
    },
    /// A lookup has ended.
    Done(LookupKey, Box<Outcome>),
    /// A node says that our address is this.
    Voice {
        /// Who says so.
        from: IpAddr,
        /// Our address.
        addr: SocketAddr,
    },
    /// Nobody is known: bootstrap nodes are needed.
    Lonely,
}

/// What a step of a node gives.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Packets to send.
    pub packets: Vec<(SocketAddr, Bytes)>,
    /// What happened.
    pub events: Vec<DhtEvent>,
}

/// Why a query was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Purpose {
    /// Is it there? Who is it?
    Ping,
    /// A step of a lookup.
    Lookup(LookupKey),
    /// The end of a lookup: something is stored.
    Store,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Transaction {
    to: SocketAddr,
    id: Option<NodeId>,
    purpose: Purpose,
}

/// A node of the DHT.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DhtNode {
    pub(super) config: NodeConfig,
    pub(super) rng: Rng,
    pub(super) table: Table,
    pub(super) tokens: Tokens,
    pub(super) peers: PeerStore,
    pub(super) items: ItemStore,
    pub(super) guard: Guard,
    lookups: BTreeMap<LookupKey, Running>,
    waiting: VecDeque<(LookupKey, NodeId, Goal)>,
    next_key: LookupKey,
    transactions: BTreeMap<u32, Transaction>,
    /// Transactions in the order in which they were sent; those answered are no more in the map.
    sent: VecDeque<(Instant, u32)>,
    slow: VecDeque<(Instant, u32)>,
    allowance: (u64, Instant),
    courtesy: Courtesy,
    upkeep_at: Instant,
    expire_at: Instant,
    bootstrap_at: Instant,
    bootstrap_wait: Duration,
    queries_sent: u64,
}

impl DhtNode {
    /// A node that knows nobody.
    pub fn new(config: NodeConfig, id: Option<NodeId>, mut rng: Rng, now: Instant) -> Self {
        let id = id.unwrap_or_else(|| NodeId::random(&mut rng));
        let tokens = Tokens::new(&mut rng, now);
        Self {
            config,
            table: Table::new(id, now),
            tokens,
            rng,
            peers: PeerStore::default(),
            items: ItemStore::default(),
            guard: Guard::default(),
            lookups: BTreeMap::new(),
            waiting: VecDeque::new(),
            next_key: 0,
            transactions: BTreeMap::new(),
            sent: VecDeque::new(),
            slow: VecDeque::new(),
            allowance: (QUERY_BURST, now),
            courtesy: Courtesy::default(),
            upkeep_at: now,
            expire_at: now + EXPIRY_INTERVAL,
            bootstrap_at: now,
            bootstrap_wait: FIRST_BOOTSTRAP_WAIT,
            queries_sent: 0,
        }
    }

    /// Our id.
    pub fn id(&self) -> NodeId {
        self.table.own()
    }

    /// The routing table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Torrents and peers stored for others.
    pub fn stored_peers(&self) -> (usize, usize) {
        self.peers.len()
    }

    /// Items stored for others.
    pub fn stored_items(&self) -> usize {
        self.items.count()
    }

    /// Queries sent so far.
    pub fn queries_sent(&self) -> u64 {
        self.queries_sent
    }

    /// Packets of others that were dropped for being too many.
    pub fn dropped(&self) -> u64 {
        self.guard.dropped
    }

    /// Our address is this: an id that it does not allow is changed (BEP 42).
    pub fn lives_at(&mut self, ip: IpAddr, now: Instant) {
        if !self.id().fits(ip) {
            let id = NodeId::for_address(ip, &mut self.rng);
            self.table.move_to(id, now);
            self.bootstrap_at = now;
        }
    }

    /// Somebody may be a node: asks whether it is.
    pub fn meet(&mut self, addr: SocketAddr, now: Instant, out: &mut Output) {
        let fine = addr.is_ipv6() == self.config.ipv6 && is_dialable(addr);
        if fine && self.may_ask(now) && self.courtesy.may_ask(addr, now) {
            let own = self.id();
            self.ask_near(addr, None, own, Purpose::Ping, now, out);
        }
    }

    /// Nodes of an earlier run, or given by somebody: looks for ourselves among them.
    pub fn join(&mut self, contacts: &[Contact], now: Instant, out: &mut Output) {
        let family = contacts.iter().filter(|c| c.addr.is_ipv6() == self.config.ipv6);
        let contacts: Vec<Contact> = family.copied().collect();
        if !contacts.is_empty() {
            let own = self.id();
            self.begin(own, Goal::Nodes, &contacts, now, out);
        }
    }

    /// Nodes worth remembering for the next run.
    pub fn known(&self) -> Vec<Contact> {
        self.table.nearest(self.id(), 200)
    }

    /// Begins a lookup, or puts it in line. `None` when too many wait.
    pub fn look_up(
        &mut self,
        target: NodeId,
        goal: Goal,
        now: Instant,
        out: &mut Output,
    ) -> Option<LookupKey> {
        if self.lookups.len() >= MAX_LOOKUPS {
            if self.waiting.len() >= MAX_WAITING {
                return None;
            }
            self.next_key += 1;
            self.waiting.push_back((self.next_key, target, goal));
            return Some(self.next_key);
        }
        Some(self.begin(target, goal, &[], now, out))
    }

    /// Ends a lookup, or takes it out of the line, without another query.
    pub fn give_up(&mut self, key: LookupKey) {
        self.lookups.remove(&key);
        self.waiting.retain(|(waiting, ..)| *waiting != key);
    }

    fn begin(
        &mut self,
        target: NodeId,
        goal: Goal,
        more: &[Contact],
        now: Instant,
        out: &mut Output,
    ) -> LookupKey {
        self.next_key += 1;
        self.begin_as(self.next_key, target, goal, more, now, out)
    }

    fn begin_as(
        &mut self,
        key: LookupKey,
        target: NodeId,
        goal: Goal,
        more: &[Contact],
        now: Instant,
        out: &mut Output,
    ) -> LookupKey {
        let mut start = self.table.nearest(target, 2 * BUCKET);
        start.extend(more);
        let lookup = Lookup::new(target, &start);
        self.lookups.insert(key, Running::new(lookup, goal));
        self.advance(key, now, out);
        key
    }

    /// Whether another query may go out now.
    fn may_ask(&mut self, now: Instant) -> bool {
        let (left, since) = self.allowance;
        let gained = now.since(since).as_millis() as u64 * QUERIES_A_SECOND / 1000;
        if gained > 0 {
            self.allowance = ((left + gained).min(QUERY_BURST), now);
        }
        self.allowance.0 > 0
    }

    fn give_up_on(&mut self, key: LookupKey, id: NodeId) {
        if let Some(running) = self.lookups.get_mut(&key) {
            running.lookup.failed(id);
        }
    }

    fn ask(
        &mut self,
        query: Query,
        to: SocketAddr,
        id: Option<NodeId>,
        purpose: Purpose,
        now: Instant,
        out: &mut Output,
    ) {
        let mut t = self.rng.next_u32();
        while self.transactions.contains_key(&t) {
            t = t.wrapping_add(1);
        }
        self.allowance.0 = self.allowance.0.saturating_sub(1);
        self.queries_sent += 1;
        self.transactions.insert(t, Transaction { to, id, purpose });
        self.sent.push_back((now, t));
        self.slow.push_back((now, t));
        let packet = Packet {
            t: Bytes::copy_from_slice(&t.to_be_bytes()),
            v: self.version(),
            ip: None,
            read_only: self.config.read_only,
            body: Body::Query(query),
        };
        out.packets.push((to, packet.encode().into()));
    }

    /// Asks for nodes near a point, which is as good as a ping and brings more.
    fn ask_near(
        &mut self,
        to: SocketAddr,
        id: Option<NodeId>,
        target: NodeId,
        purpose: Purpose,
        now: Instant,
        out: &mut Output,
    ) {
        let target = Some(Bytes::copy_from_slice(&target.0));
        let query = Query { target, ..Query::new("find_node", self.id()) };
        self.ask(query, to, id, purpose, now, out);
    }

    /// Lets a lookup ask whom it may, and ends it when it is done.
    fn advance(&mut self, key: LookupKey, now: Instant, out: &mut Output) {
        while self.may_ask(now) {
            let Some(running) = self.lookups.get_mut(&key) else { return };
            let Some(contact) = running.lookup.next() else { break };
            let query = running.query(self.table.own());
            if !self.courtesy.may_ask(contact.addr, now) {
                self.give_up_on(key, contact.id);
                continue;
            }
            self.ask(query, contact.addr, Some(contact.id), Purpose::Lookup(key), now, out);
        }
        if self.lookups.get(&key).is_some_and(|running| running.lookup.is_done())
            && let Some(running) = self.lookups.remove(&key)
        {
            self.conclude(key, running, now, out);
            if let Some((key, target, goal)) = self.waiting.pop_front() {
                self.begin_as(key, target, goal, &[], now, out);
            }
        }
    }

    /// A lookup has found the nearest nodes: whatever is to be stored goes to them.
    fn conclude(&mut self, key: LookupKey, running: Running, now: Instant, out: &mut Output) {
        let closest = running.lookup.closest();
        let mut outcome = Outcome {
            peers: running.peers,
            closest: closest.iter().map(|(contact, _)| *contact).collect(),
            item: running.item,
            samples: running.samples,
            cost: running.lookup.cost(),
            ..Outcome::default()
        };
        if let (Goal::Scrape, filters) = (&running.goal, running.filters) {
            let estimate = |bytes: &[u8]| {
                Bloom::from_slice(bytes).map_or(0, |bloom| (bloom.estimate_millis() + 500) / 1000)
            };
            let (seeds, others) = filters.unwrap_or_default();
            outcome.swarm = Some((estimate(&seeds), estimate(&others)));
        }
        let target = Bytes::copy_from_slice(&running.lookup.target().0);
        for (contact, token) in closest {
            let Some(token) = token else { continue };
            let own = self.table.own();
            let Some(query) = store_query(&running.goal, own, &target, token) else { break };
            self.ask(query, contact.addr, Some(contact.id), Purpose::Store, now, out);
            outcome.stored_at += 1;
        }
        out.events.push(DhtEvent::Done(key, Box::new(outcome)));
    }

    /// A packet came. `other` is the table of the other address family (BEP 32).
    pub(super) fn hear(
        &mut self,
        from: SocketAddr,
        data: &[u8],
        other: Option<&Table>,
        blocks: &dyn Fn(IpAddr) -> bool,
        now: Instant,
        out: &mut Output,
    ) {
        let packet = match Packet::decode(data) {
            Ok(packet) => packet,
            Err(error) => return self.reject(from, error, now, out),
        };
        match packet.body {
            Body::Query(query) => {
                self.answer(from, &packet.t, &query, packet.read_only, other, now, out);
            }
            Body::Reply(mut reply) => {
                reply.nodes.retain(|node| !blocks(node.addr.ip()));
                let Some(transaction) = self.take_transaction(from, &packet.t) else { return };
                if let Some(addr) = packet.ip {
                    out.events.push(DhtEvent::Voice { from: from.ip(), addr });
                }
                self.replied(&transaction, from, &reply, now, out);
            }
            Body::Error { .. } => {
                let Some(transaction) = self.take_transaction(from, &packet.t) else { return };
                self.no_answer(&transaction, false, now, out);
            }
        }
    }

    /// The transaction that an answer from `from` belongs to: id and address have to fit.
    fn take_transaction(&mut self, from: SocketAddr, t: &[u8]) -> Option<Transaction> {
        let t = u32::from_be_bytes(t.try_into().ok()?);
        let asked = self.transactions.get(&t)?.to;
        // Whoever stands behind a name answers from an address that we were not told.
        if asked != from && !is_placeholder(asked.ip()) {
            return None;
        }
        self.courtesy.answered(asked.ip());
        self.transactions.remove(&t)
    }

    fn replied(
        &mut self,
        transaction: &Transaction,
        from: SocketAddr,
        reply: &Reply,
        now: Instant,
        out: &mut Output,
    ) {
        if transaction.id.is_some_and(|id| id != reply.id) {
            // Somebody else has taken its place; what it says is worth nothing.
            return self.no_answer(transaction, true, now, out);
        }
        self.table.note(Contact { id: reply.id, addr: from }, true, now);
        match transaction.purpose {
            Purpose::Ping => {
                // Whoever we got in touch with may lead us to ourselves.
                if self.table.len() < FEW && self.lookups.is_empty() {
                    let own = self.id();
                    self.begin(own, Goal::Nodes, &credible(from, &reply.nodes), now, out);
                }
            }
            Purpose::Lookup(key) => self.lookup_replied(key, from, reply, now, out),
            Purpose::Store => {}
        }
    }

    fn lookup_replied(
        &mut self,
        key: LookupKey,
        from: SocketAddr,
        reply: &Reply,
        now: Instant,
        out: &mut Output,
    ) {
        let Some(running) = self.lookups.get_mut(&key) else { return };
        let near = credible(from, &reply.nodes);
        running.lookup.answered(reply.id, reply.token.clone(), &near);
        let found = running.take_values(from, reply);
        if !found.is_empty() {
            out.events.push(DhtEvent::Peers { key, from: from.ip(), peers: found });
        }
        if reply.item.value.is_some() && matches!(running.goal, Goal::Get(_) | Goal::Put(..)) {
            let fine = reply.item.key.is_none() || self.guard.admit_own_signature(now);
            if let Some(running) = self.lookups.get_mut(&key).filter(|_| fine) {
                running.take_item(&reply.item);
            }
        }
        self.advance(key, now, out);
    }

    /// A query has no answer: after a time-out, or because an error came, or somebody else.
    fn no_answer(
        &mut self,
        transaction: &Transaction,
        failed: bool,
        now: Instant,
        out: &mut Output,
    ) {
        let Some(id) = transaction.id else { return };
        if failed {
            self.table.failed(Contact { id, addr: transaction.to }, now);
        }
        if let Purpose::Lookup(key) = transaction.purpose {
            self.give_up_on(key, id);
            self.advance(key, now, out);
        }
    }

    /// Does what is due.
    pub fn poll(&mut self, now: Instant, out: &mut Output) {
        while let Some(t) = pop_older(&mut self.slow, now, SLOW) {
            let Some(transaction) = self.transactions.get(&t) else { continue };
            if let (Purpose::Lookup(key), Some(id)) = (&transaction.purpose, transaction.id) {
                let key = *key;
                if let Some(running) = self.lookups.get_mut(&key) {
                    running.lookup.slow(id);
                }
                self.advance(key, now, out);
            }
        }
        while let Some(t) = pop_older(&mut self.sent, now, PATIENCE) {
            if let Some(transaction) = self.transactions.remove(&t) {
                self.no_answer(&transaction, true, now, out);
            }
        }
        // Those who waited for the allowance.
        let keys: Vec<LookupKey> = self.lookups.keys().copied().collect();
        keys.into_iter().for_each(|key| self.advance(key, now, out));
        if self.upkeep_at <= now {
            self.look_after(now, out);
        }
        if self.expire_at <= now {
            self.expire_at = now + EXPIRY_INTERVAL;
            self.peers.expire(now);
            self.items.expire(now);
            self.tokens.rotate(&mut self.rng, now);
        }
    }

    /// Keeps the table alive: asks whoever was silent for long, refreshes old buckets, and looks for
    /// company when there is little.
    fn look_after(&mut self, now: Instant, out: &mut Output) {
        self.upkeep_at = now + UPKEEP_INTERVAL;
        let unknown = self.table.nodes().find(|node| !node.verified && node.failures == 0);
        let unknown = unknown.map(|node| Contact { id: node.id, addr: node.addr });
        for contact in [unknown, self.table.questionable(now)].into_iter().flatten() {
            if self.may_ask(now) {
                let own = self.id();
                self.ask_near(contact.addr, Some(contact.id), own, Purpose::Ping, now, out);
            }
        }
        if !self.table.is_empty()
            && self.lookups.is_empty()
            && let Some(bits) = self.table.stale(now)
        {
            let target = self.id().random_near(bits, &mut self.rng);
            self.begin(target, Goal::Nodes, &[], now, out);
        }
        let alive = self.table.nodes().filter(|node| node.verified && node.failures == 0).count();
        if alive >= FEW {
            self.bootstrap_wait = FIRST_BOOTSTRAP_WAIT;
        } else if self.bootstrap_at <= now {
            self.bootstrap_at = now + self.bootstrap_wait;
            self.bootstrap_wait = (self.bootstrap_wait * 2).min(LONGEST_BOOTSTRAP_WAIT);
            out.events.push(DhtEvent::Lonely);
            if alive > 0 && self.lookups.is_empty() {
                let own = self.id();
                self.begin(own, Goal::Nodes, &[], now, out);
            }
        }
    }

    /// When to [`Self::poll`] again, if nothing happens until then.
    pub fn next_deadline(&self, now: Instant) -> Instant {
        let slow = self.slow.front().map(|(sent, _)| *sent + SLOW);
        let failed = self.sent.front().map(|(sent, _)| *sent + PATIENCE);
        let starved = self.allowance.0 == 0 && !self.lookups.is_empty();
        let starved = starved.then(|| now + Duration::from_millis(50));
        let next = [slow, failed, starved].into_iter().flatten().min();
        let upkeep = self.upkeep_at.min(self.expire_at);
        next.map_or(upkeep, |next| next.min(upkeep)).max(now)
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        self.table.check()?;
        self.peers.check()?;
        self.items.check()?;
        if self.lookups.len() > MAX_LOOKUPS + 2 || self.waiting.len() > MAX_WAITING {
            return Err("lookups in the DHT are bounded");
        }
        if !self.courtesy.is_bounded() || !self.guard.is_bounded() {
            return Err("addresses that strangers name are counted in bounded memory");
        }
        if self.transactions.len() > self.sent.len() {
            return Err("every query to the DHT ends at last");
        }
        Ok(())
    }
}

/// Takes the first transaction that is at least so old.
fn pop_older(queue: &mut VecDeque<(Instant, u32)>, now: Instant, age: Duration) -> Option<u32> {
    queue.front().filter(|(sent, _)| now.since(*sent) >= age)?;
    queue.pop_front().map(|(_, t)| t)
}
