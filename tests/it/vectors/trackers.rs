//! Tracker vectors, HTTP and UDP.

use std::net::Ipv4Addr;

use eddyline::base::hash::Sha1Hash;
use eddyline::tracker::{
    PeerHost, SwarmCounts, UdpRequest, UdpResponse, parse_announce, parse_scrape,
    percent_encode_bytes,
};
use serde_json::{Map, Value, json};

use super::{compare_ok, hex, to_hex};

pub fn escape(input: &Value, out: &Value) -> Result<(), String> {
    let hash = hex(&input["info_hash"]);
    let unescape = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            if *first == b'%' {
                let digits = std::str::from_utf8(&tail[..2]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &tail[2..];
            } else {
                bytes.push(*first);
                rest = tail;
            }
        }
        bytes
    };
    let ours = percent_encode_bytes(&hash);
    let same = unescape(&ours) == hash && unescape(out["escaped"].as_str().unwrap()) == hash;
    if same && !ours.contains('+') { Ok(()) } else { Err(ours) }
}

/// Drops the keys that were not understood, so that a case may only name what was said.
fn without_nulls(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    map.into_iter().filter(|(_, v)| !v.is_null()).collect::<Map<_, _>>().into()
}

fn counts(counts: &SwarmCounts) -> Value {
    without_nulls(json!({
        "complete": counts.complete,
        "incomplete": counts.incomplete,
        "downloaded": counts.downloaded,
    }))
}

pub fn http_announce(input: &Value, out: &Value) -> Result<(), String> {
    let found = parse_announce(&hex(&input["hex"])).ok().map(|reply| {
        let peers: Vec<_> = reply
            .peers
            .iter()
            .map(|peer| match peer {
                PeerHost::Addr(addr) => addr.to_string(),
                PeerHost::Name(host, port) => format!("{host}:{port}"),
            })
            .collect();
        let mut found = json!({
            "failure": reply.failure,
            "warning": reply.warning,
            "interval": reply.interval,
            "min_interval": reply.min_interval,
            "tracker_id": reply.tracker_id.as_deref().map(to_hex),
            "external_ip": reply.external_ip.map(|ip| ip.to_string()),
            "peers": peers,
        });
        for (key, value) in counts(&reply.counts).as_object().unwrap() {
            found[key] = value.clone();
        }
        found
    });
    compare_ok(out, &found)
}

pub fn http_scrape(input: &Value, out: &Value) -> Result<(), String> {
    let found = parse_scrape(&hex(&input["hex"])).ok().map(|reply| {
        let files: Map<_, _> =
            reply.files.iter().map(|(hash, file)| (hash.to_hex(), counts(file))).collect();
        json!({ "failure": reply.failure, "files": files })
    });
    compare_ok(out, &found)
}

pub fn udp_tracker(input: &Value, out: &Value) -> Result<(), String> {
    let packet = hex(&input["hex"]);
    let found = if input["side"] == "request" {
        UdpRequest::decode(&packet).map(request)
    } else {
        UdpResponse::decode(&packet, false).map(response)
    };
    compare_ok(out, &found)
}

fn request(request: UdpRequest) -> Value {
    let encoded = to_hex(&request.encode());
    let mut found = match request {
        UdpRequest::Connect { transaction } => {
            json!({ "action": 0, "transaction_id": transaction, "connection_id": "0000041727101980" })
        }
        UdpRequest::Announce { connection, transaction, params, ip, options } => json!({
            "action": 1,
            "transaction_id": transaction,
            "connection_id": format!("{connection:016x}"),
            "downloaded": params.downloaded,
            "left": params.left,
            "uploaded": params.uploaded,
            "event": params.event as u32,
            "ip": u32::from(ip) ,
            "ip_text": (ip != Ipv4Addr::UNSPECIFIED).then(|| ip.to_string()),
            "key": params.key,
            "num_want": params.num_want as i32,
            "port": params.port,
            "info_hash": params.info_hash.to_hex(),
            "peer_id": to_hex(&params.peer_id.0),
            "options": to_hex(&options),
        }),
        UdpRequest::Scrape { connection, transaction, info_hashes } => {
            let hashes: Vec<_> = info_hashes.into_iter().map(Sha1Hash::to_hex).collect();
            json!({
                "action": 2,
                "transaction_id": transaction,
                "connection_id": format!("{connection:016x}"),
                "info_hashes": hashes,
            })
        }
    };
    found["encoded"] = encoded.into();
    found
}

fn response(response: UdpResponse) -> Value {
    let transaction = response.transaction();
    let mut found = match response {
        UdpResponse::Connect { connection, .. } => {
            json!({ "action": 0, "connection_id": format!("{connection:016x}") })
        }
        UdpResponse::Announce { interval, counts, peers, .. } => {
            let peers: Vec<_> = peers.iter().map(ToString::to_string).collect();
            json!({
                "action": 1,
                "interval": interval,
                "leechers": counts.incomplete,
                "seeders": counts.complete,
                "peers": peers,
            })
        }
        UdpResponse::Scrape { files, .. } => {
            let files: Vec<_> = files.iter().map(counts).collect();
            json!({ "action": 2, "files": files })
        }
        UdpResponse::Error { message, .. } => json!({ "action": 3, "error": message }),
    };
    found["transaction_id"] = transaction.into();
    found
}
