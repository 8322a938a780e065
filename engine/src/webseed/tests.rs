//! Unit tests of web seeds: what is asked for, and what follows from what servers say.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

use super::*;
use crate::api::SentRange;
use crate::base::bits::Bits;

const BLOCK: u64 = 16_384;

/// Two files, of three blocks and a half and of two, in pieces of two blocks.
fn metainfo() -> Metainfo {
    let mut info = Vec::new();
    info.extend_from_slice(b"d5:filesld6:lengthi57344e4:pathl1:aeed6:lengthi32768e4:pathl1:beee");
    info.extend_from_slice(b"4:name1:t12:piece lengthi32768e6:pieces60:");
    info.extend_from_slice(&[b'x'; 60]);
    info.push(b'e');
    Metainfo::parse_info(&info).unwrap()
}

fn at(second: u64) -> Instant {
    Instant::from_millis(second * 1000)
}

fn conn(number: u64) -> ConnId {
    ConnId::from_u64(number)
}

/// Blocks `from` up to `to`, counted through.
fn blocks(from: u32, to: u32) -> Vec<BlockRef> {
    (from..to).map(|n| BlockRef { piece: n / 2, block: n % 2 }).collect()
}

struct Bench {
    web: WebSeeds,
    metainfo: Metainfo,
    now: Instant,
    conns: u64,
}

impl Bench {
    fn new(urls: &[(&str, bool)]) -> Self {
        let mut web = WebSeeds::default();
        urls.iter().for_each(|(url, trusted)| web.add(url, Kind::Files, *trusted));
        Self { web, metainfo: metainfo(), now: at(100), conns: 0 }
    }

    /// What is asked for next, and where.
    fn begin(&mut self, outcome: Outcome) -> Option<(ConnId, RangeGet)> {
        let (assignment, get) = outcome.next?;
        self.conns += 1;
        self.web.began(conn(self.conns), assignment);
        self.web.check().unwrap();
        assert!(self.web.fits(Some(&self.metainfo)));
        Some((conn(self.conns), get))
    }

    fn assign(&mut self, server: usize, from: u32, to: u32) -> (ConnId, RangeGet) {
        let mut outcome = Outcome::default();
        self.web.assign(server, blocks(from, to), &self.metainfo, self.now, &mut outcome);
        self.begin(outcome).expect("there is something to ask for")
    }

    fn answer(&mut self, conn: ConnId, head: &HttpHead) -> Outcome {
        let outcome = self.web.answered(conn, head, &self.metainfo, self.now);
        self.web.check().unwrap();
        outcome
    }

    /// The server sends the range that it was asked for.
    fn begins(&mut self, conn: ConnId, get: &RangeGet) {
        let range = Some(SentRange { first: get.first, last: get.last, total: None });
        let outcome = self.answer(conn, &HttpHead { range, ..head(206) });
        assert!(!outcome.close && outcome.released.is_none());
    }

    fn sends(&mut self, conn: ConnId, count: u64) -> Outcome {
        self.web.grant(conn, count as u32, self.now);
        let bytes = Bytes::from(alloc::vec![7; count as usize]);
        let (within, outcome) = self.web.received(conn, bytes, self.now);
        assert_eq!(u64::from(within), count);
        self.web.check().unwrap();
        outcome
    }

    fn ends(&mut self, conn: ConnId, whole: bool) -> Outcome {
        let outcome = self.web.ended(conn, whole, &self.metainfo, self.now);
        self.web.check().unwrap();
        outcome
    }

    fn message(&self, server: usize) -> Option<String> {
        self.web.view(server, self.now).unwrap().message
    }
}

fn head(status: u16) -> HttpHead {
    let (location, range, length, retry_after) = (None, None, None, None);
    HttpHead { status, location, scope: Scope::Public, range, length, retry_after }
}

#[test]
fn a_run_is_asked_for_file_by_file_and_comes_as_blocks() {
    let mut bench = Bench::new(&[("http://h/x", false)]);
    let (one, get) = bench.assign(0, 1, 6);
    assert_eq!(get.url, "http://h/x/t/a");
    assert_eq!((get.first, get.last, get.only), (BLOCK, 57_343, Some(Scope::Public)));
    bench.begins(one, &get);
    let came = bench.sends(one, 57_344 - BLOCK);
    assert_eq!(came.taken.blocks.len(), 2);
    let (two, get) = {
        let ended = bench.ends(one, true);
        bench.begin(ended).unwrap()
    };
    assert_eq!((get.url.as_str(), get.first, get.last), ("http://h/x/t/b", 0, 32_767));
    bench.begins(two, &get);
    let came = bench.sends(two, 32_768);
    let places: Vec<_> = came.taken.blocks.iter().map(|(at, _)| at.piece * 2 + at.block).collect();
    assert_eq!(places, [3, 4, 5]);
    assert!(came.key.is_some() && !came.close);
    let ended = bench.ends(two, true);
    assert!(ended.next.is_none() && ended.dropped.is_empty() && !bench.web.is_busy());
}

