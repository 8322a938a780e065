//! How much a peer over µTP may have under way. With TCP the kernel decides that beyond what is granted here; over
//! µTP what is granted is the window that the other side is told, and a download is no faster than a window in a round
//! trip.
//!
//! Within a round trip comes what the window allows, at most. Where most of it comes, the window is what holds the
//! sender back, and is doubled.

use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::time::Instant;

/// What a round trip is taken for until it has been measured.
const UNMEASURED: Duration = Duration::from_millis(100);

/// The window of one peer.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ReceiveWindow {
    bytes: u32,
    /// Since when what comes is counted, and what came.
    since: Instant,
    came: u64,
}

impl ReceiveWindow {
    /// Bytes came.
    pub fn came(&mut self, bytes: u32) {
        self.came += u64::from(bytes);
    }

    /// Bytes that may be under way, `least` and `most` at any time.
    pub fn size(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
        least: u32,
        most: u32,
    ) -> u32 {
        self.bytes = self.bytes.clamp(least, most.max(least));
        if now.since(self.since) >= round_trip.unwrap_or(UNMEASURED) {
            let window = u64::from(self.bytes);
            if self.came * 4 >= window * 3 {
                self.bytes = self.bytes.saturating_mul(2).min(most.max(least));
            } else if self.came * 16 < window {
                self.bytes = (self.bytes / 2).max(least);
            }
            (self.since, self.came) = (now, 0);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window after `trips` round trips of 50 ms over a path that carries `rate` bytes a second.
    fn settled(window: &mut ReceiveWindow, trips: u64, rate: u64) -> u32 {
        let (trip, begin) = (Duration::from_millis(50), window.since);
        let mut size = window.size(begin, Some(trip), 128 << 10, 8 << 20);
        for tick in 1..=trips * 10 {
            let now = begin + trip / 10 * u32::try_from(tick).unwrap();
            // In a round trip comes no more than a window.
            window.came((rate / 200).min(u64::from(size) / 10) as u32);
            size = window.size(now, Some(trip), 128 << 10, 8 << 20);
        }
        size
    }

    #[test]
    fn a_window_that_holds_the_sender_back_doubles_until_it_does_not() {
        for rate in [1_000_000u64, 5_000_000, 50_000_000] {
            let mut window = ReceiveWindow::default();
            let size = u64::from(settled(&mut window, 10, rate));
            let path = rate / 20;
            assert!(size * 3 >= path * 4 && size <= (path * 3).max(128 << 10), "{rate}: {size}");
        }
        let mut window = ReceiveWindow::default();
        assert_eq!(settled(&mut window, 20, 1 << 40), 8 << 20, "and no further than is allowed");
    }

    #[test]
    fn a_window_of_which_little_is_used_becomes_small_again() {
        let mut window = ReceiveWindow::default();
        settled(&mut window, 20, 1 << 40);
        assert!(settled(&mut window, 20, 1_000_000) <= 16 * 50_000);
        assert_eq!(settled(&mut window, 10, 0), 128 << 10);
    }
}
