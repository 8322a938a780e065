//! Nothing is taken for a part file, and copied over what is verified, but what this program wrote.

#[path = "places/torrents.rs"]
mod torrents;

use std::io;
use std::path::Path;
use std::sync::Arc;

use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Metainfo;
use eddyline::{DiskError, Placement};
use eddyline_disk::resume_store::ResumeStore;
use eddyline_disk::{
    FileCache, FileOptions, FileSystem, HashBuffer, PartTag, Scoped, TorrentFiles, disk_error,
};
use torrents::{PIECE, torrent};

fn open(
    metainfo: &Arc<Metainfo>,
    folder: &Path,
    skipped: &[u32],
    tag: PartTag,
) -> io::Result<TorrentFiles> {
    let fs: Arc<dyn FileSystem> = Arc::new(Scoped::open(folder).unwrap());
    let placement = Placement { skipped: skipped.to_vec(), ..Placement::default() };
    let (id, cache) = (TorrentId::from_u64(1), Arc::new(FileCache::new(64)));
    let options = FileOptions { tag, keep_executable: false };
    let files = TorrentFiles::new(id, metainfo.clone(), fs, &placement, cache, options)?;
    files.open(true)?;
    Ok(files)
}

fn write(files: &TorrentFiles, bytes: &[u8], pieces: &[u32]) {
    for piece in pieces {
        let start = (piece * PIECE) as usize;
        let end = (start + PIECE as usize).min(bytes.len());
        files.write(*piece, 0, &[&bytes[start..end]]).unwrap();
        let dirty: Vec<u32> = files.files_of(*piece, 0, (end - start) as u32).collect();
        files.sync(&dirty).unwrap();
    }
}

fn is_good(files: &TorrentFiles, piece: u32) -> bool {
    let hash = files.hash_piece(piece, &mut HashBuffer::default());
    hash.is_ok_and(|hash| files.metainfo().piece_hash(piece) == Some(hash))
}

fn tag(letter: u8) -> PartTag {
    PartTag::new([letter; 16])
}

/// A part file of all pieces of a torrent of one file, full of something else.
fn forged(metainfo: &Metainfo, version: u32, tag: Option<[u8; 16]>) -> Vec<u8> {
    let pieces = metainfo.geometry().pieces();
    let mut bytes = b"EDDYPART".to_vec();
    for number in [version, PIECE, pieces, 1] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(tag.iter().flatten());
    (1..=pieces).for_each(|slot| bytes.extend(slot.to_le_bytes()));
    bytes.push(1);
    bytes.resize(4096 + (pieces * PIECE) as usize, b'!');
    bytes
}

#[test]
fn a_file_that_only_looks_like_a_part_file_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (metainfo, bytes) = torrent(&[200_000]);
    let pieces: Vec<u32> = (0..metainfo.geometry().pieces()).collect();
    write(&open(&metainfo, dir.path(), &[], tag(1)).unwrap(), &bytes, &pieces);
    let hash = metainfo.info_hashes().wire().to_hex();
    // As the first version had it, and as this one has it with a tag that is guessed.
    let old = dir.path().join(format!(".{hash}.parts"));
    std::fs::write(&old, forged(&metainfo, 1, None)).unwrap();
    let guessed = dir.path().join(tag(2).file_name(&metainfo));
    std::fs::write(&guessed, forged(&metainfo, 2, Some([2; 16]))).unwrap();
    // Under the right name, but with another tag at its head.
    let right = dir.path().join(tag(1).file_name(&metainfo));
    std::fs::write(right, forged(&metainfo, 2, Some([2; 16]))).unwrap();
    let files = open(&metainfo, dir.path(), &[], tag(1)).unwrap();
    assert!(pieces.iter().all(|piece| is_good(&files, *piece)));
    assert!(old.exists() && guessed.exists(), "what is not ours is left alone");
}

