//! Vectors of what peers tell each other beyond blocks: metadata (BEP 9), peers (BEP 11), introductions (BEP 55), and
//! themselves on the local network (BEP 14).

use bytes::Bytes;
use eddyline::base::hash::Sha1Hash;
use eddyline::local_discovery::Announcement;
use eddyline::wire::{HolepunchKind, HolepunchMessage, MetadataMessage, PexMessage};
use serde_json::{Value, json};

use super::{compare_ok, hex};

pub fn ut_metadata(input: &Value, expected: &Value) -> Result<(), String> {
    let body = Bytes::from(hex(&input["hex"]));
    let found = MetadataMessage::decode(&body).ok().map(|message| match &message {
        MetadataMessage::Request(piece) => json!({ "msg_type": 0, "piece": piece }),
        MetadataMessage::Data { piece, total_size, data } => {
            let mut found = json!({
                "msg_type": 1,
                "piece": piece,
                "data_length": data.len(),
                "data_sha1": Sha1Hash::of(data).to_hex(),
            });
            if let Some(size) = total_size {
                found["total_size"] = json!(size);
            }
            found
        }
        MetadataMessage::Reject(piece) => json!({ "msg_type": 2, "piece": piece }),
        MetadataMessage::Unknown { kind, piece } => json!({ "msg_type": kind, "piece": piece }),
    });
    if let Ok(message) = MetadataMessage::decode(&body) {
        let again = MetadataMessage::decode(&message.encode().into());
        if again != Ok(message) {
            return Err("what was understood does not survive being written".into());
        }
    }
    compare_ok(expected, &found)
}

pub fn ut_pex(input: &Value, expected: &Value) -> Result<(), String> {
    let message = PexMessage::decode(&hex(&input["hex"])).ok();
    let found = message.as_ref().map(|message| {
        let family = |ipv6: bool| {
            let added = message.added.iter().filter(|(addr, _)| addr.is_ipv6() == ipv6);
            let added = added.map(|(addr, flags)| json!([addr.to_string(), flags.0]));
            let dropped = message.dropped.iter().filter(|addr| addr.is_ipv6() == ipv6);
            let dropped = dropped.map(|addr| json!(addr.to_string()));
            (added.collect::<Vec<_>>(), dropped.collect::<Vec<_>>())
        };
        let ((added, dropped), (added6, dropped6)) = (family(false), family(true));
        json!({ "added": added, "added6": added6, "dropped": dropped, "dropped6": dropped6 })
    });
    if let Some(message) = message
        && PexMessage::decode(&message.encode()) != Ok(message.clone())
    {
        return Err("what was understood does not survive being written".into());
    }
    compare_ok(expected, &found)
}

pub fn holepunch(input: &Value, expected: &Value) -> Result<(), String> {
    let message = HolepunchMessage::decode(&hex(&input["hex"])).ok();
    if let Some(message) = message
        && HolepunchMessage::decode(&message.encode()) != Ok(message)
    {
        return Err("what was understood does not survive being written".into());
    }
    let found = message.map(|HolepunchMessage { kind, addr, error }| {
        let kind = match kind {
            HolepunchKind::Rendezvous => "rendezvous",
            HolepunchKind::Connect => "connect",
            HolepunchKind::Error => "error",
            HolepunchKind::Unknown(_) => "unknown",
        };
        json!({ "msg_type": kind, "addr": addr.to_string(), "err_code": error })
    });
    compare_ok(expected, &found)
}

pub fn lsd(input: &Value, expected: &Value) -> Result<(), String> {
    let announcement = Announcement::decode(input["text"].as_str().unwrap().as_bytes()).ok();
    if let Some(announcement) = &announcement
        && Announcement::decode(&announcement.encode(true)).as_ref() != Ok(announcement)
    {
        return Err("what was understood does not survive being written".into());
    }
    let found = announcement.map(|announcement| {
        let hashes = announcement.info_hashes.iter().map(|hash| json!(hash.to_hex()));
        json!({ "port": announcement.port, "info_hashes": hashes.collect::<Vec<_>>() })
    });
    compare_ok(expected, &found)
}
