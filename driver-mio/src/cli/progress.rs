//! What a person, or a program, sees of a transfer.

use std::time::{Duration, Instant};

use clap::ArgMatches;
use console::style;
use eddyline::base::bits::Bits;
use eddyline::base::ids::TorrentId;
use eddyline::metainfo::InfoHashes;
use eddyline::{Notice, PeerSource, Stall, TorrentState, TorrentView};
use serde_json::{Value, json};

use super::exit::Failure;
use super::output::{json as print_json, line, printable, say_styled};
use super::session::Session;
use super::terminal::{Display, columns};
use super::units::{clock, size};

/// How often `progress` is printed as JSON.
const JSON_EVERY: Duration = Duration::from_secs(1);
/// How often a plain line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(20);
/// A stall shorter than this is nobody's concern.
const STALL_AFTER: Duration = Duration::from_secs(5);
/// Characters of the bar and of the map of pieces.
const BAR: usize = 30;
const MAP: usize = 60;

/// Sums over all torrents.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Bytes wanted.
    pub length: u64,
    /// Bytes wanted and verified.
    pub done: u64,
    /// Payload received.
    pub downloaded: u64,
    /// Payload sent.
    pub uploaded: u64,
    /// Payload received for nothing.
    pub wasted: u64,
    down_rate: u64,
    up_rate: u64,
    peers: u32,
    seeds: u32,
    stall: Option<Stall>,
    checking: Option<(u32, u32)>,
    /// The metadata of something is not known yet.
    unknown: bool,
}

impl Totals {
    /// The sums at this moment.
    pub fn of(session: &Session) -> Self {
        views(session).iter().fold(Self::default(), |mut sum, view| {
            sum.length += view.wanted;
            sum.done += view.wanted_done;
            sum.downloaded += view.downloaded;
            sum.uploaded += view.uploaded;
            sum.wasted += view.wasted;
            sum.down_rate += view.down_rate;
            sum.up_rate += view.up_rate;
            sum.peers += view.peers;
            sum.seeds += view.seeds;
            if view.stall != Stall::None {
                sum.stall = Some(view.stall);
            }
            sum.unknown |= view.state == TorrentState::Metadata;
            if view.state == TorrentState::Checking {
                sum.checking = Some((view.checked, view.have.len()));
            }
            sum
        })
    }
}

fn views(session: &Session) -> Vec<TorrentView> {
    let ids = session.items.iter().filter_map(|item| item.id);
    ids.filter_map(|id| session.driver.engine().torrent(id)).collect()
}

/// Prints what happens, in the form that was asked for.
pub struct Reporter {
    json: bool,
    quiet: bool,
    verbose: u8,
    display: Option<Display>,
    last_frame: Instant,
    last_line: Instant,
    last_json: Instant,
    stalled_since: Option<Instant>,
    stall_told: Option<Stall>,
    completed: bool,
}

impl Reporter {
    /// A reporter as the flags want it.
    pub fn new(matches: &ArgMatches) -> Self {
        let json = matches.try_get_one::<bool>("json").ok().flatten().copied().unwrap_or(false);
        let quiet = matches.get_flag("quiet");
        let display = if json || quiet { None } else { Display::open() };
        let now = Instant::now();
        Self {
            json,
            quiet,
            verbose: matches.get_count("verbose"),
            display,
            last_frame: now,
            last_line: now,
            last_json: now,
            stalled_since: None,
            stall_told: None,
            completed: false,
        }
    }

    fn event(&self, session: &Session, mut value: Value) {
        if self.json {
            value["t"] = json!((session.started.elapsed().as_millis() as f64) / 1000.0);
            print_json(&value);
        }
    }

    /// A line for people, above the progress where there is one.
    fn say(&self, text: &str) {
        self.say_styled(&printable(text));
    }

    /// As [`Self::say`], with colours: for what holds no word of a stranger.
    fn say_styled(&self, text: &str) {
        if self.json || self.quiet {
            return;
        }
        say_styled(text);
    }

    /// The port is open (download).
    pub fn listening(&self, session: &Session) {
        self.announce_torrents(session);
        if self.verbose > 0 {
            self.say(&format!("listening on port {}", session.driver.port().unwrap_or(0)));
            let bound = session.driver.engine().config().memory_bound(1, 0).in_flight();
            self.say(&format!("at most {} of data in flight", size(bound)));
        }
    }

