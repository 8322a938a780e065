//! An iterative lookup: asks nearer and nearer nodes, several at a time, until the nearest ones have
//! answered (BEP 5).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

use super::krpc::Contact;
use super::node_id::NodeId;
use super::table::{BUCKET, kinship};
use crate::base::addr::{is_dialable, scope};

/// Nodes asked at the same time, not counting those that are slow to answer.
const PARALLEL: usize = 4;
/// Nodes that are remembered.
const MAX_CANDIDATES: usize = 64;
/// Nodes of one block of addresses that are asked.
const MAX_OF_BLOCK: usize = 3;

/// How far it has come with a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum State {
    Fresh,
    Asked,
    /// Asked a while ago: others need not wait for it.
    Slow,
    Answered,
    Failed,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct LookupNode {
    id: NodeId,
    addr: SocketAddr,
    state: State,
    token: Option<Bytes>,
    hops: u32,
}

/// The nodes of an answer that count: of the same address family, and none that is nearer to us than
/// to whom says so, for somebody far away has nothing to say about our own network.
pub fn credible(teller: SocketAddr, nodes: &[Contact]) -> Vec<Contact> {
    let fine = |node: &&Contact| {
        let addr = node.addr;
        addr.is_ipv6() == teller.is_ipv6() && scope(teller.ip()).may_name(scope(addr.ip()))
    };
    nodes.iter().filter(fine).copied().collect()
}

/// A lookup of one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lookup {
    target: NodeId,
    /// By distance from the target.
    candidates: BTreeMap<[u8; 20], LookupNode>,
    queries: u32,
    answers: u32,
}

/// What a lookup has cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LookupCost {
    /// Queries sent.
    pub queries: u32,
    /// Answers that came.
    pub answers: u32,
    /// Steps from what was known at first to the nearest node that answered.
    pub hops: u32,
}

impl Lookup {
    /// A lookup that begins with these nodes.
    pub fn new(target: NodeId, start: &[Contact]) -> Self {
        let mut lookup = Self { target, candidates: BTreeMap::new(), queries: 0, answers: 0 };
        start.iter().for_each(|contact| lookup.add(*contact, 0));
        lookup
    }

    /// What is looked for.
    pub fn target(&self) -> NodeId {
        self.target
    }

    fn add(&mut self, contact: Contact, hops: u32) {
        let Contact { id, addr } = contact;
        let distance = id.distance(self.target);
        if !is_dialable(addr) || self.candidates.contains_key(&distance) {
            return;
        }
        let mut of_block = 0;
        for other in self.candidates.values() {
            let (kin, same) = kinship(other.addr, addr);
            if same {
                return;
            }
            of_block += usize::from(kin);
        }
        if of_block >= MAX_OF_BLOCK {
            return;
        }
        if self.candidates.len() >= MAX_CANDIDATES {
            // The farthest that was not asked makes room, if it is farther.
            let fresh = self.candidates.iter().rev().find(|(_, c)| c.state == State::Fresh);
            match fresh.map(|(at, _)| *at).filter(|at| *at > distance) {
                Some(at) => drop(self.candidates.remove(&at)),
                None => return,
            }
        }
        let candidate = LookupNode { id, addr, state: State::Fresh, token: None, hops };
        self.candidates.insert(distance, candidate);
    }

    /// The nearest nodes that may yet count: failed ones are no more, and one whose address does not
    /// allow its id (BEP 42) is asked but takes no place of one that is in order.
    fn nearest(&self) -> impl Iterator<Item = &LookupNode> {
        let mut places = BUCKET;
        let alive = self.candidates.values().filter(|c| c.state != State::Failed);
        alive.take_while(move |candidate| {
            let go_on = places > 0;
            places -= usize::from(go_on && candidate.id.fits(candidate.addr.ip()));
            go_on
        })
    }

    /// The next node to ask, if it is time to ask one.
    pub fn next(&mut self) -> Option<Contact> {
        let waiting = self.candidates.values().filter(|c| c.state == State::Asked).count();
        if waiting >= PARALLEL {
            return None;
        }
        let next = self.nearest().find(|c| c.state == State::Fresh);
        let contact = next.map(|c| Contact { id: c.id, addr: c.addr })?;
        self.set(contact.id, State::Asked);
        self.queries += 1;
        Some(contact)
    }

    fn set(&mut self, id: NodeId, state: State) -> Option<&mut LookupNode> {
        let candidate = self.candidates.get_mut(&id.distance(self.target))?;
        candidate.state = state;
        Some(candidate)
    }

    /// A node answered.
    pub fn answered(&mut self, id: NodeId, token: Option<Bytes>, nodes: &[Contact]) {
        self.answers += 1;
        let Some(candidate) = self.set(id, State::Answered) else { return };
        candidate.token = token;
        let hops = candidate.hops + 1;
        nodes.iter().take(2 * BUCKET).for_each(|contact| self.add(*contact, hops));
    }

    /// A node takes its time.
    pub fn slow(&mut self, id: NodeId) {
        let asked = self.candidates.get(&id.distance(self.target));
        if asked.is_some_and(|candidate| candidate.state == State::Asked) {
            self.set(id, State::Slow);
        }
    }

    /// A node did not answer, or not as it should.
    pub fn failed(&mut self, id: NodeId) {
        self.set(id, State::Failed);
    }

    /// Whether nothing can change any more.
    pub fn is_done(&self) -> bool {
        self.nearest().all(|candidate| candidate.state == State::Answered)
    }

    /// The nearest nodes that answered, with the tokens they gave.
    pub fn closest(&self) -> Vec<(Contact, Option<Bytes>)> {
        let answered = self.candidates.values().filter(|c| c.state == State::Answered);
        let contact = |c: &LookupNode| (Contact { id: c.id, addr: c.addr }, c.token.clone());
        answered.map(contact).take(BUCKET).collect()
    }

    /// What it has cost so far.
    pub fn cost(&self) -> LookupCost {
        let nearest = self.candidates.values().find(|c| c.state == State::Answered);
        let hops = nearest.map_or(0, |candidate| candidate.hops);
        LookupCost { queries: self.queries, answers: self.answers, hops }
    }
}
