//! The nodes of both address families, and who waits for them: searches for the peers of torrents, a few torrents at
//! a time, and questions of the user. It knows torrents by their ids alone.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::goal::{Goal, Outcome};
use super::node::{DhtEvent, DhtNode, LookupKey, NodeConfig, Output as NodeOutput};
use super::node_id::NodeId;
use super::state::DhtState;
use crate::base::addr::normalise;
use crate::base::ids::TorrentId;
use crate::base::rng::Rng;
use crate::base::time::Instant;

/// Torrents that are looked for at the same time, in each address family.
const MAX_RUNNING: usize = 8;
/// Time between two lookups (with an announce) of one torrent.
const INTERVAL: Duration = Duration::from_secs(900);
/// The same while something is missing and no peer is connected.
const LONELY_INTERVAL: Duration = Duration::from_secs(60);
/// Each interval is longer by up to this many milliseconds, drawn at random, so that torrents that were added
/// together are not looked for together for ever.
const JITTER: u32 = 60_000;
/// Lookups that may start at once after a pause. After that there is a time between two of them, so that a
/// thousand torrents do not query the same few nodes in one burst.
const BURST: u32 = 5;
/// Milliseconds between turns, at least.
const LEAST_GAP_MILLIS: u64 = 50;
/// The same at most.
const LONGEST_GAP_MILLIS: u64 = 500;

/// Whom a lookup is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Asker {
    /// A torrent, whose peers are looked for.
    Torrent(TorrentId),
    /// The user, who calls the question by this number and asks about this point.
    User(u64, NodeId),
}

/// What the parent has to do, in this order.
#[derive(Clone, Debug)]
pub enum ServiceOutput {
    /// A node sends this packet.
    Send {
        /// Over IPv6.
        ipv6: bool,
        /// To whom.
        to: SocketAddr,
        /// The packet.
        data: Bytes,
    },
    /// Peers of a torrent were found; more may come.
    Peers {
        /// Which torrent.
        torrent: TorrentId,
        /// Over IPv6.
        ipv6: bool,
        /// The node that named them.
        from: IpAddr,
        /// The peers.
        peers: Vec<SocketAddr>,
    },
    /// A lookup has ended.
    Done(Asker, Box<Outcome>),
    /// A node says that our address is this.
    Voice {
        /// Over IPv6.
        ipv6: bool,
        /// Who says so.
        from: IpAddr,
        /// Our address.
        ip: IpAddr,
    },
    /// Nobody is known: bootstrap nodes are needed.
    Lonely,
}

/// The nodes of both address families, and who waits for them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DhtService {
    nodes: [Option<DhtNode>; 2],
    /// When each torrent is due.
    turns: BTreeMap<TorrentId, Instant>,
    queue: BTreeSet<(Instant, TorrentId)>,
    running: BTreeMap<(bool, LookupKey), Asker>,
    /// Turns that may be taken now, and since when they are counted.
    pace: (u32, Instant),
    /// What an earlier run left, for nodes that do not exist yet.
    restored: DhtState,
}

impl DhtService {
    /// The node of an address family, to look at.
    pub fn node(&self, ipv6: bool) -> Option<&DhtNode> {
        self.nodes[usize::from(ipv6)].as_ref()
    }

    /// Whether there is a node.
    pub fn runs(&self) -> bool {
        self.nodes.iter().any(Option::is_some)
    }

    /// What the next run should know; `None` where there is no node.
    pub fn state(&self) -> Option<DhtState> {
        let ids = [false, true].map(|ipv6| self.node(ipv6).map(DhtNode::id));
        let nodes = self.nodes.iter().flatten().flat_map(DhtNode::known).collect();
        self.runs().then_some(DhtState { ids, nodes })
    }

    /// There is a socket for a family: its node starts, if it has not.
    pub fn opened(
        &mut self,
        config: NodeConfig,
        rng: Rng,
        now: Instant,
        out: &mut Vec<ServiceOutput>,
    ) {
        let place = usize::from(config.ipv6);
        if self.nodes[place].is_none() {
            let id = self.restored.ids[place].take();
            self.nodes[place] = Some(DhtNode::new(config, id, rng, now));
            self.join(config.ipv6, now, out);
        }
    }

    /// Ids and nodes of an earlier run are known.
    pub fn restored(&mut self, state: DhtState, now: Instant, out: &mut Vec<ServiceOutput>) {
        self.restored = state;
        self.rejoin(now, out);
    }

    /// Gets in touch with the nodes of an earlier run.
    pub fn rejoin(&mut self, now: Instant, out: &mut Vec<ServiceOutput>) {
        [false, true].into_iter().for_each(|ipv6| self.join(ipv6, now, out));
    }

