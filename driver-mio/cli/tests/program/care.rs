//! What is somebody else's stays as it is, what cannot be kept or called as it should be is told.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::home::{ALONE, Home, content};

/// A torrent of two files that share a piece, `t/a` and `t/b`, of which `source/t` has the data.
fn two_files(home: &Home) -> String {
    std::fs::create_dir_all(home.at("source/t")).unwrap();
    for name in ["a", "b"] {
        std::fs::write(home.at(&format!("source/t/{name}")), content(name, 50_000)).unwrap();
    }
    home.torrent_of("source/t", "t")
}

/// A file in `got/t`.
fn put(home: &Home, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(home.at("got/t")).unwrap();
    std::fs::write(home.at(&format!("got/t/{name}")), bytes).unwrap();
}

fn got(home: &Home, name: &str) -> Vec<u8> {
    std::fs::read(home.at(&format!("got/t/{name}"))).unwrap()
}

/// What a download of the files with these numbers says, which must be content.
fn download(home: &Home, torrent: &str, peer: &str, files: &str) -> String {
    let wanted = ["download", torrent, "--dir", "got", "--select", files, "--peer", peer];
    let output = home.run(&[&wanted[..], &["--no-trackers"], &ALONE].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    told
}

#[test]
fn a_tail_is_cut_though_the_last_piece_is_shared_with_a_file_that_is_not_selected() {
    let home = Home::new();
    let torrent = two_files(&home);
    let (_seeder, peer) = home.seed(&[&torrent]);
    let right = content("a", 50_000);
    put(&home, "a", &[&right[..], b"tail"].concat());
    let verified = home.refuse(32, &["verify", &torrent, "--dir", "got"]);
    assert!(
        verified.contains("t/a is longer than the torrent says; `download` cuts"),
        "{verified}"
    );
    let told = download(&home, &torrent, &peer, "1");
    assert!(told.contains("t/a was longer than the torrent says"), "{told}");
    assert!(got(&home, "a") == right && !Path::new(&home.at("got/t/b")).exists());
}

#[test]
fn a_file_of_somebody_elses_that_is_not_selected_is_neither_in_the_way_nor_touched() {
    let home = Home::new();
    let torrent = two_files(&home);
    let (_seeder, peer) = home.seed(&[&torrent]);
    for length in [10, 50_000, 60_000] {
        let own = content("own", length);
        let _ = std::fs::remove_dir_all(home.at("got"));
        put(&home, "b", &own);
        let told = download(&home, &torrent, &peer, "1");
        assert!(told.contains("t/b is called t/b.1 here"), "{told}");
        assert!(got(&home, "a") == content("a", 50_000) && got(&home, "b") == own);
        // Selected later, it comes beside it.
        let told = download(&home, &torrent, &peer, "1-2");
        assert!(!told.contains("is called"), "told before: {told}");
        assert!(got(&home, "b.1") == content("b", 50_000) && got(&home, "b") == own);
        home.refuse(32, &["verify", &torrent, "--dir", "got"]);
        std::fs::remove_dir_all(home.at(".local")).unwrap();
    }
}

#[test]
fn a_file_of_the_torrent_that_is_not_selected_and_too_long_is_not_cut_until_it_is() {
    let home = Home::new();
    let torrent = two_files(&home);
    let (_seeder, peer) = home.seed(&[&torrent]);
    let long = [&content("b", 50_000)[..], b"tail"].concat();
    put(&home, "b", &long);
    download(&home, &torrent, &peer, "1");
    assert!(got(&home, "a") == content("a", 50_000) && got(&home, "b") == long);
    download(&home, &torrent, &peer, "1-2");
    assert!(got(&home, "b") == content("b", 50_000));
}

#[test]
fn a_session_verifies_and_changes_nothing_and_a_file_that_is_too_long_is_named() {
    let home = Home::new();
    let torrent = two_files(&home);
    let long = [&content("a", 50_000)[..], b"tail"].concat();
    put(&home, "a", &long);
    put(&home, "b", &content("b", 50_000));
    home.succeed(&["session", "add", &torrent, "--dir", "got"]);
    for _ in 0..2 {
        let told = home.refuse(32, &["session", "verify", "t"]);
        assert!(told.contains("t/a is longer than the torrent says; `session run` cuts"), "{told}");
        assert!(got(&home, "a") == long, "nothing is cut");
    }
    let document = home.run(&["session", "verify", "t", "--json"]).stdout;
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!((&document[0]["too_long"][0], &document[0]["good"]), (&"t/a".into(), &7.into()));
    put(&home, "a", &[&content("x", 40_000)[..], &long[40_000..]].concat());
    let told = home.refuse(32, &["session", "verify", "t"]);
    assert!(told.contains("some of it is bad, too"), "{told}");
    // What is not selected may be as long as it likes.
    home.succeed(&["session", "set", "t", "--select", "2"]);
    home.succeed(&["session", "verify", "t"]);
    put(&home, "a", &content("a", 50_000));
    home.succeed(&["session", "set", "t", "--select", "1-2"]);
    home.succeed(&["session", "verify", "t"]);
    // Whatever the record says, everything is hashed.
    let (path, date) = (home.at("got/t/a"), std::fs::metadata(home.at("got/t/a")).unwrap());
    put(&home, "a", &[&content("a", 50_000)[..40_000], &content("x", 10_000)[..]].concat());
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(date.modified().unwrap()).unwrap();
    home.refuse(32, &["session", "verify", "t"]);
}

/// Bytes of a text in bencode.
fn text(bytes: &[u8]) -> Vec<u8> {
    [format!("{}:", bytes.len()).as_bytes(), bytes].concat()
}

/// A torrent of files of ten bytes, with these paths.
fn torrent_of_paths(home: &Home, paths: &[&[&[u8]]]) -> String {
    let file = |path: &&[&[u8]]| {
        let parts: Vec<u8> = path.iter().flat_map(|part| text(part)).collect();
        [b"d6:lengthi10e4:pathl", &parts[..], b"ee"].concat()
    };
    let files: Vec<u8> = paths.iter().flat_map(file).collect();
    let hash: [u8; 20] = Sha1::digest(vec![b'x'; 10 * paths.len()]).into();
    let tail = [b"e4:name1:n12:piece lengthi16384e6:pieces", &text(&hash)[..], b"ee"].concat();
    let torrent = home.at("odd.torrent");
    std::fs::write(&torrent, [b"d4:infod5:filesl", &files[..], &tail].concat()).unwrap();
    torrent
}

#[test]
fn paths_that_are_not_safe_are_told_wherever_a_torrent_is_looked_at() {
    let home = Home::new();
    let paths: [&[&[u8]]; 6] = [
        &[b"..", b"..", b"etc", b"passwd"],
        &[b"/abs"],
        &[b"", b"x"],
        &[b"c\x1b[31m"],
        &[b"no\xfftext"],
        &[b"fine"],
    ];
    let torrent = torrent_of_paths(&home, &paths);
    let shown = home.succeed(&["info", &torrent]);
    assert_eq!(shown.matches("(the torrent says '").count(), 5, "{shown}");
    assert!(shown.contains("(the torrent says 'n/../../etc/passwd')"), "{shown}");
    let document: Value =
        serde_json::from_str(&home.succeed(&["info", "--json", &torrent])).unwrap();
    let said = document["files"].as_array().unwrap().iter().map(|file| &file["path_in_torrent"]);
    assert_eq!(said.filter(|said| said.is_string()).count(), 5);
    // Whoever makes files of it is told, too, before the first byte. What is not UTF-8 looks the same.
    let sentence =
        "n/../../etc/passwd is called n/etc/passwd here, and 3 other files have other names, too";
    let rest = ["--dir", "got", "--stop-timeout", "1s", "--no-trackers"];
    let told = home.refuse(7, &[&["download", &torrent], &rest[..], &ALONE].concat());
    assert!(told.contains(sentence), "{told}");
    std::fs::create_dir_all(home.at("got/n/etc")).unwrap();
    for name in ["etc/passwd", "_abs", "x", "c_[31m", "no\u{fffd}text", "fine"] {
        std::fs::write(home.at(&format!("got/n/{name}")), [b'x'; 10]).unwrap();
    }
    let output = home.run(&["verify", &torrent, "--dir", "got", "--json"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(0) && told.contains(sentence), "{told}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["files"][0]["path_in_torrent"], "n/../../etc/passwd");
}

#[test]
fn a_torrent_is_called_so_already_or_told_what_is_wrong_with_a_name() {
    let home = Home::new();
    let torrent = two_files(&home);
    home.succeed(&["session", "add", &torrent, "--dir", "source"]);
    let told = home.succeed(&["session", "rename", "t", "t"]);
    assert!(told.contains("is called t already"), "{told}");
    home.succeed(&["session", "rename", "t", "--file", "1", "a"]);
    for (name, why) in [("a/b", "a slash"), ("..", "a folder"), ("", "blank")] {
        let told = home.refuse(2, &["session", "rename", "t", name]);
        assert!(told.contains(why), "{told}");
    }
    home.succeed(&["session", "rename", "t", "u"]);
    assert!(Path::new(&home.at("source/u/a")).exists());
    // What cannot be fetched, and what is no number, is called so.
    let told = home.refuse(2, &["download", "ftp://host/x.torrent"]);
    assert!(told.contains("ftp:// is nothing that can be fetched"), "{told}");
    let told = home.refuse(2, &["download", &torrent, "--seed-ratio", "-1"]);
    assert!(told.contains("a ratio is a number from 0 up"), "{told}");
}

#[test]
fn the_story_of_a_run_tells_what_came_in_it_and_not_before() {
    let home = Home::new();
    let torrent = two_files(&home);
    let (_seeder, peer) = home.seed(&[&torrent]);
    let story = |trace: &str| {
        let wanted = ["download", &torrent, "--dir", "got", "--peer", &peer, "--record", trace];
        home.succeed(&[&wanted[..], &["--no-trackers"], &ALONE].concat());
        home.succeed(&["replay", trace])
    };
    assert!(story("first").contains("97.7 KiB down"));
    let second = story("second");
    assert!(second.contains(" 0 B down, 0 B up"), "{second}");
}

#[test]
fn joiners_in_names_are_kept_on_the_disk_and_on_the_screen() {
    let home = Home::new();
    let names = ["👩\u{200d}💻.png", "می\u{200c}خواهم.txt", "क्\u{200d}ष"];
    std::fs::create_dir_all(home.at("source/t")).unwrap();
    for name in names {
        std::fs::write(home.at(&format!("source/t/{name}")), content(name, 1000)).unwrap();
    }
    let torrent = home.torrent_of("source/t", "t");
    let shown = home.succeed(&["info", &torrent]);
    assert!(names.iter().all(|name| shown.contains(name)), "{shown}");
    assert!(!shown.contains("the torrent says"), "{shown}");
    let (_seeder, peer) = home.seed(&[&torrent]);
    let told = download(&home, &torrent, &peer, "1-3");
    assert!(!told.contains("is called"), "{told}");
    for name in names {
        assert!(got(&home, name) == content(name, 1000));
    }
}

#[test]
fn a_transfer_whose_record_cannot_be_kept_says_so_once_and_goes_on() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 400_000);
    let (_seeder, peer) = home.seed(&[&torrent]);
    let wanted = ["download", &torrent, "--dir", "got", "--state-dir", "kept", "--peer", &peer];
    let slow = ["--max-down", "400K", "--no-trackers", "--json"];
    let mut running = home.start(&[&wanted[..], &slow, &ALONE].concat());
    running.event("progress");
    // The folder is not there any more, as on a disk that was taken away or is full.
    let records = home.path().join("kept/resume");
    for _ in 0..100 {
        if records.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_dir_all(&records).unwrap();
    std::fs::write(&records, b"in the way").unwrap();
    let (code, _, told) = running.end();
    assert_eq!(code, 0, "{told}");
    let file =
        format!("kept/resume/{}.resume: part of the path is not a folder", home.hash(&torrent));
    assert_eq!(told.matches(&file).count(), 1, "{told}");
    assert!(!told.contains("os error"), "{told}");
    assert!(std::fs::read(home.at("got/a.bin")).unwrap() == content("a.bin", 400_000));
    // Nothing is lost but the record: the data is checked, and is all there.
    std::fs::remove_file(&records).unwrap();
    let told = home.succeed(&[&wanted[..], &slow, &ALONE].concat());
    assert!(told.contains("\"downloaded\":0"), "{told}");
}
