//! How soon peers bring what readers wait for: where each is to be asked to begin, and which blocks somebody else
//! would bring sooner.

use alloc::vec::Vec;
use core::time::Duration;

use super::Torrent;
use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::peer::Peer;
use crate::picker::{Arrival, BlockRef, Picker};

/// How long a peer that has brought nothing yet is taken to need for a block.
const UNTRIED: Duration = Duration::from_secs(1);
/// By how much more than five quarters of our time another one has to be late.
const MARGIN: Duration = Duration::from_millis(50);
/// Blocks at the front that are looked at, and that are asked of a second peer, at once.
const LOOKED_AT: usize = 256;
const SECOND_AT_ONCE: usize = 16;

/// The time in which a peer brings `blocks` blocks; `None` where it has brought nothing lately.
fn time_of(peer: &Peer, blocks: u32, block: u32, now: Instant) -> Option<Duration> {
    let rate = peer.down.per_second(now);
    let nanos = u64::from(blocks) * u64::from(block) * 1_000_000_000;
    (rate > 0).then(|| Duration::from_nanos(nanos / rate))
}

/// The time until a peer brings a block that it was asked for, at the least.
fn still_needs(peer: &Peer, at: BlockRef, block: u32, now: Instant) -> Duration {
    let mut asked = peer.requests.iter();
    let Some((place, request)) = (0..).zip(asked.by_ref()).find(|(_, request)| request.at == at)
    else {
        return Duration::ZERO;
    };
    if peer.requests.is_snubbed() {
        return Duration::MAX;
    }
    time_of(peer, place + 1, block, now).unwrap_or(now.since(request.sent))
}

impl Torrent {
    /// Whether somebody reads it.
    fn is_read(&self) -> bool {
        self.contents.picker().is_some_and(Picker::has_readers)
    }

    /// How soon a peer would bring a block more. Without readers nobody asks.
    pub(super) fn arrival(&self, conn: ConnId, now: Instant) -> Arrival {
        let Some(peer) = self.peers.get(&conn).filter(|_| self.is_read()) else {
            return Arrival::default();
        };
        let geometry = self.contents.geometry();
        let block = geometry.block_length();
        let time = time_of(peer, peer.requests.len() + 1, block, now).unwrap_or(UNTRIED);
        let together = self.traffic.down.per_second(now);
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let bytes = together.saturating_mul(millis) / 1000;
        // Those that are as fast as each other are a few blocks apart.
        let close = 2 * self.peers.len() as u64 * u64::from(block);
        let asked = u64::from(self.blocks_asked()) * u64::from(block);
        let lead = match bytes.saturating_sub(asked) {
            ahead if ahead <= close => 0,
            // Twice as far as it seems: a piece waits for its last block.
            ahead => 1 + 2 * ahead / u64::from(geometry.piece_length()),
        };
        Arrival { ready: now + time, lead: u32::try_from(lead).unwrap_or(u32::MAX) }
    }

    /// Blocks that readers wait for and that this peer would bring much sooner than whoever was asked. Such a block is
    /// asked of it too.
    pub(super) fn too_late_elsewhere(&self, conn: ConnId, now: Instant) -> Vec<BlockRef> {
        let picker = self.contents.picker().filter(|picker| picker.has_readers());
        let Some((picker, peer)) = picker.zip(self.peers.get(&conn)) else { return Vec::new() };
        let block = self.contents.geometry().block_length();
        let Some(ours) = time_of(peer, peer.requests.len() + 1, block, now) else {
            return Vec::new();
        };
        let late = ours + ours / 4 + MARGIN;
        let mut found = Vec::new();
        for awaited in picker.awaited(LOOKED_AT) {
            let other = self.by_key.get(&awaited.peer).filter(|other| **other != conn);
            let Some(other) = other.and_then(|other| self.peers.get(other)) else { continue };
            if !peer.pieces.has(awaited.at.piece) {
                continue;
            }
            let theirs = still_needs(other, awaited.at, block, now);
            let in_time = awaited.due.is_some_and(|due| now + theirs <= due);
            if theirs > late && !in_time {
                found.push(awaited.at);
            }
            if found.len() == SECOND_AT_ONCE {
                break;
            }
        }
        found
    }
}
