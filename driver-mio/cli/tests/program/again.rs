//! What is started again: what earlier runs have left is used, and believed as far as it is so still.

use std::os::unix::fs::FileExt;

use serde_json::{Value, json};

use crate::home::{ALONE, Home, content, pick, set_of_three};

fn download<'a>(source: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["download", source, "--dir", "got", "--no-trackers", "--stop-timeout", "20s"];
    usual.into_iter().chain(ALONE).chain(more.iter().copied()).collect()
}

fn run<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["session", "run", "--no-trackers"];
    usual.into_iter().chain(ALONE).chain(more.iter().copied()).collect()
}

/// Another byte in a file, which is as long as before.
fn change(home: &Home, file: &str) {
    let file = std::fs::OpenOptions::new().write(true).open(home.at(file)).unwrap();
    file.write_at(b"!", 20_000).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn a_magnet_that_is_downloaded_again_needs_nobody_to_say_what_it_leads_to() {
    let home = Home::new();
    let torrent = set_of_three(&home);
    let magnet = format!("magnet:?xt=urn:btih:{}&so=0,2", home.hash(&torrent));
    let (seeder, peer) = home.seed(&[&torrent]);
    home.succeed(&download(&magnet, &["--peer", &peer]));
    assert!(!home.path().join("got/set/b").exists(), "the magnet does not want it");
    // The peer is known from then on, and the torrent is: that goes on with what else is wanted.
    home.succeed(&download(&magnet, &["--select", "1-3"]));
    assert_eq!(std::fs::read(home.at("got/set/b")).unwrap(), content("b", 50_000));
    drop(seeder);
    let output = home.run(&download(&magnet, &[]));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("was there already"), "{told}");
    home.succeed(&download(&magnet, &["--metadata-only", "-o", "again.torrent"]));
    assert_eq!(home.hash(&home.at("again.torrent")), home.hash(&torrent));
    // What is not to be used is not.
    home.refuse(7, &download(&magnet, &["--no-resume", "--stop-timeout", "1s"]));
    let other = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
    home.refuse(7, &download(&other, &["--stop-timeout", "1s"]));
}

#[test]
fn a_finished_torrent_whose_file_was_changed_in_place_is_checked_and_fetched_again() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    std::fs::create_dir(home.at("got")).unwrap();
    std::fs::copy(home.at("source/a.bin"), home.at("got/a.bin")).unwrap();
    home.succeed(&["session", "add", &torrent, "--dir", "got", "--seed-time", "0s"]);
    home.succeed(&run(&[]));
    assert_eq!(home.listed()[0]["state"], "finished");
    let again = home.run(&run(&[]));
    assert!(!String::from_utf8_lossy(&again.stderr).contains("warning"), "nothing has changed");
    change(&home, "got/a.bin");
    let (_seeder, peer) = home.seed(&[&torrent]);
    let output = home.run(&run(&["--peer", &peer]));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("have changed since"), "{told}");
    assert_eq!(std::fs::read(home.at("got/a.bin")).unwrap(), content("a.bin", 40_000));
    assert_eq!(home.listed()[0]["state"], "finished");
}

#[test]
fn a_torrent_that_is_to_be_seeded_is_checked_where_its_file_was_changed_in_place() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    home.succeed(&["session", "add", &torrent, "--dir", "source"]);
    home.succeed(&["session", "verify", "a.bin"]);
    change(&home, "source/a.bin");
    let mut running = home.start(&run(&["--json"]));
    // Of its three pieces one is bad now; it would stand by if nobody had looked.
    assert_eq!(running.event("progress")["done"], 40_000 - 16_384);
    assert_eq!(running.stop().0, 130);
}

#[test]
fn more_of_a_finished_torrent_is_fetched_without_a_warning() {
    let home = Home::new();
    let torrent = set_of_three(&home);
    let (_seeder, peer) = home.seed(&[&torrent]);
    let add = ["session", "add", &torrent, "--dir", "got", "--select", "1", "--seed-time", "0s"];
    home.succeed(&add);
    home.succeed(&run(&["--peer", &peer]));
    assert_eq!(home.listed()[0]["state"], "finished");
    home.succeed(&["session", "set", "set", "--select", "all"]);
    assert_eq!(pick(&home.listed()[0], &["state", "paused"]), json!(["stopped", false]));
    let output = home.run(&run(&["--peer", &peer]));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !told.contains("missing"), "{told}");
    assert_eq!(std::fs::read(home.at("got/set/b")).unwrap(), content("b", 50_000));
}

