//! The worker threads: what they do beside each other, and what they leave behind.

#[path = "places/durable.rs"]
mod durable;
#[path = "places/torrents.rs"]
mod torrents;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use durable::Durable;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{DiskOpId, TorrentId};
use eddyline::base::payload::Payload;
use eddyline::metainfo::Metainfo;
use eddyline::{DiskOp, DiskOutcome, Event, LocationId};
use eddyline_disk::mailbox::Mailbox;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_disk::{DiskPool, Kind, Locations, Memory, PoolOptions};
use torrents::{PIECE, torrent};

/// Workers, and what they have done.
struct Pool {
    pool: DiskPool,
    mailbox: Mailbox,
    ended: Vec<Event>,
}

const ID: TorrentId = TorrentId::from_u64(1);

impl Pool {
    fn start(locations: Locations, store: Option<Arc<ResumeStore>>) -> Self {
        let mailbox = Mailbox::new(|| ());
        let (threads, open_files, read_cache, unhashed) = (2, 16, 0, 1 << 20);
        let options = PoolOptions {
            locations,
            store,
            threads,
            hash_jobs: 32,
            open_files,
            read_cache,
            unhashed,
            keep_executable: false,
        };
        let pool = DiskPool::start(options, mailbox.clone());
        Self { pool, mailbox, ended: Vec::new() }
    }

    fn submit(&self, op: DiskOp) {
        self.pool.submit(vec![(DiskOpId::from_u64(1), op)]);
    }

    /// Waits until `count` operations have ended.
    fn wait(&mut self, count: usize) {
        while self.ended.len() < count {
            std::thread::sleep(Duration::from_millis(1));
            self.mailbox.collect(&mut self.ended);
        }
    }

    /// Does one thing to the end.
    fn perform(&mut self, op: DiskOp) {
        self.submit(op);
        self.wait(self.ended.len() + 1);
        let last = self.ended.last().unwrap();
        assert!(!matches!(last, Event::Disk(_, DiskOutcome::Failed(_))), "{last:?}");
    }

    fn open(&mut self, metainfo: &Arc<Metainfo>) {
        let (metainfo, placement) = (metainfo.clone(), Box::default());
        self.perform(DiskOp::Open { torrent: ID, metainfo, placement });
    }

    fn write(&mut self, piece: u32, bytes: &[u8]) {
        let payload = Payload::One(bytes.to_vec().into());
        self.perform(DiskOp::WriteBlock { torrent: ID, piece, begin: 0, payload });
    }
}

#[test]
fn a_sync_beside_a_write_leaves_the_write_to_the_next_one() {
    let (metainfo, bytes) = torrent(&[PIECE.into()]);
    let (durable, gate) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(Mutex::new(())));
    let inner = Arc::new(Memory::new(1 << 30));
    let came = Arc::new(AtomicU64::new(0));
    let place = Durable { inner, durable: durable.clone(), gate: gate.clone(), came: came.clone() };
    let locations = Locations::default();
    locations.restore(LocationId(0), Kind::Custom(Arc::new(place)));
    let mut pool = Pool::start(locations, None);
    pool.open(&metainfo);
    let closed = gate.lock().unwrap();
    let before = came.load(Ordering::SeqCst);
    let payload = Payload::One(bytes.clone().into());
    pool.submit(DiskOp::WriteBlock { torrent: ID, piece: 0, begin: 0, payload });
    // A worker has the block in its hands and cannot go on.
    while came.load(Ordering::SeqCst) == before {
        std::thread::sleep(Duration::from_millis(1));
    }
    pool.perform(DiskOp::Sync { torrent: ID });
    drop(closed);
    pool.wait(3);
    pool.perform(DiskOp::Sync { torrent: ID });
    let path: Vec<String> = ["t", "d0", "f0"].map(String::from).into();
    assert!(durable.lock().unwrap()[&path] == bytes);
}

/// Everything below a folder.
fn below(root: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(below(&path).into_iter().map(|inner| format!("{name}/{inner}")));
        }
        found.push(name);
    }
    found.sort();
    found
}

