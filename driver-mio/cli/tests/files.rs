//! Files that are there: under which names they are looked for, what becomes of those that are too long,
//! linked or somebody else's, and that no two torrents have one path.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program, with a state folder of its own in `home`.
fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
    command.current_dir(home).env_clear().env("HOME", home).stdin(Stdio::null());
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    command(home).args(arguments).output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn said(output: &Output) -> String {
    String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat()).unwrap()
}

/// Makes a torrent of `path`.
fn create(home: &Path, path: &str, torrent: &str) {
    let made = run(home, &["create", path, "-o", torrent]);
    assert_eq!(code(&made), Some(0), "{}", said(&made));
}

/// A download of what nobody has: it ends as soon as it may not or need not go on, and else soon.
fn download(home: &Path, torrents: &[&str], folder: &str, more: &[&str]) -> Output {
    let quiet = ["--no-dht", "--no-lsd", "--no-trackers", "--port", "0", "--stop-timeout", "2s"];
    let arguments = [&["download"][..], torrents, &["--dir", folder], &quiet, more].concat();
    run(home, &arguments)
}

/// The exit code of a seed that is not let in: everything it serves is checked first.
fn seed(home: &Path, torrent: &str, folder: &str) -> Output {
    let quiet = ["--no-dht", "--no-lsd", "--no-trackers", "--port", "0", "--seed-time", "0s"];
    run(home, &[&["seed", torrent, "--dir", folder], &quiet[..]].concat())
}

fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8 ^ seed).collect()
}

#[test]
fn a_torrent_made_here_is_good_here_whatever_the_names() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let folder = home.join("in/A: B?");
    std::fs::create_dir_all(&folder).unwrap();
    let long = "n".repeat(255);
    for (at, name) in ["x*y|", "end. ", "twin", "Twin", "a\\b", &long, "<\"q\">"].iter().enumerate()
    {
        std::fs::write(folder.join(name), bytes(20_000, at as u8)).unwrap();
    }
    create(home, "in/A: B?", "t.torrent");
    for output in [
        run(home, &["verify", "t.torrent", "--dir", "in"]),
        seed(home, "t.torrent", "in"),
        download(home, &["t.torrent"], "in", &[]),
    ] {
        assert_eq!(code(&output), Some(0), "{}", said(&output));
    }
    assert_eq!(std::fs::read_dir(home.join("in")).unwrap().count(), 1);
}

#[test]
fn a_file_under_the_torrents_own_name_is_used_though_no_such_file_would_be_made() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("in")).unwrap();
    std::fs::write(home.join("in/.hid"), bytes(50_000, 1)).unwrap();
    create(home, "in/.hid", "t.torrent");
    for output in [
        run(home, &["verify", "t.torrent", "--dir", "in"]),
        seed(home, "t.torrent", "in"),
        download(home, &["t.torrent"], "in", &[]),
    ] {
        assert_eq!(code(&output), Some(0), "{}", said(&output));
    }
    // One that is something else is left alone, and nothing is written to it.
    std::fs::create_dir(home.join("out")).unwrap();
    std::fs::write(home.join("out/.hid"), bytes(50_000, 2)).unwrap();
    let state = ["--state-dir", "other"];
    assert_eq!(code(&download(home, &["t.torrent"], "out", &state)), Some(7));
    assert!(std::fs::read(home.join("out/.hid")).unwrap() == bytes(50_000, 2));
}

#[test]
fn files_under_the_names_of_earlier_versions_are_found() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("in")).unwrap();
    std::fs::write(home.join("in/a: b?"), bytes(50_000, 1)).unwrap();
    create(home, "in/a: b?", "t.torrent");
    std::fs::rename(home.join("in/a: b?"), home.join("in/a_ b_")).unwrap();
    for output in [
        run(home, &["verify", "t.torrent", "--dir", "in"]),
        seed(home, "t.torrent", "in"),
        download(home, &["t.torrent"], "in", &[]),
    ] {
        assert_eq!(code(&output), Some(0), "{}", said(&output));
    }
}

