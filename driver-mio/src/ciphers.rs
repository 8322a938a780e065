//! What hides the bytes of a connection: from where in its two directions the engine's keys apply, whatever carries it.

use std::io;

use bytes::{Bytes, BytesMut};
use eddyline::{StreamCipher, StreamKey};
use eddyline_disk::Span;

use crate::buffers::Buffers;

/// The ciphers of a connection, where it has any.
#[derive(Debug, Default)]
pub struct Ciphers {
    /// What is sent is enciphered with this.
    encipher: Option<Box<StreamCipher>>,
    /// What comes is deciphered with this, behind as many bytes that are delivered as they come.
    decipher: Option<(u32, Box<StreamCipher>)>,
}

impl Ciphers {
    /// What is sent from here on is enciphered.
    pub fn encipher(&mut self, key: &StreamKey) {
        self.encipher = (!key.is_plain()).then(|| Box::new(StreamCipher::new(key)));
    }

    /// What comes is deciphered, behind what was `granted` and has not come yet.
    pub fn decipher(&mut self, key: &StreamKey, granted: u32) {
        let cipher = || (granted, Box::new(StreamCipher::new(key)));
        self.decipher = (!key.is_plain()).then(cipher);
    }

    /// Whether what is sent may go as it lies in a file.
    #[must_use]
    pub fn sends_plain(&self) -> bool {
        self.encipher.is_none()
    }

    /// Whether what comes is given on as it is.
    #[must_use]
    pub fn receives_plain(&self) -> bool {
        self.decipher.is_none()
    }

    /// Bytes as they are sent.
    pub fn outgoing(&mut self, bytes: Bytes) -> Bytes {
        let Some(cipher) = &mut self.encipher else { return bytes };
        // What somebody else holds as well, such as a cache, is left as it is.
        let own = bytes.try_into_mut();
        let mut own = own.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        cipher.apply(&mut own);
        own.freeze()
    }

    /// Reads bytes of a file, and gives them to `push` as they are sent.
    ///
    /// # Errors
    /// Where they cannot be read any more.
    pub fn stored(
        &mut self,
        span: &Span,
        buffers: &mut Buffers,
        mut push: impl FnMut(Bytes),
    ) -> io::Result<()> {
        let (mut at, length) = (0, span.length());
        while at < length {
            let count = (length - at).min(Buffers::EACH as u32);
            let part = span.part(at, count);
            let mut outcome = Ok(());
            let mut fill = |bytes: &mut [u8]| {
                outcome = part.read(bytes);
                if let Some(cipher) = &mut self.encipher {
                    cipher.apply(bytes);
                }
                outcome.is_ok()
            };
            let filled = filled(count as usize, buffers, &mut fill);
            outcome?;
            filled.into_iter().for_each(&mut push);
            at += count;
        }
        Ok(())
    }

    /// Turns bytes that came into what was meant, in place.
    pub fn incoming(&mut self, bytes: &mut [u8]) {
        let Some((plain, cipher)) = &mut self.decipher else { return };
        let before = (*plain as usize).min(bytes.len());
        *plain -= before as u32;
        cipher.apply(&mut bytes[before..]);
    }
}

/// Memory of that many bytes, at most [`Buffers::EACH`], as `fill` has filled it. What is short gets memory of its
/// length: a buffer for each block would hold many times its bytes while the peer does not read.
pub fn filled(
    count: usize,
    buffers: &mut Buffers,
    fill: impl FnOnce(&mut [u8]) -> bool,
) -> Option<Bytes> {
    if count >= Buffers::EACH / 2 {
        return buffers.fill(count, fill);
    }
    let mut bytes = BytesMut::zeroed(count);
    fill(&mut bytes).then(|| bytes.freeze())
}
