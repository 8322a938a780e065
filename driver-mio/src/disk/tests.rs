//! Unit tests of safe opening, the file cache and disk operations.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use eddyline::DiskError;
use eddyline::base::ids::TorrentId;

use super::{FileCache, Root, disk_error};

fn parts(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

#[test]
fn files_and_folders_are_made_where_missing() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    assert!(root.stat(&parts("a/b/c")).unwrap().is_none());
    root.file(&parts("a/b/c"), true, false).unwrap();
    assert!(dir.path().join("a/b/c").is_file());
    assert!(root.file(&parts("a/b/missing"), false, false).is_err());
}

#[test]
fn links_on_the_way_and_at_the_end_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "x").unwrap();
    symlink(outside.path(), dir.path().join("folder")).unwrap();
    symlink(outside.path().join("secret"), dir.path().join("file")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    for path in ["folder/secret", "folder/new", "file"] {
        let error = root.file(&parts(path), true, false).unwrap_err();
        assert_eq!(disk_error(&error), DiskError::InTheWay, "{path}");
    }
    assert!(!outside.path().join("new").exists());
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"x");
}

#[test]
fn a_folder_in_the_place_of_a_file_is_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("x")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    for write in [false, true] {
        let error = root.file(&parts("x"), write, false).unwrap_err();
        assert_eq!(disk_error(&error), DiskError::InTheWay);
    }
}

#[test]
fn links_of_a_torrent_stay_inside() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    root.link(&parts("t/a/link"), &parts("t/b/target")).unwrap();
    let target = std::fs::read_link(dir.path().join("t/a/link")).unwrap();
    assert_eq!(target.to_str().unwrap(), "../b/target");
    root.link(&parts("t/a/link"), &parts("t/c")).unwrap();
    assert_eq!(std::fs::read_link(dir.path().join("t/a/link")).unwrap(), target);
}

#[test]
fn the_file_cache_is_bounded_and_opens_each_file_once() {
    let dir = tempfile::tempdir().unwrap();
    let cache = FileCache::new(8);
    let torrent = TorrentId::from_u64(1);
    let mut kept = Vec::new();
    for index in 0..100 {
        let path = dir.path().join(index.to_string());
        kept.push(cache.get((torrent, index, true), || std::fs::File::create(&path)).unwrap());
    }
    let open = kept.iter().filter(|file| Arc::strong_count(file) > 1).count();
    assert!((1..=8).contains(&open), "{open}");
    cache.get((torrent, 99, true), || panic!("it is open")).unwrap();
}
