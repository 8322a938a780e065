//! RC4 with the first KiB dropped, and the key of one direction of a connection as plain data.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Bytes of the key stream that are thrown away before the first one counts.
const DROPPED: usize = 1024;
/// Positions of a [`StreamKey`] beyond this are not read from serialised data: building its cipher would take as
/// long as enciphering as many bytes.
pub const KEY_POSITION_LIMIT: u64 = 1 << 20;

/// How the bytes of one direction of a connection are enciphered from some byte on: plain data, of which a
/// [`StreamCipher`] is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct StreamKey {
    key: [u8; 20],
    position: u64,
    length: u64,
}

/// [`StreamKey`] as it is serialised.
#[derive(Serialize, Deserialize)]
struct Parts([u8; 20], u64, u64);

impl From<StreamKey> for Parts {
    fn from(key: StreamKey) -> Self {
        Self(key.key, key.position, key.length)
    }
}

impl TryFrom<Parts> for StreamKey {
    type Error = &'static str;

    fn try_from(Parts(key, position, length): Parts) -> Result<Self, Self::Error> {
        let within = position <= KEY_POSITION_LIMIT;
        within.then_some(Self { key, position, length }).ok_or("position of a key")
    }
}

impl StreamKey {
    /// Bytes are sent as they are.
    pub const PLAIN: Self = Self { key: [0; 20], position: 0, length: 0 };

    /// RC4 with this key from the first byte that counts, for all that follows.
    pub const fn rc4(key: [u8; 20]) -> Self {
        Self { key, position: 0, length: u64::MAX }
    }

    /// Bytes of the key stream that have been used (those dropped at the beginning not counted).
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that are enciphered from here; those behind them are plain. `u64::MAX` stands for all.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Whether no byte is enciphered from here on.
    pub const fn is_plain(&self) -> bool {
        self.length == 0
    }

    /// The same key for `length` bytes, plain behind them.
    #[must_use]
    pub const fn limited(self, length: u64) -> Self {
        Self { length, ..self }
    }

    /// The key that holds `count` bytes further on.
    #[must_use]
    pub const fn advanced(self, count: u64) -> Self {
        let length =
            if self.length == u64::MAX { u64::MAX } else { self.length.saturating_sub(count) };
        if length == 0 {
            return Self::PLAIN;
        }
        Self { position: self.position.saturating_add(count), length, ..self }
    }

    /// The same place in a stream under another key, for what is shown to others.
    #[must_use]
    pub const fn with_key(self, key: [u8; 20]) -> Self {
        Self { key, ..self }
    }

    /// The 160 bits that make the key stream. Whoever has them reads the connection.
    pub const fn secret(&self) -> &[u8; 20] {
        &self.key
    }
}

/// The key itself is not told.
impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_plain() {
            return f.write_str("Plain");
        }
        let mut shown = f.debug_struct("Rc4");
        shown.field("position", &self.position);
        if self.length != u64::MAX {
            shown.field("length", &self.length);
        }
        shown.finish_non_exhaustive()
    }
}

/// Enciphers or deciphers (which is the same) the bytes of one direction, in order.
///
/// Costs no memory besides itself (about 300 bytes) and never looks at what it is given.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "StreamKey", into = "StreamKey")]
pub struct StreamCipher {
    key: StreamKey,
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl fmt::Debug for StreamCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

impl PartialEq for StreamCipher {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for StreamCipher {}

impl From<StreamKey> for StreamCipher {
    fn from(key: StreamKey) -> Self {
        Self::new(&key)
    }
}

impl From<StreamCipher> for StreamKey {
    fn from(cipher: StreamCipher) -> Self {
        cipher.key
    }
}

impl StreamCipher {
    /// A cipher that is where `key` is. Takes as long as enciphering a KiB and as many bytes as the key has used.
    pub fn new(key: &StreamKey) -> Self {
        let mut new = Self { key: *key, state: [0; 256], i: 0, j: 0 };
        if key.is_plain() {
            return new;
        }
        new.schedule(&key.key);
        new.drop_bytes(DROPPED as u64 + key.position);
        new
    }

    /// Passes over bytes of the stream that nobody needs. Takes as long as enciphering them.
    pub fn skip(&mut self, count: u64) {
        self.drop_bytes(count.min(self.key.length));
        self.key = self.key.advanced(count);
    }

    fn drop_bytes(&mut self, mut count: u64) {
        let mut dropped = [0; DROPPED];
        while count > 0 {
            let now = count.min(DROPPED as u64);
            self.xor(&mut dropped[..now as usize]);
            count -= now;
        }
    }

    /// Another RC4 stream, of a key of any length from 1 to 256 bytes, behind its first `skip` bytes: for the
    /// vectors of RFC 6229. `None` for other lengths.
    pub fn bare(key: &[u8], skip: usize) -> Option<Self> {
        if key.is_empty() || key.len() > 256 {
            return None;
        }
        let mut new = Self { key: StreamKey::rc4([0; 20]), state: [0; 256], i: 0, j: 0 };
        new.schedule(key);
        new.drop_bytes(skip as u64);
        Some(new)
    }

    fn schedule(&mut self, key: &[u8]) {
        for (value, place) in self.state.iter_mut().zip(0..=255) {
            *value = place;
        }
        let mut j = 0u8;
        for (i, part) in (0..=255u8).zip(key.iter().cycle()) {
            j = j.wrapping_add(self.state[usize::from(i)]).wrapping_add(*part);
            self.state.swap(usize::from(i), usize::from(j));
        }
    }

    /// Where the stream is: a cipher made of this goes on as this one does.
    pub const fn key(&self) -> StreamKey {
        self.key
    }

    /// Whether nothing that follows is enciphered.
    pub const fn is_plain(&self) -> bool {
        self.key.is_plain()
    }

    /// Enciphers or deciphers the next bytes of the stream, in place. Bytes behind the length of the key stay as
    /// they are.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let within = self.key.length.min(bytes.len() as u64);
        self.key = self.key.advanced(within);
        self.xor(&mut bytes[..within as usize]);
    }

    /// Eight bytes of the key stream are gathered in a register at a time: that is half again as fast as byte by byte,
    /// since no store to `bytes` stands between those to the table.
    fn xor(&mut self, bytes: &mut [u8]) {
        let (state, mut i, mut j) = (&mut self.state, self.i, self.j);
        let mut next = || {
            i = i.wrapping_add(1);
            let a = state[usize::from(i)];
            j = j.wrapping_add(a);
            let b = state[usize::from(j)];
            state[usize::from(i)] = b;
            state[usize::from(j)] = a;
            state[usize::from(a.wrapping_add(b))]
        };
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            let stream = (0..8).fold(0, |stream, n| stream | u64::from(next()) << (8 * n));
            *word = (u64::from_le_bytes(*word) ^ stream).to_le_bytes();
        }
        rest.iter_mut().for_each(|byte| *byte ^= next());
        (self.i, self.j) = (i, j);
    }
}
