//! The ten rules of the driver contract (ARCHITECTURE.md), each tested against this driver.

#[path = "../disk/tests/places/durable.rs"]
mod durable;
#[path = "contract/history.rs"]
mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use durable::Durable;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::{ConnId, DiskOpId, ExchangeId, LookupId, TorrentId};
use eddyline::base::payload::Payload;
use eddyline::metainfo::{CreateNeed, CreateOptions, Creator, InputFile, Metainfo};
use eddyline::trace::LastStep;
use eddyline::{
    Action, AddTorrent, CloseKind, Config, DiskError, DiskOp, DiskOutcome, Event, HttpEvent,
    HttpGet, LocationId, Notice, StreamAction, StreamEvent,
};
use eddyline_disk::mailbox::Mailbox;
use eddyline_disk::{DiskPool, Kind, Locations, Memory, PoolOptions};
use eddyline_mio::buffers::Buffers;
use eddyline_mio::dns::{Dns, Names};
use eddyline_mio::http::Http;
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::recorder::RecordTo;
use eddyline_mio::stream::{ReadOutcome, Stream};
use eddyline_mio::{Driver, DriverConfig};
use mio::{Poll, Token, Waker};

const PATIENCE: Duration = Duration::from_secs(30);

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

/// A torrent of one file and its content.
fn torrent(length: usize, piece_length: u32) -> (Arc<Metainfo>, Vec<u8>) {
    let bytes = payload(length);
    let options = CreateOptions { name: "f".into(), piece_length, ..CreateOptions::default() };
    let file = InputFile { path: vec![], length: length as u64, executable: false };
    let mut creator = Creator::new(options, vec![file]).unwrap();
    for need in creator.needs().collect::<Vec<_>>() {
        if let CreateNeed::Piece { index } = need {
            let start = creator.geometry().piece_offset(index) as usize;
            let end = start + creator.geometry().piece_size(index) as usize;
            creator.provide_piece(index, Sha1Hash::of(&bytes[start..end]));
        }
    }
    (Arc::new(Metainfo::parse(&creator.finish().unwrap()).unwrap()), bytes)
}

/// A connected stream and the other end of it, as a blocking socket.
fn stream_pair() -> (Stream, std::net::TcpStream) {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    let socket = mio::net::TcpStream::from_std(near);
    let mut stream = Stream::new(ConnId::from_u64(1 << 32), socket, true);
    stream.readable = true;
    (stream, far)
}

/// A mailbox, and the poll that keeps its waker alive.
fn mailbox() -> (Poll, Mailbox) {
    let poll = Poll::new().unwrap();
    let waker = Waker::new(poll.registry(), Token(0)).unwrap();
    (poll, Mailbox::new(move || waker.wake().unwrap()))
}

/// Collects `count` events, and waits a little longer for any that should not come.
fn collect(mailbox: &Mailbox, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let end = Instant::now() + PATIENCE;
    while events.len() < count && Instant::now() < end {
        mailbox.collect(&mut events);
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(50));
    mailbox.collect(&mut events);
    events
}

/// A driver of the torrents in `folder`, which records what it does beside it.
fn driver(folder: &std::path::Path) -> Driver {
    let listen = ListenOptions {
        port: Some(0),
        address: Some(Ipv4Addr::LOCALHOST.into()),
        interface: None,
        ..ListenOptions::default()
    };
    let config = DriverConfig {
        // Nothing leaves this machine.
        engine: Config { dht: false, lsd: false, ..Config::default() },
        locations: Locations::folder(folder),
        read_cache: 1 << 20,
        unhashed: 4 << 20,
        store: None,
        listen: Some(listen),
        disk_threads: 2,
        record: Some(RecordTo { path: trace_of(folder), replace: false }),
        keep_executable: false,
    };
    Driver::new(config).unwrap()
}

fn trace_of(folder: &std::path::Path) -> std::path::PathBuf {
    folder.with_extension("trace")
}

#[test]
fn rule_1_what_a_step_is_told_of_happened_at_or_before_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = driver(&dir.path().join("a"));
    let started = Instant::now();
    let port = driver.port().unwrap();
    let peer = std::thread::spawn(move || {
        // By then the driver waits in its poll: a time that was taken before that is too early.
        std::thread::sleep(Duration::from_millis(50));
        let called = Instant::now();
        (std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap(), called)
    });
    let (begin, mut last) = (driver.engine().now(), driver.engine().now());
    while driver.engine().stats().waiting == 0 {
        driver.turn(PATIENCE).unwrap();
        assert!(driver.engine().now() >= last, "time goes backwards");
        last = driver.engine().now();
    }
    // The clock of the driver began before `started`.
    let (_peer, called) = peer.join().unwrap();
    let (engine, here) = (last.since(begin), called.duration_since(started));
    assert!(engine >= here, "told at {engine:?} of what was not before {here:?}");
}

