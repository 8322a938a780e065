//! Commands and flags, as `--help` shows them.

mod pages;
mod replay;
mod transfer;
mod values;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

pub use self::pages::{completions, man};
use self::replay::replay;
use self::transfer::{download, seed, transfer_flags};
use self::values::parse_ratio;
use super::units::{or_none, parse_duration, parse_rate, parse_size};

const EXIT_CODES: &str = "\
Exit codes:
   0  done                               13  would overwrite something foreign
   1  unexpected failure                 17  disk I/O error
   2  usage                              25  not valid bencode
   3  a source was not found             26  bencode, but not a valid torrent
   6  network problem                    27  bad magnet URI or info-hash
   7  not finished                       32  verification found bad data
   9  no space left                      33  a replay left its record
 129  stopped by SIGHUP                130  stopped by SIGINT
 141  nobody reads the output any more 143  stopped by SIGTERM

Every long flag is also an environment variable EDDYLINE_<FLAG> and a key in
$XDG_CONFIG_HOME/eddyline/config.toml.";

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn many(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).action(ArgAction::Append)
}

fn folder(name: &'static str, help: &'static str) -> Arg {
    option(name, "DIR", help)
        .value_parser(value_parser!(std::path::PathBuf))
        .value_hint(ValueHint::DirPath)
}

fn rate(name: &'static str, help: &'static str) -> Arg {
    option(name, "RATE", help).value_parser(ValueParser::new(parse_rate))
}

fn duration(name: &'static str, help: &'static str) -> Arg {
    option(name, "TIME", help).value_parser(ValueParser::new(parse_duration))
}

fn source(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name("SOURCE").help(help).required(true).value_hint(ValueHint::AnyPath)
}

fn keep_executable() -> Arg {
    flag("keep-executable", "Make files executable where the torrent says so")
}

fn record() -> Arg {
    option("record", "TRACE", "Record the run into this file, for `replay`")
        .value_parser(value_parser!(std::path::PathBuf))
        .value_hint(ValueHint::FilePath)
}

fn force() -> Arg {
    flag("force", "Overwrite the output file if it exists")
}

fn session_torrents() -> Arg {
    Arg::new("torrent")
        .value_name("TORRENT")
        .num_args(1..)
        .required(true)
        .help("The beginning of a hash, as `session list` shows it, or a name")
}

fn session_json() -> Arg {
    flag("json", "Print how the torrents are then, as one JSON array")
}

fn session_set() -> Command {
    let limit = |name, value, help| option(name, value, help);
    Command::new("set")
        .about("Change the options of torrents, while the session does not run")
        .arg(session_torrents())
        .arg(many(
            "select",
            "LIST",
            "Download only these files: numbers as in `info`, a glob, or 'all'",
        ))
        .arg(
            option("sequential", "BOOL", "Download pieces in order, or not")
                .value_parser(clap::builder::BoolishValueParser::new())
                .num_args(0..=1)
                .default_missing_value("true"),
        )
        .arg(
            limit(
                "max-down",
                "RATE",
                "Limit the download speed of each in bytes per second; 'none' for no limit",
            )
            .value_parser(ValueParser::new(or_none(parse_rate))),
        )
        .arg(
            limit(
                "max-up",
                "RATE",
                "Limit the upload speed of each in bytes per second; 'none' for no limit",
            )
            .value_parser(ValueParser::new(or_none(parse_rate))),
        )
        .arg(
            limit(
                "seed-ratio",
                "R",
                "Seed until R times the size is uploaded; 'none' for no such goal",
            )
            .value_parser(ValueParser::new(or_none(parse_ratio))),
        )
        .arg(
            limit(
                "seed-time",
                "TIME",
                "Seed for this long after completion; 'none' for no such goal",
            )
            .value_parser(ValueParser::new(or_none(parse_duration))),
        )
        .arg(session_json())
        .arg(session_state())
}

fn session_state() -> Arg {
    folder("state-dir", "The session is kept here, with resume data")
}

