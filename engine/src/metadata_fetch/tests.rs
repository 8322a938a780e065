//! Unit tests of fetching metadata.

use super::*;
use alloc::vec;
use core::net::Ipv4Addr;
use core::net::Ipv6Addr;

const CAP: u32 = 1 << 20;

fn dictionary(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 7 % 251) as u8).collect()
}

fn fetch_of(bytes: &[u8]) -> MetadataFetch {
    MetadataFetch::new(InfoHashes { v1: Some(Sha1Hash::of(bytes)), v2: None }, CAP)
}

/// Every peer has an address of its own.
fn ip(key: PeerKey) -> IpAddr {
    Ipv4Addr::from(0x0b00_0000 | key).into()
}

fn piece_of(bytes: &[u8], piece: u32) -> &[u8] {
    let start = (piece * METADATA_PIECE) as usize;
    &bytes[start..start + length(bytes.len() as u32, piece) as usize]
}

/// Answers requests from `content` until something ends or nobody is asked any more.
fn serve(
    fetch: &mut MetadataFetch,
    now: Instant,
    content: impl Fn(PeerKey) -> Option<Vec<u8>>,
) -> Option<Arrival> {
    loop {
        let requests = fetch.poll(now);
        if requests.is_empty() {
            return None;
        }
        for (key, piece) in requests {
            let Some(bytes) = content(key) else { continue };
            let size = Some(bytes.len() as u32);
            match fetch.arrived(key, piece, size, piece_of(&bytes, piece)) {
                Ok(Arrival::More) => {}
                Ok(end) => return Some(end),
                // Somebody's late answer after the whole was thrown away.
                Err(error) => assert_eq!(error, FetchError::Unasked),
            }
            fetch.check().unwrap();
        }
    }
}

#[test]
fn pieces_come_from_all_peers_at_once() {
    let bytes = dictionary(100_000);
    let mut fetch = fetch_of(&bytes);
    let now = Instant::from_millis(1000);
    fetch.offered(1, ip(1), 100_000, now).unwrap();
    fetch.offered(2, ip(2), 100_000, now).unwrap();
    let requests = fetch.poll(now);
    assert_eq!(requests.len(), 7, "{requests:?}");
    assert!([1, 2].iter().all(|peer| requests.iter().any(|(key, _)| key == peer)));
    let mut end = Arrival::More;
    for (key, piece) in requests {
        end = fetch.arrived(key, piece, None, piece_of(&bytes, piece)).unwrap();
    }
    assert_eq!(end, Arrival::Complete(bytes.into()));
}

#[test]
fn a_false_length_costs_the_liar_only() {
    let bytes = dictionary(40_000);
    let mut fetch = fetch_of(&bytes);
    let now = Instant::from_millis(1000);
    assert_eq!(fetch.offered(1, ip(1), i64::from(CAP) + 1, now), Err(FetchError::Size));
    assert_eq!(fetch.offered(1, ip(1), 0, now), Err(FetchError::Size));
    assert_eq!(fetch.offered(1, ip(1), -5, now), Err(FetchError::Size));
    // Liars of many lengths, who never answer, and one honest peer that comes last.
    for liar in 2..20 {
        fetch.offered(liar, ip(liar), 50_000 + i64::from(liar), now).unwrap();
    }
    fetch.offered(99, ip(99), 40_000, now).unwrap();
    let honest = |key| (key == 99).then(|| bytes.clone());
    let ended =
        (0..400).find_map(|second| serve(&mut fetch, now + Duration::from_secs(second), honest));
    assert_eq!(ended, Some(Arrival::Complete(bytes.clone().into())));
}

#[test]
fn whoever_sent_a_whole_wrong_dictionary_is_named() {
    let bytes = dictionary(20_000);
    let mut fetch = fetch_of(&bytes);
    let now = Instant::from_millis(1000);
    fetch.offered(7, ip(7), 20_000, now).unwrap();
    let wrong = serve(&mut fetch, now, |_| Some(vec![1; 20_000]));
    assert_eq!(wrong, Some(Arrival::Wrong(Some(7))));
    fetch.offered(8, ip(8), 20_000, now).unwrap();
    assert_eq!(
        serve(&mut fetch, now, |_| Some(bytes.clone())),
        Some(Arrival::Complete(bytes.clone().into()))
    );
}