#[test]
fn rule_2_actions_of_one_connection_are_performed_in_order() {
    let (mut stream, mut far) = stream_pair();
    for part in 0..200u8 {
        stream.send(Bytes::from(vec![part; 100]));
    }
    stream.write().unwrap();
    let mut heard = vec![0; 20_000];
    far.read_exact(&mut heard).unwrap();
    assert!(heard.chunks(100).enumerate().all(|(at, part)| part == [at as u8; 100]));
}

#[test]
fn rule_3_a_partial_write_is_finished_before_the_next_begins() {
    let (mut stream, mut far) = stream_pair();
    let all = payload(20_000_000);
    for part in all.chunks(70_000) {
        stream.send(Bytes::copy_from_slice(part));
    }
    let mut sent = u64::from(stream.write().unwrap());
    assert!(sent < all.len() as u64, "the socket's buffer is not endless");
    assert!(!stream.writable && !stream.is_flushed());
    let reader = std::thread::spawn(move || {
        let mut heard = vec![0; 20_000_000];
        far.read_exact(&mut heard).unwrap();
        heard
    });
    while !stream.is_flushed() {
        stream.writable = true;
        sent += u64::from(stream.write().unwrap());
    }
    assert_eq!(sent, all.len() as u64, "`Sent` counts what the kernel took");
    assert!(reader.join().unwrap() == all);
}

#[test]
fn rule_4_no_more_is_delivered_than_granted_and_readiness_is_remembered() {
    let (mut stream, mut far) = stream_pair();
    let mut buffers = Buffers::default();
    far.write_all(&payload(100)).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let mut read = |stream: &mut Stream| {
        let mut bytes = Vec::new();
        let outcome = stream.read(&mut buffers, &mut bytes);
        (outcome, bytes.iter().map(Bytes::len).sum::<usize>())
    };
    assert!(matches!(read(&mut stream), (ReadOutcome::Nothing, 0)), "no credit, no bytes");
    stream.credit = 10;
    assert!(matches!(read(&mut stream), (ReadOutcome::Bytes, 10)));
    assert_eq!(stream.credit, 0);
    assert!(stream.readable, "nobody will say again that there is more");
    stream.credit = 1000;
    assert!(matches!(read(&mut stream), (ReadOutcome::Bytes, 90)));
    assert_eq!(stream.credit, 910);
}

#[test]
fn rule_5_received_bytes_arrive_in_order() {
    let (mut stream, mut far) = stream_pair();
    let all = payload(3_000_000);
    let sent = all.clone();
    let writer = std::thread::spawn(move || far.write_all(&sent).unwrap());
    let mut buffers = Buffers::default();
    let mut heard = Vec::new();
    while heard.len() < all.len() {
        stream.credit = 1 + (heard.len() % 700_000) as u32;
        stream.readable = true;
        let mut bytes = Vec::new();
        stream.read(&mut buffers, &mut bytes);
        bytes.iter().for_each(|part| heard.extend_from_slice(part));
    }
    writer.join().unwrap();
    assert!(heard == all);
}

#[test]
fn rule_6_every_lookup_and_exchange_ends_exactly_once() {
    let (_poll, mailbox) = mailbox();
    let dns = Dns::start(&mailbox, Names::default());
    for id in 0..10 {
        dns.resolve(LookupId::from_u64(id), "127.0.0.1".into());
    }
    assert_eq!(collect(&mailbox, 10).len(), 10);
    let http = Http::start(&mailbox, "test", Names::default());
    let closed = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    for (id, url) in [format!("http://{closed}/"), "nonsense".into()].into_iter().enumerate() {
        let get =
            HttpGet { url, ipv6: None, only: None, max_body: 100, timeout: Duration::from_secs(5) };
        http.get(ExchangeId::from_u64(id as u64), get);
    }
    let ended = collect(&mailbox, 2);
    let failed = |event: &Event| matches!(event, Event::Http(_, HttpEvent::Failed(_)));
    assert!(ended.len() == 2 && ended.iter().all(failed), "{ended:?}");
}

fn start_pool(folder: &std::path::Path, threads: usize, mailbox: &Mailbox) -> DiskPool {
    start_pool_at(Locations::folder(folder), threads, mailbox)
}

