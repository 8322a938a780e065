//! The hashes of the handshake.

use sha1_smol::Sha1;

use crate::cipher::StreamKey;

fn hash(parts: &[&[u8]]) -> [u8; 20] {
    let mut sha1 = Sha1::new();
    parts.iter().for_each(|part| sha1.update(part));
    sha1.digest().bytes()
}

/// What ends the padding behind the initiator's public key.
pub fn sync_hash(secret: &[u8; 96]) -> [u8; 20] {
    hash(&[b"req1", secret])
}

/// What stands for a torrent in a handshake. It follows from the info-hash only, so whoever answers works it out
/// once for each torrent and keeps a map from here to the info-hash: then a connection costs one look-up, however
/// many torrents there are.
pub fn torrent_hash(info_hash: &[u8; 20]) -> [u8; 20] {
    hash(&[b"req2", info_hash])
}

/// [`torrent_hash`] as the initiator sends it, masked with a hash of the secret. Applied twice it is undone.
pub fn torrent_proof(secret: &[u8; 96], torrent_hash: &[u8; 20]) -> [u8; 20] {
    let mut mask = hash(&[b"req3", secret]);
    mask.iter_mut().zip(torrent_hash).for_each(|(mask, byte)| *mask ^= byte);
    mask
}

/// The keys of what the initiator sends, and of what the responder sends.
pub fn cipher_keys(secret: &[u8; 96], info_hash: &[u8; 20]) -> (StreamKey, StreamKey) {
    let key = |name: &[u8]| StreamKey::rc4(hash(&[name, secret, info_hash]));
    (key(b"keyA"), key(b"keyB"))
}
