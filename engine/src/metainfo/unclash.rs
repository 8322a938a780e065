//! Giving every file a name of its own: duplicates, names that differ only in case, and files that
//! stand where another file needs a folder.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::files::Layout;
use super::names::MAX_COMPONENT_BYTES;

/// Renames later files until no path equals another, or is a folder of another, when compared
/// without regard to case. Pad files are never created, so their names do not matter.
pub(super) fn unclash(layout: &mut Layout) {
    let mut folders = BTreeSet::new();
    for file in layout.files().iter().filter(|file| !file.attributes.pad) {
        for depth in 1..file.path.len() {
            folders.insert(folded(&file.path[..depth]));
        }
    }
    let mut taken: BTreeSet<Vec<String>> = BTreeSet::new();
    // Where the search for a free suffix goes on, so that n duplicates cost n log n.
    let mut attempts: BTreeMap<Vec<String>, u32> = BTreeMap::new();
    for file in layout.files_mut().iter_mut().filter(|file| !file.attributes.pad) {
        let mut path = file.path.clone();
        while taken.contains(&folded(&path)) || folders.contains(&folded(&path)) {
            let attempt = attempts.entry(folded(&file.path)).or_default();
            *attempt += 1;
            path = with_suffix(&file.path, *attempt);
        }
        taken.insert(folded(&path));
        file.path = path;
    }
}

fn folded(path: &[String]) -> Vec<String> {
    path.iter().map(|part| part.to_lowercase()).collect()
}

/// `name.ext` becomes `name.1.ext`.
fn with_suffix(path: &[String], attempt: u32) -> Vec<String> {
    let mut path = path.to_vec();
    if let Some(name) = path.last_mut() {
        let dot = name.rfind('.').filter(|dot| *dot > 0).unwrap_or(name.len());
        let (mut stem, extension) = (&name[..dot], &name[dot..]);
        let suffix = format!(".{attempt}");
        while stem.len() + suffix.len() + extension.len() > MAX_COMPONENT_BYTES + 10 {
            let mut cut = stem.len() - 1;
            while !stem.is_char_boundary(cut) {
                cut -= 1;
            }
            stem = &stem[..cut];
        }
        *name = format!("{stem}{suffix}{extension}");
    }
    path
}
