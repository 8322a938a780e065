//! Checking, resuming, pausing, removing, failing, shutting down.

use eddyline::base::bits::Bits;
use eddyline::{
    Action, AddTorrent, Command, CommandError, Config, DiskError, Engine, Event, Instant,
    LocationId, Notice, Rename, Renamed, ResumeData, Seed, Stall, StorageTask, Tag, TorrentCommand,
    TorrentError, TorrentId, TorrentState,
};
use eddyline_sim::{Content, DiskFault, World};

fn content() -> Content {
    Content::new("life", 1_000_000, 32_768)
}

fn said(world: &World, node: usize, wanted: impl Fn(&Notice) -> bool) -> bool {
    world.node(node).notices.iter().any(wanted)
}

#[test]
fn a_check_keeps_what_is_good_and_fetches_the_rest() {
    let content = content();
    let mut world = World::new(31);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    let mut damaged = content.bytes.to_vec();
    damaged[100_000] ^= 1;
    damaged[900_000] ^= 1;
    world.node_mut(leech).disk.preset(&content, &damaged);
    world.leech(leech, &content, &[seed]);
    assert!(world.run_until(60, |world| world.is_complete(leech)));
    let torrent = world.torrent(leech);
    assert!(said(&world, leech, |n| *n == Notice::Checked(torrent, 29)));
    let view = world.node(leech).engine.torrent(torrent).unwrap();
    assert_eq!(view.downloaded, 2 * 32_768);
}

#[test]
fn resume_data_is_believed_as_far_as_the_files_agree() {
    let content = content();
    let mut world = World::new(32);
    let first = world.add_node();
    world.seed(first, &content);
    world.run(5);
    world.command(first, Command::ShutDown);
    world.run(5);
    let hash = content.metainfo.info_hashes().wire();
    let saved = world.node(first).disk.resume[&hash].clone();
    let resume = ResumeData::decode(&saved).unwrap();
    assert!(resume.have.is_full());

    let start = |world: &mut World, resume: ResumeData| {
        let node = world.add_node();
        world.node_mut(node).disk.preset(&content, &content.bytes);
        let mut add = AddTorrent::new(content.metainfo.clone());
        add.resume = Some(Box::new(resume));
        world.command(node, Command::Add(Box::new(add)));
        let before = world.node(node).steps;
        world.run(5);
        let torrent = world.torrent(node);
        assert!(world.node(node).engine.torrent(torrent).unwrap().have.is_full());
        world.node(node).steps - before
    };
    let trusted = start(&mut world, resume.clone());
    let mut changed = resume;
    changed.files[0].modified += 1;
    let checked = start(&mut world, changed);
    assert!(trusted < checked, "unchanged files are not hashed: {trusted} steps, else {checked}");
}

#[test]
fn blocks_of_unfinished_pieces_survive_a_restart() {
    let content = Content::new("blocks", 4 << 20, 1 << 20);
    let mut world = World::new(33);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(200_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(4);
    world.command(leech, Command::ShutDown);
    world.run(5);
    let hash = content.metainfo.info_hashes().wire();
    let mut resume = ResumeData::decode(&world.node(leech).disk.resume[&hash]).unwrap();
    // The files are as this run left them.
    resume.files.iter_mut().for_each(|file| file.modified = 1);
    let blocks: u32 = resume.partial.iter().map(|(_, bits)| bits.count()).sum();
    assert!(blocks > 10, "{blocks}");
    let on_disk = world.node(leech).disk.content(world.torrent(leech)).unwrap().to_vec();
    let again = world.add_node();
    world.node_mut(again).disk.preset(&content, &on_disk);
    let mut add = AddTorrent::new(content.metainfo.clone());
    add.resume = Some(Box::new(resume));
    add.peers = vec![world.node(seed).addr];
    world.command(again, Command::Add(Box::new(add)));
    assert!(world.run_until(120, |world| world.is_complete(again)));
    let torrent = world.torrent(again);
    let fetched = world.node(again).engine.torrent(torrent).unwrap();
    assert!(fetched.have.is_full() && fetched.wasted == 0);
}

#[test]
fn resume_data_survives_a_round_trip_and_damage_is_noticed() {
    let mut have = Bits::new(100);
    have.set(7);
    let resume = ResumeData {
        info_hash: content().metainfo.info_hashes().wire(),
        have,
        partial: vec![(9, Bits::full(3))],
        files: vec![eddyline::FileStatus { length: Some(5), modified: -9 }; 2],
        downloaded: 10,
        uploaded: 20,
        completed: true,
        peers: vec!["1.2.3.4:5".parse().unwrap()],
        clean: false,
        location: LocationId(3),
        left_at: vec![LocationId(1)],
        trackers: vec![("http://t/announce".into(), Some(b"id".to_vec()))],
        renamed: [(1, Renamed { from: vec!["a".into()], to: vec!["b".into(), "c".into()] })].into(),
    };
    let bytes = resume.encode();
    assert_eq!(ResumeData::decode(&bytes), Ok(resume));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        assert!(ResumeData::decode(&damaged).is_err(), "byte {at}");
        assert!(ResumeData::decode(&bytes[..at]).is_err());
    }
}

