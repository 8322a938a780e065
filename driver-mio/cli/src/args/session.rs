//! The command lines of `session`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::error::Error;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand, ValueEnum, ValueHint};

use super::super::units::{Limit, or_none, parse_duration, parse_rate};
use super::text::below;
use super::transfer::{END, FILES, KeepExecutable, LIMITS, OUTPUT, STATE, TransferFlags};
use super::values::parse_ratio;
use super::way::WayFlags;

/// What any change of the set may end with.
const CHANGE: &[&str] = &["1", "3"];

/// Keep a set of torrents from run to run.
///
/// The set is kept in the state folder. Torrents are added and changed by these commands, and downloaded and seeded
/// by `session run`; while it runs, only `session list` can be used. A torrent is named by the beginning of its hash
/// or by its name.
#[derive(Args, Debug)]
#[command(
    arg_required_else_help = false,
    after_long_help = below(
        &[
            ("Add two torrents", "eddyline session add x.torrent MAGNET -d Films"),
            ("Download and seed them", "eddyline session run"),
            ("What is there", "eddyline session list"),
            ("Pause one", "eddyline session pause NAME"),
        ],
        &["1", "3", "6", "7", "9", "13", "25", "26", "27", "32", "129", "130", "143"],
    )
)]
pub struct SessionArgs {
    #[command(subcommand)]
    pub command: SessionCommand,
}

/// What is to be done with the set.
#[derive(Subcommand, Debug)]
pub enum SessionCommand {
    Add(AddArgs),
    List(ListArgs),
    Run(SessionRunArgs),
    /// Pause torrents.
    #[command(after_long_help = below(&[("One of them", "eddyline session pause NAME")], CHANGE))]
    Pause(ChangeArgs),
    /// Resume torrents that are paused.
    #[command(after_long_help = below(&[("One of them", "eddyline session resume NAME")], CHANGE))]
    Resume(ChangeArgs),
    Set(SetArgs),
    /// Hash the data of torrents again.
    ///
    /// Nothing is changed: the next `session run` downloads what is bad or missing, and cuts files that are too long.
    #[command(
        after_long_help = below(
            &[("One of them", "eddyline session verify NAME")],
            &["1", "3", "32", "129", "130", "143"],
        ),
        mut_arg("json", |json| json.help("Print what was found, as a JSON array")),
    )]
    Verify(ChangeArgs),
    Move(MoveArgs),
    Rename(RenameArgs),
    Remove(RemoveArgs),
}

/// What commands that change the set have in common.
#[derive(Args, Clone, Debug)]
pub struct StateFlags {
    /// Print the state of the torrents afterwards, as a JSON array.
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,
    #[command(flatten)]
    pub place: StateDir,
}

/// Where the set is.
#[derive(Args, Clone, Debug)]
pub struct StateDir {
    /// The folder of the session and its resume data.
    #[arg(
        long,
        value_name = "DIR",
        value_hint = ValueHint::DirPath,
        help_heading = STATE,
        long_help = "The folder of the session and its resume data, instead of $XDG_STATE_HOME/eddyline."
    )]
    pub state_dir: Option<PathBuf>,
}

/// A command that changes torrents which the user names.
#[derive(Args, Clone, Debug)]
pub struct ChangeArgs {
    /// The beginning of a hash, as `session list` shows it, or a name.
    #[arg(value_name = "TORRENT", required = true)]
    pub torrent: Vec<String>,
    #[command(flatten)]
    pub state: StateFlags,
}

