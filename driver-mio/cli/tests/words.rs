//! What the program says and understands: links and flags, help and manual, `info`, and the story that
//! `replay` tells.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const HASH: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

/// Commands with a help and a page of their own.
const COMMANDS: &[&str] = &[
    "download",
    "seed",
    "session",
    "create",
    "info",
    "verify",
    "magnet",
    "doctor",
    "demo",
    "replay",
    "completions",
    "man",
    "session add",
    "session list",
    "session remove",
    "session move",
    "session rename",
    "session pause",
    "session resume",
    "session run",
    "session set",
    "session verify",
];

fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
    command.current_dir(home).env_clear().env("HOME", home);
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    program(home).args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Serves one reply and returns the address.
fn serve(reply: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
        stream.write_all(reply.as_bytes()).unwrap();
    });
    url
}

#[test]
fn links_are_taken_as_they_are_copied() {
    let home = tempfile::tempdir().unwrap();
    let plain = format!("magnet:?xt=urn:btih:{HASH}&dn=a");
    let expected = out(&run(home.path(), &["info", "--json", &plain]));
    for copied in [format!(" {plain}\n"), plain.replace('&', "&amp;")] {
        assert_eq!(out(&run(home.path(), &["info", "--json", &copied])), expected, "{copied:?}");
    }
    let hash = run(home.path(), &["info", "--json", &format!("\t{HASH} ")]);
    assert!(out(&hash).contains(HASH), "{hash:?}");
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect"] {
        let url =
            serve(format!("HTTP/1.1 {status}\r\nLocation: {plain}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(out(&run(home.path(), &["info", "--json", &url])), expected, "{status}");
    }
    let early = serve("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nd4:infod".into());
    let early = run(home.path(), &["info", &early]);
    assert_eq!(early.status.code(), Some(6), "{early:?}");
    assert!(err(&early).contains("closed before everything had come"), "{early:?}");
}

#[test]
fn links_and_flags_without_sense_are_refused_in_words() {
    let home = tempfile::tempdir().unwrap();
    let other = "ce".repeat(20);
    let two = format!("magnet:?xt=urn:btih:{HASH}&xt=urn:btih:{other}");
    let refused = run(home.path(), &["info", &two]);
    assert_eq!(refused.status.code(), Some(27), "{refused:?}");
    assert!(err(&refused).contains("two different torrents"), "{refused:?}");
    let odd = format!("magnet:?xt=urn:btih:{HASH}&x.pe=<name>:100&x.pe=a.example:100");
    let odd = out(&run(home.path(), &["info", "--json", &odd]));
    assert!(odd.contains(r#""peers":["a.example:100"]"#), "{odd}");
    for (flag, value) in [
        ("--dht-bootstrap", "foo"),
        ("--dht-bootstrap", "foo:0"),
        ("--peer", "foo"),
        ("--peer", "192.0.2.1:0"),
        ("--seed-ratio", "nan"),
        ("--seed-ratio", "inf"),
        ("--seed-ratio", "-1"),
        ("--seed-time", "nan"),
        ("--stop-timeout", "-1s"),
        ("--tracker", "foo"),
        ("--tracker", "udp://t.example"),
        ("--max-down", "nan"),
        ("--max-up", "inf"),
        ("--max-peers", "0"),
        ("--port", "65536"),
    ] {
        let given = format!("{flag}={value}");
        let output = run(home.path(), &["download", HASH, &given]);
        assert_eq!(output.status.code(), Some(2), "{given}: {output:?}");
        assert!(err(&output).contains(flag), "{given}: {output:?}");
    }
}

fn help(home: &Path, command: &str, flag: &str, columns: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let output = program(home).args(words).arg(flag).env("COLUMNS", columns).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{command} {flag}: {output:?}");
    out(&output)
}

#[test]
fn every_command_has_a_short_help_and_a_long_one() {
    let home = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let short = help(home.path(), command, "-h", "80");
        let long = help(home.path(), command, "--help", "80");
        assert!(short.lines().count() < long.lines().count(), "{command}");
        assert!(!short.contains("[env:") && !long.contains("[env:"), "{command}");
        assert!(!short.contains("Exit codes") && short.contains("--help"), "{command}");
        assert_eq!(long.matches("environment variable").count(), 1, "{command}: {long}");
        for vague in ["so fast", "at most so", "so many", "so long", "rest\n"] {
            assert!(!long.contains(vague), "{command}: {vague}");
        }
    }
    let download = help(home.path(), "download", "--help", "80");
    for part in
        ["Exit codes:", "Examples:", "Limits:", "Peers:", "-d, --dir", "-p, --port", "-o, --output"]
    {
        assert!(download.contains(part), "{part}");
    }
}

#[test]
fn help_fits_a_terminal_of_forty_columns() {
    let home = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let text = help(home.path(), command, "-h", "40");
        for line in text.lines().filter(|line| !line.starts_with("Usage:")) {
            assert!(line.chars().count() <= 40, "{command}: {line:?}");
        }
    }
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("man/man1");
    let output = run(home.path(), &["man", folder.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for command in COMMANDS {
        let name = format!("eddyline-{}.1", command.replace(' ', "-"));
        let page = std::fs::read_to_string(folder.join(&name)).unwrap();
        assert!(page.starts_with(".ie") || page.contains(".TH"), "{name}");
        assert!(page.contains("environment variable"), "{name}");
    }
    assert!(out(&run(home.path(), &["man"])).contains(".TH"));
}

/// A folder with two files, its torrent with a passkey in the tracker, and the path of that.
fn torrent(home: &Path) -> String {
    std::fs::create_dir_all(home.join("data/Show/sub")).unwrap();
    std::fs::write(home.join("data/Show/a.bin"), vec![1; 40_000]).unwrap();
    std::fs::write(home.join("data/Show/sub/b.bin"), vec![2; 10_000]).unwrap();
    let tracker = "http://127.0.0.1:1/0123456789abcdef0123456789abcdef/announce";
    let arguments = ["create", "data/Show", "-o", "t.torrent", "--tracker", tracker, "--private"];
    let made = run(home, &[&arguments[..], &["--creation-date", "1700000000", "--quiet"]].concat());
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    home.join("t.torrent").to_str().unwrap().to_owned()
}

#[test]
fn info_shows_a_tree_a_date_and_no_passkey() {
    let home = tempfile::tempdir().unwrap();
    let torrent = torrent(home.path());
    let text = out(&run(home.path(), &["info", &torrent]));
    for part in [
        "Show/\n",
        "  a.bin\n",
        "  sub/\n",
        "    b.bin\n",
        "2023-11-14 22:13:20 UTC",
        "/…/announce",
    ] {
        assert!(text.contains(part), "{part:?}: {text}");
    }
    assert!(!text.contains("0123456789abcdef"), "{text}");
    let loud = out(&run(home.path(), &["info", &torrent, "-vv"]));
    assert!(loud.contains("0123456789abcdef"), "{loud}");
}

#[test]
fn info_fetches_the_files_of_a_magnet() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("data/Show")).unwrap();
    std::fs::write(home.path().join("data/Show/a.bin"), vec![1; 40_000]).unwrap();
    let arguments = ["create", "data/Show", "-o", "t.torrent", "--quiet"];
    assert_eq!(run(home.path(), &arguments).status.code(), Some(0));
    let magnet = out(&run(home.path(), &["magnet", "t.torrent"]));
    let alone = ["--no-dht", "--no-lsd", "--no-trackers", "--bind", "127.0.0.1", "--port", "0"];
    let mut seed = program(home.path());
    seed.args(["seed", "t.torrent", "--dir", "data"]).args(alone).stdout(Stdio::piped());
    let mut seed = seed.stderr(Stdio::null()).spawn().unwrap();
    let ready = BufReader::new(seed.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let peer = format!("127.0.0.1:{}", ready.trim_start_matches("READY ").trim());
    let fetch = ["info", magnet.trim(), "--files", "--stop-timeout", "60s", "--peer", &peer];
    let info = run(home.path(), &[&fetch[..], &alone].concat());
    let nobody = ["info", magnet.trim(), "--files", "--stop-timeout", "1s"];
    let nobody = run(home.path(), &[&nobody[..], &alone].concat());
    seed.kill().unwrap();
    seed.wait().unwrap();
    assert_eq!(info.status.code(), Some(0), "{info:?}");
    assert!(out(&info).contains("a.bin"), "{info:?}");
    assert!(!home.path().join("Show").exists(), "nothing is downloaded");
    assert_eq!(nobody.status.code(), Some(7), "{nobody:?}");
}

#[test]
fn asking_needs_a_terminal() {
    let home = tempfile::tempdir().unwrap();
    let torrent = torrent(home.path());
    let mut command = program(home.path());
    command.args(["download", &torrent, "--ask", "--no-dht", "--no-lsd", "--port", "0"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(err(&output).contains("--ask needs a terminal"), "{output:?}");
}

#[test]
fn replay_tells_the_story_of_a_run_and_why_something_happened() {
    let home = tempfile::tempdir().unwrap();
    let recorded = run(home.path(), &["demo", "--size", "1MiB", "--record", "run.trace"]);
    assert_eq!(recorded.status.code(), Some(0), "{recorded:?}");

    let story = run(home.path(), &["replay", "run.trace"]);
    assert_eq!(story.status.code(), Some(0), "{story:?}");
    let text = out(&story);
    assert!(text.lines().count() <= 12, "{text}");
    for row in ["Run", "Torrent", "Peers", "Pieces", "Transfer", "Complete", "Trouble", "Replay"] {
        assert!(text.lines().any(|line| line.starts_with(row)), "{row}: {text}");
    }
    assert!(text.contains("identical: the engine does now what it did then"), "{text}");

    let why = run(home.path(), &["replay", "run.trace", "--until", "piece 0 verified", "--why"]);
    let text = out(&why);
    assert_eq!(why.status.code(), Some(0), "{why:?}");
    assert!(text.lines().any(|line| line.starts_with("▶ → tell: piece 0 verified")), "{text}");
    let chain = text.split("caused by, latest first:").nth(1).unwrap();
    for link in ["hash piece 0: the hash is", "→ hash piece 0", "→ send ", "→ connect to "] {
        assert!(chain.contains(link), "{link}: {text}");
    }
    assert!(!text.contains("TorrentId(") && !text.contains("ConnId("), "{text}");
    for beyond in [&["--goto", "99999"][..], &["--diff", "1", "99999"]] {
        let output = run(home.path(), &[&["replay", "run.trace"], beyond].concat());
        assert_eq!(output.status.code(), Some(2), "{beyond:?}: {}", err(&output));
        assert!(err(&output).contains("no step 99999"), "{}", err(&output));
    }
    let fields = out(&run(home.path(), &["replay", "run.trace", "--goto", "5", "--why", "-v"]));
    assert!(fields.contains("now"), "{fields}");

    let never = run(home.path(), &["replay", "run.trace", "--until", "piece 9999 verified"]);
    assert_eq!(never.status.code(), Some(7), "{never:?}");
    assert!(err(&never).contains("the condition was never met"), "{never:?}");

    let shared = run(home.path(), &["replay", "run.trace", "--redact", "public.trace"]);
    assert!(
        out(&shared).starts_with("good to be shared: every decision is the same"),
        "{shared:?}"
    );
}

#[test]
fn a_trace_that_is_cut_is_called_so() {
    let home = tempfile::tempdir().unwrap();
    let recorded = run(home.path(), &["demo", "--size", "1MiB", "--record", "run.trace"]);
    assert_eq!(recorded.status.code(), Some(0), "{recorded:?}");
    let bytes = std::fs::read(home.path().join("run.trace")).unwrap();
    std::fs::write(home.path().join("cut.trace"), &bytes[..bytes.len() - 3]).unwrap();
    let cut = run(home.path(), &["replay", "cut.trace"]);
    assert_eq!(cut.status.code(), Some(7), "{cut:?}");
    assert!(err(&cut).contains("is cut") && out(&cut).contains("identical"), "{cut:?}");
}
