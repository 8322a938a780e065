//! The routing table: nodes that answer, the nearer the more of them (BEP 5).
//!
//! Bucket n holds nodes that have exactly n leading bits in common with us; the last one holds all
//! that have more, and is split when it is full. Nodes that answer stay; newer ones wait in a small
//! cache until a place falls free. Whoever rents a block of addresses gets few places: one per
//! address and two per block (/24, /48) in each bucket and its cache, and eight per block in all.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::krpc::Contact;
use super::node_id::NodeId;
use crate::base::addr::is_dialable;
use crate::base::prefix::Prefix;
use crate::base::time::Instant;

/// Nodes of a bucket, and of its cache.
pub const BUCKET: usize = 8;
/// Buckets at the most: no id but our own has more than that in common with ours by chance, in a
/// network of any size.
const MAX_BUCKETS: usize = 40;
/// Nodes of one block of addresses in a bucket.
const MAX_OF_BLOCK: usize = 2;
/// The same in all buckets.
const MAX_OF_BLOCK_IN_ALL: usize = 8;
/// Queries in a row that a node may leave unanswered.
const MAX_FAILURES: u8 = 2;
/// Time without a message from a node after which it is pinged (BEP 5).
pub const QUESTIONABLE: Duration = Duration::from_secs(15 * 60);

/// A node that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its address.
    pub addr: SocketAddr,
    /// When it was last heard of; when it was asked, for one that failed since.
    pub seen: Instant,
    /// It has answered a query of ours.
    pub verified: bool,
    /// Queries in a row without an answer.
    pub failures: u8,
}

impl Node {
    fn contact(&self) -> Contact {
        Contact { id: self.id, addr: self.addr }
    }

    /// The more, the better it is to keep.
    fn worth(&self) -> (bool, bool) {
        (self.failures == 0, self.id.fits(self.addr.ip()))
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Bucket {
    nodes: Vec<Node>,
    cache: Vec<Node>,
    changed: Instant,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self { nodes: Vec::new(), cache: Vec::new(), changed: now }
    }
}

/// Nodes by how near they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    own: NodeId,
    buckets: Vec<Bucket>,
}

/// Whether two nodes count as of one owner, and as one node. In a local network blocks mean nothing,
/// and on one machine ports tell nodes apart.
pub fn kinship(a: SocketAddr, b: SocketAddr) -> (bool, bool) {
    if a.ip().to_canonical().is_loopback() && b.ip().to_canonical().is_loopback() {
        return (false, a == b);
    }
    let block = Prefix::block_of(a.ip());
    let kin = block.is_some() && block == Prefix::block_of(b.ip());
    (kin, a.ip().to_canonical() == b.ip().to_canonical())
}

impl Table {
    /// A table of nobody, around `own`.
    pub fn new(own: NodeId, now: Instant) -> Self {
        Self { own, buckets: alloc::vec![Bucket::new(now)] }
    }

    /// The id in its middle.
    pub fn own(&self) -> NodeId {
        self.own
    }

    fn place(&self, id: NodeId) -> usize {
        (self.own.common_bits(id) as usize).min(self.buckets.len() - 1)
    }

    /// A node has answered (`verified`), or has asked. Returns whether it has a place now.
    pub fn note(&mut self, contact: Contact, verified: bool, now: Instant) -> bool {
        let Contact { id, addr } = contact;
        if id == self.own || !is_dialable(addr) {
            return false;
        }
        let place = self.place(id);
        let bucket = &mut self.buckets[place];
        if let Some(node) = bucket.nodes.iter_mut().find(|node| node.id == id) {
            // An id stays where it was first seen, until that address answers no more.
            let same = node.addr == addr;
            if same && (verified || node.verified) {
                node.seen = now;
            }
            if same && verified {
                (node.verified, node.failures) = (true, 0);
                bucket.changed = now;
            }
            return same;
        }
        let node = Node { id, addr, seen: now, verified, failures: 0 };
        if !self.has_room_for(place, &node) {
            return false;
        }
        let bucket = &mut self.buckets[place];
        if bucket.nodes.len() < BUCKET {
            bucket.cache.retain(|cached| cached.id != id);
            bucket.nodes.push(node);
            bucket.changed = now;
            return true;
        }
        if self.split(place, now) {
            return self.note(contact, verified, now);
        }
        self.replace(place, node, now)
    }

