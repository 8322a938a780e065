//! Block payload on its way through the engine: slices of receive buffers that nobody here reads.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Serialize, Serializer};

/// The bytes of one block as they lay in the receive buffers.
///
/// `Debug` shows the length alone: decisions, digests and traces never depend on content.
#[derive(Clone)]
pub enum Payload {
    /// The usual case, one slice, which costs no allocation.
    One(Bytes),
    /// A block that straddled receive buffers.
    Many(Box<[Bytes]>),
}

impl Payload {
    /// Builds a payload from its parts, in order.
    pub fn from_parts(mut parts: Vec<Bytes>) -> Self {
        match (parts.len(), parts.pop()) {
            (0 | 1, only) => Self::One(only.unwrap_or_default()),
            (_, last) => {
                parts.extend(last);
                Self::Many(parts.into_boxed_slice())
            }
        }
    }

    /// Total number of bytes.
    pub fn len(&self) -> u32 {
        self.parts().iter().map(|part| part.len() as u32).sum()
    }

    /// True when there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slices, in order.
    pub fn parts(&self) -> &[Bytes] {
        match self {
            Self::One(bytes) => core::slice::from_ref(bytes),
            Self::Many(parts) => parts,
        }
    }
}

impl Serialize for Payload {
    /// As its length: what is written for comparing runs never depends on content.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.len().serialize(serializer)
    }
}

/// Serializes content as its length.
///
/// # Errors
/// As the serializer has them.
pub fn length_only<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    (bytes.len() as u32).serialize(serializer)
}

impl core::fmt::Debug for Payload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}
