//! The command lines of commands with few flags: `verify`, `magnet`, `demo`, `completions` and `man`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::super::units::parse_size;
use super::text::below;
use super::{RecordFlags, Threads};

/// Check files against a torrent.
///
/// Hashes every piece, and reports which pieces and files are good, bad, missing or too long. Changes nothing.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[
        ("Check a download", "eddyline verify x.torrent -d Films"),
        ("For a script", "eddyline verify x.torrent -d Films --json"),
    ],
    &["1", "3", "25", "26", "32", "129", "130", "143"],
))]
pub struct VerifyArgs {
    /// A .torrent file; - for one on stdin.
    #[arg(value_name = "TORRENT", value_hint = ValueHint::AnyPath)]
    pub torrent: String,
    /// The folder that holds the files.
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// The folder of the download's resume data.
    #[arg(
        long,
        value_name = "DIR",
        value_hint = ValueHint::DirPath,
        long_help = "The folder of the download's resume data, if it is not the usual one. Parts of files \
                     that were not selected are found with it."
    )]
    pub state_dir: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub threads: Threads,
}

/// Print the magnet link of a torrent.
///
/// Names, trackers and web seeds are in it.
#[derive(Args, Debug)]
#[command(after_long_help = below(&[("Copy it", "eddyline magnet x.torrent")], &["3", "25", "26"]))]
pub struct MagnetArgs {
    /// A .torrent file; - for one on stdin.
    #[arg(value_name = "TORRENT", value_hint = ValueHint::AnyPath)]
    pub torrent: String,
}

/// Run a whole swarm on this machine, to see how fast it is.
///
/// A tracker, a seeder and a downloader, over real sockets and files in a temporary folder. It prints the speed and
/// the verified hash, and deletes the files.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[("Something larger", "eddyline demo --size 1GiB")],
    &["1", "6", "7", "9", "13", "32", "129", "130", "143"],
))]
pub struct DemoArgs {
    /// How much is shared.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    pub size: u64,
    #[command(flatten)]
    pub record: RecordFlags,
}

/// Print shell completions.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[
        ("For bash", "eddyline completions bash > ~/.local/share/bash-completion/completions/eddyline"),
        ("For fish", "eddyline completions fish > ~/.config/fish/completions/eddyline.fish"),
        ("For zsh, in a folder of fpath", "eddyline completions zsh > _eddyline"),
    ],
    &[],
))]
pub struct CompletionsArgs {
    /// The shell that is to complete commands and flags.
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Print the manual, or write all its pages.
///
/// Without a folder, the page of the program itself is printed.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[
        ("Read it", "eddyline man | man -l -"),
        ("Install all pages", "eddyline man ~/.local/share/man/man1"),
    ],
    &["9"],
))]
pub struct ManArgs {
    /// Write the pages of all commands into this folder.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
}
