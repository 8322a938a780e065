//! What the session is bound to goes and comes back.

use eddyline::base::ids::TorrentId;
use eddyline::{Command, TorrentCommand};
use eddyline_mio::Driver;

use crate::trouble::Warning;

/// Whether nothing can be sent, as far as it was told.
#[derive(Debug, Default)]
pub(crate) struct CutOff {
    told: bool,
}

impl CutOff {
    /// What is to be told. When something can be sent again, trackers of `torrents` are asked at once: all peers are gone.
    pub(crate) fn look<'a>(
        &mut self,
        driver: &mut Driver,
        torrents: impl Iterator<Item = &'a TorrentId>,
    ) -> Option<Warning> {
        let why = driver.cut_off();
        let was = std::mem::replace(&mut self.told, why.is_some());
        if was && why.is_none() {
            for torrent in torrents {
                driver.command(Command::Torrent(*torrent, TorrentCommand::Announce));
            }
            return Some(Warning::NoLongerCutOff);
        }
        why.filter(|_| !was).map(Warning::CutOff)
    }
}