#[test]
fn where_case_is_not_told_apart_twins_are_found_under_the_names_that_they_have_there() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir_all(home.join("in/t")).unwrap();
    std::fs::write(home.join("in/t/README"), bytes(20_000, 1)).unwrap();
    std::fs::write(home.join("in/t/Readme"), bytes(20_000, 2)).unwrap();
    create(home, "in/t", "t.torrent");
    // As such a folder looks: both names lead to one file, and the other one is called otherwise.
    std::fs::rename(home.join("in/t/Readme"), home.join("in/t/Readme.1")).unwrap();
    std::fs::hard_link(home.join("in/t/README"), home.join("in/t/Readme")).unwrap();
    for output in
        [run(home, &["verify", "t.torrent", "--dir", "in"]), seed(home, "t.torrent", "in")]
    {
        assert_eq!(code(&output), Some(0), "{}", said(&output));
    }
}

#[test]
fn what_is_too_long_is_one_answer_everywhere_and_a_download_cuts_it() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("in")).unwrap();
    let path = home.join("in/f");
    let right = bytes(50_000, 1);
    std::fs::write(&path, &right).unwrap();
    create(home, "in/f", "t.torrent");
    let long = [&right[..], b"tail"].concat();
    std::fs::write(&path, &long).unwrap();
    for output in
        [run(home, &["verify", "t.torrent", "--dir", "in"]), seed(home, "t.torrent", "in")]
    {
        assert_eq!(code(&output), Some(32), "{}", said(&output));
        assert!(said(&output).contains("f is longer than the torrent says"), "{}", said(&output));
    }
    assert!(std::fs::read(&path).unwrap() == long);
    let cut = download(home, &["t.torrent"], "in", &[]);
    assert_eq!(code(&cut), Some(0), "{}", said(&cut));
    assert!(said(&cut).contains("f was longer than the torrent says"), "{}", said(&cut));
    assert!(std::fs::read(&path).unwrap() == right);
}

#[test]
fn a_seed_that_is_not_whole_says_which_file_is_missing_or_too_short() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir_all(home.join("in/t")).unwrap();
    std::fs::write(home.join("in/t/a"), bytes(100_000, 1)).unwrap();
    std::fs::write(home.join("in/t/b"), bytes(100_000, 2)).unwrap();
    create(home, "in/t", "t.torrent");
    std::fs::write(home.join("in/t/a"), &bytes(100_000, 1)[..90_000]).unwrap();
    let short = seed(home, "t.torrent", "in");
    assert_eq!(code(&short), Some(32));
    assert!(said(&short).contains("t/a is too short (90000 of 100000 bytes);"), "{}", said(&short));
    std::fs::remove_file(home.join("in/t/a")).unwrap();
    std::fs::remove_file(home.join("in/t/b")).unwrap();
    let gone = seed(home, "t.torrent", "in");
    assert!(said(&gone).contains("t/a is missing, as is another;"), "{}", said(&gone));
}

#[test]
fn names_that_are_not_utf_8_are_refused_where_a_torrent_is_made_and_harm_nobody_beside_one() {
    use std::os::unix::ffi::OsStrExt;
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir_all(home.join("in/t")).unwrap();
    std::fs::write(home.join("in/t/a"), bytes(20_000, 1)).unwrap();
    create(home, "in/t", "t.torrent");
    for folder in ["in", "in/t"] {
        let odd = home.join(folder).join(std::ffi::OsStr::from_bytes(b"b\xff\xfe"));
        std::fs::write(odd, b"x").unwrap();
    }
    for output in [
        run(home, &["verify", "t.torrent", "--dir", "in"]),
        seed(home, "t.torrent", "in"),
        download(home, &["t.torrent"], "in", &[]),
    ] {
        assert_eq!(code(&output), Some(0), "{}", said(&output));
    }
    let made = run(home, &["create", "in/t", "-o", "u.torrent"]);
    assert_eq!(code(&made), Some(2));
    let text = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(text.contains("not UTF-8") && !home.join("u.torrent").exists(), "{text}");
}

