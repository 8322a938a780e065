//! One TCP connection: a write queue, read credit, and what the poll has told of readiness.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

use bytes::{Buf, Bytes};
use eddyline::base::ids::ConnId;
use mio::net::TcpStream;

use crate::buffers::Buffers;

/// Slices of one vectored write.
const MAX_SLICES: usize = 64;

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
    queue: VecDeque<Bytes>,
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
            queue: VecDeque::new(),
        }
    }

    /// Queues bytes.
    pub fn send(&mut self, bytes: Bytes) {
        self.queue.push_back(bytes);
    }

    /// True when something waits to be written and can be.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connected && self.writable && !self.queue.is_empty()
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
        match buffers.read(&mut self.socket, limit, into) {
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

    /// Writes as much as the socket takes. Returns the number of bytes.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn write(&mut self) -> io::Result<u32> {
        let mut total = 0;
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut used = 0;
            for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(bytes);
                used += 1;
            }
            let written = match self.socket.write_vectored(&slices[..used]) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            total += written as u32;
            self.consume(written);
        }
        Ok(total)
    }

    fn consume(&mut self, mut written: usize) {
        while let Some(front) = self.queue.front_mut() {
            if front.len() > written {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.queue.pop_front();
        }
    }
}
