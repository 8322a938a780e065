//! What follows when other addresses are blocked: whoever is connected from one goes, and nobody there is called
//! or asked again. What is named later is held against the filter where it is named (`Standing::refuses`), and
//! packets where they come and where they leave.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Engine;
use crate::api::CloseReason;
use crate::base::ids::{ConnId, TorrentId};
use crate::context::Phase;
use crate::filter::Filter;

impl Engine {
    /// Addresses that nothing is sent to and nobody is heard from.
    pub fn filter(&self) -> &Filter {
        self.ctx.net.standing.filter()
    }

    pub(super) fn set_filter(&mut self, filter: Arc<Filter>) {
        self.ctx.net.standing.set_filter(filter);
        for (conn, torrent) in self.blocked() {
            self.close_blocked(conn, torrent);
        }
        let filter = self.ctx.net.standing.filter();
        for (_, torrent) in self.torrents.iter_mut() {
            self.ctx.work.add_steps(torrent.candidates().len().into());
            torrent.forget_candidates_where(|addr| filter.blocks(addr.ip()));
        }
        self.filter_dht();
    }

    /// Connections with addresses that are blocked. A web seed is reached by name, so that is the embedder's.
    fn blocked(&self) -> Vec<(ConnId, Option<TorrentId>)> {
        let all = self.ctx.net.conns.iter();
        let there = all.filter(|(_, conn)| {
            !matches!(conn.phase, Phase::Fetching) && self.filter().blocks(conn.remote.ip())
        });
        there.map(|(id, conn)| (id, conn.torrent)).collect()
    }

    fn close_blocked(&mut self, conn: ConnId, torrent: Option<TorrentId>) {
        let Some(entry) = self.ctx.net.conns.get(conn) else { return };
        let active = matches!(entry.phase, Phase::Active);
        match torrent.and_then(|id| self.torrents.get_mut(id)).filter(|_| active) {
            Some(torrent) => torrent.close_peer(&mut self.ctx, conn, CloseReason::Blocked, true),
            None => self.forget_early(conn, CloseReason::Blocked, true),
        }
    }

    /// Nobody is there who is blocked.
    pub(super) fn check_filter(&self) -> Result<(), &'static str> {
        let known = |(_, torrent): (TorrentId, &alloc::boxed::Box<crate::torrent::Torrent>)| {
            torrent.candidates().any_where(|addr| self.filter().blocks(addr.ip()))
        };
        if !self.blocked().is_empty() || self.torrents.iter().any(known) {
            return Err("nobody is connected or called at an address that is blocked");
        }
        Ok(())
    }
}
