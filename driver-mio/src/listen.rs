//! Listening on one port number for TCP and UDP, IPv4 and IPv6.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, Protocol, Socket, Type};

/// First port tried when none is asked for.
const DEFAULT_PORT: u16 = 6881;
/// Ports tried after it.
const TRIES: u16 = 100;
const BACKLOG: i32 = 256;

/// What to listen on.
#[derive(Clone, Debug, Default)]
pub struct ListenOptions {
    /// The port; 0 for any, `None` for the default and those behind it.
    pub port: Option<u16>,
    /// Only this address.
    pub address: Option<IpAddr>,
    /// Only this network interface.
    pub interface: Option<String>,
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
    let families: Vec<IpAddr> = match options.address {
        Some(ip) => vec![ip],
        None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    };
    let mut listening = Listening { port, tcp: Vec::new(), udp4: None, udp6: None };
    for ip in families {
        let bound = bind_family(SocketAddr::new(ip, listening.port), options);
        let (tcp, udp) = match bound {
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

fn bind_family(addr: SocketAddr, options: &ListenOptions) -> io::Result<(TcpListener, UdpSocket)> {
    let tcp = socket(addr, Type::STREAM, Protocol::TCP, options)?;
    // A port in TIME_WAIT is free; a port that somebody listens on is not, even so.
    tcp.set_reuse_address(true)?;
    tcp.bind(&addr.into())?;
    tcp.listen(BACKLOG)?;
    let tcp = TcpListener::from_std(tcp.into());
    let udp = socket(addr, Type::DGRAM, Protocol::UDP, options)?;
    udp.bind(&SocketAddr::new(addr.ip(), tcp.local_addr()?.port()).into())?;
    Ok((tcp, UdpSocket::from_std(udp.into())))
}

fn socket(
    addr: SocketAddr,
    kind: Type,
    protocol: Protocol,
    options: &ListenOptions,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    bind_interface(&socket, options)?;
    Ok(socket)
}

/// Ties a socket to the chosen interface, so that it never falls back to another route.
fn bind_interface(socket: &Socket, options: &ListenOptions) -> io::Result<()> {
    match &options.interface {
        Some(name) => socket.bind_device(Some(name.as_bytes())),
        None => Ok(()),
    }
}

/// Begins to connect, from the chosen address or interface where there is one.
///
/// # Errors
/// Whatever the system says at once; most failures come later, as events.
pub fn connect(remote: SocketAddr, options: &ListenOptions) -> io::Result<mio::net::TcpStream> {
    if options.address.is_none() && options.interface.is_none() {
        return mio::net::TcpStream::connect(remote);
    }
    let socket = socket(remote, Type::STREAM, Protocol::TCP, options)?;
    if let Some(ip) = options.address.filter(|ip| ip.is_ipv4() == remote.is_ipv4()) {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    match socket.connect(&remote.into()) {
        Ok(()) => {}
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    Ok(mio::net::TcpStream::from_std(socket.into()))
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
