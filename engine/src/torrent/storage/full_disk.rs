//! A disk without room: nothing more is asked for, what is there is still served, and when there is
//! room again the download goes on by itself.

use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::super::Torrent;
use crate::api::Notice;
use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::context::{Context, Timer};

/// Time until a block is tried again: at first, doubled each time, and at the most.
const WAIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// The disk had no room when it was last tried.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in crate::torrent) struct FullDisk {
    pub(in crate::torrent) until: Instant,
    pub(in crate::torrent) wait: Duration,
}

impl Torrent {
    /// A block, or what was written before, found no room.
    pub(in crate::torrent) fn no_room(&mut self, ctx: &mut Context) {
        let wait = match self.storage.full_disk {
            // What was on its way when the disk became full says nothing new.
            Some(full) if ctx.now < full.until => return,
            Some(full) => (full.wait * 2).min(WAIT.1),
            None => {
                ctx.notify(Notice::DiskFull(self.id));
                WAIT.0
            }
        };
        let until = ctx.now + wait;
        self.storage.full_disk = Some(FullDisk { until, wait });
        ctx.timers.schedule(until, Timer::Torrent(self.id));
        let conns: alloc::vec::Vec<ConnId> = self.peers.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.withdraw_requests(ctx, conn));
    }

    /// A block found room.
    pub(in crate::torrent) fn found_room(&mut self, ctx: &mut Context) {
        if self.storage.full_disk.take().is_some() {
            ctx.notify(Notice::DiskHasRoom(self.id));
            self.touch_interested(ctx);
        }
    }

    /// The user says that there is room.
    pub(in crate::torrent) fn try_disk_again(&mut self) {
        self.storage.full_disk = None;
    }

    /// Whether the disk is known to have no room.
    pub(in crate::torrent) fn disk_is_full(&self) -> bool {
        self.storage.full_disk.is_some()
    }

    /// How many blocks may be asked for, all peers together: none while the disk is full, and one to
    /// find out whether it still is.
    pub(in crate::torrent) fn room_for_requests(&self, now: Instant) -> u32 {
        if self.storage.unclaimed || self.storage.arrangement.holds_writes() {
            return 0;
        }
        match self.storage.full_disk {
            None => u32::MAX,
            Some(full) if now < full.until => 0,
            Some(_) => {
                let out: u32 = self.peers.values().map(|peer| peer.requests.len()).sum();
                u32::from(out == 0)
            }
        }
    }

    /// The time to try again may have come.
    pub(in crate::torrent) fn look_for_room(&mut self, ctx: &mut Context) {
        if self.storage.full_disk.is_some_and(|full| full.until <= ctx.now)
            && self.room_for_requests(ctx.now) > 0
        {
            let interesting = self.peers.values().filter(|peer| peer.interesting > 0);
            self.undecided.touched.extend(interesting.map(|peer| peer.intro.conn));
        }
    }

    /// What must hold after every step.
    pub(in crate::torrent) fn check_full_disk(&self, now: Instant) -> Result<(), &'static str> {
        let asked: u32 = self.peers.values().map(|peer| peer.requests.len()).sum();
        match self.storage.full_disk {
            Some(full) if now < full.until && asked > 0 => {
                Err("nothing is asked for while the disk is full")
            }
            _ => Ok(()),
        }
    }
}
