//! What is done with the files of torrents, and that a crash at any moment of it loses nothing.

#[path = "places/failing.rs"]
mod failing;
#[path = "places/torrents.rs"]
mod torrents;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Metainfo;
use eddyline::{Allocation, DiskError, FileStatus, LocationId, Placement, Renamed};
use eddyline_disk::{
    Access, FileCache, FileOptions, FileSystem, HashBuffer, Kind, LocationError, Locations, Memory,
    PartTag, ReadCache, Scoped, TorrentFiles, disk_error,
};
use failing::Failing;
use torrents::{PIECE, torrent};

fn failing(inner: &Arc<dyn FileSystem>, changes: usize) -> Arc<dyn FileSystem> {
    Arc::new(Failing { inner: inner.clone(), left: Arc::new(AtomicUsize::new(changes)) })
}

fn memory() -> Arc<dyn FileSystem> {
    Arc::new(Memory::new(1 << 30))
}

fn open(
    metainfo: &Arc<Metainfo>,
    fs: &Arc<dyn FileSystem>,
    placement: &Placement,
) -> io::Result<TorrentFiles> {
    let cache = Arc::new(FileCache::new(64));
    let id = TorrentId::from_u64(1);
    let options = FileOptions { tag: tag(), keep_executable: false };
    let files = TorrentFiles::new(id, metainfo.clone(), fs.clone(), placement, cache, options)?;
    files.open(true)?;
    Ok(files)
}

fn tag() -> PartTag {
    PartTag::new(*b"known to us only")
}

fn skipping(skipped: &[u32]) -> Placement {
    Placement { skipped: skipped.to_vec(), ..Placement::default() }
}

/// Writes whole pieces and makes them durable.
fn write(files: &TorrentFiles, bytes: &[u8], pieces: &[u32]) {
    let mut dirty = Vec::new();
    for piece in pieces {
        let start = *piece as usize * PIECE as usize;
        let end = (start + PIECE as usize).min(bytes.len());
        let (one, two) = bytes[start..end].split_at(1000);
        files.write(*piece, 0, &[one, two]).unwrap();
        dirty.extend(files.files_of(*piece, 0, (end - start) as u32));
    }
    dirty.dedup();
    files.sync(&dirty).unwrap();
}

fn hash_piece(files: &TorrentFiles, piece: u32) -> io::Result<Sha1Hash> {
    files.hash_piece(piece, &mut HashBuffer::default())
}

fn assert_right(files: &TorrentFiles, pieces: &[u32], when: &str) {
    for piece in pieces {
        let hash =
            hash_piece(files, *piece).unwrap_or_else(|e| panic!("{when}, piece {piece}: {e}"));
        assert_eq!(Some(hash), files.metainfo().piece_hash(*piece), "{when}, piece {piece}");
    }
}

fn parts(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

/// Three files; the pieces of the middle one, which share bytes with its neighbours.
fn middle() -> (Arc<Metainfo>, Vec<u8>, Vec<u32>) {
    let (metainfo, bytes) = torrent(&[100_000, 150_000, 200_000]);
    (metainfo, bytes, vec![1, 2, 3])
}

#[test]
fn skipped_files_leave_nothing_but_a_part_file_and_that_goes_when_they_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let fs: Arc<dyn FileSystem> = Arc::new(Scoped::open(dir.path()).unwrap());
    let (metainfo, bytes, pieces) = middle();
    let files = open(&metainfo, &fs, &skipping(&[0, 2])).unwrap();
    write(&files, &bytes, &pieces);
    assert_right(&files, &pieces, "while they are skipped");
    let names = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(dir.path().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("t"), ["d1"], "no skipped file, no folder of one");
    let part = tag().file_name(&metainfo);
    assert!(names(".").contains(&part));
    // A restart finds what is in it.
    drop(files);
    let files = open(&metainfo, &fs, &skipping(&[0, 2])).unwrap();
    assert_right(&files, &pieces, "after a restart");
    files.select(&[2]).unwrap();
    assert_right(&files, &pieces, "when one is wanted");
    assert!(names(".").contains(&part));
    files.select(&[]).unwrap();
    assert_right(&files, &pieces, "when all are wanted");
    assert_eq!(names("."), ["t"]);
    write(&files, &bytes, &[0, 4, 5, 6]);
    assert_right(&files, &[0, 1, 2, 3, 4, 5, 6], "at the end");
    for (index, file) in metainfo.layout().files().iter().enumerate() {
        let found = std::fs::read(dir.path().join(file.path.join("/"))).unwrap();
        let start = file.offset as usize;
        assert!(found == bytes[start..start + file.length as usize], "file {index}");
    }
}

