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

/// Those called while no host is known to fail.
fn call(standby: &mut Standby, now: Instant) -> Vec<Sha1Hash> {
    standby.call(now, |_| Ok(false))
}

#[test]
fn what_is_due_is_asked_for_and_what_does_not_come_later_again() {
    let mut standby = Standby::default();
    standby.put(hash(1), Kept::default(), Some(at(10)));
    standby.put(hash(2), Kept::default(), None);
    assert_eq!(standby.next_deadline(), Some(at(10)));
    assert!(call(&mut standby, at(9)).is_empty());
    assert_eq!(call(&mut standby, at(10)), [hash(1)]);
    assert!(call(&mut standby, at(11)).is_empty(), "once");
    standby.check().unwrap();
    assert_eq!(standby.next_deadline(), Some(at(10) + PATIENCE));
    assert!(call(&mut standby, at(10) + PATIENCE).is_empty());
    let again = at(10) + PATIENCE + RETRY;
    assert_eq!(standby.next_deadline(), Some(again));
    assert_eq!(call(&mut standby, again), [hash(1)]);
    standby.check().unwrap();
}

#[test]
fn what_is_wanted_is_asked_for_once_and_comes_back_with_what_was_kept() {
    let mut standby = Standby::default();
    let (announce, dht) = (Some(at(900)), Some(at(500)));
    let kept = Kept { announce, dht, told: 5, received: 3, sent: 4, ..Kept::default() };
    standby.put(hash(1), kept.clone(), kept.due());
    assert!(standby.want(hash(1), Some(peer(1)), at(1)));
    assert!(!standby.want(hash(1), Some(peer(2)), at(2)));
    assert!(!standby.want(hash(1), Some(peer(2)), at(2)));
    assert!(!standby.want(hash(9), None, at(2)), "nobody knows it");
    assert!(call(&mut standby, at(600)).is_empty(), "it is asked for already");
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
    let called = call(&mut standby, at(1));
    assert_eq!(called.len(), MAX_ANNOUNCE_ONLY);
    assert!(call(&mut standby, at(2)).is_empty());
    for (number, hash) in called.iter().enumerate() {
        assert!(standby.remove(*hash).unwrap().announce_only);
        standby.comes_to_announce(TorrentId::from_u64(number as u64));
    }
    assert!(call(&mut standby, at(3)).is_empty());
    assert_eq!(standby.next_deadline(), None);
    standby.not_announce_only(TorrentId::from_u64(3));
    assert_eq!(standby.next_deadline(), Some(at(1)));
    assert_eq!(call(&mut standby, at(3)).len(), 1);
    standby.check().unwrap();
}

#[test]
fn somebody_who_wants_it_makes_an_announce_only_torrent_an_ordinary_one() {
    let mut standby = Standby::default();
    standby.put(hash(1), Kept::default(), Some(at(1)));
    assert_eq!(call(&mut standby, at(1)), [hash(1)]);
    assert!(!standby.want(hash(1), Some(peer(5)), at(2)));
    let returned = standby.remove(hash(1)).unwrap();
    assert!(!returned.announce_only);
    assert_eq!(returned.peers, [peer(5)]);
}

/// A torrent that waits for these hosts.
fn waits_for(hosts: &[&str]) -> Kept {
    let hosts = hosts.iter().map(|host| String::from(*host)).collect();
    Kept { announce: Some(at(20)), hosts, ..Kept::default() }
}

#[test]
fn one_of_many_asks_whether_a_host_answers_again_and_then_all_come() {
    let mut standby = Standby::default();
    for number in 0..100 {
        let kept = waits_for(&["dead"]);
        let due = kept.due();
        assert_eq!(due, None, "it is not due by itself");
        standby.put(hash(number), kept, due);
    }
    assert_eq!(standby.next_deadline(), Some(at(20)));
    assert!(standby.call(at(20), |_| Err(at(300))).is_empty(), "somebody else has asked");
    assert_eq!(standby.next_deadline(), Some(at(300)));
    assert_eq!(standby.call(at(300), |_| Ok(false)), [hash(0)]);
    standby.check().unwrap();
    // It comes, asks, and rests again.
    let returned = standby.remove(hash(0)).unwrap();
    assert!(returned.announce_only);
    standby.put(hash(0), waits_for(&["dead"]), None);
    assert!(standby.call(at(390), |_| Err(at(900))).is_empty());
    // Another one has its turn, so that one that cannot be loaded does not keep all from coming back.
    assert_eq!(standby.call(at(900), |_| Ok(false)), [hash(1)]);
    standby.check().unwrap();
    let all = standby.call(at(1000), |_| Ok(true));
    assert_eq!(all.len(), 99, "one has been asked for already");
    standby.check().unwrap();
}

#[test]
fn whoever_waits_for_several_hosts_comes_when_the_first_of_them_answers() {
    let mut standby = Standby::default();
    standby.put(hash(1), waits_for(&["dead", "back"]), None);
    standby.put(hash(2), waits_for(&["dead"]), None);
    let is_back = |host: &str| if host == "back" { Ok(true) } else { Err(at(600)) };
    assert_eq!(standby.call(at(20), is_back), [hash(1)]);
    standby.check().unwrap();
    // It leaves all lines; a peer that wants the other one gets it at once.
    assert!(standby.want(hash(2), Some(peer(1)), at(21)));
    assert_eq!(standby.remove(hash(2)).unwrap().kept, waits_for(&["dead"]));
    standby.check().unwrap();
    assert!(standby.lines.next_deadline().is_none());
}
