//! The command line of `create`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use eddyline::metainfo::Format;

use super::super::create::{SortKey, parse_sort_key};
use super::super::units::parse_size;
use super::text::below;
use super::values::one_explained;
use super::way::WayFlags;
use super::{Force, Threads};

const CONTENT: &str = "What goes in";
const TORRENT: &str = "The torrent";
const OUTPUT: &str = "Output";

/// Make a torrent.
///
/// The same files and flags make the same torrent, to the byte. Symbolic links, hidden files and files that systems
/// leave behind are left out, with a warning.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[
        ("A folder", "eddyline create Folder -t http://t.example/announce"),
        ("A second tracker, if the first fails", "eddyline create Folder -t URL -t URL2"),
        ("With a web seed", "eddyline create x.iso --web-seed http://m.example/x.iso"),
        ("What a web server has", "eddyline create --from-url https://m.example/x.iso"),
        ("For a private tracker", "eddyline create Folder --private -t URL --source S"),
        ("What would be in it", "eddyline create Folder --dry-run --show"),
    ],
    &["3", "6", "9", "13", "129", "130", "143"],
))]
pub struct CreateArgs {
    /// The file or folder to share.
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath, required_unless_present = "from_url")]
    pub path: Option<PathBuf>,
    /// Share what this web server has, instead of PATH.
    #[arg(
        long,
        value_name = "URL",
        value_hint = ValueHint::Url,
        conflicts_with_all = [
            "path", "glob", "exclude", "follow_symlinks", "include_hidden", "include_junk", "sort_by",
        ],
        long_help = "Share the file at this http or https address, instead of PATH: it is read once and hashed as it \
                     comes, nothing of it is kept, and the server becomes a web seed of the torrent. Can be given \
                     more than once, for files in one folder of a server; that folder is the name of the torrent. \
                     A listing of a folder is not read: give the address of each file."
    )]
    pub from_url: Vec<String>,
    #[command(flatten)]
    pub output: OutputFlags,
    #[command(flatten)]
    pub torrent: TorrentFlags,
    #[command(flatten)]
    pub content: ContentFlags,
    #[command(flatten)]
    pub way: WayFlags,
}

/// What is written and printed.
#[derive(Args, Debug)]
#[command(next_help_heading = OUTPUT)]
pub struct OutputFlags {
    /// Where to write it; - for stdout [default: NAME.torrent].
    #[arg(long, short, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub output: Option<String>,
    #[command(flatten)]
    pub force: Force,
    /// Treat warnings as errors.
    #[arg(long)]
    pub strict: bool,
    /// Hash and report, but write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print what `info` prints of the new torrent.
    #[arg(long)]
    pub show: bool,
    /// Print the magnet link of the new torrent.
    #[arg(long)]
    pub link: bool,
    /// Print one JSON object about the new torrent.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub threads: Threads,
}

/// What the torrent says.
#[derive(Args, Debug)]
#[command(next_help_heading = TORRENT)]
pub struct TorrentFlags {
    /// A tracker; commas join several into one tier.
    #[arg(
        long,
        short,
        value_name = "URL",
        long_help = "The address of a tracker: http, https or udp, the last with a port. Can be given more than \
                     once; each is a tier of its own, asked when those before it fail. Commas join several \
                     addresses into one tier."
    )]
    pub tracker: Vec<String>,
    /// A web server that has the files.
    #[arg(
        long,
        value_name = "URL",
        long_help = "The address of a web server that has the files: http, https or ftp. Can be given more than \
                     once."
    )]
    pub web_seed: Vec<String>,
    /// Length of a piece, as in 1MiB [default: by size].
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = parse_size,
        long_help = "The length of a piece, as in 256KiB or 1MiB; for --format v2 and hybrid a power of two. \
                     Without the flag it is chosen by the size of the content: about 1,500 pieces, each \
                     of 16 KiB to 16 MiB."
    )]
    pub piece_length: Option<u64>,
    /// The kind of torrent.
    #[arg(
        long,
        value_name = "KIND",
        value_parser = one_explained([
            ("v1", "What every client reads", Format::V1),
            ("v2", "SHA-256 and a tree of hashes for each file (BEP 52)", Format::V2),
            ("hybrid", "Both in one", Format::Hybrid),
        ]),
        default_value = "v1"
    )]
    pub format: Format,
    /// Let peers be found through the trackers only.
    #[arg(long)]
    pub private: bool,
    /// A tag that makes the info-hash differ.
    #[arg(
        long,
        value_name = "TEXT",
        long_help = "A tag, usually the name of a private tracker. It makes the info-hash differ from that of \
                     the same files elsewhere."
    )]
    pub source: Option<String>,
    /// A comment for whoever opens the torrent.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// The name of the torrent [default: that of PATH].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The program that made it [default: this one].
    #[arg(long, value_name = "TEXT")]
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970 [default: none].
    #[arg(long, value_name = "SECS|none")]
    pub creation_date: Option<String>,
}

/// Which files go in, and in which order.
#[derive(Args, Debug)]
#[command(next_help_heading = CONTENT)]
pub struct ContentFlags {
    /// Include only files that match, as in '*.flac'.
    #[arg(
        long,
        value_name = "PATTERN",
        long_help = "Include only files that match, as in '*.flac' or 'CD1/**'. The pattern is held against the \
                     path below PATH. Can be given more than once; one match is enough."
    )]
    pub glob: Vec<String>,
    /// Leave out files that match.
    #[arg(
        long,
        value_name = "PATTERN",
        long_help = "Leave out files that match, also those that --glob includes. Can be given more than once."
    )]
    pub exclude: Vec<String>,
    /// Include what symbolic links lead to.
    #[arg(long)]
    pub follow_symlinks: bool,
    /// Include files and folders whose names begin with a dot.
    #[arg(long)]
    pub include_hidden: bool,
    /// Include files like Thumbs.db and desktop.ini.
    #[arg(long)]
    pub include_junk: bool,
    /// Order files by 'path' or 'size' [default: path].
    #[arg(
        long,
        value_name = "KEY",
        value_parser = parse_sort_key,
        long_help = "Order the files by path or by size: 'path', 'size', 'path:descending' or \
                     'size:descending'. Can be given more than once: files that are alike by the first key \
                     are ordered by the next, and by path in the end. Only with --format v1."
    )]
    pub sort_by: Vec<SortKey>,
}
