//! The program as a user runs it: a home of its own, nothing of the network but this machine.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

/// Flags with which a transfer talks to nobody unless it is told of somebody.
pub const ALONE: [&str; 6] = ["--no-dht", "--no-lsd", "--bind", "127.0.0.1", "--port", "0"];

/// A home folder that is gone after the test.
pub struct Home(tempfile::TempDir);

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path below it, as text.
    pub fn at(&self, path: &str) -> String {
        self.path().join(path).to_str().unwrap().to_owned()
    }

    /// The program with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
        command.args(arguments).current_dir(self.path()).env_clear().env("HOME", self.path());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it, and it must say that it is content.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it, and it must end with this code. Returns what it said on stderr.
    pub fn refuse(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        told
    }

    /// Makes a file of `length` bytes in the folder `source`, and `NAME.torrent` of it.
    pub fn torrent(&self, name: &str, length: usize) -> String {
        let source = self.path().join("source");
        std::fs::create_dir_all(&source).unwrap();
        std::fs::write(source.join(name), content(name, length)).unwrap();
        self.torrent_of(&format!("source/{name}"), name)
    }

    /// Makes `NAME.torrent` of what is there already.
    pub fn torrent_of(&self, path: &str, name: &str) -> String {
        let torrent = self.at(&format!("{name}.torrent"));
        self.succeed(&["create", path, "-o", &torrent, "--piece-length", "16KiB"]);
        torrent
    }

    /// The v1 info-hash of a torrent.
    pub fn hash(&self, torrent: &str) -> String {
        let about: Value =
            serde_json::from_str(&self.succeed(&["info", "--json", torrent])).unwrap();
        about["info_hash_v1"].as_str().unwrap().to_owned()
    }

    /// `session list --json`.
    pub fn listed(&self) -> Value {
        serde_json::from_str(&self.succeed(&["session", "list", "--json"])).unwrap()
    }

    /// Starts it; its stdout is read line by line.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines, seen: Vec::new() }
    }

    /// Seeds torrents from the folder `source`; returns its address too.
    pub fn seed(&self, torrents: &[&str]) -> (Running, String) {
        let state = self.at("seeder");
        let rest = ["--dir", "source", "--state-dir", &state, "--no-trackers"];
        let arguments: Vec<&str> =
            ["seed"].iter().chain(torrents).chain(&rest).chain(&ALONE).copied().collect();
        let mut seeder = self.start(&arguments);
        let ready = seeder.line_with("READY ");
        let port = ready.trim_start_matches("READY ").trim().to_owned();
        (seeder, format!("127.0.0.1:{port}"))
    }
}

/// A torrent with the files `set/a` (10 bytes), `set/b` (50,000) and `set/c` (7).
pub fn set_of_three(home: &Home) -> String {
    std::fs::create_dir_all(home.at("source/set")).unwrap();
    for (name, length) in [("a", 10), ("b", 50_000), ("c", 7)] {
        std::fs::write(home.at(&format!("source/set/{name}")), content(name, length)).unwrap();
    }
    home.torrent_of("source/set", "set")
}

/// The values of these keys, as an array.
pub fn pick(value: &Value, keys: &[&str]) -> Value {
    keys.iter().map(|key| value[key].clone()).collect()
}

/// Bytes that differ from name to name.
pub fn content(name: &str, length: usize) -> Vec<u8> {
    let seed = name.bytes().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        })
        .collect()
}

/// A process that is killed when the test ends.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// Lines that were read.
    pub seen: Vec<String>,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads lines up to one that contains `text`.
    pub fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                let mut told = String::new();
                self.child.stderr.take().map(|mut err| err.read_to_string(&mut told));
                panic!("it ended without {text:?}: {:#?} {told}", self.seen);
            }
            self.seen.push(line.trim_end().to_owned());
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Reads lines of stderr up to one that contains `text`.
    pub fn told_with(&mut self, text: &str) -> String {
        let mut lines = BufReader::new(self.child.stderr.as_mut().unwrap());
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended without {text:?}");
        }
        line
    }

    /// Reads events up to one of this name.
    pub fn event(&mut self, name: &str) -> Value {
        let line = self.line_with(&format!("\"event\":\"{name}\""));
        serde_json::from_str(&line).unwrap()
    }

    /// Sends a signal, as `kill` names it.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits for the end: the exit code, all of stdout, and stderr.
    pub fn end(mut self) -> (i32, Vec<String>, String) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        let mut told = String::new();
        if let Some(mut err) = self.child.stderr.take() {
            err.read_to_string(&mut told).unwrap();
        }
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let mut lines = std::mem::take(&mut self.seen);
        lines.extend(rest.lines().map(str::to_owned));
        (code, lines, told)
    }

    /// Stops it with SIGINT.
    pub fn stop(self) -> (i32, Vec<String>, String) {
        self.signal("-INT");
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
