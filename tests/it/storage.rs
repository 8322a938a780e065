//! Nothing lost: what was there before, disks that go away and come back, files that others change,
//! and crashes at every step.

use std::cell::RefCell;
use std::time::Duration;

use eddyline::base::ids::TorrentId;
use eddyline::{
    AddTorrent, Command, Config, DiskError, FilePriority, LocationId, Notice, Priority, Rename,
    ResumeData, StorageTask, Tag, TorrentCommand, TorrentError, TorrentState,
};
use eddyline_sim::{Access, Content, DiskFault, DiskSpeed, NodeId, PeerOptions, World};

fn content() -> Content {
    Content::new("stored", 1_000_000, 32_768)
}

fn said(world: &World, node: NodeId, wanted: impl Fn(&Notice) -> bool) -> bool {
    world.node(node).notices.iter().any(wanted)
}

fn count(world: &World, node: NodeId, wanted: impl Fn(&Notice) -> bool) -> usize {
    world.node(node).notices.iter().filter(|notice| wanted(notice)).count()
}

fn pair(seed: u64, content: &Content) -> World {
    let mut world = World::new(seed);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, content);
    world.leech(leech, content, &[0]);
    let _ = leech;
    world
}

/// A leecher that leaves foreign files alone, with these bytes on its disk.
fn careful(bytes: &[u8]) -> World {
    let content = content();
    let mut world = World::new(101);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.node_mut(leech).disk.preset(&content, bytes);
    let peers = vec![world.node(seed).addr];
    world.add(leech, &content, PeerOptions { peers, careful: true, ..PeerOptions::default() });
    world.run(30);
    world
}

#[test]
fn a_file_that_is_something_else_is_not_touched() {
    let foreign = vec![0x55; 1_000_000];
    let mut world = careful(&foreign);
    let torrent = world.torrent(1);
    assert!(said(&world, 1, |n| *n == Notice::TorrentFailed(torrent, TorrentError::Foreign(0))));
    assert!(world.node(1).disk.content(torrent).unwrap() == foreign[..]);
    // Neither does a second attempt, as long as it is there.
    world.command(1, TorrentCommand::Resume.of(torrent));
    world.run(30);
    assert_eq!(count(&world, 1, |n| matches!(n, Notice::TorrentFailed(..))), 2);
    assert!(world.node(1).disk.content(torrent).unwrap() == foreign[..]);
}

#[test]
fn a_file_that_is_something_else_stays_when_the_torrent_is_removed_with_its_data() {
    let foreign = vec![0x55; 1_000_000];
    let mut world = careful(&foreign);
    let torrent = world.torrent(1);
    world.command(1, TorrentCommand::RemoveWithData.of(torrent));
    assert!(world.run_until(10, |w| said(w, 1, |n| *n == Notice::TorrentRemoved(torrent))));
    assert!(world.node(1).disk.content(torrent).unwrap() == foreign[..]);
}

#[test]
fn a_file_with_one_good_piece_is_adopted() {
    let mut bytes = vec![0x55; 1_000_000];
    bytes[327_680..360_448].copy_from_slice(&content().bytes[327_680..360_448]);
    let world = careful(&bytes);
    let torrent = world.torrent(1);
    assert!(said(&world, 1, |n| *n == Notice::Checked(torrent, 1)));
    assert!(world.is_complete(1));
    assert!(world.node(1).disk.is_right(torrent));
}

/// A leecher of three small files that lie in one piece, so that none has a whole one, and what it finds in
/// their places: files of the right length.
fn small_files(careful: bool) -> (World, TorrentId, Vec<u8>) {
    let content = Content::with_files("small", &[10_000, 10_000, 12_000], 32_768, &[]);
    let foreign = vec![0x55; 32_000];
    let mut world = World::new(107);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.node_mut(leech).disk.preset(&content, &foreign);
    let peers = vec![world.node(seed).addr];
    world.add(leech, &content, PeerOptions { peers, careful, ..PeerOptions::default() });
    world.run(30);
    let torrent = world.torrent(leech);
    (world, torrent, foreign)
}

#[test]
fn a_small_file_of_the_right_length_is_not_ours_for_that() {
    let (world, torrent, foreign) = small_files(true);
    let refused = Notice::TorrentFailed(torrent, TorrentError::Foreign(0));
    assert!(said(&world, 1, |n| *n == refused));
    assert!(world.node(1).disk.content(torrent).unwrap() == foreign[..]);
}

