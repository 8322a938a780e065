//! Packets of other clients: those of `tests/vectors/utp.json`, and the conversation in `captures.json`.

use bytes::Bytes;
use eddyline_utp::is_utp;
use eddyline_utp::packet::{Header, Kind, MAX_SACK, Packet, PacketError, walk_extensions};
use quickcheck::quickcheck;
use serde_json::{Value, json};

fn load(name: &str) -> Value {
    let path = format!("{}/../../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(hex: &str) -> Bytes {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn described(packet: &Packet, raw: &Bytes) -> Value {
    let mut extensions = Vec::new();
    walk_extensions(raw, |kind, place| extensions.push(json!([kind, hex(&raw[place])]))).unwrap();
    let kind = match packet.kind {
        Kind::Data => "data",
        Kind::Fin => "fin",
        Kind::State => "state",
        Kind::Reset => "reset",
        Kind::Syn => "syn",
    };
    json!({
        "ok": true, "type": kind, "connection_id": packet.connection_id, "timestamp": packet.timestamp,
        "timestamp_diff": packet.timestamp_difference, "window": packet.window, "seq": packet.sequence,
        "ack": packet.acknowledged, "extensions": extensions, "payload_length": packet.payload.len(),
    })
}

/// A packet written again. Extensions that we never send are lost.
fn again(packet: &Packet) -> Vec<u8> {
    let header = Header {
        kind: packet.kind,
        connection_id: packet.connection_id,
        timestamp: packet.timestamp,
        timestamp_difference: packet.timestamp_difference,
        window: packet.window,
        sequence: packet.sequence,
        acknowledged: packet.acknowledged,
        selective_ack: &packet.selective_ack,
        close_reason: packet.close_reason,
        padding: 0,
    };
    [&header.encode()[..], &packet.payload[..]].concat()
}

#[test]
fn all_vectors_are_read_as_they_say() {
    let vectors = load("utp.json");
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 21);
    for case in cases {
        let raw = bytes(case["in"]["hex"].as_str().unwrap());
        let out = match Packet::decode(&raw) {
            Ok(packet) => described(&packet, &raw),
            Err(_) => json!({"ok": false}),
        };
        assert_eq!(out, case["out"], "{}", case["id"]);
        assert!(is_utp(&raw) || case["out"]["ok"] == false);
    }
}

#[test]
fn a_conversation_of_libtorrent_reads_as_one_and_is_written_the_same() {
    let captures = load("captures.json");
    let conversation = captures["cases"]
        .as_array()
        .unwrap()
        .iter()
        .find(|case| case["scenario"] == "lt-utp")
        .unwrap();
    let mut next = [None::<u16>; 2];
    let mut received = 0;
    for packet in conversation["packets"].as_array().unwrap() {
        let side = usize::from(packet[0] == "<");
        let raw = bytes(packet[1].as_str().unwrap());
        let packet = Packet::decode(&raw).unwrap();
        assert_eq!(again(&packet), raw);
        // The numbers of a side follow each other, and a state packet has the next one without taking it.
        let expected = *next[side].get_or_insert(packet.sequence);
        let fresh = packet.sequence == expected;
        let takes = matches!(packet.kind, Kind::Data | Kind::Fin | Kind::Syn);
        if fresh && takes {
            next[side] = Some(expected.wrapping_add(1));
            received += packet.payload.len();
        }
    }
    assert!(received > 40_000, "{received} bytes of payload");
}

#[test]
fn other_protocols_of_the_socket_are_told_apart_by_two_bytes() {
    let ping = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    assert!(!is_utp(ping));
    let tracker = [[0, 0, 0, 1].as_slice(), &[0; 20]].concat();
    assert!(!is_utp(&tracker));
    assert!(!is_utp(&[]) && !is_utp(&[1; 19]));
    assert!(!is_utp(&[0x51; 20]) && !is_utp(&[0x02; 20]));
}

#[test]
fn extensions_that_are_cut_off_or_never_end_are_refused() {
    let mut raw = [0u8; 22];
    (raw[0], raw[1], raw[21]) = (0x21, 1, 4);
    assert_eq!(Packet::decode(&Bytes::copy_from_slice(&raw)), Err(PacketError::Extensions));
    assert_eq!(Packet::decode(&Bytes::copy_from_slice(&raw[..21])), Err(PacketError::Extensions));
    let mut endless = vec![0x21, 9];
    endless.resize(20, 0);
    endless.extend([9, 0].repeat(5_000));
    assert_eq!(Packet::decode(&endless.into()), Err(PacketError::Extensions));
}

#[test]
fn padding_of_every_length_is_skipped() {
    for padding in 0..3_000 {
        let header = Header {
            kind: Kind::Data,
            connection_id: 1,
            timestamp: 2,
            timestamp_difference: 3,
            window: 4,
            sequence: 5,
            acknowledged: 6,
            selective_ack: &[],
            close_reason: None,
            padding,
        };
        let mut raw = header.encode().to_vec();
        assert_eq!(raw.len(), 20 + if padding == 1 { 2 } else { padding });
        raw.extend(b"payload");
        assert_eq!(&Packet::decode(&raw.into()).unwrap().payload[..], b"payload");
    }
}

#[test]
fn a_selective_ack_of_252_bytes_survives() {
    let sack: Vec<u8> = (0..MAX_SACK as u8).collect();
    let mut raw = vec![0x21, 1];
    raw.resize(20, 0);
    raw.extend([0, MAX_SACK as u8]);
    raw.extend(&sack);
    let packet = Packet::decode(&raw.clone().into()).unwrap();
    assert_eq!((&packet.selective_ack[..], again(&packet)), (&sack[..], raw));
}

quickcheck! {
    fn no_bytes_panic_and_what_is_read_is_consistent(raw: Vec<u8>) -> bool {
        let raw = Bytes::from(raw);
        Packet::decode(&raw).is_ok_and(|packet| packet.payload.len() + 20 <= raw.len()) || Packet::decode(&raw).is_err()
    }
}
