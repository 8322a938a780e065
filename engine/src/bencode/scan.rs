//! The scanner: one pass, an explicit stack, a flat list of tokens.

use alloc::vec::Vec;

use crate::base::fault::Fault;

use super::cursor::Value;

/// What the scanner puts up with before it refuses.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nesting of lists and dictionaries. A string inside one list is at depth 1.
    pub depth: u32,
    /// Bytes that one document may span.
    pub size: u32,
    /// Values of any kind, dictionary keys included.
    pub tokens: u32,
}

impl Limits {
    /// For `.torrent` files: 64 MiB, 100 levels, three million values.
    pub const METAINFO: Self = Self { depth: 100, size: 64 << 20, tokens: 3_000_000 };
    /// For tracker replies: 1 MiB and 50,000 values.
    pub const TRACKER: Self = Self { depth: 16, size: 1 << 20, tokens: 50_000 };
    /// For extended messages and other small things from peers.
    pub const MESSAGE: Self = Self { depth: 16, size: 1 << 20, tokens: 4_096 };
}

/// How forgiving the scanner is of rules that real files break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Canonical form only: keys sorted and unique, no leading zeros, no `-0`.
    Strict,
    /// What the field accepts: keys in any order, leading zeros.
    Lenient,
    /// As lenient, and integers beyond 64 bits, which read as the nearest that there is: for replies
    /// in which no number may make the rest worthless.
    Saturating,
}

/// Why input is not bencode, with the byte at which that became certain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The input ends inside a value.
    #[error("the data ends too early, at byte {at}")]
    Truncated {
        /// Offset at which more was needed.
        at: u32,
    },
    /// A byte that cannot stand here.
    #[error("unexpected byte at offset {at}")]
    Unexpected {
        /// Offset of the byte.
        at: u32,
    },
    /// A string length, or (unless they saturate) an integer beyond 64 bits, signed.
    #[error("a number is too large at byte {at}")]
    Overflow {
        /// Offset of the number.
        at: u32,
    },
    /// Nested deeper than the limit.
    #[error("nested too deeply at byte {at}")]
    TooDeep {
        /// Offset of the container that went too far.
        at: u32,
    },
    /// Longer than the limit.
    #[error("the data is larger than the limit")]
    TooLarge,
    /// More values than the limit.
    #[error("the data holds more values than the limit")]
    TooManyTokens,
    /// Breaks the canonical form (strict mode only).
    #[error("not in canonical form at byte {at}")]
    NotCanonical {
        /// Offset of the offending key or number.
        at: u32,
    },
}

impl ScanError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Int,
    Bytes,
    List,
    Dict,
}

/// One value: where it lies and where the token after its whole subtree is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// First byte of the encoding.
    pub(super) start: u32,
    /// First byte of a string's content; start again for other kinds.
    pub(super) body: u32,
    /// One past the last byte of the encoding.
    pub(super) end: u32,
    /// Index of the token that follows the subtree.
    pub(super) next: u32,
}

/// A scanned document: the input and its values.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    pub(super) input: &'a [u8],
    pub(super) tokens: Vec<Token>,
}

impl<'a> Document<'a> {
    /// The outermost value.
    pub fn root(&self) -> Value<'a, '_> {
        Value { document: self, index: 0 }
    }

    /// Bytes the outermost value spans; input behind that is the caller's.
    pub fn consumed(&self) -> usize {
        self.tokens[0].end as usize
    }
}

/// Scans the value at the start of `input`. Trailing bytes are left to the caller.
///
/// # Errors
/// Whatever makes the input invalid or larger than `limits`. Work and memory are bounded by the
/// bytes that are really there, never by lengths that the input declares.
pub fn scan(input: &[u8], limits: Limits, mode: Mode) -> Result<Document<'_>, ScanError> {
    let mut scanner = Scanner { input, at: 0, limits, mode, tokens: Vec::new(), open: Vec::new() };
    loop {
        scanner.value()?;
        while scanner.open.last().is_some() && scanner.peek()? == b'e' {
            scanner.close()?;
        }
        if scanner.open.is_empty() {
            return Ok(Document { input, tokens: scanner.tokens });
        }
    }
}

/// A container that is not closed yet.
struct Open {
    token: u32,
    /// In a dictionary: the key that waits for its value.
    pending_key: bool,
    /// In a dictionary: token of the last key, for the order check.
    last_key: Option<u32>,
}

struct Scanner<'a> {
    input: &'a [u8],
    at: usize,
    limits: Limits,
    mode: Mode,
    tokens: Vec<Token>,
    open: Vec<Open>,
}

