//! The command line of `doctor`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::super::units::parse_duration;
use super::text::below;
use super::transfer::{TransferFlags, for_one_document};

/// Say what the network and the disk allow.
///
/// Looks at the network interfaces, IPv4 and IPv6, name servers, the port, the DHT, the trackers of a torrent, the
/// clock, a folder, and limits of the system, and says what is wrong and what helps. Nothing is downloaded or kept.
#[derive(Args, Debug)]
#[command(
    mut_args = for_one_document,
    after_long_help = below(
        &[
            ("What is wrong here", "eddyline doctor"),
            ("With the trackers of a torrent", "eddyline doctor x.torrent"),
            ("Through a VPN", "eddyline doctor --bind tun0"),
            ("For a script", "eddyline doctor --json"),
        ],
        &["1", "3", "6", "9", "25", "26", "27", "129", "130", "143"],
    )
)]
pub struct DoctorArgs {
    /// Ask the trackers of this torrent.
    #[arg(
        value_name = "SOURCE",
        value_hint = ValueHint::AnyPath,
        long_help = "Ask the trackers of this torrent, one by one: a .torrent file, - for one on stdin, a magnet link, \
                     an info-hash, or the http or https address of a .torrent. Each gets an announce that a download \
                     starts, and a moment later one that it has stopped."
    )]
    pub source: Option<String>,
    /// Try how fast this folder is.
    #[arg(
        long,
        short,
        value_name = "DIR",
        value_hint = ValueHint::DirPath,
        default_value = ".",
        long_help = "Try how fast this folder is, with a file of 64 MiB at most that is gone at once, and \
                     how much room there is."
    )]
    pub dir: PathBuf,
    /// Wait this long for answers.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse_duration,
        default_value = "20s",
        long_help = "Wait this long at most for the DHT, trackers and peers: 90s or 2m. When everything has answered, \
                     nothing is waited for."
    )]
    pub timeout: Duration,
    #[command(flatten)]
    pub transfer: TransferFlags,
}
