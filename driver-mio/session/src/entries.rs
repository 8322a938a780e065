//! What an entry of the set means to a session: its source, its options, its place.

use std::path::{Path, PathBuf};

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::{
    InfoHash, Magnet, MagnetError, Metainfo, MetainfoError, Source, parse_info_hash,
};
use eddyline::{Fault, LocationId, Priority, RateLimits, ResumeData};
use eddyline_disk::Locations;
use eddyline_disk::resume_store::ResumeStore;

use crate::item::AddOptions;
use crate::session::Session;
use crate::session_store::{Entry, PAUSED, SessionSet};
use crate::trouble::AddError;

/// Why what the set says of a torrent leads to none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Its `.torrent` is damaged.
    #[error(transparent)]
    Torrent(MetainfoError),
    /// It has no `.torrent`, nor a magnet.
    #[error("there is no .torrent, and no magnet that leads to one: {0}")]
    Magnet(MagnetError),
    /// It cannot be added.
    #[error(transparent)]
    Add(AddError),
}

impl EntryError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Torrent(_) | Self::Magnet(_) => Fault::Machine,
            Self::Add(error) => error.fault(),
        }
    }
}

impl Entry {
    /// What the set says of a torrent that is added with these options.
    #[must_use]
    pub fn of(source: &Source, options: &AddOptions, folder: &Path) -> Self {
        let magnet = match source {
            Source::Torrent(_) => None,
            Source::Magnet(magnet) => Some(magnet),
        };
        let rate = |rate: Option<u64>| i64::try_from(rate.unwrap_or(0)).unwrap_or(i64::MAX);
        let numbered = (0u32..).zip(&options.priorities);
        let folder = options.folder.as_deref().unwrap_or(folder);
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self {
            hash: source.info_hashes().wire().to_hex(),
            name: source.name().into_owned(),
            length: source.metainfo().map_or(0, |metainfo| length_of(metainfo)),
            magnet: magnet.map(ToString::to_string).unwrap_or_default(),
            folder: folder.to_string_lossy().into_owned(),
            moving_to: String::new(),
            left: Vec::new(),
            trackers: (!source.trackers().is_empty()).into(),
            order: 0,
            paused: if options.paused { PAUSED } else { 0 },
            sequential: options.sequential.into(),
            skipped: numbered.filter(|(_, p)| **p == Priority::Skip).map(|(n, _)| n).collect(),
            select: Vec::new(),
            max_down: rate(options.limits.down),
            max_up: rate(options.limits.up),
            seed_ratio: -1,
            seed_time: -1,
            read_only: options.read_only.into(),
        }
    }

    /// The same, now that it is known what the magnet leads to. Files by these numbers are not wanted.
    #[must_use]
    pub fn known(self, metainfo: &Metainfo, skipped: Vec<u32>) -> Self {
        let name = metainfo.name().to_owned();
        Self { name, length: length_of(metainfo), skipped, select: Vec::new(), ..self }
    }

    /// Its hash.
    #[must_use]
    pub fn info_hash(&self) -> Option<Sha1Hash> {
        match parse_info_hash(&self.hash) {
            Ok(InfoHash::V1(hash)) => Some(hash),
            _ => None,
        }
    }

    /// What the last run left of it.
    #[must_use]
    pub fn resume(&self, store: &ResumeStore) -> Option<ResumeData> {
        let hash = self.info_hash()?;
        // A run in another folder says nothing of this one. Early records tell no folder.
        let here = [&self.folder, &self.moving_to].map(|folder| Locations::number_of(folder));
        let usual = store.load(hash).and_then(|data| ResumeData::decode(&data).ok());
        let is_here = |resume: &ResumeData| {
            here.contains(&resume.location) || resume.location == LocationId::default()
        };
        usual.filter(is_here).or_else(|| store.load_in(hash, here[0]))
    }

    /// Whether the data lies already where the set says that it is being moved to: a run that was killed did
    /// not come to say so.
    #[must_use]
    pub fn has_moved(&self, resume: Option<&ResumeData>) -> bool {
        let to = Locations::number_of(&self.moving_to);
        !self.moving_to.is_empty() && resume.is_some_and(|resume| resume.location == to)
    }

    /// What the set says of a torrent whose data has moved.
    #[must_use]
    pub fn moved(self) -> Self {
        if self.moving_to.is_empty() {
            return self;
        }
        let mut left = self.left.clone();
        left.retain(|folder| ![&self.folder, &self.moving_to].contains(&folder));
        left.push(self.folder);
        Self { folder: self.moving_to, moving_to: String::new(), left, ..self }
    }

    /// What the set says of a torrent whose data could not be moved.
    #[must_use]
    pub fn not_moved(self) -> Self {
        Self { moving_to: String::new(), ..self }
    }
}

fn length_of(metainfo: &Metainfo) -> i64 {
    i64::try_from(metainfo.layout().payload_length()).unwrap_or(i64::MAX)
}

impl SessionSet {
    /// What a torrent of the set is.
    ///
    /// # Errors
    /// [`EntryError::Torrent`] and [`EntryError::Magnet`]: what is kept of it leads to no torrent.
    pub fn source(&self, entry: &Entry) -> Result<Source, EntryError> {
        match self.torrent(&entry.hash) {
            Ok(bytes) => Metainfo::parse(&bytes).map(Source::from).map_err(EntryError::Torrent),
            Err(_) => Magnet::parse(&entry.magnet).map(Source::from).map_err(EntryError::Magnet),
        }
    }
}

impl Session {
    /// How a torrent of the set is added; all folders that it knows of are places from then on.
    ///
    /// # Errors
    /// When a folder cannot be told from another one.
    pub fn options_of(&self, entry: &Entry, source: &Source) -> Result<AddOptions, AddError> {
        let mut folder = &entry.folder;
        let moving_to = Some(&entry.moving_to).filter(|folder| !folder.is_empty());
        for known in [folder].into_iter().chain(&entry.left).chain(moving_to) {
            self.place(Path::new(known))?;
        }
        if !entry.moving_to.is_empty() {
            let resume = self.store().and_then(|store| entry.resume(store));
            if entry.has_moved(resume.as_ref()) {
                folder = &entry.moving_to;
            }
        }
        let mut priorities = Vec::new();
        // Of a magnet, files may have been chosen before it was known which there are.
        let files = match source {
            Source::Torrent(metainfo) => metainfo.layout().files().len(),
            Source::Magnet(_) => entry.skipped.iter().max().map_or(0, |last| *last as usize + 1),
        };
        priorities.resize(files, Priority::Normal);
        for file in &entry.skipped {
            if let Some(priority) = priorities.get_mut(*file as usize) {
                *priority = Priority::Skip;
            }
        }
        let limit = |rate: i64| u64::try_from(rate).ok().filter(|rate| *rate > 0);
        // What the magnet leads to may have been known already: its peers are known from it alone.
        let magnet = match source {
            Source::Torrent(_) => Magnet::parse(&entry.magnet).ok(),
            Source::Magnet(_) => None,
        };
        Ok(AddOptions {
            peers: magnet.map(|magnet| magnet.peers).unwrap_or_default(),
            priorities,
            sequential: entry.sequential != 0,
            paused: entry.paused != 0,
            read_only: entry.read_only != 0,
            folder: Some(PathBuf::from(folder)),
            limits: RateLimits { down: limit(entry.max_down), up: limit(entry.max_up) },
            ..AddOptions::default()
        })
    }
}
