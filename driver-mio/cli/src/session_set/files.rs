//! `session move`, `session rename` and `session verify`: the files of a torrent of the set, while
//! nobody runs it. The engine does it, as in a run, but without a network.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use eddyline::base::bits::Bits;
use eddyline::metainfo::{FileEntry, Metainfo};
use eddyline::{
    CommandError, Config, Notice, RateLimits, Rename, Renamed, TorrentCommand, TorrentError,
};
use eddyline_disk::names_fit;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_session::Selected;
use eddyline_session::session_store::{Entry, GOAL_REACHED, SessionSet, SessionStore};
use eddyline_session::{Renames, Source};

use super::super::documents::SessionVerified;
use super::super::exit::{BAD_DATA, DISK, Failure, UNEXPECTED, USAGE};
use super::super::found::take_paths;
use super::super::hashing::HashingProgress;
use super::super::output::{json as print_json, line, printable};
use super::super::selection::no_file;
use super::super::session::Session;
use super::super::setup::{Setup, state_dir};
use super::super::signals::Signals;
use super::add::claims_of;
use super::entries::{
    current_name, move_failure, options_of, place_of, resume_of, source_of, title,
};
use super::list::print_changed;
use super::status::Status;
use super::{Locked, disk, lock, named, whole};

const FRAME: Duration = Duration::from_millis(200);

/// A session that talks to nobody.
fn start(matches: &ArgMatches, command: &'static str) -> Result<Session, Failure> {
    let quiet = Config { trackers: false, dht: false, lsd: false, pex: false, ..Config::default() };
    Session::start(Setup {
        command,
        folder: ".".into(),
        state: state_dir(matches),
        keeps: true,
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
    let to = whole(&to)?;
    let Locked { mut set, store, _session } = lock(matches, "session move")?;
    let mut session = start(matches, "session move")?;
    let signals = listen()?;
    let mut mover =
        Mover { session: &mut session, set: &mut set, store: &store, signals: &signals };
    let (mut hashes, mut outcome) = (Vec::new(), Ok(()));
    for entry in named(matches, mover.set, &store)? {
        hashes.push(entry.hash.clone());
        match mover.bring(entry, &to) {
            Ok(told) if !matches.get_flag("json") => line(&told),
            Ok(_) => {}
            Err(failure) => {
                outcome = Err(failure);
                break;
            }
        }
    }
    // Whatever a signal ended is stopped already.
    if outcome.is_ok() || signals.exit_code().is_none() {
        session.stop()?;
    }
    outcome?;
    print_changed(matches, &set, &store, hashes.iter().map(String::as_str));
    Ok(ExitCode::SUCCESS)
}

/// Moves torrents of the set.
struct Mover<'a> {
    session: &'a mut Session,
    set: &'a mut SessionStore,
    store: &'a ResumeStore,
    signals: &'a Signals,
}

impl Mover<'_> {
    /// Brings a torrent to this folder; what came of it, in a line.
    fn bring(&mut self, entry: Entry, to: &Path) -> Result<String, Failure> {
        let target = to.to_string_lossy().into_owned();
        let resume = resume_of(self.store, &entry);
        let entry = if entry.has_moved(resume.as_ref()) { entry.moved() } else { entry };
        if entry.folder == target {
            let text = format!("{} is there already", title(&entry));
            self.put(entry.not_moved())?;
            return Ok(text);
        }
        if self.set.torrent(&entry.hash).is_err() {
            // Nothing of it is on the disk yet.
            let text = format!("{} will be in {target}", title(&entry));
            self.put(Entry { folder: target, ..entry }.not_moved())?;
            return Ok(text);
        }
        can_be_at(self.set, self.store, &entry, to)?;
        // On record before anything is done: whatever ends this, the next run goes on with it.
        let entry = Entry { moving_to: target.clone(), ..entry };
        self.put(entry.clone())?;
        let place = place_of(&target);
        let done = open(self.session, self.set, &entry).and_then(|_| {
            perform(self.session, &entry, self.signals, &TorrentCommand::Move(place))
        });
        match done {
            Ok(()) => {
                let text = format!("moved {} to {target}", title(&entry));
                Status::solved(self.store.state(), &entry.hash);
                self.put(entry.moved())?;
                Ok(text)
            }
            // That is how a move is put off.
            Err(failure) if self.signals.exit_code().is_some() => Err(failure),
            // Something else stands where its files would be, and nothing is to be brought along.
            Err(_) if self.has_nothing(&entry) => {
                let text = format!("{} will be in {target}", title(&entry));
                Status::solved(self.store.state(), &entry.hash);
                self.put(Entry { folder: target, ..entry }.not_moved())?;
                Ok(text)
            }
            Err(failure) => {
                self.put(entry.clone().not_moved())?;
                Err(move_failure(&entry, &failure))
            }
        }
    }

    /// Whether a torrent cannot be opened where it is, and none of it was found there.
    fn has_nothing(&self, entry: &Entry) -> bool {
        let items = self.session.items().iter();
        let mut ids = items.filter(|item| item.hash().to_hex() == entry.hash).map(|item| item.id);
        let view = ids.next().flatten().and_then(|id| self.session.driver.engine().torrent(id));
        view.is_some_and(|view| {
            let in_the_way =
                matches!(view.error, Some(TorrentError::Foreign(_) | TorrentError::TooLong(_)));
            in_the_way && view.have.count() == 0
        })
    }

    fn put(&mut self, entry: Entry) -> Result<(), Failure> {
        let folder = self.store.state().to_owned();
        self.set.put(vec![(entry, None)]).map_err(|error| disk(&folder, &error))
    }
}

