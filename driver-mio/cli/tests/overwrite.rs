//! A flag that names a file to be written: what is there stays, unless --force says otherwise, and what is
//! read stays in any case.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ALONE: &[&str] =
    &["--no-dht", "--no-lsd", "--no-trackers", "--bind", "127.0.0.1", "--port", "0"];
const MAGNET: &str = "magnet:?xt=urn:btih:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

struct Home(tempfile::TempDir);

impl Home {
    /// A folder with a payload, its torrent, a trace, and something old.
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(home.at("here")).unwrap();
        std::fs::write(home.at("here/p.bin"), [7; 40_000]).unwrap();
        assert_eq!(home.run(&["create", "here/p.bin", "-o", "p.torrent"]), 0);
        assert_eq!(home.alone(&["download", "p.torrent", "--dir", "here", "--record", "run"]), 0);
        std::fs::write(home.at("old"), "old").unwrap();
        home
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn run(&self, arguments: &[&str]) -> i32 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
        command.args(arguments).current_dir(&self.0).env_clear().env("HOME", self.0.path());
        command.stdout(Stdio::null()).status().unwrap().code().unwrap()
    }

    fn alone(&self, arguments: &[&str]) -> i32 {
        self.run(&[arguments, ALONE].concat())
    }

    fn is_old(&self) -> bool {
        std::fs::read(self.at("old")).unwrap() == b"old"
    }
}

#[test]
fn every_flag_that_writes_a_file_leaves_what_is_there() {
    let home = Home::new();
    let transfers: &[&[&str]] = &[
        &["download", "p.torrent", "--dir", "here", "--record"],
        &["seed", "p.torrent", "--dir", "here", "--seed-time", "0s", "--record"],
        &["download", MAGNET, "--metadata-only", "-o"],
        &["session", "run", "--record"],
    ];
    let others: &[&[&str]] = &[
        &["create", "here", "-o"],
        &["demo", "--size", "20K", "--record"],
        &["replay", "run", "--redact"],
        &["replay", "run", "--until", "resume saved", "--minimise"],
    ];
    for command in transfers.iter().chain(others) {
        let run = |more: &[&str]| match transfers.contains(command) {
            true => home.alone(&[command, more].concat()),
            false => home.run(&[command, more].concat()),
        };
        assert_eq!(run(&["old"]), 13, "{command:?}");
        assert_eq!(run(&["here", "--force"]), 13, "{command:?}: a folder");
        assert_ne!(run(&["absent/new", "--force"]), 0, "{command:?}");
        assert!(home.is_old(), "{command:?}");
    }
    for command in [&transfers[0], &transfers[1]] {
        assert_eq!(home.alone(&[command, &["old", "--force"][..]].concat()), 0, "{command:?}");
        assert!(!home.is_old(), "{command:?}");
        assert_eq!(home.run(&["replay", "old"]), 0);
        std::fs::write(home.at("old"), "old").unwrap();
        assert_eq!(home.alone(&[command, &["/dev/null"][..]].concat()), 0);
    }
    for command in others {
        assert_eq!(home.run(&[command, &["old", "--force"][..]].concat()), 0, "{command:?}");
        assert!(!home.is_old(), "{command:?}");
        std::fs::write(home.at("old"), "old").unwrap();
        assert_eq!(home.run(&[command, &["/dev/null"][..]].concat()), 0, "{command:?}");
    }
    assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
}

#[test]
fn what_is_read_is_never_written_over() {
    let home = Home::new();
    let (torrent, trace) =
        (std::fs::read(home.at("p.torrent")).unwrap(), std::fs::read(home.at("run")).unwrap());
    std::os::unix::fs::symlink("run", home.at("link")).unwrap();
    for out in ["run", "link", "./run"] {
        assert_eq!(home.run(&["replay", "run", "--redact", out, "--force"]), 13, "{out}");
        let minimise = ["replay", "run", "--until", "resume saved", "--force", "--minimise", out];
        assert_eq!(home.run(&minimise), 13, "{out}");
    }
    let record = ["--dir", "here", "--force", "--record", "p.torrent"];
    assert_eq!(home.alone(&[&["download", "p.torrent"], &record[..]].concat()), 13);
    assert_eq!(home.alone(&[&["seed", "p.torrent"], &record[..]].concat()), 13);
    assert_eq!(std::fs::read(home.at("p.torrent")).unwrap(), torrent);
    assert_eq!(std::fs::read(home.at("run")).unwrap(), trace);
}

