//! Web seeds: servers that have the files of a torrent (BEP 19), honest and otherwise.

use eddyline::base::addr::Scope;
use eddyline::trace::{Replayer, Trace};
use eddyline::{
    AddTorrent, Command, Notice, RateLimits, TorrentCommand, WebSeedState, WebSeedView,
};
use eddyline_sim::{Content, Manners, NodeId, WebServer, World};

const HOST: &str = "http://web.example/";

fn one_file() -> Content {
    Content::new("file", 20_000_000, 262_144)
}

fn many_files() -> Content {
    let lengths = [700_000, 1, 300_001, 0, 16_384, 5_000_000, 12, 40_000, 2_000_000];
    Content::with_files("folder", &lengths, 65_536, &[])
}

/// A world in which a node fetches a torrent from these servers, and nobody else.
fn world(content: &Content, servers: &[(&str, WebServer)]) -> (World, NodeId) {
    let mut world = World::new(1);
    let node = world.add_node();
    for (base, server) in servers {
        world.web.servers.insert((*base).to_owned(), server.clone());
    }
    let bases: Vec<String> = servers.iter().map(|(base, _)| (*base).to_owned()).collect();
    add(&mut world, node, content, &bases, &[]);
    (world, node)
}

/// Adds a torrent that names these web seeds, and these that the user names.
fn add(world: &mut World, node: NodeId, content: &Content, seeds: &[String], mirrors: &[String]) {
    world.know(content);
    let mut add = AddTorrent::new(content.naming_web_seeds(seeds).metainfo);
    add.mirrors = mirrors.to_vec();
    add.overwrite = true;
    world.command(node, Command::Add(Box::new(add)));
}

fn seeds(world: &World, node: NodeId) -> Vec<WebSeedView> {
    let node = world.node(node);
    node.engine.web_seeds(node.torrents()[0])
}

fn wasted(world: &World, node: NodeId) -> u64 {
    let node = world.node(node);
    node.engine.torrent(node.torrents()[0]).expect("there").wasted
}

#[test]
fn a_torrent_is_fetched_from_a_web_seed_with_no_peer_at_all() {
    for content in [one_file(), many_files()] {
        let (mut world, node) = world(&content, &[(HOST, WebServer::new(&content))]);
        assert!(world.run_until(60, |world| world.is_complete(node)));
        let server = &world.web.servers[HOST];
        // Whole runs: few requests, and every byte once.
        assert_eq!(server.sent, content.metainfo.layout().payload_length());
        assert!(server.asked.len() < 30, "{} requests", server.asked.len());
        assert_eq!(wasted(&world, node), 0);
        assert!(server.most_open >= 2, "more is asked at once as it gets faster");
    }
}

#[test]
fn a_server_and_peers_bring_what_they_can_together() {
    let content = one_file();
    let mut world = World::new(2);
    let (seed, node) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    let server = WebServer::new(&content).at_rate(2_000_000);
    world.web.servers.insert(HOST.to_owned(), server);
    let peers = vec![world.node(seed).addr];
    let limits = RateLimits { down: Some(6_000_000), up: None };
    add(&mut world, node, &content, &[HOST.to_owned()], &[]);
    world.run(1);
    let id = world.node(node).torrents()[0];
    let source = eddyline::PeerSource::User;
    world.command(node, TorrentCommand::AddPeers { peers, source }.of(id));
    world.command(node, TorrentCommand::SetLimits(limits).of(id));
    assert!(world.run_until(60, |world| world.is_complete(node)));
    let sent = world.web.servers[HOST].sent;
    assert!(sent > 2_000_000 && sent < 18_000_000, "the web seed brought {sent}");
}