#[test]
fn a_session_in_which_nothing_is_active_says_so() {
    let home = Home::new();
    let mut empty = home.start(&run(&["--json"]));
    let ready = empty.event("ready");
    assert!(ready["port"].is_u64() && ready.get("info_hash").is_none(), "{ready}");
    assert_eq!(empty.stop().0, 0);
    let mut empty = home.start(&run(&[]));
    empty.line_with("READY");
    empty.told_with("the session has no torrents");
    assert_eq!(empty.stop().0, 0);
    let (one, other) = (home.torrent("a.bin", 40_000), home.torrent("b.bin", 40_000));
    home.succeed(&["session", "add", &one, "--dir", "source", "--seed-time", "0s"]);
    home.succeed(&["session", "add", &other, "--dir", "got", "--paused"]);
    home.succeed(&run(&[]));
    // One is finished, the other is paused: it ends, and says that.
    let output = home.run(&run(&["--json"]));
    let events = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = events.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["ready", "complete"]);
    let output = home.run(&run(&[]));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("reached their goals; 1 torrent is paused"), "{told}");
}

#[test]
fn a_variable_for_all_torrents_of_a_run_is_not_written_into_each() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.envs(variables.iter().copied());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let usual = [("EDDYLINE_MAX_UP", "7K"), ("EDDYLINE_SEED_RATIO", "3")];
    let about = || pick(&home.listed()[0], &["max_up", "max_down", "seed_ratio", "sequential"]);
    assert_eq!(with(&usual, &["session", "add", &torrent]).0, Some(0));
    assert_eq!(about(), json!([null, null, null, false]));
    let set = ["session", "set", "a.bin", "--max-down", "2K"];
    assert_eq!(with(&[usual[0], ("EDDYLINE_SEQUENTIAL", "true")], &set).0, Some(0));
    assert_eq!(about(), json!([null, 2000, null, false]));
    // What is meant for the command has its name.
    let own = [("EDDYLINE_SESSION_SET_MAX_UP", "9K")];
    assert_eq!(with(&own, &["session", "set", "a.bin"]).0, Some(0));
    assert_eq!(about(), json!([9000, 2000, null, false]));
    let (code, told) = with(&[("EDDYLINE_SESSION_SET_MAX_UP", "much")], &set);
    assert!(
        code == Some(2) && told.contains("the environment, EDDYLINE_SESSION_SET_MAX_UP"),
        "{told}"
    );
}

#[test]
fn a_download_that_is_refused_makes_nothing() {
    let home = Home::new();
    std::fs::create_dir_all(home.at("source/t/deep")).unwrap();
    std::fs::write(home.at("source/t/a"), content("a", 30_000)).unwrap();
    std::fs::write(home.at("source/t/deep/empty"), "").unwrap();
    let torrent = home.torrent_of("source/t", "t");
    std::fs::create_dir_all(home.at("got/t")).unwrap();
    std::fs::write(home.at("got/t/a"), "somebody else's").unwrap();
    home.refuse(13, &download(&torrent, &[]));
    assert_eq!(std::fs::read_dir(home.at("got/t")).unwrap().count(), 1, "nothing beside it");
    // What is the torrent's own is taken, and what it lacks is made.
    std::fs::write(home.at("got/t/a"), content("a", 30_000)).unwrap();
    home.succeed(&download(&torrent, &[]));
    assert_eq!(std::fs::metadata(home.at("got/t/deep/empty")).unwrap().len(), 0);
}

#[test]
fn a_file_for_which_there_is_no_room_is_named() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 400_000);
    for allocation in ["full", "sparse"] {
        let state = home.at(allocation);
        let line = download(&torrent, &["--state-dir", &state, "--allocation", allocation]);
        let program = env!("CARGO_BIN_EXE_eddyline");
        let mut shell = std::process::Command::new("sh");
        // The signal that comes with the limit is ignored as a service manager may have it.
        shell.args(["-c", &format!("trap '' XFSZ; ulimit -f 200; exec {program} \"$@\""), "sh"]);
        shell.args(line).current_dir(home.path()).env_clear().env("HOME", home.path());
        let output = shell.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("got/a.bin: the file is too large"), "{allocation}: {told}");
        std::fs::remove_dir_all(home.at("got")).unwrap();
    }
}

