//! Clients that transfer between each other on this machine, as an embedder has them.

use std::future::Future;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::{CreateNeed, CreateOptions, Creator, InputFile, Magnet, Metainfo};
use eddyline::{
    CommandError, Config, FileRange, Priority, RateLimits, ReadAhead, ReaderId, TorrentState,
};
use eddyline_mio::listen::ListenOptions;
use eddyline_mio::recorder::RecordTo;
use eddyline_session::session_store::{Entry, SessionSet, SessionStore};
use eddyline_session::{
    AddOptions, Client, Data, EntryError, Error, EventKind, Torrent, TorrentSnapshot, Trouble,
    Warning, engine_config,
};
use futures_core::Stream;

const PIECE: u32 = 16_384;

fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()).collect()
}

fn torrent(content: &[u8]) -> Metainfo {
    let file = InputFile { path: vec![], length: content.len() as u64, executable: false };
    made_of("file", vec![file], content)
}

fn made_of(name: &str, files: Vec<InputFile>, content: &[u8]) -> Metainfo {
    let options =
        CreateOptions { name: name.into(), piece_length: PIECE, ..CreateOptions::default() };
    let mut creator = Creator::new(options, files).unwrap();
    for need in creator.needs().collect::<Vec<_>>() {
        if let CreateNeed::Piece { index } = need {
            let start = (index * PIECE) as usize;
            let end = (start + PIECE as usize).min(content.len());
            creator.provide_piece(index, Sha1Hash::of(&content[start..end]));
        }
    }
    Metainfo::parse(&creator.finish().unwrap()).unwrap()
}

/// A client that nobody but its like on this machine can reach.
fn client(folder: &Path) -> Client {
    let address = Some(Ipv4Addr::LOCALHOST.into());
    let listen =
        ListenOptions { port: Some(0), address, interface: None, ..ListenOptions::default() };
    let engine = Config { dht: false, lsd: false, ..engine_config() };
    Client::builder().folder(folder).listen(Some(listen)).engine(engine).build().unwrap()
}

fn from(seed: &Client) -> AddOptions {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, seed.port().unwrap()));
    AddOptions { peers: vec![addr], ..AddOptions::default() }
}

/// A client that has everything, in a folder of its own.
fn seed(content: &[u8]) -> (tempfile::TempDir, Client) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), content).unwrap();
    let client = client(folder.path());
    let torrent = client.add(torrent(content)).wait().unwrap();
    torrent.completed().wait().unwrap();
    (folder, client)
}

#[test]
fn a_torrent_is_moved_and_goes_on_in_its_new_folder() {
    let content = content();
    let (files, seed) = seed(&content);
    let elsewhere = tempfile::tempdir().unwrap();
    let to = elsewhere.path().join("new");
    let moved = seed.torrents().wait().unwrap().pop().unwrap();
    moved.move_to(&to).wait().unwrap();
    assert_eq!(std::fs::read(to.join("file")).unwrap(), content);
    // The copy behind it is removed when the new one is on record.
    let old = files.path().join("file");
    assert!((0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        !old.exists()
    }));
    // Whoever comes is served from there.
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    let fetched = client.add_with(torrent(&content), from(&seed)).wait().unwrap();
    fetched.completed().wait().unwrap();
    // What cannot be done leaves all as it was.
    std::fs::write(elsewhere.path().join("full"), b"no folder").unwrap();
    let events = seed.events();
    let refused = moved.move_to(elsewhere.path().join("full")).wait();
    assert!(matches!(refused, Err(Error::Trouble(_))), "{refused:?}");
    assert_eq!(std::fs::read(to.join("file")).unwrap(), content);
    moved.completed().wait().unwrap();
    let now = moved.snapshot().wait().unwrap();
    assert_eq!((now.completed, now.trouble), (true, None));
    seed.stop().wait().unwrap();
    let kinds: Vec<_> = events.map(|event| event.kind).collect();
    assert!(kinds.iter().any(|kind| matches!(kind, EventKind::NotMoved(_))), "{kinds:?}");
    assert!(!kinds.iter().any(|kind| matches!(kind, EventKind::Failed(_))), "{kinds:?}");
}