#[test]
fn two_servers_of_different_speed_and_a_peer_bring_the_sum_of_their_rates() {
    let content = Content::new("file", 120_000_000, 262_144);
    let mut world = World::new(13);
    let (seed, node) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(2_000_000);
    world.seed(seed, &content);
    let (fast, slow) = (HOST, "http://slow.example/");
    for (base, rate) in [(fast, 6_000_000), (slow, 2_000_000)] {
        world.web.servers.insert(base.to_owned(), WebServer::new(&content).with_line(rate));
    }
    let named = content.naming_web_seeds(&[fast.to_owned(), slow.to_owned()]);
    let mut torrent = AddTorrent::new(named.metainfo.clone());
    torrent.peers = vec![world.node(seed).addr];
    world.know(&content);
    // The seed has looked through what it has.
    world.run(30);
    world.command(node, Command::Add(Box::new(torrent)));
    world.run(4);
    let downloaded = |world: &World| {
        let node = world.node(node);
        node.engine.torrent(node.torrents()[0]).expect("there").downloaded
    };
    let before = downloaded(&world);
    world.run(6);
    let rate = (downloaded(&world) - before) / 6;
    assert!((9_500_000..=10_500_000).contains(&rate), "{rate} bytes a second");
    assert!(world.run_until(20, |world| world.is_complete(node)));
    // At the end an idle one is asked for what a slower one was asked for.
    assert!(wasted(&world, node) < 2_400_000, "{}", wasted(&world, node));
}

#[test]
fn a_limit_holds_for_web_seeds_as_for_peers() {
    let content = Content::new("file", 4_000_000, 262_144);
    let mut world = World::new(3);
    let node = world.add_node();
    world.web.servers.insert(HOST.to_owned(), WebServer::new(&content));
    world.command(node, Command::SetLimits(RateLimits { down: Some(200_000), up: None }));
    add(&mut world, node, &content, &[HOST.to_owned()], &[]);
    assert!(!world.run_until(18, |world| world.is_complete(node)));
    assert!(world.run_until(6, |world| world.is_complete(node)));
}

#[test]
fn who_lies_is_given_up_when_the_bad_block_is_pinned_on_it() {
    let content = one_file();
    let (liar, honest) = ("http://liar.example/", HOST);
    let servers =
        [(liar, WebServer::new(&content).with(Manners::Lying)), (honest, WebServer::new(&content))];
    let (mut world, node) = world(&content, &servers);
    assert!(world.run_until(120, |world| world.is_complete(node)));
    let views = seeds(&world, node);
    let of = |url: &str| views.iter().find(|view| view.url == url).expect("known");
    assert_eq!(of(liar).state, WebSeedState::GivenUp);
    assert_eq!(of(liar).message.as_deref(), Some("the server sends bad data"));
    assert_ne!(of(honest).state, WebSeedState::GivenUp);
    let told = |notice: &Notice| matches!(notice, Notice::WebSeed(_, seed) if seed.url == liar);
    assert!(world.node(node).notices.iter().any(told));
}

#[test]
fn a_liar_among_peers_is_found_and_no_honest_peer_is_banned() {
    let content = one_file();
    let mut world = World::new(4);
    let (seed, node) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    let server = WebServer::new(&content).with(Manners::Lying).at_rate(500_000);
    world.web.servers.insert(HOST.to_owned(), server);
    add(&mut world, node, &content, &[HOST.to_owned()], &[]);
    world.run(1);
    let (id, peers) = (world.node(node).torrents()[0], vec![world.node(seed).addr]);
    let source = eddyline::PeerSource::User;
    world.command(node, TorrentCommand::AddPeers { peers, source }.of(id));
    assert!(world.run_until(120, |world| world.is_complete(node)));
    assert_eq!(seeds(&world, node)[0].state, WebSeedState::GivenUp);
    let banned = |notice: &Notice| matches!(notice, Notice::PeerBanned(..));
    assert!(!world.node(node).notices.iter().any(banned));
}

#[test]
fn dead_and_odd_servers_do_not_slow_a_good_one() {
    let content = one_file();
    let alone = {
        let (mut world, node) = world(&content, &[(HOST, WebServer::new(&content))]);
        assert!(world.run_until(60, |world| world.is_complete(node)));
        world.now()
    };
    let names: Vec<String> = (0..40).map(|n| format!("http://odd{n}.example/")).collect();
    let manners = [
        Manners::Silent,
        Manners::Stuck,
        Manners::Status(500),
        Manners::Status(404),
        Manners::WrongRange,
        Manners::Endless,
        Manners::Busy(9, 30),
        Manners::CutShort(100),
    ];
    let mut servers: Vec<(&str, WebServer)> = Vec::new();
    for (name, manners) in names.iter().zip(manners.iter().cycle()) {
        servers.push((name, WebServer::new(&content).with(manners.clone())));
    }
    servers.push((HOST, WebServer::new(&content)));
    let (mut world, node) = world(&content, &servers);
    assert!(world.run_until(60, |world| world.is_complete(node)));
    let (took, alone) = (world.now().as_millis() - 1000, alone.as_millis() - 1000);
    assert!(took <= 2 * alone + 15_000, "{took} ms, and {alone} ms alone");
}