#[test]
fn a_directory_that_is_not_there_is_told_by_whoever_only_reads() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    for command in ["verify", "seed"] {
        let told = home.refuse(3, &[command, &torrent, "--dir", "absent"]);
        assert!(told.contains("absent: no such file"), "{told}");
    }
}

#[test]
fn a_record_belongs_to_a_torrent_in_a_folder() {
    let home = Home::new();
    let torrent = set_of_three(&home);
    let (_seeder, peer) = home.seed(&[&torrent]);
    home.succeed(&["session", "add", &torrent, "--dir", "one", "--seed-time", "0s"]);
    home.succeed(&run(&["--peer", &peer]));
    home.succeed(&["session", "rename", "set", "other"]);
    home.succeed(&["session", "rename", "other", "a.old", "--file", "1"]);
    let record = home.listed()[0].clone();
    assert_eq!(pick(&record, &["state", "name"]), json!(["finished", "other"]));
    // The same torrent elsewhere: it has its own names, and the record of the session stays.
    let elsewhere = |more: &[&str]| {
        let usual =
            ["download", &torrent, "--dir", "two", "--no-trackers", "--stop-timeout", "20s"];
        let all: Vec<&str> = usual.iter().chain(&ALONE).chain(more).copied().collect();
        let output = home.run(&all);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        told
    };
    elsewhere(&["--peer", &peer]);
    assert_eq!(std::fs::read(home.at("two/set/b")).unwrap(), content("b", 50_000));
    assert_eq!(home.listed()[0], record);
    home.succeed(&["session", "verify", "other"]);
    assert!(!String::from_utf8_lossy(&home.run(&run(&[])).stderr).contains("warning"));
    // Each is believed where it is, and nobody is asked.
    assert!(elsewhere(&[]).contains("was there already"));
    home.succeed(&["session", "remove", "other"]);
    assert!(elsewhere(&[]).contains("was there already"));
    // Who comes into the set with the folder of that record has it.
    home.succeed(&["session", "add", &torrent, "--dir", "two", "--seed-time", "0s"]);
    let told = home.run(&run(&[]));
    let told = String::from_utf8_lossy(&told.stderr);
    assert_eq!(home.listed()[0]["state"], "finished", "{told}");
}

#[test]
fn a_magnet_that_was_downloaded_is_added_to_the_session_with_what_it_led_to() {
    let home = Home::new();
    let torrent = set_of_three(&home);
    let (seeder, peer) = home.seed(&[&torrent]);
    let magnet = format!("magnet:?xt=urn:btih:{}&so=0,2&x.pe={peer}", home.hash(&torrent));
    home.succeed(&download(&magnet, &[]));
    home.succeed(&["session", "add", &magnet, "--dir", "set", "--paused"]);
    let entry = home.listed()[0].clone();
    assert_eq!(pick(&entry, &["name", "length"]), json!(["set", 17]), "{entry}");
    // Its peer is asked, in a folder of which nothing is known.
    home.succeed(&["session", "resume", "set"]);
    home.succeed(&["session", "set", "set", "--select", "1-3", "--seed-time", "0s"]);
    home.succeed(&run(&[]));
    assert_eq!(std::fs::read(home.at("set/set/b")).unwrap(), content("b", 50_000));
    drop(seeder);
}

#[test]
fn a_file_that_is_nothing_but_a_hole_is_in_nobodys_way() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    let (_seeder, peer) = home.seed(&[&torrent]);
    for length in [40_000, 70_000] {
        let folder = length.to_string();
        std::fs::create_dir(home.at(&folder)).unwrap();
        let path = home.at(&format!("{folder}/a.bin"));
        std::fs::File::create(&path).unwrap().set_len(length).unwrap();
        home.refuse(32, &["verify", &torrent, "--dir", &folder]);
        home.succeed(&download(&torrent, &["--dir", &folder, "--peer", &peer]));
        assert_eq!(std::fs::read(&path).unwrap(), content("a.bin", 40_000), "{length}");
    }
    // Zeros that somebody has written are somebody's.
    std::fs::create_dir(home.at("zeros")).unwrap();
    std::fs::write(home.at("zeros/a.bin"), [0; 40_000]).unwrap();
    home.refuse(13, &download(&torrent, &["--dir", "zeros", "--peer", &peer]));
    assert_eq!(std::fs::read(home.at("zeros/a.bin")).unwrap(), [0; 40_000]);
}
