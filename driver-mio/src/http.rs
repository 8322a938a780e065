//! HTTP on the thread of the services, redirects left to the engine: for trackers one request each, for web seeds
//! ranges of files as far as there is credit.

mod allowance;
mod body;
mod connect;
pub mod download;
mod exchange;
mod kept;
mod places;
mod ranges;
mod target;
#[cfg(test)]
mod tests;
mod through;
mod trust;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use eddyline::base::addr::{Scope, scope};
use eddyline::base::ids::{ConnId, ExchangeId};
use eddyline::{Event, HttpEvent, HttpFailure, HttpGet, StreamAction, StreamEvent};
use eddyline_disk::mailbox::Mailbox;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Host;

use self::exchange::Client;
use self::kept::{Kept, Link};
use self::places::Places;
use self::ranges::{Asking, Ranges};
use self::target::Target;
use crate::dns::Names;
use crate::lines::{Shares, Workshop};
use crate::platform;

/// Exchanges at the same time: of one host, of hosts that have not answered yet, and in all.
/// However many trackers are silent, those that answer are asked.
const MOST: Shares = Shares { in_all: 2048, unproven: 1024, each: 4 };
/// Of all files that a process may have open, one in this many may be a connection for HTTP.
const OF_FILES: u64 = 4;
/// Exchanges at the same time at one address (of IPv6: one /64), under however many names.
const AT_ONE_ADDRESS: usize = 8;
/// The same at a proxy, which leads to many.
const AT_A_PROXY: usize = 128;
/// How long an exchange waits for one of those.
const FOR_A_PLACE: Duration = Duration::from_secs(3);
/// The same of a request to a web seed.
const FOR_A_RANGE: Duration = Duration::from_secs(15);

/// The HTTP client.
#[derive(Debug)]
pub struct Http {
    workshop: Workshop<(ExchangeId, HttpGet)>,
    names: Names,
    client: Arc<Client>,
    mailbox: Mailbox,
    /// Requests to web seeds, which take no places from trackers.
    ranges: Ranges,
    asking: Arc<Asking>,
}

impl Http {
    /// A client that leaves its results in `mailbox`, and goes out by the rules of `names`.
    #[must_use]
    pub fn start(mailbox: &Mailbox, user_agent: &str, names: Names) -> Self {
        let user_agent = names.policy().user_agent(user_agent);
        let client = |patience| Client::new(user_agent, patience);
        let (asking, client) = (client(FOR_A_RANGE), Arc::new(client(FOR_A_PLACE)));
        let mailbox = mailbox.clone();
        let (names, own) = (names.clone(), mailbox.clone());
        let asking = Arc::new(Asking { client: asking, names: names.clone(), mailbox: own });
        let workshop = Workshop::new(shares(platform::most_open_files()));
        let ranges = Ranges::default();
        Self { workshop, names, client, mailbox, ranges, asking }
    }

    /// Performs an action on a request to a web seed. Gives it back where it is for another kind of connection.
    pub fn stream(&self, conn: ConnId, action: StreamAction) -> Option<StreamAction> {
        self.ranges.perform(conn, action, || match self.names.thread().handle() {
            Ok(thread) => Some((self.asking.clone(), thread)),
            Err(_) => {
                let failed = StreamEvent::NotFetched(HttpFailure::Connect);
                self.mailbox.leave([Event::Stream(conn, failed)]);
                None
            }
        })
    }

    /// Takes out of `events`, from one on, what is about requests that the engine has closed meanwhile.
    pub fn sift(&self, events: &mut Vec<Event>, from: usize) {
        self.ranges.sift(events, from);
    }

