//! Answers to SYNs of which nothing is kept.
//!
//! The number that an answer carries is a keyed hash of who asked and what for. Whoever receives the answer sends it
//! back in its first packet, and only then is there a connection. So a flood of SYNs takes no memory, drives nobody
//! out, and an address that was forged is sent one packet as long as the one it seemed to send.

use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher24;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// How long an answer holds, at least; at most twice that. Clients give up a SYN sooner.
const SPAN: u64 = 32_000_000;
/// So many of the first packets may be lost or late, and the next still makes the connection.
const EARLY: u16 = 8;

/// What the first packet behind an answer must say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The number of the SYN.
    pub syn: u16,
    /// Our first number.
    pub ours: u16,
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

    fn number(&self, span: u64, from: SocketAddr, id: u16, syn: u16) -> u16 {
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
        hasher.finish() as u16
    }

    /// Our first number for a SYN of that id and number.
    pub fn answer(&self, now: Time, from: SocketAddr, id: u16, syn: u16) -> u16 {
        self.number(now.as_micros() / SPAN, from, id, syn)
    }

    /// Whether a packet with these numbers follows an answer of ours to a SYN of that id.
    pub fn opening(
        &self,
        now: Time,
        from: SocketAddr,
        id: u16,
        sequence: u16,
        acknowledged: u16,
    ) -> Option<Opening> {
        let ours = acknowledged.wrapping_add(1);
        let span = now.as_micros() / SPAN;
        (1..=EARLY).map(|back| sequence.wrapping_sub(back)).find_map(|syn| {
            let spans = [Some(span), span.checked_sub(1)];
            let fits = |span: u64| self.number(span, from, id, syn) == ours;
            spans.into_iter().flatten().any(fits).then_some(Opening { syn, ours })
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
        let ours = answers.answer(now, from, 77, 1_000);
        let check = |at, from, id, sequence, ack| answers.opening(at, from, id, sequence, ack);
        let ack = ours.wrapping_sub(1);
        let opening = Some(Opening { syn: 1_000, ours });
        assert_eq!(check(now, from, 77, 1_001, ack), opening);
        assert_eq!(check(now + SPAN, from, 77, 1_008, ack), opening, "later, and not the first");
        assert_eq!(check(now + 2 * SPAN, from, 77, 1_001, ack), None, "too late");
        assert_eq!(check(now, from, 78, 1_001, ack), None);
        assert_eq!(check(now, "192.0.2.1:6".parse().unwrap(), 77, 1_001, ack), None);
        let guesses = (0..=u16::MAX).filter(|guess| check(now, from, 99, 1, *guess).is_some());
        assert!(guesses.count() <= 2 * usize::from(EARLY), "a guess is good once in 4,096 times");
    }
}