#[test]
fn a_part_file_whose_tag_is_lost_is_not_there_and_its_bytes_are_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let (metainfo, bytes) = torrent(&[100_000, 150_000, 200_000]);
    write(&open(&metainfo, dir.path(), &[0, 2], tag(1)).unwrap(), &bytes, &[1, 2, 3]);
    // Another state folder, or none.
    let files = open(&metainfo, dir.path(), &[0, 2], tag(2)).unwrap();
    let missing = files.hash_piece(1, &mut HashBuffer::default()).unwrap_err();
    assert_eq!(disk_error(&missing), DiskError::Missing);
    assert!(is_good(&files, 2), "what is whole in a file that is wanted stays");
    write(&files, &bytes, &[1, 3]);
    assert!([1, 2, 3].into_iter().all(|piece| is_good(&files, piece)));
    // Both state folders share the folder from now on, and neither is in the other's way.
    drop(files);
    let files = open(&metainfo, dir.path(), &[], tag(1)).unwrap();
    assert!([1, 2, 3].into_iter().all(|piece| is_good(&files, piece)));
    assert!(dir.path().join(tag(2).file_name(&metainfo)).exists());
    assert!(!dir.path().join(tag(1).file_name(&metainfo)).exists(), "moved out");
}

#[test]
fn a_good_file_that_somebody_put_there_meanwhile_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let (metainfo, bytes) = torrent(&[100_000, 150_000, 200_000]);
    let files = open(&metainfo, dir.path(), &[0, 2], tag(1)).unwrap();
    // What lies in the part file was not hashed yet, and is bad.
    files.write(1, 0, &[&[b'x'; PIECE as usize]]).unwrap();
    write(&files, &bytes, &[2]);
    drop(files);
    for file in metainfo.layout().files() {
        let (path, from) = (dir.path().join(file.path.join("/")), file.offset as usize);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &bytes[from..from + file.length as usize]).unwrap();
    }
    let files = open(&metainfo, dir.path(), &[], tag(1)).unwrap();
    assert!((0..metainfo.geometry().pieces()).all(|piece| is_good(&files, piece)));
}

#[test]
fn the_tag_is_on_record_before_there_is_a_part_file_and_goes_with_the_torrent() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (metainfo, bytes) = torrent(&[100_000, 150_000, 200_000]);
    let hash = metainfo.info_hashes().wire();
    let on_record = || ResumeStore::look_up_tag(state.path(), hash);
    let store = Arc::new(ResumeStore::open(state.path()).unwrap());
    let of_store = || PartTag::of(Some(&store), hash).unwrap();
    let files = open(&metainfo, dir.path(), &[0, 2], of_store()).unwrap();
    assert_eq!(on_record(), None, "a torrent without a part file needs none");
    write(&files, &bytes, &[1, 2, 3]);
    assert!(on_record().is_some());
    drop(files);
    let files = open(&metainfo, dir.path(), &[0, 2], of_store()).unwrap();
    assert!([1, 2, 3].into_iter().all(|piece| is_good(&files, piece)));
    store.forget(hash).unwrap();
    assert_eq!(on_record(), None);
    assert_ne!(of_store().bytes(), of_store().bytes(), "drawn again");
}

#[test]
fn files_are_executable_only_if_that_is_asked_for() {
    use std::os::unix::fs::PermissionsExt;
    let (metainfo, bytes) = torrent(&[40_000]);
    // `attr` is the first key of the file's dictionary, in their order.
    let (plain, length) = (metainfo.info(), b"d6:length");
    let file = plain.windows(length.len()).position(|bytes| bytes == length).unwrap();
    let info = [&plain[..=file], b"4:attr1:x", &plain[file + 1..]].concat();
    let marked = Arc::new(eddyline::metainfo::Metainfo::parse_info(&info).unwrap());
    assert!(marked.layout().files()[0].attributes.executable);
    for keep_executable in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn FileSystem> = Arc::new(Scoped::open(dir.path()).unwrap());
        let (id, cache) = (TorrentId::from_u64(1), Arc::new(FileCache::new(64)));
        let options = FileOptions { tag: tag(1), keep_executable };
        let placement = Placement::default();
        let files = TorrentFiles::new(id, marked.clone(), fs, &placement, cache, options).unwrap();
        write(&files, &bytes, &[0]);
        let path = dir.path().join(marked.layout().files()[0].path.join("/"));
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o100 != 0, keep_executable);
    }
}
