//! What of the network may be used: the one place in which sockets are made.
//!
//! With an address, nothing leaves from any other, nothing over the other address family, and nothing by another
//! interface than the one that has it; with an interface, nothing leaves by another one, and nothing over a family of
//! which it has no address. What cannot be bound is not sent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eddyline::base::addr::is_placeholder;
use socket2::{Domain, Protocol, Socket, Type};

use crate::blocklist::Blocklist;
use crate::platform;
pub use crate::platform::{Interface, interfaces};
use crate::proxy::{Environment, Gate, Proxies, Proxy, Traffic};
use crate::standing::Standing;

/// How long what was seen of the network counts.
const FRESH: Duration = Duration::from_secs(1);
/// Connections that wait to be accepted by us.
const BACKLOG: i32 = 256;

/// From where, over which address families and through which proxy anything may be sent. Clones share what they have
/// seen of the network.
#[derive(Clone, Debug, Default)]
pub struct NetworkPolicy {
    address: Option<IpAddr>,
    interface: Option<String>,
    seen: Arc<Mutex<Option<Seen>>>,
    gate: Option<Arc<Gate>>,
    environment: Arc<Environment>,
    filter: Blocklist,
    anonymous: bool,
}

/// When something was seen, and what.
type Seen = (Instant, Arc<Standing>);

impl NetworkPolicy {
    /// Only from this address and this interface, each where it is given.
    #[must_use]
    pub fn new(address: Option<IpAddr>, interface: Option<String>) -> Self {
        Self { address, interface, ..Self::default() }
    }

    /// What goes through a proxy goes through these, from where the policy lets anything leave.
    #[must_use]
    pub fn through(mut self, proxies: Proxies) -> Self {
        self.gate = proxies.chosen.map(|(proxy, serves)| Gate::new(proxy, serves));
        self.environment = Arc::new(proxies.environment);
        self
    }

    /// Nothing goes to addresses that this blocks; a proxy and name servers are the user's own choice.
    #[must_use]
    pub fn without(mut self, filter: Blocklist) -> Self {
        self.filter = filter;
        self
    }

    /// Servers hear nothing that names this client.
    #[must_use]
    pub fn anonymous(mut self, anonymous: bool) -> Self {
        self.anonymous = anonymous;
        self
    }