#[test]
fn resume_data_of_the_version_before_is_read_and_of_a_later_one_refused() {
    let resume = ResumeData {
        info_hash: content().metainfo.info_hashes().wire(),
        have: Bits::full(31),
        partial: Vec::new(),
        files: vec![eddyline::FileStatus { length: Some(5), modified: 9 }],
        downloaded: 10,
        uploaded: 20,
        completed: true,
        peers: Vec::new(),
        clean: true,
        location: LocationId(0),
        renamed: std::collections::BTreeMap::new(),
        left_at: Vec::new(),
        trackers: Vec::new(),
    };
    let with_version = |version: u8, old: bool| {
        let mut body = resume.encode().split_off(20);
        let replace = |body: &mut Vec<u8>, from: &[u8], to: &[u8]| {
            let at = body.windows(from.len()).position(|part| part == from).unwrap();
            body.splice(at..at + from.len(), to.iter().copied());
        };
        replace(&mut body, b"7:versioni2e", &[b"7:versioni".as_slice(), &[version], b"e"].concat());
        let new: [&[u8]; 5] =
            [b"5:cleani1e", b"7:left_atle", b"8:locationi0e", b"7:renamedle", b"8:trackersle"];
        new.iter().filter(|_| old).for_each(|part| replace(&mut body, part, b""));
        [eddyline::base::hash::Sha1Hash::of(&body).0.to_vec(), body].concat()
    };
    assert_eq!(ResumeData::decode(&with_version(b'1', true)), Ok(resume.clone()));
    assert_eq!(
        ResumeData::decode(&with_version(b'3', false)),
        Err(eddyline::ResumeError::Version(3))
    );
}

#[test]
fn a_full_disk_is_waited_for_and_what_is_there_is_served_meanwhile() {
    let content = content();
    let mut world = World::new(34);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.node_mut(leech).disk.fault =
        Some(DiskFault::WritesFailAfter(300_000, DiskError::NoSpace));
    world.leech(leech, &content, &[seed]);
    world.run(20);
    let torrent = world.torrent(leech);
    assert!(said(&world, leech, |notice| *notice == Notice::DiskFull(torrent)));
    let view = world.node(leech).engine.torrent(torrent).unwrap();
    assert_eq!((view.state, view.stall), (TorrentState::Downloading, Stall::DiskFull));
    // Next to nothing is fetched in vain: a block now and then, to see whether there is room.
    let before = view.downloaded;
    world.run(600);
    let view = world.node(leech).engine.torrent(torrent).unwrap();
    assert!(view.downloaded - before < 20 * 16_384, "{}", view.downloaded - before);
    // Somebody else gets what there is.
    let other = world.add_node();
    world.leech(other, &content, &[leech]);
    world.run(60);
    let there = view.have.count();
    let got = world.node(other).engine.torrent(world.torrent(other)).unwrap();
    assert!(there > 0 && got.have.count() >= there, "{} of {there}", got.have.count());
    // There is room again, and nobody has to say so.
    world.node_mut(leech).disk.fault = None;
    assert!(world.run_until(300, |world| world.is_complete(leech)));
    assert!(said(&world, leech, |notice| *notice == Notice::DiskHasRoom(torrent)));
}

#[test]
fn a_disk_that_refuses_stops_the_torrent_with_its_reason_and_it_can_go_on() {
    let content = content();
    let mut world = World::new(36);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.node_mut(leech).disk.fault =
        Some(DiskFault::WritesFailAfter(300_000, DiskError::Permission));
    world.leech(leech, &content, &[seed]);
    world.run(20);
    let torrent = world.torrent(leech);
    let failed = Notice::TorrentFailed(torrent, TorrentError::Disk(DiskError::Permission));
    assert!(said(&world, leech, |notice| *notice == failed));
    let state = world.node(leech).engine.torrent_state(torrent);
    assert_eq!(state, Some(TorrentState::Failed));
    world.node_mut(leech).disk.fault = None;
    world.command(leech, TorrentCommand::Resume.of(torrent));
    assert!(world.run_until(300, |world| world.is_complete(leech)));
}

