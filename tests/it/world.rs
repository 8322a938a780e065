//! The simulated world itself: what it promises to be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use eddyline::base::time::Instant;
use eddyline::tracker::AnnounceEvent;
use eddyline::{
    CloseReason, Command, FilePriority, LocationId, Notice, Priority, Rename, TorrentCommand,
};
use eddyline_sim::{
    Access, Content, DiskSpeed, FAULT_TABLE, FaultRates, LargeSwarm, Manner, Nat, Partition,
    PeerOptions, Tracker, UdpTracker, Weather, WebServer, World,
};

const HTTP: &str = "http://tracker.example/announce";
const UDP: &str = "udp://tracker.example:80/announce";

fn content() -> Content {
    Content::new("world", 600_000, 32_768)
}

fn closed_for(world: &World, node: usize, reason: CloseReason) -> bool {
    let closed = |n: &Notice| matches!(n, Notice::PeerClosed { reason: r, .. } if *r == reason);
    world.node(node).notices.iter().any(closed)
}

/// A UDP tracker with a name.
fn add_udp_tracker(world: &mut World) -> SocketAddr {
    let ip = IpAddr::from(Ipv4Addr::new(10, 9, 0, 1));
    world.names.insert("tracker.example".into(), vec![ip]);
    world.udp_trackers.insert(SocketAddr::new(ip, 80), UdpTracker::default());
    SocketAddr::new(ip, 80)
}

/// Does now and then what is done with files as a whole, or to an engine as a whole.
fn disturb_storage(world: &mut World, action: &str, nodes: [usize; 2], second: u32) {
    for node in nodes {
        let Some(torrent) = world.node(node).torrents().first().copied() else { continue };
        match action {
            "Select" if second % 5 == 2 => {
                let priority =
                    if second.is_multiple_of(2) { Priority::Skip } else { Priority::Normal };
                let change = vec![FilePriority { file: 0, priority }];
                world.command(node, TorrentCommand::SetPriorities(change).of(torrent));
                world.run(1);
                let change = vec![FilePriority { file: 0, priority: Priority::Normal }];
                world.command(node, TorrentCommand::SetPriorities(change).of(torrent));
            }
            "Move" | "Discard" => {
                world.command(node, TorrentCommand::Move(LocationId(second % 2)).of(torrent));
            }
            "Rename" => {
                let name = format!("name {}", second % 4);
                world.command(node, TorrentCommand::Rename(Rename::Torrent(name)).of(torrent));
            }
            _ => {}
        }
    }
    if action == "CloseFiles" && second % 50 == 40 {
        world.command(nodes[1], Command::ShutDown);
        world.run(6);
        world.crash(nodes[1]);
    }
}

/// What is fetched from a web server where requests to one shall fail.
fn with_web_seed(world: &mut World, action: &str, content: Content) -> Content {
    if action != "Fetch" {
        return content;
    }
    let url = "http://web.example/".to_owned();
    let content = content.naming_web_seeds(std::slice::from_ref(&url));
    world.web.servers.insert(url, WebServer::new(&content).at_rate(100_000));
    content
}