    /// The port is open and the data is checked (seed).
    pub fn ready(&self, session: &Session) {
        self.announce_torrents(session);
        if !self.json {
            line(&format!("READY {}", session.driver.port().unwrap_or(0)));
        }
    }

    fn announce_torrents(&self, session: &Session) {
        for item in &session.items {
            self.torrent_ready(session, item.metainfo.info_hashes);
        }
    }

    /// A torrent can be had: it is here, or stands by.
    pub fn torrent_ready(&self, session: &Session, hashes: InfoHashes) {
        self.event(
            session,
            json!({
                "event": "ready",
                "port": session.driver.port(),
                "info_hash_v1": hashes.v1.map(|hash| hash.to_hex()),
                "info_hash_v2": hashes.v2.map(|hash| hash.to_hex()),
            }),
        );
    }

    /// Shows what the engine told, and how things stand.
    pub fn show(&mut self, session: &Session, notices: &[Notice]) {
        notices.iter().for_each(|notice| self.notice(session, notice));
        let now = Instant::now();
        if now.duration_since(self.last_frame) < Duration::from_millis(150) {
            return;
        }
        self.last_frame = now;
        let json_due = self.json && now.duration_since(self.last_json) >= JSON_EVERY;
        let line_due = !self.json
            && self.display.is_none()
            && !self.quiet
            && now.duration_since(self.last_line) >= LINE_EVERY;
        if !json_due && !line_due && self.display.is_none() {
            return;
        }
        let totals = Totals::of(session);
        self.watch_stall(session, &totals, now);
        if json_due {
            self.last_json = now;
            self.progress_event(session, &totals);
        }
        if line_due {
            self.last_line = now;
            say_styled(&console::strip_ansi_codes(&status_line(&totals)));
        }
        if let Some(display) = &self.display {
            display.show(frame(session, &totals, self.stall_told));
        }
    }

    fn progress_event(&self, session: &Session, totals: &Totals) {
        self.event(
            session,
            json!({
                "event": "progress",
                "done": totals.done,
                "length": totals.length,
                "down_rate": totals.down_rate,
                "up_rate": totals.up_rate,
                "peers": totals.peers,
                "seeds": totals.seeds,
            }),
        );
    }

    /// Says why nothing moves, once it has not moved for a while.
    fn watch_stall(&mut self, session: &Session, totals: &Totals, now: Instant) {
        let Some(stall) = totals.stall else {
            self.stalled_since = None;
            self.stall_told = None;
            return;
        };
        let since = *self.stalled_since.get_or_insert(now);
        if now.duration_since(since) < STALL_AFTER || self.stall_told == Some(stall) {
            return;
        }
        self.stall_told = Some(stall);
        self.event(session, json!({ "event": "stalled", "why": why(stall) }));
        if self.display.is_none() {
            self.say(&format!("nothing moves: {}", why(stall)));
        }
    }

    fn notice(&self, session: &Session, notice: &Notice) {
        match notice {
            Notice::TorrentAdded(id, _) | Notice::MetadataReady(id) => {
                self.known(session, *id);
            }
            Notice::PieceVerified(_, piece) if self.verbose > 0 => {
                self.event(session, json!({ "event": "piece", "index": piece }));
            }
            Notice::PieceWithdrawn(_, piece) => {
                self.say(&format!("piece {piece} is not what it was; it is fetched again"));
            }
            Notice::LocationBack(_) => self.say("the folder is back; the download goes on"),
            Notice::PieceFailed(_, piece) if self.verbose > 0 => {
                self.say(&format!("piece {piece} failed its hash"));
            }
            Notice::PeerConnected { addr, client, source, .. } if self.verbose > 0 => {
                self.peer(session, &addr.to_string(), "connected", client, Some(*source));
                let source = source_name(*source);
                self.say(&format!("peer {addr} connected ({client}, by {source})"));
            }
            Notice::PeerClosed { addr, reason, .. } if self.verbose > 0 => {
                self.peer(session, &addr.to_string(), "closed", "", None);
                self.say(&format!("peer {addr} closed: {reason:?}"));
            }
            Notice::PeerBanned(_, addr) => {
                self.peer(session, &addr.to_string(), "banned", "", None);
                self.say(&format!("peer {addr} sent bad data and is banned"));
            }
            Notice::DhtReplied { peers, nodes, .. } if self.verbose > 0 => {
                let (peers, nodes) = (count(*peers, "peer"), count(*nodes, "node"));
                self.say(&format!("the DHT knows {peers}; we are announced at {nodes}"));
            }
            Notice::TrackerReplied { url, peers, warning, .. } => {
                self.event(session, json!({ "event": "tracker", "url": url, "peers": peers }));
                if let Some(warning) = warning {
                    self.say(&format!("{url} says: {warning}"));
                }
                if self.verbose > 0 {
                    self.say(&format!("{url} knows {peers} peers"));
                }
            }
            Notice::TrackerFailed { url, error, .. } => {
                self.event(session, json!({ "event": "tracker", "url": url, "error": error }));
                self.say(&format!("{url}: {error}"));
            }
            Notice::DiskHasRoom(_) => self.say("there is room on the disk again"),
            Notice::DiskFull(id) | Notice::TorrentFailed(id, _) => {
                if let Some(failure) = session.item(*id).and_then(|item| item.failure.as_ref()) {
                    self.say(&failure.message);
                }
            }
            _ => {}
        }
    }