/// Add torrents.
///
/// Torrents that are in the session already stay unchanged. Where both goals are given, whichever is reached first
/// ends the seeding of a torrent.
#[derive(Args, Debug)]
#[command(
    mut_arg("bind", |arg| arg.help("Fetch .torrent files from this address or interface only")),
    mut_arg("anonymous", |arg| arg.help("Fetch .torrent files without a User-Agent")),
    mut_arg("ip_filter", |arg| arg.hide(true)),
    mut_arg("proxy", |arg| arg.help("Fetch .torrent files through this proxy: socks5:// or http://")),
    after_long_help = below(
        &[
            ("Two torrents into a folder", "eddyline session add x.torrent MAGNET -d Films"),
            ("Some of the files", "eddyline session add x.torrent -s 1-3,7"),
            ("Seed to a ratio of 2", "eddyline session add x.torrent --seed-ratio 2"),
        ],
        &["1", "3", "6", "7", "13", "25", "26", "27"],
    )
)]
pub struct AddArgs {
    // The first: what is read after it is taken out of what was parsed.
    #[command(flatten)]
    pub said: Said,
    /// A .torrent file, magnet link, info-hash or address.
    #[arg(value_name = "SOURCE", required = true, value_hint = ValueHint::AnyPath)]
    pub source: Vec<String>,
    /// Save their files in this folder.
    #[arg(
        long,
        short,
        value_name = "DIR",
        value_hint = ValueHint::DirPath,
        default_value = ".",
        help_heading = FILES
    )]
    pub dir: PathBuf,
    /// Download only these files: 1-3,7 or a glob.
    #[arg(
        long,
        short,
        value_name = "LIST",
        help_heading = FILES,
        long_help = "Download only these files: numbers as `info` shows them (1-3,7), or a glob ('*.mkv'). Can be \
                     given more than once; whatever one of them matches is downloaded, and each has to match \
                     something."
    )]
    pub select: Vec<String>,
    /// Download pieces in order.
    #[arg(long, help_heading = FILES)]
    pub sequential: bool,
    /// Add them paused; `session resume` starts them.
    #[arg(long, help_heading = FILES)]
    pub paused: bool,
    /// Limit the download speed of each in bytes per second.
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = LIMITS)]
    pub max_down: Option<u64>,
    /// Limit the upload speed of each in bytes per second.
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = LIMITS)]
    pub max_up: Option<u64>,
    /// Seed each until R times its size is uploaded.
    #[arg(long, value_name = "R", value_parser = parse_ratio, help_heading = END)]
    pub seed_ratio: Option<f64>,
    /// Seed each for this long after completion, as in 2h.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = END)]
    pub seed_time: Option<Duration>,
    #[command(flatten)]
    pub way: WayFlags,
    #[command(flatten)]
    pub state: StateFlags,
}

/// Which flags of `session add` the user has given now: on the command line or in the environment, and not in the
/// configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub dir: bool,
    pub select: bool,
    pub sequential: bool,
    pub paused: bool,
    pub max_down: bool,
    pub max_up: bool,
    pub seed_ratio: bool,
    pub seed_time: bool,
}

impl FromArgMatches for Said {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let said = |flag: &str| {
            let source = matches.value_source(flag);
            matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
        };
        Ok(Self {
            dir: said("dir"),
            select: said("select"),
            sequential: said("sequential"),
            paused: said("paused"),
            max_down: said("max_down"),
            max_up: said("max_up"),
            seed_ratio: said("seed_ratio"),
            seed_time: said("seed_time"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// It has no flags of its own.
impl Args for Said {
    fn augment_args(command: clap::Command) -> clap::Command {
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command
    }
}

/// Show all torrents.
///
/// State, progress of what is selected, rates, name and folder, also while the session runs; for a torrent that is
/// being moved, the progress of the move.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[
        ("What is not finished comes first", "eddyline session list --sort progress"),
        ("The state of each tracker", "eddyline session list -v"),
        ("For a script", "eddyline session list --json"),
    ],
    &[],
))]
pub struct ListArgs {
    /// Sort by this.
    #[arg(long, value_name = "KEY", value_enum, default_value = "name", help_heading = OUTPUT)]
    pub sort: SortBy,
    /// Print one JSON array.
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,
    #[command(flatten)]
    pub place: StateDir,
}

/// By what a list is sorted.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum SortBy {
    // Help tells the names alone.
    Name,
    Added,
    Size,
    Progress,
    State,
}

