//! What commands print with `--json` when they end, as types. Events while something runs are in `progress/events.rs`.

use eddyline::metainfo::{FileEntry, Magnet, Metainfo};
use serde::Serialize;

/// `info --json` of a torrent.
#[derive(Debug, Serialize)]
pub struct TorrentInfo<'a> {
    kind: &'static str,
    name: &'a str,
    name_in_torrent: Option<String>,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    piece_length: u32,
    pieces: u32,
    length: u64,
    files: Vec<FileInfo>,
    trackers: &'a [Vec<String>],
    web_seeds: &'a [String],
    http_seeds: &'a [String],
    nodes: Vec<String>,
    private: bool,
    comment: Option<&'a str>,
    created_by: Option<&'a str>,
    creation_date: Option<i64>,
    source: Option<&'a str>,
    magnet: String,
}

impl<'a> TorrentInfo<'a> {
    /// What `metainfo` says, of these files.
    pub fn of(metainfo: &'a Metainfo, files: impl Iterator<Item = (u32, &'a FileEntry)>) -> Self {
        let mut said = metainfo.paths_in_torrent();
        let node = |node: &eddyline::metainfo::Node| format!("{}:{}", node.host, node.port);
        Self {
            kind: "torrent",
            name: metainfo.name(),
            name_in_torrent: metainfo.name_in_torrent(),
            info_hash_v1: metainfo.info_hashes().v1.map(|hash| hash.to_hex()),
            info_hash_v2: metainfo.info_hashes().v2.map(|hash| hash.to_hex()),
            piece_length: metainfo.geometry().piece_length(),
            pieces: metainfo.geometry().pieces(),
            length: metainfo.layout().payload_length(),
            files: files.map(|(n, file)| FileInfo::of(file, said.remove(&n))).collect(),
            trackers: metainfo.trackers(),
            web_seeds: metainfo.web_seeds(),
            http_seeds: metainfo.http_seeds(),
            nodes: metainfo.nodes().iter().map(node).collect(),
            private: metainfo.is_private(),
            comment: metainfo.comment(),
            created_by: metainfo.created_by(),
            creation_date: metainfo.creation_date(),
            source: metainfo.source(),
            magnet: metainfo.magnet().to_string(),
        }
    }
}

/// A file in [`TorrentInfo`].
#[derive(Debug, Serialize)]
pub struct FileInfo {
    path: String,
    length: u64,
    pad: bool,
    symlink: Option<String>,
    executable: bool,
    hidden: bool,
    path_in_torrent: Option<String>,
}

impl FileInfo {
    fn of(file: &FileEntry, path_in_torrent: Option<String>) -> Self {
        Self {
            path: file.display_path(),
            length: file.length,
            pad: file.attributes.pad,
            symlink: file.symlink.as_ref().map(|target| target.join("/")),
            executable: file.attributes.executable,
            hidden: file.attributes.hidden,
            path_in_torrent,
        }
    }
}

/// `info --json` of a magnet.
#[derive(Debug, Serialize)]
pub struct MagnetInfo<'a> {
    kind: &'static str,
    name: Option<&'a str>,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    trackers: &'a [String],
    web_seeds: &'a [String],
    peers: Vec<String>,
    publisher: Option<String>,
    select_only: &'a [u32],
}

impl<'a> MagnetInfo<'a> {
    /// What `magnet` says; `publisher` is who says in the DHT which torrent is meant.
    pub fn of(magnet: &'a Magnet, publisher: Option<String>) -> Self {
        let mut peers: Vec<String> = magnet.peers.iter().map(ToString::to_string).collect();
        peers.extend(magnet.named_peers.iter().cloned());
        Self {
            kind: "magnet",
            name: magnet.name.as_deref(),
            info_hash_v1: magnet.v1.map(|hash| hash.to_hex()),
            info_hash_v2: magnet.v2.map(|hash| hash.to_hex()),
            trackers: &magnet.trackers,
            web_seeds: &magnet.web_seeds,
            peers,
            publisher,
            select_only: magnet.select_only.as_deref().unwrap_or_default(),
        }
    }
}

/// `create --json`.
#[derive(Debug, Serialize)]
pub struct Created<'a> {
    /// The torrent that was made.
    #[serde(flatten)]
    pub torrent: TorrentInfo<'a>,
    /// Where it was written to.
    pub output: String,
    /// Whether it was.
    pub written: bool,
    /// What did not go into it.
    pub left_out: Vec<LeftOut>,
}

/// Something that did not go into a torrent.
#[derive(Debug, Serialize)]
pub struct LeftOut {
    /// Where it is.
    pub path: String,
    /// Why it was left out.
    pub why: &'static str,
}

/// `verify --json`.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Pieces in all.
    pub pieces: usize,
    /// Good ones.
    pub good: usize,
    /// Numbers of bad ones.
    pub bad: Numbers,
    /// Numbers of those of which something is not there.
    pub missing: Numbers,
    /// The files.
    pub files: Vec<VerifiedFile>,
    /// Whether everything is as the torrent says.
    pub complete: bool,
}

