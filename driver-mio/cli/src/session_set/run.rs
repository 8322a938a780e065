//! `session run`: all torrents of the set until stopped. What is complete stands by, a few hundred
//! bytes each, and is loaded when somebody wants it or an announce is due.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::{InfoHashes, Magnet};
use eddyline::{
    Command, FilePriority, Notice, Priority, Reachability, StorageTask, TorrentCommand,
    TorrentState,
};
use eddyline_disk::resume_store::{RUNNING, ResumeStore};
use eddyline_session::Source;
use eddyline_session::session_store::{Entry, GOAL_REACHED, PAUSED, SessionSet, SessionStore};

use super::super::args::{General, SessionRunArgs, TransferFlags};
use super::super::exit::{Failure, UNEXPECTED};
use super::super::goal::SeedGoal;
use super::super::output::warn;
use super::super::progress::{Reporter, rates};
use super::super::session::Session;
use super::super::setup::Setup;
use super::super::signals::Signals;
use super::add::skipped;
use super::entries::{
    Here, called, hash_of, look, move_failure, options_of, place_of, resume_of, source_of, title,
};
use super::goals::Goals;
use super::status::{Status, TorrentStatus, state_name};
use super::trackers::TrackerStatus;
use super::web_seeds::WebSeedStatus;
use super::{Locked, disk, folder_of, lock};

const FRAME: Duration = Duration::from_millis(200);
/// Seconds without peers after which a complete torrent leaves memory.
const REST_AFTER: Duration = Duration::from_secs(60);
/// Of a set with no more torrents than this, the files of all that are complete are looked at when a run begins.
const LOOKED_AT: usize = 1000;
/// How often goals are looked at.
const GOALS_EVERY: Duration = Duration::from_millis(500);
/// How often `session list` is told how things are.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// A session at work.
struct Run<'a> {
    session: Session,
    set: SessionStore,
    flags: &'a TransferFlags,
    folder: PathBuf,
    goals: Goals,
    /// What stands still and why, by hash, where the engine does not have it.
    errors: BTreeMap<String, String>,
    /// What was left out since the screen was told.
    left_out: Vec<(Entry, Failure)>,
    /// It was told that the set cannot be written, and that lasts.
    told_unkept: bool,
    status: Status,
    status_due: Instant,
    goals_due: Instant,
}

/// Runs all torrents of the set until stopped, or until all have reached their goals.
pub(super) fn run(args: &SessionRunArgs, general: General) -> Result<ExitCode, Failure> {
    let flags = &args.transfer;
    let said = flags.state.state_dir.as_deref();
    let folder = folder_of(said)?;
    let signals = Signals::listen()
        .map_err(|error| Failure::new(UNEXPECTED, format!("cannot listen for signals: {error}")))?;
    let mut reporter = Reporter::running(general, flags.json);
    let Locked { set, store, _session } = lock(said, RUNNING)?;
    let mut setup = Setup::from_flags(RUNNING, flags, &[])?;
    setup.keep_executable = args.keep_executable.keep_executable;
    setup.engine.rest_after = Some(REST_AFTER);
    spare_files(&setup, &set)?;
    let now = Instant::now();
    let mut run = Run {
        session: Session::start(setup)?,
        set,
        flags,
        folder,
        goals: Goals::new(SeedGoal::from_flags(flags.goal)),
        errors: BTreeMap::new(),
        left_out: Vec::new(),
        told_unkept: false,
        status: Status::default(),
        status_due: now,
        goals_due: now,
    };
    run.begin_all(&store, &mut reporter)?;
    reporter.ready(&run.session);
    run.tell_left_out(&reporter);
    run.tell_idle(&reporter);
    let outcome = run.work(&mut reporter, &signals);
    reporter.stopping();
    run.tell_status(true);
    let last = run.session.stop()?;
    reporter.last_words(&run.session, &last);
    reporter.finish(&run.session, &outcome);
    match outcome {
        Ok(code) => Ok(code.map_or(ExitCode::SUCCESS, ExitCode::from)),
        Err(failure) => Err(failure),
    }
}

/// A run is not recorded into a file of the torrents.
fn spare_files(setup: &Setup, set: &SessionSet) -> Result<(), Failure> {
    let Some(spared) = setup.spared()? else { return Ok(()) };
    for entry in set.list() {
        let folders = [&entry.folder, &entry.moving_to].into_iter().chain(&entry.left);
        let Ok(source) = source_of(set, entry) else { continue };
        for folder in folders.filter(|folder| !folder.is_empty()) {
            spared.source(&source, Path::new(folder))?;
        }
    }
    Ok(())
}

/// Whether a move has begun and has not come to its end.
fn is_to_be_moved(entry: &Entry) -> bool {
    !entry.moving_to.is_empty()
}

