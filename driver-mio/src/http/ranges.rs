//! Ranges of files from web servers (BEP 19): each is a task that says what comes, as far as it is allowed to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use eddyline::base::ids::ConnId;
use eddyline::{
    CloseKind, Event, HttpFailure, HttpGet, HttpHead, RangeGet, SentRange, StreamAction,
    StreamEvent,
};
use eddyline_disk::mailbox::Mailbox;
use http_body_util::Empty;
use hyper::Response;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName,
    LOCATION, RANGE, RETRY_AFTER,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::allowance::Body;
use super::connect::Way;
use super::exchange::{Client, absolute, request_over};
use super::kept::Link;
use super::places::Place;
use super::target::Target;
use super::through;
use crate::dns::Names;
use crate::resolver::Resolver;

/// How long a server has to begin its reply. The engine is less patient.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests in progress.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges(Arc<Mutex<Requests>>);

#[derive(Debug, Default)]
struct Requests {
    running: BTreeMap<ConnId, Running>,
    /// Closed by the engine since events were collected last: some of theirs may be among those.
    closed: BTreeSet<ConnId>,
}

#[derive(Debug)]
struct Running {
    credit: Arc<Credit>,
    /// `None` where there is no thread for it.
    task: Option<AbortHandle>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Bytes that may be given to the engine.
#[derive(Debug, Default)]
struct Credit {
    amount: AtomicU64,
    more: Notify,
}

impl Credit {
    fn grant(&self, count: u64) {
        self.amount.fetch_add(count, Ordering::AcqRel);
        self.more.notify_one();
    }

    /// Takes up to `most`, and waits until there is some.
    async fn take(&self, most: u64) -> u64 {
        loop {
            // Only this task takes any.
            let count = self.amount.load(Ordering::Acquire).min(most);
            if count > 0 {
                self.amount.fetch_sub(count, Ordering::AcqRel);
                return count;
            }
            self.more.notified().await;
        }
    }
}

impl Ranges {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Performs an action on a request, or begins one. Gives it back where it is for another kind of connection.
    pub(super) fn perform(
        &self,
        conn: ConnId,
        action: StreamAction,
        begin: impl FnOnce() -> Option<(Arc<Asking>, tokio::runtime::Handle)>,
    ) -> Option<StreamAction> {
        match action {
            StreamAction::Fetch(get) => {
                let credit = Arc::new(Credit::default());
                // Held until it is on record: what is told of a request that is not goes nowhere.
                let mut requests = self.lock();
                let task = begin().map(|(asking, thread)| {
                    let ranges = self.clone();
                    let asks = asking.ask(conn, *get, credit.clone(), ranges);
                    thread.spawn(asks).abort_handle()
                });
                requests.running.insert(conn, Running { credit, task });
            }
            StreamAction::GrantRead(count) => {
                let requests = self.lock();
                let Some(running) = requests.running.get(&conn) else { return Some(action) };
                running.credit.grant(count.into());
            }
            StreamAction::Close(_) => {
                let mut requests = self.lock();
                if requests.running.remove(&conn).is_none() {
                    return Some(action);
                }
                requests.closed.insert(conn);
            }
            other => return Some(other),
        }
        None
    }

    /// Leaves what happened to a request, unless the engine has closed it.
    fn tell(&self, mailbox: &Mailbox, conn: ConnId, event: StreamEvent) {
        let requests = self.lock();
        if requests.running.contains_key(&conn) {
            mailbox.leave([Event::Stream(conn, event)]);
        }
    }

    /// Takes out of `events`, from one on, what is about requests that the engine has closed meanwhile. Events of
    /// other connections are left alone.
    pub(super) fn sift(&self, events: &mut Vec<Event>, from: usize) {
        let mut requests = self.lock();
        let closed = std::mem::take(&mut requests.closed);
        let mut number = 0;
        events.retain(|event| {
            number += 1;
            let Event::Stream(conn, event) = event else { return true };
            if number > from && matches!(event, StreamEvent::Closed(_) | StreamEvent::NotFetched(_))
            {
                requests.running.remove(conn);
            }
            number <= from || !closed.contains(conn)
        });
    }
}

/// What requests are made with.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) client: Client,
    pub(super) names: Names,
    pub(super) mailbox: Mailbox,
}

