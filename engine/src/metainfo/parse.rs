//! Reading `.torrent` files of v1 (BEP 3), v2 and hybrid kind (BEP 52).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::MetainfoError;
use super::files::{FileAttributes, FileEntry, Layout};
use super::geometry::{Geometry, MAX_PIECE_LENGTH};
use super::limits::{Distinct, MAX_NODES, MAX_TRACKERS, MAX_URL_BYTES, MAX_WEB_SEEDS};
use super::names::{MAX_PATH_DEPTH, Naming, PathBudget, extend_safely, own_path, safe_name};
use super::parse_v2;
use super::unclash::unclash;
use crate::base::hash::{Sha1Hash, Sha256Hash};
use crate::bencode::{Limits, Mode, Value, scan};

/// The identities of a torrent. At least one is present.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct InfoHashes {
    /// SHA-1 of the info dictionary, for v1 and hybrid torrents.
    pub v1: Option<Sha1Hash>,
    /// SHA-256 of the info dictionary, for v2 and hybrid torrents.
    pub v2: Option<Sha256Hash>,
}

impl InfoHashes {
    /// The 20 bytes that stand for the torrent in handshakes and announces: v1 where there is one,
    /// else the truncated v2 hash (BEP 52).
    pub fn wire(&self) -> Sha1Hash {
        self.v1.or_else(|| self.v2.map(Sha256Hash::truncated)).unwrap_or(Sha1Hash([0; 20]))
    }
}

/// A DHT node named by a torrent (BEP 5).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Host name or address.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

/// Everything a `.torrent` says, checked: paths are safe, sizes consistent, layers proven. It comes
/// into being by parsing only; what is stored of it is parsed again when it is read.
#[derive(Clone, Debug)]
pub struct Metainfo {
    pub(super) info_hashes: InfoHashes,
    pub(super) name: String,
    pub(super) layout: Layout,
    pub(super) geometry: Geometry,
    pub(super) piece_hashes: Bytes,
    pub(super) piece_layers: BTreeMap<Sha256Hash, Bytes>,
    pub(super) private: bool,
    pub(super) source: Option<String>,
    pub(super) info: Bytes,
    pub(super) outside: Outside,
    /// It stands for a torrent whose names must not be told, and `info` is only as long as that one's.
    pub(super) stand_in: bool,
}

/// What a `.torrent` says outside of its info dictionary: no hash covers it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Outside {
    pub(super) trackers: Vec<Vec<String>>,
    pub(super) web_seeds: Vec<String>,
    pub(super) http_seeds: Vec<String>,
    pub(super) nodes: Vec<Node>,
    pub(super) comment: Option<String>,
    pub(super) created_by: Option<String>,
    pub(super) creation_date: Option<i64>,
}

impl Metainfo {
    /// Parses a `.torrent`. Bytes behind the outermost dictionary are ignored, as everyone does.
    ///
    /// # Errors
    /// The first rule that the file breaks; see [`MetainfoError`].
    pub fn parse(input: &[u8]) -> Result<Self, MetainfoError> {
        let document = scan(input, Limits::METAINFO, Mode::Lenient)?;
        let root = document.root();
        let info = root.get(b"info").filter(Value::is_dict).ok_or(MetainfoError::NoInfo)?;
        let mut metainfo = Self::from_info_value(info)?;
        if metainfo.info_hashes.v2.is_some() {
            let layers = root.get(b"piece layers");
            metainfo.piece_layers =
                parse_v2::piece_layers(layers, &metainfo.layout, metainfo.geometry)?;
        }
        metainfo.outside = Outside {
            trackers: trackers(&root),
            web_seeds: urls(root.get(b"url-list")),
            http_seeds: urls(root.get(b"httpseeds")),
            nodes: nodes(&root),
            comment: text(&root, b"comment.utf-8").or_else(|| text(&root, b"comment")),
            created_by: text(&root, b"created by.utf-8").or_else(|| text(&root, b"created by")),
            creation_date: root.get(b"creation date").and_then(|v| v.as_int()),
        };
        Ok(metainfo)
    }

    /// Parses a bare info dictionary, as metadata exchange (BEP 9) delivers it.
    ///
    /// # Errors
    /// The first rule that the dictionary breaks.
    pub fn parse_info(input: &[u8]) -> Result<Self, MetainfoError> {
        let document = scan(input, Limits::METAINFO, Mode::Lenient)?;
        let root = document.root();
        if !root.is_dict() {
            return Err(MetainfoError::NoInfo);
        }
        Self::from_info_value(root)
    }

