//! What systems do differently with sockets. Nothing above this module asks which one it runs on.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use rustix::net::SendFlags;
use socket2::Socket;

/// No signal at a connection that is gone. What has no such flag has a runtime that ignores the signal.
#[cfg(not(target_vendor = "apple"))]
pub const QUIET: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub const QUIET: SendFlags = SendFlags::empty();

/// Besides: more will follow at once, so that a header waits for its block. Elsewhere it may go by itself.
#[cfg(target_os = "linux")]
pub const QUIET_MORE: SendFlags = QUIET.union(SendFlags::MORE);
#[cfg(not(target_os = "linux"))]
pub const QUIET_MORE: SendFlags = QUIET;

/// Ties a socket to the network interface of this name.
///
/// # Errors
/// `Unsupported` where that is not to be had (anywhere but on Linux), or whatever the system says.
#[cfg(target_os = "linux")]
pub fn tie_to_interface(socket: &Socket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

/// The number of the network interface of this name.
///
/// # Errors
/// `Unsupported` where that is not to be had (anywhere but on Linux), or whatever the system says.
#[cfg(target_os = "linux")]
pub fn interface_index(socket: &Socket, name: &str) -> io::Result<u32> {
    Ok(rustix::net::netdevice::name_to_index(socket, name)?)
}

#[cfg(not(target_os = "linux"))]
pub fn tie_to_interface(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub fn interface_index(_: &Socket, _: &str) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A network interface.
#[derive(Clone, Debug, Default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number, which is another one when it was gone and is back.
    pub number: u32,
    /// Somebody has switched it on.
    pub up: bool,
    /// It leads to this machine.
    pub loopback: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// The network interfaces, where the system tells.
#[cfg(target_os = "linux")]
pub fn interfaces() -> Vec<Interface> {
    use nix::net::if_::{InterfaceFlags, if_nameindex};
    let mut found: Vec<Interface> = Vec::new();
    let index = if_nameindex();
    for one in index.iter().flat_map(|all| all.iter()) {
        let name = one.name().to_string_lossy().into_owned();
        found.push(Interface { name, number: one.index(), ..Interface::default() });
    }
    for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let name = &entry.interface_name;
        let Some(one) = found.iter_mut().find(|one| one.name == *name) else { continue };
        one.up |= entry.flags.contains(InterfaceFlags::IFF_UP);
        one.loopback |= entry.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        let Some(address) = entry.address else { continue };
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => v4.ip().into(),
            (None, Some(v6)) => v6.ip().into(),
            (None, None) => continue,
        };
        one.addresses.push(ip);
    }
    found
}

#[cfg(not(target_os = "linux"))]
pub fn interfaces() -> Vec<Interface> {
    Vec::new()
}

/// Where systemd's resolver, which listens on this machine, says whom it asks itself.
#[cfg(target_os = "linux")]
const BEHIND_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// The name servers behind a resolver on this machine, where they can be known.
#[cfg(target_os = "linux")]
pub fn behind_local_resolver() -> Option<(ResolverConfig, ResolverOpts)> {
    let text = std::fs::read(BEHIND_RESOLVED).ok()?;
    hickory_resolver::system_conf::parse_resolv_conf(text).ok()
}

#[cfg(not(target_os = "linux"))]
pub fn behind_local_resolver() -> Option<(ResolverConfig, ResolverOpts)> {
    None
}

/// Whether routers may split the datagrams of a socket that are too long for the way, from here on. Where the system
/// cannot be told, it is as it was.
#[cfg(target_os = "linux")]
pub fn let_routers_split(socket: impl AsFd, ipv6: bool, may: bool) {
    use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery as V4, Ipv6PathMtuDiscovery as V6};
    let fd = socket.as_fd();
    // Sizes are found by who sends, not by the system, whose memory of a way may be wrong for minutes.
    if ipv6 {
        let _ = nix::sys::socket::setsockopt(&fd, nix::sys::socket::sockopt::Ipv6DontFrag, &!may);
        let _ = sockopt::set_ipv6_mtu_discover(fd, if may { V6::WANT } else { V6::PROBE });
    } else {
        let _ = sockopt::set_ip_mtu_discover(fd, if may { V4::WANT } else { V4::PROBE });
    }
}

#[cfg(not(target_os = "linux"))]
pub fn let_routers_split(_: impl AsFd, _: bool, _: bool) {}

/// How many datagrams came to a socket that was full; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub fn dropped_datagrams(socket: impl AsFd) -> Option<u64> {
    let inode = rustix::fs::fstat(socket.as_fd()).ok()?.st_ino.to_string();
    ["/proc/self/net/udp", "/proc/self/net/udp6"].into_iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        let line = table.lines().map(|line| line.split_whitespace());
        let mut ours = line.filter(|fields| fields.clone().nth(9) == Some(inode.as_str()));
        ours.next()?.last()?.parse().ok()
    })
}

#[cfg(not(target_os = "linux"))]
pub fn dropped_datagrams(_: impl AsFd) -> Option<u64> {
    None
}

/// How many files and sockets this process may have open.
pub fn most_open_files() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(4096)
}
