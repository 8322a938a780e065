//! What a person, or a program, sees of a transfer.

mod cells;
mod events;
pub mod layout;
mod notices;
#[cfg(test)]
mod schema;
mod told;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use eddyline::base::bits::Bits;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::ids::ConnId;
use eddyline::metainfo::InfoHashes;
use eddyline::{Notice, Stall, TorrentState, TorrentView};
use eddyline_session::Item;

pub use self::events::reachability;
use self::events::{Complete, Event, Line, Signal, why};
use self::layout::{EIGHTHS, Phase, Row};
pub use self::told::rates;
use self::told::{EVERY, Movement, Progress, Told};
use super::args::General;
use super::exit::Failure;
use super::output::{json as print_json, line, printable, say_styled, warn};
use super::session::Session;
use super::terminal::{Display, size as terminal_size};
use super::units::{clock, rate, size};

/// How often the display is brought up to date.
const FRAME_EVERY: Duration = Duration::from_millis(150);
/// How often a plain line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(20);
/// More torrents than these are told one by one only when something has changed.
const MANY: usize = 16;
/// Most cells of a map of pieces that are kept.
const MAP: u32 = 4096;

/// Prints what happens, in the form that was asked for.
pub struct Reporter {
    json: bool,
    quiet: bool,
    verbose: u8,
    /// The end of a download is worth telling, also where nothing had to be fetched.
    fetching: bool,
    /// A failure of the only torrent is the last word of the program.
    ends: bool,
    /// Redrawn on the terminal; without one, a line is printed now and then.
    display: Option<Display>,
    last_line: Instant,
    last_frame: Instant,
    last_progress: Instant,
    told: BTreeMap<Sha1Hash, Told>,
    /// Clients of peers that are connected; for those who want to know who went.
    clients: BTreeMap<ConnId, String>,
    /// Whether all bytes of a connection with a peer are encrypted.
    encrypted: BTreeMap<ConnId, bool>,
    completed: bool,
    /// It was told that nothing can be sent.
    cut_off: bool,
    signal: Option<u8>,
}

impl Reporter {
    /// A reporter of a download, as the flags want it.
    pub fn new(general: General, json: bool) -> Self {
        Self { fetching: true, ..Self::serving(general, json) }
    }

    /// A reporter of a set of torrents, which goes on whatever becomes of one of them.
    pub fn running(general: General, json: bool) -> Self {
        Self { ends: false, ..Self::serving(general, json) }
    }

    /// A reporter of whoever uploads until stopped.
    pub fn serving(General { quiet, verbose, .. }: General, json: bool) -> Self {
        let now = Instant::now();
        let display = if json || quiet { None } else { Display::open() };
        Self {
            json,
            quiet,
            verbose,
            fetching: false,
            ends: true,
            display,
            last_line: now,
            last_frame: now,
            last_progress: now,
            told: BTreeMap::new(),
            clients: BTreeMap::new(),
            encrypted: BTreeMap::new(),
            completed: false,
            cut_off: false,
            signal: None,
        }
    }

    /// With `--json`, tells of a failure when there is no session, or none any more.
    pub fn failed_alone(json: bool, failure: &Failure) {
        let event = Event::Error { message: &failure.message, code: failure.code };
        let line = Line { event, info_hash: None, name: None, t: 0.0 };
        if let Some(value) = serde_json::to_value(&line).ok().filter(|_| json) {
            print_json(&value);
        }
    }

    /// Prints an event of this torrent, or of none.
    fn event(&self, session: &Session, item: Option<&Item>, event: Event<'_>) {
        let name = item.filter(|item| item.metainfo().is_some()).map(|item| item.name());
        self.event_of(session, item.map(Item::hash), name.as_deref(), event);
    }

    fn event_of(
        &self,
        session: &Session,
        hash: Option<Sha1Hash>,
        name: Option<&str>,
        event: Event<'_>,
    ) {
        if !self.json {
            return;
        }
        let t = session.started.elapsed().as_millis() as f64 / 1000.0;
        let line = Line { event, info_hash: hash.map(|hash| hash.to_hex()), name, t };
        // Every type in an event is one that JSON has.
        if let Ok(value) = serde_json::to_value(&line) {
            print_json(&value);
        }
    }

