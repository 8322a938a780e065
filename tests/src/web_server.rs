//! Simulated web servers that have the files of a torrent, or say so.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use eddyline::base::addr::Scope;
use eddyline::{HttpHead, RangeGet, SentRange};

use crate::content::Content;

/// How a server behaves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Manners {
    /// As it should.
    #[default]
    Honest,
    /// It sends whole files whatever is asked for.
    NoRanges,
    /// It sends other bytes.
    Lying,
    /// It hangs up after this many bytes of a body.
    CutShort(u64),
    /// It never stops sending.
    Endless,
    /// It takes requests and says nothing.
    Silent,
    /// It says that it will send, and does not.
    Stuck,
    /// It sends another range than was asked for, and says which.
    WrongRange,
    /// It has all files but this one.
    Lacks(usize),
    /// It lacks the files from this one on up to that one.
    LacksRange(usize, usize),
    /// It has enough to do each time that this many requests were made, for no time at all.
    BusyEach(usize),
    /// It has enough to do for this many requests, and says for how many seconds.
    Busy(u32, u32),
    /// Everything is somewhere else.
    Moved(String),
    /// It fails with this status.
    Status(u16),
    /// Whatever a fuzzer wants: eight bytes for each reply, and then it is as it should be.
    Fuzzed(Bytes),
}

/// The piece that is asked for behind an address, and which bytes of it (BEP 17).
fn piece_asked(content: &Content, query: &str) -> Option<(Bytes, RangeInclusive<usize>)> {
    let mut hash = String::from("info_hash=");
    content.hash().0.iter().for_each(|byte| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => hash.push(*byte as char),
        byte => hash.push_str(&format!("%{byte:02X}")),
    });
    let mut parts = query.split('&').skip_while(|part| *part != hash).skip(1);
    let piece: u32 = parts.next()?.strip_prefix("piece=")?.parse().ok()?;
    let geometry = content.metainfo.geometry();
    if piece >= geometry.pieces() {
        return None;
    }
    let whole = content.block(piece, 0, geometry.piece_size(piece));
    let range = match parts.next() {
        None => 0..=whole.len() - 1,
        Some(ranges) => {
            let (first, last) = ranges.strip_prefix("ranges=")?.split_once('-')?;
            first.parse().ok()?..=last.parse().ok()?
        }
    };
    (*range.end() < whole.len()).then_some((whole, range))
}

/// A server.
#[derive(Clone, Debug)]
pub struct WebServer {
    content: Content,
    /// How it behaves.
    pub manners: Manners,
    /// It sends pieces by the hash of the torrent (BEP 17), and knows nothing of files.
    pub of_pieces: bool,
    /// Bytes a second for each request.
    pub rate: u64,
    /// That is what all requests have together.
    pub shared: bool,
    /// Where it is.
    pub scope: Scope,
    /// All that was asked for.
    pub asked: Vec<RangeGet>,
    /// Bytes of bodies that it sent.
    pub sent: u64,
    /// Requests that are being answered, now and at the most at the same time.
    pub open: u32,
    /// The most that there were.
    pub most_open: u32,
}

impl WebServer {
    /// An honest server on the internet that has `content`.
    pub fn new(content: &Content) -> Self {
        Self {
            content: content.clone(),
            manners: Manners::Honest,
            of_pieces: false,
            rate: 5_000_000,
            shared: false,
            scope: Scope::Public,
            asked: Vec::new(),
            sent: 0,
            open: 0,
            most_open: 0,
        }
    }

    /// The same with other manners.
    #[must_use]
    pub fn with(mut self, manners: Manners) -> Self {
        self.manners = manners;
        self
    }

    /// The same as one that sends pieces.
    #[must_use]
    pub fn of_pieces(mut self) -> Self {
        self.of_pieces = true;
        self
    }

    /// The same with another rate.
    #[must_use]
    pub fn at_rate(mut self, rate: u64) -> Self {
        self.rate = rate;
        self
    }

