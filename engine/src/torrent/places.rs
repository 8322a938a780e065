//! Who gets a place among the peers, and who gives way where there are too few.
//!
//! Places are shared by host (an address, or a /64 of IPv6), not by connection: anybody can open many connections.
//! One host has a handful at the most. When all places are taken, the host that has most gives one
//! to a host that has clearly fewer, and loses the connection that brings least.

use core::cmp::Reverse;
use core::net::SocketAddr;

use super::Torrent;
use crate::api::CloseReason;
use crate::base::addr::priority;
use crate::base::crowd::Crowd;
use crate::base::ids::ConnId;
use crate::base::prefix::Prefix;
use crate::base::time::Instant;
use crate::candidates::Most;
use crate::context::Context;
use crate::peer::Peer;

/// Milliseconds for which a peer may deliver nothing while others wait for its place.
const USELESS_MILLIS: u64 = 60_000;
/// The same for one of several from one host.
const CROWDING_MILLIS: u64 = 10_000;
/// Connections of one host that do not crowd others out.
const FEW: u32 = 2;
/// Connections from one block that one owner may have (/24, /48), above which idle ones give way.
pub(crate) const MANY_OF_BLOCK: u32 = 4;

/// What a peer is worth: what it moves now, and then how long it has been here.
type Worth = (u64, Reverse<Instant>, ConnId);

impl Torrent {
    /// Who makes room for a peer at `remote`, which has shaken hands, among the `here` connections of its host.
    ///
    /// # Errors
    /// Nobody does, and there is no place.
    pub(super) fn who_gives_way_to_host(
        &self,
        ctx: &Context,
        remote: SocketAddr,
        here: u32,
    ) -> Result<Option<ConnId>, CloseReason> {
        let host = Prefix::of(remote.ip());
        if host.is_loopback() || here < ctx.config.max_connections_per_address {
            return Ok(None);
        }
        let least = self.least(ctx.now, |peer| host_of(peer) == host);
        let useless = least.filter(|conn| self.is_useless(ctx.now, *conn));
        useless.map(Some).ok_or(CloseReason::Limit)
    }

    /// Who makes room for it among all peers.
    ///
    /// # Errors
    /// Nobody does, and there is no place.
    pub(super) fn who_gives_way_to_all(
        &self,
        ctx: &Context,
        remote: SocketAddr,
        here: u32,
    ) -> Result<Option<ConnId>, CloseReason> {
        if (self.peers.len() as u32) < ctx.config.max_connections_per_torrent {
            return Ok(None);
        }
        self.who_gives_way(ctx, remote, here).map(Some).ok_or(CloseReason::Limit)
    }

    /// Connections of the host at `remote`, without the one that is to get a place.
    pub(super) fn others_of(&self, remote: SocketAddr, outgoing: bool) -> u32 {
        let host = Prefix::of(remote.ip());
        // One that we called is counted already.
        self.candidates.busy_at(host).saturating_sub(u32::from(outgoing))
    }

    /// Who makes room for a peer at `remote`, of whose host `here` are connected: one of the host
    /// that has most; one that is idle, of the block that has most; one that moves nothing and has no claim
    /// to its place; or the one with the lowest BEP 40 priority, if that of `remote` is
    /// higher, and its block is no less crowded than that of `remote`.
    fn who_gives_way(&self, ctx: &Context, remote: SocketAddr, here: u32) -> Option<ConnId> {
        let now = ctx.now;
        let all: Crowd = self.peers.values().map(|peer| peer.intro.addr.ip()).collect();
        if let Some(host) = all.fullest_host(here + 1) {
            return self.least(now, |peer| host_of(peer) == host);
        }
        let near = all.of_block_around(remote.ip());
        if let Some(block) = all.fullest_block(MANY_OF_BLOCK.max(near + 1)) {
            let there = |peer: &Peer| Prefix::block_of(peer.intro.addr.ip()) == Some(block);
            let idle = |peer: &Peer| there(peer) && rate(peer, now) == 0;
            if let Some(conn) = self.least(now, idle) {
                return Some(conn);
            }
        }
        // Otherwise silent peers from as many hosts as there are places could keep everybody else out, even of a
        // seed. A newcomer from a crowded block of addresses replaces a peer from a less crowded one only where that
        // one wants nothing and has nothing.
        let as_crowded = |peer: &Peer| all.of_block_around(peer.intro.addr.ip()) >= near;
        let idle = |peer: &Peer| {
            let apart = !peer.peer_interested && peer.interesting == 0;
            self.has_no_claim(now, peer) && (apart || as_crowded(peer))
        };
        if let Some(conn) = self.least(now, idle) {
            return Some(conn);
        }
        let rank = priority(remote, ctx.net.identity.external(remote.is_ipv6()));
        let others = self.peers.values().map(|peer| &**peer).filter(|peer| as_crowded(peer));
        let lowest = others.min_by_key(|peer| (peer.intro.priority, peer.intro.conn));
        lowest.filter(|peer| peer.intro.priority < rank).map(|peer| peer.intro.conn)
    }