#[test]
fn a_small_file_of_the_right_length_is_written_over_where_that_is_asked_for() {
    let (world, torrent, _) = small_files(false);
    assert!(!said(&world, 1, |n| matches!(n, Notice::TorrentFailed(..))));
    assert!(world.is_complete(1) && world.node(1).disk.is_right(torrent));
}

#[test]
fn nothing_is_served_from_a_file_that_others_change_before_it_is_verified_again() {
    let content = content();
    let mut world = World::new(108);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access = Access { up: Some(100_000), ..Access::default() };
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(4);
    assert!(!world.is_complete(leech));
    let torrent = world.torrent(seed);
    for piece in 0..30 {
        world.node_mut(seed).disk.change(torrent, piece * 32_768 + 7);
    }
    world.run(40);
    assert_eq!(count(&world, leech, |n| matches!(n, Notice::PieceFailed(..))), 0);
    assert_eq!(count(&world, seed, |n| matches!(n, Notice::PieceWithdrawn(..))), 30);
}

#[test]
fn nothing_is_written_before_it_is_on_record_that_the_files_are_ours() {
    let content = content();
    let mut world = World::new(102);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let hash = content.hash();
    let first = RefCell::new(None);
    let done = world.run_until(60, |world| {
        let node = world.node(leech);
        let begun = node.torrents().first().and_then(|id| node.engine.torrent(*id));
        if begun.is_some_and(|view| view.downloaded > 0) && first.borrow().is_none() {
            *first.borrow_mut() = Some(node.disk.resume.contains_key(&hash));
        }
        world.is_complete(leech)
    });
    assert!(done);
    assert_eq!(*first.borrow(), Some(true));
}

#[test]
fn a_location_that_goes_pauses_its_torrents_and_they_go_on_when_it_is_back() {
    let content = content();
    let mut world = World::new(103);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access = Access { up: Some(100_000), ..Access::default() };
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(4);
    let torrent = world.torrent(leech);
    let before = world.node(leech).engine.torrent(torrent).unwrap().have.count();
    assert!(before > 3, "{before}");
    world.node_mut(leech).disk.fault = Some(DiskFault::Gone);
    world.run(60);
    let gone = TorrentError::Disk(DiskError::LocationGone);
    let view = world.node(leech).engine.torrent(torrent).unwrap();
    assert_eq!((view.state, view.error), (TorrentState::Failed, Some(gone)));
    assert_eq!(view.peers, 0);
    assert_eq!(count(&world, leech, |n| matches!(n, Notice::TorrentFailed(..))), 1);
    world.node_mut(leech).disk.fault = None;
    assert!(world.run_until(60, |world| world.is_complete(leech)));
    assert!(said(&world, leech, |n| *n == Notice::LocationBack(torrent)));
    assert!(world.node(leech).disk.is_right(torrent));
}

#[test]
fn a_location_that_is_not_there_at_the_start_is_waited_for() {
    let content = content();
    let mut world = World::new(104);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.node_mut(leech).disk.fault = Some(DiskFault::Gone);
    world.leech(leech, &content, &[seed]);
    world.run(30);
    assert!(!world.is_complete(leech));
    world.node_mut(leech).disk.fault = None;
    assert!(world.run_until(60, |world| world.is_complete(leech)));
}

#[test]
fn a_paused_torrent_stays_paused_when_its_location_comes_back() {
    let content = content();
    let mut world = pair(105, &content);
    assert!(world.run_until(60, |world| world.is_complete(1)));
    let torrent = world.torrent(1);
    world.command(1, TorrentCommand::Pause.of(torrent));
    world.node_mut(1).disk.fault = Some(DiskFault::Gone);
    world.command(1, TorrentCommand::SaveResume.of(torrent));
    world.run(30);
    world.node_mut(1).disk.fault = None;
    world.run(30);
    let view = world.node(1).engine.torrent(torrent).unwrap();
    assert_eq!((view.state, view.error), (TorrentState::Paused, None));
}

