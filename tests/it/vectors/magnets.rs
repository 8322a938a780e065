//! Magnet vectors.

use eddyline::metainfo::Magnet;
use serde_json::{Value, json};

pub fn magnet(input: &Value, out: &Value) -> Result<(), String> {
    let wanted = out["verdict"] == "accept";
    let magnet = match Magnet::parse(input["uri"].as_str().unwrap()) {
        Ok(magnet) if wanted => magnet,
        Err(_) if !wanted => return Ok(()),
        Ok(_) => return Err("verdict: should be refused".into()),
        Err(error) => return Err(format!("verdict: {error}")),
    };
    let peers: Vec<_> = magnet.peers.iter().map(ToString::to_string).collect();
    let found = json!({
        "verdict": "accept",
        "v1": magnet.v1.map(|hash| hash.to_hex()),
        "v2": magnet.v2.map(|hash| hash.to_hex()),
        "name": magnet.name.clone().unwrap_or_default(),
        "trackers": magnet.trackers,
        "web_seeds": magnet.web_seeds,
        "peers": peers,
        "dht_nodes": magnet.nodes,
        "select_only": magnet.select_only,
    });
    super::compare(out, &found)?;
    let again = Magnet::parse(&magnet.to_string()).map_err(|e| format!("rewritten: {e}"))?;
    if again == magnet { Ok(()) } else { Err(format!("rewritten as {magnet}")) }
}
