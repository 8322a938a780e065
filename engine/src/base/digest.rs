//! A checksum over the `Debug` text of a value: the canonical form that two equal states share.
//!
//! `Debug` of every engine type prints plain data, never a pointer, a capacity or block content.

use core::fmt::{Debug, Write};
use serde::{Deserialize, Serialize};

/// 64-bit FNV-1a. A checksum for comparing runs, not a cryptographic hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Mixes in raw bytes.
    pub fn absorb(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Mixes in the `Debug` text of `value`.
    pub fn absorb_debug(&mut self, value: &impl Debug) {
        // The sink below never fails.
        let _ = write!(self, "{value:?};");
    }

    /// The digest so far.
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.absorb(text.as_bytes());
        Ok(())
    }
}
