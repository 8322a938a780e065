//! Sockets for local discovery (BEP 14): they share the group's port with every other client on the
//! machine, and have joined the group.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use eddyline::local_discovery::{GROUP_V4, GROUP_V6};
use mio::net::UdpSocket;
use socket2::{InterfaceIndexOrAddress, Socket, Type};

use crate::network::NetworkPolicy;

/// The sockets of both address families, where the system has them.
#[must_use]
pub fn join_groups(policy: &NetworkPolicy) -> [Option<UdpSocket>; 2] {
    // A family that does not work here is no error: local discovery is a convenience.
    [join_v4(policy).ok(), join_v6(policy).ok()]
}

fn shared(group: SocketAddr, policy: &NetworkPolicy) -> io::Result<Socket> {
    let socket = policy.socket(group, Type::DGRAM)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    Ok(socket)
}

fn join_v4(policy: &NetworkPolicy) -> io::Result<UdpSocket> {
    let socket = shared(GROUP_V4, policy)?;
    let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), GROUP_V4.port());
    socket.bind(&any.into())?;
    let interface = match policy.address() {
        Some(IpAddr::V4(ip)) => ip,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let IpAddr::V4(group) = GROUP_V4.ip() else { return Err(io::ErrorKind::Unsupported.into()) };
    let at = match policy.interface_index(&socket)? {
        Some(index) => InterfaceIndexOrAddress::Index(index),
        None => InterfaceIndexOrAddress::Address(interface),
    };
    socket.join_multicast_v4_n(&group, &at)?;
    if !interface.is_unspecified() {
        socket.set_multicast_if_v4(&interface)?;
    }
    // Other clients on this machine are neighbours too.
    socket.set_multicast_loop_v4(true)?;
    Ok(UdpSocket::from_std(socket.into()))
}

fn join_v6(policy: &NetworkPolicy) -> io::Result<UdpSocket> {
    let socket = shared(GROUP_V6, policy)?;
    if policy.address().is_some() {
        // A socket that is bound to the address does not hear the group, and one that is not sends
        // from any.
        return Err(io::ErrorKind::Unsupported.into());
    }
    let index = policy.interface_index(&socket)?.unwrap_or(0);
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), GROUP_V6.port());
    socket.bind(&any.into())?;
    let IpAddr::V6(group) = GROUP_V6.ip() else { return Err(io::ErrorKind::Unsupported.into()) };
    socket.join_multicast_v6(&group, index)?;
    if index > 0 {
        socket.set_multicast_if_v6(index)?;
    }
    socket.set_multicast_loop_v6(true)?;
    Ok(UdpSocket::from_std(socket.into()))
}
