//! Unit tests of places, open files and the error table. What torrents do with them is in
//! `driver-mio/disk/tests/storage.rs`.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use eddyline::DiskError;
use eddyline::base::ids::TorrentId;

use super::real_file::RealFile;
use super::{
    Access, FileCache, FileSystem, Kind, Locations, Memory, Residence, Scoped, Span, System,
    disk_error,
};

const WRITE: Access = Access::Write { executable: false };

fn parts(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

/// What every place has to do.
fn behaves(fs: &dyn FileSystem) {
    assert!(fs.find(&parts("a/b/c")).unwrap().is_none());
    let file = fs.open(&parts("a/b/c"), WRITE).unwrap();
    file.write_at(&[b"hello", b" ", b"world"], 3).unwrap();
    let mut read = [9; 14];
    fs.open(&parts("a/b/c"), Access::Read).unwrap().read_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"\0\0\0hello world");
    assert!(file.read_at(&mut [0; 15], 0).is_err(), "behind the end");
    file.lengthen(5).unwrap();
    assert_eq!(file.found().unwrap().length, 14, "nothing is cut off");
    file.lengthen(20).unwrap();
    file.allocate(30).unwrap();
    assert_eq!(fs.find(&parts("a/b/c")).unwrap().unwrap().length, 30);
    file.sync().unwrap();
    fs.sync_folders(&parts("a/b/c")).unwrap();
    assert!(fs.open(&parts("a/b/missing"), Access::Read).is_err());
    // Names.
    fs.open(&parts("other"), WRITE).unwrap();
    let taken = fs.rename(&parts("other"), &parts("a/b/c")).unwrap_err();
    assert_eq!(disk_error(&taken), DiskError::InTheWay);
    fs.rename(&parts("a/b/c"), &parts("x/y")).unwrap();
    assert!(fs.find(&parts("a/b/c")).unwrap().is_none());
    assert!(!fs.remove_folder(&parts("x")).unwrap(), "it is not empty");
    fs.remove(&parts("x/y")).unwrap();
    assert!(fs.remove_folder(&parts("x")).unwrap());
    assert!(fs.is_there());
}

#[test]
fn every_kind_of_place_behaves_alike() {
    let dir = tempfile::tempdir().unwrap();
    behaves(&Scoped::open(dir.path()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    behaves(&System::open(dir.path()).unwrap());
    behaves(&Memory::new(1000));
}

#[test]
fn memory_has_no_more_room_than_it_is_given() {
    let memory = Memory::new(100);
    let file = memory.open(&parts("a"), WRITE).unwrap();
    file.write_at(&[&[1; 90]], 0).unwrap();
    let full = file.write_at(&[&[1; 20]], 90).unwrap_err();
    assert_eq!(disk_error(&full), DiskError::NoSpace);
    memory.remove(&parts("a")).unwrap();
    memory.open(&parts("b"), WRITE).unwrap().write_at(&[&[1; 100]], 0).unwrap();
}

#[test]
fn links_on_the_way_and_at_the_end_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "x").unwrap();
    symlink(outside.path(), dir.path().join("folder")).unwrap();
    symlink(outside.path().join("secret"), dir.path().join("file")).unwrap();
    let scoped = Scoped::open(dir.path()).unwrap();
    for path in ["folder/secret", "folder/new", "file"] {
        let error = scoped.open(&parts(path), WRITE).unwrap_err();
        assert_eq!(disk_error(&error), DiskError::InTheWay, "{path}");
    }
    assert!(scoped.remove(&parts("folder/secret")).is_err());
    assert!(!outside.path().join("new").exists());
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"x");
    // Where the user wants his links followed, they are.
    System::open(dir.path()).unwrap().open(&parts("folder/secret"), Access::Read).unwrap();
}

#[test]
fn a_link_that_takes_the_place_of_a_folder_during_the_run_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let scoped = Scoped::open(dir.path()).unwrap();
    scoped.open(&parts("t/a"), WRITE).unwrap();
    std::fs::rename(dir.path().join("t"), dir.path().join("u")).unwrap();
    symlink(outside.path(), dir.path().join("t")).unwrap();
    assert!(scoped.open(&parts("t/b"), WRITE).is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_in_the_place_of_a_file_is_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("x")).unwrap();
    let scoped = Scoped::open(dir.path()).unwrap();
    for access in [Access::Read, WRITE] {
        let error = scoped.open(&parts("x"), access).unwrap_err();
        assert_eq!(disk_error(&error), DiskError::InTheWay);
    }
}

