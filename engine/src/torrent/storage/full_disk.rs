//! A disk without room: nothing more is asked for, what is there is still served, and when there is
//! room again the download goes on by itself.

use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::time::Instant;

/// Time until a block is tried again, at first; doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The same at the most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The disk had no room when it was last tried.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Full {
    until: Instant,
    wait: Duration,
}

/// Whether there is room on the disk, as far as is known.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(in crate::torrent) struct FullDisk {
    full: Option<Full>,
}

/// What follows when a write found no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::torrent) struct NoRoom {
    /// Until then nothing is asked for.
    pub(in crate::torrent) until: Instant,
    /// It was not known before.
    pub(in crate::torrent) is_news: bool,
}

impl FullDisk {
    /// A block, or what was written before, found no room. Failures of blocks that were under way when the disk
    /// became full are ignored.
    pub(in crate::torrent) fn no_room(&mut self, now: Instant) -> Option<NoRoom> {
        let wait = match self.full {
            Some(full) if now < full.until => return None,
            Some(full) => (full.wait * 2).min(LONGEST_WAIT),
            None => FIRST_WAIT,
        };
        let (until, is_news) = (now + wait, self.full.is_none());
        self.full = Some(Full { until, wait });
        Some(NoRoom { until, is_news })
    }

    /// There is room, as a block found or the user says. Returns whether that is new.
    pub(in crate::torrent) fn has_room(&mut self) -> bool {
        self.full.take().is_some()
    }

    /// Whether the disk is known to have no room.
    pub(in crate::torrent) fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Whether it is time to find out.
    pub(in crate::torrent) fn is_due(&self, now: Instant) -> bool {
        self.full.is_some_and(|full| full.until <= now)
    }

    /// How many blocks may be asked for, all peers together, of whom `out` blocks are asked: none while the
    /// disk is full, and one to find out whether it still is.
    pub(in crate::torrent) fn room(&self, now: Instant, out: impl FnOnce() -> u32) -> u32 {
        match self.full {
            None => u32::MAX,
            Some(full) if now < full.until => 0,
            Some(_) => u32::from(out() == 0),
        }
    }

    /// What must hold after every step, when `asked` blocks are asked for.
    pub(in crate::torrent) fn check(&self, now: Instant, asked: u32) -> Result<(), &'static str> {
        match self.full {
            Some(full) if now < full.until && asked > 0 => {
                Err("nothing is asked for while the disk is full")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(feature = "corruption")]
impl FullDisk {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub(in crate::torrent) fn corrupt(&mut self, rule: &str) -> Option<()> {
        if rule == "nothing is asked for while the disk is full" {
            let until = Instant::from_nanos(u64::MAX);
            self.full = Some(Full { until, wait: FIRST_WAIT });
            return Some(());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of a full disk.

    use super::*;

    #[test]
    fn one_block_finds_out_after_a_while_that_doubles_whether_there_is_room() {
        let at = |second: u64| Instant::from_millis(second * 1000);
        let mut disk = FullDisk::default();
        assert_eq!(disk.room(at(1), || 7), u32::MAX);
        assert_eq!(disk.no_room(at(1)), Some(NoRoom { until: at(6), is_news: true }));
        assert_eq!(disk.no_room(at(5)), None, "what was on its way says nothing new");
        assert!(disk.is_full() && !disk.is_due(at(5)) && disk.is_due(at(6)));
        assert_eq!(
            (disk.room(at(5), || 0), disk.room(at(6), || 0), disk.room(at(6), || 1)),
            (0, 1, 0)
        );
        assert_eq!(disk.no_room(at(6)), Some(NoRoom { until: at(16), is_news: false }));
        let waits: alloc::vec::Vec<u64> = (0..4)
            .scan(16, |now, _| {
                let until = disk.no_room(at(*now))?.until;
                let wait = until.millis_since(at(*now)) / 1000;
                *now += wait;
                Some(wait)
            })
            .collect();
        assert_eq!(waits, [20, 40, 60, 60]);
        assert!(disk.has_room() && !disk.has_room() && disk.room(at(900), || 7) == u32::MAX);
    }
}
