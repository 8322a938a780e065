//! What an entry of the set means to an engine: its source, its options, its place.

use std::collections::BTreeSet;
use std::path::Path;

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::{InfoHash, Metainfo, parse_info_hash};
use eddyline::{LocationId, Priority, RateLimits, ResumeData};
use eddyline_disk::Locations;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_mio::dns::Names;
use eddyline_session::session_store::{Entry, SessionSet};
use eddyline_session::{AddOptions, Selected, Source};

use super::super::exit::{Failure, UNEXPECTED};
use super::super::output::printable;
use super::super::session::Session;
use super::super::source::load;

/// How a torrent is called on the screen.
pub(super) fn title(entry: &Entry) -> String {
    // What has no name is called by its hash.
    let nameless = entry.name.is_empty() || entry.name == entry.hash;
    let is_unknown = !entry.magnet.is_empty() && entry.length == 0;
    match (nameless, is_unknown) {
        (true, true) => format!("(a magnet) {}", entry.hash),
        (true, false) => format!("(no name) {}", entry.hash),
        (false, _) => format!("{} {}", printable(&entry.name), entry.hash),
    }
}

/// How its file or folder is called now.
pub(super) fn current_name(entry: &Entry, resume: Option<&ResumeData>) -> String {
    let renamed = resume.and_then(|resume| resume.renamed.values().next());
    // All files of a torrent lie in one folder, or there is one file.
    renamed.and_then(|renamed| renamed.to.first()).unwrap_or(&entry.name).clone()
}

/// What the last run left of it.
pub(super) fn resume_of(store: &ResumeStore, entry: &Entry) -> Option<ResumeData> {
    let resume = ResumeData::decode(&store.load(hash_of(entry)?)?).ok()?;
    // A run in another folder says nothing of this one. Early records tell no folder.
    let here = [&entry.folder, &entry.moving_to].map(|folder| place_of(folder));
    (here.contains(&resume.location) || resume.location == LocationId::default()).then_some(resume)
}

/// Whether everything wanted of a torrent is here, as far as its resume data and a look at its files tell.
pub(super) fn is_whole(set: &SessionSet, store: &ResumeStore, entry: &Entry) -> bool {
    let torrent = set.torrent(&entry.hash).ok().and_then(|bytes| Metainfo::parse(&bytes).ok());
    let (Some(resume), Some(metainfo)) = (resume_of(store, entry), torrent) else { return false };
    let selected = Selected::without(&metainfo, &entry.skipped);
    if selected.done(&resume.have) < selected.length() {
        return false;
    }
    let skipped: BTreeSet<u32> = entry.skipped.iter().copied().collect();
    let folder = if has_moved(entry, Some(&resume)) { &entry.moving_to } else { &entry.folder };
    let files = (0u32..).zip(metainfo.layout().files());
    let mut wanted = files.filter(|(index, file)| file.is_stored() && !skipped.contains(index));
    wanted.all(|(index, file)| {
        let path = resume.renamed.get(&index).map_or(&file.path, |renamed| &renamed.to);
        let place = path.iter().fold(Path::new(folder).to_owned(), |way, part| way.join(part));
        std::fs::metadata(place).is_ok_and(|found| found.is_file() && found.len() == file.length)
    })
}

/// Its hash.
pub(super) fn hash_of(entry: &Entry) -> Option<Sha1Hash> {
    match parse_info_hash(&entry.hash) {
        Ok(InfoHash::V1(hash)) => Some(hash),
        _ => None,
    }
}

/// What the set says of a torrent whose data has moved.
pub(super) fn moved(entry: Entry) -> Entry {
    if entry.moving_to.is_empty() {
        return entry;
    }
    let mut left = entry.left.clone();
    left.retain(|folder| ![&entry.folder, &entry.moving_to].contains(&folder));
    left.push(entry.folder);
    Entry { folder: entry.moving_to, moving_to: String::new(), left, ..entry }
}

/// What the set says of a torrent whose data could not be moved.
pub(super) fn not_moved(entry: Entry) -> Entry {
    Entry { moving_to: String::new(), ..entry }
}

/// That a torrent could not be moved, and where it is.
pub(super) fn move_failure(entry: &Entry, why: &Failure) -> Failure {
    let (name, to, folder) = (&entry.name, &entry.moving_to, &entry.folder);
    let text = format!("{name} stays in {folder}, it cannot be moved to {to}: {}", why.message);
    Failure::new(why.code, text)
}

/// Whether the data lies already where the set says that it is being moved to: a run that was killed did
/// not come to say so.
pub(super) fn has_moved(entry: &Entry, resume: Option<&ResumeData>) -> bool {
    let to = place_of(&entry.moving_to);
    !entry.moving_to.is_empty() && resume.is_some_and(|resume| resume.location == to)
}

/// What a torrent of the set is.
pub(super) fn source_of(set: &SessionSet, entry: &Entry) -> Result<Source, Failure> {
    match set.torrent(&entry.hash) {
        Ok(bytes) => Metainfo::parse(&bytes)
            .map(|metainfo| Source::Torrent(metainfo.into()))
            .map_err(|error| Failure::torrent(&entry.name, &error)),
        Err(_) => load(&entry.magnet, &Names::default()),
    }
}

/// The number of a folder.
pub(super) fn place_of(folder: &str) -> LocationId {
    Locations::number_of(folder)
}

fn register(session: &Session, folder: &str) -> Result<LocationId, Failure> {
    let place = session.place(Path::new(folder));
    place.map_err(|error| Failure::new(UNEXPECTED, error.to_string()))
}

/// How a torrent of the set is added; all folders that it knows of are registered.
pub(super) fn options_of(
    session: &Session,
    entry: &Entry,
    source: &Source,
) -> Result<AddOptions, Failure> {
    let mut folder = &entry.folder;
    register(session, folder)?;
    for folder in &entry.left {
        register(session, folder)?;
    }
    if !entry.moving_to.is_empty() {
        register(session, &entry.moving_to)?;
        let resume = session.store().and_then(|store| resume_of(store, entry));
        if has_moved(entry, resume.as_ref()) {
            folder = &entry.moving_to;
        }
    }
    let mut priorities = Vec::new();
    if let Source::Torrent(metainfo) = source {
        priorities.resize(metainfo.layout().files().len(), Priority::Normal);
        for file in &entry.skipped {
            if let Some(priority) = priorities.get_mut(*file as usize) {
                *priority = Priority::Skip;
            }
        }
    }
    let limit = |rate: i64| u64::try_from(rate).ok().filter(|rate| *rate > 0);
    Ok(AddOptions {
        priorities,
        sequential: entry.sequential != 0,
        folder: Some(folder.into()),
        limits: RateLimits { down: limit(entry.max_down), up: limit(entry.max_up) },
        ..AddOptions::default()
    })
}
