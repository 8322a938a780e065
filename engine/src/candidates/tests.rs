//! Unit tests of the list of addresses.

use super::*;
use core::net::{IpAddr, Ipv4Addr};

fn addr(n: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from(0x1400_0000 + n).into(), 6881)
}

/// Nobody has any calls.
fn anybody(_: Namer) -> Option<u32> {
    Some(0)
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(1_000_000 + seconds * 1000)
}

/// A full list of twenty addresses that the user named.
fn full() -> Candidates {
    let mut list = Candidates::default();
    for n in 0..20 {
        assert!(list.add(addr(n), Namer::all(PeerSource::User), n, 20, at(u64::from(n))).is_some());
    }
    list
}

fn few(of_host: u32) -> Most {
    Most { of_host, of_block: u32::MAX }
}

#[test]
fn what_is_trusted_more_is_tried_first_then_what_bep_40_prefers() {
    let mut list = Candidates::default();
    let sources = [PeerSource::Pex, PeerSource::User, PeerSource::Dht, PeerSource::Tracker];
    for (n, source) in sources.into_iter().enumerate() {
        list.add(addr(n as u32), Namer::all(source), 5, 100, at(0));
    }
    list.add(addr(9), Namer::all(PeerSource::Dht), 7, 100, at(0));
    let order: Vec<SocketAddr> =
        core::iter::from_fn(|| list.next(few(8), anybody, at(1))).map(|(_, addr)| addr).collect();
    assert_eq!(order, [1, 3, 9, 2, 0].map(addr));
}

#[test]
fn a_full_list_forgets_what_failed_then_what_nobody_names_any_more() {
    let mut list = full();
    // Everything is fresh, and nothing has failed.
    assert!(list.add(addr(100), Namer::all(PeerSource::User), 1, 20, at(30)).is_none());
    // Ten minutes later the oldest goes, but not for somebody who is trusted less.
    assert!(list.add(addr(100), Namer::all(PeerSource::Pex), 1, 20, at(605)).is_none());
    assert!(list.add(addr(100), Namer::all(PeerSource::User), 1, 20, at(605)).is_some());
    assert!(
        list.add(addr(0), Namer::all(PeerSource::User), 1, 20, at(601)).is_some(),
        "0 was forgotten"
    );
    // One that is named again is not old.
    list.add(addr(2), Namer::all(PeerSource::User), 1, 20, at(606));
    assert!(list.add(addr(200), Namer::all(PeerSource::User), 1, 20, at(606)).is_some());
    assert!(
        list.add(addr(2), Namer::all(PeerSource::User), 1, 20, at(606)).is_none(),
        "2 is still there"
    );
    assert_eq!(list.len(), 20);
    // A hopeless one goes before any other.
    let (key, _) = list.next(few(8), anybody, at(607)).unwrap();
    for n in 0..3 {
        list.closed(key, true, 100, at(607 + n));
    }
    assert!(list.add(addr(300), Namer::all(PeerSource::Pex), 1, 20, at(620)).is_some());
    assert!(list.get(key).is_none());
}

#[test]
fn failures_are_backed_off_and_a_better_source_vouches_for_an_address() {
    let mut list = Candidates::default();
    let key = list.add(addr(1), Namer::all(PeerSource::Pex), 1, 20, at(0)).unwrap();
    list.next(few(8), anybody, at(0)).unwrap();
    list.closed(key, true, 100, at(0));
    assert_eq!(list.next_deadline(), Some(at(10)));
    // Being named again is no reason to try it at once.
    list.add(addr(1), Namer::all(PeerSource::Tracker), 1, 20, at(1));
    assert_eq!(list.get(key).unwrap().source, PeerSource::Tracker);
    assert_eq!((list.next(few(8), anybody, at(9)), list.next_deadline()), (None, Some(at(10))));
    // What a private torrent must not know is forgotten, the rest is not.
    list.add(addr(2), Namer::all(PeerSource::Dht), 1, 20, at(1));
    list.forget_sources(PeerSource::is_hearsay);
    assert_eq!(list.sources().collect::<Vec<_>>(), [PeerSource::Tracker]);
}

