//! `session run`: all torrents of the set until stopped. What is complete stands by, a few hundred
//! bytes each, and is loaded when somebody wants it or an announce is due.

use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::InfoHashes;
use eddyline::{Command, Notice, StorageTask};
use eddyline_mio::resume_store::ResumeStore;
use eddyline_mio::session_store::{Entry, SessionStore};

use super::super::exit::Failure;
use super::super::output::warn;
use super::super::progress::Reporter;
use super::super::session::{Session, Setup};
use super::super::signals::Signals;
use super::super::source::Source;
use super::entries::{hash_of, moved, options_of, place_of, resume_of, source_of, title};
use super::{disk, folder_of, open_set};

const FRAME: Duration = Duration::from_millis(200);
/// Seconds without peers after which a complete torrent leaves memory.
const REST_AFTER: u32 = 60;

/// Runs all torrents of the set until stopped.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let folder = folder_of(matches)?;
    let signals = Signals::listen()
        .map_err(|error| Failure::new(1, format!("cannot listen for signals: {error}")))?;
    let mut reporter = Reporter::new(matches);
    let mut setup = Setup::from_flags(matches)?;
    setup.engine.rest_after = Some(REST_AFTER);
    let mut session = Session::start(setup)?;
    let mut set = open_set(&folder)?;
    // One that is paused stays what it is in the set.
    let config = session.driver.engine().config().clone();
    for entry in set.list().into_iter().filter(|entry| entry.paused == 0) {
        if let Some(info_hash) = complete(session.store(), entry) {
            let tracked = entry.trackers != 0 || matches.contains_id("tracker");
            let announce = config.dht || (config.trackers && tracked);
            session.driver.command(Command::StandBy { info_hash, announce });
            reporter.torrent_ready(&session, InfoHashes { v1: Some(info_hash), v2: None });
        } else {
            begin(&mut session, &set, entry, matches);
        }
    }
    reporter.ready(&session);
    let outcome = loop {
        let notices = session.turn(FRAME)?;
        reporter.show(&session, &notices);
        for notice in &notices {
            heard(&mut session, &mut set, notice, matches)
                .map_err(|error| disk(&folder, &error))?;
        }
        if signals.exit_code().is_some() {
            // Being stopped is how a session ends.
            break Ok(None);
        }
    };
    reporter.stopping();
    session.stop()?;
    reporter.finish(&session, &outcome);
    Ok(ExitCode::SUCCESS)
}

/// The hash of a torrent that has nothing to do, as its last run left it.
fn complete(store: Option<&ResumeStore>, entry: &Entry) -> Option<Sha1Hash> {
    let resume = resume_of(store?, entry)?;
    let idle = resume.have.is_full() && !resume.have.is_empty() && resume.left_at.is_empty();
    (idle && entry.moving_to.is_empty()).then(|| hash_of(entry)).flatten()
}

/// Loads a torrent of the set. One that cannot be loaded is told of and left out.
fn begin(session: &mut Session, set: &SessionStore, entry: &Entry, matches: &ArgMatches) -> bool {
    let begun = source_of(set, entry).and_then(|source| {
        let mut options = options_of(session, entry, &source)?;
        // What a magnet leads to is told before anything of it is written.
        options.hold = matches!(source, Source::Magnet(_));
        session.add(source, matches, options)
    });
    if let Err(failure) = &begun {
        warn(&format!("{}: {}", title(entry), failure.message));
    }
    begun.is_ok()
}

fn heard(
    session: &mut Session,
    set: &mut SessionStore,
    notice: &Notice,
    matches: &ArgMatches,
) -> std::io::Result<()> {
    match notice {
        Notice::Wanted(hash) => {
            let entry = set.get(&hash.to_hex()).cloned();
            if !entry.is_some_and(|entry| begin(session, set, &entry, matches)) {
                session.driver.command(Command::Forget(*hash));
            }
        }
        Notice::Rested(id, _) => session.forget(*id),
        Notice::TorrentAdded(id, hashes) => {
            let entry = set.get(&hashes.wire().to_hex());
            if let Some(entry) = entry.filter(|entry| !entry.moving_to.is_empty()) {
                let to = place_of(&entry.moving_to);
                session.driver.command(Command::Move(*id, to));
            }
        }
        Notice::StorageDone(id, StorageTask::Move(_)) => {
            let hash = session.item(*id).map(|item| item.metainfo.info_hashes.wire().to_hex());
            if let Some(entry) = hash.and_then(|hash| set.get(&hash).cloned()) {
                set.put(vec![(moved(entry), None)])?;
            }
        }
        Notice::MetadataReady(id) => {
            keep_metadata(session, set, *id);
            session.driver.command(Command::Resume(*id));
        }
        Notice::TorrentFailed(id, _) => {
            if let Some(failure) = session.item(*id).and_then(|item| item.failure.as_ref()) {
                warn(&failure.message);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The next run needs nobody to tell it what the magnet meant. That it is not kept costs a fetch.
fn keep_metadata(session: &Session, set: &mut SessionStore, id: TorrentId) {
    let Some(item) = session.item(id) else { return };
    let hash = item.metainfo.info_hashes.wire().to_hex();
    let Some(entry) = set.get(&hash).cloned() else { return };
    let entry = Entry {
        name: item.metainfo.name.clone(),
        length: i64::try_from(item.metainfo.layout.payload_length()).unwrap_or(i64::MAX),
        ..entry
    };
    if let Err(error) = set.put(vec![(entry, item.metainfo.encode())]) {
        warn(&format!("the metadata of {} is not kept: {error}", item.metainfo.name));
    }
}
