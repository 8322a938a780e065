//! Commands and flags, as `--help` shows them.

mod pages;
mod replay;
mod text;
mod transfer;
mod values;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

pub use self::pages::{completions, man};
use self::replay::replay;
use self::text::{all_codes, explained};
use self::transfer::{download, info, seed, transfer_flags};
use self::values::parse_ratio;
use super::create::parse_sort_key;
use super::units::{or_none, parse_duration, parse_rate, parse_size};

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
    option("record", "TRACE", "Record the run in this file, for `replay`")
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
    folder("state-dir", "Keep the session and resume data in this folder")
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

fn session_add() -> Command {
    Command::new("add")
        .about("Add torrents")
        .arg(source("source", "A .torrent file, magnet link, info-hash or address").num_args(1..))
        .arg(folder("dir", "The folder of their files").short('d').default_value("."))
        .arg(many("select", "LIST", "Download only these files: 1-3,7 or a glob").short('s'))
        .arg(flag("sequential", "Download pieces in order"))
        .arg(option("bind", "ADDR|IFACE", "Fetch only from this address or network interface"))
        .arg(flag("paused", "Add them paused"))
        .arg(rate("max-down", "Limit the download speed of each in bytes per second"))
        .arg(rate("max-up", "Limit the upload speed of each in bytes per second"))
        .arg(
            option("seed-ratio", "R", "Seed each until R times its size is uploaded")
                .value_parser(ValueParser::new(parse_ratio)),
        )
        .arg(duration("seed-time", "Seed each for this long after completion"))
        .arg(session_json())
        .arg(session_state())
}

fn session() -> Command {
    let (torrents, state) = (session_torrents, session_state);
    Command::new("session")
        .about("Keep a set of torrents from run to run")
        .subcommand_required(true)
        .subcommand(session_add())
        .subcommand(
            Command::new("list")
                .about("Show all torrents")
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
                .about("Remove torrents from the session")
                .arg(torrents())
                .arg(flag("with-data", "Delete their files too"))
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
                .about("Download and seed all torrents until stopped")
                .arg(keep_executable()),
        )
}

fn create() -> Command {
    Command::new("create")
        .about("Make a torrent")
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
        .arg(many("tracker", "URL", "A tracker; commas join several into one tier").short('t'))
        .arg(many("web-seed", "URL", "A web server that has the files"))
        .arg(
            option("piece-length", "SIZE", "Bytes per piece [default: by size]")
                .value_parser(ValueParser::new(parse_size)),
        )
        .arg(
            option("format", "KIND", "Kind of torrent")
                .value_parser(["v1", "v2", "hybrid"])
                .default_value("v1"),
        )
        .arg(flag("private", "Find peers through the trackers only"))
        .arg(option("source", "S", "A word that makes the hash differ"))
        .arg(option("comment", "S", "A comment"))
        .arg(option("name", "S", "The name of the torrent [default: that of PATH]"))
        .arg(option("created-by", "S", "Who made it [default: this program]"))
        .arg(option("creation-date", "SECS|none", "Seconds since 1970 [default: none]"))
        .arg(
            option("threads", "N", "Hash on N threads [default: one for each core]")
                .value_parser(value_parser!(u16).range(1..)),
        )
        .arg(
            many("sort-by", "KEY", "Order the files by path or by size [default: path]")
                .value_parser(ValueParser::new(parse_sort_key))
                .long_help(
                    "Order the files by path or by size: 'path', 'size', 'path:descending' or \
                     'size:descending'. Can be given more than once: files that are alike by the first \
                     are ordered by the next, and by path in the end. Only for --format v1.",
                ),
        )
        .arg(many("glob", "PATTERN", "Take only files that match"))
        .arg(many("exclude", "PATTERN", "Leave out files that match"))
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
        flag("quiet", "Print only results and errors").short('q'),
        Arg::new("verbose")
            .short('v')
            .long("verbose")
            .action(ArgAction::Count)
            .help("Tell more: -v, -vv")
            .long_help(
                "Tell more: -v of peers and pieces, -vv also whole addresses of trackers, with the \
                 passkeys in them.",
            ),
        option("color", "WHEN", "Use colours")
            .value_parser(["auto", "always", "never"])
            .default_value("auto"),
        flag("no-config", "Ignore the configuration file"),
    ]
    .map(|arg| arg.global(true).help_heading("General"))
}

/// `create`, with examples.
fn explained_create() -> Command {
    explained(
        create(),
        "The same files and flags make the same torrent, to the byte.",
        &[
            ("A folder", "eddyline create Folder -t http://t.example/announce"),
            ("With web seeds", "eddyline create x.iso --web-seed http://m.example/x.iso"),
            ("Private", "eddyline create Folder --private -t URL --source S"),
        ],
        &["0", "2", "3", "9", "13", "17", "26", "130"],
    )
}

