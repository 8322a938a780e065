//! Message stream encryption (MSE, also called protocol encryption): how two `BitTorrent` peers hide what they
//! speak from whoever stands between them. It proves nothing about who somebody is, and is not meant to.
//!
//! [`Handshake`] is the conversation before the protocol, for both sides: Diffie-Hellman, padding of any length,
//! the torrent's info-hash as a shared secret, and the choice of what follows. It does no I/O and draws no random
//! numbers: bytes and randomness are given to it, bytes and what it needs next are returned.
//!
//! What comes of it are two [`StreamKey`]s, plain data that say how the bytes of each direction are enciphered
//! from the next one on. [`StreamCipher`] does that, in place, for whoever holds the bytes.
//!
//! ```
//! use eddyline_mse::{Agreed, Handshake, Initiator, Methods, Need, Responder, StreamCipher, torrent_hash};
//!
//! let info_hash = [7; 20];
//! // Whoever has many torrents keeps a map from `torrent_hash` to info-hash.
//! let known = |hash| (hash == torrent_hash(&info_hash)).then_some(info_hash);
//! // `random` has to be drawn for each connection.
//! let random = [1; 20];
//! let read = |side: &mut Handshake, input: &mut &[u8], out: &mut Vec<u8>| -> Option<Agreed> {
//!     loop {
//!         match side.receive(input, out).unwrap() {
//!             Need::Bytes => return None,
//!             Need::Agreement => side.agree(&random, b"random pad", out).unwrap(),
//!             Need::Torrent(hash) => side.torrent(known(hash), 0).unwrap(),
//!             Need::Nothing(agreed) => return Some(agreed),
//!         }
//!     }
//! };
//! let (mut to_b, mut to_a) = (Vec::new(), Vec::new());
//! let setup = Initiator { private: [2; 20], pad: &[], inner_pad: 0, info_hash, offer: Methods::BOTH };
//! let mut a = Handshake::initiate(setup, b"first words", &mut to_b).unwrap();
//! let mut b = Handshake::respond(Responder { accept: Methods::BOTH, prefer_rc4: true });
//! assert!(read(&mut b, &mut &to_b[..], &mut to_a).is_none());
//! let mut more = Vec::new();
//! assert!(read(&mut a, &mut &to_a[..], &mut more).is_none());
//! let (mut rest, mut last) = (&more[..], Vec::new());
//! let agreed = read(&mut b, &mut rest, &mut last).unwrap();
//! // What is left belongs to what follows, and is deciphered in place.
//! let mut payload = rest.to_vec();
//! StreamCipher::new(&agreed.read).apply(&mut payload);
//! assert_eq!(payload, b"first words");
//! assert_eq!(read(&mut a, &mut &last[..], &mut more).unwrap().read, agreed.write);
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod cipher;
mod error;
mod exchange;
mod handshake;
mod keys;
mod methods;
mod opening;
#[cfg(test)]
mod tests;

pub use cipher::{KEY_POSITION_LIMIT, StreamCipher, StreamKey};
pub use error::{Fault, MseError};
pub use exchange::{KEY_LEN, PRIVATE_LEN, public_key, shared_secret};
pub use handshake::{
    Agreed, Handshake, Initiator, MAX_HELD, MAX_PAD, MAX_PREAMBLE, Need, Responder,
};
pub use keys::{cipher_keys, sync_hash, torrent_hash, torrent_proof};
pub use methods::{Method, Methods};
pub use opening::{Opening, recognise};
