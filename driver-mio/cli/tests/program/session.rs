//! The session's commands, as a user types them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::home::{ALONE, Home, Running, content, pick, set_of_three};

const NO_TRACKERS: &[&str] = &["--no-trackers"];

fn run<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["session", "run"].into_iter().chain(ALONE).chain(more.iter().copied()).collect()
}

/// Runs the session until its torrents have come.
fn fetch(home: &Home, peer: &str, complete: usize) -> Running {
    let mut running = home.start(&run(&["--no-trackers", "--json", "--peer", peer]));
    (0..complete).for_each(|_| drop(running.event("complete")));
    running
}

/// Waits for something that other processes do.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_magnet_is_fetched_as_selected_and_stays_so() {
    let home = Home::new();
    let torrent = set_of_three(&home);
    let (_seeder, peer) = home.seed(&[&torrent]);
    let magnet = format!("magnet:?xt=urn:btih:{}", home.hash(&torrent));
    home.refuse(2, &["session", "add", &magnet, "--dir", "got", "--select", "0"]);
    home.succeed(&["session", "add", &magnet, "--dir", "got", "--select", "1,3"]);
    let (code, _, told) = fetch(&home, &peer, 1).stop();
    assert_eq!(code, 0, "{told}");
    assert_eq!(std::fs::read(home.at("got/set/a")).unwrap(), content("a", 10));
    assert!(!home.path().join("got/set/b").exists());
    let list = home.listed();
    let about = pick(&list[0], &["done", "length", "name", "size"]);
    assert_eq!(about, json!([17, 17, "set", 50_017]));
    // The next run has the `.torrent`, and fetches no more either.
    home.start(&run(&["--no-trackers", "--json", "--peer", &peer])).event("progress");
    assert!(!home.path().join("got/set/b").exists());
    home.succeed(&["session", "set", "set", "--select", "all"]);
    let (code, _, told) = fetch(&home, &peer, 1).stop();
    assert_eq!(code, 0, "{told}");
    assert_eq!(std::fs::read(home.at("got/set/b")).unwrap(), content("b", 50_000));
}

#[test]
fn a_torrent_that_lies_in_the_current_folder_is_one_of_the_session() {
    let home = Home::new();
    std::fs::write(home.at("a.bin"), content("a.bin", 40_000)).unwrap();
    let torrent = home.torrent_of("a.bin", "a.bin");
    home.succeed(&["session", "add", &torrent]);
    home.succeed(&["session", "verify", "a.bin"]);
    home.succeed(&["session", "rename", "a.bin", "b.bin"]);
    home.succeed(&run(&["--no-trackers", "--seed-time", "0s"]));
    home.succeed(&["session", "move", "b.bin", "--to", "there"]);
    home.succeed(&["session", "move", "b.bin", "--to", "."]);
    assert_eq!(std::fs::read(home.at("b.bin")).unwrap(), content("a.bin", 40_000));
}

#[test]
fn a_torrent_without_a_name_is_not_called_a_magnet() {
    let home = Home::new();
    let info = "d5:filesld6:lengthi5e4:pathl1:aeee4:name0:12:piece lengthi16384e6:pieces20:";
    let torrent = format!("d4:info{info}{}ee", "x".repeat(20));
    std::fs::write(home.at("nameless.torrent"), torrent).unwrap();
    let told = home.succeed(&["session", "add", "nameless.torrent"]);
    assert!(told.contains("added (no name) ") && !told.contains("magnet"), "{told}");
}

#[test]
fn adding_what_is_there_changes_nothing_and_says_so() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    let magnet = format!("magnet:?xt=urn:btih:{}", home.hash(&torrent));
    let told =
        home.succeed(&["session", "add", &magnet, "--dir", "one", "--paused", "--max-up", "5K"]);
    // A magnet that says no name is called by its hash, once.
    assert_eq!(told.matches(&home.hash(&torrent)).count(), 1, "{told}");
    let told = home.succeed(&["session", "add", &torrent]);
    assert!(told.contains("metadata"), "{told}");
    let told = home.succeed(&["session", "add", &torrent]);
    assert!(told.contains("already there"), "{told}");
    for other in [["--dir", "two"], ["--max-up", "6K"], ["--seed-ratio", "2"]] {
        let told = home.refuse(2, &["session", "add", &torrent, other[0], other[1]]);
        assert!(told.contains(other[0]), "{told}");
    }
    let list = home.listed();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(pick(&list[0], &["max_up", "paused"]), json!([5000, true]));
    assert!(list[0]["folder"].as_str().unwrap().ends_with("/one"));
}

