//! Unit tests of announces, without an engine.

use alloc::format;
use alloc::vec;

use super::super::UdpRequest;
use super::super::tests::params;
use super::*;
use crate::api::{HttpEvent, HttpFailure};
use crate::base::rng::Seed;

const TORRENT: TorrentId = TorrentId::from_u64(1);

/// The machine, and what others would lend to it.
struct Bench {
    client: TrackerClient,
    rng: Rng,
    http: [bool; 2],
    second: u64,
}

impl Bench {
    fn new() -> Self {
        let rng = Seed([1; 32]).stream("trackers");
        Self { client: TrackerClient::default(), rng, http: [true, false], second: 0 }
    }

    fn now(&self) -> Instant {
        Instant::from_millis(1_000_000 + self.second * 1000)
    }

    fn asks<T>(
        &mut self,
        asks: impl FnOnce(&mut TrackerClient, &mut Around, &mut Vec<Output>) -> T,
    ) -> (T, Vec<Output>) {
        let now = self.now();
        let url = |_, at: TrackerRef| Some(format!("http://t{}.example/announce", at.0));
        let (http, rng, mut out) = (self.http, &mut self.rng, Vec::new());
        let mut around = Around { now, http, udp: [true, false], rng, url: &url };
        (asks(&mut self.client, &mut around, &mut out), out)
    }

    fn wants(&mut self, tracker: u32, url: &str, event: AnnounceEvent) -> Vec<Output> {
        let (tracker, url) = (TrackerRef(tracker), url.to_string());
        let order = Order { tracker, url, event, tracker_id: None, trusted: false };
        self.asks(|client, around, out| {
            client.wanted(TORRENT, &order, params(event), around, out);
        })
        .1
    }

    /// An exchange ends with this.
    fn replies(&mut self, id: ExchangeId, status: u16, body: &[u8]) -> Vec<Output> {
        self.redirects(id, status, None, body)
    }

    fn redirects(
        &mut self,
        id: ExchangeId,
        status: u16,
        location: Option<&str>,
        body: &[u8],
    ) -> Vec<Output> {
        let location = location.map(ToString::to_string);
        let head = HttpEvent::Head { status, location, scope: Scope::Public };
        let body = HttpEvent::Body(body.to_vec().into());
        let mut all = Vec::new();
        for event in [head, body, HttpEvent::Finished] {
            let (known, out) = self.asks(|client, around, out| client.http(id, event, around, out));
            assert!(known);
            all.extend(out);
        }
        all
    }

    fn fails(&mut self, id: ExchangeId, why: HttpFailure) -> Vec<Output> {
        self.asks(|client, around, out| client.http(id, HttpEvent::Failed(why), around, out)).1
    }
}

/// The exchanges that are to be made, and their URLs.
fn gets(out: &[Output]) -> Vec<(ExchangeId, String)> {
    let get = |output: &Output| match output {
        Output::Get(id, get) => Some((*id, get.url.clone())),
        _ => None,
    };
    out.iter().filter_map(get).collect()
}

fn failures(out: &[Output]) -> Vec<&str> {
    out.iter()
        .filter_map(|output| match output {
            Output::Failed { failure, .. } => Some(failure.message.as_str()),
            _ => None,
        })
        .collect()
}

fn answers(out: &[Output]) -> Vec<(TrackerRef, usize)> {
    let answer = |output: &Output| match output {
        Output::Answered { tracker, peers, .. } => Some((*tracker, peers.len())),
        _ => None,
    };
    out.iter().filter_map(answer).collect()
}

const REPLY: &[u8] = b"d8:completei1e8:intervali900e5:peers6:\x0a\x00\x00\x01\x1a\xe1e";
const PUBLIC: &[u8] = b"d8:completei1e8:intervali900e5:peers6:\x14\x00\x00\x01\x1a\xe1e";