#[test]
fn what_the_user_names_and_nobody_listens_on_is_tried_again_sooner_than_what_others_name() {
    for (source, waits) in [(PeerSource::User, [2, 4, 8]), (PeerSource::Tracker, [10, 20, 40])] {
        let mut list = Candidates::default();
        let key = list.add(addr(1), Namer::all(source), 1, 20, at(0)).unwrap();
        let mut now = 0;
        for wait in waits {
            list.next(few(8), anybody, at(now)).unwrap();
            list.refused(key, 20, at(now));
            now += wait;
            assert_eq!(list.next_deadline(), Some(at(now)), "{source:?}");
        }
    }
}

#[test]
fn what_failed_since_it_was_left_as_complete_is_not_recalled() {
    let mut list = Candidates::default();
    let keys: Vec<_> = (1..4)
        .map(|n| list.add(addr(n), Namer::all(PeerSource::Tracker), n, 20, at(0)).unwrap())
        .collect();
    while list.next(few(8), anybody, at(0)).is_some() {}
    keys.iter().for_each(|key| list.left_whole(*key, 20, at(0)));
    // One is tried again half an hour later and fails, one comes of itself and goes.
    let (tried, _) = list.next(few(8), anybody, at(1800)).unwrap();
    list.closed(tried, true, 20, at(1800));
    let came = *keys.iter().find(|key| **key != tried).unwrap();
    let addr = list.get(came).unwrap().addr;
    assert_eq!(list.incoming(addr, 1), came);
    list.closed(came, true, 20, at(1801));
    list.recall_whole(at(1801));
    let (left, _) = list.next(few(8), anybody, at(1801)).expect("the third is of use at once");
    assert!(left != tried && left != came);
    assert_eq!(
        (list.next(few(8), anybody, at(1809)), list.next_deadline()),
        (None, Some(at(1810)))
    );
}

fn at_port(host: u32, port: u16) -> SocketAddr {
    SocketAddr::new(addr(host).ip(), port)
}

fn peer(n: u32) -> Namer {
    Namer::at(PeerSource::Pex, addr(1_000_000 + n).ip())
}

fn named_by(list: &Candidates, namer: Namer) -> usize {
    list.known.values().filter(|candidate| candidate.namer == namer).count()
}

#[test]
fn one_stranger_who_names_others_fills_no_more_than_its_share() {
    let mut list = Candidates::default();
    for n in 0..1000 {
        list.add(addr(n), peer(1), 1, 80, at(0));
    }
    assert_eq!(named_by(&list, peer(1)), 10);
    // Nor do many of them fill all there is.
    for n in 0..1000 {
        list.add(addr(10_000 + n), peer(n), 1, 80, at(0));
    }
    assert_eq!(list.len(), 40);
    // Whoever is trusted more finds room.
    for n in 0..40 {
        assert!(
            list.add(addr(20_000 + n), Namer::all(PeerSource::Tracker), 1, 80, at(0)).is_some()
        );
    }
    assert_eq!(list.len(), 80);
    list.check(80, 0).unwrap();
}

#[test]
fn when_all_places_are_taken_who_named_most_gives_way() {
    let mut list = Candidates::default();
    let node = |n: u32| Namer::at(PeerSource::Dht, addr(2_000_000 + n).ip());
    for n in 0..40 {
        list.add(addr(n), node(n / 10), 1, 80, at(0));
        list.add(addr(100 + n), peer(n / 10), 1, 80, at(0));
    }
    assert_eq!(list.len(), 80);
    // Half are the DHT's and half are other peers': whoever comes new takes the place of one whom the
    // fullest of its own kind named.
    for n in 0..3 {
        assert!(list.add(addr(200 + n), node(9), 1, 80, at(1)).is_some());
    }
    assert!(list.add(addr(300), peer(9), 1, 80, at(1)).is_some());
    assert_eq!(list.sources().filter(|source| *source == PeerSource::Dht).count(), 40);
    assert_eq!((named_by(&list, node(9)), named_by(&list, peer(9)), list.len()), (3, 1, 80));
    list.forget_sources(|source| source == PeerSource::Dht);
    for n in 0..40 {
        list.add(addr(400 + n), Namer::all(PeerSource::Tracker), 1, 80, at(1));
    }
    for n in 0..5 {
        assert!(list.add(addr(500 + n), node(n), 1, 80, at(1)).is_some());
    }
    assert_eq!((list.len(), named_by(&list, peer(0)) + named_by(&list, peer(3))), (80, 17));
    list.check(80, 0).unwrap();
}

