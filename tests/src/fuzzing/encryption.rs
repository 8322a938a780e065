//! The handshake of message stream encryption: both sides, and one side against arbitrary bytes.

use eddyline_mse::{
    Agreed, Handshake, Initiator, MAX_HELD, MAX_PAD, MAX_PREAMBLE, Method, Methods, MseError, Need,
    Opening, Responder, StreamCipher, cipher_keys, public_key, recognise, shared_secret, sync_hash,
    torrent_hash, torrent_proof,
};

const TORRENT: [u8; 20] = [0xab; 20];

/// What one side draws, and what it has come to.
struct Side {
    handshake: Handshake,
    private: [u8; 20],
    pad: Vec<u8>,
    inner_pad: u16,
    agreed: Option<Agreed>,
    /// What it read behind the handshake, as it came.
    behind: Vec<u8>,
}

impl Side {
    fn new(handshake: Handshake, private: [u8; 20], pad: Vec<u8>, inner_pad: u16) -> Self {
        Self { handshake, private, pad, inner_pad, agreed: None, behind: Vec::new() }
    }

    /// Reads, and holds no more than it may.
    fn read(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), MseError> {
        while self.agreed.is_none() {
            match self.handshake.receive(&mut input, out)? {
                Need::Bytes => {
                    assert!(input.is_empty() && self.handshake.held() <= MAX_HELD);
                    return Ok(());
                }
                Need::Agreement => self.handshake.agree(&self.private, &self.pad, out)?,
                Need::Torrent(hash) => {
                    let known = (hash == torrent_hash(&TORRENT)).then_some(TORRENT);
                    self.handshake.torrent(known, self.inner_pad)?;
                }
                Need::Nothing(agreed) => self.agreed = Some(agreed),
            }
        }
        self.behind.extend_from_slice(input);
        Ok(())
    }
}

/// Methods by two bits; none is both.
const fn methods(bits: u8) -> Methods {
    match bits % 3 {
        0 => Methods::BOTH,
        1 => Methods::RC4,
        _ => Methods::PLAINTEXT,
    }
}

/// Two sides understand each other whatever they draw and however their bytes are split. Nine bytes say what they
/// draw, the others how much is read at a time.
pub fn mse_pair(data: &[u8]) {
    let Some((first, cuts)) = data.split_first_chunk::<9>() else { return };
    let [a_key, b_key, a_pad, b_pad, a_inner, b_inner, offer, accept, payload] = *first;
    let private = |n: u8| core::array::from_fn(|at| n ^ (at as u8).wrapping_mul(29));
    let length = |n: u8| usize::from(n) * MAX_PAD / 255;
    let pad = |n: u8| vec![n ^ 0x5a; length(n)];
    let payload = vec![payload; usize::from(payload) * 4];
    let setup = Initiator {
        private: private(a_key),
        pad: &pad(a_pad),
        inner_pad: length(a_inner) as u16,
        info_hash: TORRENT,
        offer: methods(offer),
    };
    let role = Responder { accept: methods(accept), prefer_rc4: accept & 0x80 != 0 };
    let mut wires = [Vec::new(), Vec::new()];
    let a = Handshake::initiate(setup, &payload, &mut wires[1]).expect("all of it is allowed");
    let b = Handshake::respond(role);
    let mut sides = [
        Side::new(a, private(a_key), Vec::new(), 0),
        Side::new(b, private(b_key), pad(b_pad), length(b_inner) as u16),
    ];
    assert_ne!(recognise(&wires[1]), Opening::Plain);
    let mut cuts = cuts.iter().cycle();
    while wires.iter().any(|wire| !wire.is_empty()) {
        for n in [0, 1] {
            let count = cuts.next().map_or(usize::MAX, |cut| usize::from(*cut) * 4 + 1);
            let count = count.min(wires[n].len());
            let bytes: Vec<u8> = wires[n].drain(..count).collect();
            let mut out = Vec::new();
            if let Err(error) = sides[n].read(&bytes, &mut out) {
                let common = role.accept.choose(setup.offer, role.prefer_rc4);
                let unsuited = matches!(error, MseError::NothingInCommon { .. });
                return assert!(unsuited && common.is_none(), "{error}");
            }
            wires[1 - n].extend(out);
        }
    }
    let [a, b] = sides;
    let (end_a, end_b) = (a.agreed.expect("a ends"), b.agreed.expect("b ends"));
    assert_eq!(Some(end_a.method), role.accept.choose(setup.offer, role.prefer_rc4));
    assert_eq!(end_a.read, end_b.write);
    assert_eq!(end_a.method, end_b.method);
    let mut read = b.behind;
    StreamCipher::new(&end_b.read).apply(&mut read);
    assert_eq!(read, payload);
    if end_a.method == Method::Rc4 {
        assert_eq!(end_b.read.advanced(payload.len() as u64), end_a.write);
    }
}

/// One side against any bytes: it answers, fails or waits, holds little, and says no more than it may. The first byte
/// says which side, and whether the bytes are as they come or inside a handshake that is in order up to there.
pub fn mse_bytes(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    let theirs = public_key(&[9; 20]);
    let mut out = Vec::new();
    let initiates = mode & 1 != 0;
    let handshake = if initiates {
        let setup = Initiator {
            private: [3; 20],
            pad: &[],
            inner_pad: 0,
            info_hash: TORRENT,
            offer: methods(mode >> 4),
        };
        Handshake::initiate(setup, b"payload", &mut out).expect("all of it is allowed")
    } else {
        Handshake::respond(Responder { accept: methods(mode >> 4), prefer_rc4: mode & 8 != 0 })
    };
    let mut side = Side::new(handshake, [3; 20], vec![0; 7], 5);
    let secret = shared_secret(&[9; 20], &public_key(&[3; 20])).expect("a sound key");
    let (key_a, key_b) = cipher_keys(&secret, &TORRENT);
    let mut input = Vec::new();
    if mode & 2 != 0 {
        input.extend_from_slice(&theirs);
        if !initiates {
            input.extend_from_slice(&sync_hash(&secret));
            input.extend_from_slice(&torrent_proof(&secret, &torrent_hash(&TORRENT)));
        }
        let mut inside = [&[0; 8], bytes].concat();
        StreamCipher::new(if initiates { &key_b } else { &key_a }).apply(&mut inside);
        input.extend(inside);
    } else {
        input.extend_from_slice(bytes);
    }
    let part = if mode & 4 != 0 { 1 } else { 97 };
    for part in input.chunks(part) {
        if side.read(part, &mut out).is_err() {
            assert!(side.handshake.is_over());
            break;
        }
    }
    assert!(out.len() <= MAX_PREAMBLE, "it says {} bytes", out.len());
}