/// Whether the files can have their names at another place, and no other torrent of the set has one of them:
/// else nothing is moved, and nothing put on record.
fn can_be_at(
    set: &SessionSet,
    store: &ResumeStore,
    entry: &Entry,
    to: &Path,
) -> Result<(), Failure> {
    let Source::Torrent(metainfo) = source_of(set, entry)? else { return Ok(()) };
    let renamed: Renames = resume_of(store, entry).map(|resume| resume.renamed).unwrap_or_default();
    let files = (0u32..).zip(metainfo.layout().files()).filter(|(_, file)| file.is_stored());
    let now = |(index, file): (u32, &FileEntry)| {
        let path = renamed.get(&index).map_or(&file.path, |renamed| &renamed.to);
        (index, path.clone())
    };
    let paths: Vec<_> = files.map(now).collect();
    take_paths(&claims_of(set, store, to, &[], Some(entry)), &metainfo, to, &renamed)?;
    names_fit(to, &paths).map_err(|error| {
        let text = format!("{error}; choose another folder, or rename first (`session rename`)");
        Failure::new(DISK, text)
    })
}

/// `session rename TORRENT NAME [--file N]`.
pub(super) fn rename(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let name = matches.get_one::<String>("name").cloned().unwrap_or_default();
    let file = matches.get_one::<u32>("file").copied();
    let Locked { set, store, _session } = lock(matches, "session rename")?;
    let mut session = start(matches, "session rename")?;
    let signals = listen()?;
    let (mut told, mut hashes) = (Vec::new(), Vec::new());
    for entry in named(matches, &set, &store)? {
        hashes.push(entry.hash.clone());
        let metainfo = open(&mut session, &set, &entry)?;
        let rename = match file {
            Some(number) => {
                let folder = current_name(&entry, resume_of(&store, &entry).as_ref());
                rename_file(&metainfo, &folder, number, &name)?
            }
            None => Rename::Torrent(name.clone()),
        };
        can_be_called(&set, &store, &entry, &metainfo, &rename)?;
        let done = perform(&mut session, &entry, &signals, &TorrentCommand::Rename(rename));
        done.map_err(|why| match why.code {
            USAGE => Failure::new(USAGE, format!("'{name}' is no new name: {}", why.message)),
            _ => why,
        })?;
        Status::solved(store.state(), &entry.hash);
        let what = file.map_or(String::new(), |file| format!("file {file} of "));
        told.push(format!("renamed {what}{} to {name}", title(&entry)));
    }
    session.stop()?;
    if !print_changed(matches, &set, &store, hashes.iter().map(String::as_str)) {
        told.iter().for_each(|text| line(text));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether no other torrent of the set has a file of a name that one is to get.
fn can_be_called(
    set: &SessionSet,
    store: &ResumeStore,
    entry: &Entry,
    metainfo: &Metainfo,
    rename: &Rename,
) -> Result<(), Failure> {
    let mut names = resume_of(store, entry).map(|resume| resume.renamed).unwrap_or_default();
    for (index, file) in
        (0u32..).zip(metainfo.layout().files()).filter(|(_, file)| file.is_stored())
    {
        let now = names.get(&index).map_or_else(|| file.path.clone(), |renamed| renamed.to.clone());
        let to = match rename {
            Rename::Torrent(name) => {
                [std::slice::from_ref(name), now.get(1..).unwrap_or_default()].concat()
            }
            Rename::File(file, path) if *file == index => {
                path.split('/').map(str::to_owned).collect()
            }
            Rename::File(..) => continue,
        };
        names.insert(index, Renamed { from: now, to });
    }
    let folder = Path::new(&entry.folder);
    take_paths(&claims_of(set, store, folder, &[], Some(entry)), metainfo, folder, &names)
}

/// The renaming of a file, numbered from 1 as `info` does. Its new path is inside the torrent's folder,
/// whether or not it begins with the name of that.
fn rename_file(
    metainfo: &Metainfo,
    folder: &str,
    number: u32,
    path: &str,
) -> Result<Rename, Failure> {
    let files = metainfo.layout().files();
    let index = number.saturating_sub(1);
    let Some(entry) = files.get(index as usize).filter(|entry| !entry.attributes.pad) else {
        return Err(no_file(metainfo, number));
    };
    if entry.path.len() == 1 {
        if path.contains('/') {
            let text =
                "the torrent is one file and has no folder; give a name, or use `session move`";
            return Err(Failure::new(USAGE, text));
        }
        return Ok(Rename::File(index, path.to_owned()));
    }
    let inside = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path);
    Ok(Rename::File(index, format!("{folder}/{inside}")))
}

/// `session verify TORRENT…`: hashes everything again, and keeps what it found for the next run.
pub(super) fn verify(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let Locked { mut set, store, _session } = lock(matches, "session verify")?;
    let mut session = start(matches, "session verify")?;
    let signals = listen()?;
    let (mut results, mut complete) = (Vec::new(), true);
    for entry in named(matches, &set, &store)? {
        let is_on_record = resume_of(&store, &entry).is_some();
        let metainfo = open(&mut session, &set, &entry)?;
        let good =
            recheck(&mut session, &entry, is_on_record, &signals, matches.get_flag("quiet"))?;
        let selected = Selected::without(&metainfo, &entry.skipped);
        let (done, length) = (selected.done(&good), selected.length());
        let all_empty = length == 0;
        let is_complete = done == length && (all_empty || good.count() > 0);
        complete &= is_complete;
        if !is_complete && entry.paused == GOAL_REACHED {
            // The next run fetches what is missing.
            let entry = Entry { paused: 0, ..entry.clone() };
            set.put(vec![(entry, None)]).map_err(|error| disk(store.state(), &error))?;
        }
        let name = current_name(&entry, resume_of(&store, &entry).as_ref());
        if !matches.get_flag("json") {
            let (good, pieces) = (good.count(), good.len());
            line(&format!("{}: {good} of {pieces} pieces are good", printable(&name)));
        }
        results.push(SessionVerified {
            info_hash: entry.hash,
            name,
            pieces: good.len(),
            good: good.count(),
            done,
            length,
            complete: is_complete,
        });
    }
    session.stop()?;
    if matches.get_flag("json") {
        print_json(&results);
    }
    if complete {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::new(BAD_DATA, "some of the data is bad or missing; `session run` fetches it"))
    }
}

