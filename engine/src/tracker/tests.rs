//! Unit tests of the tracker codecs. Replies that real trackers sent run in `eddyline-sim`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use super::*;
use crate::api::AnnouncePolicy;
use crate::api::EncryptionPolicy;
use crate::base::rng::Seed;
use crate::base::time::Instant;

pub(super) fn params(event: AnnounceEvent) -> AnnounceParams {
    AnnounceParams {
        info_hash: Sha1Hash([0xfe; 20]),
        peer_id: PeerId(*b"-ED0100-abcdefghijkl"),
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event,
        key: 0xdead_beef,
        num_want: 50,
        port: 6881,
        encryption: EncryptionPolicy::Disable,
    }
}

#[test]
fn a_tracker_is_told_whether_connections_may_be_encrypted() {
    let says = |encryption, what: &str| {
        let params = AnnounceParams { encryption, ..params(AnnounceEvent::None) };
        assert!(announce_url("http://t/announce", &params, None).contains(what));
    };
    says(EncryptionPolicy::Disable, "&supportcrypto=0&numwant");
    says(EncryptionPolicy::Prefer, "&supportcrypto=1&numwant");
    says(EncryptionPolicy::Require, "&supportcrypto=1&requirecrypto=1&numwant");
}

#[test]
fn passkeys_and_queries_stay_byte_exact() {
    let url = announce_url(
        "http://t/a%2Fb/announce?passkey=x%20y#f",
        &params(AnnounceEvent::Started),
        Some(b"i d"),
    );
    assert!(url.starts_with("http://t/a%2Fb/announce?passkey=x%20y&info_hash=%FE%FE"), "{url}");
    assert!(url.contains("&key=DEADBEEF&event=started&trackerid=i%20d"), "{url}");
    let plain = announce_url("http://t/announce", &params(AnnounceEvent::None), None);
    assert!(plain.starts_with("http://t/announce?info_hash="), "{plain}");
    assert!(!plain.contains("event"), "{plain}");
}

#[test]
fn scrape_urls_follow_the_convention_or_do_not_exist() {
    let hash = [Sha1Hash([0; 20])];
    let scrape = |url| scrape_url(url, &hash);
    let expected = "http://e.com/x/scrape.php?x=2%2F4&info_hash=";
    assert!(scrape("http://e.com/x/announce.php?x=2%2F4").unwrap().starts_with(expected));
    assert_eq!(scrape("http://e.com/a"), None);
    assert_eq!(scrape("http://e.com/announce/x"), None);
    assert_eq!(scrape("http://e.com/x?announce"), None);
}

#[test]
fn retry_in_is_minutes_or_never() {
    let reply = parse_announce(b"d14:failure reason1:x8:retry ini5ee").unwrap();
    assert_eq!(reply.retry_in, Some(Some(5)));
    let reply = parse_announce(b"d14:failure reason1:x8:retry in5:nevere").unwrap();
    assert_eq!(reply.retry_in, Some(None));
    for (text, understood) in [
        ("i-1e", Some(Some(0))),
        ("i99999999999e", Some(Some(u32::MAX))),
        ("i99999999999999999999e", Some(Some(u32::MAX))),
        ("20:99999999999999999999", Some(Some(u32::MAX))),
        ("1:0", Some(Some(0))),
        ("1:-", None),
        ("4:soon", None),
        ("le", None),
    ] {
        let body = alloc::format!("d14:failure reason1:x8:retry in{text}e");
        assert_eq!(parse_announce(body.as_bytes()).unwrap().retry_in, understood, "{text}");
    }
}

#[test]
fn an_interval_beyond_64_bits_is_a_long_one() {
    for (interval, seconds) in [
        ("i18446744073709551616e", Some(u32::MAX)),
        ("i-99999999999999999999e", Some(0)),
        ("20:99999999999999999999", Some(u32::MAX)),
        ("21:-99999999999999999999", Some(0)),
        ("5: 1800", Some(1800)),
        ("0:", None),
    ] {
        let body =
            alloc::format!("d8:completei99999999999999999999e8:interval{interval}5:peers6:abcdefe");
        let reply = parse_announce(body.as_bytes()).unwrap();
        assert_eq!((reply.interval, reply.counts.complete), (seconds, None), "{interval}");
        assert_eq!(reply.peers.len(), 1);
    }
    let body =
        b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi99999999999999999999eeee";
    let files = parse_scrape(body).unwrap().files;
    assert_eq!(files.values().next().unwrap().complete, Some(1));
}

