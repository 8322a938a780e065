//! Bencode and Merkle vectors.

use eddyline::base::hash::Sha256Hash;
use eddyline::bencode::{Limits, Mode, Value as Bencode, scan};
use eddyline::metainfo::{BLOCK_LENGTH, MerkleTree};
use serde_json::{Value, json};

use super::{compare, hex, to_hex};

pub fn bencode(input: &Value, out: &Value) -> Result<(), String> {
    let bytes = hex(&input["hex"]);
    let wanted = out["ok"].as_bool().unwrap();
    let scanned = scan(&bytes, Limits::METAINFO, Mode::Lenient);
    let Ok(document) = scanned else {
        return if wanted { Err("verdict: should be accepted".into()) } else { Ok(()) };
    };
    if !wanted {
        return Err("verdict: should be refused".into());
    }
    let strict = scan(&bytes, Limits::METAINFO, Mode::Strict)
        .is_ok_and(|document| document.consumed() == bytes.len());
    let found = json!({
        "ok": true,
        "strict": strict,
        "consumed": document.consumed(),
        "value": value(document.root()),
    });
    compare(out, &found)
}

pub fn value(bencode: Bencode<'_, '_>) -> Value {
    if let Some(int) = bencode.as_int() {
        return int.into();
    }
    if let Some(bytes) = bencode.as_bytes() {
        return json!({ "b": to_hex(bytes) });
    }
    if bencode.is_list() {
        return bencode.items().map(value).collect();
    }
    let entries: Vec<_> = bencode.entries().map(|(k, v)| json!([to_hex(k), value(v)])).collect();
    json!({ "d": entries })
}

pub fn merkle(input: &Value, out: &Value) -> Result<(), String> {
    let length = input["length"].as_u64().unwrap() as usize;
    let piece_length = input["piece_length"].as_u64().unwrap() as u32;
    let content: Vec<u8> = (0..length).map(|i| (i * 31 % 256) as u8).collect();
    let blocks: Vec<_> = content.chunks(BLOCK_LENGTH as usize).map(Sha256Hash::of).collect();
    let Some(tree) = MerkleTree::new(&blocks, piece_length) else {
        return if out.get("root").is_none() { Ok(()) } else { Err("no root".into()) };
    };
    if out["root"] != tree.root().to_hex() {
        return Err(format!("root {}", tree.root().to_hex()));
    }
    let layer: Vec<_> = tree.piece_layer().iter().map(|hash| hash.to_hex()).collect();
    let flat: Vec<u8> = tree.piece_layer().iter().flat_map(|hash| hash.0).collect();
    for (key, wanted) in out.as_object().unwrap() {
        let agrees = match (key.as_str(), wanted) {
            ("root", _) => true,
            ("layer", Value::Array(hashes)) => hashes.iter().eq(layer.iter()),
            ("layer_count" | "layer_length", count) => count == layer.len(),
            (_, Value::String(sum)) => *sum == Sha256Hash::of(&flat).to_hex(),
            _ => false,
        };
        if !agrees {
            return Err(format!("{key}: {wanted}"));
        }
    }
    Ok(())
}
