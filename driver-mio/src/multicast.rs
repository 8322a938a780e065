//! Sockets for local discovery (BEP 14): they share the group's port with every other client on the
//! machine, and have joined the group.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use eddyline::local_discovery::{GROUP_V4, GROUP_V6};
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};

use crate::listen::ListenOptions;

/// The sockets of both address families, where the system has them.
#[must_use]
pub fn join_groups(options: &ListenOptions) -> [Option<UdpSocket>; 2] {
    // A family that does not work here is no error: local discovery is a convenience.
    [join_v4(options).ok(), join_v6(options).ok()]
}

fn shared(group: SocketAddr, options: &ListenOptions) -> io::Result<Socket> {
    if options.address.is_some_and(|ip| ip.is_ipv6() != group.is_ipv6()) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    if group.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if let Some(name) = &options.interface {
        socket.bind_device(Some(name.as_bytes()))?;
    }
    Ok(socket)
}

fn join_v4(options: &ListenOptions) -> io::Result<UdpSocket> {
    let socket = shared(GROUP_V4, options)?;
    let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), GROUP_V4.port());
    socket.bind(&any.into())?;
    let interface = match options.address {
        Some(IpAddr::V4(ip)) => ip,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let IpAddr::V4(group) = GROUP_V4.ip() else { return Err(io::ErrorKind::Unsupported.into()) };
    socket.join_multicast_v4(&group, &interface)?;
    if !interface.is_unspecified() {
        socket.set_multicast_if_v4(&interface)?;
    }
    // Other clients on this machine are neighbours too.
    socket.set_multicast_loop_v4(true)?;
    Ok(UdpSocket::from_std(socket.into()))
}

fn join_v6(options: &ListenOptions) -> io::Result<UdpSocket> {
    let socket = shared(GROUP_V6, options)?;
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), GROUP_V6.port());
    socket.bind(&any.into())?;
    let IpAddr::V6(group) = GROUP_V6.ip() else { return Err(io::ErrorKind::Unsupported.into()) };
    socket.join_multicast_v6(&group, 0)?;
    socket.set_multicast_loop_v6(true)?;
    Ok(UdpSocket::from_std(socket.into()))
}
