//! Unit tests of hole punching.

use super::*;

fn at(seconds: u64) -> Instant {
    Instant::from_millis(1_000_000 + seconds * 1000)
}

fn addr(host: u8, port: u16) -> SocketAddr {
    SocketAddr::new([44, 0, 0, host].into(), port)
}

const TORRENT: TorrentId = TorrentId::from_u64(3);

fn relay(number: u8) -> (ConnId, SocketAddr) {
    (ConnId::from_u64(number.into()), addr(number, 6881))
}

#[test]
fn who_asks_for_introductions_all_the_time_gets_few_and_others_get_theirs() {
    let mut punch = Holepunch::default();
    let got =
        (0..1000u16).filter(|n| punch.introduces(addr(1, *n), addr(2 + *n as u8 % 100, 1), at(0)));
    assert_eq!(got.count(), 20);
    assert!(punch.introduces(addr(200, 1), addr(3, 1), at(0)));
    let later =
        (1..301).filter(|s| punch.introduces(addr(1, 7), addr(2 + *s as u8 % 100, 1), at(*s)));
    assert_eq!(later.count(), 100);
}

#[test]
fn one_peer_is_told_of_few_whoever_asks_for_it() {
    let mut punch = Holepunch::default();
    let told = (1..100).filter(|n| punch.introduces(addr(*n, 1), addr(200, 9), at(0)));
    assert_eq!(told.count(), 20);
}

#[test]
fn all_together_get_no_more_introductions_than_is_bearable() {
    let mut punch = Holepunch::default();
    let all = (0..5000u16).filter(|n| {
        let [high, low] = n.to_be_bytes();
        let asker = SocketAddr::new([45, high, low, 1].into(), 1);
        let target = SocketAddr::new([46, high, low, 1].into(), 1);
        punch.introduces(asker, target, at(0))
    });
    assert_eq!(all.count(), 100);
    assert_eq!(punch.check(), Ok(()));
}

#[test]
fn a_question_is_asked_once_until_it_is_answered_or_forgotten() {
    let mut punch = Holepunch::default();
    assert!(punch.asks(TORRENT, addr(9, 1), relay(1), at(0)));
    assert!(!punch.asks(TORRENT, addr(9, 1), relay(2), at(1)));
    // Somebody who was not asked refuses nothing.
    assert!(!punch.refused(TORRENT, addr(9, 1), relay(2).0));
    assert!(punch.refused(TORRENT, addr(9, 1), relay(1).0));
    assert!(punch.asks(TORRENT, addr(9, 1), relay(2), at(1)));
    assert!(punch.asks(TORRENT, addr(9, 1), relay(1), at(22)), "the answer never came");
}

#[test]
fn what_was_asked_for_is_called_on_whatever_port_and_takes_nothing_of_what_others_may_name() {
    let mut punch = Holepunch::default();
    for n in 0..10 {
        assert!(punch.asks(TORRENT, addr(100 + n, 1), relay(1), at(0)));
    }
    assert!(!punch.asks(TORRENT, addr(99, 1), relay(1), at(0)), "one peer is asked for few");
    for n in 0..10 {
        assert!(punch.calls(TORRENT, addr(100 + n, 5000), relay(1), at(1)));
    }
    let unasked = (0..50).filter(|n| punch.calls(TORRENT, addr(150 + n, 1), relay(1), at(1)));
    assert_eq!(unasked.count(), 8);
    // The same of somebody else's question counts as not asked for.
    assert!(punch.asks(TORRENT, addr(9, 1), relay(2), at(2)));
    assert!(!punch.calls(TORRENT, addr(9, 1), relay(1), at(2)));
}

#[test]
fn many_who_name_strangers_together_make_us_call_few() {
    let mut punch = Holepunch::default();
    let mut called = 0;
    for from in 1..=250 {
        let named = (0..20).filter(|n| punch.calls(TORRENT, addr(*n, 2), relay(from), at(0)));
        called += named.count();
    }
    assert_eq!(called, 50);
    let more =
        (1..=100).filter(|s| punch.calls(TORRENT, addr(1, 2), relay(100 + *s as u8), at(*s)));
    assert_eq!(more.count(), 100, "one a second");
}

#[test]
fn peers_on_one_machine_do_not_share_what_each_of_them_may_ask_for() {
    let mut punch = Holepunch::default();
    let here = |port| SocketAddr::new([127, 0, 0, 1].into(), port);
    assert_eq!((0..30).filter(|_| punch.introduces(here(1), here(2), at(0))).count(), 20);
    assert!(punch.introduces(here(3), here(4), at(0)));
}
