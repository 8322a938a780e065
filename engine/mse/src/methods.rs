//! What may follow the handshake.

use serde::{Deserialize, Serialize};

/// How the bytes behind the handshake go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Method {
    /// As they are: only the handshake was hidden.
    Plaintext,
    /// Enciphered.
    Rc4,
}

impl Method {
    /// The bit that stands for it in messages.
    pub const fn bit(self) -> u32 {
        match self {
            Self::Plaintext => 1,
            Self::Rc4 => 2,
        }
    }
}

/// A set of methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Methods {
    /// Whether plaintext is in it.
    pub plaintext: bool,
    /// Whether RC4 is in it.
    pub rc4: bool,
}

impl Methods {
    /// Every method there is.
    pub const BOTH: Self = Self { plaintext: true, rc4: true };
    /// RC4 only.
    pub const RC4: Self = Self { plaintext: false, rc4: true };
    /// Plaintext only.
    pub const PLAINTEXT: Self = Self { plaintext: true, rc4: false };

    /// The set as it is in messages.
    pub const fn bits(self) -> u32 {
        let plaintext = if self.plaintext { Method::Plaintext.bit() } else { 0 };
        plaintext | if self.rc4 { Method::Rc4.bit() } else { 0 }
    }

    /// The methods that are known among these bits; others may come to be, and are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { plaintext: bits & Method::Plaintext.bit() != 0, rc4: bits & Method::Rc4.bit() != 0 }
    }

    /// Whether it is empty.
    pub const fn is_empty(self) -> bool {
        !self.plaintext && !self.rc4
    }

    /// Whether a method is in it.
    pub const fn contains(self, method: Method) -> bool {
        match method {
            Method::Plaintext => self.plaintext,
            Method::Rc4 => self.rc4,
        }
    }

    /// The one of both sets to take, RC4 before plaintext or after it.
    pub const fn choose(self, offered: Self, prefer_rc4: bool) -> Option<Method> {
        let rc4 = self.rc4 && offered.rc4;
        let plaintext = self.plaintext && offered.plaintext;
        match (rc4, plaintext) {
            (true, true) if prefer_rc4 => Some(Method::Rc4),
            (_, true) => Some(Method::Plaintext),
            (true, false) => Some(Method::Rc4),
            (false, false) => None,
        }
    }
}
