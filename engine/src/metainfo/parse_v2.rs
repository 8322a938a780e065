//! The v2 parts of a torrent (BEP 52): file tree, piece layers, and their agreement with v1.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

use super::error::MetainfoError;
use super::files::{FileAttributes, FileEntry, Layout};
use super::geometry::Geometry;
use super::merkle::{layer_root, pad_hash};
use super::names::{MAX_PATH_DEPTH, PathBudget, extend_safely, own_path};
use super::parse::{Name, attributes, file_length, symlink};
use crate::base::hash::Sha256Hash;
use crate::bencode::Value;

/// Whether `info` has a v2 half.
pub(super) fn is_v2(info: &Value<'_, '_>) -> Result<bool, MetainfoError> {
    let version = info.get(b"meta version");
    match version.map(|v| v.as_int()) {
        Some(Some(2)) => Ok(true),
        Some(Some(1)) | None if info.get(b"file tree").is_none() => Ok(false),
        _ => Err(MetainfoError::MetaVersion),
    }
}

/// A part of the tree that waits to be looked at.
struct Waiting<'a, 'd> {
    /// How deep its folder is, in safe names and in names of the torrent.
    depth: usize,
    own_depth: usize,
    /// Its name, empty for the tree itself.
    key: &'a [u8],
    node: Value<'a, 'd>,
}

/// The files of the tree, padded so that each begins at a piece boundary. The tree is walked with a
/// stack of its own, in key order, which BEP 52 makes the content order.
///
/// One file at the top is the whole torrent, whatever its name, and anything more is in a folder of the
/// torrent's name. A hybrid says in its v1 half which it is.
pub(super) fn layout(
    info: &Value<'_, '_>,
    name: &Name<'_>,
    v1: bool,
    piece_length: u32,
    mut budget: PathBudget,
) -> Result<Layout, MetainfoError> {
    let tree = info.get(b"file tree").filter(Value::is_dict).ok_or(MetainfoError::NoFileTree)?;
    check_order(&tree)?;
    let is_folder = match v1 {
        true => info.get(b"files").is_some(),
        false => tree.entries().count() != 1 || !tree.entries().all(|(_, node)| is_file(&node)),
    };
    let mut entries = Vec::new();
    // The way to what is looked at, as it is safe and as the torrent has it.
    let mut path: Vec<String> = if is_folder { vec![name.safe.clone()] } else { Vec::new() };
    let mut own: Vec<&[u8]> = if is_folder { vec![name.raw] } else { Vec::new() };
    let top = path.len();
    let mut stack = vec![Waiting { depth: top, own_depth: top, key: b"", node: tree }];
    while let Some(Waiting { depth, own_depth, key, node }) = stack.pop() {
        path.truncate(depth);
        own.truncate(own_depth);
        if !node.is_dict() {
            return Err(MetainfoError::Files);
        }
        let at_top = key.is_empty();
        let properties = node.get(b"").filter(|_| !at_top);
        if !at_top {
            own.push(key);
        }
        if !is_folder && own == [name.raw] {
            path.push(name.safe.clone());
        } else {
            extend_safely(&mut path, core::iter::once(key));
        }
        if !at_top && (path.len() == top || (properties.is_some() && path.len() == depth)) {
            path.push("_".into());
        }
        if path.len() - top > MAX_PATH_DEPTH {
            return Err(MetainfoError::PathTooDeep);
        }
        if let Some(properties) = properties {
            // A file has no siblings below its own name.
            if node.entries().count() != 1 || !properties.is_dict() {
                return Err(MetainfoError::Files);
            }
            let own = own_path(&own, &path);
            budget.take_file()?;
            budget.take(&path)?;
            budget.take(own.as_deref().unwrap_or_default())?;
            let entry = file(&properties, path.clone(), &name.safe, &mut budget)?;
            entries.push(FileEntry { own, ..entry });
            continue;
        }
        let first = stack.len();
        for (key, node) in node.entries() {
            if key.is_empty() {
                return Err(MetainfoError::Files);
            }
            stack.push(Waiting { depth: path.len(), own_depth: own.len(), key, node });
        }
        stack[first..].reverse();
    }
    if entries.is_empty() {
        return Err(MetainfoError::Files);
    }
    Layout::new(with_pads(entries, piece_length)?).ok_or(MetainfoError::Length)
}

/// The paths in a tree that [`layout`] has taken, as the torrent has them.
pub(super) fn said_paths<'a>(info: &Value<'a, '_>, name: &'a [u8]) -> Vec<Vec<&'a [u8]>> {
    let Some(tree) = info.get(b"file tree") else { return Vec::new() };
    let is_folder = tree.entries().count() != 1 || !tree.entries().all(|(_, node)| is_file(&node));
    let mut way = if is_folder { vec![name] } else { Vec::new() };
    let (mut said, mut stack) = (Vec::new(), vec![(way.len(), None, tree)]);
    while let Some((depth, key, node)) = stack.pop() {
        way.truncate(depth);
        way.extend(key);
        if key.is_some() && is_file(&node) {
            said.push(way.clone());
            continue;
        }
        let first = stack.len();
        stack.extend(node.entries().map(|(key, node)| (way.len(), Some(key), node)));
        stack[first..].reverse();
    }
    said
}

fn is_file(node: &Value<'_, '_>) -> bool {
    node.get(b"").is_some()
}