#[test]
fn a_host_has_a_few_ports_and_this_machine_as_many_as_it_likes() {
    let mut list = Candidates::default();
    let mut add =
        |addr: SocketAddr, source| list.add(addr, Namer::all(source), 1, 1000, at(0)).is_some();
    let known = (1..100).filter(|port| add(at_port(1, *port), PeerSource::Tracker)).count();
    assert_eq!(known, 8);
    assert!(add(at_port(1, 200), PeerSource::User));
    let v6 = |n: u16| SocketAddr::new([0x2001, 0xdb8, 1, 2, n, n, n, n].map(u16::from).into(), 7);
    assert_eq!((1..100).filter(|n| add(v6(*n), PeerSource::Tracker)).count(), 8);
    let here = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    assert!((1..100).all(|port| add(here(port), PeerSource::Tracker)));
}

#[test]
fn a_host_is_not_called_more_often_than_it_may_be_connected() {
    let mut list = Candidates::default();
    for port in 1..=5 {
        list.add(at_port(1, port), Namer::all(PeerSource::Tracker), 1, 100, at(0));
    }
    list.add(addr(2), Namer::all(PeerSource::Pex), 1, 100, at(0));
    list.incoming(at_port(1, 50_000), 1);
    let called: Vec<_> = core::iter::from_fn(|| list.next(few(3), anybody, at(1))).collect();
    assert_eq!(called.len(), 3);
    assert_eq!(called[2].1, addr(2));
    assert_eq!(list.busy_at(Prefix::of(addr(1).ip())), 3);
    assert_eq!(list.next_deadline(), Some(at(61)));
    // A place falls free, and somebody else of that host is called.
    list.closed(called[0].0, false, 100, at(2));
    assert!(list.next(few(3), anybody, at(61)).is_some());
    list.check(100, 100).unwrap();
}

#[test]
fn peers_that_came_by_themselves_and_name_ports_are_kept_within_bounds() {
    let mut list = Candidates::default();
    for n in 0..1000 {
        let key = list.incoming(at_port(n, 50_000), 1);
        list.listens_on(key, 6881);
        list.closed(key, false, 40, at(u64::from(n)));
        list.check(40, 1).unwrap();
    }
    assert_eq!(list.len(), 10);
    // The last of them are kept.
    assert!(list.by_addr.contains_key(&addr(999)) && !list.by_addr.contains_key(&addr(0)));
    // In a full list of what is trusted more there is no place for them.
    let mut list = Candidates::default();
    for n in 0..40 {
        list.add(addr(n), Namer::all(PeerSource::User), 1, 40, at(0));
    }
    let key = list.incoming(at_port(100, 50_000), 1);
    list.listens_on(key, 6881);
    list.closed(key, false, 40, at(1));
    assert_eq!(list.len(), 40);
    list.check(40, 0).unwrap();
}

#[test]
fn addresses_of_a_banned_host_are_forgotten() {
    let mut list = Candidates::default();
    for port in 1..=3 {
        list.add(at_port(1, port), Namer::all(PeerSource::Tracker), 1, 100, at(0));
    }
    list.add(addr(2), Namer::all(PeerSource::Tracker), 1, 100, at(0));
    let (_, busy) = list.next(few(8), anybody, at(1)).unwrap();
    list.forget_at(Prefix::of(addr(1).ip()), |addr| addr.port() != 2);
    let left: Vec<_> = list.by_addr.keys().copied().collect();
    let mut kept = alloc::vec![busy, at_port(1, 2), addr(2)];
    kept.sort_unstable();
    kept.dedup();
    assert_eq!(left, kept);
    list.check(100, 0).unwrap();
}

