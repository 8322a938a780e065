//! Unit tests of who we are to others.

use super::*;
use alloc::format;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Voters of as many owners that say `said`.
fn vote(identity: &mut Identity, first: u8, count: u8, said: &str) {
    for n in first..first + count {
        identity.vote(IpAddr::V4(Ipv4Addr::new(60, n, 1, 1)), ip(said));
    }
}

#[test]
fn each_torrent_has_a_peer_id_and_a_key_of_its_own_that_stay() {
    let (seed, prefix) = (Seed::from_u64(7), *b"-ED0100-");
    let of = |n: u8| Persona::new(Some(prefix), &seed, Sha1Hash([n; 20]));
    assert_eq!(of(1), of(1));
    assert_eq!(&of(1).peer_id.0[..8], b"-ED0100-");
    assert_ne!(of(1).peer_id, of(2).peer_id);
    assert_ne!(of(1).key, of(2).key);
    assert_ne!(of(1), Persona::new(Some(prefix), &Seed::from_u64(8), Sha1Hash([1; 20])));
    // Without a prefix all of it is its own, also what stands first.
    let nameless = |n: u8| Persona::new(None, &seed, Sha1Hash([n; 20])).peer_id.0;
    assert_ne!(nameless(1)[..8], nameless(2)[..8]);
    assert!(nameless(1).iter().all(u8::is_ascii_alphanumeric));
}

#[test]
fn an_address_is_believed_when_eight_owners_agree_and_are_the_majority() {
    let mut identity = Identity::default();
    vote(&mut identity, 0, 7, "1.2.3.4");
    assert_eq!(identity.settled(false), None);
    assert_eq!(identity.external(false).ip(), ip("1.2.3.4"));
    vote(&mut identity, 7, 1, "1.2.3.4");
    assert_eq!(identity.settled(false), Some(ip("1.2.3.4")));
    assert_eq!(identity.settled(true), None);
    // As many who say something else leave it open.
    vote(&mut identity, 10, 8, "5.6.7.8");
    assert_eq!(identity.settled(false), None);
}

#[test]
fn one_owner_of_many_addresses_has_one_vote() {
    let mut identity = Identity::default();
    vote(&mut identity, 0, 8, "1.2.3.4");
    for n in 0..=255 {
        identity.vote(IpAddr::V4(Ipv4Addr::new(200, 0, 0, n)), ip("6.6.6.6"));
    }
    for n in 0..1000u16 {
        let from = format!("2001:db8:1:{:x}::{n:x}", n % 50);
        identity.vote(ip(&from), ip("6.6.6.6"));
    }
    assert_eq!(identity.settled(false), Some(ip("1.2.3.4")));
    assert_eq!(identity.votes.len(), 10);
}

#[test]
fn the_latest_votes_count_whatever_the_address_of_the_voter() {
    let mut identity = Identity::default();
    // High addresses, so that they would stay for ever if low ones made room.
    for n in 0..64 {
        identity.vote(IpAddr::V4(Ipv4Addr::new(220, n, 1, 1)), ip("6.6.6.6"));
    }
    assert_eq!(identity.settled(false), Some(ip("6.6.6.6")));
    vote(&mut identity, 0, 40, "1.2.3.4");
    assert_eq!(identity.settled(false), Some(ip("1.2.3.4")));
    assert_eq!(identity.votes.len(), MAX_VOTES);
}

#[test]
fn nobody_on_the_internet_names_an_address_of_a_local_network() {
    let mut identity = Identity::default();
    vote(&mut identity, 0, 20, "192.168.1.5");
    vote(&mut identity, 0, 20, "0.0.0.0");
    assert_eq!(identity.external(false).ip(), ip("0.0.0.0"));
    assert!(identity.votes.is_empty());
    // In a local network each address has a vote.
    for n in 1..=8 {
        identity.vote(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)), ip("10.0.0.9"));
    }
    assert_eq!(identity.settled(false), Some(ip("10.0.0.9")));
}
