//! `session`: a set of torrents that is kept from run to run.

mod entries;
mod files;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgMatches;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::Metainfo;
use eddyline::{Placement, Priority};
use eddyline_mio::disk::{FileCache, FileOptions, PartTag, Scoped, TorrentFiles, found_folders};
use eddyline_mio::resume_store::ResumeStore;
use eddyline_mio::session_store::{Entry, SessionStore};
use serde_json::json;

use super::exit::{DISK, Failure, NOT_FOUND, USAGE};
use super::output::{json as print_json, line, printable, warn};
use super::selection::select;
use super::session::{names, state_dir, store_failure};
use super::source::{Source, load};
use super::units::size;
use entries::{hash_of, place_of, resume_of, title};

/// Does what the subcommand says.
pub fn session(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    match matches.subcommand() {
        Some(("add", m)) => add(m),
        Some(("list", m)) => list(m),
        Some(("remove", m)) => remove(m),
        Some(("pause", m)) => set_paused(m, true),
        Some(("resume", m)) => set_paused(m, false),
        Some(("move", m)) => files::move_data(m),
        Some(("rename", m)) => files::rename(m),
        Some(("run", m)) => run::run(m),
        _ => Err(Failure::new(USAGE, "no command given; see `eddyline session --help`")),
    }
}

/// The set, and the lock of the folder that it is in.
struct Locked {
    set: SessionStore,
    store: Arc<ResumeStore>,
}

fn folder_of(matches: &ArgMatches) -> Result<PathBuf, Failure> {
    let none = || Failure::new(USAGE, "there is no home folder; say where with --state-dir");
    state_dir(matches).ok_or_else(none)
}

fn disk(path: &Path, error: &std::io::Error) -> Failure {
    Failure { code: DISK, ..Failure::io(path, error) }
}

fn open_set(folder: &Path) -> Result<SessionStore, Failure> {
    let set = SessionStore::open(folder).map_err(|error| disk(folder, &error))?;
    if set.was_damaged() {
        warn(&format!(
            "{} was damaged and is kept as session.log.damaged; what stood before the damage is used",
            folder.join("session.log").display()
        ));
    }
    Ok(set)
}

fn lock(matches: &ArgMatches) -> Result<Locked, Failure> {
    let folder = folder_of(matches)?;
    let store = Arc::new(ResumeStore::open(&folder).map_err(store_failure)?);
    Ok(Locked { set: open_set(&folder)?, store })
}

fn add(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let sources: Vec<String> =
        matches.get_many::<String>("source").into_iter().flatten().cloned().collect();
    let selections: Vec<String> =
        matches.get_many::<String>("select").into_iter().flatten().cloned().collect();
    let folder = matches.get_one::<PathBuf>("dir").cloned().unwrap_or_else(|| ".".into());
    let folder = std::path::absolute(&folder).map_err(|error| disk(&folder, &error))?;
    let limit = |key: &str| {
        matches.get_one::<u64>(key).map_or(0, |rate| i64::try_from(*rate).unwrap_or(i64::MAX))
    };
    let names = names(matches)?;
    let mut entries = Vec::new();
    for text in &sources {
        let source = load(text, &names)?;
        let (metainfo, magnet) = match &source {
            Source::Torrent(metainfo) => ((**metainfo).clone(), String::new()),
            Source::Magnet(magnet) => (Metainfo::from_magnet(magnet), magnet.to_string()),
        };
        let torrent = matches!(source, Source::Torrent(_)).then(|| metainfo.encode()).flatten();
        let priorities = match &source {
            Source::Torrent(metainfo) => select(metainfo, &selections)?,
            Source::Magnet(_) => Vec::new(),
        };
        let skipped = priorities.iter().enumerate();
        let skipped = skipped.filter(|(_, p)| **p == Priority::Skip).map(|(n, _)| n as u32);
        let entry = Entry {
            hash: metainfo.info_hashes.wire().to_hex(),
            name: metainfo.name.clone(),
            length: i64::try_from(metainfo.layout.payload_length()).unwrap_or(i64::MAX),
            magnet,
            folder: folder.to_string_lossy().into_owned(),
            moving_to: String::new(),
            left: Vec::new(),
            trackers: (!metainfo.trackers.is_empty()).into(),
            order: 0,
            paused: matches.get_flag("paused").into(),
            sequential: matches.get_flag("sequential").into(),
            skipped: skipped.collect(),
            max_down: limit("max-down"),
            max_up: limit("max-up"),
        };
        entries.push((entry, torrent));
    }
    let Locked { mut set, .. } = lock(matches)?;
    let names: Vec<String> = entries.iter().map(|(entry, _)| title(entry)).collect();
    set.put(entries).map_err(|error| disk(&folder_of(matches).unwrap_or_default(), &error))?;
    names.iter().for_each(|name| line(&format!("added {name}")));
    Ok(ExitCode::SUCCESS)
}

