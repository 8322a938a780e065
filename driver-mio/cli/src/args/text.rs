//! What stands below the flags in `--help` and in the man pages: examples, exit codes, where else flags
//! may be set. Lines are short enough for a narrow terminal.

/// Every exit code with its meaning.
const CODES: &[(&str, &str)] = &[
    ("0", "done"),
    ("1", "unexpected failure"),
    ("2", "wrong usage"),
    ("3", "a source was not found"),
    ("6", "network problem"),
    ("7", "not finished"),
    ("9", "no space left on the disk"),
    ("13", "would overwrite other data"),
    ("17", "disk or output error"),
    ("25", "not valid bencode"),
    ("26", "not a valid torrent"),
    ("27", "bad magnet link or info-hash"),
    ("32", "data is bad, missing or too long"),
    ("33", "the replay differs"),
    ("129", "stopped by SIGHUP"),
    ("130", "stopped by SIGINT (Ctrl-C)"),
    ("141", "the output was closed (SIGPIPE)"),
    ("143", "stopped by SIGTERM"),
];

/// What every command may end with.
const ALWAYS: &[&str] = &["0", "2", "17", "141"];

/// Codes of commands that transfer, beside those.
pub(super) const TRANSFER: &[&str] =
    &["1", "3", "6", "7", "9", "13", "25", "26", "27", "129", "130", "143"];

const ELSEWHERE: &str = "\
Every long flag can also be set by an environment variable, EDDYLINE_ and its name in capitals \
(EDDYLINE_MAX_UP), and by a key in $XDG_CONFIG_HOME/eddyline/config.toml. The command line wins, \
then the environment, then the file. \
What `session add` and `session set` keep for a torrent has variables and a table of its own \
(EDDYLINE_SESSION_ADD_MAX_UP, [session.add]). \
Variables that take several addresses, such as EDDYLINE_PEER, have spaces between them.";

/// The end of `--help`: examples, exit codes, and where else flags may be set.
pub(super) fn below(examples: &[(&str, &str)], codes: &[&str]) -> String {
    let mut parts = Vec::new();
    if !examples.is_empty() {
        let shown = examples.iter().map(|(what, how)| format!("  {what}:\n    {how}"));
        parts.push(format!("Examples:\n{}", shown.collect::<Vec<_>>().join("\n")));
    }
    let known = CODES.iter().filter(|(code, _)| ALWAYS.contains(code) || codes.contains(code));
    let rows: Vec<_> = known.map(|(code, meaning)| format!("  {code:>3}  {meaning}")).collect();
    if !rows.is_empty() {
        parts.push(format!("Exit codes:\n{}", rows.join("\n")));
    }
    parts.push(ELSEWHERE.to_owned());
    parts.join("\n\n")
}

/// All exit codes, for the help of the program itself.
pub(super) fn all_codes() -> Vec<&'static str> {
    CODES.iter().map(|(code, _)| *code).collect()
}