fn start_pool_at(locations: Locations, threads: usize, mailbox: &Mailbox) -> DiskPool {
    let options = PoolOptions {
        locations,
        store: None,
        threads,
        hash_jobs: 4,
        open_files: 64,
        read_cache: 1 << 20,
        unhashed: 1 << 20,
        keep_executable: false,
    };
    DiskPool::start(options, mailbox.clone())
}

fn open(torrent: TorrentId, metainfo: Arc<Metainfo>) -> DiskOp {
    DiskOp::Open { torrent, metainfo, placement: Box::default() }
}

/// A pool with an open torrent of `length` bytes.
fn pool(folder: &std::path::Path, length: usize) -> (Poll, Mailbox, DiskPool, Vec<u8>, TorrentId) {
    let (poll, mailbox) = mailbox();
    let pool = start_pool(folder, 3, &mailbox);
    let (metainfo, bytes) = torrent(length, 65_536);
    let id = TorrentId::from_u64(1);
    pool.submit(vec![(DiskOpId::from_u64(0), open(id, metainfo))]);
    let opened = collect(&mailbox, 1);
    assert!(matches!(opened[0], Event::Disk(_, DiskOutcome::Opened(_))), "{opened:?}");
    (poll, mailbox, pool, bytes, id)
}

fn write_everything(pool: &DiskPool, torrent: TorrentId, bytes: &[u8]) -> usize {
    let blocks: Vec<_> = bytes.chunks(16_384).enumerate().collect();
    for (at, block) in &blocks {
        let (piece, begin) = ((at / 4) as u32, (at % 4 * 16_384) as u32);
        let payload = Payload::One(Bytes::copy_from_slice(block));
        let op = DiskOp::WriteBlock { torrent, piece, begin, payload };
        pool.submit(vec![(DiskOpId::from_u64(100 + *at as u64), op)]);
    }
    blocks.len()
}

#[test]
fn rule_6_every_disk_operation_ends_exactly_once() {
    let dir = tempfile::tempdir().unwrap();
    let (_poll, mailbox, pool, bytes, torrent) = pool(dir.path(), 1_000_000);
    let count = write_everything(&pool, torrent, &bytes);
    let ended: Vec<u64> = collect(&mailbox, count)
        .iter()
        .map(|event| match event {
            Event::Disk(id, DiskOutcome::Written) => id.as_u64(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ended.len(), count);
    assert_eq!(ended.iter().collect::<BTreeSet<_>>().len(), count);
}

#[test]
fn rule_8_operations_do_not_wait_for_one_that_takes_long() {
    let (_poll, mailbox) = mailbox();
    let (gate, came) = (Arc::new(Mutex::new(())), Arc::new(AtomicU64::new(0)));
    let place = Durable {
        inner: Arc::new(Memory::new(1 << 30)),
        durable: Arc::new(Mutex::new(BTreeMap::new())),
        gate: gate.clone(),
        came: came.clone(),
    };
    let locations = Locations::default();
    locations.restore(LocationId(0), Kind::Custom(Arc::new(place)));
    let pool = start_pool_at(locations, 2, &mailbox);
    let (metainfo, bytes) = torrent(200_000, 65_536);
    let id = TorrentId::from_u64(1);
    pool.submit(vec![(DiskOpId::from_u64(0), open(id, metainfo))]);
    assert_eq!(collect(&mailbox, 1).len(), 1);
    let written = write_everything(&pool, id, &bytes[..65_536]);
    assert_eq!(collect(&mailbox, written).len(), written);
    let (closed, before) = (gate.lock().unwrap(), came.load(Ordering::SeqCst));
    let payload = Payload::One(Bytes::copy_from_slice(&bytes[65_536..81_920]));
    let write = DiskOp::WriteBlock { torrent: id, piece: 1, begin: 0, payload };
    pool.submit(vec![(DiskOpId::from_u64(1), write)]);
    while came.load(Ordering::SeqCst) == before {
        std::thread::sleep(Duration::from_millis(1));
    }
    // A worker is held in the middle of that write, and the other one goes on.
    pool.submit(vec![(DiskOpId::from_u64(2), DiskOp::HashPiece { torrent: id, piece: 0 })]);
    let read = DiskOp::ReadBlock { torrent: id, piece: 0, begin: 0, length: 16_384 };
    pool.submit(vec![(DiskOpId::from_u64(3), read)]);
    let ended = collect(&mailbox, 2);
    let ids: BTreeSet<_> = ended.iter().filter_map(ended_operation).collect();
    assert_eq!(ids, BTreeSet::from([2, 3]), "{ended:?}");
    drop(closed);
    assert!(matches!(collect(&mailbox, 1)[..], [Event::Disk(_, DiskOutcome::Written)]));
}

/// The number of a disk operation that ended well.
fn ended_operation(event: &Event) -> Option<u64> {
    match event {
        Event::Disk(_, DiskOutcome::Failed(_)) => None,
        Event::Disk(id, _) => Some(id.as_u64()),
        _ => None,
    }
}

#[test]
fn rule_8_operations_end_in_any_order_and_a_hash_sees_completed_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (_poll, mailbox, pool, bytes, torrent) = pool(dir.path(), 1_000_000);
    let count = write_everything(&pool, torrent, &bytes);
    assert_eq!(collect(&mailbox, count).len(), count);
    let pieces: Vec<_> = bytes.chunks(65_536).map(Sha1Hash::of).collect();
    for piece in 0..pieces.len() as u32 {
        let op = DiskOp::HashPiece { torrent, piece };
        pool.submit(vec![(DiskOpId::from_u64(piece.into()), op)]);
    }
    for event in collect(&mailbox, pieces.len()) {
        let Event::Disk(id, DiskOutcome::PieceHashed(hash)) = event else { panic!("{event:?}") };
        assert_eq!(hash, pieces[id.as_u64() as usize]);
    }
}

#[test]
fn rule_9_payload_comes_back_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let (_poll, mailbox, pool, bytes, torrent) = pool(dir.path(), 100_000);
    let count = write_everything(&pool, torrent, &bytes);
    collect(&mailbox, count);
    let op = DiskOp::ReadBlock { torrent, piece: 1, begin: 5, length: 30_000 };
    pool.submit(vec![(DiskOpId::from_u64(1), op)]);
    let read = collect(&mailbox, 1);
    let Event::Disk(_, DiskOutcome::Read(read)) = &read[0] else { panic!("{read:?}") };
    assert_eq!(read.as_ref(), &bytes[65_541..95_541]);
}