    fn join(&mut self, ipv6: bool, now: Instant, out: &mut Vec<ServiceOutput>) {
        let mut said = NodeOutput::default();
        if let Some(node) = &mut self.nodes[usize::from(ipv6)] {
            node.join(&self.restored.nodes, now, &mut said);
        }
        self.follow(ipv6, said, out);
    }

    /// Enough voters say that our address is this.
    pub fn lives_at(&mut self, ipv6: bool, ip: IpAddr, now: Instant) {
        if let Some(node) = &mut self.nodes[usize::from(ipv6)] {
            node.lives_at(ip, now);
        }
    }

    /// Somebody may be a node.
    pub fn met(&mut self, addr: SocketAddr, now: Instant, out: &mut Vec<ServiceOutput>) {
        let addr = normalise(addr);
        let mut said = NodeOutput::default();
        if let Some(node) = &mut self.nodes[usize::from(addr.is_ipv6())] {
            node.meet(addr, now, &mut said);
        }
        self.follow(addr.is_ipv6(), said, out);
    }

    /// Nodes at such addresses are not to be asked any more.
    pub fn forget(&mut self, gone: impl Fn(IpAddr) -> bool) {
        self.restored.nodes.retain(|node| !gone(node.addr.ip()));
        self.nodes.iter_mut().flatten().for_each(|node| node.forget(&gone));
    }

    /// A packet came. Nodes at addresses that are blocked are not taken from it.
    pub fn datagram(
        &mut self,
        from: SocketAddr,
        data: &[u8],
        blocks: &dyn Fn(IpAddr) -> bool,
        now: Instant,
        out: &mut Vec<ServiceOutput>,
    ) {
        let [v4, v6] = &mut self.nodes;
        let (node, other) = if from.is_ipv6() { (v6, v4) } else { (v4, v6) };
        let Some(node) = node else { return };
        let mut said = NodeOutput::default();
        node.hear(from, data, other.as_ref().map(DhtNode::table), blocks, now, &mut said);
        self.follow(from.is_ipv6(), said, out);
    }

    /// Does what is due in a node. Torrents that are due are told by [`Self::next_turn`].
    pub fn poll(&mut self, ipv6: bool, now: Instant, out: &mut Vec<ServiceOutput>) {
        let mut said = NodeOutput::default();
        if let Some(node) = &mut self.nodes[usize::from(ipv6)] {
            node.poll(now, &mut said);
        }
        self.follow(ipv6, said, out);
    }

    /// Somebody asks, in one address family.
    pub fn asked(
        &mut self,
        ipv6: bool,
        (target, goal): (NodeId, Goal),
        asker: Asker,
        now: Instant,
        out: &mut Vec<ServiceOutput>,
    ) {
        let mut said = NodeOutput::default();
        if let Some(node) = &mut self.nodes[usize::from(ipv6)]
            && let Some(key) = node.look_up(target, goal, now, &mut said)
        {
            self.running.insert((ipv6, key), asker);
        }
        self.follow(ipv6, said, out);
    }

    /// What a node said, in words of whoever waits for it.
    fn follow(&mut self, ipv6: bool, said: NodeOutput, out: &mut Vec<ServiceOutput>) {
        out.extend(said.packets.into_iter().map(|(to, data)| ServiceOutput::Send {
            ipv6,
            to,
            data,
        }));
        for event in said.events {
            match event {
                DhtEvent::Peers { key, from, peers } => {
                    if let Some(Asker::Torrent(torrent)) = self.running.get(&(ipv6, key)) {
                        let torrent = *torrent;
                        out.push(ServiceOutput::Peers { torrent, ipv6, from, peers });
                    }
                }
                DhtEvent::Done(key, outcome) => {
                    let asker = self.running.remove(&(ipv6, key));
                    out.extend(asker.map(|asker| ServiceOutput::Done(asker, outcome)));
                }
                DhtEvent::Voice { from, addr } => {
                    out.push(ServiceOutput::Voice { ipv6, from, ip: addr.ip() });
                }
                DhtEvent::Lonely => out.push(ServiceOutput::Lonely),
            }
        }
    }

    /// A torrent wants to be looked for as soon as may be.
    pub fn wanted(&mut self, id: TorrentId, now: Instant) {
        if self.turns.get(&id).is_none_or(|turn| *turn > now) {
            self.set_turn(id, now);
        }
    }

