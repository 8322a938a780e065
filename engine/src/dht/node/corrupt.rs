//! Deliberate damage to a node, for the tests that show that each rule fires.

use core::net::{IpAddr, SocketAddr};

use super::{DhtNode, Goal, LookupKey, MAX_WAITING, NodeId, Purpose, Transaction};

impl DhtNode {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "lookups in the DHT are bounded" => {
                let waiting =
                    (0..=MAX_WAITING as LookupKey).map(|n| (n, NodeId([0; 20]), Goal::Nodes));
                self.waiting = waiting.collect();
            }
            "every query to the DHT ends at last" => {
                self.sent.clear();
                let to = SocketAddr::new(IpAddr::from([1, 2, 3, 4]), 5);
                self.transactions.insert(1, Transaction { to, id: None, purpose: Purpose::Ping });
            }
            _ => {
                let table = self.table.corrupt(rule);
                let stores = || self.peers.corrupt(rule).or_else(|| self.items.corrupt(rule));
                return table.or_else(stores);
            }
        }
        Some(())
    }
}
