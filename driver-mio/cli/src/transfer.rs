//! `download` and `seed`: the loop between driver and screen.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use eddyline::base::ids::TorrentId;
use eddyline::{FilePriority, Notice, TorrentCommand, TorrentError, TorrentState};
use eddyline_disk::claims::Claims;
use eddyline_disk::resume_store::ResumeStore;
use eddyline_session::AddOptions;
use eddyline_session::{Renames, Source};

use super::args::{DownloadArgs, General, SeedArgs};
use super::exit::{BAD_DATA, Failure, UNFINISHED, USAGE};
use super::found::{is_whole_so_far, lacking, lacking_empty, links_told, take_paths};
use super::goal::SeedGoal;
use super::output::warn;
use super::output_file::{OutputFile, Readers};
use super::progress::Reporter;
use super::published::look_up;
use super::remembered::{remember, remembered};
use super::selection::{ask, check, select};
use super::session::Session;
use super::session_set::spare_set;
use super::setup::{Setup, names};
use super::signals::{Ended, Signals};
use super::source::{load, load_torrent};
use super::spared::Spared;

/// How often the screen is brought up to date.
const FRAME: Duration = Duration::from_millis(200);

/// A run that has come to its end, and how it did.
type Outcome = (Session, Reporter, Result<Option<u8>, Failure>);

/// Fetches, verifies, and ends when everything is complete and on disk.
pub fn download(args: &DownloadArgs, general: General) -> Result<ExitCode, Failure> {
    end(args.transfer.json, run_download(args, general))
}

fn run_download(args: &DownloadArgs, general: General) -> Result<Outcome, Failure> {
    let (files, flags, patience) = (&args.files, &args.transfer, args.stop_timeout);
    let output = metadata_output(args)?;
    let names = names(&flags.network.way)?;
    let torrents = args.source.iter().map(|text| load(text, &names));
    let torrents = torrents.collect::<Result<Vec<_>, _>>()?;
    let signals = listen_for_signals()?;
    let mut reporter = Reporter::new(general, flags.json);
    let setup = Setup {
        folder: files.dir.clone(),
        keep_executable: files.keep_executable.keep_executable,
        ..Setup::from_flags("download", flags, &args.source)?
    };
    if !files.metadata_only {
        look_at_torrents(&torrents, &setup, &files.select)?;
    }
    spare_files(&setup, &torrents)?;
    let mut session = Session::start(setup)?;
    for source in torrents {
        let source = match look_up(&mut session, source, &signals, patience)? {
            Ended::Done(source) => source,
            Ended::BySignal(code) => return Ok((session, reporter, Ok(Some(code)))),
        };
        let (source, options) = prepared(&session, source, args)?;
        session.add(source, flags, options)?;
    }
    reporter.listening(&session);
    let outcome = if files.metadata_only {
        let force = flags.state.record.force.force;
        fetch_metadata(&mut session, &mut reporter, &signals, patience).and_then(
            |code| match code {
                None => save_metadata(&session, output.as_ref(), force).map(|()| None),
                stopped => Ok(stopped),
            },
        )
    } else {
        let goal = SeedGoal::from_flags(flags.goal);
        let end = End { patience, goal, selections: &files.select, asks: files.ask };
        fetch(&mut session, &mut reporter, &signals, &end)
    };
    Ok((session, reporter, outcome))
}

/// A source with how it is added, as the flags say. What a magnet led to in an earlier run is known.
fn prepared(
    session: &Session,
    source: Source,
    args: &DownloadArgs,
) -> Result<(Source, AddOptions), Failure> {
    let (files, fresh) = (&args.files, args.transfer.state.no_resume);
    let known = if fresh { None } else { remembered(session, &source) };
    let (mut source, mut of_magnet) = (source, AddOptions::default());
    if let Some((metainfo, options)) = known {
        let state = session.store().map(ResumeStore::state);
        let fits = match files.metadata_only {
            true => Ok(()),
            false => spare_set(state, &metainfo, &files.dir),
        };
        match fits.and_then(|()| select(&metainfo, &files.select)) {
            Ok(_) => (source, of_magnet) = (Source::Torrent(metainfo), options),
            Err(failure) if args.source.len() == 1 => return Err(failure),
            // As of a magnet that nobody knows: others go on, and it fails when its turn comes.
            Err(_) => {}
        }
    }
    let priorities = match &source {
        Source::Torrent(metainfo) if files.ask => ask(metainfo)?,
        Source::Torrent(metainfo) if !files.select.is_empty() => select(metainfo, &files.select)?,
        _ => of_magnet.priorities.clone(),
    };
    // What to fetch is chosen when it is known what there is, and what it is called is told before
    // anything is written.
    let hold = files.metadata_only || matches!(source, Source::Magnet(_));
    let options = AddOptions {
        priorities,
        sequential: files.sequential,
        hold,
        overwrite: files.allow_overwrite,
        allocation: files.allocation,
        ..of_magnet
    };
    Ok((source, options))
}

