//! Disks that run full, and processes that are killed: what was fetched is not lost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::base::rng::Seed;
use eddyline::metainfo::Metainfo;
use eddyline::{AddTorrent, Command as Wish, Config, Notice};
use eddyline_mio::disk::Locations;
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::{Driver, DriverConfig};

use crate::lab::{Lab, PATIENCE, Process, succeed};

/// A file system of its own, in memory, that is unmounted with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf, size: &str) -> Self {
        as_root(&["mount", "-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], &path);
        Self(path)
    }

    fn grow(&self, size: &str) {
        as_root(&["mount", "-o", &format!("remount,size={size}")], &self.0);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        as_root(&["umount", "-l"], &self.0);
    }
}

/// Mounting takes a root; the test command is run by one, or by somebody who may become one.
fn as_root(words: &[&str], path: &Path) {
    let owner = Command::new("id").arg("-u").output().unwrap();
    let is_root = owner.stdout.starts_with(b"0\n");
    let mut command = if is_root { Command::new(words[0]) } else { Command::new("sudo") };
    succeed(command.args(&words[usize::from(is_root)..]).arg(path));
}

#[test]
fn a_download_that_finds_no_room_ends_with_code_9_and_goes_on_when_there_is() {
    let lab = Lab::with_file(12_000_000, &[]);
    let (_seed, port) = lab.seed(&[]);
    let disk = SmallDisk::mount(lab.dir("small"), "4m");
    let peer = format!("127.0.0.1:{port}");
    let mut first = Process::start(lab.download("small").args(["--peer", &peer]));
    assert_eq!(first.wait(), 9);
    let lines = first.output();
    let told = |line: &String| line.contains("no space left") && line.contains("make room");
    assert!(lines.iter().any(told), "{lines:#?}");
    disk.grow("64m");
    let mut second = Process::start(lab.download("small").args(["--peer", &peer, "--json"]));
    assert_eq!(second.wait(), 0, "{:#?}", second.output());
    lab.assert_same("small");
}

/// A driver without DHT and local discovery that listens on loopback, with one torrent.
fn driver(lab: &Lab, folder: PathBuf, add: impl FnOnce(&mut AddTorrent)) -> Driver {
    let config = DriverConfig {
        engine: Config { dht: false, lsd: false, ..Config::default() },
        locations: Locations::folder(folder),
        read_cache: 1 << 20,
        store: None,
        listen: Some(ListenOptions {
            port: Some(0),
            address: Some(std::net::Ipv4Addr::LOCALHOST.into()),
            interface: None,
        }),
        disk_threads: 2,
        record: None,
    };
    let mut driver = Driver::new(config).unwrap();
    let metainfo = Metainfo::parse(&std::fs::read(&lab.torrent).unwrap()).unwrap();
    let mut torrent = AddTorrent::new(Arc::new(metainfo));
    add(&mut torrent);
    driver.command(Wish::Add(Box::new(torrent)));
    driver
}

/// Takes turns until something is told.
fn turn_until(driver: &mut Driver, wanted: impl Fn(&Notice) -> bool) {
    let started = Instant::now();
    while !driver.turn(Duration::from_millis(20)).unwrap().iter().any(&wanted) {
        assert!(started.elapsed() < 2 * PATIENCE, "it is told");
    }
}

#[test]
fn a_session_waits_for_room_and_goes_on_by_itself() {
    let lab = Lab::with_file(12_000_000, &[]);
    let (_seed, port) = lab.seed(&[]);
    let disk = SmallDisk::mount(lab.dir("small"), "4m");
    let peer = format!("127.0.0.1:{port}").parse().unwrap();
    let mut leech = driver(&lab, lab.dir("small"), |add| add.peers.push(peer));
    turn_until(&mut leech, |notice| matches!(notice, Notice::DiskFull(_)));
    disk.grow("64m");
    turn_until(&mut leech, |notice| matches!(notice, Notice::Finished(_)));
    lab.assert_same("small");
}

#[test]
fn a_download_that_is_killed_thirty_times_fetches_little_twice() {
    const LENGTH: usize = 24_000_003;
    let lab = Lab::with_file(LENGTH, &[]);
    let mut seed = driver(&lab, lab.source().to_owned(), |_| ());
    turn_until(&mut seed, |notice| matches!(notice, Notice::Checked(..)));
    let peer = format!("127.0.0.1:{}", seed.port().unwrap());
    let mut moments = Seed::from_u64(30).stream("kills");
    let mut kills = 0;
    loop {
        let mut command = lab.download("fetched");
        let mut download = Process::start(command.args(["--peer", &peer, "--max-down", "5M"]));
        let life = Duration::from_millis(u64::from(150 + moments.below(350)));
        let started = Instant::now();
        while download.is_alive() && (kills == 30 || started.elapsed() < life) {
            seed.turn(Duration::from_millis(5)).unwrap();
        }
        if !download.is_alive() {
            assert_eq!(download.wait(), 0, "{:#?}", download.output());
            break;
        }
        download.signal("-KILL");
        download.wait();
        kills += 1;
    }
    lab.assert_same("fetched");
    let torrent = seed.engine().torrents().next().unwrap();
    let sent = seed.engine().torrent(torrent).unwrap().uploaded;
    let again = sent.saturating_sub(LENGTH as u64);
    println!("{kills} kills, {again} bytes sent twice, {} a kill", again / kills.max(1));
    assert!(kills >= 10, "{kills}");
    // What was under way, and pieces that were begun: less than half a second of the limit.
    assert!(again / kills < 2_500_000, "{again} bytes in {kills} kills");
}
