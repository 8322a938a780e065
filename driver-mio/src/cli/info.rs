//! `info` and `magnet`: what a torrent or a magnet says.

use std::process::ExitCode;

use clap::ArgMatches;
use eddyline::metainfo::{FileEntry, Magnet, Metainfo};
use serde_json::{Value, json};

use super::exit::Failure;
use eddyline_mio::dns::Names;

use super::output::{json as print_json, line, printable};
use super::source::{Source, load, load_torrent};
use super::units::size;

/// Prints what a source says.
pub fn info(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let text = matches.get_one::<String>("source").map_or("", String::as_str);
    let as_json = matches.get_flag("json");
    match load(text, &Names::default())? {
        Source::Torrent(metainfo) if as_json => print_json(&torrent_json(&metainfo)),
        Source::Torrent(metainfo) => print_torrent(&metainfo),
        Source::Magnet(magnet) if as_json => print_json(&magnet_json(&magnet)),
        Source::Magnet(magnet) => print_magnet(&magnet),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the magnet URI of a torrent.
pub fn magnet(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let text = matches.get_one::<String>("torrent").map_or("", String::as_str);
    line(&load_torrent(text, &Names::default())?.magnet().to_string());
    Ok(ExitCode::SUCCESS)
}

/// The files a `.torrent` names: the gaps that align v2 files are not among them.
fn listed(metainfo: &Metainfo) -> impl Iterator<Item = (usize, &FileEntry)> {
    let v1 = metainfo.info_hashes.v1.is_some();
    let files = metainfo.layout.files().iter().enumerate();
    files.filter(move |(_, file)| v1 || !file.attributes.pad)
}

/// What `info --json` prints of a torrent.
pub fn torrent_json(metainfo: &Metainfo) -> Value {
    let files: Vec<Value> = listed(metainfo)
        .map(|(_, file)| {
            json!({
                "path": file.display_path(),
                "length": file.length,
                "pad": file.attributes.pad,
                "symlink": file.symlink.as_ref().map(|target| target.join("/")),
                "executable": file.attributes.executable,
                "hidden": file.attributes.hidden,
            })
        })
        .collect();
    let nodes: Vec<String> =
        metainfo.nodes.iter().map(|node| format!("{}:{}", node.host, node.port)).collect();
    json!({
        "kind": "torrent",
        "name": metainfo.name,
        "name_in_torrent": metainfo.name_in_torrent(),
        "info_hash_v1": metainfo.info_hashes.v1.map(|hash| hash.to_hex()),
        "info_hash_v2": metainfo.info_hashes.v2.map(|hash| hash.to_hex()),
        "piece_length": metainfo.geometry.piece_length(),
        "pieces": metainfo.geometry.pieces(),
        "length": metainfo.layout.payload_length(),
        "files": files,
        "trackers": metainfo.trackers,
        "web_seeds": metainfo.web_seeds,
        "nodes": nodes,
        "private": metainfo.private,
        "comment": metainfo.comment,
        "created_by": metainfo.created_by,
        "creation_date": metainfo.creation_date,
        "source": metainfo.source,
        "magnet": metainfo.magnet().to_string(),
    })
}

fn magnet_json(magnet: &Magnet) -> Value {
    let mut peers: Vec<String> = magnet.peers.iter().map(ToString::to_string).collect();
    peers.extend(magnet.named_peers.iter().cloned());
    json!({
        "kind": "magnet",
        "name": magnet.name,
        "info_hash_v1": magnet.v1.map(|hash| hash.to_hex()),
        "info_hash_v2": magnet.v2.map(|hash| hash.to_hex()),
        "trackers": magnet.trackers,
        "web_seeds": magnet.web_seeds,
        "peers": peers,
        "publisher": publisher(magnet),
        "select_only": magnet.select_only.clone().unwrap_or_default(),
    })
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
pub fn print_torrent(metainfo: &Metainfo) {
    row("Name", &metainfo.name);
    if let Some(name) = metainfo.name_in_torrent() {
        row("", &format!("(the torrent says '{name}')"));
    }
    let hashes = metainfo.info_hashes;
    print_hashes(hashes.v1.map(|hash| hash.to_hex()), hashes.v2.map(|hash| hash.to_hex()));
    let length = metainfo.layout.payload_length();
    row("Size", &format!("{} ({length} bytes)", size(length)));
    let (pieces, each) = (metainfo.geometry.pieces(), metainfo.geometry.piece_length());
    row("Pieces", &format!("{pieces} of {}", size(each.into())));
    if metainfo.private {
        row("Private", "yes");
    }
    for (tier, urls) in metainfo.trackers.iter().enumerate() {
        row(if tier == 0 { "Trackers" } else { "" }, &urls.join(", "));
    }
    for url in &metainfo.web_seeds {
        row("Web seed", url);
    }
    let optional = [
        ("Comment", &metainfo.comment),
        ("Created by", &metainfo.created_by),
        ("Source", &metainfo.source),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            row(key, value);
        }
    }
    line("Files");
    for (index, file) in listed(metainfo).filter(|(_, file)| !file.attributes.pad) {
        let path = printable(&file.display_path());
        line(&format!("{:>5}  {:>10}  {path}", index + 1, size(file.length)));
    }
}

fn print_magnet(magnet: &Magnet) {
    row("Name", magnet.name.as_deref().unwrap_or("(not said)"));
    print_hashes(magnet.v1.map(|hash| hash.to_hex()), magnet.v2.map(|hash| hash.to_hex()));
    if let Some(publisher) = publisher(magnet) {
        row("Publisher", &publisher);
    }
    magnet.trackers.iter().for_each(|url| row("Tracker", url));
    magnet.web_seeds.iter().for_each(|url| row("Web seed", url));
    magnet.peers.iter().for_each(|peer| row("Peer", &peer.to_string()));
}
