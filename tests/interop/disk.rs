//! Disks that run full, and processes that are killed: what was fetched is not lost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::base::rng::Seed;
use eddyline::metainfo::Metainfo;
use eddyline::{AddTorrent, Command as Wish, Config, DiskError, Notice, TorrentError};
use eddyline_disk::Locations;
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::{Driver, DriverConfig};

use crate::clients::libtorrent;
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

/// A folder that is seen at another place too, like a drive, until it is unplugged.
struct Drive {
    at: PathBuf,
    behind: PathBuf,
    plugged: bool,
}

impl Drive {
    fn plug(at: PathBuf, behind: PathBuf) -> Self {
        let mut drive = Self { at, behind, plugged: false };
        drive.plug_in();
        drive
    }

    fn plug_in(&mut self) {
        as_root(&["mount", "--bind", self.behind.to_str().unwrap()], &self.at);
        self.plugged = true;
    }

    fn unplug(&mut self) {
        if std::mem::take(&mut self.plugged) {
            as_root(&["umount", "-l"], &self.at);
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        self.unplug();
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
        unhashed: 4 << 20,
        store: None,
        listen: Some(ListenOptions {
            port: Some(0),
            address: Some(std::net::Ipv4Addr::LOCALHOST.into()),
            interface: None,
            ..Default::default()
        }),
        disk_threads: 2,
        record: None,
        keep_executable: false,
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
fn a_download_that_is_killed_fifty_times_fetches_little_twice() {
    const LENGTH: usize = 24_000_003;
    let lab = Lab::with_file(LENGTH, &[]);
    let mut seed = driver(&lab, lab.source().to_owned(), |_| ());
    turn_until(&mut seed, |notice| matches!(notice, Notice::Checked(..)));
    let peer = format!("127.0.0.1:{}", seed.port().unwrap());
    let mut moments = Seed::from_u64(30).stream("kills");
    let mut kills = 0;
    let (mut lost, mut losses) = (0, Vec::new());
    loop {
        let mut command = lab.download("fetched");
        let mut download = Process::start(command.args(["--peer", &peer, "--max-down", "2M"]));
        let life = Duration::from_millis(u64::from(150 + moments.below(200)));
        let started = Instant::now();
        while download.is_alive() && (kills == 50 || started.elapsed() < life) {
            seed.turn(Duration::from_millis(5)).unwrap();
        }
        if !download.is_alive() {
            assert_eq!(download.wait(), 0, "{:#?}", download.output());
            break;
        }
        download.signal("-KILL");
        download.wait();
        kills += 1;
        // What has been sent and is not there is lost; more of it than before, to this kill.
        let all = sent(&seed).saturating_sub(good_bytes(&lab, "fetched"));
        losses.push(all.saturating_sub(lost));
        lost = all;
    }
    lab.assert_same("fetched");
    losses.sort_unstable();
    let (median, worst) = (losses[kills / 2], losses[kills - 1]);
    println!("{kills} kills, fetched again after one: {median} bytes (median), {worst} (worst)");
    assert!(kills >= 30, "{kills}");
    // What was under way: a second of the limit at the most, and what the sockets hold.
    assert!(median < 1_000_000 && worst < 4_000_000, "{losses:?}");
}

fn sent(seed: &Driver) -> u64 {
    let torrent = seed.engine().torrents().next().unwrap();
    seed.engine().torrent(torrent).unwrap().uploaded
}

/// Bytes of good pieces in the folder `name`, as `verify` finds them.
fn good_bytes(lab: &Lab, name: &str) -> u64 {
    let mut command = crate::lab::eddyline();
    command.arg("verify").arg(&lab.torrent).arg("--dir").arg(lab.dir(name)).arg("--json");
    let output = command.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let files = report["files"].as_array().unwrap();
    files.iter().map(|file| file["good"].as_u64().unwrap()).sum()
}

#[test]
fn a_folder_that_cannot_be_written_ends_a_download_with_a_sentence_that_says_so() {
    let lab = Lab::with_file(3_000_000, &[]);
    let (_seed, port) = lab.seed(&[]);
    let disk = SmallDisk::mount(lab.dir("fixed"), "8m");
    as_root(&["mount", "-o", "remount,ro"], &disk.0);
    let peer = format!("127.0.0.1:{port}");
    let mut download = Process::start(lab.download("fixed").args(["--peer", &peer]));
    assert_eq!(download.wait(), 17);
    let lines = download.output();
    let told = |line: &String| line.contains("permission") && line.contains("the folder");
    assert!(lines.iter().any(told), "{lines:#?}");
}

#[test]
fn a_file_that_is_something_else_is_an_error_and_not_a_loss() {
    let lab = Lab::with_file(3_000_000, &[]);
    let (_seed, port) = lab.seed(&[]);
    let peer = format!("127.0.0.1:{port}");
    let precious = lab.dir("taken").join("payload.bin");
    std::fs::write(&precious, vec![b'x'; 3_000_000]).unwrap();
    let mut download = Process::start(lab.download("taken").args(["--peer", &peer]));
    assert_eq!(download.wait(), 13);
    let lines = download.output();
    let told = |l: &String| l.contains("payload.bin is there already") && l.contains("--dir");
    assert!(lines.iter().any(told), "{lines:#?}");
    assert!(std::fs::read(&precious).unwrap() == vec![b'x'; 3_000_000]);
    let mut command = lab.download("taken");
    let mut download = Process::start(command.args(["--peer", &peer, "--allow-overwrite"]));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("taken");
}

#[test]
fn skipped_files_are_not_there_and_their_shared_pieces_are_kept_for_later() {
    let fill = |dir: &Path| {
        for (name, size) in [("a", 300_000), ("b", 3_000_000), ("c", 200_000)] {
            std::fs::write(dir.join(name), crate::lab::bytes(size)).unwrap();
        }
    };
    let lab = Lab::with_folder(fill, &["--piece-length", "64KiB"]);
    let (_seed, port) = lab.seed(&[]);
    let peer = format!("127.0.0.1:{port}");
    let names = |folder: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let root = lab.dir("some");
    succeed(lab.download("some").args(["--select", "b", "--peer", &peer]));
    assert_eq!(names(&root.join("payload")), ["b"]);
    assert!(names(&root)[0].ends_with(".parts"), "{:?}", names(&root));
    // Of the pieces that a and c share with b nothing is fetched again.
    let mut command = lab.download("some");
    let output = succeed(command.args(["--peer", &peer, "--json"]));
    let text = String::from_utf8(output.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(last["downloaded"].as_u64().unwrap() <= 3_500_000, "{last}");
    assert_eq!(names(&root), ["payload"]);
    lab.assert_same("some");
}

#[test]
fn a_drive_that_is_unplugged_is_waited_for() {
    let lab = Lab::with_file(12_000_000, &[]);
    let (_seed, port) = lab.seed(&[]);
    let mut drive = Drive::plug(lab.dir("drive"), lab.dir("behind"));
    let peer = format!("127.0.0.1:{port}").parse().unwrap();
    let mut leech = driver(&lab, lab.dir("drive"), |add| {
        add.peers.push(peer);
        add.limits.down = Some(3_000_000);
    });
    turn_until(&mut leech, |notice| matches!(notice, Notice::PieceVerified(..)));
    drive.unplug();
    let gone = TorrentError::Disk(DiskError::LocationGone);
    let failed = |notice: &Notice| matches!(notice, Notice::TorrentFailed(_, e) if *e == gone);
    turn_until(&mut leech, failed);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        leech.turn(Duration::from_millis(50)).unwrap();
    }
    assert_eq!(std::fs::read_dir(lab.dir("drive")).unwrap().count(), 0, "nothing is put there");
    drive.plug_in();
    turn_until(&mut leech, |notice| matches!(notice, Notice::LocationBack(_)));
    turn_until(&mut leech, |notice| matches!(notice, Notice::Finished(_)));
    lab.assert_same("drive");
}

#[test]
fn a_file_that_is_cut_off_while_it_is_seeded_is_withdrawn_and_fetched_again() {
    let lab = Lab::with_file(6_000_000, &[]);
    let (_other, port) = lab.seed(&[]);
    let copy = lab.dir("copy").join("payload.bin");
    std::fs::copy(&lab.payload, &copy).unwrap();
    let other = format!("127.0.0.1:{port}").parse().unwrap();
    let mut seed = driver(&lab, lab.dir("copy"), |add| add.peers.push(other));
    turn_until(&mut seed, |notice| matches!(notice, Notice::Checked(..)));
    let file = std::fs::File::options().write(true).open(&copy).unwrap();
    file.set_len(2_500_000).unwrap();
    // libtorrent asks for everything, and gets what is there.
    let peers = [format!("127.0.0.1:{}", seed.port().unwrap()), format!("127.0.0.1:{port}")];
    let dir = lab.dir("leech");
    let mut leech = libtorrent(&lab, &dir, "leech", &peers);
    let (mut withdrawn, mut whole, started) = (0, false, Instant::now());
    while !whole || !leech.process.output().iter().any(|line| line == "DONE") {
        assert!(started.elapsed() < PATIENCE, "{withdrawn} pieces were withdrawn");
        for notice in seed.turn(Duration::from_millis(20)).unwrap() {
            withdrawn += usize::from(matches!(notice, Notice::PieceWithdrawn(..)));
            // It ends several times: after the first check, and whenever what is known to be gone
            // is here again.
            whole |= withdrawn >= 215 && matches!(notice, Notice::Finished(_));
        }
    }
    lab.assert_same("leech");
    lab.assert_same("copy");
    // The pieces behind the cut, and no other.
    assert_eq!(withdrawn, 215);
}
