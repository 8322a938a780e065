//! One job among others on a real terminal: in the background, stopped, in the foreground again, on a
//! terminal that is narrow, dumb or gone.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// An interactive shell on a terminal of its own.
struct Shell {
    child: Child,
    keys: Option<ChildStdin>,
    screen: Arc<(Mutex<String>, Condvar)>,
    /// How much of the screen was looked at.
    seen: usize,
    home: tempfile::TempDir,
}

impl Shell {
    fn start(term: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_eddyline"));
        let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
        let mut command = Command::new("script");
        command.args(["-qfec", "bash --norc --noprofile -i", "/dev/null"]);
        command.current_dir(home.path()).env_clear();
        command.env("HOME", home.path()).env("PATH", path).env("TERM", term).env("PS1", "");
        command.env("SHELL", "/bin/bash");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let (keys, mut out) = (child.stdin.take(), child.stdout.take().unwrap());
        let screen = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let shown = screen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                shown.0.lock().unwrap().push_str(&text);
                shown.1.notify_all();
            }
        });
        let mut shell = Self { child, keys, screen, seen: 0, home };
        // Editing of lines would show what is typed more than once.
        shell.run("stty cols 60 rows 20; set +o emacs; PS1=");
        shell
    }

    fn keys(&mut self, keys: &str) {
        let input = self.keys.as_mut().unwrap();
        input.write_all(keys.as_bytes()).and_then(|()| input.flush()).unwrap();
    }

    /// Waits until the screen has shown this, behind what was waited for before.
    fn wait_for(&mut self, text: &str) -> String {
        let mut shown = self.screen.0.lock().unwrap();
        loop {
            if let Some(place) = shown[self.seen..].find(text) {
                let upto = self.seen + place + text.len();
                let found = shown[self.seen..upto].to_owned();
                self.seen = upto;
                return found;
            }
            let (again, timeout) =
                self.screen.1.wait_timeout(shown, Duration::from_secs(60)).unwrap();
            shown = again;
            let news = &shown[self.seen..];
            assert!(!timeout.timed_out(), "{text:?} was never shown; {news:?} was");
        }
    }

    /// Gives a command and waits until it is done; what was shown meanwhile.
    fn run(&mut self, command: &str) -> String {
        self.keys(&format!("{command}; echo do''ne=$?.\n"));
        self.wait_for("done=")
    }

    /// What stands on a terminal of this size after all that was shown.
    fn rows(&self) -> Vec<String> {
        let mut terminal = avt::Terminal::with_scrollback(60, 20, None).unwrap();
        terminal.feed(self.screen.0.lock().unwrap().as_str());
        terminal.screen().all_lines().map(|line| line.text()).collect()
    }

    /// The code of the last command.
    fn code(&mut self) -> String {
        self.wait_for("code=");
        self.wait_for(".")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.keys = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A download that never ends, and tells when it has begun.
const WAITING: &str = "eddyline download magnet:?xt=urn:btih:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \
                       --dir there --no-dht --no-lsd --no-trackers --bind 127.0.0.1 --port 0 -v";
const BEGUN: &str = "listening on port";

#[test]
fn a_job_in_the_background_runs_and_ends_when_it_is_told_to() {
    let mut shell = Shell::start("xterm");
    // A terminal with `tostop` stops whoever writes from the background: nothing is told there.
    for tostop in ["stty -tostop", "stty tostop"] {
        shell.run(tostop);
        shell.keys(&format!("{WAITING} --state-dir state & pid=$!\n"));
        shell.run("until [ -e state ] || grep -q 'State:.*T' /proc/$pid/status; do :; done");
        assert!(!shell.run("grep State /proc/$pid/status").contains("(stopped)"), "{tostop}");
        shell.keys("kill -TERM $pid; wait $pid; echo co''de=$?.\n");
        assert_eq!(shell.code(), "143.", "{tostop}");
        std::fs::remove_dir_all(shell.home.path().join("state")).unwrap();
    }
}

#[test]
fn a_job_that_is_stopped_leaves_the_terminal_tidy_and_goes_on() {
    let mut shell = Shell::start("xterm");
    shell.keys(&format!("{WAITING}; echo co''de=$?.\n"));
    shell.wait_for(BEGUN);
    shell.wait_for("0 peers");
    for _ in 0..2 {
        shell.keys("\x1a");
        let shown = shell.wait_for("Stopped");
        assert!(shown.contains("\r\x1b[2K"), "the display is removed: {shown:?}");
        let modes = shell.run("stty -a");
        assert!(modes.contains(" echoctl") && !modes.contains("-echoctl"), "{modes}");
        shell.keys("bg\n");
        shell.run("until grep -q 'State:.*[SR] ' /proc/$(jobs -p)/status; do :; done");
        shell.keys("fg; echo co''de=$?.\n");
        shell.wait_for("0 peers");
    }
    shell.keys("\x03");
    assert_eq!(shell.code(), "130.");
    let modes = shell.run("stty -a");
    assert!(modes.contains(" echoctl") && !modes.contains("-echoctl"), "{modes}");
    // Also not in what one can scroll back to.
    let left = shell.rows();
    assert!(!left.iter().any(|row| row.contains("0 peers")), "{left:#?}");
    let all = shell.screen.0.lock().unwrap().clone();
    assert!(all.rfind("\x1b[?25h") > all.rfind("\x1b[?25l"), "the cursor can be seen");
}

#[test]
fn a_terminal_may_have_any_width_and_change_it() {
    let mut shell = Shell::start("xterm");
    shell.run("tty > tty");
    for size in
        ["cols 1 rows 1", "cols 2 rows 2", "cols 5 rows 40", "cols 300 rows 3", "cols 0 rows 0"]
    {
        shell.run("stty cols 60 rows 20");
        shell.keys(&format!("{WAITING}; echo co''de=$?.\n"));
        shell.wait_for("0 peers");
        let terminal = std::fs::read_to_string(shell.home.path().join("tty")).unwrap();
        let mut resize = Command::new("stty");
        resize.args(["-F", terminal.trim()]).args(size.split(' '));
        assert!(resize.status().unwrap().success());
        shell.wait_for("\x1b[?2026l");
        shell.keys("\x03");
        assert_eq!(shell.code(), "130.", "{size}");
        shell.run(&format!("stty {size}"));
        shell.keys(&format!("{WAITING}; echo co''de=$?.\n"));
        shell.wait_for(BEGUN);
        shell.wait_for("\x1b[?2026l");
        shell.keys("\x03");
        assert_eq!(shell.code(), "130.", "{size}");
    }
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    for term in ["dumb", ""] {
        let mut shell = Shell::start(term);
        shell.keys(&format!("{WAITING} --stop-timeout 1s; echo co''de=$?.\n"));
        let shown = shell.wait_for(BEGUN) + &shell.wait_for("code=7.");
        assert!(!shown.contains('\x1b'), "{shown:?}");
    }
}

#[test]
fn a_terminal_that_goes_away_is_a_tidy_stop() {
    let mut shell = Shell::start("xterm");
    shell.keys(&format!("(trap : HUP; {WAITING}; echo $? > code)\n"));
    shell.wait_for(BEGUN);
    shell.keys = None;
    shell.child.kill().unwrap();
    let code = shell.home.path().join("code");
    while !std::fs::read_to_string(&code).is_ok_and(|text| text.ends_with('\n')) {
        std::thread::yield_now();
    }
    assert_eq!(std::fs::read_to_string(&code).unwrap(), "129\n");
}

/// A torrent of a file that takes minutes to hash, and the file.
fn huge(shell: &Shell) {
    let (length, piece) = (1u64 << 40, 1u64 << 24);
    let hashes = vec![0; (length / piece) as usize * 20];
    let head = format!(
        "d4:infod6:lengthi{length}e4:name4:huge12:piece lengthi{piece}e6:pieces{}:",
        hashes.len()
    );
    let torrent = [head.as_bytes(), &hashes, b"ee"].concat();
    std::fs::write(shell.home.path().join("huge.torrent"), torrent).unwrap();
    let huge = std::fs::File::create(shell.home.path().join("huge")).unwrap();
    huge.set_len(length).unwrap();
}

#[test]
fn what_is_there_is_checked_with_a_rate_and_an_end() {
    let mut shell = Shell::start("xterm");
    huge(&shell);
    let alone = "--dir . --no-dht --no-lsd --no-trackers --bind 127.0.0.1 --port 0";
    for command in ["download", "seed"] {
        shell.keys(&format!("eddyline {command} huge.torrent {alone}; echo co''de=$?.\n"));
        shell.wait_for("checking huge");
        shell.wait_for("iB/s ETA");
        shell.keys("\x03");
        assert_eq!(shell.code(), "130.", "{command}");
    }
}

#[test]
fn a_session_tells_how_many_torrents_are_complete_and_wait() {
    let mut shell = Shell::start("xterm");
    for name in ["one", "other"] {
        shell.run(&format!("echo {name} > {name}; eddyline create {name}"));
        shell.run(&format!("eddyline session add {name}.torrent"));
        shell.run(&format!("eddyline session verify {name}"));
        shell.keys(
            "eddyline session run --no-dht --no-lsd --bind 127.0.0.1 --port 0; echo co''de=$?.\n",
        );
        let told =
            ["1 torrent is complete and waiting for peers", "2 torrents are complete and waiting"];
        shell.wait_for(told[usize::from(name == "other")]);
        shell.keys("\x03");
        assert_eq!(shell.code(), "0.", "{name}");
    }
}

#[test]
fn hashing_that_is_ended_leaves_the_terminal_tidy() {
    let mut shell = Shell::start("xterm");
    huge(&shell);
    for command in ["verify huge.torrent --dir .", "create huge -o other.torrent"] {
        shell.keys(&format!("eddyline {command}; echo co''de=$?.\n"));
        shell.wait_for("hashing huge");
        shell.keys("\x03");
        assert_eq!(shell.code(), "130.", "{command}");
        let modes = shell.run("stty -a");
        assert!(modes.contains(" echoctl") && !modes.contains("-echoctl"), "{modes}");
    }
}