/// The hash of a torrent that has nothing to do, as its last run left it.
fn complete(store: &ResumeStore, entry: &Entry) -> Option<Sha1Hash> {
    let resume = resume_of(store, entry)?;
    let idle = resume.have.is_full() && !resume.have.is_empty() && resume.left_at.is_empty();
    (idle && entry.moving_to.is_empty()).then(|| hash_of(entry)).flatten()
}

/// Numbers of the files that a magnet leaves out (BEP 53): all where it names none.
fn left_out(magnet: &str, files: usize) -> Vec<u32> {
    let select = Magnet::parse(magnet).ok().and_then(|magnet| magnet.select_only);
    let all = 0..files as u32;
    match select.filter(|select| all.clone().any(|file| select.contains(&file))) {
        Some(select) => all.filter(|file| !select.contains(file)).collect(),
        None => Vec::new(),
    }
}

impl Run<'_> {
    fn begin_all(&mut self, store: &ResumeStore, reporter: &mut Reporter) -> Result<(), Failure> {
        self.look_at_finished(store)?;
        // One that is paused stays what it is in the set.
        let config = self.session.driver.engine().config().clone();
        let all: Vec<Entry> = self.set.list().into_iter().cloned().collect();
        for entry in all.iter().filter(|entry| entry.paused == 0) {
            if let Some(holder) = hash_of(entry).and_then(|hash| store.holder(hash)) {
                warn(&format!("{} is left out: {holder} works on it", called(store, entry)));
                continue;
            }
            self.goals.track(entry, resume_of(store, entry).map_or(0, |resume| resume.uploaded));
            // What resume data says may not be so any more. Where nothing but looking tells, many are not looked
            // at: each is when somebody wants it.
            let looked_at = all.len() <= LOOKED_AT || self.goals.has_one(entry);
            let is_here = |_: &Sha1Hash| !looked_at || look(&self.set, store, entry) == Here::All;
            let idle = complete(store, entry).filter(is_here);
            if let Some(info_hash) = idle {
                let tracked = entry.trackers != 0 || !self.flags.peers.tracker.is_empty();
                let announce = config.dht || (config.trackers && tracked);
                self.session.driver.command(Command::StandBy { info_hash, announce });
                self.goals.complete(&entry.hash, Instant::now());
                let hashes = InfoHashes { v1: Some(info_hash), v2: None };
                reporter.torrent_ready(&self.session, hashes, &entry.name);
            } else {
                self.begin(entry);
            }
        }
        Ok(())
    }

    /// Torrents that were finished and have lost something are to be fetched again.
    fn look_at_finished(&mut self, store: &ResumeStore) -> Result<(), Failure> {
        let finished = self.set.list().into_iter().filter(|entry| entry.paused == GOAL_REACHED);
        let mut puts = Vec::new();
        for entry in finished {
            if !is_to_be_moved(entry) {
                let what = match look(&self.set, store, entry) {
                    Here::All => {
                        self.goals.reached_before();
                        continue;
                    }
                    Here::Changed => "its files have changed since; they are checked",
                    Here::Lacking => "some of it is missing now",
                };
                warn(&format!("{} was finished, and {what}", called(store, entry)));
            }
            puts.push((Entry { paused: 0, ..entry.clone() }, None));
        }
        if puts.is_empty() {
            return Ok(());
        }
        self.set.put(puts).map_err(|error| disk(&self.folder, &error))
    }

    fn work(&mut self, reporter: &mut Reporter, signals: &Signals) -> Result<Option<u8>, Failure> {
        loop {
            let notices = self.session.turn(FRAME)?;
            for notice in &notices {
                self.heard(notice);
            }
            reporter.show(&self.session, &notices);
            self.tell_left_out(reporter);
            for notice in &notices {
                if let Notice::Rested(id, _) = notice {
                    self.session.forget(*id);
                }
            }
            self.look_at_goals();
            self.tell_status(false);
            if self.goals.all_reached() {
                reporter.nothing_left(&self.session, &self.paused());
                return Ok(None);
            }
            if let Some(code) = signals.exit_code() {
                // Being stopped is how a session ends that has nothing left to fetch.
                reporter.signal(code);
                self.goals_due = Instant::now();
                self.look_at_goals();
                let moves = self.set.list().into_iter().any(|e| e.paused == 0 && is_to_be_moved(e));
                return Ok(Some(code).filter(|_| moves || self.goals.is_unfinished()));
            }
        }
    }

    /// Loads a torrent of the set. One that cannot be loaded is told of and left out.
    fn begin(&mut self, entry: &Entry) -> bool {
        let begun = source_of(&self.set, entry).and_then(|source| {
            let mut options = options_of(&self.session, entry, &source)?;
            // What a magnet leads to is told before anything of it is written.
            options.hold = matches!(source, Source::Magnet(_));
            self.session.add(source, self.flags, options)
        });
        if let Err(failure) = &begun {
            self.errors.insert(entry.hash.clone(), failure.message.clone());
            self.left_out.push((entry.clone(), failure.clone()));
        }
        begun.is_ok()
    }

    /// That there is nothing to do, where that is so.
    fn tell_idle(&self, reporter: &Reporter) {
        let all = self.set.list();
        if all.is_empty() {
            let text = "the session has no torrents; add some with `eddyline session add` while it does not run";
            reporter.idle(&self.session, text);
        } else if all.iter().all(|entry| entry.paused == PAUSED) {
            reporter.idle(&self.session, &format!("there is nothing to do: {}", self.paused()));
        } else if all.iter().all(|entry| entry.paused != 0) {
            reporter.idle(&self.session, "");
        }
    }

    /// How many torrents are paused; nothing where none is.
    fn paused(&self) -> String {
        match self.set.list().iter().filter(|entry| entry.paused == PAUSED).count() {
            0 => String::new(),
            1 => "1 torrent is paused; `eddyline session resume` has it go on".to_owned(),
            count => {
                format!("{count} torrents are paused; `eddyline session resume` has them go on")
            }
        }
    }

    fn tell_left_out(&mut self, reporter: &Reporter) {
        for (entry, failure) in self.left_out.drain(..) {
            let failure =
                Failure::new(failure.code, format!("{}: {}", title(&entry), failure.message));
            reporter.left_out(&self.session, hash_of(&entry), &entry.name, &failure);
        }
    }

    fn hash_of(&self, id: TorrentId) -> Option<String> {
        Some(self.session.item(id)?.hash().to_hex())
    }

    fn heard(&mut self, notice: &Notice) {
        match notice {
            Notice::Wanted(hash) => {
                let entry = self.set.get(&hash.to_hex()).filter(|entry| entry.paused == 0).cloned();
                if !entry.is_some_and(|entry| self.begin(&entry)) {
                    self.session.driver.command(Command::Forget(*hash));
                }
            }
            // One that has been seeded enough does not come back.
            Notice::Rested(_, hash) if self.is_paused(&hash.to_hex()) => {
                self.session.driver.command(Command::Forget(*hash));
            }
            Notice::TorrentAdded { torrent: id, info_hashes, .. } => {
                let entry = self.set.get(&info_hashes.wire().to_hex());
                if let Some(entry) = entry.filter(|entry| !entry.moving_to.is_empty()) {
                    let to = place_of(&entry.moving_to);
                    self.session.driver.command(TorrentCommand::Move(to).of(*id));
                }
            }
            Notice::StorageDone { torrent: id, task: StorageTask::Move(_), .. } => {
                let entry = self.hash_of(*id).and_then(|hash| self.set.get(&hash).cloned());
                if let Some(entry) = entry {
                    self.put(entry.moved(), None);
                }
            }
            Notice::MetadataReady(id) => self.metadata_came(*id),
            // It goes on where it is, and the user decides what next.
            Notice::StorageFailed { tag, torrent: id, task: StorageTask::Move(_), .. } => {
                let (item, answer) = (self.session.item(*id), self.session.answer_to(*tag));
                let why = item.zip(answer.and_then(Result::err));
                let why = why.map(|(item, why)| self.session.failure_by(item, &why));
                let entry = self.hash_of(*id).and_then(|hash| self.set.get(&hash).cloned());
                if let (Some(entry), Some(why)) = (entry, why) {
                    self.session.fail(*id, move_failure(&entry, &why));
                    self.put(entry.not_moved(), None);
                }
            }
            _ => {}
        }
    }

    fn is_paused(&self, hash: &str) -> bool {
        self.set.get(hash).is_none_or(|entry| entry.paused != 0)
    }

    /// What a magnet leads to is known: what is wanted of it is chosen, and the next run needs nobody
    /// to tell it.
    fn metadata_came(&mut self, id: TorrentId) {
        let Some(item) = self.session.item(id) else { return };
        let Some(metainfo) = item.metainfo().cloned() else { return };
        let hash = metainfo.info_hashes().wire().to_hex();
        let Some(entry) = self.set.get(&hash).cloned() else { return };
        let files = metainfo.layout().files().len();
        let skipped = match entry.select.as_slice() {
            [] => Ok(left_out(&entry.magnet, files)),
            lists => skipped(&metainfo, lists),
        };
        let skipped = match skipped {
            Ok(skipped) => skipped,
            // It is held until the user has said something that there is.
            Err(failure) => {
                let text = format!(
                    "{}; choose with `eddyline session set {hash} --select LIST`",
                    failure.message
                );
                self.errors.insert(hash, text.clone());
                self.session.fail(id, Failure::new(failure.code, text));
                return;
            }
        };
        let priority = |file| match skipped.contains(&file) {
            true => FilePriority { file, priority: Priority::Skip },
            false => FilePriority { file, priority: Priority::Normal },
        };
        self.session.select(id, (0..files as u32).map(priority).collect());
        self.session.driver.command(TorrentCommand::Resume.of(id));
        let entry = Entry {
            name: metainfo.name().to_owned(),
            length: i64::try_from(metainfo.layout().payload_length()).unwrap_or(i64::MAX),
            skipped,
            select: Vec::new(),
            ..entry
        };
        self.put(entry, Some(metainfo.encode()));
    }

    /// Torrents that have been seeded enough rest, in the set too.
    fn look_at_goals(&mut self) {
        if Instant::now() < self.goals_due {
            return;
        }
        self.goals_due = Instant::now() + GOALS_EVERY;
        for item in self.session.items() {
            let hash = item.hash().to_hex();
            if self.goals.counts_upload(&hash)
                && let Some(view) = item.id.and_then(|id| self.session.driver.engine().torrent(id))
            {
                self.goals.uploaded(&hash, view.uploaded, view.wanted);
            }
            let state = || self.session.driver.engine().torrent_state(item.id?);
            if item.done {
                self.goals.complete(&hash, Instant::now());
            } else if state() == Some(TorrentState::Downloading) {
                self.goals.lacks(&hash);
            }
        }
        let set = &self.set;
        let is_moving = |hash: &str| set.get(hash).is_some_and(is_to_be_moved);
        for hash in self.goals.reached(is_moving) {
            let Some(entry) = self.set.get(&hash).cloned() else { continue };
            let item = self.session.items().iter();
            let mut item = item.filter(|item| item.hash().to_hex() == hash);
            let rest = match item.next().and_then(|item| item.id) {
                Some(id) => Some(TorrentCommand::Pause.of(id)),
                None => hash_of(&entry).map(Command::Forget),
            };
            if let Some(command) = rest {
                self.session.driver.command(command);
            }
            let entry = Entry { paused: GOAL_REACHED, ..entry };
            self.put(entry, None);
        }
    }

    /// How far a torrent is on its way to another folder, if it is.
    fn moved(&self, id: TorrentId) -> Option<(u64, u64)> {
        let entry = self.hash_of(id).and_then(|hash| self.set.get(&hash));
        entry.filter(|entry| is_to_be_moved(entry))?;
        Some(self.session.driver.move_progress(id).unwrap_or_default())
    }

    /// Puts on record what has become of a torrent. That it cannot be costs the next run some work, no more.
    fn put(&mut self, entry: Entry, torrent: Option<Vec<u8>>) {
        match self.set.put(vec![(entry, torrent)]) {
            Ok(()) => self.told_unkept = false,
            Err(error) if !self.told_unkept => {
                let why = disk(&self.folder, &error).message;
                warn(&format!(
                    "{why}; what changes in the session is not kept until that is mended"
                ));
                self.told_unkept = true;
            }
            Err(_) => {}
        }
    }

    /// Tells `session list` how things are.
    fn tell_status(&mut self, last: bool) {
        if Instant::now() < self.status_due && !last {
            return;
        }
        self.status_due = Instant::now() + STATUS_EVERY;
        let mut torrents = BTreeMap::new();
        for item in self.session.items() {
            let engine = self.session.driver.engine();
            let Some(view) = item.id.and_then(|id| engine.torrent(id)) else { continue };
            let (down_rate, up_rate) = rates(&view);
            let status = TorrentStatus {
                state: state_name(view.state).to_owned(),
                done: item.selected.done(&view.have),
                length: item.selected.length(),
                uploaded: view.uploaded,
                down_rate,
                up_rate,
                peers: view.peers,
                seeds: view.seeds,
                error: self.session.failure_of(item).map(|failure| failure.message),
                moved: item.id.and_then(|id| self.moved(id)),
                trackers: TrackerStatus::all(&view.trackers, engine.now()),
                web_seeds: item
                    .id
                    .map_or(Vec::new(), |id| WebSeedStatus::all(&engine.web_seeds(id))),
            };
            torrents.insert(item.hash().to_hex(), status);
        }
        for (hash, error) in &self.errors {
            let status = torrents.entry(hash.clone()).or_default();
            status.error = Some(error.clone());
            status.state = "failed".into();
        }
        let engine = self.session.driver.engine();
        let known = Some(engine.reachability()).filter(|state| *state != Reachability::Unknown);
        let reachability = known.map(|state| {
            let address = engine.external_address(false).or(engine.external_address(true));
            let at = address.map(|at| format!(" ({at})")).unwrap_or_default();
            format!("{}{at}", crate::progress::reachability(state).1)
        });
        let status = Status { torrents, reachability };
        if status != self.status {
            status.write(&self.folder);
            self.status = status;
        }
    }
}
