//! Several processes with one state folder, as a user has them.

use crate::home::{ALONE, Home};

fn waiting<'a>(command: &[&'a str], torrent: &'a str) -> Vec<&'a str> {
    command.iter().copied().chain([torrent, "--json", "--no-trackers"]).chain(ALONE).collect()
}

#[test]
fn two_downloads_run_beside_each_other_and_the_session_can_be_looked_at_and_changed() {
    let home = Home::new();
    let torrents = ["a.bin", "b.bin", "c.bin"].map(|name| home.torrent(name, 40_000));
    let mut running = Vec::new();
    for torrent in &torrents[..2] {
        let mut download = home.start(&waiting(&["download", "--dir", "got"], torrent));
        download.event("ready");
        running.push(download);
    }
    assert_eq!(home.listed(), serde_json::json!([]));
    home.succeed(&["session", "add", &torrents[2], "--dir", "got"]);
    home.succeed(&["session", "pause", "c.bin"]);
    assert_eq!(home.listed()[0]["paused"], true);
    home.succeed(&["session", "remove", "c.bin"]);
    for download in running {
        let (code, _, told) = download.stop();
        assert_eq!(code, 130, "{told}");
    }
}

#[test]
fn a_torrent_that_another_process_works_on_is_refused_and_the_process_is_named() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    let mut download = home.start(&waiting(&["download", "--dir", "got"], &torrent));
    download.event("ready");
    let named = format!("process {}", download.id());
    let magnet = format!("magnet:?xt=urn:btih:{}", home.hash(&torrent));
    for source in [torrent.as_str(), &magnet] {
        let told = home.refuse(1, &waiting(&["download", "--dir", "other"], source));
        assert!(told.contains(&named) && told.contains("eddyline download"), "{told}");
    }
    let told = home.refuse(1, &waiting(&["seed", "--dir", "source"], &torrent));
    assert!(told.contains(&named), "{told}");
    // Reading needs no lock.
    home.succeed(&["info", &torrent]);
    home.succeed(&["verify", &torrent, "--dir", "source"]);
    // With the session it can be added; its data cannot be touched.
    home.succeed(&["session", "add", &torrent, "--dir", "got"]);
    let told = home.refuse(1, &["session", "remove", "a.bin", "--with-data"]);
    assert!(told.contains(&named), "{told}");
    // One that was killed holds nothing.
    download.signal("-KILL");
    download.end();
    home.succeed(&["session", "remove", "a.bin"]);
    let mut again = home.start(&waiting(&["download", "--dir", "got"], &torrent));
    again.event("ready");
    assert_eq!(again.stop().0, 130);
}

#[test]
fn a_running_session_is_listed_and_named_and_its_torrents_are_its_own() {
    let home = Home::new();
    let (one, other) = (home.torrent("a.bin", 40_000), home.torrent("b.bin", 40_000));
    home.succeed(&["session", "add", &one, "--dir", "got"]);
    let arguments: Vec<&str> =
        ["session", "run", "--no-trackers"].iter().chain(&ALONE).copied().collect();
    let mut session = home.start(&arguments);
    session.line_with("READY ");
    let named = format!("process {} (eddyline session run)", session.id());
    assert_eq!(home.listed()[0]["name"], "a.bin");
    for change in [vec!["session", "add", &other], vec!["session", "pause", "a.bin"]] {
        let told = home.refuse(1, &change);
        assert!(told.contains(&named), "{told}");
    }
    let told = home.refuse(1, &waiting(&["download", "--dir", "got"], &one));
    assert!(told.contains(&named), "{told}");
    // What is not of the session is everybody's.
    let mut download = home.start(&waiting(&["download", "--dir", "got"], &other));
    download.event("ready");
    download.stop();
    session.stop();
    home.succeed(&["session", "pause", "a.bin"]);
}

#[test]
fn a_session_leaves_out_what_another_process_works_on() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    home.succeed(&["session", "add", &torrent, "--dir", "got"]);
    let mut download = home.start(&waiting(&["download", "--dir", "got"], &torrent));
    download.event("ready");
    let named = format!("process {}", download.id());
    let arguments: Vec<&str> =
        ["session", "run", "--no-trackers"].iter().chain(&ALONE).copied().collect();
    let mut session = home.start(&arguments);
    session.line_with("READY ");
    let (_, _, told) = session.stop();
    assert!(told.contains("left out") && told.contains(&named), "{told}");
}

#[test]
fn a_transfer_goes_on_without_a_state_folder_and_says_so() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 40_000);
    std::fs::write(home.path().join("file"), "x").unwrap();
    let (seeder, peer) = home.seed(&[&torrent]);
    let arguments: Vec<&str> = [
        "download",
        &torrent,
        "--dir",
        "got",
        "--state-dir",
        "file/state",
        "--peer",
        &peer,
        "--no-trackers",
    ]
    .into_iter()
    .chain(ALONE)
    .collect();
    let output = home.run(&arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("cannot use the state folder"), "{told}");
    home.refuse(17, &["session", "add", &torrent, "--state-dir", "file/state"]);
    drop(seeder);
}
