//! Items that the DHT stores for anyone (BEP 44): immutable ones, known by their hash, and mutable
//! ones, known by who signs them.

use alloc::vec::Vec;
use bytes::Bytes;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::krpc::ItemFields;
use super::node_id::NodeId;
use crate::base::fault::Fault;
use crate::base::hash::Sha1Hash;
use crate::bencode::{Encoder, Limits, Mode, scan};

/// Longest value, bencoded (BEP 44).
pub const MAX_VALUE: usize = 1000;
/// Longest salt (BEP 44).
pub const MAX_SALT: usize = 64;

/// Why an item is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// No value, or one that is not bencoded.
    #[error("the item is malformed")]
    Malformed,
    /// The value is longer than [`MAX_VALUE`].
    #[error("the item is larger than 1000 bytes")]
    TooBig,
    /// The salt is longer than [`MAX_SALT`].
    #[error("the salt is longer than 64 bytes")]
    Salt,
    /// The signature is not that of the key.
    #[error("the signature is wrong")]
    Signature,
}

impl ItemError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

/// Who may change a mutable item, and its current state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mutable {
    /// The public key (ed25519).
    pub key: [u8; 32],
    /// Tells items of one key apart.
    pub salt: Bytes,
    /// Grows with every change.
    pub seq: i64,
    /// Over salt, sequence number and value.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

/// An item.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// The value, bencoded.
    pub value: Bytes,
    /// Whose it is; `None` for an immutable one.
    pub mutable: Option<Mutable>,
}

impl Item {
    /// An immutable item.
    ///
    /// # Errors
    /// When the value is not bencoded, or too large.
    pub fn immutable(value: Bytes) -> Result<Self, ItemError> {
        check_value(&value)?;
        Ok(Self { value, mutable: None })
    }

    /// A mutable item, signed with the secret key `seed`.
    ///
    /// # Errors
    /// When value or salt are not what BEP 44 allows.
    pub fn sign(seed: &[u8; 32], salt: Bytes, seq: i64, value: Bytes) -> Result<Self, ItemError> {
        check_value(&value)?;
        if salt.len() > MAX_SALT {
            return Err(ItemError::Salt);
        }
        let secret = SigningKey::from_bytes(seed);
        let signature = secret.sign(&signed_bytes(&salt, seq, &value)).to_bytes();
        let key = secret.verifying_key().to_bytes();
        Ok(Self { value, mutable: Some(Mutable { key, salt, seq, signature }) })
    }

    /// Puts an item together from a packet. The salt is not sent in answers: it is known from the
    /// question. The signature is verified, which takes some work.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_fields(fields: &ItemFields, salt: Option<&Bytes>) -> Result<Self, ItemError> {
        let value = fields.value.clone().ok_or(ItemError::Malformed)?;
        check_value(&value)?;
        let Some(key) = &fields.key else { return Ok(Self { value, mutable: None }) };
        let salt = fields.salt.as_ref().or(salt).cloned().unwrap_or_default();
        if salt.len() > MAX_SALT {
            return Err(ItemError::Salt);
        }
        let key: [u8; 32] = key[..].try_into().map_err(|_| ItemError::Malformed)?;
        let signature = fields.signature.as_ref().ok_or(ItemError::Malformed)?;
        let signature: [u8; 64] = signature[..].try_into().map_err(|_| ItemError::Malformed)?;
        let seq = fields.seq.ok_or(ItemError::Malformed)?;
        let item = Self { value, mutable: Some(Mutable { key, salt, seq, signature }) };
        if item.is_signed() { Ok(item) } else { Err(ItemError::Signature) }
    }

    /// A mutable item that says which torrent its owner publishes now (BEP 46).
    ///
    /// # Errors
    /// When the salt is longer than BEP 44 allows.
    pub fn publish(
        seed: &[u8; 32],
        salt: Bytes,
        seq: i64,
        torrent: Sha1Hash,
    ) -> Result<Self, ItemError> {
        let mut value = Encoder::default();
        value.dict().bytes(b"ih").bytes(&torrent.0).end();
        Self::sign(seed, salt, seq, value.finish().into())
    }

    /// The torrent that the item's owner publishes, if that is what the item is for (BEP 46).
    pub fn published(&self) -> Option<Sha1Hash> {
        let document = scan(&self.value, Limits::MESSAGE, Mode::Lenient).ok()?;
        let hash = document.root().get(b"ih")?.as_bytes()?;
        Sha1Hash::from_slice(hash)
    }

    /// Where it is stored.
    pub fn target(&self) -> NodeId {
        match &self.mutable {
            Some(mutable) => mutable_target(&mutable.key, &mutable.salt),
            None => Sha1Hash::of(&self.value).into(),
        }
    }

    /// Whether the signature is right; an immutable item needs none.
    pub fn is_signed(&self) -> bool {
        let Some(Mutable { key, salt, seq, signature }) = &self.mutable else { return true };
        let Ok(key) = VerifyingKey::from_bytes(key) else { return false };
        let bytes = signed_bytes(salt, *seq, &self.value);
        key.verify_strict(&bytes, &Signature::from_bytes(signature)).is_ok()
    }

    /// As a packet carries it. In an answer the salt is left out.
    pub fn fields(&self, with_salt: bool) -> ItemFields {
        let value = Some(self.value.clone());
        match &self.mutable {
            None => ItemFields { value, ..ItemFields::default() },
            Some(mutable) => ItemFields {
                key: Some(Bytes::copy_from_slice(&mutable.key)),
                salt: Some(mutable.salt.clone()).filter(|salt| with_salt && !salt.is_empty()),
                seq: Some(mutable.seq),
                signature: Some(Bytes::copy_from_slice(&mutable.signature)),
                value,
            },
        }
    }

    /// Bytes of memory that it takes, about.
    pub fn size(&self) -> usize {
        self.value.len() + self.mutable.as_ref().map_or(0, |m| m.salt.len() + 104)
    }
}

/// Where mutable items of a key and a salt are stored.
pub fn mutable_target(key: &[u8; 32], salt: &[u8]) -> NodeId {
    let mut input = Vec::from(*key);
    input.extend_from_slice(salt);
    Sha1Hash::of(&input).into()
}

/// What a signature is over (BEP 44).
pub fn signed_bytes(salt: &[u8], seq: i64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if !salt.is_empty() {
        out.extend(alloc::format!("4:salt{}:", salt.len()).into_bytes());
        out.extend_from_slice(salt);
    }
    out.extend(alloc::format!("3:seqi{seq}e1:v").into_bytes());
    out.extend_from_slice(value);
    out
}

fn check_value(value: &Bytes) -> Result<(), ItemError> {
    if value.len() > MAX_VALUE {
        return Err(ItemError::TooBig);
    }
    // What others refuse would be lost: a value is bencoded as it should be.
    let limits = Limits { depth: 16, size: 4096, tokens: 1000 };
    let whole = scan(value, limits, Mode::Lenient).is_ok_and(|d| d.consumed() == value.len());
    if whole { Ok(()) } else { Err(ItemError::Malformed) }
}
