//! Answers to SYNs of which nothing is kept.
//!
//! The number that an answer carries is a keyed hash of who asked and what for, and so is what its clock shows.
//! Whoever receives the answer sends both back in its first packet: the number as an ack, and the clock as the
//! difference of the two clocks beside its own time. Only then is there a connection. So a flood of SYNs takes no
//! memory, drives nobody out, an address that was forged is sent one packet as long as the one it seemed to send, and
//! who cannot read what is sent there has to guess once in some million times, not once in some thousand: what comes
//! over a connection is held against its address.

use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher24;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// How long an answer holds, at least; at most twice that. Clients give up a SYN sooner.
const SPAN: u64 = 32_000_000;
/// So many of the first packets may be lost or late, and the next still makes the connection.
const EARLY: u16 = 4;
/// The longest round trip with which a connection comes about, and how far a clock may run ahead meanwhile, in
/// microseconds.
const LONGEST_TRIP: u32 = 4_000_000;
const AHEAD: u32 = 50_000;

/// What the first packet behind an answer must say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The number of the SYN.
    pub syn: u16,
    /// Our first number.
    pub ours: u16,
    /// What our clock shows to the other side at our zero.
    pub clock: u32,
}

/// What a packet says about an answer of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echo {
    /// Its own number.
    pub sequence: u16,
    /// The number that it acknowledges.
    pub acknowledged: u16,
    /// What our clock showed in the newest packet that it got, later by the time until it was answered.
    pub clock: u32,
}

impl Echo {
    pub const fn of(packet: &crate::packet::Packet) -> Self {
        Self {
            sequence: packet.sequence,
            acknowledged: packet.acknowledged,
            clock: packet.timestamp.wrapping_sub(packet.timestamp_difference),
        }
    }
}

/// The keys with which answers are made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answers {
    key: [u64; 2],
    drawn: u64,
}

impl Answers {
    pub fn new(key: [u64; 2]) -> Self {
        Self { key, drawn: 0 }
    }

    /// The next of a series of numbers that nobody can guess.
    pub fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let mut hasher = SipHasher24::new_with_keys(self.key[0], self.key[1]);
        hasher.write_u8(0);
        hasher.write_u64(self.drawn);
        hasher.finish()
    }

    /// Our first number, and what our clock shows at our zero.
    fn number(&self, span: u64, from: SocketAddr, id: u16, syn: u16) -> (u16, u32) {
        let mut hasher = SipHasher24::new_with_keys(self.key[0], self.key[1]);
        hasher.write_u8(1);
        hasher.write_u64(span);
        match from.ip() {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        hasher.write_u16(from.port());
        hasher.write_u16(id);
        hasher.write_u16(syn);
        let hash = hasher.finish();
        (hash as u16, (hash >> 32) as u32)
    }

    /// Our first number for a SYN of that id and number, and what our clock shows at our zero.
    pub fn answer(&self, now: Time, from: SocketAddr, id: u16, syn: u16) -> (u16, u32) {
        self.number(now.as_micros() / SPAN, from, id, syn)
    }

    /// Whether a packet with these numbers follows an answer of ours to a SYN of that id.
    pub fn opening(&self, now: Time, from: SocketAddr, id: u16, echo: Echo) -> Option<Opening> {
        let span = now.as_micros() / SPAN;
        let spans = [Some(span), span.checked_sub(1)];
        (1..=EARLY).map(|back| echo.sequence.wrapping_sub(back)).find_map(|syn| {
            spans.into_iter().flatten().find_map(|span| {
                let (ours, clock) = self.number(span, from, id, syn);
                let shows = now.on_wire().wrapping_add(clock);
                let trip = shows.wrapping_add(AHEAD).wrapping_sub(echo.clock);
                let fits =
                    echo.acknowledged.wrapping_add(1) == ours && trip <= LONGEST_TRIP + AHEAD;
                fits.then_some(Opening { syn, ours, clock })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_received_the_answer_can_go_on() {
        let answers = Answers::new([1, 2]);
        let from: SocketAddr = "192.0.2.1:5".parse().unwrap();
        let now = Time::from_millis(31_000);
        let (ours, clock) = answers.answer(now, from, 77, 1_000);
        let sent = now.on_wire().wrapping_add(clock);
        let echo = |sequence| Echo { sequence, acknowledged: ours.wrapping_sub(1), clock: sent };
        let opening = Some(Opening { syn: 1_000, ours, clock });
        assert_eq!(answers.opening(now, from, 77, echo(1_001)), opening);
        assert_eq!(answers.opening(now + 3_900_000, from, 77, echo(1_001)), opening, "a long way");
        assert_eq!(answers.opening(now + 4_100_000, from, 77, echo(1_001)), None, "too long a way");
        let held = Echo { clock: sent.wrapping_add(SPAN as u32), ..echo(1_004) };
        assert_eq!(
            answers.opening(now + SPAN, from, 77, held),
            opening,
            "later, and not the first"
        );
        let held = Echo { clock: sent.wrapping_add(2 * SPAN as u32), ..echo(1_001) };
        assert_eq!(answers.opening(now + 2 * SPAN, from, 77, held), None, "too late");
        assert_eq!(answers.opening(now, from, 78, echo(1_001)), None);
        assert_eq!(answers.opening(now, "192.0.2.1:6".parse().unwrap(), 77, echo(1_001)), None);
    }

    #[test]
    fn who_cannot_read_the_answer_guesses_once_in_millions_of_times() {
        let answers = Answers::new([1, 2]);
        let from: SocketAddr = "192.0.2.1:5".parse().unwrap();
        let now = Time::from_millis(31_000);
        let tries = |clock: u32| {
            let echo = move |acknowledged| Echo { sequence: 1, acknowledged, clock };
            (0..=u16::MAX)
                .filter(|ack| answers.opening(now, from, 99, echo(*ack)).is_some())
                .count()
        };
        // Whoever knows our clock to the microsecond knows nothing of what it shows to another address.
        let good: usize =
            (0..64u32).map(|step| tries(now.on_wire().wrapping_add(step << 26))).sum();
        assert!(good <= 2, "{good} of {} guesses", 64 * 65_536);
    }
}