#[test]
fn among_several_senders_each_has_to_deliver_alone_until_one_is_right() {
    let bytes = dictionary(200_000);
    let mut fetch = fetch_of(&bytes);
    let mut now = Instant::from_millis(1000);
    for peer in 1..=4 {
        fetch.offered(peer, ip(peer), 200_000, now).unwrap();
    }
    let content = |key| Some(if key == 3 { bytes.clone() } else { vec![9; 200_000] });
    let mut liars = Vec::new();
    for _ in 0..60 {
        match serve(&mut fetch, now, content) {
            Some(Arrival::Wrong(liar)) => liars.extend(liar),
            Some(Arrival::Complete(whole)) => {
                assert_eq!(whole, bytes);
                assert!(!liars.contains(&3), "the honest one is not blamed");
                return;
            }
            _ => now = now + Duration::from_secs(1),
        }
    }
    panic!("never complete");
}

#[test]
fn silent_and_rejecting_peers_are_passed_over() {
    let bytes = dictionary(16_384);
    let mut fetch = fetch_of(&bytes);
    let now = Instant::from_millis(1000);
    fetch.offered(1, ip(1), 16_384, now).unwrap();
    fetch.offered(2, ip(2), 16_384, now).unwrap();
    assert_eq!(fetch.poll(now), [(1, 0)]);
    assert_eq!(fetch.poll(now + Duration::from_secs(2)), []);
    // The second gets its chance while the first is still waited for.
    let later = now + Duration::from_secs(3);
    assert_eq!(fetch.poll(later), [(2, 0)]);
    fetch.rejected(2, 0, later);
    assert_eq!(fetch.poll(now + Duration::from_secs(12)), []);
    assert_eq!(fetch.poll(now + Duration::from_secs(15)), [(1, 0)]);
    // An answer to the request that was given up is welcome, an unasked one is not.
    let end = fetch.arrived(1, 0, None, &bytes).unwrap();
    assert_eq!(end, Arrival::Complete(bytes.clone().into()));
    assert_eq!(fetch.arrived(2, 0, None, &bytes), Err(FetchError::Unasked));
}

#[test]
fn a_crowd_of_silent_peers_delays_metadata_by_seconds_not_by_its_number() {
    let bytes = dictionary(20_000);
    let mut fetch = fetch_of(&bytes);
    let honest: PeerKey = 200;
    for key in 0..=honest {
        fetch.offered(key, ip(key), 20_000, Instant::ZERO).unwrap();
    }
    for second in 0..40 {
        let now = Instant::from_millis(second * 1000);
        let requests = fetch.poll(now);
        assert!(requests.len() <= 2 * MAX_ASKERS as usize, "two pieces, and few askers of each");
        for (key, piece) in requests {
            let answer = (key == honest).then(|| piece_of(&bytes, piece));
            let Some(answer) = answer else { continue };
            if fetch.arrived(key, piece, None, answer)
                == Ok(Arrival::Complete(bytes.clone().into()))
            {
                return;
            }
        }
        fetch.check().unwrap();
    }
    panic!("an honest peer among {honest} silent ones was not asked");
}

#[test]
fn what_a_peer_sent_before_it_left_is_kept() {
    let bytes = dictionary(60_000);
    let mut fetch = fetch_of(&bytes);
    let now = Instant::from_millis(1000);
    fetch.offered(1, ip(1), 60_000, now).unwrap();
    fetch.poll(now);
    fetch.arrived(1, 0, None, piece_of(&bytes, 0)).unwrap();
    fetch.arrived(1, 2, None, piece_of(&bytes, 2)).unwrap();
    fetch.left(1);
    assert_eq!(fetch.buffered(), 2 * 16_384);
    fetch.offered(2, ip(2), 60_000, now).unwrap();
    let mut requests = fetch.poll(now);
    requests.sort_unstable();
    assert_eq!(requests, [(2, 1), (2, 3)]);
}