    /// A line for people, above the progress where there is one.
    fn say(&self, text: &str) {
        self.say_styled(&printable(text));
    }

    /// As [`Self::say`], and says of which torrent it is where there are several.
    fn say_of(&self, session: &Session, item: Option<&Item>, text: &str) {
        match item.filter(|_| session.items().len() > 1) {
            Some(item) => self.say(&format!("{}: {text}", item.name())),
            None => self.say(text),
        }
    }

    /// As [`Self::say`], with colours: for what holds no word of a stranger.
    fn say_styled(&self, text: &str) {
        if !self.json && !self.quiet {
            say_styled(text);
        }
    }

    /// The port is open (download).
    pub fn listening(&self, session: &Session) {
        self.announce_torrents(session);
        if self.verbose > 0 {
            self.say(&format!("listening on port {}", session.driver.port().unwrap_or(0)));
        }
    }

    /// The port is open and the data is checked (seed).
    pub fn ready(&self, session: &Session) {
        self.announce_torrents(session);
        if !self.json {
            line(&format!("READY {}", session.driver.port().unwrap_or(0)));
        }
    }

    /// No torrent is active.
    pub fn idle(&self, session: &Session, why: &str) {
        let (port, info_hash_v1, info_hash_v2) = (session.driver.port(), None, None);
        self.event_of(session, None, None, Event::Ready { port, info_hash_v1, info_hash_v2 });
        if !why.is_empty() {
            self.say(why);
        }
    }

    /// All torrents of the session have been seeded as much as was wanted; `more` is what else there is to say.
    pub fn nothing_left(&mut self, session: &Session, more: &str) {
        self.completed = true;
        self.sum_up(session);
        let more = if more.is_empty() { String::new() } else { format!("; {more}") };
        self.say(&format!("all torrents have reached their goals{more}"));
    }

    fn announce_torrents(&self, session: &Session) {
        for item in session.items() {
            self.torrent_ready(session, item.source.info_hashes(), &item.name());
        }
    }

    /// A torrent can be had: it is here, or stands by.
    pub fn torrent_ready(&self, session: &Session, hashes: InfoHashes, name: &str) {
        let event = Event::Ready {
            port: session.driver.port(),
            info_hash_v1: hashes.v1.map(|hash| hash.to_hex()),
            info_hash_v2: hashes.v2.map(|hash| hash.to_hex()),
        };
        self.event_of(session, Some(hashes.wire()), Some(name), event);
    }

    /// A torrent could not be loaded.
    pub fn left_out(
        &self,
        session: &Session,
        hash: Option<Sha1Hash>,
        name: &str,
        failure: &Failure,
    ) {
        let event = Event::Error { message: &failure.message, code: failure.code };
        self.event_of(session, hash, Some(name).filter(|name| !name.is_empty()), event);
        if !self.json {
            warn(&failure.message);
        }
    }

    /// Shows what the engine told, and how things stand.
    pub fn show(&mut self, session: &Session, notices: &[Notice]) {
        for notice in notices {
            self.notice(session, notice);
        }
        self.look_at_network(session);
        let now = Instant::now();
        self.look_for_checks(session, now);
        if self.fetching {
            self.look_for_completions(session);
        }
        // Looking at all torrents is not for nothing.
        let every = if self.display.is_some() { FRAME_EVERY } else { EVERY };
        if now.duration_since(self.last_frame) < every {
            return;
        }
        self.last_frame = now;
        let views = views(session);
        for (item, view) in &views {
            let told = self.told.entry(item.hash()).or_default();
            told.checked(view.state, checked(view, item.selected.length()), now);
            if let Some(movement) = told.movement(view, now) {
                self.moved(session, item, movement);
            }
        }
        if self.verbose > 0 {
            self.learn_clients(session);
        }
        if self.display.is_none() || now.duration_since(self.last_progress) >= EVERY {
            self.last_progress = now;
            self.tell_progress(session, &views);
        }
        if let Some(display) = &self.display {
            let (columns, height) = terminal_size();
            let mut lines = layout::lines(&self.rows(&views), columns, height, self.verbose > 0);
            let resting = session.driver.engine().stats().standby;
            if resting > 0 && lines.len() + 1 < height.max(2) {
                lines.push(layout::resting(resting));
            }
            display.show(lines);
        } else if !self.json && !self.quiet && now.duration_since(self.last_line) >= LINE_EVERY {
            self.last_line = now;
            self.print_lines(&views);
        }
    }

