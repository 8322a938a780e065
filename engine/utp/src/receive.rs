//! The receiving half: order, what is acknowledged, and how much may come.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;
use smallvec::SmallVec;

use serde::{Deserialize, Serialize};

use crate::packet::MAX_SACK;
use crate::sequence::{begin, expand};
use crate::time::Time;
use crate::verdict::Verdict;

/// Numbers ahead of the expected one that are taken. Numbers have 16 bits, and half of them lie behind.
pub const MAX_AHEAD: u64 = 28_000;
/// The same for a little credit: packets are not shorter than this as a rule, in bytes. Whoever sends in the name of
/// another has to guess numbers.
const SHORT_PACKET: u64 = 64;
/// Datagrams out of order that are held whatever the credit: each holds a receive buffer, however short its payload is.
const MIN_HELD: u64 = 64;
/// Bytes of credit that allow one more.
const BYTES_FOR_ONE: u64 = 256;

/// A packet that came before its turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held {
    payload: Bytes,
    last: bool,
}

/// What is owed to the other side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Owed {
    /// Nothing.
    Nothing,
    /// An ack, by then at the latest.
    By(Time),
    /// An ack at once.
    Now,
}

/// The receiving half of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receiver {
    /// The number that comes next.
    expected: u64,
    held: BTreeMap<u64, Held>,
    held_bytes: u64,
    /// Bytes that the caller has room for and did not get yet.
    credit: u64,
    /// The window that was told last.
    told: u64,
    end: Option<u64>,
    ended: bool,
    owed: Owed,
    /// Packets since the last ack.
    unacknowledged: u32,
    ready: Vec<Bytes>,
    ack_delay: u64,
    largest: u64,
}

impl Receiver {
    /// `first` is the number of the first packet with payload.
    pub fn new(first: u16, ack_delay: u64) -> Self {
        Self {
            expected: begin(first),
            held: BTreeMap::new(),
            held_bytes: 0,
            credit: 0,
            told: 0,
            end: None,
            ended: false,
            owed: Owed::Nothing,
            unacknowledged: 0,
            ready: Vec::new(),
            ack_delay,
            largest: 1_024,
        }
    }

    /// Room for this many more bytes.
    pub fn grant(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_add(bytes);
        // A sender that stands still hears of it at once; one that does not, with the next ack. Below two packets a
        // window is as good as closed, and an update for each byte would be silly.
        let closed = self.told < 2 * self.largest;
        if closed && self.credit >= (2 * self.largest).min(self.told + self.largest) {
            self.owed = Owed::Now;
        }
    }

    /// The number up to which all is here, as the wire has it.
    pub fn acknowledged(&self) -> u16 {
        (self.expected as u16).wrapping_sub(1)
    }

    /// Bytes that may be sent beyond what is acknowledged.
    pub fn window(&self) -> u32 {
        u32::try_from(self.credit).unwrap_or(u32::MAX)
    }

    /// A packet with payload, or a FIN.
    pub fn packet(&mut self, now: Time, wire: u16, payload: Bytes, last: bool) -> Verdict {
        let number = expand(self.expected, wire);
        let length = payload.len() as u64;
        self.largest = self.largest.max(length);
        if number < self.expected || self.held.contains_key(&number) {
            // The other side has not heard that it is here.
            self.owed = Owed::Now;
            return if self.expected - number.min(self.expected) > MAX_AHEAD {
                Verdict::OutsideWindow
            } else {
                Verdict::Duplicate
            };
        }
        let most = (MIN_HELD + self.credit / SHORT_PACKET).min(MAX_AHEAD);
        if number - self.expected >= most || self.end.is_some_and(|end| number > end) {
            return Verdict::OutsideWindow;
        }
        if last
            && (self.held.range(number..).next().is_some()
                || self.end.is_some_and(|end| end != number))
        {
            return Verdict::OutOfPlace;
        }
        let crowded = number != self.expected
            && self.held.len() as u64 >= MIN_HELD + self.credit / BYTES_FOR_ONE;
        if length + self.held_bytes > self.credit || crowded {
            self.owed = Owed::Now;
            return Verdict::BeyondCredit;
        }
        if last {
            self.end = Some(number);
        }
        self.unacknowledged += 1;
        if number == self.expected {
            let gap = !self.held.is_empty();
            self.take(payload, last);
            while let Some(next) = self.held.remove(&self.expected) {
                self.held_bytes -= next.payload.len() as u64;
                self.take(next.payload, next.last);
            }
            // What fills a gap is news that the sender waits for.
            if gap || self.ended || self.unacknowledged >= 2 {
                self.owed = Owed::Now;
            } else if self.owed == Owed::Nothing {
                self.owed = Owed::By(now + self.ack_delay);
            }
        } else {
            self.held_bytes += length;
            self.held.insert(number, Held { payload, last });
            self.owed = Owed::Now;
        }
        Verdict::Accepted
    }

    fn take(&mut self, payload: Bytes, last: bool) {
        self.expected += 1;
        self.credit -= payload.len() as u64;
        self.ended |= last;
        if !payload.is_empty() {
            self.ready.push(payload);
        }
    }

