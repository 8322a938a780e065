//! Moves that fail, and checks that hash no more than they have to.

use std::path::Path;

use eddyline_session::session_store::{Entry, SessionStore};
use serde_json::json;

use crate::home::{ALONE, Home, content, pick, set_of_three};

/// A torrent of the set that lies in `source`, and whose move to `full` cannot be made: a file of the same
/// name stands there.
fn with_a_place_that_is_taken(home: &Home) {
    let torrent = home.torrent("a.bin", 40_000);
    home.succeed(&["session", "add", &torrent, "--dir", "source"]);
    home.succeed(&["session", "verify", "a.bin"]);
    std::fs::create_dir_all(home.at("full")).unwrap();
    std::fs::write(home.at("full/a.bin"), "somebody else's").unwrap();
}

fn state(home: &Home) -> SessionStore {
    SessionStore::open(&home.path().join(".local/state/eddyline")).unwrap()
}

fn is_where_it_was(home: &Home) {
    let set = state(home);
    let entry = set.list()[0];
    assert!(Path::new(&entry.folder).ends_with("source") && entry.moving_to.is_empty());
    assert_eq!(std::fs::read(home.at("source/a.bin")).unwrap(), content("a.bin", 40_000));
    assert_eq!(std::fs::read(home.at("full/a.bin")).unwrap(), b"somebody else's");
}

#[test]
fn a_move_that_fails_is_told_and_leaves_no_record() {
    let home = Home::new();
    with_a_place_that_is_taken(&home);
    let told = home.refuse(13, &["session", "move", "a.bin", "--to", "full"]);
    assert!(told.contains("stays in") && told.contains("full"), "{told}");
    is_where_it_was(&home);
    // No later run moves it, and another place can be chosen.
    home.succeed(&["session", "move", "a.bin", "--to", "room"]);
    assert_eq!(std::fs::read(home.at("room/a.bin")).unwrap(), content("a.bin", 40_000));
}

#[test]
fn a_move_that_fails_names_the_file_and_takes_away_what_it_made() {
    let home = Home::new();
    let torrent = set_of_three(&home);
    home.succeed(&["session", "add", &torrent, "--dir", "source"]);
    home.succeed(&["session", "verify", "set"]);
    std::fs::create_dir_all(home.at("full/set")).unwrap();
    std::fs::write(home.at("full/set/b"), "somebody else's").unwrap();
    let told = home.refuse(13, &["session", "move", "set", "--to", "full"]);
    assert!(told.contains(&format!("{}: file exists", home.at("full/set/b"))), "{told}");
    assert!(!home.path().join("full/set/a").exists(), "nothing of it stays there");
    assert_eq!(std::fs::read(home.at("full/set/b")).unwrap(), b"somebody else's");
    assert_eq!(std::fs::read(home.at("source/set/a")).unwrap(), content("a", 10));
    let told = home.refuse(13, &["session", "move", "set", "--to", &torrent]);
    let why = format!("{torrent}: part of the path is not a folder");
    assert!(told.contains(&why), "{told}");
    // Folders that the move makes go with it, too.
    std::fs::create_dir(home.at("other")).unwrap();
    std::fs::write(home.at("other/set"), "a file").unwrap();
    let told = home.refuse(13, &["session", "move", "set", "--to", "other"]);
    assert!(told.contains("other/set"), "{told}");
    home.succeed(&["session", "move", "set", "--to", "room"]);
    assert_eq!(std::fs::read(home.at("room/set/a")).unwrap(), content("a", 10));
}

#[test]
fn a_running_session_tells_that_a_move_failed_and_goes_on_where_it_is() {
    let home = Home::new();
    with_a_place_that_is_taken(&home);
    let begin_move = || {
        let mut set = state(&home);
        let entry = Entry { moving_to: home.at("full"), ..set.list()[0].clone() };
        set.put(vec![(entry, None)]).unwrap();
    };
    let run = [&["session", "run", "--no-trackers"], &ALONE[..]].concat();
    begin_move();
    let mut running = home.start(&[&run[..], &["--json"]].concat());
    let error = running.event("error");
    assert_eq!(pick(&error, &["code", "name"]), json!([13, "a.bin"]));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("stays in") && message.contains("full"), "{message}");
    assert_eq!(running.stop().0, 0, "everything is complete");
    is_where_it_was(&home);
    begin_move();
    let mut running = home.start(&run);
    running.told_with("stays in");
    running.stop();
    is_where_it_was(&home);
}

#[test]
fn a_move_whose_end_was_not_told_is_known_when_it_is_moved_again() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    home.succeed(&["session", "add", &torrent, "--dir", "source"]);
    home.succeed(&["session", "verify", "a.bin"]);
    home.succeed(&["session", "move", "a.bin", "--to", "one"]);
    // As if the run had been killed before it said so.
    let mut set = state(&home);
    let entry =
        Entry { folder: home.at("source"), moving_to: home.at("one"), ..set.list()[0].clone() };
    set.put(vec![(entry, None)]).unwrap();
    drop(set);
    home.succeed(&["session", "move", "a.bin", "--to", "two"]);
    assert_eq!(std::fs::read(home.at("two/a.bin")).unwrap(), content("a.bin", 40_000));
    assert!(!home.path().join("one/a.bin").exists());
}