#[test]
fn a_magnet_without_metadata_can_be_moved_and_has_no_files_to_rename_or_verify() {
    let home = Home::new();
    let hash = "ab".repeat(20);
    home.succeed(&["session", "add", &format!("magnet:?xt=urn:btih:{hash}&dn=later")]);
    home.succeed(&["session", "move", "later", "--to", "there"]);
    assert!(home.listed()[0]["folder"].as_str().unwrap().ends_with("/there"));
    assert!(home.refuse(2, &["session", "rename", "later", "x"]).contains("metadata"));
    assert!(home.refuse(2, &["session", "verify", "later"]).contains("metadata"));
    for command in ["verify", "seed"] {
        home.refuse(2, &[command, &format!("magnet:?xt=urn:btih:{hash}"), "--dir", "."]);
    }
    home.refuse(2, &["magnet", &format!("magnet:?xt=urn:btih:{hash}")]);
}

#[test]
fn files_are_renamed_inside_their_folder_and_the_list_has_current_names() {
    let home = Home::new();
    let torrent = set_of_three(&home);
    home.succeed(&["session", "add", &torrent, "--dir", "source"]);
    home.succeed(&["session", "verify", "set"]);
    home.succeed(&["session", "rename", "set", "new.bin", "--file", "2"]);
    assert!(home.path().join("source/set/new.bin").exists());
    home.succeed(&["session", "rename", "set", "other"]);
    assert!(home.path().join("source/other/new.bin").exists());
    assert_eq!(home.listed()[0]["name"], "other");
    let told = home.succeed(&["session", "rename", "other", "other/deep/c", "--file", "3"]);
    assert!(told.starts_with("renamed file 3 of other "), "{told}");
    assert!(home.path().join("source/other/deep/c").exists());
    for bad in ["../out", "/out", "other/../../out"] {
        home.refuse(2, &["session", "rename", "other", bad, "--file", "1"]);
    }
    home.refuse(2, &["session", "rename", "other", "x", "--file", "9"]);
    home.succeed(&["session", "verify", "other"]);
    let told = home.succeed(&["session", "remove", "other", "--with-data"]);
    assert!(told.starts_with("removed other "), "{told}");
    assert!(!home.path().join("source/other").exists());
}

#[test]
fn goals_of_a_run_and_of_torrents_end_their_seeding_and_then_the_run() {
    let home = Home::new();
    let (one, other) = (home.torrent("a.bin", 40_000), home.torrent("b.bin", 40_000));
    home.succeed(&["session", "add", &one, &other, "--dir", "source"]);
    home.succeed(&["session", "verify", "a.bin", "b.bin"]);
    home.succeed(&["session", "set", "b.bin", "--seed-time", "1h"]);
    let states = || {
        let list = home.listed();
        [0, 1].map(|place| list[place]["state"].as_str().unwrap().to_owned())
    };
    let running = home.start(&run(&["--no-trackers", "--seed-time", "0s"]));
    until("the first has been seeded enough", || states()[0] == "finished");
    assert_eq!(states()[1], "seeding");
    assert_eq!(running.stop().0, 0);
    // With nothing left to do the run ends by itself.
    home.succeed(&["session", "set", "b.bin", "--seed-time", "none"]);
    home.succeed(&["session", "resume", "a.bin"]);
    home.succeed(&run(&["--no-trackers", "--seed-time", "0s"]));
    assert_eq!(states(), ["finished", "finished"]);
    // So does one that finds nothing left to do.
    home.succeed(&run(&["--no-trackers", "--seed-time", "0s"]));
}

/// A home with the torrent `a.bin` in the session, which a run has seeded for a second and so finished.
fn finished() -> Home {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    std::fs::create_dir(home.at("got")).unwrap();
    std::fs::copy(home.at("source/a.bin"), home.at("got/a.bin")).unwrap();
    home.succeed(&["session", "add", &torrent, "--dir", "got", "--seed-time", "0s"]);
    home.succeed(&run(NO_TRACKERS));
    assert_eq!(home.listed()[0]["state"], "finished");
    home
}

#[test]
fn a_run_that_finds_all_torrents_finished_ends() {
    let home = finished();
    home.succeed(&run(NO_TRACKERS));
    assert_eq!(home.listed()[0]["state"], "finished");
}

