//! Who gets a place to shake hands in, and who gives way where there are too few.

use core::net::SocketAddr;
use core::time::Duration;

use super::Engine;
use super::incoming::HANDSHAKE_SECONDS;
use crate::api::{CloseReason, Config};
use crate::base::ids::ConnId;
use crate::base::prefix::Prefix;
use crate::context::{Conn, Phase};
use crate::torrent::MANY_OF_BLOCK;

impl Engine {
    /// Whether somebody at `remote` may wait until it begins to shake hands. Where there is no room, of whom has most
    /// there whoever has waited longest makes some; but not for a host that let a place go idle lately.
    pub(super) fn may_come(&mut self, remote: SocketAddr) -> bool {
        let host = Prefix::of(remote.ip());
        let config = &self.ctx.config;
        let (most, of_host) = (config.max_waiting(), config.max_connections_per_address);
        let waiting = self.ctx.net.conns.waiting();
        let gives_way = if !host.is_loopback() && waiting.of_host(host) >= of_host {
            let conns = &self.ctx.net.conns;
            let same = |id: &ConnId| {
                conns.get(*id).is_some_and(|conn| Prefix::of(conn.remote.ip()) == host)
            };
            waiting.of_owner(Prefix::owner_of(remote.ip())).find(same)
        } else if waiting.count() < most {
            return true;
        } else if self.ctx.net.idlers.contains(host, self.ctx.now) {
            None
        } else {
            waiting.who_gives_way_to(host)
        };
        let Some(id) = gives_way else { return false };
        self.forget_early(id, CloseReason::Limit, true);
        true
    }

    /// Somebody who may have waited for it shakes hands: whether there is a place to do that in.
    pub(super) fn take_place(&mut self, conn: ConnId) -> bool {
        let waits = self.ctx.net.conns.get(conn).filter(|conn| conn.waits);
        let Some(remote) = waits.map(|conn| conn.remote) else { return true };
        let has_place = self.has_place_for(remote);
        if has_place {
            self.ctx.net.conns.begins(conn);
        }
        has_place
    }

    /// Whether somebody at `remote` can be let in. Places are shared by host: strangers of the host that has most make
    /// room first, then those of a host that has let a place go idle before, then those who have been silent for
    /// longest.
    fn has_place_for(&mut self, remote: SocketAddr) -> bool {
        let host = Prefix::of(remote.ip());
        let Config { max_connections, max_handshaking, max_connections_per_address, .. } =
            self.ctx.config;
        let own = self.ctx.net.conns.strangers_at(host);
        if !host.is_loopback()
            && own >= max_connections_per_address
            && !self.drop_oldest_stranger(Some(host))
        {
            return false;
        }
        if self.ctx.net.conns.strangers() >= max_handshaking
            && !self.drop_crowding_stranger(host)
            && !self.drop_idle_stranger(host)
        {
            return false;
        }
        self.ctx.net.conns.len() < max_connections
            || self.drop_crowding_stranger(host)
            || self.displace(remote)
            || self.drop_idle_stranger(host)
            || self.drop_idle_call()
    }

    /// Drops the connection that we began of which the handshake has been awaited for longest, if that is a second or
    /// more. Addresses that others name may be such as accept and say nothing.
    fn drop_idle_call(&mut self) -> bool {
        let calls = self.ctx.net.conns.iter().filter(|(_, conn)| {
            conn.torrent.is_some() && matches!(conn.phase, Phase::Handshaking(_))
        });
        let oldest = calls.min_by_key(|(id, conn)| (conn.deadline, *id));
        let Some((id, _)) = oldest.filter(|(_, conn)| self.is_idle(conn)) else { return false };
        self.forget_early(id, CloseReason::HandshakeTimeout, true);
        true
    }

    /// Whether it has had a second to shake hands in.
    fn is_idle(&self, conn: &Conn) -> bool {
        conn.deadline <= self.ctx.now + Duration::from_secs(HANDSHAKE_SECONDS - 1)
    }

    /// Drops a stranger for one of `host`: one of a host that let a place go idle lately, at once, or the one that has
    /// been silent for longest. A host that is itself such a one gets no place of others.
    fn drop_idle_stranger(&mut self, host: Prefix) -> bool {
        let (now, net) = (self.ctx.now, &self.ctx.net);
        if net.idlers.contains(host, now) {
            return false;
        }
        let known = |conn: &Conn| net.idlers.contains(Prefix::of(conn.remote.ip()), now);
        let idlers = net.conns.iter().filter(|(_, conn)| conn.is_stranger() && known(conn));
        let Some(id) = idlers.min_by_key(|(id, conn)| (conn.deadline, *id)).map(|(id, _)| id)
        else {
            return self.drop_oldest_stranger(None);
        };
        self.forget_early(id, CloseReason::Limit, true);
        true
    }

    /// Drops the stranger that has been silent for longest, of one host or of all, if it had at least
    /// a second.
    fn drop_oldest_stranger(&mut self, host: Option<Prefix>) -> bool {
        let strangers = self.ctx.net.conns.iter().filter(|(_, conn)| {
            let there = host.is_none_or(|host| Prefix::of(conn.remote.ip()) == host);
            conn.is_stranger() && there
        });
        let oldest = strangers.min_by_key(|(id, conn)| (conn.deadline, *id));
        let Some((id, _)) = oldest.filter(|(_, conn)| self.is_idle(conn)) else { return false };
        self.forget_early(id, CloseReason::HandshakeTimeout, true);
        true
    }

    /// Drops a stranger of the host that has most, if it has clearly more than `host`.
    fn drop_crowding_stranger(&mut self, host: Prefix) -> bool {
        let own = self.ctx.net.conns.strangers_at(host);
        let Some(id) = self.ctx.net.conns.crowding_stranger(own + 1) else { return false };
        self.forget_early(id, CloseReason::Limit, true);
        true
    }

    /// Closes a connection of the host that has most, if it has clearly more than that of `remote`, or else of the
    /// block of addresses that has most.
    fn displace(&mut self, remote: SocketAddr) -> bool {
        let host = Prefix::of(remote.ip());
        let conns = &self.ctx.net.conns;
        if let Some(fullest) = conns.fullest_host(conns.count_at(host) + 1) {
            return self.displace_one(|addr| Prefix::of(addr.ip()) == fullest);
        }
        let near = conns.count_near(remote) + 1;
        match conns.fullest_block(near.max(MANY_OF_BLOCK)) {
            Some(fullest) => self.displace_one(|addr| Prefix::block_of(addr.ip()) == Some(fullest)),
            None => false,
        }
    }

    /// Closes a connection with somebody at such an address: one that is not a peer yet, or the peer that brings least.
    fn displace_one(&mut self, there: impl Fn(SocketAddr) -> bool) -> bool {
        let unfinished =
            |conn: &Conn| there(conn.remote) && !conn.waits && !matches!(conn.phase, Phase::Active);
        let unfinished = self.ctx.net.conns.iter().find(|(_, conn)| unfinished(conn));
        if let Some(id) = unfinished.map(|(id, _)| id) {
            self.forget_early(id, CloseReason::Limit, true);
            return true;
        }
        let now = self.ctx.now;
        let least = self
            .torrents
            .iter()
            .filter_map(|(id, torrent)| torrent.least_at(now, &there).map(|worth| (worth, id)));
        let Some(((.., conn), id)) = least.min() else { return false };
        if let Some(torrent) = self.torrents.get_mut(id) {
            torrent.close_peer(&mut self.ctx, conn, CloseReason::Limit, true);
        }
        true
    }
}
