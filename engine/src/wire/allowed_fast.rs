//! The allowed-fast set of BEP 6: pieces a choked newcomer may still ask for.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::base::hash::Sha1Hash;

/// The canonical set of `count` pieces for the peer at `ip`, in the order generated. The lowest
/// byte of the address does not count, so that one network gets one set. BEP 6 defines no set for
/// IPv6 peers.
pub fn allowed_fast_set(ip: Ipv4Addr, info_hash: Sha1Hash, pieces: u32, count: u32) -> Vec<u32> {
    let count = count.min(pieces) as usize;
    let mut set = Vec::with_capacity(count);
    let [a, b, c, _] = ip.octets();
    let mut seed = Vec::with_capacity(24);
    seed.extend([a, b, c, 0]);
    seed.extend(info_hash.0);
    let mut digest = Sha1Hash::of(&seed);
    while set.len() < count {
        for word in digest.0.chunks_exact(4) {
            let index = u32::from_be_bytes([word[0], word[1], word[2], word[3]]) % pieces;
            if set.len() < count && !set.contains(&index) {
                set.push(index);
            }
        }
        digest = Sha1Hash::of(&digest.0);
    }
    set
}
