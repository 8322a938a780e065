//! What strangers call things reaches no terminal and no reader of JSON raw, whichever command tells of
//! it.

use std::path::Path;
use std::process::Command;

/// Colours, a title, C1, overrides and isolates of direction, a line separator, DEL.
const EVIL: &str =
    "x\x1b[31m\x1b]0;t\x07\u{9b}2J\u{202e}gnp.exe\u{2066}y\u{2028}\u{200f}\u{61c}\x7f";

fn text(value: &str) -> Vec<u8> {
    format!("{}:{value}", value.len()).into()
}

/// A torrent in which every text is evil.
fn torrent(folder: &Path) -> String {
    let file = [b"d6:lengthi5e4:pathl".as_slice(), &text(EVIL), b"ee"].concat();
    let info = [
        b"d5:filesl".as_slice(),
        &file,
        b"e4:name",
        &text(EVIL),
        b"12:piece lengthi16384e6:pieces20:",
        &[1; 20],
        b"6:source",
        &text(EVIL),
        b"e",
    ]
    .concat();
    let url = format!("http://127.0.0.1:1/{EVIL}");
    let document = [
        b"d8:announce".as_slice(),
        &text(&url),
        b"7:comment",
        &text(EVIL),
        b"10:created by",
        &text(EVIL),
        b"4:info",
        &info,
        b"8:url-list",
        &text(&url),
        b"e",
    ]
    .concat();
    let path = folder.join("t.torrent");
    std::fs::write(&path, document).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What a run printed, both streams together.
fn told(home: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
    command.args(arguments).current_dir(home).env_clear().env("HOME", home);
    let output = command.output().unwrap();
    let all = [output.stdout, output.stderr].concat();
    String::from_utf8(all).unwrap()
}

fn steers(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn no_command_prints_what_steers_a_terminal() {
    let home = tempfile::tempdir().unwrap();
    let (home, torrent) = (home.path(), torrent(home.path()));
    let hash = "cd".repeat(20);
    let encoded: String = EVIL.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let url = format!("http%3A%2F%2F127.0.0.1%3A1%2F{encoded}");
    let magnet = format!("magnet:?xt=urn:btih:{hash}&dn={encoded}&tr={url}&ws={url}");
    let alone = ["--no-dht", "--no-lsd", "--bind", "127.0.0.1", "--port", "0"];
    let transfer = |command: &[&'static str], source: &str, more: &[&'static str]| {
        let mut all: Vec<String> = command.iter().map(|s| s.to_string()).collect();
        all.push(source.to_owned());
        all.extend(more.iter().chain(&alone).map(|s| s.to_string()));
        all
    };
    let plain = |parts: &[&str]| parts.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let trace = home.join("run.trace");
    let trace = trace.to_str().unwrap();
    let wait = ["--stop-timeout", "1s", "-v"];
    let mut runs = vec![
        plain(&["info", &torrent]),
        plain(&["info", &torrent, "--json"]),
        plain(&["info", &magnet]),
        plain(&["info", &magnet, "--json"]),
        plain(&["magnet", &torrent]),
        plain(&["verify", &torrent, "--dir", "."]),
        plain(&["verify", &torrent, "--dir", ".", "--json"]),
        plain(&["info", EVIL]),
        plain(&["create", EVIL]),
        plain(&[EVIL]),
        plain(&["info", "--color", EVIL]),
        plain(&["session", "add", &torrent]),
        plain(&["session", "add", &magnet]),
        plain(&["session", "list"]),
        plain(&["session", "list", "--json"]),
        plain(&["session", "pause", &hash]),
        plain(&["session", "move", EVIL, "--to", "."]),
        plain(&["session", "rename", EVIL, EVIL]),
        plain(&["session", "remove", &hash]),
    ];
    runs.push(transfer(&["download"], &torrent, &wait));
    runs.push(transfer(&["download", "--json"], &torrent, &wait));
    runs.push(transfer(&["download", "--json"], &magnet, &wait));
    runs.push(transfer(&["download", "--record", "run.trace"], &magnet, &wait));
    runs.push(transfer(&["seed", "--dir", "."], &torrent, &["-v"]));
    runs.push(plain(&["replay", trace]));
    runs.push(plain(&["replay", trace, "--goto", "2", "--why"]));
    runs.push(plain(&["replay", trace, "--until", "torrent failed"]));
    let mut told_of_it = 0;
    for run in &runs {
        let arguments: Vec<&str> = run.iter().map(String::as_str).collect();
        let text = told(home, &arguments);
        let raw: Vec<char> = text.chars().filter(|c| steers(*c)).collect();
        assert!(raw.is_empty(), "{run:?}: {raw:?} in {text}");
        told_of_it += usize::from(text.contains("gnp.exe"));
    }
    assert!(told_of_it >= 12, "{told_of_it} of {} said anything of it", runs.len());
}
