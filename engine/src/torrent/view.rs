//! What an embedder may see of a torrent.

use alloc::vec::Vec;
use eddyline_mse::Method;

use super::{Stage, Torrent};
use crate::api::{PeerView, Stall, TorrentState, TorrentView, TrackerView, Transport};
use crate::base::time::Instant;
use crate::context::Context;
use crate::peer::Peer;
use crate::picker::Picker;

impl Torrent {
    pub(crate) fn state(&self) -> TorrentState {
        self.life.state(self.contents.lack_nothing())
    }

    /// Everything about the torrent.
    pub(crate) fn view(&self, ctx: &Context) -> TorrentView {
        let geometry = self.contents.geometry();
        let now = ctx.now;
        let have = self.have();
        let size = |piece: u32| u64::from(geometry.piece_size(piece));
        let picker = self.contents.picker();
        let missing = |picker: &Picker| picker.missing().ones().map(size).sum();
        let missing: u64 = picker.map_or(0, missing);
        let is_missing = |piece| picker.is_some_and(|picker| picker.is_missing(piece));
        let unwanted: u64 = (0..geometry.pieces())
            .filter(|piece| !have.has(*piece) && !is_missing(*piece))
            .map(size)
            .sum();
        let wanted = geometry.length() - unwanted;
        let checked = match self.life.stage() {
            Stage::Checking { queue, hashing } => {
                geometry.pieces().saturating_sub(queue.len() as u32 + hashing)
            }
            _ => geometry.pieces(),
        };
        TorrentView {
            id: self.id,
            info_hashes: self.contents.info_hashes(),
            name: self.contents.name().into(),
            state: self.state(),
            error: self.life.error(),
            have: have.clone(),
            checked,
            wanted,
            wanted_done: wanted - missing,
            done: geometry.length().saturating_sub(self.left()),
            downloaded: self.traffic.downloaded(),
            uploaded: self.traffic.uploaded(),
            wasted: self.traffic.wasted,
            down_rate: self.traffic.down.per_second(now),
            up_rate: self.traffic.up.per_second(now),
            peers: self.peers.len() as u32,
            seeds: self.count(|peer| peer.is_seed()),
            utp: self.count(|peer| peer.transport == Transport::Utp),
            encrypted: self.count(|peer| peer.encryption == Some(Method::Rc4)),
            web_seeds: self.web.active(),
            connecting: self.connecting,
            candidates: self.candidates.len(),
            partial_pieces: picker.map_or(0, Picker::partial_count),
            stall: self.stall(ctx),
            trackers: self.tracker_views(),
        }
    }

    fn count(&self, which: impl Fn(&Peer) -> bool) -> u32 {
        self.peers.values().filter(|peer| which(peer)).count() as u32
    }

    /// Why nothing moves, in the order in which a person would look for the cause.
    fn stall(&self, ctx: &Context) -> Stall {
        if !self.is_running() || self.contents.are_finished() {
            return Stall::None;
        }
        if self.storage.is_full() {
            return Stall::DiskFull;
        }
        if self.traffic.down.per_second(ctx.now) > 0 {
            return Stall::None;
        }
        if self.web.is_busy() {
            return if ctx.disk_is_behind() { Stall::Disk } else { Stall::Waiting };
        }
        if self.peers.is_empty() {
            return match (self.candidates.is_empty(), self.announcer.all_failed()) {
                (true, true) => Stall::NoTracker,
                (true, false) => Stall::NoPeers,
                (false, _) => Stall::NoConnection,
            };
        }
        if let Some(fetch) = self.contents.fetch() {
            return if fetch.holders() == 0 { Stall::NoMetadata } else { Stall::None };
        }
        let useful = || self.peers.values().filter(|peer| peer.interesting > 0);
        if useful().next().is_none() {
            return Stall::NothingToGet;
        }
        if useful().all(|peer| peer.peer_choking) {
            return Stall::Choked;
        }
        if ctx.disk_is_behind() {
            return Stall::Disk;
        }
        if ctx.limits.down.rate() == Some(0) || self.traffic.down_limit.rate() == Some(0) {
            return Stall::Limited;
        }
        Stall::Waiting
    }

    fn tracker_views(&self) -> Vec<TrackerView> {
        let view = |tracker: &crate::tracker::Tracker| TrackerView {
            url: tracker.url.clone(),
            tier: tracker.tier,
            failures: tracker.failures,
            working: tracker.working,
            state: tracker.state(),
            next_announce: tracker.next_at(),
            message: tracker.message.clone(),
            complete: tracker.counts.complete,
            incomplete: tracker.counts.incomplete,
            downloaded: tracker.counts.downloaded,
            named: tracker.named,
        };
        self.announcer.trackers().map(view).collect()
    }

    /// Its peers.
    pub(crate) fn peer_views(&self, now: Instant) -> Vec<PeerView> {
        let view = |peer: &crate::peer::Peer| PeerView {
            conn: peer.intro.conn,
            addr: peer.intro.addr,
            client: peer.client.clone(),
            source: peer.intro.source,
            incoming: peer.intro.incoming,
            pieces: peer.piece_count,
            am_choking: peer.am_choking,
            am_interested: peer.am_interested,
            peer_choking: peer.peer_choking,
            peer_interested: peer.peer_interested,
            snubbed: peer.requests.is_snubbed(),
            outstanding: peer.requests.len(),
            queued: peer.uploads.len(),
            down_rate: peer.down.per_second(now),
            up_rate: peer.up.per_second(now),
            downloaded: peer.down.total(),
            uploaded: peer.up.total(),
            encryption: peer.encryption,
            transport: peer.transport,
        };
        self.peers.values().map(|peer| view(peer)).collect()
    }
}