    /// Whether a bucket takes another node from that address at all.
    fn has_room_for(&self, place: usize, node: &Node) -> bool {
        let mut of_block = 0;
        for other in &self.buckets[place].nodes {
            let (kin, same) = kinship(other.addr, node.addr);
            if same {
                return false;
            }
            of_block += usize::from(kin);
        }
        let block = Prefix::block_of(node.addr.ip());
        let kin = |other: &&Node| block.is_some() && block == Prefix::block_of(other.addr.ip());
        of_block < MAX_OF_BLOCK && self.nodes().filter(kin).count() < MAX_OF_BLOCK_IN_ALL
    }

    /// Splits the last bucket, which is the one that we are in.
    fn split(&mut self, place: usize, now: Instant) -> bool {
        if place + 1 != self.buckets.len() || self.buckets.len() >= MAX_BUCKETS {
            return false;
        }
        let own = self.own;
        let far = |node: &Node| own.common_bits(node.id) as usize == place;
        let bucket = &mut self.buckets[place];
        let mut near = Bucket::new(now);
        near.nodes = bucket.nodes.iter().filter(|node| !far(node)).copied().collect();
        near.cache = bucket.cache.iter().filter(|node| !far(node)).copied().collect();
        bucket.nodes.retain(far);
        bucket.cache.retain(far);
        self.buckets.push(near);
        true
    }

    /// In a full bucket, a node that fails or whose address does not allow its id makes way for a
    /// better one that has answered; everyone else waits in the cache.
    fn replace(&mut self, place: usize, node: Node, now: Instant) -> bool {
        let bucket = &mut self.buckets[place];
        let worst = bucket.nodes.iter_mut().min_by_key(|other| other.worth());
        if let Some(worst) = worst.filter(|w| node.verified && w.worth() < node.worth()) {
            *worst = node;
            bucket.changed = now;
            return true;
        }
        let cache = &mut bucket.cache;
        cache.retain(|other| other.id != node.id && !kinship(other.addr, node.addr).1);
        // A crowded block makes room for its own, and then whoever has not answered yet: anybody can ask.
        let kin = |other: &Node| kinship(other.addr, node.addr).0;
        let crowded = cache.iter().filter(|other| kin(other)).count() >= MAX_OF_BLOCK;
        let gone = if crowded {
            cache.iter().position(kin)
        } else if cache.len() == BUCKET {
            Some(cache.iter().position(|other| !other.verified).unwrap_or(0))
        } else {
            None
        };
        if let Some(at) = gone.filter(|at| node.verified || !cache[*at].verified) {
            cache.remove(at);
        } else if gone.is_some() {
            return false;
        }
        cache.push(node);
        false
    }

    /// A node did not answer. One that fails again and again makes way for one that waits.
    pub fn failed(&mut self, contact: Contact, now: Instant) {
        let place = self.place(contact.id);
        let bucket = &mut self.buckets[place];
        let Some(at) = bucket.nodes.iter().position(|node| node.contact() == contact) else {
            bucket.cache.retain(|node| node.contact() != contact);
            return;
        };
        let node = &mut bucket.nodes[at];
        node.failures = node.failures.saturating_add(1);
        node.seen = now;
        if node.failures < MAX_FAILURES && node.verified {
            return;
        }
        if !node.verified || !bucket.cache.is_empty() || node.failures >= 4 * MAX_FAILURES {
            bucket.nodes.remove(at);
            self.promote(place);
        }
    }

    /// Fills a free place from the cache, newest first.
    fn promote(&mut self, place: usize) {
        while self.buckets[place].nodes.len() < BUCKET
            && let Some(node) = self.buckets[place].cache.pop()
        {
            if self.has_room_for(place, &node) {
                self.buckets[place].nodes.push(node);
            }
        }
    }

