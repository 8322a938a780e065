//! One torrent of a session, and how it is added.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::{FileEntry, Metainfo, Source};
use eddyline::{Allocation, Priority, RateLimits, Renamed, Tag, TorrentView};

use crate::selected::Selected;
use crate::trouble::Trouble;

/// Files that are called otherwise than their torrent says, by number.
pub type Renames = BTreeMap<u32, Renamed>;

/// One torrent of a run.
#[derive(Debug)]
pub struct Item {
    /// Its id, once the engine has taken it.
    pub id: Option<TorrentId>,
    /// What the command is called by that adds it.
    pub(crate) asked: Tag,
    /// What it is; the magnet until it is known what that leads to.
    pub source: Source,
    /// Everything wanted is verified and durable.
    pub done: bool,
    /// Why it stands still.
    pub trouble: Option<Trouble>,
    /// What the magnet it came from is called.
    pub called: Option<String>,
    /// The folder that its files are in.
    pub folder: PathBuf,
    /// What of it is wanted.
    pub selected: Selected,
    /// When it was added.
    pub added: Instant,
    /// Wanted bytes that were here when the run began, once that is known.
    pub(crate) found: Option<u64>,
    /// Payload received and sent by earlier runs.
    pub(crate) earlier: (u64, u64),
    /// Priorities that were given before it was known which files there are.
    pub(crate) chosen: Vec<Priority>,
    /// Files that the magnet names (BEP 53).
    pub(crate) select: Option<Vec<u32>>,
    /// Files that earlier runs left under other names.
    pub(crate) renames: Renames,
    /// An earlier run has left something.
    pub(crate) recorded: bool,
}

impl Item {
    /// Its hash, as handshakes and the state folder name it.
    #[must_use]
    pub fn hash(&self) -> Sha1Hash {
        self.source.info_hashes().wire()
    }

    /// The torrent, once it is known what the magnet leads to.
    #[must_use]
    pub fn metainfo(&self) -> Option<&Arc<Metainfo>> {
        self.source.metainfo()
    }

    /// Its name; of a magnet what that says, or the hash.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        self.source.name()
    }

    /// Its files; none before they are known.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        self.source.files()
    }

    /// Payload received and sent in this run, of what a view says of all runs.
    #[must_use]
    pub fn this_run(&self, view: &TorrentView) -> (u64, u64) {
        let (down, up) = self.earlier;
        (view.downloaded.saturating_sub(down), view.uploaded.saturating_sub(up))
    }

    /// Whether everything wanted is verified and durable. Files may have been chosen since it was done.
    #[must_use]
    pub fn is_complete(&self, view: &TorrentView) -> bool {
        self.done && self.trouble.is_none() && view.wanted_done == view.wanted
    }

    /// Wanted bytes that were in its folder when the run began.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.found.unwrap_or(0)
    }

    /// Whether the magnet wants this file; one that names none, or none that there is, wants all.
    pub(crate) fn is_selected(&self, file: u32) -> bool {
        let files = self.files().len() as u32;
        if let Some(priority) = self.chosen.get(file as usize) {
            return *priority != Priority::Skip;
        }
        let select = self.select.as_ref().filter(|list| list.iter().any(|n| *n < files));
        select.is_none_or(|list| list.contains(&file))
    }

    /// What an earlier run called a file, if otherwise than the torrent does.
    #[must_use]
    pub fn known_name(&self, file: u32) -> Option<&Vec<String>> {
        self.renames.get(&file).map(|renamed| &renamed.to)
    }

    /// Whether an earlier run worked on it.
    #[must_use]
    pub fn is_on_record(&self) -> bool {
        self.recorded
    }

    /// A file that the magnet names and that is not there, counted from 1.
    #[must_use]
    pub fn unknown_file(&self) -> Option<u32> {
        let files = self.files().len() as u32;
        let mut select = self.select.iter().flatten().copied();
        select.find(|file| *file >= files).map(|file| file.saturating_add(1))
    }

    /// What the magnet is called, where what it leads to has another name.
    #[must_use]
    pub fn misnamed(&self) -> Option<&str> {
        let metainfo = self.metainfo()?;
        self.called.as_deref().filter(|called| *called != metainfo.name())
    }
}

/// How a torrent is added.
#[derive(Clone, Debug, Default)]
pub struct AddOptions {
    /// Priority of each file; nothing for all of them.
    pub priorities: Vec<Priority>,
    /// Fetch pieces in order.
    pub sequential: bool,
    /// It stands still until it is told to go on.
    pub paused: bool,
    /// Of a magnet: wait for a choice when the metadata is there.
    pub hold: bool,
    /// Write over files that have nothing of the torrent in them.
    pub overwrite: bool,
    /// How room for files is made.
    pub allocation: Allocation,
    /// The folder that its data is in; that of the run where nothing is said.
    pub folder: Option<PathBuf>,
    /// Limits of this torrent.
    pub limits: RateLimits,
    /// Serve what is there and change nothing.
    pub read_only: bool,
    /// Trackers beyond its own.
    pub trackers: Vec<String>,
    /// Web seeds beyond its own: the user names them, so they may be of a local network.
    pub mirrors: Vec<String>,
    /// Peers to connect to at once.
    pub peers: Vec<SocketAddr>,
    /// Ignore what an earlier run left, and check the data.
    pub fresh: bool,
    /// Check all data, whatever an earlier run says of it; what files are called by now is believed.
    pub recheck: bool,
}
