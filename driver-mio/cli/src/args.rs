//! Commands and flags, as `--help` shows them, and as types: what each command is given. Outside of this module and
//! of `config_file.rs` nothing knows how a command line is taken apart.

mod create;
mod doctor;
mod pages;
mod replay;
mod session;
mod single;
mod text;
mod transfer;
mod values;
mod way;

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};

pub use self::create::{ContentFlags, CreateArgs};
pub use self::doctor::DoctorArgs;
pub use self::pages::{completions, man};
pub use self::replay::{LookFlags, ReplayArgs};
pub use self::session::{
    AddArgs, ChangeArgs, ListArgs, MoveArgs, RemoveArgs, RenameArgs, Said, SessionArgs,
    SessionCommand, SessionRunArgs, SetArgs, SortBy,
};
pub use self::single::{CompletionsArgs, DemoArgs, MagnetArgs, ManArgs, VerifyArgs};
use self::text::{all_codes, below};
pub use self::transfer::{DownloadArgs, GoalFlags, InfoArgs, SeedArgs, TransferFlags};
pub use self::way::{Served, WayFlags};

/// A BitTorrent client.
///
/// `eddyline COMMAND --help` explains a command; `eddyline man` is the manual.
#[derive(Parser, Debug)]
#[command(
    name = "eddyline",
    version,
    max_term_width = 100,
    after_long_help = below(
        &[
            ("Download", "eddyline download x.torrent -d Films"),
            ("From a magnet link", "eddyline download MAGNET"),
            ("Seed", "eddyline seed x.torrent -d Films"),
            ("Keep torrents from run to run", "eddyline session add x.torrent MAGNET"),
            ("Make a torrent", "eddyline create Folder -t http://t.example/announce"),
        ],
        &all_codes(),
    ),
)]
pub struct CommandLine {
    #[command(flatten)]
    pub general: General,
    #[command(subcommand)]
    pub command: Command,
}

/// What the program is to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    Download(DownloadArgs),
    Seed(SeedArgs),
    Session(SessionArgs),
    Create(CreateArgs),
    Info(InfoArgs),
    Verify(VerifyArgs),
    Magnet(MagnetArgs),
    Doctor(DoctorArgs),
    Demo(DemoArgs),
    Replay(ReplayArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Flags that every command takes.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "General")]
pub struct General {
    /// Print only results, warnings and errors.
    #[arg(
        long,
        short,
        global = true,
        long_help = "Print only results, warnings and errors: no progress, and no messages about peers and \
                     trackers, also with -v."
    )]
    pub quiet: bool,
    /// Tell more: -v, -vv.
    #[arg(
        long,
        short,
        global = true,
        action = ArgAction::Count,
        long_help = "Tell more. -v: peers that come and go, answers of trackers and of the DHT, a map of the \
                     pieces. -vv: addresses of trackers in full, with the passkeys in them."
    )]
    pub verbose: u8,
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value = "auto")]
    pub color: Color,
    /// Ignore the configuration file.
    #[arg(long, global = true)]
    pub no_config: bool,
}

/// When colours are used.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Color {
    // Help tells the names alone.
    Auto,
    Always,
    Never,
}

/// Where to record the run.
#[derive(Args, Clone, Debug)]
pub struct RecordFlags {
    /// Record the run in this file, for `replay`.
    #[arg(long, value_name = "TRACE", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,
    #[command(flatten)]
    pub force: Force,
}

/// Whether output files are written over.
#[derive(Args, Clone, Copy, Debug)]
pub struct Force {
    /// Overwrite output files that exist.
    #[arg(long)]
    pub force: bool,
}

/// On how many threads to hash.
#[derive(Args, Clone, Copy, Debug)]
pub struct Threads {
    /// Hash on this many threads [default: one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
}

/// The whole command line, as `clap` has it.
pub fn command() -> clap::Command {
    quiet_environment(CommandLine::command())
}

/// What is the same at every command. That every flag has a variable is said once, and not at every flag.
fn quiet_environment(command: clap::Command) -> clap::Command {
    command
        .after_help("See --help for more, with examples.")
        .mut_args(|arg| {
            // A number below zero is a wrong value, not another flag.
            let takes_value = arg.get_action().takes_values() && !arg.is_positional();
            arg.hide_env(true).allow_negative_numbers(takes_value)
        })
        .mut_subcommands(quiet_environment)
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is made of a command line.

    use eddyline::{Allocation, EncryptionLevel, EncryptionPolicy, Transports};

    use super::*;

    fn parsed(arguments: &str) -> Command {
        let arguments = arguments.split_whitespace();
        CommandLine::try_parse_from(["eddyline"].into_iter().chain(arguments)).unwrap().command
    }

    #[test]
    fn every_command_is_well_defined() {
        command().debug_assert();
    }

    #[test]
    fn words_are_values_of_the_engine() {
        let Command::Download(usual) = parsed("download x") else { panic!("a download") };
        let network = &usual.transfer.network;
        assert_eq!(network.transport, Transports::Both);
        assert_eq!(network.encryption, EncryptionPolicy::Prefer);
        assert_eq!(network.encryption_level, EncryptionLevel::Either);
        assert_eq!(usual.files.allocation, Allocation::None);
        let said = "--transport utp --encryption require --encryption-level rc4 --allocation full";
        let said = parsed(&format!("download x {said}"));
        let Command::Download(said) = said else { panic!("a download") };
        let network = &said.transfer.network;
        assert_eq!(network.transport, Transports::Utp);
        assert_eq!(network.encryption, EncryptionPolicy::Require);
        assert_eq!(network.encryption_level, EncryptionLevel::Rc4);
        assert_eq!(said.files.allocation, Allocation::Full);
    }

    #[test]
    fn what_is_usual_was_not_said_by_the_user() {
        let add = |flags: &str| {
            let Command::Session(args) = parsed(&format!("session add x {flags}")) else {
                panic!("a session")
            };
            let SessionCommand::Add(add) = args.command else { panic!("an addition") };
            add
        };
        let usual = add("");
        assert!(usual.dir.as_os_str() == "." && !usual.said.dir && !usual.said.paused);
        let said = add("-d . --paused --seed-time 2h");
        assert!(said.dir == usual.dir && said.said.dir && said.said.paused && said.said.seed_time);
        assert!(!said.said.select && !said.said.max_up && !said.said.seed_ratio);
    }
}