#[test]
fn what_is_cut_short_is_fetched_in_parts() {
    let content = Content::new("file", 3_000_000, 65_536);
    let server = WebServer::new(&content).with(Manners::CutShort(200_000));
    let (mut world, node) = world(&content, &[(HOST, server)]);
    assert!(world.run_until(60, |world| world.is_complete(node)));
    assert_eq!(world.web.servers[HOST].sent, 3_000_000);
}

#[test]
fn a_server_that_knows_no_ranges_sends_no_more_than_twice_what_is_taken() {
    for content in [Content::new("file", 3_000_000, 65_536), many_files()] {
        let server = WebServer::new(&content).with(Manners::NoRanges);
        let (mut world, node) = world(&content, &[(HOST, server)]);
        world.run_until(200, |world| world.is_complete(node));
        let sent = world.web.servers[HOST].sent;
        let view = world.node(node).engine.torrent(world.node(node).torrents()[0]).unwrap();
        assert!(view.done > 0 && sent <= 2 * view.done + 600_000, "{sent} for {}", view.done);
    }
}

#[test]
fn a_file_that_one_server_lacks_comes_from_another() {
    let content = many_files();
    let servers = [
        (HOST, WebServer::new(&content).with(Manners::Lacks(5))),
        ("http://other.example/", WebServer::new(&content).with(Manners::Lacks(0))),
    ];
    let (mut world, node) = world(&content, &servers);
    assert!(world.run_until(120, |world| world.is_complete(node)));
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let content = Content::new("file", 1_000_000, 65_536);
    let server = WebServer::new(&content).with(Manners::Busy(1, 40));
    let (mut world, node) = world(&content, &[(HOST, server)]);
    assert!(!world.run_until(39, |world| world.is_complete(node)));
    assert!(world.run_until(5, |world| world.is_complete(node)));
}

#[test]
fn no_torrent_and_no_redirect_leads_into_a_private_network_and_the_user_may_go_there() {
    let content = Content::new("file", 1_000_000, 65_536);
    let near = "http://near.example/";
    let mut local = WebServer::new(&content);
    local.scope = Scope::Local;
    let to_near = WebServer::new(&content).with(Manners::Moved("http://near.example".into()));
    let (mut world, node) = world(&content, &[(near, local.clone()), (HOST, to_near)]);
    world.run(120);
    assert!(!world.is_complete(node));
    assert!(world.web.servers[near].asked.is_empty());
    let mut world = World::new(7);
    let node = world.add_node();
    world.web.servers.insert(near.to_owned(), local);
    add(&mut world, node, &content, &[], &[near.to_owned()]);
    assert!(world.run_until(60, |world| world.is_complete(node)));
}

#[test]
fn a_torrent_is_fetched_from_a_server_of_pieces_whatever_files_they_are_of() {
    for content in [Content::new("file", 3_000_000, 262_144), many_files()] {
        let mut world = World::new(11);
        let node = world.add_node();
        let base = "http://pieces.example/seed.php?key=1";
        world.web.servers.insert(base.to_owned(), WebServer::new(&content).of_pieces());
        let named = content.naming_http_seeds(&[base.to_owned()]);
        world.know(&named);
        world.command(node, Command::Add(Box::new(AddTorrent::new(named.metainfo.clone()))));
        assert!(world.run_until(120, |world| world.is_complete(node)));
        let server = &world.web.servers[base];
        let pieces = content.metainfo.geometry().pieces() as usize;
        assert_eq!(server.sent, content.bytes.len() as u64);
        assert!(server.asked.len() <= 2 * pieces, "{} for {pieces}", server.asked.len());
        assert_eq!(wasted(&world, node), 0);
    }
}