#[test]
fn a_scrape_over_udp_is_a_row_of_whole_entries() {
    let packet: Vec<u8> = [0, 0, 0, 2, 0, 0, 0, 7].into_iter().chain(0..40).collect();
    for (length, files) in
        [(8, None), (19, None), (20, Some(1)), (21, None), (32, Some(2)), (31, None)]
    {
        let found = match UdpResponse::decode(&packet[..length], false) {
            Some(UdpResponse::Scrape { files, .. }) => Some(files.len()),
            _ => None,
        };
        assert_eq!(found, files, "{length} bytes");
    }
}

#[test]
fn no_tracker_names_a_wait_that_is_too_short_or_too_long() {
    for retry_in in [Some(0), Some(1), Some(u32::MAX)] {
        let mut a = announcer(&[&["http://a"]]);
        let mut now = 0;
        for failure in 1..40u64 {
            let order = a.poll(secs(now)).unwrap();
            a.failed(order.tracker, &Failure { retry_in: Some(retry_in), ..refusal() }, secs(now));
            let wait = a.next_deadline().unwrap().since(secs(now)).as_secs();
            assert!(wait >= (5 + 12 * failure * failure).min(3600) && wait <= 24 * 3600, "{wait}");
            now += wait;
        }
    }
    for (interval, min_interval) in [(Some(0), None), (Some(0), Some(0)), (None, None)] {
        let mut a = announcer(&[&["http://a"]]);
        let order = a.poll(secs(0)).unwrap();
        let answer = Answer { interval, min_interval, ..Answer::default() };
        a.succeeded(order.tracker, &answer, 0, secs(0));
        a.force();
        assert!(a.next_deadline().unwrap() >= secs(30));
    }
}

#[test]
fn a_long_list_of_trackers_is_cut_and_read_in_one_pass() {
    let urls: Vec<String> = (0..100_000).map(|n| alloc::format!("http://t{}", n / 2)).collect();
    let policy = AnnouncePolicy::default();
    let mut a = Announcer::new(&[urls], policy, &mut Seed::from_u64(1).stream("t"));
    a.add("http://one-more", false);
    assert_eq!(a.trackers().count(), 500);
}

#[test]
fn udp_requests_survive_a_round_trip() {
    for event in [AnnounceEvent::None, AnnounceEvent::Completed, AnnounceEvent::Stopped] {
        let request = UdpRequest::Announce {
            connection: 7,
            transaction: 9,
            params: params(event),
            ip: Ipv4Addr::UNSPECIFIED,
            options: url_data_option("/announce?k=1"),
        };
        assert_eq!(UdpRequest::decode(&request.encode()), Some(request));
    }
}

fn announcer(tiers: &[&[&str]]) -> Announcer {
    announcer_with(AnnouncePolicy::default(), tiers)
}

fn announcer_with(policy: AnnouncePolicy, tiers: &[&[&str]]) -> Announcer {
    let tiers: Vec<Vec<String>> =
        tiers.iter().map(|t| t.iter().map(ToString::to_string).collect()).collect();
    let mut announcer = Announcer::new(&tiers, policy, &mut Seed::from_u64(1).stream("t"));
    announcer.start();
    announcer
}

fn refusal() -> Failure {
    Failure { message: "no".into(), retry_in: None, host_fails: false }
}

