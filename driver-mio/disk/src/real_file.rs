//! A file of the operating system.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use eddyline::FileStatus;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::filesystem::{Found, Residence, StoredFile, write_all_at};
use super::platform;

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
        // Part of it, or a file system that cannot tell: then a worker reads it.
        platform::read_at_once(&self.0, into, offset) == Some(length)
    }

    fn residence(&self, offset: u64, length: u32) -> Residence {
        let Some(last) = length.checked_sub(1) else { return Residence::Memory };
        // The system reads and forgets in runs of pages, and what is read for peers is read in runs
        // of blocks: what is there at every step is there in between but for the rarest of cases, in
        // which somebody waits for one read.
        let steps = (0..last).step_by(PROBED as usize).chain([last]);
        for at in steps.map(|step| offset + u64::from(step)) {
            match platform::read_at_once(&self.0, &mut [0], at) {
                Some(1) => {}
                Some(_) => return Residence::Nowhere,
                None => return Residence::Device,
            }
        }
        Residence::Memory
    }

    fn prefetch(&self, offset: u64, length: u32) {
        platform::prefetch(&self.0, offset, length);
    }

    fn send(&self, socket: BorrowedFd<'_>, offset: u64, length: u32) -> io::Result<usize> {
        platform::send(socket, &self.0, offset, length as usize)
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
        match platform::allocate(&self.0, length) {
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

    fn is_hole(&self) -> bool {
        platform::is_hole(&self.0)
    }
}

/// How a file is, links followed, as resume data has it; nothing where there is no file.
#[must_use]
pub fn status_of(path: &std::path::Path) -> Option<FileStatus> {
    let found = found(&rustix::fs::stat(path).ok()?);
    let status = FileStatus { length: Some(found.length), modified: found.modified };
    found.is_file.then_some(status)
}

/// What the system says of a file, in our words.
pub(super) fn found(stat: &Stat) -> Found {
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    let kind = FileType::from_raw_mode(stat.st_mode);
    Found {
        is_file: kind == FileType::RegularFile,
        is_folder: kind == FileType::Directory,
        length: u64::try_from(stat.st_size).unwrap_or(0),
        modified: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanos),
        identity: Some(platform::identity(stat)),
    }
}