#[test]
fn what_is_there_of_a_file_that_is_skipped_later_stays_where_it_is() {
    let (metainfo, bytes, _) = middle();
    let fs = memory();
    let files = open(&metainfo, &fs, &skipping(&[])).unwrap();
    write(&files, &bytes, &[0, 1]);
    files.select(&[0, 2]).unwrap();
    write(&files, &bytes, &[2, 3]);
    assert_right(&files, &[0, 1, 2, 3], "skipped later");
    assert!(fs.find(&parts("t/d0/f0")).unwrap().is_some());
    assert!(fs.find(&parts("t/d2/f2")).unwrap().is_none());
}

#[test]
fn a_crash_at_any_moment_of_moving_shared_pieces_out_loses_nothing() {
    let (metainfo, bytes, pieces) = middle();
    let mut moments = 0;
    for later in [&[][..], &[0, 2], &[2]] {
        for changes in 0.. {
            let fs = memory();
            let files = open(&metainfo, &fs, &skipping(&[0, 2])).unwrap();
            write(&files, &bytes, &pieces);
            drop(files);
            let done = open(&metainfo, &failing(&fs, 1000), &skipping(&[0, 2])).is_ok();
            assert!(done);
            let flaky = failing(&fs, changes + 1);
            let result = open(&metainfo, &flaky, &skipping(&[0, 2])).and_then(|f| f.select(&[]));
            // The next start may want other files than the one that was killed.
            let when = format!("crash at change {changes}, then without {later:?}");
            let files = open(&metainfo, &fs, &skipping(later)).unwrap();
            assert_right(&files, &pieces, &when);
            write(&files, &bytes, &[0, 4]);
            assert_right(&files, &[0, 1, 2, 3, 4], &when);
            drop(files);
            let files = open(&metainfo, &fs, &skipping(&[])).unwrap();
            assert_right(&files, &[0, 1, 2, 3, 4], &when);
            moments += 1;
            if result.is_ok() {
                break;
            }
        }
    }
    assert!(moments >= 30, "{moments}");
}

#[test]
fn a_part_file_that_is_damaged_or_of_another_torrent_is_no_part_file() {
    let (metainfo, bytes, pieces) = middle();
    let fs = memory();
    let files = open(&metainfo, &fs, &skipping(&[0, 2])).unwrap();
    write(&files, &bytes, &pieces);
    drop(files);
    let part = vec![tag().file_name(&metainfo)];
    let stored = fs.open(&part, Access::Write { executable: false }).unwrap();
    // Two pieces in one slot.
    stored.write_at(&[&[1, 0, 0, 0, 1, 0, 0, 0]], 40 + 4).unwrap();
    let files = open(&metainfo, &fs, &skipping(&[0, 2])).unwrap();
    assert_eq!(disk_error(&hash_piece(&files, 1).unwrap_err()), DiskError::Missing);
    write(&files, &bytes, &pieces);
    assert_right(&files, &pieces, "written again");
}

#[test]
fn data_moves_to_another_place_and_what_it_left_goes_last() {
    let (metainfo, bytes, pieces) = middle();
    let (from, to) = (memory(), memory());
    let files = open(&metainfo, &from, &skipping(&[2])).unwrap();
    write(&files, &bytes, &pieces);
    let status = files.move_to(&to, LocationId(4)).unwrap();
    assert_eq!(status.iter().filter(|file| file.length.is_some()).count(), 2);
    assert_eq!(files.location(), LocationId(4));
    assert_right(&files, &pieces, "moved");
    assert!(from.find(&parts("t/d1/f1")).unwrap().is_some(), "it stays until it is discarded");
    files.discard(&*from, &BTreeSet::new()).unwrap();
    assert!(from.find(&parts("t/d1/f1")).unwrap().is_none());
    assert_right(&files, &pieces, "discarded");
    files.select(&[]).unwrap();
    assert_right(&files, &pieces, "part file too");
}

