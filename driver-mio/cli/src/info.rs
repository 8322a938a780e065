//! `info` and `magnet`: what a torrent or a magnet says.

use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use eddyline::metainfo::{FileEntry, Magnet, Metainfo, Naming};
use eddyline_mio::dns::Names;
use eddyline_session::Source;

use super::args::{General, InfoArgs, MagnetArgs};
use super::documents::{MagnetInfo, TorrentInfo};
use super::exit::Failure;
use super::metadata::fetch;
use super::output::{json as print_json, line, printable};
use super::passkeys::without_passkey;
use super::setup::names;
use super::signals::Ended;
use super::source::{load, load_torrent};
use super::units::size;

/// Prints what a source says; with `--files` what is behind a magnet, too.
pub fn info(args: &InfoArgs, general: General) -> Result<ExitCode, Failure> {
    let as_json = args.transfer.json;
    let mut source = load(&args.source, &names(&args.transfer.network.way)?)?;
    if args.files && matches!(source, Source::Magnet(_)) {
        source = match fetch(source, args, general)? {
            Ended::Done(metainfo) => Source::Torrent(metainfo),
            Ended::BySignal(code) => return Ok(ExitCode::from(code)),
        };
    }
    let verbose = general.verbose;
    match source {
        Source::Torrent(metainfo) if as_json => print_json(&torrent_info(&metainfo)),
        Source::Torrent(metainfo) => print_torrent(&metainfo, verbose),
        Source::Magnet(magnet) if as_json => {
            print_json(&MagnetInfo::of(&magnet, publisher(&magnet)))
        }
        Source::Magnet(magnet) => print_magnet(&magnet, verbose),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the magnet URI of a torrent.
pub fn magnet(args: &MagnetArgs) -> Result<ExitCode, Failure> {
    line(&load_torrent(&args.torrent, &Names::default())?.magnet().to_string());
    Ok(ExitCode::SUCCESS)
}

/// The files a `.torrent` names: the gaps that align v2 files are not among them.
fn listed(metainfo: &Metainfo) -> impl Iterator<Item = (usize, &FileEntry)> + Clone {
    let v1 = metainfo.info_hashes().v1.is_some();
    let files = metainfo.layout().files().iter().enumerate();
    files.filter(move |(_, file)| v1 || !file.attributes.pad)
}

/// What `info --json` prints of a torrent.
pub fn torrent_info(metainfo: &Metainfo) -> TorrentInfo<'_> {
    TorrentInfo::of(metainfo, listed(metainfo).map(|(index, file)| (index as u32, file)))
}

/// Whoever says in the DHT which torrent is meant (BEP 46): key, and salt where there is one.
fn publisher(magnet: &Magnet) -> Option<String> {
    let publisher = magnet.publisher.as_ref()?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let salt = if publisher.salt.is_empty() { "" } else { "/" };
    Some(format!("{}{salt}{}", hex(&publisher.key), hex(&publisher.salt)))
}

fn row(key: &str, value: &str) {
    line(&format!("{key:<13} {}", printable(value)));
}

fn print_hashes(v1: Option<String>, v2: Option<String>) {
    if let Some(hash) = v1 {
        row("Info-hash", &hash);
    }
    if let Some(hash) = v2 {
        row("Info-hash v2", &hash);
    }
}

/// Prints what a torrent says, for people.
pub fn print_torrent(metainfo: &Metainfo, verbose: u8) {
    row("Name", metainfo.name());
    if let Some(name) = metainfo.name_in_torrent() {
        row("", &format!("(instead of '{name}', which the torrent says)"));
    }
    let hashes = metainfo.info_hashes();
    print_hashes(hashes.v1.map(|hash| hash.to_hex()), hashes.v2.map(|hash| hash.to_hex()));
    let length = metainfo.layout().payload_length();
    row("Size", &format!("{} ({length} bytes)", size(length)));
    let (pieces, each) = (metainfo.geometry().pieces(), metainfo.geometry().piece_length());
    row("Pieces", &format!("{pieces} of {}", size(each.into())));
    print_private(metainfo);
    for (tier, urls) in metainfo.trackers().iter().enumerate() {
        let urls: Vec<_> = urls.iter().map(|url| without_passkey(url, verbose)).collect();
        row(if tier == 0 { "Trackers" } else { "" }, &urls.join(", "));
    }
    for url in metainfo.web_seeds() {
        row("Web seed", &without_passkey(url, verbose));
    }
    for url in metainfo.http_seeds() {
        row("HTTP seed", &without_passkey(url, verbose));
    }
    for node in metainfo.nodes() {
        row("DHT node", &format!("{}:{}", node.host, node.port));
    }
    let optional = [
        ("Comment", metainfo.comment().map(str::to_owned)),
        ("Created by", metainfo.created_by().map(str::to_owned)),
        ("Created on", metainfo.creation_date().map(date)),
        ("Source", metainfo.source().map(str::to_owned)),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            row(key, &value);
        }
    }
    print_elsewhere(metainfo);
    print_files(metainfo);
}