    /// What a torrent holds, and whether a magnet called it otherwise.
    fn known(&self, session: &Session, id: TorrentId) {
        let item = session.item(id).filter(|item| item.metainfo.is_known());
        let Some(item) = item else { return };
        let files = item.metainfo.layout.files();
        let stored = files.iter().filter(|file| !file.attributes.pad).count();
        let name = &item.metainfo.name;
        if let Some(called) = item.misnamed() {
            self.say(&format!("the magnet is called '{called}'; it leads to '{name}'"));
        }
        self.event(
            session,
            json!({
                "event": "metadata",
                "name": name,
                "magnet_name": item.called,
                "length": item.metainfo.layout.payload_length(),
                "files": stored,
            }),
        );
    }

    fn peer(
        &self,
        session: &Session,
        addr: &str,
        state: &str,
        client: &str,
        source: Option<PeerSource>,
    ) {
        if self.verbose > 0 {
            self.event(
                session,
                json!({
                    "source": source.map(source_name),
                    "event": "peer",
                    "addr": addr,
                    "state": state,
                    "client": client,
                    "transport": "tcp",
                    "encrypted": false,
                }),
            );
        }
    }

    /// Everything wanted is here.
    pub fn complete(&mut self, session: &Session) {
        self.completed = true;
        let totals = Totals::of(session);
        self.progress_event(session, &totals);
        let seconds = session.started.elapsed().as_secs_f64();
        self.event(
            session,
            json!({
                "event": "complete",
                "seconds": seconds,
                "downloaded": totals.downloaded,
                "uploaded": totals.uploaded,
                "wasted": totals.wasted,
            }),
        );
        let rate = (totals.downloaded as f64 / seconds.max(0.001)) as u64;
        self.say_styled(&format!(
            "{} {} in {seconds:.1} s ({}/s)",
            style("complete:").green().for_stderr(),
            size(totals.length),
            size(rate),
        ));
    }

    /// The tidy stop begins.
    pub fn stopping(&self) {
        if let Some(display) = &self.display {
            display.clear();
        }
    }

    /// The end.
    pub fn finish(&self, session: &Session, outcome: &Result<Option<u8>, Failure>) {
        match outcome {
            Err(failure) => {
                let (message, code) = (&failure.message, failure.code);
                let event = json!({ "event": "error", "message": message, "code": code });
                self.event(session, event);
            }
            Ok(Some(_)) if !self.completed => {
                self.say("stopped; start again to go on where it stopped");
            }
            _ => {}
        }
    }
}

/// Who named a peer, as JSON says it.
fn source_name(source: PeerSource) -> &'static str {
    match source {
        PeerSource::Incoming => "incoming",
        PeerSource::Pex => "pex",
        PeerSource::Dht => "dht",
        PeerSource::Tracker => "tracker",
        PeerSource::Lsd => "lsd",
        PeerSource::Resume => "resume",
        PeerSource::User => "user",
    }
}