/// Looks, before anything is begun, whether all that is selected is there, and no two torrents want one path,
/// those of the session among them.
fn look_at_torrents(
    torrents: &[Source],
    setup: &Setup,
    selections: &[String],
) -> Result<(), Failure> {
    check(selections)?;
    let folder = &setup.folder;
    let claims = Claims::new(None);
    for source in torrents {
        let Source::Torrent(metainfo) = source else { continue };
        select(metainfo, selections)?;
        spare_set(setup.state.as_deref(), metainfo, folder)?;
        if torrents.len() > 1 {
            take_paths(&claims, metainfo, folder, &Renames::new())?;
        }
    }
    Ok(())
}

/// A run is not recorded into a file of the torrents.
fn spare_files(setup: &Setup, torrents: &[Source]) -> Result<(), Failure> {
    let Some(spared) = setup.spared()? else { return Ok(()) };
    torrents.iter().try_for_each(|source| spared.source(source, &setup.folder))
}

/// Runs until the info dictionary of every source is known.
fn fetch_metadata(
    session: &mut Session,
    reporter: &mut Reporter,
    signals: &Signals,
    patience: Option<Duration>,
) -> Result<Option<u8>, Failure> {
    let started = Instant::now();
    while !session.items().iter().all(|item| item.metainfo().is_some()) {
        let notices = session.turn(FRAME)?;
        reporter.show(session, &notices);
        if let Some(failure) = session.failures() {
            return Err(failure);
        }
        if let Some(code) = signals.exit_code() {
            return Ok(Some(code));
        }
        if patience.is_some_and(|patience| started.elapsed() >= patience) {
            let cause = reporter.give_up(session);
            let text = format!(
                "no peer gave the metadata in the time that --stop-timeout allows: {cause}"
            );
            return Err(Failure::new(UNFINISHED, text));
        }
    }
    Ok(None)
}

/// Where `--metadata-only` writes, if that is known beforehand.
fn metadata_output(args: &DownloadArgs) -> Result<Option<OutputFile>, Failure> {
    let Some(place) = &args.files.output else { return Ok(None) };
    if !args.files.metadata_only {
        let text =
            "-o says where --metadata-only saves the .torrent; give both, or --dir for the files";
        return Err(Failure::new(USAGE, text));
    }
    if args.source.len() > 1 {
        let text = "-o names one file, and there are several sources; leave it out";
        return Err(Failure::new(USAGE, text));
    }
    let named = args.source.iter().map(Path::new);
    let force = args.transfer.state.record.force.force;
    let output = OutputFile::look(Path::new(place), force, named, Readers::Usual)?;
    if output.is_stdout() && args.transfer.json {
        let text =
            "the .torrent and what --json prints cannot both go to stdout; name a file for -o";
        return Err(Failure::new(USAGE, text));
    }
    Ok(Some(output))
}

/// Writes the `.torrent` of each source: into OUT, or under its name.
fn save_metadata(
    session: &Session,
    output: Option<&OutputFile>,
    force: bool,
) -> Result<(), Failure> {
    for item in session.items() {
        let Some(metainfo) = item.metainfo() else { continue };
        let name = format!("{}.torrent", item.name());
        let output = match output {
            Some(output) => output.clone(),
            None => OutputFile::look(Path::new(&name), force, [], Readers::Usual)?,
        };
        if let Some(path) = output.path() {
            let state = session.store().map(ResumeStore::state);
            Spared::look(path, state)?.torrent(metainfo, &item.folder)?;
        }
        output.write(&metainfo.encode())?;
    }
    Ok(())
}

fn listen_for_signals() -> Result<Signals, Failure> {
    let signals = Signals::listen();
    signals.map_err(|error| Failure::new(1, format!("cannot listen for signals: {error}")))
}

/// When a download ends, and what is fetched of magnets.
struct End<'a> {
    patience: Option<Duration>,
    goal: SeedGoal,
    selections: &'a [String],
    /// The user is asked in place of that.
    asks: bool,
}