    /// How many connections to one host and into one block there may be before no more are begun: while
    /// half of the places are free, blocks do not count.
    pub(super) fn most_to_call(&self, ctx: &Context) -> Most {
        let places = ctx.config.max_connections_per_torrent;
        let taken = self.peers.len() as u32 + self.connecting;
        let few = (places / 16).max(MANY_OF_BLOCK);
        let of_block = if taken < places / 2 { u32::MAX } else { few };
        Most { of_host: ctx.config.max_connections_per_address, of_block }
    }

    /// The least worth of some peers.
    fn least(&self, now: Instant, such: impl Fn(&Peer) -> bool) -> Option<ConnId> {
        let such = self.peers.values().filter(|peer| such(peer));
        such.map(|peer| worth(peer, now)).min().map(|(.., conn)| conn)
    }

    /// The peer that is worth least of those at such addresses.
    pub(crate) fn least_at(
        &self,
        now: Instant,
        there: impl Fn(SocketAddr) -> bool,
    ) -> Option<Worth> {
        let there = self.peers.values().filter(|peer| there(peer.intro.addr));
        there.map(|peer| worth(peer, now)).min()
    }

    fn is_useless(&self, now: Instant, conn: ConnId) -> bool {
        self.peers.get(&conn).is_some_and(|peer| {
            now.millis_since(peer.useful_at) >= USELESS_MILLIS && rate(peer, now) == 0
        })
    }

    /// Whether a peer that moves nothing has no claim to its place either: it wants nothing of us, or had its turn and
    /// asked for nothing; and it has nothing for us, or gives as little of it as all others do.
    fn has_no_claim(&self, now: Instant, peer: &Peer) -> bool {
        let waits = peer.peer_interested && !peer.missed_turn && !peer.is_idle(now);
        let brings = peer.interesting > 0 && self.traffic.down.per_second(now) > 0;
        self.is_useless(now, peer.intro.conn) && !waits && !brings
    }

    /// Whether a peer that brings nothing, and takes nothing, keeps out somebody who might: all
    /// places are taken, and addresses wait. Otherwise a few silent peers could stop a download.
    /// One of several from one host has less time.
    pub(super) fn should_give_way(&self, ctx: &Context, conn: ConnId) -> bool {
        let Some(peer) = self.peers.get(&conn) else { return false };
        let limit = ctx.config.max_connections_per_torrent;
        let full = self.peers.len() as u32 + self.connecting >= limit
            || ctx.net.conns.len() >= ctx.config.max_connections;
        let waiting = self.candidates.next_deadline().is_some_and(|at| at <= ctx.now);
        if !full || !waiting || !self.is_running() {
            return false;
        }
        let finished = self.contents.are_finished();
        let host = host_of(peer);
        let crowding = !host.is_loopback()
            && self.candidates.busy_at(host) > FEW
            && ctx.now.millis_since(peer.connected_at) >= CROWDING_MILLIS
            && rate(peer, ctx.now) == 0;
        let useless = if finished {
            self.has_no_claim(ctx.now, peer)
        } else {
            self.is_useless(ctx.now, conn)
        };
        crowding || useless
    }
}

fn host_of(peer: &Peer) -> Prefix {
    Prefix::of(peer.intro.addr.ip())
}

fn rate(peer: &Peer, now: Instant) -> u64 {
    peer.down.per_second(now) + peer.up.per_second(now)
}

fn worth(peer: &Peer, now: Instant) -> Worth {
    (rate(peer, now), Reverse(peer.connected_at), peer.intro.conn)
}