#[test]
fn what_is_stale_makes_room_within_its_own_share() {
    let mut list = Candidates::default();
    for n in 0..200 {
        list.add(addr(n), peer(n % 20), 1, 80, at(0));
    }
    assert_eq!(list.len(), 40);
    assert!(list.add(addr(500), peer(3), 1, 80, at(599)).is_none());
    assert!(list.add(addr(500), peer(3), 1, 80, at(600)).is_some());
    // A host that has moved from port to port too.
    for port in 1..=8 {
        list.add(at_port(900, port), Namer::all(PeerSource::Tracker), 1, 80, at(600));
    }
    let moved = at_port(900, 9);
    assert!(list.add(moved, Namer::all(PeerSource::Tracker), 1, 80, at(700)).is_none());
    assert!(list.add(moved, Namer::all(PeerSource::Tracker), 1, 80, at(1200)).is_some());
    list.check(80, 0).unwrap();
}

#[test]
fn a_block_is_called_no_more_often_than_it_may_and_others_are_meanwhile() {
    let mut list = Candidates::default();
    for n in 0..20 {
        let addr = SocketAddr::from(([20, 0, 0, n + 1], 6881));
        list.add(addr, Namer::all(PeerSource::Tracker), 9, 100, at(0));
    }
    for n in 0..3 {
        let addr = SocketAddr::from(([30 + n, 0, 0, 1], 6881));
        list.add(addr, Namer::all(PeerSource::Tracker), 1, 100, at(0));
    }
    let most = Most { of_host: 8, of_block: 4 };
    let called: Vec<_> = core::iter::from_fn(|| list.next(most, anybody, at(1))).collect();
    assert_eq!(called.len(), 4 + 3);
    let block = Prefix::of([20, 0, 0, 0].into());
    let in_block = called.iter().filter(|(_, addr)| Prefix::of(addr.ip()).wide() == block);
    assert_eq!(in_block.count(), 4);
    assert!(list.next(few(8), anybody, at(61)).is_some(), "the rest waits, and is not forgotten");
}

#[test]
fn who_names_many_has_a_hundred_called_at_once_and_then_one_in_three_seconds() {
    let mut list = Candidates::default();
    for n in 0..300 {
        list.add(addr(n), Namer::tracker(0), n, 2000, at(0));
    }
    let call = |list: &mut Candidates, now| {
        let mut called = 0;
        while let Some((key, _)) = list.next(few(8), anybody, at(now)) {
            list.postpone(key, 100_000, 2000, at(now));
            called += 1;
        }
        called
    };
    assert_eq!((call(&mut list, 0), call(&mut list, 0)), (100, 0));
    // Each of the rest has its turn, and none is asked for before it.
    assert_eq!(list.next_deadline(), Some(at(3)));
    assert_eq!((call(&mut list, 3), call(&mut list, 5), call(&mut list, 60)), (1, 0, 19));
    // Another tracker has turns of its own, and the user is not limited.
    for n in 0..10 {
        list.add(addr(1000 + n), Namer::tracker(1), n, 2000, at(60));
    }
    for n in 0..150 {
        list.add(addr(2000 + n), Namer::all(PeerSource::User), n, 2000, at(60));
    }
    assert_eq!(call(&mut list, 60), 160);
    assert_eq!(call(&mut list, 3600), 180, "all that were named");
}

#[test]
fn calls_that_find_a_peer_are_given_back() {
    let mut list = Candidates::default();
    for n in 0..300 {
        list.add(addr(n), Namer::tracker(0), n, 2000, at(0));
    }
    let mut called = 0;
    while let Some((key, _)) = list.next(few(8), anybody, at(0)) {
        list.proven(key);
        called += 1;
    }
    assert_eq!(called, 300);
}

