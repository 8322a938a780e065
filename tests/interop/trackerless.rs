//! The DHT and local discovery with libtorrent, all of it on loopback.

use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use eddyline::base::hash::Sha1Hash;
use eddyline::dht::{Item, NodeId};
use eddyline::{Command as Wish, Config, DhtRequest, Notice};
use eddyline_disk::Locations;
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::{Driver, DriverConfig};

use crate::clients::{Client, libtorrent_of};
use crate::lab::{Lab, PATIENCE, Process, trackerless, wait_until};

const LENGTH: usize = 3_000_003;

/// Nodes of libtorrent that know each other. The first one seeds the lab's torrent.
fn network(lab: &Lab) -> Vec<Client> {
    network_on("127.0.0.1", lab)
}

/// The same on an address of choice.
fn network_on(address: &str, lab: &Lab) -> Vec<Client> {
    let mut nodes: Vec<Client> = Vec::new();
    let torrent = lab.torrent.to_string_lossy().into_owned();
    for number in 0..4 {
        let mut flags = vec!["--dht".to_owned()];
        flags.extend(address.starts_with('[').then(|| "--v6".to_owned()));
        flags.extend(nodes.iter().map(|node| format!("{address}:{}", node.port)));
        let (dir, role) = if number == 0 {
            (lab.source().to_owned(), "seed")
        } else {
            (lab.dir(&format!("node-{number}")), "leech")
        };
        // All but the seed are in another torrent, which nobody has.
        let other = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
        let source = if number == 0 { &torrent } else { &other };
        nodes.push(libtorrent_of(source, &dir, role, &flags));
    }
    for node in &mut nodes {
        node.process.wait_for("NODES");
    }
    nodes
}

fn bootstrap(nodes: &[Client]) -> Vec<String> {
    nodes
        .iter()
        .flat_map(|node| ["--dht-bootstrap".into(), format!("127.0.0.1:{}", node.port)])
        .collect()
}

#[test]
fn a_bare_info_hash_and_a_bootstrap_node_are_enough_with_a_seed_of_libtorrent() {
    let lab = Lab::with_file(LENGTH, &[]);
    let mut nodes = network(&lab);
    nodes[0].process.tell("announce");
    let hash = lab.magnet().split("btih:").nth(1).unwrap()[..40].to_owned();
    let mut command = trackerless();
    command.arg("download").arg(&hash).arg("--dir").arg(lab.dir("fetched"));
    command.args(["--bind", "127.0.0.1", "--port", "0", "--no-lsd", "-v"]);
    command.args(bootstrap(&nodes[1..2])).arg("--state-dir").arg(lab.dir("state"));
    let mut download = Process::start(&mut command);
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");
    let lines = download.output();
    assert!(lines.iter().any(|line| line.contains(", found in the DHT")), "{lines:#?}");
    // The next run knows the nodes without being told.
    assert!(lab.dir("state").join("dht.dat").exists());
}

#[test]
fn over_ipv6_too_a_bare_info_hash_is_enough_where_there_is_ipv6() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        println!("there is no IPv6 here: the DHT over it is tested in simulation only");
        return;
    }
    let lab = Lab::with_file(LENGTH, &[]);
    let mut nodes = network_on("[::1]", &lab);
    nodes[0].process.tell("announce");
    let hash = lab.magnet().split("btih:").nth(1).unwrap()[..40].to_owned();
    let mut command = trackerless();
    command.arg("download").arg(&hash).arg("--dir").arg(lab.dir("fetched"));
    command.args(["--bind", "::1", "--port", "0", "--no-lsd", "-v", "--dht-bootstrap"]);
    command.arg(format!("[::1]:{}", nodes[2].port)).arg("--state-dir").arg(lab.dir("state"));
    let mut download = Process::start(&mut command);
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");
    let lines = download.output();
    assert!(lines.iter().any(|line| line.contains(", found in the DHT")), "{lines:#?}");
}