    /// The same with a rate that its requests share.
    #[must_use]
    pub fn with_line(mut self, rate: u64) -> Self {
        (self.rate, self.shared) = (rate, true);
        self
    }

    /// The file at what stands behind its address, with its number.
    fn file(&self, path: &str) -> Option<(usize, Bytes)> {
        let mut files = self.content.metainfo.layout().files().iter().enumerate();
        let named = |path: &str, parts: &[String]| path == parts.join("/") || path.is_empty();
        let (index, file) = files.find(|(_, file)| {
            file.is_stored() && named(path.trim_start_matches('/'), &file.path)
        })?;
        let begin = file.offset as usize;
        Some((index, self.content.bytes.slice(begin..begin + file.length as usize)))
    }

    /// What it answers: the head, the body, and whether the connection ends well behind that; `None` for nothing.
    pub(crate) fn answer(&mut self, path: &str, get: &RangeGet) -> Option<Reply> {
        self.asked.push(get.clone());
        let Some((whole, first, last)) = self.asked_for(path, get) else {
            return Some(self.plain(404));
        };
        let length = whole.len() as u64;
        if first >= length || last < first {
            return Some(self.plain(416));
        }
        let last = last.min(length - 1);
        let mut range = SentRange { first, last, total: Some(length) };
        let mut body = whole.slice(first as usize..last as usize + 1);
        let mut whole_body = true;
        if let Manners::Fuzzed(script) = &mut self.manners
            && let Some(step) = script.first_chunk::<8>().copied()
        {
            *script = script.slice(8..);
            return fuzzed(step, path, range, body, self.scope);
        }
        match &mut self.manners {
            Manners::Silent => return None,
            Manners::Status(status) => return Some(reply(*status, self.scope)),
            Manners::BusyEach(count) if self.asked.len().is_multiple_of(*count) => {
                let mut busy = reply(503, self.scope);
                busy.head.retry_after = Some(0);
                return Some(busy);
            }
            Manners::Busy(left, seconds) if *left > 0 => {
                *left -= 1;
                let mut busy = reply(503, self.scope);
                busy.head.retry_after = Some(*seconds);
                return Some(busy);
            }
            Manners::Moved(to) => {
                let mut moved = reply(302, self.scope);
                moved.head.location = Some(format!("{to}{path}"));
                return Some(moved);
            }
            Manners::NoRanges => {
                let head = HttpHead { length: Some(length), ..reply(200, self.scope).head };
                return Some(Reply { head, body: whole, whole: true });
            }
            Manners::Lying => body = body.iter().map(|byte| byte ^ 1).collect(),
            Manners::CutShort(most) => {
                whole_body = body.len() as u64 <= *most;
                body.truncate(usize::try_from(*most).unwrap_or(usize::MAX));
            }
            Manners::Endless => body = [body, Bytes::from(vec![1; 1 << 20])].concat().into(),
            Manners::Stuck => body.clear(),
            Manners::WrongRange => range.first += 1,
            _ => {}
        }
        let head = match self.of_pieces {
            true => HttpHead { length: Some(last + 1 - first), ..reply(200, self.scope).head },
            false => HttpHead { range: Some(range), ..reply(206, self.scope).head },
        };
        let whole = whole_body && self.manners != Manners::Stuck;
        Some(Reply { head, body, whole })
    }

    /// The whole of which something is asked for, and the first and the last byte of that.
    fn asked_for(&self, path: &str, get: &RangeGet) -> Option<(Bytes, u64, u64)> {
        assert_eq!(get.whole, path.contains("info_hash="), "a range is asked for in one place");
        if get.whole {
            let query = path.rsplit('?').next().filter(|_| self.of_pieces)?;
            let (piece, range) = piece_asked(&self.content, query)?;
            return Some((piece, *range.start() as u64, *range.end() as u64));
        }
        let found = self.file(path).filter(|_| !self.of_pieces);
        let lacks = |index: usize| match self.manners {
            Manners::Lacks(only) => only == index,
            Manners::LacksRange(first, end) => (first..end).contains(&index),
            _ => false,
        };
        let (_, whole) = found.filter(|(index, _)| !lacks(*index))?;
        Some((whole, get.first, get.last))
    }

