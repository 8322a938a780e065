//! What is asked of web servers: ranges of files that there are, a few at once, and nothing that was not allowed.

use std::collections::BTreeMap;

use eddyline::base::addr::Scope;
use eddyline::base::ids::ConnId;
use eddyline::base::time::Instant;
use eddyline::{Action, Command, Event, RangeGet, StreamAction, StreamEvent};

/// Requests to one server at the same time.
const MOST: usize = 4;
/// Bytes that are asked for at once: 8 MiB, or what a server that knows no ranges sends anyway.
const LONGEST: u64 = 1 << 30;

/// Requests that a host gets at once which brought nothing, and further ones where it has brought something before or
/// the user named it;
/// and milliseconds until it gets one more.
const UNPAID: (u64, u64) = (8, 64);
const GAP: u64 = 500;

/// Requests of a node.
#[derive(Clone, Debug, Default)]
pub struct WebRequests {
    open: BTreeMap<ConnId, Request>,
    hosts: BTreeMap<String, Host>,
    /// What the user named.
    mirrors: Vec<String>,
}

#[derive(Clone, Debug)]
struct Request {
    host: String,
    granted: u64,
    received: u64,
}

/// What a host was asked for in all.
#[derive(Clone, Debug)]
struct Host {
    since: Instant,
    /// Requests that brought nothing so far.
    unpaid: u64,
    has_brought: bool,
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

impl WebRequests {
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Command(_, Command::Add(add)) => self.mirrors.extend(add.mirrors.clone()),
            Event::Stream(conn, StreamEvent::Received(bytes)) => {
                if let Some(request) = self.open.get_mut(conn) {
                    request.received += bytes.len() as u64;
                }
            }
            Event::Stream(conn, StreamEvent::Closed(_) | StreamEvent::NotFetched(_)) => {
                self.ended(*conn);
            }
            _ => {}
        }
    }

    fn ended(&mut self, conn: ConnId) {
        if let Some(Request { host, received: 1.., .. }) = self.open.remove(&conn)
            && let Some(host) = self.hosts.get_mut(&host)
        {
            host.unpaid = host.unpaid.saturating_sub(1);
            host.has_brought = true;
        }
    }

    /// No torrent makes us flood a host, whatever it names.
    fn bounded(&mut self, host: &str, now: Instant) -> Result<(), String> {
        let new = Host { since: now, unpaid: 0, has_brought: false };
        let entry = self.hosts.entry(host.to_owned()).or_insert(new);
        entry.unpaid += 1;
        let named = self.mirrors.iter().any(|url| host_of(url) == host);
        let most = UNPAID.0 + if entry.has_brought || named { UNPAID.1 } else { 0 };
        let (unpaid, most) = (entry.unpaid, most + 1 + now.millis_since(entry.since) / GAP);
        if unpaid > most {
            return Err(format!(
                "a web server that brings nothing gets few requests: {host}, {unpaid} of {most}"
            ));
        }
        Ok(())
    }

    pub(super) fn see(&mut self, now: Instant, action: &Action) -> Result<(), String> {
        let Action::Stream(conn, action) = action else { return Ok(()) };
        match action {
            StreamAction::Fetch(get) => self.asked(now, *conn, get),
            StreamAction::GrantRead(count) => {
                if let Some(request) = self.open.get_mut(conn) {
                    request.granted += u64::from(*count);
                    if request.received > request.granted {
                        return Err("a web server sends no more than it may".into());
                    }
                }
                Ok(())
            }
            StreamAction::Close(_) => {
                self.ended(*conn);
                Ok(())
            }
            _ if self.open.contains_key(conn) => Err("nothing is sent to a web server".into()),
            _ => Ok(()),
        }
    }

    fn asked(&mut self, now: Instant, conn: ConnId, get: &RangeGet) -> Result<(), String> {
        let RangeGet { url, only, first, last, .. } = get;
        if last < first || last - first >= LONGEST {
            return Err(format!("a web server is asked for a range: {first}-{last}"));
        }
        if self.mirrors.is_empty() && *only != Some(Scope::Public) {
            return Err(format!("no torrent leads into a private network: {url}"));
        }
        let host = host_of(url).to_owned();
        let others = self.open.values().filter(|request| request.host == host).count();
        if self.mirrors.is_empty() && others >= MOST * 4 {
            return Err(format!("a web server is asked for a few ranges at once: {host}"));
        }
        self.bounded(&host, now)?;
        self.open.insert(conn, Request { host, granted: 0, received: 0 });
        Ok(())
    }
}
