//! The handshake, for both sides, as a machine that is given bytes.
//!
//! ```text
//! A -> B   public key, padding
//! B -> A   public key, padding
//! A -> B   hash of the secret, masked hash of the torrent,
//!          RC4(zeros, offer, length of padding, padding, length of payload, payload)
//! B -> A   RC4(zeros, choice, length of padding, padding)
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::cipher::{StreamCipher, StreamKey};
use crate::error::MseError;
use crate::exchange::{self, KEY_LEN, PRIVATE_LEN};
use crate::keys;
use crate::methods::{Method, Methods};

/// Bytes of padding that a side may send, in each of four places.
pub const MAX_PAD: usize = 512;
/// Bytes that a machine holds at the most: padding with what ends it. What follows is taken as it comes.
pub const MAX_HELD: usize = MAX_PAD + 20;
/// Bytes of the longest handshake in either direction, without initial payload: whatever is beyond belongs to the
/// protocol.
pub const MAX_PREAMBLE: usize = KEY_LEN + MAX_HELD + 20 + 16 + MAX_PAD;
/// The verification constant: as many zeros.
const VERIFICATION: usize = 8;

/// What the initiator brings.
#[derive(Clone, Copy)]
pub struct Initiator<'a> {
    /// 160 random bits.
    pub private: [u8; PRIVATE_LEN],
    /// Up to 512 random bytes that follow the public key.
    pub pad: &'a [u8],
    /// Zeros inside the encrypted part, up to 512.
    pub inner_pad: u16,
    /// The torrent, which the other side must have.
    pub info_hash: [u8; 20],
    /// What may follow.
    pub offer: Methods,
}

/// What the responder brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Responder {
    /// What may follow.
    pub accept: Methods,
    /// Which of both is taken where both are offered.
    pub prefer_rc4: bool,
}

/// What a machine needs to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// More bytes; all were taken.
    Bytes,
    /// [`Handshake::agree`] is to be called: the other side's public key is here. It costs one exponentiation for
    /// the initiator, two for the responder, so who calls may wait with it.
    Agreement,
    /// [`Handshake::torrent`] is to be called, with the torrent that has this [`keys::torrent_hash`].
    Torrent([u8; 20]),
    /// It is complete. Bytes that were not taken belong to what follows.
    Nothing(Agreed),
}

/// What two sides have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// How the bytes behind the handshake go.
    pub method: Method,
    /// The torrent.
    pub info_hash: [u8; 20],
    /// How the next bytes of the other side are enciphered: with plaintext too as far as they are the initial payload,
    /// which is never plain.
    pub read: StreamKey,
    /// How the next bytes are to be enciphered that are sent.
    pub write: StreamKey,
}

/// One side of the handshake.
///
/// It holds up to [`MAX_HELD`] bytes of the other side, and the initiator its payload, until it is sent.
#[derive(Clone, Serialize, Deserialize)]
pub struct Handshake {
    /// Bytes of the part that is awaited, as they came.
    held: Vec<u8>,
    stage: Stage,
}

/// What is awaited.
#[derive(Clone, Serialize, Deserialize)]
enum Stage {
    /// The other side's public key.
    Key(Role),
    /// [`Handshake::agree`].
    Agreement(Role),
    /// What ends the padding; then the masked hash of the torrent.
    Sync { secret: Secret, role: Responder },
    /// The masked hash of the torrent.
    Proof { secret: Secret, role: Responder },
    /// [`Handshake::torrent`].
    Torrent { secret: Secret, role: Responder },
    /// The encrypted zeros, at the end of padding.
    Zeros { expected: [u8; VERIFICATION], inside: Box<Inside> },
    /// The first encrypted words.
    Words(Box<Inside>),
    /// The padding behind them, of which as many bytes are to come.
    Pad(Box<Inside>, u16),
    /// The length of the initial payload.
    PayloadLength(Box<Inside>),
    /// It is complete, or has failed.
    Over,
}

/// Which side a machine is, as long as there is no secret.
#[derive(Clone, Serialize, Deserialize)]
enum Role {
    Initiator(Box<Opened>),
    Responder(Responder),
}

/// What an initiator keeps until the other side's key has come.
#[derive(Clone, Serialize, Deserialize)]
struct Opened {
    private: [u8; PRIVATE_LEN],
    inner_pad: u16,
    info_hash: [u8; 20],
    offer: Methods,
    payload: Vec<u8>,
}

/// The encrypted part.
#[derive(Clone, Serialize, Deserialize)]
struct Inside {
    read: StreamCipher,
    write: StreamCipher,
    info_hash: [u8; 20],
    /// Of an initiator: what it offered.
    offered: Methods,
    /// Of a responder: what it accepts, and zeros that it sends.
    answer: Option<(Responder, u16)>,
    /// What was chosen, once that is known.
    method: Method,
}