fn list(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let Locked { set, store } = lock(matches)?;
    let mut all = Vec::new();
    for entry in set.list() {
        let have = have(&store, entry);
        let good = have.as_ref().map_or(0, |have| have.0);
        let pieces = have.as_ref().map_or(0, |have| have.1);
        if matches.get_flag("json") {
            all.push(json!({
                "hash": entry.hash, "name": entry.name, "length": entry.length,
                "folder": entry.folder, "paused": entry.paused != 0, "good": good, "pieces": pieces,
            }));
            continue;
        }
        let percent = (u64::from(good) * 100).checked_div(pieces.into()).unwrap_or(0);
        let paused = if entry.paused != 0 { " paused" } else { "" };
        let size = size(entry.length.unsigned_abs());
        line(&format!("{} {percent:3} % {size:>9} {}{paused}", entry.hash, printable(&entry.name)));
    }
    if matches.get_flag("json") {
        print_json(&all.into());
    }
    Ok(ExitCode::SUCCESS)
}

/// Good pieces of all pieces, as the last run left it.
fn have(store: &ResumeStore, entry: &Entry) -> Option<(u32, u32)> {
    let resume = resume_of(store, entry)?;
    Some((resume.have.count(), resume.have.len()))
}

/// The torrents that a user names by the beginning of their hashes, or by name.
fn named(matches: &ArgMatches, set: &SessionStore) -> Result<Vec<Entry>, Failure> {
    let mut found = Vec::new();
    for text in matches.get_many::<String>("torrent").into_iter().flatten() {
        let is = |entry: &&Entry| entry.hash.starts_with(text.as_str()) || entry.name == *text;
        let hits: Vec<Entry> = set.list().into_iter().filter(is).cloned().collect();
        match hits.as_slice() {
            [one] => found.push(one.clone()),
            [] => {
                let text =
                    format!("no torrent of the session is called '{text}'; see `session list`");
                return Err(Failure::new(NOT_FOUND, text));
            }
            _ => {
                let text = format!("'{text}' fits several torrents; give more of the hash");
                return Err(Failure::new(USAGE, text));
            }
        }
    }
    Ok(found)
}

fn set_paused(matches: &ArgMatches, paused: bool) -> Result<ExitCode, Failure> {
    let Locked { mut set, .. } = lock(matches)?;
    let entries = named(matches, &set)?;
    let entries = entries.into_iter().map(|e| (Entry { paused: paused.into(), ..e }, None));
    set.put(entries.collect())
        .map_err(|error| disk(&folder_of(matches).unwrap_or_default(), &error))?;
    Ok(ExitCode::SUCCESS)
}

fn remove(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let Locked { mut set, store } = lock(matches)?;
    for entry in named(matches, &set)? {
        let folder = PathBuf::from(&entry.folder);
        if matches.get_flag("with-data") {
            delete_data(&set, &store, &entry).map_err(|error| disk(&folder, &error))?;
        }
        if let Some(hash) = hash_of(&entry) {
            store.forget(hash).map_err(|error| disk(&folder, &error))?;
        }
        set.remove(&entry.hash).map_err(|error| disk(&folder, &error))?;
        line(&format!("removed {}", title(&entry)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes the files of a torrent. Of one whose metadata never came there are none.
fn delete_data(set: &SessionStore, store: &Arc<ResumeStore>, entry: &Entry) -> std::io::Result<()> {
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
            skipped: (0..metainfo.layout.files().len() as u32).collect(),
            renamed: resume.renamed.clone(),
            ..Placement::default()
        };
        let (id, cache) = (TorrentId::from_u64(0), Arc::new(FileCache::new(16)));
        let hash = metainfo.info_hashes.wire();
        let options = FileOptions { tag: PartTag::of(Some(store), hash)?, keep_executable: false };
        let files =
            TorrentFiles::new(id, metainfo.clone(), fs.clone(), &placement, cache, options)?;
        files.leave_alone(found_folders(store, hash, &*fs));
        files.delete()?;
    }
    Ok(())
}