    /// What came in order since it was asked last.
    pub fn take_ready(&mut self) -> Vec<Bytes> {
        core::mem::take(&mut self.ready)
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether everything that the other side will ever send is here.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    pub fn owed(&self) -> Owed {
        self.owed
    }

    /// An ack is on its way with the current window.
    pub fn acknowledged_now(&mut self) {
        (self.owed, self.unacknowledged, self.told) = (Owed::Nothing, 0, self.credit);
    }

    /// The bits of the packets that are held, from the second after the acknowledged one.
    pub fn selective_ack(&self) -> SmallVec<[u8; 36]> {
        let mut bits = SmallVec::new();
        for number in self.held.keys() {
            let Some(at) =
                number.checked_sub(self.expected + 1).and_then(|at| usize::try_from(at).ok())
            else {
                continue;
            };
            if at / 8 >= MAX_SACK {
                break;
            }
            if at / 8 >= bits.len() {
                bits.resize((at / 8 + 4) / 4 * 4, 0);
            }
            bits[at / 8] |= 1 << (at % 8);
        }
        bits
    }

    pub fn violations(&self, out: &mut Vec<&'static str>) {
        if self.held.values().map(|held| held.payload.len() as u64).sum::<u64>() != self.held_bytes
        {
            out.push("held bytes are those of the held packets");
        }
        if self.held_bytes > self.credit {
            out.push("no more is held than the caller has room for");
        }
        let ahead = |number: &u64| *number > self.expected && number - self.expected < MAX_AHEAD;
        if !self.held.keys().all(ahead) {
            out.push("held packets lie ahead of the expected one, within the window");
        }
        if self.end.is_some_and(|end| (self.expected > end) != self.ended) {
            out.push("the stream has ended when its last packet is here");
        }
    }

    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, what: crate::Corruption) {
        match what {
            crate::Corruption::HeldBytes => self.held_bytes += 1,
            crate::Corruption::HeldPlace => {
                let held = Held { payload: Bytes::new(), last: false };
                self.held.insert(self.expected.saturating_sub(3), held);
            }
            crate::Corruption::Credit => {
                let held = Held { payload: Bytes::from_static(&[0; 9]), last: false };
                self.held.insert(self.expected + 9, held);
                self.held_bytes += 9;
                self.credit = 3;
            }
            crate::Corruption::Ended => (self.end, self.ended) = (Some(self.expected + 3), true),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(credit: u64) -> Receiver {
        let mut receiver = Receiver::new(65_534, 10_000);
        receiver.grant(credit);
        receiver.acknowledged_now();
        receiver
    }

    fn bytes(length: usize) -> Bytes {
        Bytes::from(alloc::vec![1; length])
    }

    #[test]
    fn packets_are_put_in_order_across_the_wrap_of_numbers() {
        let mut receiver = receiver(10_000);
        for (wire, length) in [(1, 4), (65_535, 2), (0, 3)] {
            assert_eq!(receiver.packet(Time::ZERO, wire, bytes(length), false), Verdict::Accepted);
            assert_eq!(receiver.owed(), Owed::Now, "a gap is told at once");
        }
        assert_eq!(receiver.selective_ack().as_slice(), [0b111, 0, 0, 0]);
        receiver.packet(Time::ZERO, 65_534, bytes(1), false);
        let lengths: Vec<usize> = receiver.take_ready().iter().map(Bytes::len).collect();
        assert_eq!(
            (lengths, receiver.window(), receiver.acknowledged()),
            (alloc::vec![1, 2, 3, 4], 9_990, 1)
        );
        assert_eq!(receiver.packet(Time::ZERO, 65_535, bytes(2), false), Verdict::Duplicate);
        assert!(receiver.selective_ack().is_empty());
    }

    #[test]
    fn what_is_held_is_bounded_in_bytes_packets_and_distance() {
        let mut receiver = receiver(100_000);
        assert_eq!(receiver.packet(Time::ZERO, 0, bytes(100_001), false), Verdict::BeyondCredit);
        let far = 65_534u16.wrapping_add(MAX_AHEAD as u16);
        assert_eq!(receiver.packet(Time::ZERO, far, bytes(1), false), Verdict::OutsideWindow);
        let held = (1..4_000u16).filter(|n| {
            receiver.packet(Time::ZERO, 65_534u16.wrapping_add(*n), bytes(1), false)
                == Verdict::Accepted
        });
        assert_eq!(held.count() as u64, MIN_HELD + 100_000 / BYTES_FOR_ONE);
        assert_eq!(
            receiver.packet(Time::ZERO, 65_534, bytes(1), false),
            Verdict::Accepted,
            "the next always fits"
        );
        let mut faults = Vec::new();
        receiver.violations(&mut faults);
        assert!(faults.is_empty());
    }

    #[test]
    fn a_selective_ack_may_be_longer_than_32_bytes() {
        let mut receiver = receiver(1 << 20);
        receiver.packet(Time::ZERO, 65_534u16.wrapping_add(1_001), bytes(1), false);
        let bits = receiver.selective_ack();
        assert_eq!((bits.len(), bits[125]), (128, 1));
    }

    #[test]
    fn every_second_packet_is_acknowledged_and_a_single_one_a_little_later() {
        let mut receiver = receiver(1 << 20);
        receiver.packet(Time::ZERO, 65_534, bytes(1), false);
        assert_eq!(receiver.owed(), Owed::By(Time::from_millis(10)));
        receiver.packet(Time::ZERO, 65_535, bytes(1), false);
        assert_eq!(receiver.owed(), Owed::Now);
    }

    #[test]
    fn nothing_comes_after_the_end_and_there_is_one_end() {
        let mut receiver = receiver(1 << 20);
        assert_eq!(receiver.packet(Time::ZERO, 0, bytes(0), true), Verdict::Accepted);
        assert_eq!(receiver.packet(Time::ZERO, 1, bytes(5), false), Verdict::OutsideWindow);
        assert_eq!(receiver.packet(Time::ZERO, 65_535, bytes(5), true), Verdict::OutOfPlace);
        receiver.packet(Time::ZERO, 65_535, bytes(5), false);
        assert!(!receiver.has_ended());
        receiver.packet(Time::ZERO, 65_534, bytes(5), false);
        assert!(receiver.has_ended());
    }
}
