//! The command lines of `session`.

use clap::builder::{BoolishValueParser, ValueParser};
use clap::{Arg, Command, value_parser};

use super::super::units::{or_none, parse_duration, parse_rate};
use super::text::explained;
use super::transfer::{END, FILES, LIMITS, NETWORK, OUTPUT, STATE, transfer_flags};
use super::values::parse_ratio;
use super::{duration, flag, folder, keep_executable, many, option, rate, source};

/// What any change of the set may end with.
const CHANGE: &[&str] = &["1", "3"];

/// `session`.
pub(super) fn session() -> Command {
    let command = Command::new("session")
        .about("Keep a set of torrents from run to run")
        .subcommand_required(true)
        .subcommands([add(), list(), run(), pause(), resume(), set()])
        .subcommands([verify(), move_data(), rename(), remove()]);
    explained(
        command,
        "The set is kept in the state folder. Torrents are added and changed by these commands, and \
         downloaded and seeded by `session run`; while it runs, only `session list` can be used. A torrent \
         is named by the beginning of its hash or by its name.",
        &[
            ("Add two torrents", "eddyline session add x.torrent MAGNET -d Films"),
            ("Download and seed them", "eddyline session run"),
            ("What is there", "eddyline session list"),
            ("Pause one", "eddyline session pause NAME"),
        ],
        &["1", "3", "6", "7", "9", "13", "25", "26", "27", "32", "129", "130", "143"],
    )
}

fn torrents() -> Arg {
    Arg::new("torrent")
        .value_name("TORRENT")
        .num_args(1..)
        .required(true)
        .help("The beginning of a hash, as `session list` shows it, or a name")
}

fn json() -> Arg {
    flag("json", "Print the state of the torrents afterwards, as a JSON array").help_heading(OUTPUT)
}

fn state() -> Arg {
    folder("state-dir", "The folder of the session and its resume data")
        .help_heading(STATE)
        .long_help(
            "The folder of the session and its resume data, instead of $XDG_STATE_HOME/eddyline.",
        )
}

/// A command that changes torrents which the user names.
fn change(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).arg(torrents()).arg(json()).arg(state())
}

fn add() -> Command {
    let files = [
        folder("dir", "Save their files in this folder").short('d').default_value("."),
        many("select", "LIST", "Download only these files: 1-3,7 or a glob").short('s').long_help(
            "Download only these files: numbers as `info` shows them (1-3,7), or a glob ('*.mkv'). Can be \
             given more than once; whatever one of them matches is downloaded, and each has to match \
             something.",
        ),
        flag("sequential", "Download pieces in order"),
        flag("paused", "Add them paused; `session resume` starts them"),
    ];
    let limits = [
        rate("max-down", "Limit the download speed of each in bytes per second"),
        rate("max-up", "Limit the upload speed of each in bytes per second"),
    ];
    let end = [
        option("seed-ratio", "R", "Seed each until R times its size is uploaded")
            .value_parser(ValueParser::new(parse_ratio)),
        duration("seed-time", "Seed each for this long after completion, as in 2h"),
    ];
    let bind =
        option("bind", "ADDR|IFACE", "Fetch .torrent files from this address or interface only");
    let command = Command::new("add")
        .about("Add torrents")
        .arg(source("source", "A .torrent file, magnet link, info-hash or address").num_args(1..))
        .args(files.map(|arg| arg.help_heading(FILES)))
        .args(limits.map(|arg| arg.help_heading(LIMITS)))
        .args(end.map(|arg| arg.help_heading(END)))
        .arg(bind.help_heading(NETWORK))
        .arg(json())
        .arg(state());
    explained(
        command,
        "What is there already stays as it is. Where both goals are given, whichever is reached first \
         ends the seeding of a torrent.",
        &[
            ("Two torrents into a folder", "eddyline session add x.torrent MAGNET -d Films"),
            ("Some of the files", "eddyline session add x.torrent -s 1-3,7"),
            ("Seed to a ratio of 2", "eddyline session add x.torrent --seed-ratio 2"),
        ],
        &["1", "3", "6", "7", "13", "25", "26", "27"],
    )
}

fn list() -> Command {
    let sort = option("sort", "KEY", "Sort by this")
        .value_parser(["name", "added", "size", "progress", "state"])
        .default_value("name");
    let command = Command::new("list")
        .about("Show all torrents")
        .arg(sort.help_heading(OUTPUT))
        .arg(flag("json", "Print one JSON array").help_heading(OUTPUT))
        .arg(state());
    explained(
        command,
        "State, progress of what is selected, rates, name and folder, also while the session runs; of a \
         torrent that is moved, how far that is.",
        &[
            ("What is not finished comes first", "eddyline session list --sort progress"),
            ("For a script", "eddyline session list --json"),
        ],
        &[],
    )
}