#[test]
fn a_crash_at_any_moment_of_a_move_loses_nothing_and_the_next_attempt_goes_on() {
    let (metainfo, bytes, pieces) = middle();
    let mut moments = 0;
    for changes in 0.. {
        let (from, to) = (memory(), memory());
        let files = open(&metainfo, &from, &skipping(&[2])).unwrap();
        write(&files, &bytes, &pieces);
        let result = files.move_to(&failing(&to, changes), LocationId(1));
        drop(files);
        let when = format!("crash at change {changes}");
        let files = open(&metainfo, &from, &skipping(&[2])).unwrap();
        assert_right(&files, &pieces, &when);
        files.move_to(&to, LocationId(1)).unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_right(&files, &pieces, &when);
        moments += 1;
        if result.is_ok() {
            break;
        }
    }
    assert!(moments > 12, "{moments}");
}

#[test]
fn a_move_writes_over_nothing_and_not_over_itself() {
    let (metainfo, bytes, pieces) = middle();
    let (from, to) = (memory(), memory());
    let files = open(&metainfo, &from, &skipping(&[])).unwrap();
    write(&files, &bytes, &pieces);
    let other = to.open(&parts("t/d1/f1"), Access::Write { executable: false }).unwrap();
    other.write_at(&[b"precious"], 0).unwrap();
    let refused = files.move_to(&to, LocationId(1)).unwrap_err();
    assert_eq!(disk_error(&refused), DiskError::InTheWay);
    let mut found = [0; 8];
    other.read_at(&mut found, 0).unwrap();
    assert_eq!(&found, b"precious");
    let refused = files.move_to(&from, LocationId(2)).unwrap_err();
    assert_eq!(disk_error(&refused), DiskError::InTheWay);
    files.discard(&*from, &BTreeSet::new()).unwrap();
    assert_right(&files, &pieces, "still there");
}

#[test]
fn on_one_file_system_a_move_needs_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| -> Arc<dyn FileSystem> {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        Arc::new(Scoped::open(&dir.path().join(name)).unwrap())
    };
    let (from, to) = (place("a"), place("b"));
    let (metainfo, bytes, pieces) = middle();
    let files = open(&metainfo, &from, &skipping(&[])).unwrap();
    write(&files, &bytes, &pieces);
    files.move_to(&to, LocationId(1)).unwrap();
    let inode = |fs: &Arc<dyn FileSystem>| fs.find(&parts("t/d1/f1")).unwrap().unwrap().identity;
    assert_eq!(inode(&from), inode(&to), "a second name of the same file");
    files.discard(&*from, &BTreeSet::new()).unwrap();
    assert_right(&files, &pieces, "moved");
    assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 0);
}

fn new_names() -> Vec<(u32, Renamed)> {
    let name = |from: &str, to: &str| Renamed { from: parts(from), to: parts(to) };
    vec![
        (0, name("t/d0/f0", "u/x/one")),
        (1, name("t/d1/f1", "u/two")),
        (2, name("t/d2/f2", "u/three")),
    ]
}

#[test]
fn a_crash_at_any_moment_of_renaming_is_completed_at_the_next_start() {
    let (metainfo, bytes, pieces) = middle();
    let renamed: BTreeMap<u32, Renamed> = new_names().into_iter().collect();
    for changes in 0.. {
        let fs = memory();
        write(&open(&metainfo, &fs, &skipping(&[])).unwrap(), &bytes, &pieces);
        let flaky = failing(&fs, changes + 1);
        let result =
            open(&metainfo, &flaky, &skipping(&[])).and_then(|files| files.rename(&new_names()));
        let placement = Placement { renamed: renamed.clone(), ..Placement::default() };
        let files = open(&metainfo, &fs, &placement).unwrap();
        assert_right(&files, &pieces, &format!("crash at change {changes}"));
        assert!(fs.find(&parts("u/two")).unwrap().is_some());
        if result.is_ok() {
            break;
        }
    }
}

