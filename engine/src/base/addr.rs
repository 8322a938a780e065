//! Addresses: compact forms (BEP 23, BEP 7), scopes and canonical peer priority (BEP 40).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use super::scope::{
    PLACEHOLDERS, Scope, is_dialable, is_lasting, is_placeholder, is_reserved, may_lead_to, scope,
};

/// An IPv4-mapped IPv6 address as the IPv4 address that it is, so that one peer has one name.
pub fn normalise(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Reads IPv4 peers, six bytes each (BEP 23). A short tail is left out.
pub fn compact_v4(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    bytes.chunks_exact(6).map(|c| {
        let ip = Ipv4Addr::new(c[0], c[1], c[2], c[3]);
        SocketAddr::new(IpAddr::V4(ip), u16::from_be_bytes([c[4], c[5]]))
    })
}

/// Reads IPv6 peers, eighteen bytes each (BEP 7). A short tail is left out.
pub fn compact_v6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    bytes.chunks_exact(18).map(|c| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&c[..16]);
        let ip = Ipv6Addr::from(octets);
        SocketAddr::new(IpAddr::V6(ip), u16::from_be_bytes([c[16], c[17]]))
    })
}

/// Appends the compact form: six bytes for IPv4, eighteen for IPv6.
pub fn push_compact(out: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
    out.extend(addr.port().to_be_bytes());
}

/// Canonical peer priority (BEP 40): a symmetric, unpredictable rank of a pair of addresses.
/// The higher of two priorities is the connection to keep.
pub fn priority(a: SocketAddr, b: SocketAddr) -> u32 {
    let (a, b) = (normalise(a), normalise(b));
    let mut input = Vec::with_capacity(32);
    if a.ip() == b.ip() {
        let (low, high) = (a.port().min(b.port()), a.port().max(b.port()));
        input.extend(low.to_be_bytes());
        input.extend(high.to_be_bytes());
        return crc32c(&input);
    }
    match (a.ip(), b.ip()) {
        (IpAddr::V4(x), IpAddr::V4(y)) => {
            let (x, y) = (x.octets(), y.octets());
            let keep = if x[..2] != y[..2] {
                2
            } else if x[2] != y[2] {
                3
            } else {
                4
            };
            push_masked(&mut input, &x, &y, keep);
        }
        (x, y) => {
            let (x, y) = (to_v6(x).octets(), to_v6(y).octets());
            // BEP 40 masks by the whole /48 first, then unmasks one byte more per shared prefix.
            let shared = x.iter().zip(&y).take_while(|(p, q)| p == q).count();
            push_masked(&mut input, &x, &y, if shared < 6 { 6 } else { shared + 1 });
        }
    }
    crc32c(&input)
}

fn to_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Appends both addresses, the lower first, with every byte from `keep` on masked by 0x55.
fn push_masked(input: &mut Vec<u8>, x: &[u8], y: &[u8], keep: usize) {
    let mask = |bytes: &[u8]| -> Vec<u8> {
        bytes.iter().enumerate().map(|(i, b)| if i < keep { *b } else { b & 0x55 }).collect()
    };
    let (mut low, mut high) = (mask(x), mask(y));
    if low > high {
        core::mem::swap(&mut low, &mut high);
    }
    input.extend(low);
    input.extend(high);
}

/// CRC-32C (Castagnoli), as BEP 40 and BEP 42 want it.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
