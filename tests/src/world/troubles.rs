//! What befalls nodes: partitions, clocks that are wrong, power cuts.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Happening, Scheduled, World, datagrams};
use crate::entropy::Entropy;
use crate::net::{End, Partition};
use crate::node::NodeId;

impl World {
    /// Separates the nodes of `group` from all others until [`Self::heal`].
    pub fn divide(&mut self, group: &[NodeId], partition: Partition) {
        self.nodes.iter_mut().for_each(|node| node.group = 0);
        group.iter().for_each(|node| self.nodes[*node].group = 1);
        // What another partition held comes before anything that is sent from now on.
        self.heal();
        self.partition = Some(partition);
        if partition == Partition::Drop {
            for wire in 0..self.wires.len() {
                if self.is_divided(wire) {
                    // Both sides notice when their packets stay unanswered for too long.
                    let when = self.now + Duration::from_secs(20);
                    self.at(when, Happening::Break { wire });
                }
            }
        }
    }

    /// Ends a partition: what was held arrives.
    pub fn heal(&mut self) {
        self.partition = None;
        for what in std::mem::take(&mut self.held) {
            // Not rounded: nothing that was sent later may come first.
            self.sequence += 1;
            self.queue.push(Reverse(Scheduled { when: self.now, sequence: self.sequence, what }));
        }
    }

    /// The partition between two nodes, if one stands between them.
    pub(crate) fn partition_between(&self, a: NodeId, b: NodeId) -> Option<Partition> {
        self.partition.filter(|_| self.nodes[a].group != self.nodes[b].group)
    }

    /// Lets a node's clock run fast by `parts` parts in a million; slow if that is below zero.
    pub fn drift_clock(&mut self, node: NodeId, parts: i64) {
        let now = self.now;
        self.nodes[node].clock.set_drift(now, parts);
        self.wake(node);
    }

    /// Lets a node's clock jump ahead, as after a suspend.
    pub fn jump_clock(&mut self, node: NodeId, by: Duration) {
        let now = self.now;
        self.nodes[node].clock.jump(now, by);
        self.wake(node);
    }

    /// The power of a node fails and comes back at once: connections break, unsynced writes are
    /// lost or torn, and a new engine starts with what the disk holds.
    pub fn crash(&mut self, id: NodeId) {
        let wires: Vec<_> = std::mem::take(&mut self.nodes[id].wires).into_values().collect();
        for (wire, end) in wires {
            self.vanish(wire, end);
        }
        let waiting = self
            .sockets
            .iter()
            .filter(|(_, (wire, end))| self.wires[*wire].ends[*end] == End::Waiting(id));
        let waiting: Vec<_> = waiting.map(|(token, place)| (*token, *place)).collect();
        for (token, (wire, end)) in waiting {
            self.sockets.remove(&token);
            self.vanish(wire, end);
        }
        let mut chance = Entropy::Seeded(Box::new(self.rng.clone()));
        self.rng.next_u32();
        let now = self.now;
        let node = &mut self.nodes[id];
        node.disk.crash(&mut chance);
        let events = node.restart(now);
        node.pending.extend(datagrams::listen_commands());
        node.pending.extend(events);
        self.wake(id);
    }
}
