//! What names can be in a folder: asked of the folder, not guessed from the operating system.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use eddyline::metainfo::{MAX_COMPONENT_BYTES, Naming, safe_component};
use rustix::fs::{IFlags, Mode, OFlags};

/// File systems of Unix, all of whose names are what they were given as: ext2 to ext4, XFS, Btrfs, tmpfs,
/// F2FS, ZFS, overlayfs, bcachefs, NFS.
const UNIX: [u32; 9] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x0102_1994,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0x794c_7630,
    0xca45_1a4e,
    0x6969,
];
/// File systems that hold what Windows does: FAT, exFAT, NTFS of two drivers.
const WINDOWS: [u32; 4] = [0x4d44, 0x2011_bab0, 0x5346_544e, 0x7366_746e];
/// Set on folders of ext4 and F2FS that do not tell upper from lower case.
const CASEFOLD: u32 = 0x4000_0000;

/// What names can be in the folder at `path`, or in the one in which it will be made. Where the kind of
/// file system does not tell, it is tried, in a folder that is gone afterwards.
#[must_use]
pub fn naming_of(path: &Path) -> Naming {
    let folder = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(stat) = rustix::fs::statfs(folder) else { return Naming::POSIX };
    // FAT counts in letters and says a multiple.
    let longest = (stat.f_namelen.max(0) as usize).min(MAX_COMPONENT_BYTES);
    let longest = if longest == 0 { MAX_COMPONENT_BYTES } else { longest } as u16;
    let kind = stat.f_type as u32;
    if UNIX.contains(&kind) {
        return Naming { longest, folds_case: is_casefolded(folder), ..Naming::POSIX };
    }
    let guess = if WINDOWS.contains(&kind) { Naming::PORTABLE } else { Naming::POSIX };
    try_names(folder).unwrap_or(Naming { longest: longest.min(guess.longest), ..guess })
}

fn is_casefolded(folder: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let flags = rustix::fs::open(folder, flags, Mode::empty()).and_then(rustix::fs::ioctl_getflags);
    flags.is_ok_and(|flags| flags.contains(IFlags::from_bits_retain(CASEFOLD)))
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
