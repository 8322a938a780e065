//! Unit tests of the choking rounds.

use alloc::vec::Vec;

use super::*;
use crate::base::rng::Seed;

fn peer(number: u64, down_rate: u64) -> Contender {
    Contender {
        conn: ConnId::from_u64(number),
        // Each in a block of its own.
        ip: [20, (number >> 8) as u8, number as u8, 1].into(),
        seeding: false,
        unchoked: false,
        snubbed: false,
        down_rate,
        up_rate: 0,
        connected_at: Instant::from_millis(1),
        unchoked_at: Instant::ZERO,
        choked_at: Instant::ZERO,
        progress: 0,
        idle: false,
        missed_turn: false,
    }
}

fn round(choker: &mut Choker, peers: &[Contender], policy: SeedChoking, at: u64) -> Vec<u64> {
    let mut rng = Seed::from_u64(at).stream("t");
    let chosen = choker.round(peers, 5, policy, Instant::from_millis(at), &mut rng);
    chosen.into_iter().map(ConnId::as_u64).collect()
}

#[test]
fn those_who_give_most_are_served_and_one_slot_tries_others() {
    let peers: Vec<_> = (0..20).map(|n| peer(n, n * 100)).collect();
    let chosen = round(&mut Choker::default(), &peers, SeedChoking::RoundRobin, 10_000);
    assert_eq!(chosen[..4], [19, 18, 17, 16]);
    assert_eq!(chosen.len(), 5);
    assert!(chosen[4] < 16);
}

#[test]
fn whoever_snubs_us_loses_its_claim() {
    let mut peers: Vec<_> = (0..20).map(|n| peer(n, 100)).collect();
    peers[7] = Contender { snubbed: true, down_rate: 1_000_000, ..peers[7] };
    let chosen = round(&mut Choker::default(), &peers, SeedChoking::RoundRobin, 10_000);
    assert!(!chosen[..4].contains(&7));
}

/// Lets the peers have what a round decided.
fn apply(peers: &mut [Contender], chosen: &[u64], at: u64) {
    let at = Instant::from_millis(at);
    for p in peers {
        let unchoke = chosen.contains(&p.conn.as_u64());
        match (p.unchoked, unchoke) {
            (false, true) => p.unchoked_at = at,
            (true, false) => p.choked_at = at,
            _ => {}
        }
        p.unchoked = unchoke;
    }
}

#[test]
fn the_optimistic_turn_goes_round_and_nobody_keeps_it() {
    let mut choker = Choker::default();
    let mut peers: Vec<_> = (0..12).map(|n| peer(n, if n < 4 { 1000 } else { 0 })).collect();
    let mut turns = [0u32; 12];
    for now in (1..=240).map(|number| number * 10_000) {
        let chosen = round(&mut choker, &peers, SeedChoking::RoundRobin, now);
        apply(&mut peers, &chosen, now);
        chosen.iter().for_each(|n| turns[*n as usize] += 1);
    }
    // A slot for 240 rounds, eight who wait for it.
    assert!(turns[4..].iter().all(|turns| (15..=60).contains(turns)), "{turns:?}");
}

#[test]
fn seeding_policies_differ_as_they_should() {
    let seeding = |n: u64| Contender {
        seeding: true,
        up_rate: n * 10,
        progress: (n * 50) as u32,
        unchoked_at: Instant::from_millis(1000 - n),
        ..peer(n, 0)
    };
    let peers: Vec<_> = (0..20).map(seeding).collect();
    let first = |policy| round(&mut Choker::default(), &peers, policy, 90_000)[..4].to_vec();
    assert_eq!(first(SeedChoking::RoundRobin), [19, 18, 17, 16]);
    assert_eq!(first(SeedChoking::FastestUpload), [19, 18, 17, 16]);
    assert_eq!(first(SeedChoking::AntiLeech), [0, 1, 19, 2]);
}