#[test]
fn rule_10_the_driver_keeps_paths_inside_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "untouched").unwrap();
    std::os::unix::fs::symlink(&secret, dir.path().join("f")).unwrap();
    let (_poll, mailbox) = mailbox();
    let pool = start_pool(dir.path(), 1, &mailbox);
    let (metainfo, _) = torrent(100_000, 65_536);
    let op = open(TorrentId::from_u64(1), metainfo);
    pool.submit(vec![(DiskOpId::from_u64(0), op)]);
    let outcome = collect(&mailbox, 1);
    let refused = DiskOutcome::Failed(DiskError::InTheWay);
    assert_eq!(
        format!("{outcome:?}"),
        format!("{:?}", [Event::Disk(DiskOpId::from_u64(0), refused)])
    );
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "untouched");
}

/// Strangers whose connections end in every way, at `port`: closed by the engine while more is under way, closed by
/// the peer, and broken by it.
fn call_and_go(port: u16) -> Vec<std::net::TcpStream> {
    let call = || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut nonsense = call();
    nonsense.write_all(&[0x55; 300_000]).unwrap();
    let mut half = call();
    half.write_all(b"\x13BitTorrent prot").unwrap();
    drop(half);
    let broken = call();
    let at_once = socket2::SockRef::from(&broken);
    at_once.set_linger(Some(Duration::ZERO)).unwrap();
    drop(broken);
    vec![nonsense]
}

/// A whole transfer with strangers that call in, as the driver of the leecher recorded it.
fn a_whole_transfer() -> Vec<LastStep> {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::create_dir(&source).unwrap();
    let (metainfo, bytes) = torrent(8_000_000, 65_536);
    std::fs::write(source.join("f"), &bytes).unwrap();
    let (mut seed, mut leech) = (driver(&source), driver(&target));
    seed.command(eddyline::Command::Add(Box::new(AddTorrent::new(metainfo.clone()))));
    let step = Duration::from_millis(5);
    let checked = |notices: &[Notice]| notices.iter().any(|n| matches!(n, Notice::Checked(..)));
    while !checked(&seed.turn(step).unwrap()) {}
    let mut add = AddTorrent::new(metainfo);
    let nobody = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    add.peers = vec![(Ipv4Addr::LOCALHOST, seed.port().unwrap()).into(), nobody];
    leech.command(eddyline::Command::Add(Box::new(add)));
    let strangers = call_and_go(leech.port().unwrap());
    let end = Instant::now() + PATIENCE;
    let mut finished = false;
    // Until it is here, and no stranger is still shaking hands.
    while (!finished || leech.engine().stats().waiting > 0) && Instant::now() < end {
        seed.turn(step).unwrap();
        let notices = leech.turn(step).unwrap();
        finished |= notices.iter().any(|notice| matches!(notice, Notice::Finished(_)));
    }
    assert!(finished);
    drop(strangers);
    for driver in [&seed, &leech] {
        let violations: Vec<_> = driver.engine().violations().collect();
        assert!(violations.is_empty(), "{violations:?}");
        driver.engine().check_invariants(eddyline::CheckDepth::Full).unwrap();
    }
    assert!(std::fs::read(target.join("f")).unwrap() == bytes);
    leech.command(eddyline::Command::ShutDown);
    while !leech.turn(step).unwrap().contains(&Notice::ShutDown) {
        assert!(Instant::now() < end, "it does not stop");
    }
    leech.finish_recording().unwrap();
    history::steps(std::fs::read(trace_of(&target)).unwrap())
}

