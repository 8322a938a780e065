//! Unit tests of standby.

use super::*;

fn hash(number: u8) -> Sha1Hash {
    Sha1Hash([number; 20])
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

#[test]
fn what_is_due_is_asked_for_and_what_does_not_come_later_again() {
    let mut standby = Standby::default();
    standby.put(hash(1), Kept::default(), Some(at(10)));
    standby.put(hash(2), Kept::default(), None);
    assert_eq!(standby.next_deadline(), Some(at(10)));
    assert!(standby.call(at(9)).is_empty());
    assert_eq!(standby.call(at(10)), [hash(1)]);
    assert!(standby.call(at(11)).is_empty(), "once");
    standby.check().unwrap();
    assert_eq!(standby.next_deadline(), Some(at(10) + PATIENCE));
    assert!(standby.call(at(10) + PATIENCE).is_empty());
    let again = at(10) + PATIENCE + RETRY;
    assert_eq!(standby.next_deadline(), Some(again));
    assert_eq!(standby.call(again), [hash(1)]);
    standby.check().unwrap();
}

#[test]
fn what_is_wanted_is_asked_for_once_and_comes_back_with_what_was_kept() {
    let mut standby = Standby::default();
    let kept = Kept { announce: Some(at(900)), dht: Some(at(500)), told: 5, received: 3, sent: 4 };
    standby.put(hash(1), kept, kept.due());
    assert!(standby.want(hash(1), Some(peer(1)), at(1)));
    assert!(!standby.want(hash(1), Some(peer(2)), at(2)));
    assert!(!standby.want(hash(1), Some(peer(2)), at(2)));
    assert!(!standby.want(hash(9), None, at(2)), "nobody knows it");
    assert!(standby.call(at(600)).is_empty(), "it is asked for already");
    // That time it did not come, and nobody remembers who wanted it.
    assert!(standby.want(hash(1), Some(peer(3)), at(601)));
    let returned = standby.remove(hash(1)).unwrap();
    assert_eq!((returned.kept, returned.announce_only), (kept, false));
    assert_eq!(returned.peers, [peer(3)]);
    assert!(standby.len() == 0 && standby.remove(hash(1)).is_none());
    assert_eq!(standby.next_deadline(), None);
}

#[test]
fn only_so_many_are_here_because_they_are_due() {
    let mut standby = Standby::default();
    (0..200).for_each(|number| standby.put(hash(number), Kept::default(), Some(at(1))));
    let called = standby.call(at(1));
    assert_eq!(called.len(), MAX_ANNOUNCE_ONLY);
    assert!(standby.call(at(2)).is_empty());
    for (number, hash) in called.iter().enumerate() {
        assert!(standby.remove(*hash).unwrap().announce_only);
        standby.comes_to_announce(TorrentId::from_u64(number as u64));
    }
    assert!(standby.call(at(3)).is_empty());
    assert_eq!(standby.next_deadline(), None);
    standby.not_announce_only(TorrentId::from_u64(3));
    assert_eq!(standby.next_deadline(), Some(at(1)));
    assert_eq!(standby.call(at(3)).len(), 1);
    standby.check().unwrap();
}

#[test]
fn somebody_who_wants_it_makes_an_announce_only_torrent_an_ordinary_one() {
    let mut standby = Standby::default();
    standby.put(hash(1), Kept::default(), Some(at(1)));
    assert_eq!(standby.call(at(1)), [hash(1)]);
    assert!(!standby.want(hash(1), Some(peer(5)), at(2)));
    let returned = standby.remove(hash(1)).unwrap();
    assert!(!returned.announce_only);
    assert_eq!(returned.peers, [peer(5)]);
}