/// Bytes that a run reads, of files and all.
fn bytes_read(home: &Home, arguments: &[&str]) -> u64 {
    let mut child = home.command(arguments).stdout(std::process::Stdio::null()).spawn().unwrap();
    let id = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    let ended = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
    nix::sys::wait::waitid(nix::sys::wait::Id::Pid(id), ended).unwrap();
    let told = std::fs::read_to_string(format!("/proc/{id}/io")).unwrap();
    assert!(child.wait().unwrap().success(), "{arguments:?}");
    let read = told.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    read.parse().unwrap()
}

#[test]
fn verify_reads_everything_once_whether_or_not_there_is_a_record() {
    const LENGTH: u64 = 8 << 20;
    let home = Home::new();
    let torrent = home.torrent("a.bin", LENGTH as usize);
    home.succeed(&["session", "add", &torrent, "--dir", "source"]);
    for _ in 0..2 {
        let read = bytes_read(&home, &["session", "verify", "a.bin"]);
        assert!((LENGTH..LENGTH * 3 / 2).contains(&read), "{read} of {LENGTH}");
    }
}

#[test]
fn one_file_that_is_something_else_makes_no_others_bad() {
    let home = Home::new();
    let torrent = crate::home::set_of_three(&home);
    home.succeed(&["session", "add", &torrent, "--dir", "source"]);
    std::fs::write(home.at("source/set/a"), "not ours..").unwrap();
    std::fs::write(home.at("source/set/c"), "not one").unwrap();
    home.refuse(32, &["session", "verify", "set", "--json"]);
    let output = home.run(&["session", "verify", "set", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(pick(&told[0], &["pieces", "good"]), json!([4, 2]));
}

#[test]
fn no_move_and_no_name_leads_to_a_path_of_another_torrent_of_the_set() {
    let home = Home::new();
    std::fs::create_dir_all(home.at("other")).unwrap();
    std::fs::write(home.at("other/a.bin"), content("other", 40_000)).unwrap();
    let (one, other) = (home.torrent("a.bin", 40_000), home.torrent_of("other/a.bin", "other"));
    let (first, second) = (home.hash(&one), home.hash(&other));
    std::fs::create_dir_all(home.at("d")).unwrap();
    std::os::unix::fs::symlink("d", home.at("link")).unwrap();
    home.succeed(&["session", "add", &one, "--dir", "d"]);
    // A folder has one name, whatever is there of it.
    for folder in ["d", "link", "d/none/..", "link/none/../."] {
        let told = home.refuse(13, &["session", "add", &other, "--dir", folder]);
        assert!(told.contains("a.bin"), "{folder}: {told}");
    }
    home.succeed(&["session", "add", &other, "--dir", "other"]);
    for folder in ["d", "link", "none/../d"] {
        home.refuse(13, &["session", "move", &second, "--to", folder]);
    }
    assert!(home.listed().as_array().unwrap().iter().any(|t| t["folder"] == home.at("other")));
    // Under another name it can be there, and cannot get the first name back.
    home.succeed(&["session", "rename", &second, "b.bin"]);
    home.succeed(&["session", "move", &second, "--to", "d"]);
    home.refuse(13, &["session", "rename", &second, "a.bin"]);
    assert_eq!(std::fs::read(home.at("d/b.bin")).unwrap(), content("other", 40_000));
    // The other one cannot come to be called as that is, and a third one not either.
    home.refuse(13, &["session", "rename", &first, "b.bin"]);
    std::fs::write(home.at("other/b.bin"), content("third", 40_000)).unwrap();
    let third = home.torrent_of("other/b.bin", "third");
    home.refuse(13, &["session", "add", &third, "--dir", "d"]);
    home.succeed(&["session", "remove", &first]);
    home.succeed(&["session", "rename", &second, "a.bin"]);
    home.succeed(&["session", "add", &third, "--dir", "d"]);
}

#[test]
fn what_the_user_has_renamed_is_no_news_and_what_is_solved_is_no_error() {
    let home = Home::new();
    with_a_place_that_is_taken(&home);
    let told = home.run(&["session", "rename", "a.bin", "b.bin"]).stderr;
    assert_eq!(String::from_utf8(told).unwrap(), "");
    for _ in 0..2 {
        let output = home.run(&["session", "verify", "b.bin"]);
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
    let one = home.torrent("c.bin", 40_000);
    std::fs::write(home.at("full/c.bin"), "somebody else's").unwrap();
    home.succeed(&["session", "add", &one, "--dir", "full"]);
    let run = [&["session", "run", "--no-trackers", "--json"], &ALONE[..]].concat();
    let mut running = home.start(&run);
    let error = running.event("error");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("session move") && !message.contains("--allow-overwrite"),
        "{message}"
    );
    running.stop();
    let error = || home.listed()[1]["error"].clone();
    assert!(error().is_string());
    home.succeed(&["session", "move", "c.bin", "--to", "source"]);
    assert!(error().is_null());
}
