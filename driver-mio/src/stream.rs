//! One TCP connection: a write queue, read credit, and what the poll has told of readiness.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use eddyline::StreamKey;
use eddyline::base::ids::ConnId;
use eddyline_disk::{Residence, Span};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::net::SendAncillaryBuffer;

use crate::buffers::Buffers;
use crate::ciphers::Ciphers;
use crate::platform::{QUIET, QUIET_MORE};
use crate::proxy::handshake::Handshake;

/// Slices of one vectored write.
const MAX_SLICES: usize = 64;
/// How long bytes of a file that were seen in memory are believed to be there.
const BELIEVED: Duration = Duration::from_millis(100);

/// A connection.
#[derive(Debug)]
pub struct Stream {
    /// Its id.
    pub conn: ConnId,
    /// Its socket.
    pub socket: TcpStream,
    /// The three-way handshake is over.
    pub connected: bool,
    /// Bytes that may still be delivered.
    pub credit: u32,
    /// The poll said readable, and no read has found nothing since.
    pub readable: bool,
    /// The poll said writable, and no write has been refused since.
    pub writable: bool,
    /// To be closed when everything is written.
    pub closing: bool,
    /// The next to be sent is not in memory: to be tried again a little later.
    pub cold: bool,
    /// What is said to a proxy before that.
    pub(crate) tunnel: Option<Box<Handshake>>,
    /// The poll does not tell of bytes that come.
    deaf: bool,
    ciphers: Ciphers,
    queue: VecDeque<Queued>,
}

/// Something to be sent.
#[derive(Debug)]
enum Queued {
    Bytes(Bytes),
    /// From a file, with the time when it was known to be in memory.
    Stored(Span, Instant),
}

/// What a read brought.
#[derive(Debug)]
pub enum ReadOutcome {
    /// Bytes were appended.
    Bytes,
    /// Nothing at the moment, or no credit.
    Nothing,
    /// The end of the stream.
    End,
    /// The connection is broken.
    Broken,
}

impl Stream {
    /// A connection on `socket`.
    #[must_use]
    pub fn new(conn: ConnId, socket: TcpStream, connected: bool) -> Self {
        Self {
            conn,
            socket,
            connected,
            credit: 0,
            readable: false,
            writable: connected,
            closing: false,
            cold: false,
            tunnel: None,
            deaf: false,
            ciphers: Ciphers::default(),
            queue: VecDeque::new(),
        }
    }

    /// What is queued from here on is enciphered.
    pub fn encipher(&mut self, key: &StreamKey) {
        self.ciphers.encipher(key);
    }

    /// What is granted from here on is deciphered.
    pub fn decipher(&mut self, key: &StreamKey) {
        self.ciphers.decipher(key, self.credit);
    }

    /// Queues bytes.
    pub fn send(&mut self, bytes: Bytes) {
        self.queue.push_back(Queued::Bytes(self.ciphers.outgoing(bytes)));
    }

    /// Queues bytes of a file, which were seen in memory at that time. Where they have to be enciphered, they are
    /// read first: they go into a buffer in any case then, and none of them twice.
    ///
    /// # Errors
    /// Where they cannot be read any more.
    pub fn send_stored(
        &mut self,
        span: Span,
        seen: Instant,
        buffers: &mut Buffers,
    ) -> io::Result<()> {
        if self.ciphers.sends_plain() {
            self.queue.push_back(Queued::Stored(span, seen));
            return Ok(());
        }
        let queue = &mut self.queue;
        self.ciphers.stored(&span, buffers, |bytes| queue.push_back(Queued::Bytes(bytes)))
    }

    /// True when something waits to be written and can be.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connected && self.writable && !self.cold && !self.queue.is_empty()
    }

    /// True when everything is written.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.queue.is_empty()
    }

    /// Reads once within the credit and appends what came to `into`.
    pub fn read(&mut self, buffers: &mut Buffers, into: &mut Vec<Bytes>) -> ReadOutcome {
        let limit = Buffers::MOST.min(self.credit as usize);
        if !self.connected || !self.readable || limit == 0 {
            return ReadOutcome::Nothing;
        }
        let arrived = |bytes: &mut [u8]| self.ciphers.incoming(bytes);
        match buffers.read(&mut self.socket, limit, arrived, into) {
            Ok(0) => ReadOutcome::End,
            Ok(count) => {
                self.credit -= count as u32;
                ReadOutcome::Bytes
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                ReadOutcome::Nothing
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => ReadOutcome::Nothing,
            Err(_) => ReadOutcome::Broken,
        }
    }

    /// While there are bytes that may not be read yet, the poll need not tell of more: under a rate limit
    /// each packet would wake the loop for nothing. It tells again when all that came has been read.
    pub fn heed(&mut self, registry: &Registry, token: Token) {
        let deaf = self.connected && self.readable && (self.deaf || self.credit == 0);
        if deaf == self.deaf {
            return;
        }
        let interest = match deaf {
            true => Interest::WRITABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        // Where the system refuses, it is as before: the poll tells of more, or of less, than is needed.
        if registry.reregister(&mut self.socket, token, interest).is_ok() {
            self.deaf = deaf;
        }
    }

    /// Writes as much as the socket takes. Returns the number of bytes.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn write(&mut self) -> io::Result<u32> {
        let mut total = 0;
        let now = Instant::now();
        while let Some(front) = self.queue.front_mut() {
            let written = match front {
                Queued::Bytes(_) => self.write_bytes(),
                Queued::Stored(span, seen) => match is_warm(span, seen, now)? {
                    true => span.send(self.socket.as_fd()),
                    false => {
                        self.cold = true;
                        break;
                    }
                },
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    total += written as u32;
                    self.consume(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Writes what is queued in front of the next part of a file, with which it shares packets.
    fn write_bytes(&self) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut used = 0;
        let mut flags = QUIET;
        for queued in &self.queue {
            match queued {
                Queued::Bytes(bytes) if used < MAX_SLICES => slices[used] = IoSlice::new(bytes),
                Queued::Bytes(_) => break,
                Queued::Stored(..) => {
                    flags = QUIET_MORE;
                    break;
                }
            }
            used += 1;
        }
        // The header of a block goes alone; without a list of slices that costs less.
        if let ([Queued::Bytes(one), ..], 1) = (self.queue.as_slices().0, used) {
            return Ok(rustix::net::send(&self.socket, one, flags)?);
        }
        let mut control = SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(&self.socket, &slices[..used], &mut control, flags)?)
    }

    fn consume(&mut self, mut written: usize) {
        while let Some(front) = self.queue.front_mut() {
            let length = match front {
                Queued::Bytes(bytes) => bytes.len(),
                Queued::Stored(span, _) => span.length() as usize,
            };
            if length > written {
                match front {
                    Queued::Bytes(bytes) => bytes.advance(written),
                    Queued::Stored(span, _) => span.advance(written),
                }
                return;
            }
            written -= length;
            self.queue.pop_front();
        }
    }
}

/// Whether a span can be sent without waiting. What was in memory a moment ago is believed to be
/// there still; after that it is looked for again, and asked for if it is gone. Where somebody has
/// changed the file meanwhile, the block cannot be sent any more, and its header is out: an error.
fn is_warm(span: &Span, seen: &mut Instant, now: Instant) -> io::Result<bool> {
    if now.saturating_duration_since(*seen) < BELIEVED {
        return Ok(true);
    }
    if !span.is_unchanged() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if span.residence() == Residence::Device {
        span.prefetch();
        return Ok(false);
    }
    *seen = now;
    Ok(true)
}