#[test]
fn every_kind_of_fault_happens_and_none_keeps_a_download_from_its_end() {
    for (action, faults) in FAULT_TABLE {
        for fault in *faults {
            let content = Content::tracked("faults", 3_000_000, 1 << 20, &[UDP, HTTP]);
            let mut world = World::new(31);
            let content = with_web_seed(&mut world, action, content);
            add_udp_tracker(&mut world);
            world.trackers.insert(HTTP.into(), Tracker { interval: 60, ..Tracker::default() });
            let (seed, leech) = (world.add_node(), world.add_node());
            world.udp_trackers.values_mut().for_each(|tracker| tracker.down = true);
            // Slow enough that both have a part in most pieces.
            world.node_mut(seed).access = Access { up: Some(400_000), ..Access::default() };
            // Two, so that pieces fail of which no single one can be convicted.
            let liars = |world: &mut World| {
                [b'L', b'M'].map(|id| {
                    let copy = content.clone();
                    world.add_script(move || Manner::Lying(30).peer(&copy, id))
                })
            };
            world.seed(seed, &content);
            let mut peers = liars(&mut world).to_vec();
            peers.push(world.node(seed).addr);
            world.add(leech, &content, PeerOptions { peers, ..PeerOptions::default() });
            world.faults = Some(FaultRates::only(action, *fault, 700));
            for second in 0..400 {
                world.run(1);
                if world.coverage.count(action, *fault) > 0 {
                    break;
                }
                disturb_storage(&mut world, action, [seed, leech], second);
                if second % 50 == 49 {
                    // Whatever is done only once is done again.
                    for node in [seed, leech] {
                        for torrent in world.node(node).torrents().to_vec() {
                            world.command(node, TorrentCommand::Remove.of(torrent));
                        }
                    }
                    world.run(5);
                    // The old ones are banned, in every torrent.
                    let mut peers = liars(&mut world).to_vec();
                    peers.push(world.node(seed).addr);
                    world.add(seed, &content, PeerOptions::default());
                    world.add(leech, &content, PeerOptions { peers, ..PeerOptions::default() });
                }
            }
            assert!(world.coverage.count(action, *fault) > 0, "{action} {fault:?} never happened");
            world.faults = None;
            world.run(20);
            // The old seed may be banned by now, and rightly so: its disk was rotten.
            let fresh = world.add_node();
            world.seed(fresh, &content);
            for node in [seed, leech] {
                if world.node(node).torrents().is_empty() {
                    world.leech(node, &content, &[seed]);
                    world.run(1);
                }
                world.introduce(node, world.node(fresh).addr);
                for torrent in world.node(node).torrents().to_vec() {
                    world.command(node, TorrentCommand::Resume.of(torrent));
                }
            }
            let done = world.run_until(7200, |world| world.is_complete(leech));
            assert!(done, "{action} {fault:?}");
        }
    }
}

#[test]
fn a_partition_that_holds_delays_and_one_that_drops_breaks_and_both_heal() {
    for (partition, broken) in [(Partition::Hold, false), (Partition::Drop, true)] {
        let content = content();
        let mut world = World::new(32);
        let (seed, leech) = (world.add_node(), world.add_node());
        world.node_mut(seed).access = Access { up: Some(100_000), ..Access::default() };
        world.seed(seed, &content);
        world.leech(leech, &content, &[seed]);
        world.run(2);
        world.divide(&[seed], partition);
        world.run(30);
        assert!(!world.is_complete(leech));
        assert_eq!(closed_for(&world, leech, CloseReason::Remote), broken, "{partition:?}");
        world.heal();
        assert!(world.run_until(600, |world| world.is_complete(leech)), "{partition:?}");
        world.check_links().unwrap();
    }
}

/// A hole in a stream is no fault of whoever sent it, and no connection delivers one: a seed was
/// banned for a block whose middle a partition had swallowed, and the download had nobody left.
#[test]
fn nothing_of_a_connection_arrives_behind_what_was_lost_or_held() {
    for (partition, closes, tenths) in [Partition::Drop, Partition::Hold]
        .into_iter()
        .flat_map(|partition| [(partition, false), (partition, true)])
        .flat_map(|(partition, closes)| (5..15).map(move |tenths| (partition, closes, tenths)))
    {
        let content = content();
        let mut world = World::new(39);
        world.weather = Weather { latency: Duration::from_millis(200), ..Weather::default() };
        let (seed, leech) = (world.add_node(), world.add_node());
        world.node_mut(seed).access = Access { up: Some(20_000 * tenths), ..Access::default() };
        world.seed(seed, &content);
        world.leech(leech, &content, &[seed]);
        world.run(4);
        world.divide(&[seed], partition);
        world.run(1);
        let torrent = world.torrent(seed);
        if closes {
            // One end is gone, and what it sent is still under way.
            world.command(seed, TorrentCommand::Pause.of(torrent));
            world.run(3);
        }
        world.heal();
        world.run(1);
        world.command(seed, TorrentCommand::Resume.of(torrent));
        let done = world.run_until(600, |world| world.is_complete(leech));
        assert!(done, "{partition:?}, closes: {closes}, {tenths}");
        let blamed = world
            .node(leech)
            .notices
            .iter()
            .find(|notice| matches!(notice, Notice::PieceFailed(..) | Notice::PeerBanned(..)));
        assert_eq!(blamed, None, "{partition:?}, closes: {closes}, {tenths}");
        assert!(!closed_for(&world, leech, CloseReason::BadMessage), "{partition:?}");
        world.check_links().unwrap();
    }
}

