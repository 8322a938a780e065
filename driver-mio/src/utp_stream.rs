//! The driver's part of a connection over µTP: what is sent, until it has arrived, and what came in order. Which packet
//! goes when, and what is lost, is the engine's.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use eddyline::base::ids::ConnId;
use eddyline::base::payload::Payload;
use eddyline::{OutgoingStream, StreamEvent, StreamKey, UtpPacket};
use eddyline_disk::Span;

use crate::buffers::Buffers;
use crate::ciphers::{Ciphers, filled};

/// A connection over µTP.
#[derive(Debug)]
pub struct UtpStream {
    /// Its id.
    pub conn: ConnId,
    /// Bytes that were granted and have not come.
    credit: u32,
    ciphers: Ciphers,
    outgoing: OutgoingStream,
    /// Up to where the engine knows that bytes are at hand.
    offered: u64,
    /// What came in this turn.
    arrived: VecDeque<Bytes>,
}

impl UtpStream {
    /// A connection over which nothing has been sent.
    #[must_use]
    pub fn new(conn: ConnId) -> Self {
        Self {
            conn,
            credit: 0,
            ciphers: Ciphers::default(),
            outgoing: OutgoingStream::default(),
            offered: 0,
            arrived: VecDeque::new(),
        }
    }

    /// So many more bytes may come.
    pub fn grant(&mut self, count: u32) {
        self.credit = self.credit.saturating_add(count);
    }

    /// What is sent from here on is enciphered.
    pub fn encipher(&mut self, key: &StreamKey) {
        self.ciphers.encipher(key);
    }

    /// What is granted from here on is deciphered. What has come before is to be taken with [`Self::happened`] first.
    pub fn decipher(&mut self, key: &StreamKey) {
        self.ciphers.decipher(key, self.credit);
    }

    /// Bytes to be sent.
    pub fn send(&mut self, bytes: Bytes) {
        self.outgoing.append(self.ciphers.outgoing(bytes));
    }

    /// Bytes of a file to be sent. They are read now: what is lost has to be sent again, whatever happens to the file.
    ///
    /// # Errors
    /// Where they cannot be read any more.
    pub fn send_stored(&mut self, span: &Span, buffers: &mut Buffers) -> io::Result<()> {
        let outgoing = &mut self.outgoing;
        self.ciphers.stored(span, buffers, |bytes| outgoing.append(bytes))
    }

    /// The bytes that came next.
    pub fn deliver(&mut self, payload: &Payload) {
        self.credit = self.credit.saturating_sub(payload.len());
        self.arrived.extend(payload.parts().iter().filter(|part| !part.is_empty()).cloned());
    }

    /// Everything before this position has arrived.
    pub fn release(&mut self, up_to: u64) {
        self.outgoing.release(up_to);
    }

    /// Appends the payload of a packet to `datagram`; false where it is not at hand.
    pub fn read(&self, packet: &UtpPacket, datagram: &mut Vec<u8>) -> bool {
        let Some(parts) = self.outgoing.range(packet.payload.clone()) else { return false };
        parts.for_each(|part| datagram.extend_from_slice(&part));
        true
    }

    /// What has happened since it was asked last: bytes are at hand, bytes came.
    pub fn happened(&mut self, buffers: &mut Buffers, mut tell: impl FnMut(StreamEvent)) {
        let offered = self.outgoing.end() - self.offered;
        if offered > 0 {
            self.offered += offered;
            tell(StreamEvent::Offered(u32::try_from(offered).unwrap_or(u32::MAX)));
        }
        if self.arrived.len() == 1 && self.ciphers.receives_plain() {
            self.arrived.drain(..).for_each(|part| tell(StreamEvent::Received(part)));
        }
        let mut left: usize = self.arrived.iter().map(Bytes::len).sum();
        while left > 0 {
            // One piece of memory for many datagrams: it is deciphered there, and what follows has to deal with it
            // once.
            let count = left.min(Buffers::EACH);
            let (arrived, ciphers) = (&mut self.arrived, &mut self.ciphers);
            let joined = filled(count, buffers, |room| {
                take_from(arrived, room);
                ciphers.incoming(room);
                true
            });
            joined.into_iter().for_each(|bytes| tell(StreamEvent::Received(bytes)));
            left -= count;
        }
    }
}

/// Fills `room` with the first bytes of `parts`, and takes them from there.
fn take_from(parts: &mut VecDeque<Bytes>, mut room: &mut [u8]) {
    while let Some(front) = parts.front_mut().filter(|_| !room.is_empty()) {
        let (filled, rest) = room.split_at_mut(front.len().min(room.len()));
        filled.copy_from_slice(&front.split_to(filled.len()));
        room = rest;
        if front.is_empty() {
            parts.pop_front();
        }
    }
}
