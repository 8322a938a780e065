//! One exchange: a request, and what comes back.

use bytes::Bytes;
use eddyline::{HttpFailure, HttpGet};
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper::http::request::Builder;

use super::body;
use super::connect::Way;
use super::kept::{Kept, Link};
use super::places::Places;
use super::target::Target;
use super::{Reply, broken, through, trust};
use crate::resolver::Resolver;

/// Encodings that are understood.
const ENCODINGS: &str = "gzip, deflate, br";

/// What exchanges share.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) user_agent: String,
    pub(super) places: Places,
    /// Of proxies, each of which leads to many.
    pub(super) at_proxies: Places,
    pub(super) kept: Kept,
}

impl Client {
    /// Performs one exchange, within its time.
    pub(super) async fn fetch(
        &self,
        get: &HttpGet,
        resolver: &Resolver,
    ) -> Result<Reply, HttpFailure> {
        let target = Target::parse(&get.url).ok_or(HttpFailure::BadUrl)?;
        let reply = tokio::time::timeout(get.timeout, self.perform(&target, get, resolver)).await;
        reply.unwrap_or(Err(HttpFailure::TimedOut))
    }

    async fn perform(
        &self,
        target: &Target,
        get: &HttpGet,
        resolver: &Resolver,
    ) -> Result<Reply, HttpFailure> {
        let standing = resolver.policy().standing();
        if let Some(mut link) =
            self.kept.take(&target.origin, get.ipv6, get.only, resolver.policy())
            && let Some(_place) = self.places_of(&link).take(link.remote).await
        {
            match over(&mut link, target, get, &self.user_agent).await {
                // The server has closed it meanwhile, as it may: it is asked again.
                Err(HttpFailure::Closed) => {}
                reply => return self.ended(target, link, reply),
            }
        }
        let (mut link, _place) = match through::proxy_for(target, resolver.policy()) {
            Some(way) => way.connect(target, get, resolver, &self.at_proxies).await?,
            None => {
                let way = Way::find(target, get, resolver).await?;
                way.connect(target, resolver.policy(), &self.places).await?
            }
        };
        link.standing = standing;
        let reply = over(&mut link, target, get, &self.user_agent).await;
        self.ended(target, link, reply)
    }

    pub(super) fn places_of(&self, link: &Link) -> &Places {
        if link.behind.is_some() { &self.at_proxies } else { &self.places }
    }

    /// Keeps the connection where everything has come.
    fn ended(
        &self,
        target: &Target,
        link: Link,
        reply: Result<Reply, HttpFailure>,
    ) -> Result<Reply, HttpFailure> {
        if reply.as_ref().is_ok_and(|reply| reply.whole) {
            self.kept.put(target.origin.clone(), link);
        }
        reply
    }
}

/// Asks over a connection.
pub(super) async fn over(
    link: &mut Link,
    target: &Target,
    get: &HttpGet,
    user_agent: &str,
) -> Result<Reply, HttpFailure> {
    let request = request_over(link, target, user_agent)?.header(ACCEPT_ENCODING, ENCODINGS);
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| HttpFailure::BadUrl)?;
    let response = link.ask(request).await?;
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .and_then(|location| absolute(&get.url, location.trim()));
    let status = response.status().as_u16();
    let body = body::read(response, get.max_body).await?;
    Ok(Reply { status, location, scope: link.widest, body: body.bytes, whole: body.whole })
}

/// A request to a target over a connection: the head that all have.
pub(super) fn request_over(
    link: &Link,
    target: &Target,
    user_agent: &str,
) -> Result<Builder, HttpFailure> {
    let asks = link.behind.as_ref().and_then(|behind| behind.asks.clone());
    let whole = asks.is_some().then(|| target.whole().ok_or(HttpFailure::BadUrl)).transpose()?;
    let mut request = Request::get(whole.unwrap_or_else(|| target.path.clone()))
        .header(HOST, &target.host)
        .header(ACCEPT, "*/*");
    if !user_agent.is_empty() {
        request = request.header(USER_AGENT, user_agent);
    }
    if let Some(authorization) = &target.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    if let Some(login) = asks.flatten() {
        request = request.header(PROXY_AUTHORIZATION, login);
    }
    Ok(request)
}

/// Why there is no head of a reply.
pub(super) fn failure(error: &hyper::Error) -> HttpFailure {
    if error.is_parse() {
        return HttpFailure::BadReply;
    }
    if error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
        return HttpFailure::Closed;
    }
    match body::system_error(error) {
        Some(error) => trust::failure(error).unwrap_or_else(|| broken(error)),
        None => HttpFailure::BadReply,
    }
}

/// The target of a redirect as an absolute URL.
pub(super) fn absolute(base: &str, location: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    //! Unit tests of redirects.

    use super::absolute;

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
