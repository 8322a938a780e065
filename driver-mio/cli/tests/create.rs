//! `create`: what it reads and leaves out, what it refuses before it hashes, and that nothing is lost.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.write("d/b.txt", "bb");
        home.write("d/a.txt", "aaaa");
        home
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, folder: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
        command.args(arguments).current_dir(self.at(folder)).env_clear().env("HOME", self.0.path());
        command
    }

    fn run(&self, folder: &str, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(folder, arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    fn info(&self, torrent: &str) -> serde_json::Value {
        let (code, out, news) = self.run(".", &["info", "--json", torrent]);
        assert_eq!(code, 0, "{news}");
        serde_json::from_str(&out).unwrap()
    }

    fn files(&self, torrent: &str) -> Vec<String> {
        let info = self.info(torrent);
        let files = info["files"].as_array().unwrap().iter();
        files.map(|file| file["path"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_torrent_never_holds_itself() {
    let home = Home::new();
    assert_eq!(home.run("d", &["create", "."]).0, 0);
    let first = std::fs::read(home.at("d/d.torrent")).unwrap();
    assert_eq!(home.run("d", &["create", "."]).0, 13);
    let (code, _, news) = home.run("d", &["create", ".", "--force"]);
    assert_eq!(code, 0);
    assert!(news.contains("d.torrent"), "it is said that it is left out: {news}");
    assert_eq!(std::fs::read(home.at("d/d.torrent")).unwrap(), first);
    assert_eq!(home.files("d/d.torrent"), ["d/a.txt", "d/b.txt"]);
}

#[test]
fn what_goes_into_a_torrent_is_never_written_over() {
    let home = Home::new();
    symlink("a.txt", home.at("d/link")).unwrap();
    std::fs::hard_link(home.at("d/a.txt"), home.at("twin")).unwrap();
    for (path, out) in [
        ("d", "d/a.txt"),
        ("d", "d/link"),
        ("d", "twin"),
        ("d/a.txt", "d/a.txt"),
        ("d/link", "d/a.txt"),
        ("d/a.txt", "d/link"),
        ("d", "d"),
    ] {
        let (code, _, news) = home.run(".", &["create", path, "-o", out, "--force"]);
        assert_eq!(code, 13, "{path} {out}: {news}");
        assert_eq!(std::fs::read(home.at("d/a.txt")).unwrap(), b"aaaa");
    }
    // One that is left out by the user is no part of it.
    let force = ["create", "d", "-o", "d/b.txt", "--exclude", "b.txt", "--force"];
    assert_eq!(home.run(".", &force).0, 0);
    assert_eq!(home.files("d/b.txt"), ["d/a.txt"]);
}

#[test]
fn the_place_of_the_torrent_is_looked_at_before_hours_of_hashing() {
    let home = Home::new();
    let huge = std::fs::File::create(home.at("huge")).unwrap();
    huge.set_len(8 << 40).unwrap();
    home.write("there", "x");
    for (out, code) in [("there", 13), ("d", 13), ("absent/x", 17), ("there/x", 17), ("", 2)] {
        let (found, _, news) = home.run(".", &["create", "huge", "-o", out]);
        assert_eq!(found, code, "{out}: {news}");
    }
    let bad = ["--name", "..", "--piece-length", "64K", "--tracker", "x"];
    for pair in bad.chunks(2) {
        assert_eq!(
            home.run(".", &["create", "huge", pair[0], pair[1], "--strict"]).0,
            2,
            "{pair:?}"
        );
    }
}

#[test]
fn a_length_that_no_piece_can_have_and_an_output_that_is_no_file_are_refused_by_name() {
    let home = Home::new();
    for (flags, code, why) in [
        (&["--piece-length", "0"][..], 2, "from 1 to"),
        (&["--piece-length", "3G"], 2, "from 1 to"),
        (&["--piece-length", "20KiB", "--format", "v2"], 2, "a power of two"),
        (&["-o", "out/"], 13, "is a folder; give a file name"),
    ] {
        let (ended, _, told) = home.run(".", &[&["create", "d"], flags].concat());
        assert!(ended == code && told.contains(why), "{flags:?}: {told}");
        assert!(told.lines().count() == 1, "{told}");
    }
    home.write("none/empty", "");
    let (code, _, told) = home.run(".", &["create", "none"]);
    assert!(code == 0 && told.contains("nothing to transfer"), "{told}");
    assert_eq!(home.run(".", &["create", "none", "-o", "x", "--strict"]).0, 2);
}

#[test]
fn a_dry_run_writes_nothing_and_tells_what_would_be_refused() {
    let home = Home::new();
    home.write("old.torrent", "old");
    let refused = [
        (vec!["d/a.txt", "-o", "old.torrent"], "--force"),
        (vec!["d/a.txt", "-o", "d"], "is a folder"),
        (vec!["d/a.txt", "-o", "absent/a.torrent"], "absent"),
        (vec!["d/a.txt", "-o", "d/a.txt", "--force"], "never overwritten"),
        (vec!["d", "-o", "d/a.txt", "--force"], "never overwritten"),
    ];
    for (arguments, why) in refused {
        let whole = [&["create"], &arguments[..], &["--dry-run", "--json"]].concat();
        let (code, out, told) = home.run(".", &whole);
        assert_eq!(code, 0, "{arguments:?}: {told}");
        assert!(told.contains("without --dry-run this would fail") && told.contains(why), "{told}");
        assert!(out.contains("\"written\":false") && out.contains("\"length\":"), "{out}");
    }
    let (code, _, told) = home.run(".", &["create", "d/a.txt", "-o", "new.torrent", "--dry-run"]);
    assert_eq!((code, told.contains("would fail")), (0, false), "{told}");
    assert_eq!(std::fs::read(home.at("old.torrent")).unwrap(), b"old");
    assert_eq!(std::fs::read(home.at("d/a.txt")).unwrap(), b"aaaa");
    assert!(!home.at("new.torrent").exists());
}

#[test]
fn a_pattern_that_lets_nothing_in_is_told() {
    let home = Home::new();
    let some = ["create", "d", "--glob", "a*", "--glob", "*.mkv", "-o", "some.torrent"];
    let (code, _, news) = home.run(".", &some);
    assert!(code == 0 && news.contains("no file matches --glob '*.mkv'"), "{news}");
    assert!(!news.contains("'a*'"), "{news}");
    let strict = [&some[..6], &["-o", "strict.torrent", "--strict"]].concat();
    assert_eq!(home.run(".", &strict).0, 2);
    assert!(!home.at("strict.torrent").exists());
    // What is refused is not warned of besides.
    let (code, _, told) = home.run(".", &["create", "d", "--exclude", "*"]);
    assert!(code == 2 && told.lines().count() == 1, "{told}");
}

#[test]
fn a_signal_ends_it_and_leaves_nothing() {
    let home = Home::new();
    let huge = std::fs::File::create(home.at("huge")).unwrap();
    huge.set_len(8 << 40).unwrap();
    let mut command = home.command(".", &["create", "huge"]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let hears = |text: String| {
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:").map(str::to_owned));
        u64::from_str_radix(caught.unwrap().trim(), 16).unwrap() >> 14 & 1 == 1
    };
    while !hears(std::fs::read_to_string(&status).unwrap()) {
        std::thread::yield_now();
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(std::fs::read_dir(home.0.path()).unwrap().count(), 2, "d and huge");
}

#[test]
fn names_and_trackers_that_are_none_are_refused() {
    let home = Home::new();
    for name in ["", " ", ".", "..", "a/b", "/etc"] {
        let (code, _, news) = home.run(".", &["create", "d", "--name", name, "-o", "x.torrent"]);
        assert_eq!(code, 2, "{name:?}: {news}");
    }
    for tracker in ["", " ", "host", "udp://host", "http://", "http://a/,", ",", "http://a/ b"] {
        let run = ["create", "d", "--tracker", tracker, "-o", "x.torrent"];
        let (code, _, news) = home.run(".", &run);
        assert_eq!(code, 2, "{tracker:?}: {news}");
    }
    assert_eq!(home.run(".", &["create", "d", "--web-seed", "x", "-o", "x.torrent"]).0, 2);
    assert!(!home.at("x.torrent").exists());
    assert_eq!(home.run(".", &["create", "/"]).0, 2);
}

#[test]
fn what_is_left_out_is_said_and_can_be_put_in() {
    let home = Home::new();
    symlink("a.txt", home.at("d/link")).unwrap();
    symlink("nowhere", home.at("d/broken")).unwrap();
    for junk in ["d/.hidden", "d/.git/config", "d/Thumbs.db", "d/sub/desktop.ini"] {
        home.write(junk, "x");
    }
    assert!(Command::new("mkfifo").arg(home.at("d/pipe")).status().unwrap().success());
    let (code, _, news) = home.run(".", &["create", "d"]);
    assert_eq!(code, 0, "{news}");
    for name in ["link", "broken", ".hidden", ".git", "Thumbs.db", "desktop.ini", "pipe"] {
        assert!(news.contains(name), "{name} in {news}");
    }
    assert_eq!(home.files("d.torrent"), ["d/a.txt", "d/b.txt"]);
    let (code, _, news) = home.run(".", &["create", "d", "--strict", "-o", "strict"]);
    assert!(code == 2 && news.contains("left out") && !home.at("strict").exists(), "{news}");
    let all = ["--follow-symlinks", "--include-hidden", "--include-junk", "-o", "all"];
    assert_eq!(home.run(".", &[&["create", "d"], &all[..]].concat()).0, 0);
    let want = [".git/config", ".hidden", "Thumbs.db", "a.txt", "b.txt", "link", "sub/desktop.ini"];
    assert_eq!(home.files("all"), want.map(|name| format!("d/{name}")));
    // What the user has excluded is no surprise.
    let excluded = ["link", "broken", ".*", "Thumbs.db", "sub/*", "pipe"];
    let flags = excluded.iter().flat_map(|name| ["--exclude", name]);
    let run: Vec<&str> =
        ["create", "d", "--strict", "-o", "few"].into_iter().chain(flags).collect();
    let (code, _, news) = home.run(".", &run);
    assert_eq!(code, 0, "{news}");
    // A link that leads to a folder around it has no end.
    symlink(".", home.at("d/loop")).unwrap();
    assert_eq!(home.run(".", &["create", "d", "--follow-symlinks", "-o", "loop"]).0, 2);
    assert_eq!(home.run(".", &["create", "d/pipe", "-o", "fifo"]).0, 2);
}

#[test]
fn names_that_other_systems_cannot_hold_are_warned_of() {
    let home = Home::new();
    for name in ["d/A: B?", "d/aux.c", "d/x.", "d/A.txt"] {
        home.write(name, "x");
    }
    let (code, _, news) = home.run(".", &["create", "d"]);
    assert_eq!(code, 0);
    for name in ["A: B?", "aux.c", "x.", "A.txt and a.txt"] {
        assert!(news.contains(name), "{name} in {news}");
    }
    assert_eq!(home.run(".", &["create", "d", "--strict", "--force"]).0, 2);
}

#[test]
fn a_link_gives_its_own_name() {
    let home = Home::new();
    symlink("d", home.at("other")).unwrap();
    symlink("d/a.txt", home.at("one")).unwrap();
    for (path, name) in [("other", "other"), ("other/", "other"), ("one", "one"), ("d/.", "d")] {
        assert_eq!(home.run(".", &["create", path, "-o", "t", "--force"]).0, 0);
        assert_eq!(home.info("t")["name"], name);
    }
}

#[test]
fn one_sees_what_was_made() {
    let home = Home::new();
    let (code, out, news) = home.run(".", &["create", "d"]);
    assert_eq!((code, out.as_str()), (0, ""));
    let hash = home.info("d.torrent")["info_hash_v1"].as_str().unwrap().to_owned();
    for word in ["wrote d.torrent", "6 B in 2 files", "1 piece of 16.0 KiB", &hash] {
        assert!(news.contains(word), "{word} in {news}");
    }
    assert_eq!(home.run(".", &["create", "d", "-q", "--force"]), (0, String::new(), String::new()));
    let (_, out, _) = home.run(".", &["create", "d", "--link", "--force"]);
    assert!(out.starts_with("magnet:?") && out.contains(&hash), "{out}");
    let (_, out, _) = home.run(".", &["create", "d", "--show", "--force"]);
    assert_eq!(out, home.run(".", &["info", "d.torrent"]).1);
    let (_, out, _) = home.run(".", &["create", "d", "--json", "-o", "x", "--dry-run"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["info_hash_v1"], &value["output"]), (&hash.into(), &"x".into()));
    assert!(value["written"] == false && !home.at("x").exists());
    for flag in ["--json", "--show", "--link"] {
        assert_eq!(home.run(".", &["create", "d", "-o", "-", flag]).0, 2);
    }
}

#[test]
fn files_are_in_the_order_that_is_asked_for() {
    let home = Home::new();
    home.write("d/c/e.txt", "eeee");
    let order = |keys: &[&str]| -> String {
        let flags = keys.iter().flat_map(|key| ["--sort-by", key]);
        let run = ["create", "d", "-o", "t", "--force"].into_iter().chain(flags);
        let (code, _, news) = home.run(".", &run.collect::<Vec<_>>());
        assert_eq!(code, 0, "{news}");
        assert_eq!(home.run(".", &["verify", "t", "--dir", "."]).0, 0);
        home.files("t")
            .iter()
            .map(|path| path.rsplit('/').next().unwrap()[..1].to_owned())
            .collect()
    };
    assert_eq!(order(&[]), "abe");
    assert_eq!(order(&["path"]), "abe");
    assert_eq!(order(&["path:descending"]), "eba");
    assert_eq!(order(&["size"]), "bae");
    assert_eq!(order(&["size:descending"]), "aeb");
    assert_eq!(order(&["size:descending", "path:descending"]), "eab");
    let refused = |flags: &[&str]| {
        let run = ["create", "d", "-o", "x"].into_iter().chain(flags.iter().copied());
        assert_eq!(home.run(".", &run.collect::<Vec<_>>()).0, 2, "{flags:?}");
    };
    refused(&["--format", "hybrid", "--sort-by", "size"]);
    refused(&["--format", "v2", "--sort-by", "path:descending"]);
    for key in ["colour", "size:", "size:up", ":ascending", ""] {
        refused(&["--sort-by", key]);
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let home = Home::new();
    let huge = std::fs::File::create(home.at("d/huge")).unwrap();
    huge.set_len(8 << 40).unwrap();
    let mut command = home.command(".", &["create", "d", "-o", "x.torrent", "--threads", "1"]);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    // It is open: it was found, and it is being read.
    let open = format!("/proc/{}/fd", child.id());
    let is_open = || {
        let files = std::fs::read_dir(&open).unwrap().flatten();
        let mut places = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        places.any(|place| place.ends_with("d/huge"))
    };
    while !is_open() {
        std::thread::yield_now();
    }
    huge.set_len(1 << 20).unwrap();
    let output = child.wait_with_output().unwrap();
    let news = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(17), "{news}");
    assert!(news.contains("d/huge changed while it was read"), "{news}");
    assert!(!home.at("x.torrent").exists());
}

#[test]
fn same_input_and_flags_give_the_same_bytes() {
    let home = Home::new();
    let make = |out: &str, threads: &str| {
        let run = ["create", "d", "--format", "hybrid", "-o", out, "--threads", threads];
        assert_eq!(home.run(".", &run).0, 0);
        std::fs::read(home.at(out)).unwrap()
    };
    assert_eq!(make("one", "1"), make("two", "3"));
}