    fn from_info_value(info: Value<'_, '_>) -> Result<Self, MetainfoError> {
        let v2 = parse_v2::is_v2(&info)?;
        let piece_length = piece_length(&info, v2)?;
        // A hybrid is a v1 torrent with a file tree beside it; its v1 half decides the layout.
        let v1 = !v2 || info.get(b"pieces").is_some();
        let raw = Bytes::copy_from_slice(info.raw());
        let info_hashes =
            InfoHashes { v1: v1.then(|| Sha1Hash::of(&raw)), v2: v2.then(|| Sha256Hash::of(&raw)) };
        let name = Name::of(&info, info_hashes)?;
        let budget = || PathBudget::for_info(info.raw().len());
        let v2_layout = match v2 {
            true => Some(parse_v2::layout(&info, &name, v1, piece_length, budget())?),
            false => None,
        };
        let mut layout = if v1 { v1_layout(&info, &name, budget())? } else { Layout::default() };
        match v2_layout {
            Some(tree) if v1 => parse_v2::merge_hybrid(&mut layout, &tree, piece_length)?,
            Some(tree) => layout = tree,
            None => {}
        }
        // A single file of a v2 torrent goes by its name in the tree.
        let name = match layout.files() {
            [only] if only.path.len() == 1 => only.path[0].clone(),
            _ => name.safe,
        };
        if layout.files().is_empty() || (v2 && layout.length() == 0) {
            return Err(MetainfoError::Length);
        }
        let geometry =
            Geometry::new(layout.length(), piece_length).ok_or(MetainfoError::TooManyPieces)?;
        let piece_hashes = if v1 { piece_hashes(&info, geometry)? } else { Bytes::new() };
        unclash(&mut layout, Naming::POSIX);
        Ok(Self {
            info_hashes,
            name,
            layout,
            geometry,
            piece_hashes,
            piece_layers: BTreeMap::new(),
            private: info.get(b"private").and_then(|v| v.as_int()) == Some(1),
            source: text(&info, b"source"),
            info: raw,
            outside: Outside::default(),
            stand_in: false,
        })
    }
}

fn piece_length(info: &Value<'_, '_>, v2: bool) -> Result<u32, MetainfoError> {
    let length = info.get(b"piece length").and_then(|v| v.as_int());
    let length = length
        .and_then(|length| u32::try_from(length).ok())
        .filter(|length| (1..=MAX_PIECE_LENGTH).contains(length))
        .ok_or(MetainfoError::PieceLength)?;
    // BEP 52: a power of two of at least 16 KiB.
    if v2 && (!length.is_power_of_two() || length < super::BLOCK_LENGTH) {
        return Err(MetainfoError::PieceLength);
    }
    Ok(length)
}

/// The name of a torrent.
pub(super) struct Name<'a> {
    /// As it is safe to be created.
    pub(super) safe: String,
    /// As the torrent has it.
    pub(super) raw: &'a [u8],
}

impl<'a> Name<'a> {
    /// A folder of which the torrent says no usable name goes by the info-hash, as it does elsewhere.
    fn of(info: &Value<'a, '_>, hashes: InfoHashes) -> Result<Self, MetainfoError> {
        let raw = raw_name(info).ok_or(MetainfoError::Name)?;
        let is_folder = match info.get(b"file tree") {
            None => info.get(b"files").is_some(),
            Some(tree) => info.get(b"length").is_none() && tree.get(raw).is_none(),
        };
        let by_hash = || is_folder.then(|| hashes.wire().to_hex());
        let safe = safe_name(raw, Naming::POSIX).or_else(by_hash).ok_or(MetainfoError::Name)?;
        Ok(Self { safe, raw })
    }
}

pub(super) fn raw_name<'a>(info: &Value<'a, '_>) -> Option<&'a [u8]> {
    let other = || info.get(b"name").and_then(|v| v.as_bytes());
    utf8_variant(info, b"name.utf-8").or_else(other)
}

/// The `.utf-8` spelling of a key, where it is there and really is UTF-8.
fn utf8_variant<'a>(dict: &Value<'a, '_>, key: &[u8]) -> Option<&'a [u8]> {
    dict.get(key).and_then(|v| v.as_str()).filter(|s| !s.is_empty()).map(str::as_bytes)
}

