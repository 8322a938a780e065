//! `session move`, `session rename` and `session verify`: the files of a torrent of the set, while
//! nobody runs it. The engine does it, as in a run, but without a network.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::base::bits::Bits;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::{FileEntry, Metainfo};
use eddyline::{
    CommandError, Config, Notice, RateLimits, Rename, Renamed, ResumeData, TorrentCommand,
    TorrentError,
};
use eddyline_disk::names_fit;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_session::Selected;
use eddyline_session::session_store::{Entry, GOAL_REACHED, SessionSet, SessionStore};
use eddyline_session::{AddOptions, Renames, Source};

use super::super::args::{ChangeArgs, General, MoveArgs, RenameArgs};
use super::super::create::check_name;
use super::super::documents::SessionVerified;
use super::super::exit::{BAD_DATA, DISK, Failure, UNEXPECTED, USAGE};
use super::super::found::{is_whole_so_far, links_told, longer_files, take_paths};
use super::super::hashing::HashingProgress;
use super::super::output::{json as print_json, line, printable, warn};
use super::super::selection::no_file;
use super::super::session::Session;
use super::super::setup::{Setup, state_dir};
use super::super::signals::Signals;
use super::super::verify::good_of;
use super::add::claims_of;
use super::entries::{
    called, current_name, move_failure, options_of, place_of, resume_of, source_of, title,
};
use super::list::print_changed;
use super::shared::stays_with_others;
use super::status::Status;
use super::{Locked, disk, lock, named, whole};

const FRAME: Duration = Duration::from_millis(200);
/// How often `session list` is told how far a move is.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// A session that talks to nobody: it listens to nobody, and calls none of the peers that resume data names.
fn start(said: Option<&Path>, command: &'static str) -> Result<Session, Failure> {
    let quiet = Config {
        trackers: false,
        dht: false,
        lsd: false,
        pex: false,
        max_half_open: 0,
        ..Config::default()
    };
    Session::start(Setup {
        command,
        folder: ".".into(),
        state: state_dir(said),
        keeps: true,
        listen: None,
        engine: quiet,
        limits: RateLimits::default(),
        record: None,
        keep_executable: false,
        lists: None,
    })
}

