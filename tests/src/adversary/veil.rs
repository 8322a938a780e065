//! A hostile peer behind an encrypted handshake, which costs the other side a key.

use bytes::Bytes;
use eddyline::base::hash::Sha1Hash;
use eddyline_mse::{Handshake, Initiator, MAX_PAD, Methods, Need};

use crate::scripted::{Script, ScriptAction};

/// The same number for all: a key costs as much whatever it is.
const PRIVATE: [u8; 20] = [7; 20];
const PAD: [u8; MAX_PAD] = [7; MAX_PAD];
/// What of the first bytes goes with the handshake.
const PAYLOAD: usize = 68;

/// A script behind an encrypted handshake; what follows that is plain.
pub(super) struct Veiled {
    inner: Box<dyn Script>,
    info_hash: Sha1Hash,
    /// The handshake, until it is over.
    side: Option<Handshake>,
    /// What is said behind it.
    later: Vec<ScriptAction>,
}

impl Veiled {
    pub(super) fn boxed(inner: Box<dyn Script>, info_hash: Sha1Hash) -> Box<dyn Script> {
        Box::new(Self { inner, info_hash, side: None, later: Vec::new() })
    }

    /// Goes on with the handshake.
    fn shake(&mut self, mut side: Handshake, bytes: &[u8]) -> Vec<ScriptAction> {
        let (mut input, mut out) = (bytes, Vec::new());
        let need = loop {
            match side.receive(&mut input, &mut out) {
                Ok(Need::Agreement) if side.agree(&PRIVATE, &PAD, &mut out).is_ok() => {}
                other => break other,
            }
        };
        let mut actions = vec![ScriptAction::Send(out.into())];
        match need {
            Ok(Need::Nothing(_)) => {
                actions.append(&mut self.later);
                actions.extend(self.inner.received(input));
            }
            Ok(_) => self.side = Some(side),
            Err(_) => actions.push(ScriptAction::Close),
        }
        actions.retain(|action| !matches!(action, ScriptAction::Send(bytes) if bytes.is_empty()));
        actions
    }
}

impl Script for Veiled {
    fn connected(&mut self) -> Vec<ScriptAction> {
        self.later = self.inner.connected();
        let mut payload = Vec::new();
        if let Some(ScriptAction::Send(first)) = self.later.first_mut() {
            payload = first.split_to(first.len().min(PAYLOAD)).to_vec();
        }
        let (pad, offer) = (&PAD[..], Methods::PLAINTEXT);
        let info_hash = self.info_hash.0;
        let setup =
            Initiator { private: PRIVATE, pad, inner_pad: MAX_PAD as u16, info_hash, offer };
        let mut out = Vec::new();
        self.side = Handshake::initiate(setup, &payload, &mut out).ok();
        vec![ScriptAction::Send(Bytes::from(out))]
    }

    fn received(&mut self, bytes: &[u8]) -> Vec<ScriptAction> {
        match self.side.take() {
            Some(side) => self.shake(side, bytes),
            None => self.inner.received(bytes),
        }
    }

    fn tick(&mut self) -> Vec<ScriptAction> {
        if self.side.is_some() { Vec::new() } else { self.inner.tick() }
    }

    fn reads(&self) -> bool {
        self.side.is_some() || self.inner.reads()
    }
}
