//! Files that are there under other names than a placement says: the one that the torrent itself gives
//! and that we would not, and those that earlier versions gave.

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap};
use std::io;

use eddyline::Placement;
use eddyline::metainfo::{FileEntry, Metainfo, Naming};

use super::filesystem::{FileSystem, Found, Path};

/// Looks for files of which the placement says no name. Through links only what we call as the torrent
/// does is found: whoever makes a torrent does not choose which links are followed.
///
/// A file under the torrent's own name counts if it has the right length, since it is taken as it is or
/// not at all; one that only is looked at, also if nothing has another of its names. Files that are
/// nowhere get the names of earlier versions where others have those.
pub(super) fn found_names(
    fs: &dyn FileSystem,
    followed: Option<&dyn FileSystem>,
    metainfo: &Metainfo,
    placement: &Placement,
) -> io::Result<BTreeMap<u32, Vec<String>>> {
    let files = metainfo.layout().files();
    let earlier = metainfo.layout().names_for(Naming::PORTABLE);
    let (mut names, mut nowhere) = (BTreeMap::new(), Vec::new());
    let (mut here, mut renamed) = (0, 0);
    let twins = LazyCell::new(|| Twins::of(files));
    let open = (0u32..).zip(files).filter(|(index, entry)| {
        let others = entry.own.is_some() || earlier.contains_key(index);
        others && entry.is_stored() && !placement.renamed.contains_key(index)
    });
    for (index, entry) in open {
        let look = |path: &Path| match followed.unwrap_or(fs).find(path) {
            Ok(found) => Ok(found.filter(|found| found.is_file)),
            // Something else is on the way: it is told of where the file is opened.
            Err(error) if is_in_the_way(&error) => Ok(None),
            Err(error) => Err(error),
        };
        let found = look(&entry.path)?;
        // Where upper and lower case are one, what is there may be another file of the torrent.
        if let (Some(found), Some(path)) = (found, earlier.get(&index))
            && look(path)?.is_some_and(|other| other.identity != found.identity)
            && twins.have(fs, entry, found)
        {
            names.insert(index, path.clone());
            continue;
        }
        let safe = found.is_some();
        if let Some(own) = &entry.own {
            let there = fs.find(own).ok().flatten().filter(|found| found.is_file);
            let right = there.map(|found| found.length == entry.length);
            if right == Some(true) || (right.is_some() && placement.read_only && !safe) {
                names.insert(index, own.to_vec());
                continue;
            }
        }
        match earlier.get(&index) {
            _ if safe => here += 1,
            Some(path) if look(path)?.is_some() => {
                names.insert(index, path.clone());
                renamed += 1;
            }
            Some(path) => nowhere.push((index, path)),
            None => {}
        }
    }
    if renamed > here {
        names.extend(nowhere.into_iter().map(|(index, path)| (index, path.clone())));
    }
    Ok(names)
}

/// Files by their paths with upper and lower case as one.
struct Twins<'a>(HashMap<String, Vec<&'a FileEntry>>);

impl<'a> Twins<'a> {
    fn of(files: &'a [FileEntry]) -> Self {
        let mut folded: HashMap<_, Vec<_>> = HashMap::new();
        for file in files {
            folded.entry(file.path.join("/").to_lowercase()).or_default().push(file);
        }
        Self(folded)
    }

    /// Whether what is there under the path of a file is another file of the torrent, whose path differs in
    /// upper and lower case alone.
    fn have(&self, fs: &dyn FileSystem, file: &FileEntry, found: Found) -> bool {
        let alike = self.0.get(&file.path.join("/").to_lowercase());
        // A few are enough to look at: whoever makes a torrent chooses how many there are.
        let others = alike.into_iter().flatten().filter(|other| other.path != file.path).take(8);
        let mut there = others.filter_map(|other| fs.find(&other.path).ok().flatten());
        there.any(|other| {
            let same = other.identity.is_some() && other.identity == found.identity;
            // Some file systems number names, not files.
            same || is_listed(fs, &file.path) == Some(false)
        })
    }
}

/// Whether a file that is there is called so, and not otherwise in upper and lower case; `None` where that
/// cannot be told.
fn is_listed(fs: &dyn FileSystem, path: &Path) -> Option<bool> {
    let (folder, name) = fs.handle(path, false).ok()??;
    let mut entries = rustix::fs::Dir::read_from(&folder).ok()?;
    Some(entries.any(|entry| entry.is_ok_and(|e| e.file_name().to_bytes() == name.as_bytes())))
}

/// Whether a path leads nowhere because something else stands on it, a link for instance.
pub(super) fn is_in_the_way(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL))
}
