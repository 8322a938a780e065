//! The command lines of `download`, `seed` and `info`, and the flags that every transfer takes.

use clap::builder::{PossibleValue, ValueParser};
use clap::{Arg, Command, ValueHint, value_parser};

use super::text::{TRANSFER, explained};
use super::values::{parse_address, parse_bootstrap, parse_ratio, parse_tracker};
use super::{
    duration, flag, folder, force, keep_executable, many, option, rate, record, source,
    torrent_file,
};

pub(super) const FILES: &str = "Files";
pub(super) const LIMITS: &str = "Limits";
pub(super) const END: &str = "When to stop";
const PEERS: &str = "Peers";
pub(super) const NETWORK: &str = "Network";
pub(super) const STATE: &str = "State";
pub(super) const OUTPUT: &str = "Output";

/// Flags of `download` that make sense on `seed` too.
pub(super) fn transfer_flags(command: Command) -> Command {
    let command = command.args(limits()).args(seeding());
    let command = command.args(peers()).args(network());
    command
        .args(state())
        .arg(flag("json", "Print events as JSON, one object a line").help_heading(OUTPUT))
}

fn limits() -> [Arg; 4] {
    [
        rate("max-down", "Limit download speed in bytes per second, as in 500K or 2MiB"),
        rate("max-up", "Limit upload speed in bytes per second, as in 500K or 2MiB"),
        flag("no-limit-utp", "Do not limit what goes over uTP").long_help(
            "Do not hold what goes over uTP to --max-down and --max-up: it gives way by itself to \
             whatever else uses the line.",
        ),
        option("max-peers", "N", "Limit the number of peers of each torrent [default: 100]")
            .value_parser(value_parser!(u32).range(1..)),
    ]
    .map(|arg| arg.help_heading(LIMITS))
}

fn seeding() -> [Arg; 2] {
    [
        option("seed-ratio", "R", "Seed until R times the size is uploaded")
            .long_help(
                "Seed until R times the size is uploaded. Where --seed-time is given too, whichever \
                 comes first ends it. Without either, `download` exits when everything is complete, \
                 and `seed` goes on until it is stopped.",
            )
            .value_parser(ValueParser::new(parse_ratio)),
        duration("seed-time", "Seed for this long, as in 90s, 5m or 2h").long_help(
            "Seed for this long after everything is complete: 90s, 5m, 2h or 1d; a bare number counts \
             seconds.",
        ),
    ]
    .map(|arg| arg.help_heading(END))
}

fn peers() -> [Arg; 8] {
    [
        many("peer", "HOST:PORT", "Connect to this peer at once")
            .value_parser(ValueParser::new(parse_address))
            .long_help(
                "Connect to this peer at once: 192.0.2.1:6881, [2001:db8::1]:6881 or \
                 host.example:6881. Can be given more than once.",
            ),
        many("tracker", "URL", "Announce to this tracker too")
            .short('t')
            .value_parser(ValueParser::new(parse_tracker))
            .long_help(
                "Announce to this tracker too, after those of the torrent: an http, https or udp \
                 address. Can be given more than once.",
            ),
        flag("no-trackers", "Do not announce to trackers")
            .long_help("Do not announce to trackers, not even to those of --tracker."),
        flag("no-dht", "Do not use the DHT"),
        flag("no-pex", "Do not exchange addresses with peers"),
        flag("no-holepunch", "Do not help peers to meet through routers, nor be helped").long_help(
            "Do not introduce peers to each other that nobody can connect to (BEP 55), and do not let \
             peers introduce this one.",
        ),
        flag("no-lsd", "Do not look for peers on the local network"),
        many("dht-bootstrap", "HOST:PORT", "Join the DHT through this node")
            .value_parser(ValueParser::new(parse_bootstrap))
            .long_help(
                "Join the DHT through this node instead of the usual ones. Can be given more than \
                 once; an empty value stands for no node at all.",
            ),
    ]
    .map(|arg| arg.help_heading(PEERS))
}

