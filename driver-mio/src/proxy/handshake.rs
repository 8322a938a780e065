//! What is said to a proxy before it is a way to somebody else (RFC 1928, 1929, and `CONNECT` of RFC 9110), without a
//! socket. Not a byte is read that may belong to what comes behind: those are of whoever is at the other end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{LONGEST, Protocol, Proxy};

/// Longest head of an HTTP reply.
const LONGEST_HEAD: usize = 8 << 10;
const HEAD_END: &[u8] = b"\r\n\r\n";

const SOCKS: u8 = 5;
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Whom a proxy is to reach.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Address(SocketAddr),
    /// A name that the proxy looks up: ASCII, at most 255 bytes.
    Name(String, u16),
}

/// What a proxy is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// A connection.
    Connect(Target),
    /// To pass datagrams on while the connection lasts.
    Associate,
}

/// Why a proxy does not do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it does not speak the protocol of such a proxy")]
    Strange,
    #[error("it wants user and password")]
    WantsLogin,
    #[error("it does not take user and password")]
    WrongLogin,
    #[error("it does not allow that")]
    Forbidden,
    #[error("it does not carry UDP")]
    NoDatagrams,
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("whoever was called refuses")]
    Refused,
    #[error("whoever was called cannot be reached")]
    Unreachable,
    #[error("whoever was called does not answer")]
    TimedOut,
}

impl Refusal {
    /// Whether it is about the proxy, and not about whom it was to reach.
    pub(crate) fn is_of_proxy(self) -> bool {
        !matches!(
            self,
            Self::Refused | Self::Unreachable | Self::TimedOut | Self::Forbidden | Self::Status(_)
        )
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Refused => io::ErrorKind::ConnectionRefused,
            Refusal::TimedOut => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::HostUnreachable,
        };
        Self::new(kind, refusal)
    }
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Method,
    Login,
    Reply,
    Head,
    Done,
}

/// A conversation with a proxy.
#[derive(Debug)]
pub(crate) struct Handshake {
    step: Step,
    login: Option<Vec<u8>>,
    request: Vec<u8>,
    associates: bool,
    out: Vec<u8>,
    got: Vec<u8>,
    /// Where datagrams go, after an association.
    bound: Option<Target>,
}

impl Handshake {
    /// Asks `proxy` for something.
    pub(crate) fn new(proxy: &Proxy, wish: &Wish) -> Self {
        let associates = *wish == Wish::Associate;
        let nobody = Target::Address(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let target = match wish {
            Wish::Connect(target) => target,
            Wish::Associate => &nobody,
        };
        let (got, bound) = (Vec::new(), None);
        if proxy.protocol == Protocol::Http {
            let (step, out) = (Step::Head, connect_request(proxy, target));
            return Self { step, login: None, request: Vec::new(), associates, out, got, bound };
        }
        let login = proxy.login.as_ref().map(|login| {
            let mut text = vec![1, login.user.len() as u8];
            text.extend_from_slice(&login.user);
            text.push(login.password.len() as u8);
            text.extend_from_slice(&login.password);
            text
        });
        let out = if login.is_some() {
            vec![SOCKS, 2, NO_LOGIN, LOGIN]
        } else {
            vec![SOCKS, 1, NO_LOGIN]
        };
        let mut request = vec![SOCKS, if associates { 3 } else { 1 }, 0];
        put_target(&mut request, target);
        Self { step: Step::Method, login, request, associates, out, got, bound }
    }

    /// What is to be sent.
    pub(crate) fn outgoing(&self) -> &[u8] {
        &self.out
    }

    /// So many bytes of it were sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.out.drain(..count.min(self.out.len()));
    }

    /// How many bytes may be read, and no more; none while there is something to be sent first.
    pub(crate) fn wants(&self) -> usize {
        if !self.out.is_empty() {
            return 0;
        }
        let whole = match self.step {
            Step::Method | Step::Login => 2,
            Step::Reply => match self.got.get(3..5) {
                None => 5,
                Some([IPV4, _]) => 10,
                Some([IPV6, _]) => 22,
                Some([_, length]) => 7 + usize::from(*length),
                Some(_) => 5,
            },
            Step::Head => {
                let ends = |count: &usize| self.got.ends_with(&HEAD_END[..*count]);
                let matched = (1..HEAD_END.len()).rev().find(ends).unwrap_or(0);
                self.got.len() + HEAD_END.len() - matched
            }
            Step::Done => 0,
        };
        whole.saturating_sub(self.got.len())
    }

    /// The proxy has done what it was asked for.
    pub(crate) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// Where datagrams go.
    pub(crate) fn bound(&self) -> Option<&Target> {
        self.bound.as_ref()
    }