#[test]
fn two_traces_are_not_asked_of_one_replay() {
    let home = Home::new();
    let both = ["replay", "run", "--until", "resume saved", "--redact", "q1", "--minimise", "q2"];
    assert_eq!(home.run(&both), 2);
    assert_eq!(home.run(&["replay", "run", "--why"]), 2, "of which step?");
    assert!(!home.at("q1").exists() && !home.at("q2").exists());
}

#[test]
fn the_files_of_torrents_are_never_written_over() {
    let home = Home::new();
    std::fs::hard_link(home.at("here/p.bin"), home.at("twin")).unwrap();
    std::fs::create_dir(home.at("new")).unwrap();
    let is_whole = || std::fs::read(home.at("here/p.bin")).unwrap() == [7; 40_000];
    let (here, new) = (["--dir", "here", "--force"], ["--dir", "new", "--force"]);
    let session = ["--dir", "here"];
    assert_eq!(home.run(&[&["session", "add", "p.torrent"], &session[..]].concat()), 0);
    for out in ["here/p.bin", "twin", "./here/../here/p.bin"] {
        let record = ["--record", out];
        for command in ["download", "seed"] {
            let code = home.alone(&[&[command, "p.torrent"], &here[..], &record[..]].concat());
            assert_eq!(code, 13, "{command} {out}");
        }
        let metadata = ["download", "p.torrent", "--metadata-only", "-o", out];
        assert_eq!(home.alone(&[&metadata[..], &here[..]].concat()), 13, "{out}");
        let run = ["session", "run", "--seed-time", "0s", "--force", "--record", out];
        assert_eq!(home.alone(&run), 13, "{out}");
        assert!(is_whole(), "{out}");
    }
    // Nor what is to become one, nor what a magnet may turn out to have.
    let code =
        home.alone(&[&["download", "p.torrent", "--record", "new/p.bin"], &new[..]].concat());
    assert_eq!(code, 13);
    assert!(!home.at("new/p.bin").exists());
    let magnet = [&["download", MAGNET, "--record", "here/p.bin"], &here[..]].concat();
    assert_eq!(home.alone(&magnet), 13);
    assert!(is_whole());
}

#[test]
fn the_files_of_the_session_are_never_written_over_by_what_is_about_another_torrent() {
    let home = Home::new();
    std::fs::create_dir(home.at("there")).unwrap();
    std::fs::write(home.at("there/q.bin"), [8; 40_000]).unwrap();
    assert_eq!(home.run(&["create", "there/q.bin", "-o", "q.torrent"]), 0);
    assert_eq!(home.run(&["session", "add", "p.torrent", "--dir", "here"]), 0);
    let spared: [&[&str]; 3] = [
        &["download", "q.torrent", "--metadata-only", "-o"],
        &["download", "q.torrent", "--dir", "there", "--record"],
        &["seed", "q.torrent", "--dir", "there", "--seed-time", "0s", "--record"],
    ];
    for command in spared {
        let code = home.alone(&[command, &["here/p.bin", "--force"]].concat());
        assert_eq!(code, 13, "{command:?}");
        assert!(std::fs::read(home.at("here/p.bin")).unwrap() == [7; 40_000], "{command:?}");
    }
}

#[test]
fn a_place_for_a_torrent_file_is_not_taken_without_a_word_where_none_is_saved() {
    let home = Home::new();
    assert_eq!(home.alone(&["download", "p.torrent", "--dir", "here", "-o", "x.torrent"]), 2);
    assert!(!home.at("x.torrent").exists());
}
