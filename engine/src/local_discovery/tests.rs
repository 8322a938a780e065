//! Unit tests of local discovery.

use super::*;
use crate::base::rng::Seed;

fn machine() -> (LocalDiscovery, Rng, Instant) {
    let mut rng = Seed::from_u64(1).stream("lsd");
    let now = Instant::from_millis(1000);
    (LocalDiscovery::new(&mut rng, now), rng, now)
}

fn hashes(count: u8) -> Vec<Sha1Hash> {
    (0..count).map(|n| Sha1Hash([n; 20])).collect()
}

#[test]
fn what_is_announced_is_understood_by_others_and_not_by_ourselves() {
    let (mut ours, mut rng, now) = machine();
    let mut theirs = LocalDiscovery::new(&mut rng, now);
    let (announcement, told) = ours.announce(&hashes(3), 6881, &mut rng, now);
    assert_eq!(told, 3);
    let from = "192.168.1.7:6771".parse().unwrap();
    for ipv6 in [false, true] {
        let packet = announcement.encode(ipv6);
        let heard = theirs.received(from, &packet, now);
        assert_eq!(heard, Some(("192.168.1.7:6881".parse().unwrap(), hashes(3))));
        assert_eq!(ours.received(from, &packet, now), None);
    }
}

#[test]
fn many_torrents_go_out_in_several_packets_with_a_pause_between() {
    let (mut machine, mut rng, now) = machine();
    let all = hashes(40);
    let (first, told) = machine.announce(&all, 1, &mut rng, now);
    assert_eq!((first.info_hashes.len(), told), (15, 15));
    assert!(first.encode(true).len() < 1400);
    assert!(!machine.may_announce(now + Duration::from_secs(4)));
    assert!(machine.may_announce(now + Duration::from_secs(8)));
    let (_, told) = machine.announce(&all[..2], 1, &mut rng, now);
    assert_eq!(told, 2);
    assert!(!machine.may_announce(now + Duration::from_secs(59)));
    machine.hurry(now);
    assert!(machine.may_announce(now + Duration::from_secs(5)));
}

#[test]
fn a_flood_is_heeded_in_part() {
    let (mut machine, mut rng, now) = machine();
    let mut other = LocalDiscovery::new(&mut rng, now);
    let packet = other.announce(&hashes(1), 9, &mut rng, now).0.encode(false);
    let from = "192.168.1.7:6771".parse().unwrap();
    let heard = (0..1000).filter(|_| machine.received(from, &packet, now).is_some()).count();
    assert_eq!(heard, 100);
    assert!(machine.received(from, &packet, now + Duration::from_secs(10)).is_some());
}
