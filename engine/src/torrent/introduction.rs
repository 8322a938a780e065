//! What a peer is told first: what we have, and what we can do.

use core::net::IpAddr;

use super::Torrent;
use crate::api::Transport;
use crate::context::Context;
use crate::peer::{OUR_DONT_HAVE_ID, OUR_HOLEPUNCH_ID, OUR_METADATA_ID, OUR_PEX_ID, Peer};
use crate::wire::{ExtendedHandshake, Message, allowed_fast_set};

/// Pieces a choked newcomer may fetch (BEP 6).
const ALLOWED_FAST: u32 = 10;

impl Torrent {
    /// Whether peers may be told of peers, and be heard of: never in a private torrent (BEP 27).
    pub(super) fn exchanges_peers(&self, ctx: &Context) -> bool {
        ctx.config.pex && !self.contents.are_private()
    }

    /// Whether peers are introduced to each other, and we to others: never in a private torrent, where a peer names
    /// nobody.
    pub(super) fn punches_holes(&self, ctx: &Context) -> bool {
        let identity = &ctx.net.identity;
        ctx.config.holepunch
            && ctx.config.transports.include(Transport::Utp)
            && (identity.udp(false).is_some() || identity.udp(true).is_some())
            && !self.contents.are_private()
    }

    /// The extensions that we take, and how long our info dictionary is.
    pub(super) fn offer_extensions(&self, ctx: &Context, handshake: &mut ExtendedHandshake) {
        handshake.m.insert("ut_metadata".into(), OUR_METADATA_ID);
        if self.exchanges_peers(ctx) {
            handshake.m.insert("ut_pex".into(), OUR_PEX_ID);
        }
        if self.punches_holes(ctx) {
            handshake.m.insert("ut_holepunch".into(), OUR_HOLEPUNCH_ID);
        }
        let length = self.info().and_then(|info| i64::try_from(info.len()).ok());
        handshake.metadata_size = length;
    }

    /// The first messages: pieces (BEP 3, 6), extended handshake (BEP 10), allowed-fast set.
    pub(super) fn introduce_ourselves(&self, ctx: &Context, peer: &mut Peer) {
        let have = self.have();
        if peer.fast && self.is_complete() {
            peer.send(&Message::HaveAll);
        } else if peer.fast && have.count() == 0 {
            peer.send(&Message::HaveNone);
        } else if have.count() > 0 {
            peer.send(&Message::Bitfield(have.to_wire().into()));
        }
        if let Some(port) = ctx.net.identity.port.filter(|_| ctx.net.dht_runs && peer.dht) {
            peer.send(&Message::Port(port));
        }
        if peer.extended {
            let payload = self.extended_handshake(ctx, peer).encode().into();
            peer.send(&Message::Extended { id: 0, payload });
        }
        if let (true, IpAddr::V4(ip)) = (peer.fast, peer.intro.addr.ip().to_canonical()) {
            let pieces = self.contents.geometry().pieces();
            for piece in allowed_fast_set(ip, self.info_hash(), pieces, ALLOWED_FAST) {
                if have.has(piece) {
                    peer.allowed_fast_out.push(piece);
                    // Twice, since what was sent may have been lost with a bad neighbour.
                    let size = self.contents.geometry().piece_size(piece);
                    peer.fast_allowance += 2 * u64::from(size);
                    peer.send(&Message::AllowedFast(piece));
                }
            }
        }
    }

    fn extended_handshake(&self, ctx: &Context, peer: &Peer) -> ExtendedHandshake {
        let (finished, named) = (self.contents.are_finished(), !ctx.config.anonymous);
        let mut handshake = ExtendedHandshake {
            m: [("lt_donthave".into(), OUR_DONT_HAVE_ID)].into(),
            v: named.then(|| ctx.config.client.clone()),
            p: ctx.net.identity.port,
            reqq: Some(ctx.config.max_queued_requests),
            yourip: named.then(|| peer.intro.addr.ip().to_canonical()),
            upload_only: finished.then_some(true),
            ..ExtendedHandshake::default()
        };
        self.offer_extensions(ctx, &mut handshake);
        handshake
    }
}