#[test]
fn the_nodes_that_a_torrent_names_are_enough_with_a_seed_of_libtorrent() {
    let lab = Lab::with_file(LENGTH, &[]);
    let mut nodes = network(&lab);
    nodes[0].process.tell("announce");
    // `nodes` stands behind `info`, at the end of the dictionary.
    let mut torrent = std::fs::read(&lab.torrent).unwrap();
    assert_eq!(torrent.pop(), Some(b'e'));
    torrent.extend(format!("5:nodesll9:127.0.0.1i{}eeee", nodes[3].port).into_bytes());
    let named = lab.dir("named").join("named.torrent");
    std::fs::write(&named, torrent).unwrap();
    let mut command = trackerless();
    command.arg("download").arg(&named).arg("--dir").arg(lab.dir("fetched"));
    command.args(["--bind", "127.0.0.1", "--port", "0", "--no-lsd", "--dht-bootstrap", "", "-v"]);
    let mut download = Process::start(command.arg("--state-dir").arg(lab.dir("state")));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");
}

#[test]
fn a_libtorrent_leecher_finds_us_by_the_dht() {
    let lab = Lab::with_file(LENGTH, &[]);
    let nodes = network(&Lab::with_file(1000, &[]));
    let mut command = trackerless();
    command.arg("seed").arg(&lab.torrent).arg("--dir").arg(lab.source());
    command.args(["--bind", "127.0.0.1", "--port", "0", "--no-lsd", "-v"]);
    command.args(bootstrap(&nodes)).arg("--state-dir").arg(lab.dir("state"));
    let mut seed = Process::start(&mut command);
    seed.wait_for("READY ");
    seed.wait_for("the DHT knows");
    let dir = lab.dir("leech");
    let mut flags = vec!["--dht".to_owned()];
    flags.extend(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
    let mut leech = libtorrent_of(&lab.magnet(), &dir, "leech", &flags);
    let mut asked = Instant::now();
    wait_until("libtorrent has found us", || {
        if asked.elapsed() > Duration::from_secs(3) {
            leech.process.tell("announce");
            asked = Instant::now();
        }
        leech.process.output().iter().any(|line| line == "DONE")
    });
    lab.assert_same("leech");
}

/// Our driver as a node of the DHT on loopback.
fn our_node(lab: &Lab, nodes: &[Client]) -> Driver {
    let bootstrap = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let config = DriverConfig {
        engine: Config { dht_bootstrap: bootstrap, lsd: false, ..Config::default() },
        locations: Locations::folder(lab.dir("ours")),
        read_cache: 1 << 20,
        unhashed: 4 << 20,
        store: None,
        listen: Some(ListenOptions {
            port: Some(0),
            address: Some(std::net::Ipv4Addr::LOCALHOST.into()),
            interface: None,
            ..Default::default()
        }),
        disk_threads: 1,
        record: None,
        keep_executable: false,
    };
    let mut driver = Driver::new(config).unwrap();
    let started = Instant::now();
    while driver.engine().dht_node(false).is_none_or(|node| node.table().len() < nodes.len()) {
        assert!(started.elapsed() < PATIENCE, "the nodes are found");
        driver.turn(Duration::from_millis(50)).unwrap();
    }
    driver
}

/// Asks the DHT and waits for the answer.
fn ask(driver: &mut Driver, wish: DhtRequest) -> eddyline::dht::Outcome {
    driver.command(Wish::Dht(Box::new(wish)));
    let started = Instant::now();
    loop {
        for notice in driver.turn(Duration::from_millis(50)).unwrap() {
            if let Notice::DhtAnswered { outcome, .. } = notice {
                return *outcome;
            }
        }
        assert!(started.elapsed() < PATIENCE, "the DHT answers");
    }
}

#[test]
fn items_that_we_store_are_found_by_libtorrent_and_the_other_way_round() {
    let lab = Lab::with_file(1000, &[]);
    let mut nodes = network(&lab);
    let mut ours = our_node(&lab, &nodes);
    let item = Item::immutable(Bytes::from_static(b"9:from-here")).unwrap();
    let outcome = ask(&mut ours, DhtRequest::Put { item: item.clone(), cas: None });
    assert!(outcome.stored_at >= 3, "{outcome:?}");
    nodes[2].process.tell(&format!("get {}", HEXLOWER.encode(&item.target().0)));
    let started = Instant::now();
    while !nodes[2].process.output().iter().any(|line| line == "GOT from-here") {
        assert!(started.elapsed() < PATIENCE, "{:#?}", nodes[2].process.output());
        ours.turn(Duration::from_millis(50)).unwrap();
    }
    nodes[1].process.tell("put from-there");
    let line = loop {
        ours.turn(Duration::from_millis(50)).unwrap();
        if let Some(line) = nodes[1].process.output().iter().find(|line| line.starts_with("PUT ")) {
            break line.clone();
        }
        assert!(started.elapsed() < PATIENCE);
    };
    let target = HEXLOWER.decode(line[4..].trim().as_bytes()).unwrap();
    let target = NodeId::from_slice(&target).unwrap();
    let found = loop {
        let outcome = ask(&mut ours, DhtRequest::Get { target, salt: None });
        if let Some(item) = outcome.item {
            break item;
        }
        assert!(started.elapsed() < PATIENCE, "{outcome:?}");
    };
    assert_eq!(found.value, &b"10:from-there"[..]);
    // Mutable ones, the newer over the older.
    for seq in 1..3 {
        let value = Bytes::from(format!("i{seq}e"));
        let item = Item::sign(&[5; 32], Bytes::from_static(b"salt"), seq, value).unwrap();
        ask(&mut ours, DhtRequest::Put { item, cas: None });
    }
    let key = Item::sign(&[5; 32], Bytes::from_static(b"salt"), 2, Bytes::from_static(b"i2e"));
    let wish = DhtRequest::Get {
        target: key.as_ref().unwrap().target(),
        salt: Some(Bytes::from_static(b"salt")),
    };
    assert_eq!(ask(&mut ours, wish).item, key.ok());
}

#[test]
fn a_magnet_that_names_a_publisher_leads_to_what_is_published_now() {
    let lab = Lab::with_file(LENGTH, &[]);
    let mut nodes = network(&lab);
    nodes[0].process.tell("announce");
    let mut ours = our_node(&lab, &nodes);
    let hash = lab.magnet().split("btih:").nth(1).unwrap()[..40].to_owned();
    let hash = Sha1Hash::from_slice(&HEXLOWER.decode(hash.as_bytes()).unwrap()).unwrap();
    let salt = Bytes::from_static(b"release");
    // What was published before is not what is meant now.
    for (seq, torrent) in [(1, Sha1Hash([1; 20])), (2, hash)] {
        let item = Item::publish(&[3; 32], salt.clone(), seq, torrent).unwrap();
        let outcome = ask(&mut ours, DhtRequest::Put { item, cas: None });
        assert!(outcome.stored_at >= 3, "{outcome:?}");
    }
    let key = Item::publish(&[3; 32], salt.clone(), 2, hash).unwrap().mutable.unwrap().key;
    let (key, salt) = (HEXLOWER.encode(&key), HEXLOWER.encode(&salt));
    let mut command = trackerless();
    command.arg("download").arg(format!("magnet:?xs=urn:btpk:{key}&s={salt}"));
    command.arg("--dir").arg(lab.dir("fetched"));
    command.args(["--bind", "127.0.0.1", "--port", "0", "--no-lsd", "--stop-timeout", "80s"]);
    command.args(bootstrap(&nodes)).arg("--state-dir").arg(lab.dir("state"));
    let mut download = Process::start(&mut command);
    while download.is_alive() {
        // It may ask our node as well.
        ours.turn(Duration::from_millis(20)).unwrap();
    }
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");
}

#[test]
fn neighbours_on_the_local_network_find_each_other_where_multicast_works() {
    let lab = Lab::with_file(LENGTH, &[]);
    let mut command = trackerless();
    command.arg("seed").arg(&lab.torrent).arg("--dir").arg(lab.source());
    command.args(["--bind", "127.0.0.1", "--port", "0", "--no-dht", "-v"]);
    let mut seed = Process::start(command.arg("--state-dir").arg(lab.dir("state-seed")));
    seed.wait_for("READY ");
    // Ours and ours first: where that does not work, multicast on loopback does not.
    let mut command = trackerless();
    command.arg("download").arg(lab.magnet()).arg("--dir").arg(lab.dir("ours"));
    command.args(["--bind", "127.0.0.1", "--port", "0", "--no-dht", "--stop-timeout", "40s"]);
    let mut download = Process::start(command.arg("--state-dir").arg(lab.dir("state")));
    if download.wait() == 7 {
        println!("multicast on loopback does not work here: local discovery is not tested");
        return;
    }
    lab.assert_same("ours");
    let dir = lab.dir("theirs");
    let mut leech = libtorrent_of(&lab.torrent.to_string_lossy(), &dir, "leech", &["--lsd".into()]);
    leech.wait_done();
    lab.assert_same("theirs");
}