    /// Begins an exchange.
    pub fn get(&self, id: ExchangeId, get: HttpGet) {
        let Ok(thread) = self.names.thread().handle() else {
            let failed = HttpEvent::Failed(HttpFailure::Connect);
            return self.mailbox.leave([Event::Http(id, failed)]);
        };
        let (resolver, mailbox) = (self.names.resolver().clone(), self.mailbox.clone());
        let client = self.client.clone();
        let work = move |(id, get): (ExchangeId, HttpGet), _| {
            let (resolver, mailbox, client) = (resolver.clone(), mailbox.clone(), client.clone());
            async move {
                let reply = client.fetch(&get, &resolver).await;
                let answered = reply.is_ok();
                let events = match reply {
                    Ok(reply) => {
                        let Reply { status, location, scope, body, whole: _ } = reply;
                        vec![
                            HttpEvent::Head { status, location, scope },
                            HttpEvent::Body(body.into()),
                            HttpEvent::Finished,
                        ]
                    }
                    Err(failure) => vec![HttpEvent::Failed(failure)],
                };
                mailbox.leave(events.into_iter().map(|event| Event::Http(id, event)));
                answered
            }
        };
        self.workshop.push(&thread, line_of(&get.url), (id, get), work);
    }
}

impl Client {
    fn new(user_agent: &str, patience: Duration) -> Self {
        Self {
            user_agent: user_agent.to_owned(),
            places: Places::new(AT_ONE_ADDRESS, patience),
            at_proxies: Places::new(AT_A_PROXY, patience),
            kept: Kept::default(),
        }
    }
}

/// How many exchanges there may be at the same time, by how many files may be open.
fn shares(files: u64) -> Shares {
    let in_all = usize::try_from(files / OF_FILES).unwrap_or(MOST.in_all).clamp(64, MOST.in_all);
    Shares { in_all, unproven: (in_all * 3 / 4).min(MOST.unproven), each: MOST.each }
}

/// The line of a URL: its host. On this machine each port is somebody else.
fn line_of(url: &str) -> String {
    let Some(Target { origin, .. }) = Target::parse(url) else { return String::new() };
    let ip = match &origin.host {
        Host::Ipv4(ip) => Some((*ip).into()),
        Host::Ipv6(ip) => Some((*ip).into()),
        Host::Domain(_) => None,
    };
    match ip {
        Some(ip) if scope(ip) == Scope::Loopback => format!("{ip}:{}", origin.port),
        _ => origin.host.to_string().trim_end_matches('.').to_owned(),
    }
}

/// A complete reply.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Absolute URL of a redirect.
    pub location: Option<String>,
    /// Scope of the server's address.
    pub scope: Scope,
    /// The body, or the beginning of it.
    pub body: Vec<u8>,
    /// The server kept the connection until everything that it promised was sent.
    pub whole: bool,
}

/// Performs one request, and waits for it.
///
/// # Errors
/// The reason why there is no complete reply.
pub fn fetch(get: &HttpGet, user_agent: &str, names: &Names) -> Result<Reply, HttpFailure> {
    let thread = names.thread().handle().map_err(|_| HttpFailure::Connect)?;
    let (get, resolver) = (get.clone(), names.resolver().clone());
    let client = Client::new(names.policy().user_agent(user_agent), FOR_A_PLACE);
    let (done, reply) = crossbeam_channel::bounded(1);
    thread.spawn(async move {
        let _ = done.send(client.fetch(&get, &resolver).await);
    });
    reply.recv().unwrap_or(Err(HttpFailure::Connect))
}

/// The same over a connection that is there already.
pub(crate) async fn fetch_over(
    get: &HttpGet,
    user_agent: &str,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Reply, HttpFailure> {
    let target = Target::parse(&get.url).ok_or(HttpFailure::BadUrl)?;
    let remote = std::net::SocketAddr::from(([20, 1, 1, 1], 80));
    let link = Link::over(stream, remote, scope(remote.ip())).await;
    let mut link = link.map_err(|_| HttpFailure::Connect)?;
    exchange::over(&mut link, &target, get, user_agent).await
}

/// What an error of a socket means.
fn broken(error: &io::Error) -> HttpFailure {
    match error.kind() {
        ErrorKind::PermissionDenied => HttpFailure::Forbidden,
        ErrorKind::ConnectionRefused => HttpFailure::Refused,
        ErrorKind::TimedOut => HttpFailure::TimedOut,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => HttpFailure::Closed,
        _ => HttpFailure::Connect,
    }
}
