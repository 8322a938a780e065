//! What the fuzzers run of the driver: what a web server may send to somebody who asked it for peers or for a
//! torrent. No part of the interface.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use eddyline::HttpGet;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::fetch_over;

/// The name of a target, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of the driver.
pub const TARGETS: &[Target] = &[("http_replies", http_replies)];

/// Longest body that is asked for.
const MAX_BODY: u32 = 50_000;

/// A connection on which a reply waits, whatever is asked.
#[derive(Debug)]
struct Canned {
    reply: Vec<u8>,
    at: usize,
    /// Somebody has asked.
    asked: bool,
}

impl AsyncRead for Canned {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.asked {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let rest = &self.reply[self.at..];
        let count = rest.len().min(room.remaining());
        room.put_slice(&rest[..count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Canned {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// No reply brings the client down, takes more than was asked for, or leads to what is no URL.
pub fn http_replies(data: &[u8]) {
    let url = "http://20.1.1.1/announce?x=1".to_owned();
    let timeout = Duration::from_secs(20);
    let get = HttpGet { url, ipv6: None, only: None, max_body: MAX_BODY, timeout };
    let server = Canned { reply: data.to_vec(), at: 0, asked: false };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    if let Ok(reply) = runtime.block_on(fetch_over(&get, "fuzz", server)) {
        assert!(reply.body.len() <= MAX_BODY as usize);
        assert!((100..1000).contains(&reply.status), "{}", reply.status);
        assert!(reply.location.is_none_or(|location| location.contains(':')));
    }
}
