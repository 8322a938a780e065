//! Telling an encrypted handshake from a plain one by its first bytes.

/// How a plain handshake begins.
const PLAIN: &[u8; 20] = b"\x13BitTorrent protocol";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Not certain: these bytes may be both, so more are needed. So it is for one of 256 encrypted handshakes after
    /// a byte, one of 65,536 after two.
    Undecided,
    /// A handshake of `BitTorrent` without encryption.
    Plain,
    /// Anything else: an encrypted handshake begins with a public key, which may be any bytes.
    Encrypted,
}

/// Says what a connection begins with, as soon as that is certain. Whoever sends a plain handshake has sent its 20
/// bytes at once, and an encrypted one is 96 at the least, so nobody waits for the other here.
pub fn recognise(first: &[u8]) -> Opening {
    let known = first.len().min(PLAIN.len());
    if first[..known] != PLAIN[..known] {
        Opening::Encrypted
    } else if known == PLAIN.len() {
        Opening::Plain
    } else {
        Opening::Undecided
    }
}