fn session_move() -> Command {
    Command::new("move")
        .about("Move the data of torrents to another folder, while the session does not run")
        .arg(session_torrents())
        .arg(folder("to", "Their files will be here").required(true))
        .arg(session_json())
        .arg(session_state())
}

fn session_rename() -> Command {
    Command::new("rename")
        .about("Give a torrent's folder, or one of its files, another name on the disk")
        .arg(session_torrents().num_args(1))
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .required(true)
                .help("The new name; of a file, its path inside the torrent's folder"),
        )
        .arg(
            option("file", "N", "This file, as numbered by `info`")
                .value_parser(value_parser!(u32).range(1..)),
        )
        .arg(session_json())
        .arg(session_state())
}

fn session() -> Command {
    let (torrents, state) = (session_torrents, session_state);
    Command::new("session")
        .about("A set of torrents that is kept from run to run")
        .subcommand_required(true)
        .subcommand(
            Command::new("add")
                .about("Add torrents")
                .arg(
                    source("source", "A .torrent file, a magnet URI, an info-hash, or an address")
                        .num_args(1..),
                )
                .arg(folder("dir", "Their files are here, or will be").default_value("."))
                .arg(many("select", "LIST", "Only these files: numbers as in `info` or a glob"))
                .arg(flag("sequential", "Fetch pieces in order"))
                .arg(option(
                    "bind",
                    "ADDR|IFACE",
                    "Fetch only from this address or network interface",
                ))
                .arg(flag("paused", "Add them paused"))
                .arg(rate("max-down", "Download each of them at most so fast"))
                .arg(rate("max-up", "Upload each of them at most so fast"))
                .arg(
                    option("seed-ratio", "R", "Seed each until R times its size is uploaded")
                        .value_parser(ValueParser::new(parse_ratio)),
                )
                .arg(duration("seed-time", "Seed each for this long after completion"))
                .arg(session_json())
                .arg(state()),
        )
        .subcommand(
            Command::new("list")
                .about("Show all torrents, and how much of each is here")
                .arg(
                    option("sort", "KEY", "Order of the list")
                        .value_parser(["name", "added", "size", "progress", "state"])
                        .default_value("name"),
                )
                .arg(flag("json", "Print one JSON array"))
                .arg(state()),
        )
        .subcommand(
            Command::new("remove")
                .about("Take torrents out of the session")
                .arg(torrents())
                .arg(flag("with-data", "Remove their files too"))
                .arg(session_json())
                .arg(state()),
        )
        .subcommand(session_set())
        .subcommand(
            Command::new("verify")
                .about("Hash the data of torrents again, while the session does not run")
                .arg(torrents())
                .arg(session_json())
                .arg(state()),
        )
        .subcommand(session_move())
        .subcommand(session_rename())
        .subcommand(
            Command::new("pause")
                .about("Pause torrents")
                .arg(torrents())
                .arg(session_json())
                .arg(state()),
        )
        .subcommand(
            Command::new("resume")
                .about("Resume torrents")
                .arg(torrents())
                .arg(session_json())
                .arg(state()),
        )
        .subcommand(
            transfer_flags(Command::new("run"))
                .about("Download and seed them all until stopped")
                .arg(keep_executable()),
        )
}

