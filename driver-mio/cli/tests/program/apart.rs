//! What belongs to others stays theirs: the network of commands that have none, and files of another torrent.

use std::net::TcpListener;

use super::home::{ALONE, Home, content, set_of_three};

/// A torrent of the session, with a peer in its resume data. Returns what listens where that peer was.
fn with_a_known_peer(home: &Home) -> TcpListener {
    let torrent = set_of_three(home);
    let (seeder, addr) = home.seed(&[&torrent]);
    let download = ["download", &torrent, "-d", "out", "--no-trackers", "--peer", &addr];
    home.succeed(&[&download[..], &ALONE].concat());
    seeder.stop();
    let listener = TcpListener::bind(&addr).unwrap();
    listener.set_nonblocking(true).unwrap();
    home.succeed(&["session", "add", &torrent, "-d", "out"]);
    listener
}

fn was_called(listener: &TcpListener) -> bool {
    listener.accept().is_ok()
}

#[test]
fn to_verify_rename_or_move_a_torrent_calls_no_peer_and_fetches_nothing() {
    let home = Home::new();
    let listener = with_a_known_peer(&home);
    std::fs::remove_file(home.at("out/set/b")).unwrap();
    home.refuse(32, &["session", "verify", "set"]);
    assert!(!was_called(&listener), "to verify");
    home.succeed(&["session", "rename", "set", "other"]);
    assert!(!was_called(&listener), "to rename");
    home.succeed(&["session", "move", "other", "--to", "moved"]);
    assert!(!was_called(&listener), "to move");
    assert!(!home.path().join("moved/other/b").exists());
    // A run knows the peer still.
    let run = ["session", "run", "--no-trackers", "--seed-time", "0s"];
    let mut run = home.start(&[&run[..], &ALONE].concat());
    run.line_with("READY");
    let begun = std::time::Instant::now();
    while !was_called(&listener) {
        assert!(begun.elapsed().as_secs() < 30, "nobody is called");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    run.stop();
}

/// Two torrents with a file `same.bin` of other content: the first is in the session, whole, in `out`; the second is
/// seeded. Returns it, its hash, and the seeder with its address.
fn two_with_one_name(home: &Home) -> (String, String, super::home::Running, String) {
    for (folder, length) in [("out", 60_000), ("source", 50_000)] {
        std::fs::create_dir(home.at(folder)).unwrap();
        std::fs::write(home.path().join(folder).join("same.bin"), content(folder, length)).unwrap();
    }
    let first = home.torrent_of("out/same.bin", "first");
    home.succeed(&["session", "add", &first, "-d", "out"]);
    let second = home.torrent_of("source/same.bin", "second");
    let hash = home.hash(&second);
    let (seeder, addr) = home.seed(&[&second]);
    (second, hash, seeder, addr)
}

#[test]
fn a_download_of_a_torrent_or_a_magnet_spares_the_files_of_the_session() {
    let home = Home::new();
    let (second, hash, seeder, addr) = two_with_one_name(&home);
    let magnet = format!("magnet:?xt=urn:btih:{hash}");
    for source in [&second, &magnet] {
        let flags = ["-d", "out", "--allow-overwrite", "--no-trackers", "--peer", &addr];
        let told = home.refuse(13, &[&["download", source][..], &flags, &ALONE].concat());
        assert!(told.contains("same.bin and same.bin"), "{source}: {told}");
        let there = std::fs::read(home.at("out/same.bin")).unwrap();
        assert!(there == content("out", 60_000), "{source}");
    }
    seeder.stop();
}

#[test]
fn a_file_with_another_name_elsewhere_is_replaced_and_never_written_through() {
    let home = Home::new();
    let (second, _, seeder, addr) = two_with_one_name(&home);
    let theirs = content("out", 60_000);
    std::fs::create_dir(home.at("linked")).unwrap();
    std::fs::hard_link(home.at("out/same.bin"), home.at("linked/same.bin")).unwrap();
    let flags = ["-d", "linked", "--allow-overwrite", "--no-trackers", "--peer", &addr];
    home.succeed(&[&["download", &second][..], &flags, &ALONE].concat());
    assert!(std::fs::read(home.at("out/same.bin")).unwrap() == theirs);
    assert!(std::fs::read(home.at("linked/same.bin")).unwrap() == content("source", 50_000));
    assert_eq!(std::fs::read_dir(home.at("linked")).unwrap().count(), 1);
    seeder.stop();
}

/// Two torrents of one file, which is in `source`: the first is in the session.
fn two_of_one_file(home: &Home) -> (String, String) {
    let first = home.torrent("a.bin", 40_000);
    let second = home.at("second.torrent");
    let create = ["create", "source/a.bin", "-o", &second, "--piece-length", "16KiB"];
    home.succeed(&[&create[..], &["--source", "elsewhere"]].concat());
    home.succeed(&["session", "add", &first, "-d", "source"]);
    home.succeed(&["session", "verify", "a.bin"]);
    (home.hash(&first), second)
}

#[test]
fn a_file_that_two_torrents_have_stays_where_it_is_until_one_of_them_goes() {
    let home = Home::new();
    let (first, second) = two_of_one_file(&home);
    home.succeed(&["session", "add", &second, "-d", "source"]);
    let second = home.hash(&second);
    home.succeed(&["session", "verify", &second]);
    let is_there = || std::fs::read(home.at("source/a.bin")).unwrap() == content("a.bin", 40_000);
    for command in [
        ["session", "move", &second, "--to", "other"].as_slice(),
        &["session", "rename", &second, "b.bin"],
    ] {
        let told = home.refuse(13, command);
        assert!(told.contains(&first) && told.contains("a.bin, too"), "{command:?}: {told}");
        assert!(is_there(), "{command:?}");
    }
    home.succeed(&["session", "remove", &second, "--with-data"]);
    assert!(is_there());
    home.succeed(&["session", "remove", &first, "--with-data"]);
    assert!(!home.path().join("source/a.bin").exists());
}

#[test]
fn a_file_that_another_process_seeds_stays_where_it_is() {
    let home = Home::new();
    let (_, second) = two_of_one_file(&home);
    let seed = ["seed", &second, "-d", "source", "--no-trackers"];
    let mut seeder = home.start(&[&seed[..], &ALONE].concat());
    seeder.line_with("READY ");
    home.refuse(13, &["session", "move", "a.bin", "--to", "other"]);
    home.succeed(&["session", "remove", "a.bin", "--with-data"]);
    assert!(home.path().join("source/a.bin").exists());
    seeder.stop();
}

#[test]
fn a_rename_that_fails_changes_nothing_and_what_stands_in_its_way_is_never_taken_for_the_torrents()
{
    for (name, file, foreign) in [
        ("own.txt", Some("1"), "source/set/own.txt"),
        ("a/x", Some("1"), "source/other"),
        ("other", None, "source/other/a"),
    ] {
        let home = Home::new();
        let torrent = set_of_three(&home);
        std::fs::create_dir_all(home.path().join(foreign).parent().unwrap()).unwrap();
        std::fs::write(home.at(foreign), content("foreign", 10)).unwrap();
        home.succeed(&["session", "add", &torrent, "-d", "source"]);
        home.succeed(&["session", "verify", "set"]);
        let number = file.map(|file| ["--file", file]);
        let rename = ["session", "rename", "set", name];
        let told = home.refuse(13, &[&rename[..], number.as_ref().map_or(&[][..], |n| n)].concat());
        assert!(told.contains("source/"), "{name}: {told}");
        home.succeed(&["session", "verify", "set"]);
        assert_eq!(home.listed()[0]["name"], "set", "{name}");
        home.succeed(&["session", "remove", "set", "--with-data"]);
        assert!(std::fs::read(home.at(foreign)).unwrap() == content("foreign", 10), "{name}");
        assert!(!home.path().join("source/set/a").exists(), "{name}");
    }
}