#[test]
fn a_finished_torrent_whose_data_is_lost_is_fetched_again() {
    for verified in [false, true] {
        let home = finished();
        let (_seeder, peer) = home.seed(&["a.bin.torrent"]);
        std::fs::remove_file(home.at("got/a.bin")).unwrap();
        if verified {
            home.refuse(32, &["session", "verify", "a.bin"]);
            assert_eq!(pick(&home.listed()[0], &["state", "done"]), json!(["stopped", 0]));
        }
        let mut running = home.start(&run(NO_TRACKERS));
        running.line_with("READY");
        running.signal("-TERM");
        assert_eq!(running.end().0, 143, "there is something to fetch");
        home.succeed(&run(&["--no-trackers", "--peer", &peer]));
        assert_eq!(std::fs::read(home.at("got/a.bin")).unwrap(), content("a.bin", 40_000));
        assert_eq!(home.listed()[0]["state"], "finished");
    }
}

#[test]
fn a_finished_torrent_with_a_goal_that_is_not_reached_is_seeded_again() {
    for goal in [["--seed-time", "1h"], ["--seed-time", "none"], ["--seed-ratio", "2"]] {
        let home = finished();
        let mut set = vec!["session", "set", "a.bin"];
        if goal[0] == "--seed-ratio" {
            set.extend(["--seed-time", "none"]);
        }
        home.succeed(&[&set[..], &goal[..]].concat());
        assert_eq!(pick(&home.listed()[0], &["state", "paused"]), json!(["stopped", false]));
        let running = home.start(&run(NO_TRACKERS));
        until("it is seeded", || home.listed()[0]["state"] == "seeding");
        assert_eq!(running.stop().0, 0);
    }
    let home = finished();
    home.succeed(&["session", "set", "a.bin", "--max-up", "1M"]);
    assert_eq!(home.listed()[0]["state"], "finished");
}

#[test]
fn a_run_that_is_stopped_unfinished_says_so_by_its_code() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    home.succeed(&["session", "add", &torrent, "--dir", "got"]);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut running = home.start(&run(NO_TRACKERS));
        running.line_with("READY");
        running.signal(signal);
        assert_eq!(running.end().0, code);
    }
    home.succeed(&["session", "pause", "a.bin"]);
    let mut running = home.start(&run(NO_TRACKERS));
    running.line_with("READY");
    assert_eq!(running.stop().0, 0, "what is paused is nobody's work");
}

#[test]
fn the_list_has_a_header_and_says_what_is_wrong() {
    let home = Home::new();
    let (one, other) = (home.torrent("b.bin", 40_000), home.torrent("A.bin", 40_000));
    home.succeed(&["session", "add", &one, "--dir", "got"]);
    home.succeed(&["session", "add", &other, "--dir", "source"]);
    // Something else is in the way of the one.
    std::fs::create_dir_all(home.at("got")).unwrap();
    std::fs::write(home.at("got/b.bin"), vec![1; 40_000]).unwrap();
    let mut running = home.start(&run(NO_TRACKERS));
    running.line_with("READY");
    until("the failure is told", || home.listed()[1]["error"].is_string());
    let list = home.listed();
    assert_eq!(pick(&list[0], &["name", "state", "done"]), json!(["A.bin", "seeding", 40_000]));
    assert_eq!(pick(&list[1], &["name", "state"]), json!(["b.bin", "failed"]));
    running.stop();
    let told = home.succeed(&["session", "list"]);
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("HASH") && lines[0].contains("STATE"), "{told}");
    assert!(lines[1].contains("100.0 %") && lines[1].contains("A.bin"), "{told}");
    assert!(lines[2].contains("failed") && lines[3].contains("b.bin is there already"), "{told}");
    let list = home.succeed(&["session", "list", "--json", "--sort", "added"]);
    assert!(list.find("b.bin") < list.find("A.bin"), "{list}");
}

#[test]
fn data_that_went_bad_is_found_by_verify() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    home.succeed(&["session", "add", &torrent, "--dir", "source"]);
    home.succeed(&["session", "verify", "a.bin"]);
    assert_eq!(home.listed()[0]["done"], 40_000);
    let mut bytes = content("a.bin", 40_000);
    bytes[20_000] ^= 1;
    std::fs::write(home.at("source/a.bin"), bytes).unwrap();
    home.refuse(32, &["session", "verify", "a.bin", "--json"]);
    let list = home.listed();
    assert_eq!(pick(&list[0], &["good", "pieces"]), json!([2, 3]));
}

