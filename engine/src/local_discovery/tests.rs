//! Unit tests of local discovery.

use super::*;
use crate::base::rng::Seed;

const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

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
        let heard = theirs.datagram(from, NOWHERE, &packet, now);
        assert_eq!(heard, Some(("192.168.1.7:6881".parse().unwrap(), hashes(3))));
        assert_eq!(ours.datagram(from, NOWHERE, &packet, now), None);
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
fn a_flood_is_heeded_in_part_and_does_not_drown_others() {
    let (mut machine, mut rng, now) = machine();
    let mut other = LocalDiscovery::new(&mut rng, now);
    let packet = other.announce(&hashes(1), 9, &mut rng, now).0.encode(false);
    let heard = |machine: &mut LocalDiscovery, host: u8, now| {
        let from = SocketAddr::new(Ipv4Addr::new(192, 168, 1, host).into(), 6771);
        let heard = |_: &i32| machine.datagram(from, NOWHERE, &packet, now).is_some();
        (0..1000).filter(heard).count()
    };
    assert_eq!(heard(&mut machine, 7, now), 10);
    assert_eq!((8..40).map(|host| heard(&mut machine, host, now)).sum::<usize>(), 90);
    assert_eq!(heard(&mut machine, 7, now + Duration::from_secs(10)), 10);
}

#[test]
fn only_senders_on_the_same_network_are_believed() {
    let (mut machine, mut rng, now) = machine();
    let mut other = LocalDiscovery::new(&mut rng, now);
    let packet = other.announce(&hashes(1), 9, &mut rng, now).0.encode(false);
    let own: IpAddr = "2001:db8:1:2::5".parse().unwrap();
    let mut believed = |from: &str| {
        let from = SocketAddr::new(from.parse().unwrap(), 6771);
        machine.datagram(from, own, &packet, now).is_some()
    };
    for local in ["10.0.0.9", "192.168.0.1", "169.254.3.4", "127.0.0.1", "fe80::1", "fd00::1"] {
        assert!(believed(local), "{local}");
    }
    assert!(believed("2001:db8:1:2::77"), "a neighbour with a global address");
    for foreign in
        ["8.8.8.8", "100.64.3.4", "2001:db8:1:3::5", "::ffff:8.8.8.8", "0.0.0.0", "::", "224.0.0.1"]
    {
        assert!(!believed(foreign), "{foreign}");
    }
}