fn network() -> [Arg; 5] {
    [
        option("port", "N", "Listen on this port [default: 6881 or the next free one]")
            .short('p')
            .value_parser(value_parser!(u16))
            .long_help(
                "Listen on this port, for TCP and UDP; 0 for any that is free. Without the flag: 6881, \
                 or the next one that is free.",
            ),
        option("bind", "ADDR|IFACE", "Use only this address or network interface").long_help(
            "Use only this address or network interface, and only its address family: for peers, \
             trackers, the DHT, name look-ups and .torrent files that are fetched. Name servers on \
             this machine are not asked then.",
        ),
        option("transport", "WHICH", "Speak to peers over tcp, utp or both")
            .value_parser(["tcp", "utp", "both"])
            .default_value("both")
            .long_help(
                "Speak to peers over TCP, over uTP, which gives way to whatever else uses the line and \
                 passes more routers, or over both: whichever answers an address first.",
            ),
        option("encryption", "HOW", "Hide connections: prefer, require or disable")
            .value_parser(["prefer", "require", "disable"])
            .default_value("prefer")
            .long_help(
                "Hide connections with peers from whoever stands between. prefer: let both in, \
                 and call peers with encryption where they take nothing else. require: speak to \
                 nobody without. disable: neither offer nor understand it.",
            ),
        option("encryption-level", "LEVEL", "How much is hidden: rc4, plaintext or either")
            .value_parser(["rc4", "plaintext", "either"])
            .default_value("either")
            .long_help(
                "How much is hidden. rc4: everything. plaintext: only the handshake, so that it costs \
                 nothing more. either: whatever both sides know; everything where encryption is \
                 required.",
            ),
    ]
    .map(|arg| arg.help_heading(NETWORK))
}

fn state() -> [Arg; 4] {
    [
        folder("state-dir", "Keep resume data and DHT nodes in this folder").long_help(
            "Keep resume data and DHT nodes in this folder instead of \
             $XDG_STATE_HOME/eddyline.",
        ),
        flag("no-resume", "Ignore resume data and check the files again"),
        record(),
        force(),
    ]
    .map(|arg| arg.help_heading(STATE))
}

fn files() -> [Arg; 8] {
    [
        folder("dir", "Save the files in this folder").short('d').default_value("."),
        many("select", "LIST", "Download only these files: 1-3,7 or a glob").short('s').long_help(
            "Download only these files: numbers as `info` shows them (1-3,7), or a glob ('*.mkv'), which \
             is held against the path with and without the torrent's folder. Can be given more than \
             once; whatever one of them matches is downloaded, and each has to match something.",
        ),
        flag("ask", "List the files and ask which ones to download")
            .conflicts_with_all(["select", "json"]),
        flag("sequential", "Download pieces in order").long_help(
            "Download pieces in order, so that a file can be played while it comes. The swarm as a \
             whole is faster without it.",
        ),
        option("allocation", "HOW", "How to reserve disk space")
            .value_parser([
                PossibleValue::new("none").help("Files grow as data comes"),
                PossibleValue::new("sparse").help("Files have their full length at once"),
                PossibleValue::new("full").help("All space is taken at once"),
            ])
            .default_value("none"),
        keep_executable(),
        flag("allow-overwrite", "Replace files that hold nothing of the torrent").long_help(
            "Replace files of the same name that hold nothing of the torrent. Without the flag such a \
             file is left alone and the download ends with exit code 13.",
        ),
        flag("metadata-only", "Save the .torrent of a magnet link and exit").long_help(
            "Fetch the metadata of a magnet link from its peers, save it as a .torrent, and exit. -o says \
             where.",
        ),
    ]
    .map(|arg| arg.help_heading(FILES))
}