    /// What servers hear that this client is called; nothing where they are not to know.
    pub(crate) fn user_agent<'a>(&self, name: &'a str) -> &'a str {
        if self.anonymous { "" } else { name }
    }

    /// Whether nobody is to hear what names this client.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Addresses that nothing is sent to and nobody is heard from.
    #[must_use]
    pub fn filter(&self) -> &Blocklist {
        &self.filter
    }

    /// The chosen proxy, where that goes through it.
    pub(crate) fn gate(&self, what: Traffic) -> Option<&Arc<Gate>> {
        self.gate.as_ref().filter(|gate| gate.is_for(what))
    }

    /// The proxy that the environment names for a server, where no other is chosen for trackers.
    pub(crate) fn environments(&self, tls: bool, host: &str) -> Option<&Proxy> {
        self.environment.proxy_for(tls, host)
    }

    /// Whether a proxy was chosen. One that the environment names is for HTTP alone, and does not count.
    #[must_use]
    pub fn has_proxy(&self) -> bool {
        self.gate.is_some()
    }

    /// What is wrong with the chosen proxy, as it was seen last.
    #[must_use]
    pub fn proxy_trouble(&self) -> Option<String> {
        self.gate.as_ref()?.trouble()
    }

    /// Whether peers are reached through a proxy: then nobody can reach us.
    #[must_use]
    pub fn hides_peers(&self) -> bool {
        self.gate(Traffic::Peers).is_some()
    }

    /// How what may be used stands at the moment; `None` where everything may be.
    #[must_use]
    pub fn look(&self) -> Option<Arc<Standing>> {
        let now = match (&self.interface, self.address) {
            (None, None) => return None,
            (Some(name), _) => Standing::of_interface(name),
            (None, Some(ip)) => Standing::of_address(ip, can_be_bound(ip)),
        };
        let now = Arc::new(now);
        let seen = Some((Instant::now(), now.clone()));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Some(now)
    }

    /// The same as it stood a second ago at the most.
    #[must_use]
    pub fn standing(&self) -> Option<Arc<Standing>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match seen.filter(|(when, _)| when.elapsed() < FRESH) {
            Some((_, standing)) => Some(standing),
            None => self.look(),
        }
    }

    /// Whether anything is forbidden.
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        self.address.is_some() || self.interface.is_some()
    }

    /// The only address that may be used.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The only interface that may be used.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// Whether IPv4, or IPv6, may be used.
    #[must_use]
    pub fn allows(&self, ipv6: bool) -> bool {
        self.address.is_none_or(|ip| ip.is_ipv6() == ipv6)
    }

    /// Whether anything may be sent to `ip`.
    #[must_use]
    pub fn reaches(&self, ip: IpAddr) -> bool {
        self.allows(ip.is_ipv6())
    }

    /// Where sockets listen.
    #[must_use]
    pub fn listening_addresses(&self) -> Vec<IpAddr> {
        match self.address {
            Some(ip) => vec![ip],
            None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        }
    }

    /// A socket of the family of `addr`, tied to the interface, and not bound yet.
    ///
    /// # Errors
    /// When the family is not allowed, or whatever the system says.
    pub fn socket(&self, addr: SocketAddr, kind: Type) -> io::Result<Socket> {
        if !self.reaches(addr.ip()) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let standing = self.standing();
        if standing.as_ref().is_some_and(|standing| !standing.has(addr.is_ipv6())) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
        let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // So that it never falls back to another route.
        if let Some(name) = &self.interface {
            platform::tie_to_interface(&socket, name)?;
        } else if let Some((name, _)) = standing.as_ref().and_then(|now| now.device.as_ref()) {
            // Where the system does not let us, it is left to its routes.
            match platform::tie_to_interface(&socket, name) {
                Err(error) if !is_not_for_us(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(socket)
    }

    /// A socket that sends to `remote` from where it may.
    fn outgoing(&self, remote: SocketAddr, kind: Type) -> io::Result<Socket> {
        let socket = self.socket(remote, kind)?;
        if let Some(ip) = self.address {
            socket.bind(&SocketAddr::new(ip, 0).into())?;
        }
        Ok(socket)
    }

    /// A socket that begins to connect to `remote`.
    fn begin(&self, remote: SocketAddr) -> io::Result<std::net::TcpStream> {
        // What stands for a name leads nowhere.
        if self.gate.is_some() && is_placeholder(remote.ip()) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let socket = self.outgoing(remote, Type::STREAM)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&remote.into()) {
            Err(error)
                if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
            {
                Err(error)
            }
            _ => Ok(socket.into()),
        }
    }

    /// Begins to connect to a peer.
    ///
    /// # Errors
    /// Whatever the system says at once; most failures come later, as events. Always, where peers are reached through
    /// a proxy.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<mio::net::TcpStream> {
        if self.hides_peers() || self.filter.blocks(remote.ip()) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        self.begin(remote).map(mio::net::TcpStream::from_std)
    }

    /// Begins to connect to a proxy.
    pub(crate) fn connect_to_proxy(&self, proxy: SocketAddr) -> io::Result<mio::net::TcpStream> {
        self.begin(proxy).map(mio::net::TcpStream::from_std)
    }

    /// The chosen proxy, whatever it is for.
    pub(crate) fn any_gate(&self) -> Option<&Arc<Gate>> {
        self.gate.as_ref()
    }

    /// The shared one of the chosen proxy.
    pub(crate) fn same_gate(&self, gate: &Gate) -> Option<Arc<Gate>> {
        self.gate.clone().filter(|ours| std::ptr::eq(&raw const **ours, gate))
    }

    /// Connects to `remote`, within tokio.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connect_soon(&self, remote: SocketAddr) -> io::Result<tokio::net::TcpStream> {
        let stream = tokio::net::TcpStream::from_std(self.begin(remote)?)?;
        stream.writable().await?;
        stream.take_error()?.map_or(Ok(stream), Err)
    }

    /// A socket for datagrams to `remote`, from `port` or any.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn datagrams_to(&self, remote: SocketAddr, port: u16) -> io::Result<std::net::UdpSocket> {
        let socket = self.socket(remote, Type::DGRAM)?;
        let any: IpAddr = if remote.is_ipv6() {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        socket.bind(&SocketAddr::new(self.address.unwrap_or(any), port).into())?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }

    /// The address that something to `remote` would leave from. Nothing is sent.
    ///
    /// # Errors
    /// When nothing would: there is no way, or it is not allowed.
    pub fn source_to(&self, remote: SocketAddr) -> io::Result<IpAddr> {
        let socket = self.datagrams_to(remote, 0)?;
        socket.connect(remote)?;
        Ok(socket.local_addr()?.ip())
    }

    /// A TCP listener and a socket for datagrams on one port number of `local`.
    ///
    /// # Errors
    /// When the port is taken, or whatever the system says.
    pub fn listen(
        &self,
        local: SocketAddr,
    ) -> io::Result<(mio::net::TcpListener, mio::net::UdpSocket)> {
        let tcp = self.socket(local, Type::STREAM)?;
        tcp.set_nonblocking(true)?;
        // A port in TIME_WAIT is free; a port that somebody listens on is not, even so.
        tcp.set_reuse_address(true)?;
        tcp.bind(&local.into())?;
        tcp.listen(BACKLOG)?;
        let tcp = mio::net::TcpListener::from_std(tcp.into());
        let udp = self.socket(local, Type::DGRAM)?;
        udp.set_nonblocking(true)?;
        udp.bind(&SocketAddr::new(local.ip(), tcp.local_addr()?.port()).into())?;
        Ok((tcp, mio::net::UdpSocket::from_std(udp.into())))
    }

    /// The number of the chosen interface.
    ///
    /// # Errors
    /// When it is gone.
    pub fn interface_index(&self, socket: &Socket) -> io::Result<Option<u32>> {
        let Some(name) = &self.interface else { return Ok(None) };
        platform::interface_index(socket, name).map(Some)
    }
}