#[test]
fn folders_that_were_there_before_a_torrent_outlive_it() {
    let (metainfo, bytes) = torrent(&[40_000, 40_000]);
    let (data, other, state) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(data.path().join("t/d1")).unwrap();
    std::fs::create_dir_all(other.path().join("t/d0")).unwrap();
    let store = Arc::new(ResumeStore::open(state.path()).unwrap());
    let locations = Locations::folder(data.path());
    let to = locations.register(Kind::Scoped(other.path().into()));
    let mut pool = Pool::start(locations, Some(store));
    pool.open(&metainfo);
    for (piece, part) in bytes.chunks(PIECE as usize).enumerate() {
        pool.write(piece as u32, part);
    }
    let data_of_resume = bytes::Bytes::from_static(b"anything");
    pool.perform(DiskOp::StoreResume { torrent: ID, data: data_of_resume });
    pool.perform(DiskOp::Close { torrent: ID });
    pool.open(&metainfo);
    pool.perform(DiskOp::Move { torrent: ID, to });
    pool.perform(DiskOp::Discard { torrent: ID, from: LocationId(0) });
    assert_eq!(below(data.path()), ["t", "t/d1"], "what was there before the torrent");
    let info_hash = metainfo.info_hashes().v1.unwrap_or(Sha1Hash([0; 20]));
    pool.perform(DiskOp::Delete { torrent: ID, info_hash, data: true });
    assert_eq!(below(other.path()), ["t", "t/d0"], "what was there before it came");
    assert_eq!(below(state.path()), ["claims", "claims/lock", "resume"]);
}

/// Waits until what is written now has a later date than `file`: the clock that files are dated by ticks
/// some hundred times a second.
fn wait_for_another_date(file: &std::path::Path, probe: &std::path::Path) {
    use std::os::unix::fs::MetadataExt;
    let date = |path: &std::path::Path| {
        let found = std::fs::metadata(path).unwrap();
        (found.ctime(), found.ctime_nsec())
    };
    let before = date(file);
    loop {
        std::fs::write(probe, "now").unwrap();
        if date(probe) > before {
            return std::fs::remove_file(probe).unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn nothing_is_read_for_peers_from_a_file_that_others_have_changed() {
    let (metainfo, bytes) = torrent(&[PIECE.into(), PIECE.into()]);
    let data = tempfile::tempdir().unwrap();
    let mut pool = Pool::start(Locations::folder(data.path()), None);
    pool.open(&metainfo);
    for (piece, part) in bytes.chunks(PIECE as usize).enumerate() {
        pool.write(piece as u32, part);
    }
    let read = DiskOp::ReadBlock { torrent: ID, piece: 0, begin: 0, length: 16_384 };
    let turn = |pool: &mut Pool| {
        pool.pool.turn_begins();
        pool.mailbox.collect(&mut pool.ended);
    };
    let lent = |pool: &Pool, piece| pool.pool.span(ID, piece, 0, 16_384).is_some();
    let resident = |pool: &Pool| pool.pool.read_resident(ID, 0, 0, &mut [0; 16_384]);
    for piece in 0..2 {
        // Opens the files for reading.
        pool.perform(DiskOp::ReadBlock { torrent: ID, piece, begin: 0, length: 16_384 });
    }
    turn(&mut pool);
    let first = pool.pool.span(ID, 0, 0, 16_384).unwrap();
    assert!(first.is_unchanged() && resident(&pool) && lent(&pool, 1));
    let path = data.path().join("t/d0/f0");
    wait_for_another_date(&path, &data.path().join("probe"));
    let file = std::fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"theirs", 30_000).unwrap();
    assert!(!first.is_unchanged(), "what waits for a socket is not sent");
    assert!(!lent(&pool, 0) && !resident(&pool) && lent(&pool, 1), "the other file is as it was");
    pool.perform(read.clone());
    let told = pool.ended.last().unwrap();
    let Event::Disk(_, DiskOutcome::Changed(files)) = told else { panic!("{told:?}") };
    assert_eq!(files[0].0, 0);
    // From then on the engine knows, and decides what is served; the loop waits for the next turn.
    while !lent(&pool, 0) {
        turn(&mut pool);
    }
    pool.perform(read);
    assert!(matches!(pool.ended.last(), Some(Event::Disk(_, DiskOutcome::Read(_)))));
}

#[test]
fn without_a_state_folder_a_part_file_goes_with_its_torrent() {
    let (metainfo, bytes) = torrent(&[100_000, 150_000]);
    let data = tempfile::tempdir().unwrap();
    let mut pool = Pool::start(Locations::folder(data.path()), None);
    let placement = eddyline::Placement { skipped: vec![0], ..Default::default() };
    let open = DiskOp::Open { torrent: ID, metainfo, placement: Box::new(placement) };
    pool.perform(open);
    pool.write(1, &bytes[PIECE as usize..2 * PIECE as usize]);
    let parts = |data: &tempfile::TempDir| {
        below(data.path()).into_iter().filter(|name| name.ends_with(".parts")).count()
    };
    assert_eq!(parts(&data), 1);
    pool.perform(DiskOp::Close { torrent: ID });
    assert_eq!(parts(&data), 0);
}
