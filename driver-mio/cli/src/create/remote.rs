//! A file on a web server: how long it is, and its bytes in order.

use std::time::Duration;

use eddyline::base::addr::Scope;
use eddyline::{HttpFailure, HttpHead, RangeGet};
use eddyline_mio::dns::Names;
use eddyline_mio::http::download::{Download, Part};

use super::super::exit::{Failure, NETWORK, NOT_FOUND, USAGE};
use super::super::passkeys::without_passkey;
use super::super::signals::Signals;

/// Redirects that are followed for one request.
const MAX_HOPS: usize = 5;
/// How often a connection may break in a row, and how long is waited then.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// How often a signal is looked for.
const GLANCE: Duration = Duration::from_millis(100);
const AGENT: &str = concat!("Eddyline/", env!("CARGO_PKG_VERSION"));

/// What is known of a file before it is read.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Bytes of it.
    pub length: u64,
    /// The server sends parts of it.
    pub ranges: bool,
    /// Where its server is.
    pub scope: Scope,
}

/// Asks for files.
pub struct Reader<'a> {
    pub names: &'a Names,
    pub signals: &'a Signals,
}

/// Why nothing comes; `None` where a signal came.
type Ended = Option<Failure>;

/// A reply, and whether it is about a part of the file.
struct Reply {
    download: Download,
    head: HttpHead,
}

impl Reader<'_> {
    /// Looks at a file without reading it.
    pub fn look(&self, url: &str) -> Result<Found, Ended> {
        let Reply { head, .. } = self.ask(url, Some((0, 0)))?;
        let total = head.range.and_then(|range| range.total);
        let (length, ranges) = match head.status {
            206 if total.is_some() => (total, true),
            // A part of nothing cannot be sent.
            416 => (Some(0), true),
            _ => (head.length.filter(|_| head.status == 200), false),
        };
        let length = length.ok_or_else(|| told(url, "the server does not say how long it is"))?;
        Ok(Found { length, ranges, scope: head.scope })
    }

    /// Hands the bytes of a file to `take`, in order. Where the connection breaks it is asked for the rest.
    pub fn read(&self, url: &str, found: Found, mut take: impl FnMut(&[u8])) -> Result<(), Ended> {
        let (mut at, mut broken) = (0, 0);
        while at < found.length {
            let before = at;
            let ended = self.read_on(url, found, &mut at, &mut take);
            let Err(ended) = ended else { continue };
            broken = if at > before { 1 } else { broken + 1 };
            let again = ended.as_ref().is_some_and(|failure| failure.code == NETWORK);
            if !again || !found.ranges || broken >= TRIES {
                return Err(ended);
            }
            self.pause()?;
        }
        Ok(())
    }

    fn read_on(
        &self,
        url: &str,
        found: Found,
        at: &mut u64,
        take: &mut impl FnMut(&[u8]),
    ) -> Result<(), Ended> {
        let range = (*at > 0).then_some((*at, found.length - 1));
        let Reply { mut download, head } = self.ask(url, range)?;
        let same = match (head.status, range) {
            (200, None) => head.length == Some(found.length),
            (206, Some((first, last))) => head.range.is_some_and(|sent| {
                (sent.first, sent.last) == (first, last) && sent.total == Some(found.length)
            }),
            _ => return Err(told(url, &format!("HTTP status {}", head.status))),
        };
        if !same {
            let text =
                "it is not what it was a moment ago; create the torrent when it does not change";
            return Err(Some(Failure::new(USAGE, format!("{}: {text}", shown(url)))));
        }
        while *at < found.length {
            let bytes = match self.next(url, &mut download)? {
                Part::Bytes(bytes) => bytes,
                _ => return Err(told(url, &HttpFailure::Closed.to_string())),
            };
            let count = bytes.len().min(usize::try_from(found.length - *at).unwrap_or(usize::MAX));
            take(&bytes[..count]);
            *at += count as u64;
        }
        Ok(())
    }

    /// Asks for a file or a range of it, wherever it is in the end.
    fn ask(&self, url: &str, range: Option<(u64, u64)>) -> Result<Reply, Ended> {
        let (first, last) = range.unwrap_or((0, u64::MAX - 1));
        // A server on the internet must not lead us into a private network.
        let (mut only, mut place) = (None, url.to_owned());
        for _ in 0..=MAX_HOPS {
            let get = RangeGet { url: place.clone(), only, whole: range.is_none(), first, last };
            let begun = Download::begin(get, AGENT, self.names);
            let mut download = begun.map_err(|error| told(url, &error.to_string()))?;
            let Part::Head(head) = self.next(url, &mut download)? else {
                return Err(told(url, &HttpFailure::BadReply.to_string()));
            };
            only = only.or((head.scope == Scope::Public).then_some(Scope::Public));
            match (head.status, &head.location) {
                (200 | 206 | 416, _) => return Ok(Reply { download, head }),
                (300..400, Some(to)) if to.split(['?', '#']).next().is_some_and(ends_as_folder) => {
                    return Err(told(url, "that is a folder; give the address of each file in it"));
                }
                (300..400, Some(to)) => place.clone_from(to),
                (404 | 410, _) => {
                    let text = format!("{}: not found", shown(url));
                    return Err(Some(Failure::new(NOT_FOUND, text)));
                }
                (status, _) => {
                    let text = format!("the server answered with HTTP status {status}");
                    return Err(told(url, &text));
                }
            }
        }
        Err(told(url, "too many redirects"))
    }

    /// What comes next.
    fn next(&self, url: &str, download: &mut Download) -> Result<Part, Ended> {
        loop {
            if self.signals.exit_code().is_some() {
                return Err(None);
            }
            match download.next(GLANCE) {
                Part::Nothing => {}
                Part::Bytes(bytes) if bytes.is_empty() => {}
                Part::Failed(why) => return Err(told(url, &why.to_string())),
                part => return Ok(part),
            }
        }
    }

    /// Waits a moment before a server is asked again.
    fn pause(&self) -> Result<(), Ended> {
        let until = std::time::Instant::now() + PAUSE;
        while std::time::Instant::now() < until {
            if self.signals.exit_code().is_some() {
                return Err(None);
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }
}

fn ends_as_folder(place: &str) -> bool {
    place.ends_with('/')
}

fn shown(url: &str) -> String {
    without_passkey(url, 0)
}

/// Something is wrong with a server or the way to it.
fn told(url: &str, why: &str) -> Ended {
    Some(Failure::new(NETWORK, format!("{}: {why}", shown(url))))
}
