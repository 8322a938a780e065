//! Writing bencode: a streaming encoder, also for documents that embed spans which must stay as they
//! are, such as an `info` dictionary; and, with the feature `std`, typed values through `serde_bencode`.

use alloc::vec::Vec;
#[cfg(feature = "std")]
use serde::{Serialize, de::DeserializeOwned};

#[cfg(feature = "std")]
use super::{Limits, Mode, ScanError, scan};

/// Encodes `value`. Types in this crate hold nothing that bencode cannot express, so this cannot
/// fail for them; a foreign type that can yields `None`.
#[cfg(feature = "std")]
pub fn to_bytes<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    serde_bencode::to_bytes(value).ok()
}

/// Decodes `bytes` into a typed value after the scanner has vouched for shape and size.
///
/// # Errors
/// The scanner's verdict, or [`ScanError::Unexpected`] at 0 when the types do not fit.
#[cfg(feature = "std")]
pub fn from_scanned<T: DeserializeOwned>(bytes: &[u8], limits: Limits) -> Result<T, ScanError> {
    let document = scan(bytes, limits, Mode::Strict)?;
    let whole = &bytes[..document.consumed()];
    serde_bencode::from_bytes(whole).map_err(|_| ScanError::Unexpected { at: 0 })
}

/// Appends bencode to a buffer. The caller keeps dictionary keys in order.
#[derive(Default, Debug)]
pub struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    /// Begins a dictionary.
    pub fn dict(&mut self) -> &mut Self {
        self.out.push(b'd');
        self
    }

    /// Begins a list.
    pub fn list(&mut self) -> &mut Self {
        self.out.push(b'l');
        self
    }

    /// Ends the innermost dictionary or list.
    pub fn end(&mut self) -> &mut Self {
        self.out.push(b'e');
        self
    }

    /// Writes a byte string, also used for keys.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.decimal(bytes.len() as u64);
        self.out.push(b':');
        self.out.extend_from_slice(bytes);
        self
    }

    /// Writes an integer.
    pub fn int(&mut self, value: i64) -> &mut Self {
        self.out.push(b'i');
        if value < 0 {
            self.out.push(b'-');
        }
        self.decimal(value.unsigned_abs());
        self.out.push(b'e');
        self
    }

    /// Inserts bytes that are bencode already.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.out.extend_from_slice(encoded);
        self
    }

    /// The bytes written.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn decimal(&mut self, mut value: u64) {
        let start = self.out.len();
        loop {
            self.out.push(b'0' + (value % 10) as u8);
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.out[start..].reverse();
    }
}