impl Asking {
    /// Makes a request and tells what comes of it.
    async fn ask(
        self: Arc<Self>,
        conn: ConnId,
        get: RangeGet,
        credit: Arc<Credit>,
        ranges: Ranges,
    ) {
        let tell = |event| ranges.tell(&self.mailbox, conn, event);
        let resolver = self.names.resolver();
        let answer = tokio::time::timeout(PATIENCE, self.client.ask_range(&get, resolver)).await;
        let Answer { target, link, response, place } = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return tell(StreamEvent::NotFetched(why)),
            Err(_) => return tell(StreamEvent::NotFetched(HttpFailure::TimedOut)),
        };
        let head = head_of(&response, &get, &link);
        if head.status < 300 && is_encoded(response.headers()) {
            return tell(StreamEvent::NotFetched(HttpFailure::BadReply));
        }
        tell(StreamEvent::Answered(Box::new(head)));
        let mut body = response.into_body();
        while let Some(part) = body.joined().await {
            let Ok(mut bytes) = part else { return tell(StreamEvent::Closed(CloseKind::Reset)) };
            while !bytes.is_empty() {
                let count = credit.take(bytes.len() as u64).await;
                tell(StreamEvent::Received(bytes.split_to(count as usize)));
            }
        }
        drop(place);
        self.client.kept.put(target.origin, link);
        tell(StreamEvent::Closed(CloseKind::Eof));
    }
}

/// A reply that has begun.
pub(super) struct Answer {
    pub(super) target: Target,
    pub(super) link: Link,
    pub(super) response: Response<Body>,
    pub(super) place: Place,
}

impl Client {
    /// Asks for a range, over a connection that was kept or another one.
    pub(super) async fn ask_range(
        &self,
        get: &RangeGet,
        resolver: &Resolver,
    ) -> Result<Answer, HttpFailure> {
        let target = Target::parse(&get.url).ok_or(HttpFailure::BadUrl)?;
        let standing = resolver.policy().standing();
        if let Some(mut link) = self.kept.take(&target.origin, None, get.only, resolver.policy())
            && let Some(place) = self.places_of(&link).take(link.remote).await
        {
            match self.send_range(&mut link, &target, get).await {
                // The server has closed it meanwhile, as it may: it is asked again.
                Err(HttpFailure::Closed) => {}
                response => return Ok(Answer { response: response?, target, link, place }),
            }
        }
        let (url, timeout) = (get.url.clone(), PATIENCE);
        let way = HttpGet { url, ipv6: None, only: get.only, max_body: 0, timeout };
        let (mut link, place) = match through::proxy_for(&target, resolver.policy()) {
            Some(proxy) => proxy.connect(&target, &way, resolver, &self.at_proxies).await?,
            None => {
                let way = Way::find(&target, &way, resolver).await?;
                way.connect(&target, resolver.policy(), &self.places).await?
            }
        };
        link.standing = standing;
        let response = self.send_range(&mut link, &target, get).await?;
        Ok(Answer { target, link, response, place })
    }

    async fn send_range(
        &self,
        link: &mut Link,
        target: &Target,
        get: &RangeGet,
    ) -> Result<Response<Body>, HttpFailure> {
        let request = request_over(link, target, &self.user_agent)?
            // A range of what is compressed is of no use.
            .header(ACCEPT_ENCODING, "identity");
        let request = match get.whole {
            true => request,
            false => request.header(RANGE, format!("bytes={}-{}", get.first, get.last)),
        };
        let request = request.body(Empty::<Bytes>::new()).map_err(|_| HttpFailure::BadUrl)?;
        link.ask(request).await
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    text(headers, CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"))
}

pub(super) fn head_of(response: &Response<Body>, get: &RangeGet, link: &Link) -> HttpHead {
    let headers = response.headers();
    let location = headers
        .get(LOCATION)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .and_then(|location| absolute(&get.url, location.trim()));
    HttpHead {
        status: response.status().as_u16(),
        location,
        scope: link.widest,
        range: text(headers, CONTENT_RANGE).and_then(range),
        length: text(headers, CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        retry_after: text(headers, RETRY_AFTER).and_then(|after| seconds(after, SystemTime::now())),
    }
}

/// `Retry-After` as seconds from now: it is a number of them, or a date.
fn seconds(after: &str, now: SystemTime) -> Option<u32> {
    if !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(after.parse().unwrap_or(u32::MAX));
    }
    let date = httpdate::parse_http_date(after).ok()?;
    let left = date.duration_since(now).unwrap_or_default();
    Some(u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX))
}

/// `bytes FIRST-LAST/TOTAL`, the last of which may be `*`.
fn range(text: &str) -> Option<SentRange> {
    let (unit, rest) = text.split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    let range =
        SentRange { first: first.trim().parse().ok()?, last: last.trim().parse().ok()?, total };
    unit.eq_ignore_ascii_case("bytes").then_some(range)
}

#[cfg(test)]
mod tests {
    //! Unit tests of ranges.