/// Names that are not the same on other systems.
fn print_elsewhere(metainfo: &Metainfo) {
    let others = metainfo.layout().names_for(Naming::PORTABLE);
    if let Some(path) = others.values().next() {
        let more = match others.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        row("Elsewhere", &format!("{}{more}, where names cannot be as they are", path.join("/")));
    }
}

fn print_private(metainfo: &Metainfo) {
    match (metainfo.is_private(), metainfo.trackers().iter().flatten().next()) {
        (false, _) => {}
        (true, Some(_)) => row("Private", "yes: peers come from its trackers only"),
        (true, None) => row("Private", "yes, but it names no tracker, so no peers can be found"),
    }
}

/// A moment in seconds since 1970.
fn date(seconds: i64) -> String {
    /// The end of the year 9999.
    const LAST: u64 = 253_402_300_799;
    match u64::try_from(seconds).ok().filter(|seconds| *seconds <= LAST) {
        Some(seconds) => {
            let moment = UNIX_EPOCH + Duration::from_secs(seconds);
            let text = humantime::format_rfc3339_seconds(moment).to_string();
            text.replace('T', " ").replace('Z', " UTC")
        }
        None => format!("{seconds} seconds after 1970, which is no date"),
    }
}

/// The files as a tree, with the numbers that `--select` takes.
fn print_files(metainfo: &Metainfo) {
    let shown = listed(metainfo).filter(|(_, file)| !file.attributes.pad);
    row("Files", &shown.clone().count().to_string());
    let said = metainfo.paths_in_torrent();
    let mut open: Vec<&str> = Vec::new();
    for (index, file) in shown {
        let Some((name, folders)) = file.path.split_last() else { continue };
        let same = open.iter().zip(folders).take_while(|(a, b)| **a == b.as_str()).count();
        open.truncate(same);
        for folder in &folders[same..] {
            let indent = "  ".repeat(open.len());
            line(&format!("{:>5}  {:>10}  {indent}{}/", "", "", printable(folder)));
            open.push(folder);
        }
        let indent = "  ".repeat(open.len());
        let target = file.symlink.as_ref().map(|target| format!(" -> {}", target.join("/")));
        let name = printable(&format!("{name}{}", target.unwrap_or_default()));
        line(&format!("{:>5}  {:>10}  {indent}{name}", index + 1, size(file.length)));
        if let Some(said) = said.get(&(index as u32)) {
            line(&format!("{:>19}{indent}(the torrent says '{}')", "", printable(said)));
        }
    }
}

fn print_magnet(magnet: &Magnet, verbose: u8) {
    row("Name", magnet.name.as_deref().unwrap_or("(not said)"));
    print_hashes(magnet.v1.map(|hash| hash.to_hex()), magnet.v2.map(|hash| hash.to_hex()));
    if let Some(publisher) = publisher(magnet) {
        row("Publisher", &publisher);
    }
    magnet.trackers.iter().for_each(|url| row("Tracker", &without_passkey(url, verbose)));
    magnet.web_seeds.iter().for_each(|url| row("Web seed", &without_passkey(url, verbose)));
    let peers = magnet.peers.iter().map(ToString::to_string);
    peers.chain(magnet.named_peers.iter().cloned()).for_each(|peer| row("Peer", &peer));
    magnet.nodes.iter().for_each(|node| row("DHT node", node));
    if let Some(selected) = magnet.select_only.as_ref().filter(|selected| !selected.is_empty()) {
        let numbers: Vec<_> = selected.iter().map(|index| (index + 1).to_string()).collect();
        row("Files wanted", &numbers.join(","));
    }
    row("Files", "(--files fetches the list from peers)");
}

#[cfg(test)]
mod tests {
    //! Unit tests of dates.

    use super::date;

    #[test]
    fn a_date_is_one_or_is_said_to_be_none() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(1_700_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(date(253_402_300_799), "9999-12-31 23:59:59 UTC");
        for odd in [-1, 253_402_300_800, i64::MAX, i64::MIN] {
            assert!(date(odd).contains("no date"), "{odd}");
        }
    }
}
