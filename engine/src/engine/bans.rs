//! What a ban does: whoever is connected from the address goes, in every torrent, and nobody there is
//! called again; but those who have proven themselves stay.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Engine;
use crate::api::CloseReason;
use crate::base::ids::{ConnId, TorrentId};
use crate::base::prefix::Prefix;
use crate::context::Phase;
use crate::standing::Way;

impl Engine {
    /// Enforces the bans that began in this step.
    pub(super) fn enforce_bans(&mut self) {
        let fresh: BTreeSet<Prefix> = self.ctx.net.standing.take_fresh().into_iter().collect();
        for prefix in fresh {
            let there = self.ctx.net.conns.iter();
            let there = there.filter(|(_, conn)| Prefix::of(conn.remote.ip()) == prefix);
            let there: Vec<(ConnId, Option<TorrentId>)> =
                there.map(|(id, conn)| (id, conn.torrent)).collect();
            for (conn, torrent) in there {
                self.meet_ban(conn, torrent);
            }
            let (standing, now) = (&self.ctx.net.standing, self.ctx.now);
            for (_, torrent) in self.torrents.iter_mut() {
                let gone = |addr| standing.refuses(addr, Way::Out, now);
                torrent.forget_candidates(prefix, gone);
            }
        }
    }

    fn meet_ban(&mut self, conn: ConnId, torrent: Option<TorrentId>) {
        let Some(entry) = self.ctx.net.conns.get(conn) else { return };
        let active = matches!(entry.phase, Phase::Active | Phase::Fetching);
        let way = if entry.key.is_some() { Way::Out } else { Way::In };
        if !active {
            if self.ctx.net.standing.refuses(entry.remote, way, self.ctx.now) {
                self.forget_early(conn, CloseReason::Banned, true);
            }
        } else if let Some(torrent) = torrent.and_then(|id| self.torrents.get_mut(id)) {
            torrent.meet_ban(&mut self.ctx, conn);
        }
    }
}