/// `session`, with examples, and the same for each of its commands.
fn explained_session() -> Command {
    let codes = ["0", "1", "2", "3", "6", "7", "9", "13", "17", "25", "26", "27", "130", "143"];
    let each = |command| explained(command, "", &[], &codes);
    explained(
        session().mut_subcommands(each),
        "The set is kept in the state folder. Torrents are added and changed by these commands, and \
         downloaded and seeded by `session run`. A torrent is named by the beginning of its hash or by \
         its name.",
        &[
            ("Add two torrents", "eddyline session add x.torrent MAGNET -d Films"),
            ("Run them", "eddyline session run"),
            ("What is there", "eddyline session list"),
            ("Pause one", "eddyline session pause NAME"),
        ],
        &codes,
    )
}

fn threads() -> Arg {
    option("threads", "N", "Hash on N threads [default: one for each core]")
        .value_parser(value_parser!(u16).range(1..))
}

fn verify() -> Command {
    let command = Command::new("verify")
        .about("Check files against a torrent")
        .arg(source("torrent", "A .torrent file"))
        .arg(folder("dir", "The folder that holds the files").short('d').required(true))
        .arg(folder("state-dir", "Look for parts of skipped files in this folder"))
        .arg(flag("json", "Print one JSON object"))
        .arg(threads());
    explained(
        command,
        "Every piece is hashed, and it is said which pieces and files are good. Nothing is changed.",
        &[("Check a download", "eddyline verify x.torrent -d Films")],
        &["0", "2", "3", "17", "25", "26", "32"],
    )
}

fn magnet() -> Command {
    let command = Command::new("magnet")
        .about("Print the magnet link of a torrent")
        .arg(source("torrent", "A .torrent file"));
    explained(command, "", &[], &["0", "2", "3", "25", "26"])
}

fn demo() -> Command {
    let command = Command::new("demo")
        .about("Run a whole swarm on this machine")
        .arg(
            option("size", "SIZE", "Size of what is shared")
                .default_value("64MiB")
                .value_parser(ValueParser::new(parse_size)),
        )
        .arg(record())
        .arg(force());
    let more = "A tracker, a seeder and a downloader, over real sockets and files. It shows how fast this \
                machine is, and cleans up.";
    explained(
        command,
        more,
        &[("Something larger", "eddyline demo --size 1GiB")],
        &["0", "1", "2", "6", "9", "13", "17"],
    )
}

fn completions_command() -> Command {
    let shell = Arg::new("shell")
        .value_name("SHELL")
        .required(true)
        .help("The shell")
        .value_parser(value_parser!(clap_complete::Shell));
    let command = Command::new("completions").about("Print shell completions").arg(shell);
    explained(
        command,
        "",
        &[
            (
                "For bash",
                "eddyline completions bash > ~/.local/share/bash-completion/completions/eddyline",
            ),
            ("For fish", "eddyline completions fish > ~/.config/fish/completions/eddyline.fish"),
        ],
        &["0", "2"],
    )
}

fn man_command() -> Command {
    let folder = Arg::new("folder")
        .value_name("DIR")
        .value_hint(ValueHint::DirPath)
        .value_parser(value_parser!(std::path::PathBuf))
        .help("Write the pages of all commands into this folder");
    let command = Command::new("man").about("Print the manual, or write all its pages").arg(folder);
    explained(
        command,
        "Without a folder, the page of the program itself is printed.",
        &[
            ("Read it", "eddyline man | man -l -"),
            ("Install all pages", "eddyline man ~/.local/share/man/man1"),
        ],
        &["0", "2", "17"],
    )
}

/// The whole command line.
pub fn command() -> Command {
    let command = Command::new("eddyline")
        .version(clap::crate_version!())
        .about("A BitTorrent client")
        .max_term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(global_flags())
        .subcommands([download(), seed(), explained_session(), explained_create()])
        .subcommands([info(), verify(), magnet()])
        .subcommands([demo(), replay(), completions_command(), man_command()]);
    let command = explained(
        command,
        "`eddyline COMMAND --help` explains a command; `eddyline man` is the manual.",
        &[
            ("Download", "eddyline download x.torrent -d Films"),
            ("From a magnet link", "eddyline download MAGNET"),
            ("Seed", "eddyline seed x.torrent -d Films"),
            ("Keep torrents from run to run", "eddyline session add x.torrent MAGNET"),
            ("Make a torrent", "eddyline create Folder -t http://t.example/announce"),
        ],
        &all_codes(),
    );
    quiet_environment(command)
}

/// That every flag has a variable is said once, and not at every flag.
fn quiet_environment(command: Command) -> Command {
    command.mut_args(|arg| arg.hide_env(true)).mut_subcommands(quiet_environment)
}