#[test]
fn what_is_cut_short_is_asked_for_where_it_ended_and_not_for_ever() {
    let mut bench = Bench::new(&[("http://h/x", false)]);
    let (one, get) = bench.assign(0, 0, 3);
    bench.begins(one, &get);
    assert_eq!(bench.sends(one, 20_000).taken.blocks.len(), 1);
    let ended = bench.ends(one, false);
    let (two, get) = bench.begin(ended).unwrap();
    assert_eq!((get.first, get.last), (20_000, 3 * BLOCK - 1));
    bench.begins(two, &get);
    bench.sends(two, 10);
    let ended = bench.ends(two, true);
    assert_eq!((ended.dropped.len(), ended.next.is_none()), (2, true));
    assert_eq!(bench.message(0).unwrap(), "the connection was closed too early");
    assert!(bench.web.order(bench.now).is_empty());
    assert_eq!(bench.web.next_deadline(bench.now), Some(at(105)));
}

#[test]
fn who_sends_more_than_was_asked_for_fails() {
    let mut bench = Bench::new(&[("http://h/x", false)]);
    let (one, get) = bench.assign(0, 0, 1);
    bench.begins(one, &get);
    let came = bench.sends(one, BLOCK + 1);
    assert!(came.close && came.taken.blocks.is_empty() && came.dropped.len() == 1);
    let (two, _) = bench.assign(0, 0, 1);
    assert!(bench.sends(two, 1).close, "a body without a head");
}

#[test]
fn redirects_are_followed_and_never_from_the_internet_into_a_private_network() {
    let to = |url: &str, scope| HttpHead { location: Some(url.to_string()), scope, ..head(302) };
    for (trusted, scope, only) in [
        (false, Scope::Public, Some(Scope::Public)),
        (false, Scope::Loopback, Some(Scope::Public)),
        (true, Scope::Public, Some(Scope::Public)),
        (true, Scope::Local, Some(Scope::Local)),
        (true, Scope::Loopback, None),
    ] {
        let mut bench = Bench::new(&[("http://h/x", trusted)]);
        let (one, first) = bench.assign(0, 0, 1);
        assert_eq!(first.only, (!trusted).then_some(Scope::Public));
        let moved = bench.answer(one, &to("http://o/f", scope));
        assert!(moved.close && moved.released.is_some());
        let (two, get) = bench.begin(moved).unwrap();
        assert_eq!((get.url.as_str(), get.only), ("http://o/f", only), "{trusted} {scope:?}");
        // The same file is looked for there at once.
        bench.begins(two, &get);
        bench.sends(two, BLOCK);
        bench.ends(two, true);
        let (_, again) = bench.assign(0, 1, 2);
        assert_eq!((again.url.as_str(), again.only), ("http://o/f", only));
    }
    let mut bench = Bench::new(&[("http://h/x", false)]);
    let (mut conn, _) = bench.assign(0, 0, 1);
    for hop in 0..5 {
        let moved = bench.answer(conn, &to(&alloc::format!("http://o/{hop}"), Scope::Public));
        conn = bench.begin(moved).unwrap().0;
    }
    assert!(bench.answer(conn, &to("http://o/6", Scope::Public)).next.is_none());
    assert_eq!(bench.message(0).unwrap(), "the server redirects too often");
    let (conn, _) = bench.assign(0, 0, 1);
    assert!(bench.answer(conn, &to("ftp://o/6", Scope::Public)).next.is_none());
}

#[test]
fn a_file_that_is_not_there_leaves_the_others() {
    let mut bench = Bench::new(&[("http://h/x", false)]);
    let (one, _) = bench.assign(0, 0, 4);
    let gone = bench.answer(one, &head(404));
    assert_eq!((gone.dropped.len(), gone.close), (4, true));
    let pieces = bench.web.terms(0, bench.metainfo.geometry(), bench.now).pieces.clone();
    assert!(!pieces.has(0) && !pieces.has(1) && pieces.has(2));
    assert_eq!(bench.web.order(bench.now), [0]);
    let (two, get) = bench.assign(0, 5, 6);
    assert_eq!(get.url, "http://h/x/t/b");
    bench.answer(two, &head(404));
    assert!(bench.web.is_hopeless());
    assert_eq!(bench.message(0).unwrap(), "the server has none of the files");
}

#[test]
fn a_server_without_ranges_is_used_where_no_more_than_half_is_fetched_for_nothing() {
    let mut bench = Bench::new(&[("http://h/x", false)]);
    let (one, _) = bench.assign(0, 1, 2);
    let answer = bench.answer(one, &head(200));
    assert!(!answer.close);
    let came = bench.sends(one, 2 * BLOCK);
    assert_eq!((came.taken.blocks.len(), came.taken.useless), (1, BLOCK));
    assert!(came.close && came.released.is_some(), "the rest is not waited for");
    assert!(bench.web.terms(0, bench.metainfo.geometry(), bench.now).no_ranges);
    // Behind a file that is not wanted, and behind more of one than is wanted of it.
    let mut outcome = Outcome::default();
    bench.web.assign(0, blocks(2, 3), &bench.metainfo, bench.now, &mut outcome);
    assert_eq!((outcome.dropped.len(), outcome.next.is_none()), (1, true));
    let missing = Bits::full(3);
    assert_eq!(bench.web.whole_file(0, &bench.metainfo, &missing), Some(0));
    assert_eq!(bench.web.whole_file(0, &bench.metainfo, &missing), Some(1));
    assert_eq!(bench.web.whole_file(0, &bench.metainfo, &Bits::new(3)), None);
    let mut bench = Bench::new(&[("http://h/x", false)]);
    let (one, _) = bench.assign(0, 2, 3);
    let answer = bench.answer(one, &head(200));
    assert!(answer.close && answer.dropped.len() == 1);
    assert_eq!(bench.message(0), None);
}

