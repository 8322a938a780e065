//! Unit tests of look-ups.

use alloc::vec::Vec;

use super::*;

fn at(seconds: u64) -> Instant {
    Instant::from_millis(1_000_000 + seconds * 1000)
}

fn peer_of(torrent: u64) -> Lookup {
    Lookup::Peer { torrent: TorrentId::from_u64(torrent), port: 6881, teller: Scope::Public }
}

fn peer() -> Lookup {
    peer_of(1)
}

#[test]
fn an_answer_comes_back_with_what_it_was_for_and_only_once() {
    let mut lookups = Lookups::default();
    let node = Lookup::DhtNode { port: 7 };
    let (one, other) = (lookups.wanted(node.clone(), at(0)), lookups.wanted(peer(), at(0)));
    assert_eq!(lookups.ended(other.unwrap()), Some(peer()));
    assert_eq!(lookups.ended(one.unwrap()), Some(node));
    assert_eq!(lookups.ended(one.unwrap()), None);
}

#[test]
fn strangers_cause_a_few_look_ups_at_a_time_and_trackers_do_not_wait_for_them() {
    let mut lookups = Lookups::default();
    let of = |n: usize| peer_of(n as u64 / 2);
    let first: [_; 4] = core::array::from_fn(|n| lookups.wanted(of(n), at(0)).unwrap());
    let node = Lookup::NamedNode { torrent: TorrentId::from_u64(7), port: 1 };
    assert_eq!(lookups.wanted(node, at(0)), None);
    let (host, path) = (String::from("t.example"), String::new());
    let tracker = Lookup::UdpTracker { announce: 1, host, port: 1, path };
    assert!(lookups.wanted(tracker, at(0)).is_some());
    lookups.check().unwrap();
    assert_eq!(lookups.ended(first[0]), Some(of(0)));
    assert!(lookups.wanted(of(0), at(0)).is_some());
    lookups.check().unwrap();
}

#[test]
fn strangers_cause_one_look_up_in_two_seconds_however_quickly_they_end() {
    let mut lookups = Lookups::default();
    let mut count = 0;
    for second in 0..100 {
        for torrent in 0..100 {
            if let Some(id) = lookups.wanted(peer_of(torrent), at(second)) {
                count += 1;
                assert!(lookups.ended(id).is_some());
            }
        }
    }
    assert!((60..=70).contains(&count), "{count} in 100 s");
}

#[test]
fn names_of_one_torrent_leave_look_ups_for_others() {
    let mut lookups = Lookups::default();
    // Names that nobody answers for, in one torrent: two wait.
    let silent: Vec<LookupId> = (0..50).filter_map(|_| lookups.wanted(peer(), at(0))).collect();
    assert_eq!(silent.len(), 2);
    let other = lookups.wanted(peer_of(2), at(0)).expect("another torrent has a look-up");
    assert!(lookups.ended(other).is_some());
    silent.into_iter().for_each(|id| drop(lookups.ended(id)));
    // Names that are answered at once, as many as it likes: every ten seconds another torrent has one.
    for second in 0..300 {
        while let Some(id) = lookups.wanted(peer(), at(second)) {
            assert!(lookups.ended(id).is_some());
        }
        if second % 10 == 5 {
            let id = lookups.wanted(peer_of(2), at(second)).expect("another torrent has its turn");
            assert!(lookups.ended(id).is_some());
        }
    }
    lookups.check().unwrap();
}
