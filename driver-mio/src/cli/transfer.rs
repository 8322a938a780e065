//! `download` and `seed`: the loop between driver and screen.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use eddyline::metainfo::Metainfo;
use eddyline::{Notice, Priority};
use globset::Glob;

use super::exit::{BAD_DATA, Failure, UNFINISHED, USAGE};
use super::progress::{Reporter, Totals};
use super::session::{Session, Setup};
use super::signals::Signals;
use super::source::load_torrent;

/// How often the screen is brought up to date.
const FRAME: Duration = Duration::from_millis(200);

/// When to stop after completion.
struct SeedGoal {
    ratio: Option<f64>,
    time: Option<Duration>,
}

impl SeedGoal {
    fn from_flags(matches: &ArgMatches) -> Self {
        Self {
            ratio: matches.get_one::<f64>("seed-ratio").copied(),
            time: matches.get_one::<Duration>("seed-time").copied(),
        }
    }

    fn is_set(&self) -> bool {
        self.ratio.is_some() || self.time.is_some()
    }

    fn is_reached(&self, since: Instant, totals: &Totals) -> bool {
        let enough = |ratio: f64| totals.uploaded as f64 >= ratio * totals.length as f64;
        self.ratio.is_some_and(enough) || self.time.is_some_and(|time| since.elapsed() >= time)
    }
}

fn sources(matches: &ArgMatches, key: &str) -> Result<Vec<Metainfo>, Failure> {
    let texts = matches.get_many::<String>(key).into_iter().flatten();
    texts.map(|text| load_torrent(text).map(|metainfo| *metainfo)).collect()
}

/// Fetches, verifies, and ends when everything is complete and on disk.
pub fn download(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let torrents = sources(matches, "source")?;
    let selections: Vec<String> =
        matches.get_many::<String>("select").into_iter().flatten().cloned().collect();
    let signals = listen_for_signals()?;
    let mut reporter = Reporter::new(matches);
    let mut session = Session::start(Setup::from_flags(matches)?)?;
    for metainfo in torrents {
        let priorities = select(&metainfo, &selections)?;
        session.add(metainfo, matches, priorities, matches.get_flag("sequential"))?;
    }
    let patience = matches.get_one::<Duration>("stop-timeout").copied();
    let goal = SeedGoal::from_flags(matches);
    reporter.listening(&session);
    let outcome = fetch(&mut session, &mut reporter, &signals, patience, &goal);
    end(session, &mut reporter, outcome)
}

fn listen_for_signals() -> Result<Signals, Failure> {
    let signals = Signals::listen();
    signals.map_err(|error| Failure::new(1, format!("cannot listen for signals: {error}")))
}

/// Runs until everything is complete and seeded enough. `Ok(Some)` is the code of a signal.
fn fetch(
    session: &mut Session,
    reporter: &mut Reporter,
    signals: &Signals,
    patience: Option<Duration>,
    goal: &SeedGoal,
) -> Result<Option<u8>, Failure> {
    let mut last_progress = Instant::now();
    let mut completed: Option<Instant> = None;
    loop {
        let notices = session.turn(FRAME)?;
        let moved = |notice: &Notice| {
            matches!(notice, Notice::PieceVerified(..) | Notice::Checked(..) | Notice::Finished(_))
        };
        if notices.iter().any(moved) || is_checking(session) {
            last_progress = Instant::now();
        }
        reporter.show(session, &notices);
        if session.all_ended()
            && let Some(failure) = session.failure()
        {
            return Err(failure);
        }
        if session.all_done() {
            let since = *completed.get_or_insert_with(|| {
                reporter.complete(session);
                Instant::now()
            });
            if !goal.is_set() || goal.is_reached(since, &Totals::of(session)) {
                return Ok(None);
            }
        } else if patience.is_some_and(|patience| last_progress.elapsed() >= patience) {
            let text = "no progress for as long as --stop-timeout allows; \
                        start again to go on where it stopped";
            return Err(Failure::new(UNFINISHED, text));
        }
        if let Some(code) = signals.exit_code() {
            return Ok(if completed.is_some() { None } else { Some(code) });
        }
    }
}

fn is_checking(session: &Session) -> bool {
    session.items.iter().any(|item| {
        let view = item.id.and_then(|id| session.driver.engine().torrent_state(id));
        matches!(view, Some(eddyline::TorrentState::Checking | eddyline::TorrentState::Opening))
    })
}

