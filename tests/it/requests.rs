//! What strangers can make us ask of others: waits that they name, and requests that they cause.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use eddyline::base::addr::Scope;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::ExchangeId;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::metainfo::Magnet;
use eddyline::wire::Message;
use eddyline::{
    Action, AddTorrent, CheckDepth, Config, ConnectFailure, Engine, Event, HttpAction, HttpEvent,
    HttpFailure, HttpGet, PeerSource, StreamAction, StreamEvent, TorrentCommand, Wakeup,
};
use eddyline_sim::{Content, Puppet, Tracker, World};

const URL: &str = "http://tracker.example/announce";

/// How often a tracker that always gives this reply is asked within `seconds`.
fn asked(says: &[u8], seconds: u64) -> usize {
    let content = Content::tracked("x", 500_000, 16_384, &[URL]);
    let mut world = World::new(71);
    let tracker = Tracker { says: Some(says.to_vec()), ..Tracker::default() };
    world.trackers.insert(URL.into(), tracker);
    let node = world.add_node();
    world.leech(node, &content, &[]);
    world.run(seconds);
    world.trackers[URL].announces.len()
}

#[test]
fn a_tracker_that_names_no_wait_or_a_senseless_one_is_asked_now_and_then() {
    let replies: [&[u8]; 9] = [
        b"d14:failure reason1:x8:retry ini0ee",
        b"d14:failure reason1:x8:retry in1:0e",
        b"d14:failure reason1:x8:retry ini-5ee",
        b"d14:failure reason1:x8:retry in4:soone",
        b"d8:intervali0e5:peers0:e",
        b"d8:intervali-1e12:min intervali0e5:peers0:e",
        b"d8:interval1:012:min intervali-9e5:peers0:e",
        b"d12:min intervali0e5:peers0:e",
        b"<html>welcome</html>",
    ];
    for says in replies {
        // Over each address family.
        let (soon, hour) = (asked(says, 10), asked(says, 3600));
        let text = String::from_utf8_lossy(says);
        assert!((1..=2).contains(&soon), "{text}: {soon} times in ten seconds");
        assert!(hour <= 2 * 121, "{text}: {hour} times in an hour");
    }
}

#[test]
fn a_flood_of_port_messages_leaves_the_dht_its_queries() {
    let content = Content::new("port", 500_000, 32_768);
    let mut world = World::new(72);
    world.trackerless = true;
    let node = world.add_node();
    world.seed(node, &content);
    world.run(20);
    let asked = |world: &World| world.node(node).engine.dht_node(false).unwrap().queries_sent();
    let before = asked(&world);
    for _ in 0..5 {
        let flood = (1..2000).map(Message::Port).collect();
        world.connect_script(node, Puppet::new(&content, b'P').opening(flood).boxed());
        world.run(2);
    }
    let caused = asked(&world) - before;
    assert!((1..10).contains(&caused), "ten thousand messages caused {caused} queries");
}

/// An engine by itself, whose every request is seen and answered as the test says.
struct Alone {
    engine: Engine,
    now: Instant,
    events: Vec<Event>,
    /// What was asked by HTTP.
    asked: Vec<HttpGet>,
    /// By which exchanges.
    ids: Vec<ExchangeId>,
    /// Whom it connected to.
    called: Vec<SocketAddr>,
    /// Names that were looked up.
    names: Vec<String>,
    /// What web servers say: events without their exchange.
    server: fn(&HttpGet) -> Vec<HttpEvent>,
}

impl Alone {
    fn new(server: fn(&HttpGet) -> Vec<HttpEvent>) -> Self {
        let config = Config { dht: false, lsd: false, ipv6: false, ..Config::default() };
        let now = Instant::from_millis(1_000_000);
        Self {
            engine: Engine::new(config, Seed::from_u64(73), now),
            now,
            events: Vec::new(),
            asked: Vec::new(),
            ids: Vec::new(),
            called: Vec::new(),
            names: Vec::new(),
            server,
        }
    }

