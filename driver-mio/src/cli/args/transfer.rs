//! The command lines of `download` and `seed`, and the flags that every transfer takes.

use clap::builder::ValueParser;
use clap::{Command, ValueHint, value_parser};

use super::values::{parse_address, parse_ratio, parse_tracker};
use super::{
    EXIT_CODES, duration, flag, folder, force, keep_executable, many, option, rate, record, source,
};

/// Flags of `download` that make sense on `seed` too.
pub(super) fn transfer_flags(command: Command) -> Command {
    command
        .arg(
            option(
                "port",
                "N",
                "Listen on this TCP and UDP port; 0 for any [default: 6881 or the next free one]",
            )
            .value_parser(value_parser!(u16)),
        )
        .arg(option(
            "bind",
            "ADDR|IFACE",
            "Send and receive only from this address or network interface, and only over its address family: peers, \
             trackers, fetched .torrent files, names. Name servers on this machine are not asked then",
        ))
        .arg(
            many("peer", "HOST:PORT", "Connect to this peer at once")
                .value_parser(ValueParser::new(parse_address)),
        )
        .arg(flag("no-trackers", "Ask no tracker"))
        .arg(flag("no-dht", "Stay out of the DHT"))
        .arg(
            many(
                "dht-bootstrap",
                "HOST:PORT",
                "Begin the DHT with this node, in place of the usual ones",
            )
            .value_parser(ValueParser::new(parse_address)),
        )
        .arg(flag("no-pex", "No peer exchange"))
        .arg(flag("no-lsd", "No discovery on the local network"))
        .arg(
            many("tracker", "URL", "Ask this tracker too")
                .value_parser(ValueParser::new(parse_tracker)),
        )
        .arg(rate("max-down", "Download at most so fast, as in 500K or 2MiB"))
        .arg(rate("max-up", "Upload at most so fast"))
        .arg(
            option("max-peers", "N", "Connect to at most so many peers")
                .value_parser(value_parser!(u32).range(1..)),
        )
        .arg(
            option("seed-ratio", "R", "Seed until so many times the size is uploaded")
                .value_parser(ValueParser::new(parse_ratio)),
        )
        .arg(duration("seed-time", "Seed for so long, as in 90s, 5m or 2h"))
        .arg(flag("json", "Print one JSON object per line"))
        .arg(record())
        .arg(force())
        .arg(folder("state-dir", "Keep resume data and nodes of the DHT here"))
        .arg(flag("no-resume", "Ignore saved state: check the data again"))
}

/// `download`.
pub(super) fn download() -> Command {
    transfer_flags(Command::new("download"))
        .about("Fetch, verify, and exit when everything is complete and on disk")
        .after_help(EXIT_CODES)
        .arg(
            source(
                "source",
                "A .torrent file, - for stdin, a magnet URI, an info-hash, or the http(s) address of a \
                 .torrent",
            )
            .num_args(1..),
        )
        .arg(folder("dir", "Put the files here").default_value("."))
        .arg(many(
            "select",
            "LIST",
            "Fetch only these files: numbers as in `info` (1-3,7) or a glob",
        ))
        .arg(flag("sequential", "Fetch pieces in order"))
        .arg(
            option("allocation", "HOW", "Make room for files as they grow, by their length, or at once")
                .value_parser(["none", "sparse", "full"])
                .default_value("none"),
        )
        .arg(keep_executable())
        .arg(flag("allow-overwrite", "Write over files that have nothing of the torrent in them"))
        .arg(flag("metadata-only", "Of a magnet: save the .torrent and exit"))
        .arg(
            option("output", "OUT", "Where --metadata-only writes; - for stdout [default: NAME.torrent]")
                .short('o')
                .value_hint(ValueHint::FilePath),
        )
        .arg(duration("stop-timeout", "Give up after so long without progress (exit 7)"))
}

/// `seed`.
pub(super) fn seed() -> Command {
    transfer_flags(Command::new("seed"))
        .about("Check the data and upload until stopped")
        .after_help(EXIT_CODES)
        .arg(source("torrent", "A .torrent file").num_args(1..))
        .arg(folder("dir", "Where the data is").required(true))
}
