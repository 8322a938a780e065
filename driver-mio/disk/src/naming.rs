//! What names can be in a folder: asked of the folder, not guessed from the operating system.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use eddyline::metainfo::{MAX_COMPONENT_BYTES, Naming, safe_component};

use super::platform;

/// What names can be in the folder at `path`, or in the one in which it will be made. Where the kind of
/// file system does not tell, it is tried, in a folder that is gone afterwards.
#[must_use]
pub fn naming_of(path: &Path) -> Naming {
    let folder = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(names) = platform::folder_names(folder) else { return Naming::POSIX };
    // FAT counts in letters and says a multiple.
    let longest = usize::try_from(names.longest).unwrap_or(usize::MAX).min(MAX_COMPONENT_BYTES);
    let longest = if longest == 0 { MAX_COMPONENT_BYTES } else { longest } as u16;
    let naming = names.naming;
    if names.certain {
        return Naming { longest, ..naming };
    }
    try_names(folder).unwrap_or(Naming { longest: longest.min(naming.longest), ..naming })
}

/// Makes files of such names, and looks what has become of them.
fn try_names(folder: &Path) -> io::Result<Naming> {
    let room = tempfile::Builder::new().prefix(".eddyline-names-").tempdir_in(folder)?;
    let room = room.path();
    let holds = |name: &str| {
        let made = File::create_new(room.join(name)).is_ok();
        // Some systems make it and call it otherwise.
        let listed = std::fs::read_dir(room).into_iter().flatten().flatten();
        made && listed.into_iter().any(|entry| entry.file_name() == *name)
    };
    let portable = !["a\\b:c*d?e\"f<g>h|i", "dot.", "space "].into_iter().all(holds);
    let folds_case = File::create_new(room.join("case")).is_ok() && room.join("CASE").exists();
    let longest = match holds(&"n".repeat(MAX_COMPONENT_BYTES)) {
        true if !portable => MAX_COMPONENT_BYTES as u16,
        _ => Naming::PORTABLE.longest,
    };
    Ok(Naming { portable, folds_case, longest })
}

/// Names that a folder cannot hold.
#[derive(Debug)]
pub(super) struct CannotHold {
    folder: PathBuf,
    /// The first of them.
    path: String,
    more: usize,
}

impl std::fmt::Display for CannotHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { folder, path, more } = self;
        write!(f, "{}: the name {path}", folder.display())?;
        match more {
            0 => write!(f, " cannot be had there"),
            1 => write!(f, " and another one cannot be had there"),
            _ => write!(f, " and {more} others cannot be had there"),
        }
    }
}

impl std::error::Error for CannotHold {}

/// Whether all these paths, of files by number, can be below `folder`, which need not be there yet.
///
/// # Errors
/// A text with the first one that cannot, and how many others.
pub fn names_fit(folder: &Path, paths: &[(u32, Vec<String>)]) -> io::Result<()> {
    all_can_be(folder, naming_of(folder), paths)
}

/// Whether all these paths can be below `folder`, where names are as `naming` has them.
///
/// # Errors
/// [`CannotHold`] when not.
pub(super) fn all_can_be(
    folder: &Path,
    naming: Naming,
    paths: &[(u32, Vec<String>)],
) -> io::Result<()> {
    let mut taken = HashSet::new();
    let mut refused = paths.iter().filter(|(_, path)| {
        let fits = |part: &String| {
            safe_component(part.as_bytes(), naming).is_some_and(|safe| safe == *part)
        };
        let folded = path.join("/");
        let folded = if naming.folds_case { folded.to_lowercase() } else { folded };
        !path.iter().all(fits) || !taken.insert(folded)
    });
    let Some((_, first)) = refused.next() else { return Ok(()) };
    let (folder, path) = (folder.to_owned(), first.join("/"));
    Err(io::Error::other(CannotHold { folder, path, more: refused.count() }))
}

#[cfg(test)]
mod tests {
    //! Unit tests of what folders say that they hold.

    use super::*;

    #[test]
    fn what_is_tried_is_what_the_kind_of_file_system_says_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(try_names(folder.path()).unwrap(), naming_of(folder.path()));
        assert_eq!(naming_of(&folder.path().join("not/there/yet")), naming_of(folder.path()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_folder_cannot_hold_is_named_and_counted() {
        let path = |index: u32, path: &str| (index, path.split('/').map(String::from).collect());
        let told = |paths: &[(u32, Vec<String>)], naming| {
            all_can_be(Path::new("/d"), naming, paths).err().map(|error| error.to_string())
        };
        let odd = [path(0, "t/a"), path(1, "t/A: B?"), path(2, "t/end."), path(3, "t/A")];
        assert_eq!(told(&odd, Naming::POSIX), None);
        let text = told(&odd, Naming::PORTABLE).unwrap();
        assert_eq!(text, "/d: the name t/A: B? and 2 others cannot be had there");
        assert_eq!(told(&odd[..1], Naming::PORTABLE), None);
        let twins = [path(0, "t/a"), path(1, "T/A")];
        assert_eq!(told(&twins, Naming::PORTABLE).unwrap(), "/d: the name T/A cannot be had there");
    }
}