/// `session move TORRENT… --to DIR`.
pub(super) fn move_data(args: &MoveArgs, general: General) -> Result<ExitCode, Failure> {
    let ChangeArgs { torrent, state } = &args.change;
    let said = state.place.state_dir.as_deref();
    let to = whole(&args.to)?;
    let Locked { mut set, store, _session } = lock(said, "session move")?;
    let mut session = start(said, "session move")?;
    let signals = listen()?;
    let quiet = general.quiet;
    let mut mover =
        Mover { session: &mut session, set: &mut set, store: &store, signals: &signals, quiet };
    let (mut hashes, mut outcome) = (Vec::new(), Ok(()));
    for entry in named(torrent, mover.set, &store)? {
        hashes.push(entry.hash.clone());
        match mover.bring(entry, &to) {
            Ok(told) if !state.json => line(&told),
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
    if state.json {
        print_changed(&set, &store, hashes.iter().map(String::as_str));
    }
    Ok(ExitCode::SUCCESS)
}

/// Moves torrents of the set.
struct Mover<'a> {
    session: &'a mut Session,
    set: &'a mut SessionStore,
    store: &'a ResumeStore,
    signals: &'a Signals,
    quiet: bool,
}

impl Mover<'_> {
    /// Brings a torrent to this folder; what came of it, in a line.
    fn bring(&mut self, entry: Entry, to: &Path) -> Result<String, Failure> {
        let target = to.to_string_lossy().into_owned();
        let resume = resume_of(self.store, &entry);
        let entry = if entry.has_moved(resume.as_ref()) { entry.moved() } else { entry };
        if entry.folder == target {
            let text = format!("{} is there already", called(self.store, &entry));
            self.put(entry.not_moved())?;
            return Ok(text);
        }
        if self.set.torrent(&entry.hash).is_err() {
            // Nothing of it is on the disk yet.
            let text = format!("{} will be in {target}", called(self.store, &entry));
            self.put(Entry { folder: target, ..entry }.not_moved())?;
            return Ok(text);
        }
        can_be_at(self.set, self.store, &entry, to)?;
        // On record before anything is done: whatever ends this, the next run goes on with it.
        let entry = Entry { moving_to: target.clone(), ..entry };
        self.put(entry.clone())?;
        let place = place_of(&target);
        let done = open(self.session, self.set, &entry).and_then(|_| {
            let (mut bar, mut told) = (HashingProgress::moving(&entry.name, self.quiet), None);
            let state = self.store.state();
            let each = |session: &Session, id| {
                let moved = session.driver.move_progress(id);
                if let Some((done, all)) = moved {
                    bar.reach_of(done, all);
                }
                let is_due = told.is_none_or(|told: Instant| told.elapsed() >= TOLD_EVERY);
                if moved.is_some() && is_due {
                    Status::tell_move(state, &entry.hash, moved);
                    told = Some(Instant::now());
                }
            };
            perform(self.session, &entry, self.signals, &TorrentCommand::Move(place), each)
        });
        Status::tell_move(self.store.state(), &entry.hash, None);
        match done {
            Ok(()) => {
                let text = format!("moved {} to {target}", called(self.store, &entry));
                Status::solved(self.store.state(), &entry.hash);
                self.put(entry.moved())?;
                Ok(text)
            }
            // That is how a move is put off.
            Err(failure) if self.signals.exit_code().is_some() => Err(failure),
            // Something else stands where its files would be, and nothing is to be brought along.
            Err(_) if self.has_nothing(&entry) => {
                let text = format!("{} will be in {target}", called(self.store, &entry));
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
    stays_with_others(set, store, entry, &metainfo, "moved")?;
    take_paths(&claims_of(set, store, to, &[], Some(&entry.hash)), &metainfo, to, &renamed)?;
    names_fit(to, &paths).map_err(|error| {
        let text = format!("{error}; choose another folder, or rename first (`session rename`)");
        Failure::new(DISK, text)
    })
}

/// `session rename TORRENT NAME [--file N]`.
pub(super) fn rename(args: &RenameArgs) -> Result<ExitCode, Failure> {
    let (name, file, said) = (&args.name, args.file, args.state.place.state_dir.as_deref());
    if file.is_none() {
        check_name(name)?;
    }
    let Locked { set, store, _session } = lock(said, "session rename")?;
    let mut session = start(said, "session rename")?;
    let signals = listen()?;
    let mut renamer =
        Renamer { session: &mut session, set: &set, store: &store, signals: &signals };
    let (mut told, mut hashes, mut outcome) = (Vec::new(), Vec::new(), Ok(()));
    for entry in named(std::slice::from_ref(&args.torrent), &set, &store)? {
        hashes.push(entry.hash.clone());
        match renamer.rename(&entry, name, file) {
            Ok(text) => told.push(text),
            Err(failure) => {
                outcome = Err(failure);
                break;
            }
        }
    }
    // Whatever a signal ended is stopped already. What failed is called as before, which goes on record here.
    if outcome.is_ok() || signals.exit_code().is_none() {
        session.stop()?;
    }
    outcome?;
    if args.state.json {
        print_changed(&set, &store, hashes.iter().map(String::as_str));
    } else {
        told.iter().for_each(|text| line(text));
    }
    Ok(ExitCode::SUCCESS)
}

/// Renames torrents of the set.
struct Renamer<'a> {
    session: &'a mut Session,
    set: &'a SessionSet,
    store: &'a ResumeStore,
    signals: &'a Signals,
}

impl Renamer<'_> {
    /// Gives a torrent, or a file of it, another name; what came of it, in a line.
    fn rename(&mut self, entry: &Entry, name: &str, file: Option<u32>) -> Result<String, Failure> {
        let (set, store) = (self.set, self.store);
        let metainfo = open(self.session, set, entry)?;
        let rename = match file {
            Some(number) => {
                let folder = current_name(entry, resume_of(store, entry).as_ref());
                rename_file(&metainfo, &folder, number, name)?
            }
            None => Rename::Torrent(name.to_owned()),
        };
        let what = file.map_or(String::new(), |file| format!("file {file} of "));
        if is_called(&metainfo, resume_of(store, entry).as_ref(), &rename) {
            return Ok(format!("{what}{} is called {name} already", called(store, entry)));
        }
        stays_with_others(set, store, entry, &metainfo, "renamed")?;
        can_be_called(set, store, entry, &metainfo, &rename)?;
        let before = called(store, entry);
        let rename = TorrentCommand::Rename(rename);
        let done = perform(self.session, entry, self.signals, &rename, |_, _| {});
        done.map_err(|why| match why.code {
            USAGE => Failure::new(USAGE, format!("'{name}' is no new name: {}", why.message)),
            _ => why,
        })?;
        Status::solved(store.state(), &entry.hash);
        Ok(format!("renamed {what}{before} to {name}"))
    }
}

/// Whether files have the names already that they are to get.
fn is_called(metainfo: &Metainfo, resume: Option<&ResumeData>, rename: &Rename) -> bool {
    let files = (0u32..).zip(metainfo.layout().files()).filter(|(_, file)| file.is_stored());
    let mut paths = files.map(|(index, file)| {
        let renamed = resume.and_then(|resume| resume.renamed.get(&index));
        (index, renamed.map_or(&file.path, |renamed| &renamed.to))
    });
    match rename {
        Rename::Torrent(name) => paths.all(|(_, path)| path.first() == Some(name)),
        Rename::File(file, to) => {
            paths.any(|(index, path)| index == *file && path.join("/") == *to)
        }
    }
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
    take_paths(&claims_of(set, store, folder, &[], Some(&entry.hash)), metainfo, folder, &names)
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

/// `session verify TORRENT…`: hashes everything again, changes nothing of it, and keeps what it found for the
/// next run.
pub(super) fn verify(args: &ChangeArgs, general: General) -> Result<ExitCode, Failure> {
    let said = args.state.place.state_dir.as_deref();
    let Locked { mut set, store, _session } = lock(said, "session verify")?;
    let mut session = start(said, "session verify")?;
    let signals = listen()?;
    let (mut results, mut failure) = (Vec::new(), None);
    for entry in named(&args.torrent, &set, &store)? {
        let (source, mut options) = known(&session, &set, &entry)?;
        (options.read_only, options.recheck) = (true, true);
        if let Source::Torrent(metainfo) = &source
            && let Some(text) = links_told(Path::new(&entry.folder), metainfo)
        {
            warn(&text);
        }
        session.restore(source, options)?;
        let good = recheck(&mut session, &entry, &signals, general.quiet)?;
        let (found, first_too_long) = found(&session, &entry, &store, &good);
        if let Some(path) = found.too_long.first() {
            let (length, whole) = first_too_long;
            failure = Some(Failure::too_long(path, length, whole, true));
        }
        if !found.complete && entry.paused == GOAL_REACHED {
            // The next run fetches what is missing.
            let entry = Entry { paused: 0, ..entry.clone() };
            set.put(vec![(entry, None)]).map_err(|error| disk(store.state(), &error))?;
        }
        if !args.state.json {
            let told = good_of(found.good as usize, found.pieces as usize);
            line(&format!("{}: {told}", printable(&found.name)));
            found.too_long.iter().for_each(|path| line(&format!("{}: too long", printable(path))));
        }
        results.push(found);
    }
    session.stop()?;
    if args.state.json {
        print_json(&results);
    }
    let text = "some of the data is bad or missing; `session run` fetches it";
    match failure {
        Some(failure) => Err(failure),
        None if results.iter().all(|found| found.complete) => Ok(ExitCode::SUCCESS),
        None => Err(Failure::new(BAD_DATA, text)),
    }
}

/// What was found of a torrent, of which these pieces are good; and of the first file that is too long, how long it
/// should be, and whether all of it is good.
fn found(
    session: &Session,
    entry: &Entry,
    store: &ResumeStore,
    good: &Bits,
) -> (SessionVerified, (u64, bool)) {
    let name = current_name(entry, resume_of(store, entry).as_ref());
    let item = session.items().iter().find(|item| item.hash().to_hex() == entry.hash);
    let path = |file| item.and_then(|item| session.driver.engine().file_path(item.id?, file));
    let (mut done, mut length, mut too_long, mut first) = (0, 0, Vec::new(), (0, false));
    if let Some((item, metainfo)) = item.and_then(|item| Some((item, item.metainfo()?))) {
        let selected = Selected::without(metainfo, &entry.skipped);
        (done, length) = (selected.done(good), selected.length());
        let wanted = |file: &u32| !entry.skipped.contains(file);
        too_long = longer_files(item, path).filter(wanted).collect();
        if let Some(file) = too_long.first().copied() {
            let whole = is_whole_so_far(item, file, |piece| good.has(piece), path);
            first = (item.files()[file as usize].length, whole);
        }
    }
    let all_is_here = done == length && (length == 0 || good.count() > 0);
    let document = SessionVerified {
        info_hash: entry.hash.clone(),
        name,
        pieces: good.len(),
        good: good.count(),
        done,
        length,
        complete: all_is_here && too_long.is_empty(),
        too_long: too_long.into_iter().map(|n| path(n).unwrap_or_default().join("/")).collect(),
    };
    (document, first)
}

/// Waits until a torrent that was opened is checked, from the first piece to the last; which are good.
fn recheck(
    session: &mut Session,
    entry: &Entry,
    signals: &Signals,
    quiet: bool,
) -> Result<Bits, Failure> {
    let mut progress = HashingProgress::new(&entry.name, entry.length.unsigned_abs(), quiet);
    loop {
        for notice in session.turn(FRAME)? {
            // A file that is too long is told of when all is looked at.
            if let Notice::Checked(id, _) | Notice::TorrentFailed(id, TorrentError::TooLong(_)) =
                notice
            {
                let view = session.driver.engine().torrent(id);
                return Ok(view.map_or_else(|| Bits::new(0), |view| view.have));
            }
        }
        let items = session.items().iter().filter(|item| item.hash().to_hex() == entry.hash);
        for item in items {
            let view = item.id.and_then(|id| session.driver.engine().torrent(id));
            let metainfo = item.metainfo();
            let length =
                metainfo.map_or(0, |metainfo| u64::from(metainfo.geometry().piece_length()));
            progress.reach(view.map_or(0, |view| u64::from(view.checked) * length));
        }
        let mut own = session.items().iter().filter(|item| item.hash().to_hex() == entry.hash);
        if let Some(failure) = own.find_map(|item| session.failure_of(item)) {
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

/// Opens a torrent of the set, to change how its files lie.
fn open(session: &mut Session, set: &SessionSet, entry: &Entry) -> Result<Arc<Metainfo>, Failure> {
    let (source, options) = known(session, set, entry)?;
    let Source::Torrent(metainfo) = &source else { return Err(no_metadata(entry)) };
    let metainfo = Arc::new((**metainfo).clone());
    session.restore(source, options)?;
    Ok(metainfo)
}

/// What a torrent of the set is. Of one whose metadata has not come there are no files.
fn known(
    session: &Session,
    set: &SessionSet,
    entry: &Entry,
) -> Result<(Source, AddOptions), Failure> {
    let source = source_of(set, entry)?;
    if matches!(source, Source::Magnet(_)) {
        return Err(no_metadata(entry));
    }
    let options = options_of(session, entry, &source)?;
    Ok((source, options))
}

fn no_metadata(entry: &Entry) -> Failure {
    let text = format!(
        "{}: the metadata of the magnet is not here yet, so its files are not known; `session run` \
         fetches it",
        title(entry)
    );
    Failure::new(USAGE, text)
}

fn listen() -> Result<Signals, Failure> {
    Signals::listen()
        .map_err(|error| Failure::new(UNEXPECTED, format!("cannot listen for signals: {error}")))
}

/// Gives the command when the torrent is open, and waits until it is carried out, durably; `each` looks on.
fn perform(
    session: &mut Session,
    entry: &Entry,
    signals: &Signals,
    command: &TorrentCommand,
    mut each: impl FnMut(&Session, TorrentId),
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
                    // Of which folder it is in a move depends on what was done.
                    let renames = matches!(command, TorrentCommand::Rename(_));
                    let folder = renames.then(|| Path::new(&entry.folder));
                    let told = told.map(|told| told.told(folder, &entry.name));
                    return Err(Failure::of_disk(&entry.name, told, error));
                }
                Notice::CommandRejected { error: CommandError::BadName, .. } => {
                    let text = "it is taken, or not safe on every system";
                    return Err(Failure::new(USAGE, text));
                }
                _ => {}
            }
        }
        let mut own = session.items().iter().filter(|item| item.hash().to_hex() == entry.hash);
        if let Some(id) = own.find_map(|item| item.id) {
            each(session, id);
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
