//! Unit tests of the peer exchange.

use super::*;
use core::net::Ipv4Addr;

fn addr(n: u8) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(1, 2, 3, n).into(), 1000)
}

#[test]
fn visits_and_returns_are_not_mentioned_and_nobody_hears_of_itself() {
    let mut journal = Journal::default();
    journal.came(addr(1), PexFlags(PexFlags::SEED));
    journal.came(addr(2), PexFlags(0));
    journal.left(addr(2));
    journal.left(addr(3));
    journal.came(addr(3), PexFlags(0));
    journal.left(addr(4));
    journal.came(addr(9), PexFlags(0));
    let (message, next) = journal.since(0, addr(9));
    assert_eq!(message.added, [(addr(1), PexFlags(PexFlags::SEED))]);
    assert_eq!(message.dropped, [addr(4)]);
    assert_eq!(next, journal.end());
    assert!(journal.since(next, addr(9)).0.is_empty());
}

#[test]
fn a_message_holds_fifty_and_the_next_goes_on_from_there() {
    let mut journal = Journal::default();
    (0..120).for_each(|n| journal.came(addr(n), PexFlags(0)));
    let (first, next) = journal.since(0, addr(200));
    let (second, next) = journal.since(next, addr(200));
    let (third, next) = journal.since(next, addr(200));
    assert_eq!([first.added.len(), second.added.len(), third.added.len()], [50, 50, 20]);
    assert_eq!(next, journal.end());
}

#[test]
fn the_journal_is_bounded_and_old_readers_go_on_at_its_beginning() {
    let mut journal = Journal::default();
    for n in 0..5000u32 {
        match n % 500 < 250 {
            true => journal.came(addr((n % 250) as u8), PexFlags(0)),
            false => journal.left(addr((n % 250) as u8)),
        }
    }
    assert_eq!(journal.entries.len(), MAX_JOURNAL);
    let (message, next) = journal.since(0, addr(255));
    assert!(message.added.len() + message.dropped.len() <= MAX_TOLD);
    assert!(next > journal.first);
}

#[test]
fn what_one_peer_names_is_bounded_in_each_minute_and_in_all() {
    let mut ledger = PexLedger::default();
    let mut now = Instant::from_millis(5000);
    assert_eq!(ledger.take(50, now), Ok(50));
    assert_eq!(ledger.take(500, now), Ok(100));
    for _ in 0..8 {
        assert_eq!(ledger.take(50, now), Ok(0));
    }
    assert_eq!(ledger.take(50, now), Err(Flood));
    let mut sum = 150;
    for _ in 0..20 {
        now = now + Duration::from_secs(60);
        sum += ledger.take(100, now).unwrap();
    }
    assert_eq!(sum, 1000);
}

#[test]
fn a_peer_is_told_once_a_minute() {
    let mut ledger = PexLedger::default();
    let now = Instant::from_millis(5000);
    assert!(ledger.is_due(now));
    ledger.told_now(now);
    assert!(!ledger.is_due(now + Duration::from_secs(59)));
    assert!(ledger.is_due(now + Duration::from_secs(60)));
}