/// Runs until everything is complete and seeded enough. `Ok(Some)` is the code of a signal.
fn fetch(
    session: &mut Session,
    reporter: &mut Reporter,
    signals: &Signals,
    end: &End<'_>,
) -> Result<Option<u8>, Failure> {
    let (patience, goal) = (end.patience, &end.goal);
    let mut last_progress = Instant::now();
    let mut completed: Option<Instant> = None;
    loop {
        let notices = session.turn(FRAME)?;
        let moved = |notice: &Notice| {
            matches!(
                notice,
                Notice::PieceVerified(..)
                    | Notice::Checked(..)
                    | Notice::Finished(_)
                    | Notice::MetadataReady(_)
            )
        };
        for notice in &notices {
            if let Notice::MetadataReady(id) = notice {
                choose_files(session, *id, end)?;
            }
        }
        reporter.show(session, &notices);
        let moves = notices.iter().any(moved) || is_checking(session);
        if moves {
            last_progress = Instant::now();
        }
        if session.all_ended()
            && let Some(failure) = session.failures()
        {
            return Err(failure);
        }
        if session.all_done() {
            let since = *completed.get_or_insert_with(|| {
                reporter.complete(session);
                Instant::now()
            });
            if !goal.is_set() || is_reached(goal, since, session) {
                return Ok(None);
            }
        } else if !moves && patience.is_some_and(|patience| last_progress.elapsed() >= patience) {
            let text = format!(
                "no progress for as long as --stop-timeout allows: {}; start again to go on where it \
                 stopped",
                reporter.give_up(session)
            );
            return Err(Failure::new(UNFINISHED, text));
        }
        if let Some(code) = signals.exit_code() {
            reporter.signal(code);
            return Ok(if completed.is_some() { None } else { Some(code) });
        }
    }
}

/// Whether enough was seeded of all torrents together.
fn is_reached(goal: &SeedGoal, since: Instant, session: &Session) -> bool {
    let views = session.items().iter().filter_map(|item| session.driver.engine().torrent(item.id?));
    let (uploaded, length) =
        views.fold((0, 0), |(up, length), view| (up + view.uploaded, length + view.wanted));
    goal.is_reached(since, uploaded, length)
}

/// The files of a magnet are known, and it was held until now: those that are wanted are fetched.
fn choose_files(session: &mut Session, id: TorrentId, end: &End<'_>) -> Result<(), Failure> {
    let state = session.store().map(ResumeStore::state);
    let Some(item) = session.item(id) else { return Ok(()) };
    let Some(metainfo) = item.metainfo().cloned() else { return Ok(()) };
    if let Err(failure) = spare_set(state, &metainfo, &item.folder) {
        session.fail(id, failure);
        return Ok(());
    }
    if let (Some(store), Some(item)) = (session.store(), session.item(id)) {
        remember(store, item);
    }
    let chooses = end.asks || !end.selections.is_empty();
    if chooses {
        let chosen = match end.asks {
            true => ask(&metainfo)?,
            false => match select(&metainfo, end.selections) {
                Ok(chosen) => chosen,
                // It stays held; others go on.
                Err(failure) => {
                    session.fail(id, failure);
                    return Ok(());
                }
            },
        };
        let priorities = chosen.into_iter().enumerate();
        let priorities = priorities.map(|(n, priority)| FilePriority { file: n as u32, priority });
        let priorities = priorities.collect();
        session.select(id, priorities);
    }
    session.driver.command(TorrentCommand::Resume.of(id));
    Ok(())
}

fn is_checking(session: &Session) -> bool {
    session.items().iter().any(|item| match item.id {
        // It has not been looked at yet.
        None => item.trouble.is_none(),
        Some(id) => matches!(
            session.driver.engine().torrent_state(id),
            Some(TorrentState::Checking | TorrentState::Opening)
        ),
    })
}

/// Checks the data and uploads until stopped.
pub fn seed(args: &SeedArgs, general: General) -> Result<ExitCode, Failure> {
    end(args.transfer.json, run_seed(args, general))
}

fn run_seed(args: &SeedArgs, general: General) -> Result<Outcome, Failure> {
    let flags = &args.transfer;
    let mut torrents = Vec::new();
    let absent = std::fs::metadata(&args.dir).err();
    if let Some(error) = absent.filter(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Err(Failure::io(&args.dir, &error));
    }
    let names = names(&flags.network.way)?;
    for text in &args.torrent {
        torrents.push(Source::Torrent(load_torrent(text, &names)?));
    }
    let signals = listen_for_signals()?;
    let mut reporter = Reporter::serving(general, flags.json);
    let setup = Setup::from_flags("seed", flags, &args.torrent)?;
    let setup = Setup { folder: args.dir.clone(), ..setup };
    spare_files(&setup, &torrents)?;
    let mut session = Session::start(setup)?;
    for source in torrents {
        if let Source::Torrent(metainfo) = &source
            && let Some(text) = links_told(&args.dir, metainfo)
        {
            warn(&text);
        }
        session.add(source, flags, AddOptions { read_only: true, ..AddOptions::default() })?;
    }
    let goal = SeedGoal::from_flags(flags.goal);
    let outcome = serve(&mut session, &mut reporter, &signals, &goal);
    Ok((session, reporter, outcome))
}