#[test]
fn a_renaming_that_a_crash_left_undone_takes_nothing_that_stands_under_a_new_name() {
    let (metainfo, bytes, pieces) = middle();
    let renamed: BTreeMap<u32, Renamed> = new_names().into_iter().collect();
    for foreign in ["u/two", "u"] {
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn FileSystem> = Arc::new(Scoped::open(dir.path()).unwrap());
        write(&open(&metainfo, &fs, &skipping(&[])).unwrap(), &bytes, &pieces);
        fs.open(&parts(foreign), Access::Write { executable: false }).unwrap();
        let placement = Placement { renamed: renamed.clone(), ..Placement::default() };
        let files = open(&metainfo, &fs, &placement).unwrap();
        assert_eq!(files.found_names().get(&1), Some(&parts("t/d1/f1")), "{foreign}");
        assert_right(&files, &pieces, foreign);
        files.delete(&BTreeSet::new()).unwrap();
        assert_eq!(fs.find(&parts(foreign)).unwrap().map(|found| found.length), Some(0));
    }
}

#[test]
fn a_file_that_has_the_former_name_of_another_one_keeps_it_at_the_next_start() {
    let (metainfo, bytes, pieces) = middle();
    let fs = memory();
    let own = |file: usize| metainfo.layout().files()[file].path.clone();
    // The first file got another name and is not there; the second has its name now. The record is
    // that of a version that remembered the former name for ever.
    let gone = Renamed { from: own(0), to: parts("t/elsewhere") };
    let heir = Renamed { from: own(1), to: own(0) };
    let renamed: BTreeMap<u32, Renamed> = [(0, gone), (1, heir)].into();
    let placement = Placement { renamed, ..Placement::default() };
    let files = open(&metainfo, &fs, &placement).unwrap();
    write(&files, &bytes, &pieces);
    fs.remove(&parts("t/elsewhere")).unwrap();
    let length = fs.find(&own(0)).unwrap().unwrap().length;
    drop(files);
    open(&metainfo, &fs, &placement).unwrap();
    assert_eq!(fs.find(&own(0)).unwrap().map(|found| found.length), Some(length));
    assert!(fs.find(&parts("t/elsewhere")).unwrap().is_none());
}

#[test]
fn a_name_that_is_taken_leaves_all_names_as_they_were() {
    let (metainfo, bytes, pieces) = middle();
    let fs = memory();
    let files = open(&metainfo, &fs, &skipping(&[])).unwrap();
    write(&files, &bytes, &pieces);
    fs.open(&parts("u/three"), Access::Write { executable: false }).unwrap();
    let refused = files.rename(&new_names()).unwrap_err();
    assert_eq!(disk_error(&refused), DiskError::InTheWay);
    assert_right(&files, &pieces, "old names");
    assert!(fs.find(&parts("t/d1/f1")).unwrap().is_some());
}

#[test]
fn deleting_removes_what_is_ours_and_folders_that_are_empty_then() {
    let dir = tempfile::tempdir().unwrap();
    let fs: Arc<dyn FileSystem> = Arc::new(Scoped::open(dir.path()).unwrap());
    let (metainfo, bytes, pieces) = middle();
    let files = open(&metainfo, &fs, &skipping(&[2])).unwrap();
    write(&files, &bytes, &pieces);
    std::fs::write(dir.path().join("t/d1/mine"), "x").unwrap();
    std::fs::write(dir.path().join("other"), "y").unwrap();
    files.delete(&BTreeSet::new()).unwrap();
    let left: Vec<_> = walk(dir.path());
    assert_eq!(left, ["other", "t/d1/mine"]);
}

fn walk(root: &std::path::Path) -> Vec<String> {
    let mut out = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut entries = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            entries += 1;
            if path.is_dir() {
                folders.push(path);
            } else {
                out.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
        assert!(entries > 0, "{} is an empty folder", folder.display());
    }
    out.sort();
    out
}

