//! The command lines of `download`, `seed` and `info`, and the flags that every transfer takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Args, ValueHint};
use eddyline::{Allocation, AnnouncePolicy, EncryptionLevel, EncryptionPolicy, Transports};

use super::super::units::{parse_duration, parse_rate};
use super::RecordFlags;
use super::text::{TRANSFER, below};
use super::values::{
    one_explained, one_of, parse_address, parse_bootstrap, parse_mirror, parse_ratio, parse_tracker,
};
use super::way::WayFlags;

pub(super) const FILES: &str = "Files";
pub(super) const LIMITS: &str = "Limits";
pub(super) const END: &str = "When to stop";
const PEERS: &str = "Peers";
pub(super) const NETWORK: &str = "Network";
pub(super) const STATE: &str = "State";
pub(super) const OUTPUT: &str = "Output";

/// Flags of `download` that make sense on `seed` too.
#[derive(Args, Clone, Debug)]
pub struct TransferFlags {
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub goal: GoalFlags,
    #[command(flatten)]
    pub peers: PeerFlags,
    #[command(flatten)]
    pub network: NetworkFlags,
    #[command(flatten)]
    pub state: KeptFlags,
    /// Print events as JSON, one object a line.
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,
}

/// What is not gone beyond.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = LIMITS)]
pub struct LimitFlags {
    /// Limit download speed in bytes per second, as in 500K or 2MiB.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub max_down: Option<u64>,
    /// Limit upload speed in bytes per second, as in 500K or 2MiB.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub max_up: Option<u64>,
    /// Do not limit what goes over uTP.
    #[arg(
        long,
        long_help = "Exempt uTP from --max-down and --max-up: it yields to other traffic by itself."
    )]
    pub no_limit_utp: bool,
    /// Limit what comes over TCP, beside --max-down.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub max_down_tcp: Option<u64>,
    /// Limit what goes over TCP, beside --max-up.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub max_up_tcp: Option<u64>,
    /// Limit what comes over uTP.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub max_down_utp: Option<u64>,
    /// Limit what goes over uTP.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub max_up_utp: Option<u64>,
    /// Limit the number of peers of each torrent [default: 100].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_peers: Option<u32>,
}

/// When seeding ends.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = END)]
pub struct GoalFlags {
    /// Seed until R times the size is uploaded.
    #[arg(
        long,
        value_name = "R",
        value_parser = parse_ratio,
        long_help = "Seed until R times the size is uploaded. Where --seed-time is given too, whichever \
                     comes first ends it. Without either, `download` exits when everything is complete, \
                     and `seed` goes on until it is stopped."
    )]
    pub seed_ratio: Option<f64>,
    /// Seed for this long, as in 90s, 5m or 2h.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse_duration,
        long_help = "Seed for this long after everything is complete: 90s, 5m, 2h or 1d; a bare number counts \
                     seconds."
    )]
    pub seed_time: Option<Duration>,
}

/// Where peers come from.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = PEERS)]
pub struct PeerFlags {
    /// Connect to this peer at once.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_parser = parse_address,
        long_help = "Connect to this peer at once: 192.0.2.1:6881, [2001:db8::1]:6881 or \
                     host.example:6881. Can be given more than once."
    )]
    pub peer: Vec<String>,
    /// Fetch from this web server too.
    #[arg(
        long,
        value_name = "URL",
        value_parser = parse_mirror,
        long_help = "Fetch from this web server too, as if the torrent named it as a web seed: the http or https \
                     address of the file, or, with a slash at its end, of the folder that the torrent's file or \
                     folder is in. It may be of a local network. Can be given more than once."
    )]
    pub mirror: Vec<String>,
    /// Announce to this tracker too.
    #[arg(
        long,
        short,
        value_name = "URL",
        value_parser = parse_tracker,
        long_help = "Announce to this tracker too, after those of the torrent: an http, https or udp \
                     address. Can be given more than once."
    )]
    pub tracker: Vec<String>,
    /// Which trackers to ask at once: tiers, all or first.
    #[arg(
        long,
        value_name = "WHICH",
        value_parser = one_of([
            ("tiers", AnnouncePolicy::Tiers),
            ("all", AnnouncePolicy::All),
            ("first", AnnouncePolicy::First),
        ]),
        default_value = "tiers",
        long_help = "Which trackers of a torrent to ask at once. tiers: one of each tier. all: each of them. \
                     first: one alone, tier by tier. The next one is asked as well when one fails, is slow, or \
                     names nobody who answers."
    )]
    pub announce: AnnouncePolicy,
    /// Do not announce to trackers.
    #[arg(long, long_help = "Do not announce to trackers, not even to those of --tracker.")]
    pub no_trackers: bool,
    /// Do not use the DHT.
    #[arg(long)]
    pub no_dht: bool,
    /// Do not exchange addresses with peers.
    #[arg(long)]
    pub no_pex: bool,
    /// Do not help peers to meet through routers, nor be helped.
    #[arg(
        long,
        long_help = "Disable hole punching (BEP 55): neither relay for peers behind routers, nor use such relays."
    )]
    pub no_holepunch: bool,
    /// Do not look for peers on the local network.
    #[arg(long)]
    pub no_lsd: bool,
    /// Join the DHT through this node.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_parser = parse_bootstrap,
        long_help = "Join the DHT through this node instead of the usual ones. Can be given more than \
                     once; an empty value means none."
    )]
    pub dht_bootstrap: Vec<String>,
}

