//! What is on its way to a peer: messages that are queued, and everything that the driver was given
//! and the socket has not taken. It is bounded where it grows, whatever a message answers.

use alloc::collections::VecDeque;
use bytes::{Bytes, BytesMut};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::api::{MAX_SENDS, MAX_UNREAD};
use crate::base::time::Instant;
use crate::wire::{BlockRequest, Message};

/// Bytes left unread above which a peer is told of pieces that we got only when it has read.
pub const HAVES_MARK: u64 = 32 * 1024;
/// Room that the first queued message makes: for eight requests, the most that one answer brings about.
const FIRST_BYTES: usize = 8 * 17;
/// Time after which a socket that takes nothing, while something waits to be sent, counts as not read.
pub const STALLED: Duration = Duration::from_secs(180);

/// Milliseconds over which is measured how much a socket takes.
const WINDOW_MILLIS: u64 = 4000;
/// A socket that takes less in that time, though more waits, makes no use of an upload slot.
const LEAST_IN_WINDOW: u64 = 4096;
/// What a socket takes at once counts up to this much, so for three windows: a system takes hundreds of KiB
/// for a peer that reads nothing.
const MOST_COUNTED: u64 = 3 * LEAST_IN_WINDOW;

/// How much a socket took, while something waited for it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Uptake {
    /// When the window began.
    since: Instant,
    /// Bytes in this window.
    bytes: u64,
    /// Whether it took too little in the window before.
    slow: bool,
}

impl Uptake {
    /// Nothing was waiting to be sent until now, so a new window begins.
    fn begin(&mut self, now: Instant) {
        *self = Self { since: now, ..Self::default() };
    }

    fn add(&mut self, bytes: u64, now: Instant) {
        if now.millis_since(self.since) >= WINDOW_MILLIS {
            *self = Self { since: now, bytes: 0, slow: self.is_slow(now) };
        }
        self.bytes += bytes;
    }

    fn is_slow(&self, now: Instant) -> bool {
        let elapsed = now.millis_since(self.since);
        if elapsed < WINDOW_MILLIS {
            return self.slow && self.bytes < LEAST_IN_WINDOW;
        }
        // The rate since the window began: nothing else ends it while the socket takes nothing.
        self.bytes.min(MOST_COUNTED) * WINDOW_MILLIS < LEAST_IN_WINDOW.saturating_mul(elapsed)
    }
}

/// Something that was handed to the driver.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Send {
    bytes: u32,
    block: bool,
}

/// What is on its way to one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outbox {
    /// Messages for the next flush.
    queued: BytesMut,
    /// With the driver, oldest first.
    sends: VecDeque<Send>,
    /// Bytes of messages with the driver.
    messages: u64,
    /// Bytes of blocks with the driver.
    blocks: u64,
    limit: u64,
    overfull: bool,
    /// When the socket last took something, or had nothing to take.
    moved_at: Instant,
    uptake: Uptake,
}

impl Outbox {
    /// An empty outbox. `first` bytes may be unread beyond the limit for everybody: what says which
    /// pieces we have.
    pub fn new(first: u32, now: Instant) -> Self {
        Self {
            queued: BytesMut::new(),
            sends: VecDeque::new(),
            messages: 0,
            blocks: 0,
            limit: u64::from(MAX_UNREAD) + u64::from(first),
            overfull: false,
            moved_at: now,
            uptake: Uptake::default(),
        }
    }

    /// Queues a message for the next flush, if there is room. Without room the peer is to be closed.
    pub fn queue(&mut self, message: &Message) {
        if self.unread() > self.limit {
            self.overfull = true;
            return;
        }
        self.reserve();
        message.encode(&mut self.queued);
    }

    /// Queues the header of a block, which its content has to follow at once.
    pub fn queue_block_header(&mut self, block: BlockRequest) {
        self.reserve();
        block.encode_piece_header(&mut self.queued);
    }

    fn reserve(&mut self) {
        if self.queued.capacity() == 0 {
            self.queued.reserve(FIRST_BYTES);
        }
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Whether messages wait until the socket has taken something.
    pub fn is_held(&self) -> bool {
        self.sends.len() >= MAX_SENDS
    }

    /// Whether there was no room for a message.
    pub const fn is_overfull(&self) -> bool {
        self.overfull
    }

    /// Takes what is queued, to be handed to the driver now.
    pub fn take(&mut self, now: Instant) -> Option<Bytes> {
        if self.queued.is_empty() {
            return None;
        }
        // The whole buffer goes, so that what the peer leaves unread is no larger than what it holds.
        let bytes = core::mem::take(&mut self.queued).freeze();
        self.handed_over(bytes.len() as u32, now);
        Some(bytes)
    }

    /// Bytes of messages are with the driver.
    pub fn handed_over(&mut self, bytes: u32, now: Instant) {
        self.messages += u64::from(bytes);
        self.record(Send { bytes, block: false }, now);
    }

    /// A block is with the driver.
    pub fn block_handed_over(&mut self, bytes: u32, now: Instant) {
        self.blocks += u64::from(bytes);
        self.record(Send { bytes, block: true }, now);
    }

    fn record(&mut self, send: Send, now: Instant) {
        if self.sends.is_empty() {
            self.moved_at = now;
            self.uptake.begin(now);
        }
        if send.bytes > 0 {
            self.sends.push_back(send);
        }
    }

    /// The socket took bytes. Returns how many of them were of blocks, and whether all of them had
    /// been handed over.
    pub fn taken(&mut self, count: u32, now: Instant) -> (u64, bool) {
        self.moved_at = now;
        self.uptake.add(count.into(), now);
        let (mut left, mut blocks) = (count, 0);
        while left > 0
            && let Some(front) = self.sends.front_mut()
        {
            let part = left.min(front.bytes);
            left -= part;
            front.bytes -= part;
            if front.block {
                self.blocks -= u64::from(part);
                blocks += u64::from(part);
            } else {
                self.messages -= u64::from(part);
            }
            if front.bytes == 0 {
                self.sends.pop_front();
            }
        }
        (blocks, left == 0)
    }

    /// Bytes of messages that were not read: queued here or with the driver.
    pub fn unread(&self) -> u64 {
        self.queued.len() as u64 + self.messages
    }

    /// Bytes of blocks with the driver.
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Sends with the driver.
    pub fn sends(&self) -> usize {
        self.sends.len()
    }

    /// Whether the peer has read nothing for `STALLED` while something waits for it.
    pub fn is_stalled(&self, now: Instant) -> bool {
        !self.sends.is_empty() && now.since(self.moved_at) >= STALLED
    }

    /// Whether the socket has taken next to nothing for some seconds, though blocks wait for it.
    pub fn is_slow(&self, now: Instant) -> bool {
        self.blocks > 0 && self.uptake.is_slow(now)
    }

    /// Checks the counters against a recount.
    ///
    /// # Errors
    /// The name of the rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let sum = |block: bool| -> u64 {
            let such = self.sends.iter().filter(|send| send.block == block);
            such.map(|send| u64::from(send.bytes)).sum()
        };
        if sum(false) != self.messages || sum(true) != self.blocks {
            return Err("what is with the driver equals the recount");
        }
        if !self.queued.is_empty() && !self.is_held() {
            return Err("no message waits after a step");
        }
        Ok(())
    }
}