    /// Tells when nothing can be sent, and when something can be again; people are warned of it.
    fn look_at_network(&mut self, session: &Session) {
        let why = session.driver.cut_off().or_else(|| session.driver.proxy_trouble());
        if std::mem::replace(&mut self.cut_off, why.is_some()) != why.is_some() {
            self.event(session, None, Event::Network { usable: why.is_none(), why });
        }
    }

    fn rows(&self, views: &[(&Item, TorrentView)]) -> Vec<Row> {
        let map = self.verbose > 0 && self.display.is_some();
        let row = |(item, view): &(&Item, TorrentView)| {
            let told = self.told.get(&item.hash());
            let row = row(item, view, told.and_then(|told| told.stall), map);
            let hashed = told.map(|told| told.check_rate).filter(|_| row.phase == Phase::Checking);
            Row { down_rate: hashed.unwrap_or(row.down_rate), ..row }
        };
        views.iter().map(row).collect()
    }

    /// How things stand, for a file or a reader of lines.
    fn print_lines(&self, views: &[(&Item, TorrentView)]) {
        let rows = self.rows(views);
        match rows.as_slice() {
            [] => {}
            several @ [_, .., _] if several.len() > MANY => {
                let name = format!("{} torrents", several.len());
                say_styled(&layout::plain(&layout::summary(several, name)));
            }
            few => few.iter().for_each(|row| say_styled(&layout::plain(row))),
        }
    }

    fn tell_progress(&mut self, session: &Session, views: &[(&Item, TorrentView)]) {
        if !self.json {
            return;
        }
        let (now, all) = (Instant::now(), views.len() <= MANY);
        for (item, view) in views {
            let progress = Progress::of(item.selected.done(&view.have), view);
            let told = self.told.entry(item.hash()).or_default();
            if told.is_progress_due(progress, now, all) {
                self.progress_event(session, item, view);
            }
        }
        self.last_frame = Instant::now();
    }

    fn progress_event(&mut self, session: &Session, item: &Item, view: &TorrentView) {
        let progress = Progress::of(item.selected.done(&view.have), view);
        let event = Event::Progress {
            done: progress.done,
            length: item.selected.length(),
            down_rate: progress.down_rate,
            up_rate: progress.up_rate,
            peers: view.peers,
            seeds: view.seeds,
            utp: view.utp,
            encrypted: view.encrypted,
            web_seeds: view.web_seeds,
        };
        self.event(session, Some(item), event);
        self.told.entry(item.hash()).or_default().progress_told(progress);
    }

    fn moved(&self, session: &Session, item: &Item, movement: Movement) {
        match movement {
            Movement::Stalled(stall) => {
                self.event(session, Some(item), Event::Stalled { why: why(stall) });
                if self.display.is_none() {
                    self.say_of(session, Some(item), &format!("nothing moves: {}", why(stall)));
                }
            }
            Movement::Resumed => self.event(session, Some(item), Event::Resumed),
        }
    }

    /// Tells what is in the way of torrents that are not waited for any longer; all of it in a few words.
    pub fn give_up(&mut self, session: &Session) -> String {
        let mut causes = Vec::new();
        let unfinished = views(session).into_iter().filter(|(item, _)| !item.done);
        for (item, view) in unfinished.filter(|(item, _)| item.trouble.is_none()) {
            let told = self.told.entry(item.hash()).or_default();
            if let Some(movement) = told.give_up(view.stall) {
                self.moved(session, item, movement);
            }
            causes.push(match session.items().len() {
                1 => why(view.stall).to_owned(),
                _ => format!("{}: {}", item.name(), why(view.stall)),
            });
        }
        let more = causes.len().saturating_sub(3);
        causes.truncate(3);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("{}{more}", causes.join("; "))
    }

