//! HTTP for trackers, on threads of their own: one request each, redirects left to the engine.

mod body;
mod places;
mod transport;
mod trust;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eddyline::base::addr::{Scope, scope};
use eddyline::base::ids::ExchangeId;
use eddyline::{Event, HttpEvent, HttpFailure, HttpGet};
use eddyline_disk::mailbox::Mailbox;
use ureq::config::IpFamily;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, Either, NextTimeout, RustlsConnector, Transport,
};

use self::places::Places;
use self::transport::PlainTransport;
use crate::dns::Names;
use crate::lines::{Shares, Workshop};
use crate::network::NetworkPolicy;

/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Exchanges at the same time: of one host, of hosts that have not answered yet, and in all.
/// However many trackers are silent, those that answer are asked.
const SHARES: Shares = Shares { in_all: 320, unproven: 48, each: 4 };
/// Exchanges at the same time at one address (of IPv6: one /64), under however many names.
const AT_ONE_ADDRESS: usize = 8;
/// How long an exchange waits for one of those.
const FOR_A_PLACE: Duration = Duration::from_secs(3);
/// How long one address gets to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The HTTP client.
#[derive(Debug)]
pub struct Http {
    workshop: Workshop<(ExchangeId, HttpGet)>,
    names: Names,
    places: Places,
    mailbox: Mailbox,
    user_agent: String,
}

impl Http {
    /// A client that leaves its results in `mailbox`, and goes out by the rules of `names`.
    #[must_use]
    pub fn start(mailbox: &Mailbox, user_agent: &str, names: Names) -> Self {
        let workshop = Workshop::new(SHARES);
        let places = Places::new(AT_ONE_ADDRESS, FOR_A_PLACE);
        let user_agent = user_agent.to_owned();
        Self { workshop, names, places, mailbox: mailbox.clone(), user_agent }
    }

    /// Begins an exchange.
    pub fn get(&self, id: ExchangeId, get: HttpGet) {
        let (names, mailbox) = (self.names.clone(), self.mailbox.clone());
        let (agent, places) = (self.user_agent.clone(), self.places.clone());
        let work = move |(id, get): (ExchangeId, HttpGet), _: &dyn Fn() -> Vec<_>| {
            let reply = fetch_from(&get, &agent, &names, &places);
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
        };
        self.workshop.push(line_of(&get.url), (id, get), &work);
    }
}

