//! What names can be in a folder: asked of the folder, not guessed from the operating system.

use std::fs::File;
use std::io;
use std::path::Path;

use eddyline::metainfo::{MAX_COMPONENT_BYTES, Naming};
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
}
