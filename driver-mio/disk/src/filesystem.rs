//! What a place that holds files has to be able to do: one small interface, behind which is the
//! operating system, a folder that nothing leaves, or memory.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use eddyline::metainfo::Naming;

/// A path below a location, in safe components.
pub type Path = [String];

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// It has to be there.
    Read,
    /// It and its folders are made where missing.
    Write {
        /// Whether it may be executed, if it is made.
        executable: bool,
    },
}

/// What stands at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Whether it is a regular file; else it is a folder, a link or something stranger.
    pub is_file: bool,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Length in bytes.
    pub length: u64,
    /// Time of the last change in nanoseconds, for comparison only.
    pub modified: i64,
    /// What tells it from every other file, where the system has such a thing.
    pub identity: Option<(u64, u64)>,
}

/// Whether bytes of a file can be had without waiting for a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Residence {
    /// They are in memory, as far as can be told without looking at every page.
    Memory,
    /// Somebody would have to wait for them, or nobody can tell.
    Device,
    /// The file ends before them.
    Nowhere,
}

/// An open file.
pub trait StoredFile: Debug + Send + Sync {
    /// Reads exactly as many bytes as `into` holds.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file ends before; whatever the system says.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;
    /// Reads as many bytes as `into` holds if they are in memory; never waits for a device. Returns
    /// whether it did.
    fn read_resident(&self, _into: &mut [u8], _offset: u64) -> bool {
        false
    }
    /// Whether bytes can be sent with [`Self::send`] without waiting for a device.
    fn residence(&self, _offset: u64, _length: u32) -> Residence {
        Residence::Device
    }
    /// Asks for bytes to be in memory soon.
    fn prefetch(&self, _offset: u64, _length: u32) {}
    /// Hands bytes to a socket without reading them. Returns how many it took; none at the end of
    /// the file.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes none at the moment; whatever the system says.
    fn send(&self, _socket: BorrowedFd<'_>, _offset: u64, _length: u32) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Writes all parts, one behind the other.
    ///
    /// # Errors
    /// Whatever the system says.
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()>;
    /// Makes the file at least `length` bytes long without allocating blocks.
    ///
    /// # Errors
    /// Whatever the system says.
    fn lengthen(&self, length: u64) -> io::Result<()>;
    /// Makes the file at least `length` bytes long and allocates the blocks for it.
    ///
    /// # Errors
    /// Whatever the system says.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Truncates it to `length` bytes if it is longer.
    ///
    /// # Errors
    /// Whatever the system says.
    fn cut(&self, length: u64) -> io::Result<()>;
    /// Makes everything written to it durable.
    ///
    /// # Errors
    /// Whatever the system says.
    fn sync(&self) -> io::Result<()>;
    /// What it is now.
    ///
    /// # Errors
    /// Whatever the system says.
    fn found(&self) -> io::Result<Found>;
    /// Whether nothing was ever written to it, though it may have a length; `false` where nobody can tell.
    fn is_hole(&self) -> bool {
        false
    }
}

/// A place that holds files.
pub trait FileSystem: Debug + Send + Sync {
    /// Opens a regular file.
    ///
    /// # Errors
    /// `ELOOP` where something else stands on the way, and an error that says what stands at the end; whatever the
    /// system says.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StoredFile>>;
    /// What stands at a path; `None` when nothing does.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn find(&self, path: &Path) -> io::Result<Option<Found>>;
    /// What stands at each of many paths, in their order.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn find_all(&self, paths: &mut dyn Iterator<Item = &Path>) -> io::Result<Vec<Option<Found>>> {
        paths.map(|path| self.find(path)).collect()
    }
    /// Makes a symbolic link to `target`, both below this place, unless something is there.
    ///
    /// # Errors
    /// Whatever the system says.
    fn link(&self, path: &Path, target: &Path) -> io::Result<()>;
    /// Gives a file another name, making folders where missing.
    ///
    /// # Errors
    /// `AlreadyExists` where something has that name; whatever the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file or a symbolic link.
    ///
    /// # Errors
    /// `NotFound` when it is not there; whatever the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder if it is empty. Returns whether it did.
    ///
    /// # Errors
    /// Whatever the system says.
    fn remove_folder(&self, path: &Path) -> io::Result<bool>;
    /// Makes the names in the folders on the way to `path` durable.
    ///
    /// # Errors
    /// Whatever the system says.
    fn sync_folders(&self, path: &Path) -> io::Result<()>;
    /// Makes everything durable at once; `false` where there is no way to.
    ///
    /// # Errors
    /// Whatever the system says.
    fn sync_all(&self) -> io::Result<bool>;
    /// Whether this is still the place that it was.
    fn is_there(&self) -> bool;
    /// Whether the time of our own change to a file may become another one until it is synced, as on
    /// a server that has a clock of its own.
    fn dates_late(&self) -> bool {
        false
    }
    /// What the place is called, where it is one of the system's.
    fn root(&self) -> Option<std::path::PathBuf> {
        None
    }
    /// What names can be here.
    fn naming(&self) -> Naming {
        Naming::POSIX
    }
    /// This place for who only reads, where links that the user has put there are followed.
    fn followed(&self) -> Option<Arc<dyn FileSystem>> {
        None
    }
    /// What tells this place from every other one.
    fn identity(&self) -> Option<(u64, u64)>;
    /// The folder of a file as the system knows it, and the name there, so that a second name can
    /// be given to it elsewhere; `None` where there is no such thing.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn handle(&self, path: &Path, make: bool) -> io::Result<Option<(OwnedFd, String)>>;
}

/// A file's bytes are written or read at places, by several threads at once.
pub(super) fn write_all_at(
    file: &std::fs::File,
    parts: &[&[u8]],
    mut offset: u64,
) -> io::Result<()> {
    let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut slices = slices;
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        // The most that one call takes (IOV_MAX).
        let some = &rest[..rest.len().min(1024)];
        match rustix::io::pwritev(file, some, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