/// The line of a URL: its host. On this machine each port is somebody else.
fn line_of(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let port = uri.as_ref().and_then(Uri::port_u16);
    match (literal, port) {
        (Ok(ip), Some(port)) if scope(ip) == Scope::Loopback => format!("{host}:{port}"),
        _ => host.to_ascii_lowercase(),
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

/// Performs one request.
///
/// # Errors
/// The reason why there is no complete reply.
pub fn fetch(get: &HttpGet, user_agent: &str, names: &Names) -> Result<Reply, HttpFailure> {
    fetch_from(get, user_agent, names, &Places::new(1, Duration::ZERO))
}

/// The same where the server has one of its places free.
fn fetch_from(
    get: &HttpGet,
    user_agent: &str,
    names: &Names,
    places: &Places,
) -> Result<Reply, HttpFailure> {
    let connector = ().chain(PolicyConnector(names.policy().clone(), places.clone()));
    fetch_through(get, user_agent, names, connector.chain(RustlsConnector::default()))
}

/// The same over connections that `connector` makes.
pub(crate) fn fetch_through(
    get: &HttpGet,
    user_agent: &str,
    names: &Names,
    connector: impl Connector,
) -> Result<Reply, HttpFailure> {
    let uri: Uri = get.url.parse().map_err(|_| HttpFailure::BadUrl)?;
    let family = match get.ipv6 {
        None => IpFamily::Any,
        Some(false) => IpFamily::Ipv4Only,
        Some(true) => IpFamily::Ipv6Only,
    };
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .ip_family(family)
        .proxy(None)
        .timeout_global(Some(get.timeout))
        .user_agent(user_agent)
        .tls_config(trust::config())
        .build();
    let seen = Arc::new(Mutex::new(Scope::Public));
    let resolver = ScopedResolver { names: names.clone(), only: get.only, seen: seen.clone() };
    let agent = ureq::Agent::with_parts(config, connector, resolver);
    let request = agent.get(uri).header("accept-encoding", "gzip");
    let mut response = request.call().map_err(|error| failure(&error))?;
    let location = response
        .headers()
        .get("location")
        .and_then(|value| value.to_str().ok())
        .and_then(|location| absolute(&get.url, location.trim()));
    let body = body::read(&mut response, get.max_body)?;
    let scope = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    let status = response.status().as_u16();
    Ok(Reply { status, location, scope, body: body.bytes, whole: body.whole })
}

/// The target of a redirect as an absolute URL.
fn absolute(base: &str, location: &str) -> Option<String> {
    if has_scheme(location) {
        return Some(location.to_owned());
    }
    let scheme_end = base.find("://")? + 3;
    if let Some(rest) = location.strip_prefix("//") {
        return Some(format!("{}{rest}", &base[..scheme_end]));
    }
    let path = base[scheme_end..].find('/').map_or(base.len(), |at| scheme_end + at);
    if location.starts_with('/') {
        return Some(format!("{}{location}", &base[..path]));
    }
    let folder = base[..].split(['?', '#']).next()?.rfind('/').filter(|at| *at >= path)?;
    Some(format!("{}/{location}", &base[..folder]))
}

/// Whether a reference begins with a scheme, as `https:` or `magnet:`. A colon further behind, as in
/// a query, is no sign of one.
fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else { return false };
    let mut bytes = scheme.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn failure(error: &ureq::Error) -> HttpFailure {
    match error {
        ureq::Error::HostNotFound => HttpFailure::Lookup,
        ureq::Error::Timeout(_) => HttpFailure::TimedOut,
        ureq::Error::BadUri(_) => HttpFailure::BadUrl,
        ureq::Error::Rustls(error) => trust::meaning(error),
        ureq::Error::Tls(_) => HttpFailure::Tls,
        ureq::Error::Io(error) => trust::failure(error).unwrap_or_else(|| broken(error.kind())),
        ureq::Error::ConnectionFailed => HttpFailure::Connect,
        _ => HttpFailure::BadReply,
    }
}

/// What an error of a socket means.
fn broken(kind: ErrorKind) -> HttpFailure {
    match kind {
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

/// Resolves names and keeps only addresses that the exchange may reach.
#[derive(Debug)]
struct ScopedResolver {
    names: Names,
    only: Option<Scope>,
    seen: Arc<Mutex<Scope>>,
}

impl ScopedResolver {
    fn look_up(&self, host: &str, timeout: NextTimeout) -> Result<Vec<IpAddr>, ureq::Error> {
        // The system's resolver knows no time-out: it may end later, and nobody waits for it.
        let (names, host) = (self.names.clone(), host.to_owned());
        let (done, result) = crossbeam_channel::bounded(1);
        let look = move || drop(done.send(names.look_up(&host)));
        let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(look);
        thread.map_err(ureq::Error::Io)?;
        let found = match timeout.not_zero() {
            Some(patience) => {
                result.recv_timeout(*patience).map_err(|_| ureq::Error::Timeout(timeout.reason))?
            }
            None => result.recv().map_err(|_| ureq::Error::Timeout(timeout.reason))?,
        };
        found.map_err(|_| ureq::Error::HostNotFound)
    }
}

impl Resolver for ScopedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let found = match literal {
            Ok(ip) if self.names.policy().reaches(ip) => vec![ip],
            Ok(_) => return Err(ureq::Error::HostNotFound),
            Err(_) => self.look_up(host, timeout)?,
        };
        let found = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect::<Vec<_>>();
        let family = config.ip_family();
        let mut wanted = family.keep_wanted(found.into_iter()).peekable();
        if wanted.peek().is_none() {
            return Err(ureq::Error::HostNotFound);
        }
        let mut kept = self.empty();
        for addr in wanted.filter(|addr| self.only.is_none_or(|only| scope(addr.ip()) <= only)) {
            if kept.len() < MAX_ADDRESSES {
                kept.push(addr);
            }
        }
        if kept.is_empty() {
            // The only error of this kind; no resolver returns it for itself.
            return Err(std::io::Error::from(ErrorKind::PermissionDenied).into());
        }
        // Of several addresses the most public one counts, whichever is reached.
        let widest = kept.iter().map(|addr| scope(addr.ip())).min().unwrap_or(Scope::Public);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = widest;
        Ok(kept)
    }
}

/// Whether an address that failed so told at least as much as one that failed in the other way.
fn came_as_far(error: &std::io::Error, other: &std::io::Error) -> bool {
    let far = |error: &std::io::Error| match error.kind() {
        ErrorKind::ConnectionRefused => 2,
        ErrorKind::TimedOut => 1,
        _ => 0,
    };
    far(error) >= far(other)
}

/// Connects by the sockets of a policy, where there is a place.
#[derive(Debug)]
struct PolicyConnector(NetworkPolicy, Places);

impl<In: Transport> Connector<In> for PolicyConnector {
    type Out = Either<In, PlainTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if chained.is_some() {
            return Ok(chained.map(Either::A));
        }
        let began = Instant::now();
        let patience = details.timeout.not_zero().map_or(CONNECT, |patience| *patience);
        let mut failed: Option<std::io::Error> = None;
        for (at, addr) in details.addrs.iter().enumerate() {
            let left = patience.saturating_sub(began.elapsed());
            let share = left / u32::try_from(details.addrs.len() - at).unwrap_or(1);
            if share.is_zero() {
                return Err(ureq::Error::Timeout(details.timeout.reason));
            }
            let Some(place) = self.1.take(*addr, share) else {
                failed = Some(ErrorKind::TimedOut.into());
                continue;
            };
            match self.0.connect_within(*addr, share.min(CONNECT)) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Some(Either::B(PlainTransport::new(stream, place, details.config))));
                }
                // Of several addresses the one that came farthest has something to say.
                Err(why) if failed.as_ref().is_none_or(|other| came_as_far(&why, other)) => {
                    failed = Some(why);
                }
                Err(_) => {}
            }
        }
        Err(failed.unwrap_or_else(|| ErrorKind::ConnectionRefused.into()).into())
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of redirects and of replies.

    use std::io::{BufRead, BufReader, Write};
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Duration;

    use eddyline::{HttpFailure, HttpGet};

    use super::places::Places;
    use super::{Names, NetworkPolicy, absolute, fetch, fetch_from};

    /// Serves one reply and returns the URL.
    fn serve(head: String, body: Vec<u8>) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/announce", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            // The client may hang up in the middle; that is one of the cases.
            let head = format!("HTTP/1.1 200 OK\r\n{head}Connection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        });
        url
    }

    fn names() -> Names {
        Names::new(NetworkPolicy::default())
    }

    fn zipped(data: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(data).unwrap();
        out.finish().unwrap()
    }

    fn get(url: String) -> HttpGet {
        HttpGet { url, ipv6: None, only: None, max_body: 100_000, timeout: Duration::from_secs(20) }
    }

    #[test]
    fn a_compressed_reply_is_understood_and_an_endless_one_is_not_kept() {
        let text = b"d8:intervali1800e5:peers0:e";
        let url = serve("Content-Encoding: gzip\r\n".into(), zipped(text));
        assert_eq!(fetch(&get(url), "test", &names()).unwrap().body, text);
        // A hundred kilobytes on the wire, a hundred megabytes behind it.
        let url = serve("Content-Encoding: gzip\r\n".into(), zipped(&vec![0; 100_000_000]));
        assert!(matches!(fetch(&get(url), "test", &names()), Err(HttpFailure::BadReply)));
        let url = serve(String::new(), vec![b'x'; 1_000_000]);
        assert!(matches!(fetch(&get(url), "test", &names()), Err(HttpFailure::BadReply)));
    }

    #[test]
    fn one_address_has_eight_exchanges_under_however_many_names() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (go, gate) = crossbeam_channel::bounded::<()>(0);
        std::thread::spawn(move || {
            let eight: Vec<_> = (0..8).map(|_| listener.accept().unwrap().0).collect();
            let _ = gate.recv();
            for mut stream in eight {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nde");
            }
        });
        let places = Places::new(8, Duration::ZERO);
        let (done, results) = crossbeam_channel::unbounded();
        for host in ["127.0.0.1", "127.1", "2130706433", "0x7f.1"].repeat(4) {
            let (done, places) = (done.clone(), places.clone());
            let get = get(format!("http://{host}:{port}/announce"));
            std::thread::spawn(move || done.send(fetch_from(&get, "test", &names(), &places)));
        }
        // Nobody is answered yet, so these were refused a place.
        for _ in 0..8 {
            assert!(matches!(results.recv().unwrap(), Err(HttpFailure::TimedOut)));
        }
        drop(go);
        for _ in 0..8 {
            assert_eq!(results.recv().unwrap().unwrap().body, b"de");
        }
        let addr = |text: &str| text.parse().unwrap();
        let one: Vec<_> =
            (0..9).map(|_| places.take(addr("203.0.113.1:80"), Duration::ZERO)).collect();
        assert!(one[7].is_some() && one[8].is_none());
        assert!(places.take(addr("203.0.113.1:443"), Duration::ZERO).is_none());
        assert!(places.take(addr("203.0.113.2:80"), Duration::ZERO).is_some());
        drop(one);
        assert!(places.take(addr("203.0.113.1:443"), Duration::ZERO).is_some());
    }

    #[test]
    fn gzip_has_two_names_in_any_case_and_ends_where_it_ends() {
        let text = b"d8:intervali1800e5:peers0:e";
        let half = zipped(b"d8:interval").into_iter().chain(zipped(b"i1800e5:peers0:e")).collect();
        let with_tail = zipped(text).into_iter().chain(*b"\r\n").collect();
        for (name, body) in [
            ("x-gzip", zipped(text)),
            ("GZIP", zipped(text)),
            (" X-GZip ", zipped(text)),
            ("gzip", half),
            ("gzip", with_tail),
            ("gzip", text.to_vec()),
            ("identity", text.to_vec()),
        ] {
            let url = serve(format!("Content-Encoding: {name}\r\n"), body);
            let reply = fetch(&get(url), "test", &names()).unwrap();
            assert!(reply.body == text && reply.whole, "{name}");
        }
    }

    #[test]
    fn what_came_of_a_reply_that_promised_more_is_kept() {
        let text = b"d8:intervali1800e5:peers0:e";
        for head in
            ["Content-Length: 1000\r\n", "Content-Encoding: x-gzip\r\nContent-Length: 1000\r\n"]
        {
            let body = if head.contains("gzip") { zipped(text) } else { text.to_vec() };
            let reply = fetch(&get(serve(head.into(), body)), "test", &names()).unwrap();
            assert_eq!((&reply.body[..], reply.whole), (&text[..], false), "{head}");
        }
        let chunks = b"1b\r\nd8:intervali1800e5:peers0:e\r\n".to_vec();
        let reply =
            fetch(&get(serve("Transfer-Encoding: chunked\r\n".into(), chunks)), "test", &names());
        assert_eq!(reply.unwrap().body, text);
        let nothing =
            fetch(&get(serve("Content-Length: 5\r\n".into(), Vec::new())), "test", &names());
        assert!(matches!(nothing, Err(HttpFailure::BadReply)));
    }

    #[test]
    fn a_server_that_falls_silent_in_the_middle_of_a_body_is_late_and_not_wrong() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/a.torrent", listener.local_addr().unwrap());
        let silent = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nd8:announce";
            stream.write_all(head).unwrap();
            // It stays connected for as long as somebody waits.
            drop(std::io::copy(&mut stream, &mut std::io::sink()));
        });
        let get = HttpGet { timeout: Duration::from_millis(500), ..get(url) };
        assert!(matches!(fetch(&get, "test", &names()), Err(HttpFailure::TimedOut)));
        silent.join().unwrap();
    }

    #[test]
    fn redirect_targets_are_made_absolute() {
        let base = "http://t.example:80/a/announce?x=/1";
        let to = |location| absolute(base, location).unwrap();
        assert_eq!(to("https://o/x"), "https://o/x");
        assert_eq!(to("//o/x"), "http://o/x");
        assert_eq!(to("/b"), "http://t.example:80/b");
        assert_eq!(to("b"), "http://t.example:80/a/b");
        assert_eq!(to("/b?next=http://x/"), "http://t.example:80/b?next=http://x/");
        assert_eq!(to("b?next=http://x/"), "http://t.example:80/a/b?next=http://x/");
        assert_eq!(to("magnet:?xt=urn:btih:00"), "magnet:?xt=urn:btih:00");
    }
}
