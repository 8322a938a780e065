//! The bytes of one connection, for embedders whose sockets are their own: what waits to be sent, how much may still
//! be delivered, and encryption.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use bytes::{Buf, Bytes, BytesMut};
use eddyline::{CloseKind, CloseMode, StreamAction, StreamCipher, StreamEvent};

/// Most bytes that are read at once.
const EACH: usize = 64 << 10;

/// What an embedder keeps of a connection beside its socket, so that rules 3 to 5 and 7 of the driver contract hold
/// and encrypted connections work. It is given the actions of its connection, and pumped whenever the socket is
/// ready or an action came.
#[derive(Default)]
pub struct Flow {
    queue: VecDeque<Bytes>,
    credit: usize,
    encipher: Option<Box<StreamCipher>>,
    /// What comes is deciphered behind the next bytes, which were granted before there was a key.
    decipher: Option<(usize, Box<StreamCipher>)>,
    /// The engine has closed it: nothing is reported any more.
    closing: bool,
    /// Nothing is sent any more.
    over: bool,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { queue, credit, closing, over, .. } = self;
        f.debug_struct("Flow")
            .field("sends", &queue.len())
            .field("credit", credit)
            .field("closing", closing)
            .field("over", over)
            .finish_non_exhaustive()
    }
}

impl Flow {
    /// Takes what the engine wants of the connection. `Connect` and `Adopt` are about the socket and mean nothing
    /// here. `SendStored`, which only who answers reads with [`DiskOutcome::Ready`](eddyline::DiskOutcome::Ready) is
    /// asked for, cannot be done: it ends the connection. So do the actions of µTP, which
    /// [`Config::transports`](eddyline::Config::transports) asks for: they are for [`UtpFlows`](crate::UtpFlows).
    pub fn perform(&mut self, action: StreamAction) {
        match action {
            StreamAction::GrantRead(count) => self.credit += count as usize,
            StreamAction::Send(bytes) | StreamAction::SendBlock(bytes) => self.send(bytes),
            StreamAction::Encipher(key) => {
                self.encipher = (!key.is_plain()).then(|| Box::new(StreamCipher::new(&key)));
            }
            StreamAction::Decipher(key) => {
                let cipher = || (self.credit, Box::new(StreamCipher::new(&key)));
                self.decipher = (!key.is_plain()).then(cipher);
            }
            StreamAction::Close(mode) => {
                self.closing = true;
                self.over |= mode == CloseMode::Now || self.queue.is_empty();
            }
            StreamAction::SendStored(_)
            | StreamAction::OpenUtp { .. }
            | StreamAction::Deliver(_)
            | StreamAction::Release(_) => self.over = true,
            StreamAction::Connect { .. } | StreamAction::Adopt { .. } | StreamAction::Fetch(_) => {}
        }
    }

    fn send(&mut self, bytes: Bytes) {
        let bytes = match &mut self.encipher {
            None => bytes,
            Some(cipher) => {
                // What somebody else holds as well is left as it is.
                let own = bytes.try_into_mut();
                let mut own = own.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
                cipher.apply(&mut own);
                own.freeze()
            }
        };
        self.queue.push_back(bytes);
    }

