//! Encrypted connections (MSE), from their first byte until the protocol begins. The handshake is done here; what
//! follows is enciphered by the driver, which is told the keys: so no payload passes the engine, and a trace holds
//! what peers said.
//!
//! Bytes that were granted before the driver knew the key come as they were sent, and are deciphered here
//! (`ConnTable::decipher`): no more than was granted for the handshake.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use eddyline_mse::{
    Agreed, Fault, Handshake as Exchange, Initiator, KEY_LEN, MAX_HELD, MAX_PAD, MseError, Need,
    Opening as Begins, PRIVATE_LEN, StreamCipher, recognise, torrent_hash,
};
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::api::{CloseReason, EncryptionPolicy, StreamAction};
use crate::base::hash::Sha1Hash;
use crate::base::ids::ConnId;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::context::{Conn, Handshaking, Opening, Phase, Timer};

/// The hashes that stand for torrents in encrypted handshakes, worked out when a torrent comes to be known: so whoever
/// calls costs one look-up, however many torrents there are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct TorrentHashes(BTreeMap<[u8; 20], Sha1Hash>);

impl TorrentHashes {
    /// A torrent is known: in memory or on standby.
    pub(super) fn add(&mut self, hash: Sha1Hash) {
        self.0.insert(torrent_hash(&hash.0), hash);
    }

    /// It is known no more.
    pub(super) fn remove(&mut self, hash: Sha1Hash) {
        self.0.remove(&torrent_hash(&hash.0));
    }

