//! HTTP for trackers, on threads of their own: one request each, redirects left to the engine.

use std::io::Read;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use eddyline::base::addr::{Scope, scope};
use eddyline::base::ids::ExchangeId;
use eddyline::{Event, HttpEvent, HttpFailure, HttpGet};
use ureq::config::IpFamily;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::mailbox::Mailbox;

const THREADS: usize = 8;

/// The HTTP client.
#[derive(Debug)]
pub struct Http {
    jobs: Sender<(ExchangeId, HttpGet)>,
}

impl Http {
    /// Starts the threads.
    #[must_use]
    pub fn start(mailbox: &Mailbox, user_agent: &str) -> Self {
        let (jobs, queue) = unbounded();
        for _ in 0..THREADS {
            let (queue, mailbox) = (queue.clone(), mailbox.clone());
            let agent = user_agent.to_owned();
            std::thread::spawn(move || work(&queue, &mailbox, &agent));
        }
        Self { jobs }
    }

    /// Begins an exchange.
    pub fn get(&self, id: ExchangeId, get: HttpGet) {
        // The threads live as long as this sender.
        let _ = self.jobs.send((id, get));
    }
}

fn work(queue: &Receiver<(ExchangeId, HttpGet)>, mailbox: &Mailbox, user_agent: &str) {
    while let Ok((id, get)) = queue.recv() {
        let events = match fetch(&get, user_agent) {
            Ok(reply) => {
                let Reply { status, location, scope, body } = reply;
                vec![
                    HttpEvent::Head { status, location, scope },
                    HttpEvent::Body(body.into()),
                    HttpEvent::Finished,
                ]
            }
            Err(failure) => vec![HttpEvent::Failed(failure)],
        };
        mailbox.leave(events.into_iter().map(|event| Event::Http(id, event)));
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
    /// The body.
    pub body: Vec<u8>,
}

/// Performs one request.
///
/// # Errors
/// The reason why there is no complete reply.
pub fn fetch(get: &HttpGet, user_agent: &str) -> Result<Reply, HttpFailure> {
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
        .timeout_global(Some(Duration::from_secs(get.timeout.into())))
        .user_agent(user_agent)
        .build();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Scope::Local));
    let resolver = ScopedResolver { inner: DefaultResolver::default(), only: get.only, seen };
    let seen = resolver.seen.clone();
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), resolver);
    let mut response = agent.get(uri).call().map_err(|error| failure(&error))?;
    let location = response
        .headers()
        .get("location")
        .and_then(|value| value.to_str().ok())
        .and_then(|location| absolute(&get.url, location));
    let mut body = Vec::new();
    let reader = response.body_mut().as_reader();
    let limit = u64::from(get.max_body) + 1;
    reader.take(limit).read_to_end(&mut body).map_err(|_| HttpFailure::BadReply)?;
    if body.len() as u64 == limit {
        return Err(HttpFailure::BadReply);
    }
    let scope = *seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(Reply { status: response.status().as_u16(), location, scope, body })
}

/// The target of a redirect as an absolute URL.
fn absolute(base: &str, location: &str) -> Option<String> {
    if location.contains("://") {
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

fn failure(error: &ureq::Error) -> HttpFailure {
    match error {
        ureq::Error::HostNotFound => HttpFailure::Lookup,
        ureq::Error::Timeout(_) => HttpFailure::TimedOut,
        ureq::Error::BadUri(_) => HttpFailure::BadUrl,
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => HttpFailure::Tls,
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            HttpFailure::Forbidden
        }
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed => HttpFailure::Connect,
        _ => HttpFailure::BadReply,
    }
}

/// Resolves names and keeps only addresses that the exchange may reach.
#[derive(Debug)]
struct ScopedResolver {
    inner: DefaultResolver,
    only: Option<Scope>,
    seen: std::sync::Arc<std::sync::Mutex<Scope>>,
}

impl Resolver for ScopedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        for addr in found.iter() {
            if self.only.is_none_or(|only| scope(addr.ip()) == only) {
                kept.push(*addr);
            }
        }
        if kept.is_empty() {
            // The only error of this kind; no resolver returns it for itself.
            return Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied).into());
        }
        let public = kept.iter().any(|addr| scope(addr.ip()) == Scope::Public);
        if public {
            *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Scope::Public;
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of redirects and of replies.

    use std::io::{BufRead, BufReader, Write};
    use std::net::{Ipv4Addr, TcpListener};

    use eddyline::{HttpFailure, HttpGet};

    use super::{absolute, fetch};

    /// Serves one reply and returns the URL.
    fn serve(head: &'static str, body: Vec<u8>) -> String {
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

    fn get(url: String) -> HttpGet {
        HttpGet { url, ipv6: None, only: None, max_body: 100_000, timeout: 20 }
    }

    #[test]
    fn a_compressed_reply_is_understood_and_an_endless_one_is_not_kept() {
        let zipped = |data: &[u8]| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            out.write_all(data).unwrap();
            out.finish().unwrap()
        };
        let text = b"d8:intervali1800e5:peers0:e";
        let url = serve("Content-Encoding: gzip\r\n", zipped(text));
        assert_eq!(fetch(&get(url), "test").unwrap().body, text);
        // A hundred kilobytes on the wire, a hundred megabytes behind it.
        let url = serve("Content-Encoding: gzip\r\n", zipped(&vec![0; 100_000_000]));
        assert!(matches!(fetch(&get(url), "test"), Err(HttpFailure::BadReply)));
        let url = serve("", vec![b'x'; 1_000_000]);
        assert!(matches!(fetch(&get(url), "test"), Err(HttpFailure::BadReply)));
    }

    #[test]
    fn redirect_targets_are_made_absolute() {
        let base = "http://t.example:80/a/announce?x=/1";
        let to = |location| absolute(base, location).unwrap();
        assert_eq!(to("https://o/x"), "https://o/x");
        assert_eq!(to("//o/x"), "http://o/x");
        assert_eq!(to("/b"), "http://t.example:80/b");
        assert_eq!(to("b"), "http://t.example:80/a/b");
    }
}