#[test]
fn room_is_made_for_what_is_wanted_and_for_nothing_else() {
    use std::os::unix::fs::MetadataExt;
    for (allocation, blocks) in [(Allocation::Sparse, false), (Allocation::Full, true)] {
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn FileSystem> = Arc::new(Scoped::open(dir.path()).unwrap());
        let (metainfo, _, _) = middle();
        let placement = Placement { skipped: vec![0], allocation, ..Placement::default() };
        let files = open(&metainfo, &fs, &placement).unwrap();
        assert!(fs.find(&parts("t/d1/f1")).unwrap().is_none(), "nothing before it is asked for");
        files.select(&[0]).unwrap();
        let found = std::fs::metadata(dir.path().join("t/d1/f1")).unwrap();
        assert_eq!(found.len(), 150_000);
        assert_eq!(found.blocks() > 0, blocks, "{allocation:?}");
        assert!(fs.find(&parts("t/d0/f0")).unwrap().is_none());
    }
}

#[test]
fn locations_are_registered_listed_and_unregistered_when_nobody_uses_them() {
    let dir = tempfile::tempdir().unwrap();
    let locations = Locations::folder(dir.path());
    let custom = locations.register(Kind::Custom(memory()));
    let second = locations.register(Kind::System(dir.path().join("made/when/used")));
    let ids: Vec<u32> = locations.list().iter().map(|(id, _)| id.0).collect();
    assert_eq!((ids, custom, second), (vec![0, 1, 2], LocationId(1), LocationId(2)));
    let used = locations.open(second).unwrap();
    assert_eq!(locations.unregister(second), Err(LocationError::InUse));
    drop(used);
    assert_eq!(locations.unregister(second), Ok(()));
    assert_eq!(locations.unregister(second), Err(LocationError::Unknown));
    assert!(dir.path().join("made/when/used").is_dir(), "what lies there stays");
}

#[test]
fn an_empty_folder_in_the_place_of_a_drive_is_not_the_drive() {
    let dir = tempfile::tempdir().unwrap();
    let (mounted, away) = (dir.path().join("drive"), dir.path().join("away"));
    std::fs::create_dir(&mounted).unwrap();
    std::fs::write(mounted.join("data"), "x").unwrap();
    let locations = Locations::folder(&mounted);
    drop(locations.open(LocationId(0)).unwrap());
    std::fs::rename(&mounted, &away).unwrap();
    let gone = |result: io::Result<_>| {
        let result: io::Result<Arc<dyn FileSystem>> = result;
        disk_error(&result.unwrap_err()) == DiskError::LocationGone
    };
    assert!(locations.look(LocationId(0), true).is_err());
    assert!(gone(locations.open(LocationId(0))), "nothing is made again");
    std::fs::create_dir(&mounted).unwrap();
    assert!(gone(locations.open(LocationId(0))), "the folder that a drive is mounted on");
    std::fs::remove_dir(&mounted).unwrap();
    std::fs::rename(&away, &mounted).unwrap();
    locations.open(LocationId(0)).unwrap();
    assert!(locations.look(LocationId(0), true).is_ok());
}

#[test]
fn what_many_want_is_read_once_and_no_more_is_kept_than_allowed() {
    let cache = ReadCache::new(512 * 1024);
    let torrent = TorrentId::from_u64(1);
    let reads = AtomicUsize::new(0);
    let read = |begin: u32, length: u32| {
        reads.fetch_add(1, Ordering::SeqCst);
        Ok(bytes::Bytes::from(vec![(begin >> 14) as u8; length as usize]))
    };
    let size = 4 << 20;
    for _ in 0..10 {
        for block in 0..8 {
            let place = (block * 16_384, 16_384);
            assert_eq!(cache.get((torrent, 0), place, size, read).unwrap().len(), 16_384);
        }
    }
    assert_eq!((reads.load(Ordering::SeqCst), cache.stats().hits), (1, 79));
    for block in 0..256 {
        cache.get((torrent, 0), (block * 16_384, 16_384), size, read).unwrap();
        let stats = cache.stats();
        assert!(stats.held <= stats.limit, "{stats:?}");
    }
    cache.written(torrent, 0);
    assert_eq!(cache.stats().held, 0);
}