    /// Bytes came, no more than were wanted.
    ///
    /// # Errors
    /// When the proxy does not do it.
    pub(crate) fn received(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.got.extend_from_slice(bytes);
        match self.step {
            Step::Method if self.got.len() >= 2 => self.method(),
            Step::Login if self.got.len() >= 2 => {
                // Its version is written as 1 by most and as 5 by some.
                if self.got[1] != 0 {
                    return Err(Refusal::WrongLogin);
                }
                self.ask();
                Ok(())
            }
            Step::Reply if self.got.len() >= 5 => self.reply(),
            Step::Head => self.head(),
            _ => Ok(()),
        }
    }

    fn method(&mut self) -> Result<(), Refusal> {
        match (self.got[0], self.got[1], &self.login) {
            (SOCKS, NO_LOGIN, _) => {
                self.ask();
                Ok(())
            }
            (SOCKS, LOGIN, Some(login)) => {
                self.out.clone_from(login);
                self.got.clear();
                self.step = Step::Login;
                Ok(())
            }
            (SOCKS, 0xff, None) => Err(Refusal::WantsLogin),
            (SOCKS, 0xff, Some(_)) => Err(Refusal::WrongLogin),
            _ => Err(Refusal::Strange),
        }
    }

    fn ask(&mut self) {
        self.out = std::mem::take(&mut self.request);
        self.got.clear();
        self.step = Step::Reply;
    }

    fn reply(&mut self) -> Result<(), Refusal> {
        if self.got[0] != SOCKS || self.got[2] != 0 {
            return Err(Refusal::Strange);
        }
        match self.got[1] {
            0 => {}
            2 => return Err(Refusal::Forbidden),
            5 => return Err(Refusal::Refused),
            6 => return Err(Refusal::TimedOut),
            7 if self.associates => return Err(Refusal::NoDatagrams),
            7 => return Err(Refusal::Strange),
            // "General failure" is said of dead peers as well as of all else.
            1 | 3 | 4 | 8 => return Err(Refusal::Unreachable),
            _ => return Err(Refusal::Strange),
        }
        if ![IPV4, NAME, IPV6].contains(&self.got[3]) {
            return Err(Refusal::Strange);
        }
        if self.wants() == 0 {
            self.bound = take_target(&self.got[3..]).map(|(target, _)| target);
            self.got.clear();
            self.step = Step::Done;
        }
        Ok(())
    }

    fn head(&mut self) -> Result<(), Refusal> {
        if self.got.len() > LONGEST_HEAD {
            return Err(Refusal::Strange);
        }
        if !self.got.ends_with(HEAD_END) {
            return Ok(());
        }
        match status(&self.got).ok_or(Refusal::Strange)? {
            200..=299 => {
                self.got = Vec::new();
                self.step = Step::Done;
                Ok(())
            }
            407 if self.out.is_empty() => Err(Refusal::WantsLogin),
            504 => Err(Refusal::TimedOut),
            status => Err(Refusal::Status(status)),
        }
    }
}

/// The status of a reply.
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    let version = words.next()?;
    let status = words.next()?;
    let fine = version.starts_with("HTTP/1.") && status.len() == 3;
    status.parse().ok().filter(|_| fine)
}

fn connect_request(proxy: &Proxy, target: &Target) -> Vec<u8> {
    let to = match target {
        Target::Address(addr) => addr.to_string(),
        Target::Name(name, port) => format!("{name}:{port}"),
    };
    let login = proxy.authorization();
    let login = login.map(|text| format!("Proxy-Authorization: {text}\r\n")).unwrap_or_default();
    format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{login}\r\n").into_bytes()
}

/// Appends an address as SOCKS writes it.
pub(crate) fn put_target(out: &mut Vec<u8>, target: &Target) {
    let port = match target {
        Target::Address(addr) => {
            match addr.ip().to_canonical() {
                IpAddr::V4(ip) => {
                    out.push(IPV4);
                    out.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    out.push(IPV6);
                    out.extend(ip.octets());
                }
            }
            addr.port()
        }
        Target::Name(name, port) => {
            let name = &name.as_bytes()[..name.len().min(LONGEST)];
            out.extend([NAME, name.len() as u8]);
            out.extend_from_slice(name);
            *port
        }
    };
    out.extend(port.to_be_bytes());
}

/// Reads such an address, and says how long it is.
pub(crate) fn take_target(bytes: &[u8]) -> Option<(Target, usize)> {
    let (kind, rest) = bytes.split_first()?;
    let port = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
    let addr = |ip: IpAddr, port: u16| Target::Address(SocketAddr::new(ip, port));
    match *kind {
        IPV4 => {
            let octets: [u8; 4] = rest.get(..4)?.try_into().ok()?;
            Some((addr(Ipv4Addr::from(octets).into(), port(4)?), 7))
        }
        IPV6 => {
            let octets: [u8; 16] = rest.get(..16)?.try_into().ok()?;
            Some((addr(Ipv6Addr::from(octets).into(), port(16)?), 19))
        }
        NAME => {
            let length = usize::from(*rest.first()?);
            let name = std::str::from_utf8(rest.get(1..1 + length)?).ok()?;
            let name = name.to_ascii_lowercase();
            Some((Target::Name(name, port(1 + length)?), 4 + length))
        }
        _ => None,
    }
}
