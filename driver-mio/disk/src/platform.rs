//! What only Linux has, and what takes its place elsewhere. Nothing above this module asks which system it runs on;
//! what is slower or coarser on another one is said in `platform/elsewhere.rs`.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use eddyline::metainfo::Naming;
use rustix::net::SendFlags;

#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(test)]
mod tests;

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::*;
#[cfg(target_os = "linux")]
pub(super) use linux::*;

/// What the system says of the names that a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FolderNames {
    /// Bytes, or letters, of the longest; 0 where it does not say.
    pub(super) longest: u64,
    /// Which ones they are, but for their length.
    pub(super) naming: Naming,
    /// Whether that is known; otherwise it has to be tried.
    pub(super) certain: bool,
}

/// Bytes that are read at once where they have to be copied to a socket.
const COPIED: usize = 64 * 1024;

/// No signal at a connection that is gone. What has no such flag has a runtime that ignores the signal.
#[cfg(not(target_vendor = "apple"))]
const QUIET: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const QUIET: SendFlags = SendFlags::empty();

/// Reads bytes of a file and gives them to a socket; returns how many it took.
fn send_copied(
    socket: BorrowedFd<'_>,
    file: &File,
    offset: u64,
    length: usize,
) -> io::Result<usize> {
    let mut bytes = vec![0; length.min(COPIED)];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(rustix::net::send(socket, &bytes, QUIET)?)
}
