//! Commands and flags, as `--help` shows them.

mod create;
mod pages;
mod replay;
mod session;
mod text;
mod transfer;
mod values;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use self::create::create;
pub use self::pages::{completions, man};
use self::replay::replay;
use self::session::session;
use self::text::{all_codes, explained};
use self::transfer::{download, info, seed};
use super::units::{parse_duration, parse_rate, parse_size};

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    // A number below zero is a wrong value, not another flag.
    Arg::new(name).long(name).value_name(value).help(help).allow_negative_numbers(true)
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

fn torrent_file() -> Arg {
    source("torrent", "A .torrent file; - for one on stdin").value_name("TORRENT")
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
    flag("force", "Overwrite output files that exist")
}

fn threads() -> Arg {
    option("threads", "N", "Hash on this many threads [default: one for each core]")
        .value_parser(value_parser!(u16).range(1..))
}

/// Flags that every command takes.
fn global_flags() -> [Arg; 4] {
    [
        flag("quiet", "Print only results, warnings and errors").short('q').long_help(
            "Print only results, warnings and errors: no progress, and no news of peers and trackers, also \
             with -v.",
        ),
        Arg::new("verbose")
            .short('v')
            .long("verbose")
            .action(ArgAction::Count)
            .help("Tell more: -v, -vv")
            .long_help(
                "Tell more. -v: peers that come and go, answers of trackers and of the DHT, a map of the \
                 pieces. -vv: addresses of trackers in full, with the passkeys in them.",
            ),
        option("color", "WHEN", "When to use colours")
            .value_parser(["auto", "always", "never"])
            .default_value("auto"),
        flag("no-config", "Ignore the configuration file"),
    ]
    .map(|arg| arg.global(true).help_heading("General"))
}

fn verify() -> Command {
    let command = Command::new("verify")
        .about("Check files against a torrent")
        .arg(torrent_file())
        .arg(folder("dir", "The folder that holds the files").short('d').required(true))
        .arg(folder("state-dir", "The folder of the download's resume data").long_help(
            "The folder of the download's resume data, if it is not the usual one. Parts of files \
                 that were not selected are found with it.",
        ))
        .arg(flag("json", "Print one JSON object"))
        .arg(threads());
    explained(
        command,
        "Every piece is hashed. It is said which pieces and files are good, bad, missing or too long. \
         Nothing is changed.",
        &[
            ("Check a download", "eddyline verify x.torrent -d Films"),
            ("For a script", "eddyline verify x.torrent -d Films --json"),
        ],
        &["1", "3", "25", "26", "32", "129", "130", "143"],
    )
}

fn magnet() -> Command {
    let command =
        Command::new("magnet").about("Print the magnet link of a torrent").arg(torrent_file());
    let example = [("Copy it", "eddyline magnet x.torrent")];
    explained(command, "Names, trackers and web seeds are in it.", &example, &["3", "25", "26"])
}

fn demo() -> Command {
    let command = Command::new("demo")
        .about("Run a whole swarm on this machine, to see how fast it is")
        .arg(
            option("size", "SIZE", "How much is shared")
                .default_value("64MiB")
                .value_parser(ValueParser::new(parse_size)),
        )
        .arg(record())
        .arg(force());
    let more = "A tracker, a seeder and a downloader, over real sockets and files in a temporary folder. \
                It prints the speed and the verified hash, and deletes the files.";
    explained(
        command,
        more,
        &[("Something larger", "eddyline demo --size 1GiB")],
        &["1", "6", "7", "9", "13", "32", "129", "130", "143"],
    )
}

fn completions_command() -> Command {
    let shell = Arg::new("shell")
        .value_name("SHELL")
        .required(true)
        .help("The shell that is to complete commands and flags")
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
            ("For zsh, in a folder of fpath", "eddyline completions zsh > _eddyline"),
        ],
        &[],
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
        &["9"],
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
        .subcommands([download(), seed(), session(), create()])
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