    fn look_for_checks(&mut self, session: &Session, now: Instant) {
        if !self.json {
            return;
        }
        for item in session.items() {
            let Some(id) = item.id else { continue };
            let Some(state) = session.driver.engine().torrent_state(id) else { continue };
            let told = self.told.entry(item.hash()).or_default();
            let Some(ended) = told.checking(state, now) else { continue };
            let Some(view) = session.driver.engine().torrent(id) else { continue };
            let length = item.selected.length();
            let done = if ended { length } else { checked(&view, length) };
            self.event(session, Some(item), Event::Checking { done, length });
        }
    }

    fn look_for_completions(&mut self, session: &Session) {
        for item in session.items().iter().filter(|item| item.done && item.trouble.is_none()) {
            let told = self.told.entry(item.hash()).or_default();
            if !std::mem::replace(&mut told.complete, true) {
                self.torrent_complete(session, item);
            }
        }
    }

    /// Everything wanted of a torrent is here.
    pub(super) fn torrent_complete(&mut self, session: &Session, item: &Item) {
        let view = item.id.and_then(|id| session.driver.engine().torrent(id));
        let Some(view) = view else { return };
        let complete = complete(session, item, &view);
        // That everything is here is told, and not twice.
        let told = self.told.entry(item.hash()).or_default();
        if !told.has_told_done(item.selected.done(&view.have)) {
            self.progress_event(session, item, &view);
        }
        self.event(session, Some(item), Event::Complete(complete));
        let text = complete_text(&item.name(), item.selected.length(), &complete);
        let place = item.folder.display();
        self.say(&format!("complete: {text}, in {place}"));
    }

    /// Everything wanted is here.
    pub fn complete(&mut self, session: &Session) {
        self.completed = true;
        self.look_for_completions(session);
        if session.items().len() < 2 {
            return;
        }
        let all = self.sum_up(session);
        let name = format!("{} torrents", session.items().len());
        self.say(&format!("complete: {}", complete_text(&name, all.length, &all)));
    }

    /// Tells what all torrents together came to.
    fn sum_up(&self, session: &Session) -> Complete {
        let mut all =
            Complete { seconds: session.started.elapsed().as_secs_f64(), ..Complete::default() };
        for (item, view) in views(session) {
            let one = complete(session, item, &view);
            all.downloaded += one.downloaded;
            all.uploaded += one.uploaded;
            all.wasted += one.wasted;
            all.total_downloaded += one.total_downloaded;
            all.total_uploaded += one.total_uploaded;
            all.from_web_seeds += one.from_web_seeds;
            all.length += one.length;
            all.found += one.found;
        }
        self.event(session, None, Event::Complete(all));
        all
    }

    /// A signal ends it; told at the very end.
    pub fn signal(&mut self, code: u8) {
        self.signal = Some(code);
    }

    /// The tidy stop begins.
    pub fn stopping(&mut self) {
        // Gone with the value; what is told now is told in lines.
        self.display = None;
    }

    /// What the engine told while it stopped.
    pub fn last_words(&mut self, session: &Session, notices: &[Notice]) {
        for notice in notices {
            self.notice(session, notice);
        }
    }

    /// The end.
    pub fn finish(&self, session: &Session, outcome: &Result<Option<u8>, Failure>) {
        match outcome {
            Err(failure) => {
                let message = failure.message.as_str();
                let is_it = |told: &Told| told.failure.as_deref() == Some(message);
                // The failure of a torrent was told when it failed.
                if !self.told.values().any(is_it) {
                    let only = Some(session.items()).filter(|items| items.len() == 1);
                    let item = only.and_then(|items| items.first());
                    self.event(session, item, Event::Error { message, code: failure.code });
                }
            }
            Ok(Some(_)) if !self.completed => {
                self.say("stopped; start again to go on where it stopped");
            }
            _ => {}
        }
        let code = self.signal.or(outcome.as_ref().ok().copied().flatten());
        if let Some(signal) = code.and_then(Signal::of) {
            self.event(session, None, Event::Stopped { signal });
        }
    }
}