#[test]
fn a_server_of_pieces_that_sends_something_else_is_left_alone() {
    let content = Content::new("file", 1_000_000, 65_536);
    for manners in [Manners::NoRanges, Manners::Lying, Manners::Endless, Manners::Status(206)] {
        let mut world = World::new(12);
        let (seed, node) = (world.add_node(), world.add_node());
        world.seed(seed, &content);
        let server = WebServer::new(&content).of_pieces().with(manners.clone());
        world.web.servers.insert(HOST.to_owned(), server);
        let named = content.naming_http_seeds(&[HOST.to_owned()]);
        world.know(&named);
        let mut torrent = AddTorrent::new(named.metainfo.clone());
        torrent.peers = vec![world.node(seed).addr];
        world.command(node, Command::Add(Box::new(torrent)));
        assert!(world.run_until(60, |world| world.is_complete(node)), "{manners:?}");
    }
}

#[test]
fn a_server_that_leads_into_a_private_network_is_given_up_and_that_is_told_once() {
    let content = Content::new("file", 1_000_000, 65_536);
    let mut local = WebServer::new(&content);
    local.scope = Scope::Local;
    let (mut world, node) = world(&content, &[(HOST, local)]);
    world.run(3600);
    assert_eq!(seeds(&world, node)[0].state, WebSeedState::GivenUp);
    let told = |notice: &&Notice| matches!(notice, Notice::WebSeed(..));
    assert_eq!(world.node(node).notices.iter().filter(told).count(), 1);
}

#[test]
fn a_download_that_pauses_asks_web_seeds_for_nothing_and_goes_on_where_it_was() {
    let content = one_file();
    let (mut world, node) = world(&content, &[(HOST, WebServer::new(&content))]);
    world.run(2);
    let id = world.node(node).torrents()[0];
    world.command(node, TorrentCommand::Pause.of(id));
    world.run(1);
    assert_eq!(world.web.servers[HOST].open, 0);
    let sent = world.web.servers[HOST].sent;
    world.run(10);
    assert_eq!(world.web.servers[HOST].sent, sent);
    world.command(node, TorrentCommand::Resume.of(id));
    assert!(world.run_until(60, |world| world.is_complete(node)));
    assert!(world.web.servers[HOST].sent < 20_000_000 + 3_000_000);
}

#[test]
fn a_run_with_web_seeds_replays_and_its_trace_has_no_content() {
    let content = one_file();
    let mut world = World::new(9);
    let node = world.add_node();
    world.node_mut(node).record();
    world.web.servers.insert(HOST.to_owned(), WebServer::new(&content));
    add(&mut world, node, &content, &[HOST.to_owned()], &[]);
    assert!(world.run_until(60, |world| world.is_complete(node)));
    let digest = world.node(node).digest();
    let bytes = world.node_mut(node).trace();
    assert!(bytes.len() < 300_000, "{} bytes", bytes.len());
    let mut replayer = Replayer::new(Trace::parse(bytes).expect("whole")).expect("it begins");
    while let Some(repeated) = replayer.forward().expect("whole") {
        repeated.same().expect("it goes the same way");
    }
    assert_eq!(replayer.chain().value(), digest);
}

/// Requests that a host gets in ten minutes by a torrent of two thousand files that names it by sixteen URLs, or
/// sixteen servers that lead there.
fn requests_at_a_victim(manners: &Manners, led: bool) -> usize {
    const VICTIM: &str = "http://victim.example/";
    let content = Content::with_files("folder", &[100; 2000], 16_384, &[]);
    let victim = |n: u32| format!("{VICTIM}{n}/");
    let theirs = |n: u32| if led { format!("http://host{n}.example/") } else { victim(n) };
    let mut servers: Vec<(String, WebServer)> = Vec::new();
    for n in 0..16 {
        servers.push((victim(n), WebServer::new(&content).with(manners.clone())));
        if led {
            let to = Manners::Moved(victim(n));
            servers.push((theirs(n), WebServer::new(&content).with(to)));
        }
    }
    let mut world = World::new(7);
    let node = world.add_node();
    world.web.servers.extend(servers);
    let named: Vec<String> = (0..16).map(theirs).collect();
    add(&mut world, node, &content, &named, &[]);
    world.run(600);
    let of_victim = world.web.servers.iter().filter(|(base, _)| base.starts_with(VICTIM));
    of_victim.map(|(_, server)| server.asked.len()).sum()
}

#[test]
fn no_torrent_makes_us_flood_a_host_that_has_nothing_of_it() {
    let busy = Manners::Busy(u32::MAX, 0);
    for manners in [Manners::Status(404), Manners::Status(416), Manners::Status(500), busy] {
        for led in [false, true] {
            let count = requests_at_a_victim(&manners, led);
            assert!((8..=48).contains(&count), "{manners:?}, led {led}: {count} requests");
        }
    }
}

