//! Bytes of a file that go to a peer from where they lie, without being read.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::filesystem::{Residence, StoredFile};

/// A run of bytes in an open file.
#[derive(Clone, Debug)]
pub struct Span {
    file: Arc<dyn StoredFile>,
    offset: u64,
    length: u32,
}

impl Span {
    pub(crate) fn new(file: Arc<dyn StoredFile>, offset: u64, length: u32) -> Self {
        Self { file, offset, length }
    }

    /// Bytes in it.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.length
    }

    /// `length` of its bytes from `at` on.
    #[must_use]
    pub fn part(&self, at: u32, length: u32) -> Self {
        debug_assert!(at + length <= self.length);
        Self { file: self.file.clone(), offset: self.offset + u64::from(at), length }
    }

    /// Whether it can be sent without waiting.
    #[must_use]
    pub fn residence(&self) -> Residence {
        self.file.residence(self.offset, self.length)
    }

    /// Asks for it to be in memory soon.
    pub fn prefetch(&self) {
        self.file.prefetch(self.offset, self.length);
    }

    /// Sends as much of it as the socket takes. Returns the number of bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file has become shorter; whatever the system says.
    pub fn send(&self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        match self.file.send(socket, self.offset, self.length)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }

    /// What is left of it when its first bytes are sent.
    pub fn advance(&mut self, count: usize) {
        self.offset += count as u64;
        self.length -= count as u32;
    }
}
