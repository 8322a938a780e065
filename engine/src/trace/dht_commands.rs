//! What a redacted trace tells of commands about the DHT.

use bytes::Bytes;

use super::stand_ins::StandIns;
use crate::api::DhtRequest;
use crate::dht::{Contact, DhtState, NodeId};

fn node(names: &mut StandIns, id: NodeId) -> NodeId {
    NodeId(names.node(id.0))
}

/// What an earlier run left, with other ids and addresses.
pub(super) fn state(names: &mut StandIns, state: &DhtState) -> DhtState {
    let DhtState { ids, nodes } = state;
    let nodes = nodes
        .iter()
        .map(|Contact { id, addr }| Contact { id: node(names, *id), addr: names.addr(*addr) });
    let nodes = nodes.collect();
    DhtState { ids: ids.map(|id| id.map(|id| node(names, id))), nodes }
}

/// What is looked for is known by its hash or its key; another one is looked for in its place.
pub(super) fn request(names: &mut StandIns, request: &DhtRequest) -> DhtRequest {
    match request {
        DhtRequest::Contact(host) => DhtRequest::Contact(names.host(host)),
        DhtRequest::Get { target, salt } => {
            let salt = salt.as_ref().map(|salt| Bytes::from(alloc::vec![b'x'; salt.len()]));
            DhtRequest::Get { target: node(names, *target), salt }
        }
        // Nobody but the owner of the key could sign another item.
        DhtRequest::Put { .. } => DhtRequest::Samples(NodeId([0; 20])),
        DhtRequest::Scrape(info_hash) => DhtRequest::Scrape(names.info_hash(*info_hash)),
        DhtRequest::Samples(target) => DhtRequest::Samples(node(names, *target)),
    }
}
