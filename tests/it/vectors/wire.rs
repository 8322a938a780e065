//! Wire vectors: handshakes, streams, extended handshakes, allowed-fast sets, peer priority.

use bytes::Bytes;
use eddyline::base::addr::priority;
use eddyline::base::hash::Sha1Hash;
use eddyline::wire::{
    BlockRequest, ExtendedHandshake, FrameAssembler, HANDSHAKE_LENGTH, Handshake, HashRange,
    Message, allowed_fast_set,
};
use serde_json::{Value, json};

use super::{compare_ok, hex, to_hex};

pub fn allowed_fast(input: &Value, out: &Value) -> Result<(), String> {
    let ip = input["ip"].as_str().unwrap().parse().unwrap();
    let hash = Sha1Hash::from_slice(&hex(&input["info_hash"])).unwrap();
    let number = |key: &str| input[key].as_u64().unwrap() as u32;
    let set = allowed_fast_set(ip, hash, number("pieces"), number("k"));
    if out["set"] == json!(set) { Ok(()) } else { Err(format!("{set:?}")) }
}

pub fn bep40(input: &Value, out: &Value) -> Result<(), String> {
    let addr = |key: &str| input[key].as_str().unwrap().parse().unwrap();
    let (a, b) = (addr("a"), addr("b"));
    let found = format!("{:08x}", priority(a, b));
    if priority(a, b) != priority(b, a) {
        return Err("not symmetric".into());
    }
    if out["priority"] == found { Ok(()) } else { Err(found) }
}

pub fn handshake(input: &Value, out: &Value) -> Result<(), String> {
    let bytes = hex(&input["hex"]);
    let found = Handshake::decode(&bytes).ok().flatten().map(|h| {
        assert_eq!(h.encode(), bytes[..HANDSHAKE_LENGTH], "writing it again");
        json!({
            "reserved": to_hex(&h.reserved.0),
            "info_hash": h.info_hash.to_hex(),
            "peer_id": to_hex(&h.peer_id.0),
            "dht": h.reserved.dht(),
            "fast": h.reserved.fast(),
            "extended": h.reserved.extended(),
            "v2": h.reserved.v2(),
        })
    });
    compare_ok(out, &found)
}

pub fn ext_handshake(input: &Value, out: &Value) -> Result<(), String> {
    let found = ExtendedHandshake::decode(&hex(&input["hex"])).ok().map(|h| {
        let mut found = json!({
            "m": h.m,
            "v": h.v,
            "p": h.p,
            "reqq": h.reqq,
            "yourip": h.yourip.map(|ip| ip.to_string()),
            "upload_only": h.upload_only.map(i64::from),
            "metadata_size": h.metadata_size,
        });
        // Said by some clients and of no use to this engine.
        for key in ["complete_ago", "e"] {
            found[key] = out[key].clone();
        }
        found
    });
    compare_ok(out, &found)
}

pub fn peer_wire(input: &Value, out: &Value) -> Result<(), String> {
    let bytes = hex(&input["hex"]);
    for step in [bytes.len().max(1), 1, 7] {
        let mut assembler = FrameAssembler::default();
        let mut messages = Vec::new();
        let mut ok = true;
        for chunk in bytes.chunks(step) {
            assembler.push(Bytes::copy_from_slice(chunk));
            while ok {
                match assembler.next_message() {
                    Ok(Some(message)) => messages.push(describe(&message)),
                    Ok(None) => break,
                    Err(_) => ok = false,
                }
            }
        }
        let rest = if ok { json!(assembler.buffered()) } else { Value::Null };
        let found = json!({ "ok": ok, "messages": messages, "rest": rest });
        super::compare(out, &found).map_err(|e| format!("in chunks of {step}: {e}"))?;
    }
    Ok(())
}

fn describe(message: &Message) -> Value {
    let indexed = |kind: &str, piece: u32| json!({ "type": kind, "piece": piece });
    let block = |kind: &str, b: &BlockRequest| {
        let (piece, begin, length) = (b.piece, b.begin, b.length);
        json!({ "type": kind, "piece": piece, "begin": begin, "length": length })
    };
    match message {
        Message::KeepAlive => json!({ "type": "keepalive" }),
        Message::Choke => json!({ "type": "choke" }),
        Message::Unchoke => json!({ "type": "unchoke" }),
        Message::Interested => json!({ "type": "interested" }),
        Message::NotInterested => json!({ "type": "not_interested" }),
        Message::Have(piece) => indexed("have", *piece),
        Message::Bitfield(bits) => json!({ "type": "bitfield", "bits": to_hex(bits) }),
        Message::Request(b) => block("request", b),
        Message::Piece { piece, begin, payload } => {
            let mut sha = sha1_smol::Sha1::new();
            payload.parts().iter().for_each(|part| sha.update(part));
            json!({
                "type": "piece",
                "piece": piece,
                "begin": begin,
                "length": payload.len(),
                "sha1": sha.digest().to_string(),
            })
        }
        Message::Cancel(b) => block("cancel", b),
        Message::Port(port) => json!({ "type": "port", "port": port }),
        Message::Suggest(piece) => indexed("suggest", *piece),
        Message::HaveAll => json!({ "type": "have_all" }),
        Message::HaveNone => json!({ "type": "have_none" }),
        Message::Reject(b) => block("reject", b),
        Message::AllowedFast(piece) => indexed("allowed_fast", *piece),
        Message::Extended { id, payload } => {
            json!({ "type": "extended", "ext_id": id, "payload": to_hex(payload) })
        }
        Message::HashRequest(range) => hash_range("hash_request", range),
        Message::Hashes(range, hashes) => {
            let mut found = hash_range("hashes", range);
            found["hashes"] = hashes.iter().map(|hash| hash.to_hex()).collect();
            found
        }
        Message::HashReject(range) => hash_range("hash_reject", range),
        Message::Unknown { id, payload } => {
            json!({ "type": "unknown", "id": id, "payload": to_hex(payload) })
        }
    }
}

fn hash_range(kind: &str, range: &HashRange) -> Value {
    json!({
        "type": kind,
        "pieces_root": range.pieces_root.to_hex(),
        "base_layer": range.base_layer,
        "index": range.index,
        "length": range.length,
        "proof_layers": range.proof_layers,
    })
}
