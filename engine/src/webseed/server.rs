//! One web server: whether it may be asked, for how much at once, and what is held against it.

use alloc::string::String;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::addr::Scope;
use crate::base::bits::Bits;
use crate::base::rate::RateMeter;
use crate::base::time::Instant;
use crate::picker::{PeerKey, PeerPieces};
use crate::tracker::host_of;

/// Requests to one server at the same time, at the most.
pub const MAX_LANES: u8 = 4;
/// Bytes of a run: at first, at least, at the most.
const FIRST_RUN: u64 = 256 << 10;
const LEAST_RUN: u64 = 256 << 10;
/// Bytes of a run of a server that was found slow, and the rate at which it is none.
const SLOW_RUN: u64 = 16 << 10;
const QUICK: u64 = 16 << 10;
/// Bytes that prove that a server has something to give.
const PROOF: u64 = 256 << 10;
const LONGEST_RUN: u64 = 8 << 20;
/// Bytes of a run of a server that sends whole files only: what lies before it is fetched as well.
const LONGEST_WHOLE_RUN: u64 = 1 << 30;
/// Seconds that a run should take.
const RUN_SECONDS: u64 = 4;
/// Seconds for which a rate has to be measured before it says whether one more request was of use.
const MEASURED: Duration = Duration::from_secs(4);
/// Seconds until a server that failed is asked again: after the first time, doubled each time, at the most.
const FIRST_WAIT: u64 = 5;
const LONGEST_WAIT: u64 = 600;
/// Seconds that a server may ask us to stay away.
const LONGEST_AWAY: u32 = 3600;

/// Files in a row that a server lacks which has brought nothing: it has none, as far as we care.
const MOST_LACKING: u32 = 16;

/// What a server is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// Files, of which it sends ranges (BEP 19).
    Files,
    /// Pieces, by the hash of the torrent (BEP 17).
    Pieces,
}

/// Why a server is not asked any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum GivenUp {
    /// It sent a bad block.
    BadData,
    /// It has none of the files.
    NoFiles,
    /// It wants a user and a password.
    Locked,
    /// It is, or leads, where a torrent must not lead.
    Forbidden,
}

/// A web server of a torrent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Server {
    /// As it was given.
    pub url: String,
    /// The host in it.
    pub host: String,
    /// What it is asked for.
    pub kind: Kind,
    /// The user named it: it may be of a local network.
    pub trusted: bool,
    /// By which it is known as a contributor.
    pub key: PeerKey,
    /// Pieces that it has; those of files that it lacks are missing.
    pub pieces: PeerPieces,
    /// It sends whole files only.
    pub no_ranges: bool,
    /// Where a file was found at last.
    pub moved: Option<(u32, String, Option<Scope>)>,
    /// It shares the blame for a bad piece, and gets only pieces of its own.
    pub parole: bool,
    /// Good pieces that it had a part in.
    pub verified: u32,
    /// Requests in progress.
    pub lanes: u8,
    /// How many there may be.
    pub width: u8,
    /// The rate at which one more was allowed, and when.
    best: u64,
    widened_at: Instant,
    /// Payload.
    pub down: RateMeter,
    /// The piece behind its last run.
    pub next: Option<u32>,
    /// The file behind the last that it was asked for as a whole.
    pub file: u32,
    /// It was found slow, and gets short runs.
    pub slow: bool,
    /// Files that it was found to lack.
    lacking: u32,
    /// How often it has failed in a row.
    pub failures: u32,
    /// It is left alone until then.
    pub retry_at: Instant,
    /// It is not asked any more.
    pub given_up: Option<GivenUp>,
    /// That it works has been told.
    pub told: bool,
    /// What was wrong last.
    pub message: Option<String>,
}

impl Server {
    /// A server that was not asked yet.
    pub fn new(url: String, kind: Kind, trusted: bool, key: PeerKey) -> Self {
        Self {
            host: host_of(&url),
            url,
            kind,
            trusted,
            key,
            pieces: PeerPieces::All,
            no_ranges: false,
            moved: None,
            parole: false,
            verified: 0,
            lanes: 0,
            width: 1,
            best: 0,
            widened_at: Instant::ZERO,
            down: RateMeter::default(),
            next: None,
            file: 0,
            slow: false,
            lacking: 0,
            failures: 0,
            retry_at: Instant::ZERO,
            given_up: None,
            told: false,
            message: None,
        }
    }

    /// Whether another request may be made.
    pub fn is_ready(&self, now: Instant) -> bool {
        self.given_up.is_none() && self.lanes < self.width && self.retry_at <= now
    }

    /// Whether it has brought as much as shows that it is one: a byte now and then does not.
    pub fn is_proven(&self) -> bool {
        self.verified > 0 || self.down.total() >= PROOF
    }

    /// The addresses that it may be at.
    pub fn only(&self) -> Option<Scope> {
        (!self.trusted).then_some(Scope::Public)
    }

    /// Bytes that the next run should have.
    pub fn run_length(&self, now: Instant) -> u64 {
        if self.no_ranges {
            return LONGEST_WHOLE_RUN;
        }
        if self.slow {
            return SLOW_RUN;
        }
        if !self.is_proven() {
            return FIRST_RUN;
        }
        let rate = self.down.per_second(now) / u64::from(self.width.max(1));
        (rate * RUN_SECONDS).clamp(LEAST_RUN, LONGEST_RUN)
    }

    /// What one request asked for has come. That is the end of no run yet.
    pub fn brought(&mut self) {
        self.failures = 0;
    }