/// Checks the data and uploads until stopped.
pub fn seed(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let torrents = sources(matches, "torrent")?;
    let signals = listen_for_signals()?;
    let mut reporter = Reporter::new(matches);
    let mut session = Session::start(Setup::from_flags(matches)?)?;
    for metainfo in torrents {
        session.add(metainfo, matches, Vec::new(), false)?;
    }
    let goal = SeedGoal::from_flags(matches);
    let outcome = serve(&mut session, &mut reporter, &signals, &goal);
    end(session, &mut reporter, outcome)
}

fn serve(
    session: &mut Session,
    reporter: &mut Reporter,
    signals: &Signals,
    goal: &SeedGoal,
) -> Result<Option<u8>, Failure> {
    let mut unchecked: BTreeSet<usize> = (0..session.items.len()).collect();
    let mut ready: Option<Instant> = None;
    loop {
        let notices = session.turn(FRAME)?;
        reporter.show(session, &notices);
        if let Some(failure) = session.failure() {
            return Err(failure);
        }
        for notice in &notices {
            let Notice::Checked(id, good) = notice else { continue };
            let place = session.items.iter().position(|item| item.id == Some(*id));
            let Some(place) = place else { continue };
            let item = &session.items[place];
            if !item.done {
                let pieces = item.metainfo.geometry.pieces();
                let text = format!(
                    "{}: only {good} of {pieces} pieces are good; fetch the rest with `download`",
                    item.metainfo.name
                );
                return Err(Failure::new(BAD_DATA, text));
            }
            unchecked.remove(&place);
        }
        if unchecked.is_empty() && ready.is_none() {
            ready = Some(Instant::now());
            reporter.ready(session);
        }
        if let Some(since) = ready
            && goal.is_set()
            && goal.is_reached(since, &Totals::of(session))
        {
            return Ok(None);
        }
        if let Some(code) = signals.exit_code() {
            // Being stopped is how seeding ends.
            let finished = ready.is_some() && !goal.is_set();
            return Ok(if finished { None } else { Some(code) });
        }
    }
}

/// Stops tidily and turns the outcome into an exit code.
fn end(
    mut session: Session,
    reporter: &mut Reporter,
    outcome: Result<Option<u8>, Failure>,
) -> Result<ExitCode, Failure> {
    reporter.stopping();
    session.stop()?;
    reporter.finish(&session, &outcome);
    match outcome {
        Ok(None) => Ok(ExitCode::SUCCESS),
        Ok(Some(code)) => Ok(ExitCode::from(code)),
        Err(failure) => Err(failure),
    }
}

/// The priority of each file under `--select`; nothing for all of them.
fn select(metainfo: &Metainfo, selections: &[String]) -> Result<Vec<Priority>, Failure> {
    if selections.is_empty() {
        return Ok(Vec::new());
    }
    let files = metainfo.layout.files();
    let mut priorities = vec![Priority::Skip; files.len()];
    for selection in selections {
        let is_list = selection.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '-'));
        if is_list {
            for (first, last) in parse_list(selection)? {
                for number in first..=last.min(files.len()) {
                    priorities[number - 1] = Priority::Normal;
                }
            }
            continue;
        }
        let glob = Glob::new(selection).map_err(|e| Failure::new(USAGE, e.to_string()))?;
        let glob = glob.compile_matcher();
        for (file, priority) in files.iter().zip(&mut priorities) {
            let inside: Vec<&str> = file.path.iter().skip(1).map(String::as_str).collect();
            if glob.is_match(file.display_path()) || glob.is_match(inside.join("/")) {
                *priority = Priority::Normal;
            }
        }
    }
    let chosen = |(file, priority): (&eddyline::metainfo::FileEntry, &Priority)| {
        *priority != Priority::Skip && !file.attributes.pad
    };
    if files.iter().zip(&priorities).any(chosen) {
        Ok(priorities)
    } else {
        Err(Failure::new(USAGE, format!("{}: --select matches no file", metainfo.name)))
    }
}

fn parse_list(text: &str) -> Result<Vec<(usize, usize)>, Failure> {
    let bad = || Failure::new(USAGE, format!("'{text}' is not a list like 1-3,7"));
    let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(bad);
    text.split(',')
        .map(|part| match part.split_once('-') {
            Some((first, last)) => Ok((number(first)?, number(last)?)),
            None => number(part).map(|n| (n, n)),
        })
        .collect()
}