#[test]
fn a_server_of_many_small_files_that_lacks_some_is_asked_for_all_others() {
    let content = Content::with_files("folder", &[900; 3000], 1024, &[]);
    let server = WebServer::new(&content).with(Manners::Lacks(1));
    let (mut world, node) = world(&content, &[(HOST, server)]);
    world.run(120);
    let id = world.node(node).torrents()[0];
    let view = world.node(node).engine.torrent(id).expect("there");
    assert!(view.done >= content.bytes.len() as u64 - 3 * 1024, "{} bytes", view.done);
}

/// Addresses of servers that send a hundred bytes a second, put into a world.
fn drippers(world: &mut World, content: &Content, name: &str, count: usize) -> Vec<String> {
    let urls: Vec<String> = (0..count).map(|n| format!("http://{name}{n}.example/")).collect();
    for url in &urls {
        world.web.servers.insert(url.clone(), WebServer::new(content).at_rate(100));
    }
    urls
}

#[test]
fn servers_that_drip_keep_neither_a_mirror_nor_a_peer_from_bringing_all() {
    for count in [3, 16] {
        for peer in [false, true] {
            let content = Content::new("file", 8_000_000, 262_144);
            let mut world = World::new(5);
            let (seed, node) = (world.add_node(), world.add_node());
            let urls = drippers(&mut world, &content, "slow", count);
            let mirrors = if peer { vec![] } else { vec![HOST.to_owned()] };
            world.web.servers.insert(HOST.to_owned(), WebServer::new(&content));
            add(&mut world, node, &content, &urls, &mirrors);
            world.run(1);
            if peer {
                world.seed(seed, &content);
                let (id, peers) = (world.node(node).torrents()[0], vec![world.node(seed).addr]);
                let source = eddyline::PeerSource::User;
                world.command(node, TorrentCommand::AddPeers { peers, source }.of(id));
            }
            assert!(world.run_until(60, |world| world.is_complete(node)), "{count}, peer {peer}");
        }
    }
}

#[test]
fn torrents_whose_servers_drip_take_no_places_from_another() {
    let mut world = World::new(6);
    let node = world.add_node();
    for torrent in 0..6 {
        let content = Content::new(&format!("slow{torrent}"), 8_000_000, 262_144);
        let urls = drippers(&mut world, &content, &format!("slow{torrent}-"), 16);
        add(&mut world, node, &content, &urls, &[]);
    }
    let content = Content::new("honest", 8_000_000, 262_144);
    let server = WebServer::new(&content).with(Manners::Busy(1, 8));
    world.web.servers.insert(HOST.to_owned(), server);
    add(&mut world, node, &content, &[HOST.to_owned()], &[]);
    world.run(1);
    let id = *world.node(node).torrents().last().expect("added");
    let done = |world: &World| {
        let view = world.node(node).engine.torrent(id).expect("there");
        view.done == content.bytes.len() as u64
    };
    assert!(world.run_until(60, done));
}

/// How many of three thousand files come within three minutes from a server that has its ways.
fn files_that_come(manners: Manners, mirror: bool) -> u64 {
    let content = Content::with_files("folder", &[1000; 3000], 1000, &[]);
    let mut world = World::new(8);
    let node = world.add_node();
    world.web.servers.insert(HOST.to_owned(), WebServer::new(&content).with(manners));
    let own = [HOST.to_owned()];
    let (named, mirrors): (&[String], &[String]) = if mirror { (&[], &own) } else { (&own, &[]) };
    add(&mut world, node, &content, named, mirrors);
    world.run(180);
    let id = world.node(node).torrents()[0];
    world.node(node).engine.torrent(id).expect("there").done / 1000
}

#[test]
fn honest_servers_that_lack_files_or_are_busy_now_and_then_are_used() {
    for count in [3, 10] {
        let files = files_that_come(Manners::BusyEach(count), false);
        assert!(files > 60 * count as u64, "busy each {count}: {files} files");
    }
    for mirror in [false, true] {
        assert_eq!(files_that_come(Manners::LacksRange(1000, 1100), mirror), 2900);
    }
    // What the user names is not given up though it has one file of thirty.
    let few = files_that_come(Manners::LacksRange(100, 3000), true);
    assert!(few > 0, "{few} files");
}
