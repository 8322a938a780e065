//! Peer exchange (BEP 11): which peers are told of, and what becomes of those we are told of.

use core::net::SocketAddr;

use super::Torrent;
use crate::api::{PeerSource, Transport};
use crate::base::addr::{is_dialable, normalise, scope};
use crate::base::ids::ConnId;
use crate::candidates::Namer;
use crate::context::Context;
use crate::peer::{Misbehaviour, Peer, PeerError};
use crate::peer_exchange::MAX_TOLD;
use crate::wire::{Message, PexFlags, PexMessage};

impl Torrent {
    /// Whether peers may be told of peers, and be heard of: never in a private torrent (BEP 27).
    pub(super) fn exchanges_peers(&self, ctx: &Context) -> bool {
        ctx.config.pex && !self.metainfo.is_private()
    }

    /// Others may be told of a peer as soon as it is known where it listens.
    pub(super) fn list_peer(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let addr = normalise(peer.intro.addr);
        let addr = match (peer.intro.incoming, peer.extensions.port) {
            (false, _) => addr,
            (true, Some(port)) => SocketAddr::new(addr.ip(), port),
            (true, None) => return,
        };
        if peer.pex.listed_as.is_some() || !is_dialable(addr) {
            return;
        }
        peer.pex.listed_as = Some(addr);
        let flags = flags_of(peer);
        self.journal.came(addr, flags);
    }

    /// A peer has left.
    pub(super) fn unlist_peer(&mut self, peer: &Peer) {
        if let Some(addr) = peer.pex.listed_as {
            self.journal.left(addr);
        }
    }

    /// Tells a peer who came and who left, if it is time to.
    pub(super) fn tell_of_peers(&mut self, ctx: &mut Context, conn: ConnId) {
        if !self.exchanges_peers(ctx) {
            return;
        }
        let Some(peer) = self.peers.get(&conn) else { return };
        let Some(id) = peer.extensions.pex.filter(|_| peer.pex.is_due(ctx.now)) else { return };
        let own = peer.pex.listed_as.unwrap_or(peer.intro.addr);
        let (message, next) = match peer.pex.told {
            Some(told) => self.journal.since(told, own),
            None => (self.everybody_but(own), self.journal.end()),
        };
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.pex.told = Some(next);
        if message.is_empty() {
            return;
        }
        peer.pex.told_now(ctx.now);
        peer.send(&Message::Extended { id, payload: message.encode().into() });
        ctx.agenda.flush.insert(conn);
    }

    /// The first message: whom we are connected to now.
    fn everybody_but(&self, own: SocketAddr) -> PexMessage {
        let listed = self.peers.values().filter_map(|peer| {
            let addr = peer.pex.listed_as.filter(|addr| *addr != own)?;
            Some((addr, flags_of(peer)))
        });
        PexMessage { added: listed.take(MAX_TOLD).collect(), ..PexMessage::default() }
    }

    /// A peer names peers.
    pub(super) fn take_in_peers(
        &mut self,
        ctx: &mut Context,
        conn: ConnId,
        message: &PexMessage,
    ) -> Result<(), PeerError> {
        if !self.exchanges_peers(ctx) {
            return Ok(());
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return Ok(()) };
        let taken = peer.pex.take(message.added.len(), ctx.now);
        let taken = taken.map_err(|_| Misbehaviour::PexFlood)?;
        let teller = scope(peer.intro.addr.ip());
        let namer = Namer::at(PeerSource::Pex, peer.intro.addr.ip());
        for (addr, flags) in message.added.iter().take(taken) {
            // Somebody far away has nothing to say about our own network.
            let may_name = teller.may_name(scope(addr.ip()));
            if may_name && *addr != ctx.net.identity.external(addr.is_ipv6()) {
                let new = self.take_in(ctx, *addr, namer);
                let (encrypted, utp) = (flags.has(PexFlags::ENCRYPTION), flags.has(PexFlags::UTP));
                new.into_iter().for_each(|key| self.candidates.hint(key, encrypted, utp));
            }
        }
        Ok(())
    }
}

fn flags_of(peer: &Peer) -> PexFlags {
    let seed = if peer.is_upload_only() { PexFlags::SEED } else { 0 };
    let reachable = if peer.intro.incoming { 0 } else { PexFlags::REACHABLE };
    // As we speak with it, so may others: what it says of itself is not heard by all.
    let encryption = if peer.encryption.is_some() { PexFlags::ENCRYPTION } else { 0 };
    let utp = if peer.transport == Transport::Utp { PexFlags::UTP } else { 0 };
    PexFlags(seed | reachable | encryption | utp)
}
