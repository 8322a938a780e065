//! What the session is bound to goes and comes back.

use eddyline::base::ids::TorrentId;
use eddyline::{Command, TorrentCommand};
use eddyline_mio::Driver;

use crate::trouble::Warning;

/// Whether nothing can be sent, as far as it was told.
#[derive(Debug, Default)]
pub(crate) struct CutOff {
    told: bool,
    moves: u64,
    proxy: Option<String>,
}

impl CutOff {
    /// What is to be told. When something can be sent again, or from another address, trackers of `torrents` are asked
    /// at once: peers are gone, and those that come know the address that was.
    pub(crate) fn look<'a>(
        &mut self,
        driver: &mut Driver,
        torrents: impl Iterator<Item = &'a TorrentId>,
    ) -> Option<Warning> {
        let why = driver.cut_off();
        let was = std::mem::replace(&mut self.told, why.is_some());
        if std::mem::replace(&mut self.moves, driver.moves()) != driver.moves() {
            for torrent in torrents {
                driver.command(Command::Torrent(*torrent, TorrentCommand::Announce));
            }
        }
        match why {
            None => was.then_some(Warning::NoLongerCutOff),
            Some(why) => (!was).then_some(Warning::CutOff(why)),
        }
    }

    /// The same of the proxy.
    pub(crate) fn look_at_proxy(&mut self, driver: &Driver) -> Option<Warning> {
        let why = driver.proxy_trouble().or_else(|| driver.relay_trouble());
        if self.proxy == why {
            return None;
        }
        self.proxy.clone_from(&why);
        Some(why.map_or(Warning::ProxyWorks, Warning::ProxyFails))
    }
}
