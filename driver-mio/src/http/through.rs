//! From a URL to a connection through a proxy. The name in it is looked up by the proxy alone. So only of an address
//! that the URL itself has is it known where it leads: that is held against the exchange as ever. Of a name it is
//! known that it leads to what the proxy reaches, which is not our network; but where it says itself that it is a name
//! of a local network, it counts as one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use eddyline::base::addr::{Scope, scope};
use eddyline::{HttpFailure, HttpGet};
use hyper::header::HeaderValue;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Host;

use super::broken;
use super::connect::{MAX_ADDRESSES, link_over, race};
use super::kept::{Behind, Link};
use super::places::{Place, Places};
use super::target::{Origin, Target};
use crate::network::NetworkPolicy;
use crate::proxy::handshake::{Handshake, Refusal, Target as Wished, Wish};
use crate::proxy::{Gate, Protocol, Proxy, Traffic};
use crate::resolver::Resolver;

/// How long a proxy may take until it is a way to somebody else.
const OPEN: Duration = Duration::from_secs(15);

/// The way through a proxy.
pub(super) struct Through {
    proxy: Proxy,
    /// It was chosen, and not named by the environment.
    gate: Option<Arc<Gate>>,
}

/// The way to a target, where that leads through a proxy.
pub(super) fn proxy_for(target: &Target, policy: &NetworkPolicy) -> Option<Through> {
    if let Some(gate) = policy.gate(Traffic::Trackers) {
        return Some(Through { proxy: gate.proxy.clone(), gate: Some(gate.clone()) });
    }
    let origin = &target.origin;
    let proxy = policy.environments(origin.tls, &origin.host.to_string());
    proxy.map(|proxy| Through { proxy: proxy.clone(), gate: None })
}

impl Through {
    /// Connects, where `get` may go there.
    pub(super) async fn connect(
        self,
        target: &Target,
        get: &HttpGet,
        resolver: &Resolver,
        places: &Places,
    ) -> Result<(Link, Place), HttpFailure> {
        let Origin { tls, host, port } = &target.origin;
        let (ip, near) = reach(host);
        if get.only.is_some_and(|only| near > only) {
            return Err(HttpFailure::Forbidden);
        }
        if ip.is_some_and(|ip| resolver.policy().filter().blocks(ip)) {
            return Err(HttpFailure::Blocked);
        }
        // Nobody here knows which addresses a name has: it is asked for once, as one of IPv4.
        if get.ipv6.is_some_and(|six| ip.is_some_and(|ip| ip.is_ipv6()) != six) {
            return Err(HttpFailure::Lookup);
        }
        let asks = self.proxy.protocol() == Protocol::Http && !*tls;
        let (mut stream, place) = self.reach_proxy(resolver, places).await?;
        if !asks {
            let wished = match ip {
                Some(ip) => Wished::Address(SocketAddr::new(ip, *port)),
                None => Wished::Name(host.to_string().trim_end_matches('.').to_owned(), *port),
            };
            let opened = timeout(OPEN, open(&mut stream, &self.proxy, wished)).await;
            match opened.unwrap_or(Err(Failed::TimedOut)) {
                Ok(()) => self.seen(None),
                Err(Failed::Refused(why)) => {
                    self.gate.iter().for_each(|gate| gate.refuses(why));
                    return Err(broken(&why.into()));
                }
                Err(Failed::TimedOut) => return Err(HttpFailure::TimedOut),
                Err(Failed::Broken(error)) => return Err(broken(&error)),
            }
        }
        let mut link = link_over(stream, target, near).await?;
        let login = || self.proxy.authorization().and_then(|login| secret(&login));
        link.behind = Some(Behind { ip, asks: asks.then(login) });
        Ok((link, place))
    }

    /// A connection to the proxy itself.
    async fn reach_proxy(
        &self,
        resolver: &Resolver,
        places: &Places,
    ) -> Result<(TcpStream, Place), HttpFailure> {
        let found = resolver.look_up(&self.proxy.host().to_string(), None).await;
        let addrs = found.unwrap_or_default().into_iter().take(MAX_ADDRESSES);
        let addrs: Vec<_> = addrs.map(|ip| SocketAddr::new(ip, self.proxy.port())).collect();
        if addrs.is_empty() {
            self.seen(Some("its name is not found".into()));
            return Err(HttpFailure::Connect);
        }
        let reached = race(addrs, resolver.policy(), places).await;
        reached.map_err(|error| {
            self.seen(Some(format!("it cannot be reached: {}", error.kind())));
            HttpFailure::Connect
        })
    }

    fn seen(&self, trouble: Option<String>) {
        if let Some(gate) = &self.gate {
            gate.seen(trouble);
        }
    }
}

/// The address that a host is, and the nearest that it may lead to as far as anybody can tell.
fn reach(host: &Host<String>) -> (Option<IpAddr>, Scope) {
    match host {
        Host::Ipv4(ip) => (Some((*ip).into()), scope((*ip).into())),
        Host::Ipv6(ip) => (Some((*ip).into()), scope((*ip).into())),
        Host::Domain(name) => (None, scope_of_name(name)),
    }
}

/// Where a name leads by what it says itself (RFC 6761, 6762, 8375, and names without a dot).
fn scope_of_name(name: &str) -> Scope {
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default();
    match last {
        "localhost" => Scope::Loopback,
        "local" | "localdomain" | "internal" | "lan" | "home" | "intranet" | "corp" => Scope::Local,
        _ if last.len() == name.len() || name.ends_with(".home.arpa") => Scope::Local,
        _ => Scope::Public,
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

enum Failed {
    Refused(Refusal),
    Broken(std::io::Error),
    TimedOut,
}

/// Has the proxy open a way.
async fn open(stream: &mut TcpStream, proxy: &Proxy, wished: Wished) -> Result<(), Failed> {
    let mut handshake = Handshake::new(proxy, &Wish::Connect(wished));
    while !handshake.is_done() {
        let sends = !handshake.outgoing().is_empty();
        let interest = if sends { Interest::WRITABLE } else { Interest::READABLE };
        stream.ready(interest).await.map_err(Failed::Broken)?;
        let moved = if sends {
            stream.try_write(handshake.outgoing()).map(|count| {
                handshake.sent(count);
                Ok(())
            })
        } else {
            let mut bytes = [0; 512];
            let most = handshake.wants().min(bytes.len());
            match stream.try_read(&mut bytes[..most]) {
                Ok(0) => Err(std::io::ErrorKind::ConnectionReset.into()),
                Ok(count) => Ok(handshake.received(&bytes[..count])),
                Err(error) => Err(error),
            }
        };
        match moved {
            Ok(said) => said.map_err(Failed::Refused)?,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Failed::Broken(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! Unit tests of where names lead.

    use super::*;

    #[test]
    fn a_name_counts_as_near_only_where_it_says_so_itself() {
        for (name, expected) in [
            ("tracker.example", Scope::Public),
            ("localhost", Scope::Loopback),
            ("a.localhost.", Scope::Loopback),
            ("router", Scope::Local),
            ("nas.local", Scope::Local),
            ("nas.home.arpa", Scope::Local),
            ("db.internal", Scope::Local),
            ("local.example", Scope::Public),
        ] {
            assert_eq!(scope_of_name(name), expected, "{name}");
        }
    }
}
