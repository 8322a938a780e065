//! Traps that other clients fell into, each a scenario. `tests/TRAPS.md` lists all of them with
//! the tests that keep us out; the test below holds that list against the sources.

use std::collections::BTreeSet;
use std::path::Path;

use eddyline::wire::{BlockRequest, Message};
use eddyline::{CloseReason, Command, Config, Notice};
use eddyline_sim::{Content, PeerOptions, Tracker, World};

use eddyline_sim::Puppet;

fn content() -> Content {
    Content::new("traps", 1_000_000, 32_768)
}

fn closed_for(world: &World, node: usize) -> Vec<CloseReason> {
    let reason = |notice: &Notice| match notice {
        Notice::PeerClosed { reason, .. } => Some(*reason),
        _ => None,
    };
    world.node(node).notices.iter().filter_map(reason).collect()
}

/// The list of traps names tests that exist, and leaves no line without one or a reason.
#[test]
fn every_trap_on_the_list_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut tests = BTreeSet::new();
    let mut stack: Vec<_> = ["engine", "driver-mio", "tests/it", "tests/interop", "tests/src"]
        .map(|folder| root.join(folder))
        .into();
    while let Some(path) = stack.pop() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                stack.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let names = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
                tests.extend(names.map(str::to_owned));
            }
        }
    }
    let list = std::fs::read_to_string(root.join("tests/TRAPS.md")).unwrap();
    let rows = list.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let mut checked = 0;
    for row in rows.skip(1) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 2, "{row}");
        let named: Vec<_> = cells[1].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty() || cells[1].starts_with("later: "), "no test: {row}");
        for name in named {
            assert!(tests.contains(name), "{name} is no test: {row}");
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn late_rejects_are_tolerated_and_a_flood_of_rejects_is_misbehaviour() {
    let content = content();
    let reject = |n: u32| Message::Reject(BlockRequest { piece: n % 30, begin: 0, length: 16_384 });
    for (count, closed) in [(50, false), (200, true)] {
        let mut world = World::new(71);
        let leech = world.add_node();
        world.leech(leech, &content, &[]);
        world.run(1);
        let rejects = (0..count).map(reject).collect();
        world.connect_script(leech, Puppet::new(&content, b'R').opening(rejects).boxed());
        world.run(2);
        let misbehaved = closed_for(&world, leech).contains(&CloseReason::Misbehaved);
        assert_eq!(misbehaved, closed, "{count} rejects");
    }
}

/// A seed that unchokes, hears the first requests, chokes and says nothing more.
fn requests_after_a_choke(fast: bool) -> u32 {
    let content = content();
    let mut world = World::new(72);
    let leech = world.add_node();
    let copy = content.clone();
    let addr = world.add_script(move || {
        let mut puppet = Puppet::new(&copy, b'C');
        let mut everything = vec![0xff; 4];
        everything[3] = 0xfe;
        let has = Message::Bitfield(everything.into());
        if !fast {
            puppet = puppet.plain();
        }
        let mut choked = false;
        puppet
            .opening(vec![has, Message::Unchoke])
            .answering(move |message| match message {
                Message::Request(_) if !choked => {
                    choked = true;
                    vec![Message::Choke]
                }
                _ => Vec::new(),
            })
            .boxed()
    });
    world.add(leech, &content, PeerOptions { peers: vec![addr], ..PeerOptions::default() });
    world.run(3);
    let torrent = world.torrent(leech);
    let peers = world.node(leech).engine.peers(torrent);
    assert!(peers[0].peer_choking);
    peers[0].outstanding
}

#[test]
fn a_choke_ends_the_requests_to_a_plain_peer_and_leaves_those_to_a_fast_one() {
    assert_eq!(requests_after_a_choke(false), 0);
    assert!(requests_after_a_choke(true) > 0);
}

#[test]
fn an_allowed_piece_that_is_rejected_is_not_asked_for_again() {
    let content = content();
    let mut world = World::new(73);
    let leech = world.add_node();
    let puppet = Puppet::new(&content, b'A')
        .opening(vec![Message::HaveAll, Message::AllowedFast(5)])
        .answering(|message| match message {
            Message::Request(request) => vec![Message::Reject(*request)],
            _ => Vec::new(),
        });
    let heard = puppet.heard();
    world.leech(leech, &content, &[]);
    world.run(1);
    world.connect_script(leech, puppet.boxed());
    world.run(60);
    let heard = heard.borrow();
    let requests = heard.iter().filter(|m| matches!(m, Message::Request(_))).count();
    assert!((1..=2).contains(&requests), "{requests}: one for each block of the piece");
}

#[test]
fn a_peer_over_ipv6_gets_no_allowed_fast_set() {
    let content = content();
    let allowed = |remote: &str| {
        let mut world = World::new(74);
        let seed = world.add_node_with(Config { unchoke_slots: Some(0), ..Config::default() });
        world.seed(seed, &content);
        world.run(1);
        let puppet = Puppet::new(&content, b'6').opening(vec![Message::HaveNone]);
        let heard = puppet.heard();
        world.connect_script_from(seed, remote.parse().unwrap(), puppet.boxed());
        world.run(1);
        let heard = heard.borrow();
        heard.iter().filter(|m| matches!(m, Message::AllowedFast(_))).count()
    };
    assert_eq!(allowed("[2001:db8::7]:5000"), 0);
    assert_eq!(allowed("198.51.100.7:5000"), 10);
}

#[test]
fn blocks_that_cross_the_last_cancels_are_waste_and_no_offence() {
    let content = content();
    let mut world = World::new(75);
    world.weather.latency = std::time::Duration::from_millis(80);
    let seeds: Vec<_> = (0..4).map(|_| world.add_node()).collect();
    for seed in &seeds {
        world.node_mut(*seed).access.up = Some(60_000);
        world.seed(*seed, &content);
    }
    let leech = world.add_node();
    world.leech(leech, &content, &seeds);
    assert!(world.run_until(120, |world| world.is_complete(leech)));
    world.run(5);
    let torrent = world.torrent(leech);
    let wasted = world.node(leech).engine.torrent(torrent).unwrap().wasted;
    assert!(wasted > 0, "nothing crossed, so nothing was tested");
    assert!(wasted < 4 * 4 * 16_384 + 1, "{wasted} bytes wasted");
    for reason in closed_for(&world, leech) {
        assert!(matches!(reason, CloseReason::BothComplete | CloseReason::Remote), "{reason:?}");
    }
}

#[test]
fn a_stalled_endgame_does_not_spin() {
    let content = content();
    let mut world = World::new(76);
    let leech = world.add_node();
    let copy = content.clone();
    // The last blocks never come.
    let addr = world.add_script(move || {
        Puppet::seed(&copy, b'S', |request, block| (request.piece < 29).then_some(block)).boxed()
    });
    world.add(leech, &content, PeerOptions { peers: vec![addr], ..PeerOptions::default() });
    world.run(10);
    let before = world.node(leech).steps;
    world.run(60);
    let steps = world.node(leech).steps - before;
    assert!(steps < 600, "{steps} steps in a minute");
}

#[test]
fn a_request_is_read_to_the_byte() {
    let content = content();
    let odd = BlockRequest { piece: 3, begin: 5, length: 10 };
    let puppet = Puppet::new(&content, b'O')
        .opening(vec![Message::HaveNone, Message::Interested])
        .answering(move |message| match message {
            Message::Unchoke => vec![Message::Request(odd)],
            _ => Vec::new(),
        });
    let heard = puppet.heard();
    let mut world = World::new(77);
    let seed = world.add_node();
    world.seed(seed, &content);
    world.run(1);
    world.connect_script(seed, puppet.boxed());
    world.run(5);
    let start = content.metainfo.geometry().piece_offset(3) as usize + 5;
    let heard = heard.borrow();
    let blocks: Vec<_> = heard
        .iter()
        .filter_map(|message| match message {
            Message::Piece { piece: 3, begin: 5, payload } => Some(payload.parts().concat()),
            _ => None,
        })
        .collect();
    assert_eq!(blocks, [content.bytes[start..start + 10].to_vec()]);
}

#[test]
fn a_peer_known_by_its_mapped_address_is_known_by_its_ipv4_address() {
    let content = content();
    let mut world = World::new(78);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    assert!(world.run_until(1, |world| !world.node(leech).torrents().is_empty()));
    let torrent = world.torrent(leech);
    let std::net::SocketAddr::V4(v4) = world.node(seed).addr else { panic!("an IPv4 world") };
    let mapped = std::net::SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port());
    world.introduce(leech, mapped);
    world.run(1);
    assert_eq!(world.node(leech).engine.torrent(torrent).unwrap().candidates, 1);
}

#[test]
fn without_a_port_one_is_announced_and_a_full_torrent_asks_for_no_peers() {
    let url = "http://tracker.example/announce";
    let content = Content::tracked("x", 500_000, 16_384, &[url]);
    let mut world = World::new(79);
    world.trackers.insert(url.into(), Tracker { interval: 60, ..Tracker::default() });
    let node = world.add_node_with(Config { max_connections_per_torrent: 1, ..Config::default() });
    let listen = Command::ListenOn { port: None, udp4: None, udp6: None };
    world.command(node, listen);
    world.leech(node, &content, &[]);
    world.run(1);
    world
        .connect_script(node, Puppet::new(&content, b'F').opening(vec![Message::HaveNone]).boxed());
    world.run(70);
    let all = &world.trackers[url].announces;
    assert_eq!(all[0].query["port"], "1");
    assert_ne!(all[0].query["numwant"], "0");
    assert_eq!(all[1].query["numwant"], "0");
}