    use eddyline::CloseMode;

    use super::*;

    #[test]
    fn a_range_is_read_as_servers_write_it() {
        let sent = |first, last, total| Some(SentRange { first, last, total });
        assert_eq!(range("bytes 0-499/1234"), sent(0, 499, Some(1234)));
        assert_eq!(range("Bytes  5-6/*"), sent(5, 6, None));
        for text in ["", "bytes */100", "bytes 1-2", "items 1-2/3", "bytes 1-x/3", "bytes -1-2/3"] {
            assert_eq!(range(text), None, "{text}");
        }
    }

    #[test]
    fn how_long_a_server_wants_to_be_left_alone_is_a_number_of_seconds_or_a_date() {
        // 1994-11-06 08:49:30 UTC.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (text, expected) in [
            ("120", Some(120)),
            ("99999999999", Some(u32::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7)),
            ("Sun Nov  6 08:49:37 1994", Some(7)),
            ("Sun, 06 Nov 1994 08:49:29 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(u32::MAX)),
            ("", None),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(seconds(text, now), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn no_more_is_taken_than_was_granted_and_who_finds_nothing_waits() {
        let credit = Arc::new(Credit::default());
        credit.grant(10);
        assert_eq!(credit.take(7).await, 7);
        assert_eq!(credit.take(7).await, 3);
        let waiting = tokio::spawn({
            let credit = credit.clone();
            async move { credit.take(7).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        credit.grant(2);
        assert_eq!(waiting.await.unwrap(), 2);
    }

    #[test]
    fn what_is_told_of_other_connections_is_left_alone_and_of_closed_requests_nothing() {
        let (ranges, mailbox) = (Ranges::default(), Mailbox::new(|| ()));
        let get = || {
            let (url, only, whole) = ("http://127.0.0.1:9/".to_owned(), None, false);
            StreamAction::Fetch(Box::new(RangeGet { url, only, whole, first: 0, last: 9 }))
        };
        let [kept, closed, other] = [1, 2, 3].map(ConnId::from_u64);
        for conn in [kept, closed] {
            assert!(ranges.perform(conn, get(), || None).is_none());
            ranges.tell(&mailbox, conn, StreamEvent::Received(Bytes::from_static(b"x")));
        }
        assert!(ranges.perform(other, StreamAction::GrantRead(5), || None).is_some());
        assert!(ranges.perform(closed, StreamAction::GrantRead(5), || None).is_none());
        mailbox.leave([Event::Stream(other, StreamEvent::Connected)]);
        let close = || StreamAction::Close(CloseMode::Now);
        let Some(_) = ranges.perform(other, close(), || None) else {
            panic!("it is not a request")
        };
        assert!(ranges.perform(closed, close(), || None).is_none());
        ranges.tell(&mailbox, closed, StreamEvent::Closed(CloseKind::Eof));
        ranges.tell(&mailbox, kept, StreamEvent::Closed(CloseKind::Eof));
        let mut events = Vec::new();
        mailbox.collect(&mut events);
        ranges.sift(&mut events, 0);
        let of = events.iter().map(|event| match event {
            Event::Stream(conn, _) => *conn,
            event => panic!("{event:?}"),
        });
        assert_eq!(of.collect::<Vec<_>>(), [kept, other, kept]);
        assert!(
            ranges.perform(kept, StreamAction::GrantRead(5), || None).is_some(),
            "it has ended"
        );
    }
}
