//! The command line of `create`.

use clap::builder::{PossibleValue, ValueParser};
use clap::{Arg, Command, ValueHint, value_parser};

use super::super::create::parse_sort_key;
use super::super::units::parse_size;
use super::text::explained;
use super::{flag, force, many, option, threads};

const CONTENT: &str = "What goes in";
const TORRENT: &str = "The torrent";
const OUTPUT: &str = "Output";

const MORE: &str = "\
The same files and flags make the same torrent, to the byte. Symbolic links, hidden files and files that \
systems leave behind are left out, with a warning.";

/// `create`.
pub(super) fn create() -> Command {
    let path = Arg::new("path")
        .value_name("PATH")
        .required(true)
        .value_hint(ValueHint::AnyPath)
        .help("The file or folder to share")
        .value_parser(value_parser!(std::path::PathBuf));
    let command = Command::new("create").about("Make a torrent").arg(path);
    explained(
        command.args(output()).args(torrent()).args(content()),
        MORE,
        &[
            ("A folder", "eddyline create Folder -t http://t.example/announce"),
            ("A second tracker, if the first fails", "eddyline create Folder -t URL -t URL2"),
            ("With a web seed", "eddyline create x.iso --web-seed http://m.example/x.iso"),
            ("For a private tracker", "eddyline create Folder --private -t URL --source S"),
            ("What would be in it", "eddyline create Folder --dry-run --show"),
        ],
        &["3", "9", "13", "129", "130", "143"],
    )
}

fn torrent() -> [Arg; 10] {
    [
        many("tracker", "URL", "A tracker; commas join several into one tier").short('t').long_help(
            "The address of a tracker: http, https or udp, the last with a port. Can be given more than \
             once; each is a tier of its own, asked when those before it fail. Commas join several \
             addresses into one tier.",
        ),
        many("web-seed", "URL", "A web server that has the files").long_help(
            "The address of a web server that has the files: http, https or ftp. Can be given more than \
             once.",
        ),
        option("piece-length", "SIZE", "Length of a piece, as in 1MiB [default: by size]")
            .value_parser(ValueParser::new(parse_size))
            .long_help(
                "The length of a piece, as in 256KiB or 1MiB; for --format v2 and hybrid a power of two. \
                 Without the flag it is chosen by the size of the content: about 1,500 pieces, each \
                 of 16 KiB to 16 MiB.",
            ),
        option("format", "KIND", "The kind of torrent")
            .value_parser([
                PossibleValue::new("v1").help("What every client reads"),
                PossibleValue::new("v2").help("SHA-256 and a tree of hashes for each file (BEP 52)"),
                PossibleValue::new("hybrid").help("Both in one"),
            ])
            .default_value("v1"),
        flag("private", "Let peers be found through the trackers only"),
        option("source", "TEXT", "A tag that makes the info-hash differ").long_help(
            "A tag, usually the name of a private tracker. It makes the info-hash differ from that of \
             the same files elsewhere.",
        ),
        option("comment", "TEXT", "A comment for whoever opens the torrent"),
        option("name", "NAME", "The name of the torrent [default: that of PATH]"),
        option("created-by", "TEXT", "The program that made it [default: this one]"),
        option("creation-date", "SECS|none", "When it was made, in seconds since 1970 [default: none]"),
    ]
    .map(|arg| arg.help_heading(TORRENT))
}

fn content() -> [Arg; 6] {
    [
        many("glob", "PATTERN", "Include only files that match, as in '*.flac'").long_help(
            "Include only files that match, as in '*.flac' or 'CD1/**'. The pattern is held against the \
             path below PATH. Can be given more than once; one match is enough.",
        ),
        many("exclude", "PATTERN", "Leave out files that match").long_help(
            "Leave out files that match, also those that --glob includes. Can be given more than once.",
        ),
        flag("follow-symlinks", "Include what symbolic links lead to"),
        flag("include-hidden", "Include files and folders whose names begin with a dot"),
        flag("include-junk", "Include files like Thumbs.db and desktop.ini"),
        many("sort-by", "KEY", "Order files by 'path' or 'size' [default: path]")
            .value_parser(ValueParser::new(parse_sort_key))
            .long_help(
                "Order the files by path or by size: 'path', 'size', 'path:descending' or \
                 'size:descending'. Can be given more than once: files that are alike by the first key \
                 are ordered by the next, and by path in the end. Only with --format v1.",
            ),
    ]
    .map(|arg| arg.help_heading(CONTENT))
}

fn output() -> [Arg; 8] {
    [
        option("output", "OUT", "Where to write it; - for stdout [default: NAME.torrent]")
            .short('o')
            .value_hint(ValueHint::FilePath),
        force(),
        flag("strict", "Treat warnings as errors"),
        flag("dry-run", "Hash and report, but write nothing"),
        flag("show", "Print what `info` prints of the new torrent"),
        flag("link", "Print the magnet link of the new torrent"),
        flag("json", "Print one JSON object about the new torrent"),
        threads(),
    ]
    .map(|arg| arg.help_heading(OUTPUT))
}
