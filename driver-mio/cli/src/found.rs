//! What is told of the files that a torrent has on disk: names that are not its own, files that were too
//! long, links that were followed.

use std::path::{Path, PathBuf};

use eddyline::Notice;
use eddyline::metainfo::{FileEntry, Metainfo};
use eddyline_disk::claims::{Claim, ClaimAccess, Claims};
use eddyline_disk::{links_on_the_way, naming_of};
use eddyline_session::{Item, Renames, Session};

use super::exit::{Failure, WOULD_OVERWRITE};

/// Takes the paths that a torrent has in a folder. Refuses one that would write to a path of another
/// that has taken its paths already: nothing of either is written then.
pub fn take_paths(
    claims: &Claims,
    metainfo: &Metainfo,
    folder: &Path,
    renames: &Renames,
) -> Result<(), Failure> {
    let claim = claim_on(metainfo, folder, renames);
    let taken = |error: std::io::Error| Failure::new(WOULD_OVERWRITE, error.to_string());
    let path = |file: u32| path_in(metainfo, folder, renames, file);
    claims.take(metainfo.info_hashes().wire(), claim, path).map_err(taken)
}

/// Where a file of a torrent is.
pub fn path_in(metainfo: &Metainfo, folder: &Path, renames: &Renames, file: u32) -> PathBuf {
    let own = metainfo.layout().files().get(file as usize).map(|entry| &entry.path);
    let path = renames.get(&file).map(|renamed| &renamed.to).or(own);
    path.into_iter().flatten().fold(folder.to_owned(), |way, part| way.join(part))
}

/// What a torrent claims of a folder.
pub fn claim_on(metainfo: &Metainfo, folder: &Path, renames: &Renames) -> Claim {
    let files = || (0u32..).zip(metainfo.layout().files()).filter(|(_, file)| file.is_stored());
    let now = |(index, file): (u32, &'_ FileEntry)| {
        renames.get(&index).map_or_else(|| file.path.clone(), |renamed| renamed.to.clone())
    };
    let there = files().all(|(index, file)| {
        let path = now((index, file)).iter().fold(folder.to_owned(), |way, part| way.join(part));
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == file.length)
    });
    let access = if there { ClaimAccess::Mends } else { ClaimAccess::Writes };
    let paths: Vec<_> = files().map(|(index, file)| (index, now((index, file)))).collect();
    let paths = paths.iter().map(|(index, path)| (*index, path.as_slice(), None));
    let root = folder.canonicalize().or_else(|_| std::path::absolute(folder));
    let root = root.unwrap_or_else(|_| folder.to_owned());
    Claim::new(metainfo, access, &root, naming_of(folder).folds_case, paths)
}

/// Which file of a torrent is not there or too short, and of how many that is so; `path` is what each is
/// called.
pub fn lacking(item: &Item, path: impl Fn(u32) -> Option<Vec<String>>) -> Option<String> {
    let files = item.files().iter().zip(0u32..);
    let mut short = files.filter(|(file, _)| file.is_stored()).filter_map(|(file, index)| {
        let path = path(index)?;
        let place = path.iter().fold(item.folder.clone(), |way, part| way.join(part));
        let there = std::fs::metadata(place).ok().map(|found| found.len());
        let lacks = there.is_none_or(|length| length < file.length);
        lacks.then(|| (path.join("/"), there, file.length))
    });
    let (path, there, length) = short.next()?;
    let more = match short.count() {
        0 => String::new(),
        1 => ", as is another".to_owned(),
        more => format!(", as are {more} others"),
    };
    Some(match there {
        None => format!("{path} is missing{more}"),
        Some(there) => {
            format!("{path} is too short ({there} of {length} bytes){more}")
        }
    })
}

/// Numbers of the files of a torrent that are longer than it says; `path` is what each is called.
pub fn longer_files(
    item: &Item,
    path: impl Fn(u32) -> Option<Vec<String>>,
) -> impl Iterator<Item = u32> {
    let files = item.files().iter().zip(0u32..);
    files.filter(|(file, _)| file.is_stored()).filter_map(move |(file, index)| {
        let place = path(index)?.iter().fold(item.folder.clone(), |way, part| way.join(part));
        let found = std::fs::metadata(place).ok().filter(std::fs::Metadata::is_file)?;
        (found.len() > file.length).then_some(index)
    })
}

