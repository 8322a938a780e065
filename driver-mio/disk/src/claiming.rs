//! What a torrent claims of a place: the paths that its files have there.

use std::path::Path;

use eddyline::ResumeData;

use super::filesystem::FileSystem;
use super::operations::TorrentFiles;
use crate::claims::{Claim, ClaimAccess};
use crate::resume_store::ResumeStore;

/// The claim of a torrent on `paths` in `fs`, which is at `root`.
pub(super) fn claim(
    files: &TorrentFiles,
    fs: &dyn FileSystem,
    root: &Path,
    folds_case: bool,
    paths: &[(u32, Vec<String>)],
    store: Option<&ResumeStore>,
) -> Claim {
    // What cannot be looked at is told of where it is opened.
    let found = fs.find_all(&mut paths.iter().map(|(_, path)| path.as_slice()));
    let found = found.unwrap_or_else(|_| vec![None; paths.len()]);
    let metainfo = files.metainfo();
    let verified = || {
        let data = store?.load(metainfo.info_hashes().wire())?;
        let resume = ResumeData::decode(&data).ok().filter(|resume| resume.have.is_full())?;
        let same = paths.iter().zip(&found).all(|((index, _), found)| {
            let before = resume.files.get(*index as usize).copied().unwrap_or_default();
            let now = found.map(|found| (Some(found.length), found.modified));
            now == Some((before.length, before.modified))
        });
        same.then_some(())
    };
    let length = |index: u32| metainfo.layout().files()[index as usize].length;
    let there = paths.iter().zip(&found).all(|((index, _), found)| {
        found.is_some_and(|found| found.is_file && found.length == length(*index))
    });
    let access = match (files.is_read_only(), there) {
        (true, _) => ClaimAccess::Reads,
        (false, true) if verified().is_some() => ClaimAccess::Reads,
        (false, true) => ClaimAccess::Mends,
        (false, false) => ClaimAccess::Writes,
    };
    let all = paths.iter().zip(&found).map(|((index, path), found)| {
        (*index, path.as_slice(), found.filter(|found| found.is_file).and_then(|f| f.identity))
    });
    Claim::new(metainfo, access, root, folds_case, all)
}
