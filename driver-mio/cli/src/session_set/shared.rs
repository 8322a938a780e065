//! Files that a torrent of the set shares with others: those stay where they are, whatever becomes of it.

use std::collections::BTreeMap;
use std::path::Path;

use eddyline::metainfo::Metainfo;
use eddyline_disk::claims::Claims;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_session::Renames;
use eddyline_session::session_store::{Entry, SessionSet};

use super::super::exit::{Failure, WOULD_OVERWRITE};
use super::super::found::{claim_on, path_in};
use super::add::claims_of;
use super::entries::{resume_of, title};

/// The files of a torrent in `folder` that another torrent has, too, in the set or in a process that runs; each with
/// how that is called.
pub(super) fn shared(
    set: &SessionSet,
    store: &ResumeStore,
    entry: &Entry,
    metainfo: &Metainfo,
    folder: &Path,
) -> BTreeMap<u32, String> {
    let renames = renames_of(store, entry);
    let (hash, claim) = (metainfo.info_hashes().wire(), claim_on(metainfo, folder, &renames));
    let mut shared = Claims::new(Some(store.claims())).shared(hash, &claim);
    shared.extend(claims_of(set, store, folder, &[], Some(&entry.hash)).shared(hash, &claim));
    shared
}

fn renames_of(store: &ResumeStore, entry: &Entry) -> Renames {
    resume_of(store, entry).map(|resume| resume.renamed).unwrap_or_default()
}

/// Refuses what would take files away from another torrent.
pub(super) fn stays_with_others(
    set: &SessionSet,
    store: &ResumeStore,
    entry: &Entry,
    metainfo: &Metainfo,
    what: &str,
) -> Result<(), Failure> {
    let folder = Path::new(&entry.folder);
    let shared = shared(set, store, entry, metainfo, folder);
    let Some((file, other)) = shared.into_iter().next() else { return Ok(()) };
    let path = path_in(metainfo, folder, &renames_of(store, entry), file);
    let text = format!(
        "{} is not {what}: {other} has the file {}, too; remove that one first",
        title(entry),
        path.display()
    );
    Err(Failure::new(WOULD_OVERWRITE, text))
}