#[test]
fn several_trackers_of_a_torrent_are_asked_at_once_and_each_answer_is_told_by_itself() {
    let mut bench = Bench::new();
    let mut asked = Vec::new();
    for tracker in 0..3 {
        let url = format!("http://t{tracker}.example/announce");
        asked.extend(gets(&bench.wants(tracker, &url, AnnounceEvent::Started)));
    }
    assert_eq!(asked.len(), 3);
    // In whatever order they come; an address in a private network is not for a tracker on the internet to name.
    assert_eq!(answers(&bench.replies(asked[2].0, 200, REPLY)), [(TrackerRef(2), 0)]);
    assert_eq!(failures(&bench.fails(asked[0].0, HttpFailure::TimedOut)).len(), 1);
    assert!(!bench.client.is_idle());
    assert_eq!(answers(&bench.replies(asked[1].0, 200, PUBLIC)), [(TrackerRef(1), 1)]);
    assert!(bench.client.is_idle());
    let (known, _) =
        bench.asks(|client, around, out| client.http(asked[1].0, HttpEvent::Finished, around, out));
    assert!(!known);
}

#[test]
fn an_answer_over_either_family_is_one_and_of_two_failures_the_one_that_came_farther_is_told() {
    let mut bench = Bench::new();
    bench.http = [true, true];
    let url = "http://t.example/announce";
    let legs = gets(&bench.wants(0, url, AnnounceEvent::Started));
    assert_eq!(legs.len(), 2);
    assert!(bench.fails(legs[0].0, HttpFailure::Connect).is_empty());
    assert_eq!(answers(&bench.replies(legs[1].0, 200, PUBLIC)), [(TrackerRef(0), 1)]);
    let legs = gets(&bench.wants(0, url, AnnounceEvent::None));
    assert!(bench.replies(legs[0].0, 503, b"").is_empty());
    let last = bench.fails(legs[1].0, HttpFailure::Lookup);
    assert_eq!(failures(&last), ["HTTP status 503"]);
}

#[test]
fn a_host_that_failed_puts_its_announces_off_and_the_user_can_insist() {
    let mut bench = Bench::new();
    let url = "http://t.example/announce";
    let first = gets(&bench.wants(0, url, AnnounceEvent::Started));
    bench.fails(first[0].0, HttpFailure::TimedOut);
    bench.second = 1;
    match &bench.wants(0, url, AnnounceEvent::Started)[..] {
        [Output::PutOff { host, admission: Admission::Shunned(until), .. }] => {
            assert_eq!(host, "t.example");
            assert!(*until > bench.now());
        }
        other => panic!("{other:?}"),
    }
    bench.client.insisted(url);
    bench.second = 5;
    assert_eq!(gets(&bench.wants(0, url, AnnounceEvent::Started)).len(), 1);
}

#[test]
fn redirects_are_followed_five_times_and_only_to_where_http_is_spoken() {
    let mut bench = Bench::new();
    let url = "http://t.example/announce";
    let mut id = gets(&bench.wants(0, url, AnnounceEvent::Started))[0].0;
    for hop in 0..5 {
        let to = format!("http://hop{hop}.example/announce?next=http://x/");
        let out = bench.redirects(id, 302, Some(&to), b"");
        let next = gets(&out);
        assert_eq!(next[0].1, to, "byte for byte");
        id = next[0].0;
    }
    let out = bench.redirects(id, 302, Some("http://last.example/announce"), b"");
    assert_eq!(failures(&out), ["the tracker redirects to nowhere"]);
    bench.second = 3600;
    let id = gets(&bench.wants(0, "http://u.example/announce", AnnounceEvent::Started))[0].0;
    let out = bench.redirects(id, 302, Some("/b?next=http://x/"), b"");
    assert_eq!(failures(&out), ["the tracker redirects to nowhere"]);
}