#[test]
fn what_is_forgotten_for_want_of_room_and_named_again_still_waits() {
    let tracker = Namer::all(PeerSource::Tracker);
    let mut list = Candidates::default();
    list.add(addr(1), tracker, 1, 1, at(0));
    for _ in 0..3 {
        let next = list.next_deadline().unwrap().max(at(0));
        let (key, _) = list.next(few(8), anybody, next).unwrap();
        list.closed(key, true, 1, next);
    }
    // It failed at 0, 10 and 30, and is due at 70. Another one takes its place, fails too, and makes room.
    assert_eq!(list.next_deadline(), Some(at(70)));
    assert!(list.add(addr(2), tracker, 1, 1, at(31)).is_some(), "the first is forgotten");
    let (other, _) = list.next(few(8), anybody, at(31)).unwrap();
    (0..3).for_each(|_| list.closed(other, true, 1, at(31)));
    assert!(list.add(addr(1), tracker, 1, 1, at(32)).is_some());
    assert_eq!((list.next(few(8), anybody, at(69)), list.next_deadline()), (None, Some(at(70))));
    assert!(list.next(few(8), anybody, at(70)).is_some());
    list.check(1, 0).unwrap();
}

#[test]
fn no_more_is_remembered_of_what_was_forgotten_than_may_be_and_not_for_long() {
    let mut list = left::Left::default();
    for n in 0..1000 {
        list.remember(addr(n), at(10 + u64::from(n)), at(5));
        assert!(list.is_bounded());
    }
    assert_eq!(list.take(addr(0), at(6)), None, "what waits longest is remembered");
    assert_eq!(list.take(addr(999), at(6)), Some(at(65)), "but for a minute only");
    assert_eq!(list.take(addr(999), at(6)), None);
    assert_eq!(list.take(addr(998), at(65)), None);
    assert!(list.is_bounded());
}

#[test]
fn a_turn_of_what_is_forgotten_or_named_by_somebody_else_is_given_back() {
    let mut list = Candidates::default();
    for n in 0..104 {
        list.add(addr(n), Namer::tracker(0), 1000 - n, 2000, at(0));
    }
    while let Some((key, _)) = list.next(few(8), anybody, at(0)) {
        list.postpone(key, 100_000, 2000, at(0));
    }
    // Four wait for turns at 3, 6, 9 and 12 s. The first two shall not be called, the third is the user's.
    list.forget_at(Prefix::of(addr(100).ip()), |_| true);
    list.forget_at(Prefix::of(addr(101).ip()), |_| true);
    list.add(addr(102), Namer::all(PeerSource::User), 1, 2000, at(0));
    list.add(addr(200), Namer::tracker(0), 1, 2000, at(0));
    let mut called = |now| list.next(few(8), anybody, at(now)).map(|(_, addr)| addr);
    assert_eq!((called(0), called(5)), (Some(addr(102)), None));
    assert_eq!(
        (called(6), called(11)),
        (Some(addr(200)), None),
        "at 15 s if nothing were given back"
    );
    assert_eq!(called(12), Some(addr(103)));
}

#[test]
fn namers_take_turns_and_what_the_user_named_comes_first() {
    let mut list = Candidates::default();
    for n in 0..4 {
        list.add(addr(n), Namer::tracker(0), 9, 100, at(0));
        list.add(addr(100 + n), peer(1), 9, 100, at(0));
    }
    list.add(addr(300), Namer::all(PeerSource::User), 1, 100, at(0));
    let mut calls: BTreeMap<Namer, u32> = BTreeMap::new();
    let mut order = Vec::new();
    loop {
        // Nobody may have more than three.
        let share = |namer| Some(calls.get(&namer).copied().unwrap_or(0)).filter(|held| *held < 3);
        let Some((key, _)) = list.next(few(8), share, at(0)) else { break };
        let namer = list.namer(key).unwrap();
        *calls.entry(namer).or_default() += 1;
        order.push(namer.source);
    }
    use PeerSource::{Pex, Tracker, User};
    assert_eq!(order, [User, Tracker, Pex, Tracker, Pex, Tracker, Pex]);
    assert!(!list.is_users_turn());
    list.add(addr(301), Namer::all(User), 1, 100, at(0));
    assert!(list.is_users_turn());
    list.check(100, 0).unwrap();
}

