//! `--select` and its siblings: what is named has to be there.

use serde_json::Value;

use crate::home::{ALONE, Home, content, set_of_three};

fn download<'a>(sources: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let rest = ["--dir", "got", "--no-trackers"];
    ["download"].iter().chain(sources).chain(&rest).chain(&ALONE).chain(more).copied().collect()
}

#[test]
fn a_number_or_pattern_that_names_no_file_is_refused_before_anything_is_done() {
    let home = Home::new();
    let (set, one) = (set_of_three(&home), home.torrent("a.bin", 40_000));
    let wrong = [
        (vec!["-s", "1,99"], "set has 3 files, and no file 99"),
        (vec!["--select", "2-7"], "no file 7"),
        (vec!["--select", "1", "--select", "*.mkv"], "'*.mkv'"),
        (vec!["--select", "a", "--select", "4"], "no file 4"),
        (vec!["--select", "4294967297"], "no file 4294967297"),
    ];
    for (flags, why) in &wrong {
        for told in [
            home.refuse(2, &download(&[&set], flags)),
            home.refuse(2, &[&["session", "add", &set], &flags[..]].concat()),
        ] {
            assert!(told.contains(why) && told.lines().count() == 1, "{flags:?}: {told}");
        }
    }
    // Of several torrents each has to have what is named.
    let told = home.refuse(2, &download(&[&set, &one], &["--select", "3"]));
    assert!(told.contains("a.bin has 1 file, and no file 3"), "{told}");
    home.refuse(2, &["session", "add", &set, &one, "--select", "3"]);
    assert_eq!(home.listed(), serde_json::json!([]));
    assert!(!home.path().join("got").exists());
    home.succeed(&["session", "add", &set, "--select", "1-2"]);
    for (flags, why) in &wrong {
        let told = home.refuse(2, &[&["session", "set", "set"], &flags[..]].concat());
        assert!(told.contains(why), "{flags:?}: {told}");
    }
    assert!(home.refuse(2, &["session", "rename", "set", "x", "--file", "9"]).contains("3 files"));
    assert_eq!(home.listed()[0]["size"], 50_017);
    assert_eq!(home.listed()[0]["length"], 50_010, "what was selected stays so");
}

#[test]
fn of_a_magnet_what_is_not_there_is_refused_when_its_files_are_known() {
    let home = Home::new();
    let (set, one) = (set_of_three(&home), home.torrent("a.bin", 40_000));
    let (_seeder, peer) = home.seed(&[&set, &one]);
    let magnet = |torrent: &str| format!("magnet:?xt=urn:btih:{}", home.hash(torrent));
    let (set, one) = (magnet(&set), magnet(&one));
    let told = home.refuse(2, &download(&[&set], &["--peer", &peer, "-s", "1,99"]));
    assert!(told.contains("set has 3 files, and no file 99"), "{told}");
    let told = home.refuse(2, &download(&[&set], &["--peer", &peer, "-s", "*.mkv"]));
    assert!(told.contains("'*.mkv'"), "{told}");
    assert!(!home.path().join("got/set").exists(), "nothing of it is fetched");
    // The other one is fetched all the same.
    let output = home.run(&download(&[&set, &one], &["--peer", &peer, "-s", "1,9", "--json"]));
    assert_eq!(output.status.code(), Some(2), "both have no such file");
    let output = home.run(&download(&[&set, &one], &["--peer", &peer, "-s", "a*", "--json"]));
    assert_eq!(output.status.code(), Some(0));
    let output = home.run(&download(&[&set, &one], &["--peer", &peer, "-s", "*.bin", "--json"]));
    assert_eq!(output.status.code(), Some(7));
    let events = String::from_utf8(output.stdout).unwrap();
    let error = events.lines().find(|line| line.contains("\"error\"")).unwrap();
    let error: Value = serde_json::from_str(error).unwrap();
    assert_eq!((&error["code"], &error["name"]), (&2.into(), &"set".into()));
    assert_eq!(std::fs::read(home.at("got/a.bin")).unwrap(), content("a.bin", 40_000));
}

#[test]
fn a_running_session_tells_that_what_is_selected_of_a_magnet_is_not_there() {
    let home = Home::new();
    let set = set_of_three(&home);
    let (_seeder, peer) = home.seed(&[&set]);
    let hash = home.hash(&set);
    let magnet = format!("magnet:?xt=urn:btih:{hash}");
    home.succeed(&["session", "add", &magnet, "--dir", "got", "--select", "1,99"]);
    // Its `.torrent` says at once what it has.
    assert!(home.refuse(2, &["session", "add", &set]).contains("no file 99"));
    let peers = ["--peer", &peer, "--no-trackers"];
    let run = [&["session", "run"], &ALONE[..], &peers[..]].concat();
    let mut running = home.start(&[&run[..], &["--json"]].concat());
    let error = running.event("error");
    assert_eq!((&error["code"], &error["info_hash"]), (&2.into(), &hash.clone().into()));
    assert_eq!(running.stop().0, 130);
    assert!(home.listed()[0]["error"].as_str().unwrap().contains("no file 99"));
    let mut running = home.start(&run);
    running.line_with("READY");
    let told = running.told_with("no file 99");
    assert!(told.contains("session set"), "{told}");
    drop(running);
    home.succeed(&["session", "set", &hash, "--select", "1,3"]);
    home.start(&[&run[..], &["--json"]].concat()).event("complete");
    assert!(home.path().join("got/set/c").exists() && !home.path().join("got/set/b").exists());
}

#[test]
fn a_file_that_a_magnet_asks_for_and_that_is_not_there_is_told() {
    let home = Home::new();
    let set = set_of_three(&home);
    let (_seeder, peer) = home.seed(&[&set]);
    let magnet = format!("magnet:?xt=urn:btih:{}&so=0,98", home.hash(&set));
    let output = home.run(&download(&[&magnet], &["--peer", &peer]));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("warning: the magnet asks for file 99 of set"), "{told}");
    assert!(home.path().join("got/set/a").exists() && !home.path().join("got/set/c").exists());
}