#[test]
fn rules_1_3_4_6_and_7_hold_for_all_that_a_driver_tells_in_a_whole_transfer() {
    let (faults, ends) = history::read(&a_whole_transfer());
    assert_eq!(faults, Vec::<String>::new());
    assert!(ends.by_engine > 0 && ends.by_peer > 0 && ends.never_connected > 0, "{ends:?}");
}

/// What each rule forbids is found when it is put into a history in which it does not occur.
#[test]
fn a_driver_that_broke_a_rule_would_be_found() {
    let steps = a_whole_transfer();
    let events = || steps.iter().flat_map(|step| &step.events);
    let ended = events().find(|event| {
        matches!(event, Event::Stream(_, StreamEvent::Closed(_) | StreamEvent::ConnectFailed(_)))
    });
    let Some(Event::Stream(ended, _)) = ended else { panic!("a connection ended") };
    let closed = steps.iter().flat_map(|step| &step.actions).find_map(|action| match action {
        Action::Stream(conn, StreamAction::Close(_)) => Some(*conn),
        _ => None,
    });
    let alive = steps.iter().flat_map(|step| &step.actions).find_map(|action| match action {
        Action::Stream(conn, StreamAction::SendBlock(_) | StreamAction::Send(_)) => Some(*conn),
        _ => None,
    });
    let written = events().find(|event| matches!(event, Event::Disk(..))).unwrap();
    let (closed, alive) = (closed.unwrap(), alive.unwrap());
    let much = StreamEvent::Received(vec![0; 1 << 28].into());
    // Where they are told: behind the last step, or for a connection that lives then, before anything ended it.
    let cases = [
        ("rule 7", steps.len(), Event::Stream(*ended, StreamEvent::Sent(1))),
        ("rule 7", steps.len(), Event::Stream(closed, StreamEvent::Closed(CloseKind::Reset))),
        ("rule 6", steps.len(), written.clone()),
        ("rule 3", first_send(&steps, alive), Event::Stream(alive, StreamEvent::Sent(u32::MAX))),
        ("rule 4", first_send(&steps, alive), Event::Stream(alive, much)),
    ];
    for (rule, at, event) in cases {
        let mut broken = steps[..at].to_vec();
        let last = broken.last().unwrap().clone();
        broken.push(LastStep { events: vec![event.clone()], actions: Vec::new(), ..last });
        let (faults, _) = history::read(&broken);
        assert!(faults.len() == 1 && faults[0].starts_with(rule), "{event:?}: {faults:?}");
    }
    // An end that is left out is missed when all is over.
    let (at, lost) = steps
        .iter()
        .enumerate()
        .find_map(|(at, step)| {
            Some((at, step.events.iter().position(|event| matches!(event, Event::Disk(..)))?))
        })
        .unwrap();
    let mut silent = steps.clone();
    silent[at].events.remove(lost);
    let (faults, _) = history::read(&silent);
    assert!(faults.len() == 1 && faults[0].starts_with("rule 6"), "{faults:?}");
    let mut backwards = steps.clone();
    backwards.swap(0, steps.len() - 1);
    let (faults, _) = history::read(&backwards);
    assert!(faults.iter().any(|fault| fault.starts_with("rule 1")), "{faults:?}");
}

/// The number of steps up to the first one in which something is sent over `conn`.
fn first_send(steps: &[LastStep], conn: ConnId) -> usize {
    let sends = |action: &Action| {
        let Action::Stream(of, action) = action else { return false };
        *of == conn && matches!(action, StreamAction::SendBlock(_) | StreamAction::Send(_))
    };
    1 + steps.iter().position(|step| step.actions.iter().any(sends)).unwrap()
}
