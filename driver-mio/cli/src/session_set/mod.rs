//! `session`: a set of torrents that is kept from run to run.

mod add;
mod entries;
mod files;
mod goals;
mod list;
mod remove;
mod run;
mod set;
mod shared;
mod status;
mod trackers;
mod web_seeds;

use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::args::{ChangeArgs, General, SessionArgs, SessionCommand};
use super::exit::{DISK, Failure, NO_SPACE, NOT_FOUND, USAGE};
use super::output::{line, warn};
use super::setup::{state_dir, store_failure};
use eddyline_disk::locks::Lock;
use eddyline_disk::resume_store::{ResumeStore, StoreError};
use eddyline_session::session_store::{Entry, PAUSED, SessionSet, SessionStore};
use entries::{called, current_name, resume_of};

pub use add::spare_set;

/// Does what the subcommand says.
pub fn session(args: &SessionArgs, general: General) -> Result<ExitCode, Failure> {
    match &args.command {
        SessionCommand::Add(args) => add::add(args),
        SessionCommand::List(args) => list::list(args, general),
        SessionCommand::Remove(args) => remove::remove(args),
        SessionCommand::Pause(args) => set_paused(args, PAUSED),
        SessionCommand::Resume(args) => set_paused(args, 0),
        SessionCommand::Set(args) => set::set(args),
        SessionCommand::Verify(args) => files::verify(args, general),
        SessionCommand::Move(args) => files::move_data(args, general),
        SessionCommand::Rename(args) => files::rename(args),
        SessionCommand::Run(args) => run::run(args, general),
    }
}

/// The set, to be changed.
struct Locked {
    set: SessionStore,
    store: Arc<ResumeStore>,
    /// Nobody else changes or runs the set meanwhile.
    _session: Lock,
}

fn folder_of(said: Option<&Path>) -> Result<PathBuf, Failure> {
    let none = || Failure::new(USAGE, "there is no home folder; say where with --state-dir");
    state_dir(said).ok_or_else(none)
}

/// A folder from the root on, without `.` and `..`: it has one name then, and no part of it that may not be
/// there decides where it is.
fn whole(path: &Path) -> Result<PathBuf, Failure> {
    let mut whole = PathBuf::new();
    for part in std::path::absolute(path).map_err(|error| disk(path, &error))?.components() {
        if part == Component::ParentDir {
            // Behind a link that is somewhere else.
            whole = whole.canonicalize().unwrap_or(whole);
            whole.pop();
        } else {
            whole.push(part);
        }
    }
    Ok(whole)
}

fn disk(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::io(path, error);
    Failure { code: if failure.code == NO_SPACE { NO_SPACE } else { DISK }, ..failure }
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

/// Takes the lock of the session for `command`; the state folder is the one that the user has said, or the usual one.
fn lock(said: Option<&Path>, command: &str) -> Result<Locked, Failure> {
    let folder = folder_of(said)?;
    let store = Arc::new(ResumeStore::open(&folder).map_err(store_failure)?);
    let session = store.lock_session(command).map_err(|error| refused("the session", error))?;
    Ok(Locked { set: open_set(&folder)?, store, _session: session })
}

/// Who holds the lock of this, or why there can be none.
fn refused(what: &str, error: StoreError) -> Failure {
    let failure = store_failure(error);
    Failure::new(failure.code, format!("{what}: {}", failure.message))
}

/// The torrents that a user names by the beginning of their hashes, or by name.
fn named(texts: &[String], set: &SessionSet, store: &ResumeStore) -> Result<Vec<Entry>, Failure> {
    let mut found: Vec<Entry> = Vec::new();
    for text in texts {
        let hex = text.to_ascii_lowercase();
        let by_name = |entry: &&Entry| {
            entry.name == *text || current_name(entry, resume_of(store, entry).as_ref()) == *text
        };
        // A whole name is meant before the beginning of a hash.
        let mut hits: Vec<&Entry> = set.list().into_iter().filter(by_name).collect();
        if hits.is_empty() && !text.is_empty() {
            hits = set.list().into_iter().filter(|entry| entry.hash.starts_with(&hex)).collect();
        }
        match hits.as_slice() {
            [one] if found.iter().any(|known| known.hash == one.hash) => {}
            [one] => found.push((*one).clone()),
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

/// `session pause` and `session resume`.
fn set_paused(args: &ChangeArgs, paused: u8) -> Result<ExitCode, Failure> {
    let (command, done) = match paused {
        0 => ("session resume", "resumed"),
        _ => ("session pause", "paused"),
    };
    let Locked { mut set, store, _session } = lock(args.state.place.state_dir.as_deref(), command)?;
    let entries = named(&args.torrent, &set, &store)?;
    let puts = entries.iter().map(|entry| (Entry { paused, ..entry.clone() }, None));
    set.put(puts.collect()).map_err(|error| disk(store.state(), &error))?;
    let hashes = entries.iter().map(|entry| entry.hash.as_str());
    if args.state.json {
        list::print_changed(&set, &store, hashes);
    } else {
        entries.iter().for_each(|entry| line(&format!("{done} {}", called(&store, entry))));
    }
    Ok(ExitCode::SUCCESS)
}