/// How peers are spoken to.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = NETWORK)]
pub struct NetworkFlags {
    /// Listen on this port [default: 6881 or the next free one].
    #[arg(
        long,
        short,
        value_name = "N",
        long_help = "Listen on this port, for TCP and UDP; 0 for any that is free. Without the flag: 6881, \
                     or the next one that is free."
    )]
    pub port: Option<u16>,
    #[command(flatten)]
    pub way: WayFlags,
    /// Speak to peers over tcp, utp or both.
    #[arg(
        long,
        value_name = "WHICH",
        value_parser = one_of([
            ("tcp", Transports::Tcp),
            ("utp", Transports::Utp),
            ("both", Transports::Both),
        ]),
        default_value = "both",
        long_help = "Connect to peers over TCP, over uTP, which yields to other traffic and works through \
                     more routers, or over both: whichever answers first."
    )]
    pub transport: Transports,
    /// Encrypt connections: prefer, require or disable.
    #[arg(
        long,
        value_name = "HOW",
        value_parser = one_of([
            ("prefer", EncryptionPolicy::Prefer),
            ("require", EncryptionPolicy::Require),
            ("disable", EncryptionPolicy::Disable),
        ]),
        default_value = "prefer",
        long_help = "Encrypt connections with peers, so that providers cannot easily tell that it is \
                     BitTorrent. prefer: accept both; connect without it first, and with it where a \
                     peer takes nothing else. require: use no connection without it. disable: neither \
                     offer nor accept it."
    )]
    pub encryption: EncryptionPolicy,
    /// What is encrypted: rc4, plaintext or either.
    #[arg(
        long,
        value_name = "LEVEL",
        value_parser = one_of([
            ("rc4", EncryptionLevel::Rc4),
            ("plaintext", EncryptionLevel::Plaintext),
            ("either", EncryptionLevel::Either),
        ]),
        default_value = "either",
        long_help = "What is encrypted. rc4: the whole stream. plaintext: only the handshake, which costs \
                     nothing per byte. either: whatever both sides know; the whole stream where \
                     encryption is required."
    )]
    pub encryption_level: EncryptionLevel,
}

/// What is kept of a run, and of earlier ones.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = STATE)]
pub struct KeptFlags {
    /// Keep resume data and DHT nodes in this folder.
    #[arg(
        long,
        value_name = "DIR",
        value_hint = ValueHint::DirPath,
        long_help = "Keep resume data and DHT nodes in this folder instead of $XDG_STATE_HOME/eddyline."
    )]
    pub state_dir: Option<PathBuf>,
    /// Ignore resume data and check the files again.
    #[arg(long)]
    pub no_resume: bool,
    #[command(flatten)]
    pub record: RecordFlags,
}

/// Which files are fetched, and how they come to be on the disk.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = FILES)]
pub struct FileFlags {
    /// Save the files in this folder.
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = ".")]
    pub dir: PathBuf,
    /// Download only these files: 1-3,7 or a glob.
    #[arg(
        long,
        short,
        value_name = "LIST",
        long_help = "Download only these files: numbers as `info` shows them (1-3,7), or a glob ('*.mkv'), which \
                     is held against the path with and without the torrent's folder. Can be given more than \
                     once; whatever one of them matches is downloaded, and each has to match something."
    )]
    pub select: Vec<String>,
    /// List the files and ask which ones to download.
    #[arg(long, conflicts_with_all = ["select", "json"])]
    pub ask: bool,
    /// Download pieces in order.
    #[arg(
        long,
        long_help = "Download pieces in order, so that a file can be played while it downloads. This slows \
                     the swarm down."
    )]
    pub sequential: bool,
    /// How to reserve disk space.
    #[arg(
        long,
        value_name = "HOW",
        value_parser = one_explained([
            ("none", "Files grow as data comes", Allocation::None),
            ("sparse", "Files have their full length at once", Allocation::Sparse),
            ("full", "All space is taken at once", Allocation::Full),
        ]),
        default_value = "none"
    )]
    pub allocation: Allocation,
    #[command(flatten)]
    pub keep_executable: KeepExecutable,
    /// Replace files that hold nothing of the torrent.
    #[arg(
        long,
        long_help = "Replace files of the same name that hold nothing of the torrent. Without the flag such a \
                     file is left alone and the download ends with exit code 13."
    )]
    pub allow_overwrite: bool,
    /// Save the .torrent of a magnet link and exit.
    #[arg(
        long,
        long_help = "Fetch the metadata of a magnet link from its peers, save it as a .torrent, and exit. -o says \
                     where."
    )]
    pub metadata_only: bool,
    /// Where --metadata-only saves it; - for stdout.
    #[arg(
        long,
        short,
        value_name = "OUT",
        value_hint = ValueHint::FilePath,
        long_help = "Where --metadata-only saves the .torrent; - for stdout. Without the flag: \
                     NAME.torrent in the current folder."
    )]
    pub output: Option<String>,
}