#[test]
fn a_file_that_is_cut_off_while_it_is_served_costs_what_was_cut_off_and_is_fetched_again() {
    let content = content();
    let mut world = pair(106, &content);
    assert!(world.run_until(60, |world| world.is_complete(1)));
    world.run(70);
    let torrent = world.torrent(0);
    world.node_mut(0).disk.truncate(torrent, 0, 600_000);
    // A third one asks for what is not there any more.
    let third = world.add_node();
    world.leech(third, &content, &[0, 1]);
    assert!(world.run_until(200, |world| world.is_complete(third)));
    assert!(world.run_until(200, |world| world.is_complete(0)));
    assert!(world.node(0).disk.is_right(torrent));
    let withdrawn = count(&world, 0, |n| matches!(n, Notice::PieceWithdrawn(..)));
    assert_eq!(withdrawn, 13, "the pieces behind the cut, and no other");
    assert!(!said(&world, 0, |n| matches!(n, Notice::TorrentFailed(..))));
}

#[test]
fn a_file_of_which_only_the_time_changed_is_looked_at_and_kept() {
    let content = content();
    let mut world = pair(107, &content);
    assert!(world.run_until(60, |world| world.is_complete(1)));
    world.run(70);
    let torrent = world.torrent(0);
    world.node_mut(0).disk.touch(torrent, 0);
    let before = world.node(0).steps;
    world.command(0, TorrentCommand::SaveResume.of(torrent));
    world.run(20);
    assert!(world.node(0).steps > before + 8, "its pieces are hashed again");
    assert!(world.is_complete(0));
    assert_eq!(count(&world, 0, |n| matches!(n, Notice::PieceWithdrawn(..))), 0);
}

#[test]
fn bytes_that_somebody_else_changed_are_found_withdrawn_and_fetched_again() {
    let content = content();
    let mut world = pair(108, &content);
    assert!(world.run_until(60, |world| world.is_complete(1)));
    world.run(70);
    let torrent = world.torrent(0);
    world.node_mut(0).disk.damage(torrent, 500_000);
    world.node_mut(0).disk.touch(torrent, 0);
    world.command(0, TorrentCommand::SaveResume.of(torrent));
    let withdrawn = |world: &World| said(world, 0, |n| *n == Notice::PieceWithdrawn(torrent, 15));
    assert!(world.run_until(60, withdrawn));
    assert!(world.run_until(300, |world| world.is_complete(0)));
    assert!(world.node(0).disk.is_right(torrent));
}

/// Runs a download until its engine has taken `step` steps, then the power fails. What it says to
/// have is compared with the disk from then on, to the end. `None`: it was complete before.
fn crash_at(seed: u64, step: u64, lies: bool) -> Option<Result<(), String>> {
    let content = Content::new("crash", 320_000, 32_768);
    let mut world = World::new(seed);
    let quick = Config { resume_interval: Duration::from_secs(1), ..Config::default() };
    let (seed, leech) = (world.add_node(), world.add_node_with(quick));
    world.node_mut(leech).disk.may_crash = true;
    world.node_mut(leech).disk.lies_about_syncs = lies;
    world.node_mut(seed).access = Access { up: Some(100_000), ..Access::default() };
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let there = |world: &World| world.node(leech).steps >= step || world.is_complete(leech);
    assert!(world.run_until(60, there), "step {step} comes, or the end before it");
    if world.is_complete(leech) {
        return None;
    }
    let stored = world.node(leech).disk.resume.get(&content.hash()).cloned();
    let claimed = stored.and_then(|data| ResumeData::decode(&data).ok());
    world.crash(leech);
    let fault = RefCell::new(None);
    let done = world.run_until(300, |world| {
        let node = world.node(leech);
        let Some(torrent) = node.torrents().first() else { return false };
        let Some(view) = node.engine.torrent(*torrent) else { return false };
        if view.state == TorrentState::Opening {
            return false;
        }
        let wrong = view.have.ones().find(|piece| !node.disk.is_piece_right(*torrent, *piece));
        if let Some(piece) = wrong {
            *fault.borrow_mut() = Some(format!("piece {piece} is claimed and wrong"));
        }
        let lost = claimed
            .iter()
            .flat_map(|resume| resume.have.ones())
            .find(|piece| view.state == TorrentState::Downloading && !view.have.has(*piece));
        if let Some(piece) = lost {
            *fault.borrow_mut() = Some(format!("piece {piece} was on record and is lost"));
        }
        fault.borrow().is_some() || world.is_complete(leech)
    });
    if let Some(fault) = fault.into_inner() {
        return Some(Err(format!("crash at step {step}: {fault}")));
    }
    let torrent = world.torrent(leech);
    let right = done && world.node(leech).disk.is_right(torrent);
    Some(if right { Ok(()) } else { Err(format!("crash at step {step}: it never completes")) })
}