/// Download and seed all torrents until stopped.
///
/// Ctrl-C stops it tidily; the next run goes on where it stopped. The exit code is 0 when nothing was left to
/// download.
#[derive(Args, Debug)]
#[command(
    mut_arg("seed_ratio", |arg| arg.long_help(
        "Seed each torrent until R times its size is uploaded. A torrent's own goals take \
         precedence. When all torrents have reached their goals, the run ends.",
    )),
    mut_arg("seed_time", |arg| arg.long_help(
        "Seed each torrent for this long after it is complete: 90s, 5m, 2h or 1d.",
    )),
    mut_arg("peer", |arg| arg.long_help("Connect all torrents to this peer at once.")),
    after_long_help = below(
        &[
            ("All of them", "eddyline session run"),
            ("Until each was uploaded twice", "eddyline session run --seed-ratio 2"),
        ],
        &["1", "6", "7", "9", "13", "129", "130", "143"],
    )
)]
pub struct SessionRunArgs {
    #[command(flatten)]
    pub transfer: TransferFlags,
    #[command(flatten)]
    pub keep_executable: KeepExecutable,
}

/// Change the options of torrents.
///
/// Options that are not given stay unchanged.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[
        ("Upload more slowly", "eddyline session set NAME --max-up 100K"),
        ("Download all files after all", "eddyline session set NAME -s all"),
    ],
    CHANGE,
))]
pub struct SetArgs {
    #[command(flatten)]
    pub change: ChangeArgs,
    /// Download only these files: 1-3,7, a glob or 'all'.
    #[arg(long, short, value_name = "LIST", help_heading = FILES)]
    pub select: Vec<String>,
    /// Download pieces in order, or not.
    #[arg(
        long,
        value_name = "BOOL",
        value_parser = BoolishValueParser::new(),
        num_args = 0..=1,
        default_missing_value = "true",
        help_heading = FILES
    )]
    pub sequential: Option<bool>,
    /// Limit the download speed of each; 'none' for no limit.
    #[arg(long, value_name = "RATE", value_parser = or_none(parse_rate), help_heading = LIMITS)]
    pub max_down: Option<Limit<u64>>,
    /// Limit the upload speed of each; 'none' for no limit.
    #[arg(long, value_name = "RATE", value_parser = or_none(parse_rate), help_heading = LIMITS)]
    pub max_up: Option<Limit<u64>>,
    /// Seed until R times the size is uploaded; 'none' for no goal.
    #[arg(long, value_name = "R", value_parser = or_none(parse_ratio), help_heading = END)]
    pub seed_ratio: Option<Limit<f64>>,
    /// Seed for this long after completion; 'none' for no goal.
    #[arg(long, value_name = "TIME", value_parser = or_none(parse_duration), help_heading = END)]
    pub seed_time: Option<Limit<Duration>>,
}

/// Move the data of torrents to another folder.
///
/// A move that is interrupted is finished by the next run.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[("To another disk", "eddyline session move NAME --to /media/disk")],
    &["1", "3", "9", "13", "129", "130", "143"],
))]
pub struct MoveArgs {
    #[command(flatten)]
    pub change: ChangeArgs,
    /// The new folder of their files.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = FILES)]
    pub to: PathBuf,
}

/// Rename a torrent's folder, or one of its files, on the disk.
///
/// The torrent stays what it is to its peers.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[
        ("The folder", "eddyline session rename NAME 'My Films'"),
        ("A file", "eddyline session rename NAME intro.mkv --file 2"),
    ],
    &["1", "3", "13", "129", "130", "143"],
))]
pub struct RenameArgs {
    /// The beginning of a hash, as `session list` shows it, or a name.
    #[arg(value_name = "TORRENT")]
    pub torrent: String,
    #[command(flatten)]
    pub state: StateFlags,
    /// The new name; of a file, its path inside the torrent's folder.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Rename this file, as numbered by `info`, and not the whole torrent.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = FILES
    )]
    pub file: Option<u32>,
}

/// Remove torrents from the session.
///
/// The files stay, unless --with-data is given. Files that are not the torrent's always stay.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[("With its files", "eddyline session remove NAME --with-data")],
    &["1", "3", "129", "130", "143"],
))]
pub struct RemoveArgs {
    #[command(flatten)]
    pub change: ChangeArgs,
    /// Delete their files too.
    #[arg(long, help_heading = FILES)]
    pub with_data: bool,
}
