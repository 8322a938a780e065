//! Digest values: 20 bytes of SHA-1, 32 bytes of SHA-256. Pieces are hashed by the driver; these
//! functions hash small things only (info dictionaries, allowed-fast sets, Merkle nodes).

use alloc::string::String;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

macro_rules! hash {
    ($(#[$meta:meta])* $name:ident, $len:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The hash in lower-case hex.
            pub fn to_hex(self) -> String {
                HEXLOWER.encode(&self.0)
            }

            /// Reads a hash from bytes of exactly the right length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&self.to_hex())
            }
        }
    };
}

hash!(
    /// A SHA-1 digest: a v1 info-hash or a v1 piece hash.
    Sha1Hash,
    20
);
hash!(
    /// A SHA-256 digest: a v2 info-hash, a pieces root or a Merkle node.
    Sha256Hash,
    32
);

impl Sha1Hash {
    /// The SHA-1 of `data`.
    pub fn of(data: &[u8]) -> Self {
        Self(sha1_smol::Sha1::from(data).digest().bytes())
    }
}

impl Sha256Hash {
    /// The SHA-256 of `data`.
    pub fn of(data: &[u8]) -> Self {
        Self(sha2::Sha256::digest(data).into())
    }

    /// The first 20 bytes, which stand for a v2 info-hash in handshakes, trackers and DHT (BEP 52).
    pub fn truncated(self) -> Sha1Hash {
        let mut short = [0; 20];
        short.copy_from_slice(&self.0[..20]);
        Sha1Hash(short)
    }
}