#[test]
fn a_crash_at_any_step_claims_nothing_wrong_loses_nothing_on_record_and_is_recovered_from() {
    let mut crashes = 0;
    for seed in 0..12 {
        for step in 1.. {
            let Some(result) = crash_at(seed, step, false) else { break };
            assert_eq!(result, Ok(()), "seed {seed}");
            crashes += 1;
        }
    }
    assert!(crashes > 500, "{crashes}");
}

#[test]
fn a_sync_that_is_left_out_is_found_by_a_crash_at_some_step() {
    let found = (1..).map_while(|step| crash_at(1, step, true)).find(Result::is_err);
    assert!(found.is_some());
}

#[test]
fn after_an_unclean_end_only_what_was_not_on_record_is_hashed_before_it_goes_on() {
    let content = Content::new("long", 8_000_000, 32_768);
    let mut world = World::new(109);
    let quick = Config { resume_interval: Duration::from_secs(1), ..Config::default() };
    let (seed, leech) = (world.add_node(), world.add_node_with(quick));
    world.node_mut(leech).disk.may_crash = true;
    world.node_mut(seed).access = Access { up: Some(500_000), ..Access::default() };
    world.seed(seed, &content);
    world.run(20);
    world.leech(leech, &content, &[seed]);
    world.run(12);
    let claimed = ResumeData::decode(&world.node(leech).disk.resume[&content.hash()]).unwrap();
    assert!(claimed.have.count() > 90 && !claimed.clean, "{}", claimed.have.count());
    world.crash(leech);
    let downloads = |world: &World| {
        let node = world.node(leech);
        let torrent = node.torrents().first().and_then(|id| node.engine.torrent_state(*id));
        torrent == Some(TorrentState::Downloading)
    };
    let (before, began) = (world.node(leech).steps, world.now());
    assert!(world.run_until(60, downloads));
    let steps = world.node(leech).steps - before;
    assert!(steps < 80, "{steps} steps to go on, with {} pieces on record", claimed.have.count());
    assert!(world.now().since(began) < Duration::from_secs(5));
    assert!(world.run_until(120, |world| world.is_complete(leech)));
}

#[test]
fn a_large_check_does_not_delay_a_small_one() {
    let large = Content::new("large", 64_000_000, 16_384);
    let small = Content::new("small", 100_000, 16_384);
    let mut world = World::new(110);
    let node = world.add_node();
    let slow =
        DiskSpeed { seek: Duration::from_millis(5), transfer: 100_000_000, hash: 500_000_000 };
    world.node_mut(node).disk.speed = Some(slow);
    world.seed(node, &large);
    world.run(2);
    world.seed(node, &small);
    let checked = |world: &World| {
        let good = |notice: &Notice| matches!(notice, Notice::Checked(_, 7));
        world.node(node).notices.iter().any(good)
    };
    let began = world.now();
    assert!(world.run_until(600, checked));
    assert!(world.now().since(began) < Duration::from_secs(1));
    assert!(
        !said(&world, node, |n| matches!(n, Notice::Checked(_, 3907))),
        "the large one goes on"
    );
}

#[test]
fn data_moves_while_it_is_served_and_nothing_is_fetched_meanwhile() {
    let content = content();
    let mut world = World::new(111);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(seed).access = Access { up: Some(100_000), ..Access::default() };
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    world.run(3);
    let torrent = world.torrent(leech);
    world.command(leech, TorrentCommand::Move(LocationId(2)).of(torrent));
    let moved =
        Notice::StorageDone { tag: Tag::NONE, torrent, task: StorageTask::Move(LocationId(2)) };
    assert!(world.run_until(30, |world| said(world, leech, |n| *n == moved)));
    let saved = ResumeData::decode(&world.node(leech).disk.resume[&content.hash()]).unwrap();
    assert_eq!(saved.location, LocationId(2), "it is told when it is durable");
    assert!(world.run_until(60, |world| world.is_complete(leech)));
    // To where it is already is done at once.
    world.command(leech, TorrentCommand::Move(LocationId(2)).of(torrent));
    world.run(1);
    assert_eq!(count(&world, leech, |n| *n == moved), 2);
}

