//! From a URL to a connection, by the rules of a policy and of the exchange: the addresses that were looked at are
//! those that are connected to, and no name is looked up twice.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use eddyline::base::addr::{Scope, scope};
use eddyline::{HttpFailure, HttpGet};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use url::Host;

use super::kept::Link;
use super::places::{Place, Places};
use super::target::{Origin, Target};
use super::{broken, trust};
use crate::network::NetworkPolicy;
use crate::resolver::Resolver;

/// Addresses of a name that are tried.
pub(super) const MAX_ADDRESSES: usize = 8;
/// How long one address gets to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// After how long the next address is tried besides (RFC 8305).
const NEXT: Duration = Duration::from_millis(250);

/// Where a URL leads.
#[derive(Debug)]
pub(super) struct Way {
    addrs: Vec<SocketAddr>,
    /// Of several addresses the most public one counts, whichever is reached.
    widest: Scope,
}

impl Way {
    /// The addresses of a target that `get` may reach.
    pub(super) async fn find(
        target: &Target,
        get: &HttpGet,
        resolver: &Resolver,
    ) -> Result<Self, HttpFailure> {
        let Origin { host, port, .. } = &target.origin;
        let found = resolver.look_up(&host.to_string(), get.ipv6).await;
        let mut found = found.map_err(|error| match error.kind() {
            ErrorKind::TimedOut => HttpFailure::TimedOut,
            _ => HttpFailure::Lookup,
        })?;
        let blocklist = resolver.policy().filter();
        if !found.is_empty() && found.iter().all(|ip| blocklist.blocks(*ip)) {
            return Err(HttpFailure::Blocked);
        }
        found.retain(|ip| get.only.is_none_or(|only| scope(*ip) <= only));
        found.retain(|ip| !blocklist.blocks(*ip));
        // In turns, so that a family that leads nowhere does not come first with all that it has.
        let (six, four): (Vec<&IpAddr>, Vec<&IpAddr>) = found.iter().partition(|ip| ip.is_ipv6());
        let longer = six.len().max(four.len());
        let turns = (0..longer).flat_map(|at| [six.get(at), four.get(at)]).flatten().copied();
        let addrs: Vec<_> =
            turns.take(MAX_ADDRESSES).map(|ip| SocketAddr::new(*ip, *port)).collect();
        let widest = addrs.iter().map(|addr| scope(addr.ip())).min();
        widest.map(|widest| Self { addrs, widest }).ok_or(HttpFailure::Forbidden)
    }

    /// Connects to whichever address answers first, where it has a place.
    pub(super) async fn connect(
        self,
        target: &Target,
        policy: &NetworkPolicy,
        places: &Places,
    ) -> Result<(Link, Place), HttpFailure> {
        let (stream, place) =
            race(self.addrs, policy, places).await.map_err(|error| broken(&error))?;
        Ok((link_over(stream, target, self.widest).await?, place))
    }
}

/// HTTP over a connection that leads to a target.
pub(super) async fn link_over(
    stream: TcpStream,
    target: &Target,
    widest: Scope,
) -> Result<Link, HttpFailure> {
    let Origin { tls, host, .. } = &target.origin;
    let remote = stream.peer_addr().map_err(|error| broken(&error))?;
    let link = if *tls {
        let config = trust::config().map_err(|_| HttpFailure::Tls)?;
        let secured = TlsConnector::from(config).connect(name_of(host)?, stream).await;
        let secured =
            secured.map_err(|error| trust::failure(&error).unwrap_or_else(|| broken(&error)))?;
        Link::over(secured, remote, widest).await
    } else {
        Link::over(stream, remote, widest).await
    };
    link.map_err(|_| HttpFailure::Connect)
}

/// Whom the certificate must be for.
fn name_of(host: &Host<String>) -> Result<ServerName<'static>, HttpFailure> {
    match host {
        Host::Ipv4(ip) => Ok(ServerName::from(IpAddr::V4(*ip))),
        Host::Ipv6(ip) => Ok(ServerName::from(IpAddr::V6(*ip))),
        Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
            .map_err(|_| HttpFailure::Tls),
    }
}

/// Tries addresses one after another, and the next one besides where the last is slow.
pub(super) async fn race(
    addrs: Vec<SocketAddr>,
    policy: &NetworkPolicy,
    places: &Places,
) -> io::Result<(TcpStream, Place)> {
    let mut rest = addrs.into_iter().peekable();
    let mut attempts = JoinSet::new();
    let mut failed: Option<io::Error> = None;
    loop {
        match rest.next() {
            Some(addr) => drop(attempts.spawn(attempt(addr, policy.clone(), places.clone()))),
            None if attempts.is_empty() => {
                return Err(failed.unwrap_or_else(|| ErrorKind::ConnectionRefused.into()));
            }
            None => {}
        }
        let more = rest.peek().is_some();
        let ended = tokio::select! {
            ended = attempts.join_next() => ended,
            () = sleep(NEXT), if more => None,
        };
        match ended {
            Some(Ok(Ok(connected))) => return Ok(connected),
            // Of several addresses the one that came farthest has something to say.
            Some(Ok(Err(why))) if failed.as_ref().is_none_or(|other| came_as_far(&why, other)) => {
                failed = Some(why);
            }
            _ => {}
        }
    }
}

async fn attempt(
    addr: SocketAddr,
    policy: NetworkPolicy,
    places: Places,
) -> io::Result<(TcpStream, Place)> {
    let place = places.take(addr).await.ok_or(ErrorKind::TimedOut)?;
    let stream = timeout(CONNECT, policy.connect_soon(addr)).await??;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// Whether an address that failed so told at least as much as one that failed in the other way.
fn came_as_far(error: &io::Error, other: &io::Error) -> bool {
    let far = |error: &io::Error| match error.kind() {
        ErrorKind::ConnectionRefused => 2,
        ErrorKind::TimedOut => 1,
        _ => 0,
    };
    far(error) >= far(other)
}