/// Checks a torrent that was opened, from the first piece to the last; which are good. Of one that is on
/// record opening it hashes what is new alone.
fn recheck(
    session: &mut Session,
    entry: &Entry,
    is_on_record: bool,
    signals: &Signals,
    quiet: bool,
) -> Result<Bits, Failure> {
    let mut asked = !is_on_record;
    let mut progress = HashingProgress::new(&entry.name, entry.length.unsigned_abs(), quiet);
    loop {
        for notice in session.turn(FRAME)? {
            match notice {
                Notice::Checked(id, _) if asked => {
                    let view = session.driver.engine().torrent(id);
                    return Ok(view.map_or_else(|| Bits::new(0), |view| view.have));
                }
                Notice::Checked(id, _) => {
                    asked = true;
                    session.driver.command(TorrentCommand::Recheck.of(id));
                }
                // Of one file there is nothing under its name; others may be good.
                Notice::TorrentFailed(id, TorrentError::Foreign(_)) => {
                    let view = session.driver.engine().torrent(id);
                    return Ok(view.map_or_else(|| Bits::new(0), |view| view.have));
                }
                _ => {}
            }
        }
        let items = session.items().iter().filter(|item| item.hash().to_hex() == entry.hash);
        for item in items {
            let view = item.id.and_then(|id| session.driver.engine().torrent(id));
            let length = u64::from(item.metainfo.geometry().piece_length());
            progress.reach(view.map_or(0, |view| u64::from(view.checked) * length));
        }
        if let Some(failure) = session.failure() {
            return Err(failure);
        }
        if let Some(code) = signals.exit_code() {
            drop(progress);
            session.stop()?;
            let text = format!("stopped before {} was verified", entry.name);
            return Err(Failure::new(code, text));
        }
    }
}