#[test]
fn pieces_of_the_wrong_length_are_refused() {
    let mut fetch = fetch_of(&dictionary(20_000));
    let now = Instant::from_millis(1000);
    fetch.offered(1, ip(1), 20_000, now).unwrap();
    fetch.poll(now);
    assert_eq!(fetch.arrived(1, 0, None, &[0; 5]), Err(FetchError::Length));
    assert_eq!(fetch.arrived(1, 1, Some(30_000), &[0; 3616]), Err(FetchError::Length));
    assert_eq!(fetch.arrived(1, 1, None, &[0; 3616]), Err(FetchError::Unasked));
}

#[test]
fn liars_who_send_a_lot_fill_no_more_than_the_bound() {
    let bytes = dictionary(40_000);
    let mut fetch = fetch_of(&bytes);
    let now = Instant::from_millis(1000);
    for liar in 0..4 {
        fetch.offered(liar, ip(liar), i64::from(CAP) - i64::from(liar), now).unwrap();
    }
    // Each sends all but the last piece of a megabyte.
    for _ in 0..70 {
        for (key, piece) in fetch.poll(now) {
            let size = CAP - key;
            if piece + 1 < pieces(size) {
                let data = vec![0; length(size, piece) as usize];
                fetch.arrived(key, piece, None, &data).unwrap();
            }
            fetch.check().unwrap();
            assert!(fetch.buffered() <= 2 * u64::from(CAP));
        }
    }
    fetch.offered(9, ip(9), 40_000, now).unwrap();
    let honest = |key| (key == 9).then(|| bytes.clone());
    let mut tries = (0..400).map(|second| now + Duration::from_secs(second));
    let ended = tries.find_map(|at| serve(&mut fetch, at, honest));
    assert_eq!(ended, Some(Arrival::Complete(bytes.clone().into())));
}

/// What a peer of a crowd does.
struct Member {
    key: PeerKey,
    ip: IpAddr,
    size: u32,
    /// Milliseconds from a request to the answer; `None` for never.
    delay: Option<u64>,
    honest: bool,
}

/// Lets the crowd do what it does, and says after how many seconds the dictionary was there. Whoever
/// delivers a whole wrong one comes back under another key from the same address.
fn seconds_until_complete(bytes: &[u8], mut crowd: Vec<Member>, patience: u64) -> Option<u64> {
    let mut fetch =
        MetadataFetch::new(InfoHashes { v1: Some(Sha1Hash::of(bytes)), v2: None }, 64 << 20);
    let start = Instant::from_millis(1000);
    for member in &crowd {
        fetch.offered(member.key, member.ip, member.size.into(), start).unwrap();
    }
    let mut answers: BTreeSet<(u64, PeerKey, u32)> = BTreeSet::new();
    for at in (0..patience * 1000).step_by(100) {
        let now = start + Duration::from_millis(at);
        for (key, piece) in fetch.poll(now) {
            let member = crowd.iter().find(|member| member.key == key);
            let delay = member.and_then(|member| member.delay);
            answers.extend(delay.map(|delay| (at + delay, key, piece)));
        }
        while let Some((due, key, piece)) = answers.first().copied().filter(|(due, ..)| *due <= at)
        {
            answers.remove(&(due, key, piece));
            let Some(member) = crowd.iter_mut().find(|member| member.key == key) else { continue };
            let data = if member.honest {
                piece_of(bytes, piece).to_vec()
            } else {
                vec![7; length(member.size, piece) as usize]
            };
            match fetch.arrived(key, piece, None, &data) {
                Ok(Arrival::Complete(whole)) => {
                    assert_eq!(whole, bytes);
                    return Some(at / 1000);
                }
                Ok(Arrival::Wrong(Some(liar))) => {
                    assert!(liar == key && !member.honest);
                    member.key += 1_000_000;
                    fetch.offered(member.key, member.ip, member.size.into(), now).unwrap();
                }
                Ok(_) | Err(FetchError::Unasked) => {}
                Err(error) => panic!("{error}"),
            }
            fetch.check().unwrap();
        }
    }
    None
}

fn honest(key: PeerKey, size: u32) -> Member {
    Member { key, ip: ip(key), size, delay: Some(50), honest: true }
}

fn liar(key: PeerKey, ip: IpAddr, size: u32, delay: Option<u64>) -> Member {
    Member { key, ip, size, delay, honest: false }
}