fn run() -> Command {
    let command =
        transfer_flags(Command::new("run").about("Download and seed all torrents until stopped"))
            .arg(keep_executable().help_heading(FILES))
            .mut_arg("seed-ratio", |arg| {
                arg.long_help(
            "Seed each torrent until R times its size is uploaded. Goals of a torrent itself come \
                 first. When all torrents have reached their goals, the run ends.",
        )
            })
            .mut_arg("seed-time", |arg| {
                arg.long_help(
                    "Seed each torrent for this long after it is complete: 90s, 5m, 2h or 1d.",
                )
            })
            .mut_arg("peer", |arg| arg.long_help("Connect all torrents to this peer at once."));
    explained(
        command,
        "Ctrl-C stops it tidily; the next run goes on where it stopped. The exit code is 0 when nothing \
         was left to download.",
        &[
            ("All of them", "eddyline session run"),
            ("Until each was uploaded twice", "eddyline session run --seed-ratio 2"),
        ],
        &["1", "6", "7", "9", "13", "129", "130", "143"],
    )
}

fn pause() -> Command {
    let example = [("One of them", "eddyline session pause NAME")];
    explained(change("pause", "Pause torrents"), "", &example, CHANGE)
}

fn resume() -> Command {
    let example = [("One of them", "eddyline session resume NAME")];
    explained(change("resume", "Resume torrents that are paused"), "", &example, CHANGE)
}

fn set() -> Command {
    let files = [
        many("select", "LIST", "Download only these files: 1-3,7, a glob or 'all'").short('s'),
        option("sequential", "BOOL", "Download pieces in order, or not")
            .value_parser(BoolishValueParser::new())
            .num_args(0..=1)
            .default_missing_value("true"),
    ];
    let rate_or_none =
        |name, help| option(name, "RATE", help).value_parser(ValueParser::new(or_none(parse_rate)));
    let limits = [
        rate_or_none("max-down", "Limit the download speed of each; 'none' for no limit"),
        rate_or_none("max-up", "Limit the upload speed of each; 'none' for no limit"),
    ];
    let end = [
        option("seed-ratio", "R", "Seed until R times the size is uploaded; 'none' for no goal")
            .value_parser(ValueParser::new(or_none(parse_ratio))),
        option("seed-time", "TIME", "Seed for this long after completion; 'none' for no goal")
            .value_parser(ValueParser::new(or_none(parse_duration))),
    ];
    let command = change("set", "Change the options of torrents")
        .args(files.map(|arg| arg.help_heading(FILES)))
        .args(limits.map(|arg| arg.help_heading(LIMITS)))
        .args(end.map(|arg| arg.help_heading(END)));
    explained(
        command,
        "What is not named stays as it is.",
        &[
            ("Upload more slowly", "eddyline session set NAME --max-up 100K"),
            ("Download all files after all", "eddyline session set NAME -s all"),
        ],
        CHANGE,
    )
}

fn verify() -> Command {
    let about = "Hash the data of torrents again";
    let more = "Nothing is changed: the next `session run` downloads what is bad or missing, and cuts files that are \
                too long.";
    let example = [("One of them", "eddyline session verify NAME")];
    explained(change("verify", about), more, &example, &["1", "3", "32", "129", "130", "143"])
}

fn move_data() -> Command {
    let about = "Move the data of torrents to another folder";
    let to = folder("to", "The new folder of their files").required(true).help_heading(FILES);
    explained(
        change("move", about).arg(to),
        "A move that is interrupted is finished by the next run.",
        &[("To another disk", "eddyline session move NAME --to /media/disk")],
        &["1", "3", "9", "13", "129", "130", "143"],
    )
}

fn rename() -> Command {
    let name = Arg::new("name")
        .value_name("NAME")
        .required(true)
        .help("The new name; of a file, its path inside the torrent's folder");
    let file =
        option("file", "N", "Rename this file, as numbered by `info`, and not the whole torrent")
            .value_parser(value_parser!(u32).range(1..))
            .help_heading(FILES);
    let about = "Rename a torrent's folder, or one of its files, on the disk";
    explained(
        change("rename", about).mut_arg("torrent", |arg| arg.num_args(1)).arg(name).arg(file),
        "The torrent stays what it is to its peers.",
        &[
            ("The folder", "eddyline session rename NAME 'My Films'"),
            ("A file", "eddyline session rename NAME intro.mkv --file 2"),
        ],
        &["1", "3", "13", "129", "130", "143"],
    )
}

fn remove() -> Command {
    let data = flag("with-data", "Delete their files too").help_heading(FILES);
    explained(
        change("remove", "Remove torrents from the session").arg(data),
        "The files stay, unless --with-data is given. Files that are not the torrent's always stay.",
        &[("With its files", "eddyline session remove NAME --with-data")],
        &["1", "3", "129", "130", "143"],
    )
}
