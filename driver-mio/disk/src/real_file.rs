//! A file of the operating system.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, FallocateFlags, FileType, Stat};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::SendFlags;

use super::filesystem::{Found, Residence, StoredFile, write_all_at};

/// Bytes written at once where room cannot be taken in another way.
const ZEROS: usize = 256 * 1024;
/// Distance of the bytes that are looked at to tell whether all are in memory. A look costs a tenth
/// of what sending a block does.
const PROBED: u32 = 64 * 1024;

/// An open file.
#[derive(Debug)]
pub(super) struct RealFile(pub(super) File);

impl StoredFile for RealFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn read_resident(&self, into: &mut [u8], offset: u64) -> bool {
        let length = into.len();
        let mut slices = [IoSliceMut::new(into)];
        let read = rustix::io::preadv2(&self.0, &mut slices, offset, ReadWriteFlags::NOWAIT);
        // Part of it, or a file system that cannot tell: then a worker reads it.
        read == Ok(length)
    }

    fn residence(&self, offset: u64, length: u32) -> Residence {
        let Some(last) = length.checked_sub(1) else { return Residence::Memory };
        // The system reads and forgets in runs of pages, and what is read for peers is read in runs
        // of blocks: what is there at every step is there in between but for the rarest of cases, in
        // which somebody waits for one read.
        let steps = (0..last).step_by(PROBED as usize).chain([last]);
        for at in steps.map(|step| offset + u64::from(step)) {
            let mut byte = [0];
            let mut slices = [IoSliceMut::new(&mut byte)];
            match rustix::io::preadv2(&self.0, &mut slices, at, ReadWriteFlags::NOWAIT) {
                Ok(1) => {}
                Ok(_) => return Residence::Nowhere,
                Err(_) => return Residence::Device,
            }
        }
        Residence::Memory
    }

    fn prefetch(&self, offset: u64, length: u32) {
        let length = NonZero::new(u64::from(length));
        // Where that is not to be had, the bytes come when they are sent.
        let _ = rustix::fs::fadvise(&self.0, offset, length, Advice::WillNeed);
    }

    fn send(&self, socket: BorrowedFd<'_>, offset: u64, length: u32) -> io::Result<usize> {
        let mut from = offset;
        match rustix::fs::sendfile(socket, &self.0, Some(&mut from), length as usize) {
            Ok(count) => Ok(count),
            // Not every file system can; then the bytes take a detour.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let mut bytes = vec![0; length as usize];
                self.0.read_exact_at(&mut bytes, offset)?;
                Ok(rustix::net::send(socket, &bytes, SendFlags::NOSIGNAL)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        match parts {
            [one] => self.0.write_all_at(one, offset),
            _ => write_all_at(&self.0, parts, offset),
        }
    }

    fn lengthen(&self, length: u64) -> io::Result<()> {
        if self.0.metadata()?.len() < length { self.0.set_len(length) } else { Ok(()) }
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let now = self.0.metadata()?.len();
        if length == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            // Not every file system can; then what is behind the end is written.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                let zeros = vec![0; ZEROS];
                let mut at = now;
                while at < length {
                    let count = (length - at).min(ZEROS as u64);
                    self.0.write_all_at(&zeros[..count as usize], at)?;
                    at += count;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        if self.0.metadata()?.len() > length { self.0.set_len(length) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn found(&self) -> io::Result<Found> {
        Ok(found(&rustix::fs::fstat(&self.0)?))
    }
}

/// What the system says of a file, in our words.
pub(super) fn found(stat: &Stat) -> Found {
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Found {
        is_file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        length: u64::try_from(stat.st_size).unwrap_or(0),
        modified: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanos),
        identity: Some(identity(stat)),
    }
}

/// Kinds of file systems whose files are elsewhere: NFS, SMB in three versions, FUSE, 9P, Ceph, AFS.
const REMOTE: [u32; 8] =
    [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997, 0x00c3_6400, 0x5346_414f];

/// Whether a folder is on a file system that may give a change another time later.
pub(super) fn dates_late(folder: impl AsFd) -> bool {
    // Only the low half tells, on every platform.
    rustix::fs::fstatfs(folder).is_ok_and(|stat| REMOTE.contains(&(stat.f_type as u32)))
}

/// What tells a file from every other one.
pub(super) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}