fn v1_layout(
    info: &Value<'_, '_>,
    name: &Name<'_>,
    mut budget: PathBudget,
) -> Result<Layout, MetainfoError> {
    let Some(files) = info.get(b"files") else {
        let length = file_length(info)?;
        let entry = FileEntry {
            path: vec![name.safe.clone()],
            length,
            offset: 0,
            attributes: attributes(info),
            symlink: None,
            pieces_root: None,
            own: own_path(&[name.raw], core::slice::from_ref(&name.safe)),
        };
        return Layout::new(vec![entry]).ok_or(MetainfoError::Length);
    };
    if !files.is_list() {
        return Err(MetainfoError::Length);
    }
    let mut entries = Vec::new();
    for file in files.items() {
        entries.push(v1_file(&file, name, &mut budget)?);
    }
    Layout::new(entries).ok_or(MetainfoError::Length)
}

/// What names of padding begin with that is not marked as BEP 47 has it.
const OLD_PADDING: &[u8] = b"_____padding_file_";

fn path_list<'a, 'd>(file: &Value<'a, 'd>) -> Option<Value<'a, 'd>> {
    let list = file.get(b"path.utf-8").filter(Value::is_list).or_else(|| file.get(b"path"));
    list.filter(Value::is_list)
}

/// The paths of all files that are no padding, in their order and as the torrent has them.
pub(super) fn said_paths<'a>(info: &Value<'a, '_>) -> Vec<Vec<&'a [u8]>> {
    let Some(name) = raw_name(info) else { return Vec::new() };
    if info.get(b"pieces").is_none() && info.get(b"file tree").is_some() {
        return parse_v2::said_paths(info, name);
    }
    let Some(files) = info.get(b"files") else { return vec![vec![name]] };
    let path = |file: Value<'a, '_>| {
        let list = path_list(&file)?;
        let parts: Vec<_> = list.items().filter_map(|part| part.as_bytes()).collect();
        let old = parts.last().is_some_and(|last| last.starts_with(OLD_PADDING));
        (!attributes(&file).pad && !old).then(|| [&[name], &parts[..]].concat())
    };
    files.items().filter_map(path).collect()
}

fn v1_file(
    file: &Value<'_, '_>,
    name: &Name<'_>,
    budget: &mut PathBudget,
) -> Result<FileEntry, MetainfoError> {
    if !file.is_dict() {
        return Err(MetainfoError::Files);
    }
    let mut attributes = attributes(file);
    let symlink = symlink(file, &name.safe, budget)?;
    let length = if symlink.is_some() { 0 } else { file_length(file)? };
    let list = path_list(file).ok_or(MetainfoError::Name)?;
    let mut parts = vec![name.raw];
    for part in list.items() {
        parts.push(part.as_bytes().ok_or(MetainfoError::Name)?);
    }
    if parts.len() == 1 {
        return Err(MetainfoError::Name);
    }
    if parts.len() > MAX_PATH_DEPTH + 1 {
        return Err(MetainfoError::PathTooDeep);
    }
    // Padding as it was marked before BEP 47.
    attributes.pad |= parts.last().is_some_and(|last| last.starts_with(OLD_PADDING));
    let mut path = vec![name.safe.clone()];
    extend_safely(&mut path, parts[1..].iter().copied());
    if path.len() == 1 {
        path.push("_".into());
    }
    let own = own_path(&parts, &path).filter(|_| !attributes.pad);
    budget.take_file()?;
    budget.take(&path)?;
    budget.take(own.as_deref().unwrap_or_default())?;
    Ok(FileEntry { path, length, offset: 0, attributes, symlink, pieces_root: None, own })
}

pub(super) fn file_length(file: &Value<'_, '_>) -> Result<u64, MetainfoError> {
    let length = file.get(b"length").and_then(|v| v.as_int()).ok_or(MetainfoError::Length)?;
    u64::try_from(length).map_err(|_| MetainfoError::Length)
}

pub(super) fn attributes(file: &Value<'_, '_>) -> FileAttributes {
    let attr = file.get(b"attr").and_then(|v| v.as_bytes()).unwrap_or_default();
    FileAttributes {
        pad: attr.contains(&b'p'),
        executable: attr.contains(&b'x'),
        hidden: attr.contains(&b'h'),
    }
}

