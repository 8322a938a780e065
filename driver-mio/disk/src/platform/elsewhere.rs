//! macOS, the BSDs and whatever else is a Unix, with what all of them have. It is slower, and a little coarser: nobody
//! can tell what is in memory, so blocks for peers are read by workers; files are synced one by one; room is taken by
//! writing; folders on the way to a file are opened one by one, without following links; a free name is looked at
//! before it is taken, so what another program puts there at the same moment is replaced.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use eddyline::metainfo::Naming;
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{FolderNames, send_copied};

/// Nobody can tell what is in memory.
pub(in super::super) fn read_at_once(_: &File, _: &mut [u8], _: u64) -> Option<usize> {
    None
}

/// Systems read ahead by themselves.
pub(in super::super) fn prefetch(_: &File, _: u64, _: u32) {}

/// Gives bytes of a file to a socket; returns how many it took.
pub(in super::super) fn send(
    socket: BorrowedFd<'_>,
    file: &File,
    offset: u64,
    length: usize,
) -> io::Result<usize> {
    send_copied(socket, file, offset, length)
}

/// Room is not to be had but by writing.
pub(in super::super) fn allocate(_: &File, _: u64) -> rustix::io::Result<()> {
    Err(Errno::OPNOTSUPP)
}

/// Each file system is taken for one of this machine: on another, a file is hashed once too often.
pub(in super::super) fn dates_late(_: impl AsFd) -> bool {
    false
}

/// It has to be tried.
pub(in super::super) fn folder_names(_: &Path) -> io::Result<FolderNames> {
    Ok(FolderNames { longest: 0, naming: Naming::POSIX, certain: false })
}

/// There is no call for it.
pub(in super::super) fn open_inside(
    _: impl AsFd,
    _: &str,
    _: OFlags,
    _: Mode,
) -> rustix::io::Result<OwnedFd> {
    Err(Errno::NOSYS)
}

/// There is no call for it that all have.
pub(in super::super) fn rename_to_free(
    _: impl AsFd,
    _: &str,
    _: impl AsFd,
    _: &str,
) -> rustix::io::Result<()> {
    Err(Errno::NOSYS)
}

/// There is no call for it.
pub(in super::super) fn sync_all(_: impl AsFd) -> io::Result<bool> {
    Ok(false)
}

/// What tells a file from every other one: its device and its number there.
// The types differ from system to system.
#[allow(clippy::unnecessary_cast)]
pub(in super::super) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}
