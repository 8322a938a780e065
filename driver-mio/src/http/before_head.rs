//! How much a server may send before its answer begins: interim replies (`100 Continue`) may come without end, and each
//! is read and forgotten.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes from a request to the end of the answer's head, with what is read beyond it.
const MOST: u64 = 1 << 20;
const NO_LIMIT: u64 = u64::MAX;

/// What is left of that, shared with the stream that is counted.
#[derive(Clone, Debug)]
pub(super) struct BeforeHead(Arc<AtomicU64>);

impl BeforeHead {
    /// Bytes that come through the stream are counted.
    pub(super) fn over<S>(stream: S) -> (Self, Counted<S>) {
        let left = Self(Arc::new(AtomicU64::new(MOST)));
        (left.clone(), Counted { stream, left })
    }

    /// A request is about to be sent.
    pub(super) fn asked(&self) {
        self.0.store(MOST, Ordering::Relaxed);
    }

    /// Its answer has begun: what comes now is the body, which is counted where it is read.
    pub(super) fn answered(&self) {
        self.0.store(NO_LIMIT, Ordering::Relaxed);
    }

    /// Whether more came than may.
    pub(super) fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn came(&self, bytes: u64) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        if left == NO_LIMIT {
            return Ok(());
        }
        let left = left.saturating_sub(bytes);
        self.0.store(left, Ordering::Relaxed);
        if left == 0 { Err(ErrorKind::InvalidData.into()) } else { Ok(()) }
    }
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub(super) struct Counted<S> {
    stream: S,
    left: BeforeHead,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        Poll::Ready(self.left.came((into.filled().len() - before) as u64))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
