//! `session move` and `session rename`: the files of a torrent of the set, while nobody runs it. The
//! engine does it, as in a run, but without a network.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use eddyline::base::ids::TorrentId;
use eddyline::{Command, CommandError, Config, Notice, RateLimits, Rename, StorageTask};
use eddyline_mio::session_store::Entry;

use super::super::exit::{Failure, USAGE};
use super::super::output::line;
use super::super::session::{Session, Setup, state_dir};
use super::super::signals::Signals;
use super::entries::{moved, options_of, place_of, source_of, title};
use super::{disk, folder_of, named, open_set};

const FRAME: Duration = Duration::from_millis(200);

/// A session that talks to nobody.
fn start(matches: &ArgMatches) -> Result<Session, Failure> {
    let quiet = Config { trackers: false, dht: false, lsd: false, pex: false, ..Config::default() };
    Session::start(Setup {
        folder: ".".into(),
        state: state_dir(matches),
        listen: None,
        engine: quiet,
        limits: RateLimits::default(),
        record: None,
        keep_executable: false,
    })
}

/// `session move TORRENT… --to DIR`.
pub(super) fn move_data(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let to = matches.get_one::<PathBuf>("to").cloned().unwrap_or_default();
    let to = std::path::absolute(&to).map_err(|error| disk(&to, &error))?;
    let mut session = start(matches)?;
    let folder = folder_of(matches)?;
    let mut set = open_set(&folder)?;
    let signals = listen()?;
    for entry in named(matches, &set)? {
        let target = to.to_string_lossy().into_owned();
        if entry.folder == target && entry.moving_to.is_empty() {
            line(&format!("{} is there already", title(&entry)));
            continue;
        }
        // On record before anything is done: whatever ends this, the next run goes on with it.
        let entry = Entry { moving_to: target.clone(), ..entry };
        set.put(vec![(entry.clone(), None)]).map_err(|error| disk(&folder, &error))?;
        let source = source_of(&set, &entry)?;
        let options = options_of(&session, &entry, &source)?;
        session.restore(source, options)?;
        let task = StorageTask::Move(place_of(&target));
        perform(&mut session, &entry, &signals, &task, |id| Command::Move(id, place_of(&target)))?;
        set.put(vec![(moved(entry.clone()), None)]).map_err(|error| disk(&folder, &error))?;
        line(&format!("moved {} to {}", title(&entry), to.display()));
    }
    session.stop()?;
    Ok(ExitCode::SUCCESS)
}

/// `session rename TORRENT NAME [--file N]`.
pub(super) fn rename(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let name = matches.get_one::<String>("name").cloned().unwrap_or_default();
    let file = matches.get_one::<u32>("file").copied();
    let mut session = start(matches)?;
    let set = open_set(&folder_of(matches)?)?;
    let signals = listen()?;
    for entry in named(matches, &set)? {
        let source = source_of(&set, &entry)?;
        let options = options_of(&session, &entry, &source)?;
        session.restore(source, options)?;
        // `info` counts from 1.
        let rename = match file {
            Some(file) => Rename::File(file.saturating_sub(1), name.clone()),
            None => Rename::Torrent(name.clone()),
        };
        perform(&mut session, &entry, &signals, &StorageTask::Rename, |id| {
            Command::Rename(id, rename.clone())
        })?;
        line(&format!("renamed {} to {name}", title(&entry)));
    }
    session.stop()?;
    Ok(ExitCode::SUCCESS)
}

fn listen() -> Result<Signals, Failure> {
    Signals::listen()
        .map_err(|error| Failure::new(1, format!("cannot listen for signals: {error}")))
}

/// Gives the command when the torrent is open, and waits until it is carried out, durably.
fn perform(
    session: &mut Session,
    entry: &Entry,
    signals: &Signals,
    task: &StorageTask,
    command: impl Fn(TorrentId) -> Command,
) -> Result<(), Failure> {
    loop {
        for notice in session.turn(FRAME)? {
            match notice {
                Notice::Checked(id, _) => session.driver.command(command(id)),
                Notice::StorageDone(_, done) if done == *task => return Ok(()),
                Notice::StorageFailed(_, failed, error) if failed == *task => {
                    return Err(Failure::disk(&entry.name, error));
                }
                Notice::CommandRejected(CommandError::BadName, _) => {
                    let text = "the name is taken, or not safe on every system";
                    return Err(Failure::new(USAGE, text));
                }
                _ => {}
            }
        }
        if let Some(failure) = session.failure() {
            return Err(failure);
        }
        if let Some(code) = signals.exit_code() {
            session.stop()?;
            let text = format!("stopped; what is left to do for {} is done later", entry.name);
            return Err(Failure::new(code, text));
        }
    }
}
