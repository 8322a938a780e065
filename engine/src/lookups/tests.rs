//! Unit tests of look-ups.

use super::*;

fn at(seconds: u64) -> Instant {
    Instant::from_millis(1_000_000 + seconds * 1000)
}

fn peer() -> Lookup {
    Lookup::Peer { torrent: TorrentId::from_u64(1), port: 6881, teller: Scope::Public }
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
    let first: [_; 4] = core::array::from_fn(|_| lookups.wanted(peer(), at(0)).unwrap());
    assert_eq!(lookups.wanted(Lookup::NamedNode { port: 1 }, at(0)), None);
    let (host, path) = (String::from("t.example"), String::new());
    let tracker = Lookup::UdpTracker { announce: 1, host, port: 1, path };
    assert!(lookups.wanted(tracker, at(0)).is_some());
    lookups.check().unwrap();
    assert_eq!(lookups.ended(first[0]), Some(peer()));
    assert!(lookups.wanted(peer(), at(0)).is_some());
    lookups.check().unwrap();
}

#[test]
fn strangers_cause_one_look_up_in_two_seconds_however_quickly_they_end() {
    let mut lookups = Lookups::default();
    let mut count = 0;
    for second in 0..100 {
        for _ in 0..100 {
            if let Some(id) = lookups.wanted(peer(), at(second)) {
                count += 1;
                assert!(lookups.ended(id).is_some());
            }
        }
    }
    assert!((60..=70).contains(&count), "{count} in 100 s");
}
