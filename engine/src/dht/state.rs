//! What one run tells the next of the DHT: our ids, and nodes that were there.

use alloc::vec::Vec;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

use super::krpc::Contact;
use super::node_id::NodeId;
use crate::base::addr::{compact_v4, compact_v6, push_compact};
use crate::bencode::{Encoder, Limits, Mode, scan};

/// Nodes of a family that are read.
const MAX_NODES: usize = 500;

/// Ids and nodes of both address families. As bytes, a bencoded dictionary: `id`, `id6`, and `nodes`
/// and `nodes6` in the compact form of BEP 5 and BEP 32.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DhtState {
    /// Our ids, IPv4 and IPv6.
    pub ids: [Option<NodeId>; 2],
    /// Nodes of both families.
    pub nodes: Vec<Contact>,
}

impl DhtState {
    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.dict();
        for (key, id) in [(&b"id"[..], self.ids[0]), (b"id6", self.ids[1])] {
            if let Some(id) = id {
                out.bytes(key).bytes(&id.0);
            }
        }
        for (key, ipv6) in [(&b"nodes"[..], false), (b"nodes6", true)] {
            let mut compact = Vec::new();
            for node in self.nodes.iter().filter(|node| node.addr.is_ipv6() == ipv6) {
                compact.extend(node.id.0);
                push_compact(&mut compact, node.addr);
            }
            out.bytes(key).bytes(&compact);
        }
        out.end();
        out.finish()
    }

    /// Reads what [`Self::encode`] wrote. Whatever is damaged counts as not there: it is found
    /// again.
    pub fn decode(bytes: &[u8]) -> Self {
        let Ok(document) = scan(bytes, Limits::TRACKER, Mode::Lenient) else {
            return Self::default();
        };
        let root = document.root();
        let field = |key: &[u8]| root.get(key).and_then(|v| v.as_bytes()).unwrap_or_default();
        let mut nodes = Vec::new();
        for (key, width) in [(&b"nodes"[..], 26), (b"nodes6", 38)] {
            for entry in field(key).chunks_exact(width).take(MAX_NODES) {
                let (id, addr) = entry.split_at(20);
                let addr: Option<SocketAddr> = match width {
                    26 => compact_v4(addr).next(),
                    _ => compact_v6(addr).next(),
                };
                if let (Some(id), Some(addr)) = (NodeId::from_slice(id), addr) {
                    nodes.push(Contact { id, addr });
                }
            }
        }
        let ids = [b"id".as_slice(), b"id6"].map(|key| NodeId::from_slice(field(key)));
        Self { ids, nodes }
    }
}