#[test]
fn environment_and_file_reach_the_session_and_keys_of_one_command_no_other() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    let elsewhere = home.at("elsewhere");
    let mut add = home.command(&["session", "add", &torrent]);
    assert!(add.env("EDDYLINE_STATE_DIR", &elsewhere).status().unwrap().success());
    assert_eq!(home.listed(), json!([]));
    home.succeed(&["session", "list", "--state-dir", &elsewhere, "--json"]);
    std::fs::create_dir_all(home.at(".config/eddyline")).unwrap();
    let config =
        |text: &str| std::fs::write(home.at(".config/eddyline/config.toml"), text).unwrap();
    config(&format!(
        "tracker = 'http://127.0.0.1:1/announce'\npeer = '127.0.0.1:9'\nmax-down = '1M'\n\
         state-dir = '{elsewhere}'\n[session.add]\nmax-up = '7K'\n"
    ));
    let about: serde_json::Value = {
        home.succeed(&["create", "source/a.bin", "-o", "plain.torrent"]);
        serde_json::from_str(&home.succeed(&["info", "--json", "plain.torrent"])).unwrap()
    };
    assert_eq!(about["trackers"], json!([]));
    assert_eq!(home.listed()[0]["name"], "a.bin", "the folder that the file names");
    home.succeed(&["session", "remove", "a.bin"]);
    home.succeed(&["session", "add", &torrent]);
    let list = home.listed();
    assert_eq!(pick(&list[0], &["max_down", "max_up"]), json!([null, 7000]));
    config("[create]\ntracker = 'http://127.0.0.1:1/announce'\n");
    home.succeed(&["create", "source/a.bin", "-o", "tracked.torrent"]);
    assert!(home.succeed(&["magnet", "tracked.torrent"]).contains("announce"));
    config("[session.add]\nunheard-of = 1\n");
    assert!(home.refuse(2, &["session", "list"]).contains("unheard-of"));
}

#[test]
fn what_is_a_switch_elsewhere_is_set_to_no_by_its_value() {
    let home = Home::new();
    home.succeed(&["session", "add", &"cd".repeat(20), "--sequential"]);
    for (flag, sequential) in [("--sequential=false", false), ("--sequential=true", true)] {
        home.succeed(&["session", "set", "cdcd", flag]);
        assert_eq!(home.listed()[0]["sequential"], sequential, "{flag}");
    }
    assert!(home.refuse(2, &["session", "set", "cdcd", "--no-sequential"]).contains("unexpected"));
}

#[test]
fn a_switch_of_the_file_can_be_undone() {
    let home = Home::new();
    home.torrent("a.bin", 40_000);
    std::fs::create_dir_all(home.at(".config/eddyline")).unwrap();
    std::fs::write(home.at(".config/eddyline/config.toml"), "json = true\nprivate = true\n")
        .unwrap();
    let is_json = |told: &str| told.starts_with('{');
    assert!(is_json(&home.succeed(&["info", "a.bin.torrent"])));
    for undone in ["--json=false", "--no-json"] {
        assert!(!is_json(&home.succeed(&["info", undone, "a.bin.torrent"])), "{undone}");
    }
    let mut info = home.command(&["info", "a.bin.torrent"]);
    let output = info.env("EDDYLINE_JSON", "false").output().unwrap();
    assert!(!is_json(&String::from_utf8(output.stdout).unwrap()));
    home.succeed(&["create", "source/a.bin", "-o", "public.torrent", "--private=false"]);
    let about = home.succeed(&["info", "--json", "public.torrent"]);
    assert!(about.contains("\"private\":false"), "{about}");
}

#[test]
fn what_is_a_switch_of_one_command_and_has_a_value_in_another_keeps_that_there() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    home.succeed(&["session", "add", &torrent, "--sequential"]);
    home.succeed(&["session", "set", "a.bin", "--sequential=false", "--max-up", "1K"]);
    assert_eq!(home.listed()[0]["sequential"], false);
    home.succeed(&["session", "set", "a.bin", "--sequential=true"]);
    assert_eq!(home.listed()[0]["sequential"], true);
    // What no flag of the command is undone by is a mistake, and told.
    for wrong in [["info", "--no-paused"], ["info", "--backwards=false"], ["create", "--trackers"]]
    {
        home.refuse(2, &[wrong[0], &torrent, wrong[1]]);
    }
}