#[test]
fn links_of_a_torrent_stay_inside() {
    let dir = tempfile::tempdir().unwrap();
    let scoped = Scoped::open(dir.path()).unwrap();
    scoped.link(&parts("t/a/link"), &parts("t/b/target")).unwrap();
    let target = std::fs::read_link(dir.path().join("t/a/link")).unwrap();
    assert_eq!(target.to_str().unwrap(), "../b/target");
    scoped.link(&parts("t/a/link"), &parts("t/c")).unwrap();
    assert_eq!(std::fs::read_link(dir.path().join("t/a/link")).unwrap(), target);
}

#[test]
fn the_file_cache_is_bounded_and_opens_each_file_once() {
    let memory = Memory::new(0);
    let cache = FileCache::new(8);
    let torrent = TorrentId::from_u64(1);
    let mut kept = Vec::new();
    for index in 0..100 {
        let path = [index.to_string()];
        kept.push(cache.get((torrent, index, true), || memory.open(&path, WRITE)).unwrap());
    }
    let open = kept.iter().filter(|file| Arc::strong_count(file) > 1).count();
    assert!((1..=8).contains(&open), "{open}");
    cache.get((torrent, 99, true), || panic!("it is open")).unwrap();
}

#[test]
fn a_process_that_may_open_no_more_files_closes_some_and_goes_on() {
    let memory = Memory::new(0);
    let cache = FileCache::new(100);
    let torrent = TorrentId::from_u64(1);
    for index in 0..50 {
        let path = [index.to_string()];
        cache.get((torrent, index, true), || memory.open(&path, WRITE)).unwrap();
    }
    let tries = std::cell::Cell::new(0);
    cache
        .get((torrent, 50, true), || {
            tries.set(tries.get() + 1);
            match tries.get() {
                1 => Err(rustix::io::Errno::MFILE.into()),
                _ => memory.open(&parts("50"), WRITE),
            }
        })
        .unwrap();
    assert!(cache.len() < 50, "{}", cache.len());
}

#[test]
fn a_span_goes_from_the_file_to_the_socket_and_notices_a_file_that_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let content: Vec<u8> = (0..200_000u32).map(|i| (i / 7) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let mut span = Span::new(span_file(&path), 1_000, 100_000);
    assert_eq!(span.residence(), Residence::Memory);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let got = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).map(|_| got)
    });
    while span.length() > 0 {
        let count = span.send(socket.as_fd()).unwrap();
        span.advance(count);
    }
    let gone = Span::new(span_file(&path), 150_000, 10_000);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(150_000).unwrap();
    assert_eq!(gone.residence(), Residence::Nowhere);
    assert_eq!(gone.send(socket.as_fd()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    drop(socket);
    assert!(got.join().unwrap().unwrap() == content[1_000..101_000]);
}

fn span_file(path: &std::path::Path) -> Arc<RealFile> {
    Arc::new(RealFile(std::fs::File::open(path).unwrap()))
}

#[test]
fn folders_that_were_made_for_nothing_go_and_others_stay() {
    let top = tempfile::tempdir().unwrap();
    let there = top.path().join("there");
    std::fs::create_dir(&there).unwrap();
    let locations = Locations::default();
    for (path, left) in [("there/new/deep", "there"), ("there", "there")] {
        let id = locations.register(Kind::Scoped(top.path().join(path)));
        let fs = locations.open(id).unwrap();
        locations.unmake(id);
        assert!(top.path().join(path).exists(), "a torrent is open there");
        drop(fs);
        locations.unmake(id);
        assert!(top.path().join(left).exists() && !top.path().join("there/new").exists());
        // It is made again when it is needed.
        drop(locations.open(id).unwrap());
        std::fs::write(top.path().join(path).join("file"), "of somebody").unwrap();
        locations.unmake(id);
        assert!(top.path().join(path).join("file").exists());
        std::fs::remove_dir_all(top.path().join("there/new")).ok();
    }
}