#[test]
fn one_move_at_a_time_and_the_next_run_knows_the_folder_in_which_the_data_is() {
    let (content, places, state) =
        (content(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = |name| places.path().join(name);
    std::fs::create_dir(folder("first")).unwrap();
    std::fs::write(folder("first").join("file"), &content).unwrap();
    std::fs::write(folder("full"), b"no folder").unwrap();
    let client = keeper(&folder("first"), state.path()).unwrap();
    let kept = client.add(torrent(&content)).wait().unwrap();
    kept.completed().wait().unwrap();
    let (moves, refused) = (kept.move_to(folder("second")), kept.move_to(folder("full")));
    let refused = refused.wait();
    let busy = Trouble::Refused(CommandError::Busy);
    assert!(matches!(&refused, Err(Error::Trouble(why)) if *why == busy), "{refused:?}");
    moves.wait().unwrap();
    let fails = kept.move_to(folder("full")).wait();
    assert!(matches!(fails, Err(Error::Trouble(Trouble::Disk(..)))), "{fails:?}");
    drop(kept);
    end(client);
    let entry = set(state.path()).pop().unwrap();
    assert_eq!(Path::new(&entry.folder), folder("second"));
    assert_eq!(entry.moving_to, "");
    let client = keeper(&folder("first"), state.path()).unwrap();
    let kept = client.torrents().wait().unwrap().pop().unwrap();
    kept.completed().wait().unwrap();
    assert_eq!(std::fs::read(folder("second").join("file")).unwrap(), content);
}

#[test]
fn a_move_that_the_last_run_began_is_one_move_as_well() {
    let (content, places, state) =
        (content(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = |name| places.path().join(name);
    std::fs::create_dir(folder("first")).unwrap();
    std::fs::write(folder("first").join("file"), &content).unwrap();
    let client = keeper(&folder("first"), state.path()).unwrap();
    client.add(torrent(&content)).wait().unwrap().completed().wait().unwrap();
    end(client);
    let entry = set(state.path()).pop().unwrap();
    let moving_to = folder("second").to_string_lossy().into_owned();
    SessionStore::open(state.path())
        .unwrap()
        .put(vec![(Entry { moving_to, ..entry }, None)])
        .unwrap();
    let client = keeper(&folder("first"), state.path()).unwrap();
    let kept = client.torrents().wait().unwrap().pop().unwrap();
    // Refused while the other is under way, and done after it.
    let busy = Trouble::Refused(CommandError::Busy);
    while let Err(error) = kept.move_to(folder("third")).wait() {
        assert!(matches!(&error, Error::Trouble(why) if *why == busy), "{error:?}");
        std::thread::yield_now();
    }
    kept.completed().wait().unwrap();
    drop(kept);
    end(client);
    let entry = set(state.path()).pop().unwrap();
    assert_eq!((Path::new(&entry.folder), entry.moving_to.as_str()), (&*folder("third"), ""));
    assert_eq!(std::fs::read(folder("third").join("file")).unwrap(), content);
}

#[test]
fn what_the_engine_refuses_is_answered_with_the_reason() {
    let content = content();
    let (_files, seed) = seed(&content);
    let torrent = seed.torrents().wait().unwrap().pop().unwrap();
    let range = FileRange { file: 99, offset: 0, length: 1 };
    let ahead = ReadAhead { range, within: Duration::ZERO, rate: None };
    let refused = torrent.set_reader(ReaderId(1), Some(ahead)).wait();
    let unknown = Trouble::Refused(CommandError::UnknownFile);
    assert!(matches!(&refused, Err(Error::Trouble(why)) if *why == unknown), "{refused:?}");
    // An answer comes when it is done.
    torrent.pause().wait().unwrap();
    assert_eq!(torrent.snapshot().wait().unwrap().state, Some(TorrentState::Paused));
    torrent.resume().wait().unwrap();
    assert_ne!(torrent.snapshot().wait().unwrap().state, Some(TorrentState::Paused));
}

/// Three files of which each shares a piece with the next.
fn several(content: &[u8]) -> Metainfo {
    let third = content.len() as u64 / 3;
    let file = |name: &str| InputFile { path: vec![name.into()], length: third, executable: false };
    made_of("several", ["a", "b", "c"].map(file).into(), content)
}

/// A client that has all of [`several`].
fn seed_of_several(content: &[u8]) -> (tempfile::TempDir, Client) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("several")).unwrap();
    for (name, bytes) in ["a", "b", "c"].iter().zip(content.chunks(content.len() / 3)) {
        std::fs::write(folder.path().join("several").join(name), bytes).unwrap();
    }
    let client = client(folder.path());
    client.add(several(content)).wait().unwrap().completed().wait().unwrap();
    (folder, client)
}

#[test]
fn files_of_a_magnet_can_be_chosen_before_it_is_known_which_there_are() {
    let content = content();
    let (_files, seed) = seed_of_several(&content);
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let client = keeper(folder.path(), state.path()).unwrap();
    let v1 = several(&content).info_hashes().v1;
    let fetched = client.add(Magnet { v1, ..Magnet::default() }).wait().unwrap();
    fetched.select(vec![Priority::Skip, Priority::Normal]).wait().unwrap();
    fetched.add_peers(from(&seed).peers).wait().unwrap();
    fetched.completed().wait().unwrap();
    let there = |name: &str| folder.path().join("several").join(name).exists();
    assert_eq!([there("a"), there("b"), there("c")], [false, true, true]);
    assert_eq!(set(state.path())[0].skipped, [0]);
    // The first piece of a file that is not wanted has come with the one before: it is not in the file.
    fetched.select(vec![Priority::Normal, Priority::Skip]).wait().unwrap();
    fetched.completed().wait().unwrap();
    let range = FileRange { file: 1, offset: 0, length: 10 };
    let refused = fetched.wait_for(range, Duration::ZERO).wait();
    let not_wanted = Trouble::Refused(CommandError::NotWanted);
    assert!(matches!(&refused, Err(Error::Trouble(why)) if *why == not_wanted), "{refused:?}");
}

#[test]
fn a_magnet_that_is_moved_begins_in_the_other_folder() {
    let content = content();
    let (_files, seed) = seed(&content);
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    let v1 = torrent(&content).info_hashes().v1;
    let fetched = client.add(Magnet { v1, ..Magnet::default() }).wait().unwrap();
    fetched.move_to(folder.path().join("there")).wait().unwrap();
    fetched.add_peers(from(&seed).peers).wait().unwrap();
    fetched.completed().wait().unwrap();
    assert_eq!(std::fs::read(folder.path().join("there/file")).unwrap(), content);
}

#[test]
fn a_torrent_can_have_a_folder_of_its_own() {
    let content = content();
    let (_files, seed) = seed(&content);
    let home = tempfile::tempdir().unwrap();
    let own = home.path().join("own");
    let client = client(home.path());
    let options = AddOptions { folder: Some(own.clone()), ..from(&seed) };
    let fetched = client.add_with(torrent(&content), options).wait().unwrap();
    fetched.completed().wait().unwrap();
    assert_eq!(std::fs::read(own.join("file")).unwrap(), content);
}

#[test]
fn what_a_client_does_can_be_recorded() {
    let content = content();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.trace");
    let to = RecordTo { path: path.clone(), replace: false };
    let listen = ListenOptions {
        port: Some(0),
        address: Some(Ipv4Addr::LOCALHOST.into()),
        interface: None,
        ..ListenOptions::default()
    };
    let engine = Config { dht: false, lsd: false, ..engine_config() };
    let builder = Client::builder().folder(folder.path()).listen(Some(listen));
    let client = builder.engine(engine).record(to).build().unwrap();
    client.add(torrent(&content)).wait().unwrap();
    client.stop().wait().unwrap();
    client.join();
    assert!(eddyline::trace::Trace::parse(std::fs::read(path).unwrap().into()).is_ok());
}

/// A client that keeps its torrents.
fn keeper(folder: &Path, state: &Path) -> Result<Client, Error> {
    let address = Some(Ipv4Addr::LOCALHOST.into());
    let listen =
        ListenOptions { port: Some(0), address, interface: None, ..ListenOptions::default() };
    let engine = Config { dht: false, lsd: false, ..engine_config() };
    let builder = Client::builder().folder(folder).state_dir(state);
    builder.listen(Some(listen)).engine(engine).build()
}

fn end(client: Client) {
    client.stop().wait().unwrap();
    client.join();
}

fn set(state: &Path) -> Vec<Entry> {
    SessionSet::read(state).unwrap().list().into_iter().cloned().collect()
}

#[test]
fn torrents_of_a_client_are_there_again_in_the_next_run_with_what_was_asked_of_them() {
    let content = content();
    let metainfo = torrent(&content);
    let (_files, seed) = seed(&content);
    let (home, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let client = keeper(home.path(), state.path()).unwrap();
    let own = home.path().join("own");
    let limits = RateLimits { down: None, up: Some(70_000) };
    let options = AddOptions { folder: Some(own.clone()), limits, ..from(&seed) };
    let magnet = Magnet { v1: metainfo.info_hashes().v1, ..Magnet::default() };
    let fetched = client.add_with(magnet, options).wait().unwrap();
    fetched.completed().wait().unwrap();
    fetched.pause().wait().unwrap();
    end(client);
    // What the magnet led to is known, and nobody is needed to tell it.
    end(seed);
    let client = keeper(home.path(), state.path()).unwrap();
    let [again] = &client.torrents().wait().unwrap()[..] else { panic!("one torrent") };
    assert_eq!(again.metainfo().wait().unwrap().info(), metainfo.info());
    let snapshot = until(again, |now| now.state == Some(TorrentState::Paused));
    assert_eq!(snapshot.name, "file");
    again.resume().wait().unwrap();
    again.completed().wait().unwrap();
    let [entry] = &set(state.path())[..] else { panic!("one entry") };
    assert_eq!((entry.paused, entry.max_up, Path::new(&entry.folder)), (0, 70_000, &*own));
    // Where it was moved to it is in the run after that; what is removed is in none.
    let elsewhere = home.path().join("elsewhere");
    again.move_to(&elsewhere).wait().unwrap();
    end(client);
    let client = keeper(home.path(), state.path()).unwrap();
    let [again] = &client.torrents().wait().unwrap()[..] else { panic!("one torrent") };
    again.completed().wait().unwrap();
    assert_eq!(std::fs::read(elsewhere.join("file")).unwrap(), content);
    again.remove(Data::Delete).wait().unwrap();
    assert!(set(state.path()).is_empty() && !elsewhere.join("file").exists());
    end(client);
    let client = keeper(home.path(), state.path()).unwrap();
    assert!(client.torrents().wait().unwrap().is_empty());
}

/// Asks until a torrent is as it should be; there are no events for what the engine has yet to do.
fn until(torrent: &Torrent, so: impl Fn(&TorrentSnapshot) -> bool) -> TorrentSnapshot {
    loop {
        let now = torrent.snapshot().wait();
        match now {
            Ok(now) if so(&now) => return now,
            _ => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_set_of_torrents_belongs_to_one_client_and_what_cannot_be_brought_back_stays_in_it() {
    let content = content();
    let (home, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let client = keeper(home.path(), state.path()).unwrap();
    let added = client.add(torrent(&content)).wait().unwrap();
    let refused = keeper(home.path(), state.path());
    assert!(matches!(refused, Err(Error::Store(_))), "{refused:?}");
    let hash = added.info_hash().to_hex();
    drop(added);
    end(client);
    let path = state.path().join("torrents").join(format!("{hash}.torrent"));
    std::fs::write(path, b"no torrent").unwrap();
    let client = keeper(home.path(), state.path()).unwrap();
    assert!(client.torrents().wait().unwrap().is_empty());
    let warnings = client.with(eddyline_session::Session::take_warnings).wait().unwrap();
    assert!(matches!(&warnings[..], [Warning::LeftOut(name, EntryError::Torrent(_))]
        if name == "file"));
    assert_eq!(set(state.path()).len(), 1);
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The least that runs async code.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn one_client_fetches_from_another_and_a_thread_waits_for_it() {
    let content = content();
    let (_files, seed) = seed(&content);
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    let events = client.events();
    let fetched = client.add_with(torrent(&content), from(&seed)).wait().unwrap();
    fetched.completed().wait().unwrap();
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), content);
    let now = fetched.snapshot().wait().unwrap();
    let length = content.len() as u64;
    assert_eq!((now.done, now.length, now.name.as_str()), (length, length, "file"));
    assert_eq!((now.completed, now.state), (true, Some(TorrentState::Seeding)));
    assert_eq!(client.snapshot().wait().unwrap().torrents.len(), 1);
    client.stop().wait().unwrap();
    assert_eq!(client.events().next(), None);
    // Whoever listens learns all of it, and that it is over.
    let kinds: Vec<_> = events.map(|event| event.kind).collect();
    let pieces = kinds.iter().filter(|kind| matches!(kind, EventKind::Piece(_))).count();
    assert_eq!(pieces, content.len().div_ceil(PIECE as usize));
    assert!(kinds.contains(&EventKind::Added) && kinds.contains(&EventKind::Completed));
    assert!(matches!(client.snapshot().wait(), Err(Error::Stopped)));
}

#[test]
fn async_code_awaits_a_magnet_without_a_runtime_and_reads_the_stream_of_events() {
    let content = content();
    let metainfo = torrent(&content);
    let (_files, seed) = seed(&content);
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    block_on(async {
        let mut events = client.events();
        let magnet = Magnet { v1: metainfo.info_hashes().v1, ..Magnet::default() };
        let fetched = client.add_with(magnet, from(&seed)).await.unwrap();
        assert_eq!(fetched.metainfo().await.unwrap().name(), "file");
        fetched.completed().await.unwrap();
        let mut kinds = Vec::new();
        while !kinds.contains(&EventKind::Completed) {
            let next = std::future::poll_fn(|context| Pin::new(&mut events).poll_next(context));
            kinds.push(next.await.unwrap().kind);
        }
        assert!(kinds.contains(&EventKind::Metadata));
        // To be added again changes nothing.
        let again = client.add(metainfo).await.unwrap();
        assert_eq!(again.info_hash(), fetched.info_hash());
        assert_eq!(client.torrents().await.unwrap().len(), 1);
        again.remove(Data::Delete).await.unwrap();
        assert!(matches!(fetched.completed().await, Err(Error::Removed)));
        assert!(client.torrents().await.unwrap().is_empty());
    });
    assert!(!folder.path().join("file").exists());
}

#[test]
fn what_stands_in_the_way_is_told_and_when_it_is_gone_the_torrent_goes_on() {
    let content = content();
    let (_files, seed) = seed(&content);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![1; content.len()]).unwrap();
    let client = client(folder.path());
    let fetched = client.add_with(torrent(&content), from(&seed)).wait().unwrap();
    match fetched.completed().wait() {
        Err(Error::Trouble(Trouble::Torrent(_, path))) => assert!(path.ends_with("file"), "{path}"),
        other => panic!("{other:?}"),
    }
    std::fs::remove_file(folder.path().join("file")).unwrap();
    fetched.resume().wait().unwrap();
    fetched.completed().wait().unwrap();
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), content);
}

#[test]
fn a_client_stops_when_the_last_handle_goes() {
    let content = content();
    let (_files, seed) = seed(&content);
    let events = seed.events();
    let other = seed.clone();
    drop(seed);
    assert_eq!(other.torrents().wait().unwrap().len(), 1);
    drop(other);
    // The stream ends with the loop.
    for event in events {
        assert_ne!(event.kind, EventKind::Completed);
    }
}

#[test]
fn bytes_that_somebody_waits_for_come_first_and_can_be_read_from_the_file() {
    let content = content();
    let (_files, seed) = seed(&content);
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path());
    let limits = RateLimits { down: Some(300_000), up: None };
    let options = AddOptions { limits, ..from(&seed) };
    let fetched = client.add_with(torrent(&content), options).wait().unwrap();
    let range = FileRange { file: 0, offset: content.len() as u64 - 50_000, length: 50_000 };
    let path = fetched.wait_for(range, Duration::ZERO).wait().unwrap();
    let mut file = std::fs::File::open(path).unwrap();
    let mut bytes = vec![0; 50_000];
    file.seek(SeekFrom::Start(range.offset)).unwrap();
    file.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, content[content.len() - 50_000..]);
    let now = fetched.snapshot().wait().unwrap();
    assert!(now.done < content.len() as u64, "the rest is still missing");
    let beyond = FileRange { offset: content.len() as u64, ..range };
    let refused = fetched.wait_for(beyond, Duration::ZERO).wait();
    assert!(matches!(refused, Err(Error::Trouble(Trouble::Refused(CommandError::OutOfRange)))));
    let beyond = FileRange { file: 1, ..range };
    let refused = fetched.wait_for(beyond, Duration::ZERO).wait();
    assert!(matches!(refused, Err(Error::Trouble(Trouble::Refused(CommandError::UnknownFile)))));
}

#[test]
fn a_file_that_was_removed_while_it_was_open_does_not_pass_a_check() {
    let content = content();
    let (files, seed) = seed(&content);
    let torrent = seed.torrents().wait().unwrap().pop().unwrap();
    let checked = |torrent: &Torrent| {
        torrent.verify().wait().unwrap();
        until(torrent, |now| now.state != Some(TorrentState::Checking))
    };
    assert_eq!(checked(&torrent).done, content.len() as u64);
    std::fs::remove_file(files.path().join("file")).unwrap();
    assert_eq!(checked(&torrent).done, 0);
}