#[test]
fn a_removed_torrent_is_gone_and_can_be_added_again() {
    let content = content();
    let mut world = World::new(35);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    assert!(world.run_until(1, |world| !world.node(leech).torrents().is_empty()));
    let torrent = world.torrent(leech);
    world.leech(leech, &content, &[seed]);
    world.run(1);
    let rejected =
        |n: &Notice| matches!(n, Notice::CommandRejected { error: CommandError::Duplicate, .. });
    assert!(said(&world, leech, rejected));
    world.command(leech, TorrentCommand::Remove.of(torrent));
    world.run(5);
    assert!(said(&world, leech, |notice| *notice == Notice::TorrentRemoved(torrent)));
    assert_eq!(world.node(leech).engine.torrents().count(), 0);
    world.leech(leech, &content, &[seed]);
    let whole = |world: &World| {
        let again = world.node(leech).torrents().last().copied();
        let view = again.and_then(|id| world.node(leech).engine.torrent(id));
        view.is_some_and(|view| view.have.is_full())
    };
    assert!(world.run_until(300, whole));
    assert_eq!(world.node(leech).engine.stats().violations, 0);
}

#[test]
fn a_pause_closes_connections_and_going_on_finishes() {
    let content = Content::new("pause", 3_000_000, 32_768);
    let mut world = World::new(36);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access.up = Some(500_000);
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(2);
    let torrent = world.torrent(leech);
    world.command(leech, TorrentCommand::Pause.of(torrent));
    world.run(60);
    assert_eq!(world.node(leech).engine.stats().connections, 0);
    assert!(!world.is_complete(leech));
    world.command(leech, TorrentCommand::Resume.of(torrent));
    assert!(world.run_until(300, |world| world.is_complete(leech)));
}

#[test]
fn a_shut_down_ends_everything_within_five_seconds() {
    let content = Content::new("end", 3_000_000, 32_768);
    let mut world = World::new(37);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(1);
    world.command(leech, Command::ShutDown);
    let ended = |world: &World| said(world, leech, |notice| *notice == Notice::ShutDown);
    assert!(world.run_until(5, ended));
    world.run(5);
    assert_eq!(world.node(leech).engine.stats().connections, 0);
}

#[test]
fn a_shut_down_in_the_middle_saves_everything_before_it_closes_the_files() {
    for seed in 100..120 {
        let content = Content::new("middle", 3_000_000, 32_768);
        let mut world = World::new(seed);
        let (source, leech) = (world.add_node(), world.add_node());
        world.node_mut(source).access.up = Some(600_000);
        world.seed(source, &content);
        world.run(5);
        world.leech(leech, &content, &[source]);
        world.run(3);
        world.command(leech, Command::ShutDown);
        let ended = |world: &World| said(world, leech, |notice| *notice == Notice::ShutDown);
        assert!(world.run_until(5, ended));
        let torrent = world.torrent(leech);
        let verified = world.node(leech).engine.torrent(torrent).unwrap().have.count();
        let hash = content.metainfo.info_hashes().wire();
        let saved = ResumeData::decode(&world.node(leech).disk.resume[&hash]).unwrap();
        assert_eq!(saved.have.count(), verified, "seed {seed}");
        assert!(verified > 0, "seed {seed}");
    }
}

#[test]
fn what_answers_a_command_carries_the_tag_that_the_caller_gave_it() {
    let content = Content::new("tagged", 100_000, 32_768);
    let at = |second: u64| Instant::from_millis(second * 1000);
    let mut engine = Engine::new(Config::default(), Seed([5; 32]), at(1));
    let mut told = |second: u64, tag: u64, command: Command| -> Vec<Notice> {
        let mut actions = Vec::new();
        let _ = engine.step(at(second), [Event::Command(Tag(tag), command)], &mut actions);
        let notices = actions.into_iter().filter_map(|action| match action {
            Action::Notify(notice) => Some(notice),
            _ => None,
        });
        notices.collect()
    };
    let add = || Command::from(AddTorrent::new(content.metainfo.clone()));
    let [Notice::TorrentAdded { tag: Tag(11), torrent, .. }] = told(1, 11, add())[..] else {
        panic!("it is added")
    };
    let error = CommandError::Duplicate;
    let rejected = Notice::CommandRejected { tag: Tag(12), error, torrent: Some(torrent) };
    assert_eq!(told(2, 12, add()), [rejected]);
    let error = CommandError::BadName;
    let rejected = Notice::CommandRejected { tag: Tag(13), error, torrent: None };
    let rename = TorrentCommand::Rename(Rename::Torrent("..".into()));
    assert_eq!(told(3, 13, rename.of(torrent)), [rejected]);
    let (here, tag) = (LocationId::default(), Tag(14));
    let done = Notice::StorageDone { tag, torrent, task: StorageTask::Move(here) };
    assert_eq!(told(4, 14, TorrentCommand::Move(here).of(torrent)), [done]);
    let error = CommandError::UnknownTorrent;
    let rejected = Notice::CommandRejected { tag: Tag(15), error, torrent: None };
    let nobody = TorrentId::from_u64(9 << 32 | 9);
    assert_eq!(told(5, 15, TorrentCommand::Pause.of(nobody)), [rejected]);
}