    /// Adds a magnet with these trackers, and with those that the user names.
    fn add(&mut self, number: u8, trackers: Vec<String>, users: &[&str]) {
        let v1 = Some(Sha1Hash([number; 20]));
        let mut add = AddTorrent::new(Magnet { v1, trackers, ..Magnet::default() });
        add.trackers = users.iter().map(ToString::to_string).collect();
        self.events.push(add.into());
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            let mut actions = Vec::new();
            let events = std::mem::take(&mut self.events);
            let wakeup = self.engine.step(self.now, events, &mut actions);
            self.engine.check_invariants(CheckDepth::Fast).unwrap();
            actions.into_iter().for_each(|action| self.perform(action));
            let soon = self.now + Duration::from_millis(50);
            self.now = match wakeup {
                Wakeup::At { deadline, .. } if self.events.is_empty() => {
                    deadline.max(soon).min(end)
                }
                Wakeup::OnEvent if self.events.is_empty() => end,
                _ => soon,
            };
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Http(id, HttpAction::Get(get)) => {
                let said = (self.server)(&get);
                self.events.extend(said.into_iter().map(|event| Event::Http(id, event)));
                self.asked.push(*get);
                self.ids.push(id);
            }
            Action::Stream(conn, StreamAction::Connect { remote }) => {
                self.called.push(remote);
                let failed = StreamEvent::ConnectFailed(ConnectFailure::Refused);
                self.events.push(Event::Stream(conn, failed));
            }
            Action::Resolve(id, name) => {
                self.names.push(name);
                let nowhere = Err(eddyline::LookupError::NotFound);
                self.events.push(Event::Resolved(id, nowhere));
            }
            _ => {}
        }
    }
}

fn reply(status: u16, scope: Scope, location: Option<&str>, body: &[u8]) -> Vec<HttpEvent> {
    let location = location.map(ToString::to_string);
    let body = HttpEvent::Body(body.to_vec().into());
    vec![HttpEvent::Head { status, location, scope }, body, HttpEvent::Finished]
}

fn no_tracker(_: &HttpGet) -> Vec<HttpEvent> {
    reply(404, Scope::Public, None, b"<html>")
}

#[test]
fn a_web_server_that_many_torrents_name_as_their_tracker_is_left_alone() {
    let dead: fn(&HttpGet) -> Vec<HttpEvent> = |_| vec![HttpEvent::Failed(HttpFailure::Connect)];
    for server in [no_tracker, dead] {
        let mut alone = Alone::new(server);
        for torrent in 0..100 {
            // Whatever port, path, query and user name: it is one host.
            let url = |n: u32| format!("http://u{n}@victim.example:{}/{n}?{torrent}", 80 + n % 7);
            alone.add(torrent, (0..100).map(url).collect(), &[]);
        }
        alone.run(60);
        let (soon, ()) = (alone.asked.len(), alone.run(3540));
        let hour = alone.asked.len();
        assert!((1..=16).contains(&soon), "asked {soon} times in a minute");
        assert!(hour <= 30, "asked {hour} times in an hour");
    }
}

#[test]
fn thousands_of_names_that_are_no_trackers_have_one_budget() {
    let mut alone = Alone::new(no_tracker);
    for torrent in 0..100 {
        let url = |n: u32| format!("http://h{torrent}x{n}.example/announce");
        alone.add(torrent, (0..400).map(url).collect(), &[]);
    }
    alone.run(60);
    assert!((200..400).contains(&alone.asked.len()), "asked {} times", alone.asked.len());
}

#[test]
fn a_redirect_cannot_send_us_to_somebody_again_and_again() {
    let mut alone = Alone::new(|get| match get.url.contains("victim") {
        true => no_tracker(get),
        false => reply(302, Scope::Public, Some("http://victim.example/"), b""),
    });
    for torrent in 0..200 {
        let urls = vec![format!("http://evil{torrent}.example/announce")];
        alone.add(torrent, urls, &[]);
    }
    alone.run(600);
    let victim = alone.asked.iter().filter(|get| get.url.contains("victim")).count();
    assert!((1..=20).contains(&victim), "the victim was asked {victim} times");
}

#[test]
fn a_tracker_that_works_is_asked_for_all_torrents_soon() {
    let mut alone = Alone::new(|_| reply(200, Scope::Public, None, b"d8:intervali1800e5:peers0:e"));
    for torrent in 0..250 {
        alone.add(torrent, vec!["http://tracker.example/announce".into()], &[]);
    }
    alone.run(60);
    let announces = alone.asked.iter().filter(|get| get.url.contains("/announce")).count();
    assert_eq!(announces, 250);
}

