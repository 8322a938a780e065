//! Proxies: where one is, what goes through it, and how it is asked. What is to go through a proxy and cannot is not
//! sent at all: there is no way around it.

pub(crate) mod datagram;
mod environment;
pub(crate) mod handshake;
pub(crate) mod placeholders;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine};
use eddyline::Fault;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

pub use self::environment::Environment;
use self::handshake::Refusal;
use self::placeholders::Placeholders;

/// Longest user name, password and host name: what one byte can count (RFC 1928, 1929).
const LONGEST: usize = 255;

/// What a proxy speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// SOCKS 5 (RFC 1928): TCP, and UDP where the proxy lets it.
    Socks5,
    /// `CONNECT` of HTTP (RFC 9110): TCP only.
    Http,
}

/// A proxy. Names are looked up by it, never by us. Nothing that is printed of it shows user or password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    protocol: Protocol,
    host: Host<String>,
    port: u16,
    login: Option<Login>,
}

/// User and password.
#[derive(Clone, PartialEq, Eq)]
struct Login {
    user: Vec<u8>,
    password: Vec<u8>,
}

/// Why something is no address of a proxy. What was given is not repeated: there may be a password in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// It does not have the form of one.
    #[error("a proxy is given as socks5://HOST:PORT or http://HOST:PORT")]
    Malformed,
    /// Of this kind of proxy we know nothing.
    #[error("only socks5://, socks5h:// and http:// proxies are supported")]
    Unsupported,
    /// User or password are longer than the protocol can say.
    #[error("user and password of a proxy are at most 255 bytes each")]
    TooLong,
}

impl ProxyError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Caller
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let url = Url::parse(text.trim()).map_err(|_| ProxyError::Malformed)?;
        let (protocol, usual) = match url.scheme() {
            "socks5" | "socks5h" => (Protocol::Socks5, 1080),
            "http" => (Protocol::Http, 80),
            "socks4" | "socks4a" | "https" | "socks" => return Err(ProxyError::Unsupported),
            _ => return Err(ProxyError::Malformed),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(ProxyError::Malformed)?;
        let host = crate::resolver::host_of(host).map_err(|_| ProxyError::Malformed)?;
        let rest = url.path().trim_matches('/').is_empty() && url.query().is_none();
        let port = url.port().unwrap_or(usual);
        if !rest || url.fragment().is_some() || port == 0 {
            return Err(ProxyError::Malformed);
        }
        let plain = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let login = (!url.username().is_empty() || url.password().is_some()).then(|| Login {
            user: plain(url.username()),
            password: plain(url.password().unwrap_or_default()),
        });
        if login.iter().any(|it| it.user.len() > LONGEST || it.password.len() > LONGEST) {
            return Err(ProxyError::TooLong);
        }
        Ok(Self { protocol, host, port, login })
    }
}

impl Proxy {
    /// What it speaks.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether datagrams may go through it, if it lets them.
    #[must_use]
    pub fn carries_datagrams(&self) -> bool {
        self.protocol == Protocol::Socks5
    }

    /// Where it is.
    pub(crate) fn host(&self) -> &Host<String> {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What an HTTP proxy is told of user and password.
    pub(crate) fn authorization(&self) -> Option<String> {
        let Login { user, password } = self.login.as_ref()?;
        let plain = [user.as_slice(), b":", password].concat();
        Some(format!("Basic {}", BASE64_STANDARD.encode(plain)))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Socks5 => "socks5",
            Protocol::Http => "http",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}{}", if self.login.is_some() { " with a login" } else { "" })
    }
}

/// What goes through a proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxyFor {
    /// Peers, over TCP and µTP, and the DHT.
    pub peers: bool,
    /// Trackers, over HTTP and UDP, and whatever else is fetched over HTTP.
    pub trackers: bool,
}

impl ProxyFor {
    /// Everything.
    pub const ALL: Self = Self { peers: true, trackers: true };
}

/// Which proxies are used.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// The one that was chosen, and for what.
    pub chosen: Option<(Proxy, ProxyFor)>,
    /// Those of the environment, for HTTP that the chosen one is not for.
    pub environment: Environment,
}

/// What something on the network is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Traffic {
    Peers,
    Trackers,
}

/// A chosen proxy while it is used. Clones of a policy share it.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) proxy: Proxy,
    pub(crate) serves: ProxyFor,
    /// Names that it looks up, under the addresses that stand for them here.
    pub(crate) names: Placeholders,
    trouble: Mutex<Option<String>>,
    /// The addresses of the proxy itself.
    addresses: Mutex<Option<Vec<IpAddr>>>,
}

impl Gate {
    /// The gate of a proxy, at which nobody has been yet.
    pub(crate) fn new(proxy: Proxy, serves: ProxyFor) -> Arc<Self> {
        let known = match proxy.host {
            Host::Ipv4(ip) => Some(vec![ip.into()]),
            Host::Ipv6(ip) => Some(vec![ip.into()]),
            Host::Domain(_) => None,
        };
        let (names, trouble, addresses) = (Placeholders::default(), Mutex::default(), known.into());
        Arc::new(Self { proxy, serves, names, trouble, addresses })
    }

    /// Whether that goes through it.
    pub(crate) fn is_for(&self, what: Traffic) -> bool {
        match what {
            Traffic::Peers => self.serves.peers,
            Traffic::Trackers => self.serves.trackers,
        }
    }

    /// What is wrong with the proxy, as it was seen last.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It does what it is for, or why not.
    pub(crate) fn seen(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// It has refused something.
    pub(crate) fn refuses(&self, why: Refusal) {
        self.seen(why.is_of_proxy().then(|| why.to_string()));
    }

    /// It cannot be reached: at the next of its addresses perhaps.
    pub(crate) fn fails(&self, why: &io::Error) {
        self.seen(Some(format!("it cannot be reached: {}", why.kind())));
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        match addresses.as_mut() {
            Some(several) if several.len() > 1 => several.rotate_left(1),
            // It may have moved.
            _ if matches!(self.proxy.host, Host::Domain(_)) => *addresses = None,
            _ => {}
        }
    }

    /// Addresses of the proxy, where they are known.
    pub(crate) fn addresses(&self) -> Option<Vec<IpAddr>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its name was looked up.
    pub(crate) fn found(&self, addresses: Vec<IpAddr>) {
        let found = (!addresses.is_empty()).then_some(addresses);
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}