/// That a file is longer than its torrent says.
fn too_long(session: &Session, id: TorrentId, file: u32) -> Failure {
    let engine = session.driver.engine();
    let path = engine.file_path(id, file).unwrap_or_default().join("/");
    let entry = engine.metainfo(id).and_then(|it| it.layout().files().get(file as usize));
    let length = entry.map_or(0, |entry| entry.length);
    let all = || {
        let (view, item) = (engine.torrent(id)?, session.item(id)?);
        let path = |file| engine.file_path(id, file);
        Some(is_whole_so_far(item, file, |piece| view.have.has(piece), path))
    };
    Failure::too_long(&path, length, all().unwrap_or(false), false)
}

/// Why a torrent of which `good` pieces are good cannot be seeded, if it cannot.
fn unfit(session: &Session, id: TorrentId, good: u32) -> Option<Failure> {
    let item = session.item(id)?;
    let (name, path) = (item.name(), |file| session.driver.engine().file_path(id, file));
    if item.done {
        // No piece tells of files without bytes.
        let text = lacking_empty(item, path)?;
        return Some(Failure::new(BAD_DATA, format!("{name}: {text}; `download` makes it")));
    }
    let pieces = item.metainfo()?.geometry().pieces();
    let lacking = lacking(item, path).map_or(String::new(), |text| format!("; {text}"));
    let text = format!(
        "{name}: only {good} of {pieces} pieces are good{lacking}; fetch the rest with `download`"
    );
    Some(Failure::new(BAD_DATA, text))
}

fn serve(
    session: &mut Session,
    reporter: &mut Reporter,
    signals: &Signals,
    goal: &SeedGoal,
) -> Result<Option<u8>, Failure> {
    let mut unchecked: BTreeSet<usize> = (0..session.items().len()).collect();
    let mut ready: Option<Instant> = None;
    loop {
        let notices = session.turn(FRAME)?;
        let mut failed = None;
        for notice in &notices {
            if let Notice::TorrentFailed(id, TorrentError::TooLong(file)) = notice {
                let failure = too_long(session, *id, *file);
                // Nothing is to be written: the engine's own reason is for who downloads.
                session.fail(*id, failure.clone());
                failed.get_or_insert(failure);
            }
        }
        reporter.show(session, &notices);
        if let Some(failure) = failed {
            return Err(session.one_failed(failure));
        }
        if let Some(failure) = session.failures() {
            return Err(failure);
        }
        for notice in &notices {
            let Notice::Checked(id, good) = notice else { continue };
            let place = session.items().iter().position(|item| item.id == Some(*id));
            let Some(place) = place else { continue };
            if let Some(failure) = unfit(session, *id, *good) {
                return Err(session.one_failed(failure));
            }
            unchecked.remove(&place);
        }
        if unchecked.is_empty() && ready.is_none() {
            ready = Some(Instant::now());
            reporter.ready(session);
        }
        if let Some(since) = ready
            && goal.is_set()
            && is_reached(goal, since, session)
        {
            reporter.complete(session);
            return Ok(None);
        }
        if let Some(code) = signals.exit_code() {
            // Being stopped is how seeding ends.
            reporter.signal(code);
            let finished = ready.is_some() && !goal.is_set();
            return Ok(if finished { None } else { Some(code) });
        }
    }
}

/// Stops tidily and turns the outcome into an exit code. What failed before there was anything to stop is an
/// event, too.
fn end(json: bool, run: Result<Outcome, Failure>) -> Result<ExitCode, Failure> {
    let tell = |failure: &Failure| Reporter::failed_alone(json, failure);
    let (mut session, mut reporter, outcome) = run.inspect_err(tell)?;
    reporter.stopping();
    let last = session.stop().inspect_err(tell)?;
    reporter.last_words(&session, &last);
    reporter.finish(&session, &outcome);
    match outcome {
        Ok(None) => Ok(ExitCode::SUCCESS),
        Ok(Some(code)) => Ok(ExitCode::from(code)),
        Err(failure) => Err(failure),
    }
}
