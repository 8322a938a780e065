//! How much a server may send that is of no use: interim replies (`100 Continue`) may come without end before an answer
//! begins, and what is around the parts of a body may be as long as the server likes. Each is read and forgotten.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes from a request to the end of the answer's head, and between two parts of its body, with what is read ahead.
const MOST: u64 = 1 << 20;
/// Bytes that a byte of a body may come with: a part of one byte has six in all.
const AROUND: u64 = 8;
/// A part that is shorter waits for others, for how long.
const SMALL: usize = 4096;
const MOMENT: Duration = Duration::from_millis(2);

/// What is left of that, shared with the stream that is counted.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    /// Bytes that come through the stream are counted.
    pub(super) fn over<S>(stream: S) -> (Self, Counted<S>) {
        let left = Self(Arc::new(AtomicU64::new(MOST)));
        (left.clone(), Counted { stream, left })
    }

    /// A request is about to be sent.
    pub(super) fn asked(&self) {
        self.0.store(MOST, Ordering::Relaxed);
    }

    /// Whether more came than may.
    pub(super) fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn came(&self, bytes: u64) -> io::Result<()> {
        let less = |left: u64| Some(left.saturating_sub(bytes));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if self.is_used_up() { Err(ErrorKind::InvalidData.into()) } else { Ok(()) }
    }

    /// Part of a body is of use. Where too much came already, nothing makes up for it.
    fn was_of_use(&self, bytes: u64) {
        let more = |left: u64| (left > 0).then(|| MOST.min(left + AROUND * bytes));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Body {
    incoming: Incoming,
    allowance: Allowance,
    /// What came after parts that were joined.
    behind: Option<Option<hyper::Result<Bytes>>>,
}

impl Body {
    /// The body of an answer that comes over a stream that is counted.
    pub(super) fn new(incoming: Incoming, allowance: &Allowance) -> Self {
        Self { incoming, allowance: allowance.clone(), behind: None }
    }

    /// The next part of it; `None` behind the last.
    pub(super) async fn next(&mut self) -> Option<hyper::Result<Bytes>> {
        if let Some(behind) = self.behind.take() {
            return behind;
        }
        let frame = self.incoming.frame().await?;
        Some(frame.map(|frame| {
            let bytes = frame.into_data().unwrap_or_default();
            self.allowance.was_of_use(bytes.len() as u64);
            bytes
        }))
    }

    /// The same; a small part waits a moment for others, so that who sends byte by byte costs no more than others.
    pub(super) async fn joined(&mut self) -> Option<hyper::Result<Bytes>> {
        let first = match self.next().await? {
            Ok(first) if first.len() < SMALL && !self.incoming.is_end_stream() => first,
            other => return Some(other),
        };
        tokio::time::sleep(MOMENT).await;
        let mut joined = BytesMut::from(&first[..]);
        while joined.len() < SMALL {
            // What moves the bytes has its turn, and this one looks once.
            tokio::task::yield_now().await;
            match tokio::time::timeout(Duration::ZERO, self.next()).await {
                Ok(Some(Ok(part))) => joined.extend_from_slice(&part),
                Ok(end) => {
                    self.behind = Some(end);
                    break;
                }
                Err(_) => break,
            }
        }
        Some(Ok(joined.freeze()))
    }
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub(super) struct Counted<S> {
    stream: S,
    left: Allowance,
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
