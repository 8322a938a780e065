//! Unit tests of what is held against addresses.

use super::*;
use core::net::{Ipv4Addr, Ipv6Addr};

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(1_000_000 + seconds * 1000)
}

const HOUR: u64 = 3600;

#[test]
fn three_broken_rules_ban_an_address_whatever_ports_they_come_from() {
    let mut standing = Standing::default();
    assert!(!standing.strike(addr("20.0.0.1:1000"), at(0)));
    assert!(!standing.strike(addr("20.0.0.1:1001"), at(1)));
    assert!(!standing.refuses(addr("20.0.0.1:1002"), Way::In, at(2)));
    assert!(standing.strike(addr("20.0.0.1:1002"), at(2)));
    for way in [Way::In, Way::Out] {
        assert!(standing.refuses(addr("20.0.0.1:7"), way, at(3)));
        assert!(!standing.refuses(addr("20.0.0.2:7"), way, at(3)));
    }
    assert_eq!(standing.take_fresh(), [Prefix::of(addr("20.0.0.1:1").ip())]);
    standing.check().unwrap();
}

#[test]
fn addresses_of_one_64_are_one_stranger() {
    let mut standing = Standing::default();
    for n in 1..=3 {
        standing.strike(addr(&alloc::format!("[2001:db8:1:2::{n}]:100{n}")), at(n));
    }
    assert!(standing.refuses(addr("[2001:db8:1:2:9:9:9:9]:1"), Way::In, at(4)));
    assert!(!standing.refuses(addr("[2001:db8:1:3::1]:1"), Way::In, at(4)));
}

#[test]
fn the_owner_of_a_48_runs_out_of_networks_to_come_from() {
    let mut standing = Standing::default();
    let host =
        |net: u16| SocketAddr::new(Ipv6Addr::new(0x2001, 0xdb8, 5, net, 0, 0, 0, 1).into(), 7);
    for net in 0..8 {
        assert!(!standing.refuses(host(net), Way::In, at(1)));
        standing.convict(host(net), None, at(1));
    }
    assert!(standing.refuses(host(999), Way::In, at(2)));
    assert!(!standing.refuses(addr("[2001:db8:6::1]:7"), Way::In, at(2)));
    assert!(!standing.refuses(host(999), Way::In, at(25 * HOUR)));
}

#[test]
fn strikes_fade_and_bans_end_and_last_longer_each_time() {
    let mut standing = Standing::default();
    let (who, other) = (addr("20.0.0.1:1"), addr("20.0.0.2:1"));
    // Once every seven hours: never three at a time.
    for n in 0..20 {
        assert!(!standing.strike(other, at(n * 7 * HOUR)));
    }
    for n in 0..3 {
        standing.strike(who, at(n));
    }
    assert!(standing.refuses(who, Way::In, at(HOUR)));
    assert!(!standing.refuses(who, Way::In, at(HOUR + 2)));
    // It goes on as before: once is enough, and it takes twice as long.
    assert!(standing.strike(who, at(2 * HOUR)));
    assert!(standing.refuses(who, Way::In, at(4 * HOUR - 1)));
    assert!(!standing.refuses(who, Way::In, at(4 * HOUR)));
    // Bad data counts for more.
    standing.convict(other, None, at(200 * HOUR));
    assert!(standing.refuses(other, Way::In, at(223 * HOUR)));
    assert!(!standing.refuses(other, Way::In, at(224 * HOUR)));
}

#[test]
fn suspicion_outlives_the_connection_until_a_good_piece() {
    let mut standing = Standing::default();
    let ip = addr("20.0.0.1:1").ip();
    standing.clear(ip, at(0));
    assert!(!standing.is_on_parole(ip));
    standing.suspect(ip, at(0));
    assert!(standing.is_on_parole(ip));
    standing.strike(addr("20.0.0.1:9"), at(1));
    assert!(standing.is_on_parole(ip));
    standing.clear(ip, at(2));
    assert!(!standing.is_on_parole(ip));
    standing.check().unwrap();
}

#[test]
fn who_has_proven_itself_may_be_called_and_nobody_else_comes_in() {
    let mut standing = Standing::default();
    let (liar, proven) = (addr("20.0.0.1:5000"), addr("20.0.0.1:6881"));
    standing.spare(proven);
    standing.convict(liar, None, at(0));
    assert!(standing.refuses(proven, Way::Out, at(1)));
    standing.spare(proven);
    standing.spare(liar);
    assert!(!standing.refuses(proven, Way::Out, at(1)));
    assert!(standing.refuses(proven, Way::In, at(1)));
    assert!(standing.refuses(liar, Way::Out, at(1)));
    // It is no licence.
    standing.convict(proven, None, at(2));
    assert!(standing.refuses(proven, Way::Out, at(3)));
}

#[test]
fn on_one_machine_ports_that_we_call_are_judged_one_by_one() {
    let mut standing = Standing::default();
    standing.convict(addr("127.0.0.1:5000"), None, at(0));
    assert!(standing.refuses(addr("127.0.0.1:5000"), Way::Out, at(1)));
    assert!(!standing.refuses(addr("127.0.0.1:6881"), Way::Out, at(1)));
    assert!(standing.refuses(addr("127.0.0.1:40000"), Way::In, at(1)));
    assert!(!standing.refuses(addr("127.0.0.2:40000"), Way::In, at(1)));
}

#[test]
fn the_oldest_ban_is_forgotten_first_not_the_lowest_address() {
    let mut standing = Standing::default();
    let host = |n: u32| SocketAddr::new(Ipv4Addr::from(0x1400_0000 + n).into(), 1);
    let bans = MAX_BANS as u32;
    // The highest address is the oldest.
    for n in (0..bans).rev() {
        standing.convict(host(n), None, at(u64::from(bans - n)));
    }
    let now = at(u64::from(bans) + 1);
    standing.convict(host(bans + 5), None, now);
    assert!(!standing.refuses(host(bans - 1), Way::In, now));
    for kept in [0, 1, bans - 2, bans + 5] {
        assert!(standing.refuses(host(kept), Way::In, now), "{kept}");
    }
    // Small offences from many addresses drive no ban out.
    for n in 0..2 * bans {
        standing.strike(host(100_000 + n), now + Duration::from_secs(1));
    }
    assert!(standing.refuses(host(0), Way::In, now + Duration::from_secs(2)));
    assert_eq!(standing.banned(), MAX_BANS);
    standing.take_fresh();
    standing.check().unwrap();
}
