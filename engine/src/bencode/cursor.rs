//! Reading a scanned document: typed look-ups that answer `None` for a wrong type, and exact spans.

use super::scan::{Document, Kind, Token};

/// A value inside a [`Document`]. Copying it copies two words.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a, 'd> {
    pub(super) document: &'d Document<'a>,
    pub(super) index: u32,
}

impl<'a, 'd> Value<'a, 'd> {
    fn token(&self) -> &'d Token {
        &self.document.tokens[self.index as usize]
    }

    /// The integer, if it is one; the nearest that there is for one beyond 64 bits, which only
    /// [`Mode::Saturating`](super::Mode::Saturating) lets in.
    pub fn as_int(&self) -> Option<i64> {
        let token = self.token();
        if token.kind != Kind::Int {
            return None;
        }
        let text = &self.document.input[token.start as usize + 1..token.end as usize - 1];
        let nearest = if text.first() == Some(&b'-') { i64::MIN } else { i64::MAX };
        // The scanner has seen that these are digits.
        Some(core::str::from_utf8(text).ok()?.parse().unwrap_or(nearest))
    }

    /// The byte string, if it is one.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        let token = self.token();
        (token.kind == Kind::Bytes)
            .then(|| &self.document.input[token.body as usize..token.end as usize])
    }

    /// The byte string, if it is one and UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.as_bytes()?).ok()
    }

    /// True for a dictionary.
    pub fn is_dict(&self) -> bool {
        self.token().kind == Kind::Dict
    }

    /// True for a list.
    pub fn is_list(&self) -> bool {
        self.token().kind == Kind::List
    }

    /// The encoding of this value, byte for byte as it stands in the input.
    pub fn raw(&self) -> &'a [u8] {
        &self.document.input[self.start()..self.token().end as usize]
    }

    /// Offset of the first byte of the encoding.
    pub fn start(&self) -> usize {
        self.token().start as usize
    }

    /// The value under `key`; the first one when a lenient document repeats the key.
    /// `None` also when this is not a dictionary.
    pub fn get(&self, key: &[u8]) -> Option<Self> {
        self.entries().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// The items of a list, or nothing.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'a, 'd> {
        let this = *self;
        let is_list = self.is_list();
        this.children().filter(move |_| is_list)
    }

    /// The entries of a dictionary in the order found, or nothing.
    pub fn entries(&self) -> impl Iterator<Item = (&'a [u8], Self)> + use<'a, 'd> {
        let mut children = self.children();
        let is_dict = self.is_dict();
        core::iter::from_fn(move || {
            if !is_dict {
                return None;
            }
            let key = children.next()?.as_bytes()?;
            Some((key, children.next()?))
        })
    }

    fn children(&self) -> impl Iterator<Item = Self> + use<'a, 'd> {
        let document = self.document;
        let end = self.token().next;
        let mut index = self.index + 1;
        core::iter::from_fn(move || {
            if index >= end {
                return None;
            }
            let value = Value { document, index };
            index = value.token().next;
            Some(value)
        })
    }
}