    /// The nearest nodes to `target` that have answered, at most `count`.
    pub fn nearest(&self, target: NodeId, count: usize) -> Vec<Contact> {
        let usable = self.nodes().filter(|node| node.verified && node.failures == 0);
        let mut found: Vec<Contact> = usable.map(Node::contact).collect();
        if found.len() > count {
            found.select_nth_unstable_by_key(count, |node| node.id.distance(target));
            found.truncate(count);
        }
        found.sort_by_key(|node| node.id.distance(target));
        found
    }

    /// All nodes with a place.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.buckets.iter().flat_map(|bucket| &bucket.nodes)
    }

    /// Nodes with a place, and with failures left out.
    pub fn len(&self) -> usize {
        self.nodes().count()
    }

    /// True when nobody has a place.
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.nodes.is_empty())
    }

    /// The node that has been silent for longest, when that is too long.
    pub fn questionable(&self, now: Instant) -> Option<Contact> {
        let oldest = self.nodes().min_by_key(|node| (node.seen, node.id))?;
        let patience = if oldest.failures > 0 { QUESTIONABLE / 5 } else { QUESTIONABLE };
        (now.since(oldest.seen) >= patience).then(|| oldest.contact())
    }

    /// How many leading bits a random id has in common with ours that refreshes the bucket which
    /// has not changed for longest, when that is too long.
    pub fn stale(&mut self, now: Instant) -> Option<u32> {
        let (place, bucket) =
            self.buckets.iter_mut().enumerate().min_by_key(|(place, b)| (b.changed, *place))?;
        if now.since(bucket.changed) < QUESTIONABLE {
            return None;
        }
        bucket.changed = now;
        Some(place as u32)
    }

    /// The same nodes around another id.
    pub fn move_to(&mut self, own: NodeId, now: Instant) {
        let nodes: Vec<Node> = self.nodes().copied().collect();
        *self = Self::new(own, now);
        for node in nodes {
            self.note(node.contact(), node.verified, node.seen);
        }
    }

    /// Forgets nodes at such addresses.
    pub fn forget(&mut self, gone: impl Fn(core::net::IpAddr) -> bool) {
        for bucket in &mut self.buckets {
            bucket.nodes.retain(|node| !gone(node.addr.ip()));
            bucket.cache.retain(|node| !gone(node.addr.ip()));
        }
        (0..self.buckets.len()).for_each(|place| self.promote(place));
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.buckets.len() > MAX_BUCKETS || self.buckets.is_empty() {
            return Err("the routing table has a bounded number of buckets");
        }
        for (place, bucket) in self.buckets.iter().enumerate() {
            if bucket.nodes.len() > BUCKET || bucket.cache.len() > BUCKET {
                return Err("a bucket of the routing table is bounded");
            }
            for (n, node) in bucket.nodes.iter().enumerate() {
                if self.place(node.id) != place {
                    return Err("a node of the routing table is in its bucket");
                }
                if bucket.nodes[..n].iter().any(|other| kinship(other.addr, node.addr).1) {
                    return Err("a bucket of the routing table has one node of an address");
                }
            }
        }
        Ok(())
    }
}

#[cfg(feature = "corruption")]
impl Table {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "the routing table has a bounded number of buckets" => self.buckets.clear(),
            "a bucket of the routing table is bounded" => {
                let nodes = &mut self.buckets.first_mut()?.nodes;
                let node = *nodes.first()?;
                nodes.resize(BUCKET + 1, node);
            }
            "a node of the routing table is in its bucket" => {
                self.buckets.get(1)?;
                self.buckets.reverse();
            }
            "a bucket of the routing table has one node of an address" => {
                let nodes = &mut self.buckets.first_mut()?.nodes;
                let node = *nodes.first()?;
                nodes.truncate(5);
                nodes.push(node);
            }
            _ => return None,
        }
        Some(())
    }
}
