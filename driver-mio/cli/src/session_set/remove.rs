//! `session remove`: torrents leave the set, and with `--with-data` their files the disk.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use eddyline::Placement;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Metainfo;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_disk::{FileCache, FileOptions, PartTag, Scoped, TorrentFiles, found_folders};
use eddyline_session::session_store::{Entry, SessionSet};

use super::super::args::{ChangeArgs, RemoveArgs};
use super::super::documents::Removed;
use super::super::exit::Failure;
use super::super::found::path_in;
use super::super::output::{json as print_json, line, say};
use super::entries::{called, hash_of, place_of, resume_of};
use super::shared::shared;
use super::{Locked, disk, lock, named, refused};

/// `session remove TORRENT…`.
pub(super) fn remove(args: &RemoveArgs) -> Result<ExitCode, Failure> {
    let ChangeArgs { torrent, state } = &args.change;
    let said = state.place.state_dir.as_deref();
    let Locked { mut set, store, _session } = lock(said, "session remove")?;
    let mut removed = Vec::new();
    for entry in named(torrent, &set, &store)? {
        if let Some(hash) = hash_of(&entry) {
            store.lock(hash, "session remove").map_err(|error| refused(&entry.name, error))?;
        }
        let (folder, name) = (PathBuf::from(&entry.folder), called(&store, &entry));
        if args.with_data {
            delete_data(&set, &store, &entry).map_err(|error| disk(&folder, &error))?;
        }
        if let Some(hash) = hash_of(&entry) {
            store.forget(hash).map_err(|error| disk(&folder, &error))?;
        }
        set.remove(&entry.hash).map_err(|error| disk(&folder, &error))?;
        if !state.json {
            line(&format!("removed {name}"));
        }
        removed.push(Removed { info_hash: entry.hash, name: entry.name });
    }
    if state.json {
        print_json(&removed);
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes the files of a torrent. A magnet whose metadata never came has no files.
fn delete_data(set: &SessionSet, store: &Arc<ResumeStore>, entry: &Entry) -> std::io::Result<()> {
    let Ok(bytes) = set.torrent(&entry.hash) else { return Ok(()) };
    // Of one that never ran, what stands under its names is somebody else's.
    let Some(resume) = resume_of(store, entry) else { return Ok(()) };
    let metainfo = Metainfo::parse(&bytes).map_err(std::io::Error::other)?;
    let metainfo = Arc::new(metainfo);
    // A move that was cut short leaves it where it was; one that was done may leave copies.
    let moved = !entry.moving_to.is_empty() && resume.location == place_of(&entry.moving_to);
    let folder = if moved { &entry.moving_to } else { &entry.folder };
    let left = entry.left.iter().filter(|left| resume.left_at.contains(&place_of(left)));
    for folder in left.chain([folder]) {
        let fs = match Scoped::open(Path::new(folder)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => Arc::new(other?),
        };
        let placement = Placement {
            skipped: (0..metainfo.layout().files().len() as u32).collect(),
            renamed: resume.renamed.clone(),
            ..Placement::default()
        };
        let (id, cache) = (TorrentId::from_u64(0), Arc::new(FileCache::new(16)));
        let hash = metainfo.info_hashes().wire();
        let options = FileOptions { tag: PartTag::of(Some(store), hash)?, keep_executable: false };
        let files =
            TorrentFiles::new(id, metainfo.clone(), fs.clone(), &placement, cache, options)?;
        files.leave_alone(found_folders(store, hash, &*fs));
        let kept = shared(set, store, entry, &metainfo, Path::new(folder));
        for (file, other) in &kept {
            let path = path_in(&metainfo, Path::new(folder), &resume.renamed, *file);
            say(&format!("{} stays: {other} has it, too", path.display()));
        }
        files.delete(&kept.into_keys().collect())?;
    }
    Ok(())
}
