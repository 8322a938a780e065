//! The places that data is kept in, by number: registered, listed, looked after, forgotten.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::Naming;
use eddyline::{Fault, LocationId};
use rustix::io::Errno;

use super::filesystem::FileSystem;
use super::naming::naming_of;
use super::scoped::Scoped;
use super::system::System;

/// How long a place is believed to be there without being looked at.
const TRUST: Duration = Duration::from_secs(1);

/// What a place is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A folder that nothing leaves; what downloads should be in.
    Scoped(PathBuf),
    /// A folder in which links are followed.
    System(PathBuf),
    /// Any other implementation.
    Custom(Arc<dyn FileSystem>),
}

#[derive(Debug)]
struct Location {
    kind: Kind,
    open: Option<Arc<dyn FileSystem>>,
    looked: Option<Instant>,
    /// What names can be there, once somebody has asked.
    naming: Option<Naming>,
    /// Folders that were made for it, the outermost first.
    made: Vec<PathBuf>,
}

impl Location {
    fn new(kind: Kind) -> Self {
        Self { kind, open: None, looked: None, naming: None, made: Vec::new() }
    }
}

/// A place that is not there any more.
#[derive(Debug)]
pub struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the location is gone")
    }
}

impl std::error::Error for Gone {}

/// Why a place cannot be unregistered, or found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// No such number.
    #[error("no such location")]
    Unknown,
    /// Torrents are open there.
    #[error("torrents are open in this location")]
    InUse,
}

impl LocationError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Caller
    }
}

/// The registry. Clones are handles of one.
#[derive(Clone, Debug, Default)]
pub struct Locations {
    all: Arc<Mutex<BTreeMap<LocationId, Location>>>,
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, Gone)
}

impl Locations {
    /// A registry whose location 0 is the folder at `path`, which nothing leaves.
    #[must_use]
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        let locations = Self::default();
        locations.restore(LocationId(0), Kind::Scoped(path.into()));
        locations
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<LocationId, Location>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a place under the next free number. Its folder is made when it is first used.
    #[must_use]
    pub fn register(&self, kind: Kind) -> LocationId {
        let mut all = self.all();
        let next = all.last_key_value().map_or(0, |(id, _)| id.0 + 1);
        all.insert(LocationId(next), Location::new(kind));
        LocationId(next)
    }

    /// Registers a place under a number of choice, as an earlier run had it.
    pub fn restore(&self, id: LocationId, kind: Kind) {
        self.all().insert(id, Location::new(kind));
    }

    /// The number for a folder that is the same in every run, since resume data tells numbers. Location 0
    /// is never one of these.
    #[must_use]
    pub fn number_of(folder: &str) -> LocationId {
        let Sha1Hash([a, b, c, d, ..]) = Sha1Hash::of(folder.as_bytes());
        LocationId(u32::from_be_bytes([a, b, c, d]) | 1)
    }

    /// Where a place is, as the system knows it, links on the way to it resolved.
    #[must_use]
    pub(super) fn root(&self, id: LocationId) -> PathBuf {
        match self.all().get(&id).map(|location| &location.kind) {
            Some(Kind::Scoped(path) | Kind::System(path)) => {
                path.canonicalize().unwrap_or_else(|_| path.clone())
            }
            _ => format!("location {}", id.0).into(),
        }
    }

    /// What names can be at a place.
    #[must_use]
    pub fn naming(&self, id: LocationId) -> Naming {
        let mut all = self.all();
        let Some(location) = all.get_mut(&id) else { return Naming::POSIX };
        let kind = &location.kind;
        *location.naming.get_or_insert_with(|| match kind {
            Kind::Scoped(path) | Kind::System(path) => naming_of(path),
            Kind::Custom(fs) => fs.naming(),
        })
    }

    /// All places.
    #[must_use]
    pub fn list(&self) -> Vec<(LocationId, Kind)> {
        self.all().iter().map(|(id, location)| (*id, location.kind.clone())).collect()
    }

    /// Forgets a place; what lies there stays.
    ///
    /// # Errors
    /// When torrents are open there, or there is no such place.
    pub fn unregister(&self, id: LocationId) -> Result<(), LocationError> {
        let mut all = self.all();
        let location = all.get(&id).ok_or(LocationError::Unknown)?;
        // Each open torrent holds a handle.
        if location.open.as_ref().is_some_and(|open| Arc::strong_count(open) > 1) {
            return Err(LocationError::InUse);
        }
        all.remove(&id);
        Ok(())
    }

    /// The place, opened if it is not open yet. One that was there before and is gone is not created
    /// again: that would be an empty folder where a drive belongs.
    ///
    /// # Errors
    /// [`Gone`], or whatever the system says.
    pub fn open(&self, id: LocationId) -> io::Result<Arc<dyn FileSystem>> {
        let mut all = self.all();
        let location = all.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        if let Some(open) = location.open.as_ref().filter(|open| open.is_there()) {
            return Ok(open.clone());
        }
        let known = location.open.is_some();
        let open: Arc<dyn FileSystem> = match &location.kind {
            Kind::Custom(custom) => custom.clone(),
            Kind::Scoped(path) | Kind::System(path) => {
                if known {
                    // The folder on which a drive was mounted is there without it, and empty.
                    let mut entries = std::fs::read_dir(path).map_err(|_| gone())?;
                    entries.next().ok_or_else(gone)??;
                } else {
                    let missing = path.ancestors().take_while(|folder| !folder.exists());
                    let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
                    std::fs::create_dir_all(path).map_err(|error| match error.kind() {
                        // What is there is a file.
                        io::ErrorKind::AlreadyExists => Errno::NOTDIR.into(),
                        _ => error,
                    })?;
                    location.made = missing.into_iter().rev().collect();
                }
                match &location.kind {
                    Kind::Scoped(path) => Arc::new(Scoped::open(path)?),
                    _ => Arc::new(System::open(path)?),
                }
            }
        };
        location.open = Some(open.clone());
        location.looked = Some(Instant::now());
        Ok(open)
    }

    /// Nothing came of what a place was opened for: folders that were made for it and are empty go.
    pub(super) fn unmake(&self, id: LocationId) {
        let mut all = self.all();
        let Some(location) = all.get_mut(&id).filter(|location| !location.made.is_empty()) else {
            return;
        };
        // Each torrent that is open there holds a handle, and needs the folder.
        if location.open.as_ref().is_some_and(|open| Arc::strong_count(open) > 1) {
            return;
        }
        location.open = None;
        for folder in std::mem::take(&mut location.made).into_iter().rev() {
            // One that is not empty is needed.
            let _ = std::fs::remove_dir(folder);
        }
    }

    /// Whether a location was there a moment ago, so that nobody has to look.
    #[must_use]
    pub fn is_trusted(&self, id: LocationId) -> bool {
        let looked = self.all().get(&id).and_then(|location| location.looked);
        looked.is_some_and(|at| at.elapsed() < TRUST)
    }

    /// Fails when a place that was opened is not there any more. Looked at once a second, or at once
    /// when there is reason to.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn look(&self, id: LocationId, suspicious: bool) -> io::Result<()> {
        let mut all = self.all();
        let Some(location) = all.get_mut(&id) else { return Err(gone()) };
        if !suspicious && location.looked.is_some_and(|at| at.elapsed() < TRUST) {
            return Ok(());
        }
        location.looked = Some(Instant::now());
        match &location.open {
            Some(open) if !open.is_there() => {
                location.looked = None;
                Err(gone())
            }
            _ => Ok(()),
        }
    }
}