/// Whether everything of a file is good, as far as can be told, where `have` says which pieces are: those that
/// it shares with files that are not there tell nothing.
pub fn is_whole_so_far(
    item: &Item,
    file: u32,
    have: impl Fn(u32) -> bool,
    path: impl Fn(u32) -> Option<Vec<String>>,
) -> bool {
    let Some(metainfo) = item.metainfo() else { return false };
    let (layout, geometry) = (metainfo.layout(), metainfo.geometry());
    let Some(entry) = layout.files().get(file as usize) else { return false };
    let length = |index: u32| {
        let place = path(index)?.iter().fold(item.folder.clone(), |way, part| way.join(part));
        Some(std::fs::metadata(place).ok()?.len())
    };
    let is_unknown = |piece: u32| {
        let mut slices = layout.slices(geometry.piece_offset(piece), geometry.piece_size(piece));
        slices.any(|slice| {
            let stored = layout.files()[slice.file as usize].is_stored();
            let end = slice.offset + u64::from(slice.length);
            slice.file != file && stored && length(slice.file).unwrap_or(0) < end
        })
    };
    let mut pieces = geometry.pieces_of(entry.offset, entry.length);
    let good = pieces.clone().filter(|piece| have(*piece)).count();
    good > 0 && pieces.all(|piece| have(piece) || is_unknown(piece))
}

/// Which file without bytes is not there; `path` is what each is called.
pub fn lacking_empty(item: &Item, path: impl Fn(u32) -> Option<Vec<String>>) -> Option<String> {
    let files = item.files().iter().zip(0u32..);
    let empty = files.filter(|(file, _)| file.is_stored() && file.length == 0);
    let mut paths = empty.filter_map(|(_, index)| path(index));
    let there = |path: &Vec<String>| {
        std::fs::metadata(path.iter().fold(item.folder.clone(), |way, part| way.join(part)))
    };
    let path = paths.find(|path| there(path).is_err())?;
    Some(format!("{} is missing, which is empty", path.join("/")))
}

/// What a notice says of files, if it is worth a sentence.
pub fn told_of(session: &Session, item: &Item, notice: &Notice) -> Option<String> {
    let engine = session.driver.engine();
    match notice {
        Notice::Trimmed(id, files) => {
            let path = engine.file_path(*id, *files.first()?)?.join("/");
            Some(format!(
                "{path}{} longer than the torrent says; the rest is cut off",
                match files.len() {
                    1 => " was".to_owned(),
                    2 => " and another file were".to_owned(),
                    count => format!(" and {} other files were", count - 1),
                }
            ))
        }
        Notice::Checked(id, _) => {
            // What an earlier run has told, or the user has wanted, is no news.
            let known = |file| item.known_name(file).cloned();
            let now = |file| engine.file_path(*id, file);
            called_otherwise(item.metainfo()?, now, |file, now| {
                known(file).as_deref() == Some(now)
                    || (item.is_on_record() && file_is_as_made(item, file, now))
            })
        }
        Notice::MetadataReady(_) => {
            let file = item.unknown_file()?;
            let name = item.name();
            Some(format!(
                "the magnet asks for file {file} of {name}, which has none of that number"
            ))
        }
        _ => None,
    }
}

/// Whether a file has the name that is made of what the torrent says.
fn file_is_as_made(item: &Item, file: u32, now: &[String]) -> bool {
    item.files().get(file as usize).is_some_and(|entry| entry.path == now)
}

/// What is said of files that are called otherwise than the torrent says, but for those that are no news;
/// `path` is what each is called here.
pub fn called_otherwise(
    metainfo: &Metainfo,
    path: impl Fn(u32) -> Option<Vec<String>>,
    is_known: impl Fn(u32, &[String]) -> bool,
) -> Option<String> {
    let said = metainfo.paths_in_torrent();
    let files = metainfo.layout().files().iter().zip(0u32..);
    let mut called = files.filter(|(file, _)| file.is_stored()).filter_map(|(file, index)| {
        let now = path(index)?;
        let own = said.get(&index).cloned().unwrap_or_else(|| file.display_path());
        (own != now.join("/") && !is_known(index, &now)).then(|| (own, now.join("/")))
    });
    let (own, now) = called.next()?;
    let more = match called.count() {
        0 => String::new(),
        1 => ", and another file has another name, too".to_owned(),
        count => format!(", and {count} other files have other names, too"),
    };
    Some(format!("{own} is called {now} here{more}"))
}

/// What is said of links that are followed to the files of a torrent.
pub fn links_told(folder: &Path, metainfo: &Metainfo) -> Option<String> {
    let stored = metainfo.layout().files().iter().filter(|file| file.is_stored());
    let links = links_on_the_way(folder, stored.map(|file| file.path.as_slice()));
    let first = links.first()?.display();
    let more =
        if links.len() > 1 { format!(" and {} more", links.len() - 1) } else { String::new() };
    Some(format!("{first}{more}: a symbolic link, followed for reading"))
}