#[test]
fn who_hangs_up_after_its_turn_and_comes_back_waits_like_all_others() {
    let mut choker = Choker::default();
    let mut peers: Vec<_> = (0..20).map(|n| Contender { seeding: true, ..peer(n, 0) }).collect();
    let mut turns = [0; 20];
    let mut next_conn = 20;
    for round_number in 1..=180u64 {
        let now = round_number * 10_000;
        let chosen = round(&mut choker, &peers, SeedChoking::RoundRobin, now);
        apply(&mut peers, &chosen, now);
        for (index, (p, turns)) in peers.iter_mut().zip(&mut turns).enumerate() {
            *turns += u32::from(p.unchoked);
            let at = Instant::from_millis(now);
            // Ten of them hang up whenever they have lost their slot, and come back at once.
            if index < 10 && p.choked_at == at {
                let ip = p.ip;
                *p = Contender { seeding: true, ip, connected_at: at, ..peer(next_conn, 0) };
                next_conn += 1;
            }
        }
    }
    let of = |some: core::ops::Range<usize>| some.map(|n| turns[n]).sum::<u32>();
    let (back, waiting) = (of(0..10), of(10..20));
    assert!(
        back * 10 <= waiting * 13,
        "{back} turns for those who come back, {waiting} for the others"
    );
}

#[test]
fn slots_follow_capacity() {
    assert_eq!(slots_for(0), 4);
    assert_eq!(slots_for(100_000), 8);
    assert_eq!(slots_for(10_000_000), 53);
    assert!(slots_for(u64::MAX) <= 1004);
}

#[test]
fn whoever_let_its_turn_pass_comes_behind_all_who_had_none() {
    let peers: Vec<_> = (0..12)
        .map(|n| Contender {
            seeding: n >= 6,
            missed_turn: n % 2 == 0,
            choked_at: Instant::from_millis(100 - n),
            ..peer(n, 0)
        })
        .collect();
    for at in 1..9 {
        let chosen = round(&mut Choker::default(), &peers, SeedChoking::RoundRobin, at * 10_000);
        assert!(chosen.iter().all(|n| n % 2 == 1), "{chosen:?}");
    }
}

#[test]
fn a_slot_that_is_not_used_goes_to_another_at_the_next_round() {
    let mut peers: Vec<_> = (0..6).map(|n| Contender { seeding: true, ..peer(n, 0) }).collect();
    for p in &mut peers[..5] {
        p.unchoked = true;
        p.unchoked_at = Instant::from_millis(5000);
    }
    peers[2].idle = true;
    let chosen = round(&mut Choker::default(), &peers, SeedChoking::RoundRobin, 10_000);
    assert!(!chosen[..4].contains(&2), "{chosen:?}");
}

#[test]
fn a_block_of_addresses_has_few_of_the_slots_that_others_wait_for() {
    // Whoever came first has had its turn least lately, in each policy; the crowd came first.
    for policy in [SeedChoking::RoundRobin, SeedChoking::FastestUpload, SeedChoking::AntiLeech] {
        let crowd = |n: u64| Contender {
            ip: core::net::Ipv6Addr::new(0x2001, 0xdb8, 1, n as u16, 0, 0, 0, 1).into(),
            seeding: true,
            unchoked: n < 10,
            unchoked_at: Instant::from_millis(if n < 10 { 9000 } else { 0 }),
            up_rate: 1000,
            progress: 500,
            ..peer(n, 0)
        };
        let mut peers: Vec<_> = (0..100).map(crowd).collect();
        peers.extend((100..104).map(|n| Contender { seeding: true, ..peer(n, 0) }));
        let mut rng = Seed::from_u64(1).stream("t");
        let now = Instant::from_millis(10_000);
        let chosen = Choker::default().round(&peers, 10, policy, now, &mut rng);
        let others = chosen.iter().filter(|conn| conn.as_u64() >= 100).count();
        assert_eq!((chosen.len(), others), (10, 4), "{policy:?}");
    }
}

#[test]
fn who_gives_most_is_served_whatever_its_block() {
    let near = |n: u64| Contender { ip: [20, 0, 0, n as u8].into(), ..peer(n, 1000 - n) };
    let peers: Vec<_> = (0..10).map(near).chain((10..20).map(|n| peer(n, 1))).collect();
    let chosen = round(&mut Choker::default(), &peers, SeedChoking::RoundRobin, 10_000);
    assert_eq!(chosen[..4], [0, 1, 2, 3]);
}

#[test]
fn in_a_local_network_and_on_this_machine_nobody_is_a_crowd() {
    let mut crowds = Crowds::default();
    let local = |n: u8| core::net::IpAddr::from([192, 168, 1, n]);
    assert!((1..20).all(|n| crowds.count(local(n)) == (0, 0)));
    let here = core::net::IpAddr::from([127, 0, 0, 1]);
    assert!((1..20).all(|_| crowds.count(here) == (0, 0)));
    assert_eq!(crowds.count(local(1)), (0, 1));
}