#[test]
fn many_connections_of_one_address_hold_one_place() {
    let bytes = dictionary(200_000);
    // Sixty megabytes each, a piece in ten seconds: 6.5 KB/s for all four of them.
    let slow = |n: u32| liar(n, ip(1), 60_000_000 + n * 16_384, Some(10_000));
    let mut crowd: Vec<Member> = (0..50).map(slow).collect();
    crowd.push(honest(900, 200_000));
    let took = seconds_until_complete(&bytes, crowd, 60);
    assert!(took.is_some_and(|seconds| seconds <= 1), "{took:?}");
    // A /64 of IPv6 is one address too.
    let slow = |n: u32| {
        let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, n as u16, 2, 3, 4);
        liar(n, ip.into(), 60_000_000 + n * 16_384, Some(10_000))
    };
    let mut crowd: Vec<Member> = (0..50).map(slow).collect();
    crowd.push(honest(900, 200_000));
    let took = seconds_until_complete(&bytes, crowd, 60);
    assert!(took.is_some_and(|seconds| seconds <= 1), "{took:?}");
}

#[test]
fn a_slow_drip_at_many_addresses_holds_no_place_for_longer_than_a_turn() {
    let bytes = dictionary(200_000);
    for delay in [None, Some(4_000), Some(10_000)] {
        let slow = |n: u32| liar(n, ip(n), 60_000_000 + n * 16_384, delay);
        let mut crowd: Vec<Member> = (0..99).map(slow).collect();
        crowd.push(honest(900, 200_000));
        let took = seconds_until_complete(&bytes, crowd, 200);
        assert!(took.is_some_and(|seconds| seconds <= 40), "{delay:?}: {took:?}");
    }
}

#[test]
fn liars_with_the_right_length_delay_but_do_not_prevent() {
    let bytes = dictionary(200_000);
    for (addresses, delay) in [(1, Some(50)), (30, Some(50)), (30, Some(3_000)), (30, None)] {
        let spoil = |n: u32| liar(n, ip(n % addresses), 200_000, delay);
        let mut crowd: Vec<Member> = (0..60).map(spoil).collect();
        crowd.push(honest(900, 200_000));
        let took = seconds_until_complete(&bytes, crowd, 300);
        assert!(took.is_some_and(|seconds| seconds <= 60), "{addresses}, {delay:?}: {took:?}");
    }
}

#[test]
fn a_length_that_more_addresses_stand_for_is_tried_first() {
    let bytes = dictionary(200_000);
    let mut fetch = fetch_of(&bytes);
    let now = Instant::from_millis(1000);
    for key in 0..40 {
        fetch.offered(key, ip(key), i64::from(300_000 + key), now).unwrap();
    }
    (50..53).for_each(|key| fetch.offered(key, ip(key), 200_000, now).unwrap());
    assert!(fetch.poll(now).iter().any(|(key, _)| *key >= 50));
}

#[test]
fn a_slow_honest_peer_of_a_long_dictionary_ends_in_several_turns() {
    // Half a megabyte at 16 KB/s beside forty who wait for its place.
    let bytes = dictionary(500_000);
    let mut crowd: Vec<Member> = (0..40).map(|n| liar(n, ip(n), 800_000 + n, None)).collect();
    crowd.push(Member { delay: Some(4_000), ..honest(900, 500_000) });
    let took = seconds_until_complete(&bytes, crowd, 600);
    assert!(took.is_some_and(|seconds| seconds <= 200), "{took:?}");
}

#[test]
fn whoever_changes_its_mind_about_the_length_wins_nothing() {
    let bytes = dictionary(200_000);
    let mut fetch = fetch_of(&bytes);
    let mut now = Instant::from_millis(1000);
    fetch.offered(9, ip(9), 200_000, now).unwrap();
    let mut asked = 0;
    for change in 0..1000 {
        fetch.offered(1, ip(1), 300_000 + change, now).unwrap();
        asked += fetch.poll(now).iter().filter(|(key, _)| *key == 1).count();
        now = now + Duration::from_millis(10);
        fetch.check().unwrap();
    }
    assert!(fetch.lines.len() <= PLACES_AND_ORPHANS, "{}", fetch.lines.len());
    assert_eq!(fetch.buffered(), 0);
    assert!(asked <= 4_000, "{asked}");
}

/// Lines that are held, and those that nobody stands behind.
const PLACES_AND_ORPHANS: usize = 16 + MAX_ORPHANS;
