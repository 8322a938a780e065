//! Vectors of the DHT: packets, ids, filters, items (BEP 5, 32, 33, 42, 43, 44, 51).

use std::net::IpAddr;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use eddyline::bencode::{Limits, Mode, scan};
use eddyline::dht::krpc::{Body, ItemFields, Packet, Query, Reply};
use eddyline::dht::{Bloom, Contact, Item, Mutable, NodeId, prefix_for, signed_bytes};
use serde_json::{Value, json};

use super::{bencoding, compare, compare_ok, hex};

fn text(bytes: &[u8]) -> Value {
    HEXLOWER.encode(bytes).into()
}

fn item(found: &mut Value, fields: &ItemFields) {
    for (key, value) in [("k", &fields.key), ("salt", &fields.salt), ("sig", &fields.signature)] {
        if let Some(value) = value {
            found[key] = text(value);
        }
    }
    if let Some(seq) = fields.seq {
        found["seq"] = seq.into();
    }
    if let Some(value) = &fields.value {
        let document = scan(value, Limits::MESSAGE, Mode::Lenient).unwrap();
        found["value"] = bencoding::value(document.root());
    }
}

fn nodes(nodes: &[Contact], ipv6: bool) -> Value {
    let family = nodes.iter().filter(|node| node.addr.is_ipv6() == ipv6);
    family.map(|node| json!([text(&node.id.0), node.addr.to_string()])).collect()
}

fn describe(packet: &Packet) -> Value {
    let mut found = json!({ "t": text(&packet.t) });
    if let Some(v) = &packet.v {
        found["v"] = text(v);
    }
    if let Some(ip) = packet.ip {
        found["ip"] = ip.to_string().into();
    }
    if packet.read_only {
        found["ro"] = 1.into();
    }
    match &packet.body {
        Body::Query(query) => describe_query(&mut found, query),
        Body::Reply(reply) => describe_reply(&mut found, reply),
        Body::Error { code, message } => {
            found["y"] = "e".into();
            found["error"] = json!([code, message]);
        }
    }
    found
}

fn describe_query(found: &mut Value, query: &Query) {
    found["y"] = "q".into();
    found["q"] = query.method.as_str().into();
    found["id"] = text(&query.id.0);
    let strings =
        [("target", &query.target), ("info_hash", &query.info_hash), ("token", &query.token)];
    for (key, value) in strings {
        if let Some(value) = value {
            found[key] = text(value);
        }
    }
    if let Some(port) = query.port {
        found["port"] = port.into();
    }
    if let Some(cas) = query.cas {
        found["cas"] = cas.into();
    }
    let flags = [
        ("implied_port", query.implied_port),
        ("seed", query.seed),
        ("noseed", query.no_seed),
        ("scrape", query.scrape),
    ];
    for (key, _) in flags.iter().filter(|(_, set)| *set) {
        found[*key] = 1.into();
    }
    if let Some((v4, v6)) = query.want {
        let names = [("n4", v4), ("n6", v6)];
        found["want"] = names.iter().filter(|(_, set)| *set).map(|(n, _)| *n).collect();
    }
    item(found, &query.item);
}

fn describe_reply(found: &mut Value, reply: &Reply) {
    found["y"] = "r".into();
    found["id"] = text(&reply.id.0);
    if reply.families.0 {
        found["nodes"] = nodes(&reply.nodes, false);
    }
    if reply.families.1 {
        found["nodes6"] = nodes(&reply.nodes, true);
    }
    if let Some(token) = &reply.token {
        found["token"] = text(token);
    }
    if let Some(values) = &reply.values {
        found["values"] = values.iter().map(ToString::to_string).collect();
    }
    if let Some((samples, number, interval)) = &reply.samples {
        found["samples"] = samples.iter().map(|sample| text(&sample.0)).collect();
        found["num"] = (*number).into();
        found["interval"] = (*interval).into();
    }
    if let Some((seeds, others)) = &reply.filters {
        found["BFsd"] = text(seeds);
        found["BFpe"] = text(others);
    }
    item(found, &reply.item);
}