/// The torrents that are in the engine, and how they are.
fn views(session: &Session) -> Vec<(&Item, TorrentView)> {
    let engine = session.driver.engine();
    let items = session.items().iter();
    items.filter_map(|item| Some((item, engine.torrent(item.id?)?))).collect()
}

fn complete(session: &Session, item: &Item, view: &TorrentView) -> Complete {
    let (downloaded, uploaded) = item.this_run(view);
    let web_seeds = item.id.map_or(Vec::new(), |id| session.driver.engine().web_seeds(id));
    Complete {
        seconds: item.added.elapsed().as_millis() as f64 / 1000.0,
        downloaded,
        uploaded,
        wasted: view.wasted,
        total_downloaded: view.downloaded,
        total_uploaded: view.uploaded,
        from_web_seeds: web_seeds.iter().map(|seed| seed.downloaded).sum(),
        length: item.selected.length(),
        found: item.found(),
    }
}

/// `NAME, 1.4 GiB in 0:12, 116.0 MiB/s on average, ratio 0.05`.
fn complete_text(name: &str, length: u64, complete: &Complete) -> String {
    let mut text = format!("{name}, {}", size(length));
    let seconds = complete.seconds;
    let time = match seconds {
        ..60.0 => format!("{seconds:.1} s"),
        _ => clock(seconds as u64),
    };
    if complete.downloaded == 0 {
        text.push_str(", was there already");
    } else {
        if complete.found > 0 {
            text.push_str(&format!(", {} of it now", size(length.saturating_sub(complete.found))));
        }
        let average = (complete.downloaded as f64 / seconds.max(0.001)) as u64;
        text.push_str(&format!(" in {time}, {} on average", rate(average)));
        match complete.from_web_seeds {
            0 => {}
            all if all >= complete.downloaded => text.push_str(", all from web seeds"),
            some => text.push_str(&format!(", {} from web seeds", size(some))),
        }
    }
    let ratio = complete.total_uploaded as f64 / length.max(1) as f64;
    text.push_str(&format!(", ratio {ratio:.2}"));
    text
}

/// Bytes that are hashed of `length`.
fn checked(view: &TorrentView, length: u64) -> u64 {
    let pieces = u128::from(view.have.len().max(1));
    (u128::from(length) * u128::from(view.checked) / pieces) as u64
}

fn row(item: &Item, view: &TorrentView, stall: Option<Stall>, with_map: bool) -> Row {
    let phase = match view.state {
        TorrentState::Metadata => Phase::Metadata,
        TorrentState::Opening | TorrentState::Checking => Phase::Checking,
        TorrentState::Downloading => Phase::Downloading,
        TorrentState::Seeding => Phase::Seeding,
        TorrentState::Paused => Phase::Paused,
        TorrentState::Failed => Phase::Failed,
    };
    let length = item.selected.length();
    let done = match view.state {
        TorrentState::Opening => 0,
        TorrentState::Checking => checked(view, length),
        _ => item.selected.done(&view.have),
    };
    Row {
        name: printable(&item.name()),
        phase,
        done,
        length,
        down_rate: rates(view).0,
        up_rate: rates(view).1,
        uploaded: view.uploaded,
        peers: view.peers,
        seeds: view.seeds,
        utp: view.utp,
        web_seeds: view.web_seeds,
        note: stall.map(|stall| format!("nothing moves: {}", why(stall))),
        map: if with_map { map(&view.have) } else { Vec::new() },
    }
}

/// The pieces, first to last, as parts of at most [`MAP`], each as full as its share is verified.
fn map(have: &Bits) -> Vec<u8> {
    let pieces = have.len();
    let cells = MAP.min(pieces);
    let mut good = vec![0u32; cells as usize];
    let cell =
        |piece: u32| (u64::from(piece) * u64::from(cells) / u64::from(pieces.max(1))) as usize;
    let mut size = good.clone();
    (0..pieces).for_each(|piece| size[cell(piece)] += 1);
    have.ones().for_each(|piece| good[cell(piece)] += 1);
    let level = |(good, size): (&u32, &u32)| (good * u32::from(EIGHTHS) / size.max(&1)) as u8;
    good.iter().zip(&size).map(level).collect()
}
