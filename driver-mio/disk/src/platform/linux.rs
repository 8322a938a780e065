//! Linux.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use eddyline::metainfo::Naming;
use rustix::fs::{
    Advice, FallocateFlags, IFlags, Mode, OFlags, RenameFlags, ResolveFlags, SeekFrom, Stat,
};
use rustix::io::{Errno, ReadWriteFlags};

use super::{FolderNames, send_copied};

/// Kinds of file systems whose files are elsewhere: NFS, SMB in three versions, FUSE, 9P, Ceph, AFS.
const REMOTE: [u32; 8] =
    [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997, 0x00c3_6400, 0x5346_414f];
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
/// Nothing on the way is a link, and the way leads down.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// Reads what is in memory already, without waiting: how many bytes; `None` where somebody would have to wait or
/// the file system cannot tell.
pub(in super::super) fn read_at_once(file: &File, into: &mut [u8], offset: u64) -> Option<usize> {
    let mut slices = [IoSliceMut::new(into)];
    rustix::io::preadv2(file, &mut slices, offset, ReadWriteFlags::NOWAIT).ok()
}

/// Whether a file is nothing but a hole: blocks may be set aside for it, and nobody has written to them.
pub(in super::super) fn is_hole(file: &File) -> bool {
    // A file system that cannot tell says that all of it is data.
    rustix::fs::seek(file, SeekFrom::Data(0)) == Err(Errno::NXIO)
}

/// Asks for bytes to be in memory soon.
pub(in super::super) fn prefetch(file: &File, offset: u64, length: u32) {
    // Where that is not to be had, the bytes come when they are sent.
    let length = NonZero::new(u64::from(length));
    let _ = rustix::fs::fadvise(file, offset, length, Advice::WillNeed);
}

/// Gives bytes of a file to a socket; returns how many it took.
pub(in super::super) fn send(
    socket: BorrowedFd<'_>,
    file: &File,
    offset: u64,
    length: usize,
) -> io::Result<usize> {
    let mut from = offset;
    match rustix::fs::sendfile(socket, file, Some(&mut from), length) {
        Ok(count) => Ok(count),
        // Not every file system can; then the bytes take a detour.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            send_copied(socket, file, offset, length)
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes room for a file of `length` bytes.
pub(in super::super) fn allocate(file: &File, length: u64) -> rustix::io::Result<()> {
    rustix::fs::fallocate(file, FallocateFlags::empty(), 0, length)
}

/// Whether a folder is on a file system that may give a change another time later.
pub(in super::super) fn dates_late(folder: impl AsFd) -> bool {
    // Only the low half tells, on every platform.
    rustix::fs::fstatfs(folder).is_ok_and(|stat| REMOTE.contains(&(stat.f_type as u32)))
}

/// What names can be in a folder.
pub(in super::super) fn folder_names(folder: &Path) -> io::Result<FolderNames> {
    let stat = rustix::fs::statfs(folder)?;
    let kind = stat.f_type as u32;
    let certain = UNIX.contains(&kind);
    let naming = match () {
        () if certain => Naming { folds_case: is_casefolded(folder), ..Naming::POSIX },
        () if WINDOWS.contains(&kind) => Naming::PORTABLE,
        () => Naming::POSIX,
    };
    Ok(FolderNames { longest: stat.f_namelen.max(0).unsigned_abs(), naming, certain })
}

fn is_casefolded(folder: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let flags = rustix::fs::open(folder, flags, Mode::empty()).and_then(rustix::fs::ioctl_getflags);
    flags.is_ok_and(|flags| flags.contains(IFlags::from_bits_retain(CASEFOLD)))
}

/// Opens what is below a folder, with no link on the whole way.
pub(in super::super) fn open_inside(
    folder: impl AsFd,
    way: &str,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(folder, way, flags, mode, INSIDE)
}

/// Renames to a name that nothing has. `INVAL` or `NOSYS`: this cannot be had here.
pub(in super::super) fn rename_to_free(
    old: impl AsFd,
    old_name: &str,
    new: impl AsFd,
    new_name: &str,
) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(old, old_name, new, new_name, RenameFlags::NOREPLACE)
}

/// Makes the file system of a folder durable; `false` where there is no way to.
pub(in super::super) fn sync_all(folder: impl AsFd) -> io::Result<bool> {
    rustix::fs::syncfs(folder)?;
    Ok(true)
}

/// What tells a file from every other one: its device and its number there.
pub(in super::super) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}