impl Scanner<'_> {
    fn pos(&self) -> u32 {
        self.at as u32
    }

    fn peek(&self) -> Result<u8, ScanError> {
        if self.at >= self.limits.size as usize {
            return Err(ScanError::TooLarge);
        }
        self.input.get(self.at).copied().ok_or(ScanError::Truncated { at: self.pos() })
    }

    /// Scans one scalar, or opens one container.
    fn value(&mut self) -> Result<(), ScanError> {
        let first = self.peek()?;
        let key_due = self.key_is_due();
        if key_due && !first.is_ascii_digit() {
            // Only `e` may stand here besides a key, and the caller has looked for that already.
            return Err(ScanError::Unexpected { at: self.pos() });
        }
        match first {
            b'i' => self.integer()?,
            b'0'..=b'9' => self.string()?,
            b'l' | b'd' => return self.open_container(first == b'd'),
            _ => return Err(ScanError::Unexpected { at: self.pos() }),
        }
        self.after_value(key_due)
    }

    fn key_is_due(&self) -> bool {
        self.open.last().is_some_and(|open| {
            self.tokens[open.token as usize].kind == Kind::Dict && !open.pending_key
        })
    }

    fn after_value(&mut self, was_key: bool) -> Result<(), ScanError> {
        let newest = (self.tokens.len() - 1) as u32;
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        if self.tokens[open.token as usize].kind != Kind::Dict {
            return Ok(());
        }
        open.pending_key = was_key;
        if was_key {
            let previous = open.last_key.replace(newest);
            if let (Mode::Strict, Some(previous)) = (self.mode, previous)
                && self.content(previous) >= self.content(newest)
            {
                return Err(ScanError::NotCanonical { at: self.tokens[newest as usize].start });
            }
        }
        Ok(())
    }

    fn content(&self, token: u32) -> &[u8] {
        let token = &self.tokens[token as usize];
        &self.input[token.body as usize..token.end as usize]
    }

    fn push(&mut self, kind: Kind, start: usize, body: usize, end: usize) -> Result<(), ScanError> {
        if self.tokens.len() >= self.limits.tokens as usize {
            return Err(ScanError::TooManyTokens);
        }
        let next = self.tokens.len() as u32 + 1;
        let (start, body, end) = (start as u32, body as u32, end as u32);
        self.tokens.push(Token { kind, start, body, end, next });
        Ok(())
    }

    fn open_container(&mut self, dict: bool) -> Result<(), ScanError> {
        if self.open.len() >= self.limits.depth as usize {
            return Err(ScanError::TooDeep { at: self.pos() });
        }
        let kind = if dict { Kind::Dict } else { Kind::List };
        self.push(kind, self.at, self.at, self.at)?;
        let token = (self.tokens.len() - 1) as u32;
        self.open.push(Open { token, pending_key: false, last_key: None });
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), ScanError> {
        let Some(open) = self.open.pop() else {
            return Err(ScanError::Unexpected { at: self.pos() });
        };
        if open.pending_key {
            return Err(ScanError::Unexpected { at: self.pos() });
        }
        self.at += 1;
        let next = self.tokens.len() as u32;
        let token = &mut self.tokens[open.token as usize];
        token.end = self.at as u32;
        token.next = next;
        if let Some(parent) = self.open.last_mut() {
            parent.pending_key = false;
        }
        Ok(())
    }

    fn integer(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        self.at += 1;
        let negative = self.peek()? == b'-';
        if negative {
            self.at += 1;
        }
        let digits = self.at;
        let magnitude = self.number()?;
        let canonical = (self.input[digits] != b'0' || self.at - digits == 1)
            && !(negative && magnitude == Some(0));
        if !canonical && self.mode == Mode::Strict {
            return Err(ScanError::NotCanonical { at: start as u32 });
        }
        // One more negative than positive number fits.
        let most = i64::MAX as u64 + u64::from(negative);
        let fits = magnitude.is_some_and(|magnitude| magnitude <= most);
        if !fits && self.mode != Mode::Saturating {
            return Err(ScanError::Overflow { at: start as u32 });
        }
        if self.peek()? != b'e' {
            return Err(ScanError::Unexpected { at: self.pos() });
        }
        self.at += 1;
        self.push(Kind::Int, start, digits, self.at)
    }

    fn string(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        let length = self.number()?.ok_or(ScanError::Overflow { at: start as u32 })?;
        if self.mode == Mode::Strict && self.input[start] == b'0' && self.at - start > 1 {
            return Err(ScanError::NotCanonical { at: start as u32 });
        }
        if self.peek()? != b':' {
            return Err(ScanError::Unexpected { at: self.pos() });
        }
        self.at += 1;
        let body = self.at;
        let left = (self.input.len() - body) as u64;
        if length > left {
            return Err(ScanError::Truncated { at: self.input.len() as u32 });
        }
        self.at += length as usize;
        if self.at > self.limits.size as usize {
            return Err(ScanError::TooLarge);
        }
        self.push(Kind::Bytes, start, body, self.at)
    }

    /// One or more decimal digits; `None` for a number beyond 64 bits.
    fn number(&mut self) -> Result<Option<u64>, ScanError> {
        if !self.peek()?.is_ascii_digit() {
            return Err(ScanError::Unexpected { at: self.pos() });
        }
        let mut value = Some(0u64);
        while let Some(digit) = self.input.get(self.at).filter(|b| b.is_ascii_digit()) {
            value = value
                .and_then(|v| v.checked_mul(10))
                .and_then(|v| v.checked_add(u64::from(digit - b'0')));
            self.at += 1;
        }
        Ok(value)
    }
}
