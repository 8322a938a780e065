//! What holds of web seeds at any time; for tests, simulation, and snapshots.

use super::choice::MAX_FETCHES;
use super::{Kind, WebSeeds, part_of};
use crate::metainfo::{MAX_WEB_SEEDS, Metainfo};
use crate::picker::PeerPieces;

impl WebSeeds {
    /// What must hold between two steps.
    ///
    /// # Errors
    /// The rule that does not.
    pub fn check(&self) -> Result<(), &'static str> {
        let bounded = self.servers.len() <= 2 * MAX_WEB_SEEDS && self.fetches.len() <= MAX_FETCHES;
        if !bounded || self.fetches.values().any(|fetch| fetch.server >= self.servers.len()) {
            return Err("requests to web seeds are bounded, and each is one to a server");
        }
        for (index, server) in self.servers.iter().enumerate() {
            let lanes = self.fetches.values().filter(|fetch| fetch.server == index).count();
            if lanes != usize::from(server.lanes) || server.given_up.is_some() && lanes > 0 {
                return Err("requests to a web seed equal the recount");
            }
        }
        self.fetches.values().try_for_each(|fetch| fetch.run.check())
    }

    /// That lists of pieces have their length, and requests are for parts of files that there are.
    pub fn fits(&self, metainfo: Option<&Metainfo>) -> bool {
        let Some(metainfo) = metainfo else { return self.fetches.is_empty() };
        let geometry = metainfo.geometry();
        let lists = self.servers.iter().all(|server| match &server.pieces {
            PeerPieces::All => true,
            PeerPieces::Some(bits) | PeerPieces::AllBut(bits) => bits.len() == geometry.pieces(),
        });
        lists
            && self.fetches.values().all(|fetch| {
                let Some(server) = self.servers.get(fetch.server) else { return false };
                let part = part_of(metainfo, server.kind, fetch.file);
                let (offset, length) = (fetch.offset, fetch.length);
                let content = offset..=offset.saturating_add(length);
                part == Some((offset, length))
                    && fetch.whole == (server.kind == Kind::Pieces)
                    && (fetch.first < fetch.end && fetch.end <= length)
                    && content.contains(&fetch.at)
                    && content.contains(&fetch.until)
                    && fetch.run.fits(geometry)
            })
    }
}

#[cfg(feature = "corruption")]
impl WebSeeds {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "requests to web seeds are bounded, and each is one to a server" => {
                self.fetches.values_mut().next()?.server = 1000;
            }
            "requests to a web seed equal the recount" => {
                self.servers.first_mut()?.lanes += 1;
            }
            "a run holds part of its first block only" => {
                self.fetches.values_mut().next()?.run.corrupt();
            }
            _ => return None,
        }
        Some(())
    }
}