/// A partition that gives way to another one lets go what it held, in order.
#[test]
fn what_one_partition_held_is_not_overtaken_when_another_one_comes() {
    let content = content();
    let mut world = World::new(40);
    let nodes: Vec<_> = (0..3).map(|_| world.add_node()).collect();
    world.node_mut(nodes[0]).access = Access { up: Some(100_000), ..Access::default() };
    world.seed(nodes[0], &content);
    world.leech(nodes[1], &content, &nodes[..1]);
    world.leech(nodes[2], &content, &nodes[..1]);
    world.run(2);
    for group in [&nodes[..1], &nodes[2..], &nodes[1..2], &[]] {
        world.divide(group, Partition::Hold);
        world.run(2);
    }
    assert!(world.run_until(600, |world| world.is_complete(1) && world.is_complete(2)));
}

#[test]
fn a_slow_disk_takes_its_time_for_seeks_transfers_and_hashes() {
    let seconds = |speed: Option<DiskSpeed>| {
        let content = Content::new("slow", 4 << 20, 1 << 18);
        let mut world = World::new(37);
        let (seed, leech) = (world.add_node(), world.add_node());
        world.node_mut(leech).disk.speed = speed;
        world.seed(seed, &content);
        world.leech(leech, &content, &[seed]);
        let began = world.now();
        assert!(world.run_until(600, |world| world.is_complete(leech)));
        world.now().since(began).as_secs_f64()
    };
    let usual = DiskSpeed { seek: Duration::ZERO, transfer: 100 << 20, hash: 400 << 20 };
    let fast = seconds(Some(usual));
    assert!(seconds(None) < 2.0 && fast < 2.0, "{fast}");
    // 256 writes, each behind a seek; four megabytes written and read again; four hashed.
    let seek = seconds(Some(DiskSpeed { seek: Duration::from_millis(20), ..usual }));
    assert!((5.0..8.0).contains(&seek), "{seek}");
    let transfer = seconds(Some(DiskSpeed { transfer: 1 << 20, ..usual }));
    assert!((8.0..10.0).contains(&transfer), "{transfer}");
    let hash = seconds(Some(DiskSpeed { hash: 1 << 20, ..usual }));
    assert!((4.0..6.0).contains(&hash), "{hash}");
}

#[test]
fn a_full_queue_drops_datagrams_and_an_endless_one_delays_them() {
    let heard = |queue: Option<u64>| {
        let mut world = World::new(38);
        let node = world.add_node();
        world.node_mut(node).access = Access { up: Some(100), queue, ..Access::default() };
        for number in 0..3u8 {
            let (name, ip) = (format!("t{number}.example"), Ipv4Addr::new(10, 9, 1, number));
            world.udp_trackers.insert(SocketAddr::new(ip.into(), 80), UdpTracker::default());
            world.names.insert(name.clone(), vec![ip.into()]);
            let url = format!("udp://{name}:80/announce");
            let content = Content::tracked(&name, 50_000, 16_384, &[&url]);
            world.leech(node, &content, &[]);
        }
        // All three are asked in the same moment, over a line that takes a while for each.
        world.run(4);
        world.udp_trackers.values().filter(|tracker| !tracker.announces.is_empty()).count()
    };
    assert_eq!(heard(None), 3);
    assert_eq!(heard(Some(0)), 1);
}

#[test]
fn clocks_that_drift_and_jump_are_survived() {
    let content = content();
    let mut world = World::new(33);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access = Access { up: Some(30_000), ..Access::default() };
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(2);
    world.drift_clock(leech, 200_000);
    let before = world.node(leech).engine.now();
    world.run(10);
    let elapsed = world.node(leech).engine.now().since(before).as_secs();
    assert!((11..=12).contains(&elapsed), "a fifth faster: {elapsed} s");
    world.jump_clock(leech, Duration::from_secs(24 * 3600));
    world.jump_clock(seed, Duration::from_secs(3600));
    assert!(world.run_until(600, |world| world.is_complete(leech)));
    assert!(world.node(leech).engine.now() > Instant::from_millis(24 * 3600 * 1000));
}

