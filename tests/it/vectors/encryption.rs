//! Vectors of message stream encryption: key streams, secrets, and a handshake that was recorded in the wild.

use eddyline_mse::{
    Handshake, Methods, Need, Responder, StreamCipher, cipher_keys, public_key, shared_secret,
    sync_hash, torrent_hash, torrent_proof,
};
use serde_json::{Value, json};

use super::{compare_ok, hex, to_hex};

pub fn rc4(input: &Value, out: &Value) -> Result<(), String> {
    let skip = input["skip"].as_u64().unwrap() as usize;
    let mut cipher = StreamCipher::bare(&hex(&input["key"]), skip).unwrap();
    let mut stream = vec![0; hex(&out["stream"]).len()];
    cipher.apply(&mut stream);
    if out["stream"] == to_hex(&stream) { Ok(()) } else { Err(to_hex(&stream)) }
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().unwrap_or_else(|_| panic!("{value} has {N} bytes"))
}

pub fn mse(input: &Value, out: &Value) -> Result<(), String> {
    let private = array(&input["private"]);
    let theirs = array(&input["peer_public"]);
    let found = shared_secret(&private, &theirs).ok().map(|secret| {
        let skey = array(&input["skey"]);
        let (a, b) = cipher_keys(&secret, &skey);
        let mut found = json!({
            "public": to_hex(&public_key(&private)),
            "secret": to_hex(&secret),
            "req1": to_hex(&sync_hash(&secret)),
            "req2_xor_req3": to_hex(&torrent_proof(&secret, &torrent_hash(&skey))),
            "keyA": to_hex(a.secret()),
            "keyB": to_hex(b.secret()),
        });
        if input["sent"].is_string() {
            let sent = [&theirs[..], &hex(&input["sent"])].concat();
            found["plain"] = to_hex(&read(&private, &skey, &sent)).into();
        }
        found
    });
    compare_ok(out, &found)
}

/// What a responder with this key reads: the words inside, as the machine took them, and what is behind them.
fn read(private: &[u8; 20], skey: &[u8; 20], sent: &[u8]) -> Vec<u8> {
    let role = Responder { accept: Methods::BOTH, prefer_rc4: true };
    let (mut side, mut input, mut out) = (Handshake::respond(role), sent, Vec::new());
    let agreed = loop {
        match side.receive(&mut input, &mut out).unwrap() {
            Need::Bytes => panic!("the recording is whole"),
            Need::Agreement => side.agree(private, &[], &mut out).unwrap(),
            Need::Torrent(hash) => {
                assert_eq!(hash, torrent_hash(skey));
                side.torrent(Some(*skey), 0).unwrap();
            }
            Need::Nothing(agreed) => break agreed,
        }
    };
    // Words were taken where the payload begins: four lengths and the zeros before it.
    let theirs = sent[..96].try_into().unwrap();
    let (key, _) = cipher_keys(&shared_secret(private, theirs).unwrap(), skey);
    let words = usize::try_from(agreed.read.position()).unwrap();
    let mut plain = sent[sent.len() - input.len() - words..].to_vec();
    StreamCipher::new(&key).apply(&mut plain);
    let mut payload = input.to_vec();
    StreamCipher::new(&agreed.read).apply(&mut payload);
    assert_eq!(plain[words..], payload);
    plain
}
