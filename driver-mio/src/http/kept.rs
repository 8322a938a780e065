//! Connections, and those that are kept for the next exchange with the same server.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline::HttpFailure;
use eddyline::base::addr::{Scope, scope};
use eddyline::base::prefix::Prefix;
use http_body_util::Empty;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::allowance::{Allowance, Body};
use super::exchange::failure;
use super::target::Origin;
use crate::network::NetworkPolicy;
use crate::standing::Standing;

/// Connections that are kept: in all, to one origin, and to one address under whatever name.
const MOST: usize = 64;
const EACH: usize = 4;
const AT_ONE_ADDRESS: usize = 8;
/// How long one is kept.
const KEEP: Duration = Duration::from_secs(30);
/// Most bytes of a reply's head, and most lines of it.
const MAX_HEAD: usize = 64 << 10;
const MAX_LINES: usize = 128;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Link {
    sender: SendRequest<Empty<Bytes>>,
    allowance: Allowance,
    /// Where it leads; that is a proxy where there is one.
    pub(super) remote: SocketAddr,
    /// The most public of the addresses that its host had.
    pub(super) widest: Scope,
    /// What is known of whom a proxy leads to.
    pub(super) behind: Option<Behind>,
    /// How what may be used of the network stood when it was made.
    pub(super) standing: Option<Arc<Standing>>,
    work: Work,
}

/// Who is behind a proxy.
#[derive(Clone, Debug, Default)]
pub(super) struct Behind {
    /// Its address, where its URL has one. Otherwise only the proxy knows.
    pub(super) ip: Option<IpAddr>,
    /// The proxy asks for us, and is told the whole URL; with what it wants of user and password.
    pub(super) asks: Option<Option<HeaderValue>>,
}

/// What moves the bytes of a connection, which ends with it.
#[derive(Debug)]
struct Work(JoinHandle<()>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// A connection over `stream`, which leads to `remote`.
    pub(super) async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        remote: SocketAddr,
        widest: Scope,
    ) -> hyper::Result<Self> {
        let mut builder = Builder::new();
        // What servers send that are older than the rules.
        builder.allow_spaces_after_header_name_in_responses(true);
        builder.allow_obsolete_multiline_headers_in_responses(true);
        builder.ignore_invalid_headers_in_responses(true);
        builder.max_headers(MAX_LINES).max_buf_size(MAX_HEAD).title_case_headers(true);
        let (allowance, stream) = Allowance::over(stream);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let work = Work(tokio::spawn(async move { drop(connection.await) }));
        Ok(Self { sender, allowance, remote, widest, behind: None, standing: None, work })
    }

    /// Sends a request, and waits for the head of the answer.
    pub(super) async fn ask(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Body>, HttpFailure> {
        self.allowance.asked();
        let answer = self.sender.send_request(request).await;
        if self.allowance.is_used_up() {
            return Err(HttpFailure::BadReply);
        }
        let answer = answer.map_err(|error| failure(&error))?;
        Ok(answer.map(|body| Body::new(body, &self.allowance)))
    }

    fn is_usable(&self) -> bool {
        self.sender.is_ready() && !self.work.0.is_finished()
    }
}

/// Those that are kept, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    links: VecDeque<(Instant, Origin, Link)>,
    /// Somebody sees to it that none is kept too long.
    watched: bool,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a connection on which everything has come.
    pub(super) fn put(&self, origin: Origin, link: Link) {
        let mut shelf = self.lock();
        let at_address = |other: &Link| Prefix::of(other.remote.ip());
        let here = at_address(&link);
        shelf.let_go(|(_, other, _)| *other == origin, EACH);
        shelf.let_go(|(_, _, other)| at_address(other) == here, AT_ONE_ADDRESS);
        shelf.let_go(|_| true, MOST);
        shelf.links.push_back((Instant::now(), origin, link));
        if !std::mem::replace(&mut shelf.watched, true) {
            tokio::spawn(watch(Arc::downgrade(&self.0)));
        }
    }

    /// A connection to `origin` that leads where the exchange may go.
    pub(super) fn take(
        &self,
        origin: &Origin,
        ipv6: Option<bool>,
        only: Option<Scope>,
        policy: &NetworkPolicy,
    ) -> Option<Link> {
        let standing = policy.standing();
        let mut shelf = self.lock();
        shelf.forget();
        // Connections of an address that is gone lead nowhere.
        shelf.links.retain(|(_, _, link)| link.standing == standing);
        let may = |link: &Link| {
            let (ip, nearest) = match &link.behind {
                None => (Some(link.remote.ip()), scope(link.remote.ip())),
                Some(behind) => (behind.ip, link.widest),
            };
            !ip.is_some_and(|ip| policy.filter().blocks(ip))
                && ipv6.is_none_or(|six| ip.is_some_and(|ip| ip.is_ipv6()) == six)
                && only.is_none_or(|only| nearest <= only)
        };
        // The one that was used last lives longest.
        let at = shelf.links.iter().rposition(|(_, other, link)| other == origin && may(link))?;
        shelf.links.remove(at).map(|(_, _, link)| link)
    }
}

impl Shelf {
    /// Of those that are `alike` the oldest go until one more makes `most`.
    fn let_go(&mut self, alike: impl Fn(&(Instant, Origin, Link)) -> bool, most: usize) {
        while self.links.iter().filter(|one| alike(one)).count() >= most {
            let Some(at) = self.links.iter().position(&alike) else { return };
            self.links.remove(at);
        }
    }

    /// Those that are too old, or that the server has closed, go.
    fn forget(&mut self) {
        self.links.retain(|(since, _, link)| since.elapsed() < KEEP && link.is_usable());
    }
}

async fn watch(shelf: Weak<Mutex<Shelf>>) {
    loop {
        tokio::time::sleep(KEEP / 2).await;
        let Some(shelf) = shelf.upgrade().map(Kept) else { return };
        let mut shelf = shelf.lock();
        shelf.forget();
        if shelf.links.is_empty() {
            shelf.watched = false;
            return;
        }
    }
}