/// Who makes room by the rules, found by looking at all addresses.
fn looked_for(list: &Candidates, namer: Namer, among: Among, now: Instant) -> Option<PeerKey> {
    let such = |c: &Candidate| match among {
        Among::Host(host) => Prefix::of(c.addr.ip()) == host,
        Among::Namer => c.namer == namer,
        Among::Source => c.source == namer.source,
        Among::Everybody => true,
    };
    let idle = || list.known.iter().filter(|(_, c)| !c.busy && such(c));
    let hopeless = || idle().filter(|(_, c)| c.failures >= HOPELESS);
    let worst = match among {
        Among::Namer => hopeless().max_by_key(|(key, c)| Candidates::rank(**key, c)),
        _ => hopeless().max_by_key(|(key, c)| (c.failures, **key)),
    };
    let stale = idle().filter(|(_, c)| c.source <= namer.source && now.since(c.named_at) >= STALE);
    let stale = stale.min_by_key(|(key, c)| (c.source, c.named_at, **key));
    let excess = || {
        let fullest = list.shares.fullest_but(namer)?;
        let theirs = idle().filter(|(_, c)| c.namer == fullest);
        theirs.max_by_key(|(key, c)| Candidates::rank(**key, c))
    };
    worst.or(stale).or_else(excess).map(|(key, _)| *key)
}

quickcheck::quickcheck! {
    fn whoever_makes_room_is_the_one_that_a_look_at_all_addresses_finds(seed: u64) -> bool {
        let mut rng = crate::base::rng::Seed::from_u64(seed).stream("room");
        let mut list = Candidates::default();
        let sources =
            [PeerSource::Pex, PeerSource::Dht, PeerSource::Tracker, PeerSource::Resume, PeerSource::User];
        let (limit, mut now, mut found) = (24, 0, 0);
        for _ in 0..600 {
            now += u64::from(rng.below(4)) * u64::from(rng.below(60));
            let source = sources[rng.below(5) as usize];
            let from = IpAddr::from([20, 0, rng.below(3) as u8, 1]);
            let namer = if source.is_hearsay() { Namer::at(source, from) } else { Namer::all(source) };
            let among = [Among::Host(Prefix::of(addr(0).ip())), Among::Namer, Among::Source, Among::Everybody];
            let among = among[rng.below(4) as usize];
            let now = at(now);
            match rng.below(10) {
                0..4 => {
                    let at = SocketAddr::new(addr(rng.below(3)).ip(), 1 + rng.below(20) as u16);
                    list.add(at, namer, rng.below(3), limit, now);
                }
                4..6 => drop(list.next(few(8), anybody, now)),
                6..8 => {
                    let key = rng.below(list.next_key + 1);
                    if list.known.get(&key).is_some_and(|c| c.busy) {
                        list.closed(key, rng.below(4) > 0, limit, now);
                    }
                }
                _ => {
                    let expected = looked_for(&list, namer, among, now);
                    let known: Vec<PeerKey> = list.known.keys().copied().collect();
                    list.make_room(namer, among, now);
                    let gone = known.into_iter().find(|key| !list.known.contains_key(key));
                    assert_eq!(gone, expected, "{namer:?} {among:?}");
                    found += u32::from(gone.is_some());
                }
            }
            list.check(limit, 100).unwrap();
        }
        found > 0
    }
}

#[test]
fn what_stands_for_a_name_is_not_kept_for_the_next_run() {
    let mut list = Candidates::default();
    let placeholder = "198.18.0.1:6881".parse().unwrap();
    for at_addr in [addr(1), placeholder] {
        assert!(list.add(at_addr, Namer::all(PeerSource::User), 1, 20, at(0)).is_some());
    }
    assert_eq!(list.worth_keeping(), [addr(1)]);
}
