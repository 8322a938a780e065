//! What an entry of the set means to an engine: its source, its options, its place.

use std::collections::BTreeSet;
use std::path::Path;

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::Metainfo;
use eddyline::{LocationId, ResumeData};
use eddyline_disk::resume_store::ResumeStore;
use eddyline_disk::{Locations, status_of};
use eddyline_mio::dns::Names;
use eddyline_session::session_store::{Entry, SessionSet};
use eddyline_session::{AddOptions, EntryError, Selected, Source};

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

/// The same, by the name that its file or folder has now.
pub(super) fn called(store: &ResumeStore, entry: &Entry) -> String {
    let name = current_name(entry, resume_of(store, entry).as_ref());
    title(&Entry { name, ..entry.clone() })
}

/// How its file or folder is called now.
pub(super) fn current_name(entry: &Entry, resume: Option<&ResumeData>) -> String {
    let renamed = resume.and_then(|resume| resume.renamed.values().next());
    // All files of a torrent lie in one folder, or there is one file.
    renamed.and_then(|renamed| renamed.to.first()).unwrap_or(&entry.name).clone()
}

/// What the last run left of it.
pub(super) fn resume_of(store: &ResumeStore, entry: &Entry) -> Option<ResumeData> {
    entry.resume(store)
}

/// What is here of a torrent that is complete by its resume data, as far as a look at its files tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Here {
    /// Everything that is wanted.
    All,
    /// Files are as long as they should be, and somebody has written to them since.
    Changed,
    /// Not everything.
    Lacking,
}

/// Looks at what is here of a torrent.
pub(super) fn look(set: &SessionSet, store: &ResumeStore, entry: &Entry) -> Here {
    let torrent = set.torrent(&entry.hash).ok().and_then(|bytes| Metainfo::parse(&bytes).ok());
    let (Some(resume), Some(metainfo)) = (resume_of(store, entry), torrent) else {
        return Here::Lacking;
    };
    if lacks_wanted(&metainfo, entry, &resume) {
        return Here::Lacking;
    }
    let skipped: BTreeSet<u32> = entry.skipped.iter().copied().collect();
    let folder = if entry.has_moved(Some(&resume)) { &entry.moving_to } else { &entry.folder };
    let files = (0u32..).zip(metainfo.layout().files());
    let wanted = files.filter(|(index, file)| file.is_stored() && !skipped.contains(index));
    let mut here = Here::All;
    for (index, file) in wanted {
        let path = resume.renamed.get(&index).map_or(&file.path, |renamed| &renamed.to);
        let place = path.iter().fold(Path::new(folder).to_owned(), |way, part| way.join(part));
        let was = resume.files.get(index as usize).copied().unwrap_or_default();
        match status_of(&place) {
            Some(is) if is.length != Some(file.length) => return Here::Lacking,
            None => return Here::Lacking,
            Some(is) if is != was => here = Here::Changed,
            Some(_) => {}
        }
    }
    here
}

/// Whether something is wanted that is not here by the resume data.
pub(super) fn lacks_wanted(metainfo: &Metainfo, entry: &Entry, resume: &ResumeData) -> bool {
    let selected = Selected::without(metainfo, &entry.skipped);
    selected.done(&resume.have) < selected.length()
}

/// Its hash.
pub(super) fn hash_of(entry: &Entry) -> Option<Sha1Hash> {
    entry.info_hash()
}

/// That a torrent could not be moved, and where it is.
pub(super) fn move_failure(entry: &Entry, why: &Failure) -> Failure {
    let (name, to, folder) = (&entry.name, &entry.moving_to, &entry.folder);
    let text = format!("{name} stays in {folder}, it cannot be moved to {to}: {}", why.message);
    Failure::new(why.code, text)
}

/// What a torrent of the set is.
pub(super) fn source_of(set: &SessionSet, entry: &Entry) -> Result<Source, Failure> {
    match set.source(entry) {
        Err(EntryError::Torrent(error)) => Err(Failure::torrent(&entry.name, &error)),
        // It says more of what is wrong.
        Err(_) => load(&entry.magnet, &Names::default()),
        Ok(source) => Ok(source),
    }
}

/// The number of a folder.
pub(super) fn place_of(folder: &str) -> LocationId {
    Locations::number_of(folder)
}

/// How a torrent of the set is added; all folders that it knows of are registered.
pub(super) fn options_of(
    session: &Session,
    entry: &Entry,
    source: &Source,
) -> Result<AddOptions, Failure> {
    let options = session.options_of(entry, source);
    let options = options.map_err(|error| Failure::new(UNEXPECTED, error.to_string()))?;
    // One that stands still in the set is here because a command has something to do with its files.
    Ok(AddOptions { paused: false, ..options })
}
