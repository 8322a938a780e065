//! What was told of each torrent, so that nothing is told twice.

use std::time::{Duration, Instant};

use eddyline::{Stall, TorrentState, TorrentView};

/// A stall shorter than this is nobody's concern.
const STALL_AFTER: Duration = Duration::from_secs(5);
/// How often `checking` and `progress` are told of a torrent.
pub const EVERY: Duration = Duration::from_secs(1);

/// What `progress` tells of a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    pub done: u64,
    pub down_rate: u64,
    pub up_rate: u64,
    pub peers: u32,
    pub web_seeds: u32,
}

impl Progress {
    /// Of a torrent of which `done` bytes are here.
    pub fn of(done: u64, view: &TorrentView) -> Self {
        let (down_rate, up_rate) = rates(view);
        Self { done, down_rate, up_rate, peers: view.peers, web_seeds: view.web_seeds }
    }
}

/// How fast a torrent is fetched and served. The engine's rates are of the last seconds; nothing comes for what is
/// complete, and nobody is served where there is nobody.
pub fn rates(view: &TorrentView) -> (u64, u64) {
    let fetched = matches!(view.state, TorrentState::Downloading | TorrentState::Metadata);
    let (down, up) = (view.down_rate, view.up_rate);
    (
        if fetched && view.peers + view.web_seeds > 0 { down } else { 0 },
        if view.peers > 0 { up } else { 0 },
    )
}

/// What was told of one torrent.
#[derive(Debug, Default)]
pub struct Told {
    stalled_since: Option<Instant>,
    /// The stall that was told and lasts.
    pub stall: Option<Stall>,
    checking: Option<Instant>,
    /// When it was seen first that it is being checked, and how much was hashed then.
    check_seen: Option<(Instant, u64)>,
    /// Bytes per second that are hashed.
    pub check_rate: u64,
    /// The last `progress`, and when it was told.
    progress: Option<(Instant, Progress)>,
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

    /// So many bytes of it are hashed, of a torrent in this state.
    pub fn checked(&mut self, state: TorrentState, bytes: u64, now: Instant) {
        if state != TorrentState::Checking {
            (self.check_seen, self.check_rate) = (None, 0);
            return;
        }
        let (since, before) = *self.check_seen.get_or_insert((now, bytes));
        let seconds = now.duration_since(since).as_secs_f64();
        let hashed = bytes.saturating_sub(before) as f64;
        self.check_rate = if seconds > 0.0 { (hashed / seconds) as u64 } else { 0 };
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
            // It was not hashed to its end.
            (TorrentState::Failed | TorrentState::Paused, _) => {
                self.checking = None;
                None
            }
            (_, Some(_)) => {
                self.checking = None;
                Some(true)
            }
        }
    }

    /// Whether `progress` is due: not within a second of the last one and, unless it is told `always`, only
    /// when something has changed.
    pub fn is_progress_due(&self, progress: Progress, now: Instant, always: bool) -> bool {
        self.progress.is_none_or(|(last, told)| {
            now.duration_since(last) >= EVERY && (always || told != progress)
        })
    }

    /// Whether the last `progress` says already how much is here.
    pub fn has_told_done(&self, done: u64) -> bool {
        self.progress.is_some_and(|(_, told)| told.done == done)
    }

    /// `progress` was told just now.
    pub fn progress_told(&mut self, progress: Progress) {
        self.progress = Some((Instant::now(), progress));
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is told when.

    use super::*;

    #[test]
    fn a_check_that_failed_has_not_come_to_its_end() {
        let (mut told, now) = (Told::default(), Instant::now());
        assert_eq!(told.checking(TorrentState::Checking, now), Some(false));
        assert_eq!(told.checking(TorrentState::Failed, now), None);
        assert_eq!(told.checking(TorrentState::Downloading, now), None);
        assert_eq!(told.checking(TorrentState::Checking, now), Some(false));
        assert_eq!(told.checking(TorrentState::Downloading, now), Some(true));
    }

    #[test]
    fn a_check_has_the_rate_of_what_was_hashed_since_it_was_seen() {
        let (mut told, start) = (Told::default(), Instant::now());
        let mut at = |state, bytes, seconds| {
            told.checked(state, bytes, start + Duration::from_secs(seconds));
            told.check_rate
        };
        assert_eq!(at(TorrentState::Opening, 0, 0), 0);
        assert_eq!(at(TorrentState::Checking, 100, 1), 0);
        assert_eq!(at(TorrentState::Checking, 700, 4), 200);
        assert_eq!(at(TorrentState::Downloading, 700, 5), 0);
        // Another check begins from nothing.
        assert_eq!(at(TorrentState::Checking, 0, 9), 0);
        assert_eq!(at(TorrentState::Checking, 50, 10), 50);
    }

    #[test]
    fn progress_is_told_once_a_second_and_where_asked_only_when_something_is_new() {
        let at = |done| Progress { done, ..Progress::default() };
        let mut told = Told::default();
        let start = Instant::now();
        assert!(told.is_progress_due(at(0), start, false) && !told.has_told_done(0));
        told.progress_told(at(0));
        let later = Instant::now() + EVERY;
        assert!(!told.is_progress_due(at(5), start, true));
        assert!(told.is_progress_due(at(5), later, false));
        assert!(told.is_progress_due(at(0), later, true));
        assert!(!told.is_progress_due(at(0), later, false));
        assert!(told.has_told_done(0) && !told.has_told_done(5));
    }
}