/// The shared secret.
#[derive(Clone)]
struct Secret([u8; KEY_LEN]);

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0[..].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        let bytes = bytes.try_into().map_err(|_| serde::de::Error::custom("length of a secret"))?;
        Ok(Self(bytes))
    }
}

/// Secrets are not told.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Key(_) => "public key",
            Stage::Agreement(_) => "agreement",
            Stage::Sync { .. } => "end of padding",
            Stage::Proof { .. } => "torrent",
            Stage::Torrent { .. } => "look-up",
            Stage::Zeros { .. } => "verification",
            Stage::Words(_) => "methods",
            Stage::Pad(..) => "padding",
            Stage::PayloadLength(_) => "length of payload",
            Stage::Over => "nothing",
        };
        f.debug_struct("Handshake")
            .field("awaits", &stage)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Handshake {
    /// Begins a handshake, with `payload` as what the other side reads first when it is complete. What is to be sent
    /// goes to the end of `out`. It costs one exponentiation.
    ///
    /// # Errors
    /// [`MseError::Misused`] for what [`Initiator`] forbids.
    pub fn initiate(
        setup: Initiator<'_>,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Self, MseError> {
        let Initiator { private, pad, inner_pad, info_hash, offer } = setup;
        let pads = pad.len().max(inner_pad.into()) <= MAX_PAD;
        let public = exchange::public_key(&private);
        let sound = exchange::is_sound_key(&public);
        if !pads || !sound || offer.is_empty() || payload.len() > usize::from(u16::MAX) {
            return Err(MseError::Misused);
        }
        out.extend_from_slice(&public);
        out.extend_from_slice(pad);
        let opened = Opened { private, inner_pad, info_hash, offer, payload: payload.to_vec() };
        let stage = Stage::Key(Role::Initiator(Box::new(opened)));
        Ok(Self { held: Vec::new(), stage })
    }

    /// Awaits a handshake.
    pub const fn respond(setup: Responder) -> Self {
        Self { held: Vec::new(), stage: Stage::Key(Role::Responder(setup)) }
    }

    /// Whether it has ended, well or not.
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Bytes of the other side that it holds: at most [`MAX_HELD`].
    pub const fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes bytes of the other side from the beginning of `input`, in any parts, and says what is needed next. What
    /// is to be sent goes to the end of `out`.
    ///
    /// # Errors
    /// What the other side did wrong; the handshake is over then.
    pub fn receive(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Need, MseError> {
        loop {
            let stage = core::mem::replace(&mut self.stage, Stage::Over);
            match self.advance(stage, input, out)? {
                Next::Await(stage, need) => {
                    self.stage = stage;
                    return Ok(need);
                }
                Next::Stage(stage) => self.stage = stage,
                Next::Done(agreed) => return Ok(Need::Nothing(agreed)),
            }
        }
    }

    /// Takes bytes until `count` are held.
    fn hold(&mut self, input: &mut &[u8], count: usize) -> bool {
        let missing = count.saturating_sub(self.held.len());
        let (taken, rest) = input.split_at(missing.min(input.len()));
        self.held.extend_from_slice(taken);
        *input = rest;
        self.held.len() >= count
    }

    /// The bytes that are held, if they are as many.
    fn part<const N: usize>(&mut self, input: &mut &[u8]) -> Option<[u8; N]> {
        if !self.hold(input, N) {
            return None;
        }
        let part = self.held[..].try_into().ok();
        self.held.clear();
        part
    }

    /// Takes bytes until they end with `mark`.
    fn seek(&mut self, input: &mut &[u8], mark: &[u8]) -> Result<bool, MseError> {
        while let Some((byte, rest)) = input.split_first() {
            self.held.push(*byte);
            *input = rest;
            if self.held.ends_with(mark) {
                self.held = Vec::new();
                return Ok(true);
            }
            if self.held.len() >= MAX_PAD + mark.len() {
                return Err(MseError::NoSync);
            }
        }
        Ok(false)
    }

    fn advance(
        &mut self,
        stage: Stage,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Next, MseError> {
        Ok(match stage {
            Stage::Key(role) if self.hold(input, KEY_LEN) => {
                // Found out before anybody works for it.
                let key = self.held[..].first_chunk().ok_or(MseError::Misused)?;
                if !exchange::is_sound_key(key) {
                    return Err(MseError::WeakKey);
                }
                Next::Stage(Stage::Agreement(role))
            }
            Stage::Agreement(_) => Next::Await(stage, Need::Agreement),
            Stage::Sync { secret, role } if self.seek(input, &keys::sync_hash(&secret.0))? => {
                Next::Stage(Stage::Proof { secret, role })
            }
            Stage::Proof { secret, role } if self.hold(input, 20) => {
                Next::Stage(Stage::Torrent { secret, role })
            }
            Stage::Torrent { ref secret, .. } => {
                let proof = self.held[..].try_into().map_err(|_| MseError::Misused)?;
                let hash = keys::torrent_proof(&secret.0, &proof);
                Next::Await(stage, Need::Torrent(hash))
            }
            Stage::Zeros { expected, inside } if self.seek(input, &expected)? => {
                Next::Stage(Stage::Words(inside))
            }
            Stage::Words(inside) => self.words(inside, input)?,
            Stage::Pad(inside, left) => inside.pass_pad(left, input),
            Stage::PayloadLength(mut inside) => match self.part::<2>(input) {
                Some(mut length) => {
                    inside.read.apply(&mut length);
                    inside.answer(out);
                    Next::Done(inside.agreed(u16::from_be_bytes(length)))
                }
                None => Next::Await(Stage::PayloadLength(inside), Need::Bytes),
            },
            Stage::Over => return Err(MseError::Misused),
            Stage::Key(_) | Stage::Sync { .. } | Stage::Proof { .. } | Stage::Zeros { .. } => {
                Next::Await(stage, Need::Bytes)
            }
        })
    }

    /// The first encrypted words, once they are all here.
    fn words(&mut self, inside: Box<Inside>, input: &mut &[u8]) -> Result<Next, MseError> {
        let stage = match inside.answer {
            Some(_) => match self.part(input) {
                Some(words) => inside.offer(words)?,
                None => return Ok(Next::Await(Stage::Words(inside), Need::Bytes)),
            },
            None => match self.part(input) {
                Some(words) => inside.selection(words)?,
                None => return Ok(Next::Await(Stage::Words(inside), Need::Bytes)),
            },
        };
        Ok(Next::Stage(stage))
    }

    /// Works out the secret, with the public key that came. `private` and `pad` (up to 512 random bytes, sent behind
    /// our public key) are the responder's; the initiator gave its own before.
    ///
    /// # Errors
    /// [`MseError::WeakKey`], or [`MseError::Misused`] where [`Need::Agreement`] was not said.
    pub fn agree(
        &mut self,
        private: &[u8; PRIVATE_LEN],
        pad: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), MseError> {
        let Stage::Agreement(role) = core::mem::replace(&mut self.stage, Stage::Over) else {
            return Err(MseError::Misused);
        };
        let theirs = self.held[..].try_into().map_err(|_| MseError::Misused)?;
        self.held.clear();
        self.stage = match role {
            Role::Initiator(opened) => {
                let secret = exchange::shared_secret(&opened.private, &theirs)?;
                opened.propose(&secret, out)
            }
            Role::Responder(role) => {
                let secret = Secret(exchange::shared_secret(private, &theirs)?);
                let public = exchange::public_key(private);
                if pad.len() > MAX_PAD || !exchange::is_sound_key(&public) {
                    return Err(MseError::Misused);
                }
                out.extend_from_slice(&public);
                out.extend_from_slice(pad);
                Stage::Sync { secret, role }
            }
        };
        Ok(())
    }

    /// Goes on with the torrent that was looked up, `None` if there is none. `inner_pad` zeros, up to 512, are sent
    /// inside the encrypted part.
    ///
    /// # Errors
    /// [`MseError::UnknownTorrent`], or [`MseError::Misused`] where [`Need::Torrent`] was not said.
    pub fn torrent(&mut self, info_hash: Option<[u8; 20]>, inner_pad: u16) -> Result<(), MseError> {
        let Stage::Torrent { secret, role } = core::mem::replace(&mut self.stage, Stage::Over)
        else {
            return Err(MseError::Misused);
        };
        if usize::from(inner_pad) > MAX_PAD {
            return Err(MseError::Misused);
        }
        let info_hash = info_hash.ok_or(MseError::UnknownTorrent)?;
        self.held.clear();
        let (theirs, ours) = keys::cipher_keys(&secret.0, &info_hash);
        self.stage = Stage::Words(Box::new(Inside {
            read: StreamCipher::new(&theirs),
            write: StreamCipher::new(&ours),
            info_hash,
            offered: Methods { plaintext: false, rc4: false },
            answer: Some((role, inner_pad)),
            method: Method::Rc4,
        }));
        Ok(())
    }
}

/// What a machine does next.
enum Next {
    /// Something is needed.
    Await(Stage, Need),
    /// It goes on at once.
    Stage(Stage),
    /// It is complete.
    Done(Agreed),
}

impl Opened {
    /// What an initiator says when it knows the secret.
    fn propose(self, secret: &[u8; KEY_LEN], out: &mut Vec<u8>) -> Stage {
        let Self { inner_pad, info_hash, offer, payload, .. } = self;
        out.extend_from_slice(&keys::sync_hash(secret));
        let hash = keys::torrent_hash(&info_hash);
        out.extend_from_slice(&keys::torrent_proof(secret, &hash));
        let (ours, theirs) = keys::cipher_keys(secret, &info_hash);
        let (mut read, mut write) = (StreamCipher::new(&theirs), StreamCipher::new(&ours));
        let begin = out.len();
        out.extend_from_slice(&[0; VERIFICATION]);
        out.extend_from_slice(&offer.bits().to_be_bytes());
        out.extend_from_slice(&inner_pad.to_be_bytes());
        out.resize(out.len() + usize::from(inner_pad), 0);
        out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        out.extend_from_slice(&payload);
        write.apply(&mut out[begin..]);
        let mut expected = [0; VERIFICATION];
        read.apply(&mut expected);
        let inside =
            Inside { read, write, info_hash, offered: offer, answer: None, method: Method::Rc4 };
        Stage::Zeros { expected, inside: Box::new(inside) }
    }
}

impl Inside {
    /// The responder reads what is offered.
    fn offer(mut self: Box<Self>, mut words: [u8; VERIFICATION + 6]) -> Result<Stage, MseError> {
        self.read.apply(&mut words);
        let [zeros @ .., a, b, c, d, e, f] = words;
        if zeros != [0; VERIFICATION] {
            return Err(MseError::Unverified);
        }
        let offered = u32::from_be_bytes([a, b, c, d]);
        let accepted = self.answer.map(|(role, _)| role);
        let chosen = accepted
            .and_then(|role| role.accept.choose(Methods::from_bits(offered), role.prefer_rc4));
        self.method = chosen.ok_or(MseError::NothingInCommon { offered })?;
        self.pad(u16::from_be_bytes([e, f]))
    }

    /// The initiator reads what was chosen.
    fn selection(mut self: Box<Self>, mut words: [u8; 6]) -> Result<Stage, MseError> {
        self.read.apply(&mut words);
        let [a, b, c, d, e, f] = words;
        let selected = u32::from_be_bytes([a, b, c, d]);
        let chosen = [Method::Rc4, Method::Plaintext].into_iter().find(|m| m.bit() == selected);
        let chosen = chosen.filter(|method| self.offered.contains(*method));
        self.method = chosen.ok_or(MseError::NotOffered { selected })?;
        self.pad(u16::from_be_bytes([e, f]))
    }

    /// Passes over padding, of which `left` bytes are missing.
    fn pass_pad(mut self: Box<Self>, left: u16, input: &mut &[u8]) -> Next {
        let (pad, rest) = input.split_at(usize::from(left).min(input.len()));
        *input = rest;
        self.read.skip(pad.len() as u64);
        match left - pad.len() as u16 {
            0 if self.answer.is_some() => Next::Stage(Stage::PayloadLength(self)),
            0 => Next::Done(self.agreed(0)),
            left => Next::Await(Stage::Pad(self, left), Need::Bytes),
        }
    }

    fn pad(self: Box<Self>, length: u16) -> Result<Stage, MseError> {
        if usize::from(length) > MAX_PAD {
            return Err(MseError::PadTooLong(length));
        }
        Ok(Stage::Pad(self, length))
    }

    /// The responder says what it has chosen.
    fn answer(&mut self, out: &mut Vec<u8>) {
        let inner_pad = self.answer.map_or(0, |(_, inner_pad)| inner_pad);
        let begin = out.len();
        out.extend_from_slice(&[0; VERIFICATION]);
        out.extend_from_slice(&self.method.bit().to_be_bytes());
        out.extend_from_slice(&inner_pad.to_be_bytes());
        out.resize(out.len() + usize::from(inner_pad), 0);
        self.write.apply(&mut out[begin..]);
    }

    /// What was agreed on, before `payload` bytes of the other side that are enciphered in any case.
    fn agreed(&self, payload: u16) -> Agreed {
        let (read, write) = (self.read.key(), self.write.key());
        let (read, write) = match self.method {
            Method::Rc4 => (read, write),
            Method::Plaintext if payload == 0 => (StreamKey::PLAIN, StreamKey::PLAIN),
            Method::Plaintext => (read.limited(payload.into()), StreamKey::PLAIN),
        };
        Agreed { method: self.method, info_hash: self.info_hash, read, write }
    }
}