/// Numbers one by one where they are few, else as ranges.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Numbers {
    /// Each.
    Each(Vec<u32>),
    /// The first and the last of each range.
    Ranges(Vec<(u32, u32)>),
}

/// A file in [`Verified`].
#[derive(Debug, Serialize)]
pub struct VerifiedFile {
    /// Its path in the torrent.
    pub path: String,
    /// Its length there.
    pub length: u64,
    /// Bytes in good pieces.
    pub good: u64,
    /// Bytes behind its end.
    pub excess: u64,
    /// The path that it has, where that is another one.
    pub found_as: Option<String>,
    /// The path that the torrent gives it, where no such file would be made.
    pub path_in_torrent: Option<String>,
}

/// A torrent in `session verify --json`.
#[derive(Debug, Serialize)]
pub struct SessionVerified {
    /// Its identity in hex.
    pub info_hash: String,
    /// Its name.
    pub name: String,
    /// Pieces in all.
    pub pieces: u32,
    /// Good ones.
    pub good: u32,
    /// Wanted bytes that are good.
    pub done: u64,
    /// Wanted bytes.
    pub length: u64,
    /// Wanted files that are longer than the torrent says.
    pub too_long: Vec<String>,
    /// Whether all of that is good, and none too long.
    pub complete: bool,
}

/// A torrent in `session remove --json`.
#[derive(Debug, Serialize)]
pub struct Removed {
    /// Its identity in hex.
    pub info_hash: String,
    /// Its name.
    pub name: String,
}

/// A torrent in `session list --json`, and of commands that change some.
#[derive(Debug, Serialize)]
pub struct Listed<'a> {
    /// Its identity in hex.
    pub info_hash: &'a str,
    /// The same, by the name that it had first.
    pub hash: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What it does.
    pub state: &'a str,
    /// Why it stands still.
    pub error: Option<&'a str>,
    /// Whether the user has paused it, or it has reached its goal.
    pub paused: bool,
    /// Wanted bytes that are here.
    pub done: u64,
    /// Wanted bytes.
    pub length: u64,
    /// Bytes in all.
    pub size: i64,
    /// Good pieces.
    pub good: u32,
    /// Pieces in all.
    pub pieces: u32,
    /// Bytes per second from peers.
    pub down_rate: u64,
    /// Bytes per second to peers.
    pub up_rate: u64,
    /// Bytes sent in all runs.
    pub uploaded: u64,
    /// Connected peers.
    pub peers: u32,
    /// Those that have everything.
    pub seeds: u32,
    /// Where it lies.
    pub folder: &'a str,
    /// Where it is on its way to.
    pub moving_to: Option<&'a str>,
    /// Bytes that are there, and all that go there, while somebody works on that.
    pub moved: Option<(u64, u64)>,
    /// Whether pieces are fetched in order.
    pub sequential: bool,
    /// Its limit, in bytes per second.
    pub max_down: Option<u64>,
    /// Its limit, in bytes per second.
    pub max_up: Option<u64>,
    /// The ratio at which seeding ends.
    pub seed_ratio: Option<f64>,
    /// The seconds after which it does.
    pub seed_time: Option<u64>,
    /// Its trackers, while a session runs and has it in memory.
    pub trackers: Vec<ListedTracker<'a>>,
    /// Its web seeds, at the same time.
    pub web_seeds: Vec<ListedWebSeed<'a>>,
}

/// A web seed in [`Listed`].
#[derive(Debug, Serialize)]
pub struct ListedWebSeed<'a> {
    /// Its URL, without passwords unless they are asked for.
    pub url: String,
    /// How it stands with it, in a word or two.
    pub state: &'a str,
    /// Failures in a row.
    pub failures: u32,
    /// What was wrong last.
    pub error: Option<&'a str>,
    /// Requests in progress.
    pub requests: u32,
    /// Bytes per second from it.
    pub down_rate: u64,
    /// Bytes from it in this run.
    pub downloaded: u64,
}

/// A tracker in [`Listed`].
#[derive(Debug, Serialize)]
pub struct ListedTracker<'a> {
    /// Its URL, without passkeys unless they are asked for.
    pub url: String,
    /// Its tier, from 0 on.
    pub tier: u32,
    /// How it stands with it, in a word or two.
    pub state: &'a str,
    /// Failures in a row.
    pub failures: u32,
    /// What was wrong last.
    pub error: Option<&'a str>,
    /// When it is asked next, in seconds since 1970.
    pub next_announce: Option<u64>,
    /// Peers that it named last.
    pub peers: u32,
    /// Seeds that it knows of.
    pub seeds: Option<u32>,
    /// Leechers that it knows of.
    pub leechers: Option<u32>,
    /// Downloads that it has counted.
    pub downloads: Option<u32>,
}