#[test]
fn who_says_nothing_though_it_may_is_given_up_and_who_waits_for_us_is_not() {
    let mut bench = Bench::new(&[("http://h/x", false)]);
    let (one, get) = bench.assign(0, 0, 1);
    assert_eq!(bench.web.due_at(one), Some(at(120)));
    bench.begins(one, &get);
    bench.now = at(200);
    assert!(!bench.web.due(one, bench.now).close, "it has no credit");
    bench.web.grant(one, 100, bench.now);
    assert!(!bench.web.due(one, at(219)).close);
    let over = bench.web.due(one, at(220));
    assert_eq!((over.close, over.released, over.dropped.len()), (true, Some(100), 1));
    assert_eq!(bench.message(0).unwrap(), "timed out");
}

#[test]
fn dead_servers_have_few_places_and_who_delivers_comes_first() {
    let names: Vec<String> = (0..10).map(|n| alloc::format!("http://dead{n}/x")).collect();
    let urls: Vec<(&str, bool)> = names.iter().map(|name| (&name[..], false)).collect();
    let mut bench = Bench::new(&urls);
    let (one, get) = bench.assign(7, 0, 1);
    bench.begins(one, &get);
    bench.sends(one, BLOCK);
    bench.ends(one, true);
    // A block proves nothing, a good piece does.
    assert_ne!(bench.web.order(bench.now)[0], 7);
    bench.web.trust(PeerKey::MAX - 7);
    assert_eq!(bench.web.order(bench.now)[0], 7);
    (0..4).for_each(|server| drop(bench.assign(server, 1, 2)));
    let may_ask = |bench: &Bench, server| bench.web.room(server, bench.now) == Room::Free;
    assert!(!may_ask(&bench, 4) && may_ask(&bench, 7));
    // Those that say nothing for three seconds keep nobody from being asked.
    assert_eq!(bench.web.next_deadline(bench.now), Some(at(103)));
    bench.now = at(103);
    assert!(may_ask(&bench, 4));
}

#[test]
fn who_sent_a_bad_block_is_not_asked_any_more() {
    let mut bench = Bench::new(&[("http://h/x", false), ("http://o/x", true)]);
    let (one, get) = bench.assign(0, 0, 2);
    bench.begins(one, &get);
    let key = bench.sends(one, BLOCK).key.unwrap();
    assert!(bench.web.is_server(key) && !bench.web.is_server(7) && !bench.web.is_trusted(key));
    bench.web.trust(key);
    assert!(bench.web.is_trusted(key));
    bench.web.suspect(key);
    assert!(!bench.web.is_trusted(key));
    assert!(bench.web.terms(0, bench.metainfo.geometry(), bench.now).parole);
    assert_eq!(bench.web.convict(key), Some(0));
    assert_eq!(bench.web.orphan(), Some(one));
    assert_eq!(bench.web.stop(one).dropped.len(), 1);
    assert_eq!((bench.web.orphan(), bench.web.order(bench.now)), (None, alloc::vec![1]));
}

#[test]
fn what_somebody_else_has_brought_is_not_waited_for() {
    let mut bench = Bench::new(&[("http://h/x", false)]);
    let (one, get) = bench.assign(0, 0, 2);
    bench.begins(one, &get);
    let key = bench.web.requests().next().unwrap().1;
    assert_eq!(bench.web.forget(key, blocks(0, 1)[0]), None);
    assert_eq!(bench.web.forget(key, blocks(0, 1)[0]), None);
    assert_eq!(bench.web.blocks_asked(), 1);
    assert_eq!(bench.web.forget(key, blocks(1, 2)[0]), Some(one));
    let stopped = bench.web.stop(one);
    assert!(stopped.close && stopped.dropped.is_empty() && !bench.web.is_busy());
}

#[test]
fn addresses_are_known_once_and_those_that_are_none_are_left_out() {
    let mut bench =
        Bench::new(&[("http://h/x", false), ("ftp://h/x", false), ("http://h/x", true)]);
    let views = bench.web.views(bench.now);
    assert_eq!(views.len(), 1);
    assert!(views[0].by_user, "the user has named it too");
    let (_, get) = bench.assign(0, 0, 1);
    assert_eq!(get.only, None);
    (0..300).for_each(|n| bench.web.add(&alloc::format!("http://many/{n}"), Kind::Files, false));
    assert_eq!(bench.web.views(bench.now).len(), 1 + MAX_WEB_SEEDS);
}