/// Whether files are made executable.
#[derive(Args, Clone, Copy, Debug)]
pub struct KeepExecutable {
    /// Make files executable where the torrent says so.
    #[arg(long, help_heading = FILES)]
    pub keep_executable: bool,
}

/// Download torrents, and exit when they are complete.
///
/// Every piece is verified, and the program exits when everything that was asked for is complete and on disk. A
/// download that was stopped goes on where it stopped: run the same command again.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[
        ("Save into a folder", "eddyline download x.torrent -d Films"),
        ("Choose files by number", "eddyline download x.torrent -s 1-3,7"),
        ("Choose files on the screen", "eddyline download MAGNET --ask"),
        ("Save the .torrent only", "eddyline download MAGNET --metadata-only"),
        ("Seed to a ratio of 2", "eddyline download MAGNET --seed-ratio 2"),
    ],
    TRANSFER,
))]
pub struct DownloadArgs {
    /// A .torrent file, magnet link, info-hash or address.
    #[arg(
        value_name = "SOURCE",
        required = true,
        value_hint = ValueHint::AnyPath,
        long_help = "What to download: a .torrent file, - for one on stdin, a magnet link, an info-hash \
                     (hex or base32), or the http or https address of a .torrent."
    )]
    pub source: Vec<String>,
    #[command(flatten)]
    pub files: FileFlags,
    #[command(flatten)]
    pub transfer: TransferFlags,
    /// Give up after this long without progress, as in 10m.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse_duration,
        help_heading = END,
        long_help = "Give up, with exit code 7, when no piece was completed for this long: 90s, 10m or 2h. Start \
                     again to go on where it stopped. Without the flag it waits for ever."
    )]
    pub stop_timeout: Option<Duration>,
}

/// Upload torrents until stopped.
///
/// The files are checked first, unless resume data says that they are as they were. When connections are accepted, a
/// line is printed: READY and the port.
#[derive(Args, Debug)]
#[command(after_long_help = below(
    &[
        ("Seed until Ctrl-C", "eddyline seed x.torrent -d Films"),
        ("Seed for two hours", "eddyline seed x.torrent -d . --seed-time 2h"),
    ],
    &["1", "3", "6", "7", "9", "13", "25", "26", "32", "129", "130", "143"],
))]
pub struct SeedArgs {
    /// A .torrent file; - for one on stdin.
    #[arg(value_name = "TORRENT", required = true, value_hint = ValueHint::AnyPath)]
    pub torrent: Vec<String>,
    /// The folder that holds the files.
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = FILES)]
    pub dir: PathBuf,
    #[command(flatten)]
    pub transfer: TransferFlags,
}

/// Show what a .torrent or a magnet link says.
///
/// Trackers are shown without passkeys; -vv shows them in full. The numbers of files are those that --select takes.
/// Flags on peers and on the network matter with --files only.
#[derive(Args, Debug)]
#[command(
    mut_args = for_one_document,
    after_long_help = below(
        &[
            ("What is in a torrent", "eddyline info x.torrent"),
            ("What is behind a magnet link", "eddyline info MAGNET --files"),
        ],
        &["3", "6", "7", "25", "26", "27", "129", "130", "143"],
    )
)]
pub struct InfoArgs {
    /// A .torrent file, magnet link, info-hash or address.
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub source: String,
    /// Fetch the metadata of a magnet link, and list its files.
    #[arg(
        long,
        long_help = "Fetch the metadata of a magnet link from its peers, and show that: name, size, files. \
                     Nothing is downloaded or saved."
    )]
    pub files: bool,
    #[command(flatten)]
    pub transfer: TransferFlags,
    /// With --files: give up after this long, as in 2m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = None::<&'static str>)]
    pub stop_timeout: Option<Duration>,
}

/// A flag of all transfers for a command that prints one document: how peers are found is as with `download`, and the
/// rest has no meaning.
pub(super) fn for_one_document(arg: Arg) -> Arg {
    if arg.get_id() == "json" {
        return arg.help("Print one JSON object").help_heading(None::<&'static str>);
    }
    match arg.get_help_heading() {
        Some(PEERS | NETWORK) => arg.hide_short_help(true),
        Some(LIMITS | END | STATE) => arg.hide(true),
        _ => arg,
    }
}