/// The target of a symbolic link, always inside the torrent's own folder (BEP 47).
pub(super) fn symlink(
    file: &Value<'_, '_>,
    name: &str,
    budget: &mut PathBudget,
) -> Result<Option<Vec<String>>, MetainfoError> {
    let attr = file.get(b"attr").and_then(|v| v.as_bytes()).unwrap_or_default();
    let target = file.get(b"symlink path").filter(|v| v.is_list() && attr.contains(&b'l'));
    let Some(target) = target else { return Ok(None) };
    let mut path = vec![String::from(name)];
    for part in target.items() {
        let Some(part) = part.as_bytes() else { return Ok(None) };
        extend_safely(&mut path, core::iter::once(part));
        if path.len() > MAX_PATH_DEPTH {
            return Err(MetainfoError::PathTooDeep);
        }
    }
    budget.take(&path)?;
    Ok(Some(path))
}

fn piece_hashes(info: &Value<'_, '_>, geometry: Geometry) -> Result<Bytes, MetainfoError> {
    let pieces = info.get(b"pieces").and_then(|v| v.as_bytes()).ok_or(MetainfoError::Pieces)?;
    if pieces.len() as u64 != u64::from(geometry.pieces()) * 20 {
        return Err(MetainfoError::PieceCount);
    }
    Ok(Bytes::copy_from_slice(pieces))
}

fn text(dict: &Value<'_, '_>, key: &[u8]) -> Option<String> {
    let bytes = dict.get(key)?.as_bytes()?;
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// A string, or the strings of a list; everything else in it is left out.
fn strings<'a>(value: Option<Value<'a, '_>>) -> impl Iterator<Item = &'a str> {
    let one = value.and_then(|value| value.as_str());
    let many = value.into_iter().flat_map(|value| value.items());
    one.into_iter().chain(many.filter_map(|item| item.as_str())).map(str::trim)
}

fn is_url_sized(url: &&str) -> bool {
    (1..=MAX_URL_BYTES).contains(&url.len())
}

/// URLs of web seeds, each once.
fn urls(value: Option<Value<'_, '_>>) -> Vec<String> {
    let mut urls = Distinct::new(MAX_WEB_SEEDS);
    for url in strings(value).filter(is_url_sized) {
        urls.add(url);
    }
    urls.into_vec().into_iter().map(String::from).collect()
}

/// The tiers of `announce-list`, else `announce` (BEP 12). What is no tracker URL is left out.
fn trackers(root: &Value<'_, '_>) -> Vec<Vec<String>> {
    let is_tracker = |url: &&str| {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        ["http", "https", "udp", "ws", "wss"].iter().any(|s| scheme.eq_ignore_ascii_case(s))
    };
    let tier_of = |value, room| -> Vec<String> {
        let mut tier = Distinct::new(room);
        for url in strings(value).filter(is_url_sized).filter(is_tracker) {
            tier.add(url);
        }
        tier.into_vec().into_iter().map(String::from).collect()
    };
    let mut tiers: Vec<Vec<String>> = Vec::new();
    let mut room = MAX_TRACKERS;
    let list = root.get(b"announce-list");
    for tier in list.iter().flat_map(|list| list.items()).filter(Value::is_list) {
        if room == 0 {
            break;
        }
        let urls = tier_of(Some(tier), room);
        room -= urls.len();
        tiers.extend((!urls.is_empty()).then_some(urls));
    }
    if tiers.is_empty() {
        let urls = tier_of(root.get(b"announce"), room);
        tiers.extend(urls.into_iter().map(|url| vec![url]));
    }
    tiers
}

fn nodes(root: &Value<'_, '_>) -> Vec<Node> {
    let Some(list) = root.get(b"nodes") else { return Vec::new() };
    let mut nodes = Distinct::new(MAX_NODES);
    for node in list.items() {
        let mut parts = node.items();
        let host = parts.next().and_then(|host| host.as_str()).map(str::trim).unwrap_or_default();
        let port = parts.next().and_then(|port| u16::try_from(port.as_int()?).ok()).unwrap_or(0);
        if (1..=MAX_URL_BYTES).contains(&host.len()) && port != 0 {
            nodes.add((host, port));
        }
    }
    nodes.into_vec().into_iter().map(|(host, port)| Node { host: host.into(), port }).collect()
}