#[cfg(feature = "corruption")]
impl Outbox {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "what is with the driver equals the recount" => self.messages += 1,
            "no message waits after a step" => self.queued = BytesMut::from(&[0u8; 4][..]),
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the outbox.

    use super::*;

    const REJECT: Message = Message::Reject(BlockRequest { piece: 1, begin: 2, length: 3 });

    #[test]
    fn messages_that_are_not_read_are_bounded_and_freed_when_they_are() {
        let mut outbox = Outbox::new(0, Instant::ZERO);
        for _ in 0..1_000_000 {
            outbox.queue(&REJECT);
            if !outbox.is_held() {
                outbox.take(Instant::ZERO);
            }
        }
        assert!(outbox.is_overfull() && outbox.is_held());
        assert!(outbox.unread() <= u64::from(MAX_UNREAD) + 17, "{}", outbox.unread());
        assert_eq!(outbox.sends(), MAX_SENDS);
        let (blocks, all) = outbox.taken(17 * MAX_SENDS as u32, Instant::ZERO);
        assert!(blocks == 0 && all && !outbox.is_held());
        let rest = outbox.take(Instant::ZERO).expect("the rest");
        assert_eq!(outbox.taken(rest.len() as u32, Instant::ZERO), (0, true));
        assert_eq!((outbox.unread(), outbox.sends(), outbox.queued.capacity()), (0, 0, 0));
    }

    #[test]
    fn blocks_and_messages_are_told_apart_when_the_socket_takes_them() {
        let mut outbox = Outbox::new(0, Instant::ZERO);
        let request = BlockRequest { piece: 0, begin: 0, length: 100 };
        for _ in 0..2 {
            outbox.queue_block_header(request);
            assert_eq!(outbox.take(Instant::ZERO).expect("a header").len(), 13);
            outbox.block_handed_over(100, Instant::ZERO);
        }
        assert_eq!((outbox.unread(), outbox.blocks()), (26, 200));
        assert_eq!(outbox.taken(14, Instant::ZERO), (1, true));
        assert_eq!(outbox.taken(100, Instant::ZERO), (99, true));
        assert_eq!(outbox.taken(1000, Instant::ZERO), (100, false));
        assert!(outbox.check().is_ok());
    }

    #[test]
    fn a_socket_that_drips_is_slow_until_it_takes_more() {
        let at = |millis: u64| Instant::from_millis(100_000 + millis);
        let mut outbox = Outbox::new(0, at(0));
        outbox.block_handed_over(1_000_000, at(0));
        assert!(!outbox.is_slow(at(3999)) && outbox.is_slow(at(4000)));
        for second in 1..10 {
            outbox.taken(100, at(second * 1000));
            assert_eq!(outbox.is_slow(at(second * 1000)), second >= 4, "second {second}");
        }
        outbox.taken(10_000, at(9500));
        assert!(!outbox.is_slow(at(9500)));
        // A burst counts for a while, and not for as long as nothing follows it.
        outbox.taken(500_000, at(9550));
        assert!(!outbox.is_slow(at(13_000)) && outbox.is_slow(at(22_000)));
        outbox.taken(10_000, at(22_100));
        assert!(!outbox.is_slow(at(22_100)));
        // What waits for nothing else is not slow.
        outbox.taken(1_000_000, at(22_200));
        assert!(!outbox.is_slow(at(60_000)));
        outbox.block_handed_over(100, at(60_000));
        assert!(!outbox.is_slow(at(60_001)));
    }

    #[test]
    fn a_slow_reader_is_not_one_that_never_reads() {
        let at = |seconds: u64| Instant::from_millis(seconds * 1000);
        let mut outbox = Outbox::new(0, at(0));
        assert!(!outbox.is_stalled(at(100_000)));
        outbox.handed_over(1000, at(100_000));
        for minute in 0..100 {
            assert!(!outbox.is_stalled(at(100_000 + minute * 120)));
            outbox.taken(1, at(100_000 + minute * 120));
        }
        assert!(outbox.is_stalled(at(100_000 + 99 * 120 + 180)));
    }
}
