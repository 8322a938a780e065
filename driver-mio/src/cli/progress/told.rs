//! What was told of each torrent, so that nothing is told twice.

use std::time::{Duration, Instant};

use eddyline::{Stall, TorrentState, TorrentView};

/// A stall shorter than this is nobody's concern.
const STALL_AFTER: Duration = Duration::from_secs(5);
/// How often `checking` and `progress` are told of a torrent.
pub const EVERY: Duration = Duration::from_secs(1);

/// What was told of one torrent.
#[derive(Debug, Default)]
pub struct Told {
    stalled_since: Option<Instant>,
    /// The stall that was told and lasts.
    pub stall: Option<Stall>,
    checking: Option<Instant>,
    /// The last `progress`: done, rates, peers.
    progress: Option<(u64, u64, u64, u32)>,
    /// `complete` was told.
    pub complete: bool,
    /// The failure that was told last.
    pub failure: Option<String>,
}

/// What has changed in whether it moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Movement {
    /// It has not moved for a while.
    Stalled(Stall),
    /// It moves again.
    Resumed,
}

impl Told {
    /// Looks whether it moves.
    pub fn movement(&mut self, view: &TorrentView, now: Instant) -> Option<Movement> {
        if view.stall == Stall::None {
            self.stalled_since = None;
            let ended = self.stall.take().is_some();
            let stands = matches!(view.state, TorrentState::Failed | TorrentState::Paused);
            return (ended && !stands).then_some(Movement::Resumed);
        }
        let since = *self.stalled_since.get_or_insert(now);
        if now.duration_since(since) < STALL_AFTER {
            return None;
        }
        self.give_up(view.stall)
    }

    /// It is not waited for any longer: what is in its way is told now, if it was not.
    pub fn give_up(&mut self, stall: Stall) -> Option<Movement> {
        (self.stall.replace(stall) != Some(stall)).then_some(Movement::Stalled(stall))
    }

    /// Whether `checking` is due, with the torrent in this state; `Some(true)` when it has ended.
    pub fn checking(&mut self, state: TorrentState, now: Instant) -> Option<bool> {
        match (state, self.checking) {
            (TorrentState::Checking, last) => {
                let due = last.is_none_or(|last| now.duration_since(last) >= EVERY);
                if due {
                    self.checking = Some(now);
                }
                due.then_some(false)
            }
            (TorrentState::Opening, _) | (_, None) => None,
            (_, Some(_)) => {
                self.checking = None;
                Some(true)
            }
        }
    }

    /// Whether something has changed since the last `progress`.
    pub fn has_changed(&mut self, done: u64, view: &TorrentView) -> bool {
        let now = (done, view.down_rate, view.up_rate, view.peers);
        self.progress.replace(now) != Some(now)
    }
}
