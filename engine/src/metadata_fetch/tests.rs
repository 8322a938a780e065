//! Unit tests of fetching metadata.

use super::*;
use alloc::vec;

const CAP: u32 = 1 << 20;

fn dictionary(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 7 % 251) as u8).collect()
}

fn fetch_of(bytes: &[u8]) -> MetadataFetch {
    MetadataFetch::new(InfoHashes { v1: Some(Sha1Hash::of(bytes)), v2: None }, CAP)
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
            match fetch.arrived(key, piece, size, piece_of(&bytes, piece), now) {
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
    fetch.offered(1, 100_000, now).unwrap();
    fetch.offered(2, 100_000, now).unwrap();
    let requests = fetch.poll(now);
    assert_eq!(requests.len(), 7, "{requests:?}");
    assert!([1, 2].iter().all(|peer| requests.iter().any(|(key, _)| key == peer)));
    let mut end = Arrival::More;
    for (key, piece) in requests {
        end = fetch.arrived(key, piece, None, piece_of(&bytes, piece), now).unwrap();
    }
    assert_eq!(end, Arrival::Complete(bytes.into()));
}

#[test]
fn a_false_length_costs_the_liar_only() {
    let bytes = dictionary(40_000);
    let mut fetch = fetch_of(&bytes);
    let now = Instant::from_millis(1000);
    assert_eq!(fetch.offered(1, i64::from(CAP) + 1, now), Err(FetchError::Size));
    assert_eq!(fetch.offered(1, 0, now), Err(FetchError::Size));
    assert_eq!(fetch.offered(1, -5, now), Err(FetchError::Size));
    // Liars of many lengths, who never answer, and one honest peer that comes last.
    for liar in 2..20 {
        fetch.offered(liar, 50_000 + i64::from(liar), now).unwrap();
    }
    fetch.offered(99, 40_000, now).unwrap();
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
    fetch.offered(7, 20_000, now).unwrap();
    let wrong = serve(&mut fetch, now, |_| Some(vec![1; 20_000]));
    assert_eq!(wrong, Some(Arrival::Wrong(Some(7))));
    fetch.offered(8, 20_000, now).unwrap();
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
        fetch.offered(peer, 200_000, now).unwrap();
    }
    let content = |key| Some(if key == 3 { bytes.clone() } else { vec![9; 200_000] });
    let mut liars = Vec::new();
    for _ in 0..20 {
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
    fetch.offered(1, 16_384, now).unwrap();
    fetch.offered(2, 16_384, now).unwrap();
    assert_eq!(fetch.poll(now), [(1, 0)]);
    assert_eq!(fetch.poll(now + Duration::from_secs(2)), []);
    // The second gets its chance while the first is still waited for.
    let later = now + Duration::from_secs(3);
    assert_eq!(fetch.poll(later), [(2, 0)]);
    fetch.rejected(2, 0, later);
    assert_eq!(fetch.poll(now + Duration::from_secs(12)), []);
    assert_eq!(fetch.poll(now + Duration::from_secs(15)), [(1, 0)]);
    // An answer to the request that was given up is welcome, an unasked one is not.
    let end = fetch.arrived(1, 0, None, &bytes, later).unwrap();
    assert_eq!(end, Arrival::Complete(bytes.clone().into()));
    assert_eq!(fetch.arrived(2, 0, None, &bytes, later), Err(FetchError::Unasked));
}

#[test]
fn what_a_peer_sent_before_it_left_is_kept() {
    let bytes = dictionary(60_000);
    let mut fetch = fetch_of(&bytes);
    let now = Instant::from_millis(1000);
    fetch.offered(1, 60_000, now).unwrap();
    fetch.poll(now);
    fetch.arrived(1, 0, None, piece_of(&bytes, 0), now).unwrap();
    fetch.arrived(1, 2, None, piece_of(&bytes, 2), now).unwrap();
    fetch.left(1);
    assert_eq!(fetch.buffered(), 2 * 16_384);
    fetch.offered(2, 60_000, now).unwrap();
    let mut requests = fetch.poll(now);
    requests.sort_unstable();
    assert_eq!(requests, [(2, 1), (2, 3)]);
}

#[test]
fn pieces_of_the_wrong_length_are_refused() {
    let mut fetch = fetch_of(&dictionary(20_000));
    let now = Instant::from_millis(1000);
    fetch.offered(1, 20_000, now).unwrap();
    fetch.poll(now);
    assert_eq!(fetch.arrived(1, 0, None, &[0; 5], now), Err(FetchError::Length));
    assert_eq!(fetch.arrived(1, 1, Some(30_000), &[0; 3616], now), Err(FetchError::Length));
    assert_eq!(fetch.arrived(1, 1, None, &[0; 3616], now), Err(FetchError::Unasked));
}

#[test]
fn liars_who_send_a_lot_fill_no_more_than_the_bound() {
    let bytes = dictionary(40_000);
    let mut fetch = fetch_of(&bytes);
    let now = Instant::from_millis(1000);
    for liar in 0..4 {
        fetch.offered(liar, i64::from(CAP) - i64::from(liar), now).unwrap();
    }
    // Each sends all but the last piece of a megabyte.
    for _ in 0..70 {
        for (key, piece) in fetch.poll(now) {
            let size = CAP - key;
            if piece + 1 < pieces(size) {
                let data = vec![0; length(size, piece) as usize];
                fetch.arrived(key, piece, None, &data, now).unwrap();
            }
            fetch.check().unwrap();
            assert!(fetch.buffered() <= 2 * u64::from(CAP));
        }
    }
    fetch.offered(9, 40_000, now).unwrap();
    let honest = |key| (key == 9).then(|| bytes.clone());
    let mut tries = (0..400).map(|second| now + Duration::from_secs(second));
    let ended = tries.find_map(|at| serve(&mut fetch, at, honest));
    assert_eq!(ended, Some(Arrival::Complete(bytes.clone().into())));
}