/// `download`.
pub(super) fn download() -> Command {
    let command = Command::new("download")
        .about("Download torrents, and exit when they are complete")
        .arg(
            source("source", "A .torrent file, magnet link, info-hash or address")
                .num_args(1..)
                .long_help(
                    "What to download: a .torrent file, - for one on stdin, a magnet link, an info-hash \
                     (hex or base32), or the http or https address of a .torrent.",
                ),
        )
        .args(files())
        .arg(
            option("output", "OUT", "Where --metadata-only saves it; - for stdout")
                .short('o')
                .value_hint(ValueHint::FilePath)
                .help_heading(FILES)
                .long_help(
                    "Where --metadata-only saves the .torrent; - for stdout. Without the flag: \
                     NAME.torrent in the current folder.",
                ),
        );
    let stop = duration("stop-timeout", "Give up after this long without progress, as in 10m");
    let command = transfer_flags(command).arg(stop.help_heading(END).long_help(
        "Give up, with exit code 7, when no piece was completed for this long: 90s, 10m or 2h. Start \
         again to go on where it stopped. Without the flag it waits for ever.",
    ));
    explained(
        command,
        "Every piece is verified, and the program exits when everything that was asked for is \
         complete and on disk. A download that was stopped goes on where it stopped: run the same \
         command again.",
        &[
            ("Save into a folder", "eddyline download x.torrent -d Films"),
            ("Choose files by number", "eddyline download x.torrent -s 1-3,7"),
            ("Choose files on the screen", "eddyline download MAGNET --ask"),
            ("Save the .torrent only", "eddyline download MAGNET --metadata-only"),
            ("Seed to a ratio of 2", "eddyline download MAGNET --seed-ratio 2"),
        ],
        TRANSFER,
    )
}

/// `seed`.
pub(super) fn seed() -> Command {
    let dir = folder("dir", "The folder that holds the files").short('d').required(true);
    let command = Command::new("seed")
        .about("Upload torrents until stopped")
        .arg(torrent_file().num_args(1..))
        .arg(dir.help_heading(FILES));
    explained(
        transfer_flags(command),
        "The files are checked first, unless resume data says that they are as they were. When \
         connections are accepted, a line is printed: READY and the port.",
        &[
            ("Seed until Ctrl-C", "eddyline seed x.torrent -d Films"),
            ("Seed for two hours", "eddyline seed x.torrent -d . --seed-time 2h"),
        ],
        &["1", "3", "6", "7", "9", "13", "25", "26", "32", "129", "130", "143"],
    )
}

/// `info`.
pub(super) fn info() -> Command {
    let command = Command::new("info")
        .about("Show what a .torrent or a magnet link says")
        .arg(source("source", "A .torrent file, magnet link, info-hash or address"))
        .arg(flag("files", "Fetch the metadata of a magnet link, and list its files").long_help(
            "Fetch the metadata of a magnet link from its peers, and show that: name, size, files. \
                 Nothing is downloaded or saved.",
        ));
    let stop = duration("stop-timeout", "With --files: give up after this long, as in 2m");
    // How peers are found is as with `download`; the rest has no meaning here.
    let useless = ["max-down", "max-up", "max-peers", "seed-ratio", "seed-time", "state-dir"];
    let useless = useless.into_iter().chain(["no-resume", "record", "force"]);
    let command = transfer_flags(command)
        .mut_args(|arg| match arg.get_help_heading() {
            Some(PEERS | NETWORK) => arg.hide_short_help(true),
            _ => arg,
        })
        .mut_arg("json", |arg| {
            arg.help("Print one JSON object").help_heading(None::<&'static str>)
        });
    let command =
        useless.fold(command, |command, name| command.mut_arg(name, |arg| arg.hide(true)));
    explained(
        command.arg(stop),
        "Trackers are shown without passkeys; -vv shows them in full. The numbers of files are those \
         that --select takes. Flags on peers and on the network matter with --files only.",
        &[
            ("What is in a torrent", "eddyline info x.torrent"),
            ("What is behind a magnet link", "eddyline info MAGNET --files"),
        ],
        &["3", "6", "7", "25", "26", "27", "129", "130", "143"],
    )
}
