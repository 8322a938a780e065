//! Unit tests of the list of addresses.

use super::*;
use core::net::Ipv4Addr;

fn addr(n: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from(0x1400_0000 + n).into(), 6881)
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(1_000_000 + seconds * 1000)
}

/// A full list of twenty addresses from the DHT.
fn full() -> Candidates {
    let mut list = Candidates::default();
    for n in 0..20 {
        assert!(list.add(addr(n), PeerSource::Dht, n, 20, at(u64::from(n))).is_some());
    }
    list
}

#[test]
fn what_is_trusted_more_is_tried_first_then_what_bep_40_prefers() {
    let mut list = Candidates::default();
    let sources = [PeerSource::Pex, PeerSource::User, PeerSource::Dht, PeerSource::Tracker];
    for (n, source) in sources.into_iter().enumerate() {
        list.add(addr(n as u32), source, 5, 100, at(0));
    }
    list.add(addr(9), PeerSource::Dht, 7, 100, at(0));
    let order: Vec<SocketAddr> =
        core::iter::from_fn(|| list.next(at(1))).map(|(_, addr)| addr).collect();
    assert_eq!(order, [1, 3, 9, 2, 0].map(addr));
}

#[test]
fn a_full_list_forgets_what_failed_then_what_nobody_names_any_more() {
    let mut list = full();
    // Everything is fresh, and nothing has failed.
    assert!(list.add(addr(100), PeerSource::Dht, 1, 20, at(30)).is_none());
    // Ten minutes later the oldest goes, but not for somebody who is trusted less.
    assert!(list.add(addr(100), PeerSource::Pex, 1, 20, at(605)).is_none());
    assert!(list.add(addr(100), PeerSource::Dht, 1, 20, at(605)).is_some());
    assert!(list.add(addr(0), PeerSource::Dht, 1, 20, at(601)).is_some(), "0 was forgotten");
    // One that is named again is not old.
    list.add(addr(2), PeerSource::Dht, 1, 20, at(606));
    assert!(list.add(addr(200), PeerSource::Dht, 1, 20, at(606)).is_some());
    assert!(list.add(addr(2), PeerSource::Dht, 1, 20, at(606)).is_none(), "2 is still there");
    assert_eq!(list.len(), 20);
    // A hopeless one goes before any other.
    let (key, _) = list.next(at(607)).unwrap();
    for n in 0..3 {
        list.closed(key, true, at(607 + n));
    }
    assert!(list.add(addr(300), PeerSource::Pex, 1, 20, at(620)).is_some());
    assert!(list.get(key).is_none());
}

#[test]
fn failures_are_backed_off_and_a_better_source_vouches_for_an_address() {
    let mut list = Candidates::default();
    let key = list.add(addr(1), PeerSource::Pex, 1, 20, at(0)).unwrap();
    list.next(at(0)).unwrap();
    list.closed(key, true, at(0));
    assert_eq!(list.next_deadline(), Some(at(10)));
    // Being named again is no reason to try it at once.
    list.add(addr(1), PeerSource::Tracker, 1, 20, at(1));
    assert_eq!(list.get(key).unwrap().source, PeerSource::Tracker);
    assert_eq!((list.next(at(9)), list.next_deadline()), (None, Some(at(10))));
    // What a private torrent must not know is forgotten, the rest is not.
    list.add(addr(2), PeerSource::Dht, 1, 20, at(1));
    list.forget_sources(PeerSource::is_hearsay);
    assert_eq!(list.sources().collect::<Vec<_>>(), [PeerSource::Tracker]);
}

#[test]
fn what_failed_since_it_was_left_as_complete_is_not_recalled() {
    let mut list = Candidates::default();
    let keys: Vec<_> =
        (1..4).map(|n| list.add(addr(n), PeerSource::Tracker, n, 20, at(0)).unwrap()).collect();
    while list.next(at(0)).is_some() {}
    keys.iter().for_each(|key| list.left_whole(*key, at(0)));
    // One is tried again half an hour later and fails, one comes of itself and goes.
    let (tried, _) = list.next(at(1800)).unwrap();
    list.closed(tried, true, at(1800));
    let came = *keys.iter().find(|key| **key != tried).unwrap();
    let addr = list.get(came).unwrap().addr;
    assert_eq!(list.incoming(addr, 1), came);
    list.closed(came, true, at(1801));
    list.recall_whole(at(1801));
    let (left, _) = list.next(at(1801)).expect("the third is of use at once");
    assert!(left != tried && left != came);
    assert_eq!((list.next(at(1809)), list.next_deadline()), (None, Some(at(1810))));
}
