//! Datagrams through a proxy of SOCKS (RFC 1928, 7): each has the address of the other end in front.

use super::handshake::{Target, put_target, take_target};

/// Puts in front of a datagram to whom it goes.
pub(crate) fn wrap(out: &mut Vec<u8>, to: &Target) {
    out.extend([0, 0, 0]);
    put_target(out, to);
}

/// From whom a datagram comes, and where its content begins. Parts of one are not put together: nobody sends any.
pub(crate) fn unwrap(datagram: &[u8]) -> Option<(Target, usize)> {
    let (head, rest) = datagram.split_first_chunk::<3>()?;
    if *head != [0, 0, 0] {
        return None;
    }
    let (from, length) = take_target(rest)?;
    Some((from, head.len() + length))
}