#[test]
fn a_foreign_file_of_any_length_stays_unless_it_may_be_written_over() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir_all(home.join("in")).unwrap();
    let right = bytes(50_000, 1);
    std::fs::write(home.join("in/f"), &right).unwrap();
    create(home, "in/f", "t.torrent");
    // A record of another folder makes nothing ours here.
    assert_eq!(code(&download(home, &["t.torrent"], "in", &[])), Some(0));
    for length in [10, 50_000, 90_000] {
        let folder = format!("out{length}");
        std::fs::create_dir(home.join(&folder)).unwrap();
        let path = home.join(&folder).join("f");
        std::fs::write(&path, bytes(length, 9)).unwrap();
        let refused = download(home, &["t.torrent"], &folder, &[]);
        assert_eq!(code(&refused), Some(13), "{length}: {}", said(&refused));
        assert!(std::fs::read(&path).unwrap() == bytes(length, 9), "{length}");
        let allowed = download(home, &["t.torrent"], &folder, &["--allow-overwrite"]);
        assert_eq!(code(&allowed), Some(7), "{length}: {}", said(&allowed));
        assert!(std::fs::metadata(&path).unwrap().len() <= 50_000, "{length}");
    }
}

#[test]
fn links_of_the_user_are_followed_for_reading_with_a_word_and_never_written_through() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir_all(home.join("real/t/sub")).unwrap();
    std::fs::write(home.join("real/t/f"), bytes(50_000, 1)).unwrap();
    std::fs::write(home.join("real/t/sub/g"), bytes(50_000, 2)).unwrap();
    create(home, "real/t", "t.torrent");
    std::fs::create_dir(home.join("in")).unwrap();
    std::os::unix::fs::symlink("../real/t", home.join("in/t")).unwrap();
    for output in
        [run(home, &["verify", "t.torrent", "--dir", "in"]), seed(home, "t.torrent", "in")]
    {
        assert_eq!(code(&output), Some(0), "{}", said(&output));
        assert!(said(&output).contains("symbolic link"), "{}", said(&output));
    }
    // A file or a folder that is one is named, not "part of the path" or "something".
    let refused = download(home, &["t.torrent"], "in", &["--allow-overwrite"]);
    assert_eq!(code(&refused), Some(13), "{}", said(&refused));
    assert!(said(&refused).contains("in/t is a symbolic link"), "{}", said(&refused));
    assert_eq!(code(&run(home, &["session", "add", "t.torrent", "--dir", "in"])), Some(0));
    let read = run(home, &["session", "verify", "t"]);
    assert_eq!(code(&read), Some(0), "{}", said(&read));
    assert!(said(&read).contains("in/t: a symbolic link, followed"), "{}", said(&read));
}

#[test]
fn two_torrents_with_one_path_are_refused_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for (folder, seed) in [("a", 1), ("b", 2)] {
        std::fs::create_dir(home.join(folder)).unwrap();
        std::fs::write(home.join(folder).join("same.bin"), bytes(50_000, seed)).unwrap();
        create(home, &format!("{folder}/same.bin"), &format!("{folder}.torrent"));
    }
    let refused = download(home, &["a.torrent", "b.torrent"], "d", &[]);
    assert_eq!(code(&refused), Some(13), "{}", said(&refused));
    assert!(said(&refused).contains("same.bin and same.bin"), "{}", said(&refused));
    assert!(!home.join("d").join("same.bin").exists());
    let add = |torrent, folder| run(home, &["session", "add", torrent, "--dir", folder]);
    assert_eq!(code(&add("a.torrent", "s")), Some(0));
    let refused = add("b.torrent", "s");
    assert_eq!(code(&refused), Some(13), "{}", said(&refused));
    assert_eq!(code(&add("b.torrent", "other")), Some(0));
}

/// A torrent of `in/t/a`, which is whole, and `in/t/empty`, in which there is nothing.
fn with_an_empty_file(home: &Path) {
    std::fs::create_dir_all(home.join("in/t")).unwrap();
    std::fs::write(home.join("in/t/a"), bytes(20_000, 1)).unwrap();
    std::fs::write(home.join("in/t/empty"), "").unwrap();
    create(home, "in/t", "t.torrent");
}

