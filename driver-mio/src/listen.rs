//! Listening on one port number for TCP and UDP, IPv4 and IPv6.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, UdpSocket};

use crate::blocklist::Blocklist;
use crate::network::NetworkPolicy;
use crate::proxy::Proxies;

/// First port tried when none is asked for.
const DEFAULT_PORT: u16 = 6881;
/// Ports tried after it.
const TRIES: u16 = 100;

/// What to listen on.
#[derive(Clone, Debug, Default)]
pub struct ListenOptions {
    /// The port; 0 for any, `None` for the default and those behind it.
    pub port: Option<u16>,
    /// Only this address.
    pub address: Option<IpAddr>,
    /// Only this network interface.
    pub interface: Option<String>,
    /// Through these proxies. Where peers are reached through one, nothing is listened on.
    pub proxies: Proxies,
    /// Addresses that nothing is sent to and nobody is heard from.
    pub filter: Blocklist,
    /// Nobody hears what names this client: see [`eddyline::Config::anonymous`]. Servers of HTTP hear no `User-Agent`.
    pub anonymous: bool,
}

impl ListenOptions {
    /// What of the network may be used.
    #[must_use]
    pub fn policy(&self) -> NetworkPolicy {
        let policy = NetworkPolicy::new(self.address, self.interface.clone());
        let policy = policy.anonymous(self.anonymous).without(self.filter.clone());
        policy.through(self.proxies.clone())
    }
}

/// The sockets of one port number.
#[derive(Debug)]
pub struct Listening {
    /// The port.
    pub port: u16,
    /// Listeners, one for each family.
    pub tcp: Vec<TcpListener>,
    /// UDP over IPv4.
    pub udp4: Option<UdpSocket>,
    /// UDP over IPv6.
    pub udp6: Option<UdpSocket>,
}

/// Binds everything to one port number.
///
/// # Errors
/// The last failure, when no port in question is free.
pub fn listen(options: &ListenOptions) -> io::Result<Listening> {
    let ports = match options.port {
        Some(0) => vec![0; 20],
        Some(port) => vec![port],
        None => (DEFAULT_PORT..DEFAULT_PORT + TRIES).chain([0]).collect(),
    };
    let mut error = io::Error::from(io::ErrorKind::AddrInUse);
    for port in ports {
        match listen_on(port, options) {
            Ok(listening) => return Ok(listening),
            Err(why) => error = why,
        }
    }
    Err(error)
}

fn listen_on(port: u16, options: &ListenOptions) -> io::Result<Listening> {
    let policy = options.policy();
    let mut listening = Listening { port, tcp: Vec::new(), udp4: None, udp6: None };
    let standing = policy.standing();
    for ip in policy.listening_addresses() {
        // A family of which an interface has no address is closed.
        if options.address.is_none() && standing.as_ref().is_some_and(|now| !now.has(ip.is_ipv6()))
        {
            continue;
        }
        let (tcp, udp) = match policy.listen(SocketAddr::new(ip, listening.port)) {
            Ok(sockets) => sockets,
            // A machine without IPv6 is no error.
            Err(error) if ip.is_ipv6() && options.address.is_none() && !in_use(&error) => continue,
            Err(error) => return Err(error),
        };
        listening.port = tcp.local_addr()?.port();
        listening.tcp.push(tcp);
        if ip.is_ipv6() {
            listening.udp6 = Some(udp);
        } else {
            listening.udp4 = Some(udp);
        }
    }
    Ok(listening)
}

fn in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

#[cfg(test)]
mod tests {
    //! Unit tests of listening.

    use super::*;

    #[test]
    fn tcp_and_udp_share_one_port_number() {
        let options = ListenOptions { port: Some(0), ..ListenOptions::default() };
        let listening = listen(&options).unwrap();
        let ports: Vec<u16> = listening
            .tcp
            .iter()
            .map(|tcp| tcp.local_addr())
            .chain(listening.udp4.iter().map(UdpSocket::local_addr))
            .chain(listening.udp6.iter().map(UdpSocket::local_addr))
            .map(|addr| addr.unwrap().port())
            .collect();
        assert!(ports.len() >= 2, "{ports:?}");
        assert!(ports.iter().all(|port| *port == listening.port && *port != 0), "{ports:?}");
        // A port that is taken, even for UDP only, is not shared with whoever has it.
        let taken = listen(&ListenOptions { port: Some(listening.port), ..options });
        assert!(taken.is_err_and(|error| in_use(&error)));
    }
}