/// A stall in words.
fn why(stall: Stall) -> &'static str {
    match stall {
        Stall::None => "everything is in order",
        Stall::NoTracker => "no tracker answers, and no other peer is known",
        Stall::NoPeers => "no peer is known yet",
        Stall::NoConnection => "no known peer can be reached",
        Stall::NoMetadata => "no connected peer has the metadata",
        Stall::NothingToGet => "no connected peer has what is missing",
        Stall::Choked => "the peers that have it do not serve us yet",
        Stall::Waiting => "the peers we asked are silent",
        Stall::DiskFull => "there is no room on the disk",
        Stall::Disk => "the disk is slower than the network",
        Stall::Limited => "the rate limit is reached",
    }
}

fn percent(done: u64, of: u64) -> f64 {
    if of == 0 { 100.0 } else { done as f64 * 100.0 / of as f64 }
}

/// One line: percentage, sizes, rates, time left, peers.
fn status_line(totals: &Totals) -> String {
    if let Some((checked, of)) = totals.checking {
        let part = percent(checked.into(), of.into());
        return format!("checking {part:5.1} %  {checked} of {of} pieces");
    }
    if totals.unknown {
        let (peers, seeds) = (count(totals.peers, "peer"), count(totals.seeds, "seed"));
        return format!("looking for the metadata  {peers} ({seeds})");
    }
    let left = totals.length.saturating_sub(totals.done);
    let eta = match totals.down_rate {
        _ if left == 0 => "done".to_owned(),
        0 => "--:--".to_owned(),
        rate => clock(left / rate),
    };
    format!(
        "{:5.1} %  {} of {}  {} {}/s  {} {}/s  {eta}  {} ({})",
        percent(totals.done, totals.length),
        size(totals.done),
        size(totals.length),
        style("↓").green().for_stderr(),
        size(totals.down_rate),
        style("↑").blue().for_stderr(),
        size(totals.up_rate),
        count(totals.peers, "peer"),
        count(totals.seeds, "seed"),
    )
}

fn count(number: u32, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Everything that is redrawn: name, bar, status, map of pieces, the reason for a stall.
fn frame(session: &Session, totals: &Totals, stall: Option<Stall>) -> Vec<String> {
    let mut lines = Vec::new();
    let name = match session.items.as_slice() {
        [only] => printable(&only.metainfo.name),
        many => format!("{} torrents", many.len()),
    };
    lines.push(style(name).bold().for_stderr().to_string());
    let columns = columns();
    let status = status_line(totals);
    // The bar gets what the words leave of the line.
    let bar = columns.saturating_sub(console::measure_text_width(&status) + 3).min(BAR);
    if bar >= 5 && !totals.unknown {
        let filled = ((percent(totals.done, totals.length) / 100.0 * bar as f64) as usize).min(bar);
        let drawn = format!("{}{}", "━".repeat(filled), "─".repeat(bar - filled));
        lines.push(format!("{}  {status}", style(drawn).cyan().for_stderr()));
    } else {
        lines.push(status);
    }
    if let [view] = views(session).as_slice() {
        lines.push(style(map(&view.have)).dim().for_stderr().to_string());
    }
    if let Some(stall) = stall {
        let text = format!("nothing moves: {}", why(stall));
        lines.push(style(text).yellow().for_stderr().to_string());
    }
    lines
}

/// The pieces as a row of cells, each as full as its share is verified.
fn map(have: &Bits) -> String {
    const LEVELS: [char; 9] = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let pieces = have.len() as usize;
    let cells = MAP.min(pieces);
    let mut good = vec![0usize; cells];
    for piece in have.ones() {
        good[piece as usize * cells / pieces] += 1;
    }
    let size =
        |cell: usize| ((cell + 1) * pieces).div_ceil(cells) - (cell * pieces).div_ceil(cells);
    let level = |(cell, good): (usize, &usize)| LEVELS[good * 8 / size(cell).max(1)];
    good.iter().enumerate().map(level).collect()
}

#[cfg(test)]
mod tests {
    //! Unit tests of the map of pieces.

    use super::*;

    #[test]
    fn the_map_shows_shares_and_never_more_than_full() {
        for pieces in [1, 2, 59, 60, 61, 119, 1000, 1_000_003] {
            let full = map(&Bits::full(pieces));
            assert!(full.chars().all(|c| c == '█'), "{pieces}: {full}");
            assert_eq!(full.chars().count(), MAP.min(pieces as usize));
            assert!(map(&Bits::new(pieces)).chars().all(|c| c == '·'));
        }
    }
}
