//! That whatever is on record would survive a power cut.

#[path = "../disk/tests/places/durable.rs"]
mod durable;
#[path = "../disk/tests/places/torrents.rs"]
mod torrents;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use durable::Durable;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Metainfo;
use eddyline::{
    AddTorrent, Command, Config, LocationId, Notice, Placement, RateLimits, ResumeData,
};
use eddyline_disk::resume_store::ResumeStore;
use eddyline_disk::{
    FileCache, FileOptions, FileSystem, Kind, Locations, Memory, PartTag, TorrentFiles,
};
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::{Driver, DriverConfig};
use torrents::{PIECE, torrent};

fn memory() -> Arc<dyn FileSystem> {
    Arc::new(Memory::new(1 << 30))
}

/// Puts all of a torrent into a place.
fn put(metainfo: &Arc<Metainfo>, bytes: &[u8], fs: &Arc<dyn FileSystem>) {
    let (id, cache) = (TorrentId::from_u64(1), Arc::new(FileCache::new(64)));
    let options = FileOptions { tag: PartTag::new(*b"known to us only"), keep_executable: false };
    let placement = Placement::default();
    let files =
        TorrentFiles::new(id, metainfo.clone(), fs.clone(), &placement, cache, options).unwrap();
    files.open(true).unwrap();
    for (piece, content) in (0..).zip(bytes.chunks(PIECE as usize)) {
        files.write(piece, 0, &[content]).unwrap();
    }
}

fn driver(locations: Locations, store: Option<Arc<ResumeStore>>) -> Driver {
    let config = DriverConfig {
        // Nothing leaves this machine.
        engine: Config {
            dht: false,
            lsd: false,
            resume_interval: Duration::ZERO,
            ..Config::default()
        },
        locations,
        read_cache: 1 << 20,
        unhashed: 4 << 20,
        store,
        listen: Some(ListenOptions {
            port: Some(0),
            address: Some(Ipv4Addr::LOCALHOST.into()),
            interface: None,
            ..Default::default()
        }),
        disk_threads: 2,
        record: None,
        keep_executable: false,
    };
    Driver::new(config).unwrap()
}

#[test]
fn no_piece_is_on_record_before_it_would_survive_a_power_cut() {
    let (metainfo, bytes) = torrent(&[1_500_000, 70_000, 2_500_000]);
    let seed_fs = memory();
    put(&metainfo, &bytes, &seed_fs);
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(ResumeStore::open(folder.path()).unwrap());
    let durable = Arc::new(Mutex::new(BTreeMap::new()));
    let (gate, came) = (Arc::default(), Arc::default());
    let place = Durable { inner: memory(), durable: durable.clone(), gate, came };
    let custom = |fs: Arc<dyn FileSystem>| {
        let locations = Locations::default();
        locations.restore(LocationId(0), Kind::Custom(fs));
        locations
    };
    let mut seed = driver(custom(seed_fs), None);
    let mut leech = driver(custom(Arc::new(place)), Some(store.clone()));
    seed.command(Command::Add(Box::new(AddTorrent::new(metainfo.clone()))));
    let mut add = AddTorrent::new(metainfo.clone());
    add.peers = vec![(Ipv4Addr::LOCALHOST, seed.port().unwrap()).into()];
    add.limits = RateLimits { down: Some(4_000_000), up: None };
    leech.command(Command::Add(Box::new(add)));
    let (started, step) = (Instant::now(), Duration::from_millis(2));
    let (mut finished, mut records, mut most) = (false, 0, 0);
    while !finished {
        assert!(started.elapsed() < Duration::from_secs(60), "{records} records");
        seed.turn(step).unwrap();
        let (buffered, bound) = leech.buffered();
        assert!(buffered <= bound, "{buffered} of {bound} bytes");
        for notice in leech.turn(step).unwrap() {
            finished |= matches!(notice, Notice::Finished(_));
            if !matches!(notice, Notice::ResumeSaved(_)) {
                continue;
            }
            let record = store.load(metainfo.info_hashes().wire()).unwrap();
            let record = ResumeData::decode(&record).unwrap();
            let survivors = durable.lock().unwrap();
            for piece in record.have.ones() {
                let (offset, size) = (
                    metainfo.geometry().piece_offset(piece),
                    metainfo.geometry().piece_size(piece),
                );
                let mut content = Vec::new();
                for slice in metainfo.layout().slices(offset, size) {
                    let path = &metainfo.layout().files()[slice.file as usize].path;
                    let (from, length) = (slice.offset as usize, slice.length as usize);
                    content.extend_from_slice(&survivors[path][from..from + length]);
                }
                assert_eq!(Some(Sha1Hash::of(&content)), metainfo.piece_hash(piece), "{piece}");
            }
            records += 1;
            most = most.max(record.have.count());
        }
    }
    assert!(records > 3 && most > 10, "{records} records, {most} pieces on the last");
}
