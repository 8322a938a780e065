//! Which server is asked next, and for what.

use alloc::vec::Vec;
use core::time::Duration;

use super::WebSeeds;
use crate::base::bits::Bits;
use crate::base::time::Instant;
use crate::metainfo::{Geometry, Metainfo};
use crate::picker::{PeerKey, PeerPieces};

/// Requests of one torrent at the same time; and of those, to servers that have brought nothing yet: in all,
/// and such as were heard of lately.
pub(super) const MAX_FETCHES: usize = 16;
const MAX_UNPROVEN: usize = 12;
const MAX_FRESH: usize = 4;
/// Who was asked that long ago keeps no other from being asked.
const FRESH: Duration = Duration::from_secs(3);
/// Files that are looked at for one that a server can send as a whole; and how long such a server is left alone where
/// none is found.
const FILES_LOOKED_AT: usize = 1000;
const NOTHING_TO_ASK: Duration = Duration::from_secs(30);

impl WebSeeds {
    /// Servers that may be asked for a run: those that have brought something first, and among them whoever was not
    /// asked last.
    pub fn order(&self, now: Instant) -> Vec<usize> {
        let count = self.servers.len();
        let turns = (1..=count).map(|step| (self.turn + step) % count);
        let ready = turns.filter(|index| self.servers[*index].is_ready(now));
        let (mut first, then): (Vec<usize>, Vec<usize>) = ready
            .partition(|index| self.servers[*index].is_proven() || self.servers[*index].trusted);
        first.extend(then);
        first
    }

    /// Whether there is a place to ask a server for another run. Those that have brought nothing yet have few places,
    /// so that dead ones take none from those that live, nor from those that the user named.
    pub fn room(&self, index: usize, now: Instant) -> Room {
        let server = &self.servers[index];
        if !server.is_ready(now) {
            return Room::NotWanted;
        }
        if self.fetches.len() >= MAX_FETCHES {
            return Room::None;
        }
        if server.is_proven() || server.trusted {
            return Room::Free;
        }
        if self.unproven().count() >= MAX_UNPROVEN {
            return Room::None;
        }
        let fresh = self.unproven().filter(|at| *at + FRESH > now).count();
        if fresh < MAX_FRESH { Room::Free } else { Room::Soon }
    }

    /// Requests to servers that have brought nothing yet, by when they began.
    fn unproven(&self) -> impl Iterator<Item = Instant> + '_ {
        let theirs = self.fetches.values().filter(|f| !self.servers[f.server].is_proven());
        theirs.map(|fetch| fetch.since)
    }

    /// Where a run of a server that sends whole files only may begin: where a file does.
    pub fn whole_file(&mut self, index: usize, metainfo: &Metainfo, missing: &Bits) -> Option<u32> {
        let (files, geometry) = (metainfo.layout().files(), metainfo.geometry());
        let server = &mut self.servers[index];
        for _ in 0..files.len().min(FILES_LOOKED_AT) {
            let at = server.file as usize % files.len();
            server.file = at as u32 + 1;
            let begins = geometry.pieces_of(files[at].offset, files[at].length).start;
            if files[at].is_stored() && files[at].length > 0 && missing.has(begins) {
                return Some(begins);
            }
        }
        None
    }

    /// Nothing that a server has can be asked for at the moment.
    pub fn put_off(&mut self, index: usize, now: Instant) {
        self.servers[index].retry_at = now + NOTHING_TO_ASK;
    }

    /// What a server is asked for next: who it is, what it has, where it went on to, how many blocks.
    pub fn terms(&self, server: usize, geometry: Geometry, now: Instant) -> Terms<'_> {
        let server = &self.servers[server];
        let length = server.run_length(now) / u64::from(geometry.block_length());
        Terms {
            key: server.key,
            pieces: &server.pieces,
            start: server.next,
            count: u32::try_from(length).unwrap_or(u32::MAX).max(1),
            parole: server.parole,
            proven: server.is_proven(),
            idle: server.lanes == 0,
            no_ranges: server.no_ranges,
        }
    }

    /// When a server may be asked again, the first of them.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let waiting = self.servers.iter().filter(|server| server.given_up.is_none());
        let is_ready = self.servers.iter().any(|server| server.is_ready(now));
        let turns = self.unproven().map(|at| at + FRESH).filter(|_| is_ready);
        waiting.map(|server| server.retry_at).chain(turns).filter(|at| *at > now).min()
    }
}

/// Whether there is a place for one more request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// There is one.
    Free,
    /// There will be, without anything being done for it.
    Soon,
    /// Others have all of them.
    None,
    /// The server is not to be asked.
    NotWanted,
}

/// What the picker is to be asked on behalf of a server.
#[derive(Debug)]
pub struct Terms<'a> {
    /// Who it is.
    pub key: PeerKey,
    /// What it has.
    pub pieces: &'a PeerPieces,
    /// The piece behind its last run.
    pub start: Option<u32>,
    /// How many blocks it gets.
    pub count: u32,
    /// Whether it gets only pieces of its own.
    pub parole: bool,
    /// Whether it has brought something.
    pub proven: bool,
    /// Whether nothing is asked of it.
    pub idle: bool,
    /// Whether it sends whole files only.
    pub no_ranges: bool,
}