#[test]
fn nobody_connects_to_a_node_behind_a_filter_and_it_connects_to_others() {
    for nat in [Nat::Restricted, Nat::PortRestricted, Nat::Symmetric] {
        let content = content();
        let mut world = World::new(34);
        let (seed, leech) = (world.add_node(), world.add_node());
        world.node_mut(leech).nat = nat;
        // The seed knows the hidden one, which is of no use to it.
        let peers = vec![world.node(leech).addr];
        world.add(seed, &content, PeerOptions { peers, has_content: true, ..Default::default() });
        world.leech(leech, &content, &[]);
        world.run(60);
        assert!(!world.is_complete(leech), "{nat:?}");
        world.introduce(leech, world.node(seed).addr);
        assert!(world.run_until(120, |world| world.is_complete(leech)), "{nat:?}");
    }
}

#[test]
fn udp_trackers_hear_a_whole_life_through_every_kind_of_address_translation() {
    for nat in [Nat::Open, Nat::FullCone, Nat::Restricted, Nat::PortRestricted, Nat::Symmetric] {
        let content = Content::tracked("udp", 300_000, 32_768, &[UDP]);
        let mut world = World::new(35);
        let addr = add_udp_tracker(&mut world);
        let (seed, leech) = (world.add_node(), world.add_node());
        world.node_mut(leech).nat = nat;
        world.seed(seed, &content);
        world.run(5);
        world.leech(leech, &content, &[]);
        assert!(world.run_until(120, |world| world.is_complete(leech)), "{nat:?}");
        world.run(5);
        world.command(leech, Command::ShutDown);
        world.run(10);
        let events: Vec<_> = world.udp_trackers[&addr].announces.iter().map(|a| a.2).collect();
        let expected = [
            AnnounceEvent::Started,
            AnnounceEvent::Started,
            AnnounceEvent::Completed,
            AnnounceEvent::Stopped,
        ];
        assert_eq!(events, expected, "{nat:?}");
    }
}

#[test]
fn datagrams_that_are_lost_or_doubled_do_no_harm_to_announces() {
    let content = Content::tracked("udp", 300_000, 32_768, &[UDP]);
    let mut world = World::new(36);
    add_udp_tracker(&mut world);
    world.weather = Weather { loss: 300, doubled: 300, ..Weather::default() };
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.leech(leech, &content, &[]);
    assert!(world.run_until(3600, |world| world.is_complete(leech)));
}

#[test]
fn a_crash_loses_only_what_was_not_synced_and_claims_nothing_that_is_not_there() {
    for seed_number in 0..20 {
        let content = Content::new("crash", 2_000_000, 65_536);
        let mut world = World::new(seed_number);
        let (seed, leech) = (world.add_node(), world.add_node());
        world.node_mut(leech).disk.may_crash = true;
        world.node_mut(seed).access = Access { up: Some(200_000), ..Access::default() };
        world.seed(seed, &content);
        world.leech(leech, &content, &[seed]);
        for _ in 0..3 {
            world.run(2);
            let torrent = world.torrent(leech);
            world.command(leech, TorrentCommand::SaveResume.of(torrent));
            world.run(1);
            let saved = world.node(leech).engine.torrent(torrent).unwrap().have.count();
            world.run(1);
            world.crash(leech);
            world.run(1);
            let torrent = world.torrent(leech);
            let view = world.node(leech).engine.torrent(torrent).unwrap();
            assert!(view.have.count() + 4 >= saved, "{} of {saved}", view.have.count());
            for piece in view.have.ones() {
                assert!(world.node(leech).disk.is_piece_right(torrent, piece), "piece {piece}");
            }
        }
        assert!(world.run_until(600, |world| world.is_complete(leech)));
    }
}

#[test]
fn a_swarm_of_many_engines_gives_the_same_digest_again() {
    let swarm = LargeSwarm {
        seed: 5,
        engines: 60,
        size: 2 << 20,
        check: true,
        transports: eddyline::Transports::Tcp,
    };
    let (a, b) = (swarm.run().unwrap(), swarm.run().unwrap());
    assert_eq!(a, b);
    let other = LargeSwarm { seed: 6, ..swarm }.run().unwrap();
    assert_ne!(a.digest, other.digest);
}
