//! Bytes of a file that go to a peer from where they lie, without being read.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::filesystem::{Residence, StoredFile};
use super::watch::Watch;

/// A run of bytes in an open file.
#[derive(Clone, Debug)]
pub struct Span {
    file: Arc<dyn StoredFile>,
    offset: u64,
    length: u32,
    /// Who knows how the file has to look, and the number of the file.
    watched: Option<(Arc<Watch>, u32)>,
}

impl Span {
    /// `length` bytes of `file` from `offset` on.
    #[must_use]
    pub fn new(file: Arc<dyn StoredFile>, offset: u64, length: u32) -> Self {
        Self { file, offset, length, watched: None }
    }

    /// The same span, of a file that has to look as `watch` knows the one with this number.
    pub(super) fn watched(self, watch: Arc<Watch>, index: u32) -> Self {
        Self { watched: Some((watch, index)), ..self }
    }

    /// Whether nobody else has changed the file.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.watched
            .as_ref()
            .is_none_or(|(watch, index)| matches!(watch.check(*index, &*self.file, None), Ok(None)))
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
        let (file, watched) = (self.file.clone(), self.watched.clone());
        Self { file, offset: self.offset + u64::from(at), length, watched }
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

    /// Reads all of it, as long as `into` is.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file has become shorter; whatever the system says.
    pub fn read(&self, into: &mut [u8]) -> io::Result<()> {
        debug_assert_eq!(into.len(), self.length as usize);
        self.file.read_at(into, self.offset)
    }

    /// What is left of it when its first bytes are sent.
    pub fn advance(&mut self, count: usize) {
        self.offset += count as u64;
        self.length -= count as u32;
    }
}
