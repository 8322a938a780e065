//! The story of a run in a few lines: what was to be fetched, who took part, how it went.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use eddyline::base::time::Instant;
use eddyline::trace::LastStep;
use eddyline::{Action, Command, DiskError, DiskOutcome, Engine, Event, Notice, StreamEvent};

use super::super::output::{line, printable};
use super::super::units::size;
use super::transcript::clock;
use super::words;

/// Items of one kind that are told.
const MAX_TOLD: usize = 3;

/// What is gathered of a run.
#[derive(Debug)]
pub struct Story {
    began: Instant,
    ended: Instant,
    torrents: Vec<String>,
    peers: BTreeMap<SocketAddr, String>,
    unreachable: u64,
    trackers: BTreeSet<String>,
    first: Option<(u32, Instant)>,
    complete: Option<Instant>,
    verified: u64,
    /// Payload received and sent by earlier runs, which the engine counts in.
    earlier: (u64, u64),
    /// What went wrong, in the order in which it did, and how often.
    trouble: Vec<(String, u64)>,
}

impl Story {
    /// Of a run that began at this time.
    pub fn new(began: Instant) -> Self {
        Self {
            began,
            ended: began,
            torrents: Vec::new(),
            peers: BTreeMap::new(),
            unreachable: 0,
            trackers: BTreeSet::new(),
            first: None,
            complete: None,
            verified: 0,
            earlier: (0, 0),
            trouble: Vec::new(),
        }
    }

    /// Takes in a step.
    pub fn take(&mut self, step: &LastStep) {
        self.ended = step.now;
        for event in &step.events {
            match event {
                Event::Command(_, Command::Add(add)) => {
                    let (hash, name) =
                        (add.source.info_hashes().wire().to_hex(), add.source.name());
                    let what = match add.source.metainfo() {
                        Some(metainfo) => size(metainfo.layout().payload_length()),
                        None => "a magnet".into(),
                    };
                    self.torrents.push(format!("{}, {what}, {hash}", printable(&name)));
                    if let Some(resume) = &add.resume {
                        self.earlier.0 += resume.downloaded;
                        self.earlier.1 += resume.uploaded;
                    }
                }
                Event::Stream(_, StreamEvent::ConnectFailed(_)) => self.unreachable += 1,
                // A run without a state folder keeps no resume data, and is told so in this way.
                Event::Disk(_, DiskOutcome::Failed(DiskError::Missing)) => {}
                Event::Disk(_, DiskOutcome::Failed(error)) => {
                    self.went_wrong(format!("the disk: {error}"));
                }
                _ => {}
            }
        }
        for action in &step.actions {
            if let Action::Notify(notice) = action {
                self.tell_notice(notice, step.now);
            }
        }
    }

    fn tell_notice(&mut self, notice: &Notice, now: Instant) {
        match notice {
            Notice::PeerConnected { addr, client, transport, encryption, .. } => {
                let manner = words::manner(*transport, *encryption);
                self.peers.insert(*addr, format!("{} {manner}", words::known(client)));
            }
            Notice::PieceVerified(_, piece) => {
                self.first.get_or_insert((*piece, now));
                self.verified += 1;
            }
            Notice::Finished(_) => self.complete = Some(now),
            Notice::TrackerReplied { url, .. } => {
                let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next());
                self.trackers.extend(host.map(printable));
            }
            Notice::PieceFailed(..)
            | Notice::PieceWithdrawn(..)
            | Notice::PeerBanned(..)
            | Notice::TorrentFailed(..)
            | Notice::TrackerFailed { .. }
            | Notice::CommandRejected { .. }
            | Notice::StorageFailed { .. }
            | Notice::DiskFull(_) => self.went_wrong(words::notice(notice)),
            _ => {}
        }
    }

    fn went_wrong(&mut self, what: String) {
        match self.trouble.iter_mut().find(|(known, _)| *known == what) {
            Some((_, times)) => *times += 1,
            None => self.trouble.push((what, 1)),
        }
    }

    /// Tells it.
    pub fn tell(&self, engine: &Engine) {
        row("Run", &format!("{} long", clock(self.ended, self.began)));
        self.torrents.iter().take(MAX_TOLD).for_each(|torrent| row("Torrent", torrent));
        if self.torrents.len() > MAX_TOLD {
            row("", &format!("and {} more torrents", self.torrents.len() - MAX_TOLD));
        }
        row("Peers", &self.peers());
        if !self.trackers.is_empty() {
            let named: Vec<_> = self.trackers.iter().take(MAX_TOLD).map(String::as_str).collect();
            row("Trackers", &format!("{} answered", named.join(", ")));
        }
        if let Some((piece, when)) = self.first {
            let at = clock(when, self.began);
            row(
                "Pieces",
                &format!("{} verified, the first (number {piece}) at {at}", self.verified),
            );
        }
        row("Transfer", &self.transfer(engine));
        match self.complete {
            Some(when) => row("Complete", &format!("at {}", clock(when, self.began))),
            None => row("Complete", "nothing was completed in this run"),
        }
        self.tell_trouble(engine);
    }

    /// What was transferred in this run.
    fn transfer(&self, engine: &Engine) -> String {
        let views = engine.torrents().filter_map(|id| engine.torrent(id));
        let (down, up, wasted) = views.fold((0, 0, 0), |(down, up, wasted), view| {
            (down + view.downloaded, up + view.uploaded, wasted + view.wasted)
        });
        let (down, up) = (down.saturating_sub(self.earlier.0), up.saturating_sub(self.earlier.1));
        format!("{} down, {} up, {} wasted", size(down), size(up), size(wasted))
    }

    fn peers(&self) -> String {
        let named =
            self.peers.iter().take(MAX_TOLD).map(|(addr, client)| format!("{addr} {client}"));
        let mut text = match self.peers.len() {
            0 => "none connected".to_owned(),
            count => format!("{count} connected: {}", named.collect::<Vec<_>>().join(", ")),
        };
        if self.peers.len() > MAX_TOLD {
            text.push_str(", …");
        }
        if self.unreachable > 0 {
            let many = if self.unreachable == 1 { "" } else { "s" };
            text.push_str(&format!("; {} attempt{many} to connect failed", self.unreachable));
        }
        text
    }

    fn tell_trouble(&self, engine: &Engine) {
        let mut lines: Vec<_> = self
            .trouble
            .iter()
            .map(|(what, times)| match times {
                1 => what.clone(),
                times => format!("{what} ({times} times)"),
            })
            .collect();
        let violations = engine.stats().violations;
        if violations > 0 {
            lines.insert(0, format!("the driver broke its contract {violations} times"));
        }
        if lines.is_empty() {
            row("Trouble", "none");
        }
        for (index, text) in lines.iter().take(MAX_TOLD).enumerate() {
            row(if index == 0 { "Trouble" } else { "" }, text);
        }
        if lines.len() > MAX_TOLD {
            row("", &format!("and {} more kinds", lines.len() - MAX_TOLD));
        }
    }
}

fn row(key: &str, value: &str) {
    line(&format!("{key:<9} {}", printable(value)));
}
