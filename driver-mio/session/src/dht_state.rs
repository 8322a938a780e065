//! What processes beside each other keep of the DHT: the first has the ids that are kept, each brings
//! the nodes that it knows.

use std::collections::BTreeSet;
use std::io;

use eddyline::dht::DhtState;
use eddyline_disk::locks::Lock;
use eddyline_disk::resume_store::ResumeStore;

/// Most nodes of an address family that are kept.
const MAX_NODES: usize = 500;

/// A share in the state of the DHT.
#[derive(Debug)]
pub(crate) struct SharedDht {
    /// Held while the ids are ours.
    ids: Option<Lock>,
    /// The file as it was at the start.
    before: Option<Vec<u8>>,
}

impl SharedDht {
    /// Reads what is kept, and what of it this process may use.
    pub(crate) fn open(store: &ResumeStore, command: &str) -> (Self, Option<DhtState>) {
        let (ids, before) = (store.lock_dht(command), store.load_dht());
        let mut state = before.as_deref().map(DhtState::decode);
        if let Some(state) = state.as_mut().filter(|_| ids.is_none()) {
            // Two nodes with one id would push each other out of the tables of all others.
            state.ids = [None, None];
        }
        (Self { ids, before }, state)
    }

    /// Keeps what this process knows. That it cannot costs the next one a few seconds.
    pub(crate) fn keep(&self, store: &ResumeStore, own: DhtState) -> io::Result<()> {
        let now = store.load_dht();
        let kept = match &now {
            // Nobody else has written it since we read it.
            _ if self.ids.is_some() && now == self.before => own,
            None if self.ids.is_some() => own,
            other => {
                let other = other.as_deref().map(DhtState::decode).unwrap_or_default();
                merged(own, other, self.ids.is_some())
            }
        };
        store.store_dht(&kept.encode())
    }
}

/// The nodes of both, our own in front, with the ids of whom they belong to.
fn merged(own: DhtState, other: DhtState, ids_are_ours: bool) -> DhtState {
    let ids = if ids_are_ours { own.ids } else { other.ids };
    let (mut seen, mut count) = (BTreeSet::new(), [0; 2]);
    let mut nodes = own.nodes;
    nodes.extend(other.nodes);
    nodes.retain(|node| {
        let family = &mut count[usize::from(node.addr.is_ipv6())];
        let fits = *family < MAX_NODES && seen.insert(node.addr);
        *family += usize::from(fits);
        fits
    });
    DhtState { ids, nodes }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the shared state of the DHT.

    use super::*;
    use eddyline::dht::{Contact, NodeId};

    fn state(id: u8, ports: std::ops::Range<u16>) -> DhtState {
        let node = |port| Contact { id: NodeId([7; 20]), addr: ([127, 0, 0, 1], port).into() };
        DhtState { ids: [Some(NodeId([id; 20])), None], nodes: ports.map(node).collect() }
    }

    fn kept(store: &ResumeStore) -> DhtState {
        DhtState::decode(&store.load_dht().unwrap())
    }

    #[test]
    fn the_second_process_has_an_id_of_its_own_and_adds_its_nodes() {
        let folder = tempfile::tempdir().unwrap();
        let store = ResumeStore::open(folder.path()).unwrap();
        store.store_dht(&state(1, 1..3).encode()).unwrap();
        let (first, given) = SharedDht::open(&store, "download");
        assert_eq!(given, Some(state(1, 1..3)));
        let (second, given) = SharedDht::open(&store, "download");
        assert_eq!(given.unwrap().ids, [None, None]);
        second.keep(&store, state(2, 5..7)).unwrap();
        let nodes = |state: DhtState| state.nodes.iter().map(|n| n.addr.port()).collect::<Vec<_>>();
        assert_eq!(kept(&store).ids, state(1, 0..0).ids);
        assert_eq!(nodes(kept(&store)), [5, 6, 1, 2]);
        // The first leaves what the second has brought.
        first.keep(&store, state(3, 2..4)).unwrap();
        assert_eq!(kept(&store).ids, state(3, 0..0).ids);
        assert_eq!(nodes(kept(&store)), [2, 3, 5, 6, 1]);
    }

    #[test]
    fn a_process_alone_keeps_what_it_knows_and_nothing_grows_beyond_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let store = ResumeStore::open(folder.path()).unwrap();
        let (alone, given) = SharedDht::open(&store, "download");
        assert_eq!(given, None);
        alone.keep(&store, state(1, 1..400)).unwrap();
        let (again, _) = SharedDht::open(&store, "download");
        assert!(again.ids.is_none(), "the first is here still");
        again.keep(&store, state(2, 400..900)).unwrap();
        assert_eq!(kept(&store).nodes.len(), MAX_NODES);
        assert_eq!(kept(&store).ids, state(1, 0..0).ids);
    }
}
