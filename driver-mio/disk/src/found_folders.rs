//! Folders that were there before a torrent came: they are somebody's, and stay when its files go,
//! even if they are empty then. Kept beside resume data, for each place that the torrent was in.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use eddyline::base::hash::Sha1Hash;

use super::filesystem::{FileSystem, Path};
use super::found_names::is_in_the_way;
use crate::resume_store::ResumeStore;

/// Folders by what tells a place from every other one.
type Found = BTreeMap<String, BTreeSet<Vec<String>>>;

fn place(fs: &dyn FileSystem) -> Option<String> {
    let (device, number) = fs.identity()?;
    Some(format!("{device}:{number}"))
}

fn load(store: &ResumeStore, hash: Sha1Hash) -> Found {
    store.load_folders(hash).map(|data| decode_folders(&data)).unwrap_or_default()
}

/// What was noted; whatever is damaged counts as not there.
pub(crate) fn decode_folders(data: &[u8]) -> Found {
    serde_json::from_slice(data).unwrap_or_default()
}

/// Notes which folders on the way to `paths` are there, before anything of the torrent is. What was
/// noted of a place before is true still.
///
/// # Errors
/// Whatever the system says.
pub(super) fn note<'a>(
    store: &ResumeStore,
    hash: Sha1Hash,
    fs: &dyn FileSystem,
    paths: impl Iterator<Item = &'a Path>,
) -> io::Result<()> {
    let Some(place) = place(fs) else { return Ok(()) };
    let mut all = load(store, hash);
    if all.contains_key(&place) {
        return Ok(());
    }
    let mut found = BTreeSet::new();
    for folder in on_the_way(paths) {
        match fs.find(folder) {
            Ok(there) if there.is_some_and(|found| !found.is_file) => {
                found.insert(folder.to_vec());
            }
            // What is behind a link is not ours to take away. Whether files may be there is asked where they are
            // opened.
            Err(error) if !is_in_the_way(&error) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    all.insert(place, found);
    store.store_folders(hash, &serde_json::to_vec(&all)?)
}

/// Folders in a place that were there before the torrent.
#[must_use]
pub fn found_folders(
    store: &ResumeStore,
    hash: Sha1Hash,
    fs: &dyn FileSystem,
) -> BTreeSet<Vec<String>> {
    let mut all = load(store, hash);
    place(fs).and_then(|place| all.remove(&place)).unwrap_or_default()
}

/// The folders on the way to files. Behind each other are a folder and what is in it.
pub(super) fn on_the_way<'a>(paths: impl Iterator<Item = &'a Path>) -> BTreeSet<&'a Path> {
    paths.flat_map(|path| (1..path.len()).map(move |depth| &path[..depth])).collect()
}
