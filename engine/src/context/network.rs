//! Who is out there: connections, what is known of addresses, and who we are to others.

use serde::{Deserialize, Serialize};

use super::{ConnTable, Dials, Exchanges, Identity, Idlers, Introductions, Reach, Utp};
use crate::holepunch::Holepunch;
use crate::standing::Standing;
use crate::webseed::WebHosts;

/// What all torrents share of the network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Network {
    /// Connections.
    pub conns: ConnTable,
    /// Those of them that go over µTP.
    pub utp: Utp,
    /// Connections that we have begun, by address, since somebody there was a peer.
    pub dials: Dials,
    /// Keys that were worked out for encrypted connections.
    pub exchanges: Exchanges,
    /// Hosts that took a place to shake hands in for nothing.
    pub idlers: Idlers,
    /// Who we are.
    pub identity: Identity,
    /// Whether others can connect to us.
    pub reach: Reach,
    /// Who is introduced to whom.
    pub holepunch: Holepunch,
    /// What is held against addresses.
    pub standing: Standing,
    /// Nodes of the DHT that peers told of.
    pub introductions: Introductions,
    /// What web servers are asked for.
    pub web_hosts: WebHosts,
    /// Whether we are a node of the DHT.
    pub dht_runs: bool,
    /// Bytes received, protocol included.
    pub received: u64,
    /// Bytes sent, protocol included.
    pub sent: u64,
}

impl Network {
    /// Nobody is known.
    pub fn new(utp: Utp) -> Self {
        Self {
            conns: ConnTable::default(),
            utp,
            dials: Dials::default(),
            exchanges: Exchanges::default(),
            idlers: Idlers::default(),
            identity: Identity::default(),
            reach: Reach::default(),
            holepunch: Holepunch::default(),
            standing: Standing::default(),
            introductions: Introductions::default(),
            web_hosts: WebHosts::default(),
            dht_runs: false,
            received: 0,
            sent: 0,
        }
    }
}