    /// The torrent whose turn has come, if there is room for its lookups. It has no turn from then on.
    pub fn next_turn(&mut self, now: Instant) -> Option<TorrentId> {
        let (at, id) = self.queue.first().copied()?;
        let may = at <= now && self.has_room() && self.knows_somebody() && self.keep_pace(now);
        may.then(|| {
            self.drop_turn(id);
            id
        })
    }

    /// A torrent that was looked for has its next turn an interval later.
    pub fn looked_for(&mut self, id: TorrentId, rng: &mut Rng, now: Instant) {
        let jitter = Duration::from_millis(rng.below(JITTER).into());
        self.set_turn(id, now + INTERVAL + jitter);
    }

    /// A torrent that lacks something has found nobody.
    pub fn is_lonely(&mut self, id: TorrentId, now: Instant) {
        self.set_turn(id, now + LONELY_INTERVAL);
    }

    /// A torrent turned out to be private: its lookups end without a result.
    pub fn left(&mut self, id: TorrentId) {
        self.drop_turn(id);
        let about = |asker: &Asker| matches!(asker, Asker::Torrent(of) if *of == id);
        let lookups = self.running.iter().filter(|(_, asker)| about(asker));
        let lookups: Vec<_> = lookups.map(|(key, _)| *key).collect();
        for (ipv6, key) in lookups {
            self.running.remove(&(ipv6, key));
            if let Some(node) = &mut self.nodes[usize::from(ipv6)] {
                node.give_up(key);
            }
        }
    }

    /// A torrent has its turn then.
    pub fn set_turn(&mut self, id: TorrentId, at: Instant) {
        self.drop_turn(id);
        self.turns.insert(id, at);
        self.queue.insert((at, id));
    }

    /// Takes a torrent's turn from it. One that could not be taken comes again later.
    pub fn take_turn(&mut self, id: TorrentId, now: Instant) -> Option<Instant> {
        let at = self.turns.get(&id).copied();
        self.drop_turn(id);
        at.map(|at| if at > now { at } else { now + INTERVAL })
    }

    fn drop_turn(&mut self, id: TorrentId) {
        if let Some(at) = self.turns.remove(&id) {
            self.queue.remove(&(at, id));
        }
    }

    /// Whether a torrent is being looked for, or is to be now.
    pub fn is_about(&self, id: TorrentId, now: Instant) -> bool {
        (self.knows_somebody() && self.turns.get(&id).is_some_and(|at| *at <= now))
            || self.running.values().any(|asker| matches!(asker, Asker::Torrent(of) if *of == id))
    }

    fn has_room(&self) -> bool {
        self.running.len() < 2 * MAX_RUNNING
    }

    fn knows_somebody(&self) -> bool {
        self.nodes.iter().flatten().any(|node| !node.table().is_empty())
    }

    /// Time between turns: all torrents have theirs in one interval, if that is not too fast.
    fn gap(&self) -> Duration {
        let fair = INTERVAL.as_millis() as u64 / (self.turns.len() as u64).max(1);
        Duration::from_millis(fair.clamp(LEAST_GAP_MILLIS, LONGEST_GAP_MILLIS))
    }

    /// Whether a turn may be taken now, which it then is.
    fn keep_pace(&mut self, now: Instant) -> bool {
        let (left, since) = self.pace;
        let gap = self.gap();
        let gained = (now.since(since).as_millis() / gap.as_millis().max(1)) as u64;
        if left as u64 + gained >= BURST.into() {
            self.pace = (BURST, now);
        } else if gained > 0 {
            self.pace = (left + gained as u32, since + gap * gained as u32);
        }
        let may = self.pace.0 > 0;
        self.pace.0 -= u32::from(may);
        may
    }

    /// When [`Self::poll`] or [`Self::next_turn`] has something to do, if nothing happens until then.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let nodes = self.nodes.iter().flatten().map(|node| node.next_deadline(now));
        // A lookup that waits for a free place, or for known nodes, may start when a node has done something.
        let turn = self.queue.first().map(|(at, _)| (*at).max(now + self.gap()));
        let turn = turn.filter(|_| self.knows_somebody() && self.has_room());
        let next = nodes.chain(turn).min();
        next.map(|at| at.max(now + Duration::from_millis(1)))
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        self.nodes.iter().flatten().try_for_each(DhtNode::check)?;
        if self.turns.len() != self.queue.len() {
            return Err("every torrent has one turn in the DHT");
        }
        Ok(())
    }

    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "every torrent has one turn in the DHT" => {
                self.turns.insert(TorrentId::from_u64(9 << 32 | 9), Instant::from_nanos(7));
            }
            _ => return self.nodes.iter_mut().flatten().find_map(|node| node.corrupt(rule)),
        }
        Some(())
    }
}