#[test]
fn pieces_hashed_side_by_side_are_as_they_are_one_by_one() {
    let (metainfo, bytes) = torrent(&[700_000, 0, 800_000, 123_457]);
    let fs = memory();
    let files = open(&metainfo, &fs, &skipping(&[])).unwrap();
    let all: Vec<u32> = (0..metainfo.geometry().pieces()).collect();
    let written: Vec<u32> = all.iter().copied().filter(|piece| *piece != 23).collect();
    write(&files, &bytes, &written);
    let mut buffer = HashBuffer::default();
    let hashes = files.hash_pieces(&all, &mut buffer);
    for (piece, hash) in all.iter().zip(hashes) {
        match hash {
            Ok(hash) => assert_eq!(metainfo.piece_hash(*piece) == Some(hash), *piece != 23),
            Err(error) => panic!("piece {piece}: {error}"),
        }
    }
    // Of a file that is gone nothing is said, and of the others everything.
    fs.remove(&parts("t/d2/f2")).unwrap();
    files.close();
    for (piece, hash) in all.iter().zip(files.hash_pieces(&all, &mut buffer)) {
        let gone = (10..=22).contains(piece);
        assert_eq!(hash.is_err(), gone, "piece {piece}");
    }
}

#[test]
fn what_is_hashed_are_the_files_that_have_their_names_now() {
    let dir = tempfile::tempdir().unwrap();
    let fs: Arc<dyn FileSystem> = Arc::new(Scoped::open(dir.path()).unwrap());
    let (metainfo, bytes) = torrent(&[4 * u64::from(PIECE)]);
    let files = open(&metainfo, &fs, &Placement::default()).unwrap();
    let all = [0, 1, 2, 3];
    write(&files, &bytes, &all);
    assert_right(&files, &all, "as it was written");
    let path = files.path(0).iter().fold(dir.path().to_owned(), |way, part| way.join(part));
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    assert_eq!(disk_error(&hash_piece(&files, 0).unwrap_err()), DiskError::Missing);
    let many = files.hash_pieces(&all, &mut HashBuffer::default());
    assert!(many.iter().all(Result::is_err), "also side by side");
    // Another file has the name.
    std::fs::write(&path, vec![1; bytes.len()]).unwrap();
    assert_ne!(hash_piece(&files, 0).ok(), metainfo.piece_hash(0));
    std::fs::rename(&aside, &path).unwrap();
    assert_right(&files, &all, "when it is back");
    // After a look at all files, what is written goes where the name is.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(files.sync(&[]).unwrap()[0].length, None);
    write(&files, &bytes, &all);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_file_that_nobody_has_written_to_is_told_where_nothing_is_on_record() {
    let dir = tempfile::tempdir().unwrap();
    let fs: Arc<dyn FileSystem> = Arc::new(Scoped::open(dir.path()).unwrap());
    let (metainfo, bytes) = torrent(&[100_000, 100_000, 100_000]);
    let files = open(&metainfo, &fs, &Placement::default()).unwrap();
    let path =
        |file| files.path(file).iter().fold(dir.path().to_owned(), |way, part| way.join(part));
    for file in 0..3 {
        std::fs::create_dir_all(path(file).parent().unwrap()).unwrap();
        std::fs::File::create(path(file)).unwrap().set_len(100_000).unwrap();
    }
    std::fs::write(path(1), vec![0; 100_000]).unwrap();
    let room = std::fs::OpenOptions::new().write(true).open(path(2)).unwrap();
    rustix::fs::fallocate(&room, rustix::fs::FallocateFlags::empty(), 0, 100_000).unwrap();
    let holes = |new| -> Vec<bool> {
        let all = files.open(new).unwrap();
        all.iter().map(|status| status.modified == FileStatus::HOLE).collect()
    };
    assert_eq!(holes(true), [true, false, true], "zeros are something; room is nothing");
    assert_eq!(holes(false), [false; 3]);
    files.write(0, 0, &[&bytes[..1000]]).unwrap();
    assert!(!holes(true)[0]);
}