fn create() -> Command {
    Command::new("create")
        .about("Make a .torrent")
        .arg(
            Arg::new("path")
                .value_name("PATH")
                .required(true)
                .value_hint(ValueHint::AnyPath)
                .help("The file or folder to share")
                .value_parser(value_parser!(std::path::PathBuf)),
        )
        .arg(
            option("output", "OUT", "Where to write it; - for stdout [default: NAME.torrent]")
                .short('o')
                .value_hint(ValueHint::FilePath),
        )
        .arg(many("tracker", "URL", "A tracker; a comma joins several into one tier"))
        .arg(many("web-seed", "URL", "A web seed"))
        .arg(
            option("piece-length", "SIZE", "Bytes per piece [default: by size]")
                .value_parser(ValueParser::new(parse_size)),
        )
        .arg(
            option("format", "KIND", "Kind of torrent")
                .value_parser(["v1", "v2", "hybrid"])
                .default_value("v1"),
        )
        .arg(flag("private", "Peers only from trackers"))
        .arg(option("source", "S", "The source key"))
        .arg(option("comment", "S", "A comment"))
        .arg(option("name", "S", "The name [default: that of PATH]"))
        .arg(option("created-by", "S", "The program [default: this one]"))
        .arg(option("creation-date", "SECS|none", "Seconds since 1970 [default: none]"))
        .arg(
            option("threads", "N", "Hash on so many threads")
                .value_parser(value_parser!(u16).range(1..)),
        )
        .arg(many("glob", "PATTERN", "Only files that match"))
        .arg(many("exclude", "PATTERN", "No files that match"))
        .arg(flag("follow-symlinks", "Include what symbolic links lead to"))
        .arg(flag("include-hidden", "Include files whose name begins with a dot"))
        .arg(flag("include-junk", "Include files like Thumbs.db and desktop.ini"))
        .arg(force())
        .arg(flag("strict", "Treat warnings as errors"))
        .arg(flag("dry-run", "Hash and report, but write nothing"))
        .arg(flag("show", "Print what `info` prints of the new torrent"))
        .arg(flag("link", "Print the magnet URI of the new torrent"))
        .arg(flag("json", "Print one JSON object about the new torrent"))
}

/// Flags that every command takes.
fn global_flags() -> [Arg; 4] {
    [
        Arg::new("quiet")
            .short('q')
            .long("quiet")
            .global(true)
            .action(ArgAction::SetTrue)
            .help("Print nothing but results and errors"),
        Arg::new("verbose")
            .short('v')
            .long("verbose")
            .global(true)
            .action(ArgAction::Count)
            .help("Tell more; repeatable"),
        Arg::new("color")
            .long("color")
            .global(true)
            .value_name("WHEN")
            .value_parser(["auto", "always", "never"])
            .default_value("auto")
            .help("Use colours"),
        Arg::new("no-config")
            .long("no-config")
            .global(true)
            .action(ArgAction::SetTrue)
            .help("Ignore the configuration file"),
    ]
}

/// The whole command line.
pub fn command() -> Command {
    Command::new("eddyline")
        .version(clap::crate_version!())
        .about("A BitTorrent client")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(global_flags())
        .subcommand(download())
        .subcommand(seed())
        .subcommand(session())
        .subcommand(create())
        .subcommand(
            Command::new("info")
                .about("Print what a .torrent or a magnet says")
                .arg(source(
                    "source",
                    "A .torrent file, - for stdin, a magnet URI, or an http(s) address",
                ))
                .arg(flag("json", "Print one JSON object")),
        )
        .subcommand(
            Command::new("verify")
                .about("Hash what is on disk and say what is good")
                .arg(source("torrent", "A .torrent file"))
                .arg(folder("dir", "Where the data is").required(true))
                .arg(folder("state-dir", "Look here for what is known of parts of skipped files"))
                .arg(flag("json", "Print one JSON object"))
                .arg(
                    option("threads", "N", "Hash on so many threads")
                        .value_parser(value_parser!(u16).range(1..)),
                ),
        )
        .subcommand(
            Command::new("magnet")
                .about("Print the magnet URI of a .torrent")
                .arg(source("torrent", "A .torrent file")),
        )
        .subcommand(
            Command::new("demo")
                .about("A whole swarm on this machine: tracker, seeder, downloader")
                .arg(
                    option("size", "SIZE", "Size of the payload")
                        .default_value("64MiB")
                        .value_parser(ValueParser::new(parse_size)),
                )
                .arg(record())
                .arg(force()),
        )
        .subcommand(replay())
        .subcommand(
            Command::new("completions").about("Print shell completions").arg(
                Arg::new("shell")
                    .value_name("SHELL")
                    .required(true)
                    .value_parser(value_parser!(clap_complete::Shell)),
            ),
        )
        .subcommand(Command::new("man").about("Print the man page"))
}
