//! Real runs recorded and replayed by the program.

use std::process::{Command, Output};

use crate::clients::libtorrent;
use crate::lab::{Lab, Process, eddyline};

const LENGTH: usize = 50_000_003;

fn replay(trace: &std::path::Path, flags: &[&str]) -> Output {
    eddyline().arg("replay").arg(trace).args(flags).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_download_from_libtorrent_replays_identically_also_when_its_trace_is_cut() {
    let lab = Lab::with_file(LENGTH, &[]);
    let seed = libtorrent(&lab, lab.source(), "seed", &[]);
    let trace = lab.dir("traces").join("run.trace");
    let mut command = lab.download("fetched");
    command.args(["--peer", &format!("127.0.0.1:{}", seed.port), "--no-trackers", "--record"]);
    let mut download = Process::start(command.arg(&trace));
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    lab.assert_same("fetched");

    let whole = replay(&trace, &[]);
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    assert!(text(&whole).contains("identical"), "{whole:?}");
    let bytes = std::fs::read(&trace).unwrap();
    assert!(bytes.len() < LENGTH / 100, "{} bytes for {LENGTH}", bytes.len());
    let cut = lab.dir("traces").join("cut.trace");
    for part in [3, 5, 7, 11] {
        std::fs::write(&cut, &bytes[..bytes.len() * part / 12 + part]).unwrap();
        let replayed = replay(&cut, &[]);
        // Identical as far as it goes, and not whole.
        assert_eq!(replayed.status.code(), Some(7), "{replayed:?}");
        assert!(text(&replayed).contains("identical"), "{replayed:?}");
    }

    let found = replay(&trace, &["--until", "piece 100 verified", "--why"]);
    assert!(text(&found).contains("tell: piece 100 verified"), "{found:?}");
    assert!(text(&found).contains("caused by"), "{found:?}");
    let redacted = lab.dir("traces").join("redacted.trace");
    let outcome = replay(&trace, &["--redact", redacted.to_str().unwrap()]);
    assert_eq!(outcome.status.code(), Some(0), "{outcome:?}");
    assert!(text(&replay(&redacted, &[])).contains("identical"));
    let bytes = std::fs::read(&redacted).unwrap();
    assert!(!bytes.windows(11).any(|window| window == b"payload.bin"));
}

#[test]
fn a_killed_process_leaves_a_trace_that_replays() {
    let lab = Lab::with_file(LENGTH, &[]);
    let (_seed, port) = lab.seed(&["--max-up", "10M"]);
    let trace = lab.dir("traces").join("killed.trace");
    let mut command = lab.download("fetched");
    command.args(["--peer", &format!("127.0.0.1:{port}"), "--json", "--record"]);
    let mut download = Process::start(command.arg(&trace));
    while !download.wait_for("{").contains("\"index\":50") {}
    download.signal("-KILL");
    download.wait();
    let replayed = replay(&trace, &[]);
    // It may or may not have been killed in the middle of a record.
    assert!(matches!(replayed.status.code(), Some(0 | 7)), "{replayed:?}");
    let told = text(&replayed);
    let row = told.lines().find(|line| line.starts_with("Replay")).unwrap();
    let steps: u64 = row.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(steps > 3, "{replayed:?}");
}

#[test]
fn bad_traces_and_questions_have_their_exit_codes() {
    let lab = Lab::with_file(100_000, &[]);
    let file = lab.dir("traces").join("bad.trace");
    std::fs::write(&file, b"nonsense").unwrap();
    assert_eq!(replay(&file, &[]).status.code(), Some(26));
    assert_eq!(replay(&lab.dir("traces").join("none"), &[]).status.code(), Some(3));
    let (_seed, port) = lab.seed(&[]);
    let trace = lab.dir("traces").join("run.trace");
    let mut command = lab.download("fetched");
    command.args(["--peer", &format!("127.0.0.1:{port}"), "--record"]);
    assert_eq!(Process::start(command.arg(&trace)).wait(), 0);
    assert_eq!(replay(&trace, &["--until", "piece eaten"]).status.code(), Some(2));
    assert_eq!(replay(&trace, &["--until", "piece 4000 verified"]).status.code(), Some(7));
    // A byte of the configuration changed: the run leaves its record.
    let mut bytes = std::fs::read(&trace).unwrap();
    let place = bytes.windows(8).position(|window| window == b"Eddyline").unwrap();
    bytes[place] = b'X';
    std::fs::write(&trace, bytes).unwrap();
    let diverged = replay(&trace, &[]);
    assert_eq!(diverged.status.code(), Some(33), "{diverged:?}");
    let words = text(&diverged);
    assert!(words.contains("recorded:") && words.contains("now:"), "{words}");
}

#[test]
fn the_interactive_replay_works_in_a_terminal() {
    let lab = Lab::with_file(1_000_000, &[]);
    let (_seed, port) = lab.seed(&[]);
    let trace = lab.dir("traces").join("run.trace");
    let mut command = lab.download("fetched");
    command.args(["--peer", &format!("127.0.0.1:{port}"), "--record"]);
    assert_eq!(Process::start(command.arg(&trace)).wait(), 0);
    let session = format!("eddyline-replay-{}", std::process::id());
    let tmux = |arguments: &[&str]| {
        let output = Command::new("tmux").args(["-L", &session]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mut program = eddyline();
    program.arg("replay").arg(&trace).arg("--interactive");
    let words: Vec<String> = std::iter::once(program.get_program())
        .chain(program.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    tmux(&["new-session", "-d", "-s", "t", "-x", "160", "-y", "50", &words.join(" ")]);
    let screen_with = |wanted: &str| {
        for _ in 0..100 {
            let screen = tmux(&["capture-pane", "-p", "-S", "-3000", "-t", "t"]);
            if screen.contains(wanted) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!(
            "never on the screen: {wanted}: {}",
            tmux(&["capture-pane", "-p", "-S", "-3000", "-t", "t"])
        );
    };
    let prompted = || {
        for _ in 0..100 {
            let screen = tmux(&["capture-pane", "-p", "-S", "-3000", "-t", "t"]);
            let last = screen.lines().map(str::trim_end).rfind(|line| !line.is_empty());
            if last.is_some_and(|line| line.ends_with('>')) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("no prompt comes");
    };
    screen_with("'help' lists the commands");
    prompted();
    for (typed, seen) in [
        ("until piece 3 verified", "tell: piece 3 verified"),
        ("why", "caused by, latest first"),
        ("back 2", "step"),
        ("peers", "we are unchoked"),
        ("goto 1", "step 1 at"),
        ("nonsense", "is no command"),
    ] {
        tmux(&["send-keys", "-t", "t", typed, "Enter"]);
        screen_with(&format!("> {typed}"));
        screen_with(seen);
        // What is typed before the next prompt stands there may be dropped.
        prompted();
    }
    tmux(&["send-keys", "-t", "t", "quit", "Enter"]);
}