/// Opens a torrent of the set. Of one whose metadata has not come there are no files.
fn open(session: &mut Session, set: &SessionSet, entry: &Entry) -> Result<Arc<Metainfo>, Failure> {
    let Source::Torrent(metainfo) = source_of(set, entry)? else {
        let text = format!(
            "{}: the metadata of the magnet is not here yet, so its files are not known; `session run` \
             fetches it",
            title(entry)
        );
        return Err(Failure::new(USAGE, text));
    };
    let known = Arc::new((*metainfo).clone());
    let source = Source::Torrent(metainfo);
    let options = options_of(session, entry, &source)?;
    session.restore(source, options)?;
    Ok(known)
}

fn listen() -> Result<Signals, Failure> {
    Signals::listen()
        .map_err(|error| Failure::new(UNEXPECTED, format!("cannot listen for signals: {error}")))
}

/// Gives the command when the torrent is open, and waits until it is carried out, durably.
fn perform(
    session: &mut Session,
    entry: &Entry,
    signals: &Signals,
    command: &TorrentCommand,
) -> Result<(), Failure> {
    let mut asked = None;
    loop {
        for notice in session.turn(FRAME)? {
            match notice {
                Notice::Checked(id, _) => {
                    asked = Some(session.driver.command(command.clone().of(id)))
                }
                Notice::StorageDone { tag, .. } if Some(tag) == asked => return Ok(()),
                Notice::StorageFailed { tag, torrent, error, .. } if Some(tag) == asked => {
                    let told = session.driver.disk_refusal(torrent);
                    let told = told.map(|told| told.told(None, &entry.name));
                    return Err(Failure::of_disk(&entry.name, told, error));
                }
                Notice::CommandRejected { error: CommandError::BadName, .. } => {
                    let text = "it is taken, or not safe on every system";
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