fn secs(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

#[test]
fn started_and_completed_are_said_once_and_stopped_only_after_started() {
    let mut a = announcer(&[&["http://a"]]);
    let order = a.poll(secs(1)).unwrap();
    assert_eq!(order.event, AnnounceEvent::Started);
    assert_eq!(a.poll(secs(1)), None, "one at a time");
    a.failed(order.tracker, &refusal(), secs(2));
    assert!(a.stop().is_empty(), "nobody heard started");
    a.start();
    let order = a.poll(secs(100)).unwrap();
    assert_eq!(order.event, AnnounceEvent::Started);
    a.succeeded(order.tracker, &Answer::default(), 0, secs(101));
    assert_eq!(a.next_deadline(), Some(secs(101 + 1800)));
    a.complete();
    let order = a.poll(secs(102)).unwrap();
    assert_eq!(order.event, AnnounceEvent::Completed);
    a.succeeded(order.tracker, &Answer::default(), 0, secs(103));
    assert_eq!(a.poll(secs(1000)), None);
    assert_eq!(a.poll(secs(5000)).unwrap().event, AnnounceEvent::None);
    let stops = a.stop();
    assert_eq!((stops.len(), stops[0].event), (1, AnnounceEvent::Stopped));
    assert!(a.stop().is_empty());
}

#[test]
fn a_failing_tracker_hands_over_at_once_and_a_working_one_moves_to_the_front() {
    let mut a = announcer(&[&["http://a", "http://b"], &["http://c"]]);
    let first = a.poll(secs(1)).unwrap();
    a.failed(first.tracker, &refusal(), secs(1));
    let second = a.poll(secs(1)).unwrap();
    assert_ne!(first.url, second.url);
    a.succeeded(second.tracker, &Answer::default(), 0, secs(1));
    assert_eq!(a.trackers().next().unwrap().url, second.url);
    assert_eq!(a.poll(secs(1)).unwrap().url, "http://c", "each tier is asked by itself");
    assert_eq!(a.poll(secs(1)), None);
    // As BEP 12 has it, the second tier is not needed.
    let first = AnnouncePolicy::First;
    let mut a = announcer_with(first, &[&["http://a", "http://b"], &["http://c"]]);
    let first = a.poll(secs(1)).unwrap();
    a.failed(first.tracker, &refusal(), secs(1));
    let second = a.poll(secs(1)).unwrap();
    a.succeeded(second.tracker, &Answer::default(), 0, secs(1));
    assert_eq!(a.poll(secs(60)), None);
}

#[test]
fn a_slow_tracker_is_not_given_up_and_the_next_of_its_tier_is_asked_meanwhile() {
    let mut a = announcer(&[&["http://a", "http://b", "http://c"]]);
    let slow = a.poll(secs(10)).unwrap();
    assert_eq!((a.poll(secs(10)), a.next_deadline()), (None, Some(secs(13))));
    let quick = a.poll(secs(13)).unwrap();
    assert_eq!(a.poll(secs(15)), None, "it is not slow yet");
    a.succeeded(quick.tracker, &Answer::default(), 5, secs(15));
    assert_eq!(a.poll(secs(20)), None, "one that answers suffices");
    a.succeeded(slow.tracker, &Answer::default(), 7, secs(25));
    let order: Vec<_> = a.trackers().map(|tracker| (tracker.url.clone(), tracker.named)).collect();
    assert_eq!(
        order[..2],
        [(quick.url.clone(), 5), (slow.url.clone(), 7)],
        "who was first stays so"
    );
    // Both know of the torrent, so both hear of it in their time, and of its end.
    a.complete();
    let events = |a: &mut Announcer, now: u64| -> Vec<_> {
        let orders = core::iter::from_fn(|| a.poll(secs(now))).collect::<Vec<_>>();
        for order in &orders {
            let interval = if order.url == quick.url { 600 } else { 900 };
            let answer = Answer { interval: Some(interval), ..Answer::default() };
            a.succeeded(order.tracker, &answer, 0, secs(now));
        }
        orders.into_iter().map(|order| (order.url, order.event)).collect()
    };
    let both = |event| [(quick.url.clone(), event), (slow.url.clone(), event)];
    assert_eq!(events(&mut a, 30), both(AnnounceEvent::Completed));
    assert_eq!(events(&mut a, 630), both(AnnounceEvent::None)[..1]);
    assert_eq!(events(&mut a, 930), both(AnnounceEvent::None)[1..]);
    let stops: Vec<_> = a.stop().into_iter().map(|order| order.event).collect();
    assert_eq!(stops, [AnnounceEvent::Stopped; 2]);
}

#[test]
fn a_torrent_that_starves_asks_further_trackers_whatever_the_working_one_says() {
    for policy in [AnnouncePolicy::Tiers, AnnouncePolicy::First] {
        let mut a = announcer_with(policy, &[&["http://a", "http://b", "http://c"]]);
        a.looks_for_peers(true, true, secs(5));
        let mut asked = Vec::new();
        let day = Answer { interval: Some(86_400), ..Answer::default() };
        while let Some(order) = a.poll(secs(5)) {
            assert_eq!(a.poll(secs(5)), None, "one after the other");
            a.succeeded(order.tracker, &day, 0, secs(5));
            asked.push(order.url);
        }
        asked.sort();
        assert_eq!(asked, ["http://a", "http://b", "http://c"]);
        // Each of them is asked in its own time all the same.
        assert_eq!(a.next_deadline(), Some(secs(5 + 86_400)));
    }
    // Somebody to call is not enough for long.
    let mut a = announcer(&[&["http://a", "http://b"]]);
    a.looks_for_peers(true, false, secs(5));
    let first = a.poll(secs(5)).unwrap();
    a.succeeded(first.tracker, &Answer::default(), 2000, secs(5));
    assert_eq!((a.poll(secs(34)), a.next_deadline()), (None, Some(secs(35))));
    a.looks_for_peers(true, false, secs(35));
    assert!(a.poll(secs(35)).is_some());
    // Whoever has a peer again is content with one tracker.
    let mut a = announcer(&[&["http://a", "http://b"]]);
    a.looks_for_peers(true, false, secs(5));
    let first = a.poll(secs(5)).unwrap();
    a.succeeded(first.tracker, &Answer::default(), 2000, secs(5));
    a.looks_for_peers(false, false, secs(30));
    a.looks_for_peers(true, false, secs(40));
    assert_eq!(a.poll(secs(69)), None);
}

#[test]
fn all_trackers_are_asked_at_once_where_the_user_wants_that_and_few_of_a_long_list() {
    let urls: Vec<String> = (0..100).map(|n| alloc::format!("http://t{n}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    for (policy, expected) in
        [(AnnouncePolicy::All, 32), (AnnouncePolicy::Tiers, 1), (AnnouncePolicy::First, 1)]
    {
        let mut a = announcer_with(policy, &[&urls]);
        let orders: Vec<_> = core::iter::from_fn(|| a.poll(secs(1))).collect();
        assert_eq!(orders.len(), expected, "{policy:?}");
        if policy == AnnouncePolicy::All {
            a.failed(orders[3].tracker, &refusal(), secs(2));
            assert!(a.poll(secs(2)).is_some() && a.poll(secs(2)).is_none());
        }
    }
}

#[test]
fn whoever_waits_in_line_takes_its_turn_and_asks_others_meanwhile() {
    let mut a = announcer(&[&["http://a", "http://b"]]);
    let first = a.poll(secs(1)).unwrap();
    a.put_off(first.tracker, Admission::InLine);
    assert!(a.is_in_line(first.tracker) && !a.is_at_rest(secs(1)));
    assert!(a.poll(secs(3)).is_none());
    let other = a.poll(secs(4)).unwrap();
    assert_eq!(a.turn(other.tracker, secs(5)), None, "it is asked already");
    assert_eq!(a.turn(first.tracker, secs(5)).unwrap().url, first.url);
    assert_eq!(a.turn(first.tracker, secs(5)), None, "once");
    a.put_off(other.tracker, Admission::InLine);
    a.stop();
    assert!(!a.is_in_line(other.tracker));
}

#[test]
fn a_torrent_at_rest_comes_back_when_its_first_tracker_expects_it_and_not_before_any_allows() {
    let mut a = announcer(&[&["http://a"], &["http://b"], &["http://c"]]);
    let orders: Vec<_> = core::iter::from_fn(|| a.poll(secs(0))).collect();
    for (order, (interval, min)) in orders.iter().zip([(1800, None), (3600, Some(2400))]) {
        let answer = Answer { interval: Some(interval), min_interval: min, ..Answer::default() };
        a.succeeded(order.tracker, &answer, 0, secs(0));
    }
    let never = Failure { retry_in: Some(None), host_fails: true, ..refusal() };
    a.failed(orders[2].tracker, &never, secs(0));
    assert_eq!((a.next_of_all(), a.told()), (Some(secs(2400)), 0b11));
    assert!(a.hosts_waited_for().is_empty(), "some answer");
}

#[test]
fn a_torrent_at_rest_waits_for_hosts_where_none_of_its_trackers_has_one_that_answers() {
    let mut a = announcer(&[&["http://a:1/x"], &["http://a:2/x"], &["http://b"]]);
    let orders: Vec<_> = core::iter::from_fn(|| a.poll(secs(0))).collect();
    let dead = Failure { host_fails: true, ..refusal() };
    a.failed(orders[0].tracker, &dead, secs(30));
    a.put_off(orders[1].tracker, Admission::Shunned(secs(47)));
    assert!(a.hosts_waited_for().is_empty());
    a.failed(orders[2].tracker, &dead, secs(30));
    assert_eq!(a.hosts_waited_for(), ["a", "b"]);
    // What was refused that often is not tried as soon as at first after a rest.
    assert_eq!(a.least_failures(), 0);
    let mut b = announcer(&[&["http://b"]]);
    b.go_on(secs(100), 0, 7);
    let order = b.poll(secs(100)).unwrap();
    b.failed(order.tracker, &refusal(), secs(100));
    assert!(b.next_deadline().unwrap().since(secs(100)) > Duration::from_secs(700));
}

#[test]
fn back_off_grows_and_stays_below_an_hour() {
    let mut a = announcer(&[&["http://a"]]);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..40 {
        let order = a.poll(secs(now)).unwrap();
        a.failed(order.tracker, &refusal(), secs(now));
        let next = a.next_deadline().unwrap().as_millis() / 1000;
        waits.push(next - now);
        now = next;
    }
    assert_eq!(waits[..3], [17, 55, 117]);
    assert_eq!(*waits.last().unwrap(), 3600);
}

#[test]
fn intervals_are_respected_even_when_the_user_insists() {
    let mut a = announcer(&[&["http://a"]]);
    let order = a.poll(secs(0)).unwrap();
    let answer = Answer { interval: Some(900), min_interval: Some(300), ..Answer::default() };
    a.succeeded(order.tracker, &answer, 0, secs(0));
    a.force();
    assert_eq!(a.poll(secs(299)), None);
    assert!(a.poll(secs(300)).is_some());
}

#[test]
fn never_means_never() {
    let mut a = announcer(&[&["http://a"]]);
    let order = a.poll(secs(0)).unwrap();
    a.failed(order.tracker, &Failure { retry_in: Some(None), ..refusal() }, secs(0));
    assert_eq!((a.poll(secs(1_000_000)), a.next_deadline()), (None, None));
}

#[test]
fn the_tracker_id_is_echoed_until_another_one_comes() {
    let mut a = announcer(&[&["http://a"]]);
    let order = a.poll(secs(0)).unwrap();
    assert_eq!(order.tracker_id, None);
    let named = |id: Option<&[u8]>| Answer {
        interval: Some(60),
        tracker_id: id.map(<[u8]>::to_vec),
        ..Answer::default()
    };
    a.succeeded(order.tracker, &named(Some(b"one")), 0, secs(0));
    for (now, said) in [(60, None), (120, Some(b"two".as_slice()))] {
        let order = a.poll(secs(now)).unwrap();
        assert_eq!(order.tracker_id.as_deref(), Some(b"one".as_slice()));
        a.succeeded(order.tracker, &named(said), 0, secs(now));
    }
    assert_eq!(a.poll(secs(180)).unwrap().tracker_id.as_deref(), Some(b"two".as_slice()));
}

#[test]
fn a_tracker_named_twice_is_asked_once() {
    let mut a = announcer(&[&["http://a", "http://a"], &["http://a", "http://b"]]);
    assert_eq!(a.trackers().count(), 2);
    let mut asked = Vec::new();
    while let Some(order) = a.poll(secs(1)) {
        a.failed(order.tracker, &refusal(), secs(1));
        asked.push(order.url);
    }
    asked.sort();
    assert_eq!(asked, ["http://a", "http://b"]);
}

#[test]
fn udp_connects_then_announces_and_reuses_the_connection_for_a_minute() {
    let mut client = UdpClient::default();
    let mut rng = Seed::from_u64(1).stream("t");
    let to = "10.0.0.1:80".parse().unwrap();
    let mut out = Vec::new();
    let none = params(AnnounceEvent::None);
    client.announce(1, to, none, Vec::new(), secs(0), &mut rng, &mut out);
    let Some(UdpRequest::Connect { transaction }) = UdpRequest::decode(&out.pop().unwrap().1)
    else {
        panic!("no connect");
    };
    let reply = [0u32.to_be_bytes(), transaction.to_be_bytes(), [0; 4], 42u32.to_be_bytes()];
    let forger = "10.0.0.2:80".parse().unwrap();
    client.datagram(forger, &reply.concat(), secs(1), &mut rng, &mut out);
    assert!(out.is_empty(), "the address must match");
    client.datagram(to, &reply.concat(), secs(1), &mut rng, &mut out);
    let sent = UdpRequest::decode(&out.pop().unwrap().1);
    assert!(matches!(sent, Some(UdpRequest::Announce { connection: 42, .. })));
    client.announce(2, to, none, Vec::new(), secs(60), &mut rng, &mut out);
    let sent = UdpRequest::decode(&out.pop().unwrap().1);
    assert!(matches!(sent, Some(UdpRequest::Announce { connection: 42, .. })));
    client.announce(3, to, none, Vec::new(), secs(61), &mut rng, &mut out);
    let sent = UdpRequest::decode(&out.pop().unwrap().1);
    assert!(matches!(sent, Some(UdpRequest::Connect { .. })));
}

#[test]
fn one_of_many_asks_for_a_connection_id_and_all_use_it() {
    let mut client = UdpClient::default();
    let mut rng = Seed::from_u64(1).stream("t");
    let (to, mut out) = ("10.0.0.1:80".parse().unwrap(), Vec::new());
    for id in 0..5 {
        let params = params(AnnounceEvent::None);
        client.announce(id, to, params, Vec::new(), secs(0), &mut rng, &mut out);
    }
    let hashes: Vec<_> = (0..74).map(|number| Sha1Hash([number; 20])).collect();
    client.scrape(5, to, hashes.clone(), secs(0), &mut rng, &mut out);
    let Some(UdpRequest::Connect { transaction }) = UdpRequest::decode(&out.pop().unwrap().1)
    else {
        panic!("no connect");
    };
    assert!(out.is_empty(), "once");
    let reply = [0u32.to_be_bytes(), transaction.to_be_bytes(), [0; 4], 42u32.to_be_bytes()];
    client.datagram(to, &reply.concat(), secs(1), &mut rng, &mut out);
    let sent: Vec<_> = out.drain(..).filter_map(|(_, data)| UdpRequest::decode(&data)).collect();
    assert_eq!(sent.len(), 6);
    assert!(matches!(sent[..5], [UdpRequest::Announce { connection: 42, .. }, ..]));
    let UdpRequest::Scrape { transaction, info_hashes, .. } = &sent[5] else { panic!("{sent:?}") };
    assert_eq!(*info_hashes, hashes);
    // It is answered for all of them at once, in this order.
    let mut reply = [2u32.to_be_bytes(), transaction.to_be_bytes()].concat();
    (0..74u32).for_each(|n| reply.extend([n, n + 1, n + 2].map(u32::to_be_bytes).concat()));
    let (id, told) = client.datagram(to, &reply, secs(2), &mut rng, &mut out).unwrap();
    let UdpOutcome::Scraped { files } = told else { panic!("{told:?}") };
    assert_eq!((id, files.len(), files[7].downloaded), (5, 74, Some(8)));
    // Who asks for an id and gets none is followed by another one.
    let mut client = UdpClient::default();
    let params = params(AnnounceEvent::None);
    client.announce(0, to, params, Vec::new(), secs(0), &mut rng, &mut out);
    client.announce(1, to, params, Vec::new(), secs(1), &mut rng, &mut out);
    client.forget(0);
    out.clear();
    client.poll(secs(6), &mut rng, &mut out);
    assert!(matches!(UdpRequest::decode(&out[0].1), Some(UdpRequest::Connect { .. })));
}

#[test]
fn a_silent_udp_tracker_is_given_up_within_half_a_minute() {
    let mut client = UdpClient::default();
    let mut rng = Seed::from_u64(1).stream("t");
    let mut out = Vec::new();
    let to = "10.0.0.1:80".parse().unwrap();
    let none = params(AnnounceEvent::None);
    client.announce(7, to, none, Vec::new(), secs(0), &mut rng, &mut out);
    let mut ended = Vec::new();
    let mut now = secs(0);
    while let Some(deadline) = client.next_deadline() {
        now = deadline;
        ended.extend(client.poll(now, &mut rng, &mut out));
    }
    assert_eq!((out.len(), now), (3, secs(30)));
    assert_eq!(ended, [(7, UdpOutcome::TimedOut)]);
}

#[test]
fn udp_urls_are_taken_apart() {
    let split = |url| split_udp_url(url);
    let expected = Some(("t.example".into(), 80, "/announce?k=1".into()));
    assert_eq!(split("udp://t.example:80/announce?k=1#x"), expected);
    assert_eq!(split("UDP://[::1]:80"), Some(("::1".into(), 80, String::new())));
    assert_eq!(split("udp://t.example"), None);
    assert_eq!(split("udp://:80"), None);
    assert_eq!(split("http://t:80"), None);
}

quickcheck::quickcheck! {
    fn arbitrary_replies_never_panic(bytes: Vec<u8>) -> bool {
        let _ = parse_announce(&bytes);
        let _ = parse_scrape(&bytes);
        let _ = UdpResponse::decode(&bytes, false);
        let _ = UdpResponse::decode(&bytes, true);
        let _ = UdpRequest::decode(&bytes);
        true
    }
}

#[test]
fn trackers_that_answered_in_an_earlier_run_are_asked_first_in_their_tiers() {
    let tier = |urls: &[&str]| urls.iter().map(|url| (*url).to_string()).collect::<Vec<_>>();
    let tiers = [tier(&["http://a", "http://b", "http://c"]), tier(&["http://d", "http://e"])];
    for seed in 0..8 {
        let policy = AnnouncePolicy::default();
        let mut announcer = Announcer::new(&tiers, policy, &mut Seed::from_u64(seed).stream("t"));
        let earlier = [("http://e".into(), None), ("http://c".into(), Some(b"x".to_vec()))];
        announcer.remember(&earlier);
        let order: Vec<&str> = announcer.trackers().map(|tracker| &tracker.url[7..]).collect();
        assert_eq!((order[0], order[3]), ("c", "e"), "{order:?}");
        // They are remembered on, though none has answered in this run.
        let kept = announcer.worth_remembering();
        assert_eq!(kept, [("http://c".into(), Some(b"x".to_vec())), ("http://e".into(), None)]);
    }
}

#[test]
fn of_several_trackers_at_one_host_each_has_its_turn() {
    let mut a = announcer(&[&["http://a:1/announce"], &["http://a:2/announce"]]);
    let first = a.poll(secs(0)).unwrap();
    a.failed(first.tracker, &refusal(), secs(0));
    let second = a.poll(secs(0)).unwrap();
    a.put_off(second.tracker, Admission::Shunned(secs(17)));
    assert_eq!(a.poll(secs(16)), None);
    assert_eq!(a.poll(secs(17)).unwrap().url, second.url, "the first one has had its turn");
}

#[test]
fn a_udp_tracker_behind_a_name_answers_from_the_address_that_it_has() {
    let (mut client, mut rng) = (UdpClient::default(), Seed::from_u64(1).stream("t"));
    let (to, real) = ("198.18.0.7:80".parse().unwrap(), "203.0.113.9:80".parse().unwrap());
    let (mut out, none) = (Vec::new(), params(AnnounceEvent::None));
    client.announce(1, to, none, Vec::new(), secs(0), &mut rng, &mut out);
    assert!(client.asks_at(to) && !client.asks_at(real));
    let Some(UdpRequest::Connect { transaction }) = UdpRequest::decode(&out.pop().unwrap().1)
    else {
        panic!("no connect");
    };
    let reply = |number: u32| [[0; 4], number.to_be_bytes(), [0; 4], 42u32.to_be_bytes()].concat();
    client.datagram(real, &reply(transaction ^ 1), secs(1), &mut rng, &mut out);
    assert!(out.is_empty(), "the number must match");
    client.datagram(real, &reply(transaction), secs(1), &mut rng, &mut out);
    let (again, sent) = out.pop().unwrap();
    let sent = UdpRequest::decode(&sent);
    assert!(matches!(sent, Some(UdpRequest::Announce { connection: 42, .. })) && again == to);
}
