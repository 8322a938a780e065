//! Files that are there under other names than a placement says: the one that the torrent itself gives
//! and that we would not, and those that earlier versions gave.

use std::collections::BTreeMap;
use std::io;

use eddyline::Placement;
use eddyline::metainfo::{Metainfo, Naming};

use super::filesystem::{FileSystem, Path};

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
    let files = metainfo.layout.files();
    let earlier = metainfo.layout.names_for(Naming::PORTABLE);
    let (mut found, mut nowhere) = (BTreeMap::new(), Vec::new());
    let (mut here, mut renamed) = (0, 0);
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
        let safe = look(&entry.path)?.is_some();
        if let Some(own) = &entry.own {
            let there = fs.find(own).ok().flatten().filter(|found| found.is_file);
            let right = there.map(|found| found.length == entry.length);
            if right == Some(true) || (right.is_some() && placement.read_only && !safe) {
                found.insert(index, own.to_vec());
                continue;
            }
        }
        match earlier.get(&index) {
            _ if safe => here += 1,
            Some(path) if look(path)?.is_some() => {
                found.insert(index, path.clone());
                renamed += 1;
            }
            Some(path) => nowhere.push((index, path)),
            None => {}
        }
    }
    if renamed > here {
        found.extend(nowhere.into_iter().map(|(index, path)| (index, path.clone())));
    }
    Ok(found)
}

fn is_in_the_way(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL))
}
