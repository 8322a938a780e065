//! A request in progress: what of which file or piece, where, and how far it has come.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::address::{url_of, url_of_piece};
use super::run::Run;
use super::server::{Kind, Server};
use crate::api::RangeGet;
use crate::base::addr::Scope;
use crate::base::time::Instant;
use crate::metainfo::Metainfo;

/// How long a server may say nothing although it may.
const SILENCE: Duration = Duration::from_secs(20);

/// Bytes a second that a server has to send at least, and after how long it is given up where it does not.
const LEAST_RATE: u64 = 1 << 10;
const MEASURED: Duration = Duration::from_secs(20);
/// The same where others wait for its place.
const WANTED_RATE: u64 = 16 << 10;
const MEASURED_SOON: Duration = Duration::from_secs(10);
/// Bytes that a request has to bring to be none that failed.
const LEAST_BROUGHT: u64 = 16 << 10;

/// A request in progress, for a part of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fetch {
    /// Of whom.
    pub server: usize,
    /// For what.
    pub run: Run,
    /// A file; of a server of pieces it is a piece, and so below.
    pub file: u32,
    /// What was asked for, in bytes of the file.
    pub first: u64,
    /// Up to here.
    pub end: u64,
    /// Where the file begins in the content, and how long it is.
    pub offset: u64,
    /// Its length.
    pub length: u64,
    /// The next byte of the body, in bytes of the content, and the one behind the last; known with the head.
    pub at: u64,
    /// The end of the body.
    pub until: u64,
    /// The head of the reply has come.
    pub answered: bool,
    /// Where it was looked for, where that may be, and how often it was somewhere else.
    pub url: String,
    /// Where that may be.
    pub only: Option<Scope>,
    /// How often it was somewhere else.
    pub hops: u8,
    /// Hosts that were asked for it, one behind the other.
    pub visited: Vec<String>,
    /// What is asked for stands in the URL.
    pub whole: bool,
    /// Bytes granted and not received.
    pub granted: u32,
    /// Bytes that it brought.
    pub brought: u64,
    /// When something was heard of it.
    pub heard_at: Instant,
    /// Since when it was not we who kept it waiting, and what it had brought until then.
    pub since: Instant,
    /// See there.
    pub before: u64,
}

/// How a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Bytes granted and not received.
    pub granted: u32,
    /// Bytes a second.
    pub rate: u64,
    /// Bytes that are still to come.
    pub left: u64,
    /// Whether the head of the reply has come.
    pub answered: bool,
}

/// What a connection is to be made for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment(pub(super) Fetch);

impl Assignment {
    /// The host that is asked.
    pub fn host(&self) -> &str {
        self.0.visited.last().map_or("", |host| host)
    }
}

/// Where a file or a piece begins in the content, and how long it is.
pub fn part_of(metainfo: &Metainfo, kind: Kind, number: u32) -> Option<(u64, u64)> {
    let geometry = metainfo.geometry();
    match kind {
        Kind::Files => {
            metainfo.layout().files().get(number as usize).map(|file| (file.offset, file.length))
        }
        Kind::Pieces => (number < geometry.pieces())
            .then(|| (geometry.piece_offset(number), geometry.piece_size(number).into())),
    }
}

/// Where a server has these bytes of a file or a piece.
pub fn address_of(server: &Server, metainfo: &Metainfo, number: u32, part: Range<u64>) -> String {
    if server.kind == Kind::Files {
        return url_of(&server.url, &metainfo.layout().files()[number as usize]);
    }
    let is_all = part == (0..metainfo.geometry().piece_size(number).into());
    let hash = metainfo.info_hashes().wire();
    url_of_piece(&server.url, &hash.0, number, (!is_all).then_some(part))
}

impl Fetch {
    /// What the driver is told.
    pub fn get(&self) -> RangeGet {
        let Self { first, end, only, whole, .. } = *self;
        RangeGet { url: self.url.clone(), only, whole, first, last: end - 1 }
    }

    /// Whether the server could say something.
    pub fn is_awaited(&self) -> bool {
        !self.answered || self.granted > 0 || self.at >= self.until
    }

    /// Whether it is none that failed.
    pub fn has_brought_something(&self) -> bool {
        self.brought >= LEAST_BROUGHT.min(self.end - self.first)
    }

    /// More may come.
    pub fn grant(&mut self, amount: u32, now: Instant) {
        // Who was kept waiting by us was neither silent nor slow.
        if self.granted == 0 {
            (self.heard_at, self.since, self.before) = (now, now, self.brought);
        }
        self.granted += amount;
    }

    /// Bytes a second that come.
    pub fn rate(&self, now: Instant) -> u64 {
        (self.brought - self.before) * 1000 / now.millis_since(self.since).max(1)
    }

    fn is_below(&self, rate: u64, after: Duration, now: Instant) -> bool {
        self.is_awaited() && now.since(self.since) >= after && self.rate(now) < rate
    }

    /// Whether the server has said nothing for too long.
    pub fn is_silent(&self, now: Instant) -> bool {
        self.is_awaited() && self.heard_at + SILENCE <= now
    }

    /// Whether it sends so little that it is as good as silent.
    pub fn drips(&self, now: Instant) -> bool {
        self.is_below(LEAST_RATE, MEASURED, now)
    }

    /// Whether others may have its place.
    pub fn may_give_way(&self, now: Instant) -> bool {
        self.is_below(WANTED_RATE, MEASURED_SOON, now)
    }

    /// When it has to be looked at, the first time.
    pub fn due_at(&self) -> Instant {
        (self.heard_at + SILENCE).min(self.since + MEASURED)
    }
}