#[test]
fn something_in_an_empty_file_is_told_with_what_helps_and_cut_where_the_file_is_on_record() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    with_an_empty_file(home);
    let empty = home.join("in/t/empty");
    std::fs::write(&empty, "x").unwrap();
    for output in
        [run(home, &["verify", "t.torrent", "--dir", "in"]), seed(home, "t.torrent", "in")]
    {
        assert_eq!(code(&output), Some(32), "{}", said(&output));
        assert!(
            said(&output).contains("`download --allow-overwrite` empties"),
            "{}",
            said(&output)
        );
    }
    let refused = download(home, &["t.torrent"], "in", &[]);
    assert_eq!(code(&refused), Some(13), "{}", said(&refused));
    assert!(said(&refused).contains("t/empty is there already"), "{}", said(&refused));
    assert_eq!(std::fs::read(&empty).unwrap(), b"x");
    let allowed = download(home, &["t.torrent"], "in", &["--allow-overwrite"]);
    assert_eq!(code(&allowed), Some(0), "{}", said(&allowed));
    assert_eq!(std::fs::read(&empty).unwrap(), b"");
    // From then on it is on record as ours, as a file with a tail is.
    std::fs::write(&empty, "x").unwrap();
    let cut = download(home, &["t.torrent"], "in", &[]);
    assert_eq!(code(&cut), Some(0), "{}", said(&cut));
    assert!(said(&cut).contains("t/empty was longer than the torrent says"), "{}", said(&cut));
    assert_eq!(std::fs::read(&empty).unwrap(), b"");
}

#[test]
fn an_empty_file_that_is_missing_is_missing_everywhere_and_a_download_makes_it() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    with_an_empty_file(home);
    std::fs::remove_file(home.join("in/t/empty")).unwrap();
    for output in
        [run(home, &["verify", "t.torrent", "--dir", "in"]), seed(home, "t.torrent", "in")]
    {
        assert_eq!(code(&output), Some(32), "{}", said(&output));
        let told = said(&output).replace(": missing", " is missing");
        assert!(told.contains("t/empty is missing"), "{told}");
    }
    assert_eq!(code(&download(home, &["t.torrent"], "in", &[])), Some(0));
    assert_eq!(code(&seed(home, "t.torrent", "in")), Some(0));
}

#[test]
fn what_stands_where_the_torrent_has_something_else_is_named_by_its_path() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    with_an_empty_file(home);
    let is_at = |folder: &str, told: &str| {
        for output in [download(home, &["t.torrent"], folder, &[]), seed(home, "t.torrent", folder)]
        {
            assert_eq!(code(&output), Some(13), "{}", said(&output));
            assert!(said(&output).contains(&format!("{folder}/{told}")), "{}", said(&output));
        }
    };
    std::fs::create_dir_all(home.join("one/t/a")).unwrap();
    std::fs::write(home.join("one/t/empty"), "").unwrap();
    is_at("one", "t/a: it is a folder, and the torrent has a file there");
    std::fs::create_dir_all(home.join("two/t")).unwrap();
    let made = Command::new("mkfifo").arg(home.join("two/t/a")).status().unwrap();
    assert!(made.success());
    is_at("two", "t/a: it is neither a file nor a folder");
    std::fs::create_dir(home.join("three")).unwrap();
    std::fs::write(home.join("three/t"), "a file").unwrap();
    is_at("three", "t: it is a file, and the torrent has a folder there");
}

#[test]
fn a_foreign_file_with_another_name_is_cut_under_ours_alone() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("in")).unwrap();
    std::fs::write(home.join("in/f"), bytes(50_000, 1)).unwrap();
    create(home, "in/f", "t.torrent");
    std::fs::create_dir(home.join("out")).unwrap();
    std::fs::write(home.join("theirs"), bytes(90_000, 9)).unwrap();
    std::fs::hard_link(home.join("theirs"), home.join("out/f")).unwrap();
    let allowed = download(home, &["t.torrent"], "out", &["--allow-overwrite"]);
    assert_eq!(code(&allowed), Some(7), "{}", said(&allowed));
    assert!(std::fs::read(home.join("theirs")).unwrap() == bytes(90_000, 9));
    assert_eq!(std::fs::metadata(home.join("out/f")).unwrap().len(), 50_000);
}
