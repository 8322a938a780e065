//! Output that cannot be written: what is lost decides how the program ends, what is only news is dropped,
//! and a stream brings nothing down.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ALONE: &str = "--no-dht --no-lsd --no-trackers --bind 127.0.0.1 --port 0";

/// A folder with a payload, its torrent and a trace.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(home.path().join("here")).unwrap();
        std::fs::write(home.path().join("here/p.bin"), vec![7; 300_000]).unwrap();
        assert_eq!(home.shell("eddyline create here/p.bin -q -o p.torrent"), (0, String::new()));
        let run = format!(
            "eddyline download p.torrent --dir here --record run.trace {ALONE} >/dev/null 2>&1"
        );
        assert_eq!(home.shell(&run).0, 0);
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, script: &str) -> Command {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_eddyline"));
        let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(self.path()).env_clear();
        command.env("HOME", self.path()).env("PATH", path).stdin(Stdio::null());
        command
    }

    /// Code and standard error of a script; data of pipes counts as a failure of any part.
    fn shell(&self, script: &str) -> (i32, String) {
        let output = self.command(&format!("set -o pipefail; {script}")).output().unwrap();
        let news = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), news)
    }

    /// Starts a seeder and waits until it is ready; gives it back with its port.
    fn seeder(&self, more: &str) -> (Child, u16) {
        let script = format!("exec eddyline seed p.torrent --dir here {ALONE} {more}");
        let mut child = self.command(&script).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.strip_prefix("READY ").expect(&line).trim().parse().unwrap();
        (child, port)
    }
}

fn ended_by(mut child: Child, signal: &str) -> i32 {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    child.wait().unwrap().code().unwrap()
}

/// Every command that prints data.
const PRINTING: &[&str] = &[
    "info p.torrent",
    "info p.torrent --json",
    "magnet p.torrent",
    "verify p.torrent --dir here",
    "verify p.torrent --dir here --json",
    "session list --json",
    "create here/p.bin -o -",
    "demo --size 100K -q",
    "replay run.trace",
    "replay run.trace --goto 1",
    "completions bash",
    "man",
    "--help",
    "--version",
    "download --help",
];

#[test]
fn data_that_cannot_be_written_is_a_code_of_its_own() {
    let home = Home::new();
    for command in PRINTING {
        let run = |rest: &str| home.shell(&format!("eddyline {command} {rest}"));
        assert_eq!(run("> /dev/null"), (0, String::new()), "{command}");
        let full = "eddyline: cannot write to stdout: no space left on device\n".to_owned();
        assert_eq!(run("> /dev/full"), (17, full), "{command}");
        // Its reader is gone, or there never was one.
        let gone = (141, String::new());
        assert_eq!(home.shell(&gone_pipe(command)), gone, "{command}");
        assert_eq!(home.shell(&format!("eddyline {command} >&-")), gone, "{command}");
    }
}

/// The command with a pipe that has no reader from its first byte on.
fn gone_pipe(command: &str) -> String {
    format!("mkfifo gone; exec 3<>gone 4>gone 3<&-; rm gone; eddyline {command} >&4")
}

#[test]
fn news_that_nobody_can_read_is_dropped() {
    let home = Home::new();
    for command in PRINTING {
        for news in ["2> /dev/full", "2>&-", "2>&4"] {
            let silent = gone_pipe(command).replace(">&4", &format!("> data {news}"));
            assert_eq!(home.shell(&silent), (0, String::new()), "{command} {news}");
            assert!(std::fs::metadata(home.path().join("data")).unwrap().len() > 0, "{command}");
        }
    }
    // The reason of a failure is news too; its code is not.
    for news in ["2> /dev/full", "2>&-"] {
        assert_eq!(home.shell(&format!("eddyline info absent.torrent {news}")).0, 3);
        assert_eq!(home.shell(&format!("eddyline info {news}")).0, 2);
        assert_eq!(home.shell(&format!("eddyline create here/p.bin -o p.torrent {news}")).0, 13);
    }
}

#[test]
fn a_transfer_whose_events_cannot_be_written_stops_and_says_so() {
    let home = Home::new();
    let (seeder, port) = home.seeder("");
    let download = format!(
        "eddyline download p.torrent --dir there --peer 127.0.0.1:{port} {ALONE} --state-dir other \
         --json --seed-time 1h"
    );
    assert_eq!(home.shell(&format!("{download} | head -1")).0, 141);
    assert_eq!(home.shell(&format!("{download} > /dev/full")).0, 17);
    assert_eq!(home.shell(&format!("{download} >&-")).0, 141);
    let seed = format!("eddyline seed p.torrent --dir here {ALONE} --state-dir other");
    assert_eq!(home.shell(&format!("{seed} > /dev/full")).0, 17);
    assert_eq!(home.shell(&format!("{seed} --json > /dev/full")).0, 17);
    assert_eq!(home.shell(&format!("{seed} >&-")).0, 141);
    assert_eq!(
        home.shell(&format!("eddyline session run {ALONE} --state-dir o > /dev/full")).0,
        17
    );
    assert_eq!(ended_by(seeder, "-TERM"), 0);
}