    /// Whether bytes that come may be delivered.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.credit > 0 && !self.closing && !self.over
    }

    /// Whether bytes wait to be sent.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.queue.is_empty() && !self.over
    }

    /// Whether nothing more comes or goes: the socket is to be closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Writes what waits and reads what may be delivered, until the socket, which must not wait, takes and has no
    /// more. Returns what is to be reported of the connection, in order.
    pub fn pump(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Vec<StreamEvent> {
        let mut events = Vec::new();
        while let Some(front) = self.queue.front_mut().filter(|_| !self.over) {
            match write(front) {
                Ok(count) => {
                    front.advance(count);
                    if front.is_empty() {
                        self.queue.pop_front();
                    }
                    events.push(StreamEvent::Sent(count as u32));
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted => {}
                    _ => return self.end(events, CloseKind::Reset),
                },
            }
        }
        self.over |= self.closing && self.queue.is_empty();
        while self.wants_read() {
            let mut bytes = BytesMut::zeroed(self.credit.min(EACH));
            match read(&mut bytes) {
                Ok(0) => return self.end(events, CloseKind::Eof),
                Ok(count) => {
                    bytes.truncate(count);
                    self.arrived(&mut bytes);
                    events.push(StreamEvent::Received(bytes.freeze()));
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted => {}
                    _ => return self.end(events, CloseKind::Reset),
                },
            }
        }
        if self.closing { Vec::new() } else { events }
    }

    fn arrived(&mut self, bytes: &mut [u8]) {
        self.credit -= bytes.len();
        if let Some((plain, cipher)) = &mut self.decipher {
            let before = (*plain).min(bytes.len());
            *plain -= before;
            cipher.apply(&mut bytes[before..]);
        }
    }

    fn end(&mut self, mut events: Vec<StreamEvent>, kind: CloseKind) -> Vec<StreamEvent> {
        self.over = true;
        events.push(StreamEvent::Closed(kind));
        if self.closing { Vec::new() } else { events }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of flows.

    use super::*;
    use eddyline::StreamKey;

    fn blocked<T>() -> io::Result<T> {
        Err(ErrorKind::WouldBlock.into())
    }

    /// A socket that has `inbound` and takes `room` bytes.
    fn pump(flow: &mut Flow, inbound: &mut Vec<u8>, room: usize) -> (Vec<StreamEvent>, Vec<u8>) {
        let mut sent = Vec::new();
        let write = |bytes: &[u8]| match bytes.len().min(room - sent.len()) {
            0 => blocked(),
            count => {
                sent.extend_from_slice(&bytes[..count]);
                Ok(count)
            }
        };
        let read = |into: &mut [u8]| match inbound.len().min(into.len()) {
            0 => blocked(),
            count => {
                into[..count].copy_from_slice(&inbound[..count]);
                inbound.drain(..count);
                Ok(count)
            }
        };
        let events = flow.pump(write, read);
        (events, sent)
    }

    fn told(events: &[StreamEvent]) -> String {
        format!("{events:?}")
    }

    #[test]
    fn no_more_is_delivered_than_was_granted_and_no_more_counted_than_the_socket_took() {
        let mut flow = Flow::default();
        flow.perform(StreamAction::GrantRead(3));
        flow.perform(StreamAction::Send(Bytes::from_static(b"abcde")));
        let mut inbound = b"12345".to_vec();
        let (events, sent) = pump(&mut flow, &mut inbound, 2);
        assert_eq!(sent, b"ab");
        let expected = [StreamEvent::Sent(2), StreamEvent::Received(Bytes::from_static(b"123"))];
        assert_eq!(told(&events), told(&expected));
        assert!(!flow.wants_read() && flow.wants_write() && inbound == b"45");
        let (_, sent) = pump(&mut flow, &mut inbound, 9);
        assert!(sent == b"cde" && !flow.wants_write() && inbound == b"45");
    }

    #[test]
    fn what_is_closed_is_flushed_and_silent() {
        let mut flow = Flow::default();
        flow.perform(StreamAction::GrantRead(3));
        flow.perform(StreamAction::Send(Bytes::from_static(b"bye")));
        flow.perform(StreamAction::Close(CloseMode::Flush));
        let (events, sent) = pump(&mut flow, &mut b"x".to_vec(), 2);
        assert!(events.is_empty() && sent == b"by" && !flow.is_over());
        let (events, sent) = pump(&mut flow, &mut b"x".to_vec(), 2);
        assert!(events.is_empty() && sent == b"e" && flow.is_over());
    }

    #[test]
    fn what_was_granted_before_the_key_comes_as_it_is_and_what_comes_behind_it_deciphered() {
        let mut flow = Flow::default();
        let key = StreamKey::rc4([7; 20]);
        flow.perform(StreamAction::GrantRead(2));
        flow.perform(StreamAction::Decipher(key));
        flow.perform(StreamAction::GrantRead(2));
        flow.perform(StreamAction::Send(Bytes::from_static(b"p")));
        flow.perform(StreamAction::Encipher(key));
        flow.perform(StreamAction::Send(Bytes::from_static(b"cd")));
        let mut hidden = *b"cd";
        StreamCipher::new(&key).apply(&mut hidden);
        let mut inbound = [&b"ab"[..], &hidden].concat();
        let (events, sent) = pump(&mut flow, &mut inbound, 9);
        assert_eq!(sent, [b"p", &hidden[..]].concat());
        let received = StreamEvent::Received(Bytes::from_static(b"abcd"));
        assert_eq!(told(&events[2..]), told(&[received]));
    }
}
