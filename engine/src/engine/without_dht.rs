//! An engine that was built without the DHT (feature `dht`): nobody is asked, and packets of it are not for us.

use alloc::collections::BTreeSet;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::api::{DhtRequest, Tag};
use crate::base::ids::TorrentId;
use crate::base::time::Instant;

/// In the place of the nodes of both address families.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct DhtService {}

impl DhtService {
    pub(super) fn set_turn(&mut self, _: TorrentId, _: Instant) {}

    pub(super) fn take_turn(&mut self, _: TorrentId, _: Instant) -> Option<Instant> {
        None
    }

    pub(super) fn is_about(&self, _: TorrentId, _: Instant) -> bool {
        false
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }

    #[cfg(feature = "corruption")]
    pub(super) fn corrupt(&mut self, _: &str) -> Option<()> {
        None
    }
}

impl Engine {
    pub(super) fn start_dht(&mut self) {}

    pub(super) fn dht_datagram(&mut self, _: SocketAddr, _: &[u8]) {}

    pub(super) fn poll_dht(&mut self) {}

    pub(super) fn filter_dht(&mut self) {}

    pub(super) fn dht_resolved(&mut self, _: &[IpAddr], _: u16) {}

    pub(super) fn dht_named(&mut self, _: SocketAddr) {}

    /// Nobody is looked for, and what peers and torrents say of the DHT is forgotten.
    pub(super) fn search_dht(&mut self, _: BTreeSet<TorrentId>) {
        self.ctx.net.introductions.take();
        self.ctx.agenda.discovery.take_departures();
    }

    /// There is no such request.
    pub(super) fn dht_request(&mut self, _: Tag, request: DhtRequest) {
        match request {}
    }
}
