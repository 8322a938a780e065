//! What is still to be decided or done before a step ends. Whatever stands here is taken out by the phase of
//! the step that it is for; the audit checks that nothing is left.

use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};

use super::DiscoveryRequests;
use crate::base::few::FewSet;
use crate::base::ids::{ConnId, TorrentId};
use crate::base::time::Instant;

/// What is to be done in this step, by the phase that does it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Agenda {
    /// Settle: torrents with decisions to make.
    pub touched: FewSet<TorrentId>,
    /// Settle: torrents with pieces that wait for a hash job.
    pub awaiting_hash: BTreeSet<TorrentId>,
    /// The torrent that got the last hash job.
    pub hashed_last: TorrentId,
    /// Torrents that would connect to more peers if there were room in the engine.
    pub awaiting_room: BTreeSet<TorrentId>,
    /// Settle: torrents that nothing has happened to since then.
    pub idle: BTreeSet<(TorrentId, Instant)>,
    /// Settle: torrents that have come back from standby in this step.
    pub woken: BTreeSet<TorrentId>,
    /// Settle: an interested peer came or a slot fell free since the last round.
    pub slots_changed: bool,
    /// Flush: peers with something to send or to be granted.
    pub flush: FewSet<ConnId>,
    /// What torrents want of trackers, DHT and local network.
    pub discovery: DiscoveryRequests,
}

impl Default for Agenda {
    fn default() -> Self {
        Self {
            touched: FewSet::default(),
            awaiting_hash: BTreeSet::new(),
            hashed_last: TorrentId::from_u64(0),
            awaiting_room: BTreeSet::new(),
            idle: BTreeSet::new(),
            woken: BTreeSet::new(),
            slots_changed: false,
            flush: FewSet::default(),
            discovery: DiscoveryRequests::default(),
        }
    }
}

impl Agenda {
    /// There is room for another connection: whoever waits for it decides in this step.
    pub fn room_for_connections(&mut self) {
        self.touched.extend(core::mem::take(&mut self.awaiting_room));
    }
}