#[test]
fn what_a_stranger_names_as_tracker_is_near_us_only_if_it_looks_like_one() {
    let mut alone = Alone::new(no_tracker);
    let urls =
        ["http://a.example/announce", "http://b.example/reboot", "http://c.example/announce?x"];
    alone.add(1, urls.map(String::from).into(), &["http://d.example/mine?key"]);
    alone.run(5);
    let nearest = |host: &str| alone.asked.iter().find(|get| get.url.contains(host)).unwrap().only;
    assert_eq!((nearest("a.example"), nearest("d.example")), (None, None));
    let public = Some(Scope::Public);
    assert_eq!((nearest("b.example"), nearest("c.example")), (public, public));
    // Nor does a redirect lead nearer than it comes from.
    for (scope, to, expected) in [
        (Scope::Loopback, "http://r.example/announce", None),
        (Scope::Loopback, "http://r.example/announce?then=this", None),
        (Scope::Loopback, "http://r.example/reboot?now", Some(Scope::Public)),
        (Scope::Loopback, "http://r.example/x?y=/announce", Some(Scope::Public)),
        (Scope::Local, "http://r.example/announce", Some(Scope::Local)),
        (Scope::Public, "http://r.example/announce", Some(Scope::Public)),
    ] {
        let mut alone = Alone::new(no_tracker);
        alone.add(1, vec!["http://a.example/announce".into()], &[]);
        alone.server = |_| Vec::new();
        alone.run(1);
        let id = alone.ids[0];
        let said = reply(302, scope, Some(to), b"");
        alone.events.extend(said.into_iter().map(|event| Event::Http(id, event)));
        alone.run(1);
        assert_eq!(alone.asked[1].only, expected, "{scope:?} to {to}");
    }
}

#[test]
fn peers_of_our_own_network_are_named_only_from_there() {
    // Public, private, loopback.
    const NAMED: &[u8] =
        b"\xcb\x00\x71\x07\x1a\xe1\xc0\xa8\x01\x01\x1a\xe1\x7f\x00\x00\x01\x1a\xe1";
    for (scope, expected) in [(Scope::Public, 1), (Scope::Local, 2), (Scope::Loopback, 3)] {
        let mut alone = Alone::new(|_| Vec::new());
        alone.add(1, vec!["http://a.example/announce".into()], &[]);
        alone.run(1);
        let body = [b"d8:intervali1800e5:peers18:".as_slice(), NAMED, b"e"].concat();
        let id = alone.ids[0];
        let said = reply(200, scope, None, &body);
        alone.events.extend(said.into_iter().map(|event| Event::Http(id, event)));
        alone.run(2);
        let called: std::collections::BTreeSet<_> = alone.called.iter().collect();
        assert_eq!(called.len(), expected, "{scope:?}: {called:?}");
    }
}

#[test]
fn an_address_that_is_named_as_thousands_of_peers_is_called_now_and_then() {
    let mut alone = Alone::new(no_tracker);
    alone.add(1, Vec::new(), &[]);
    alone.run(1);
    let torrent = alone.engine.torrents().next().unwrap();
    let ip = IpAddr::from([203, 0, 113, 7]);
    let peers = (1..2000).map(|port| SocketAddr::new(ip, port)).collect();
    let add = TorrentCommand::AddPeers { peers, source: PeerSource::Tracker };
    alone.events.push(add.of(torrent).into());
    alone.run(600);
    let called = alone.called.len();
    assert!((8..=60).contains(&called), "called {called} times in ten minutes");
}

#[test]
fn names_of_peers_do_not_fill_the_resolver() {
    let mut alone = Alone::new(|_| {
        let peer = |n: u32| format!("d2:ip13:h{n:04}.example4:porti6881ee");
        let peers: String = (0..1000).map(peer).collect();
        let body = format!("d8:intervali30e5:peersl{peers}ee");
        reply(200, Scope::Public, None, body.as_bytes())
    });
    alone.add(1, vec!["http://a.example/announce".into()], &[]);
    alone.run(600);
    let names = alone.names.len();
    assert!((1..=100).contains(&names), "{names} names looked up");
}

#[test]
fn thousands_of_addresses_in_one_reply_of_a_tracker_are_called_little_by_little() {
    let server: fn(&HttpGet) -> Vec<HttpEvent> = |_| {
        let mut body = b"d8:intervali86400e5:peers12000:".to_vec();
        for n in 0..2000u16 {
            let [high, low] = n.to_be_bytes();
            body.extend([50 + high, low, 7, 9, 26, 225]);
        }
        body.push(b'e');
        reply(200, Scope::Public, None, &body)
    };
    let mut alone = Alone::new(server);
    alone.add(1, vec!["http://tracker.example/announce".into()], &[]);
    alone.run(60);
    let (soon, ()) = (alone.called.len(), alone.run(3540));
    let hour = alone.called.len();
    assert!((100..=125).contains(&soon), "called {soon} in a minute");
    assert!((900..=1305).contains(&hour), "called {hour} in an hour");
}
