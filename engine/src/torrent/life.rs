//! Whether a torrent is alive, and what it is doing.

use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};

use crate::api::{TorrentError, TorrentState};

/// Why a torrent leaves memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Exit {
    /// The engine stops.
    Stop,
    /// Nothing happens to it: it goes on standby.
    Rest,
    /// The user wants it no more.
    Remove {
        /// Nor its files.
        data: bool,
    },
}

/// What a torrent is doing, unless it stands still.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// The info dictionary is not known yet, or the user has not said to go on from there.
    Metadata {
        /// Go no further than the metadata until told to.
        hold: bool,
    },
    /// The files are being looked at.
    Opening,
    /// Some pieces are still to be hashed, or being hashed.
    Checking {
        /// Not begun.
        queue: BTreeSet<u32>,
        /// In progress.
        hashing: u32,
    },
    /// Pieces are fetched and served.
    Active,
    /// On the way out: resume data is saved, then the files are closed.
    Closing {
        /// Why.
        exit: Exit,
        /// There is something to save first.
        save: bool,
        /// The files are being closed, for this reason.
        last: Option<Exit>,
    },
}

/// Where a torrent is in its life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Life {
    stage: Stage,
    /// It stands still because the user said so.
    paused: bool,
    /// It stands still because of this, until the user says otherwise.
    error: Option<TorrentError>,
}

impl Life {
    /// A torrent that was just added.
    pub(super) fn new(paused: bool, known: bool, hold: bool) -> Self {
        let stage = if known { Stage::Opening } else { Stage::Metadata { hold } };
        Self { stage, paused, error: None }
    }

    pub(super) fn stage(&self) -> &Stage {
        &self.stage
    }

    pub(super) fn stage_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }

    pub(super) fn enter(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// What an embedder is told. `finished`: everything that is wanted is there.
    pub(super) fn state(&self, finished: bool) -> TorrentState {
        match &self.stage {
            _ if self.error.is_some() => TorrentState::Failed,
            _ if self.paused => TorrentState::Paused,
            Stage::Metadata { .. } => TorrentState::Metadata,
            Stage::Opening => TorrentState::Opening,
            Stage::Checking { .. } => TorrentState::Checking,
            _ if finished => TorrentState::Seeding,
            Stage::Active | Stage::Closing { .. } => TorrentState::Downloading,
        }
    }

    /// It takes part in its swarm.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Active | Stage::Metadata { .. }) && self.may_go_on()
    }

    /// Peers are served and asked for blocks.
    pub(super) fn is_transferring(&self) -> bool {
        self.stage == Stage::Active && self.may_go_on()
    }

    /// It is open, and neither being checked nor on its way out.
    pub(super) fn is_active(&self) -> bool {
        self.stage == Stage::Active
    }

    pub(super) fn is_opening(&self) -> bool {
        self.stage == Stage::Opening
    }

    pub(super) fn is_checking(&self) -> bool {
        matches!(self.stage, Stage::Checking { .. })
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing { .. })
    }

    pub(super) fn awaits_metadata(&self) -> bool {
        matches!(self.stage, Stage::Metadata { .. })
    }

    /// Nothing makes it stand still.
    pub(super) fn may_go_on(&self) -> bool {
        !self.paused && self.error.is_none()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// The user says that it shall stand still. Returns whether that is new.
    pub(super) fn pause(&mut self) -> bool {
        !core::mem::replace(&mut self.paused, true)
    }

    /// The user says that it shall go on.
    pub(super) fn unpause(&mut self) {
        self.paused = false;
    }

    pub(super) fn error(&self) -> Option<TorrentError> {
        self.error
    }

    pub(super) fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// It stands still from now on. Returns whether that is new: not so on the way out, or after another
    /// error.
    pub(super) fn fail(&mut self, error: TorrentError) -> bool {
        let new = self.error.is_none() && !self.is_closing();
        if new {
            self.error = Some(error);
        }
        new
    }

    /// The error does not hold any more. Returns whether there was one.
    pub(super) fn recover(&mut self) -> bool {
        self.error.take().is_some()
    }

    /// It is to leave memory. Returns whether that begins now.
    pub(super) fn leave(&mut self, exit: Exit) -> bool {
        if let Stage::Closing { exit: before, .. } = &mut self.stage {
            *before = match (*before, exit) {
                (Exit::Remove { data: one }, Exit::Remove { data: two }) => {
                    Exit::Remove { data: one || two }
                }
                (_, Exit::Remove { data }) => Exit::Remove { data },
                (before, _) => before,
            };
            return false;
        }
        let save = self.is_active() && exit == Exit::Stop;
        self.stage = Stage::Closing { exit, save, last: None };
        true
    }

    /// Its files are closed in order to rest.
    pub(crate) fn is_going_to_rest(&self) -> bool {
        matches!(self.stage, Stage::Closing { exit: Exit::Rest, .. })
    }

    /// The same, or they were and it was removed meanwhile.
    pub(super) fn was_going_to_rest(&self) -> bool {
        self.is_going_to_rest()
            || matches!(self.stage, Stage::Closing { last: Some(Exit::Rest), .. })
    }

    /// The files are closed. Returns what that was for; nothing if they have to be dealt with once more,
    /// since a torrent that was to rest was removed meanwhile.
    pub(crate) fn closed(&mut self) -> Option<Exit> {
        match &mut self.stage {
            Stage::Closing { exit: Exit::Remove { .. }, last: last @ Some(Exit::Rest), .. } => {
                *last = None;
                None
            }
            Stage::Closing { exit, .. } => Some(*exit),
            _ => Some(Exit::Stop),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of a life.

    use super::*;

    fn active() -> Life {
        let mut life = Life::new(false, true, false);
        life.enter(Stage::Active);
        life
    }

    #[test]
    fn what_stands_still_does_not_run_and_says_why() {
        let mut life = active();
        assert!(life.is_transferring() && life.state(false) == TorrentState::Downloading);
        assert!(life.pause() && !life.pause());
        assert!(!life.is_running() && life.state(true) == TorrentState::Paused);
        assert!(life.fail(TorrentError::Metadata) && !life.fail(TorrentError::Foreign(1)));
        assert_eq!(life.error(), Some(TorrentError::Metadata));
        life.unpause();
        assert!(!life.is_running() && life.state(true) == TorrentState::Failed);
        assert!(life.recover() && !life.recover() && life.state(true) == TorrentState::Seeding);
    }

    #[test]
    fn who_leaves_fails_no_more_and_saves_only_where_there_is_a_next_time() {
        for (exit, saves) in
            [(Exit::Stop, true), (Exit::Rest, false), (Exit::Remove { data: true }, false)]
        {
            let mut life = active();
            assert!(life.leave(exit) && !life.leave(exit) && !life.fail(TorrentError::Metadata));
            assert_eq!(*life.stage(), Stage::Closing { exit, save: saves, last: None });
            assert_eq!(life.closed(), Some(exit));
        }
    }

    #[test]
    fn what_is_removed_on_its_way_to_rest_has_its_files_dealt_with_once_more() {
        let mut life = active();
        assert!(life.leave(Exit::Rest) && life.is_going_to_rest());
        life.enter(Stage::Closing { exit: Exit::Rest, save: false, last: Some(Exit::Rest) });
        life.leave(Exit::Remove { data: false });
        life.leave(Exit::Remove { data: true });
        life.leave(Exit::Remove { data: false });
        assert!(!life.is_going_to_rest() && life.was_going_to_rest());
        assert_eq!(life.closed(), None);
        assert_eq!(life.closed(), Some(Exit::Remove { data: true }));
    }
}
