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
use super::magnet::Magnet;
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

/// Everything a `.torrent` says, checked: paths are safe, sizes consistent, layers proven.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Metainfo {
    /// Both identities.
    pub info_hashes: InfoHashes,
    /// The suggested name, made safe: the file's name, or the folder around all files.
    pub name: String,
    /// The files and their places in the content.
    pub layout: Layout,
    /// Pieces and blocks.
    pub geometry: Geometry,
    /// The v1 piece hashes, 20 bytes each; empty for v2-only torrents.
    pub piece_hashes: Bytes,
    /// The v2 piece layers by `pieces root`, 32 bytes a piece, each proven against its root.
    pub piece_layers: BTreeMap<Sha256Hash, Bytes>,
    /// Trackers in tiers (BEP 12), order as found.
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// HTTP seeds (BEP 17).
    pub http_seeds: Vec<String>,
    /// DHT nodes (BEP 5).
    pub nodes: Vec<Node>,
    /// Peers only from trackers (BEP 27).
    pub private: bool,
    /// Free text.
    pub comment: Option<String>,
    /// The program that made the torrent.
    pub created_by: Option<String>,
    /// Seconds since 1970.
    pub creation_date: Option<i64>,
    /// The `source` key by which private trackers make info-hashes their own.
    pub source: Option<String>,
    /// The info dictionary byte for byte: what the identities are hashes of.
    pub info: Bytes,
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
        metainfo.trackers = trackers(&root);
        metainfo.web_seeds = urls(root.get(b"url-list"));
        metainfo.http_seeds = urls(root.get(b"httpseeds"));
        metainfo.nodes = nodes(&root);
        metainfo.comment = text(&root, b"comment.utf-8").or_else(|| text(&root, b"comment"));
        metainfo.created_by =
            text(&root, b"created by.utf-8").or_else(|| text(&root, b"created by"));
        metainfo.creation_date = root.get(b"creation date").and_then(|v| v.as_int());
        Ok(metainfo)
    }

    /// Whether files, pieces and hashes fit each other. So it is with what was parsed; what was put
    /// together by hand, or read from a trace, may be otherwise.
    pub(crate) fn is_consistent(&self) -> bool {
        let hashes = self.piece_hashes.len() as u64;
        self.layout.is_consistent()
            && self.layout.length() == self.geometry.length()
            && (self.info_hashes.v1.is_none() || hashes == u64::from(self.geometry.pieces()) * 20)
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
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            http_seeds: Vec::new(),
            nodes: Vec::new(),
            private: info.get(b"private").and_then(|v| v.as_int()) == Some(1),
            comment: None,
            created_by: None,
            creation_date: None,
            source: text(&info, b"source"),
            info: raw,
        })
    }

    /// The expected SHA-1 of v1 piece `piece`.
    pub fn piece_hash(&self, piece: u32) -> Option<Sha1Hash> {
        let start = piece as usize * 20;
        Sha1Hash::from_slice(self.piece_hashes.get(start..start + 20)?)
    }

    /// The name as the torrent has it, where [`Self::name`] is another one: because it would not have
    /// been safe, or because a single file of v2 goes by its name in the tree.
    pub fn name_in_torrent(&self) -> Option<String> {
        let document = scan(&self.info, Limits::METAINFO, Mode::Lenient).ok()?;
        let raw = String::from_utf8_lossy(raw_name(&document.root())?).into_owned();
        (raw != self.name).then_some(raw)
    }

    /// The magnet URI that leads to this torrent.
    pub fn magnet(&self) -> Magnet {
        Magnet {
            v1: self.info_hashes.v1,
            v2: self.info_hashes.v2,
            name: Some(self.name.clone()),
            trackers: self.trackers.concat(),
            web_seeds: self.web_seeds.clone(),
            ..Magnet::default()
        }
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

fn raw_name<'a>(info: &Value<'a, '_>) -> Option<&'a [u8]> {
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
    let list = file.get(b"path.utf-8").filter(Value::is_list).or_else(|| file.get(b"path"));
    let list = list.filter(Value::is_list).ok_or(MetainfoError::Name)?;
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
    attributes.pad |= parts.last().is_some_and(|last| last.starts_with(b"_____padding_file_"));
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
