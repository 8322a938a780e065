//! A folder with a payload and its torrent, processes that end with the test, and waiting.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The program under test, on its own but for the peers and trackers that it is told of.
pub fn eddyline() -> Command {
    let mut command = trackerless();
    command.env("EDDYLINE_NO_DHT", "1").env("EDDYLINE_NO_LSD", "1");
    command
}

/// The program under test with DHT and local discovery. It has to be given bootstrap nodes and an
/// address to bind to, so that nothing leaves this machine.
pub fn trackerless() -> Command {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/eddyline");
    let path = std::env::var_os("EDDYLINE_BIN").map_or(built, PathBuf::from);
    assert!(path.exists(), "{} is not built: cargo build --release", path.display());
    let mut command = Command::new(path);
    command.arg("--no-config");
    command
}

/// A port that was free a moment ago, for TCP and UDP.
pub fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A process that is killed when the test ends, with its lines of output.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    name: String,
    seen: Vec<String>,
}

impl Process {
    /// Starts a process and collects what it prints.
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name}: {e}"));
        let (sender, lines) = channel();
        let out = child.stdout.take().unwrap();
        let err = child.stderr.take().unwrap();
        let also = sender.clone();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).for_each(|l| drop(sender.send(l)));
        });
        std::thread::spawn(move || {
            BufReader::new(err).lines().map_while(Result::ok).for_each(|l| drop(also.send(l)));
        });
        Self { child, lines, name, seen: Vec::new() }
    }

    /// Waits for a line that begins with `start`.
    pub fn wait_for(&mut self, start: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.starts_with(start) => return line,
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("{} never said {start}; it said {:#?}", self.name, self.seen),
            }
        }
    }

    /// Waits for the end and returns the exit code.
    pub fn wait(&mut self) -> i32 {
        let end = Instant::now() + PATIENCE * 3;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!(
            "{} does not end; it said {:#?}",
            self.name,
            self.lines.try_iter().collect::<Vec<_>>()
        );
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Peak resident memory in KiB, while it runs.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Gives it a line to read.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Everything printed so far.
    pub fn output(&mut self) -> Vec<String> {
        self.seen.extend(self.lines.try_iter());
        self.seen.clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a payload and its torrent.
pub struct Lab {
    folder: tempfile::TempDir,
    /// The torrent file.
    pub torrent: PathBuf,
    /// The payload, a file or a folder.
    pub payload: PathBuf,
}

impl Lab {
    /// One file of `length` bytes; the trackers go into the torrent.
    pub fn with_file(length: usize, trackers: &[String]) -> Self {
        Self::with_file_in_pieces(length, trackers, "16KiB")
    }

    /// The same, in pieces of a length of choice.
    pub fn with_file_in_pieces(length: usize, trackers: &[String], piece_length: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let payload = folder.path().join("source").join("payload.bin");
        std::fs::create_dir(payload.parent().unwrap()).unwrap();
        std::fs::write(&payload, bytes(length)).unwrap();
        Self::make(folder, payload, trackers, &["--piece-length", piece_length])
    }

    /// What `fill` puts into a folder.
    pub fn with_folder(fill: impl FnOnce(&Path), flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let payload = folder.path().join("source").join("payload");
        std::fs::create_dir_all(&payload).unwrap();
        fill(&payload);
        Self::make(folder, payload, &[], flags)
    }

    fn make(
        folder: tempfile::TempDir,
        payload: PathBuf,
        trackers: &[String],
        flags: &[&str],
    ) -> Self {
        let torrent = folder.path().join("payload.torrent");
        let mut command = eddyline();
        command.arg("create").arg(&payload).arg("-o").arg(&torrent).args(flags);
        for url in trackers {
            command.args(["--tracker", url]);
        }
        succeed(&mut command);
        Self { folder, torrent, payload }
    }

    /// The magnet URI of the torrent.
    pub fn magnet(&self) -> String {
        let output = succeed(eddyline().arg("magnet").arg(&self.torrent));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The folder that holds the payload.
    pub fn source(&self) -> &Path {
        self.payload.parent().unwrap()
    }

    /// A new folder.
    pub fn dir(&self, name: &str) -> PathBuf {
        let dir = self.folder.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// Starts `eddyline seed` and waits until it is ready; returns its port too.
    pub fn seed(&self, flags: &[&str]) -> (Process, u16) {
        let mut command = eddyline();
        command.arg("seed").arg(&self.torrent).arg("--dir").arg(self.source());
        command.args(["--port", "0"]).arg("--state-dir").arg(self.dir("state-seed")).args(flags);
        let mut seed = Process::start(&mut command);
        let port = seed.wait_for("READY ")[6..].parse().unwrap();
        (seed, port)
    }

    /// The command of `eddyline download` into the folder `name`.
    pub fn download(&self, name: &str) -> Command {
        let mut command = eddyline();
        command.arg("download").arg(&self.torrent).arg("--dir").arg(self.dir(name));
        command.args(["--port", "0", "--stop-timeout", "60s", "-v"]);
        command.arg("--state-dir").arg(self.dir(&format!("state-{name}")));
        command
    }

    /// Asserts that the folder `name` holds what the source holds.
    pub fn assert_same(&self, name: &str) {
        let found = self.dir(name).join(self.payload.file_name().unwrap());
        let mut diff = Command::new("diff");
        succeed(diff.arg("-rq").arg(&self.payload).arg(found));
    }
}

/// Runs a command to its end and asserts success.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {err}");
    output
}

/// Bytes that do not repeat.
pub fn bytes(length: usize) -> Vec<u8> {
    let mut rng = eddyline::base::rng::Seed::from_u64(length as u64).stream("payload");
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

/// Waits until `done`.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