/// Whether the system knows no such thing, or allows it to others only.
fn is_not_for_us(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

/// Whether this machine has an address.
fn can_be_bound(ip: IpAddr) -> bool {
    let at = SocketAddr::new(ip, 0);
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP));
    socket.is_ok_and(|socket| socket.bind(&at.into()).is_ok())
}

/// Whether this machine has a network interface of this name; where the system does not tell, any may be one.
#[must_use]
pub fn has_interface(name: &str) -> bool {
    let found = platform::interfaces();
    found.is_empty() || found.iter().any(|one| one.name == name)
}

#[cfg(test)]
mod tests {
    //! Unit tests of the policy.

    use super::*;

    #[test]
    fn an_address_of_one_family_leaves_no_way_out_by_the_other() {
        let policy = NetworkPolicy::new(Some(Ipv4Addr::LOCALHOST.into()), None);
        assert!(policy.is_restricted() && policy.allows(false) && !policy.allows(true));
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, 9));
        for kind in [Type::STREAM, Type::DGRAM] {
            let refused = policy.socket(six, kind).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AddrNotAvailable);
        }
        assert!(policy.connect(six).is_err());
        assert!(policy.datagrams_to(six, 0).is_err());
    }

    #[tokio::test]
    async fn what_goes_out_comes_from_the_address() {
        let ours: IpAddr = Ipv4Addr::new(127, 0, 0, 77).into();
        let policy = NetworkPolicy::new(Some(ours), None);
        let (listener, _) = policy.listen(SocketAddr::new(ours, 0)).unwrap();
        let remote = listener.local_addr().unwrap();
        let stream = policy.connect_soon(remote).await.unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), ours);
        let stream = policy.connect(remote).unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), ours);
        let socket = policy.datagrams_to(remote, 0).unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), ours);
        assert_eq!(policy.source_to(remote).unwrap(), ours);
    }

    #[test]
    fn an_address_that_this_machine_does_not_have_gets_nothing_out() {
        let policy = NetworkPolicy::new("192.0.2.77".parse().ok(), None);
        assert!(policy.look().is_some_and(|standing| !standing.is_open()));
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        assert!(policy.connect(remote).is_err() && policy.datagrams_to(remote, 0).is_err());
        assert!(NetworkPolicy::default().look().is_none(), "everything may be used");
        assert!(has_interface("lo") && !has_interface("no-such-if0"));
    }

    #[test]
    fn an_interface_that_is_not_there_gets_nothing_out() {
        let policy = NetworkPolicy::new(None, Some("no-such-if0".into()));
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        assert!(policy.connect(remote).is_err() && policy.datagrams_to(remote, 0).is_err());
    }
}
