//! Readers: who needs which pieces, in order and by when. There are few, so that a pick may look at each of them,
//! and what it finds of one lies at the front of its window.

use alloc::collections::BTreeMap;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::base::time::Instant;

/// Readers of one torrent.
pub const MAX_READERS: usize = 64;

/// Pieces that a reader needs, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Window {
    /// The first piece.
    pub first: u32,
    /// The piece behind the last.
    pub end: u32,
    /// When the first one is needed.
    pub due: Instant,
    /// How much later each further one is needed.
    pub pace: Duration,
}

impl Window {
    /// When `piece` is needed.
    pub fn due_of(&self, piece: u32) -> Instant {
        self.due + self.pace.saturating_mul(piece.saturating_sub(self.first))
    }

    /// How many pieces from `front` on are needed before `ready`.
    fn due_before(&self, front: u32, ready: Instant) -> u32 {
        let ahead = ready.since(self.due_of(front)).as_nanos();
        match self.pace.as_nanos() {
            _ if ahead == 0 => 0,
            0 => u32::MAX,
            pace => u32::try_from(ahead.div_ceil(pace)).unwrap_or(u32::MAX),
        }
    }
}

/// A window, and how far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Reader {
    window: Window,
    /// All pieces of the window before this one are verified.
    front: u32,
}

/// A place to look for pieces at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// No piece before this one.
    pub(super) front: u32,
    /// None from this one on.
    pub(super) end: u32,
    /// Pieces from the front on that are left to peers which bring them in time, where there are others.
    pub(super) lead: u32,
}

/// How soon the peer that is to be asked would bring a block more. Only readers ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Arrival {
    /// When.
    pub ready: Instant,
    /// How many pieces all peers together bring until then, beyond what they are asked for.
    pub lead: u32,
}

/// The readers of a torrent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Readers {
    by_number: BTreeMap<u32, Reader>,
    /// One more that needs all pieces in order, the sooner the better, after the others.
    pub(super) in_order: bool,
}

impl Readers {
    /// Whether nobody reads: what is fetched follows rarity.
    pub(super) fn is_empty(&self) -> bool {
        !self.in_order && self.by_number.is_empty()
    }

    /// A reader needs a window, from `front` on, or nothing any more.
    pub(super) fn set(&mut self, reader: u32, window: Option<Window>, front: u32) {
        match window.filter(|window| window.first < window.end) {
            Some(window) => {
                self.by_number.insert(reader, Reader { window, front });
            }
            None => {
                self.by_number.remove(&reader);
            }
        }
    }

    /// Pieces were verified: windows begin behind them.
    pub(super) fn advance(&mut self, has: impl Fn(u32) -> bool) {
        for reader in self.by_number.values_mut() {
            while reader.front < reader.window.end && has(reader.front) {
                reader.front += 1;
            }
        }
    }

    /// A piece was lost: windows that it lies in begin at it.
    pub(super) fn go_back(&mut self, piece: u32) {
        for reader in self.by_number.values_mut() {
            if (reader.window.first..reader.front).contains(&piece) {
                reader.front = piece;
            }
        }
    }

    /// Where to look for a piece for a peer, the most urgent place first. `open` is the first piece from another one
    /// on of which somebody can be asked for something; there are `pieces` of them.
    pub(super) fn places(
        &self,
        arrival: Arrival,
        pieces: u32,
        open: impl Fn(u32) -> Option<u32>,
    ) -> SmallVec<[Place; 2]> {
        let unread = self.by_number.values().filter(|reader| reader.front < reader.window.end);
        let mut all: SmallVec<[(Instant, Place); 2]> = unread
            .filter_map(|Reader { window, front }| {
                let front = open(*front).filter(|front| *front < window.end)?;
                let lead = arrival.lead.min(window.due_before(front, arrival.ready));
                Some((window.due_of(front), Place { front, end: window.end, lead }))
            })
            .collect();
        all.sort_by_key(|(due, place)| (*due, place.front));
        let in_order = open(0).filter(|_| self.in_order);
        let in_order = in_order.map(|front| Place { front, end: pieces, lead: arrival.lead });
        all.into_iter().map(|(_, place)| place).chain(in_order).collect()
    }

    /// When a piece is needed by whoever needs it first; `None` where nobody has said when.
    pub(super) fn due_of(&self, piece: u32) -> Option<Instant> {
        let windows = self.by_number.values().map(|reader| reader.window);
        let needed = windows.filter(|window| (window.first..window.end).contains(&piece));
        needed.map(|window| window.due_of(piece)).min()
    }

    /// Whether each reader has all pieces before its front, and lies among `pieces`.
    pub(super) fn check(&self, pieces: u32, has: impl Fn(u32) -> bool) -> Result<(), &'static str> {
        let right = self.by_number.values().all(|Reader { window, front }| {
            let in_window = window.first <= *front && *front <= window.end && window.end <= pieces;
            in_window && (window.first..*front).all(&has)
        });
        if right { Ok(()) } else { Err("a reader has all pieces before its front") }
    }
}

#[cfg(feature = "corruption")]
impl Readers {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "a reader has all pieces before its front" => {
                let reader = self.by_number.values_mut().next()?;
                reader.front = reader.window.end + 1;
            }
            _ => return None,
        }
        Some(())
    }
}