#[test]
fn names_are_changed_when_they_are_safe_and_free() {
    let content = Content::with_files("names", &[50_000, 60_000], 16_384, &[]);
    let mut world = pair(112, &content);
    world.run(10);
    let torrent = world.torrent(1);
    let wishes = [
        (Rename::File(0, "names/../x".into()), false),
        (Rename::File(0, "names/00001".into()), false),
        (Rename::File(0, "names/00001/below".into()), false),
        (Rename::File(9, "names/x".into()), false),
        (Rename::Torrent("a/b".into()), false),
        (Rename::Torrent("other".into()), true),
        (Rename::File(0, "other/deeper/x".into()), true),
    ];
    let rejected = |world: &World| count(world, 1, |n| matches!(n, Notice::CommandRejected { .. }));
    for (wish, fine) in wishes {
        let before = rejected(&world);
        world.command(1, TorrentCommand::Rename(wish.clone()).of(torrent));
        world.run(5);
        assert_eq!(rejected(&world) == before, fine, "{wish:?}");
    }
    world.command(1, TorrentCommand::SaveResume.of(torrent));
    world.run(5);
    let saved = ResumeData::decode(&world.node(1).disk.resume[&content.hash()]).unwrap();
    let names: Vec<String> = saved.renamed.values().map(|name| name.to.join("/")).collect();
    assert_eq!(names, ["other/deeper/x", "other/00001"]);
    // What is done needs not be found under an old name, which another file may have now.
    assert!(saved.renamed.values().all(|names| names.from == names.to));
}

#[test]
fn a_torrent_is_removed_with_its_data_or_without_and_its_record_goes_either_way() {
    for data in [false, true] {
        let content = content();
        let mut world = pair(113, &content);
        assert!(world.run_until(60, |world| world.is_complete(1)));
        world.run(5);
        let torrent = world.torrent(1);
        assert!(world.node(1).disk.resume.contains_key(&content.hash()));
        let command = if data { TorrentCommand::RemoveWithData } else { TorrentCommand::Remove };
        world.command(1, command.of(torrent));
        assert!(world.run_until(10, |w| said(w, 1, |n| *n == Notice::TorrentRemoved(torrent))));
        assert!(!world.node(1).disk.resume.contains_key(&content.hash()));
        assert_eq!(world.node(1).disk.content(torrent).is_none(), data);
    }
}

#[test]
fn files_that_become_wanted_are_arranged_before_the_download_ends() {
    let content = Content::with_files("some", &[100_000, 100_000, 100_000], 16_384, &[]);
    let mut world = World::new(114);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    let mut add = AddTorrent::new(content.metainfo.clone());
    add.peers = vec![world.node(seed).addr];
    add.priorities = vec![Priority::Skip, Priority::Normal, Priority::Skip];
    world.know(&content);
    world.command(leech, Command::Add(Box::new(add)));
    world.run(20);
    let torrent = world.torrent(leech);
    assert!(said(&world, leech, |n| *n == Notice::Finished(torrent)));
    let all = (0..3).map(|file| FilePriority { file, priority: Priority::Normal }).collect();
    world.command(leech, TorrentCommand::SetPriorities(all).of(torrent));
    assert!(world.run_until(60, |world| world.is_complete(leech)));
    let selected = Notice::StorageDone { tag: Tag::NONE, torrent, task: StorageTask::Select };
    assert!(world.run_until(60, |world| said(world, leech, |n| *n == selected)));
}

#[test]
fn while_more_pieces_wait_to_be_hashed_than_are_at_a_time_the_engine_says_so() {
    let content = Content::new("many", 64 * 16_384, 16_384);
    let mut world = World::new(51);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.seed(seed, &content);
    world.leech(leech, &content, &[seed]);
    let waits = |world: &World| world.node(leech).engine.has_pieces_waiting_for_hashes();
    assert!(world.run_until(60, waits), "64 pieces come faster than four are hashed");
    let engine = &world.node(leech).engine;
    assert_eq!(engine.stats().hash_jobs, engine.config().hash_jobs);
    assert!(world.run_until(120, |world| world.is_complete(leech)));
    assert!(!waits(&world));
}