#[test]
fn a_reply_without_counts_is_followed_by_a_scrape_and_names_of_peers_are_to_be_looked_up() {
    let mut bench = Bench::new();
    let url = "http://t0.example/announce";
    let first = gets(&bench.wants(0, url, AnnounceEvent::Started));
    let body = b"d8:intervali900e5:peersld2:ip9:p.example4:porti7eeee";
    let out = bench.replies(first[0].0, 200, body);
    let scrape = gets(&out);
    assert!(scrape[0].1.starts_with("http://t0.example/scrape?info_hash="), "{scrape:?}");
    assert!(out.iter().any(|output| matches!(output,
        Output::NamedPeer { host, port: 7, .. } if host == "p.example")));
    let hash = params(AnnounceEvent::None).info_hash;
    let reply = [b"d5:filesd20:", &hash.0[..], b"d8:completei5eeee"].concat();
    match &bench.replies(scrape[0].0, 200, &reply)[..] {
        [Output::Scraped { files, .. }] => assert_eq!(files[&hash].complete, Some(5)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_udp_tracker_is_looked_up_asked_and_heard_and_the_last_word_waits_for_no_name() {
    let mut bench = Bench::new();
    let url = "udp://t.example:6969/x";
    let host = match &bench.wants(0, url, AnnounceEvent::Started)[..] {
        [Output::LookUp(host)] => host.clone(),
        other => panic!("{other:?}"),
    };
    let ips = vec![IpAddr::from([20, 0, 0, 9])];
    let (_, out) = bench.asks(|client, around, out| client.resolved(host, ips, around, out));
    let to = SocketAddr::from(([20, 0, 0, 9], 6969));
    let sent = |out: &[Output]| match &out[..2] {
        [Output::Send(at, data), Output::Wake(_)] if *at == to => UdpRequest::decode(data).unwrap(),
        other => panic!("{other:?}"),
    };
    let UdpRequest::Connect { transaction } = sent(&out) else { panic!("{out:?}") };
    let hears = |bench: &mut Bench, transaction: u32, reply: (u32, &[u8])| {
        let head = [reply.0.to_be_bytes(), transaction.to_be_bytes()].concat();
        let data = [&head, reply.1].concat();
        bench.asks(|client, around, out| client.datagram(to, &data, around, out)).1
    };
    let out = hears(&mut bench, transaction, (0, &5u64.to_be_bytes()));
    let UdpRequest::Announce { transaction, connection: 5, .. } = sent(&out) else {
        panic!("{out:?}")
    };
    let reply = [&[0, 0, 3, 132][..], &[0; 8], &[20, 0, 0, 7, 26, 225]].concat();
    let out = hears(&mut bench, transaction, (1, &reply));
    assert_eq!(answers(&out), [(TrackerRef(0), 1)]);
    // What is known now suffices for the last announce; of a host that was never found there is none.
    let out = bench.wants(0, url, AnnounceEvent::Stopped);
    assert!(matches!(sent(&out), UdpRequest::Announce { .. }));
    let out = bench.wants(1, "udp://other.example:6969", AnnounceEvent::Stopped);
    assert_eq!(failures(&out), ["host not found"]);
}

#[test]
fn a_silent_udp_tracker_fails_when_it_was_asked_three_times() {
    let mut bench = Bench::new();
    let out = bench.wants(0, "udp://20.0.0.9:6969", AnnounceEvent::Started);
    assert!(matches!(out[..], [Output::Send(..), Output::Wake(_)]));
    let mut told = Vec::new();
    while told.is_empty() && bench.second < 60 {
        bench.second += 1;
        let (_, out) = bench.asks(TrackerClient::poll);
        told = failures(&out).into_iter().map(String::from).collect();
    }
    assert_eq!((told, bench.second), (vec![String::from("timed out")], 30));
}

/// What a UDP tracker named so wants, when all names lead to one address: whether a packet leaves.
fn announces_at(bench: &mut Bench, tracker: u32, ip: IpAddr) -> (usize, Option<Admission>) {
    let url = format!("udp://t{tracker}.example:{}", 1000 + tracker);
    let mut out = bench.wants(tracker, &url, AnnounceEvent::Started);
    while let Some(at) = out.iter().position(|output| matches!(output, Output::LookUp(_))) {
        let Output::LookUp(host) = out.swap_remove(at) else { break };
        out.extend(
            bench.asks(|client, around, out| client.resolved(host, vec![ip], around, out)).1,
        );
    }
    bench.client.check().unwrap();
    let sent = out.iter().filter(|output| matches!(output, Output::Send(..))).count();
    let put_off = out.iter().find_map(|output| match output {
        Output::PutOff { admission, .. } => Some(*admission),
        _ => None,
    });
    (sent, put_off)
}

/// Sends again what is due; how many packets left for there.
fn polled(bench: &mut Bench, ip: IpAddr) -> usize {
    let out = bench.asks(TrackerClient::poll).1;
    let there = |output: &&Output| matches!(output, Output::Send(to, _) if to.ip() == ip);
    out.iter().filter(there).count()
}

#[test]
fn names_that_lead_to_one_address_are_one_udp_tracker_and_keep_no_other_waiting() {
    let mut bench = Bench::new();
    let victim: IpAddr = "203.0.113.7".parse().unwrap();
    let mut due = vec![0u64; 256];
    let mut sent = 0;
    for second in 0..1800 {
        bench.second = second;
        for (name, due) in due.iter_mut().enumerate() {
            if *due > second {
                continue;
            }
            let (packets, put_off) = announces_at(&mut bench, name as u32, victim);
            sent += packets;
            *due = match put_off {
                Some(Admission::InLine(at) | Admission::Shunned(at)) => {
                    at.millis_since(Instant::from_millis(1_000_000)).div_ceil(1000)
                }
                // Under way: it fails at last, and comes again as soon as a torrent would.
                _ => second + 48,
            };
        }
        sent += polled(&mut bench, victim);
        if second % 60 == 30 {
            let other = 10_000 + second as u32;
            let ip = IpAddr::from([198, 18, (second / 60) as u8, 1]);
            assert_eq!(announces_at(&mut bench, other, ip).0, 1, "another is asked at once");
        }
    }
    // Four names at first, each three times, and then one name every few minutes at the most.
    assert!(sent < 50, "{sent} packets in half an hour to somebody who is no tracker");
}

#[test]
fn a_udp_tracker_with_many_names_is_asked_under_all_of_them_once_it_has_answered() {
    let mut bench = Bench::new();
    let ip: IpAddr = "203.0.113.7".parse().unwrap();
    let mut answered = 0;
    let mut due = vec![0u64; 60];
    for second in 0..60 {
        bench.second = second;
        for (name, due) in due.iter_mut().enumerate() {
            if *due > second {
                continue;
            }
            let url = format!("udp://t{name}.example:80");
            let mut out = bench.wants(name as u32, &url, AnnounceEvent::Started);
            *due = 1000;
            while let Some(output) = out.pop() {
                match output {
                    Output::LookUp(host) => out.extend(
                        bench.asks(|c, around, out| c.resolved(host, vec![ip], around, out)).1,
                    ),
                    Output::Send(to, data) => {
                        let reply = match UdpRequest::decode(&data) {
                            Some(UdpRequest::Connect { transaction }) => {
                                [[0; 4], transaction.to_be_bytes(), [0; 4], [7; 4]].concat()
                            }
                            Some(UdpRequest::Announce { transaction, .. }) => [
                                [0, 0, 0, 1],
                                transaction.to_be_bytes(),
                                1800u32.to_be_bytes(),
                                [0; 4],
                                [0; 4],
                            ]
                            .concat(),
                            _ => panic!("it makes no sense"),
                        };
                        let heard =
                            bench.asks(|c, around, out| c.datagram(to, &reply, around, out));
                        out.extend(heard.1);
                    }
                    Output::PutOff { admission: Admission::InLine(at), .. } => {
                        *due = at.millis_since(Instant::from_millis(1_000_000)).div_ceil(1000);
                    }
                    Output::Answered { .. } => answered += 1,
                    _ => {}
                }
            }
        }
    }
    assert_eq!(answered, 60);
    bench.client.check().unwrap();
}
