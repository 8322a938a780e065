//! Packets of µTP. The crate has tests of its own with the same cases, and with the conversation in `captures.json`.

use bytes::Bytes;
use eddyline_utp::packet::{Kind, Packet, walk_extensions};
use serde_json::{Value, json};

use super::{compare_ok, hex, to_hex};

pub fn packet(input: &Value, expected: &Value) -> Result<(), String> {
    let raw = Bytes::from(hex(&input["hex"]));
    let found = Packet::decode(&raw).ok().map(|packet| {
        let mut extensions = Vec::new();
        walk_extensions(&raw, |kind, place| extensions.push(json!([kind, to_hex(&raw[place])])))
            .expect("walked before");
        let kind = match packet.kind {
            Kind::Data => "data",
            Kind::Fin => "fin",
            Kind::State => "state",
            Kind::Reset => "reset",
            Kind::Syn => "syn",
        };
        json!({
            "type": kind,
            "connection_id": packet.connection_id,
            "timestamp": packet.timestamp,
            "timestamp_diff": packet.timestamp_difference,
            "window": packet.window,
            "seq": packet.sequence,
            "ack": packet.acknowledged,
            "extensions": extensions,
            "payload_length": packet.payload.len(),
        })
    });
    compare_ok(expected, &found)
}
