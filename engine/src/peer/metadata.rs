//! What one peer asks for of our info dictionary (BEP 9): how much it is given, and what waits until
//! it has read what it was sent. Some engines ask for all pieces at once.

use alloc::collections::VecDeque;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::base::time::Instant;
use crate::wire::METADATA_PIECE;

/// A peer may fetch the dictionary three times in a minute.
const SERVED_PER_MINUTE: u64 = 3;
/// Bytes of messages that a peer has not read, above which metadata waits.
const MAX_UNREAD_METADATA: u64 = 48 * 1024;
/// Pieces that wait for one peer: all of a dictionary, but no more than 16 MiB of it. Their numbers are
/// kept, not their bytes.
const MAX_WAITING_PIECES: usize = 1024;

/// The pieces of the info dictionary that one peer is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MetadataUploads {
    /// When the minute began, and how many bytes were granted in it.
    since: Instant,
    granted: u64,
    /// Granted and not sent, oldest first.
    waiting: VecDeque<u32>,
}

impl MetadataUploads {
    /// Nothing was asked for.
    pub fn new(now: Instant) -> Self {
        Self { since: now, granted: 0, waiting: VecDeque::new() }
    }

    /// A peer asks for piece `piece` of `bytes` bytes, of a dictionary of `size` bytes. Returns whether
    /// it is granted, to be sent when [`Self::next`] gives it.
    pub fn ask(&mut self, piece: u32, bytes: u32, size: u32, now: Instant) -> bool {
        if now.since(self.since) >= Duration::from_secs(60) {
            (self.since, self.granted) = (now, 0);
        }
        let granted = self.granted + u64::from(bytes);
        let most = (size.div_ceil(METADATA_PIECE) as usize).min(MAX_WAITING_PIECES);
        if granted > SERVED_PER_MINUTE * u64::from(size) || self.waiting.len() >= most {
            return false;
        }
        self.granted = granted;
        self.waiting.push_back(piece);
        true
    }

    /// The next piece to be sent to a peer that has left `unread` bytes of messages unread.
    pub fn next(&mut self, unread: u64) -> Option<u32> {
        if unread > MAX_UNREAD_METADATA {
            return None;
        }
        let piece = self.waiting.pop_front();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        piece
    }

    /// Whether pieces wait until the peer has read.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Checks that what waits is bounded.
    ///
    /// # Errors
    /// The name of the rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.waiting.len() > MAX_WAITING_PIECES {
            return Err("few metadata pieces wait for a peer");
        }
        Ok(())
    }
}

#[cfg(feature = "corruption")]
impl MetadataUploads {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "few metadata pieces wait for a peer" => {
                self.waiting = (0..=MAX_WAITING_PIECES as u32).collect();
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what a peer is given of the info dictionary.

    use super::*;

    const SIZE: u32 = 100 * METADATA_PIECE;

    #[test]
    fn all_pieces_may_be_asked_for_at_once_and_go_as_the_peer_reads() {
        let mut uploads = MetadataUploads::new(Instant::ZERO);
        assert!((0..100).all(|piece| uploads.ask(piece, METADATA_PIECE, SIZE, Instant::ZERO)));
        assert_eq!(uploads.next(MAX_UNREAD_METADATA + 1), None);
        let sent: alloc::vec::Vec<u32> = core::iter::from_fn(|| uploads.next(0)).collect();
        assert!(sent.into_iter().eq(0..100));
        assert!(!uploads.is_waiting());
    }

    #[test]
    fn what_waits_and_what_is_given_in_a_minute_is_bounded() {
        let mut uploads = MetadataUploads::new(Instant::ZERO);
        let ask = |uploads: &mut MetadataUploads, now| {
            (0..1000).filter(|_| uploads.ask(0, METADATA_PIECE, SIZE, now)).count()
        };
        assert_eq!(ask(&mut uploads, Instant::ZERO), 100);
        let mut granted = 100;
        for _ in 0..10 {
            while uploads.next(0).is_some() {}
            granted += ask(&mut uploads, Instant::ZERO);
        }
        assert_eq!(granted, 300);
        while uploads.next(0).is_some() {}
        assert_eq!(ask(&mut uploads, Instant::ZERO + Duration::from_secs(60)), 100);
        uploads.check().unwrap();
    }
}