pub fn krpc(input: &Value, expected: &Value) -> Result<(), String> {
    let packet = Packet::decode(&hex(&input["hex"]));
    if let Ok(packet) = &packet {
        let again = Packet::decode(&packet.encode());
        if again.as_ref() != Ok(packet) {
            return Err(format!("what was understood does not survive: {packet:?}, {again:?}"));
        }
    }
    compare_ok(expected, &packet.ok().as_ref().map(describe))
}

pub fn bep42(input: &Value, expected: &Value) -> Result<(), String> {
    let ip: IpAddr = input["ip"].as_str().unwrap().parse().unwrap();
    let found = match input["node_id"].as_str() {
        Some(_) => {
            json!({ "valid": NodeId::from_slice(&hex(&input["node_id"])).unwrap().fits(ip) })
        }
        None => {
            let mut prefix = prefix_for(ip, input["rand"].as_u64().unwrap() as u8);
            prefix[2] &= 0xf8;
            json!({ "first_21_bits": text(&prefix) })
        }
    };
    compare(expected, &found)
}

pub fn dht_distance(input: &Value, expected: &Value) -> Result<(), String> {
    let id = |key: &str| NodeId::from_slice(&hex(&input[key])).unwrap();
    let common = id("a").common_bits(id("b"));
    compare(expected, &json!({ "distance_exp": 159u32.saturating_sub(common) }))
}

pub fn bep44(input: &Value, expected: &Value) -> Result<(), String> {
    let value = Bytes::from(hex(&input["v"]));
    if input["k"].is_null() {
        let item = Item { value, mutable: None };
        return compare(expected, &json!({ "target": text(&item.target().0) }));
    }
    let salt = Bytes::from(hex(&input["salt"]));
    let seq = input["seq"].as_i64().unwrap();
    let mutable = Mutable {
        key: hex(&input["k"]).try_into().unwrap(),
        salt: salt.clone(),
        seq,
        signature: hex(&input["sig"]).try_into().unwrap(),
    };
    let item = Item { value: value.clone(), mutable: Some(mutable) };
    if let Some(seed) = input["seed"].as_str().filter(|_| expected["valid"] == true) {
        let seed = HEXLOWER.decode(seed.as_bytes()).unwrap().try_into().unwrap();
        if Item::sign(&seed, salt.clone(), seq, value.clone()).as_ref() != Ok(&item) {
            return Err("our own signature is another".into());
        }
    }
    let found = json!({
        "buffer": text(&signed_bytes(&salt, seq, &value)),
        "target": text(&item.target().0),
        "valid": item.is_signed(),
    });
    compare(expected, &found)
}

pub fn bep33(input: &Value, expected: &Value) -> Result<(), String> {
    let mut bloom = Bloom::default();
    let list = |key: &str| {
        let list = input[key].as_array().unwrap().clone();
        list.into_iter().map(|ip| ip.as_str().unwrap().parse::<IpAddr>().unwrap())
    };
    for (first, last) in list("first").zip(list("last")) {
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                (u32::from(first)..=u32::from(last))
                    .for_each(|ip| bloom.insert(IpAddr::V4(ip.into())));
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                (u128::from(first)..=u128::from(last))
                    .for_each(|ip| bloom.insert(IpAddr::V6(ip.into())));
            }
            _ => return Err("a range of two families".into()),
        }
    }
    let estimate = expected["estimate"].as_f64().unwrap();
    let found = bloom.estimate_millis() as f64 / 1000.0;
    if (found - estimate).abs() > 0.0011 {
        return Err(format!("estimate: expected {estimate}, found {found}"));
    }
    let filter = &expected["filter"];
    if filter.is_null() || *filter == text(&bloom.to_bytes()) {
        Ok(())
    } else {
        Err("another filter".into())
    }
}
