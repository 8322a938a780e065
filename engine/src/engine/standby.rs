//! Torrents that rest and come back: the engine holds some hundred bytes of each meanwhile, tells
//! the embedder when one is wanted, and keeps whoever asked for it waiting until it is here.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Engine, ShutDown};
use crate::api::{CloseReason, CommandError, Notice, PeerSource, Tag};
use crate::base::hash::Sha1Hash;
use crate::base::ids::{ConnId, TorrentId};
use crate::candidates::Namer;
use crate::context::{Phase, Timer};
use crate::standby::{Kept, Returned};
use crate::wire::Handshake;

impl Engine {
    /// The embedder can load a torrent at any time.
    pub(super) fn stand_by(&mut self, tag: Tag, hash: Sha1Hash, announce: bool) {
        let refused = if self.shut_down != ShutDown::No {
            Some(CommandError::ShuttingDown)
        } else if self.by_hash.contains_key(&hash) {
            Some(CommandError::Duplicate)
        } else {
            None
        };
        if let Some(error) = refused {
            return self.ctx.reject(tag, error);
        }
        let due = announce.then_some(self.ctx.now);
        self.standby.put(hash, Kept::default(), due);
        self.torrent_hashes.add(hash);
    }

    /// A torrent on standby cannot be loaded any more.
    pub(super) fn forget_standby(&mut self, tag: Tag, hash: Sha1Hash) {
        match self.standby.remove(hash) {
            Some(_) => {
                self.torrent_hashes.remove(hash);
                self.close_parked(hash, CloseReason::UnknownTorrent);
            }
            None => self.ctx.reject(tag, CommandError::UnknownTorrent),
        }
    }

    /// Torrents on standby: known by their hashes alone until they are wanted.
    pub fn standby(&self) -> impl Iterator<Item = Sha1Hash> + '_ {
        self.standby.hashes()
    }

    /// Somebody wants a torrent that may be on standby.
    pub(super) fn want(&mut self, hash: Sha1Hash, peer: Option<SocketAddr>) {
        if self.shut_down == ShutDown::No && self.standby.want(hash, peer, self.ctx.now) {
            self.ctx.notify(Notice::Wanted(hash));
        }
    }

    /// A torrent comes back: it goes on where it stopped.
    pub(super) fn take_over(&mut self, id: TorrentId, returned: Returned) {
        let Returned { kept, announce_only, peers } = returned;
        if announce_only {
            self.standby.comes_to_announce(id);
        }
        if let Some(at) = kept.dht {
            self.dht.set_turn(id, at);
        }
        if let Some(torrent) = self.torrents.get_mut(id) {
            torrent.returns(kept);
            for peer in peers {
                let namer = Namer::at(PeerSource::Lsd, peer.ip());
                torrent.add_candidate(&mut self.ctx, peer, namer);
            }
        }
    }

    /// Asks for those on standby whose time has come.
    pub(super) fn call_due(&mut self) {
        let now = self.ctx.now;
        if self.shut_down != ShutDown::No {
            return;
        }
        if self.standby.next_deadline().is_some_and(|at| at <= now) {
            let trackers = &self.trackers;
            let called = self.standby.call(now, |host| trackers.is_back(host, now));
            called.into_iter().for_each(|hash| self.ctx.notify(Notice::Wanted(hash)));
        }
        if let Some(at) = self.standby.next_deadline().filter(|at| *at > now) {
            self.standby_alarm.set(&mut self.ctx.timers, at, now, Timer::Standby);
        }
    }

    /// Torrents that nothing happens to go to rest; those who waited for one that has come back are
    /// let in.
    pub(super) fn rest_and_wake(&mut self) {
        while let Some((id, since)) = self.ctx.agenda.idle.pop_first() {
            if self.dht.is_about(id, self.ctx.now) {
                continue;
            }
            let announce_only = self.standby.is_announce_only(id);
            if let Some(torrent) = self.torrents.get_mut(id) {
                torrent.rest(&mut self.ctx, since, announce_only);
            }
        }
        while let Some(id) = self.ctx.agenda.woken.pop_first() {
            let Some(hash) = self.torrents.get(id).map(|torrent| torrent.info_hash()) else {
                continue;
            };
            for (conn, remote, handshake) in self.parked(hash) {
                self.standby.not_announce_only(id);
                if let Err(reason) = self.welcome(conn, remote, false, &handshake) {
                    self.forget_early(conn, reason, true);
                }
            }
        }
    }

    /// The files of a torrent that goes to rest are closed: it is on standby from now on.
    pub(super) fn rested(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.remove(id) else { return };
        let hash = torrent.info_hash();
        self.by_hash.remove(&hash);
        self.standby.not_announce_only(id);
        let kept = Kept { dht: self.dht.take_turn(id, self.ctx.now), ..torrent.kept() };
        let due = kept.due();
        self.standby.put(hash, kept, due);
        self.ctx.notify(Notice::Rested(id, hash));
        // A peer that came while it was going to rest wakes it at once.
        if let Some((_, remote, _)) = self.parked(hash).first() {
            let remote = *remote;
            self.want(hash, Some(remote));
        }
    }

    /// Whether a stranger's torrent is not here but can be.
    pub(super) fn can_come(&self, hash: Sha1Hash) -> bool {
        let here = self.by_hash.get(&hash).and_then(|id| self.torrents.get(*id));
        let coming = here.is_some_and(|torrent| torrent.is_coming_or_going());
        self.shut_down == ShutDown::No && (coming || self.standby.contains(hash))
    }

    /// A stranger waits for its torrent.
    pub(super) fn park(&mut self, conn: ConnId, remote: SocketAddr, handshake: &Handshake) {
        if let Some(entry) = self.ctx.net.conns.get_mut(conn)
            && let Phase::Handshaking(early) = &mut entry.phase
        {
            early.parked = Some(*handshake);
        }
        self.want(handshake.info_hash, Some(remote));
    }

    fn parked(&self, hash: Sha1Hash) -> Vec<(ConnId, SocketAddr, Handshake)> {
        let waiting = self.ctx.net.conns.iter().filter_map(|(id, conn)| match &conn.phase {
            Phase::Handshaking(early) => Some((id, conn.remote, early.parked.as_ref()?)),
            _ => None,
        });
        let waiting = waiting.filter(|(.., handshake)| handshake.info_hash == hash);
        waiting.map(|(id, remote, handshake)| (id, remote, *handshake)).collect()
    }

    fn close_parked(&mut self, hash: Sha1Hash, reason: CloseReason) {
        for (conn, ..) in self.parked(hash) {
            self.forget_early(conn, reason, true);
        }
    }
}
