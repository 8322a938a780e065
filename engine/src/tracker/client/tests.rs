//! Unit tests of announces, without an engine.

use alloc::format;
use alloc::vec;

use super::super::UdpRequest;
use super::super::tests::params;
use super::*;
use crate::api::{HttpEvent, HttpFailure};
use crate::base::hash::Sha1Hash;
use crate::base::rng::Seed;

const TORRENT: TorrentId = TorrentId::from_u64(1);

/// The machine, and what others would lend to it.
struct Bench {
    client: TrackerClient,
    rng: Rng,
    http: [bool; 2],
    udp: [bool; 2],
    filter: Filter,
    second: u64,
}

impl Bench {
    fn new() -> Self {
        let rng = Seed([1; 32]).stream("trackers");
        let [http, udp] = [[true, false]; 2];
        let (client, filter) = (TrackerClient::default(), Filter::default());
        Self { client, rng, http, udp, filter, second: 0 }
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
        let (udp, waits) = (self.udp, &|_, _| true);
        let filter = &self.filter;
        let mut around = Around { now, http, udp, filter, rng, waits, url: &url };
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
        [Output::PutOff { admission: Admission::Shunned(until), .. }] => {
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
    assert_eq!(failures(&out), ["the tracker redirects too often"]);
    bench.second = 3600;
    let id = gets(&bench.wants(0, "http://u.example/announce", AnnounceEvent::Started))[0].0;
    let out = bench.redirects(id, 302, Some("/b?next=http://x/"), b"");
    assert_eq!(failures(&out), ["the tracker redirects to what is no web address"]);
}

#[test]
fn a_reply_without_counts_is_followed_by_a_scrape_and_names_of_peers_are_to_be_looked_up() {
    let mut bench = Bench::new();
    let url = "http://t0.example/announce";
    let first = gets(&bench.wants(0, url, AnnounceEvent::Started));
    let body = b"d8:intervali900e5:peersld2:ip9:p.example4:porti7eeee";
    let out = bench.replies(first[0].0, 200, body);
    assert!(gets(&out).is_empty(), "others may join");
    bench.second += 2;
    let scrape = gets(&bench.asks(TrackerClient::poll).1);
    assert!(scrape[0].1.starts_with("http://t0.example/scrape?info_hash="), "{scrape:?}");
    assert!(out.iter().any(|output| matches!(output,
        Output::NamedPeer { host, port: 7, .. } if host == "p.example")));
    let hash = params(AnnounceEvent::None).info_hash;
    let reply = [b"d5:filesd20:", &hash.0[..], b"d8:completei5eeee"].concat();
    match &bench.replies(scrape[0].0, 200, &reply)[..] {
        [Output::Scraped { counts, .. }] => assert_eq!(counts.complete, Some(5)),
        other => panic!("{other:?}"),
    }
}

/// As many torrents announce to one tracker, which does not tell the sizes of their swarms. Returns the scrapes.
fn many_announce(bench: &mut Bench, count: u8) -> Vec<(ExchangeId, String)> {
    let mut scrapes = Vec::new();
    for number in 0..count {
        let (tracker, url) = (TrackerRef(0), "http://t0.example/announce".to_string());
        let event = AnnounceEvent::None;
        let order = Order { tracker, url, event, tracker_id: None, trusted: false };
        let params = AnnounceParams { info_hash: Sha1Hash([number; 20]), ..params(event) };
        let torrent = TorrentId::from_u64(number.into());
        let wants = |client: &mut TrackerClient, around: &mut Around, out: &mut Vec<Output>| {
            client.wanted(torrent, &order, params, around, out);
        };
        let (_, out) = bench.asks(wants);
        let out = bench.replies(gets(&out)[0].0, 200, b"d8:intervali900e5:peers0:e");
        scrapes.extend(gets(&out));
    }
    bench.second += 2;
    scrapes.extend(gets(&bench.asks(TrackerClient::poll).1));
    scrapes
}

#[test]
fn many_torrents_at_one_tracker_are_counted_in_few_requests() {
    let mut bench = Bench::new();
    let scrapes = many_announce(&mut bench, 60);
    let asked: Vec<_> = scrapes.iter().map(|(_, url)| url.matches("info_hash=").count()).collect();
    assert_eq!(asked, [40, 20]);
    assert!(scrapes.iter().all(|(_, url)| url.len() < 4096));
    let mut reply = b"d5:filesd".to_vec();
    for number in 0..40u8 {
        reply.extend([b"20:", &[number; 20][..], b"d8:completei", &[b'0' + number % 10]].concat());
        reply.extend(b"eee".iter().take(2));
    }
    reply.extend(b"ee");
    let told = bench.replies(scrapes[0].0, 200, &reply);
    assert_eq!(told.len(), 40);
    for (number, output) in told.iter().enumerate() {
        let Output::Scraped { torrent, counts, .. } = output else { panic!("{output:?}") };
        assert_eq!(torrent.as_u64(), number as u64);
        assert_eq!(counts.complete, Some(number as u32 % 10));
    }
    bench.fails(scrapes[1].0, HttpFailure::TimedOut);
}

#[test]
fn a_tracker_that_counts_one_torrent_at_a_time_is_asked_for_each() {
    let mut bench = Bench::new();
    let scrapes = many_announce(&mut bench, 5);
    assert_eq!(scrapes.len(), 1);
    let one = [b"d5:filesd20:", &[2; 20][..], b"d8:completei5eeee"].concat();
    assert_eq!(bench.replies(scrapes[0].0, 200, &one).len(), 1);
    bench.second += 60;
    assert_eq!(many_announce(&mut bench, 5).len(), 5);
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
    let sent = |out: &[Output]| match out {
        [Output::Send(at, data)] if *at == to => UdpRequest::decode(data).unwrap(),
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
    assert!(matches!(out[..], [Output::Send(..)]));
    assert!(bench.client.next_deadline().is_some());
    let mut told = Vec::new();
    while told.is_empty() && bench.second < 60 {
        bench.second += 1;
        let (_, out) = bench.asks(TrackerClient::poll);
        told = failures(&out).into_iter().map(String::from).collect();
    }
    assert_eq!((told, bench.second), (vec![String::from("timed out")], 30));
}

/// Names of UDP trackers that all lead to one address, each wanted by a torrent whenever it may be.
struct Names {
    bench: Bench,
    /// When each is wanted next; `None` while it stands in line, or is asked.
    next: Vec<Option<Instant>>,
    /// Where the names lead.
    ips: Vec<IpAddr>,
    /// Whether a tracker is there, but for this address.
    answers: bool,
    silent: Option<IpAddr>,
    sent: usize,
    looked_up: usize,
    answered: usize,
    scrapes: usize,
    /// Look-ups in progress: they take a second.
    held: Vec<UdpHost>,
    url: fn(u32) -> String,
}

impl Names {
    fn new(count: usize, ips: &[&str], answers: bool) -> Self {
        let (bench, next) = (Bench::new(), vec![Some(Instant::ZERO); count]);
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Self {
            bench,
            next,
            ips,
            answers,
            silent: None,
            sent: 0,
            looked_up: 0,
            answered: 0,
            scrapes: 0,
            held: Vec::new(),
            url: |name| format!("udp://t{name}.example:{}", 1000 + name % 2),
        }
    }

    fn order(&self, tracker: TrackerRef) -> Order {
        let url = (self.url)(tracker.0);
        Order { tracker, url, event: AnnounceEvent::Started, tracker_id: None, trusted: false }
    }

    fn wants(&mut self, name: usize) {
        self.next[name] = None;
        let order = self.order(TrackerRef(name as u32));
        let out = self.bench.wants(name as u32, &order.url, order.event);
        self.follow(out);
    }

    fn follow(&mut self, out: Vec<Output>) {
        let mut todo: alloc::collections::VecDeque<_> = out.into();
        while let Some(output) = todo.pop_front() {
            let now = self.bench.now();
            match output {
                Output::LookUp(host) => {
                    self.looked_up += 1;
                    self.held.push(host);
                }
                Output::Turn { tracker, host, .. } => {
                    let (order, params) = (self.order(tracker), params(AnnounceEvent::Started));
                    let turn = |c: &mut TrackerClient, around: &mut Around, out: &mut Vec<_>| {
                        c.admitted(TORRENT, &order, params, host, around, out);
                    };
                    todo.extend(self.bench.asks(turn).1);
                }
                Output::Send(to, data) => {
                    self.sent += 1;
                    let answers = self.answers && self.silent != Some(to.ip());
                    if let Some(reply) = answers.then(|| self.reply(&data)).flatten() {
                        let hears =
                            |c: &mut TrackerClient, around: &mut Around, out: &mut Vec<_>| {
                                c.datagram(to, &reply, around, out);
                            };
                        todo.extend(self.bench.asks(hears).1);
                    }
                }
                Output::PutOff { tracker, admission: Admission::Shunned(until), .. } => {
                    self.next[tracker.0 as usize] = Some(until);
                }
                Output::Failed { tracker, .. } if tracker.0 < 1000 => {
                    self.next[tracker.0 as usize] = Some(now + core::time::Duration::from_secs(15));
                }
                Output::Answered { .. } => self.answered += 1,
                _ => {}
            }
        }
        self.bench.client.check().unwrap();
    }

    fn reply(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        let head = |action: u32, transaction: u32| {
            [action.to_be_bytes(), transaction.to_be_bytes()].concat()
        };
        match UdpRequest::decode(data)? {
            UdpRequest::Connect { transaction } => {
                Some([head(0, transaction), vec![7; 8]].concat())
            }
            UdpRequest::Announce { transaction, .. } => {
                Some([head(1, transaction), 1800u32.to_be_bytes().to_vec(), vec![0; 8]].concat())
            }
            UdpRequest::Scrape { .. } => {
                self.scrapes += 1;
                None
            }
        }
    }

    /// Runs until that second. Each minute `each_minute` looks.
    fn run(&mut self, to: u64, each_minute: impl Fn(&mut Self)) {
        while self.bench.second < to {
            let mut held = core::mem::take(&mut self.held);
            for name in 0..self.next.len() {
                if self.next[name].is_some_and(|at| at <= self.bench.now()) {
                    self.wants(name);
                }
            }
            for host in core::mem::take(&mut held) {
                let ips = self.ips.clone();
                let out = self.bench.asks(|c, around, out| c.resolved(host, ips, around, out)).1;
                self.follow(out);
            }
            let out = self.bench.asks(TrackerClient::poll).1;
            self.follow(out);
            if self.bench.second % 60 == 30 {
                each_minute(self);
            }
            self.bench.second += 1;
        }
    }
}

#[test]
fn names_that_lead_to_one_address_are_one_udp_tracker_and_keep_no_other_waiting() {
    let mut names = Names::new(256, &["203.0.113.7"], false);
    names.run(1800, |names| {
        let url = format!("udp://198.18.{}.1:6969", names.bench.second / 60);
        let out = names.bench.wants(10_000, &url, AnnounceEvent::Started);
        assert!(matches!(out[..], [Output::Send(..)]), "another is asked at once: {out:?}");
    });
    // Those of the others, each of which is silent too, are not counted here. Four names at first, each three
    // times, and then one name every few minutes.
    let others = 30 * 2;
    assert!(names.sent < 60 + others, "{} packets in half an hour to no tracker", names.sent);
    assert!(names.looked_up < 300, "{} look-ups: once, and then who has its turn", names.looked_up);
}

#[test]
fn a_udp_tracker_with_many_names_is_asked_under_all_of_them_once_it_has_answered() {
    let mut names = Names::new(300, &["203.0.113.7"], true);
    // Until a name is looked up nobody knows whose it is: four in a second.
    names.run(90, |_| {});
    assert_eq!(names.answered, 300);
    assert_eq!(names.next.iter().flatten().count(), 0, "nobody was put off");
    // Two ports, and each torrent is one and the same here: few requests count them all.
    assert!((1..100).contains(&names.scrapes), "{} scrapes", names.scrapes);
}

#[test]
fn an_address_of_the_other_family_has_its_own_budget_whatever_stands_beside_it() {
    // Each name has an address of IPv4 of its own, at which nobody is, and all have one of IPv6.
    let mut bench = Bench::new();
    bench.udp = [true, true];
    let mut sent = 0;
    for number in 0..50 {
        let url = format!("udp://t{number}.example:6969");
        let out = bench.wants(number, &url, AnnounceEvent::Started);
        let [Output::LookUp(host)] = &out[..] else { panic!("{out:?}") };
        let ips = vec![IpAddr::from([20, 0, number as u8, 9]), "2a00::7".parse().unwrap()];
        let (_, out) = bench.asks(|client, around, out| {
            client.resolved(host.clone(), ips, around, out);
        });
        let to_v6 = |output: &&Output| matches!(output, Output::Send(to, _) if to.is_ipv6());
        assert!(out.iter().any(|output| matches!(output, Output::Send(to, _) if to.is_ipv4())));
        sent += out.iter().filter(to_v6).count();
        bench.client.check().unwrap();
    }
    // Several that ask for a connection id at one port send one packet; no more than these wait for it.
    assert_eq!(bench.client.udp.announces().filter(|(_, to)| to.is_ipv6()).count(), 4);
    assert_eq!(sent, 1);
}

#[test]
fn who_waits_for_the_name_of_a_udp_tracker_waits_at_its_address_once_that_is_known() {
    let mut names = Names::new(200, &["203.0.113.7"], false);
    names.url = |_| "udp://t.example:6969".to_string();
    names.run(1, |_| {});
    assert_eq!((names.held.len(), names.sent), (4, 0), "as many as a host is asked for at once");
    // Nobody is there: all who wait are told so when the first find out.
    names.run(40, |_| {});
    assert_eq!(names.next.iter().flatten().count(), 200);
    let host = "udp t.example";
    assert!(names.bench.client.is_back(host, names.bench.now()).is_err());
    names.bench.client.insisted("udp://t.example:6969");
    assert_eq!(names.bench.client.is_back(host, names.bench.now()), Ok(false));
    // A tracker comes: it is found, and everybody served as fast as by a tracker that was known all the time.
    names.answers = true;
    names.run(140, |_| {});
    assert_eq!(names.answered, 200);
    assert_eq!(names.bench.client.is_back(host, names.bench.now()), Ok(true));
}

#[test]
fn a_name_that_leads_elsewhere_now_is_asked_there_and_takes_nobody_along() {
    let mut names = Names::new(2, &["203.0.113.7"], false);
    names.run(40, |_| {});
    assert!(names.bench.client.is_back("udp t0.example", names.bench.now()).is_err());
    (names.ips, names.answers) = (vec![IpAddr::from([203, 0, 113, 8])], true);
    names.run(120, |_| {});
    assert_eq!(names.answered, 2);
    assert_eq!(names.bench.client.is_back("udp t0.example", names.bench.now()), Ok(true));
}

#[test]
fn a_udp_tracker_of_which_one_address_is_dead_is_asked_at_the_other() {
    let mut names = Names::new(40, &["203.0.113.7", "2a00::7"], true);
    (names.bench.udp, names.silent) = ([true, true], Some(names.ips[0]));
    names.url = |_| "udp://t.example:6969".to_string();
    names.run(40, |_| {});
    // The first ones wait for both. Then it is known which of them fails: one torrent asks whether it is back, and
    // the others need not wait for that.
    let before = names.answered;
    names.run(70, |_| {});
    assert_eq!(names.answered, 39);
    names.run(120, |_| {});
    assert!((1..40).contains(&before), "{before}");
    assert_eq!(names.answered, 40);
    assert_eq!(names.bench.client.is_back("udp t.example", names.bench.now()), Ok(true));
}