    /// A run has come: one more request at a time is allowed as long as that made it faster.
    pub fn delivered(&mut self, now: Instant) {
        self.failures = 0;
        self.message = None;
        self.slow &= self.down.per_second(now) < QUICK;
        let measured = now.since(self.widened_at) >= MEASURED;
        if self.no_ranges || self.width > 1 && !measured {
            return;
        }
        let rate = self.down.per_second(now);
        if rate > self.best + self.best / 10 {
            self.best = rate;
            self.widened_at = now;
            self.width = (self.width + 1).min(MAX_LANES);
        } else if rate < self.best / 2 && measured {
            self.best = rate;
            self.widened_at = now;
            self.width = (self.width - 1).max(1);
        }
    }

    /// It failed: it is left alone for a while, and then for longer.
    pub fn failed(&mut self, why: &str, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let wait = FIRST_WAIT << (self.failures - 1).min(10);
        self.wait(wait.min(LONGEST_WAIT), why, now);
        self.moved = None;
        self.next = None;
    }

    /// It has enough to do, and says for how many seconds or not.
    pub fn busy(&mut self, seconds: Option<u32>, now: Instant) {
        match seconds {
            Some(seconds) => {
                // Who says again and again that it will take a moment is asked ever less often.
                let least = 1 << self.failures.min(9);
                self.failures = self.failures.saturating_add(1);
                self.wait(seconds.clamp(least, LONGEST_AWAY).into(), "the server is busy", now);
            }
            None => self.failed("the server is busy", now),
        }
    }

    fn wait(&mut self, seconds: u64, why: &str, now: Instant) {
        let until = now + Duration::from_secs(seconds);
        self.retry_at = self.retry_at.max(until);
        self.width = 1;
        self.best = 0;
        self.told = false;
        self.message = Some(why.into());
    }

    /// It is not asked any more.
    pub fn give_up(&mut self, why: GivenUp) {
        self.given_up = Some(why);
        self.message = Some(why.text().into());
    }

    /// One more file is not there. Returns whether it is taken for one that has none.
    pub fn misses_all(&mut self) -> bool {
        self.lacking = self.lacking.saturating_add(1);
        self.down.total() == 0 && !self.trusted && self.lacking >= MOST_LACKING
    }

    /// It lacks these pieces of a torrent of `pieces`. Returns how many it has.
    pub fn lacks(&mut self, lacking: core::ops::Range<u32>, pieces: u32) -> u32 {
        let mut has = match core::mem::replace(&mut self.pieces, PeerPieces::All) {
            PeerPieces::All => Bits::full(pieces),
            PeerPieces::Some(bits) | PeerPieces::AllBut(bits) => bits,
        };
        for piece in lacking {
            has.clear(piece);
        }
        let count = has.count();
        self.pieces = PeerPieces::Some(has);
        count
    }
}

impl GivenUp {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::BadData => "the server sends bad data",
            Self::NoFiles => "the server has none of the files",
            Self::Locked => "the server wants a user and a password",
            Self::Forbidden => "it leads into a network where no torrent may lead",
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of servers.

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn server() -> Server {
        Server::new("http://h/".into(), Kind::Files, false, 9)
    }

    #[test]
    fn a_server_that_fails_is_left_alone_for_longer_each_time_until_it_delivers() {
        let mut server = server();
        assert!(server.is_ready(at(0)));
        for (failures, seconds) in [(1, 5), (2, 10), (3, 20), (4, 40), (12, 600), (13, 600)] {
            server.failures = failures - 1;
            server.retry_at = Instant::ZERO;
            server.failed("x", at(1000));
            assert_eq!(server.retry_at, at(1000 + seconds * 1000), "{failures}");
            assert!(!server.is_ready(at(999 + seconds * 1000)));
        }
        server.delivered(at(0));
        assert_eq!((server.failures, server.message.as_deref()), (0, None));
    }

    #[test]
    fn a_busy_server_is_asked_when_it_says_and_an_hour_later_at_the_latest() {
        for (says, seconds) in [(Some(0), 1), (Some(30), 30), (Some(u32::MAX), 3600), (None, 5)] {
            let mut server = server();
            server.width = 3;
            server.busy(says, at(0));
            assert_eq!((server.retry_at, server.width), (at(seconds * 1000), 1), "{says:?}");
        }
        // It says so for ever: at first after a second, then ever less often.
        let (mut server, mut now, mut asked) = (server(), 0, 0);
        while now < 3_600_000 {
            server.busy(Some(0), at(now));
            (now, asked) = (server.retry_at.as_millis(), asked + 1);
        }
        assert!((10..20).contains(&asked), "{asked}");
    }

    #[test]
    fn more_is_asked_at_once_as_long_as_that_makes_it_faster() {
        let mut server = server();
        let mut now = 0;
        let mut run = |server: &mut Server, rate: u64| {
            for _ in 0..40 {
                now += 250;
                server.down.add(at(now), rate / 4);
            }
            server.delivered(at(now));
            server.width
        };
        assert_eq!(run(&mut server, 1_000_000), 2);
        assert_eq!(run(&mut server, 1_900_000), 3);
        assert_eq!(run(&mut server, 1_950_000), 3, "that was of no use");
        assert_eq!(run(&mut server, 2_800_000), 4);
        assert_eq!(run(&mut server, 9_000_000), 4, "as many as one server gets");
        assert_eq!(run(&mut server, 1_000_000), 3);
        // As much as one request brings in four seconds.
        assert!((1_300_000..1_500_000).contains(&server.run_length(at(now))));
    }

    #[test]
    fn what_lies_in_a_file_that_is_not_there_is_not_asked_for() {
        let mut server = server();
        assert_eq!(server.lacks(2..4, 6), 4);
        assert!(server.pieces.has(1) && !server.pieces.has(2) && !server.pieces.has(3));
        assert_eq!(server.lacks(0..6, 6), 0);
    }
}