/// Keys of every dictionary in the tree must be sorted and unique.
fn check_order(tree: &Value<'_, '_>) -> Result<(), MetainfoError> {
    let mut stack = vec![*tree];
    while let Some(node) = stack.pop() {
        let mut previous: Option<&[u8]> = None;
        for (key, child) in node.entries() {
            if previous.is_some_and(|previous| previous >= key) {
                return Err(MetainfoError::UnsortedTree);
            }
            previous = Some(key);
            stack.push(child);
        }
    }
    Ok(())
}

fn file(
    properties: &Value<'_, '_>,
    path: Vec<String>,
    name: &str,
    budget: &mut PathBudget,
) -> Result<FileEntry, MetainfoError> {
    let attributes = attributes(properties);
    if attributes.pad {
        return Err(MetainfoError::PadInFileTree);
    }
    let symlink = symlink(properties, name, budget)?;
    let length = if symlink.is_some() { 0 } else { file_length(properties)? };
    let pieces_root = if length == 0 {
        None
    } else {
        let root = properties.get(b"pieces root").and_then(|v| v.as_bytes());
        let root = root.and_then(Sha256Hash::from_slice).filter(|root| root.0 != [0; 32]);
        Some(root.ok_or(MetainfoError::PiecesRoot)?)
    };
    Ok(FileEntry { path, length, offset: 0, attributes, symlink, pieces_root, own: None })
}

/// Puts padding between files so that every file that has bytes begins a piece.
fn with_pads(entries: Vec<FileEntry>, piece_length: u32) -> Result<Vec<FileEntry>, MetainfoError> {
    let mut out: Vec<FileEntry> = Vec::with_capacity(entries.len() * 2);
    let mut offset = 0u64;
    for entry in entries {
        let over = offset % u64::from(piece_length);
        if entry.length > 0 && over != 0 {
            let pad = u64::from(piece_length) - over;
            out.push(pad_entry(pad));
            offset += pad;
        }
        offset = offset.checked_add(entry.length).ok_or(MetainfoError::Length)?;
        if offset > i64::MAX as u64 {
            return Err(MetainfoError::Length);
        }
        out.push(entry);
    }
    Ok(out)
}

/// A pad file under the name that everyone gives them (BEP 47).
pub(super) fn pad_entry(length: u64) -> FileEntry {
    FileEntry {
        path: vec![".pad".into(), alloc::format!("{length}")],
        length,
        offset: 0,
        attributes: FileAttributes { pad: true, ..FileAttributes::default() },
        symlink: None,
        pieces_root: None,
        own: None,
    }
}

/// Checks that both halves of a hybrid describe the same files at the same places (BEP 52), and
/// hands the roots of the v2 half to the v1 half. A pad behind the last file is allowed.
pub(super) fn merge_hybrid(
    v1: &mut Layout,
    tree: &Layout,
    piece_length: u32,
) -> Result<(), MetainfoError> {
    let mut theirs = tree.files().iter().filter(|file| !file.attributes.pad);
    for file in v1.files_mut().iter_mut().filter(|file| !file.attributes.pad) {
        let twin = theirs.next().ok_or(MetainfoError::HybridMismatch)?;
        let misplaced = file.length > 0 && file.offset % u64::from(piece_length) != 0;
        if twin.path != file.path || twin.length != file.length || misplaced {
            return Err(MetainfoError::HybridMismatch);
        }
        file.pieces_root = twin.pieces_root;
    }
    if theirs.next().is_some() {
        return Err(MetainfoError::HybridMismatch);
    }
    Ok(())
}

/// The piece layers, each proven against the root it stands under. A missing dictionary is taken
/// as "to be fetched from peers", as libtorrent does.
pub(super) fn piece_layers(
    layers: Option<Value<'_, '_>>,
    layout: &Layout,
    geometry: Geometry,
) -> Result<BTreeMap<Sha256Hash, Bytes>, MetainfoError> {
    let Some(layers) = layers.filter(Value::is_dict) else { return Ok(BTreeMap::new()) };
    let mut found = Vec::new();
    for (key, layer) in layers.entries() {
        let root = Sha256Hash::from_slice(key).ok_or(MetainfoError::PieceLayer)?;
        // What is not even bytes is wrong only where a file of ours needs it.
        found.push((root, layer.as_bytes().unwrap_or_default()));
    }
    proven_layers(found.into_iter(), layout, geometry)
}

/// Those of `layers` that files need, each of the right length and proven against its root. An entry
/// for no file of ours proves nothing and is left out.
pub(super) fn proven_layers<'a>(
    layers: impl Iterator<Item = (Sha256Hash, &'a [u8])>,
    layout: &Layout,
    geometry: Geometry,
) -> Result<BTreeMap<Sha256Hash, Bytes>, MetainfoError> {
    let piece_length = u64::from(geometry.piece_length());
    let mut expected = BTreeMap::new();
    for file in layout.files().iter().filter(|file| file.length > piece_length) {
        if let Some(root) = file.pieces_root {
            expected.insert(root, file.length.div_ceil(piece_length));
        }
    }
    let mut proven = BTreeMap::new();
    if expected.is_empty() {
        return Ok(proven);
    }
    let height = geometry.piece_length().trailing_zeros() - super::BLOCK_LENGTH.trailing_zeros();
    for (root, bytes) in layers {
        let Some(pieces) = expected.get(&root) else { continue };
        if bytes.len() as u64 != pieces * 32 {
            return Err(MetainfoError::PieceLayer);
        }
        let nodes: Vec<_> = bytes.chunks_exact(32).filter_map(Sha256Hash::from_slice).collect();
        if layer_root(&nodes, pad_hash(height)) != Some(root) {
            return Err(MetainfoError::PieceLayer);
        }
        proven.insert(root, Bytes::copy_from_slice(bytes));
    }
    Ok(proven)
}
