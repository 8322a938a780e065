//! What holds of web seeds at any time; for tests, simulation, and snapshots.

use super::WebSeeds;
use super::choice::MAX_FETCHES;
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
        let (geometry, files) = (metainfo.geometry(), metainfo.layout().files());
        let lists = self.servers.iter().all(|server| match &server.pieces {
            PeerPieces::All => true,
            PeerPieces::Some(bits) | PeerPieces::AllBut(bits) => bits.len() == geometry.pieces(),
        });
        lists
            && self.fetches.values().all(|fetch| {
                let Some(file) = files.get(fetch.file as usize) else { return false };
                let of_file = (fetch.offset, fetch.length) == (file.offset, file.length);
                let content = file.offset..=file.offset + file.length;
                of_file
                    && fetch.server < self.servers.len()
                    && (fetch.first < fetch.end && fetch.end <= file.length)
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
