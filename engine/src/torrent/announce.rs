//! What an announce says.

use super::Torrent;
use crate::context::Context;
use crate::tracker::{AnnounceEvent, AnnounceParams, Order};

impl Torrent {
    /// What an announce says.
    pub(crate) fn announce_params(&self, ctx: &Context, order: &Order) -> AnnounceParams {
        let stopped = order.event == AnnounceEvent::Stopped;
        AnnounceParams {
            info_hash: self.info_hash(),
            peer_id: self.persona.peer_id,
            uploaded: self.traffic.up.total(),
            downloaded: self.traffic.down.total(),
            left: self.left(),
            event: order.event,
            key: self.persona.key,
            num_want: if stopped { 0 } else { self.peers_wanted(ctx) },
            // A tracker refuses port 0; port 1 says the same.
            port: ctx.net.identity.port.unwrap_or(1),
            encryption: ctx.config.encryption.policy,
        }
    }

    /// Bytes that are missing.
    pub(super) fn left(&self) -> u64 {
        let Some(picker) = self.contents.picker() else {
            // Not nothing, or a tracker would take us for a seed.
            return 16 * 1024;
        };
        let (geometry, have) = (picker.geometry(), picker.have());
        let mut done = u64::from(have.count()) * u64::from(geometry.piece_length());
        let last = geometry.pieces().saturating_sub(1);
        if have.has(last) {
            done -= u64::from(geometry.piece_length() - geometry.piece_size(last));
        }
        geometry.length() - done
    }
}