    fn plain(&self, status: u16) -> Reply {
        reply(status, self.scope)
    }

    /// Whether it leaves a connection open though it has nothing to send.
    pub(crate) fn hangs(&self) -> bool {
        self.manners == Manners::Stuck
    }
}

/// A reply.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) head: HttpHead,
    pub(crate) body: Bytes,
    /// The connection ends as it should.
    pub(crate) whole: bool,
}

fn reply(status: u16, scope: Scope) -> Reply {
    let (location, range, length, retry_after) = (None, None, None, None);
    let head = HttpHead { status, location, scope, range, length, retry_after };
    Reply { head, body: Bytes::new(), whole: true }
}

/// Statuses of replies that a fuzzer decides.
const STATUSES: [u16; 16] =
    [206, 206, 206, 206, 200, 200, 302, 307, 404, 403, 416, 429, 503, 401, 500, 100];

/// The reply that these bytes stand for, where `range` and `body` would be right.
fn fuzzed(
    step: [u8; 8],
    path: &str,
    mut range: SentRange,
    mut body: Bytes,
    scope: Scope,
) -> Option<Reply> {
    let [status, flags, cut, first, last, total, place, after] = step;
    let is_set = |bit: u8| flags & 1 << bit != 0;
    let shift = |number: u64, by: u8| number.saturating_add_signed((by as i8).into());
    let mut reply = reply(STATUSES[usize::from(status % 16)], scope);
    if is_set(0) {
        (range.first, range.last) = (shift(range.first, first), shift(range.last, last));
        range.total = range.total.map(|whole| shift(whole, total));
    }
    if is_set(1) {
        body.truncate(body.len() * usize::from(cut) / 255);
    }
    if is_set(2) {
        body = [&body[..], &vec![cut; usize::from(cut) << 8]].concat().into();
    }
    if is_set(3) {
        body = body.iter().map(|byte| byte ^ cut).collect();
    }
    reply.head.length = (!is_set(4)).then(|| shift(body.len() as u64, total));
    reply.head.range = (!is_set(5)).then_some(range);
    reply.head.scope = if is_set(6) { Scope::Local } else { scope };
    reply.whole = !is_set(7);
    reply.head.retry_after = (after > 0).then(|| 1 << (after % 32));
    reply.head.location = match place % 8 {
        0 => None,
        1 => Some("ftp://fuzz0.example/x".into()),
        2 => Some(format!("http://fuzz0.example/{}", "x".repeat(9_000))),
        number => Some(format!("http://fuzz{}.example/{path}", number % 4)),
    };
    reply.body = body;
    (status < 240).then_some(reply)
}

/// A request on its way, in the driver of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Download {
    pub(crate) server: String,
    pub(crate) body: Bytes,
    pub(crate) whole: bool,
    pub(crate) credit: u64,
    pub(crate) answered: bool,
    pub(crate) hangs: bool,
    /// Its next part is on its way.
    pub(crate) scheduled: bool,
}

/// All servers, by the beginning of their addresses.
#[derive(Clone, Debug, Default)]
pub struct Web {
    /// The servers.
    pub servers: BTreeMap<String, WebServer>,
}

impl Web {
    /// The server of an address, and what stands behind its own part of it.
    pub(crate) fn find<'a>(&self, url: &'a str) -> Option<(String, &'a str)> {
        let found = self.servers.keys().rev().find(|base| url.starts_with(base.as_str()))?;
        Some((found.clone(), &url[found.len()..]))
    }
}

/// How long a part of a body takes.
pub(crate) const PART: Duration = Duration::from_millis(20);