#[test]
fn a_transfer_goes_on_without_a_reader_of_its_news() {
    let home = Home::new();
    for (number, news) in ["2> /dev/full", "2>&-", "2>&4"].iter().enumerate() {
        let (seeder, port) = home.seeder(&format!("-v 4< /dev/null {news}"));
        let download = format!(
            "download p.torrent --dir there{number} --peer 127.0.0.1:{port} {ALONE} -v \
             --state-dir other"
        );
        let script = gone_pipe(&download).replace(">&4", &format!("> data {news}"));
        assert_eq!(home.shell(&script).0, 0, "{news}");
        let got = std::fs::read(home.path().join(format!("there{number}/p.bin"))).unwrap();
        assert_eq!(got, vec![7; 300_000]);
        assert_eq!(ended_by(seeder, "-TERM"), 0);
    }
}

#[test]
fn a_reader_of_news_that_stands_still_holds_nothing_up() {
    let home = Home::new();
    let (seeder, port) = home.seeder("");
    // A pipe that is full, with a reader that never reads.
    let script = format!(
        "mkfifo slow; exec 3<>slow; rm slow; head -c 65536 /dev/zero >&3; eddyline download \
         p.torrent --dir there --peer 127.0.0.1:{port} {ALONE} -v --state-dir other 2>&3"
    );
    assert_eq!(home.shell(&script).0, 0);
    assert_eq!(ended_by(seeder, "-TERM"), 0);
}

#[test]
fn a_program_that_is_told_to_stop_does_not_wait_for_its_reader_for_ever() {
    let home = Home::new();
    let script = format!(
        "mkfifo slow; exec 3<>slow; rm slow; head -c 65536 /dev/zero >&3; exec eddyline seed \
         p.torrent --dir here {ALONE} >&3 2>&1"
    );
    let child = home.command(&script).spawn().unwrap();
    let state = home.path().join(".local/state/eddyline/dht.dat");
    assert!(!state.exists());
    // It listens for signals before it prints.
    let status = format!("/proc/{}/status", child.id());
    loop {
        let text = std::fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(caught.trim(), 16).unwrap() >> 14 & 1 == 1 {
            break;
        }
        std::thread::yield_now();
    }
    assert_ne!(ended_by(child, "-TERM"), 0);
}

#[test]
fn a_hang_up_is_a_tidy_stop_unless_it_is_ignored() {
    let home = Home::new();
    let waiting =
        format!("eddyline download p.torrent --dir nowhere {ALONE} --json --state-dir other");
    let start = |script: &str| {
        let mut child = home.command(script).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        (child, out)
    };
    // Whoever runs the tests may have it ignored.
    let (child, _out) = start(&format!("exec env --default-signal=HUP {waiting}"));
    assert_eq!(ended_by(child, "-HUP"), 129);
    let (child, _out) = start(&format!("trap '' HUP; exec {waiting}"));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    assert_eq!(ended_by(child, "-TERM"), 143);
}

#[test]
fn a_trace_comes_from_standard_input_where_commands_do_not() {
    let home = Home::new();
    let (code, told) = home.shell("eddyline replay - < run.trace | grep -q identical");
    assert_eq!(code, 0, "{told}");
    let (code, told) = home.shell("eddyline replay - < p.torrent");
    assert!(code == 26 && told.contains("stdin cannot be replayed"), "{told}");
    let (code, told) = home.shell("eddyline replay - --interactive < run.trace");
    assert!(code == 2 && told.contains("--interactive"), "{told}");
}

#[test]
fn a_trace_on_standard_output_comes_behind_what_is_there_and_nothing_else_gets_into_it() {
    let home = Home::new();
    let download = format!("eddyline download p.torrent --dir here {ALONE} --record");
    for to in ["-", "/dev/stdout"] {
        let script = format!("echo keepme > f; {download} {to} >> f; echo end >> f");
        assert_eq!(home.shell(&script).0, 0);
        let (begin, trace) =
            (b"keepme\n".as_slice(), std::fs::read(home.path().join("f")).unwrap());
        assert!(trace.starts_with(begin) && trace.ends_with(b"end\n"), "{to}");
        std::fs::write(home.path().join("g"), &trace[begin.len()..trace.len() - 4]).unwrap();
        let (code, told) = home.shell("eddyline replay g");
        assert_eq!(code, 0, "{to}: {told}");
    }
    let seed = format!("eddyline seed p.torrent --dir here {ALONE} --seed-time 0s --record - >g");
    for script in [&format!("{download} - --json >g"), &seed] {
        let (code, told) = home.shell(script);
        assert!(code == 2 && told.contains("cannot both go to stdout"), "{script}: {told}");
    }
}