    fn get(&self, hash: &[u8; 20]) -> Option<Sha1Hash> {
        self.0.get(hash).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this torrent is found.
    pub(super) fn finds(&self, hash: Sha1Hash) -> bool {
        self.get(&torrent_hash(&hash.0)) == Some(hash)
    }

    #[cfg(feature = "corruption")]
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

fn private_key(rng: &mut Rng) -> [u8; PRIVATE_LEN] {
    let mut private = [0; PRIVATE_LEN];
    rng.fill(&mut private);
    private
}

/// Random bytes of a random number.
fn padding(rng: &mut Rng) -> Vec<u8> {
    let mut pad = vec![0; rng.index(MAX_PAD + 1)];
    rng.fill(&mut pad);
    pad
}

/// Why a connection ends for an error of the handshake.
const fn reason(error: &MseError) -> CloseReason {
    match (error, error.fault()) {
        (MseError::UnknownTorrent, _) => CloseReason::UnknownTorrent,
        (_, Fault::Nobody) => CloseReason::EncryptionUnsuited,
        (_, Fault::Peer | Fault::Caller) => CloseReason::BadMessage,
    }
}

/// How far an encrypted handshake has come.
enum Progress {
    /// More bytes are awaited.
    Open,
    /// A key is awaited, which is not to be worked out yet.
    Waits,
    /// It is complete.
    Complete(Agreed),
}

/// No handshake without encryption begins like this: where a run is repeated without, the connection ends in this step
/// as well.
const BAD_BEGINNING: Bytes = Bytes::from_static(&[0]);

impl Engine {
    /// How a connection begins that somebody else made.
    pub(super) fn first_of_stranger(&self) -> Opening {
        match self.ctx.config.encryption.policy {
            EncryptionPolicy::Disable => Opening::Plain,
            EncryptionPolicy::Prefer | EncryptionPolicy::Require => Opening::Unknown(Vec::new()),
        }
    }

    /// Whether a connection that we made begins with encryption.
    pub(super) fn calls_encrypted(&mut self, conn: ConnId) -> bool {
        let policy = self.ctx.config.encryption.policy;
        let called = || {
            let entry = self.ctx.net.conns.get(conn)?;
            let torrent = self.torrents.get(entry.torrent?)?;
            Some(torrent.candidates().is_called_encrypted(entry.key?))
        };
        match policy {
            EncryptionPolicy::Disable => false,
            EncryptionPolicy::Require => true,
            EncryptionPolicy::Prefer => {
                called() == Some(true) && self.ctx.net.exchanges.take_to_call(self.ctx.now)
            }
        }
    }

    /// Begins an encrypted handshake, with `payload` as what the peer reads first.
    pub(super) fn begin_encrypted(&mut self, conn: ConnId, info_hash: Sha1Hash, payload: &[u8]) {
        let rng = &mut self.ctx.random.encryption;
        let (private, pad) = (private_key(rng), padding(rng));
        let offer = self.ctx.config.encryption.methods();
        let setup = Initiator { private, pad: &pad, inner_pad: 0, info_hash: info_hash.0, offer };
        let mut out = Vec::new();
        // A key that makes a weak public one is never drawn.
        let Ok(exchange) = Exchange::initiate(setup, payload, &mut out) else { return };
        if let Some(early) = self.handshaking(conn) {
            early.opening = Opening::Encrypted(Box::new(exchange));
        }
        self.send_early(conn, out.into());
    }

    fn handshaking(&mut self, conn: ConnId) -> Option<&mut Handshaking> {
        match &mut self.ctx.net.conns.get_mut(conn)?.phase {
            Phase::Handshaking(early) => Some(early),
            Phase::Connecting | Phase::Active | Phase::Fetching => None,
        }
    }

    /// Bytes of a connection that has not shaken hands: what of them belongs to the protocol, deciphered.
    pub(super) fn open(&mut self, conn: ConnId, bytes: Bytes) -> Result<Bytes, CloseReason> {
        let policy = self.ctx.config.encryption.policy;
        let Some(early) = self.handshaking(conn) else { return Ok(bytes) };
        match core::mem::take(&mut early.opening) {
            Opening::Plain => Ok(bytes),
            Opening::Agreed(info_hash) => {
                early.opening = Opening::Agreed(info_hash);
                Ok(bytes)
            }
            Opening::Encrypted(exchange) => self.converse(conn, exchange, &bytes),
            Opening::Waiting(exchange, mut rest) => {
                rest.extend_from_slice(&bytes);
                early.opening = Opening::Waiting(exchange, rest);
                self.check_waiting(conn)
            }
            Opening::Unknown(mut first) => {
                first.extend_from_slice(&bytes);
                match recognise(&first) {
                    // Before its key is here there is nothing to do for it, and it takes nobody's place.
                    Begins::Encrypted if first.len() < KEY_LEN => {
                        early.opening = Opening::Unknown(first);
                        self.content.note_clear(&Bytes::new());
                        Ok(Bytes::new())
                    }
                    Begins::Undecided => {
                        early.opening = Opening::Unknown(first);
                        self.content.note_clear(&Bytes::new());
                        Ok(Bytes::new())
                    }
                    Begins::Plain if policy == EncryptionPolicy::Require => {
                        Err(CloseReason::EncryptionUnsuited)
                    }
                    Begins::Plain => {
                        let first = Bytes::from(first);
                        self.content.note_clear(&first);
                        Ok(first)
                    }
                    Begins::Encrypted if !self.take_place(conn) => Err(CloseReason::Limit),
                    Begins::Encrypted => {
                        let exchange = Exchange::respond(self.ctx.config.encryption.responder());
                        self.converse(conn, Box::new(exchange), &first)
                    }
                }
            }
        }
    }

    /// Goes on with an encrypted handshake as far as these bytes lead.
    fn converse(
        &mut self,
        conn: ConnId,
        mut exchange: Box<Exchange>,
        bytes: &[u8],
    ) -> Result<Bytes, CloseReason> {
        let (mut input, mut out) = (bytes, Vec::new());
        let outcome = self.exchange(conn, &mut exchange, &mut input, &mut out);
        match outcome {
            Ok(Progress::Complete(_)) => {}
            Ok(Progress::Waits) => {
                if let Some(early) = self.handshaking(conn) {
                    early.opening = Opening::Waiting(exchange, input.to_vec());
                }
                return self.check_waiting(conn);
            }
            Ok(Progress::Open) => self.content.note_clear(&Bytes::new()),
            Err(_) => self.content.note_clear(&BAD_BEGINNING),
        }
        // This is kept when the handshake fails as well: the next connection is then made without encryption.
        if let Some(early) = self.handshaking(conn) {
            early.opening = Opening::Encrypted(exchange);
        }
        if !out.is_empty() {
            self.send_early(conn, out.into());
        }
        let Progress::Complete(agreed) = outcome? else { return Ok(Bytes::new()) };
        let clear = self.agreed(conn, &agreed, input);
        self.content.note_clear(&clear);
        Ok(clear)
    }

    /// A stranger waits for a key: it may send no more than there can be before it has one.
    fn check_waiting(&mut self, conn: ConnId) -> Result<Bytes, CloseReason> {
        let Some(entry) = self.ctx.net.conns.get(conn) else { return Ok(Bytes::new()) };
        let Phase::Handshaking(early) = &entry.phase else { return Ok(Bytes::new()) };
        let Opening::Waiting(_, rest) = &early.opening else { return Ok(Bytes::new()) };
        if rest.len() >= MAX_HELD {
            self.content.note_clear(&BAD_BEGINNING);
            return Err(CloseReason::BadMessage);
        }
        let (now, ip) = (self.ctx.now, entry.remote.ip());
        let net = &mut self.ctx.net;
        let wait = net.exchanges.wait_for(ip, now);
        net.exchanges.waiting.insert(conn);
        net.exchanges.alarm.set(&mut self.ctx.timers, now + wait, now, Timer::Keys);
        self.content.note_clear(&Bytes::new());
        Ok(Bytes::new())
    }

    /// Keys for those who wait for them, as many as may be worked out now: first for those of whose block the fewest
    /// were, and of these for the one that has waited for longest.
    pub(super) fn work_out_keys(&mut self) {
        loop {
            let (now, exchanges) = (self.ctx.now, &self.ctx.net.exchanges);
            let waiting = exchanges.waiting.iter().map(|id| {
                let conn = self.ctx.net.conns.get(*id).filter(|conn| conn.waits_for_a_key());
                conn.map_or((Duration::ZERO, Duration::ZERO, Instant::ZERO, *id), |conn| {
                    let ip = conn.remote.ip();
                    (exchanges.wait_for(ip, now), exchanges.used_by(ip, now), conn.deadline, *id)
                })
            });
            let Some((wait, .., id)) = waiting.min() else { return };
            let exchanges = &mut self.ctx.net.exchanges;
            if !wait.is_zero() {
                return exchanges.alarm.set(&mut self.ctx.timers, now + wait, now, Timer::Keys);
            }
            exchanges.waiting.remove(&id);
            // It may have gone.
            if !self.ctx.net.conns.get(id).is_some_and(Conn::waits_for_a_key) {
                continue;
            }
            let Some(early) = self.handshaking(id) else { return };
            let Opening::Waiting(exchange, rest) = core::mem::take(&mut early.opening) else {
                return;
            };
            if let Err(reason) = self.go_on(id, exchange, &rest) {
                self.forget_early(id, reason, true);
            }
        }
    }

    /// Goes on with the handshake of somebody who has waited for a key. Nothing of it can be beyond the padding.
    fn go_on(
        &mut self,
        conn: ConnId,
        mut exchange: Box<Exchange>,
        mut rest: &[u8],
    ) -> Result<(), CloseReason> {
        let mut out = Vec::new();
        let outcome = self.exchange(conn, &mut exchange, &mut rest, &mut out);
        if let Some(early) = self.handshaking(conn) {
            early.opening = Opening::Encrypted(exchange);
        }
        if !out.is_empty() {
            self.send_early(conn, out.into());
        }
        match outcome? {
            Progress::Open => Ok(()),
            Progress::Waits | Progress::Complete(_) => Err(CloseReason::BadMessage),
        }
    }

    fn exchange(
        &mut self,
        conn: ConnId,
        exchange: &mut Exchange,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress, CloseReason> {
        loop {
            let done = match exchange.receive(input, out).map_err(|error| reason(&error))? {
                Need::Bytes => return Ok(Progress::Open),
                Need::Nothing(agreed) => return Ok(Progress::Complete(agreed)),
                Need::Agreement => {
                    let entry = self.ctx.net.conns.get(conn).ok_or(CloseReason::Stopped)?;
                    let (remote, outgoing) = (entry.remote, entry.key.is_some());
                    let (net, now) = (&mut self.ctx.net, self.ctx.now);
                    if !outgoing && !net.exchanges.take_for(remote.ip(), now) {
                        return Ok(Progress::Waits);
                    }
                    let rng = &mut self.ctx.random.encryption;
                    exchange.agree(&private_key(rng), &padding(rng), out)
                }
                Need::Torrent(hash) => {
                    let known = self.torrent_hashes.get(&hash);
                    exchange.torrent(known.map(|hash| hash.0), 0)
                }
            };
            done.map_err(|error| reason(&error))?;
        }
    }

    /// Both sides have agreed: the driver is told the keys. Returns what is here of the protocol already.
    fn agreed(&mut self, conn: ConnId, agreed: &Agreed, rest: &[u8]) -> Bytes {
        let mut clear = Vec::from(rest);
        let mut cipher = StreamCipher::new(&agreed.read);
        cipher.apply(&mut clear);
        let Some(early) = self.handshaking(conn) else { return Bytes::new() };
        early.opening = Opening::Agreed(Sha1Hash(agreed.info_hash));
        // These bytes were granted before the driver had the key: they arrive enciphered.
        let granted = u64::from(early.granted);
        let key = cipher.key();
        let residue = key.limited(key.length().min(granted));
        if let Some(entry) = self.ctx.net.conns.get_mut(conn) {
            entry.encryption = Some(agreed.method);
            entry.residue = (!residue.is_plain()).then(|| Box::new(StreamCipher::new(&residue)));
        }
        self.ctx.stream(conn, StreamAction::Encipher(agreed.write));
        self.ctx.stream(conn, StreamAction::Decipher(key.advanced(granted)));
        clear.into()
    }
}
